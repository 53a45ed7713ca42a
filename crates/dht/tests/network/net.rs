//! A network of nodes in virtual time: seeded latency and loss, one event queue, no clock.

use core::net::SocketAddr;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_dht::{Announce, Command, Event, Family, Input, Node, NodeId, Output, Settings, compliant_id};
use unchoke_wire::WireHash;
use unchoke_wire::time::{Duration, Instant};

/// How the links behave.
#[derive(Clone, Copy)]
pub(crate) struct Links {
    /// Bounds of the one-way latency in milliseconds; a pair of hosts keeps its own.
    pub(crate) latency_ms: (u64, u64),
    /// Datagrams lost, in thousandths.
    pub(crate) loss_permille: u32,
}

pub(crate) const CALM: Links = Links { latency_ms: (5, 60), loss_permille: 0 };

pub(crate) struct Host {
    pub(crate) addr: SocketAddr,
    pub(crate) node: Node,
    pub(crate) is_up: bool,
    timer: Option<Instant>,
}

struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    /// Every event with its time and host.
    pub(crate) events: Vec<(Instant, usize, Event)>,
    /// Datagrams sent.
    pub(crate) sent: usize,
    /// Timers that ran out.
    pub(crate) timeouts: usize,
    /// A running hash of every datagram: time, endpoints, bytes.
    pub(crate) digest: u64,
    links: Links,
    rng: ChaCha8Rng,
    by_addr: BTreeMap<SocketAddr, usize>,
    packets: BTreeMap<(Instant, usize), Packet>,
    timers: BTreeSet<(Instant, usize)>,
}

impl Net {
    pub(crate) fn new(seed: u64, links: Links) -> Self {
        Net {
            now: Instant::from_micros(1_000_000),
            hosts: Vec::new(),
            events: Vec::new(),
            sent: 0,
            timeouts: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            links,
            rng: ChaCha8Rng::seed_from_u64(seed),
            by_addr: BTreeMap::new(),
            packets: BTreeMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Adds a host at `addr` with a random id that follows from it.
    pub(crate) fn add(&mut self, addr: SocketAddr) -> usize {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let mut id = NodeId([0; 20]);
        self.rng.fill_bytes(&mut id.0);
        let own_id = Some(compliant_id(addr.ip(), id));
        let family = if addr.is_ipv4() { Family::V4 } else { Family::V6 };
        let node = Node::new(Settings { own_id, ..Settings::new(family) }, seed, self.now);
        let at = self.hosts.len();
        self.hosts.push(Host { addr, node, is_up: true, timer: None });
        self.by_addr.insert(addr, at);
        self.command(at, Command::SetOwnAddresses(vec![addr]));
        at
    }

    /// Adds `n` hosts with global addresses, each joining by one that was there, 50 ms apart.
    pub(crate) fn grow(&mut self, n: usize) {
        for _ in 0..n {
            let at = self.add(global(self.hosts.len()));
            if at > 0 {
                let known = self.hosts[self.rng.random_range(0..at)].addr;
                self.command(at, Command::AddNode(known));
            }
            self.run_for(Duration::from_millis(50));
        }
    }

    pub(crate) fn command(&mut self, host: usize, command: Command) {
        self.input(host, Input::Command(command));
    }

    pub(crate) fn search(&mut self, host: usize, target: WireHash, port: Option<u16>) {
        let announce = port.map(|port| Announce { port, implied_port: false, is_seed: false });
        self.command(host, Command::Search { target, announce, is_urgent: true });
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let packet = self.packets.first_key_value().map(|((at, _), _)| *at);
            let timer = self.timers.first().map(|(at, _)| *at);
            let Some(next) = [packet, timer].into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if packet == Some(next) {
                let (_, packet) = self.packets.pop_first().expect("the first was seen");
                self.deliver(packet);
            } else {
                let (_, host) = self.timers.pop_first().expect("the first was seen");
                self.hosts[host].timer = None;
                self.timeouts += 1;
                self.input(host, Input::Timeout);
                assert!(
                    self.hosts[host].timer.is_none_or(|at| at > self.now),
                    "a timeout that was served must not ask for itself again"
                );
            }
        }
        self.now = end;
    }

    /// Peers `host` was told of for `target`, each once.
    pub(crate) fn peers_of(&self, host: usize, target: WireHash) -> BTreeSet<SocketAddr> {
        let mut all = BTreeSet::new();
        for (_, at, event) in &self.events {
            if let Event::PeersFound { target: t, peers } = event
                && (*at, *t) == (host, target)
            {
                all.extend(peers);
            }
        }
        all
    }

    /// Hosts that are up, the closest to `target` first.
    pub(crate) fn closest_up(&self, target: NodeId) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.hosts.len()).filter(|h| self.hosts[*h].is_up).collect();
        all.sort_unstable_by_key(|h| self.hosts[*h].node.id().distance(&target));
        all
    }

    pub(crate) fn random_key(&mut self) -> WireHash {
        let mut key = WireHash([0; 20]);
        self.rng.fill_bytes(&mut key.0);
        key
    }

    fn deliver(&mut self, packet: Packet) {
        if let Some(&host) = self.by_addr.get(&packet.to)
            && self.hosts[host].is_up
        {
            self.input(host, Input::Datagram { from: packet.from, bytes: &packet.bytes });
        }
    }

    fn input(&mut self, at: usize, input: Input<'_>) {
        if !self.hosts[at].is_up {
            return;
        }
        let host = &mut self.hosts[at];
        let outputs: Vec<Output> = host.node.handle(input, self.now).collect();
        let from = host.addr;
        host.timer.map(|old| self.timers.remove(&(old, at)));
        host.timer = host.node.next_timeout();
        host.timer.map(|new| self.timers.insert((new, at)));
        for output in outputs {
            match output {
                Output::Event(event) => self.events.push((self.now, at, event)),
                Output::Datagram { to, bytes } => self.transmit(from, to, bytes),
            }
        }
    }

    fn transmit(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        assert!(bytes.len() <= 1024, "{} bytes to {to}", bytes.len());
        self.sent += 1;
        let ends = format!("{:?} {from} {to}", self.now);
        for byte in ends.bytes().chain(bytes.iter().copied()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if self.rng.random_range(0..1000) < self.links.loss_permille {
            return;
        }
        let (low, high) = self.links.latency_ms;
        let pair = u64::from(from.port()) + u64::from(to.port()) + octets(from) + octets(to);
        let base = low + pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (high - low + 1);
        let jitter_us = self.rng.random_range(0..5000);
        let at = self.now + Duration::from_micros(base * 1000 + jitter_us);
        self.packets.insert((at, self.sent), Packet { from, to, bytes });
    }
}

fn octets(addr: SocketAddr) -> u64 {
    match addr.ip() {
        core::net::IpAddr::V4(ip) => u64::from(u32::from(ip)),
        core::net::IpAddr::V6(ip) => ip.octets().iter().map(|b| u64::from(*b)).sum(),
    }
}

/// Global address number `n`; each has a /24 of its own.
pub(crate) fn global(n: usize) -> SocketAddr {
    let [a, b] = u16::try_from(n).expect("networks here are small").to_be_bytes();
    SocketAddr::from(([20, a, b, 7], 6881))
}

/// Endpoint number `n` of many on loopback.
pub(crate) fn loopback(n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::try_from(n).expect("networks here are small")))
}

/// IPv6 address number `n`; each has a /64 of its own.
pub(crate) fn global_v6(n: usize) -> SocketAddr {
    let n = u16::try_from(n).expect("networks here are small");
    SocketAddr::from(([0x2a00, 1, 2, n, 0, 0, 0, 1], 6881))
}
