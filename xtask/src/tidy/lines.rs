//! Rules that a single line shows.

use super::Finding;
use crate::source::{Source, has_word};
use crate::tree::Tree;

/// Rust files that do not begin with what they are for.
pub(super) fn file_docs(tree: &Tree) -> Vec<Finding> {
    let lacks = tree.sources.iter().filter(|source| {
        let mut rows =
            source.text.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with("#!"));
        !rows.next().is_some_and(|row| row.starts_with("//!") && row.len() > "//!".len())
    });
    lacks.map(|source| Finding::new(&source.path, 0, "no //! that says what the file is for")).collect()
}

/// `unwrap` outside tests.
pub(super) fn unwraps(tree: &Tree) -> Vec<Finding> {
    let what = "unwrap outside tests; use expect(\"why it cannot fail\") or an error";
    find(tree, what, |source, line, code| !source.is_test(line) && code.contains(".unwrap()"))
}

/// Lints silenced with `allow`.
pub(super) fn allows(tree: &Tree) -> Vec<Finding> {
    find(tree, "allow; use #[expect(…, reason = \"…\")]", |_, _, code| {
        code.contains("#[allow(")
            || code.contains("#![allow(")
            || (code.contains("cfg_attr(") && has_word(code, "allow"))
    })
}

/// Tests that wait for the wall clock.
pub(super) fn sleeps(tree: &Tree) -> Vec<Finding> {
    find(tree, "sleep in a test", |source, line, code| source.is_test(line) && has_word(code, "sleep"))
}

/// Tracked files that name a folder of one machine.
pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let sources = tree.sources.iter().map(|source| (source.path.as_str(), source.text.as_str()));
    let texts = tree.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    let texts = texts.filter(|(path, _)| !path.starts_with("fuzz/corpus/"));
    let mut found = Vec::new();
    for (path, text) in sources.chain(texts) {
        let lines = text.lines().enumerate().filter(|(_, row)| names_machine_path(row));
        found.extend(lines.map(|(line, _)| Finding::new(path, line, "path of one machine")));
    }
    found
}

/// Whether an absolute path into a home or work folder begins in the row.
fn names_machine_path(row: &str) -> bool {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    folders.iter().any(|folder| {
        row.match_indices(folder).any(|(at, _)| {
            let before = row[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "._-/~})".contains(c))
        })
    })
}

fn find(tree: &Tree, what: &str, rule: impl Fn(&Source, usize, &str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        let lines = source.code_lines().filter(|(line, code)| rule(source, *line, code));
        found.extend(lines.map(|(line, _)| Finding::new(&source.path, line, what)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::found;

    #[test]
    fn files_say_what_they_are_for() {
        let files = [
            ("a.rs", "fn a() {}\n"),
            ("b.rs", "#![no_main]\n//! Fuzzes b.\n"),
            ("c.rs", "//!\nfn c() {}\n"),
            ("d.rs", "\n//! Holds d.\n"),
        ];
        let what = "no //! that says what the file is for";
        assert_eq!(found(file_docs, &files), [format!("a.rs:1: {what}"), format!("c.rs:1: {what}")]);
    }

    #[test]
    fn unwraps_are_for_tests() {
        let text = "fn a() { b().unwrap(); }\n#[cfg(test)]\nmod tests { fn a() { b().unwrap(); } }\n";
        let found = found(unwraps, &[("a.rs", text), ("tests/a.rs", text), ("b.rs", "// a.unwrap()\n")]);
        assert_eq!(found, ["a.rs:1: unwrap outside tests; use expect(\"why it cannot fail\") or an error"]);
    }

    #[test]
    fn lints_are_expected_and_not_allowed() {
        let text = "#[allow(dead_code)]\nfn allow() { limiter.allow(1); }\n#![cfg_attr(test, allow(x))]\n";
        assert_eq!(found(allows, &[("a.rs", text)]).len(), 2);
    }

    #[test]
    fn tests_do_not_sleep() {
        let text = "fn a() { sleep(D); }\n#[cfg(test)]\nmod tests { fn a() { std::thread::sleep(D); } }\n";
        assert_eq!(found(sleeps, &[("a.rs", text)]), ["a.rs:3: sleep in a test"]);
    }

    #[test]
    fn paths_of_one_machine_are_found_in_every_file() {
        let path = concat!("see /wo", "rk/notes\n");
        let fine = concat!("http://example.org/wo", "rk/a and $HOME/a and crates/ho", "me/b\n");
        let files = [("a.rs", path), ("b.md", path), ("c.md", fine), ("fuzz/corpus/d", path)];
        assert_eq!(
            found(machine_paths, &files),
            ["a.rs:1: path of one machine", "b.md:1: path of one machine"]
        );
    }
}
