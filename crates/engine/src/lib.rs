//! The sans-I/O BitTorrent engine: every decision of the protocol, made by values without clocks, sockets, threads
//! or files.
//!
//! A shell owns two kinds of machine. One [`hub::Hub`] a session routes accepted connections and datagrams and keeps
//! the DHT; one [`engine::Engine`] a shard owns some torrents and their peers. Both have the same shape: `new`,
//! `handle` as the only way in, `next_timeout`. What `handle` returns must be drained before the next call.

pub mod choker;
pub mod engine;
pub mod event;
pub mod hub;
pub mod id;
pub mod input;
pub mod lsd;
pub mod output;
mod own_address;
mod peer;
pub mod peer_list;
pub mod picker;
mod rate_limit;
pub mod settings;
mod torrent;
pub mod tracker;

pub use engine::Engine;
pub use event::{CloseReason, Event};
pub use hub::Hub;
pub use id::{ConnId, PeerKey, RequestId, ShardId, Ticket, TorrentId};
pub use input::{Command, Input};
pub use output::Output;
pub use settings::Settings;
