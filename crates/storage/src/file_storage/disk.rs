//! Opening files through the pool, and making what was written durable.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};

use rustix::fs::FileType;
use unchoke_wire::FileIndex;

use super::{Allocation, FileStorage};
use crate::error::{ErrorKind, StorageError};
use crate::storage::FileFact;
use crate::volume::{self, Dir, File};

/// The number of the part file where files are counted.
pub(super) const PART: u32 = u32::MAX;

/// What a sync has to look after.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Files written since the last sync.
    files: BTreeSet<u32>,
    /// Files and links whose names the folders they are in may not hold durably.
    unnamed: BTreeSet<u32>,
    /// Files whose names were synced.
    named: BTreeSet<u32>,
    /// Files a sync has failed on: what the disk holds of them is unknown until they are checked.
    lost: BTreeSet<u32>,
    /// Whether the root was synced.
    is_root_synced: bool,
}

impl FileStorage {
    /// The file, open. It is made if `writable` and absent.
    pub(super) fn file(&self, file: FileIndex, writable: bool) -> Result<Arc<File>, StorageError> {
        self.file_by_number(file.0, writable)
    }

    pub(super) fn file_by_number(&self, number: u32, writable: bool) -> Result<Arc<File>, StorageError> {
        let key = (self.id, number);
        if let Some(file) = self.options.pool.find(key, writable) {
            return Ok(file);
        }
        let opened = self.with_descriptors(|| self.open_now(number, writable))?;
        Ok(self.options.pool.put(key, opened, writable))
    }

    /// Does what needs descriptors, once more with fewer in the pool if there are none left.
    pub(super) fn with_descriptors<T>(
        &self,
        f: impl Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match f() {
            Err(e) if e.kind == ErrorKind::TooManyFiles => {
                self.options.pool.shed();
                f()
            }
            other => other,
        }
    }

    fn open_now(&self, number: u32, writable: bool) -> Result<File, StorageError> {
        let root = self.open_root(writable)?;
        let path = self.path_of(number);
        if !writable {
            return volume::open_file(&root, &path, false).map_err(|e| self.failed_number("read", number, e));
        }
        let (file, is_new) =
            volume::create_file(&root, &path).map_err(|e| self.failed_number("write", number, e))?;
        if is_new {
            self.note_created(number);
            self.claim(&file, number)?;
        }
        Ok(file)
    }

    /// Puts a name that is new on the list of the next sync.
    pub(super) fn note_created(&self, number: u32) {
        self.dirty().unnamed.insert(number);
    }

    /// Puts a file on the list of the next sync. Called after the write: a sync between the two must not take it off.
    pub(super) fn note_written(&self, number: u32) {
        let mut dirty = self.dirty();
        dirty.files.insert(number);
        // another thread may have made it and not have come to say so
        if !dirty.named.contains(&number) {
            dirty.unnamed.insert(number);
        }
    }

    /// Takes a file off the list, as it is going to be removed. Waits for a sync that is at it.
    pub(super) fn note_removed(&self, number: u32) {
        let _one = self.sync_turn();
        let mut dirty = self.dirty();
        dirty.files.remove(&number);
        dirty.unnamed.remove(&number);
        dirty.named.remove(&number);
    }

    /// Empties the list, as all is going to be removed.
    pub(super) fn note_all_removed(&self) {
        let _one = self.sync_turn();
        *self.dirty() = Dirty::default();
    }

    /// Claims the space of a file under full allocation.
    pub(super) fn claim(&self, file: &File, number: u32) -> Result<(), StorageError> {
        if self.options.allocation == Allocation::Sparse || number == PART {
            return Ok(());
        }
        match self.spec.file(FileIndex(number)).len {
            0 => Ok(()),
            len => {
                let claimed = self.writing(number, || volume::allocate(file, len));
                claimed.map_err(|e| self.failed_number("claim space for", number, e))
            }
        }
    }

    /// Whether the root may be made and never was there.
    pub(super) fn may_make_root(&self) -> bool {
        self.options.may_create_root && self.root_id.get().is_none()
    }

