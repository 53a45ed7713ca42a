//! A sans-I/O DHT node (BEP 5, 7, 32, 42): the trackerless way from an info-hash to its peers.
//!
//! [`Node`] is one node in one address family. A shell feeds it datagrams, commands and the time, and carries out
//! what it answers; nothing here owns a socket, a clock or a source of randomness.

mod bucket;
mod entry;
mod identity;
mod io;
pub mod item;
mod item_store;
mod lookup;
mod network_size;
mod node;
mod node_list;
mod peer_store;
mod rate;
mod results;
mod round_trips;
mod routing_table;
mod search;
mod token;
mod transactions;

use unchoke_wire::scope;

pub use identity::{compliant_id, is_compliant};
pub use io::{Announce, Command, Event, Input, Output, Outputs, Step};
pub use node::{FORMER_IDS_MAX, Node, Settings, TableRow};
pub use unchoke_wire::compact::Family;
pub use unchoke_wire::krpc::{NodeId, NodeInfo};

/// Bytes of memory that others can make one node hold at most: what they announce and put here, and half a megabyte for
/// queries under way, rates and the routing table.
pub const NODE_LEN_MAX: usize = peer_store::LEN_MAX + item_store::LEN_MAX + (1 << 19);
