//! What the figures were taken on and with.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::bench::Bench;
use super::root;
use crate::clients::Client;
use crate::clients::rqbit;
use crate::proc::{command_with, find_program, run_any};

/// Everything that is the same for a whole sitting, by name.
pub(super) fn about(bench: &Bench) -> Result<BTreeMap<String, String>> {
    let mut about = BTreeMap::from([
        ("date".to_owned(), said(&mut command_with("date", ["-u", "+%F"]))),
        ("machine".to_owned(), machine()),
        ("commit".to_owned(), commit()),
        ("rustc".to_owned(), said(&mut command_with("rustc", ["--version"]))),
        ("sizes".to_owned(), bench.sizes()),
    ]);
    let unchoke = said(Command::new(&bench.unchoke.binary).arg("--version"));
    if unchoke.is_empty() {
        bail!("{} does not tell its version", bench.unchoke.binary.display());
    }
    about.insert("versions".to_owned(), versions(bench, unchoke));
    Ok(about)
}

fn versions(bench: &Bench, unchoke: String) -> String {
    let mut versions = vec![unchoke];
    if bench.libtorrent.missing().is_none() {
        let mut command = bench.libtorrent.python(&bench.host, "-c".as_ref());
        versions.push(format!(
            "libtorrent {}",
            said(command.arg("import libtorrent; print(libtorrent.__version__)"))
        ));
    }
    let of =
        |program: &str, args: &[&str]| find_program(program).map(|path| said(Command::new(path).args(args)));
    versions.extend(of("aria2c", &["--version"]));
    versions.extend(of("transmission-daemon", &["--version"]));
    if rqbit::binary().is_file() {
        versions.push(said(Command::new(rqbit::binary()).arg("--version")));
    }
    let mktorrent = of("mktorrent", &["-h"]);
    versions.extend(mktorrent.map(|line| line.split(" (").next().unwrap_or_default().to_owned()));
    versions.join(", ")
}

/// Processor, cores, memory and kernel.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split_once(':')).map_or("?", |(_, value)| value.trim())
    };
    let flags: Vec<&str> = field("flags").split(' ').collect();
    let wanted = [("avx2", "AVX2"), ("avx512f", "AVX-512"), ("sha_ni", "SHA-NI")];
    let has = wanted.iter().filter(|(flag, _)| flags.contains(flag)).map(|(_, name)| *name);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = memory.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    format!(
        "{} (family {}, model {}; {}), {} cores, {} GiB, Linux {}",
        field("model name"),
        field("cpu family"),
        field("model"),
        has.collect::<Vec<_>>().join(", "),
        thread::available_parallelism().map_or(0, usize::from),
        kib >> 20,
        said(&mut command_with("uname", ["-r"])),
    )
}

/// The commit, marked when files differ from it.
fn commit() -> String {
    let git = |args: &[&str]| said(Command::new("git").args(args).current_dir(root()));
    let mark = if git(&["status", "--porcelain", "--", "crates"]).is_empty() { "" } else { " and changes" };
    format!("{}{mark}", git(&["rev-parse", "--short", "HEAD"]))
}

/// The first line a command says, on stdout or else stderr; nothing when it cannot be run.
fn said(command: &mut Command) -> String {
    let Ok((_, stdout, stderr)) = run_any(command, Duration::from_secs(20)) else { return String::new() };
    let line = |text: &str| text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    line(&stdout).or_else(|| line(&stderr)).unwrap_or_default()
}
