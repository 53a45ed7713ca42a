//! What peers see of an engine: whole connections in memory, played through the public API only.

#![expect(clippy::unwrap_used, reason = "a test fails by unwrapping what is not there")]

mod choking;
mod dht;
mod disk;
mod exchange;
mod fast;
mod gate;
mod handshake;
mod have;
mod hostile;
mod interest;
mod limits;
mod many_torrents;
mod memory;
mod metadata;
mod net;
mod private;
mod requests;
mod seeding;
mod sleepers;
mod storage;
mod super_seeding;
mod timers;
mod trackers;
mod trust;
