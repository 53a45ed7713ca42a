//! Listing a folder for making a torrent of it.

use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

use crate::error::{ErrorKind, StorageError};

/// What to do about symbolic links.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Symlinks {
    /// Leave them out, and say so in [`Scan::skipped`].
    #[default]
    Skip,
    /// List those that point to a listed file; leave out the others.
    Record,
}

/// What a path holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// The folder the file or folder is in, links resolved: a root for [`crate::FileStorage`].
    pub parent: PathBuf,
    /// Its name there.
    pub name: String,
    /// Whether the path is a plain file. Then it is the only one listed, with an empty path.
    pub is_single: bool,
    /// The files, in byte order of their joined paths: the same for every user and file system, and the order in which
    /// `mktorrent` sorts.
    pub files: Vec<ScannedFile>,
    /// Symbolic links left out.
    pub skipped: Vec<PathBuf>,
}

/// One file of a scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScannedFile {
    /// Components below [`Scan::name`].
    pub path: Vec<String>,
    /// Bytes; 0 for a link.
    pub len: u64,
    /// Whether its owner may execute it.
    pub is_executable: bool,
    /// For a symbolic link: what it points to, components below [`Scan::name`].
    pub symlink: Option<Vec<String>>,
}

/// Lists all files of `path`, itself a file or a folder; a link there is resolved first.
///
/// Errors name the path in question: it cannot be read, is neither file nor folder, or has a name that is not UTF-8.
pub fn scan_tree(path: &Path, symlinks: Symlinks) -> Result<Scan, StorageError> {
    let top = path.canonicalize().map_err(|e| StorageError::new("read", path, e))?;
    let (Some(parent), Some(name)) = (top.parent(), top.file_name()) else {
        return Err(bad_name("use as a torrent", &top, "the root of the file system has no name"));
    };
    let meta = std::fs::metadata(&top).map_err(|e| StorageError::new("read", &top, e))?;
    let mut scan = Scan {
        parent: parent.to_owned(),
        name: utf8(&top, name)?,
        is_single: !meta.is_dir(),
        files: Vec::new(),
        skipped: Vec::new(),
    };
    if scan.is_single {
        scan.files.push(plain_file(&top, Vec::new(), &meta)?);
        return Ok(scan);
    }
    let mut links = Vec::new();
    let mut folders: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        list(&top, &folder, &mut scan.files, &mut folders, &mut links)?;
    }
    match symlinks {
        Symlinks::Skip => scan.skipped = links.iter().map(|l| joined(&top, l)).collect(),
        Symlinks::Record => record_links(&top, links, &mut scan)?,
    }
    scan.files.sort_by_cached_key(|f| f.path.join("/"));
    scan.skipped.sort_unstable();
    Ok(scan)
}

/// Lists one folder: files, folders to go on with, and links.
fn list(
    top: &Path,
    folder: &[String],
    files: &mut Vec<ScannedFile>,
    folders: &mut Vec<Vec<String>>,
    links: &mut Vec<Vec<String>>,
) -> Result<(), StorageError> {
    let dir = joined(top, folder);
    let failed = |e: io::Error| StorageError::new("read", &dir, e);
    for entry in std::fs::read_dir(&dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let at = entry.path();
        let mut path = folder.to_vec();
        path.push(utf8(&at, &entry.file_name())?);
        let kind = entry.file_type().map_err(|e| StorageError::new("read", &at, e))?;
        if kind.is_symlink() {
            links.push(path);
        } else if kind.is_dir() {
            folders.push(path);
        } else {
            let meta = entry.metadata().map_err(|e| StorageError::new("read", &at, e))?;
            files.push(plain_file(&at, path, &meta)?);
        }
    }
    Ok(())
}

/// A plain file that can be read; anything else is an error, found before hours of hashing.
fn plain_file(at: &Path, path: Vec<String>, meta: &Metadata) -> Result<ScannedFile, StorageError> {
    if !meta.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, special(meta.file_type()));
        return Err(StorageError::with_kind(ErrorKind::NotAFile, "use as a file", at, source));
    }
    let may_read = rustix::fs::accessat(CWD, at, Access::READ_OK, AtFlags::EACCESS);
    may_read.map_err(|e| StorageError::new("read", at, e))?;
    let is_executable = meta.permissions().mode() & 0o100 != 0;
    Ok(ScannedFile { path, len: meta.len(), is_executable, symlink: None })
}

