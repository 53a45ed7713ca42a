//! A hundred thousand requests a second for blocks that are in memory: they are answered as fast as the machine does it, and
//! nothing piles up.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unchoke_sim::swarm::{About, Content};
use unchoke_wire::message::{Message, PIECE_HEADER_LEN};
use unchoke_wire::{BlockRef, PieceIndex, WireHash};

use super::{Size, mib};
use crate::attack::daemon::Daemon;
use crate::attack::raw::{Raw, stranger};
use crate::attack::rows::torrent_of;
use crate::case::ensure_quick;

/// Lets so many peers ask for small blocks at [`OFFERED_PER_S`] together.
//= H3g-4
pub(super) fn run(binary: &Path, dir: &Path, size: &Size) -> Result<()> {
    let mut daemon = Daemon::start(binary, &dir.join("daemon"), &[], None)?;
    let content = Content::random(8000, 4 << 20, 16 << 10, About::default());
    std::fs::write(daemon.downloads.join(&content.metainfo.info.name), &content.data)?;
    daemon.add(&torrent_of(&content), &[])?;
    daemon.wait_for_seeding(1, Duration::from_secs(30))?;
    let (answered, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let hash = content.hash();
    let (figures, answers) = thread::scope(|scope| {
        let askers: Vec<_> = (0..size.peers)
            .map(|n| {
                let (daemon, answered, stop) = (&daemon, &answered, &stop);
                scope.spawn(move || ask(daemon, hash, n, f64::from(size.peers), answered, stop))
            })
            .collect();
        let figures = measure(&daemon, size, &answered);
        stop.store(true, Ordering::Relaxed);
        let answers: Vec<_> = askers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (figures, answers)
    });
    for answer in answers {
        answer.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    let (early, late, per_s) = figures?;
    println!(
        "load requests: {per_s:.0} requests a second answered of {OFFERED_PER_S:.0} offered, by {} peers; memory {:.1} MiB \
         at first and {:.1} MiB after {:?}",
        size.peers,
        mib(early),
        mib(late),
        size.lasts
    );
    ensure!(late <= early + GROWTH_MAX, "memory grew from {early} to {late} bytes");
    daemon.expect_running()?;
    daemon.stop()?;
    ensure_quick(per_s >= ANSWERED_MIN_PER_S, || format!("{per_s:.0} requests a second were answered"))
}

/// Memory at the beginning and the end, and the requests answered in a second.
fn measure(daemon: &Daemon, size: &Size, answered: &AtomicU64) -> Result<(u64, u64, f64)> {
    thread::sleep(Duration::from_secs(2));
    let (begin, start) = (answered.load(Ordering::Relaxed), Instant::now());
    let early = daemon.resident()?;
    thread::sleep(size.lasts);
    let late = daemon.resident()?;
    let count = answered.load(Ordering::Relaxed) - begin;
    Ok((early, late, count as f64 / start.elapsed().as_secs_f64()))
}

/// One peer's part of the requests: as many as are due, with a bounded number unanswered.
fn ask(
    daemon: &Daemon,
    hash: WireHash,
    n: u32,
    peers: f64,
    answered: &AtomicU64,
    stop: &AtomicBool,
) -> Result<()> {
    let mut raw = Raw::join(stranger(221, n), daemon.addr, hash)?;
    raw.say(&Message::Interested)?;
    raw.wait_for(|m| matches!(m, Message::Unchoke)).context("wait to be unchoked")?;
    let answer = PIECE_HEADER_LEN + LEN as usize;
    let (start, mut asked, mut bytes) = (Instant::now(), 0usize, 0usize);
    let mut scratch = vec![0; 256 << 10];
    let mut begin = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = start.elapsed().as_secs_f64() * OFFERED_PER_S / peers;
        let open = asked - bytes / answer;
        let mut batch = Vec::new();
        while open + batch.len() / REQUEST_LEN < OPEN_MAX && (asked as f64) < due {
            let piece = PieceIndex((begin / (16 << 10)) % 256);
            let block = BlockRef { piece, begin: begin % (16 << 10), len: LEN };
            batch.extend(Message::Request(block).to_vec());
            begin = begin.wrapping_add(LEN) % (4 << 20);
            asked += 1;
        }
        raw.stream.write_all(&batch)?;
        if asked > bytes / answer {
            let before = bytes / answer;
            bytes += raw.stream.read(&mut scratch)?;
            answered.fetch_add((bytes / answer - before) as u64, Ordering::Relaxed);
        } else {
            thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(())
}

/// Bytes of a block: small, so that it is the requests that count.
const LEN: u32 = 256;
const REQUEST_LEN: usize = 17;
const OFFERED_PER_S: f64 = 100_000.0;
/// On a machine that the askers share.
const ANSWERED_MIN_PER_S: f64 = 50_000.0;
/// Requests of one peer that wait.
const OPEN_MAX: usize = 1500;
const GROWTH_MAX: u64 = 16 << 20;
