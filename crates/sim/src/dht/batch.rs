//! Lookups in the middle of a network's life: tables are drawn, peers announced, and then random nodes search.
//!
//! A batch is a world of its own, so that batches can be played at once and forgotten, and their order decides
//! nothing. Hosts nobody talks to are never made; those that answer are not woken on their own account. In a full
//! batch every host is made and awake.

use super::Plan;
use super::chance::{Purpose, Times, generator};
use super::measure::{Lookup, Served};
use super::population::{Population, Role};
use super::world::{ActorIndex, Happening, START, World};
use core::net::SocketAddr;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use unchoke_dht::{Announce, Command, Event, NodeId, NodeInfo};
use unchoke_wire::WireHash;
use unchoke_wire::time::{Duration, Instant};

/// Time between two announcements.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(100);
/// Time from the last announcement to the first lookup.
const SETTLE: Duration = Duration::from_secs(10);
/// Mean time between two lookups.
const LOOKUP_EVERY: Duration = Duration::from_millis(100);
/// A lookup that has not ended by then is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// What came of a batch.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) lookups: Vec<Lookup>,
    /// Nodes that stored each announcement.
    pub(super) stored_at: Vec<u32>,
    pub(super) served: Served,
    /// Datagrams received by each host that was made, sorted.
    pub(super) loads: Vec<u64>,
    pub(super) events: u64,
    pub(super) digest: u64,
}

/// A key and who announced it.
#[derive(Clone, Copy, Debug)]
struct Key {
    target: WireHash,
    announced: Option<(SocketAddr, Instant)>,
}

/// A lookup under way.
#[derive(Clone, Copy, Debug)]
struct Search {
    number: u32,
    key: usize,
}

#[derive(Debug)]
struct Batch<'a> {
    world: World<'a>,
    population: &'a Population,
    rng: ChaCha8Rng,
    keys: Vec<Key>,
    lookups: u32,
    /// Keys whose announcement is under way, by who announces.
    announcing: BTreeMap<ActorIndex, usize>,
    searching: BTreeMap<ActorIndex, Search>,
    is_full: bool,
    played: Played,
}

/// Plays batch number `index` of a plan with so many lookups.
pub(super) fn play(plan: &Plan, population: &Population, index: u64, lookups: u32, is_full: bool) -> Played {
    let mut rng = generator(plan.seed, Purpose::Workload, index);
    let keys = (0..plan.keys(lookups)).map(|_| Key { target: WireHash(rng.random()), announced: None });
    let mut batch = Batch {
        world: World::new(population, plan.net, plan.seed, index),
        population,
        keys: keys.collect(),
        rng,
        lookups,
        announcing: BTreeMap::new(),
        searching: BTreeMap::new(),
        is_full,
        played: Played::default(),
    };
    batch.begin();
    while batch.ended() < batch.lookups
        && let Some(happening) = batch.world.step()
    {
        match happening {
            Happening::Act(act) => batch.act(act),
            Happening::Told(actor, event) => batch.on_told(actor, event),
        }
    }
    batch.finish()
}