    /// The number of the file system the root is on; 0 while that is not known.
    pub(super) fn device(&self) -> u64 {
        let _ = self.open_root(false);
        self.root_id.get().map_or(0, |(device, _)| *device)
    }

    /// A failed sync of this file counts no more.
    pub(super) fn note_renewed(&self, number: u32) {
        self.dirty().lost.remove(&number);
    }

    /// The root folder. It is made if that is allowed and `create`. Another folder than before is none.
    pub(super) fn open_root(&self, create: bool) -> Result<Dir, StorageError> {
        let missing = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => {
                StorageError::with_kind(ErrorKind::MissingRoot, "open the folder", &self.root, e)
            }
            _ => StorageError::new("open the folder", &self.root, e),
        };
        let root = match volume::open_root(&self.options.volume, &self.root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && create && self.options.may_create_root => {
                match self.options.volume.create_dir(&self.root, 0o777) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(missing(e)),
                    _ => {
                        self.options.volume.sync_parent(&self.root);
                        volume::open_root(&self.options.volume, &self.root).map_err(missing)
                    }
                }
            }
            other => other.map_err(missing),
        }?;
        // under a mount that went away lies the empty folder it was mounted on: nothing may be made there
        let id = volume::folder_id(&root).map_err(missing)?;
        match *self.root_id.get_or_init(|| id) == id {
            true => Ok(root),
            false => Err(missing(io::ErrorKind::NotFound.into())),
        }
    }

    /// For asking about many files; `None` when the root is missing.
    pub(super) fn lookup(&self) -> Result<Option<volume::Lookup>, StorageError> {
        self.with_descriptors(|| match self.open_root(false) {
            Err(e) if e.kind == ErrorKind::MissingRoot => Ok(None),
            Err(e) => Err(e),
            Ok(root) => {
                let lookup = volume::Lookup::new(root);
                lookup.map(Some).map_err(|e| StorageError::new("open the folder", &self.root, e))
            }
        })
    }

    /// Whether anything stands in the place of a file, a link included.
    pub(super) fn is_on_disk(
        &self,
        lookup: &mut Option<volume::Lookup>,
        number: u32,
    ) -> Result<bool, StorageError> {
        let Some(lookup) = lookup else { return Ok(false) };
        let entry = lookup.find(&self.path_of(number));
        entry.map(|e| e.is_some()).map_err(|e| self.failed_number("examine", number, e))
    }

    /// Components of a file beneath the root.
    pub(super) fn path_of(&self, number: u32) -> Vec<String> {
        match number {
            PART => self.spec.part_path(),
            _ => self.spec.file(FileIndex(number)).path.clone(),
        }
    }

    pub(super) fn failed(&self, action: &'static str, file: FileIndex, e: io::Error) -> StorageError {
        self.failed_number(action, file.0, e)
    }

    pub(super) fn failed_number(&self, action: &'static str, number: u32, e: io::Error) -> StorageError {
        let path = self.root.join(self.path_of(number).join("/"));
        match e.kind() {
            io::ErrorKind::InvalidData if number == PART => {
                StorageError::with_kind(ErrorKind::PartFile, action, path, e)
            }
            _ => StorageError::new(action, path, e),
        }
    }

    pub(super) fn dirty(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync_turn(&self) -> MutexGuard<'_, ()> {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sync_dirty(&self) -> Result<(), StorageError> {
        // one at a time: a second caller may return only when what the first took off the list is durable
        let _one = self.sync_turn();
        let (files, unnamed) = {
            let mut dirty = self.dirty();
            (std::mem::take(&mut dirty.files), std::mem::take(&mut dirty.unnamed))
        };
        let mut first_error = self.with_descriptors(|| self.sync_root()).err();
        for number in files {
            if let Err(e) = self.sync_file(number) {
                self.dirty().lost.insert(number);
                first_error.get_or_insert(e);
            }
        }
        match self.with_descriptors(|| self.sync_names(&unnamed)) {
            Ok(()) => self.dirty().named.extend(&unnamed),
            Err(e) => {
                self.dirty().lost.extend(&unnamed);
                first_error.get_or_insert(e);
            }
        }
        match (first_error, self.dirty().lost.first()) {
            (Some(e), _) => Err(e),
            (None, Some(lost)) => Err(self.failed_number(
                "sync",
                *lost,
                io::Error::other("an earlier sync failed; recheck the torrent"),
            )),
            (None, None) => Ok(()),
        }
    }

    /// A descriptor that was closed meanwhile does no harm: a sync is of the file, and a new descriptor is told of a
    /// failure nobody has seen.
    pub(super) fn sync_file(&self, number: u32) -> Result<(), StorageError> {
        let key = (self.id, number);
        let file = match self.options.pool.find(key, false) {
            Some(file) => file,
            None => self.file_by_number(number, false)?,
        };
        file.sync_all().map_err(|e| self.failed_number("sync", number, e))
    }

    /// Makes durable, once, what an earlier run that was killed did in the root: its own name, and names that went.
    fn sync_root(&self) -> Result<(), StorageError> {
        if self.dirty().is_root_synced {
            return Ok(());
        }
        let root = match self.open_root(false) {
            // there is nothing yet that could be durable
            Err(e) if e.kind == ErrorKind::MissingRoot => return Ok(()),
            other => other?,
        };
        volume::sync_dir(&root).map_err(|e| StorageError::new("sync", &self.root, e))?;
        if self.options.may_create_root {
            self.options.volume.sync_parent(&self.root);
        }
        self.dirty().is_root_synced = true;
        Ok(())
    }

    fn sync_names(&self, unnamed: &BTreeSet<u32>) -> Result<(), StorageError> {
        if unnamed.is_empty() {
            return Ok(());
        }
        let root = self.open_root(false)?;
        let mut dirs = BTreeSet::new();
        for number in unnamed {
            let path = self.path_of(*number);
            dirs.extend((0..path.len()).map(|depth| path[..depth].to_vec()));
        }
        for dir in dirs {
            let synced = volume::open_dir(&root, &dir, false).and_then(|dir| volume::sync_dir(&dir));
            synced.map_err(|e| StorageError::new("sync", self.root.join(dir.join("/")), e))?;
        }
        Ok(())
    }

    pub(super) fn examine(&self) -> Vec<FileFact> {
        let count = u32::try_from(self.spec.files.len()).expect("files are counted in u32");
        let Ok(homes) = self.homes() else { return vec![FileFact::Doubtful; self.spec.files.len()] };
        let Ok(mut lookup) = self.lookup() else { return vec![FileFact::Doubtful; self.spec.files.len()] };
        let part = homes.has_parted().then(|| self.fact(&mut lookup, PART));
        let mut facts = Vec::with_capacity(self.spec.files.len());
        for file in (0..count).map(FileIndex) {
            facts.push(match (self.spec.file(file).is_stored(), part) {
                (false, _) => FileFact::Missing,
                (true, Some(part)) if homes.is_parted(file) => part,
                (true, _) => self.witnessed(file.0, || self.fact(&mut lookup, file.0)),
            });
        }
        facts
    }

    pub(super) fn fact(&self, lookup: &mut Option<volume::Lookup>, number: u32) -> FileFact {
        if self.dirty().lost.contains(&number) {
            return FileFact::Doubtful;
        }
        let Some(lookup) = lookup else { return FileFact::Missing };
        let path = self.path_of(number);
        let found = lookup.find(&path).or_else(|e| match ErrorKind::of(&e) {
            // that says nothing of the file
            ErrorKind::TooManyFiles => {
                self.options.pool.shed();
                lookup.find(&path)
            }
            _ => Err(e),
        });
        match found {
            Ok(Some(e)) if e.kind == FileType::RegularFile => {
                FileFact::Present { len: e.len, mtime_ns: e.mtime_ns, inode: e.inode }
            }
            Ok(None) => FileFact::Missing,
            Ok(Some(_)) | Err(_) => FileFact::Doubtful,
        }
    }
}
