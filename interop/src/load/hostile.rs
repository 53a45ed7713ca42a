//! Hundreds of hostile peers that play every row of the suite at once and over again, while honest transfers go on.

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unchoke_sim::bad_peer::BadPeer;
use unchoke_sim::scenarios::hostile::{self, Actor, PIECE_LEN, Scope, TORRENT_LEN, Victim};
use unchoke_sim::swarm::{About, Content};

use super::{Size, mib};
use crate::attack::daemon::Daemon;
use crate::attack::player::{Clock, Player, play};
use crate::attack::raw::stranger;
use crate::attack::rows::{Pair, torrent_of};
use crate::case::ensure_quick;

/// What was seen.
#[derive(Default)]
struct Seen {
    /// The most memory of the victim.
    most: AtomicU64,
    /// Connections the hostile peers made.
    made: AtomicU64,
    /// Torrents the victim completed among them.
    completed: AtomicU64,
}

/// Lets so many hostile peers play for so long.
//= H3g-6
pub(super) fn run(binary: &Path, dir: &Path, size: &Size) -> Result<()> {
    let mut pair = Pair::start(binary, dir)?;
    let steady = Daemon::start(binary, &dir.join("steady"), &["--limit-up", STEADY_RATE], None)?;
    let seconds = usize::try_from(size.lasts.as_secs())? + SPARE_S;
    let long = Content::new("long.bin", vec![0; seconds * STEADY_PER_S], 64 << 10, About::default());
    std::fs::write(steady.downloads.join("long.bin"), &long.data)?;
    steady.add(&torrent_of(&long), &[])?;
    steady.wait_for_seeding(1, Duration::from_secs(60))?;
    pair.victim.add(&torrent_of(&long), &[steady.addr])?;
    let contents: Vec<_> = ROLES.iter().map(|role| content_of(*role)).collect();
    for (content, role) in contents.iter().zip(ROLES) {
        pair.exchange(content, *role)?;
    }
    thread::sleep(SETTLES);
    let alone = rate(&pair.victim, &long, MEASURED)?;
    let base = pair.victim.resident()?;
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let (attacked, innocents) = thread::scope(|scope| -> Result<(f64, bool)> {
        for n in 0..size.peers.div_ceil(PEERS_PER_THREAD) {
            let (victim, honest) = (pair.victim.addr, pair.honest.addr);
            let (seen, stop) = (&seen, &stop);
            scope.spawn(move || attack(n, victim, honest, seen, stop));
        }
        scope.spawn(|| watch(&pair.victim, &seen, &stop));
        let renewing = scope.spawn(|| renew(&pair, &seen, &stop));
        let attacked = rate(&pair.victim, &long, size.lasts);
        stop.store(true, Ordering::Relaxed);
        let innocents = renewing.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        Ok((attacked?, innocents))
    })?;
    let is_connected = knows(&pair.victim, &long, steady.addr)?;
    thread::sleep(RECOVERY);
    let after = pair.victim.resident()?.saturating_sub(base);
    let growth = seen.most.into_inner().saturating_sub(base);
    let (cap, used) = pair.victim.budget()?;
    println!(
        "load hostile: {} peers for {:?}, {} connections; honest transfer {:.0} B/s, alone {alone:.0} B/s; {} torrents \
         completed among them; memory +{:.1} MiB at most, +{:.1} MiB after {RECOVERY:?}; budget {:.0} MiB, {:.1} in use",
        size.peers,
        size.lasts,
        seen.made.into_inner(),
        attacked,
        seen.completed.into_inner(),
        mib(growth),
        mib(after),
        mib(cap),
        mib(used),
    );
    ensure!(is_connected && innocents, "an honest peer was banned");
    ensure!(growth <= MEMORY_MAX, "memory grew by {growth} bytes");
    ensure!(growth <= cap, "memory grew by {growth} bytes, beyond the budget of {cap}");
    ensure!(after <= LEFT_MAX, "{after} bytes of memory are left");
    pair.victim.expect_running()?;
    pair.victim.stop()?;
    ensure_quick(attacked >= alone * 0.9, || {
        format!("the honest transfer went at {attacked:.0} bytes a second, {alone:.0} alone")
    })
}

fn content_of(role: Victim) -> Rc<Content> {
    let number = match role {
        Victim::Leech => 3001,
        Victim::Seed => 3002,
        Victim::Magnet => 3003,
    };
    Content::random(number, TORRENT_LEN, PIECE_LEN, About::default())
}

/// Bytes a second the victim gets of a torrent, over so long.
fn rate(victim: &Daemon, content: &Content, over: Duration) -> Result<f64> {
    let hash = content.hash().to_string();
    let got = || victim.torrent(&hash)?["downloaded"].as_u64().context("no total");
    let (before, start) = (got()?, Instant::now());
    thread::sleep(over);
    Ok((got()? - before) as f64 / start.elapsed().as_secs_f64())
}

