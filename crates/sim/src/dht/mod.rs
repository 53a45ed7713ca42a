//! DHT networks of any size in virtual time: real nodes and real datagrams on a modelled network.
//!
//! [`play`] takes a [`Plan`] and makes a [`Report`]. The same plan gives the same report, digest and all.

mod batch;
mod census;
mod chance;
mod foreign;
mod measure;
mod net;
mod population;
mod report;
mod world;

pub use chance::{Share, ShareError};
pub use measure::{Lookup, Served};
pub use net::{NetSettings, PAYLOAD_LEN_MAX};
pub use report::{Report, Spread};

use population::{Mix, Population};
use std::thread;

/// What to play.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Fixes everything left to chance.
    pub seed: u64,
    /// Live nodes.
    pub nodes: u32,
    /// Part of the nodes in tables that are gone.
    pub dead: Share,
    /// Lookups to measure.
    pub lookups: u32,
    /// Which hosts exist as machines.
    pub mode: Mode,
    /// How datagrams travel.
    pub net: NetSettings,
    /// Part of the nodes that are of other makes.
    pub foreign: Share,
}

/// Which hosts of a network exist as machines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Those that are talked to, from tables drawn for them; only those that search are awake.
    Snapshot,
    /// All of them, and all are awake.
    Full,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            seed: 1,
            nodes: 100_000,
            dead: Share::per_mille(200),
            lookups: 3000,
            mode: Mode::Snapshot,
            net: NetSettings::default(),
            foreign: Share::NONE,
        }
    }
}

/// Lookups of one batch of a snapshot.
const BATCH: u32 = 250;
/// Threads that play batches.
const THREADS: usize = 2;

impl Plan {
    /// Keys that are announced for so many lookups.
    fn keys(&self, lookups: u32) -> u32 {
        (lookups / 5).max(1)
    }

    /// Lookups of each batch.
    fn batches(&self) -> Vec<u32> {
        match self.mode {
            Mode::Full => vec![self.lookups],
            Mode::Snapshot => {
                let whole = self.lookups / BATCH;
                let rest = self.lookups % BATCH;
                (0..whole).map(|_| BATCH).chain((rest > 0).then_some(rest)).collect()
            }
        }
    }
}

/// Plays a plan.
pub fn play(plan: &Plan) -> Report {
    let mix = Mix { live: plan.nodes, dead: plan.dead, foreign: plan.foreign, hostile: Share::NONE };
    let population = &Population::new(plan.seed, mix);
    let batches: Vec<(u64, u32)> = (0..).zip(plan.batches()).collect();
    let play_some = |first: usize| {
        let mine = batches.iter().skip(first).step_by(THREADS);
        let played = mine.map(|(index, lookups)| {
            (*index, batch::play(plan, population, *index, *lookups, plan.mode == Mode::Full))
        });
        played.collect::<Vec<_>>()
    };
    let mut played: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || play_some(first))).collect();
        workers.into_iter().flat_map(|w| w.join().expect("a batch does not panic")).collect()
    });
    played.sort_unstable_by_key(|(index, _)| *index);
    Report::new(plan.clone(), played.into_iter().map(|(_, batch)| batch))
}
