//! A network that lives: every node is made and awake, nodes come and go, and some keys stay announced throughout.
//!
//! Those who announce stay, as seeds do; so do a few routers. All others leave without a word after a while and come
//! back later: half of them as themselves with what they had saved, half as newcomers.

use super::actor::Machine;
use super::census::{Census, HostIndex, Member};
use super::chance::{Purpose, Times, generator, scatter};
use super::foreign::{Foreign, Manner};
use super::population::Role;
use super::report::Played;
use super::watch::{Until, Watch};
use super::world::{ActorIndex, Boot, Happening, START, Scene, World};
use core::net::SocketAddr;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use unchoke_dht::{Event, NodeId, NodeInfo};
use unchoke_wire::WireHash;
use unchoke_wire::time::{Duration, Instant};

/// Hosts that announce and stay.
const SEEDS: u32 = 20;
/// Keys each announces.
const KEYS_OF_SEED: usize = 5;
/// Bootstrap routers.
const ROUTERS: u32 = 3;
/// A lookup that has not ended by then is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Time before the first lookup, and between the first joins and the announcements.
const SETTLE: Duration = Duration::from_secs(120);
/// Time between two waves of newcomers, each a hundredth of the network.
const WAVE_EVERY: Duration = Duration::from_secs(10);
/// Newcomers all start within this time.
const RUSH: Duration = Duration::from_secs(60);
/// Tables of nodes that are not ours are drawn anew after this time: their upkeep is not played.
const REFRESH_EVERY: Duration = Duration::from_secs(15 * 60);
/// Time between two surveys of all tables.
const SURVEY_EVERY: Duration = Duration::from_secs(3600);
/// Nodes whose tables a survey reads.
const SURVEYED: usize = 200;
/// Nodes that are saved at most.
const SAVED_MAX: usize = 300;

/// How a network lives.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Life {
    /// For how long.
    pub time: Duration,
    /// How long nodes stay; for ever if `None`.
    pub churn: Option<Churn>,
    /// How it begins.
    pub start: Start,
}

/// How long nodes stay and stay away: both after Weibull.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Churn {
    /// Median session.
    pub median: Duration,
    /// The smaller, the more very short and very long sessions there are.
    pub shape: f64,
}

/// How a network begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// In the middle of its life.
    Warm,
    /// With one node of a hundred; the others join in waves of as many, by the routers.
    Waves,
    /// With nobody; all nodes join by the routers within a minute.
    Rush,
}

/// What the tables of live nodes hold at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Survey {
    /// Since the beginning.
    pub at: Duration,
    /// Nodes that are up.
    pub up: u32,
    /// Nodes of a table, on average.
    pub entries: f64,
    /// Part of those called good that are not there, 0 to 1.
    pub dead: f64,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Announce(usize),
    Return(HostIndex),
    Leave(HostIndex),
    Search,
    GiveUp(u32),
    Refresh,
    Survey,
    End,
}

/// A host that comes and goes.
#[derive(Clone, Debug, Default)]
struct Resident {
    up: Option<(ActorIndex, Instant)>,
    id: Option<NodeId>,
    saved: Vec<NodeInfo>,
}

#[derive(Debug)]
struct Living<'a> {
    scene: Scene<'a>,
    life: Life,
    world: World<'a>,
    watch: Watch,
    workload: ChaCha8Rng,
    churn: ChaCha8Rng,
    sessions: Option<Times>,
    acts: Vec<Act>,
    residents: Vec<Resident>,
    seeds: Vec<ActorIndex>,
    routers: Vec<SocketAddr>,
    /// When a node of ours was started, until it has found its neighbourhood.
    joining: BTreeMap<ActorIndex, Instant>,
    joins: Vec<Duration>,
    surveys: Vec<Survey>,
    up_time: Duration,
}

/// Hosts a life of so many nodes needs.
pub(super) fn hosts_of(nodes: u32, life: Life) -> u32 {
    comers(nodes, life) + always_up()
}

/// Of those hosts, the last ones that never leave.
pub(super) fn always_up() -> u32 {
    SEEDS + ROUTERS
}

fn comers(nodes: u32, life: Life) -> u32 {
    // half of them are away at any time
    if life.churn.is_some() { nodes * 2 } else { nodes }
}

