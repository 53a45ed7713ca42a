//! The daemon under load: thousands of connections, a hundred thousand requests and a million haves a second, and two
//! hundred hostile peers that do everything at once.
//!
//! `unchoke-interop load connections|requests|haves|hostile [--unchoke PATH] [--seconds N] [--peers N]`; the cases
//! `load/…` of the matrix are the short forms.

mod connections;
mod haves;
mod hostile;
mod requests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::case::Case;

/// A load, for so long and with so many peers.
type Run = fn(&Path, &Path, &Size) -> Result<()>;

/// The loads by name, with their usual numbers of seconds and peers, and those of the short form.
const LOADS: [(&str, Run, Size, Size); 4] = [
    ("connections", connections::run, Size::new(20, 5000), Size::new(5, 5000)),
    ("requests", requests::run, Size::new(60, 8), Size::new(10, 8)),
    ("haves", haves::run, Size::new(60, 100), Size::new(10, 100)),
    ("hostile", hostile::run, Size::new(600, 200), Size::new(30, 200)),
];

/// How long and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    lasts: Duration,
    peers: u32,
}

impl Size {
    const fn new(seconds: u64, peers: u32) -> Self {
        Self { lasts: Duration::from_secs(seconds), peers }
    }
}

/// The short forms. They need no other client.
pub(crate) fn cases() -> Vec<Case> {
    let case = |(name, run, _, short): (&str, Run, Size, Size)| {
        Case::new(format!("load/{name}"), |_| None, move |lab, dir| run(&lab.unchoke.binary, dir, &short))
    };
    LOADS.into_iter().map(case).collect()
}

/// The command line of `load`.
#[derive(Debug)]
pub(crate) struct Args {
    /// The binary under test; `None`: build it.
    pub(crate) unchoke: Option<PathBuf>,
    run: Run,
    size: Size,
}

impl Args {
    /// Reads it.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let usage = "unchoke-interop load connections|requests|haves|hostile [--unchoke PATH] [--seconds N] [--peers N]";
        let name = args.next().context(usage)?;
        let Some((_, run, mut size, _)) = LOADS.into_iter().find(|(load, ..)| *load == name) else {
            bail!(usage)
        };
        let mut unchoke = None;
        while let Some(arg) = args.next() {
            let value = args.next().with_context(|| format!("{arg} needs a value"))?;
            match arg.as_str() {
                "--unchoke" => unchoke = Some(value.into()),
                "--seconds" => {
                    size.lasts = Duration::from_secs(value.parse().context("--seconds needs a number")?)
                }
                "--peers" => size.peers = value.parse().context("--peers needs a number")?,
                _ => bail!(usage),
            }
        }
        Ok(Self { unchoke, run, size })
    }
}

/// Puts the load on and prints the figures.
pub(crate) fn run(args: &Args, binary: &Path) -> Result<()> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    (args.run)(binary, dir.path(), &args.size)
}

/// In MiB, for people.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The time below which this share of `times` lies.
fn share(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_has_its_usual_size_until_told_otherwise() {
        let parse = |line: &str| Args::parse(line.split_whitespace().map(String::from));
        assert_eq!(parse("hostile").unwrap().size, Size::new(600, 200));
        assert_eq!(parse("hostile --seconds 60 --peers 20").unwrap().size, Size::new(60, 20));
        assert!(parse("").is_err() && parse("none").is_err() && parse("haves --peers").is_err());
    }

    #[test]
    fn a_share_of_times_is_counted_from_the_least() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(share(&mut times, 99), Duration::from_millis(100));
        assert_eq!(share(&mut times, 50), Duration::from_millis(51));
        assert_eq!(share(&mut [], 99), Duration::ZERO);
    }
}
