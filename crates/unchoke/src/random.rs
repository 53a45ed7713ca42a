//! Bytes that nobody can guess.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};

/// So many of them.
///
/// # Errors
/// When the system has none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    read.context("cannot get random bytes")?;
    Ok(bytes)
}