/// Plays a life in which so many nodes are up at a time.
pub(super) fn play(scene: Scene<'_>, life: Life) -> Played {
    let comers = comers(scene.plan.nodes, life);
    let first = match life.start {
        Start::Warm => scene.plan.nodes,
        Start::Waves => scene.plan.nodes.div_ceil(100),
        Start::Rush => 0,
    };
    let is_first =
        |host: &HostIndex| host.0 < first || (first > 0 && (comers..comers + SEEDS).contains(&host.0));
    let member = |host: HostIndex| Member { id: scene.population.get(host).id, host };
    let can_be_told = |host: &HostIndex| scene.population.get(*host).role != Role::ReadOnly;
    let known =
        Census::new(scene.population.hosts().filter(is_first).filter(can_be_told).map(member).collect());
    let mut workload = generator(scene.plan.seed, Purpose::Workload, 0);
    let keys = usize::try_from(SEEDS).expect("a small number") * KEYS_OF_SEED;
    let targets: Vec<WireHash> = (0..keys).map(|_| WireHash(workload.random())).collect();
    let mut living = Living {
        scene,
        life,
        world: World::new(scene, &known, 0).not_lazy(),
        watch: Watch::new(targets.into_iter(), Until::Round),
        workload,
        churn: generator(scene.plan.seed, Purpose::Churn, 0),
        sessions: life.churn.map(|c| Times::weibull(c.median, c.shape)),
        acts: Vec::new(),
        residents: vec![Resident::default(); usize::try_from(comers).expect("hosts are listed")],
        seeds: Vec::new(),
        routers: Vec::new(),
        joining: BTreeMap::new(),
        joins: Vec::new(),
        surveys: Vec::new(),
        up_time: Duration::ZERO,
    };
    living.begin(first, comers, &known);
    while let Some(happening) = living.world.step() {
        match happening {
            Happening::Act(number) => {
                let act = living.acts[usize::try_from(number).expect("an index")];
                if matches!(act, Act::End) {
                    break;
                }
                living.act(act);
            }
            Happening::Told(actor, event) => living.on_told(actor, &event),
        }
    }
    living.finish()
}

