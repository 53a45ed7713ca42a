//! `cargo xtask tidy`: the house rules that clippy and rustc do not check. Each rule is a function from the tree
//! to findings.

mod crates;
mod dials;
mod lines;
mod marked;
mod purity;
mod sizes;

use std::fmt;

use anyhow::Result;

use crate::tree::Tree;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// The line, counted from 1.
    line: usize,
    what: String,
}

impl Finding {
    /// A finding at a line counted from 0.
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: line + 1, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Prints every finding; whether there was none.
pub(crate) fn run(tree: &Tree) -> Result<bool> {
    let mut findings = findings(tree);
    findings.extend(crates::reached(tree)?);
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        println!("tidy: {} findings", findings.len());
    }
    Ok(findings.is_empty())
}

/// What the rules find in the text of the tree alone.
fn findings(tree: &Tree) -> Vec<Finding> {
    let rules: [fn(&Tree) -> Vec<Finding>; 13] = [
        crates::arrows,
        crates::overflow_checks,
        crates::dependency_page,
        purity::impure_code,
        purity::unsafe_code,
        sizes::sizes,
        lines::file_docs,
        lines::unwraps,
        lines::allows,
        lines::sleeps,
        lines::machine_paths,
        marked::marks_and_limits,
        dials::ways_out,
    ];
    rules.iter().flat_map(|rule| rule(tree)).collect()
}

/// The findings of a rule on a sample, as printed.
#[cfg(test)]
fn found(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
    rule(&crate::tree::sample(files)).iter().map(Finding::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_one_line_each() {
        assert_eq!(Finding::new("a.rs", 6, "broken").to_string(), "a.rs:7: broken");
    }
}
