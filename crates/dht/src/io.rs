//! What goes into a [`Node`](crate::Node) and what comes out of it.

use core::net::SocketAddr;
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::Duration;

/// One thing that happened to the node.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The time [`Node::next_timeout`](crate::Node::next_timeout) named has come. Early or late calls do no harm.
    Timeout,
    /// A datagram arrived; anything may be in it.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// The shell wants something.
    Command(Command),
}

/// What a shell may want.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// An endpoint said to be a node: from a torrent's `nodes`, a magnet's `dht`, a PORT message, the user. It is
    /// asked first and enters the table only when it answers.
    AddNode(SocketAddr),
    /// A bootstrap router: asked for nodes while we know few, never in the table.
    AddRouter(SocketAddr),
    /// A node of an earlier run, which is asked before it is trusted.
    AddSaved(NodeInfo),
    /// Look for our own neighbourhood again, at once.
    Bootstrap,
    /// Endpoints of our own (any family, UDP or TCP), which are never reported as peers nor asked as nodes.
    SetOwnAddresses(Vec<SocketAddr>),
    /// Find the peers of `target` and, with `announce`, be one of them: at once and again before the nodes that
    /// store us forget, until [`Command::StopSearch`]. For a running search this replaces what is announced.
    Search {
        /// The info-hash.
        target: WireHash,
        /// What to announce; `None` searches only.
        announce: Option<Announce>,
    },
    /// Ends a search.
    StopSearch {
        /// The info-hash.
        target: WireHash,
    },
    /// Asks one endpoint whether it is there; answered by [`Event::Pong`] or [`Event::NoPong`].
    Ping(SocketAddr),
    /// Finds the nodes closest to `target` once; answered by [`Event::NodesFound`].
    FindNode {
        /// Any point of the id space.
        target: NodeId,
    },
    /// The network said that nothing listens there (ICMP); what we asked there has failed.
    ReportUnreachable(SocketAddr),
}

/// What we announce about ourselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announce {
    /// The port peers reach us by; not 0 unless `implied_port`.
    pub port: u16,
    /// Peers reach us by the port our datagrams come from.
    pub implied_port: bool,
    /// We have everything (BEP 33).
    pub is_seed: bool,
}

/// What the node wants done or known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Know this.
    Event(Event),
}

/// What became known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Peers of a search, as they arrive; each at most once a round.
    PeersFound {
        /// The info-hash.
        target: WireHash,
        /// Peers, of either family.
        peers: Vec<SocketAddr>,
    },
    /// One round of a search came to its end; another follows by itself.
    SearchDone {
        /// The info-hash.
        target: WireHash,
        /// Distinct peers found in this round.
        peers_found: usize,
        /// Queries sent, retransmissions included.
        queries_sent: usize,
        /// The closest nodes that answered, closest first, at most 8.
        closest: Vec<NodeInfo>,
    },
    /// The announcements of one round were answered or given up.
    Announced {
        /// The info-hash.
        target: WireHash,
        /// Nodes that stored us.
        to: usize,
    },
    /// We found our neighbourhood.
    Bootstrapped {
        /// Good nodes known.
        good_nodes: usize,
    },
    /// The answer to [`Command::FindNode`].
    NodesFound {
        /// The point asked for.
        target: NodeId,
        /// The closest nodes that answered, closest first, at most 8.
        closest: Vec<NodeInfo>,
    },
    /// The answer to [`Command::Ping`].
    Pong {
        /// The endpoint.
        from: SocketAddr,
        /// Its id.
        id: NodeId,
        /// Round-trip time.
        rtt: Duration,
    },
    /// The endpoint of a [`Command::Ping`] did not answer.
    NoPong {
        /// The endpoint.
        to: SocketAddr,
    },
}

/// What one input led to; borrows the node until it is drained or dropped.
#[derive(Debug)]
#[must_use = "undrained outputs are lost"]
pub struct Outputs<'a>(std::vec::Drain<'a, Output>);

impl<'a> Outputs<'a> {
    pub(crate) fn new(queue: &'a mut Vec<Output>) -> Self {
        Outputs(queue.drain(..))
    }
}

impl Iterator for Outputs<'_> {
    type Item = Output;

    fn next(&mut self) -> Option<Output> {
        self.0.next()
    }
}
