//! Marks: comment lines of their own that tie code and tests to a specification.
//!
//! `//= BEP 6: allowed fast` names a topic of a BEP, `//= S48` a row of the notes, `//= H3b-17` or `//= C1` a row of
//! the hardening plan, and `//= test` says that the marks beside it stand on a test, which their place says as well.

use crate::items::{name_after_fn, test_functions};
use crate::source::{Source, skip_attributes};
use crate::tree::Tree;

/// What a mark names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Bep {
        number: u16,
        topic: String,
    },
    Row(u8),
    /// A row of the hardening plan: a case of its test plan (`H3b-17`) or a class of weakness (`C1`).
    Hardening(String),
    Test,
    /// Not a form that is known.
    Unknown,
}

/// One mark and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) path: String,
    /// The line, counted from 0.
    pub(crate) line: usize,
    pub(crate) target: Target,
    pub(crate) is_test: bool,
    /// The test that it stands above, or for a mark inside a test that test.
    pub(crate) test: Option<String>,
}

/// Every mark in the tree, by path and line.
pub(crate) fn all(tree: &Tree) -> Vec<Mark> {
    tree.sources.iter().flat_map(of_source).collect()
}

/// The marks of one file.
pub(crate) fn of_source(source: &Source) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut end = 0;
    for (line, comment) in source.comments.split_inclusive('\n').enumerate() {
        end += comment.len();
        let Some(text) = comment.trim().strip_prefix("//=") else { continue };
        let test = test_below(&source.code, end).or_else(|| test_around(source, line));
        let is_test = source.is_test(line);
        marks.push(Mark { path: source.path.clone(), line, target: target(text.trim()), is_test, test });
    }
    marks
}

fn target(text: &str) -> Target {
    if text == "test" {
        return Target::Test;
    }
    if let Some(digits) = text.strip_prefix('S')
        && digits.len() == 2
        && let Ok(row) = digits.parse()
    {
        return Target::Row(row);
    }
    if is_hardening_row(text) {
        return Target::Hardening(text.to_owned());
    }
    let bep = text.strip_prefix("BEP ").and_then(|rest| rest.split_once(':'));
    match bep.map(|(number, topic)| (number.parse(), topic.trim())) {
        Some((Ok(number), topic)) if !topic.is_empty() => Target::Bep { number, topic: topic.to_owned() },
        _ => Target::Unknown,
    }
}

/// The tables of the hardening plan by the letters before the number, with how many rows each has.
const HARDENING: &[(&str, u8)] = &[
    ("H3b-", 76),
    ("H3c-", 66),
    ("H3d-", 8),
    ("H3e-", 8),
    ("H3f-", 11),
    ("H3g-", 10),
    ("H3h-", 26),
    ("A", 12),
    ("B", 10),
    ("C", 4),
    ("D", 4),
    ("E", 8),
    ("F", 9),
];

fn is_hardening_row(text: &str) -> bool {
    HARDENING.iter().any(|(table, rows)| {
        let number = text.strip_prefix(table).filter(|digits| !digits.starts_with(['0', '+']));
        number.and_then(|digits| digits.parse().ok()).is_some_and(|number: u8| number <= *rows)
    })
}

/// The name of the test whose attributes start at `at`, past blanks.
fn test_below(code: &str, at: usize) -> Option<String> {
    let item = skip_attributes(code, at);
    let is_test = code[at..item].contains("#[test]");
    is_test.then(|| name_after_fn(&code[item..])).flatten().map(str::to_owned)
}

/// The name of the test that holds the line.
fn test_around(source: &Source, line: usize) -> Option<String> {
    let tests = test_functions(source).into_iter();
    tests.filter(|test| (test.first..=test.last).contains(&line)).map(|test| test.name).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> Vec<Mark> {
        of_source(&Source::new("crates/wire/tests/a.rs", text))
    }

    fn bep(number: u16, topic: &str) -> Target {
        Target::Bep { number, topic: topic.to_owned() }
    }

    #[test]
    fn every_form_of_mark_is_read() {
        let found = marks("//= BEP 6: allowed fast\n//= S48\n//= test\n//= S4\n//= BEP 6\n//= bep 6: a\n");
        let targets: Vec<Target> = found.into_iter().map(|mark| mark.target).collect();
        let unknown = Target::Unknown;
        assert_eq!(
            targets,
            [
                bep(6, "allowed fast"),
                Target::Row(48),
                Target::Test,
                unknown.clone(),
                unknown.clone(),
                unknown
            ]
        );
    }

    #[test]
    fn rows_of_the_hardening_plan_are_known_by_table_and_number() {
        for row in ["H3b-1", "H3b-76", "H3c-66", "H3f-11", "C4", "F9"] {
            assert_eq!(target(row), Target::Hardening(row.to_owned()));
        }
        for row in ["H3b-0", "H3b-77", "H3b-", "H3b-07", "H3a-1", "H3z-1", "C5", "G1", "C+1"] {
            assert_eq!(target(row), Target::Unknown, "{row}");
        }
    }

    #[test]
    fn marks_above_a_test_know_its_name() {
        let found = marks(
            "//= S01\n//= BEP 3: handshake\n/// Doc.\n#[test]\n#[should_panic(expected = \"x\")]\nfn is_exact() {}\n",
        );
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|mark| mark.test.as_deref() == Some("is_exact")));
    }

    #[test]
    fn a_mark_inside_a_test_belongs_to_it() {
        let found = marks(
            "#[test]\nfn outer() {\n    //= BEP 3: choking\n    let a = 1;\n}\nfn helper() {\n    //= BEP 3: choking\n}\n",
        );
        assert_eq!(found[0].test.as_deref(), Some("outer"));
        assert_eq!(found[1].test, None);
    }

    #[test]
    fn text_that_looks_like_a_mark_is_none() {
        assert_eq!(marks("let a = \"\n//= S01\n\";\n/// //= S02\nlet b = 1; // //= S03\n"), []);
    }
}
