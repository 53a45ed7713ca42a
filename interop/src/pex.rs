//! Peer exchange with other clients: a downloader is told of one peer, which is slow and has nothing, and completes from
//! the seeder that this one tells it of.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::case::Case;
use crate::clients::{Client, Job, Role};
use crate::lab::{Lab, Other};
use crate::ports::free_port;
use crate::proc::wait_until;
use crate::transfer::{Direction, Folders, cases_on_one_wire, finish, jobs};

/// Both directions: we hear of the seeder from the other client, and tell it.
pub(crate) fn cases(lab: &Lab) -> Vec<Case> {
    cases_on_one_wire("pex", lab, run)
}

fn run(lab: &Lab, other: Other, direction: Direction, dir: &Path) -> Result<()> {
    let site = lab.namespaced_site()?;
    let payload = lab.payloads.file();
    let folders = Folders::new(dir)?;
    let torrent = dir.join("case.torrent");
    lab.unchoke.create(payload, &torrent, &[])?;
    // who hears is the downloader, who tells stands between it and the seeder, which is ours
    let (teller, hearer) = direction.order(&lab.unchoke, lab.client(other));
    let (mut seed, mut hear) = jobs(&site, payload, &torrent, &folders)?;
    let (middle, state) = (dir.join("middle"), dir.join("between"));
    fs::create_dir_all(&middle)?;
    fs::create_dir_all(&state)?;
    let mut tell = Job {
        role: Role::Get,
        // Transmission 3 knows one peer an address: who dials it must not come from the seeder's.
        host: if hearer.must_be_dialled() { &site.leecher } else { &site.meeting },
        port: free_port()?,
        dir: &middle,
        state: &state,
        rate_limit: Some(SLOW),
        ..hear
    };
    (seed.pex, tell.pex, hear.pex) = (true, true, true);
    // the seeder dials the teller, and so does the hearer, unless it has to be dialled itself
    seed.dial = Some(tell.host.at(tell.port));
    if hearer.must_be_dialled() {
        tell.dial = Some(hear.host.at(hear.port));
    } else {
        hear.dial = seed.dial;
    }
    let start_hearer = || hearer.start(&hear).context("start the downloader");
    let waiting = if hear.dial.is_none() { Some(start_hearer()?) } else { None };
    let mut telling = teller.start(&tell).context("start the one between")?;
    let seeding = lab.unchoke.start(&seed).context("start the seeder")?;
    let mut hearing = waiting.map_or_else(start_hearer, Ok)?;
    wait_until("the complete download", LIMIT, || hearer.is_complete(&mut hearing))?;
    payload.check_copy(&folders.copy, hearer.omits_empty_files())?;
    if teller.is_complete(&mut telling)? {
        bail!("the one between completed first, so it may have given all itself");
    }
    finish(seeding).context("stop the seeder")?;
    telling.process.kill().context("stop the one between")?;
    finish(hearing).context("stop the downloader")
}

/// Bytes a second: the payload takes an hour by this.
const SLOW: u32 = 20_000;
/// Clients tell once a minute, Transmission after a minute and a half.
const LIMIT: Duration = Duration::from_secs(200);
