//! The parts that other programs of the project measure: idle torrents, long paths, and benchmarks of single functions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::bench::{Bench, Contender, figures, run_of};
use super::results::Run;
use super::root;
use crate::usage::cost_of;

/// How many idle torrents are held.
const IDLE: [u32; 2] = [10_000, 100_000];

/// Torrents that nobody asks for.
pub(super) fn idle(_bench: &Bench) -> Vec<Contender<'_>> {
    IDLE.iter()
        .map(|count| {
            let count = count.to_string();
            example(format!("{count} torrents"), "runtime", "idle", vec!["--torrents".to_owned(), count])
        })
        .collect()
}

/// One peer at the other end of a long path.
pub(super) fn long(_bench: &Bench) -> Vec<Contender<'_>> {
    vec![example("100 ms, 1 Gbit/s".to_owned(), "runtime", "long_path", Vec::new())]
}

/// What `cargo bench` last found out, if it ever ran here.
pub(super) fn micro(_bench: &Bench) -> Result<Vec<Contender<'static>>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut found = Vec::new();
    let top = target.join("criterion");
    estimates(&top, &mut found)?;
    found.sort();
    if found.is_empty() {
        return Ok(vec![Contender::absent("functions", "cargo bench has not run here")]);
    }
    let contender = |path: PathBuf| {
        let name = path.parent().and_then(Path::parent).and_then(|dir| dir.strip_prefix(&top).ok());
        let name = name.map_or_else(String::new, |name| name.display().to_string());
        Contender { once: true, ..Contender::new(name, move || estimate(&path)) }
    };
    Ok(found.into_iter().map(contender).collect())
}

/// All `new/estimates.json` below `dir`.
fn estimates(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.ends_with("new/estimates.json") {
            found.push(path);
        } else if path.is_dir() {
            estimates(&path, found)?;
        }
    }
    Ok(())
}

/// The median time of one iteration, in nanoseconds.
fn estimate(path: &Path) -> Result<Run> {
    let value: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let ns = value["median"]["point_estimate"].as_f64().context("estimates without a median")?;
    Ok(run_of([(NANOSECONDS, ns)]))
}

/// An example of a crate whose last line has the figures; absent where there is no such example.
fn example(name: String, krate: &str, example: &str, args: Vec<String>) -> Contender<'static> {
    if !root().join(format!("crates/{krate}/examples/{example}.rs")).is_file() {
        return Contender::absent(name, "nothing measures it yet");
    }
    let package = format!("unchoke-{krate}");
    let example = example.to_owned();
    let run = move || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(root()).args([
            "run",
            "--quiet",
            "--release",
            "-p",
            &package,
            "--example",
            &example,
        ]);
        figures(&cost_of(command.arg("--").args(&args))?.stdout)
    };
    Contender { once: true, ..Contender::new(name, run) }
}

/// The measure of functions.
pub(super) const NANOSECONDS: &str = "ns";
