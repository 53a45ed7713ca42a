//! The sans-I/O BitTorrent engine: every decision of the protocol, made by values without clocks, sockets, threads
//! or files.
//!
//! A shell owns two kinds of machine. One hub a session routes accepted connections and datagrams and keeps the DHT;
//! one engine a shard owns some torrents and their peers. Both have the same shape: `new`, `handle` as the only way
//! in, `next_timeout`. What `handle` returns must be drained before the next call.

pub mod choker;
pub mod event;
pub mod id;
pub mod input;
pub mod output;
pub mod peer_list;
pub mod picker;
pub mod settings;
pub mod tracker;

pub use id::{ConnId, PeerKey, ShardId, Ticket, TorrentId};
pub use settings::Settings;
