//! `unchoke sim`: scenarios of the simulator.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use unchoke_sim::scenarios::{self, ALL};

use crate::args::SimArgs;

/// Plays a scenario over its seeds, or lists them all.
///
/// # Errors
/// There is no such scenario, or something did not hold: with the seed and the command that shows it again.
pub(crate) fn run(args: &SimArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if args.scenario == "list" {
        for scenario in ALL {
            writeln!(out, "{:<18} {}", scenario.name, scenario.what)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<_> = ALL.iter().filter(|s| args.scenario == "all" || args.scenario == s.name).collect();
    if chosen.is_empty() {
        bail!("there is no scenario {:?}; `unchoke sim list` names them", args.scenario);
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
