//! The binary, driven through its command line.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod create;
mod daemon;
mod daemon_api;
mod daemon_errands;
mod daemon_support;
mod dht;
mod dht_items;
mod errors;
mod get_seed;
mod hostile;
mod mutable;
mod network;
mod secrets;
mod show;
mod support;
mod verify;
