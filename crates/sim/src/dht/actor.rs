//! What runs at a host.

use super::attack::Hostile;
use super::census::{Census, EXTENDED, HostIndex, PLAIN, TWENTY};
use super::chance::{Purpose, generator, node_seed};
use super::foreign::{Foreign, Manner};
use super::measure::Probe;
use super::nat::Nat;
use super::net::Net;
use super::population::Role;
use super::world::Scene;
use core::net::SocketAddr;
use rand::RngExt;
use unchoke_dht::{Family, Node, NodeId, NodeInfo, Settings};
use unchoke_wire::time::{Duration, Instant};

/// Age of the oldest answer a table begins with: nodes are asked again before they are older.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(13 * 60);

#[derive(Debug)]
pub(super) enum Machine<'a> {
    Ours(Box<Node>),
    Foreign(Box<Foreign>),
    Hostile(Box<Hostile<'a>>),
    Off,
}

impl Machine<'_> {
    /// Its id, if it is one that tables may name.
    pub(super) fn id(&self) -> Option<NodeId> {
        match self {
            Machine::Ours(node) => Some(node.id()),
            Machine::Foreign(node) => Some(node.id()),
            Machine::Hostile(node) => Some(node.id()),
            Machine::Off => None,
        }
    }
}

impl Machine<'_> {
    /// Whether it is a node of ours, or one that left.
    pub(super) fn is_ours_or_off(&self) -> bool {
        matches!(self, Machine::Ours(_) | Machine::Off)
    }
}

/// What a host sent and received, as payload.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Traffic {
    pub(super) bytes: u64,
    pub(super) received: u64,
}

impl Traffic {
    pub(super) fn on_sent(&mut self, bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).expect("a datagram");
    }

    pub(super) fn on_received(&mut self, bytes: &[u8]) {
        self.on_sent(bytes);
        self.received += 1;
    }
}

#[derive(Debug)]
pub(super) struct Actor<'a> {
    pub(super) host: HostIndex,
    pub(super) addr: SocketAddr,
    pub(super) machine: Machine<'a>,
    pub(super) traffic: Traffic,
    pub(super) probe: Option<Box<Probe>>,
    pub(super) nat: Option<Nat>,
    /// Hosts whose NATs let this one in at the beginning, sorted.
    pub(super) lets_me_in: Vec<HostIndex>,
    /// Times a node of ours was started here.
    pub(super) starts: u32,
    /// Its timers run.
    pub(super) is_awake: bool,
    /// A timer event is in the queue for this time.
    pub(super) timer: Option<Instant>,
}

impl<'a> Actor<'a> {
    pub(super) fn new(host: HostIndex, addr: SocketAddr, machine: Machine<'a>, nat: Option<Nat>) -> Self {
        Actor {
            host,
            addr,
            machine,
            traffic: Traffic::default(),
            probe: None,
            nat,
            lets_me_in: Vec::new(),
            starts: 0,
            is_awake: false,
            timer: None,
        }
    }
}

/// The machine of a host in that role, in the middle of its life, whose table names nodes of `known`; and the hosts whose NATs let
/// it in. `None` for hosts that are gone.
pub(super) fn machine_of<'a>(
    scene: Scene<'a>,
    known: &Census,
    net: &Net,
    (host, role): (HostIndex, Role),
    now: Instant,
) -> Option<(Machine<'a>, Vec<HostIndex>)> {
    let (seed, population) = (scene.plan.seed, scene.population);
    let id = population.get(host).id;
    let rng = &mut generator(seed, Purpose::Tables, u64::from(host.0));
    let (sizes, manner) = match role {
        Role::Ours | Role::ReadOnly => (EXTENDED, Manner::Plain),
        Role::Plain => (PLAIN, Manner::Plain),
        Role::Twenty | Role::Hostile => (TWENTY, Manner::Twenty),
        Role::Gone => return None,
    };
    let members = known.draw_table(&id, sizes, rng);
    let info = |at: HostIndex| NodeInfo { id: population.get(at).id, addr: population.get(at).addr() };
    let mut lets_me_in = Vec::new();
    if scene.plan.net.has_nats {
        // half of the mappings by which they once asked us still stand
        lets_me_in.extend(members.iter().map(|m| m.host).filter(|_| rng.random::<bool>()));
        lets_me_in.sort_unstable();
    }
    if matches!(role, Role::Ours | Role::ReadOnly) {
        let settings =
            Settings { own_id: Some(id), is_read_only: role == Role::ReadOnly, ..Settings::new(Family::V4) };
        let entries = members.into_iter().map(|m| {
            let ago = ANSWER_AGE_MAX * rng.random_range(0..1000) / 1000;
            (info(m.host), ago, net.smoothed_rtt(host, m.host, rng))
        });
        let node_seed = node_seed(seed, Purpose::Nodes, u64::from(host.0));
        let node = Node::warm(settings, node_seed, now, entries);
        return Some((Machine::Ours(Box::new(node)), lets_me_in));
    }
    let table = members.into_iter().map(|m| info(m.host)).collect();
    let foreign = Foreign::new(id, manner, table, rng.random());
    let gang = scene.hostility.gang(host).zip(scene.plan.attack);
    let machine = match gang {
        Some((gang, attack)) => {
            let rng = generator(seed, Purpose::Adversary, u64::from(host.0) + 1);
            Machine::Hostile(Box::new(Hostile::new(attack, gang, population, foreign, rng)))
        }
        None => Machine::Foreign(Box::new(foreign)),
    };
    Some((machine, lets_me_in))
}
