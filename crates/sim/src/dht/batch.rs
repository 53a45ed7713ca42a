//! Lookups in the middle of a network's life: tables are drawn, peers announced, and then random nodes search.
//!
//! A batch is a world of its own, so that batches can be played at once and forgotten, and their order decides
//! nothing. Hosts nobody talks to are never made; those that answer are not woken on their own account. In a full
//! batch every host is made and awake.

use super::attack::Attack;
use super::chance::{Purpose, Times, generator};
use super::population::Role;
use super::report::Played;
use super::watch::{Until, Watch};
use super::world::{ActorIndex, Boot, Happening, START, Scene, World};
use super::{Mode, Plan};
use core::net::SocketAddr;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use unchoke_dht::{Command, Event, NodeId, NodeInfo};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{Kind, Message, Method, Query};
use unchoke_wire::time::{Duration, Instant};

/// Time between two announcements.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(100);
/// Time from the last announcement to the first lookup.
const SETTLE: Duration = Duration::from_secs(10);
/// Mean time between two lookups.
const LOOKUP_EVERY: Duration = Duration::from_millis(100);
/// A lookup that has not ended by then is given up; one of a node that just started has [`START_UP`].
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
const START_UP: Duration = Duration::from_secs(120);
/// Nodes that one who just started had saved, and of them those that live.
const SAVED: usize = 100;
const SAVED_LIVE: usize = 5;
/// Routers such a node knows, all dead.
const ROUTERS: usize = 4;
/// Time between two queries in a victim's name.
const SPOOF_EVERY: Duration = Duration::from_millis(5);

/// What is planned.
#[derive(Clone, Copy, Debug)]
enum Act {
    Announce(usize),
    Search,
    GiveUp(u32),
    Spoof,
}

#[derive(Debug)]
struct Batch<'a> {
    scene: Scene<'a>,
    world: World<'a>,
    rng: ChaCha8Rng,
    watch: Watch,
    acts: Vec<Act>,
    wanted: usize,
    /// Who announces, and what.
    announcing: BTreeMap<ActorIndex, WireHash>,
    spoofed: u64,
}

/// Plays batch number `index` of a plan with so many lookups.
pub(super) fn play(scene: Scene<'_>, index: u64, lookups: u32) -> Played {
    let mut rng = generator(scene.plan.seed, Purpose::Workload, index);
    let wanted: Vec<NodeId> = scene.hostility.gangs.iter().filter_map(|gang| gang.key).collect();
    let keys: Vec<WireHash> = if wanted.is_empty() {
        (0..Plan::keys(lookups)).map(|_| WireHash(rng.random())).collect()
    } else {
        wanted.into_iter().map(WireHash::from).collect()
    };
    let until = if scene.plan.attack == Some(Attack::Bootstrap) { Until::Peer } else { Until::Round };
    let mut batch = Batch {
        scene,
        world: World::new(scene, &scene.population.tellable, index),
        rng,
        watch: Watch::new(keys.into_iter(), until),
        acts: Vec::new(),
        wanted: usize::try_from(lookups).expect("a number of lookups"),
        announcing: BTreeMap::new(),
        spoofed: 0,
    };
    batch.begin();
    while batch.watch.lookups.len() < batch.wanted
        && let Some(happening) = batch.world.step()
    {
        match happening {
            Happening::Act(act) => batch.act(act),
            Happening::Told(actor, event) => batch.on_told(actor, &event),
        }
    }
    Played::new(&batch.world, batch.watch, Vec::new())
}

