//! `performance.md` and its drawings, made from the results alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::chart::Chart;
use super::results::{Part, Results};
use super::{goals, tables};

const PAGE: &str = "performance.md";
const DRAWINGS: &str = "performance";
/// What is between these lines is made; what is around them is written.
const BEGIN: &str = "<!-- measured: begin (cargo xtask compare writes this part) -->";
const END: &str = "<!-- measured: end -->";

/// The parts in the order of the page, each with its heading and what it is about.
const SECTIONS: [(&str, &str, &str); 8] = [
    ("pairs", "One TCP pair", "Each client with itself: one seeder, one downloader."),
    (
        "cross",
        "With libtorrent at the other end",
        "What each side costs beside what libtorrent costs on that side.",
    ),
    ("verify", "Recheck", "The whole file from the page cache."),
    ("create", "Creating a torrent", "The same info-hash comes out."),
    ("sizes", "Pieces and files of other sizes", "Ours with itself, the same bytes in each shape."),
    (
        "long",
        "A long path",
        "Each client with itself over 100 ms there and back and 1 Gbit/s each way, made between two sockets by the \
         program that measures: the delay and the rate are there, TCP's own way into a long path is not.",
    ),
    ("idle", "Idle torrents", "Torrents that nobody asks for."),
    (
        "micro",
        "Single functions",
        "Medians of `cargo bench`, in nanoseconds for each pick, message or block. `cargo xtask counts` counts their instructions.",
    ),
];

/// Writes the page and the drawings below `out`.
pub(super) fn write(out: &Path, results: &Results) -> Result<()> {
    for (path, text) in files(out, results)? {
        fs::create_dir_all(path.parent().expect("every file is below out"))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Whether all that [`write()`] would write is there already; names the first file that is not.
pub(super) fn is_current(out: &Path, results: &Results) -> Result<bool> {
    for (path, text) in files(out, results)? {
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            println!("{}: stale; run cargo xtask compare --render", path.display());
            return Ok(false);
        }
    }
    Ok(true)
}

fn files(out: &Path, results: &Results) -> Result<Vec<(PathBuf, String)>> {
    let page = out.join(PAGE);
    let held = if page.exists() { fs::read_to_string(&page)? } else { format!("{BEGIN}\n{END}\n") };
    let mut files = Vec::new();
    let drawings = drawings(results);
    for (name, chart) in &drawings {
        files.push((out.join(DRAWINGS).join(format!("{name}.svg")), chart.svg()));
    }
    let titles: BTreeMap<&str, &str> =
        drawings.iter().map(|(name, chart)| (*name, chart.title.as_str())).collect();
    files.push((page, replaced(&held, &measured(results, &titles))?));
    Ok(files)
}

/// The page with another measured part.
fn replaced(held: &str, measured: &str) -> Result<String> {
    let (before, rest) = held.split_once(BEGIN).with_context(|| format!("no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{measured}\n{END}{after}"))
}

/// The drawings by their names, in the order of the page; nothing is drawn of what was not measured.
fn drawings(results: &Results) -> Vec<(&'static str, Chart)> {
    let part = |name: &str| results.parts.get(name);
    let all = [
        (
            "pairs",
            part("pairs").map(|part| tables::transfers_chart("A GiB from one client to another", part)),
        ),
        ("memory", part("pairs").map(|part| tables::memory_chart("Memory of a transfer at full rate", part))),
        (
            "cross",
            part("cross").map(|part| tables::transfers_chart("With libtorrent at the other end", part)),
        ),
        ("verify", part("verify").map(|part| tables::checks_chart("Checking a GiB", part))),
        ("create", part("create").map(|part| tables::checks_chart("Making a torrent of a GiB", part))),
        ("sizes", part("sizes").map(|part| tables::rate_chart("Pieces and files of other sizes", part))),
    ];
    let drawn = all.into_iter().filter_map(|(name, chart)| Some((name, chart?)));
    drawn.filter(|(_, chart)| !chart.bars.is_empty()).collect()
}

/// The text between the markers.
fn measured(results: &Results, drawings: &BTreeMap<&str, &str>) -> String {
    let usual = usual(results);
    let mut text = String::new();
    if let Some(usual) = usual {
        text.push_str(&about(usual));
    }
    text.push_str(&goals::as_table(results));
    for (name, heading, what) in SECTIONS {
        let Some(part) = results.parts.get(name) else { continue };
        text.push_str(&format!("\n## {heading}\n\n{what}\n"));
        if Some(&part.about) != usual {
            text.push('\n');
            text.push_str(&about(&part.about));
        }
        let shown = if name == "pairs" { &["pairs", "memory"][..] } else { std::slice::from_ref(&name) };
        for drawing in shown {
            if let Some(title) = drawings.get(drawing) {
                text.push_str(&format!("\n![{title}]({DRAWINGS}/{drawing}.svg)\n"));
            }
        }
        text.push('\n');
        text.push_str(&table(name, part));
    }
    text
}

fn table(name: &str, part: &Part) -> String {
    match name {
        "verify" | "create" => tables::checks(part),
        "pairs" | "cross" | "sizes" => tables::transfers(part),
        _ => tables::others(part),
    }
}

/// What most parts were made with.
fn usual(results: &Results) -> Option<&BTreeMap<String, String>> {
    let abouts = results.parts.values().map(|part| &part.about);
    let count = |about: &BTreeMap<String, String>| abouts.clone().filter(|other| *other == about).count();
    abouts.clone().max_by_key(|about| (count(about), about.get("date")))
}

fn about(about: &BTreeMap<String, String>) -> String {
    let of = |name: &str| about.get(name).map_or("?", String::as_str);
    format!(
        "- {} on {}, built by {}\n- {}\n- {}\n- {}\n",
        of("commit"),
        of("date"),
        of("rustc"),
        of("machine"),
        of("versions"),
        of("sizes")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::bench::run_of;
    use crate::compare::checks::{ANON, CPU, RATE, WALL};
    use crate::compare::results::Row;

    fn results() -> Results {
        let run = run_of([(CPU, 0.5), (WALL, 1.0), (RATE, 2.0), (ANON, 16.0), ("load", 0.1)]);
        let row = Row { name: "unchoke".to_owned(), runs: vec![run], lacks: None };
        let about = BTreeMap::from([("machine".to_owned(), "a small one".to_owned())]);
        let verify = Part { about, rows: vec![row] };
        Results { parts: BTreeMap::from([("verify".to_owned(), verify)]) }
    }

    #[test]
    fn only_what_is_between_the_markers_is_made() {
        let held = format!("# Mine\n\n{BEGIN}\nold\n{END}\n\nMine too.\n");
        let page = replaced(&held, "new").unwrap();
        assert_eq!(page, format!("# Mine\n\n{BEGIN}\n\nnew\n{END}\n\nMine too.\n"));
        assert!(replaced("# Mine\n", "new").is_err());
    }

    #[test]
    fn a_page_is_current_until_a_figure_changes() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = results();
        assert!(!is_current(dir.path(), &results).unwrap());
        write(dir.path(), &results).unwrap();
        assert!(is_current(dir.path(), &results).unwrap());
        let page = fs::read_to_string(dir.path().join(PAGE)).unwrap();
        assert!(
            page.contains("- a small one\n")
                && page.contains("| unchoke | 0.50 | 1.00 | 2.00 | 1.00 | 16.0 | 0.10 |")
        );
        assert!(page.contains("](performance/verify.svg)"));
        results.parts.get_mut("verify").unwrap().rows[0].runs[0].insert(CPU.to_owned(), 0.25);
        assert!(!is_current(dir.path(), &results).unwrap());
    }
}
