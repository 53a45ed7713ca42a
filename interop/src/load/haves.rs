//! A million haves a second: each is taken, or its sender is closed, and nothing piles up.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use unchoke_sim::swarm::{About, Content};
use unchoke_wire::message::Message;
use unchoke_wire::{PieceIndex, WireHash};

use super::connections::Asker;
use super::{Size, mib, share};
use crate::attack::daemon::Daemon;
use crate::attack::raw::{Raw, stranger};
use crate::attack::rows::torrent_of;
use crate::case::ensure_quick;

/// Lets so many peers tell of each piece once, and join anew.
//= H3g-4
pub(super) fn run(binary: &Path, dir: &Path, size: &Size) -> Result<()> {
    let mut daemon = Daemon::start(binary, &dir.join("daemon"), &[], None)?;
    let content =
        Content::new("haves.bin", vec![0; PIECES as usize * (16 << 10)], 16 << 10, About::default());
    std::fs::write(daemon.downloads.join(&content.metainfo.info.name), &content.data)?;
    daemon.add(&torrent_of(&content), &[])?;
    daemon.wait_for_seeding(1, Duration::from_secs(60))?;
    let haves: Vec<u8> = (0..PIECES).flat_map(|piece| Message::Have(PieceIndex(piece)).to_vec()).collect();
    let (told, stop, hash) = (AtomicU64::new(0), AtomicBool::new(false), content.hash());
    let mut asker = Asker::join(&daemon, &content)?;
    let (mut early, mut late, mut times) = (0, 0, Vec::new());
    let mut per_s = 0.0;
    thread::scope(|scope| -> Result<()> {
        for n in 0..size.peers {
            let (daemon, told, stop, haves) = (&daemon, &told, &stop, &haves);
            scope.spawn(move || tell(daemon, hash, n, f64::from(size.peers), haves, told, stop));
        }
        let done = measure(&daemon, &mut asker, size, &told, (&mut early, &mut late, &mut times, &mut per_s));
        stop.store(true, Ordering::Relaxed);
        done
    })?;
    println!(
        "load haves: {per_s:.0} haves a second by {} peers; memory {:.1} MiB at first and {:.1} MiB after {:?}; honest \
         request p50 {:.1?} p99 {:.1?}",
        size.peers,
        mib(early),
        mib(late),
        size.lasts,
        share(&mut times, 50),
        share(&mut times, 99)
    );
    ensure!(late <= early + GROWTH_MAX, "memory grew from {early} to {late} bytes");
    daemon.expect_running()?;
    daemon.stop()?;
    ensure_quick(per_s >= TOLD_MIN_PER_S, || format!("{per_s:.0} haves a second were taken"))
}

/// Memory at the beginning and the end, the times of honest requests between, and the haves a second.
fn measure(
    daemon: &Daemon,
    asker: &mut Asker,
    size: &Size,
    told: &AtomicU64,
    (early, late, times, per_s): (&mut u64, &mut u64, &mut Vec<Duration>, &mut f64),
) -> Result<()> {
    thread::sleep(Duration::from_secs(2));
    let (before, start) = (told.load(Ordering::Relaxed), Instant::now());
    *early = daemon.resident()?;
    *times = asker.ask_for(size.lasts)?;
    *late = daemon.resident()?;
    *per_s = (told.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    Ok(())
}

/// One peer's part of the haves.
fn tell(
    daemon: &Daemon,
    hash: WireHash,
    n: u32,
    peers: f64,
    haves: &[u8],
    told: &AtomicU64,
    stop: &AtomicBool,
) {
    let (start, mut sent) = (Instant::now(), 0u32);
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut peer) = Raw::join(stranger(222, n), daemon.addr, hash) else { continue };
        for chunk in haves.chunks(HAVE_LEN * 1000) {
            while f64::from(sent) > start.elapsed().as_secs_f64() * OFFERED_PER_S / peers {
                thread::sleep(Duration::from_millis(5));
            }
            if stop.load(Ordering::Relaxed) || peer.stream.write_all(chunk).is_err() {
                break;
            }
            sent += 1000;
            told.fetch_add(1000, Ordering::Relaxed);
        }
    }
}

const PIECES: u32 = 10_000;
const HAVE_LEN: usize = 9;
const OFFERED_PER_S: f64 = 1_000_000.0;
/// On a machine that the tellers share.
const TOLD_MIN_PER_S: f64 = 500_000.0;
const GROWTH_MAX: u64 = 16 << 20;
