//! The sizes of files and functions, against the limits and the ratchet list.
//!
//! `xtask/ratchet.txt` names what is over a limit, each with its present size, as `PATH LINES` for a file and
//! `PATH FUNCTION LINES` for a function. A size over its entry is refused, and so is an entry over its size or
//! without need: entries only ever shrink.

use std::collections::BTreeMap;

use super::Finding;
use crate::items::functions;
use crate::source::Source;
use crate::tree::Tree;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const RATCHET: &str = "xtask/ratchet.txt";

/// A file, or with a name the longest function of that name in it.
type Key = (String, Option<String>);

/// A size over its limit.
#[derive(Debug)]
struct Large {
    line: usize,
    size: usize,
    limit: usize,
}

/// Files and functions over their limits, and entries of the ratchet list that do not fit.
pub(super) fn sizes(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let entries = entries(tree.text(RATCHET).unwrap_or_default(), &mut found);
    let mut large: BTreeMap<Key, Large> = BTreeMap::new();
    for source in &tree.sources {
        measure(source, &mut large);
    }
    for (key, Large { line, size, limit }) in &large {
        let name = key.1.as_ref().map_or("file".to_owned(), |name| format!("function {name}"));
        match entries.get(key) {
            None => {
                found.push(Finding::new(&key.0, *line, format!("{name} has {size} lines, limit {limit}")));
            }
            Some((_, entry)) if size > entry => {
                found.push(Finding::new(&key.0, *line, format!("{name} grew from {entry} to {size} lines")));
            }
            Some((at, entry)) if size < entry => {
                let what = format!("shrink it: {name} of {} has {size} lines, not {entry}", key.0);
                found.push(Finding::new(RATCHET, *at, what));
            }
            Some(_) => {}
        }
    }
    for (key, (at, _)) in entries.iter().filter(|(key, _)| !large.contains_key(key)) {
        found.push(Finding::new(RATCHET, *at, format!("not needed: nothing over a limit at {}", key.0)));
    }
    found
}

fn measure(source: &Source, large: &mut BTreeMap<Key, Large>) {
    let size = source.production_lines();
    if size > FILE_LINES_MAX {
        large.insert((source.path.clone(), None), Large { line: 0, size, limit: FILE_LINES_MAX });
    }
    for function in functions(source).into_iter().filter(|function| !source.is_test(function.first)) {
        let size = function.line_count();
        let key = (source.path.clone(), Some(function.name));
        if size > FUNCTION_LINES_MAX && large.get(&key).is_none_or(|known| known.size < size) {
            large.insert(key, Large { line: function.first, size, limit: FUNCTION_LINES_MAX });
        }
    }
}

/// The entries of the list, each with its line.
fn entries(text: &str, found: &mut Vec<Finding>) -> BTreeMap<Key, (usize, usize)> {
    let mut entries = BTreeMap::new();
    for (line, row) in text.lines().enumerate() {
        if row.is_empty() || row.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = row.split_whitespace().collect();
        let parsed = match words[..] {
            [path, lines] => Some(((path.to_owned(), None), lines.parse().ok())),
            [path, name, lines] => Some(((path.to_owned(), Some(name.to_owned())), lines.parse().ok())),
            _ => None,
        };
        match parsed {
            Some((key, Some(lines))) => {
                entries.insert(key, (line, lines));
            }
            _ => found.push(Finding::new(RATCHET, line, "not an entry: PATH [FUNCTION] LINES")),
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::found;

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    a();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_over_the_limit_is_found_and_one_at_it_is_not() {
        assert_eq!(found(sizes, &[("a.rs", &function(70))]), [""; 0]);
        assert_eq!(
            found(sizes, &[("a.rs", &function(71))]),
            ["a.rs:1: function long has 71 lines, limit 70"]
        );
    }

    #[test]
    fn a_file_over_the_limit_is_found_and_its_tests_do_not_count() {
        let code = "// a\n".repeat(800);
        let tests = "#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n";
        assert_eq!(found(sizes, &[("a.rs", &format!("{code}{tests}"))]), [""; 0]);
        assert_eq!(
            found(sizes, &[("a.rs", &format!("{code}// b\n{tests}"))]),
            ["a.rs:1: file has 801 lines, limit 800"]
        );
    }

    #[test]
    fn the_ratchet_holds_what_is_large_and_only_shrinks() {
        let code = function(80);
        let with = |entry: &str| found(sizes, &[("a.rs", &code), (RATCHET, entry)]);
        assert_eq!(with("# why\na.rs long 80\n"), [""; 0]);
        assert_eq!(with("a.rs long 79\n"), ["a.rs:1: function long grew from 79 to 80 lines"]);
        assert_eq!(
            with("a.rs long 81\n"),
            ["xtask/ratchet.txt:1: shrink it: function long of a.rs has 80 lines, not 81"]
        );
        assert_eq!(
            with("a.rs long 80\nb.rs 900\n"),
            ["xtask/ratchet.txt:2: not needed: nothing over a limit at b.rs"]
        );
        assert_eq!(
            with("a.rs long 80\na.rs\n"),
            ["xtask/ratchet.txt:2: not an entry: PATH [FUNCTION] LINES"]
        );
    }
}
