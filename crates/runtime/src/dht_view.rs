//! A look into the DHT nodes of a session.

use unchoke_dht::{Family, Node, NodeId, TableRow};

/// One DHT node of a session as it is at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DhtView {
    /// Its family.
    pub family: Family,
    /// Its id.
    pub id: NodeId,
    /// The nodes it knows, those furthest from it first.
    pub table: Vec<TableRow>,
    /// Lookups under way.
    pub lookups: usize,
    /// Peers that others announced to it.
    pub stored_peers: usize,
    /// Items that others stored in it.
    pub stored_items: usize,
    /// What passed its socket.
    pub traffic: Traffic,
}

/// Datagrams that passed a socket since the session began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Datagrams received.
    pub received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
}

impl Traffic {
    /// Counts a datagram of `len` bytes.
    pub(crate) fn count(&mut self, is_sent: bool, len: usize) {
        let len = u64::try_from(len).expect("a datagram's length fits 64 bits");
        if is_sent {
            self.sent += 1;
            self.bytes_sent += len;
        } else {
            self.received += 1;
            self.bytes_received += len;
        }
    }
}

/// What `node`, whose socket saw this traffic, is like.
pub(crate) fn view(node: &Node, traffic: Traffic) -> DhtView {
    DhtView {
        family: node.family(),
        id: node.id(),
        table: node.table().collect(),
        lookups: node.lookup_count(),
        stored_peers: node.stored_peer_count(),
        stored_items: node.stored_item_count(),
        traffic,
    }
}
