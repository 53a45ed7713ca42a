//! Virtual time: one queue of events, the machines of the hosts, and the datagrams between them.
//!
//! A machine is made when its host is first needed, from the seed and the host's number alone. Events are ordered by
//! time and then by the order they were made in, so that a run depends on nothing but its seed.

use super::census::{Census, EXTENDED, HostIndex, PLAIN, TWENTY};
use super::chance::{Purpose, generator, node_seed};
use super::foreign::{Foreign, Manner};
use super::measure::Probe;
use super::net::{Net, NetSettings};
use super::population::{Population, Role};
use core::cmp::Ordering;
use core::net::SocketAddr;
use rand::RngExt;
use std::collections::{BinaryHeap, VecDeque};
use unchoke_dht::{Command, Event, Family, Input, Node, NodeId, NodeInfo, Output, Settings};
use unchoke_wire::time::{Duration, Instant};

/// When a run begins; tables tell of times before it.
pub(super) const START: Instant = Instant::from_micros(3600 * 1_000_000);
/// Age of the oldest answer a table begins with: nodes are asked again before they are older.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(13 * 60);

/// Number of a machine in its world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ActorIndex(usize);

/// What comes to the one who directs a run.
#[derive(Debug)]
pub(super) enum Happening {
    /// What was planned for this moment.
    Act(u32),
    /// A node of ours tells something.
    Told(ActorIndex, Event),
}

#[derive(Debug)]
enum Machine {
    Ours(Box<Node>),
    Foreign(Box<Foreign>),
}

/// What a host sent and received, as payload.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Traffic {
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
    pub(super) datagrams_out: u64,
    pub(super) datagrams_in: u64,
}

#[derive(Debug)]
pub(super) struct Actor {
    pub(super) host: HostIndex,
    pub(super) traffic: Traffic,
    pub(super) probe: Option<Box<Probe>>,
    addr: SocketAddr,
    machine: Machine,
    /// Its timers run.
    is_awake: bool,
    /// A timer event is in the queue for this time.
    timer: Option<Instant>,
}

#[derive(Debug)]
struct Scheduled {
    at: Instant,
    number: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Act(u32),
    Timer(ActorIndex),
    Datagram(Box<Datagram>),
}

#[derive(Debug)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
    /// How long it took; an answer given at once takes the same.
    took: Duration,
}

#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) now: Instant,
    pub(super) digest: u64,
    /// Events played.
    pub(super) events: u64,
    population: &'a Population,
    seed: u64,
    net: Net,
    queue: BinaryHeap<Scheduled>,
    scheduled: u64,
    /// The machine of each host that has one.
    slots: Vec<Option<ActorIndex>>,
    actors: Vec<Actor>,
    told: VecDeque<(ActorIndex, Event)>,
    outputs: Vec<Output>,
}

impl<'a> World<'a> {
    /// World number `index` of a seed.
    pub(super) fn new(population: &'a Population, net: NetSettings, seed: u64, index: u64) -> Self {
        World {
            now: START,
            digest: scatter_in(seed, index),
            events: 0,
            population,
            seed,
            net: Net::new(net, seed, index),
            queue: BinaryHeap::new(),
            scheduled: 0,
            slots: vec![None; population.len()],
            actors: Vec::new(),
            told: VecDeque::new(),
            outputs: Vec::new(),
        }
    }

    /// Plays on to what next concerns the director; `None` when nothing is left.
    pub(super) fn step(&mut self) -> Option<Happening> {
        loop {
            if let Some((actor, event)) = self.told.pop_front() {
                return Some(Happening::Told(actor, event));
            }
            let Scheduled { at, number, what } = self.queue.pop()?;
            self.now = at;
            self.events += 1;
            self.digest = scatter_in(self.digest ^ number, at.as_micros());
            match what {
                What::Act(act) => return Some(Happening::Act(act)),
                What::Timer(actor) if self.get(actor).timer == Some(at) => self.on_timer(actor),
                // an earlier one took its place
                What::Timer(_) => {}
                What::Datagram(datagram) => self.deliver(*datagram),
            }
        }
    }

