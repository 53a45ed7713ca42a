//! The rows of the hostile suite on real sockets, all at once against one daemon: each on a torrent of its own that an
//! honest peer exchanges with the daemon at the same time.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unchoke_sim::bad_peer::BadPeer;
use unchoke_sim::scenarios::hostile::{self, Actor, PIECE_LEN, Reaction, Row, Scope, TORRENT_LEN, Victim};
use unchoke_sim::swarm::{About, Content};

use super::daemon::Daemon;
use super::player::{Clock, Player, play};
use super::raw::stranger;
use crate::case::ensure_quick;

/// The daemon under attack and the honest one.
pub(crate) struct Pair {
    pub(crate) victim: Daemon,
    pub(crate) honest: Daemon,
}

impl Pair {
    /// Two daemons below `dir`; the honest one moves [`RATE`] at most each way, so that it is the rate that decides and
    /// not the machine.
    pub(crate) fn start(binary: &Path, dir: &Path) -> Result<Self> {
        let rate = ["--limit-up", RATE, "--limit-down", RATE];
        Ok(Self {
            victim: Daemon::start(binary, &dir.join("victim"), &[], None)?,
            honest: Daemon::start(binary, &dir.join("honest"), &rate, None)?,
        })
    }

    /// Lets both exchange a torrent: the victim gives or gets it as `role` says, and the one that gets it dials.
    pub(crate) fn exchange(&self, content: &Content, role: Victim) -> Result<()> {
        let (giver, taker) = match role {
            Victim::Seed => (&self.victim, &self.honest),
            Victim::Leech | Victim::Magnet => (&self.honest, &self.victim),
        };
        give(giver, content, None)?;
        take(taker, content, role, Some(giver.addr))
    }

    /// The victim's part of an exchange, which has nobody to exchange with yet.
    fn prepare(&self, content: &Content, role: Victim) -> Result<()> {
        match role {
            Victim::Seed => give(&self.victim, content, None),
            Victim::Leech | Victim::Magnet => take(&self.victim, content, role, None),
        }
    }

    /// The honest daemon's part: it dials the victim.
    fn complete(&self, content: &Content, role: Victim) -> Result<()> {
        match role {
            Victim::Seed => take(&self.honest, content, role, Some(self.victim.addr)),
            Victim::Leech | Victim::Magnet => give(&self.honest, content, Some(self.victim.addr)),
        }
    }
}

/// Lets a daemon seed.
fn give(daemon: &Daemon, content: &Content, peer: Option<SocketAddr>) -> Result<()> {
    fs::write(daemon.downloads.join(&content.metainfo.info.name), &content.data)?;
    daemon.add(&torrent_of(content), peer.as_slice())
}

/// Lets a daemon download.
fn take(daemon: &Daemon, content: &Content, role: Victim, peer: Option<SocketAddr>) -> Result<()> {
    match role {
        Victim::Magnet => daemon.add_magnet(&content.magnet(Vec::new()).to_string(), peer),
        Victim::Seed | Victim::Leech => daemon.add(&torrent_of(content), peer.as_slice()),
    }
}

/// The bytes of a `.torrent` file.
pub(crate) fn torrent_of(content: &Content) -> Vec<u8> {
    [b"d4:info", &content.metainfo.raw_info[..], b"e"].concat()
}

/// What became of a row.
struct Verdict {
    row: &'static Row,
    actors: usize,
    result: Result<(), String>,
}

