//! Our DHT among nodes that others made: who announces is found and what is stored is read, in both directions,
//! through networks of both kinds.
//!
//! Every network is on loopback, one address a node. Transmission, which wants none of that, has namespaces.

mod command_line;
mod exchange;
mod extensions;
mod foreign;
mod magnets;
mod node;
mod ours;
mod transmission;

use crate::case::Case;

/// The DHT cases.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = exchange::cases();
    cases.extend(extensions::cases());
    cases.extend(magnets::cases());
    cases.extend(transmission::cases());
    cases
}
