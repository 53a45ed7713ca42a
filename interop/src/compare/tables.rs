//! The measured parts as tables and drawings.

use std::collections::BTreeSet;

use super::chart::{Bar, Chart, Kind, short};
use super::checks::{ANON, CPU, RATE, WALL};
use super::results::{Part, Row, Run, Spread};
use super::transfers::{LEECH_ANON, LEECH_CPU, SEED_ANON, SEED_CPU, STEADY};

/// The load of the machine when a run began.
const LOAD: &str = "load";

/// A part of checks: one process each.
pub(super) fn checks(part: &Part) -> String {
    let head =
        "| | CPU s/GiB | wall s | GiB/s | cores busy | MiB | load |\n|---|---:|---:|---:|---:|---:|---:|\n";
    table(head, part, |row| {
        let busy = row.spread_of(|run| Some(run.get(CPU)? * run.get(RATE)?));
        vec![
            spread(row.spread(CPU)),
            spread(row.spread(WALL)),
            middle(row.spread(RATE)),
            middle(busy),
            middle(row.spread(ANON)),
            spread(row.spread(LOAD)),
        ]
    })
}

/// A part of transfers: two processes each.
pub(super) fn transfers(part: &Part) -> String {
    let head = "\
| seed → leech | seed CPU s/GiB | leech CPU s/GiB | both | wall s | GiB/s, steady | MiB, seed | MiB, leech | load |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
";
    table(head, part, |row| {
        vec![
            middle(row.spread(SEED_CPU)),
            middle(row.spread(LEECH_CPU)),
            spread(row.spread_of(both_cpu)),
            spread(row.spread(WALL)),
            middle(row.spread(STEADY)),
            middle(row.spread(SEED_ANON)),
            middle(row.spread(LEECH_ANON)),
            spread(row.spread(LOAD)),
        ]
    })
}

/// A part of other programs: whatever they measure.
pub(super) fn others(part: &Part) -> String {
    let names: BTreeSet<&String> =
        part.rows.iter().flat_map(|row| row.runs.iter().flat_map(Run::keys)).collect();
    let names: Vec<&String> = names.into_iter().filter(|name| *name != LOAD).collect();
    if names.is_empty() {
        let why = |row: &Row| row.lacks.clone().unwrap_or_default();
        return part
            .rows
            .iter()
            .map(|row| format!("- {}: not measured here: {}\n", row.name, why(row)))
            .collect();
    }
    let mut head = "| |".to_owned();
    names.iter().for_each(|name| head.push_str(&format!(" {} |", name.replace('_', " "))));
    head.push_str("\n|---|");
    head.push_str(&"---:|".repeat(names.len()));
    head.push('\n');
    table(&head, part, |row| names.iter().map(|name| spread(row.spread(name))).collect())
}

fn table(head: &str, part: &Part, cells: impl Fn(&Row) -> Vec<String>) -> String {
    let columns = head.lines().next().map_or(0, |line| line.matches('|').count()) - 2;
    let mut table = head.to_owned();
    for row in &part.rows {
        let mut cells = cells(row);
        let mut name = row.name.clone();
        let why = row.lacks.as_ref().map(|why| why.lines().next().unwrap_or_default().replace('|', "\\|"));
        match why {
            None => {}
            Some(why) if row.runs.is_empty() => {
                cells = vec![String::new(); columns];
                cells[0] = format!("not measured here: {why}");
            }
            Some(why) => name.push_str(&format!(" ({} of the runs: {why})", row.runs.len())),
        }
        table.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    table
}

/// CPU time of both sides of a run.
pub(super) fn both_cpu(run: &Run) -> Option<f64> {
    Some(run.get(SEED_CPU)? + run.get(LEECH_CPU)?)
}

fn middle(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| short(spread.median))
}

fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => "–".to_owned(),
        Some(Spread { min, median, max }) if short(min) == short(max) => short(median),
        Some(Spread { min, median, max }) => format!("{} ({}–{})", short(median), short(min), short(max)),
    }
}

/// Bars of what checks cost.
pub(super) fn checks_chart(title: &str, part: &Part) -> Chart {
    let bars = part.rows.iter().filter_map(|row| {
        let Spread { min, median, max } = row.spread(CPU)?;
        Some(Bar { label: row.name.clone(), parts: vec![median], ends: (min, max), kind: kind(&row.name) })
    });
    Chart {
        title: title.to_owned(),
        unit: "CPU s/GiB, less is better",
        parts: Vec::new(),
        bars: bars.collect(),
    }
}

