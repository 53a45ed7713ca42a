//! Moving a torrent's files to another folder, so that a crash at any point loses nothing.
//!
//! Two steps, and between them the owner makes it durable that the torrent is in the new folder:
//!
//! 1. [`Relocation::place`] puts every file into the new folder and leaves the old one as it is: on one file system by
//!    another name of the same file, else by a copy that is synced, read back and compared before it gets its name.
//! 2. [`Relocation::clear_source`] removes from the old folder what is in the new one.
//!
//! Where a file system has no second names, files are renamed in step 1; then [`Relocation::undo`] takes them back. Both
//! steps may be cut off anywhere and done again. Nothing that is not of the torrent is ever overwritten or removed.
//! `steps.rs` is what its owner writes down in between.

mod steps;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::{ErrorKind, StorageError};
use crate::spec::StorageSpec;
use crate::storage::FileFact;
use crate::sys::Entry;
use crate::volume::{self, Beneath, Dir, File, Volume};

/// The way of one torrent's files from one folder to another.
#[derive(Clone, Debug)]
pub struct Relocation {
    spec: StorageSpec,
    volume: Volume,
    from: PathBuf,
    to: PathBuf,
}

/// Why files could not be placed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct PlaceError {
    /// What stopped it.
    pub error: StorageError,
    /// Whether everything is as it was before. Else both folders have a part, and it is to be tried again.
    pub is_undone: bool,
}

/// Where files of the torrent were found: an entry for each, and one more for its part file.
#[derive(Clone, Debug)]
pub struct Found {
    from: Vec<FileFact>,
    to: Vec<FileFact>,
}

/// Bytes copied and compared at a time.
const CHUNK_LEN: usize = 1 << 20;
/// Bytes copied from one sync to the next.
const SYNC_LEN: u64 = 64 << 20;

impl Relocation {
    /// From the folder `from` to the folder `to`, in both of which the data is as NAME. Touches no disk.
    ///
    /// # Errors
    /// [`ErrorKind::BadName`] when a path could leave its folder.
    ///
    /// # Panics
    /// When the layout was not made of the files.
    pub fn new(spec: StorageSpec, from: &Path, to: &Path) -> Result<Self, StorageError> {
        Relocation::new_on(&Volume::default(), spec, from, to)
    }

    /// As [`Self::new`], both folders on `volume`.
    ///
    /// # Errors
    /// As [`Self::new`].
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn new_on(volume: &Volume, spec: StorageSpec, from: &Path, to: &Path) -> Result<Self, StorageError> {
        spec.check()?;
        Ok(Relocation { spec, volume: volume.clone(), from: from.to_owned(), to: to.to_owned() })
    }

    /// Whether both folders are there, are two, and nothing is in the way in the second: asked before the first step.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] for what is in the way, [`ErrorKind::MissingRoot`], and what the disk says.
    pub fn check(&self) -> Result<(), StorageError> {
        let roots = self.open()?;
        let mut lookup = lookup(&roots.to, &self.to)?;
        for path in self.paths() {
            if self.find(&mut lookup, &self.to, &path)?.is_some() {
                return Err(StorageError::new("move to", self.to.join(path.join("/")), Errno::EXIST));
            }
        }
        Ok(())
    }

    /// What of the torrent is where.
    ///
    /// # Errors
    /// [`ErrorKind::MissingRoot`] when one of the folders is missing, and what the disk says.
    pub fn find_all(&self) -> Result<Found, StorageError> {
        let roots = self.open()?;
        let facts = |root: &Dir, dir: &Path| {
            let mut lookup = lookup(root, dir)?;
            let mut fact = |path: Vec<String>| {
                Ok(match self.find(&mut lookup, dir, &path)? {
                    Some(e) if e.kind == FileType::RegularFile => {
                        FileFact::Present { len: e.len, mtime_ns: e.mtime_ns, inode: e.inode }
                    }
                    Some(_) => FileFact::Doubtful,
                    None => FileFact::Missing,
                })
            };
            let pads = self.spec.files.iter().map(|f| (!f.is_pad).then(|| f.path.clone()));
            pads.chain([Some(self.spec.part_path())])
                .map(|path| path.map_or(Ok(FileFact::Missing), &mut fact))
                .collect::<Result<Vec<_>, StorageError>>()
        };
        Ok(Found { from: facts(&roots.from, &self.from)?, to: facts(&roots.to, &self.to)? })
    }