impl Living<'_> {
    fn begin(&mut self, first: u32, comers: u32, known: &Census) {
        for n in 0..ROUTERS {
            self.add_router(HostIndex(comers + SEEDS + n), known);
        }
        for n in 0..SEEDS {
            self.start(HostIndex(comers + n), first > 0);
        }
        (0..first).for_each(|n| self.start(HostIndex(n), true));
        let settled = self.plan_joins(first) + SETTLE;
        for key in 0..self.watch.keys.len() {
            self.plan(
                settled + Duration::from_millis(100) * u32::try_from(key).unwrap_or(0),
                Act::Announce(key),
            );
        }
        let end = START + self.life.time;
        let from = settled + SETTLE;
        let pauses = Times::exponential(end.since(from) / self.scene.plan.lookups.max(1));
        let mut at = from;
        for _ in 0..self.scene.plan.lookups {
            at = at + pauses.draw(&mut self.workload);
            self.plan(at, Act::Search);
        }
        self.plan(START + REFRESH_EVERY, Act::Refresh);
        self.plan(START + SURVEY_EVERY, Act::Survey);
        self.plan(end, Act::End);
    }

    /// Plans the first coming of those who are not there yet; says when the last is expected.
    fn plan_joins(&mut self, first: u32) -> Instant {
        let nodes = self.scene.plan.nodes;
        let mut last = START;
        match self.life.start {
            Start::Warm => {}
            Start::Waves => {
                for n in first..nodes {
                    last = START + WAVE_EVERY * (n / first);
                    self.plan(last, Act::Return(HostIndex(n)));
                }
            }
            Start::Rush => {
                for n in 0..nodes {
                    let at = START + RUSH * self.churn.random_range(0..1000) / 1000;
                    self.plan(at, Act::Return(HostIndex(n)));
                }
                last = START + RUSH;
            }
        }
        let away = nodes..u32::try_from(self.residents.len()).expect("hosts are numbered");
        for n in away {
            let pause = self.sessions.as_ref().map_or(Duration::MAX, |s| s.draw(&mut self.churn));
            self.plan(START + pause, Act::Return(HostIndex(n)));
        }
        last
    }

    fn plan(&mut self, at: Instant, act: Act) {
        let number = u32::try_from(self.acts.len()).expect("a number of acts");
        self.acts.push(act);
        self.world.plan(at, number);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Announce(key) => {
                let seed = self.seeds[key / KEYS_OF_SEED];
                self.watch.announce(&mut self.world, seed, key);
            }
            Act::Return(host) => self.start(host, false),
            Act::Leave(host) => self.leave(host),
            Act::Search => self.search(),
            Act::GiveUp(number) => {
                self.watch.give_up(&mut self.world, number);
            }
            Act::Refresh => {
                let seed = self.scene.plan.seed ^ scatter(self.world.now.as_micros());
                self.world.refresh_foreign(seed);
                self.plan(self.world.now + REFRESH_EVERY, Act::Refresh);
            }
            Act::Survey => {
                self.survey();
                self.plan(self.world.now + SURVEY_EVERY, Act::Survey);
            }
            Act::End => {}
        }
    }

    /// Lets a host begin: in the middle of its life, or by joining.
    fn start(&mut self, host: HostIndex, is_warm: bool) {
        let at = usize::try_from(host.0).expect("an index");
        let resident = self.residents.get_mut(at).map(core::mem::take).unwrap_or_default();
        let is_ours = matches!(self.scene.population.get(host).role, Role::Ours | Role::ReadOnly);
        let actor = if is_warm {
            self.world.actor(host)
        } else if is_ours {
            let is_same = self.churn.random::<bool>();
            let mut boot = Boot { routers: self.routers.clone(), ..Boot::default() };
            if is_same && resident.id.is_some() {
                (boot.own_id, boot.saved) = (resident.id, resident.saved);
            }
            let actor = self.world.boot(host, boot);
            self.joining.insert(actor, self.world.now);
            Some(actor)
        } else {
            self.world.revive(host)
        };
        let Some(actor) = actor else { return };
        self.world.set_awake(actor, true);
        let Some(resident) = self.residents.get_mut(at) else {
            self.seeds.push(actor);
            return;
        };
        resident.up = Some((actor, self.world.now));
        if let Some(sessions) = &self.sessions {
            let stays = sessions.draw(&mut self.churn);
            self.plan(self.world.now + stays, Act::Leave(host));
        }
    }

    fn leave(&mut self, host: HostIndex) {
        let resident = &mut self.residents[host.get()];
        let Some((actor, since)) = resident.up.take() else { return };
        if let Some(node) = self.world.node(actor) {
            resident.id = Some(node.id());
            resident.saved = node.nodes_to_save();
            let surplus = resident.saved.len().saturating_sub(SAVED_MAX);
            resident.saved.drain(..surplus);
            self.up_time += self.world.now.since(since);
        }
        self.watch.forget(actor);
        self.joining.remove(&actor);
        self.world.shut(host);
        if let Some(sessions) = &self.sessions {
            let pause = sessions.draw(&mut self.churn);
            self.plan(self.world.now + pause, Act::Return(host));
        }
    }

    fn search(&mut self) {
        for _ in 0..self.residents.len() * 4 {
            let at = self.workload.random_range(0..self.residents.len());
            if let Some((actor, _)) = self.residents[at].up
                && self.world.node(actor).is_some()
                && !self.watch.is_searching(actor)
            {
                let number = self.watch.search(&mut self.world, actor, &mut self.workload);
                self.plan(self.world.now + GIVE_UP_AFTER, Act::GiveUp(number));
                return;
            }
        }
    }

    fn on_told(&mut self, actor: ActorIndex, event: &Event) {
        self.watch.on_told(&mut self.world, actor, event);
        match event {
            Event::Announced { target, to } if self.seeds.contains(&actor) => {
                self.watch.on_announced(*target, *to, self.world.now);
            }
            Event::Bootstrapped { .. } => {
                if let Some(since) = self.joining.remove(&actor) {
                    self.joins.push(self.world.now.since(since));
                }
            }
            _ => {}
        }
    }

    fn survey(&mut self) {
        let up: Vec<ActorIndex> =
            self.residents.iter().filter_map(|r| r.up).map(|(actor, _)| actor).collect();
        let step = up.len().div_ceil(SURVEYED).max(1);
        let (mut tables, mut entries, mut good, mut dead) = (0u32, 0u32, 0u32, 0u32);
        for node in up.iter().step_by(step).filter_map(|at| self.world.node(*at)) {
            tables += 1;
            for row in node.table() {
                entries += 1;
                good += u32::from(row.is_good);
                dead += u32::from(row.is_good && !self.world.judge(&row.node).is_live);
            }
        }
        self.surveys.push(Survey {
            at: self.world.now.since(START),
            up: u32::try_from(up.len()).unwrap_or(u32::MAX),
            entries: f64::from(entries) / f64::from(tables.max(1)),
            dead: f64::from(dead) / f64::from(good.max(1)),
        });
    }

    fn add_router(&mut self, host: HostIndex, known: &Census) {
        let nodes: Vec<NodeInfo> = (0..50)
            .filter_map(|_| known.any(&mut self.churn))
            .map(|m| NodeInfo { id: m.id, addr: self.scene.population.get(m.host).addr() })
            .collect();
        let h = self.scene.population.get(host);
        self.routers.push(h.addr());
        let router = Foreign::new(h.id, Manner::Router, nodes, self.churn.random());
        self.world.place(host, Machine::Foreign(Box::new(router)));
    }

    fn finish(mut self) -> Played {
        self.survey();
        for (_, since) in self.residents.iter().filter_map(|r| r.up) {
            self.up_time += self.world.now.since(since);
        }
        let ours =
            |a: &&super::actor::Actor<'_>| a.host.get() < self.residents.len() && a.machine.is_ours_or_off();
        let bytes: u64 = self.world.actors().iter().filter(ours).map(|a| a.traffic.bytes).sum();
        let minutes = self.up_time.as_secs_f64() / 60.0;
        let upkeep = u32::try_from(bytes / 1000).map_or(f64::MAX, f64::from) * 1000.0 / minutes.max(1.0);
        let mut played = Played::new(&self.world, self.watch, self.joins);
        played.upkeep = upkeep;
        played.surveys = self.surveys;
        played
    }
}
