//! `unchoke demo`.

use std::io;
use std::process::ExitCode;

use anyhow::Result;

use crate::args::DemoArgs;
use crate::demo::{self, Telling};
use crate::errors::Unread;

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
    let is_unread = |e: &anyhow::Error| {
        e.downcast_ref().is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe)
    };
    demo::run(telling, &mut io::stdout().lock())
        .map_err(|e| if is_unread(&e) { e.context(Unread) } else { e })?;
    Ok(ExitCode::SUCCESS)
}
