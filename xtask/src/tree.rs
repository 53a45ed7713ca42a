//! The tracked files of the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::source::Source;

/// What git tracks, read once.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    /// The Rust files, by path.
    pub(crate) sources: Vec<Source>,
    /// Every other tracked file that is text, as (path, text), by path.
    pub(crate) texts: Vec<(String, String)>,
}

impl Tree {
    /// Reads every tracked file of the repository that the working folder is in.
    pub(crate) fn load() -> Result<Self> {
        let root = root()?;
        let listed = output(Command::new("git").args(["ls-files", "-z"]).current_dir(&root))?;
        let mut files = Vec::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let file = root.join(path);
            if !file.is_file() {
                continue;
            }
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push((path.to_owned(), text));
            }
        }
        Ok(Self::from_files(root, files))
    }

    /// A tree of the given (path, text) pairs.
    pub(crate) fn from_files(root: PathBuf, mut files: Vec<(String, String)>) -> Self {
        files.sort();
        let mut tree = Self { root, ..Self::default() };
        for (path, text) in files {
            if path.ends_with(".rs") {
                tree.sources.push(Source::new(&path, &text));
            } else {
                tree.texts.push((path, text));
            }
        }
        let test_modules: BTreeSet<String> = tree.sources.iter().flat_map(Source::test_modules).collect();
        for source in tree.sources.iter_mut().filter(|source| test_modules.contains(&source.path)) {
            source.set_test();
        }
        tree
    }

    /// The text of a tracked file that is not Rust.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|(name, _)| name == path).map(|(_, text)| text.as_str())
    }
}

/// The root folder of the repository that the working folder is in.
pub(crate) fn root() -> Result<PathBuf> {
    let root = output(Command::new("git").args(["rev-parse", "--show-toplevel"]))?;
    Ok(Path::new(root.trim_end()).to_owned())
}

/// What a command prints; an error with what it said if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", said.trim());
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} printed no text"))
}

#[cfg(test)]
pub(crate) fn sample(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Tree::from_files(PathBuf::new(), files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_declared_as_test_module_is_test_code() {
        let tree = sample(&[("a/src/lib.rs", "#[cfg(test)]\nmod pair;\n"), ("a/src/pair.rs", "fn a() {}\n")]);
        assert_eq!(tree.sources[1].production_lines(), 0);
    }

    #[test]
    fn rust_and_other_files_are_apart() {
        let tree = sample(&[("b.md", "text"), ("a.rs", "")]);
        assert_eq!(tree.sources.len(), 1);
        assert_eq!(tree.text("b.md"), Some("text"));
        assert_eq!(tree.text("a.rs"), None);
    }
}
