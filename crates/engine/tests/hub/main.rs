//! The hub's DHT through its inputs and outputs alone.

#![expect(clippy::unwrap_used, reason = "a test fails by unwrapping what is not there")]

mod bootstrap;
mod net;
mod saved;
mod scale;
