//! Hubs on a network without time or sockets of its own: datagrams take a moment, and only living hosts answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use unchoke_engine::hub::{DhtState, Hub, HubEvent, HubInput, HubOutput, HubSettings};
use unchoke_engine::id::RequestId;
use unchoke_engine::output::HubCommand;
use unchoke_engine::{ShardId, TorrentId};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{HostPort, WireHash};

/// How long a datagram takes.
const DELAY: Duration = Duration::from_millis(25);

/// The network.
#[derive(Default)]
pub struct Net {
    pub now: Instant,
    hosts: BTreeMap<SocketAddr, Host>,
    /// Where datagrams vanish.
    pub dead: BTreeSet<SocketAddr>,
    /// Datagrams on their way: when they arrive, their number, from, to.
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    count: u64,
    /// What each name resolves to; others fail.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// IPv6 addresses, and by which IPv4 address the host that has both is known; and the other way round.
    pairs: BTreeMap<SocketAddr, SocketAddr>,
}

struct Host {
    hub: Hub,
    seen: Seen,
}

/// What one host has done so far.
#[derive(Default)]
pub struct Seen {
    /// Datagrams sent, by second.
    pub sent: BTreeMap<u64, usize>,
    /// To whom.
    pub asked: BTreeSet<SocketAddr>,
    pub events: Vec<HubEvent>,
    pub peers: Vec<SocketAddr>,
    /// Names asked for, and when.
    pub resolved: Vec<(Instant, String)>,
}

/// An address of its own network for every `n`.
pub fn addr(n: u16) -> SocketAddr {
    let [a, b] = n.to_be_bytes();
    SocketAddr::from(([60, a, b, 9], 6881))
}

/// Settings of a hub with IPv4 alone, that begins at `nodes`.
pub fn settings(nodes: impl IntoIterator<Item = SocketAddr>) -> HubSettings {
    let nodes = nodes.into_iter().map(|n| HostPort::new(&n.ip().to_string(), n.port()).unwrap());
    HubSettings {
        dht_v4: true,
        dht_v6: false,
        lsd_v4: false,
        lsd_v6: false,
        is_dht_read_only: false,
        reports_dht_steps: false,
        listen_port: 6881,
        saved: DhtState::default(),
        nodes: nodes.collect(),
        routers: Vec::new(),
    }
}

pub fn hash(n: u32) -> WireHash {
    let mut hash = [0; 20];
    // spread over the id space as real ones are
    for (at, byte) in (0..).zip(&mut hash) {
        let mixed = (u64::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(at * 9);
        *byte = mixed.to_be_bytes()[usize::try_from(at % 8).unwrap()];
    }
    WireHash(hash)
}

impl Net {
    /// `count` hosts that all begin at the first, after they have found each other.
    pub fn of(count: u16) -> Net {
        let mut net = Net::default();
        for n in 0..count {
            net.join(addr(n), settings([addr(0)].into_iter().filter(|_| n > 0)));
            net.run(Duration::from_millis(100));
        }
        net.run(Duration::from_secs(30));
        net
    }

    pub fn join(&mut self, at: SocketAddr, settings: HubSettings) {
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&match at.ip() {
            IpAddr::V4(ip) => ip.octets(),
            IpAddr::V6(_) => [6; 4],
        });
        seed[4..12].copy_from_slice(&self.now.as_micros().to_be_bytes());
        let hub = Hub::new(settings, seed, self.now);
        self.hosts.insert(at, Host { hub, seen: Seen::default() });
        // what it wants of the beginning
        self.input(at, HubInput::Timeout);
    }

    /// Gives the host at `v4` an IPv6 address, too.
    pub fn pair(&mut self, v4: SocketAddr, v6: SocketAddr) {
        self.pairs.insert(v4, v6);
        self.pairs.insert(v6, v4);
    }

    pub fn leave(&mut self, at: SocketAddr) -> Option<DhtState> {
        self.input(at, HubInput::SaveDht);
        let host = self.hosts.remove(&at)?;
        host.seen.events.into_iter().rev().find_map(|event| match event {
            HubEvent::DhtState(state) => Some(state),
            _ => None,
        })
    }

    pub fn hub(&self, at: SocketAddr) -> &Hub {
        &self.hosts[&at].hub
    }

    pub fn seen(&mut self, at: SocketAddr) -> &mut Seen {
        &mut self.hosts.get_mut(&at).expect("it joined").seen
    }

    pub fn good_nodes(&self, at: SocketAddr) -> usize {
        self.hub(at).dht_nodes()[0].good_node_count()
    }

    pub fn search(&mut self, at: SocketAddr, hash: WireHash, is_seed: bool) {
        let (torrent, wants_peers) = (TorrentId::default(), true);
        let command = HubCommand::DhtSearch { torrent, hash, is_seed, wants_peers };
        self.input(at, HubInput::Engine { shard: ShardId(0), command });
    }

    pub fn input(&mut self, at: SocketAddr, input: HubInput<'_>) {
        let Some(host) = self.hosts.get_mut(&at) else { return };
        let mut asked = Vec::new();
        for output in host.hub.handle(input, self.now) {
            match output {
                HubOutput::Datagram { to, bytes } => {
                    *host.seen.sent.entry(self.now.as_micros() / 1_000_000).or_default() += 1;
                    host.seen.asked.insert(to);
                    self.count += 1;
                    let from = if to.is_ipv4() { Some(&at) } else { self.pairs.get(&at) };
                    let Some(from) = from else { continue };
                    self.flying.insert((self.now + DELAY, self.count), (*from, to, bytes));
                }
                HubOutput::Event(event) => host.seen.events.push(event),
                HubOutput::Peers { peers, .. } => host.seen.peers.extend(peers),
                HubOutput::Resolve { request, host: name } => {
                    host.seen.resolved.push((self.now, name.clone()));
                    asked.push((request, self.names.get(&name).cloned().unwrap_or_default()));
                }
                _ => {}
            }
        }
        for (request, addresses) in asked {
            self.resolved(at, request, &addresses);
        }
    }

    fn resolved(&mut self, at: SocketAddr, request: RequestId, addresses: &[IpAddr]) {
        self.input(at, HubInput::Resolved { request, addresses });
    }

    /// Lets `time` pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.flying.keys().next().map(|(at, _)| *at);
            let timer = self.hosts.iter().filter_map(|(addr, h)| Some((h.hub.next_timeout()?, *addr))).min();
            match (arrival, timer) {
                (Some(at), timer) if at <= end && timer.is_none_or(|(due, _)| at <= due) => {
                    self.now = self.now.max(at);
                    let (_, (from, to, bytes)) = self.flying.pop_first().expect("it was just seen");
                    if !self.dead.contains(&to) && !self.dead.contains(&from) {
                        let at = if to.is_ipv4() { to } else { self.pairs.get(&to).copied().unwrap_or(to) };
                        self.input(at, HubInput::Datagram { from, bytes: &bytes });
                    }
                }
                (_, Some((due, addr))) if due <= end => {
                    self.now = self.now.max(due);
                    self.input(addr, HubInput::Timeout);
                }
                _ => break,
            }
        }
        self.now = end;
    }
}
