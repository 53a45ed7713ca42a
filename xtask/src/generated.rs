//! Pages made from the tree: written, or compared with what is committed.

use anyhow::{Context, Result};

use crate::tree::Tree;

/// Writes the page at `path`.
pub(crate) fn write(tree: &Tree, path: &str, page: fn(&Tree) -> String) -> Result<bool> {
    std::fs::write(tree.root.join(path), page(tree)).with_context(|| format!("cannot write {path}"))?;
    println!("wrote {path}");
    Ok(true)
}

/// Whether the page at `path` says what the tree says; prints the first line that differs.
pub(crate) fn check(tree: &Tree, path: &str, page: fn(&Tree) -> String) -> Result<bool> {
    let file = tree.root.join(path);
    let held = std::fs::read_to_string(file).with_context(|| format!("cannot read {path}"))?;
    let Some((line, expected)) = first_difference(&held, &page(tree)) else { return Ok(true) };
    println!("{path}:{line}: stale, should be `{expected}`; run the same command without --check");
    Ok(false)
}

/// The first line that differs, counted from 1, and what it should be.
fn first_difference(held: &str, made: &str) -> Option<(usize, String)> {
    if held == made {
        return None;
    }
    let same = held.lines().zip(made.lines()).take_while(|(held, made)| held == made).count();
    Some((same + 1, made.lines().nth(same).unwrap_or("the end of the file").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "c".to_owned())));
        assert_eq!(first_difference("a\nb\n", "a\n"), Some((2, "the end of the file".to_owned())));
    }
}
