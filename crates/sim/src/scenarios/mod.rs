//! The catalogue of runs: each makes a world of one seed, plays it, and says whether what must hold did hold.

mod faults;
mod hostile;
mod identity;
mod limits;
mod magnet;
mod near;
mod notes;
mod sharing;
mod trackers;
mod transfer;

pub use hostile::{CASES, Case, Reaction};

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

/// A world that was played, and figures worth telling.
struct Played {
    world: World,
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
#[error("{name} failed\n{what}\nSEED={seed}\nreplay: unchoke sim {name} --seed {seed}{}", peers.map(|n| format!(" --peers {n}")).unwrap_or_default())]
pub struct Failure {
    /// The scenario.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// How many peers were asked for.
    pub peers: Option<usize>,
    /// What did not hold.
    pub what: String,
}

/// Every scenario, by name.
pub const ALL: &[Scenario] = &[
    Scenario { name: "golden-a", what: "two peers, the notes' example flow", run: notes::golden_a },
    Scenario {
        name: "golden-a-plain",
        what: "the same with a peer of BEP 3 and no extension, message by message",
        run: notes::golden_a_plain,
    },
    Scenario { name: "golden-b", what: "the notes' three peers without a tracker", run: notes::golden_b },
    Scenario { name: "golden-b-far", what: "the same on lines of any make", run: notes::golden_b_far },
    Scenario {
        name: "golden-b-plain",
        what: "the bitfields 0xE0 and 0xC0 as a plain peer sees them",
        run: notes::golden_b_plain,
    },
    Scenario {
        name: "golden-b-stopped",
        what: "the notes' C completes from A after B has stopped",
        run: notes::golden_b_stopped,
    },
    Scenario { name: "idle", what: "ten idle minutes: every link is kept alive", run: notes::idle },
    Scenario {
        name: "swarm",
        what: "a swarm under faults of every kind, then healed (--peers, 30)",
        run: faults::swarm,
    },
    Scenario {
        name: "single-seed",
        what: "a swarm completes from one seed (--peers, 20)",
        run: sharing::single_seed,
    },
    Scenario { name: "fairness", what: "a seed gives everybody a share", run: sharing::fairness },
    Scenario {
        name: "flash-crowd",
        what: "one seed and hundreds of leeches at once (--peers, 60)",
        run: sharing::flash_crowd,
    },
    Scenario {
        name: "many-sources",
        what: "a leech with hundreds of peers (--peers, 40)",
        run: sharing::many_sources,
    },
    Scenario { name: "have-source", what: "who says have is asked for the piece", run: sharing::have_source },
    Scenario { name: "blame", what: "one corrupting peer among honest ones is found", run: sharing::blame },
    Scenario { name: "colluders", what: "two corrupting peers are found", run: sharing::colluders },
    Scenario { name: "magnet", what: "metadata from peers, a liar first", run: magnet::magnet },
    Scenario { name: "magnet-private", what: "a magnet that turns out to be private", run: magnet::private },
    Scenario { name: "tracker-http", what: "a swarm of an HTTP tracker", run: trackers::http },
    Scenario { name: "tracker-udp", what: "a swarm of a UDP tracker", run: trackers::udp },
    Scenario { name: "tracker-failover", what: "bad trackers before a good one", run: trackers::failover },
    Scenario { name: "pex", what: "peers found by peer exchange alone", run: trackers::pex },
    Scenario { name: "pex-poison", what: "liars in peer exchange beside an honest peer", run: near::poison },
    Scenario { name: "lan", what: "peers found in the local network alone (--peers, 6)", run: near::lan },
    Scenario { name: "strict-id", what: "wrong peer ids, strict and lenient", run: identity::strict_id },
    Scenario { name: "self-dial", what: "a host is told its own address", run: identity::self_dial },
    Scenario { name: "cross-dial", what: "two hosts dial each other", run: identity::cross_dial },
    Scenario { name: "session-ids", what: "a peer id is kept for a session", run: identity::session_ids },
    Scenario { name: "many-torrents", what: "a hundred torrents on one port", run: identity::many_torrents },
    Scenario { name: "stalled", what: "a silent peer's requests go elsewhere", run: transfer::stalled },
    Scenario { name: "choke", what: "chokes in mid-transfer, fast and plain", run: transfer::choke },
    Scenario { name: "slots", what: "more peers than slots: turns and allowed-fast", run: transfer::slots },
    Scenario { name: "end-game", what: "a slow peer does not hold up the end", run: transfer::end_game },
    Scenario { name: "selection", what: "only the wanted pieces are fetched", run: transfer::selection },
    Scenario { name: "pause", what: "pause and resume in mid-transfer", run: transfer::pause },
    Scenario { name: "remove", what: "a torrent removed in mid-transfer", run: transfer::remove },
    Scenario { name: "disk-full", what: "a full disk that gets room again", run: transfer::disk_full },
    Scenario { name: "long-path", what: "a round trip of 200 ms is filled", run: limits::long_path },
    Scenario { name: "rate-limit", what: "limits of both directions hold", run: limits::rate_limit },
    Scenario { name: "nat", what: "hosts nobody can dial complete", run: limits::nat },
    Scenario { name: "hostile", what: "every hostile peer beside an honest transfer", run: hostile::all },
];

/// Plays a scenario.
///
/// # Errors
/// What did not hold, with the seed and the command that shows it again; or there is no such scenario.
pub fn run(name: &str, seed: u64, peers: Option<usize>) -> Result<Report, Failure> {
    let failure = |what| Failure { name: name.to_owned(), seed, peers, what };
    let Some(scenario) = ALL.iter().find(|s| s.name == name) else {
        let names: Vec<&str> = ALL.iter().map(|s| s.name).collect();
        return Err(failure(format!("there is no such scenario; there are: {}", names.join(", "))));
    };
    let played = (scenario.run)(&Setup { seed, peers }).map_err(failure)?;
    played.world.verdict().map_err(failure)?;
    Ok(Report {
        name: scenario.name,
        seed,
        hosts: played.world.hosts().count(),
        time: played.world.now().since(unchoke_wire::time::Instant::from_micros(1_000_000)),
        digest: played.world.log().digest(),
        marks: played.world.marks().hit().clone(),
        figures: played.figures,
    })
}

/// An error unless the claim holds.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn played(world: World, figures: Vec<(&'static str, String)>) -> Result<Played, String> {
    Ok(Played { world, figures })
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
