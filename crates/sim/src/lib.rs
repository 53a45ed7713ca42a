//! Deterministic simulator of whole swarms.
//!
//! A [`World`] plays hosts, each a real hub and a real engine, on modelled links, disks and trackers in virtual time.
//! One seed fixes every delay, fault and random choice: the same seed gives the same run, byte for byte. Checkers watch
//! every step, marks tell which rare paths a run went down, and [`scenarios`] is the catalogue of runs.

pub mod bad_peer;
pub mod checkers;
mod crash;
pub mod dht;
pub mod disk;
pub mod fault;
pub mod host;
pub mod link;
pub mod log;
pub mod marks;
pub mod scenarios;
pub mod shrink;
pub mod swarm;
pub mod timeline;
pub mod tracker;
pub mod watch;
pub mod world;

pub use fault::{Fault, FaultKind, FaultPlan, FaultSet};
pub use host::{HostId, HostSettings};
pub use link::LinkSettings;
pub use log::{Entry, Log, What};
pub use marks::Mark;
pub use scenarios::{Failure, Report, Scenario};
pub use swarm::Content;
pub use world::World;