    /// That the files are gone, as an error of the old folder.
    pub fn source_is_missing(&self) -> StorageError {
        StorageError::with_kind(
            ErrorKind::MissingRoot,
            "find the files in",
            &self.from,
            io::ErrorKind::NotFound,
        )
    }

    /// Puts all there is of the torrent into the new folder, durably. After an error that leaves everything as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] for what is in the way, [`ErrorKind::Stopped`] once `is_stopped` is set, and what the disk
    /// says.
    pub fn place(&self, is_stopped: &AtomicBool) -> Result<(), PlaceError> {
        let mut renamed = Vec::new();
        let placed = self.open().and_then(|roots| self.place_all(&roots, &mut renamed, is_stopped));
        placed.map_err(|error| {
            let is_undone = self.take_back(&renamed).is_ok();
            PlaceError { error, is_undone }
        })
    }

    /// Takes out of the new folder what an earlier run placed there.
    ///
    /// # Errors
    /// What the disk says; then it is to be tried again.
    pub fn undo(&self) -> Result<(), StorageError> {
        let roots = self.open()?;
        let (mut from, mut to) = (lookup(&roots.from, &self.from)?, lookup(&roots.to, &self.to)?);
        let mut renamed = Vec::new();
        for path in self.paths() {
            let is_gone = self.find(&mut from, &self.from, &path)?.is_none();
            if is_gone && self.find(&mut to, &self.to, &path)?.is_some() {
                renamed.push(path);
            }
        }
        drop((from, to, roots));
        self.take_back(&renamed)
    }

    /// Removes from the old folder what is in the new one as well, and the folders this leaves empty, durably.
    ///
    /// # Errors
    /// What the disk says; then it is to be tried again. A folder that is not there any more is none.
    pub fn clear_source(&self) -> Result<(), StorageError> {
        let roots = match self.open() {
            Err(e) if e.kind == ErrorKind::MissingRoot && !self.exists(&self.from) => return Ok(()),
            other => other?,
        };
        let (mut from, mut to) = (lookup(&roots.from, &self.from)?, lookup(&roots.to, &self.to)?);
        for path in self.paths() {
            let Some(old) = self.find(&mut from, &self.from, &path)? else { continue };
            let Some(new) = self.find(&mut to, &self.to, &path)? else { continue };
            let failed = |e| StorageError::new("remove", self.from.join(path.join("/")), e);
            // a file that grew or shrank since is somebody else's
            let is_moved = old.kind == new.kind && (is_same(&old, &new) || old.len == new.len);
            if is_moved && !roots.source(&path).is_beside(roots.target(&path)).map_err(failed)? {
                volume::remove_file(&roots.from, &path).map_err(failed)?;
            }
        }
        self.remove_dirs(&roots.from, &self.from)
    }

    fn place_all(
        &self,
        roots: &Roots,
        renamed: &mut Vec<Vec<String>>,
        is_stopped: &AtomicBool,
    ) -> Result<(), StorageError> {
        let (mut from, mut to) = (lookup(&roots.from, &self.from)?, lookup(&roots.to, &self.to)?);
        let mut copies = Vec::new();
        for (number, path) in self.paths().enumerate() {
            let new = self.find(&mut to, &self.to, &path)?;
            let Some(old) = self.find(&mut from, &self.from, &path)? else {
                // nothing was in its place at first: an earlier run renamed it
                renamed.extend(new.map(|_| path));
                continue;
            };
            check_stop(is_stopped, &self.from, &path)?;
            match new {
                Some(new) if is_same(&old, &new) || self.is_copy(roots, &path, &old, &new)? => continue,
                Some(_) => return Err(self.failed("move to", &self.to, &path, Errno::EXIST.into())),
                None => {}
            }
            match old.kind {
                FileType::RegularFile => match self.link_or_rename(roots, &path)? {
                    Done::Linked => {}
                    Done::Renamed => renamed.push(path),
                    Done::OtherDisk => copies.push((number, path)),
                },
                FileType::Symlink => volume::copy_link(roots.source(&path), roots.target(&path))
                    .map_err(|e| self.failed("link", &self.to, &path, e))?,
                _ => return Err(self.failed("move", &self.from, &path, Errno::ISDIR.into())),
            }
        }
        for (number, path) in &copies {
            self.copy(roots, *number, path, is_stopped)?;
        }
        // all of them are there and right: from here on it takes next to nothing
        for (number, path) in &copies {
            let temp = self.temp_path(*number);
            let from = Beneath { root: &roots.to, path: &temp };
            volume::rename_new(from, roots.target(path))
                .map_err(|e| self.failed("move to", &self.to, path, e))?;
        }
        for (number, path) in self.paths().enumerate() {
            let removed = remove_if_there(&roots.to, &self.temp_path(number));
            removed.map_err(|e| self.failed("remove a copy of", &self.to, &path, e))?;
        }
        self.sync_dirs(&roots.to, &self.to)?;
        match renamed.is_empty() {
            true => Ok(()),
            false => self.sync_dirs(&roots.from, &self.from),
        }
    }

