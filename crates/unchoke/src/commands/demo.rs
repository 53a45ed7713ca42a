//! `unchoke demo`.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::DemoArgs;
use crate::demo::{self, Telling};

/// Plays the exchange and tells it on standard output.
///
/// # Errors
/// Loopback sockets cannot be had, or the exchange did not end in time.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode> {
    let telling = match (args.trace, args.json) {
        (true, _) => Telling::Trace,
        (_, true) => Telling::Json,
        _ => Telling::Words,
    };
    demo::run(telling, &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}