    /// Plans something for the director.
    pub(super) fn plan(&mut self, at: Instant, act: u32) {
        self.schedule(at, What::Act(act));
    }

    /// The machine of a host, made if there is none yet; `None` for hosts that are gone.
    pub(super) fn actor(&mut self, host: HostIndex) -> Option<ActorIndex> {
        if let Some(actor) = self.slots[host.get()] {
            return Some(actor);
        }
        let machine = self.make(host)?;
        let actor = ActorIndex(self.actors.len());
        self.slots[host.get()] = Some(actor);
        let addr = self.population.get(host).addr();
        self.actors.push(Actor {
            host,
            traffic: Traffic::default(),
            probe: None,
            addr,
            machine,
            is_awake: false,
            timer: None,
        });
        self.command(actor, Command::SetOwnAddresses(vec![addr]));
        Some(actor)
    }

    /// Lets the timers of a machine run, or stand still.
    pub(super) fn set_awake(&mut self, actor: ActorIndex, is_awake: bool) {
        self.actors[actor.0].is_awake = is_awake;
        self.set_timer(actor);
    }

    pub(super) fn command(&mut self, actor: ActorIndex, command: Command) {
        self.input(actor, Input::Command(command), None);
    }

    /// Begins to measure what a node of ours does to find `target`.
    pub(super) fn begin_probe(&mut self, actor: ActorIndex, target: NodeId) {
        let known: Vec<SocketAddr> =
            self.node(actor).map(|n| n.table().map(|row| row.node.addr).collect()).unwrap_or_default();
        let probe = Probe::new(target, self.now, known.into_iter());
        self.get_mut(actor).probe = Some(Box::new(probe));
    }

    pub(super) fn node(&self, actor: ActorIndex) -> Option<&Node> {
        match &self.get(actor).machine {
            Machine::Ours(node) => Some(node),
            Machine::Foreign(_) => None,
        }
    }

    pub(super) fn get(&self, actor: ActorIndex) -> &Actor {
        &self.actors[actor.0]
    }

    pub(super) fn get_mut(&mut self, actor: ActorIndex) -> &mut Actor {
        &mut self.actors[actor.0]
    }

    /// All machines there are.
    pub(super) fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// The nodes tables may name.
    pub(super) fn census(&self) -> &Census {
        &self.population.tellable
    }

    /// Whether a host answers queries, and is no attacker's.
    pub(super) fn is_honest(&self, host: HostIndex) -> bool {
        matches!(self.population.get(host).role, Role::Ours | Role::Plain | Role::Twenty)
    }

    fn make(&self, host: HostIndex) -> Option<Machine> {
        let h = self.population.get(host);
        let rng = &mut generator(self.seed, Purpose::Tables, u64::from(host.0));
        let sizes = match h.role {
            Role::Ours | Role::ReadOnly => EXTENDED,
            Role::Plain => PLAIN,
            Role::Twenty => TWENTY,
            Role::Gone | Role::Hostile => return None,
        };
        let members = self.population.tellable.draw_table(&h.id, sizes, rng);
        let info =
            |at: HostIndex| NodeInfo { id: self.population.get(at).id, addr: self.population.get(at).addr() };
        let manner = match h.role {
            Role::Plain => Manner::Plain,
            Role::Twenty => Manner::Twenty,
            _ => {
                let entries: Vec<_> = members
                    .into_iter()
                    .map(|m| {
                        let ago = ANSWER_AGE_MAX * rng.random_range(0..1000) / 1000;
                        (info(m.host), ago, self.net.smoothed_rtt(host, m.host, rng))
                    })
                    .collect();
                let settings = Settings {
                    family: Family::V4,
                    own_id: Some(h.id),
                    is_read_only: h.role == Role::ReadOnly,
                    reports_steps: false,
                };
                let seed = node_seed(self.seed, Purpose::Nodes, u64::from(host.0));
                return Some(Machine::Ours(Box::new(Node::warm(settings, seed, self.now, entries))));
            }
        };
        let table = members.into_iter().map(|m| info(m.host)).collect();
        Some(Machine::Foreign(Box::new(Foreign::new(h.id, manner, table, rng.random()))))
    }

