//! A large network as it is at one moment: what each of its nodes knows is derived from a seed when it is asked. The
//! node under test is real; what it sends and receives is real bytes.

use core::net::SocketAddr;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_dht::{Announce, Command, Event, Family, Input, Node, NodeId, NodeInfo, Output, Settings};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{Kind, Message, Method, Response};
use unchoke_wire::time::{Duration, Instant};

/// What a node of the network does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    Honest,
    /// Known to others, but gone.
    Dead,
    /// Answers pings and leads others on, but stores and tells no peers.
    Dropper,
    /// Tells of nodes around the target that do not exist.
    Liar,
    /// Tells peers that do not exist, as many as it can.
    Poisoner,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) info: NodeInfo,
    pub(crate) manner: Manner,
}

/// The network.
pub(crate) struct World {
    /// By id.
    members: Vec<Member>,
    by_addr: BTreeMap<SocketAddr, usize>,
    seed: u64,
    /// Who stores what.
    stored: BTreeMap<(usize, NodeId), BTreeSet<SocketAddr>>,
    pub(crate) rng: ChaCha8Rng,
}

pub(crate) const RTT_MEDIAN_S: f64 = 0.080;
pub(crate) const RTT_SIGMA: f64 = 0.9;
/// Datagrams lost, in thousandths.
pub(crate) const LOSS_PERMILLE: u32 = 20;

impl World {
    /// `live` honest nodes with an address and site of their own each, and as many dead ones as make `dead_percent` of
    /// all that are known.
    pub(crate) fn new(seed: u64, live: usize, dead_percent: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let all = live * 100 / (100 - dead_percent);
        let members = (0..all).map(|n| {
            let manner = if n < live { Manner::Honest } else { Manner::Dead };
            Member { info: NodeInfo { id: random_id(&mut rng), addr: address(n) }, manner }
        });
        let members = members.collect();
        let mut world = World { members, by_addr: BTreeMap::new(), seed, stored: BTreeMap::new(), rng };
        world.index();
        world
    }

    /// Adds members.
    pub(crate) fn join(&mut self, members: impl IntoIterator<Item = Member>) {
        assert!(self.stored.is_empty(), "numbers change");
        self.members.extend(members);
        self.index();
    }

    pub(crate) fn random_key(&mut self) -> NodeId {
        random_id(&mut self.rng)
    }

    /// The live members closest to `target`, closest first.
    pub(crate) fn closest_live(&self, target: NodeId, n: usize) -> Vec<Member> {
        for bits in (0..=60).rev() {
            let range = self.sharing(&target, bits);
            let live = || self.members[range.clone()].iter().filter(|m| m.manner != Manner::Dead);
            if bits == 0 || live().count() >= n {
                let mut live: Vec<Member> = live().copied().collect();
                live.sort_unstable_by_key(|m| m.info.id.distance(&target));
                live.truncate(n);
                return live;
            }
        }
        Vec::new()
    }

    /// Up to `n` nodes closest to `target` that a node with this id knows; each bucket is a random choice.
    pub(crate) fn known_to(&self, id: &NodeId, target: &NodeId, n: usize) -> Vec<NodeInfo> {
        let home = id.distance(target).shared_bits();
        let depth = 40;
        let groups = core::iter::once(home..home + 1)
            .chain(core::iter::once(home + 1..depth))
            .chain((0..home).rev().map(|b| b..b + 1));
        let mut found: Vec<NodeInfo> = Vec::new();
        for group in groups {
            if found.len() >= n {
                break;
            }
            let from = found.len();
            for bucket in group {
                let members = self.bucket(id, bucket);
                let is_last = members.is_empty() && self.sharing(id, bucket).len() <= 1;
                found.extend(members.into_iter().map(|m| m.info));
                if is_last {
                    break;
                }
            }
            found[from..].sort_unstable_by_key(|node| node.id.distance(target));
        }
        found.truncate(n);
        found
    }

