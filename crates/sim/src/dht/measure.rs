//! One lookup as an observer at the asker's line sees it.

use super::population::is_compliant;
use core::net::SocketAddr;
use std::collections::BTreeMap;
use unchoke_dht::{NodeId, NodeInfo};
use unchoke_wire::krpc::{Kind, Message, Method};
use unchoke_wire::scope;
use unchoke_wire::time::{Duration, Instant};

/// What came of one lookup.
#[derive(Clone, PartialEq, Debug)]
pub struct Lookup {
    /// When it began, since the beginning of the run.
    pub began: Duration,
    /// Time until the first peer that was really announced.
    pub first: Option<Duration>,
    /// Time until the round ended; `None` when it was given up.
    pub done: Option<Duration>,
    /// Queries sent, retransmissions included.
    pub queries: u32,
    /// Answers it took to hear of the closest node that answered, and one more for that node's own.
    pub hops: u32,
    /// Of the eight live nodes closest to the key, how many were found.
    pub recall: u32,
    /// Of the closest nodes found, at most eight, how many are an attacker's.
    pub captured: u32,
    /// Peers told that nobody announced.
    pub false_peers: u32,
    /// Payload bytes the asker sent and received meanwhile.
    pub bytes: u64,
    /// Time since the peers of the key were last announced.
    pub age: Duration,
}

impl Lookup {
    /// Whether an announced peer was found.
    pub fn is_found(&self) -> bool {
        self.first.is_some()
    }
}

/// Nodes named in the replies to lookups, and what is wrong with them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Served {
    /// Nodes named.
    pub nodes: u64,
    /// That are silent for good, or never were.
    pub dead: u64,
    /// Whose id does not fit their address (BEP 42).
    pub not_compliant: u64,
    /// An attacker's.
    pub hostile: u64,
    /// In the site of another node of the same reply.
    pub same_site: u64,
}

impl Served {
    pub(super) fn add(&mut self, other: Served) {
        self.nodes += other.nodes;
        self.dead += other.dead;
        self.not_compliant += other.not_compliant;
        self.hostile += other.hostile;
        self.same_site += other.same_site;
    }
}

/// A lookup under way.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) target: NodeId,
    pub(super) started: Instant,
    pub(super) first: Option<Instant>,
    pub(super) false_peers: u32,
    pub(super) queries: u32,
    pub(super) bytes: u64,
    pub(super) served: Served,
    /// Hops to the nodes heard of.
    depths: BTreeMap<SocketAddr, u32>,
}

impl Probe {
    /// Begins with the nodes the asker knows.
    pub(super) fn new(target: NodeId, started: Instant, known: impl Iterator<Item = SocketAddr>) -> Self {
        Probe {
            target,
            started,
            first: None,
            false_peers: 0,
            queries: 0,
            bytes: 0,
            served: Served::default(),
            depths: known.map(|addr| (addr, 1)).collect(),
        }
    }

    /// Hops to a node.
    pub(super) fn depth(&self, addr: &SocketAddr) -> u32 {
        self.depths.get(addr).copied().unwrap_or(1)
    }

    /// Takes note of what the asker sends.
    pub(super) fn on_sent(&mut self, bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).expect("a datagram");
        if let Ok(Message { kind: Kind::Query(query), .. }) = Message::decode(bytes)
            && let Method::GetPeers { info_hash, .. } = query.method
            && info_hash == self.target
        {
            self.queries += 1;
        }
    }

    /// Takes note of what the asker receives; `judge` knows the truth about nodes.
    pub(super) fn on_received(&mut self, from: SocketAddr, bytes: &[u8], judge: impl Fn(&NodeInfo) -> Truth) {
        self.bytes += u64::try_from(bytes.len()).expect("a datagram");
        let Ok(Message { kind: Kind::Response(response), .. }) = Message::decode(bytes) else { return };
        let nodes = response.nodes.unwrap_or_default();
        let depth = self.depth(&from) + 1;
        for (at, node) in nodes.iter().enumerate() {
            self.depths.entry(node.addr).or_insert(depth);
            let (ip, truth) = (node.addr.ip(), judge(node));
            let shares = nodes[..at].iter().any(|other| scope::share_site(other.addr.ip(), ip));
            self.served.add(Served {
                nodes: 1,
                dead: u64::from(!truth.is_live),
                not_compliant: u64::from(!is_compliant(&node.id, ip)),
                hostile: u64::from(truth.is_hostile),
                same_site: u64::from(shares),
            });
        }
    }
}

/// What a node that was named is in truth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Truth {
    pub(super) is_live: bool,
    pub(super) is_hostile: bool,
}
