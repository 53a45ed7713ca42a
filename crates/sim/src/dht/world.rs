//! Virtual time: one queue of events, the machines of the hosts, and the datagrams between them.
//!
//! A machine is made when its host is first needed, from the seed and the host's number alone. Events are ordered by
//! time and then by the order they were made in, so that a run depends on nothing but its seed.

use super::Plan;
use super::actor::{Actor, Machine, machine_of};
use super::attack::Hostility;
use super::census::{Census, HostIndex, Member, TWENTY};
use super::chance::{Purpose, generator, node_seed, scatter};
use super::measure::{Probe, Truth};
use super::nat::Nat;
use super::net::Net;
use super::population::{Host, Population, Role};
use core::cmp::Ordering;
use core::net::SocketAddr;
use std::collections::{BinaryHeap, VecDeque};
use unchoke_dht::{Command, Event, Family, Input, Node, NodeId, NodeInfo, Output, Settings};
use unchoke_wire::time::{Duration, Instant};

/// When a run begins; tables tell of times before it.
pub(super) const START: Instant = Instant::from_micros(3600 * 1_000_000);

/// Number of a machine in its world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ActorIndex(usize);

/// What comes to the one who directs a run.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
pub(super) enum Happening {
    /// What was planned for this moment.
    Act(u32),
    /// A node of ours tells something.
    Told(ActorIndex, Event),
}

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) plan: &'a Plan,
    pub(super) population: &'a Population,
    pub(super) hostility: &'a Hostility,
}

/// What a node starts with.
#[derive(Clone, Debug, Default)]
pub(super) struct Boot {
    pub(super) own_id: Option<NodeId>,
    pub(super) saved: Vec<NodeInfo>,
    pub(super) contacts: Vec<SocketAddr>,
    pub(super) routers: Vec<SocketAddr>,
}

/// What came of queries in a victim's name.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Reflected {
    /// Bytes the attacker sent.
    pub sent: u64,
    /// Bytes that reached for the victim.
    pub reflected: u64,
    /// The largest reply, in bytes.
    pub largest: u64,
}

/// What nodes came to believe of their own address.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Votes {
    /// The truth.
    pub right: u64,
    /// A lie.
    pub wrong: u64,
}

impl Votes {
    fn count(&mut self, is_right: bool) {
        self.right += u64::from(is_right);
        self.wrong += u64::from(!is_right);
    }
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
    /// Who really sent it.
    sender: HostIndex,
    /// How long it took; an answer given at once takes the same.
    took: Duration,
}

#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) now: Instant,
    pub(super) digest: u64,
    /// Events played.
    pub(super) events: u64,
    pub(super) reflected: Reflected,
    pub(super) votes: Votes,
    scene: Scene<'a>,
    /// What tables of machines that are made hold.
    known: &'a Census,
    /// Hosts get their machine when they are first sent to; otherwise only by [`Self::boot`] and [`Self::actor`].
    is_lazy: bool,
    /// Machines made when first sent to answer from their table and do no more.
    only_answers: bool,
    net: Net,
    queue: BinaryHeap<Scheduled>,
    scheduled: u64,
    /// The machine of each host that has one.
    slots: Vec<Option<ActorIndex>>,
    actors: Vec<Actor<'a>>,
    told: VecDeque<(ActorIndex, Event)>,
    outputs: Vec<Output>,
    victim: Option<SocketAddr>,
}

impl<'a> World<'a> {
    /// World number `index` of a scene, in which tables begin with nodes of `known`.
    pub(super) fn new(scene: Scene<'a>, known: &'a Census, index: u64) -> Self {
        World {
            now: START,
            digest: fold(scene.plan.seed, index),
            events: 0,
            reflected: Reflected::default(),
            votes: Votes::default(),
            scene,
            known,
            is_lazy: true,
            only_answers: false,
            net: Net::new(scene.plan.net, scene.plan.seed, index),
            queue: BinaryHeap::new(),
            scheduled: 0,
            slots: vec![None; scene.population.len()],
            actors: Vec::new(),
            told: VecDeque::new(),
            outputs: Vec::new(),
            victim: None,
        }
    }

    /// Lets hosts be silent until they are started.
    pub(super) fn not_lazy(mut self) -> Self {
        self.is_lazy = false;
        self
    }

