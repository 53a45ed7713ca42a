//! Unchoke against real third-party clients: `cargo run --release -p unchoke-interop [-- FILTER…]`.
//!
//! Runs the matrix of transfers, discoveries, interruptions and file agreements between the `unchoke` binary and the
//! clients that `interop/install.sh` brings. A case whose client is missing is skipped, aloud. The last line is
//! `interop: N passed, N failed, N skipped`; the exit code is 1 when a case failed.
//!
//! `cargo run --release -p unchoke-interop -- bench-dht` measures the DHT node beside libtorrent's instead, and
//! `-- kill9` kills a daemon at random moments, a thousand times;
//! `-- attack` and `-- load NAME` put strangers and load on it, without other clients;
//! `cargo xtask compare` transfers, checks and creates torrents with every client and writes `docs/performance.md`.

mod attack;
mod bench;
mod case;
mod clients;
mod compare;
mod create_agreement;
mod dht;
mod disk_faults;
mod fixtures;
mod kill9;
mod lab;
mod link;
mod load;
mod long_path;
mod lsd;
mod metainfo_samples;
mod net_faults;
mod netns;
mod pex;
mod ports;
mod proc;
mod resume;
mod show_agreement;
mod trackers;
mod transfer;
mod usage;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::case::{Case, Outcome};
use crate::lab::{Lab, Other};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let is_well = match args.split_first() {
        Some((first, rest)) if first == "bench-dht" => bench_dht(rest),
        Some((first, rest)) if first == "compare" => compare(rest),
        Some((first, rest)) if first == "attack" => attack(rest),
        Some((first, rest)) if first == "load" => load(rest),
        Some((first, rest)) if first == "kill9" => kill9(rest),
        Some((first, rest)) if first == "limit" => compare::limit::run(rest).map(|()| true),
        _ => Args::parse(args.into_iter()).and_then(|args| run(&args)).map(|summary| summary.failed == 0),
    };
    match is_well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("interop: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn bench_dht(args: &[String]) -> Result<bool> {
    let args = bench::Args::parse(args.iter().cloned())?;
    bench::run(&args, binary(args.unchoke.as_deref())?)
}

fn attack(args: &[String]) -> Result<bool> {
    let args = attack::Args::parse(args.iter().cloned())?;
    attack::run(&args, &binary(args.unchoke.as_deref())?).map(|()| true)
}

fn load(args: &[String]) -> Result<bool> {
    let args = load::Args::parse(args.iter().cloned())?;
    load::run(&args, &binary(args.unchoke.as_deref())?).map(|()| true)
}

fn kill9(args: &[String]) -> Result<bool> {
    let args = kill9::Args::parse(args)?;
    kill9::run(&args, &binary(args.unchoke.as_deref())?)
}

fn compare(args: &[String]) -> Result<bool> {
    let args = compare::Args::parse(args.iter().cloned())?;
    if args.measures_nothing() {
        return compare::render(&args);
    }
    compare::run(&args, &binary(args.unchoke.as_deref())?)
}

/// The command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Args {
    /// The binary under test; `None`: build it.
    unchoke: Option<PathBuf>,
    /// How many cases run side by side.
    jobs: usize,
    /// Only name the cases.
    list: bool,
    /// Parts of case names; none: all.
    filters: Vec<String>,
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self { jobs: 2, ..Self::default() };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--unchoke" => parsed.unchoke = Some(args.next().context("--unchoke needs a path")?.into()),
                "--jobs" => {
                    let jobs = args.next().context("--jobs needs a number")?;
                    parsed.jobs = jobs.parse().context("--jobs needs a number")?;
                }
                "--list" => parsed.list = true,
                "--help" | "-h" => bail!("unchoke-interop [--unchoke PATH] [--jobs N] [--list] [FILTER…]"),
                option if option.starts_with('-') => bail!("unknown option {option}"),
                _ => parsed.filters.push(arg),
            }
        }
        parsed.jobs = parsed.jobs.max(1);
        Ok(parsed)
    }
}

/// How many cases came to what.
#[derive(Default)]
struct Summary {
    passed: usize,
    failed: usize,
    skipped: usize,
}

