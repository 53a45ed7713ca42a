//! Sockets, threads and clocks around the engine: [`Session`] and [`TorrentHandle`].
//!
//! ```no_run
//! use std::time::Duration;
//! use unchoke_runtime::{AddTorrent, Session, SessionConfig};
//! use unchoke_wire::Metainfo;
//!
//! let session = Session::start(SessionConfig::default())?;
//! let metainfo = Metainfo::parse(&std::fs::read("some.torrent")?)?;
//! let torrent = session.add(AddTorrent::new(metainfo, "downloads"))?;
//! torrent.wait_complete(Duration::from_secs(3600))?;
//! session.shutdown(Duration::from_secs(5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Threads: one hub accepts connections, reads datagrams and runs the DHT; each shard runs some torrents; workers
//! hash pieces and use the disk; a keeper and a checker look after records and files; one more thread makes HTTP
//! requests and resolves names. No thread that serves peers ever waits for a disk or a server.

mod add;
mod addresses;
mod clock;
mod config;
mod dht_file;
mod dht_view;
mod error;
mod event;
mod handle;
pub mod hashing;
mod http;
mod http_pool;
mod hub;
mod keeper;
mod listen;
mod lsd;
mod mailbox;
mod memory;
mod names;
mod resolver;
mod restore;
mod session;
mod shard;
mod sys;
mod torrent;
mod upload;
mod verify;
mod workers;

pub use add::{AddTorrent, Place, Source, StorageFactory};
pub use config::{DHT_ROUTERS, Role, SessionConfig};
pub use dht_view::{DhtView, Traffic};
pub use error::{NotSaved, SessionError};
pub use event::SessionEvent;
pub use handle::{State, Stats, Summary, TorrentHandle};
pub use http::fetch;
pub use memory::MemoryBudget;
pub use session::Session;

pub use unchoke_dht as dht;
pub use unchoke_engine::engine::{MemoryPart, PeerInfo};
pub use unchoke_engine::event::CloseReason;
pub use unchoke_engine::hub::HubEvent;
pub use unchoke_engine::input::{Discovery, PeerSource, TorrentSource, Totals};
pub use unchoke_engine::output::{Trace, TraceMessage};
pub use unchoke_engine::settings::PeerIdRule;
pub use unchoke_engine::{Event, Settings};
pub use unchoke_storage as storage;
