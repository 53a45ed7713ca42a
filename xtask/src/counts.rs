//! `cargo xtask counts`: instructions of codecs, picker and receive path, which tell what changed where clocks only
//! tell how busy the machine was.
//!
//! Every case of the programs in [`PROGRAMS`] is run under callgrind, and the instructions of its steps are held
//! against [`PAGE`]. The counts are those of one compiler and one C library: where others are at work there is
//! nothing to compare, and the check says so and is skipped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::tree::output;

/// The programs: package and example.
const PROGRAMS: [(&str, &str); 2] = [("unchoke-wire", "wire-counts"), ("unchoke-engine", "engine-counts")];
/// Where the counts are kept.
const PAGE: &str = "docs/counts.txt";
/// The function whose instructions count.
const COUNTED: &str = "*counted_steps*";
/// How far a count may be from the kept one, in percent: chance and layout move it by less than one.
const TOLERANCE_PERCENT: f64 = 3.0;
/// What `.ci/run` takes as "not here".
const SKIP: u8 = 77;

/// Counts of all cases: instructions for each unit of work, by name.
type Counts = BTreeMap<String, f64>;

/// Counts and writes the page, or with `is_check` compares.
pub(crate) fn run(root: &Path, is_check: bool) -> Result<ExitCode> {
    let Ok(valgrind) = output(Command::new("valgrind").arg("--version")) else {
        return Ok(skip("valgrind is not installed"));
    };
    let tools = tools()?;
    let kept = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if is_check && !kept.lines().any(|line| line == tools) {
        return Ok(skip(&format!("{PAGE} was counted with other tools than `{tools}`")));
    }
    let mut counts = Counts::new();
    for (package, example) in PROGRAMS {
        let program = build(root, package, example)?;
        for line in output(&mut Command::new(&program))?.lines() {
            let (units, case) = line.split_once(' ').context("a case is listed by its units and name")?;
            let count = count(&program, case)? / units.parse::<f64>().context("units are a number")?;
            println!("{count:>12.1}  {case}");
            counts.insert(case.to_owned(), count);
        }
    }
    if is_check {
        return Ok(compare(&parse(&kept)?, &counts));
    }
    std::fs::write(root.join(PAGE), page(&tools, valgrind.trim(), &counts))
        .context("cannot write the counts")?;
    println!("wrote {PAGE}");
    Ok(ExitCode::SUCCESS)
}

fn skip(why: &str) -> ExitCode {
    println!("skipped: {why}");
    ExitCode::from(SKIP)
}

/// The compiler and the C library, whose choices the counts follow.
fn tools() -> Result<String> {
    let rustc = output(Command::new("rustc").arg("--version"))?;
    let libc = output(Command::new("ldd").arg("--version")).unwrap_or_default();
    let libc = libc.lines().next().unwrap_or("unknown C library").to_owned();
    Ok(format!("# {}, {}, {libc}", rustc.trim(), std::env::consts::ARCH))
}

/// Builds a program in a profile that no variable of the environment changes; where it lies.
fn build(root: &Path, package: &str, example: &str) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--profile", "counts", "--package", package, "--example", example]);
    let status = cargo.current_dir(root).status().context("cannot start cargo")?;
    ensure!(status.success(), "{example} does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("counts").join("examples").join(example))
}

/// The instructions of one case.
fn count(program: &Path, case: &str) -> Result<f64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]);
    valgrind.arg(format!("--toggle-collect={COUNTED}")).arg(program).arg(case);
    // one way to copy memory on every machine
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS,-FSRM,-AVX_Fast_Unaligned_Load,-AVX2");
    let out = valgrind.output().context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{case} failed: {}", said.trim());
    collected(&said).with_context(|| format!("valgrind counted nothing of {case}"))
}

/// The number in callgrind's line of what it collected.
fn collected(said: &str) -> Option<f64> {
    let (_, count) = said.lines().find_map(|line| line.split_once("Collected :"))?;
    count.trim().parse().ok().filter(|count| *count > 0.0)
}

fn page(tools: &str, valgrind: &str, counts: &Counts) -> String {
    let mut page = format!(
        "# Instructions for each unit of work: a message, a pick, a block. Written by `cargo xtask counts` ({valgrind}),\n\
         # held by `cargo xtask counts --check` to {TOLERANCE_PERCENT} % with the same compiler and C library.\n{tools}\n"
    );
    for (case, count) in counts {
        writeln!(page, "{count:>12.1}  {case}").expect("text takes all that is written");
    }
    page
}

fn parse(page: &str) -> Result<Counts> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let counts = lines.map(|line| {
        let (count, case) = line.trim().split_once("  ").context("a line is a count and a case")?;
        Ok((case.to_owned(), count.parse().context("a count is a number")?))
    });
    counts.collect()
}

fn compare(kept: &Counts, counted: &Counts) -> ExitCode {
    let found = differences(kept, counted);
    found.iter().for_each(|line| println!("{line}"));
    if found.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("if that is meant: `cargo xtask counts`, and say why in the commit");
    ExitCode::FAILURE
}

/// What is not as it was, in words.
fn differences(kept: &Counts, counted: &Counts) -> Vec<String> {
    let mut found = Vec::new();
    for (case, count) in counted {
        match kept.get(case) {
            None => found.push(format!("{case}: not in {PAGE}")),
            Some(before) => {
                let percent = (count / before - 1.0) * 100.0;
                if percent.abs() > TOLERANCE_PERCENT {
                    found.push(format!("{case}: {before:.1} → {count:.1} instructions ({percent:+.1} %)"));
                }
            }
        }
    }
    let gone = kept.keys().filter(|case| !counted.contains_key(*case));
    found.extend(gone.map(|case| format!("{case}: in {PAGE} and counted no more")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, f64)]) -> Counts {
        of.iter().map(|(case, count)| ((*case).to_owned(), *count)).collect()
    }

    #[test]
    fn the_page_reads_back_as_it_was_written() {
        let counted = counts(&[("picker/pick/2000x1", 312.5), ("send/blocks/1 peer", 90.0)]);
        let page = page("# rustc 1, x86_64, libc 2", "valgrind-3", &counted);
        assert!(page.lines().any(|line| line == "# rustc 1, x86_64, libc 2"));
        assert_eq!(parse(&page).unwrap(), counted);
    }

    #[test]
    fn what_moved_more_than_the_tolerance_is_named_either_way() {
        let kept = counts(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 1.0)]);
        let counted = counts(&[("a", 102.9), ("b", 103.5), ("c", 96.0), ("e", 1.0)]);
        let found = differences(&kept, &counted);
        assert_eq!(found[0], "b: 100.0 → 103.5 instructions (+3.5 %)");
        assert_eq!(found[1], "c: 100.0 → 96.0 instructions (-4.0 %)");
        assert_eq!(found[2..], ["e: not in docs/counts.txt", "d: in docs/counts.txt and counted no more"]);
    }

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 1234\n"), Some(1234.0));
        assert_eq!(collected("==1== Collected : 0\n"), None);
    }
}