fn run(args: &Args) -> Result<Summary> {
    let unchoke = if args.list { PathBuf::new() } else { binary(args.unchoke.as_deref())? };
    let lab = Lab::new(unchoke)?;
    let mut cases = create_agreement::cases();
    cases.extend(show_agreement::cases());
    cases.extend(transfer::cases(&lab));
    cases.extend(resume::cases(&lab));
    cases.extend(lsd::cases(&lab));
    cases.extend(pex::cases(&lab));
    cases.extend(dht::cases());
    cases.extend(long_path::cases());
    cases.extend(attack::cases());
    cases.extend(load::cases());
    cases.extend(kill9::cases());
    cases.extend(net_faults::cases());
    cases.extend(disk_faults::cases());
    cases.retain(|case| case.is_wanted(&args.filters));
    if cases.is_empty() {
        bail!("no case has {:?} in its name", args.filters);
    }
    if args.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(Summary::default());
    }
    if Other::ALL.iter().all(|other| lab.client(*other).missing().is_some()) {
        println!("interop: no third-party client is installed (interop/install.sh brings them)");
    }
    let summary = run_all(&lab, &cases, args.jobs);
    println!("interop: {} passed, {} failed, {} skipped", summary.passed, summary.failed, summary.skipped);
    Ok(summary)
}

/// Runs the cases on `jobs` threads, each taking the next one; those that wait on threads of their own.
fn run_all(lab: &Lab, cases: &[Case], jobs: usize) -> Summary {
    let summary = Mutex::new(Summary::default());
    let (waiting, working): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.is_waiting);
    thread::scope(|scope| {
        for (queue, threads) in [(&waiting, WAITING_JOBS), (&working, jobs)] {
            let (next, summary) = (Arc::new(AtomicUsize::new(0)), &summary);
            for _ in 0..threads.min(queue.len()) {
                let next = Arc::clone(&next);
                scope.spawn(move || {
                    while let Some(case) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                        run_one(lab, case, summary);
                    }
                });
            }
        }
    });
    summary.into_inner().expect("the threads are joined and none panicked")
}

fn run_one(lab: &Lab, case: &Case, summary: &Mutex<Summary>) {
    let (outcome, took) = case.run(lab);
    let mut summary = summary.lock().expect("no thread panics while it holds the summary");
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Passed => {
            summary.passed += 1;
            println!("{:<44} passed  {seconds:6.1} s", case.name);
        }
        Outcome::Failed(why) => {
            summary.failed += 1;
            println!("{:<44} FAILED  {seconds:6.1} s: {why}", case.name);
        }
        Outcome::Skipped(why) => {
            summary.skipped += 1;
            println!("{:<44} skipped {seconds:6.1} s: missing: {why}", case.name);
        }
    }
}

/// Cases that wait and run side by side.
const WAITING_JOBS: usize = 4;

/// The binary under test: the one named, or one built for it.
fn binary(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) => path.canonicalize().with_context(|| format!("find {}", path.display())),
        None => build_unchoke(),
    }
}

/// Builds the release binary with the cargo that runs us, and says where it is.
fn build_unchoke() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "-p", "unchoke", "--message-format=json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("run cargo")?;
    if !output.status.success() {
        bail!("cargo build --release -p unchoke failed");
    }
    executable_of(&String::from_utf8_lossy(&output.stdout)).context("cargo named no executable")
}

/// The `unchoke` executable in cargo's JSON messages.
fn executable_of(messages: &str) -> Option<PathBuf> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    parsed
        .filter(|message| message["target"]["name"] == "unchoke")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn options_and_filters_may_be_mixed() {
        let args = parse("http --unchoke /bin/unchoke --jobs 3 aria2").unwrap();
        assert_eq!(args.unchoke, Some(PathBuf::from("/bin/unchoke")));
        assert_eq!((args.jobs, args.list), (3, false));
        assert_eq!(args.filters, ["http", "aria2"]);
    }

    #[test]
    fn unknown_options_are_refused() {
        assert!(parse("--fast").is_err());
        assert!(parse("--unchoke").is_err());
        assert!(parse("--jobs many").is_err());
    }

    #[test]
    fn the_executable_is_read_from_cargo_messages() {
        let messages = concat!(
            "{\"target\":{\"name\":\"other\"},\"executable\":\"/x/other\"}\n",
            "{\"target\":{\"name\":\"unchoke\"},\"executable\":\"/x/unchoke\"}\n",
        );
        assert_eq!(executable_of(messages), Some(PathBuf::from("/x/unchoke")));
        assert_eq!(executable_of("noise\n"), None);
    }
}
