//! A machine of the router class: few descriptors and little memory. A hundred torrents run there, and a flood of
//! connections takes nothing from them.

use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use unchoke_sim::swarm::{About, Content};

use super::daemon::Daemon;
use super::player::dial_from;
use super::raw::{Raw, stranger};
use super::rows::torrent_of;

/// A hundred torrents with 256 descriptors in 64 MiB, under more connections than there are descriptors.
pub(super) fn run(binary: &Path, dir: &Path) -> Result<()> {
    let mut daemon = Daemon::start(binary, &dir.join("router"), &[], Some(DESCRIPTORS))?;
    let contents: Vec<_> =
        (0..TORRENTS).map(|n| Content::random(5000 + n, 64 << 10, 16 << 10, About::default())).collect();
    for content in &contents {
        std::fs::write(daemon.downloads.join(&content.metainfo.info.name), &content.data)?;
        daemon.add(&torrent_of(content), &[])?;
    }
    daemon.wait_for_seeding(contents.len(), Duration::from_secs(60))?;
    let mut silent = Vec::new();
    for n in 0..SILENT {
        silent.extend(dial_from(stranger(210, n), daemon.addr).map(TcpStream::from));
    }
    // peers that stay: more of them than connections fit
    let mut joined = Vec::new();
    for (n, content) in (0..SILENT).zip(contents.iter().cycle()) {
        joined.extend(Raw::join(stranger(211, n), daemon.addr, content.hash()));
    }
    let most = daemon.descriptors()?;
    ensure!(most <= DESCRIPTORS as usize, "{most} descriptors are open");
    drop((silent, joined));
    let deadline = Instant::now() + RECOVERS_WITHIN;
    for (n, content) in (0u32..).zip(&contents) {
        let recovered = || Raw::join(stranger(212, n), daemon.addr, content.hash());
        let mut answer = recovered();
        while answer.is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
            answer = recovered();
        }
        answer.with_context(|| format!("torrent {n} after the flood"))?;
    }
    let resident = daemon.most_resident()?;
    println!("few-descriptors: {most} of {DESCRIPTORS} open, {} MiB at most", resident >> 20);
    ensure!(resident <= MEMORY_MAX, "{resident} bytes of memory");
    let all = daemon.torrents()?;
    let failed = all.iter().find(|t| t["state"] != "seeding");
    ensure!(failed.is_none(), "a torrent did not last: {failed:?}");
    daemon.expect_running()?;
    daemon.stop()
}

const DESCRIPTORS: u32 = 256;
const TORRENTS: u64 = 100;
const SILENT: u32 = 300;
const MEMORY_MAX: u64 = 64 << 20;
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);
