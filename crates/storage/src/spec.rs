//! What a torrent looks like to its storage: the files, in order, and how they are cut into pieces.

use std::path::PathBuf;

use unchoke_wire::metainfo::Info;
use unchoke_wire::{FileIndex, Layout};

use crate::error::{ErrorKind, StorageError};

/// One file of a torrent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileSpec {
    /// Safe components, beginning with the torrent's NAME; exactly `[NAME]` for a torrent of a single file.
    pub path: Vec<String>,
    /// Bytes.
    pub len: u64,
    /// Whether it is a pad file: zeros that are never stored.
    pub is_pad: bool,
    /// Whether it gets its execute bits when the torrent is finished.
    pub is_executable: bool,
    /// For a symbolic link, what it points to: the whole path of another file or folder of the torrent, beginning with
    /// NAME. Empty for a link that leads nowhere; then nothing is made in its place.
    pub symlink: Option<Vec<String>>,
}

/// A torrent's files and its layout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StorageSpec {
    /// How the files are cut into pieces; made of exactly the lengths of `files`.
    pub layout: Layout,
    /// All files in the torrent's order, pad files included. The paths of pads mean nothing.
    pub files: Vec<FileSpec>,
}

impl FileSpec {
    /// Whether the file has bytes that are kept somewhere.
    pub fn is_stored(&self) -> bool {
        !self.is_pad && self.len > 0
    }

    pub(crate) fn joined(&self) -> PathBuf {
        self.path.iter().collect()
    }
}

impl StorageSpec {
    /// The torrent's NAME.
    pub fn name(&self) -> &str {
        self.files.iter().find(|f| !f.is_pad).and_then(|f| f.path.first()).map_or("", String::as_str)
    }

    /// Where bytes of unwanted files are, beneath the root.
    pub(crate) fn part_path(&self) -> Vec<String> {
        vec![format!(".{}.unchoke-part", self.name())]
    }

    pub(crate) fn file(&self, file: FileIndex) -> &FileSpec {
        &self.files[at(file)]
    }

    /// Refuses names that could leave the root or stand for two files.
    ///
    /// # Panics
    /// When the layout was not made of these files.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        let same = Layout::new(self.layout.piece_len(), self.files.iter().map(|f| f.len));
        assert!(same.as_ref() == Ok(&self.layout), "the layout is made of the lengths of the files");
        let mut named: Vec<&FileSpec> = self.files.iter().filter(|f| !f.is_pad).collect();
        let bad = |f: &FileSpec, why: &str| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, why);
            Err(StorageError::with_kind(ErrorKind::BadName, "use the name", f.joined(), source))
        };
        let name = self.name();
        for file in &named {
            if file.path.first().is_none_or(|n| n != name) || !file.path.iter().all(|c| is_safe(c)) {
                return bad(file, "not a safe path");
            }
        }
        // component by component, so that a path comes right before the paths below it
        named.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        match named.windows(2).find(|w| w[1].path.starts_with(&w[0].path)) {
            Some(w) => bad(w[1], "two files of one name"),
            None => Ok(()),
        }
    }
}

impl From<&Info> for StorageSpec {
    fn from(info: &Info) -> Self {
        let files = info.files.iter().map(|f| FileSpec {
            path: f.path.clone(),
            len: f.length,
            // a link that may not be made leaves nothing in its place
            is_pad: f.is_pad || (f.is_link && f.symlink.is_none()),
            is_executable: f.is_executable,
            symlink: f.symlink.clone(),
        });
        StorageSpec { layout: info.layout.clone(), files: files.collect() }
    }
}

pub(crate) fn at(file: FileIndex) -> usize {
    usize::try_from(file.0).expect("a u32 fits the address space")
}

fn is_safe(component: &str) -> bool {
    !matches!(component, "" | "." | "..") && !component.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&[&str]]) -> Result<(), ErrorKind> {
        let files: Vec<FileSpec> = paths
            .iter()
            .map(|p| FileSpec {
                path: p.iter().map(|c| (*c).to_owned()).collect(),
                len: 5,
                ..FileSpec::default()
            })
            .collect();
        let layout = Layout::new(16_384, files.iter().map(|f| f.len)).unwrap();
        StorageSpec { layout, files }.check().map_err(|e| e.kind)
    }

    #[test]
    fn names_that_could_leave_the_root_are_refused() {
        for bad in ["", ".", "..", "a/b", "/etc", "a\\b", "a\0b"] {
            assert_eq!(check(&[&["t", bad]]), Err(ErrorKind::BadName), "{bad:?}");
            assert_eq!(check(&[&[bad]]), Err(ErrorKind::BadName), "{bad:?}");
        }
        assert_eq!(check(&[&["t", "a"], &["u", "b"]]), Err(ErrorKind::BadName));
        assert_eq!(check(&[&[]]), Err(ErrorKind::BadName));
    }

    #[test]
    fn a_name_stands_for_one_file() {
        assert_eq!(check(&[&["t", "a"], &["t", "b"], &["t", "a"]]), Err(ErrorKind::BadName));
        assert_eq!(check(&[&["t", "a"], &["t", "a-b"], &["t", "a", "b"]]), Err(ErrorKind::BadName));
        assert_eq!(check(&[&["t", "a"], &["t", "a-b"], &["t", "b", "a"]]), Ok(()));
    }
}
