//! The figures to reach, held against what was measured.

use std::fmt::Write;

use super::chart::short;
use super::checks::{self, CPU, RATE, WALL};
use super::programs::NANOSECONDS;
use super::results::{Results, Row};
use super::tables::both_cpu;
use super::transfers::{
    LANES, LEECH_ANON, LEECH_CPU, OF_LINK, OUR_LEECH, OUR_SEED, SEED_ANON, SEED_CPU, THEIRS, USUAL,
};

/// One figure.
struct Goal {
    what: String,
    bound: Bound,
    unit: &'static str,
    /// `None`: it was not measured.
    measured: Option<f64>,
}

/// What the figure should be.
#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn at_most(what: impl Into<String>, most: f64, unit: &'static str, measured: Option<f64>) -> Self {
        Self { what: what.into(), bound: Bound::AtMost(most), unit, measured }
    }

    fn at_least(what: impl Into<String>, least: f64, unit: &'static str, measured: Option<f64>) -> Self {
        Self { what: what.into(), bound: Bound::AtLeast(least), unit, measured }
    }

    fn wanted(&self) -> String {
        match self.bound {
            Bound::AtMost(most) => format!("≤ {}{}", short(most), self.unit),
            Bound::AtLeast(least) => format!("≥ {}{}", short(least), self.unit),
        }
    }

    fn got(&self) -> String {
        self.measured
            .map_or_else(|| "not measured here".to_owned(), |got| format!("{}{}", short(got), self.unit))
    }

    fn verdict(&self) -> &'static str {
        match (self.measured, self.bound) {
            (None, _) => "–",
            (Some(got), Bound::AtMost(most)) if got <= most => "reached",
            (Some(got), Bound::AtLeast(least)) if got >= least => "reached",
            _ => "**missed**",
        }
    }
}

/// All of them as a table of the page.
pub(super) fn as_table(results: &Results) -> String {
    let mut table =
        "\n## Figures to reach\n\n| figure | to reach | measured | |\n|---|---:|---:|---|\n".to_owned();
    for goal in goals(results) {
        let _ =
            writeln!(table, "| {} | {} | {} | {} |", goal.what, goal.wanted(), goal.got(), goal.verdict());
    }
    table
}

/// All of them as lines for a terminal.
pub(super) fn as_text(results: &Results) -> String {
    let mut text = String::new();
    for goal in goals(results) {
        let verdict = goal.verdict().replace('*', "");
        let _ = writeln!(text, "{:<72} {:>12} {:>18}  {verdict}", goal.what, goal.wanted(), goal.got());
    }
    text
}

fn goals(results: &Results) -> Vec<Goal> {
    let mut goals = checks(results);
    goals.extend(pairs(results));
    goals.extend(sides(results));
    goals.extend(shapes(results));
    goals.extend(others(results));
    goals
}

fn checks(results: &Results) -> Vec<Goal> {
    let verify = |name: &str| results.row("verify", name)?.median(CPU);
    let create = |name: &str| results.row("create", name)?.median(CPU);
    let limit = verify(checks::HASHING).zip(verify(checks::READING)).map(|(hash, read)| hash + read);
    let busy = results
        .row("verify", checks::UNCHOKE)
        .and_then(|row| row.spread_of(|run| Some(run.get(CPU)? * run.get(RATE)?)).map(|busy| busy.median));
    let all = results
        .row("verify", checks::READING)
        .and_then(|row| row.spread_of(|run| Some(run.get(CPU)? * run.get(RATE)?)).map(|busy| busy.median));
    vec![
        Goal::at_least(
            "verify: share of the limit of hashing and reading",
            85.0,
            " %",
            ratio(limit, verify(checks::UNCHOKE)).map(|share| share * 100.0),
        ),
        Goal::at_most(
            "verify: CPU beside libtorrent's",
            0.35,
            " ×",
            ratio(verify(checks::UNCHOKE), verify(checks::LIBTORRENT)),
        ),
        Goal::at_least("verify: cores busy, of those a mere reader keeps busy", 0.85, " ×", ratio(busy, all)),
        Goal::at_most(
            "create: CPU beside mktorrent's",
            0.4,
            " ×",
            ratio(create(checks::UNCHOKE), create(checks::MKTORRENT)),
        ),
    ]
}

/// The clients whose pairs ours is held against.
const OTHERS: [&str; 4] = ["aria2", "libtorrent", "rqbit", "transmission"];

fn pairs(results: &Results) -> Vec<Goal> {
    let row = |name: &str| results.row("pairs", name);
    let cost = |name: &str| row(name)?.spread_of(both_cpu).map(|cost| cost.median);
    let wall = |name: &str| row(name)?.median(WALL);
    let ours = cost("unchoke");
    let mut goals =
        vec![Goal::at_most("pair: CPU beside the limit with lanes", 1.3, " ×", ratio(ours, cost(LANES)))];
    for other in OTHERS {
        goals.push(Goal::at_most(
            format!("pair: CPU beside {other}'s"),
            0.45,
            " ×",
            ratio(ours, cost(other)),
        ));
    }
    let fastest = OTHERS.iter().filter_map(|other| wall(other)).min_by(f64::total_cmp);
    goals.push(Goal::at_least(
        "pair: how much faster than the fastest of them",
        1.5,
        " ×",
        ratio(fastest, wall("unchoke")),
    ));
    goals
}

