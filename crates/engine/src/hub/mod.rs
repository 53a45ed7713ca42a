//! One session's shared parts: routing of accepted connections and datagrams, and the DHT.

mod accept;
mod contract;
mod local;

pub use contract::{HubEvent, HubInput, HubOutput, HubSettings};

use crate::id::{RequestId, ShardId, Ticket, TorrentId};
use crate::input::PeerSource;
use crate::lsd;
use crate::output::HubCommand;
use accept::{Accepting, Verdict};
use core::net::{IpAddr, SocketAddr};
use local::Local;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, VecDeque};
use unchoke_dht as dht;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::scope::{self, Teller};
use unchoke_wire::time::Instant;
use unchoke_wire::{HostPort, WireHash};

/// Names of DHT nodes being resolved at once; more are left out.
const RESOLVING_MAX: usize = 256;

/// Where the connections and peers of a swarm belong.
#[derive(Clone, Copy, Debug)]
struct Owner {
    shard: ShardId,
    torrent: TorrentId,
}

/// What a name is resolved for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    port: u16,
    is_router: bool,
}

/// The shared parts of a session.
#[derive(Debug)]
pub struct Hub {
    settings: HubSettings,
    accepting: Accepting,
    /// Torrents that take connections.
    owners: BTreeMap<WireHash, Owner>,
    /// Torrents that search the DHT, and whether they want peers.
    searches: BTreeMap<WireHash, (Owner, bool)>,
    nodes: Vec<dht::Node>,
    local: Local,
    resolving: BTreeMap<RequestId, Wanted>,
    next_request: u64,
    out: VecDeque<HubOutput>,
}

/// What to do, in order.
#[derive(Debug)]
pub struct HubOutputs<'h>(&'h mut VecDeque<HubOutput>);

impl Iterator for HubOutputs<'_> {
    type Item = HubOutput;

    fn next(&mut self) -> Option<HubOutput> {
        self.0.pop_front()
    }
}