/// Whether the victim is connected with this peer.
fn knows(victim: &Daemon, content: &Content, peer: SocketAddr) -> Result<bool> {
    let torrent = victim.torrent(&content.hash().to_string())?;
    let connected = torrent["connected"].as_array().context("no peers")?;
    Ok(connected.iter().any(|p| p["address"] == peer.to_string()))
}

/// One thread's hostile peers: a handful at a time, each with another part of another row.
fn attack(thread: u32, victim: SocketAddr, honest: SocketAddr, seen: &Seen, stop: &AtomicBool) {
    let contents: Vec<_> = ROLES.iter().map(|role| (*role, content_of(*role))).collect();
    let mut parts: Vec<(Actor, Rc<Content>, Duration)> = Vec::new();
    for row in hostile::rows() {
        let content = contents.iter().find(|(role, _)| *role == row.victim).map(|(_, content)| content);
        let content = content.unwrap_or(&contents[0].1);
        let scope = Scope { content, flood: FLOOD, seed: u64::from(thread), victim, honest };
        // of a crowd a few
        let cast = (row.cast)(&scope).into_iter().take(CROWD_MAX);
        let lasts = Duration::from_micros(u64::try_from(row.lasts.as_micros()).unwrap_or(u64::MAX));
        parts.extend(cast.map(|actor| (actor, Rc::clone(content), lasts.min(LASTS_MAX))));
    }
    let clock = Clock::start();
    // each thread is elsewhere in the list
    let mut next = thread as usize * parts.len() / 20;
    let mut lot = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let mut lasts = Duration::ZERO;
        let mut players = Vec::new();
        for n in 0..PEERS_PER_THREAD {
            let (actor, content, long) = &parts[next % parts.len()];
            next += 1;
            lot += 1;
            lasts = lasts.max(*long);
            let mut tail = *b"-load-000000";
            tail[6..10].copy_from_slice(&(thread * PEERS_PER_THREAD + n).to_be_bytes());
            let peer = BadPeer::new(content, actor.manner.clone(), tail, lot);
            let from = stranger(230, thread * PEERS_PER_THREAD + n);
            players.push(Player::new(peer, from, victim, clock));
        }
        let lasts =
            unchoke_wire::time::Duration::from_micros(lasts.as_micros().try_into().unwrap_or(u64::MAX));
        if play(&mut players, clock, clock.now() + lasts, stop).is_err() {
            return;
        }
        let made: usize = players.iter().map(|p| p.peer.pipes().count()).sum();
        seen.made.fetch_add(u64::try_from(made).unwrap_or(0), Ordering::Relaxed);
    }
}

/// Lets the victim get its torrents anew whenever it has them; whether the honest peer always gave them.
fn renew(pair: &Pair, seen: &Seen, stop: &AtomicBool) -> Result<bool> {
    let renewed = [Victim::Leech, Victim::Magnet].map(|role| (role, content_of(role)));
    let mut since = [Instant::now(); 2];
    while !stop.load(Ordering::Relaxed) {
        for ((role, content), since) in renewed.iter().zip(&mut since) {
            let hash = content.hash().to_string();
            if pair.victim.torrent(&hash)?["state"] == "seeding" {
                seen.completed.fetch_add(1, Ordering::Relaxed);
                pair.victim.remove(&hash)?;
                match role {
                    Victim::Magnet => {
                        pair.victim
                            .add_magnet(&content.magnet(Vec::new()).to_string(), Some(pair.honest.addr))?;
                    }
                    Victim::Leech | Victim::Seed => {
                        pair.victim.add(&torrent_of(content), &[pair.honest.addr])?;
                    }
                }
                *since = Instant::now();
            }
            if since.elapsed() > COMPLETE_WITHIN {
                return Ok(false);
            }
        }
        thread::sleep(LOOK);
    }
    Ok(true)
}

/// Notes the most memory the victim takes.
fn watch(victim: &Daemon, seen: &Seen, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(bytes) = victim.resident() {
            seen.most.fetch_max(bytes, Ordering::Relaxed);
        }
        thread::sleep(LOOK);
    }
}

const ROLES: &[Victim] = &[Victim::Leech, Victim::Seed, Victim::Magnet];
const PEERS_PER_THREAD: u32 = 10;
/// Peers of one row, of those with more.
const CROWD_MAX: usize = 20;
/// The longest a part is played before the next.
const LASTS_MAX: Duration = Duration::from_secs(15);
/// Messages of a flood; each peer comes back with the next one.
const FLOOD: u32 = 100_000;
/// What the long transfer is given.
const STEADY_RATE: &str = "512KiB";
const STEADY_PER_S: usize = 512 << 10;
/// Seconds of the long transfer beside those of the attack.
const SPARE_S: usize = 100;
const SETTLES: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(8);
const RECOVERY: Duration = Duration::from_secs(60);
const MEMORY_MAX: u64 = 128 << 20;
const LEFT_MAX: u64 = 16 << 20;
const COMPLETE_WITHIN: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(250);
