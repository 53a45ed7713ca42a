//! `unchoke-interop compare`: Unchoke beside whatever other clients are installed, doing the same work on the same
//! machine in turn, and beside the least that the work can cost there. Writes `docs/performance.md`.
//!
//! The parts measure and fill [`results::Results`]; the page and its drawings are made from those alone, so that they
//! can be made again, and held against what is committed, without measuring anything.

mod bench;
mod chart;
mod checks;
mod goals;
pub(crate) mod limit;
mod machine;
mod page;
mod programs;
mod results;
mod tables;
mod transfers;
mod wire;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use bench::{Bench, Contender};
use results::{Part, Results};

/// Set for the process that is in a network namespace of its own.
const INSIDE: &str = "UNCHOKE_COMPARE_INSIDE";
/// Of the namespace's loopback: Transmission takes no peer in 127.0.0.0/8.
const ADDRESS: &str = "10.99.0.1";

const USAGE: &str = "\
unchoke-interop compare [OPTIONS] [PART…]
  parts: verify create pairs cross sizes long idle micro (all of them when none is named)
  --runs N        runs of each contender, made in turn (default 3)
  --size MIB      payload of verify, create, pairs and cross (default 2048)
  --quick         one run of 512 MiB
  --unchoke PATH  the binary to measure (default: build it)
  --out DIR       where performance.md and performance/ are (default: docs)
  --render        measure nothing, make the page again
  --check-render  measure nothing, say whether the page is what would be made";

/// One part of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    Verify,
    Create,
    Pairs,
    Cross,
    Sizes,
    Long,
    Idle,
    Micro,
}

impl Work {
    const ALL: [Self; 8] = [
        Self::Verify,
        Self::Create,
        Self::Pairs,
        Self::Cross,
        Self::Sizes,
        Self::Long,
        Self::Idle,
        Self::Micro,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Create => "create",
            Self::Pairs => "pairs",
            Self::Cross => "cross",
            Self::Sizes => "sizes",
            Self::Long => "long",
            Self::Idle => "idle",
            Self::Micro => "micro",
        }
    }

    fn contenders(self, bench: &Bench) -> Result<Vec<Contender<'_>>> {
        match self {
            Self::Verify => checks::verify(bench),
            Self::Create => checks::create(bench),
            Self::Pairs => transfers::pairs(bench),
            Self::Cross => transfers::cross(bench),
            Self::Sizes => transfers::sizes(bench),
            Self::Long => transfers::long(bench),
            Self::Idle => Ok(programs::idle(bench)),
            Self::Micro => programs::micro(bench),
        }
    }
}

/// What to do with the page.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
enum Mode {
    /// Measure, and make it.
    #[default]
    Measure,
    /// Make it of what was measured before.
    Render,
    /// Say whether it is what would be made.
    Check,
}

/// The command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// The binary to measure; `None`: build it.
    pub(crate) unchoke: Option<PathBuf>,
    works: Vec<Work>,
    runs: usize,
    size_mib: usize,
    out: Option<PathBuf>,
    mode: Mode,
}

impl Args {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self {
            unchoke: None,
            works: Vec::new(),
            runs: 3,
            size_mib: 2048,
            out: None,
            mode: Mode::default(),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--unchoke" => parsed.unchoke = Some(value()?.into()),
                "--out" => parsed.out = Some(value()?.into()),
                "--runs" => parsed.runs = value()?.parse().context("--runs needs a number")?,
                "--size" => parsed.size_mib = value()?.parse().context("--size needs a number of MiB")?,
                "--quick" => (parsed.runs, parsed.size_mib) = (1, 512),
                "--render" => parsed.mode = Mode::Render,
                "--check-render" => parsed.mode = Mode::Check,
                option if option.starts_with('-') => bail!("{USAGE}"),
                name => {
                    let work = Work::ALL.into_iter().find(|work| work.name() == name);
                    parsed.works.push(work.with_context(|| format!("no part is named {name}\n{USAGE}"))?);
                }
            }
        }
        if parsed.works.is_empty() {
            parsed.works = Work::ALL.to_vec();
        }
        if parsed.runs == 0 || parsed.size_mib == 0 {
            bail!("--runs and --size are at least 1");
        }
        Ok(parsed)
    }

    /// Whether nothing is to be measured.
    pub(crate) fn measures_nothing(&self) -> bool {
        self.mode != Mode::Measure
    }

    fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| root().join("docs"))
    }
}

