//! Marks that name nothing or stand nowhere, and wire limits without a test.

use super::Finding;
use crate::beps;
use crate::items::functions;
use crate::marks::{self, Mark, Target};
use crate::notes;
use crate::source::{Source, has_word};
use crate::tree::Tree;

/// What is wrong with marks, and limits of the wire that no test names.
pub(super) fn marks_and_limits(tree: &Tree) -> Vec<Finding> {
    let mut found: Vec<Finding> = marks::all(tree).iter().filter_map(wrong_mark).collect();
    let limits = tree.sources.iter().filter(|source| is_limits(&source.path));
    found.extend(limits.flat_map(|source| untested_limits(tree, source)));
    found
}

fn wrong_mark(mark: &Mark) -> Option<Finding> {
    let what = match &mark.target {
        Target::Bep { number, .. } if beps::title(*number).is_none() => format!("there is no BEP {number}"),
        Target::Row(row) if !notes::is_row(*row) => format!("the notes have no row S{row:02}"),
        Target::Row(_) | Target::Test if mark.test.is_none() => {
            "this mark belongs directly above #[test]".to_owned()
        }
        Target::Unknown => {
            "not a mark: write `//= BEP 6: topic`, `//= S48`, `//= H3b-17`, `//= C1` or `//= test`".to_owned()
        }
        Target::Bep { .. } | Target::Row(_) | Target::Hardening(_) | Target::Test => return None,
    };
    Some(Finding::new(&mark.path, mark.line, what))
}

fn is_limits(path: &str) -> bool {
    path == "crates/wire/src/limits.rs" || path.starts_with("crates/wire/src/limits/")
}

/// Limits that no test function goes beyond: one must name the limit and add one, both in the same function.
fn untested_limits(tree: &Tree, limits: &Source) -> Vec<Finding> {
    let tests: Vec<String> = tree.sources.iter().flat_map(tests_beyond_a_limit).collect();
    let mut found = Vec::new();
    for (line, code) in limits.production() {
        let Some(name) = const_name(code).filter(|name| name.ends_with("_MAX")) else { continue };
        if !tests.iter().any(|test| has_word(test, name)) {
            let what = format!("no test names {name} and `+ 1`; test it at cap + 1");
            found.push(Finding::new(&limits.path, line, what));
        }
    }
    found
}

/// The code of every function in test code that adds one to something.
fn tests_beyond_a_limit(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.code.lines().collect();
    let found = functions(source).into_iter().filter(|function| source.is_test(function.first));
    let found = found.map(|function| lines[function.first..=function.last].join("\n"));
    found.filter(|code| code.contains("+ 1")).collect()
}

fn const_name(code: &str) -> Option<&str> {
    let rest = code.trim().strip_prefix("pub const ")?;
    rest.split_once(':').map(|(name, _)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::found;

    #[test]
    fn wrong_marks_are_found() {
        let text =
            "//= BEP 99: nothing\n//= S63\n//= later\n//= S01\nfn a() {}\n//= S01\n#[test]\nfn b() {}\n";
        assert_eq!(
            found(marks_and_limits, &[("a.rs", text)]),
            [
                "a.rs:1: there is no BEP 99",
                "a.rs:2: the notes have no row S63",
                "a.rs:3: not a mark: write `//= BEP 6: topic`, `//= S48`, `//= H3b-17`, `//= C1` or `//= test`",
                "a.rs:4: this mark belongs directly above #[test]",
            ]
        );
    }

    #[test]
    fn a_limit_that_no_test_names_is_found() {
        let limits =
            "pub const DEPTH_MAX: usize = 9;\npub const REQQ_MAX: u32 = 500;\npub const PORT: u16 = 6881;\n";
        let test = "fn deep() { parse(DEPTH_MAX + 1) }\nfn full() { ask(REQQ_MAX) }\nfn other() { 1 + 1 }\n";
        let files = [("crates/wire/src/limits.rs", limits), ("crates/wire/tests/bencode.rs", test)];
        assert_eq!(
            found(marks_and_limits, &files),
            ["crates/wire/src/limits.rs:2: no test names REQQ_MAX and `+ 1`; test it at cap + 1"]
        );
    }
}