impl Batch<'_> {
    /// Plans everything: keys are announced one after the other, then lookups come as they like.
    fn begin(&mut self) {
        if self.is_full() {
            for host in self.scene.population.hosts() {
                if let Some(actor) = self.world.actor(host) {
                    self.world.set_awake(actor, true);
                }
            }
        }
        let mut at = START;
        for key in 0..self.watch.keys.len() {
            at = at + ANNOUNCE_EVERY;
            self.plan(at, Act::Announce(key));
        }
        at = at + SETTLE;
        if self.scene.plan.attack == Some(Attack::Amplify) {
            let victim = self.scene.population.any(&mut self.rng, |h| h.role == Role::Gone);
            self.world.set_victim(self.scene.population.get(victim).addr());
            self.plan(at, Act::Spoof);
        }
        let pauses = Times::exponential(LOOKUP_EVERY);
        for _ in 0..self.wanted {
            at = at + pauses.draw(&mut self.rng);
            self.plan(at, Act::Search);
        }
    }

    fn plan(&mut self, at: Instant, act: Act) {
        let number = u32::try_from(self.acts.len()).expect("a number of acts");
        self.acts.push(act);
        self.world.plan(at, number);
    }

    fn act(&mut self, number: u32) {
        match self.acts[usize::try_from(number).expect("an index")] {
            Act::Announce(key) => {
                let Some(actor) = self.someone(|role| role == Role::Ours) else { return };
                self.announcing.insert(actor, self.watch.keys[key].target);
                self.world.set_awake(actor, true);
                self.watch.announce(&mut self.world, actor, key);
            }
            Act::Search => self.search(),
            Act::GiveUp(number) => {
                if let Some(actor) = self.watch.give_up(&mut self.world, number) {
                    self.put_to_sleep(actor);
                }
            }
            Act::Spoof => self.spoof(),
        }
    }

    fn search(&mut self) {
        let is_asker = |role| matches!(role, Role::Ours | Role::ReadOnly);
        let Some(actor) = self.someone(is_asker) else { return };
        let mut patience = GIVE_UP_AFTER;
        if self.scene.plan.attack == Some(Attack::Bootstrap) {
            let boot = self.hostile_start();
            self.world.boot(self.world.get(actor).host, boot);
            patience = START_UP;
        }
        self.world.set_awake(actor, true);
        let number = self.watch.search(&mut self.world, actor, &mut self.rng);
        self.plan(self.world.now + patience, Act::GiveUp(number));
    }

    /// What a node has that comes back after the network it knew has gone.
    fn hostile_start(&mut self) -> Boot {
        let population = self.scene.population;
        let mut some = |n: usize, role: Role| -> Vec<NodeInfo> {
            let hosts = (0..n).map(|_| population.any(&mut self.rng, |h| h.role == role));
            hosts.map(|at| population.get(at)).map(|h| NodeInfo { id: h.id, addr: h.addr() }).collect()
        };
        let mut saved = some(SAVED - SAVED_LIVE, Role::Gone);
        for (at, node) in some(SAVED_LIVE, Role::Ours).into_iter().enumerate() {
            saved.insert(at * SAVED / SAVED_LIVE + SAVED / SAVED_LIVE / 2, node);
        }
        let routers = some(ROUTERS, Role::Gone).into_iter().map(|n| n.addr).collect();
        Boot { own_id: None, saved, contacts: Vec::new(), routers }
    }

    fn on_told(&mut self, actor: ActorIndex, event: &Event) {
        if self.watch.on_told(&mut self.world, actor, event) {
            self.put_to_sleep(actor);
        }
        if let Event::Announced { target, to } = event
            && self.announcing.get(&actor) == Some(target)
        {
            self.announcing.remove(&actor);
            self.watch.on_announced(*target, *to, self.world.now);
            self.world.command(actor, Command::StopSearch { target: *target });
            self.put_to_sleep(actor);
        }
    }

    /// One query to a random node that seems to come from the victim.
    fn spoof(&mut self) {
        let target = NodeId::from(self.watch.keys[0].target);
        let method = match self.spoofed % 2 {
            0 => Method::GetPeers { info_hash: target, no_seeds: false, scrape: false },
            _ => Method::FindNode { target },
        };
        self.spoofed += 1;
        let query = Message {
            transaction: b"aa".to_vec(),
            kind: Kind::Query(Query { id: NodeId(self.rng.random()), want: None, method }),
            version: None,
            is_read_only: false,
            ip: None,
        };
        // a handful of reflectors, so that their limits show
        let near = self.world.truth(&target, super::census::HostIndex(u32::MAX));
        let Some(reflector) = near.get(self.rng.random_range(0..near.len().max(1))) else { return };
        let to: SocketAddr = self.scene.population.get(reflector.host).addr();
        self.world.spoof(to, query.encode());
        self.plan(self.world.now + SPOOF_EVERY, Act::Spoof);
    }

    fn put_to_sleep(&mut self, actor: ActorIndex) {
        if !self.is_full() {
            self.world.set_awake(actor, false);
        }
    }

    fn is_full(&self) -> bool {
        self.scene.plan.mode == Mode::Full
    }

    /// A machine of ours that is neither announcing nor searching.
    fn someone(&mut self, wanted: impl Fn(Role) -> bool) -> Option<ActorIndex> {
        loop {
            let host = self.scene.population.any(&mut self.rng, |h| wanted(h.role));
            let actor = self.world.actor(host)?;
            if !self.announcing.contains_key(&actor) && !self.watch.is_searching(actor) {
                return Some(actor);
            }
        }
    }
}
