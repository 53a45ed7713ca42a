//! What goes into a [`Node`](crate::Node) and what comes out of it.

use core::net::{IpAddr, SocketAddr};
use unchoke_wire::WireHash;
use unchoke_wire::item::{Item, ItemKey};
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
    /// Ids of earlier runs, the latest first: when others see us at an address that one of them fits, it is taken again
    /// in place of a new one (BEP 42). At most [`FORMER_IDS_MAX`](crate::FORMER_IDS_MAX) are kept.
    RememberIds(Vec<NodeId>),
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
        /// Somebody waits for the peers: its rounds go before those of searches that merely keep us announced.
        is_urgent: bool,
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
    /// Estimates how many seeds and downloaders `target` has, once (BEP 33); answered by [`Event::Scraped`].
    Scrape {
        /// The info-hash.
        target: WireHash,
    },
    /// Looks for an item, once (BEP 44); answered by [`Event::ItemFound`] as they arrive and [`Event::ItemDone`].
    GetItem(ItemKey),
    /// Stores an item at the nodes closest to it, once (BEP 44); answered by [`Event::ItemStored`].
    PutItem {
        /// The item; a mutable one is signed.
        item: Item,
        /// Replace only what has this sequence number.
        cas: Option<i64>,
    },
    /// Asks the nodes on the way to `target` for the info-hashes they store, once (BEP 51); answered by
    /// [`Event::Sampled`] for each and [`Event::SampleDone`].
    Sample {
        /// Any point of the id space.
        target: NodeId,
    },
    /// Whether lookups of our own neighbourhood also ask for nodes of the other family (BEP 32), which are told by
    /// [`Event::HeardOf`].
    WantBoth(bool),
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
    /// The answer to [`Command::Scrape`]: estimates from the union of all filters (BEP 33).
    Scraped {
        /// The info-hash.
        target: WireHash,
        /// Peers that have everything.
        seeds: u64,
        /// Peers that do not.
        downloaders: u64,
        /// Nodes that sent filters.
        answers: usize,
    },
    /// An item of [`Command::GetItem`], verified; a mutable one is newer than all before.
    ItemFound {
        /// The item.
        item: Item,
        /// Who had it.
        from: NodeInfo,
    },
    /// The end of [`Command::GetItem`].
    ItemDone {
        /// What was looked for.
        key: ItemKey,
        /// The newest found.
        item: Option<Item>,
        /// Nodes that had this very item.
        copies: usize,
    },
    /// The end of [`Command::PutItem`].
    ItemStored {
        /// Where the item is found.
        key: ItemKey,
        /// Nodes that stored it.
        to: usize,
        /// What a node that refused said last: its error code (BEP 44) and text.
        refusal: Option<(i64, String)>,
    },
    /// One node's answer to [`Command::Sample`].
    Sampled {
        /// Where the lookup goes.
        target: NodeId,
        /// Who answered.
        from: NodeInfo,
        /// How long the node will give the same answer.
        interval: Duration,
        /// Info-hashes it stores.
        stored: u64,
        /// Some of them.
        samples: Vec<WireHash>,
    },
    /// The end of [`Command::Sample`].
    SampleDone {
        /// Where the lookup went.
        target: NodeId,
        /// Nodes that answered.
        answers: usize,
    },
    /// Nodes of the other family, named by a node of ours; told only under [`Command::WantBoth`].
    HeardOf {
        /// The nodes; none has proven that it is there.
        nodes: Vec<NodeInfo>,
    },
    /// Something happened in a lookup; told only when [`Settings::reports_steps`](crate::Settings::reports_steps).
    Step {
        /// Where the lookup goes.
        target: NodeId,
        /// The node concerned.
        node: NodeInfo,
        /// What happened.
        step: Step,
    },
    /// Our address as most of those we asked see it changed, and with it perhaps our id (BEP 42).
    AddressVoted {
        /// The address.
        ip: IpAddr,
        /// Our id from now on.
        id: NodeId,
    },
}

/// What happened to one node of a lookup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It was asked.
    Asked,
    /// It was asked once more.
    AskedAgain,
    /// It answered.
    Answered {
        /// Round-trip time.
        rtt: Duration,
        /// Nodes it named.
        nodes: usize,
        /// Peers it named.
        peers: usize,
    },
    /// Others are asked in its place; its answer would still count.
    Slow,
    /// It refused, or did not answer.
    Failed,
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
