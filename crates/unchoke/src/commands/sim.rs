//! `unchoke sim`: scenarios of the simulator.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use unchoke_sim::scenarios;

use super::sim_dht;
use crate::args::{SimArgs, SimNetwork};

/// Plays a scenario over its seeds, or lists them all.
///
/// # Errors
/// There is no such scenario, or something did not hold: with the seed and the command that shows it again.
pub(crate) fn run(args: &SimArgs) -> Result<ExitCode> {
    if let Some(SimNetwork::Dht(args)) = &args.network {
        return sim_dht::run(args);
    }
    let wanted = args.scenario.as_deref().unwrap_or("list");
    let mut out = std::io::stdout().lock();
    if wanted == "list" {
        for scenario in scenarios::all() {
            writeln!(out, "{:<18} {}", scenario.name, scenario.what)?;
        }
        writeln!(out, "{:<18} a DHT of any size: see `unchoke sim dht --help`", "dht")?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<_> = scenarios::all().filter(|s| wanted == "all" || wanted == s.name).collect();
    if chosen.is_empty() {
        bail!("there is no scenario {wanted:?}; `unchoke sim list` names them");
    }
    for scenario in chosen {
        for seed in args.seed..args.seed.saturating_add(args.runs) {
            match scenarios::run(scenario.name, seed, args.peers.map(usize::from)) {
                Ok(report) => writeln!(out, "{report}")?,
                Err(failure) => bail!("{}", failure.to_string().replace('\n', "; ")),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
