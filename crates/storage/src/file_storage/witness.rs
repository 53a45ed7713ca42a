//! How each file was when its facts were taken, so that a change by somebody else is noticed by the next read.
//!
//! A file that is being written has no such fact: our own writes change it. It gets one when its facts are taken after
//! them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use unchoke_wire::FileIndex;

use super::FileStorage;
use super::disk::PART;
use crate::error::{ErrorKind, StorageError};
use crate::spec::at;
use crate::storage::FileFact;
use crate::volume::{self, File};

/// What is known of all files; empty before the first facts.
#[derive(Debug, Default)]
pub(super) struct Witness(Mutex<Vec<Seen>>);

/// What is known of one.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// How it was; `None` when it was not there, or was written to since.
    fact: Option<Fact>,
    /// Threads writing to it.
    writers: u32,
    /// Counts beginnings and ends of writes.
    writes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Fact {
    len: u64,
    mtime_ns: i64,
    inode: u64,
}

impl Fact {
    fn of(fact: FileFact) -> Option<Self> {
        match fact {
            FileFact::Present { len, mtime_ns, inode } => Some(Fact { len, mtime_ns, inode }),
            FileFact::Missing | FileFact::Doubtful => None,
        }
    }
}

impl Witness {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fact(&self, number: u32) -> Option<Fact> {
        self.seen().get(at(FileIndex(number)))?.fact
    }

    fn writes(&self, number: u32) -> u64 {
        self.seen().get(at(FileIndex(number))).map_or(0, |s| s.writes)
    }
}

/// Files are counted from 0; the part file is nobody's business.
fn is_counted(number: u32) -> bool {
    number != PART
}

impl FileStorage {
    /// Writes to a file by `write`, which may change its facts.
    pub(super) fn writing<T>(&self, number: u32, write: impl FnOnce() -> T) -> T {
        self.note_write(number, |seen| seen.writers += 1);
        let result = write();
        self.note_write(number, |seen| seen.writers -= 1);
        result
    }

    fn note_write(&self, number: u32, count: impl FnOnce(&mut Seen)) {
        if is_counted(number) {
            let mut all = self.witness.seen();
            if all.is_empty() {
                all.resize(self.spec.files.len(), Seen::default());
            }
            let seen = &mut all[at(FileIndex(number))];
            count(seen);
            (seen.writes, seen.fact) = (seen.writes + 1, None);
        }
    }

    /// The fact of a file by `look`. One that was known and is another now is doubtful.
    pub(super) fn witnessed(&self, number: u32, look: impl FnOnce() -> FileFact) -> FileFact {
        if !is_counted(number) {
            return look();
        }
        let before = self.witness.writes(number);
        let fact = look();
        let mut all = self.witness.seen();
        if all.is_empty() {
            all.resize(self.spec.files.len(), Seen::default());
        }
        let seen = &mut all[at(FileIndex(number))];
        match (Fact::of(fact), seen.fact) {
            (Some(now), Some(then)) if now != then => FileFact::Doubtful,
            (Some(now), None) if seen.writers == 0 && seen.writes == before => {
                seen.fact = Some(now);
                fact
            }
            _ => fact,
        }
    }

    /// Whether a file that was read just now is still the one whose facts were taken.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`] when it is not. Its descriptor is given up: the next read opens what stands there.
    pub(super) fn check_witness(&self, file: FileIndex, open: &File) -> Result<(), StorageError> {
        let Some(then) = self.witness.fact(file.0) else { return Ok(()) };
        let is_same = volume::facts_of(open).is_ok_and(|now| {
            let fact = FileFact::Present { len: now.len, mtime_ns: now.mtime_ns, inode: now.inode };
            now.is_named && Fact::of(fact) == Some(then)
        });
        // a write of our own that came meanwhile
        if is_same || self.witness.fact(file.0) != Some(then) {
            return Ok(());
        }
        self.options.pool.close((self.id, file.0));
        let path = self.root.join(self.path_of(file.0).join("/"));
        let source = std::io::Error::other("not the file it was");
        Err(StorageError::with_kind(ErrorKind::Changed, "read", path, source))
    }

    /// Files that are not as they were, by their names.
    pub(super) fn changed_files(&self) -> Vec<FileIndex> {
        let known: Vec<(FileIndex, Fact)> = {
            let all = self.witness.seen();
            (0u32..).zip(&*all).filter_map(|(i, seen)| Some((FileIndex(i), seen.fact?))).collect()
        };
        let Ok(mut lookup) = self.lookup() else { return known.into_iter().map(|(file, _)| file).collect() };
        let mut changed = Vec::new();
        for (file, then) in known {
            let now = Fact::of(self.fact(&mut lookup, file.0));
            if now != Some(then) && self.witness.fact(file.0) == Some(then) {
                changed.push(file);
            }
        }
        changed
    }

    /// Forgets how these files were, what a failed sync said of them, and what of them is in memory.
    pub(super) fn renew_files(&self, files: &[FileIndex]) {
        for file in files {
            if let Some(seen) = self.witness.seen().get_mut(at(*file)) {
                seen.fact = None;
            }
            self.options.pool.close((self.id, file.0));
            self.note_renewed(file.0);
            // after a sync that failed, memory may hold what the disk does not
            if let Ok(open) = self.file(*file, false) {
                volume::drop_cache(&open);
            }
        }
        let Ok(mut lookup) = self.lookup() else { return };
        for file in files {
            self.witnessed(file.0, || self.fact(&mut lookup, file.0));
        }
    }
}
