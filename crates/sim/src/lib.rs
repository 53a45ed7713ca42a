//! Deterministic simulator of whole swarms.
//!
//! A [`World`] plays hosts, each a real hub and a real engine, on modelled links, disks and trackers in virtual time.
//! One seed fixes every delay, fault and random choice: the same seed gives the same run, byte for byte.

pub mod disk;
pub mod host;
pub mod link;
pub mod log;
pub mod swarm;
pub mod world;

pub use host::{HostId, HostSettings};
pub use link::LinkSettings;
pub use log::{Entry, Log, What};
pub use world::World;
