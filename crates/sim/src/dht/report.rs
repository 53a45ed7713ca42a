//! The figures of a run.

use super::Plan;
use super::batch::Played;
use super::chance::scatter;
use super::measure::{Lookup, Served};
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
    /// Events played.
    pub events: u64,
    /// The same for every run of the same plan.
    pub digest: u64,
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
    pub(super) fn new(plan: Plan, batches: impl Iterator<Item = Played>) -> Self {
        let mut report = Report {
            plan,
            lookups: Vec::new(),
            stored_at: Vec::new(),
            served: Served::default(),
            machines: 0,
            load: Spread::default(),
            events: 0,
            digest: 0,
        };
        let mut loads = Vec::new();
        for batch in batches {
            report.lookups.extend(batch.lookups);
            report.stored_at.extend(batch.stored_at);
            report.served.add(batch.served);
            report.machines += u64::try_from(batch.loads.len()).expect("a number of machines");
            loads.extend(batch.loads.iter().map(|load| u32::try_from(*load).map_or(f64::MAX, f64::from)));
            report.events += batch.events;
            report.digest = scatter(report.digest ^ batch.digest);
        }
        report.load = Spread::of(loads);
        report
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
        Spread::of(self.lookups.iter().map(|l| u32::try_from(l.bytes).map_or(f64::MAX, f64::from)))
    }

    /// Nodes that stored an announcement.
    pub fn replicas(&self) -> Spread {
        Spread::of(self.stored_at.iter().map(|n| f64::from(*n)))
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn share(part: usize, whole: usize) -> f64 {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 { 0.0 } else { number(part) / number(whole) }
}