    fn link_or_rename(&self, roots: &Roots, path: &[String]) -> Result<Done, StorageError> {
        let failed = |e| self.failed("move to", &self.to, path, e);
        match volume::link_new(roots.source(path), roots.target(path)) {
            Ok(()) => Ok(Done::Linked),
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::XDEV) => Ok(Done::OtherDisk),
                // no second names on this file system, or not for files of others
                Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::ACCESS) => {
                    // a folder that is lost takes with it what was renamed into it
                    make_way(&roots.to, path).map_err(failed)?;
                    match volume::rename_new(roots.source(path), roots.target(path)) {
                        Err(e) if Errno::from_io_error(&e) == Some(Errno::XDEV) => Ok(Done::OtherDisk),
                        other => other.map(|()| Done::Renamed).map_err(failed),
                    }
                }
                _ => Err(failed(e)),
            },
        }
    }

    /// Copies a file to a name of its own, syncs it and compares it with what the disk gives back.
    fn copy(
        &self,
        roots: &Roots,
        number: usize,
        path: &[String],
        is_stopped: &AtomicBool,
    ) -> Result<(), StorageError> {
        let temp = self.temp_path(number);
        let reading = |e| self.failed("read", &self.from, path, e);
        let writing = |e| self.failed("copy to", &self.to, path, e);
        remove_if_there(&roots.to, &temp).map_err(writing)?;
        let source = volume::open_file(&roots.from, path, false).map_err(reading)?;
        let before = known(&source).map_err(reading)?;
        let copy = volume::create_new(Beneath { root: &roots.to, path: &temp }).map_err(writing)?;
        let mut buf = vec![0; CHUNK_LEN];
        let (mut at, mut synced) = (0, 0);
        while at < before.0 {
            check_stop(is_stopped, &self.from, path)?;
            at = at.max(volume::data_from(&source, at).map_err(reading)?).min(before.0);
            let len = chunk(before.0 - at);
            volume::read_at(&source, &mut buf[..len], at).map_err(reading)?;
            volume::write_at(&copy, &buf[..len], at).map_err(writing)?;
            at += byte_len(len);
            // the disk keeps up, and the last sync does not take for ever
            if at >= synced + SYNC_LEN {
                copy.sync_all().map_err(writing)?;
                synced = at;
            }
        }
        copy.set_len(before.0).map_err(writing)?;
        volume::copy_looks(&source, &copy).map_err(writing)?;
        copy.sync_all().map_err(writing)?;
        volume::drop_cache(&copy);
        let is_equal = is_equal(&source, &copy, before.0, || check_stop(is_stopped, &self.from, path));
        if !is_equal.map_err(|e| e.of(reading))? {
            return Err(writing(io::Error::other("the disk gives back other bytes than were written")));
        }
        let after = known(&source).map_err(reading)?;
        match before == after {
            true => Ok(()),
            false => Err(reading(io::Error::other("it changed while it was copied; stop what writes to it"))),
        }
    }

    /// Whether what is in the new folder is a whole copy of what is in the old one.
    fn is_copy(
        &self,
        roots: &Roots,
        path: &[String],
        old: &Entry,
        new: &Entry,
    ) -> Result<bool, StorageError> {
        let failed = |e| self.failed("read", &self.to, path, e);
        if old.kind != new.kind || old.len != new.len {
            return Ok(false);
        }
        match old.kind {
            // on one file system nothing is copied
            FileType::RegularFile if old.device == new.device => Ok(false),
            FileType::RegularFile => {
                let a = volume::open_file(&roots.from, path, false).map_err(failed)?;
                let b = volume::open_file(&roots.to, path, false).map_err(failed)?;
                is_equal(&a, &b, old.len, || Ok(())).map_err(|e| e.of(failed))
            }
            FileType::Symlink => {
                let target = |at| volume::link_target(at).map_err(failed);
                Ok(target(roots.source(path))? == target(roots.target(path))?)
            }
            _ => Ok(false),
        }
    }

    /// Empties the new folder of what was placed there. `renamed` is what the old one has no more.
    fn take_back(&self, renamed: &[Vec<String>]) -> Result<(), StorageError> {
        let roots = match self.open() {
            // nothing was placed in a folder that never was
            Err(e) if e.kind == ErrorKind::MissingRoot && !self.exists(&self.to) && renamed.is_empty() => {
                return Ok(());
            }
            other => other?,
        };
        for path in renamed {
            let back = volume::rename_new(roots.target(path), roots.source(path));
            back.map_err(|e| self.failed("move back", &self.from, path, e))?;
        }
        let (mut from, mut to) = (lookup(&roots.from, &self.from)?, lookup(&roots.to, &self.to)?);
        for (number, path) in self.paths().enumerate() {
            let failed = |e| self.failed("remove", &self.to, &path, e);
            remove_if_there(&roots.to, &self.temp_path(number)).map_err(failed)?;
            let Some(old) = self.find(&mut from, &self.from, &path)? else { continue };
            let Some(new) = self.find(&mut to, &self.to, &path)? else { continue };
            if is_same(&old, &new) || self.is_copy(&roots, &path, &old, &new)? {
                volume::remove_file(&roots.to, &path).map_err(failed)?;
            }
        }
        if !renamed.is_empty() {
            self.sync_dirs(&roots.from, &self.from)?;
        }
        self.remove_dirs(&roots.to, &self.to)
    }

    /// Removes the torrent's folders beneath `root` that are empty, and makes what happened to them durable.
    fn remove_dirs(&self, root: &Dir, dir: &Path) -> Result<(), StorageError> {
        // a folder sorts before those in it: the deepest go first
        for path in self.dirs().into_iter().rev().filter(|d| !d.is_empty()) {
            match volume::remove_dir(root, &path) {
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty || is_absent(&e) => {}
                other => other.map_err(|e| StorageError::new("remove", dir.join(path.join("/")), e))?,
            }
        }
        self.sync_dirs(root, dir)
    }

    fn sync_dirs(&self, root: &Dir, dir: &Path) -> Result<(), StorageError> {
        for path in self.dirs() {
            match volume::open_dir(root, &path, false).and_then(|dir| volume::sync_dir(&dir)) {
                Err(e) if is_absent(&e) => {}
                other => other.map_err(|e| StorageError::new("sync", dir.join(path.join("/")), e))?,
            }
        }
        Ok(())
    }

    /// The files' paths, and that of the part file.
    fn paths(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        // nothing lies at the path of a pad, which may be that of another file
        let files = self.spec.files.iter().filter(|f| !f.is_pad);
        files.map(|f| f.path.clone()).chain([self.spec.part_path()])
    }

    /// The folders files lie in, the root first.
    fn dirs(&self) -> BTreeSet<Vec<String>> {
        self.paths().flat_map(|p| (0..p.len()).map(move |depth| p[..depth].to_vec())).collect()
    }

    /// The name of a copy until it is whole.
    fn temp_path(&self, number: usize) -> Vec<String> {
        let of = crc32c::crc32c_append(
            crc32c::crc32c(self.from.as_os_str().as_encoded_bytes()),
            self.spec.name().as_bytes(),
        );
        vec![format!(".unchoke-move-{of:08x}-{number}")]
    }

    fn open(&self) -> Result<Roots, StorageError> {
        let open = |dir: &Path| {
            let opened = volume::open_root(&self.volume, dir).and_then(|root| {
                let number = volume::folder_id(&root)?;
                Ok((root, number))
            });
            opened.map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => {
                    StorageError::with_kind(ErrorKind::MissingRoot, "open the folder", dir, e)
                }
                _ => StorageError::new("open the folder", dir, e),
            })
        };
        let ((from, a), (to, b)) = (open(&self.from)?, open(&self.to)?);
        match a == b {
            true => Err(StorageError::new("move to", &self.to, io::Error::other("it is in this folder"))),
            false => Ok(Roots { from, to }),
        }
    }

    fn exists(&self, dir: &Path) -> bool {
        self.volume.exists(dir).unwrap_or(false)
    }

    fn find(
        &self,
        lookup: &mut volume::Lookup,
        dir: &Path,
        path: &[String],
    ) -> Result<Option<Entry>, StorageError> {
        lookup.find(path).map_err(|e| self.failed("examine", dir, path, e))
    }

    fn failed(&self, action: &'static str, dir: &Path, path: &[String], e: io::Error) -> StorageError {
        StorageError::new(action, dir.join(path.join("/")), e)
    }
}

