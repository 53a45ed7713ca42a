//! The hub's DHT: a node for each address family, what torrents want of them, and how they find their first nodes.
//!
//! Saved nodes are asked first, beside those that are named: by the user, a torrent's `nodes`, a magnet, a peer's PORT
//! message. Routers are asked when these do not do.

use super::contract::{DhtState, HubEvent, HubOutput, HubSettings};
use super::names::{Names, Wanted};
use super::{Hub, Owner};
use crate::id::RequestId;
use crate::input::PeerSource;
use core::net::{IpAddr, SocketAddr};
use rand::Rng;
use std::collections::BTreeMap;
use unchoke_dht as dht;
use unchoke_wire::krpc::NodeInfo;
use unchoke_wire::scope::{self, Teller};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{HostPort, WireHash};

/// Good nodes of a family with which it needs no more names.
const ENOUGH: usize = 8;
/// How long saved and named nodes have before routers are asked.
const ROUTER_PAUSE: Duration = Duration::from_secs(3);
/// Addresses taken of one name: a stranger's name does not make us knock at many doors.
const ADDRESSES_MAX: usize = 8;

/// What a torrent wants of the DHT.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// The torrent.
    pub(super) owner: Owner,
    /// Whether it has everything.
    pub(super) is_seed: bool,
    /// Whether it wants peers, or only to be found.
    pub(super) wants_peers: bool,
}

/// The nodes, and those they work for.
#[derive(Debug)]
pub(super) struct DhtPart {
    nodes: Vec<dht::Node>,
    searches: BTreeMap<WireHash, Search>,
    names: Names,
    /// What an earlier run left, for the families that hear of nobody in this one.
    saved: DhtState,
    /// The port we announce; zero: none.
    port: u16,
    /// Where we are reached, as far as others agree: one address a family.
    reached_at: Vec<SocketAddr>,
}

impl DhtPart {
    pub(super) fn new(settings: &HubSettings, rng: &mut impl Rng, now: Instant) -> Self {
        let families = [(settings.dht_v4, dht::Family::V4), (settings.dht_v6, dht::Family::V6)];
        let nodes = families.into_iter().filter(|(on, _)| *on).map(|(_, family)| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            let own_id = settings.saved.ids.iter().find(|(of, _)| *of == family).map(|(_, id)| *id);
            let (is_read_only, reports_steps) = (settings.is_dht_read_only, settings.reports_dht_steps);
            let base = dht::Settings::new(family);
            dht::Node::new(dht::Settings { own_id, is_read_only, reports_steps, ..base }, seed, now)
        });
        DhtPart {
            nodes: nodes.collect(),
            searches: BTreeMap::new(),
            names: Names::default(),
            saved: DhtState::default(),
            port: settings.listen_port,
            reached_at: Vec::new(),
        }
    }

    pub(super) fn nodes(&self) -> &[dht::Node] {
        &self.nodes
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let nodes = self.nodes.iter().filter_map(dht::Node::next_timeout).min();
        [nodes, self.names.next_timeout()].into_iter().flatten().min()
    }

    /// What the next run should know. A family that has found too few to be of use passes on what it was given, so
    /// that a run without a network does not cost the next one its start.
    pub(super) fn state(&self) -> DhtState {
        let mut state = DhtState::default();
        for node in &self.nodes {
            let family = node.family();
            state.ids.extend(node.ids().map(|id| (family, id)));
            let mut nodes = node.nodes_to_save();
            // the nearest come last, and none of those is left out
            nodes.drain(..nodes.len().saturating_sub(DhtState::NODES_MAX));
            if nodes.len() < ENOUGH {
                let of_family = self.saved.nodes.iter().filter(|n| family_of(n.addr) == family);
                let old: Vec<NodeInfo> = of_family.filter(|n| !nodes.contains(n)).copied().collect();
                nodes.extend(old.into_iter().take(DhtState::NODES_MAX - ENOUGH));
            }
            state.nodes.append(&mut nodes);
        }
        // a family that could not be had this time may be there the next
        let is_missing = |family| !self.nodes.iter().any(|n| n.family() == family);
        state.ids.extend(self.saved.ids.iter().filter(|(family, _)| is_missing(*family)));
        state.nodes.extend(self.saved.nodes.iter().filter(|n| is_missing(family_of(n.addr))));
        state
    }

    fn node_for(&self, addr: SocketAddr) -> Option<usize> {
        let family = family_of(addr);
        self.nodes.iter().position(|n| n.family() == family)
    }
}

