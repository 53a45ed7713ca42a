//! The page of the hardening plan: each hostile input and each fault, and the tests that show what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::marks::{self, Target};
use crate::tree::Tree;

/// Where the page stands.
pub(crate) const PAGE: &str = "docs/hardening.md";

/// One row of the plan.
struct Row {
    number: &'static str,
    input: &'static str,
    reaction: &'static str,
    /// The feature it is about, where that is not built.
    awaits: Option<&'static str>,
}

/// By row, where it is shown: the file, and the test unless the mark stands in a table that a test walks.
type Proofs = BTreeMap<String, BTreeSet<(String, Option<String>)>>;

fn rows() -> impl Iterator<Item = Row> {
    include_str!("hardening_rows.tsv").lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        let (number, input, reaction) = (next()?, next()?, next()?);
        Some(Row { number, input, reaction, awaits: next().filter(|feature| !feature.is_empty()) })
    })
}

/// The tables of the plan: what their rows begin with, and their title.
const TABLES: &[(&str, &str)] = &[
    ("H3b-", "Hostile peers"),
    ("H3c-", "Hostile torrents, magnet links and records"),
    ("H3d-", "Kill and power loss"),
    ("H3e-", "Disk faults"),
    ("H3f-", "Network faults"),
    ("H3g-", "Load"),
];

fn proofs(tree: &Tree) -> Proofs {
    let mut proofs = Proofs::new();
    for mark in marks::all(tree) {
        if let Target::Hardening(row) = mark.target {
            proofs.entry(row).or_default().insert((mark.path, mark.test));
        }
    }
    proofs
}

/// The text of the page.
pub(crate) fn page(tree: &Tree) -> String {
    let proofs = proofs(tree);
    let mut page = String::from(HEAD);
    for (prefix, title) in TABLES {
        let _ = writeln!(
            page,
            "\n## {title}\n\n| Row | What | What becomes of it | Shown by |\n|---|---|---|---|"
        );
        for Row { number, input, reaction, awaits } in of_table(prefix) {
            let shown = match (proofs.get(number), awaits) {
                (Some(places), _) => links(places),
                (None, Some(feature)) => format!("comes with {feature}"),
                (None, None) => "–".to_owned(),
            };
            let _ = writeln!(page, "| {number} | {} | {} | {shown} |", cell(input), cell(reaction));
        }
        let _ = writeln!(page, "\n{}", count(prefix, &proofs));
    }
    page
}

fn of_table(prefix: &str) -> impl Iterator<Item = Row> {
    rows().filter(move |row| row.number.starts_with(prefix))
}

fn count(prefix: &str, proofs: &Proofs) -> String {
    let (mut all, mut shown, mut waiting) = (0, 0, 0);
    for row in of_table(prefix) {
        all += 1;
        let is_shown = proofs.contains_key(row.number);
        shown += usize::from(is_shown);
        waiting += usize::from(!is_shown && row.awaits.is_some());
    }
    format!("{shown} of {all} rows are shown, {waiting} come with features that are not built")
}

/// Prints the rows that nothing shows though what they are about is built.
pub(crate) fn print_missing(tree: &Tree) -> bool {
    let proofs = proofs(tree);
    for row in rows().filter(|row| row.awaits.is_none() && !proofs.contains_key(row.number)) {
        println!("{}: {} → {}", row.number, row.input, row.reaction);
    }
    TABLES.iter().for_each(|(prefix, title)| println!("{title}: {}", count(prefix, &proofs)));
    true
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn links(places: &BTreeSet<(String, Option<String>)>) -> String {
    let link = |(path, test): &(String, Option<String>)| match test {
        Some(test) => format!("[`{test}`](../{path})"),
        None => format!("[`{}`](../{path})", path.rsplit('/').next().unwrap_or(path)),
    };
    places.iter().map(link).collect::<Vec<_>>().join(", ")
}

const HEAD: &str = "\
# Hostile inputs and faults

Every hostile input and every fault of the hardening plan, what becomes of it, and what shows that. Made by
`cargo xtask hardening` from the marks `//= H3b-17` above tests and above the rows of tables that tests walk; not edited by
hand. In the reactions R is: refused or ignored, and it stays; C: the connection is closed; B: closed, and its address
banned for an hour; S: a strike; E: the error that names what is wrong with a file. N1 to N8 are the rules of
[reliability](reliability.md).
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::sample;

    #[test]
    fn every_row_is_of_a_table_and_known_to_marks() {
        for row in rows() {
            assert!(TABLES.iter().any(|(prefix, _)| row.number.starts_with(prefix)), "{}", row.number);
            let tree = sample(&[("a.rs", &format!("//= {}\n", row.number))]);
            assert_eq!(proofs(&tree).len(), 1, "{}", row.number);
        }
        assert_eq!((of_table("H3b-").count(), of_table("H3c-").count()), (76, 66));
    }

    #[test]
    fn rows_link_tests_and_tables_and_say_what_they_wait_for() {
        let tree = sample(&[
            ("crates/sim/tests/a.rs", "//= H3b-1\n#[test]\nfn silent() {}\n"),
            ("crates/sim/src/b.rs", "const A: &[u8] = &[\n    //= H3b-2\n    1,\n];\n"),
        ]);
        let page = page(&tree);
        let shown = |row: &str| {
            let line = page.lines().find(|line| line.starts_with(&format!("| {row} |"))).unwrap();
            line.trim_end_matches(" |").rsplit(" | ").next().unwrap().to_owned()
        };
        assert_eq!(shown("H3b-1"), "[`silent`](../crates/sim/tests/a.rs)");
        assert_eq!(shown("H3b-2"), "[`b.rs`](../crates/sim/src/b.rs)");
        assert_eq!(shown("H3b-3"), "–");
        assert_eq!(shown("H3b-70"), "comes with uTP");
        assert!(page.contains("\n2 of 76 rows are shown, 9 come with"));
    }
}
