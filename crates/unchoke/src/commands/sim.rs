//! `unchoke sim`: scenarios of the simulator.

use std::fs;
use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::{Result, bail};
use unchoke_sim::scenarios::{self, Scenario, Setup};
use unchoke_sim::{timeline, watch};

use super::sim_all::{self, Runs};
use super::sim_dht;
use crate::args::{SimArgs, SimNetwork};
use crate::errors;

/// Plays a scenario over its seeds, or all of them, or lists them.
///
/// # Errors
/// There is no such scenario, or the drawing cannot be written.
pub(crate) fn run(args: &SimArgs) -> Result<ExitCode> {
    if let Some(SimNetwork::Dht(args)) = &args.network {
        return sim_dht::run(args);
    }
    let wanted = args.scenario.as_deref().unwrap_or("list");
    let mut out = std::io::stdout();
    let is_named = |s: &&Scenario| {
        let is_of_prefix = args.only.as_deref().is_none_or(|prefix| s.name.starts_with(prefix));
        is_of_prefix && (wanted == "all" || wanted == "list" || wanted == s.name)
    };
    let chosen: Vec<&Scenario> = scenarios::all().filter(is_named).collect();
    if wanted == "list" {
        for scenario in chosen {
            writeln!(out, "{:<32} {}", scenario.name, scenario.what)?;
        }
        writeln!(out, "{:<32} a DHT of any size: see `unchoke sim dht --help`", "dht")?;
        return Ok(ExitCode::SUCCESS);
    }
    if chosen.is_empty() {
        bail!("there is no scenario {wanted:?}; `unchoke sim list` names them");
    }
    let setup = Setup { seed: args.seed, peers: args.peers.map(usize::from), faults: args.faults };
    if let Some(path) = &args.svg {
        return draw(chosen[0], &setup, args, path);
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let runs = Runs {
        tells_each: chosen.len() == 1,
        scenarios: chosen,
        setup,
        seeds: args.runs,
        jobs: args.jobs.map_or(cores, usize::from),
    };
    let is_good = sim_all::play(&runs, &mut out)?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays one seed and draws it, whether it fails or not.
fn draw(scenario: &Scenario, setup: &Setup, args: &SimArgs, path: &Path) -> Result<ExitCode> {
    let (result, seen) = watch::watch(true, || scenario.play(setup));
    // a scenario may play several worlds: the one in which most happened is worth a look
    let Some(recording) = seen.recordings.iter().max_by_key(|r| r.log.entries().len()) else {
        bail!("{} plays no world of hosts, and there is nothing to draw", scenario.name);
    };
    let title = match &result {
        Ok(report) => format!("{report}"),
        Err(failure) => format!("{}: {}", scenario.name, failure.what.lines().next().unwrap_or_default()),
    };
    let span = timeline::Span { from: args.from, to: args.to };
    let svg = timeline::draw(recording, &title, span);
    fs::write(path, svg).map_err(|error| errors::about("write", path, &error))?;
    let mut out = std::io::stdout();
    match result {
        Ok(report) => writeln!(out, "{report}")?,
        Err(failure) => {
            writeln!(out, "{failure}")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
