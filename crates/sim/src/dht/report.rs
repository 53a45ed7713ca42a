//! The figures of a run.

use super::Plan;
use super::chance::scatter;
use super::life::Survey;
use super::measure::{Lookup, Served};
use super::watch::Watch;
use super::world::{Reflected, Votes, World};
use std::collections::BTreeMap;
use unchoke_wire::time::Duration;

/// What came of a plan.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// What was played.
    pub plan: Plan,
    /// Every lookup, batch after batch, in the order they ended.
    pub lookups: Vec<Lookup>,
    /// Nodes that stored each announcement.
    pub stored_at: Vec<u32>,
    /// Nodes that replies to lookups named.
    pub served: Served,
    /// Hosts that existed as machines, over all batches.
    pub machines: u64,
    /// Most datagrams that one host received, and the mean over the machines of its batch.
    pub load: Spread,
    /// Bytes a node sends and receives in a minute; of a network that lives, with its lookups.
    pub upkeep: f64,
    /// Times from the start of a node to its own neighbourhood.
    pub joins: Vec<Duration>,
    /// What tables held, hour by hour, in a network that lives.
    pub surveys: Vec<Survey>,
    /// Queries in a victim's name.
    pub reflected: Reflected,
    /// What nodes came to believe of their own address.
    pub votes: Votes,
    /// Events played.
    pub events: u64,
    /// The same for every run of the same plan.
    pub digest: u64,
}

/// What came of one world.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) watch: Watch,
    pub(super) upkeep: f64,
    pub(super) joins: Vec<Duration>,
    pub(super) surveys: Vec<Survey>,
    reflected: Reflected,
    votes: Votes,
    /// Datagrams received by each machine.
    loads: Vec<u64>,
    events: u64,
    digest: u64,
}

impl Played {
    pub(super) fn new(world: &World<'_>, watch: Watch, joins: Vec<Duration>) -> Self {
        Played {
            watch,
            upkeep: 0.0,
            joins,
            surveys: Vec::new(),
            reflected: world.reflected,
            votes: world.votes,
            loads: world.actors().iter().map(|a| a.traffic.received).collect(),
            events: world.events,
            digest: world.digest,
        }
    }
}

/// A distribution in a few figures.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Half are not above.
    pub p50: f64,
    /// Nineteen of twenty are not above.
    pub p95: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these values; zero of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some(max) = sorted.last().copied() else { return Spread::default() };
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        let len = f64::from(u32::try_from(sorted.len()).unwrap_or(u32::MAX));
        Spread { mean: sorted.iter().sum::<f64>() / len, p50: at(50), p95: at(95), max }
    }
}

impl Report {
    pub(super) fn new(plan: Plan, worlds: impl Iterator<Item = Played>) -> Self {
        let mut report = Report {
            plan,
            lookups: Vec::new(),
            stored_at: Vec::new(),
            served: Served::default(),
            machines: 0,
            load: Spread::default(),
            upkeep: 0.0,
            joins: Vec::new(),
            surveys: Vec::new(),
            reflected: Reflected::default(),
            votes: Votes::default(),
            events: 0,
            digest: 0,
        };
        let mut loads = Vec::new();
        for world in worlds {
            report.lookups.extend(world.watch.lookups);
            report.stored_at.extend(world.watch.stored_at);
            report.served.add(world.watch.served);
            report.machines += u64::try_from(world.loads.len()).expect("a number of machines");
            loads.extend(world.loads.iter().map(|load| number(*load)));
            report.upkeep = report.upkeep.max(world.upkeep);
            report.joins.extend(world.joins);
            report.surveys.extend(world.surveys);
            report.reflected.sent += world.reflected.sent;
            report.reflected.reflected += world.reflected.reflected;
            report.reflected.largest = report.reflected.largest.max(world.reflected.largest);
            report.votes.right += world.votes.right;
            report.votes.wrong += world.votes.wrong;
            report.events += world.events;
            report.digest = scatter(report.digest ^ world.digest);
        }
        report.load = Spread::of(loads);
        report
    }

    /// Adds what was measured of nodes at rest, and the digest of that run.
    pub(super) fn set_upkeep(&mut self, (bytes_per_minute, digest): (f64, u64)) {
        self.upkeep = bytes_per_minute;
        self.digest = scatter(self.digest ^ digest);
    }

    /// Part of the lookups that found an announced peer, 0 to 1.
    pub fn success(&self) -> f64 {
        share(self.lookups.iter().filter(|l| l.is_found()).count(), self.lookups.len())
    }

    /// Milliseconds to the end of the lookups that came to one.
    pub fn done_ms(&self) -> Spread {
        Spread::of(self.lookups.iter().filter_map(|l| l.done).map(ms))
    }

    /// Milliseconds to the first announced peer, where there was one.
    pub fn first_ms(&self) -> Spread {
        Spread::of(self.lookups.iter().filter_map(|l| l.first).map(ms))
    }

    /// Queries of a lookup.
    pub fn queries(&self) -> Spread {
        Spread::of(self.lookups.iter().map(|l| f64::from(l.queries)))
    }

    /// Hops of a lookup.
    pub fn hops(&self) -> Spread {
        Spread::of(self.lookups.iter().map(|l| f64::from(l.hops)))
    }

    /// Part of the eight closest live nodes that was found, 0 to 1.
    pub fn recall(&self) -> Spread {
        Spread::of(self.lookups.iter().map(|l| f64::from(l.recall) / 8.0))
    }

    /// Bytes of a lookup, both ways.
    pub fn bytes(&self) -> Spread {
        Spread::of(self.lookups.iter().map(|l| number(l.bytes)))
    }

    /// Nodes that stored an announcement.
    pub fn replicas(&self) -> Spread {
        Spread::of(self.stored_at.iter().map(|n| f64::from(*n)))
    }

    /// Part of the lookups that found no announced peer although attackers were among the closest, 0 to 1.
    pub fn captured(&self) -> f64 {
        share(self.lookups.iter().filter(|l| !l.is_found() && l.captured > 0).count(), self.lookups.len())
    }

    /// Attackers' part of the closest nodes found, 0 to 1, on average.
    pub fn hostile_closest(&self) -> f64 {
        Spread::of(self.lookups.iter().map(|l| f64::from(l.captured) / 8.0)).mean
    }

    /// Peers told that nobody announced, of a lookup.
    pub fn false_peers(&self) -> f64 {
        Spread::of(self.lookups.iter().map(|l| f64::from(l.false_peers))).mean
    }

    /// Milliseconds from the start of a node to its own neighbourhood.
    pub fn join_ms(&self) -> Spread {
        Spread::of(self.joins.iter().copied().map(ms))
    }

    /// Part of the lookups that found a peer, for each hour in which some began: the hour and 0 to 1.
    pub fn success_by_hour(&self) -> Vec<(u64, f64)> {
        self.success_by(|l| l.began.as_secs() / 3600)
    }

    /// The same by minutes since the peers were last announced.
    pub fn success_by_age(&self) -> Vec<(u64, f64)> {
        self.success_by(|l| l.age.as_secs() / 60)
    }

    fn success_by(&self, key: impl Fn(&Lookup) -> u64) -> Vec<(u64, f64)> {
        let mut counts: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
        for lookup in &self.lookups {
            let (found, all) = counts.entry(key(lookup)).or_default();
            *found += usize::from(lookup.is_found());
            *all += 1;
        }
        counts.into_iter().map(|(key, (found, all))| (key, share(found, all))).collect()
    }
}

fn number(n: u64) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn share(part: usize, whole: usize) -> f64 {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 { 0.0 } else { number(part) / number(whole) }
}
