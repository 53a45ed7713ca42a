//! A transfer over a long path: one connection must fill 1 Gbit/s at 100 ms, and complete where packets are lost. Needs no
//! other client.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::case::{Case, ensure_quick};
use crate::clients::{Client, Job};
use crate::fixtures::{Payload, Rng, allocated_bytes};
use crate::lab::Lab;
use crate::link::{Line, Shape};
use crate::netns::Namespaces;
use crate::proc::{command_with, wait_until};
use crate::transfer::{Folders, finish, jobs, wait_for_completion};

/// The rate, and the loss.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("long-path/rate".into(), Line::missing, fills_the_link),
        Case::new("long-path/loss".into(), Line::missing, completes_with_loss),
    ]
}

/// Past the start of the connection the payload alone must come at this share of the line rate.
fn fills_the_link(lab: &Lab, dir: &Path) -> Result<()> {
    let path = LongPath { loss_percent: 0, mib: 768 };
    path.run(lab, dir, |copy, size| {
        let reaches = |share: f64| {
            let bytes = size as f64 * share;
            wait_until("the download", LIMIT, || Ok(allocated_bytes(copy) as f64 >= bytes))?;
            anyhow::Ok((allocated_bytes(copy), Instant::now()))
        };
        let (first, last) = (reaches(STEADY.0)?, reaches(STEADY.1)?);
        let bits = (last.0 - first.0) as f64 * 8.0;
        let mbit_per_s = bits / last.1.duration_since(first.1).as_secs_f64() / 1e6;
        let wanted = f64::from(RATE_MBIT) * 0.9;
        ensure_quick(mbit_per_s >= wanted, || format!("{mbit_per_s:.0} Mbit/s of payload, not {wanted:.0}"))
    })
}

fn completes_with_loss(lab: &Lab, dir: &Path) -> Result<()> {
    LongPath { loss_percent: 1, mib: 16 }.run(lab, dir, |_, _| Ok(()))
}

/// What is between the two, and how much is moved.
struct LongPath {
    loss_percent: u32,
    mib: u64,
}

impl LongPath {
    /// Moves the payload from one of our clients to another; `watch` is given the copy and its size meanwhile.
    fn run(&self, lab: &Lab, dir: &Path, watch: impl Fn(&Path, u64) -> Result<()>) -> Result<()> {
        let namespaces = Namespaces::apart(if self.loss_percent == 0 { "far" } else { "lossy" })?;
        let _link = self.link(lab, dir, &namespaces)?;
        let payload = self.payload(dir)?;
        let torrent = dir.join("case.torrent");
        lab.unchoke.create(&payload, &torrent, &[])?;
        let folders = Folders::new(dir)?;
        let site = namespaces.site();
        let (seed, get) = jobs(&site, &payload, &torrent, &folders)?;
        let get = Job { dial: Some(seed.host.at(seed.port)), ..get };
        let seeding = lab.unchoke.start(&seed).context("start the seeder")?;
        let mut getting = lab.unchoke.start(&get).context("start the downloader")?;
        watch(&folders.copy.join(payload.name), payload.size)?;
        wait_for_completion(&lab.unchoke, &mut getting)?;
        payload.check_copy(&folders.copy, false)?;
        finish(seeding).context("stop the seeder")?;
        finish(getting).context("stop the downloader")
    }

    /// Joins the namespaces. The line lasts as long as what is returned.
    fn link(&self, lab: &Lab, dir: &Path, namespaces: &Namespaces) -> Result<Line> {
        let [(a, near), (b, far)] = namespaces.ends();
        for namespace in [a, b] {
            // autotuning ends here, and by default it ends at less than what is on the way
            let set = format!("echo {SEND_BUFFER} > /proc/sys/net/ipv4/tcp_wmem");
            let mut command = command_with("ip", ["netns", "exec", namespace, "sh", "-c", &set]);
            crate::proc::run(&mut command, Duration::from_secs(10))?;
        }
        let is_whole = self.loss_percent == 0;
        let shape = Shape { delay_ms: DELAY_MS, rate_mbit: RATE_MBIT, is_whole };
        let addresses = [near, far].map(|ip| format!("{ip}/24"));
        let mut line = Line::lay(lab, dir, namespaces, [&addresses[0], &addresses[1]], &shape)?;
        line.say(&format!("loss {} 0", self.loss_percent))?;
        Ok(line)
    }

    /// A file in which every MiB is another.
    fn payload(&self, dir: &Path) -> Result<Payload> {
        let parent = dir.join("payload");
        fs::create_dir_all(&parent)?;
        let payload =
            Payload { label: "long", name: "long.bin", parent, piece_length: MIB, size: self.mib << 20 };
        let mut file = std::io::BufWriter::new(fs::File::create(payload.path())?);
        let noise = Rng::new(7).bytes(usize::try_from(MIB)?);
        for n in 0..self.mib {
            file.write_all(&n.to_be_bytes())?;
            file.write_all(&noise[8..])?;
        }
        file.flush()?;
        Ok(payload)
    }
}

/// One way; the round trip is 100 ms.
const DELAY_MS: u32 = 50;
const RATE_MBIT: u32 = 1000;
/// Over which part of the download the rate is measured.
const STEADY: (f64, f64) = (0.4, 0.95);
/// Least, first and greatest bytes of a socket's send buffer.
const SEND_BUFFER: &str = "4096 16384 33554432";
const MIB: u32 = 1 << 20;
/// For each part of a download.
const LIMIT: Duration = Duration::from_secs(120);