impl Hub {
    /// Makes the first steps towards nodes.
    pub(super) fn dht_begin(&mut self, settings: HubSettings, now: Instant) {
        let HubSettings { saved, nodes, routers, .. } = settings;
        if self.dht.nodes.len() > 1 {
            self.dht_all(&dht::Command::WantBoth(true), now);
        }
        for i in 0..self.dht.nodes.len() {
            let family = self.dht.nodes[i].family();
            let ids = saved.ids.iter().filter(|(of, _)| *of == family).map(|(_, id)| *id).collect();
            self.dht_handle(i, dht::Input::Command(dht::Command::RememberIds(ids)), now);
        }
        for node in &saved.nodes {
            self.dht_told(node.addr, dht::Command::AddSaved(*node), now);
        }
        let is_alone = saved.nodes.is_empty() && nodes.is_empty();
        self.dht.saved = saved;
        for host in nodes {
            self.dht_host(host, false, now, now);
        }
        let due = if is_alone { now } else { now + ROUTER_PAUSE };
        for host in routers {
            self.dht_host(host, true, due, now);
        }
        self.resolve(now);
    }

    pub(super) fn dht_timeout(&mut self, now: Instant) {
        for i in 0..self.dht.nodes.len() {
            if self.dht.nodes[i].next_timeout().is_some_and(|at| at <= now) {
                self.dht_handle(i, dht::Input::Timeout, now);
            }
        }
        self.resolve(now);
    }