impl Found {
    /// Whether the old folder has nothing of what is `recorded`, and the new one not all of it: most likely a disk is not
    /// mounted.
    pub fn is_source_missing(&self, recorded: &[FileFact]) -> bool {
        let count = recorded.len();
        let is_at = |side: &[FileFact], i: usize| {
            [side.get(i), side.last()].iter().flatten().any(|f| **f != FileFact::Missing)
        };
        let mut claimed = (0..count).filter(|i| matches!(recorded[*i], FileFact::Present { .. })).peekable();
        let has_any = claimed.peek().is_some();
        let claimed: Vec<usize> = claimed.collect();
        has_any
            && !claimed.iter().any(|i| is_at(&self.from, *i))
            && !claimed.iter().all(|i| is_at(&self.to, *i))
    }

    /// Whether a fact that was recorded still holds of some file of the torrent. Two files never share one.
    pub fn holds(&self, recorded: FileFact) -> bool {
        recorded != FileFact::Doubtful && self.from.iter().chain(&self.to).any(|f| *f == recorded)
    }
}

/// The folders, open.
struct Roots {
    from: Dir,
    to: Dir,
}

impl Roots {
    fn source<'p>(&'p self, path: &'p [String]) -> Beneath<'p> {
        Beneath { root: &self.from, path }
    }

