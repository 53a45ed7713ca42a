//! The page of the notes: each behaviour that they name and the tests that prove it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::marks::{self, Target};
use crate::notes_rows::ROWS;
use crate::tree::Tree;

/// Where the page stands.
pub(crate) const PAGE: &str = "docs/notes-trace.md";

/// A behaviour named in the notes. Its number is its place in the list, from 1.
#[derive(Debug)]
pub(crate) struct Row {
    /// The questions of the notes that name it.
    pub(crate) question: &'static str,
    pub(crate) behaviour: &'static str,
    /// What the product does.
    pub(crate) rule: &'static str,
}

/// Whether there is a row of that number.
pub(crate) fn is_row(number: u8) -> bool {
    number >= 1 && usize::from(number) <= ROWS.len()
}

/// By row, the tests that prove it, as (file, name).
type Proofs = BTreeMap<u8, BTreeSet<(String, String)>>;

fn proofs(tree: &Tree) -> Proofs {
    let mut proofs = Proofs::new();
    for mark in marks::all(tree) {
        if let (Target::Row(row), Some(test)) = (mark.target, mark.test)
            && is_row(row)
        {
            proofs.entry(row).or_default().insert((mark.path, test));
        }
    }
    proofs
}

/// The text of the page.
pub(crate) fn page(tree: &Tree) -> String {
    let proofs = proofs(tree);
    let mut page = String::from(HEAD);
    for (number, row) in (1..).zip(ROWS) {
        let tests = proofs.get(&number).map_or_else(|| "–".to_owned(), links);
        let Row { question, behaviour, rule } = row;
        let _ = writeln!(page, "| S{number:02} | {question} | {behaviour} | {rule} | {tests} |");
    }
    let _ = writeln!(page, "\n{} of {} rows have a test", proofs.len(), ROWS.len());
    page
}

/// Prints the rows without a test.
pub(crate) fn print_missing(tree: &Tree) -> bool {
    let proofs = proofs(tree);
    for (number, row) in (1..).zip(ROWS).filter(|(number, _)| !proofs.contains_key(number)) {
        println!("S{number:02}: {}: {}", row.behaviour, row.rule);
    }
    println!("{} of {} rows have a test", proofs.len(), ROWS.len());
    true
}

fn links(tests: &BTreeSet<(String, String)>) -> String {
    let links: Vec<String> = tests.iter().map(|(path, test)| format!("[`{test}`](../{path})")).collect();
    links.join(", ")
}

const HEAD: &str = "\
# The notes, behaviour by behaviour

Every behaviour that the BitTorrent notes name, what Unchoke does about it, and the tests that prove it. Where the
notes and the BEPs differ the BEP wins, and the rule says so. Made by `cargo xtask notes` from the marks `//= S48`
above tests; not edited by hand.

| Row | Question | Behaviour | Rule | Tests |
|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::sample;

    #[test]
    fn there_are_sixty_two_rows() {
        assert_eq!(ROWS.len(), 62);
        assert!(is_row(62) && !is_row(63) && !is_row(0));
    }

    #[test]
    fn rows_link_their_tests_and_are_counted() {
        let tree = sample(&[
            ("crates/sim/tests/a.rs", "//= S48\n//= S49\n#[test]\nfn rarest_first() {}\n"),
            ("crates/sim/src/lib.rs", "//= S47\nfn not_a_test() {}\n"),
        ]);
        let page = page(&tree);
        let row = page.lines().find(|line| line.starts_with("| S48 |"));
        assert!(row.is_some_and(|row| row.ends_with("| [`rarest_first`](../crates/sim/tests/a.rs) |")));
        assert!(page.lines().any(|line| line.starts_with("| S47 |") && line.ends_with("| – |")));
        assert!(page.ends_with("\n2 of 62 rows have a test\n"));
    }
}
