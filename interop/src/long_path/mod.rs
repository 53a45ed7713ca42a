//! A transfer over a long path: one connection must fill 1 Gbit/s at 100 ms, and complete where packets are lost. Needs no
//! other client.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ChildStdin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::case::Case;
use crate::clients::{Client, Job, first_missing};
use crate::fixtures::{Payload, Rng, allocated_bytes};
use crate::lab::Lab;
use crate::netns::Namespaces;
use crate::proc::{Process, command_with, wait_until};
use crate::transfer::{Folders, finish, jobs, wait_for_completion};

/// The rate, and the loss.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("long-path/rate".into(), missing, fills_the_link),
        Case::new("long-path/loss".into(), missing, completes_with_loss),
    ]
}

fn missing(lab: &Lab) -> Option<String> {
    let tun = || (!Path::new("/dev/net/tun").exists()).then(|| "/dev/net/tun".to_owned());
    let site = || lab.namespaced_site().err().map(|error| format!("{error:#}"));
    first_missing(&["python3", "ip"]).or_else(tun).or_else(site)
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
        ensure!(mbit_per_s >= wanted, "{mbit_per_s:.0} Mbit/s of payload, not {wanted:.0}");
        Ok(())
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

    /// Joins the namespaces. The link lasts as long as what is returned.
    fn link(&self, lab: &Lab, dir: &Path, namespaces: &Namespaces) -> Result<(Process, ChildStdin)> {
        let script = lab.script("link.py", include_str!("link.py"))?;
        let [(a, near), (b, far)] = namespaces.ends();
        for namespace in [a, b] {
            // autotuning ends here, and by default it ends at less than what is on the way
            let set = format!("echo {SEND_BUFFER} > /proc/sys/net/ipv4/tcp_wmem");
            let mut command = command_with("ip", ["netns", "exec", namespace, "sh", "-c", &set]);
            crate::proc::run(&mut command, Duration::from_secs(10))?;
        }
        let (near, far) = (format!("{near}/24"), format!("{far}/24"));
        let figures = [DELAY_MS, RATE_MBIT, self.loss_percent].map(|figure| figure.to_string());
        let mut command = command_with("python3", []);
        command.arg(script).args([a, &near, b, &far]).args(figures);
        let log = dir.join("link");
        fs::create_dir_all(&log)?;
        let (mut process, mut input) = Process::start_with_input(command, &log.join("log"))?;
        process.wait_for_output("ready", Duration::from_secs(10)).context("start the link")?;
        // a link that is gone shows here and not as a slow transfer
        input.write_all(b"\n").context("keep the link")?;
        Ok((process, input))
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