impl Hub {
    /// A hub that knows no torrents. `seed` fixes every random choice it will make.
    pub fn new(settings: HubSettings, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let families = [(settings.dht_v4, dht::Family::V4), (settings.dht_v6, dht::Family::V6)];
        let nodes = families.into_iter().filter(|(on, _)| *on).map(|(_, family)| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            let (is_read_only, reports_steps) = (settings.is_dht_read_only, settings.reports_dht_steps);
            let settings = dht::Settings { is_read_only, reports_steps, ..dht::Settings::new(family) };
            dht::Node::new(settings, seed, now)
        });
        let nodes = nodes.collect();
        let mut hub = Hub {
            accepting: Accepting::default(),
            owners: BTreeMap::new(),
            searches: BTreeMap::new(),
            nodes,
            local: Local::new(&settings, &mut rng, now),
            resolving: BTreeMap::new(),
            next_request: 0,
            out: VecDeque::new(),
            settings,
        };
        for (id, addr) in core::mem::take(&mut hub.settings.saved_nodes) {
            hub.dht_command(addr, dht::Command::AddSaved(NodeInfo { id: NodeId(id), addr }), now);
        }
        for host in core::mem::take(&mut hub.settings.nodes) {
            hub.dht_host(&host, false, now);
        }
        for host in core::mem::take(&mut hub.settings.routers) {
            hub.dht_host(&host, true, now);
        }
        hub
    }

    /// Takes one input at `now` and says what to do.
    pub fn handle(&mut self, input: HubInput<'_>, now: Instant) -> HubOutputs<'_> {
        match input {
            HubInput::Timeout => self.timeout(now),
            HubInput::Accepted { ticket, remote } => {
                if let Some(ticket) = self.accepting.accept(ticket, remote, now) {
                    self.out.push_back(HubOutput::Drop { ticket });
                }
            }
            HubInput::AcceptedBytes { ticket, bytes } => self.accepted_bytes(ticket, bytes),
            HubInput::AcceptedClosed { ticket } => self.accepting.closed(ticket),
            HubInput::Datagram { from, bytes } => self.datagram(from, bytes, now),
            HubInput::Unreachable { to } => {
                self.dht_command(to, dht::Command::ReportUnreachable(to), now);
            }
            HubInput::LsdDatagram { from, is_on_link, bytes } => {
                self.lsd(lsd::Input::Datagram { from, is_on_link, bytes }, now);
            }
            HubInput::Resolved { request, addresses } => self.resolved(request, addresses, now),
            HubInput::Engine { shard, command } => self.engine_command(shard, command, now),
            HubInput::Dht(command) => match named_address(&command) {
                Some(addr) => self.dht_command(addr, command, now),
                None => self.dht_all(&command, now),
            },
            HubInput::SaveDht => {
                let infos = self.nodes.iter().flat_map(dht::Node::nodes_to_save);
                let nodes = infos.map(|n| (n.id.0, n.addr)).collect();
                self.out.push_back(HubOutput::Event(HubEvent::DhtNodes { nodes }));
            }
        }
        HubOutputs(&mut self.out)
    }

    /// When to call [`handle`](Self::handle) with [`HubInput::Timeout`], if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let nodes = self.nodes.iter().filter_map(dht::Node::next_timeout).min();
        [self.accepting.next_timeout(), nodes, self.local.next_timeout()].into_iter().flatten().min()
    }

    /// The DHT node of each family the session has.
    pub fn dht_nodes(&self) -> &[dht::Node] {
        &self.nodes
    }

    fn timeout(&mut self, now: Instant) {
        for ticket in self.accepting.expired(now) {
            self.out.push_back(HubOutput::Drop { ticket });
        }
        self.lsd_timeout(now);
        for i in 0..self.nodes.len() {
            if self.nodes[i].next_timeout().is_some_and(|at| at <= now) {
                self.dht(i, dht::Input::Timeout, now);
            }
        }
    }

    fn accepted_bytes(&mut self, ticket: Ticket, bytes: &[u8]) {
        match self.accepting.received(ticket, bytes) {
            Verdict::Wait => {}
            Verdict::Other(_) => self.out.push_back(HubOutput::Drop { ticket }),
            Verdict::Names(prefix, received) => {
                let output = match self.owners.get(&prefix.info_hash) {
                    Some(o) => HubOutput::Route { ticket, shard: o.shard, torrent: o.torrent, received },
                    None => HubOutput::Drop { ticket },
                };
                self.out.push_back(output);
            }
        }
    }

    /// One port serves the DHT and UDP trackers: DHT messages are bencoded dictionaries, tracker replies begin with
    /// an action below 4, and the top byte of their transaction id names the engine that asked.
    fn datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        match bytes {
            [b'd', ..] => {
                if let Some(i) = self.node_for(from) {
                    self.dht(i, dht::Input::Datagram { from, bytes }, now);
                }
            }
            [0, 0, 0, 0..=3, shard, ..] => {
                let shard = ShardId(*shard);
                self.out.push_back(HubOutput::TrackerDatagram { shard, from, bytes: bytes.to_vec() });
            }
            _ => {}
        }
    }

    fn engine_command(&mut self, shard: ShardId, command: HubCommand, now: Instant) {
        match command {
            HubCommand::Register { torrent, hash } => {
                self.owners.insert(hash, Owner { shard, torrent });
            }
            HubCommand::Unregister { hash } => {
                self.owners.remove(&hash);
            }
            HubCommand::DhtSearch { torrent, hash, is_seed, wants_peers } => {
                self.searches.insert(hash, (Owner { shard, torrent }, wants_peers));
                let port = self.settings.listen_port;
                let announce = dht::Announce { port, implied_port: false, is_seed };
                let announce = Some(announce).filter(|_| port != 0);
                self.dht_all(&dht::Command::Search { target: hash, announce, is_urgent: wants_peers }, now);
            }
            HubCommand::DhtStop { hash } => {
                if self.searches.remove(&hash).is_some() {
                    self.dht_all(&dht::Command::StopSearch { target: hash }, now);
                }
            }
            HubCommand::LsdAnnounce { torrent, hashes } => {
                self.lsd_announce(Owner { shard, torrent }, &hashes, now);
            }
            HubCommand::LsdStop { hashes } => self.lsd_stop(&hashes, now),
            HubCommand::DhtNode { host, port } => {
                if let Ok(host) = HostPort::new(&host, port) {
                    self.dht_host(&host, false, now);
                }
            }
        }
    }

    /// A node or router that was named: asked at once when it is an address, after its name is resolved otherwise.
    fn dht_host(&mut self, host: &HostPort, is_router: bool, now: Instant) {
        let wanted = Wanted { port: host.port(), is_router };
        match host.ip() {
            Some(ip) => self.dht_addr(ip, wanted, now),
            None if self.resolving.len() < RESOLVING_MAX && !self.nodes.is_empty() => {
                self.next_request += 1;
                let request = RequestId(self.next_request);
                self.resolving.insert(request, wanted);
                self.out.push_back(HubOutput::Resolve { request, host: host.host().to_owned() });
            }
            None => {}
        }
    }

    fn resolved(&mut self, request: RequestId, addresses: &[IpAddr], now: Instant) {
        if let Some(wanted) = self.resolving.remove(&request) {
            addresses.iter().for_each(|ip| self.dht_addr(*ip, wanted, now));
        }
    }

    fn dht_addr(&mut self, ip: IpAddr, wanted: Wanted, now: Instant) {
        let addr = SocketAddr::new(ip.to_canonical(), wanted.port);
        if !scope::may_use(addr, Teller::Torrent) {
            return;
        }
        let command =
            if wanted.is_router { dht::Command::AddRouter(addr) } else { dht::Command::AddNode(addr) };
        self.dht_command(addr, command, now);
    }

    fn node_for(&self, addr: SocketAddr) -> Option<usize> {
        let family = if addr.is_ipv4() { dht::Family::V4 } else { dht::Family::V6 };
        self.nodes.iter().position(|n| n.family() == family)
    }

    /// A command that concerns an address, for the node of its family.
    fn dht_command(&mut self, addr: SocketAddr, command: dht::Command, now: Instant) {
        if let Some(i) = self.node_for(addr) {
            self.dht(i, dht::Input::Command(command), now);
        }
    }

    fn dht_all(&mut self, command: &dht::Command, now: Instant) {
        for i in 0..self.nodes.len() {
            self.dht(i, dht::Input::Command(command.clone()), now);
        }
    }

    fn dht(&mut self, node: usize, input: dht::Input<'_>, now: Instant) {
        let Hub { nodes, searches, out, .. } = self;
        let is_v6 = nodes[node].family() == dht::Family::V6;
        for output in nodes[node].handle(input, now) {
            match output {
                dht::Output::Datagram { to, bytes } => out.push_back(HubOutput::Datagram { to, bytes }),
                dht::Output::Event(event) => {
                    if let dht::Event::AddressVoted { ip, .. } = &event {
                        out.push_back(HubOutput::OwnAddress { ip: *ip });
                    }
                    out.extend(told_of(searches, event, is_v6));
                }
            }
        }
    }
}

