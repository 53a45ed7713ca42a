//! The parts that other programs of the project measure: idle torrents, and benchmarks of single functions.

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
/// How long their CPU time is watched once they are ready.
const SECONDS: &str = "30";

/// Torrents that nobody asks for.
//= H3g-1
//= H3g-2
pub(super) fn idle(_bench: &Bench) -> Vec<Contender<'_>> {
    IDLE.iter()
        .map(|count| {
            let count = count.to_string();
            example(format!("{count} torrents"), "runtime", "idle", vec![count, SECONDS.to_owned()])
        })
        .collect()
}

/// What `cargo bench` last found out, if it ever ran here.
pub(super) fn micro(_bench: &Bench) -> Result<Vec<Contender<'static>>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let found = benchmarks(&target.join("criterion"))?;
    if found.is_empty() {
        return Ok(vec![Contender::absent("functions", "cargo bench has not run here")]);
    }
    Ok(found)
}

/// A contender for each benchmark whose last estimates are below `dir`.
fn benchmarks(dir: &Path) -> Result<Vec<Contender<'static>>> {
    let mut found = Vec::new();
    estimates(dir, &mut found)?;
    found.sort();
    let mut contenders = Vec::new();
    for path in found {
        let about: Value = serde_json::from_str(&fs::read_to_string(path.with_file_name("benchmark.json"))?)?;
        let name = about["full_id"].as_str().context("a benchmark without a name")?.to_owned();
        // A case may do its thing many times in one iteration.
        let units = about["throughput"]["Elements"].as_f64().unwrap_or(1.0);
        contenders.push(Contender { once: true, ..Contender::new(name, move || estimate(&path, units)) });
    }
    Ok(contenders)
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

/// The median time of one of so many in an iteration, in nanoseconds.
fn estimate(path: &Path, units: f64) -> Result<Run> {
    let value: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let ns = value["median"]["point_estimate"].as_f64().context("estimates without a median")?;
    Ok(run_of([(NANOSECONDS, ns / units)]))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmarks_are_found_with_their_names_and_counted_by_unit() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("picker/pick_20x1/new");
        fs::create_dir_all(&new).unwrap();
        fs::write(new.join("estimates.json"), r#"{"median":{"point_estimate":800.0}}"#).unwrap();
        fs::write(
            new.join("benchmark.json"),
            r#"{"full_id":"picker/pick/20x1","throughput":{"Elements":4}}"#,
        )
        .unwrap();
        let found = benchmarks(dir.path()).unwrap();
        assert_eq!(found[0].name, "picker/pick/20x1");
        assert_eq!((found[0].run)().unwrap(), run_of([(NANOSECONDS, 200.0)]));
        assert!(benchmarks(&dir.path().join("none")).unwrap().is_empty());
    }
}
