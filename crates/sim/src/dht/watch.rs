//! Keys, who announced them, and the lookups for them that are under way.

use super::measure::{Lookup, Served};
use super::population::Role;
use super::world::{ActorIndex, START, World};
use core::net::SocketAddr;
use rand::{Rng, RngExt};
use std::collections::BTreeMap;
use unchoke_dht::{Announce, Command, Event, NodeId, NodeInfo};
use unchoke_wire::WireHash;
use unchoke_wire::time::{Duration, Instant};

/// When a lookup counts as ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Until {
    /// When its first round in which anybody answered does.
    Round,
    /// When a peer is found.
    Peer,
}

/// A key and who announced it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) target: WireHash,
    announcer: Option<(SocketAddr, Instant)>,
}

/// A lookup under way.
#[derive(Clone, Copy, Debug)]
struct Search {
    number: u32,
    key: usize,
}

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) keys: Vec<Key>,
    pub(super) lookups: Vec<Lookup>,
    pub(super) served: Served,
    /// Nodes that stored each announcement.
    pub(super) stored_at: Vec<u32>,
    until: Until,
    searching: BTreeMap<ActorIndex, Search>,
    /// Lookups begun.
    begun: u32,
}

impl Watch {
    pub(super) fn new(targets: impl Iterator<Item = WireHash>, until: Until) -> Self {
        Watch {
            keys: targets.map(|target| Key { target, announcer: None }).collect(),
            lookups: Vec::new(),
            served: Served::default(),
            stored_at: Vec::new(),
            until,
            searching: BTreeMap::new(),
            begun: 0,
        }
    }

    pub(super) fn is_searching(&self, actor: ActorIndex) -> bool {
        self.searching.contains_key(&actor)
    }

    /// Lets a node announce a key, and go on announcing it.
    pub(super) fn announce(&mut self, world: &mut World<'_>, actor: ActorIndex, key: usize) {
        let (addr, target) = (world.get(actor).addr, self.keys[key].target);
        self.keys[key].announcer = Some((addr, world.now));
        let announce = Announce { port: addr.port(), implied_port: false, is_seed: true };
        world.command(actor, Command::Search { target, announce: Some(announce), is_urgent: true });
    }

    /// Takes note that an announcement was made; says for which key.
    pub(super) fn on_announced(&mut self, target: WireHash, to: usize, now: Instant) -> Option<usize> {
        let at = self.keys.iter().position(|k| k.target == target)?;
        if let Some((_, announced)) = &mut self.keys[at].announcer {
            *announced = now;
        }
        self.stored_at.push(u32::try_from(to).unwrap_or(u32::MAX));
        Some(at)
    }

    /// Lets a node look for a key drawn after Zipf; says the number of the lookup.
    pub(super) fn search(&mut self, world: &mut World<'_>, actor: ActorIndex, rng: &mut impl Rng) -> u32 {
        let key = zipf(self.keys.len(), rng);
        let number = self.begun;
        self.begun += 1;
        self.searching.insert(actor, Search { number, key });
        let target = self.keys[key].target;
        world.begin_probe(actor, NodeId::from(target));
        world.command(actor, Command::Search { target, announce: None, is_urgent: true });
        number
    }

    /// Gives a lookup up if it is still under way; says whose it was.
    pub(super) fn give_up(&mut self, world: &mut World<'_>, number: u32) -> Option<ActorIndex> {
        let late = self.searching.iter().find(|(_, s)| s.number == number).map(|(actor, _)| *actor)?;
        self.end(world, late, None);
        Some(late)
    }

    /// Forgets the lookup of a node that leaves.
    pub(super) fn forget(&mut self, actor: ActorIndex) {
        self.searching.remove(&actor);
    }

    /// Takes note of what a node tells; says whether that ends its lookup.
    pub(super) fn on_told(&mut self, world: &mut World<'_>, actor: ActorIndex, event: &Event) -> bool {
        let Some(search) = self.searching.get(&actor).copied() else { return false };
        let key = self.keys[search.key];
        match event {
            Event::PeersFound { target, peers } if *target == key.target => {
                let now = world.now;
                let Some(probe) = &mut world.get_mut(actor).probe else { return false };
                for peer in peers {
                    if key.announcer.is_some_and(|(addr, _)| addr == *peer) {
                        probe.first.get_or_insert(now);
                    } else {
                        probe.false_peers += 1;
                    }
                }
                let is_end = self.until == Until::Peer && probe.first.is_some();
                if is_end {
                    self.end(world, actor, Some(&[]));
                }
                is_end
            }
            Event::SearchDone { target, closest, .. } if *target == key.target => {
                let is_end = self.until == Until::Round && !closest.is_empty();
                if is_end {
                    self.end(world, actor, Some(closest));
                }
                is_end
            }
            _ => false,
        }
    }

    /// Ends the lookup of `actor`; `closest` is what it found, unless it was given up.
    fn end(&mut self, world: &mut World<'_>, actor: ActorIndex, closest: Option<&[NodeInfo]>) {
        let Some(search) = self.searching.remove(&actor) else { return };
        let Some(probe) = world.get_mut(actor).probe.take() else { return };
        let key = self.keys[search.key];
        let (now, host) = (world.now, world.get(actor).host);
        let found = closest.unwrap_or_default();
        let truth = world.truth(&probe.target, host);
        let is_found = |id: &NodeId| found.iter().any(|n| n.id == *id);
        let is_hostile = |n: &NodeInfo| world.host_at(n.addr).is_some_and(|h| h.role == Role::Hostile);
        self.lookups.push(Lookup {
            began: probe.started.since(START),
            first: probe.first.map(|at| at.since(probe.started)),
            done: closest.map(|_| now.since(probe.started)),
            queries: probe.queries,
            hops: found.first().map_or(0, |n| probe.depth(&n.addr)),
            recall: count(truth.iter().filter(|m| is_found(&m.id))),
            captured: count(found.iter().filter(|n| is_hostile(n))),
            false_peers: probe.false_peers,
            bytes: probe.bytes,
            age: key.announcer.map_or(Duration::ZERO, |(_, at)| now.since(at)),
        });
        self.served.add(probe.served);
        world.command(actor, Command::StopSearch { target: key.target });
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).expect("at most eight")
}

/// One of `n` by Zipf's law: the second is drawn half as often as the first, and so on.
fn zipf(n: usize, rng: &mut impl Rng) -> usize {
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
