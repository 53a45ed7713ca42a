//! `unchoke completions`: what a shell needs to complete our command lines.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{self, CompletionsArgs};
use crate::output;

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::definition(), "unchoke", &mut script);
    output::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
