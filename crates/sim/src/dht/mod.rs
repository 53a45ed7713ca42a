//! DHT networks of any size in virtual time: real nodes and real datagrams on a modelled network.
//!
//! [`play`] takes a [`Plan`] and makes a [`Report`]. The same plan gives the same report, digest and all.

mod actor;
mod attack;
mod batch;
mod census;
mod chance;
mod chart;
mod foreign;
mod life;
mod measure;
mod nat;
mod net;
mod population;
mod report;
#[cfg(test)]
mod tests;
mod upkeep;
mod watch;
mod world;

pub use attack::{ATTACKS, Attack, AttackError, HOSTILE_DEFAULT};
pub use chance::{Share, ShareError};
pub use chart::draw;
pub use life::{Churn, Life, Start, Survey};
pub use measure::{Lookup, Served};
pub use net::{NetSettings, PAYLOAD_LEN_MAX};
pub use report::{Report, Spread};
pub use world::{Reflected, Votes};

use attack::Hostility;
use population::{Mix, Population};
use std::thread;
use world::Scene;

/// What to play.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Fixes everything left to chance.
    pub seed: u64,
    /// Live nodes.
    pub nodes: u32,
    /// Part of the nodes in tables that are gone; of a network that lives, tables begin without any.
    pub dead: Share,
    /// Lookups to measure.
    pub lookups: u32,
    /// Which hosts exist as machines.
    pub mode: Mode,
    /// How datagrams travel.
    pub net: NetSettings,
    /// Part of the nodes that are of other makes.
    pub foreign: Share,
    /// What is attacked.
    pub attack: Option<Attack>,
    /// Part of the nodes that are attackers, where they are nodes like all others.
    pub hostile: Share,
}

/// Which hosts of a network exist as machines.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mode {
    /// Those that are talked to, from tables drawn for them; only those that search are awake.
    Snapshot,
    /// All of them, from tables drawn for them, and all are awake.
    Full,
    /// All of them, and they come and go.
    Life(Life),
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
            attack: None,
            hostile: HOSTILE_DEFAULT,
        }
    }
}

/// Lookups of one batch of a snapshot.
const BATCH: u32 = 250;
/// Threads that play batches.
const THREADS: usize = 2;

impl Plan {
    /// Keys that are announced for so many lookups.
    fn keys(lookups: u32) -> u32 {
        (lookups / 5).max(1)
    }

    /// Lookups of each batch, with the batch's number.
    fn batches(&self) -> Vec<(u64, u32)> {
        let sizes = if self.mode == Mode::Full {
            vec![self.lookups]
        } else {
            let rest = self.lookups % BATCH;
            (0..self.lookups / BATCH).map(|_| BATCH).chain((rest > 0).then_some(rest)).collect()
        };
        (0..).zip(sizes).collect()
    }

    fn population(&self) -> Population {
        let is_widespread = self.attack.is_some_and(Attack::is_widespread);
        let hostile = if is_widespread { self.hostile } else { Share::NONE };
        let (live, dead) = match self.mode {
            Mode::Life(life) => (life::hosts_of(self.nodes, life), Share::NONE),
            Mode::Snapshot | Mode::Full => (self.nodes, self.dead),
        };
        let mix = Mix { live, dead, foreign: self.foreign, hostile };
        let is_ours = |n| matches!(self.mode, Mode::Life(_)) && n >= live - life::always_up();
        Population::new(self.seed, mix, is_ours)
    }
}

/// Plays the lookups of a plan in the caller's thread, and nothing else: what upkeep costs is left out.
///
/// # Panics
/// When the plan is of a network that lives.
pub fn look_up(plan: &Plan) -> Report {
    assert!(!matches!(plan.mode, Mode::Life(_)), "a network that lives is played as a whole");
    let (hostility, population) = Hostility::new(plan, plan.population());
    let scene = Scene { plan, population: &population, hostility: &hostility };
    let played = plan.batches().into_iter().map(|(index, lookups)| batch::play(scene, index, lookups));
    Report::new(plan.clone(), played)
}

/// Plays a plan.
pub fn play(plan: &Plan) -> Report {
    let (hostility, population) = Hostility::new(plan, plan.population());
    let scene = Scene { plan, population: &population, hostility: &hostility };
    if let Mode::Life(life) = plan.mode {
        return Report::new(plan.clone(), [life::play(scene, life)].into_iter());
    }
    let batches = plan.batches();
    let play_some = |first: usize| {
        let mine = batches.iter().skip(first).step_by(THREADS);
        mine.map(|(index, lookups)| (*index, batch::play(scene, *index, *lookups))).collect::<Vec<_>>()
    };
    let (upkeep, mut played) = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || play_some(first))).collect();
        let played: Vec<_> =
            workers.into_iter().flat_map(|w| w.join().expect("a batch does not panic")).collect();
        (upkeep::bytes_per_minute(scene), played)
    });
    played.sort_unstable_by_key(|(index, _)| *index);
    let mut report = Report::new(plan.clone(), played.into_iter().map(|(_, played)| played));
    report.set_upkeep(upkeep);
    report
}