    pub(super) fn dht_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if let Some(i) = self.dht.node_for(from) {
            self.dht_handle(i, dht::Input::Datagram { from, bytes }, now);
        }
    }

    /// What the owner wants: of the node of the family that an address names, of all when none is named.
    pub(super) fn dht_command(&mut self, command: dht::Command, now: Instant) {
        match named_address(&command) {
            Some(addr) => self.dht_told(addr, command, now),
            None => self.dht_all(&command, now),
        }
    }

    //= BEP 5: announce_peer, again before the nodes that store us forget
    pub(super) fn dht_search(&mut self, hash: WireHash, search: Search, now: Instant) {
        self.dht.searches.insert(hash, search);
        let Search { is_seed, wants_peers, .. } = search;
        let announce = dht::Announce { port: self.dht.port, implied_port: false, is_seed };
        let announce = Some(announce).filter(|a| a.port != 0);
        // who has everything can wait for those who have not
        let is_urgent = wants_peers && !is_seed;
        self.dht_all(&dht::Command::Search { target: hash, announce, is_urgent }, now);
    }

    pub(super) fn dht_stop(&mut self, hash: WireHash, now: Instant) {
        if self.dht.searches.remove(&hash).is_some() {
            self.dht_all(&dht::Command::StopSearch { target: hash }, now);
        }
    }

    /// A node was named by a torrent or by a peer.
    pub(super) fn dht_name(&mut self, host: &str, port: u16, now: Instant) {
        if let Ok(host) = HostPort::new(host, port) {
            self.dht_host(host, false, now, now);
            self.resolve(now);
        }
    }

    /// The addresses of a name we asked for; none on failure.
    pub(super) fn dht_resolved(&mut self, request: RequestId, addresses: &[IpAddr], now: Instant) {
        let Some(wanted) = self.dht.names.resolved(request, !addresses.is_empty(), now) else { return };
        // those of the families we have, so that one family does not take the other's places
        let ours: Vec<IpAddr> = addresses
            .iter()
            .map(IpAddr::to_canonical)
            .filter(|ip| self.dht.node_for(SocketAddr::new(*ip, wanted.port)).is_some())
            .take(ADDRESSES_MAX)
            .collect();
        ours.into_iter().for_each(|ip| self.dht_addr(ip, wanted, now));
    }

    /// A command that concerns an address, for the node of its family.
    pub(super) fn dht_told(&mut self, addr: SocketAddr, command: dht::Command, now: Instant) {
        if let Some(i) = self.dht.node_for(addr) {
            self.dht_handle(i, dht::Input::Command(command), now);
        }
    }

    /// A node or router that was named: asked at once when it is an address, after its name is resolved otherwise.
    fn dht_host(&mut self, host: HostPort, is_router: bool, due: Instant, now: Instant) {
        match host.ip() {
            Some(ip) => self.dht_addr(ip, Wanted { port: host.port(), is_router }, now),
            None if self.dht.nodes.is_empty() => {}
            None => self.dht.names.add(host, is_router, due),
        }
    }

    fn dht_addr(&mut self, ip: IpAddr, wanted: Wanted, now: Instant) {
        let addr = SocketAddr::new(ip.to_canonical(), wanted.port);
        if !scope::may_use(addr, Teller::Torrent) {
            return;
        }
        let command =
            if wanted.is_router { dht::Command::AddRouter(addr) } else { dht::Command::AddNode(addr) };
        self.dht_told(addr, command, now);
    }

    /// Asks for the names that are due, if a family needs them.
    fn resolve(&mut self, now: Instant) {
        if self.dht.names.next_timeout().is_some_and(|at| at <= now) {
            let is_needed = self.dht.nodes.iter().any(|n| n.good_node_count() < ENOUGH);
            for (request, host) in self.dht.names.take_due(is_needed, now) {
                self.out.push_back(HubOutput::Resolve { request, host });
            }
        }
    }

    fn dht_all(&mut self, command: &dht::Command, now: Instant) {
        for i in 0..self.dht.nodes.len() {
            self.dht_handle(i, dht::Input::Command(command.clone()), now);
        }
    }

    fn dht_handle(&mut self, at: usize, input: dht::Input<'_>, now: Instant) {
        let (DhtPart { nodes, searches, .. }, out) = (&mut self.dht, &mut self.out);
        let (before, rest) = nodes.split_at_mut(at);
        let (node, after) = rest.split_first_mut().expect("a node's number is below their count");
        let other = before.first().or(after.first());
        let (is_v6, mut heard, mut voted) = (node.family() == dht::Family::V6, Vec::new(), None);
        for output in node.handle_beside(input, other, now) {
            match output {
                dht::Output::Datagram { to, bytes } => out.push_back(HubOutput::Datagram { to, bytes }),
                dht::Output::Event(dht::Event::HeardOf { nodes }) => heard = nodes,
                dht::Output::Event(event) => {
                    if let dht::Event::AddressVoted { ip, .. } = &event {
                        out.push_back(HubOutput::OwnAddress { ip: *ip });
                        voted = Some(*ip);
                    }
                    out.extend(told_of(searches, event, is_v6));
                }
            }
        }
        if let Some(ip) = voted {
            self.dht_reached_at(ip, now);
        }
        self.dht_heard_of(heard, now);
    }

    /// Tells the nodes where we are reached, so that none asks us, nor takes us for a peer we found.
    fn dht_reached_at(&mut self, ip: IpAddr, now: Instant) {
        if self.dht.port != 0 {
            let own = &mut self.dht.reached_at;
            own.retain(|addr| addr.is_ipv4() != ip.is_ipv4());
            own.push(SocketAddr::new(ip, self.dht.port));
            let command = dht::Command::SetOwnAddresses(own.clone());
            self.dht_all(&command, now);
        }
    }

    //= BEP 32: one family finds its first nodes by the other
    /// Passes nodes on to the node of their family, as long as that knows few.
    fn dht_heard_of(&mut self, heard: Vec<NodeInfo>, now: Instant) {
        for node in heard.into_iter().take(ENOUGH) {
            let at = self.dht.node_for(node.addr).filter(|at| self.dht.nodes[*at].good_node_count() < ENOUGH);
            if let Some(at) = at {
                self.dht_handle(at, dht::Input::Command(dht::Command::AddSaved(node)), now);
            }
        }
    }
}

fn family_of(addr: SocketAddr) -> dht::Family {
    if addr.is_ipv4() { dht::Family::V4 } else { dht::Family::V6 }
}

/// What to tell of an event of a node: peers to the torrent that wants them, all else to the owner.
fn told_of(searches: &BTreeMap<WireHash, Search>, event: dht::Event, is_v6: bool) -> Option<HubOutput> {
    let event = match event {
        dht::Event::PeersFound { target, peers } if searches.contains_key(&target) => {
            let Search { owner, wants_peers, .. } = searches.get(&target)?;
            let (Owner { shard, torrent }, source) = (*owner, PeerSource::Dht);
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
