//! `unchoke man`: manual pages from the definitions of the command line.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap_mangen::Man;

use crate::args::{self, ManArgs};
use crate::errors::{Usage, about};
use crate::output;

pub(super) fn run(args: &ManArgs) -> Result<ExitCode> {
    match &args.dir {
        Some(dir) => write_all(dir)?,
        None => output::bytes(&page(args.command.as_deref())?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The page of one command, or of the program.
fn page(name: Option<&str>) -> Result<Vec<u8>> {
    let mut all = args::definition();
    all.build();
    let command = match name {
        None => all,
        Some(name) => {
            let found = all.find_subcommand(name).cloned();
            found.ok_or_else(|| Usage(format!("there is no command '{name}'; `unchoke help` lists them")))?
        }
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page).context("cannot make the page")?;
    Ok(page)
}

fn write_all(dir: &Path) -> Result<()> {
    clap_mangen::generate_to(args::definition(), dir).map_err(|e| about("write pages to", dir, &e))
}
