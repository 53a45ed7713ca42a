//! The parts `verify` and `create`: hashing what is on the disk, with nobody else to wait for.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::bench::{Bench, Contender, figures, gib, limit, run_of};
use super::results::Run;
use crate::clients::{Client, first_missing};
use crate::fixtures::Payload;
use crate::proc::run_any;
use crate::usage::{Cost, cost_of};

/// Who takes part in `verify`; the payload is in the page cache, or in memory altogether.
pub(super) fn verify(bench: &Bench) -> Result<Vec<Contender<'_>>> {
    let payload = bench.large()?;
    let torrent = bench.torrent(&payload)?;
    check_that_damage_is_found(&bench.unchoke.binary, &torrent, &payload)?;
    let (size, at) = (gib(&payload), payload.path());
    let file = at.to_str().context("a temporary path is UTF-8")?.to_owned();
    let mib = (payload.size >> 20).to_string();
    let (ours, parent) = (torrent.clone(), payload.parent.clone());
    Ok(vec![
        Contender::new(UNCHOKE, move || {
            let mut command = Command::new(&bench.unchoke.binary);
            command.arg("verify").arg(&ours).arg("--dir").arg(&parent);
            Ok(run_of_process(&cost_of(&mut command)?, size))
        }),
        Contender::new(LIBTORRENT, move || {
            let mut command = bench.libtorrent.script(&bench.host);
            command.arg("recheck").arg(&torrent).arg(&payload.parent).arg(bench.host.at(0).to_string());
            run_of_report(&cost_of(&mut command)?, size)
        })
        .unless(bench.libtorrent.missing()),
        Contender::new(HASHING, move || run_of_report(&cost_of(&mut limit(["hash", &mib])?)?, size)),
        Contender::new(READING, move || run_of_report(&cost_of(&mut limit(["read", &file])?)?, size)),
    ])
}

/// Who takes part in `create`.
pub(super) fn create(bench: &Bench) -> Result<Vec<Contender<'_>>> {
    let payload = bench.large()?;
    let expected = bench.unchoke.info_hash(&bench.torrent(&payload)?)?;
    let (size, theirs, wanted) = (gib(&payload), payload.path(), expected.clone());
    let finished = move |cost: Cost, out: &Path, wanted: &str| -> Result<Run> {
        let got = bench.unchoke.info_hash(out)?;
        if got != wanted {
            bail!("another info-hash: {got}, not {wanted}");
        }
        Ok(run_of_process(&cost, size))
    };
    Ok(vec![
        Contender::new(UNCHOKE, move || {
            let out = bench.path("ours.torrent");
            let mut command = Command::new(&bench.unchoke.binary);
            command.arg("create").arg(payload.path()).arg("-o").arg(&out);
            command.args(["--piece-length", &payload.piece_length.to_string()]);
            let cost = cost_of(&mut command)?;
            let run = finished(cost, &out, &expected);
            fs::remove_file(&out)?;
            run
        }),
        Contender::new(MKTORRENT, move || {
            let out = bench.path("theirs.torrent");
            let mut command = Command::new("mktorrent");
            command.args(["-t", "2", "-l", "20", "-o"]).arg(&out).arg(&theirs);
            let cost = cost_of(&mut command)?;
            let run = finished(cost, &out, &wanted);
            fs::remove_file(&out)?;
            run
        })
        .unless(first_missing(&["mktorrent"])),
    ])
}

/// A fast check that takes damage for the real thing is no check: one byte is turned over, and back.
fn check_that_damage_is_found(unchoke: &Path, torrent: &Path, payload: &Payload) -> Result<()> {
    let file = File::options().read(true).write(true).open(payload.path())?;
    let (at, mut byte) = (payload.size / 2, [0]);
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[!byte[0]], at)?;
    let mut command = Command::new(unchoke);
    command.arg("verify").arg(torrent).arg("--dir").arg(&payload.parent);
    let (is_whole, ..) = run_any(&mut command, Duration::from_secs(120))?;
    file.write_all_at(&byte, at)?;
    if is_whole { bail!("verify took a damaged file for whole") } else { Ok(()) }
}

/// The measures of a process as a whole.
fn run_of_process(cost: &Cost, gib: f64) -> Run {
    run_of([(CPU, cost.cpu_s / gib), (WALL, cost.wall_s), (RATE, gib / cost.wall_s), (ANON, cost.anon_mib)])
}

/// The measures of a process that reports what its work cost, without its start.
fn run_of_report(cost: &Cost, gib: f64) -> Result<Run> {
    let report = figures(&cost.stdout)?;
    let figure = |name: &str| report.get(name).copied().with_context(|| format!("no {name} in its report"));
    let (cpu, wall) = (figure("cpu_s")?, figure("wall_s")?);
    Ok(run_of([(CPU, cpu / gib), (WALL, wall), (RATE, gib / wall), (ANON, cost.anon_mib)]))
}

/// Rows of these parts.
pub(super) const UNCHOKE: &str = "unchoke";
pub(super) const LIBTORRENT: &str = "libtorrent";
pub(super) const MKTORRENT: &str = "mktorrent -t 2";
pub(super) const HASHING: &str = "limit: hashing alone";
pub(super) const READING: &str = "limit: reading alone";
/// Measures of these parts: CPU seconds for each GiB, wall seconds, GiB a second, MiB.
pub(super) const CPU: &str = "cpu";
pub(super) const WALL: &str = "wall_s";
pub(super) const RATE: &str = "gib_per_s";
pub(super) const ANON: &str = "anon_mib";
