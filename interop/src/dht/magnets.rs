//! Magnets that have nothing but an info-hash, found by the DHT alone, ten times out of ten.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::exchange::{case, their_addresses};
use super::foreign::{Foreign, Maker};
use super::node::Finder;
use super::ours::Ours;
use crate::case::Case;
use crate::clients::{Client, Source};
use crate::fixtures::{Payload, Rng};
use crate::lab::Lab;
use crate::netns::Site;
use crate::proc::wait_until;
use crate::transfer::{Folders, finish, jobs, wait_for_completion};

/// We download from libtorrent, and it from us.
pub(crate) fn cases() -> Vec<Case> {
    [("magnet-from", true), ("magnet-to", false)]
        .map(|(name, we_get)| {
            case(Maker::Libtorrent, &format!("{name}-{ROUNDS}-of-{ROUNDS}"), move |lab, dir| {
                run(we_get, lab, dir)
            })
        })
        .into()
}

fn run(we_get: bool, lab: &Lab, dir: &Path) -> Result<()> {
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let time = magnet(we_get, lab, dir, round);
        times.push(time.with_context(|| format!("round {} of {ROUNDS}", round + 1))?);
        for part in ["nodes", "original", "seeder", "leecher", "copy"] {
            fs::remove_dir_all(dir.join(part))?;
        }
    }
    times.sort();
    let seconds = |time: &Duration| time.as_secs_f64();
    let name = if we_get { "from" } else { "to" };
    println!(
        "  magnets {name} libtorrent: {ROUNDS} of {ROUNDS}, metadata after {:.2} s at the median ({:.2} to {:.2} s)",
        seconds(&times[times.len() / 2]),
        seconds(&times[0]),
        seconds(&times[times.len() - 1]),
    );
    Ok(())
}

/// One magnet: from the start of the downloader to its metadata.
///
/// It has a network of its own: libtorrent announces when its search has ended, and waits a quarter of a minute for
/// each node that has left.
fn magnet(we_get: bool, lab: &Lab, dir: &Path, round: u64) -> Result<Duration> {
    let mut ours = Ours::network(Ipv4Addr::LOCALHOST, 2)?;
    let entry = ours[0].at();
    let theirs =
        Foreign::start(Maker::Libtorrent, lab, &their_addresses(4)?, Some(entry), &dir.join("nodes"))?;
    let payload = payload(dir, round)?;
    let site = Site::loopback();
    let folders = Folders::new(dir)?;
    let torrent = payload.parent.join("case.torrent");
    lab.unchoke.create(&payload, &torrent, &[])?;
    let (hash, uri) = (lab.unchoke.info_hash(&torrent)?, lab.unchoke.magnet(&torrent)?);
    let (seeder, leecher): (&dyn Client, &dyn Client) =
        if we_get { (&lab.libtorrent, &lab.unchoke) } else { (&lab.unchoke, &lab.libtorrent) };
    let (mut seed, mut get) = jobs(&site, &payload, &torrent, &folders)?;
    // Each side begins at a node of its own make.
    let entries = if we_get { [theirs.at(), entry] } else { [entry, theirs.at()] };
    (seed.dht_nodes, get.dht_nodes) = (&entries[..1], &entries[1..]);
    get.source = Source::Magnet(&uri);
    let seeding = seeder.start(&seed).context("start the seeder")?;
    let at = seed.host.at(seed.port);
    wait_until("the seeder in the DHT", Duration::from_secs(60), || {
        // Slowly: a node answers one address only so often, and all of these have the same.
        thread::sleep(Duration::from_millis(250));
        Ok(ours[1].peers(&hash)?.contains(&at))
    })?;
    let started = Instant::now();
    let mut getting = leecher.start(&get).context("start the downloader")?;
    let sign = if we_get { "\"event\":\"metadata\"" } else { "METADATA" };
    // When both dial each other at the same moment, libtorrent closes both connections, and dials again in a minute.
    getting.process.wait_for_output(sign, Duration::from_secs(90))?;
    let time = started.elapsed();
    wait_for_completion(leecher, &mut getting)?;
    payload.check_copy(&folders.copy, false)?;
    finish(getting).context("stop the downloader")?;
    finish(seeding).context("stop the seeder")?;
    Ok(time)
}

/// A file that no other round has.
fn payload(dir: &Path, round: u64) -> Result<Payload> {
    let parent = dir.join("original");
    fs::create_dir_all(&parent)?;
    let name = "magnet.bin";
    fs::write(parent.join(name), Rng::new(1000 + round).bytes(SIZE))?;
    Ok(Payload { label: "magnet", name, parent, piece_length: 64 << 10, size: u64::try_from(SIZE)? })
}

const ROUNDS: u64 = 10;
/// In bytes.
const SIZE: usize = 600_000;