/// What to tell of an event of a DHT node: peers to the torrent that wants them, all else to the owner.
fn told_of(
    searches: &BTreeMap<WireHash, (Owner, bool)>,
    event: dht::Event,
    is_v6: bool,
) -> Option<HubOutput> {
    let event = match event {
        dht::Event::PeersFound { target, peers } if searches.contains_key(&target) => {
            let (Owner { shard, torrent }, wants_peers) = searches.get(&target).copied()?;
            let source = PeerSource::Dht;
            return wants_peers.then_some(HubOutput::Peers { shard, torrent, source, peers });
        }
        dht::Event::SearchDone { target, peers_found, .. } if searches.contains_key(&target) => {
            HubEvent::DhtSearched { hash: target, peers: peers_found }
        }
        dht::Event::Announced { target, to } if searches.contains_key(&target) => {
            HubEvent::DhtAnnounced { hash: target, nodes: to }
        }
        dht::Event::Bootstrapped { good_nodes } => HubEvent::DhtReady { is_v6, nodes: good_nodes },
        event => HubEvent::Dht { is_v6, event },
    };
    Some(HubOutput::Event(event))
}

/// The address a command is about.
fn named_address(command: &dht::Command) -> Option<SocketAddr> {
    match command {
        dht::Command::AddNode(addr)
        | dht::Command::AddRouter(addr)
        | dht::Command::AddSaved(NodeInfo { addr, .. })
        | dht::Command::Ping(addr)
        | dht::Command::ReportUnreachable(addr) => Some(*addr),
        _ => None,
    }
}
