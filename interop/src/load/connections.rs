//! Thousands of connections to one daemon: memory, and how long an honest request takes among them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unchoke_sim::swarm::{About, Content};
use unchoke_wire::message::Message;
use unchoke_wire::{BlockRef, PieceIndex};

use super::{Size, mib, share};
use crate::attack::daemon::Daemon;
use crate::attack::raw::{Raw, stranger};
use crate::attack::rows::torrent_of;
use crate::case::ensure_quick;

/// Connects so many peers, spread over torrents, and asks for blocks meanwhile.
//= H3g-3
pub(super) fn run(binary: &Path, dir: &Path, size: &Size) -> Result<()> {
    let most = (size.peers + 100).to_string();
    let mut daemon = Daemon::start(binary, &dir.join("daemon"), &["--max-connections", &most], None)?;
    let torrents = size.peers.div_ceil(PEERS_PER_TORRENT);
    let contents: Vec<_> = (0..u64::from(torrents))
        .map(|n| Content::random(7000 + n, 1 << 20, 16 << 10, About::default()))
        .collect();
    for content in &contents {
        std::fs::write(daemon.downloads.join(&content.metainfo.info.name), &content.data)?;
        daemon.add(&torrent_of(content), &[])?;
    }
    daemon.wait_for_seeding(contents.len(), Duration::from_secs(60))?;
    let mut asker = Asker::join(&daemon, &contents[0])?;
    let mut alone = asker.ask_for(Duration::from_secs(2))?;
    let base = daemon.resident()?;
    let mut peers = Vec::new();
    let start = Instant::now();
    for (n, content) in (0..size.peers).zip(contents.iter().cycle()) {
        let peer = Raw::join(stranger(220, n), daemon.addr, content.hash());
        peers.push(peer.with_context(|| format!("connection {n}"))?);
    }
    let joining = start.elapsed();
    let cpu = daemon.cpu_s()?;
    let mut times = asker.ask_for(size.lasts)?;
    let cpu = (daemon.cpu_s()? - cpu) / size.lasts.as_secs_f64();
    let connected: u64 = daemon.torrents()?.iter().filter_map(|t| t["peers"].as_u64()).sum();
    let growth = daemon.most_resident()?.saturating_sub(base);
    let (cap, used) = daemon.budget()?;
    let p99 = share(&mut times, 99);
    println!(
        "load connections: {connected} connected in {joining:.1?}, memory +{:.1} MiB ({:.1} KiB each), request p50 {:.1?} \
         p99 {p99:.1?} (alone p99 {:.1?}), {:.0} % of a core; budget {:.0} MiB, {:.1} counted in use",
        mib(growth),
        mib(growth) * 1024.0 / f64::from(size.peers),
        share(&mut times, 50),
        share(&mut alone, 99),
        cpu * 100.0,
        mib(cap),
        mib(used),
    );
    ensure!(connected > u64::from(size.peers), "only {connected} of {} are connected", size.peers);
    ensure!(growth <= MEMORY_MAX, "memory grew by {growth} bytes");
    ensure!(growth <= cap, "memory grew by {growth} bytes, beyond the budget of {cap}");
    daemon.expect_running()?;
    drop(peers);
    daemon.stop()?;
    ensure_quick(p99 <= ANSWER_MAX, || format!("an honest request took {p99:.1?}"))
}

/// A peer that is unchoked and asks for one block after the other.
pub(super) struct Asker(Raw);

impl Asker {
    /// Joins and waits for its turn.
    pub(super) fn join(daemon: &Daemon, content: &Content) -> Result<Self> {
        let mut raw = Raw::join(stranger(219, 1), daemon.addr, content.hash())?;
        raw.say(&Message::Interested)?;
        raw.wait_for(|m| matches!(m, Message::Unchoke)).context("wait to be unchoked")?;
        Ok(Self(raw))
    }

    /// How long each of the requests takes that are made every ten milliseconds for so long.
    pub(super) fn ask_for(&mut self, lasts: Duration) -> Result<Vec<Duration>> {
        let (start, mut times) = (Instant::now(), Vec::new());
        while start.elapsed() < lasts {
            let piece = PieceIndex(u32::try_from(times.len() % 64)?);
            let asked = Instant::now();
            self.0.say(&Message::Request(BlockRef { piece, begin: 0, len: 16 << 10 }))?;
            self.0.wait_for(|m| matches!(m, Message::Piece { .. })).context("wait for a block")?;
            times.push(asked.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(times)
    }
}

/// Fewer than a torrent takes.
const PEERS_PER_TORRENT: u32 = 180;
const MEMORY_MAX: u64 = 200 << 20;
const ANSWER_MAX: Duration = Duration::from_millis(50);
