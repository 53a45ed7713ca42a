//! `cargo xtask compare`: the side-by-side with other clients, by the program that knows them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Runs `unchoke-interop compare` with the same arguments; it builds the binary it measures.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "unchoke-interop", "--", "compare"])
        .args(args)
        .current_dir(root)
        .status()
        .context("run cargo")?;
    Ok(status.success())
}
