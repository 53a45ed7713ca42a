//! Machines under any row of inputs, against models of what they may do.

pub mod announcer;
pub mod choker;
pub mod dht_node;
pub mod engine;
pub mod hub;
pub mod lsd;
pub mod peer_list;
pub mod picker;
pub mod split;