/// What each of our sides costs beside libtorrent's in its place.
fn sides(results: &Results) -> Vec<Goal> {
    let side = |name: &str, measure: &str| results.row("cross", name)?.median(measure);
    vec![
        Goal::at_most(
            "our seed feeding libtorrent: CPU beside a seed of libtorrent",
            0.35,
            " ×",
            ratio(side(OUR_SEED, SEED_CPU), side(THEIRS, SEED_CPU)),
        ),
        Goal::at_most(
            "our leech fed by libtorrent: CPU beside a leech of libtorrent",
            0.35,
            " ×",
            ratio(side(OUR_LEECH, LEECH_CPU), side(THEIRS, LEECH_CPU)),
        ),
    ]
}

fn shapes(results: &Results) -> Vec<Goal> {
    let rows = || results.parts.get("sizes").into_iter().flat_map(|part| &part.rows);
    let usual = results.row("sizes", USUAL).and_then(|row| row.median(RATE));
    let mut goals: Vec<Goal> = rows()
        .filter(|row| row.name != USUAL)
        .map(|row| {
            let what = format!("{}: rate beside that of {USUAL}", row.name);
            Goal::at_least(what, 0.7, " ×", ratio(row.median(RATE), usual))
        })
        .collect();
    let pair = results.row("pairs", "unchoke");
    let most = |row: &Row| [SEED_ANON, LEECH_ANON].map(|side| row.spread(side).map_or(0.0, |seen| seen.max));
    let most = rows().chain(pair).filter(|row| !row.runs.is_empty()).flat_map(most).max_by(f64::total_cmp);
    goals.push(Goal::at_most("memory of a transfer, either side, any shape", 64.0, " MiB", most));
    goals
}

/// What other programs of ours measure.
fn others(results: &Results) -> Vec<Goal> {
    let idle = |count: &str, measure: &str| results.row("idle", count)?.median(measure);
    let pick = |size: &str| results.row("micro", &format!("picker/pick/{size}"))?.median(NANOSECONDS);
    let far = results.row("long", "unchoke").and_then(|row| row.median(OF_LINK));
    let few = "10000 torrents";
    let many = "100000 torrents";
    vec![
        Goal::at_most("10,000 idle torrents: memory", 150.0, " MiB", idle(few, "rss_mib")),
        Goal::at_most("10,000 idle torrents: share of a core", 0.5, " %", idle(few, "cpu_percent")),
        Goal::at_most("10,000 idle torrents: ready after", 5.0, " s", idle(few, "ready_s")),
        Goal::at_most("100,000 idle torrents: restored after", 30.0, " s", idle(many, "ready_s")),
        Goal::at_most("100,000 idle torrents: memory", 1024.0, " MiB", idle(many, "rss_mib")),
        Goal::at_least("long path: payload's share of the link", 90.0, " %", far),
        Goal::at_most("picker: a pick among 200,000 pieces and 200 peers", 2000.0, " ns", pick("200000x200")),
        Goal::at_most(
            "picker: that pick beside one among 2,000 pieces",
            1.5,
            " ×",
            ratio(pick("200000x200"), pick("2000x200")),
        ),
    ]
}

fn ratio(over: Option<f64>, under: Option<f64>) -> Option<f64> {
    over.zip(under).filter(|(_, under)| *under > 0.0).map(|(over, under)| over / under)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compare::bench::run_of;
    use crate::compare::results::Part;

    fn results() -> Results {
        let row = |name: &str, seed: f64, leech: f64, wall: f64| Row {
            name: name.to_owned(),
            runs: vec![run_of([(SEED_CPU, seed), (LEECH_CPU, leech), (WALL, wall)])],
            lacks: None,
        };
        let rows = vec![
            row("unchoke", 0.2, 1.0, 2.0),
            row("libtorrent", 3.0, 3.0, 4.0),
            row("aria2", 1.0, 1.4, 2.5),
            row(LANES, 0.15, 0.85, 1.0),
        ];
        let part = Part { about: BTreeMap::new(), rows };
        Results { parts: BTreeMap::from([("pairs".to_owned(), part)]) }
    }

    #[test]
    fn figures_are_reached_missed_or_not_measured() {
        let table = as_table(&results());
        let row = |what: &str| table.lines().find(|line| line.contains(what)).unwrap().to_owned();
        assert_eq!(
            row("limit with lanes"),
            "| pair: CPU beside the limit with lanes | ≤ 1.30 × | 1.20 × | reached |"
        );
        assert_eq!(
            row("libtorrent's |"),
            "| verify: CPU beside libtorrent's | ≤ 0.35 × | not measured here | – |"
        );
        assert_eq!(row("aria2's"), "| pair: CPU beside aria2's | ≤ 0.45 × | 0.50 × | **missed** |");
        assert!(row("than the fastest").ends_with("| 1.25 × | **missed** |"));
        assert!(row("memory of a transfer").contains("0 MiB"));
    }
}