    /// Lets hosts that are met be answerers without a life of their own.
    pub(super) fn with_answerers(mut self) -> Self {
        self.only_answers = true;
        self
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
            self.digest = fold(self.digest ^ number, at.as_micros());
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

    /// The machine of a host, made in the middle of its life if there is none; `None` for hosts that are gone.
    pub(super) fn actor(&mut self, host: HostIndex) -> Option<ActorIndex> {
        self.slots[host.get()].or_else(|| self.make(host, self.scene.population.get(host).role))
    }

    fn make(&mut self, host: HostIndex, role: Role) -> Option<ActorIndex> {
        let (machine, lets_me_in) = machine_of(self.scene, self.known, &self.net, (host, role), self.now)?;
        let actor = self.place(host, machine);
        self.actors[actor.0].lets_me_in = lets_me_in;
        let addr = self.get(actor).addr;
        self.command(actor, Command::SetOwnAddresses(vec![addr]));
        Some(actor)
    }

    /// Puts a machine at a host, in place of what was there.
    pub(super) fn place(&mut self, host: HostIndex, machine: Machine<'a>) -> ActorIndex {
        if let Some(at) = self.slots[host.get()] {
            let actor = &mut self.actors[at.0];
            (actor.machine, actor.timer, actor.probe, actor.is_awake) = (machine, None, None, false);
            return at;
        }
        let Host { port, role, .. } = *self.scene.population.get(host);
        let has_nat = self.scene.plan.net.has_nats && matches!(role, Role::Ours | Role::Plain | Role::Twenty);
        let nat = if has_nat { Nat::of(self.scene.plan.seed, host, port) } else { None };
        let at = ActorIndex(self.actors.len());
        self.slots[host.get()] = Some(at);
        self.actors.push(Actor::new(host, self.scene.population.get(host).addr(), machine, nat));
        at
    }

    /// Starts a node of ours that knows what `boot` says.
    pub(super) fn boot(&mut self, host: HostIndex, boot: Boot) -> ActorIndex {
        let starts = self.slots[host.get()].map_or(0, |at| self.get(at).starts + 1);
        let settings = Settings {
            own_id: boot.own_id,
            is_read_only: self.scene.population.get(host).role == Role::ReadOnly,
            ..Settings::new(Family::V4)
        };
        let index = u64::from(host.0) | u64::from(starts + 1) << 32;
        let node = Node::new(settings, node_seed(self.scene.plan.seed, Purpose::Nodes, index), self.now);
        let actor = self.place(host, Machine::Ours(Box::new(node)));
        self.actors[actor.0].starts = starts;
        self.actors[actor.0].is_awake = true;
        let addr = self.get(actor).addr;
        self.command(actor, Command::SetOwnAddresses(vec![addr]));
        boot.saved.into_iter().for_each(|node| self.command(actor, Command::AddSaved(node)));
        boot.routers.into_iter().for_each(|at| self.command(actor, Command::AddRouter(at)));
        boot.contacts.into_iter().for_each(|at| self.command(actor, Command::AddNode(at)));
        actor
    }

    /// Starts a machine that is not ours, or one of ours in the middle of its life, from who is there at present.
    pub(super) fn revive(&mut self, host: HostIndex) -> Option<ActorIndex> {
        let role = self.scene.population.get(host).role;
        let (machine, _) = machine_of(self.scene, &self.census(), &self.net, (host, role), self.now)?;
        Some(self.place(host, machine))
    }

    /// Gives machines that are not ours tables of who is there at present.
    pub(super) fn refresh_foreign(&mut self, seed: u64) {
        let (census, population) = (self.census(), self.scene.population);
        for actor in &mut self.actors {
            let Machine::Foreign(node) = &mut actor.machine else { continue };
            let rng = &mut generator(seed, Purpose::Tables, u64::from(actor.host.0));
            let members = census.draw_table(&node.id(), TWENTY, rng);
            let addr = |m: &Member| population.get(m.host).addr();
            node.set_table(members.iter().map(|m| NodeInfo { id: m.id, addr: addr(m) }).collect());
        }
    }

    /// Ends what runs at a host, without a word to anybody.
    pub(super) fn shut(&mut self, host: HostIndex) {
        self.place(host, Machine::Off);
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
            _ => None,
        }
    }

