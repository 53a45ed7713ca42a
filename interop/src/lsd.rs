//! Local service discovery with other clients: a seeder and a downloader on one wire, whom nobody introduces.

use std::path::Path;

use anyhow::{Context, Result};

use crate::case::Case;
use crate::lab::{Lab, Other};
use crate::transfer::{Direction, Folders, cases_on_one_wire, finish, jobs, start_both, wait_for_completion};

/// Both directions with every client that looks for peers in the local network.
pub(crate) fn cases(lab: &Lab) -> Vec<Case> {
    cases_on_one_wire("lsd", lab, run)
}

fn run(lab: &Lab, other: Other, direction: Direction, dir: &Path) -> Result<()> {
    let site = lab.namespaced_site()?;
    let payload = &lab.payloads.small;
    let folders = Folders::new(dir)?;
    let torrent = dir.join("case.torrent");
    // Its own info-hash, so that cases side by side do not hear of each other.
    let source = dir.file_name().and_then(|name| name.to_str()).context("a case has a name")?;
    lab.unchoke.create(payload, &torrent, &["--source", source])?;
    let (seeder, leecher) = direction.order(&lab.unchoke, lab.client(other));
    let (mut seed, mut get) = jobs(&site, payload, &torrent, &folders)?;
    (seed.lsd, get.lsd) = (true, true);
    let (seeding, mut getting) = start_both(seeder, &seed, leecher, &get, || Ok(()))?;
    wait_for_completion(leecher, &mut getting)?;
    payload.check_copy(&folders.copy, leecher.omits_empty_files())?;
    finish(seeding).context("stop the seeder")?;
    finish(getting).context("stop the downloader")
}