/// Plays the rows of these numbers, or all.
pub(super) fn run(binary: &Path, dir: &Path, numbers: &[u8]) -> Result<()> {
    let rows: Vec<&'static Row> = hostile::rows()
        .filter(|row| numbers.is_empty() || numbers.contains(&row.number))
        .filter(|row| ![ODD, ONE_SLOT].contains(&row.number))
        .collect();
    let mut pair = Pair::start(binary, dir)?;
    let alone = transfer(&pair, &rows, ALONE, |_| {})?;
    let calm = pair.victim.most_resident()?;
    let budget = pair.victim.budget()?.0;
    let (stop, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let verdicts = Mutex::new(Vec::new());
    let attacked = thread::scope(|scope| {
        scope.spawn(|| watch(&pair.victim, &most, &stop));
        let (victim, honest, verdicts) = (pair.victim.addr, pair.honest.addr, &verdicts);
        let attacked = transfer(&pair, &rows, ATTACKED, |row| {
            scope.spawn(move || {
                let verdict = attack(row, victim, honest);
                verdicts.lock().expect("no thread panics while it holds the verdicts").push(verdict);
            });
        });
        while attacked.is_ok()
            && verdicts.lock().expect("no thread panics while it holds the verdicts").len() < rows.len()
        {
            thread::sleep(LOOK);
        }
        stop.store(true, Ordering::Relaxed);
        attacked
    })?;
    pair.victim.expect_running()?;
    let verdicts = verdicts.into_inner().context("a thread panicked")?;
    let peers: usize = verdicts.iter().map(|v| v.actors).sum();
    let growth = most.into_inner().saturating_sub(calm);
    report(&verdicts, alone, attacked, growth, budget);
    judge(&verdicts, peers, growth, budget)?;
    let most_time = alone.mul_f64(SLOWDOWN_MAX) + LOOK * 2;
    pair.victim.stop()?;
    ensure_quick(attacked <= most_time, || {
        format!("the honest transfers took {attacked:.1?}, and {alone:.1?} alone")
    })
}

/// Lets the pair exchange a torrent for each row, and says how long that took. Where the hostile peers come first, `begun`
/// is called before the honest one comes, else after.
fn transfer(
    pair: &Pair,
    rows: &[&'static Row],
    salt: u64,
    mut begun: impl FnMut(&'static Row),
) -> Result<Duration> {
    for row in rows.iter().filter(|row| row.comes_first) {
        pair.prepare(&content_of(row, salt), row.victim)?;
        begun(row);
    }
    thread::sleep(LATER);
    let start = Instant::now();
    for row in rows {
        let content = content_of(row, salt);
        if row.comes_first {
            pair.complete(&content, row.victim)?;
        } else {
            pair.exchange(&content, row.victim)?;
            begun(row);
        }
    }
    let count = rows.len() * if salt == ALONE { 1 } else { 2 };
    pair.victim.wait_for_seeding(count, TRANSFER_LIMIT)?;
    pair.honest.wait_for_seeding(count, TRANSFER_LIMIT)?;
    Ok(start.elapsed())
}

fn content_of(row: &Row, salt: u64) -> Rc<Content> {
    Content::random(salt + u64::from(row.number), TORRENT_LEN, PIECE_LEN, About::default())
}

/// Plays one row for as long as it lasts and judges its peers.
fn attack(row: &'static Row, victim: SocketAddr, honest: SocketAddr) -> Verdict {
    let content = content_of(row, ATTACKED);
    let scope = Scope { content: &content, flood: FLOOD, seed: u64::from(row.number), victim, honest };
    let actors = (row.cast)(&scope);
    // a torrent that was just added takes connections once its files were looked at
    thread::sleep(SETTLES);
    let clock = Clock::start();
    let mut players: Vec<Player> = (0u32..)
        .zip(&actors)
        .map(|(n, actor)| {
            let mut tail = *b"-attack-0000";
            tail[8..].copy_from_slice(&(u32::from(row.number) << 16 | n).to_be_bytes());
            let peer = BadPeer::new(&content, actor.manner.clone(), tail, u64::from(n) + 1);
            Player::new(peer, stranger(row.number, n), victim, clock)
        })
        .collect();
    let lasts =
        unchoke_wire::time::Duration::from_micros(row.lasts.as_micros().try_into().unwrap_or(u64::MAX));
    let played = play(&mut players, clock, clock.now() + lasts, &AtomicBool::new(false));
    let mut result = played.map_err(|e| format!("{e:#}"));
    for (n, (actor, player)) in actors.iter().zip(&players).enumerate() {
        let judged =
            patient(actor).judge(player.peer.pipes()).map_err(|what| format!("peer {n} should get {what}"));
        result = result.and(judged);
    }
    Verdict { row, actors: actors.len(), result }
}

/// The same with twice the time, as the machine has other things to do, too.
fn patient(actor: &Actor) -> Actor {
    let twice = |by: unchoke_wire::time::Duration| by + by;
    let reaction = match actor.reaction {
        Reaction::Close(by) => Reaction::Close(twice(by)),
        Reaction::Silence(by) => Reaction::Silence(twice(by)),
        other => other,
    };
    Actor { reaction, ..actor.clone() }
}

/// Notes the most memory the victim takes.
fn watch(victim: &Daemon, most: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(bytes) = victim.resident() {
            most.fetch_max(bytes, Ordering::Relaxed);
        }
        thread::sleep(LOOK);
    }
}

fn report(verdicts: &[Verdict], alone: Duration, attacked: Duration, growth: u64, budget: u64) {
    let passed = verdicts.iter().filter(|v| v.result.is_ok()).count();
    let peers: usize = verdicts.iter().map(|v| v.actors).sum();
    println!(
        "attack: {passed} of {} rows, {peers} hostile peers; honest transfers {attacked:.1?}, alone {alone:.1?}; \
         memory +{:.1} MiB of a budget of {} MiB",
        verdicts.len(),
        growth as f64 / f64::from(1 << 20),
        budget >> 20
    );
}

fn judge(verdicts: &[Verdict], peers: usize, growth: u64, budget: u64) -> Result<()> {
    let mut failures = String::new();
    for verdict in verdicts {
        if let Err(what) = &verdict.result {
            writeln!(failures, "{} ({}): {what}", verdict.row.name, verdict.row.what)?;
        }
    }
    ensure!(failures.is_empty(), "{failures}");
    let most = u64::try_from(peers)? << 20;
    ensure!(growth <= most, "{peers} peers cost {growth} bytes of memory");
    ensure!(growth <= budget, "memory grew by {growth} bytes, beyond the budget of {budget}");
    Ok(())
}

/// What is odd and right, all of whose peers must stay: a victim that completes early closes the seeds among them.
const ODD: u8 = 0;
/// The row about what a peer may fetch while it is choked: it takes a victim with one upload slot, and the shipped one has
/// eight.
const ONE_SLOT: u8 = 36;
/// How much earlier those are there who come first.
const LATER: Duration = Duration::from_millis(1200);
/// How long after its torrent was added a row begins.
const SETTLES: Duration = Duration::from_millis(500);
/// Messages of a flood.
const FLOOD: u32 = 1_000_000;
/// What the honest daemon moves a second, each way.
const RATE: &str = "4MiB";
/// How much longer honest transfers may take.
const SLOWDOWN_MAX: f64 = 1.1;
/// Seeds of the contents without hostile peers, and with them.
const ALONE: u64 = 1000;
const ATTACKED: u64 = 2000;
const TRANSFER_LIMIT: Duration = Duration::from_secs(100);
const LOOK: Duration = Duration::from_millis(200);