    fn on_timer(&mut self, actor: ActorIndex) {
        self.actors[actor.0].timer = None;
        let is_due = |node: &Node| node.next_timeout().is_some_and(|at| at <= self.now);
        if self.get(actor).is_awake && self.node(actor).is_some_and(is_due) {
            self.input(actor, Input::Timeout, None);
        } else {
            self.set_timer(actor);
        }
    }

    fn deliver(&mut self, datagram: Datagram) {
        let Datagram { from, to, bytes, took } = datagram;
        let population = self.population;
        let Some(host) = population.at(to.ip()).filter(|at| population.get(*at).port == to.port()) else {
            return;
        };
        let Some(at) = self.actor(host) else { return };
        let actor = &mut self.actors[at.0];
        actor.traffic.bytes_in += u64::try_from(bytes.len()).expect("a datagram");
        actor.traffic.datagrams_in += 1;
        if let Some(probe) = &mut actor.probe {
            let is_live =
                |n: &NodeInfo| population.find(n.addr).is_some_and(|h| h.id == n.id && h.role != Role::Gone);
            probe.on_received(from, &bytes, population, is_live);
        }
        match &mut actor.machine {
            Machine::Ours(_) => self.input(at, Input::Datagram { from, bytes: &bytes }, Some((from, took))),
            Machine::Foreign(node) => {
                if let Some(reply) = node.answer(from, &bytes, self.now) {
                    self.send(at, from, reply, Some(took));
                }
            }
        }
    }

    /// Feeds a machine; what it sends back to `asker` at once takes as long as the question did.
    fn input(&mut self, at: ActorIndex, input: Input<'_>, asker: Option<(SocketAddr, Duration)>) {
        let mut outputs = core::mem::take(&mut self.outputs);
        let Machine::Ours(node) = &mut self.actors[at.0].machine else { return };
        outputs.extend(node.handle(input, self.now));
        for output in outputs.drain(..) {
            match output {
                Output::Event(event) => self.told.push_back((at, event)),
                Output::Datagram { to, bytes } => {
                    let took = asker.filter(|(addr, _)| *addr == to).map(|(_, took)| took);
                    self.send(at, to, bytes, took);
                }
            }
        }
        self.outputs = outputs;
        self.set_timer(at);
    }

    fn send(&mut self, at: ActorIndex, to: SocketAddr, bytes: Vec<u8>, took: Option<Duration>) {
        let actor = &mut self.actors[at.0];
        actor.traffic.bytes_out += u64::try_from(bytes.len()).expect("a datagram");
        actor.traffic.datagrams_out += 1;
        if let Some(probe) = &mut actor.probe {
            probe.on_sent(&bytes);
        }
        let (from, host) = (actor.addr, actor.host);
        for part in bytes.chunks(8) {
            let mut eight = [0; 8];
            eight[..part.len()].copy_from_slice(part);
            self.digest = scatter_in(self.digest, u64::from_be_bytes(eight));
        }
        let far = self.population.at(to.ip());
        if self.net.loses(bytes.len()) {
            return;
        }
        let Some(far) = far else { return };
        let took = took.unwrap_or_else(|| self.net.one_way(host, far));
        self.schedule(self.now + took, What::Datagram(Box::new(Datagram { from, to, bytes, took })));
    }

    /// Sees to it that a machine is woken no later than it asks for.
    fn set_timer(&mut self, at: ActorIndex) {
        let actor = &self.actors[at.0];
        if !actor.is_awake {
            return;
        }
        let Some(due) = self.node(at).and_then(Node::next_timeout) else { return };
        if actor.timer.is_none_or(|timer| due < timer) {
            let due = due.max(self.now);
            self.actors[at.0].timer = Some(due);
            self.schedule(due, What::Timer(at));
        }
    }

    fn schedule(&mut self, at: Instant, what: What) {
        self.scheduled += 1;
        self.queue.push(Scheduled { at, number: self.scheduled, what });
    }
}

fn scatter_in(digest: u64, word: u64) -> u64 {
    super::chance::scatter(digest ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(digest)
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The earliest is the greatest, as the heap hands out that one.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
