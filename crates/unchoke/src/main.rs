//! The `unchoke` command: it reads the command line, runs one command and turns what went wrong into one line and an
//! exit code.

mod api;
mod args;
mod commands;
mod daemon;
mod demo;
mod describe;
mod errors;
mod output;
mod random;
mod remote;
mod selection;
mod source;
mod state;
mod units;

use std::process::ExitCode;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let outcome = args::parse().and_then(|cli| {
        start_log()?;
        commands::run(cli.command)
    });
    outcome.unwrap_or_else(|error| errors::report(&error))
}

/// Log lines on stderr, as `UNCHOKE_LOG` asks for: `info`, `unchoke_engine=debug`. None without it.
fn start_log() -> anyhow::Result<()> {
    let Ok(filter) = std::env::var("UNCHOKE_LOG") else { return Ok(()) };
    let filter = EnvFilter::try_new(filter).context("UNCHOKE_LOG is not a log filter")?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