impl Batch<'_> {
    /// Plans everything: keys are announced one after the other, then lookups come as they like.
    fn begin(&mut self) {
        if self.is_full {
            for host in self.population.hosts() {
                if let Some(actor) = self.world.actor(host) {
                    self.world.set_awake(actor, true);
                }
            }
        }
        let keys = self.key_count();
        let mut at = START;
        for act in 0..keys {
            at = at + ANNOUNCE_EVERY;
            self.world.plan(at, act);
        }
        at = at + SETTLE;
        let pauses = Times::exponential(LOOKUP_EVERY);
        for act in keys..keys + self.lookups {
            at = at + pauses.draw(&mut self.rng);
            self.world.plan(at, act);
        }
    }

    fn act(&mut self, act: u32) {
        let keys = self.key_count();
        if act < keys {
            self.announce(usize::try_from(act).expect("an index"));
        } else if act < keys + self.lookups {
            self.search(act - keys);
        } else {
            let number = act - keys - self.lookups;
            let late = self.searching.iter().find(|(_, s)| s.number == number).map(|(actor, _)| *actor);
            if let Some(actor) = late {
                self.end(actor, None);
            }
        }
    }

    fn announce(&mut self, key: usize) {
        let Some(actor) = self.someone(|role| role == Role::Ours) else { return };
        let Key { target, .. } = self.keys[key];
        let addr = self.population.get(self.world.get(actor).host).addr();
        self.keys[key].announced = Some((addr, self.world.now));
        self.announcing.insert(actor, key);
        self.world.set_awake(actor, true);
        let announce = Announce { port: addr.port(), implied_port: false, is_seed: true };
        self.world.command(actor, Command::Search { target, announce: Some(announce), is_urgent: true });
    }

    fn search(&mut self, number: u32) {
        let is_asker = |role| matches!(role, Role::Ours | Role::ReadOnly);
        let Some(actor) = self.someone(is_asker) else { return };
        let key = self.popular();
        let target = self.keys[key].target;
        self.searching.insert(actor, Search { number, key });
        self.world.set_awake(actor, true);
        self.world.begin_probe(actor, NodeId::from(target));
        self.world.plan(self.world.now + GIVE_UP_AFTER, self.key_count() + self.lookups + number);
        self.world.command(actor, Command::Search { target, announce: None, is_urgent: true });
    }

    fn on_told(&mut self, actor: ActorIndex, event: Event) {
        match event {
            Event::PeersFound { target, peers } => self.on_peers(actor, target, &peers),
            Event::SearchDone { target, closest, .. } => {
                let is_it = |s: &Search| self.keys[s.key].target == target;
                if self.searching.get(&actor).is_some_and(is_it) {
                    self.end(actor, Some(&closest));
                }
            }
            Event::Announced { target, to } => {
                let is_it = |key: &usize| self.keys[*key].target == target;
                if self.announcing.get(&actor).is_some_and(is_it) {
                    self.announcing.remove(&actor);
                    self.played.stored_at.push(u32::try_from(to).unwrap_or(u32::MAX));
                    self.stop(actor, target);
                }
            }
            _ => {}
        }
    }

    fn on_peers(&mut self, actor: ActorIndex, target: WireHash, peers: &[SocketAddr]) {
        let Some(search) = self.searching.get(&actor) else { return };
        let key = self.keys[search.key];
        if key.target != target {
            return;
        }
        let now = self.world.now;
        let Some(probe) = &mut self.world.get_mut(actor).probe else { return };
        for peer in peers {
            if key.announced.is_some_and(|(addr, _)| addr == *peer) {
                probe.first.get_or_insert(now);
            } else {
                probe.false_peers += 1;
            }
        }
    }

    /// Ends the lookup of `actor`; `closest` is what it found, unless it was given up.
    fn end(&mut self, actor: ActorIndex, closest: Option<&[NodeInfo]>) {
        let Some(search) = self.searching.remove(&actor) else { return };
        let Some(probe) = self.world.get_mut(actor).probe.take() else { return };
        let key = self.keys[search.key];
        let (now, host) = (self.world.now, self.world.get(actor).host);
        let found = closest.unwrap_or_default();
        let truth =
            self.world.census().closest(&probe.target, 8, |m| m.host != host && self.world.is_honest(m.host));
        let is_found = |id: &NodeId| found.iter().any(|n| n.id == *id);
        let is_hostile = |n: &NodeInfo| self.population.find(n.addr).is_some_and(|h| h.role == Role::Hostile);
        self.played.lookups.push(Lookup {
            began: probe.started.since(START),
            first: probe.first.map(|at| at.since(probe.started)),
            done: closest.map(|_| now.since(probe.started)),
            queries: probe.queries,
            hops: found.first().map_or(0, |n| probe.depth(&n.addr)),
            recall: count(truth.iter().filter(|m| is_found(&m.id))),
            captured: count(found.iter().filter(|n| is_hostile(n))),
            false_peers: probe.false_peers,
            bytes: probe.bytes,
            age: key.announced.map_or(Duration::ZERO, |(_, at)| now.since(at)),
        });
        self.played.served.add(probe.served);
        self.stop(actor, key.target);
    }

    fn stop(&mut self, actor: ActorIndex, target: WireHash) {
        self.world.command(actor, Command::StopSearch { target });
        if !self.is_full {
            self.world.set_awake(actor, false);
        }
    }

    fn finish(mut self) -> Played {
        let mut loads: Vec<u64> = self.world.actors().iter().map(|a| a.traffic.datagrams_in).collect();
        loads.sort_unstable();
        self.played.loads = loads;
        self.played.events = self.world.events;
        self.played.digest = self.world.digest;
        self.played
    }

    /// A machine of ours that is neither announcing nor searching.
    fn someone(&mut self, wanted: impl Fn(Role) -> bool) -> Option<ActorIndex> {
        loop {
            let host = self.population.any(&mut self.rng, |h| wanted(h.role));
            let actor = self.world.actor(host)?;
            if !self.announcing.contains_key(&actor) && !self.searching.contains_key(&actor) {
                return Some(actor);
            }
        }
    }

    /// A key after Zipf: the second is wanted half as often as the first, and so on.
    fn popular(&mut self) -> usize {
        zipf(self.keys.len(), &mut self.rng)
    }

    fn key_count(&self) -> u32 {
        u32::try_from(self.keys.len()).expect("a number of keys")
    }

    fn ended(&self) -> u32 {
        u32::try_from(self.played.lookups.len()).expect("a number of lookups")
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).expect("at most eight")
}

/// One of `n` by Zipf's law; the first is the likeliest.
pub(super) fn zipf(n: usize, rng: &mut impl Rng) -> usize {
    let weights = || (1..=n).map(|rank| 1.0 / f64::from(u32::try_from(rank).unwrap_or(u32::MAX)));
    let mut drawn = rng.random::<f64>() * weights().sum::<f64>();
    for (at, weight) in weights().enumerate() {
        drawn -= weight;
        if drawn < 0.0 {
            return at;
        }
    }
    n - 1
}