/// Whether the page is what the results say.
pub(crate) fn render(args: &Args) -> Result<bool> {
    let results = Results::load(&args.out().join(RESULTS))?;
    match args.mode {
        Mode::Check => page::is_current(&args.out(), &results),
        Mode::Measure | Mode::Render => page::write(&args.out(), &results).map(|()| true),
    }
}

/// Measures with the binary `unchoke`, in a network namespace of its own; whether everything could be run.
pub(crate) fn run(args: &Args, unchoke: &Path) -> Result<bool> {
    if std::env::var_os(INSIDE).is_none() {
        return Err(enter(unchoke)?);
    }
    for step in [format!("addr add {ADDRESS}/24 dev lo"), "link set lo up".to_owned()] {
        crate::netns::ip(&step).with_context(|| format!("ip {step}"))?;
    }
    let bench = Bench::new(unchoke.to_owned(), args.runs, args.size_mib, ADDRESS.parse()?)?;
    let about = machine::about(&bench)?;
    let mut is_whole = true;
    for work in &args.works {
        println!("{}:", work.name());
        let rows = bench.in_turn(work.contenders(&bench)?);
        is_whole &= rows.iter().all(|row| row.lacks.as_deref().is_none_or(|why| !why.starts_with("failed")));
        // Whatever another part comes to, this one is kept.
        let path = args.out().join(RESULTS);
        let mut results = Results::load(&path)?;
        results.parts.insert(work.name().to_owned(), Part { about: about.clone(), rows });
        results.save(&path)?;
        page::write(&args.out(), &results)?;
    }
    let results = Results::load(&args.out().join(RESULTS))?;
    print!("{}", goals::as_text(&results));
    Ok(is_whole)
}

/// Becomes this program again, in a network namespace of its own; returns only when it cannot.
fn enter(unchoke: &Path) -> Result<anyhow::Error> {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--net").arg(std::env::current_exe()?);
    // The last one counts: it is built, and named, before.
    command.args(std::env::args().skip(1)).arg("--unchoke").arg(unchoke).env(INSIDE, "1");
    Ok(anyhow::Error::from(command.exec()).context("start unshare"))
}

/// The top folder of the project.
fn root() -> PathBuf {
    let interop = Path::new(env!("CARGO_MANIFEST_DIR"));
    interop.parent().expect("the crate is in a folder of the project").to_owned()
}

/// A new empty folder.
fn emptied(dir: PathBuf) -> Result<PathBuf> {
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// The measured figures, in the folder of the page.
const RESULTS: &str = "performance/results.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn parts_and_options_may_be_mixed_and_no_part_is_all() {
        let args = parse("pairs --runs 5 verify --size 64").unwrap();
        assert_eq!(args.works, [Work::Pairs, Work::Verify]);
        assert_eq!((args.runs, args.size_mib, args.mode), (5, 64, Mode::Measure));
        assert_eq!(parse("").unwrap().works, Work::ALL);
        let quick = parse("--quick --check-render").unwrap();
        assert_eq!((quick.runs, quick.size_mib, quick.mode), (1, 512, Mode::Check));
    }

    #[test]
    fn unknown_parts_and_options_are_refused() {
        assert!(parse("quickly").is_err());
        assert!(parse("--fast").is_err());
        assert!(parse("--runs 0").is_err());
        assert!(parse("--size").is_err());
    }
}
