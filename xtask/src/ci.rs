//! `cargo xtask ci`: every check of `.ci/run` on this machine as it is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Runs `.ci/run`, which holds the one list of checks, and has it install nothing.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let status = Command::new("bash")
        .args([".ci/run", "--no-install"])
        .current_dir(root)
        .status()
        .context("cannot start bash, which .ci/run needs")?;
    Ok(status.success())
}
