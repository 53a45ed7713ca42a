//! Interrupted transfers: ours killed in the middle, theirs stopped in the middle, on either side.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::case::Case;
use crate::clients::{Client, Job, Peer};
use crate::fixtures::{Payload, allocated_bytes};
use crate::lab::{Lab, Other};
use crate::netns::Site;
use crate::proc::wait_until;
use crate::transfer::{Folders, finish, introduce, jobs, start_both, wait_for_completion};

/// Who is interrupted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interruption {
    /// We download; we are ended by SIGKILL and the same command is given again.
    OursKilled,
    /// We download; the other client, the seeder, is stopped and started again.
    SeederRestarted,
    /// The other client downloads from us, is stopped and started again.
    LeecherRestarted,
}

impl Interruption {
    const ALL: [Self; 3] = [Self::OursKilled, Self::SeederRestarted, Self::LeecherRestarted];

    fn name(self) -> &'static str {
        match self {
            Self::OursKilled => "ours-killed",
            Self::SeederRestarted => "seeder-restarted",
            Self::LeecherRestarted => "leecher-restarted",
        }
    }
}

/// Every interruption with every client.
pub(crate) fn cases(lab: &Lab) -> Vec<Case> {
    let mut cases = Vec::new();
    for interruption in Interruption::ALL {
        for other in Other::ALL {
            let name = format!("resume/{}/{}", interruption.name(), lab.client(other).name());
            cases.push(Case::new(
                name,
                move |lab| lab.client(other).missing(),
                move |lab, dir| run(interruption, lab, lab.client(other), dir),
            ));
        }
    }
    cases
}

fn run(interruption: Interruption, lab: &Lab, other: &dyn Client, dir: &Path) -> Result<()> {
    let site = Site::loopback();
    let payload = lab.payloads.file();
    let folders = Folders::new(dir)?;
    let torrent = dir.join("case.torrent");
    lab.unchoke.create(payload, &torrent, &[])?;
    let (mut seed, mut get) = jobs(&site, payload, &torrent, &folders)?;
    let (seeder, leecher): (&dyn Client, &dyn Client) = match interruption {
        Interruption::OursKilled | Interruption::SeederRestarted => (other, &lab.unchoke),
        Interruption::LeecherRestarted => (&lab.unchoke, other),
    };
    // The other side is slowed down, so that the middle lasts long enough to be met.
    match interruption {
        Interruption::LeecherRestarted => get.rate_limit = Some(RATE),
        _ => seed.rate_limit = Some(RATE),
    }
    introduce(&mut seed, &mut get, leecher);
    let (mut seeding, mut getting) = start_both(seeder, &seed, leecher, &get, || Ok(()))?;
    wait_for_middle(payload, &folders)?;
    match interruption {
        Interruption::OursKilled => {
            getting.process.kill()?;
            getting = restart(leecher, &get)?;
        }
        Interruption::SeederRestarted => {
            finish(seeding)?;
            getting.process.expect_running().context("it should wait for the seeder")?;
            seeding = restart(seeder, &seed)?;
        }
        Interruption::LeecherRestarted => {
            finish(getting)?;
            getting = restart(leecher, &get)?;
        }
    }
    wait_for_completion(leecher, &mut getting)?;
    payload.check_copy(&folders.copy, leecher.omits_empty_files())?;
    if interruption == Interruption::OursKilled {
        check_nothing_twice(seeder, &seeding, payload)?;
    }
    finish(seeding).context("stop the seeder")?;
    finish(getting).context("stop the downloader")
}

fn restart(client: &dyn Client, job: &Job<'_>) -> Result<Peer> {
    client.start(job).context("start it again")
}

/// Waits until two fifths of the payload are on the downloader's disk.
fn wait_for_middle(payload: &Payload, folders: &Folders) -> Result<()> {
    wait_until("the middle of the download", Duration::from_secs(90), || {
        let have = allocated_bytes(&folders.copy);
        if have >= payload.size {
            bail!("the download was over before its middle was seen");
        }
        Ok(have >= payload.size / 5 * 2)
    })
}

/// Verified pieces must not be fetched again; those in flight at the moment of the kill may be.
fn check_nothing_twice(seeder: &dyn Client, seeding: &Peer, payload: &Payload) -> Result<()> {
    let mut sent = None;
    // Some clients bring their counts up to date only every second or two.
    wait_until("the seeder's count of what it sent", Duration::from_secs(10), || {
        sent = seeder.bytes_uploaded(seeding)?;
        Ok(sent.is_none_or(|sent| sent >= payload.size))
    })?;
    let Some(sent) = sent else { return Ok(()) };
    let allowed = payload.size + payload.size / 5;
    if sent > allowed {
        bail!("the seeder sent {sent} bytes for {}: verified pieces were downloaded again", payload.size);
    }
    Ok(())
}

/// Bytes a second: 64 MiB last eight seconds.
const RATE: u32 = 8 << 20;
