//! Where below the download folder a torrent's data may land.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The folder `sub` below `root`, made if need be. `root` is a whole path without links.
///
/// # Errors
/// One line: it is not below `root`, also when a link leads out of it, or cannot be made.
pub(super) fn below(root: &Path, sub: &str) -> Result<PathBuf, String> {
    let refused = |why: &str| Err(format!("'{sub}' is no folder below the download folder: {why}"));
    let mut at = root.to_owned();
    for part in Path::new(sub).components() {
        match part {
            Component::Normal(name) if !sub.contains('\0') => at.push(name),
            Component::CurDir => continue,
            _ => return refused("only names and slashes may be in it"),
        }
        at = match at.canonicalize() {
            Ok(whole) if !whole.starts_with(root) => return refused("a link leads out of it"),
            Ok(whole) if !whole.is_dir() => return refused("something else is there"),
            Ok(whole) => whole,
            // a link that leads nowhere is there, and refused
            Err(e) if e.kind() == io::ErrorKind::NotFound => match std::fs::create_dir(&at) {
                Ok(()) => at,
                Err(e) => return refused(&crate::errors::reason(&e)),
            },
            Err(e) => return refused(&crate::errors::reason(&e)),
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 17 of the API checks.
    #[test]
    fn data_lands_below_the_download_folder_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("downloads");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("file"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("out")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
        std::os::unix::fs::symlink("films", root.join("in")).unwrap();
        assert_eq!(below(&root, ""), Ok(root.clone()));
        assert_eq!(below(&root, "films/./new"), Ok(root.join("films/new")));
        assert_eq!(below(&root, "in"), Ok(root.join("films")));
        assert!(root.join("films/new").is_dir());
        for bad in ["..", "a/../..", "/etc", "/", "out", "out/x", "dangling", "file", "file/x", "a\0b"] {
            let error = below(&root, bad).unwrap_err();
            assert!(error.contains("is no folder below the download folder"), "{error}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
