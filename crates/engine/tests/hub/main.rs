//! The hub's DHT through its inputs and outputs alone.

mod bootstrap;
mod net;
mod saved;
mod scale;