    pub(super) fn get(&self, actor: ActorIndex) -> &Actor<'a> {
        &self.actors[actor.0]
    }

    pub(super) fn get_mut(&mut self, actor: ActorIndex) -> &mut Actor<'a> {
        &mut self.actors[actor.0]
    }

    /// All machines there are.
    pub(super) fn actors(&self) -> &[Actor<'a>] {
        &self.actors
    }

    /// The host at exactly this endpoint.
    pub(super) fn host_at(&self, addr: SocketAddr) -> Option<&Host> {
        self.scene.population.find(addr)
    }

    /// Nodes that answer queries and are no attacker's, at present.
    pub(super) fn census(&self) -> Census {
        let actors = self.actors.iter().filter(|a| self.is_honest(a.host));
        Census::new(actors.filter_map(|a| Some(Member { id: a.machine.id()?, host: a.host })).collect())
    }

    /// The eight closest to `target` of those in [`Self::census`], but for the one who asks.
    pub(super) fn truth(&self, target: &NodeId, asker: HostIndex) -> Vec<Member> {
        let others = |m: &Member| m.host != asker && self.is_honest(m.host);
        if self.is_lazy {
            self.known.closest(target, 8, others)
        } else {
            self.census().closest(target, 8, others)
        }
    }

    /// Whether what a node is said to be is there.
    pub(super) fn judge(&self, node: &NodeInfo) -> Truth {
        let population = self.scene.population;
        let host = population.at(node.addr.ip()).filter(|at| population.get(*at).port == node.addr.port());
        let is_live = host.is_some_and(|at| match (self.slots[at.get()], population.get(at)) {
            (Some(actor), _) => self.get(actor).machine.id() == Some(node.id),
            (None, host) => self.is_lazy && host.role != Role::Gone && host.id == node.id,
        });
        let is_hostile = host.is_some_and(|at| population.get(at).role == Role::Hostile);
        Truth { is_live, is_hostile }
    }

    /// Counts from now on what is sent to this endpoint.
    pub(super) fn set_victim(&mut self, victim: SocketAddr) {
        self.victim = Some(victim);
    }

    /// Sends a datagram in the victim's name.
    pub(super) fn spoof(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        let Some(from) = self.victim else { return };
        let Some(far) = self.scene.population.at(to.ip()) else { return };
        self.reflected.sent += len(&bytes);
        let took = self.net.one_way(far, far);
        let datagram = Datagram { from, to, bytes, sender: far, took };
        self.schedule(self.now + took, What::Datagram(Box::new(datagram)));
    }

    /// Whether the host is one that lookups should find.
    fn is_honest(&self, host: HostIndex) -> bool {
        matches!(self.scene.population.get(host).role, Role::Ours | Role::Plain | Role::Twenty)
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
        let Datagram { from, to, bytes, sender, took } = datagram;
        let Some(host) = self.scene.population.at(to.ip()) else { return };
        let actor = self.slots[host.get()].or_else(|| match self.scene.population.get(host).role {
            _ if !self.is_lazy => None,
            Role::Ours if self.only_answers => self.make(host, Role::Plain),
            role => self.make(host, role),
        });
        let Some(at) = actor.filter(|at| self.is_let_in(*at, sender, from, to.port())) else { return };
        let actor = &mut self.actors[at.0];
        actor.traffic.on_received(&bytes);
        if let Some(mut probe) = actor.probe.take() {
            probe.on_received(from, &bytes, |node| self.judge(node));
            self.actors[at.0].probe = Some(probe);
        }
        let reply = match &mut self.actors[at.0].machine {
            Machine::Ours(_) => {
                return self.input(at, Input::Datagram { from, bytes: &bytes }, Some((from, took)));
            }
            Machine::Foreign(node) => node.answer(from, &bytes, self.now),
            Machine::Hostile(node) => node.answer(from, &bytes, self.now),
            Machine::Off => None,
        };
        if let Some(reply) = reply {
            self.send(at, from, reply, Some(took));
        }
    }

    fn is_let_in(&mut self, at: ActorIndex, sender: HostIndex, from: SocketAddr, port: u16) -> bool {
        let knows = self.slots[sender.get()]
            .is_some_and(|s| self.get(s).lets_me_in.binary_search(&self.get(at).host).is_ok());
        let actor = &mut self.actors[at.0];
        let own = actor.addr.port();
        let Some(nat) = &mut actor.nat else { return port == own };
        if nat.lets_in(from, port, self.now) {
            return true;
        }
        if knows && port == own {
            nat.let_in(from, self.now);
        }
        knows && port == own
    }

    /// Feeds a machine; what it sends back to `asker` at once takes as long as the question did.
    fn input(&mut self, at: ActorIndex, input: Input<'_>, asker: Option<(SocketAddr, Duration)>) {
        let Machine::Ours(node) = &mut self.actors[at.0].machine else { return };
        let mut outputs = core::mem::take(&mut self.outputs);
        outputs.extend(node.handle(input, self.now));
        for output in outputs.drain(..) {
            match output {
                Output::Event(event) => {
                    if let Event::AddressVoted { ip, .. } = event {
                        self.votes.count(ip == self.get(at).addr.ip());
                    }
                    self.told.push_back((at, event));
                }
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
        actor.traffic.on_sent(&bytes);
        if let Some(probe) = &mut actor.probe {
            probe.on_sent(&bytes);
        }
        let (mut from, sender) = (actor.addr, actor.host);
        if let Some(nat) = &mut actor.nat {
            from.set_port(nat.on_sent(to, self.now));
        }
        for part in bytes.chunks(8) {
            let mut eight = [0; 8];
            eight[..part.len()].copy_from_slice(part);
            self.digest = fold(self.digest, u64::from_be_bytes(eight));
        }
        if self.victim == Some(to) {
            self.reflected.reflected += len(&bytes);
            self.reflected.largest = self.reflected.largest.max(len(&bytes));
        }
        let far = self.scene.population.at(to.ip());
        if self.net.loses(bytes.len()) {
            return;
        }
        let Some(far) = far else { return };
        let took = took.unwrap_or_else(|| self.net.one_way(sender, far));
        let datagram = Datagram { from, to, bytes, sender, took };
        self.schedule(self.now + took, What::Datagram(Box::new(datagram)));
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

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a datagram")
}

fn fold(digest: u64, word: u64) -> u64 {
    scatter(digest ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(digest)
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