/// Bars of what transfers cost, by side.
pub(super) fn transfers_chart(title: &str, part: &Part) -> Chart {
    let bars = part.rows.iter().filter_map(|row| {
        let both = row.spread_of(both_cpu)?;
        let parts = vec![row.median(SEED_CPU)?, row.median(LEECH_CPU)?];
        Some(Bar { label: row.name.clone(), parts, ends: (both.min, both.max), kind: kind(&row.name) })
    });
    Chart {
        title: title.to_owned(),
        unit: "CPU s/GiB, less is better",
        parts: vec!["seed", "leech"],
        bars: bars.collect(),
    }
}

/// Bars of how much memory transfers hold, by side.
pub(super) fn memory_chart(title: &str, part: &Part) -> Chart {
    let bars = part.rows.iter().filter_map(|row| {
        let parts = vec![row.median(SEED_ANON)?, row.median(LEECH_ANON)?];
        let ends = row.spread_of(|run| Some(run.get(SEED_ANON)? + run.get(LEECH_ANON)?))?;
        Some(Bar { label: row.name.clone(), parts, ends: (ends.min, ends.max), kind: kind(&row.name) })
    });
    Chart {
        title: title.to_owned(),
        unit: "MiB anonymous, at most",
        parts: vec!["seed", "leech"],
        bars: bars.collect(),
    }
}

/// Bars of how fast transfers were.
pub(super) fn rate_chart(title: &str, part: &Part) -> Chart {
    let bars = part.rows.iter().filter_map(|row| {
        let Spread { min, median, max } = row.spread(RATE)?;
        Some(Bar { label: row.name.clone(), parts: vec![median], ends: (min, max), kind: kind(&row.name) })
    });
    Chart {
        title: title.to_owned(),
        unit: "GiB/s from start to end, more is better",
        parts: Vec::new(),
        bars: bars.collect(),
    }
}

/// Rows without the name of a client are shapes of ours.
fn kind(name: &str) -> Kind {
    let others = ["libtorrent", "aria2", "transmission", "rqbit", "mktorrent"];
    match name {
        _ if name.starts_with("limit") => Kind::Limit,
        _ if !name.contains("unchoke") && others.iter().any(|other| name.contains(other)) => Kind::Theirs,
        _ => Kind::Ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::bench::run_of;

    fn part() -> Part {
        let runs = vec![
            run_of([(SEED_CPU, 1.0), (LEECH_CPU, 2.0), (WALL, 3.0), (LOAD, 0.5)]),
            run_of([(SEED_CPU, 1.0), (LEECH_CPU, 2.5), (WALL, 3.0), (LOAD, 0.5)]),
        ];
        let rows = vec![
            Row { name: "unchoke".to_owned(), runs, lacks: None },
            Row {
                name: "aria2".to_owned(),
                runs: Vec::new(),
                lacks: Some("aria2 is not installed".to_owned()),
            },
        ];
        Part { rows, ..Part::default() }
    }

    #[test]
    fn a_table_has_the_middle_and_the_ends_and_says_what_is_missing() {
        let table = transfers(&part());
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(rows[0], "| unchoke | 1.00 | 2.25 | 3.25 (3.00–3.50) | 3.00 | – | – | – | 0.50 |");
        assert_eq!(rows[1], "| aria2 | not measured here: aria2 is not installed |  |  |  |  |  |  |  |");
    }

    #[test]
    fn other_programs_name_their_own_columns() {
        let table = others(&part());
        assert!(table.starts_with("| | leech cpu | seed cpu | wall s |\n|---|---:|---:|---:|\n"));
        let nothing = Part { rows: part().rows.split_off(1), ..Part::default() };
        assert_eq!(others(&nothing), "- aria2: not measured here: aria2 is not installed\n");
    }

    #[test]
    fn only_what_was_measured_is_drawn() {
        let chart = transfers_chart("Pairs", &part());
        assert_eq!(chart.bars.len(), 1);
        assert_eq!((chart.bars[0].ends, chart.bars[0].kind), ((3.0, 3.5), Kind::Ours));
        assert_eq!(kind("libtorrent → unchoke"), Kind::Ours);
        assert_eq!(kind("limit: no protocol, lanes"), Kind::Limit);
    }
}
