//! Strangers against the shipped binary over real sockets: every row of the hostile suite that the simulator plays
//! (`unchoke_sim::scenarios::hostile`), and floods at their full numbers, beside honest transfers that must go on.
//!
//! `unchoke-interop attack [--unchoke PATH] [--rows N,N…]` plays the rows alone; the cases `attack/…` and `load/…` of the
//! matrix play all of it.

pub(crate) mod daemon;
mod descriptors;
mod floods;
pub(crate) mod player;
pub(crate) mod raw;
pub(crate) mod rows;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::case::Case;

/// The rows, the floods, and a machine with few descriptors. They need no other client.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("attack/rows".into(), |_| None, |lab, dir| rows::run(&lab.unchoke.binary, dir, &[])),
        Case::new("attack/floods".into(), |_| None, |lab, dir| floods::run(&lab.unchoke.binary, dir)),
        Case::new(
            "attack/few-descriptors".into(),
            |_| None,
            |lab, dir| descriptors::run(&lab.unchoke.binary, dir),
        ),
    ]
}

/// The command line of `attack`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    /// The binary under test; `None`: build it.
    pub(crate) unchoke: Option<PathBuf>,
    /// Numbers of rows; none: all.
    rows: Vec<u8>,
}

impl Args {
    /// Reads it.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--unchoke" => parsed.unchoke = Some(args.next().context("--unchoke needs a path")?.into()),
                "--rows" => {
                    let list = args.next().context("--rows needs numbers")?;
                    let rows = list.split(',').map(str::parse);
                    parsed.rows = rows.collect::<Result<_, _>>().context("--rows needs numbers")?;
                }
                _ => bail!("unchoke-interop attack [--unchoke PATH] [--rows N,N…]"),
            }
        }
        Ok(parsed)
    }
}

/// Plays the rows and prints what became of each.
pub(crate) fn run(args: &Args, binary: &std::path::Path) -> Result<()> {
    let dir = tempfile::tempdir()?;
    rows::run(binary, dir.path(), &args.rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_their_numbers() {
        let parse = |line: &str| Args::parse(line.split_whitespace().map(String::from));
        assert_eq!(parse("--rows 7,11").unwrap().rows, [7, 11]);
        assert_eq!(parse("").unwrap(), Args::default());
        assert!(parse("--rows many").is_err() && parse("--fast").is_err());
    }
}
