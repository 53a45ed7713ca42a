//! Our DHT among nodes that others made: who announces is found and what is stored is read, in both directions,
//! through networks of both kinds.
//!
//! Every network is on loopback, one address a node. Transmission, which wants none of that, has namespaces.

mod exchange;
mod foreign;
mod node;
mod ours;

use crate::case::Case;

/// The DHT cases.
pub(crate) fn cases() -> Vec<Case> {
    exchange::cases()
}