    fn target<'p>(&'p self, path: &'p [String]) -> Beneath<'p> {
        Beneath { root: &self.to, path }
    }
}

/// How a file came into the new folder.
enum Done {
    Linked,
    Renamed,
    /// It did not.
    OtherDisk,
}

/// Why two files could not be compared.
enum CompareError {
    Disk(io::Error),
    Stopped(StorageError),
}

impl CompareError {
    fn of(self, failed: impl FnOnce(io::Error) -> StorageError) -> StorageError {
        match self {
            CompareError::Disk(e) => failed(e),
            CompareError::Stopped(e) => e,
        }
    }
}

fn is_equal(
    a: &File,
    b: &File,
    len: u64,
    go_on: impl Fn() -> Result<(), StorageError>,
) -> Result<bool, CompareError> {
    let (mut left, mut right) = (vec![0; CHUNK_LEN], vec![0; CHUNK_LEN]);
    let mut at = 0;
    while at < len {
        go_on().map_err(CompareError::Stopped)?;
        let now = chunk(len - at);
        for (file, buf) in [(a, &mut left), (b, &mut right)] {
            file.read_exact_at(&mut buf[..now], at).map_err(CompareError::Disk)?;
        }
        if left[..now] != right[..now] {
            return Ok(false);
        }
        at += byte_len(now);
    }
    Ok(true)
}

fn check_stop(is_stopped: &AtomicBool, dir: &Path, path: &[String]) -> Result<(), StorageError> {
    match is_stopped.load(Ordering::Relaxed) {
        true => {
            let path = dir.join(path.join("/"));
            Err(StorageError::with_kind(ErrorKind::Stopped, "move", path, io::ErrorKind::Interrupted))
        }
        false => Ok(()),
    }
}

fn lookup(root: &Dir, dir: &Path) -> Result<volume::Lookup, StorageError> {
    let lookup = root.try_clone().and_then(volume::Lookup::new);
    lookup.map_err(|e| StorageError::new("open the folder", dir, e))
}

/// Makes the folders a file will lie in, durably.
fn make_way(root: &Dir, path: &[String]) -> io::Result<()> {
    volume::open_dir(root, &path[..path.len() - 1], true)?;
    (0..path.len()).try_for_each(|depth| volume::sync_dir(&volume::open_dir(root, &path[..depth], false)?))
}

fn remove_if_there(root: &Dir, path: &[String]) -> io::Result<()> {
    match volume::remove_file(root, path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// By what a change of a file is known.
fn known(file: &File) -> io::Result<(u64, i64)> {
    volume::facts_of(file).map(|facts| (facts.len, facts.mtime_ns))
}

fn is_same(a: &Entry, b: &Entry) -> bool {
    (a.device, a.inode) == (b.device, b.inode)
}

/// Whether there is no folder of ours in this place.
fn is_absent(e: &io::Error) -> bool {
    matches!(ErrorKind::of(e), ErrorKind::Missing | ErrorKind::NotADirectory | ErrorKind::Symlink)
}

/// How much is looked at next of so much that is left.
fn chunk(left: u64) -> usize {
    usize::try_from(left).map_or(CHUNK_LEN, |left| left.min(CHUNK_LEN))
}

fn byte_len(len: usize) -> u64 {
    u64::try_from(len).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests;
