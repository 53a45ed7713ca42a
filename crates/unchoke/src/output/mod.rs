//! What reaches the user: lines on stdout, bars on a terminal, events as JSON.

pub(crate) mod json;
pub(crate) mod progress;

use std::fmt;
use std::io::{self, Write};

use anyhow::{Context, Result};

use crate::errors::Unread;

/// Prints one line on stdout at once.
///
/// # Errors
/// When it cannot be written; `errors::report` keeps silent if its reader just went away.
pub(crate) fn line(text: impl fmt::Display) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context(Unread)
}

/// Writes bytes to stdout.
///
/// # Errors
/// As [`line`].
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context(Unread)
}
