//! The catalogue of runs: each makes a world of one seed, plays it, and says whether what must hold did hold.

mod announce;
mod clocks;
mod crash;
mod dht_net;
mod fault;
mod faults;
pub mod hostile;
mod identity;
mod layout;
mod limits;
mod magnet;
mod near;
mod notes;
mod room;
mod sharing;
mod stage;
mod super_seed;
mod trackers;
mod transfer;

use crate::fault::FaultSet;
use crate::host::{HostId, HostSettings};
use crate::link::LinkSettings;
use crate::marks::Mark;
use crate::world::World;
use core::fmt;
use rand::RngExt;
use std::collections::BTreeSet;
use unchoke_engine::Settings;
use unchoke_wire::time::Duration;

/// What a run is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Fixes everything that is left to chance.
    pub seed: u64,
    /// How many peers, where the scenario leaves it open.
    pub peers: Option<usize>,
    /// Which faults of its plan are played, where it has one; all when `None`.
    pub faults: Option<FaultSet>,
}

impl Setup {
    /// A run of this seed, as it comes.
    pub fn of_seed(seed: u64) -> Self {
        Setup { seed, peers: None, faults: None }
    }
}

/// One run of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub what: &'static str,
    run: fn(&Setup) -> Result<Played, String>,
}

/// What a run came to, once all that must hold did.
struct Played {
    hosts: usize,
    time: Duration,
    digest: u64,
    marks: BTreeSet<Mark>,
    figures: Vec<(&'static str, String)>,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The scenario.
    pub name: &'static str,
    /// Its seed.
    pub seed: u64,
    /// Hosts that took part.
    pub hosts: usize,
    /// Virtual time it took.
    pub time: Duration,
    /// The same for every run of the same seed.
    pub digest: u64,
    /// Rare paths it went down.
    pub marks: BTreeSet<Mark>,
    /// Figures worth telling.
    pub figures: Vec<(&'static str, String)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time.as_secs_f64();
        write!(f, "{}: seed {}, {} hosts, {time:.1} virtual seconds", self.name, self.seed, self.hosts)?;
        for (name, value) in &self.figures {
            write!(f, ", {name} {value}")?;
        }
        write!(f, ", digest {:016x}", self.digest)
    }
}

/// Why a run failed, and how to see it again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name} failed\n{what}\nSEED={}\nreplay: {}", setup.seed, self.replay())]
pub struct Failure {
    /// The scenario.
    pub name: String,
    /// What the run was made of.
    pub setup: Setup,
    /// What did not hold.
    pub what: String,
}

impl Failure {
    /// The command that shows it again.
    pub fn replay(&self) -> String {
        let Setup { seed, peers, faults } = self.setup;
        let faults = faults.map(|f| format!(" --faults {f}")).unwrap_or_default();
        let peers = peers.map(|n| format!(" --peers {n}")).unwrap_or_default();
        format!("unchoke sim {} --seed {seed}{faults}{peers}", self.name)
    }
}

/// Every scenario, folder by folder of the catalogue.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    GROUPS.iter().copied().flatten()
}

const GROUPS: &[&[Scenario]] = &[
    notes::SCENARIOS,
    transfer::SCENARIOS,
    sharing::SCENARIOS,
    super_seed::SCENARIOS,
    clocks::SCENARIOS,
    identity::SCENARIOS,
    magnet::SCENARIOS,
    trackers::SCENARIOS,
    near::SCENARIOS,
    limits::SCENARIOS,
    faults::SCENARIOS,
    crash::SCENARIOS,
    fault::SCENARIOS,
    announce::SCENARIOS,
    layout::SCENARIOS,
    room::SCENARIOS,
    dht_net::SCENARIOS,
    hostile::SCENARIOS,
];

/// Plays a scenario of the catalogue.
///
/// # Errors
/// What did not hold, with the seed and the command that shows it again; or there is no such scenario.
pub fn run(name: &str, seed: u64, peers: Option<usize>) -> Result<Report, Failure> {
    let setup = Setup { peers, ..Setup::of_seed(seed) };
    let Some(scenario) = all().find(|s| s.name == name) else {
        let names: Vec<&str> = all().map(|s| s.name).collect();
        let what = format!("there is no such scenario; there are: {}", names.join(", "));
        return Err(Failure { name: name.to_owned(), setup, what });
    };
    scenario.play(&setup)
}

impl Scenario {
    /// Plays it.
    ///
    /// # Errors
    /// What did not hold, with the command that shows it again.
    pub fn play(&self, setup: &Setup) -> Result<Report, Failure> {
        let played = (self.run)(setup);
        let Played { hosts, time, digest, marks, figures } =
            played.map_err(|what| Failure { name: self.name.to_owned(), setup: *setup, what })?;
        Ok(Report { name: self.name, seed: setup.seed, hosts, time, digest, marks, figures })
    }
}

/// An error unless the claim holds.
pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// The end of a world that was played: what its checkers saw, and figures worth telling.
fn played(world: World, figures: Vec<(&'static str, String)>) -> Result<Played, String> {
    world.verdict()?;
    Ok(Played {
        hosts: world.hosts().count(),
        time: world.now().since(unchoke_wire::time::Instant::from_micros(1_000_000)),
        digest: world.log().digest(),
        marks: world.marks().hit().clone(),
        figures,
    })
}

/// A line of 5 to 60 ms one way with up to 20 ms of jitter, 8 to 80 Mbit/s: what a home line may be.
fn home_link(world: &mut World) -> LinkSettings {
    let rng = world.rng();
    LinkSettings {
        latency: Duration::from_micros(rng.random_range(5_000..60_000)),
        jitter: Duration::from_micros(rng.random_range(0..20_000)),
        rate: rng.random_range(1_000_000..10_000_000),
        ..LinkSettings::default()
    }
}

/// A host on a home line; without a DHT node unless wanted.
fn home(world: &mut World, dht: bool) -> HostId {
    let link = home_link(world);
    let engine = Settings { dht, ..Settings::default() };
    world.add_host(HostSettings { link, engine, ..HostSettings::default() })
}