    /// The members of one bucket of the node with this id.
    pub(crate) fn bucket(&self, id: &NodeId, bucket: usize) -> Vec<Member> {
        let capacity = [128, 64, 32, 16].get(bucket).copied().unwrap_or(8);
        let (own, deeper) = (self.sharing(id, bucket), self.sharing(id, bucket + 1));
        // those that share exactly so many bits lie before or behind those that share more
        let range = if deeper.start > own.start { own.start..deeper.start } else { deeper.end..own.end };
        if range.len() <= capacity {
            return self.members[range].iter().filter(|m| m.info.id != *id).copied().collect();
        }
        let mut head = [0; 8];
        head.copy_from_slice(&id.0[8..16]);
        let seed = self.seed ^ u64::from_be_bytes(head) ^ (bucket as u64) << 56;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let chosen: BTreeSet<usize> = (0..capacity).map(|_| rng.random_range(range.clone())).collect();
        chosen.into_iter().map(|at| self.members[at]).collect()
    }

    fn index(&mut self) {
        self.members.sort_unstable_by_key(|m| m.info.id);
        self.by_addr = self.members.iter().enumerate().map(|(at, m)| (m.info.addr, at)).collect();
    }

    /// The members that share so many leading bits with `id`.
    fn sharing(&self, id: &NodeId, bits: usize) -> core::ops::Range<usize> {
        let (mut low, mut high) = (*id, *id);
        for bit in bits..160 {
            low.0[bit / 8] &= !(0x80 >> (bit % 8));
            high.0[bit / 8] |= 0x80 >> (bit % 8);
        }
        let from = self.members.partition_point(|m| m.info.id < low);
        from..from + self.members[from..].partition_point(|m| m.info.id <= high)
    }

    /// What the member at `to` answers, if it does.
    fn answer(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let at = *self.by_addr.get(&to)?;
        let Member { info, manner } = self.members[at];
        if manner == Manner::Dead {
            return None;
        }
        let message = Message::decode(bytes).expect("the node sends KRPC");
        let Kind::Query(query) = message.kind else { return None };
        let mut response = Response::new(info.id);
        match query.method {
            Method::FindNode { target } => response.nodes = Some(self.nodes_of(at, target)),
            Method::GetPeers { info_hash, .. } => {
                response.nodes = Some(self.nodes_of(at, info_hash));
                response.token = Some(b"1234".to_vec());
                response.values = match manner {
                    Manner::Honest => {
                        self.stored.get(&(at, info_hash)).into_iter().flatten().copied().collect()
                    }
                    Manner::Poisoner => (0..5000).map(|n| ([66, 66, 66, 66], 1000 + n).into()).collect(),
                    _ => Vec::new(),
                };
            }
            Method::Get { target, .. } => {
                response.nodes = Some(self.nodes_of(at, target));
                response.token = Some(b"1234".to_vec());
            }
            Method::AnnouncePeer { info_hash, port, .. } => {
                let peer = SocketAddr::new(from.ip(), port);
                self.stored.entry((at, info_hash)).or_default().insert(peer);
            }
            _ => {}
        }
        let kind = Kind::Response(response);
        Some(
            Message { transaction: message.transaction, kind, version: None, is_read_only: false, ip: None }
                .encode(),
        )
    }

    fn nodes_of(&mut self, at: usize, target: NodeId) -> Vec<NodeInfo> {
        let Member { info, manner } = self.members[at];
        if manner != Manner::Liar {
            return self.known_to(&info.id, &target, 8);
        }
        (0..20)
            .map(|_| {
                let mut id = random_id(&mut self.rng);
                id.0[..8].copy_from_slice(&target.0[..8]);
                let (a, b) = (self.rng.random_range(60..90), self.rng.random());
                NodeInfo { id, addr: ([a, b, self.rng.random(), 1], 6881).into() }
            })
            .collect()
    }
}

/// A real node in the world.
pub(crate) struct Asker {
    pub(crate) node: Node,
    pub(crate) addr: SocketAddr,
    pub(crate) now: Instant,
    pub(crate) sent: usize,
    /// When each datagram was sent.
    pub(crate) sent_at: Vec<Instant>,
    arriving: BTreeMap<(Instant, usize), (SocketAddr, Vec<u8>)>,
}