/// Lists the links that point to a listed file, by the shortest way to it.
fn record_links(top: &Path, links: Vec<Vec<String>>, scan: &mut Scan) -> Result<(), StorageError> {
    let mut plain: Vec<Vec<String>> = scan.files.iter().map(|f| f.path.clone()).collect();
    plain.sort_unstable();
    for link in links {
        let at = joined(top, &link);
        let target = std::fs::read_link(&at).map_err(|e| StorageError::new("read", &at, e))?;
        match within(&link, &target).filter(|t| plain.binary_search(t).is_ok()) {
            Some(target) => scan.files.push(ScannedFile {
                path: link,
                len: 0,
                is_executable: false,
                symlink: Some(target),
            }),
            None => scan.skipped.push(at),
        }
    }
    Ok(())
}

/// Where the relative target of a link leads, if it stays in the tree.
fn within(link: &[String], target: &Path) -> Option<Vec<String>> {
    let mut path = link.split_last()?.1.to_vec();
    for component in target.components() {
        match component {
            Component::Normal(name) => path.push(name.to_str()?.to_owned()),
            Component::CurDir => {}
            Component::ParentDir => drop(path.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

fn special(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn utf8(at: &Path, name: &std::ffi::OsStr) -> Result<String, StorageError> {
    let text = std::str::from_utf8(name.as_bytes()).map(str::to_owned);
    text.map_err(|_| bad_name("put into a torrent", at, "not UTF-8"))
}

fn bad_name(action: &'static str, at: &Path, why: &str) -> StorageError {
    StorageError::with_kind(ErrorKind::BadName, action, at, io::Error::new(io::ErrorKind::InvalidData, why))
}

fn joined(top: &Path, path: &[String]) -> PathBuf {
    top.join(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn touch(dir: &Path, path: &str, len: usize) {
        let at = dir.join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, vec![7; len]).unwrap();
    }

    fn paths(scan: &Scan) -> Vec<String> {
        scan.files.iter().map(|f| f.path.join("/")).collect()
    }

    #[test]
    fn files_come_in_byte_order_of_their_whole_paths() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b", "a/x", "a-b", "a/x.y/z", "a.c", "A", "é", "a/x0"] {
            touch(&dir.path().join("top"), path, path.len());
        }
        let scan = scan_tree(&dir.path().join("top"), Symlinks::Skip).unwrap();
        assert_eq!(paths(&scan), ["A", "a-b", "a.c", "a/x", "a/x.y/z", "a/x0", "b", "é"]);
        assert_eq!((scan.name.as_str(), scan.is_single), ("top", false));
        assert_eq!(scan.parent, dir.path().canonicalize().unwrap());
        assert_eq!(scan.files[0].len, 1);
    }

    #[test]
    fn a_single_file_is_listed_alone() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), "f.bin", 9);
        std::fs::set_permissions(dir.path().join("f.bin"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let scan = scan_tree(&dir.path().join("f.bin"), Symlinks::Skip).unwrap();
        let file = ScannedFile { path: vec![], len: 9, is_executable: true, symlink: None };
        assert_eq!((scan.name.as_str(), scan.is_single, scan.files), ("f.bin", true, vec![file]));
    }

    #[test]
    fn links_are_left_out_unless_asked_for_and_inside() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        touch(&top, "real/f", 3);
        touch(dir.path(), "outside", 3);
        for (target, link) in [
            ("real/f", "good"),
            ("../good", "real/chain"),
            ("../outside", "out"),
            ("/etc/passwd", "abs"),
            ("none", "dangling"),
            ("real", "folder"),
        ] {
            symlink(target, top.join(link)).unwrap();
        }
        symlink("../real/./f", top.join("real/back")).unwrap();
        let scan = scan_tree(&top, Symlinks::Skip).unwrap();
        assert_eq!((paths(&scan), scan.skipped.len()), (vec!["real/f".to_owned()], 7));
        let scan = scan_tree(&top, Symlinks::Record).unwrap();
        assert_eq!(paths(&scan), ["good", "real/back", "real/f"]);
        assert_eq!(scan.files[1].symlink, Some(vec!["real".to_owned(), "f".to_owned()]));
        assert_eq!(scan.skipped.len(), 5);
    }

    #[test]
    fn what_cannot_be_in_a_torrent_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), "top/f", 1);
        let pipe = dir.path().join("top/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let error = scan_tree(&dir.path().join("top"), Symlinks::Skip).unwrap_err();
        assert_eq!((error.kind, &error.path), (ErrorKind::NotAFile, &pipe.canonicalize().unwrap()));
        std::fs::remove_file(&pipe).unwrap();
        std::fs::write(dir.path().join("top").join(OsStr::from_bytes(b"\xff")), b"").unwrap();
        assert_eq!(scan_tree(dir.path(), Symlinks::Skip).unwrap_err().kind, ErrorKind::BadName);
        assert_eq!(scan_tree(&dir.path().join("none"), Symlinks::Skip).unwrap_err().kind, ErrorKind::Missing);
    }
}