impl Asker {
    /// A node whose table is as full as its place in the world lets it be.
    pub(crate) fn new(world: &mut World, n: usize) -> Self {
        let now = Instant::from_micros(3_600_000_000);
        let id = random_id(&mut world.rng);
        let mut seed = [0; 32];
        world.rng.fill_bytes(&mut seed);
        let settings = Settings { own_id: Some(id), ..Settings::new(Family::V4) };
        let mut table = Vec::new();
        for bucket in 0..40 {
            for member in world.bucket(&id, bucket) {
                let ago = Duration::from_secs(world.rng.random_range(0..13 * 60));
                table.push((member.info, ago, rtt(&mut world.rng)));
            }
        }
        let addr = SocketAddr::from(([9, 9, u8::try_from(n % 250).expect("small"), 9], 6881));
        let node = Node::warm(settings, seed, now, table);
        Asker { node, addr, now, sent: 0, sent_at: Vec::new(), arriving: BTreeMap::new() }
    }

    pub(crate) fn search(&mut self, world: &mut World, target: NodeId, port: Option<u16>) -> Vec<Event> {
        let announce = port.map(|port| Announce { port, implied_port: false, is_seed: false });
        self.command(world, Command::Search { target: WireHash::from(target), announce, is_urgent: true })
    }

    pub(crate) fn command(&mut self, world: &mut World, command: Command) -> Vec<Event> {
        self.input(world, Input::Command(command))
    }

    /// Runs until `end` or an event that `is_last`; hands out all events with their time.
    pub(crate) fn run(
        &mut self,
        world: &mut World,
        time: Duration,
        is_last: impl Fn(&Event) -> bool,
    ) -> Vec<(Instant, Event)> {
        let (end, mut events) = (self.now + time, Vec::new());
        loop {
            let packet = self.arriving.first_key_value().map(|((at, _), _)| *at);
            let Some(next) =
                [packet, self.node.next_timeout()].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                self.now = end;
                return events;
            };
            self.now = self.now.max(next);
            let news = if packet == Some(next) {
                let (_, (from, bytes)) = self.arriving.pop_first().expect("the first was seen");
                self.input(world, Input::Datagram { from, bytes: &bytes })
            } else {
                self.input(world, Input::Timeout)
            };
            let is_end = news.iter().any(&is_last);
            events.extend(news.into_iter().map(|e| (self.now, e)));
            if is_end {
                return events;
            }
        }
    }

    fn input(&mut self, world: &mut World, input: Input<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        for output in self.node.handle(input, self.now) {
            match output {
                Output::Event(event) => events.push(event),
                Output::Datagram { to, bytes } => {
                    self.sent += 1;
                    self.sent_at.push(self.now);
                    let is_lost = |rng: &mut ChaCha8Rng| rng.random_range(0..1000) < LOSS_PERMILLE;
                    if is_lost(&mut world.rng) {
                        continue;
                    }
                    let Some(answer) = world.answer(self.addr, to, &bytes) else { continue };
                    let at = self.now + rtt(&mut world.rng);
                    if !is_lost(&mut world.rng) {
                        self.arriving.insert((at, self.sent), (to, answer));
                    }
                }
            }
        }
        events
    }
}

pub(crate) fn random_id(rng: &mut ChaCha8Rng) -> NodeId {
    let mut id = NodeId([0; 20]);
    rng.fill_bytes(&mut id.0);
    id
}

/// A lognormal round-trip time.
fn rtt(rng: &mut ChaCha8Rng) -> Duration {
    let (a, b): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    let normal = (-2.0 * a.ln()).sqrt() * (core::f64::consts::TAU * b).cos();
    Duration::from_secs_f64(RTT_MEDIAN_S * (RTT_SIGMA * normal).exp())
}

/// Global address number `n`; each has a /24 of its own.
pub(crate) fn address(n: usize) -> SocketAddr {
    let [_, a, b, c] = u32::try_from(n).expect("fewer than two millions").to_be_bytes();
    SocketAddr::from(([20 + a, b, c, 7], 6881))
}
