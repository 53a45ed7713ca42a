//! The state store: every torrent of a session with its options, metadata and record, in one database.
//!
//! What [`StateStore::commit`] has returned for is on the disk, all of it or nothing, whatever happens next. The folder
//! belongs to one process at a time. One-shot commands, of which several may run at once, keep
//! [records in files](crate::ResumeStore) instead.

mod entry;
mod error;
mod generation;
mod tables;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Builder, Database};
use unchoke_wire::WireHash;

use crate::error::StorageError;
use crate::resume::{DecodeError, Loaded, Refused, ResumeRecord};
use crate::volume::{self, File, How, Locked, Volume};
pub use entry::{Discovery, TorrentEntry};
pub use error::StateError;
pub use generation::Recovered;
use tables::{Schema, Written};

/// The state of a session in `DIR/state.redb`. Its methods block on the disk; they may be called from any thread.
#[derive(Debug)]
pub struct StateStore {
    volume: Volume,
    dir: PathBuf,
    path: PathBuf,
    /// Closed after a failure of the disk, and opened anew by whoever comes next.
    db: RwLock<Option<Database>>,
    /// What was done about a damaged file when it was opened.
    recovered: Option<Recovered>,
    /// Bytes to set aside for a full disk.
    reserve_len: AtomicU64,
    /// Whether the older generation is behind.
    is_changed: AtomicBool,
    /// The lock on the folder, held as long as the store lives.
    _lock: Locked,
}

/// A change of what is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StateChange {
    /// A torrent is there, or its options or figures are others.
    Entry(WireHash, TorrentEntry),
    /// Its `.torrent` bytes.
    Metainfo(WireHash, Vec<u8>),
    /// Its newest record; the one before is kept. As for [`crate::ResumeStore::save`], the storage was synced after the
    /// last piece it claims was written.
    Record(ResumeRecord),
    /// Everything about it goes.
    Remove(WireHash),
}

/// A torrent, and what is stored of it or what is wrong with that.
pub type Listed = (WireHash, Result<TorrentEntry, DecodeError>);

/// Bytes of the database that are held in memory.
const CACHE_LEN: usize = 16 << 20;

/// A database up to this many bytes is checked as a whole at every start, in about a second; a larger one after a
/// crash alone.
const CHECKED_LEN_MAX: u64 = 1 << 30;

const FILE: &str = "state.redb";

impl StateStore {
    /// Opens the store in the folder `dir`, both of which are made if need be, closed to other users. After a crash the
    /// database is brought to its last commit; one of an older schema is upgraded. A damaged one is kept aside and
    /// the generation before it opened, or an empty one: see [`StateStore::recovered`].
    ///
    /// # Errors
    /// [`StateError::Busy`], [`StateError::Newer`], [`StateError::Storage`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        Self::open_on(&Volume::default(), dir)
    }

    /// As [`Self::open`], in a folder of `volume`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(volume: &Volume, dir: &Path) -> Result<Self, StateError> {
        volume.create_dir_all(dir).map_err(|e| StorageError::new("create the folder", dir, e))?;
        let lock_path = dir.join("lock");
        let failed = |e| StorageError::new("lock", &lock_path, e);
        let lock = volume.open(&lock_path, How::Create).map_err(failed)?;
        let Some(lock) = volume::try_lock(lock).map_err(failed)? else {
            return Err(StateError::Busy { dir: dir.to_owned() });
        };
        let path = dir.join(FILE);
        let opened = match volume.exists(&path).map_err(|e| StorageError::new("open", &path, e))? {
            true => open_file(volume, &path),
            false if generation::has_previous(volume, dir)? => {
                Err(StateError::Damaged { path: path.clone(), why: "it is missing".to_owned() })
            }
            false => create(volume, dir, &path).and_then(|()| open_file(volume, &path)),
        };
        let (db, recovered) = match opened {
            Ok(db) => (db, None),
            Err(StateError::Damaged { why, .. }) => {
                let (open, create) = (|| open_file(volume, &path), || create(volume, dir, &path));
                let (db, recovered) = generation::recover(volume, dir, &path, why, open, create)?;
                (db, Some(recovered))
            }
            Err(other) => return Err(other),
        };
        // whoever made the file may have died before its name was durable
        generation::sync(volume, dir)?;
        Ok(StateStore {
            volume: volume.clone(),
            dir: dir.to_owned(),
            path,
            db: RwLock::new(Some(db)),
            recovered,
            reserve_len: AtomicU64::new(0),
            is_changed: AtomicBool::new(true),
            _lock: lock,
        })
    }

    /// What was done about a damaged file when the store was opened.
    pub fn recovered(&self) -> Option<&Recovered> {
        self.recovered.as_ref()
    }

    /// Sets `len` bytes of the disk aside, to be used up when it is full: then what is small can still be stored. Done
    /// only where the disk has twice as much room.
    pub fn reserve(&self, len: u64) {
        self.reserve_len.store(len, Ordering::Relaxed);
        generation::reserve(&self.volume, &self.dir, len);
    }

    /// Whether the space that was set aside had to be used up, as the disk is full.
    pub fn is_reserve_used(&self) -> bool {
        self.reserve_len.load(Ordering::Relaxed) > 0 && !generation::has_reserve(&self.volume, &self.dir)
    }

    /// Copies the whole store to the older generation, if it changed since the last time, and sets space aside anew where
    /// there is room again. Takes as long as copying the file does, and everybody else waits meanwhile.
    ///
    /// # Errors
    /// [`StateError::Storage`]: the older generation is as it was.
    pub fn keep_generation(&self) -> Result<(), StateError> {
        if self.is_reserve_used() {
            generation::reserve(&self.volume, &self.dir, self.reserve_len.load(Ordering::Relaxed));
        }
        if !self.is_changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        // nobody has it in hand, so every byte of the last commit is in the file
        let _db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        generation::keep(&self.volume, &self.dir, &self.path).map_err(|e| {
            self.is_changed.store(true, Ordering::Relaxed);
            e.into()
        })
    }

    /// The folder it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All torrents by their hash. An entry that cannot be used is told once, kept apart from then on, and in nobody's
    /// way; one of a later version stays where it is.
    ///
    /// # Errors
    /// [`StateError::Storage`], [`StateError::Damaged`].
    pub fn torrents(&self) -> Result<Vec<Listed>, StateError> {
        self.with("read", tables::entries)
    }

    /// The entry of one torrent; `None` when there is none, or none that can be used.
    ///
    /// # Errors
    /// [`StateError::Storage`], [`StateError::Damaged`].
    pub fn torrent(&self, hash: WireHash) -> Result<Option<TorrentEntry>, StateError> {
        self.with("read", |db| tables::entry(db, hash))
    }

    /// The newest good record of a torrent. Damaged ones are told once and kept apart from then on.
    ///
    /// # Errors
    /// [`StateError::Record`] when it is of a later version, [`StateError::Storage`], [`StateError::Damaged`].
    pub fn record(&self, hash: WireHash) -> Result<Loaded, StateError> {
        let found = self.with("read", |db| tables::record(db, hash))?;
        let refused = found.refused.into_iter().map(|why| Refused { path: self.path.clone(), why }).collect();
        let record = found.record.transpose().map_err(|why| StateError::Record { hash, why })?;
        Ok(Loaded { record, refused })
    }

    /// The `.torrent` bytes of a torrent, once known.
    ///
    /// # Errors
    /// [`StateError::Storage`], [`StateError::Damaged`].
    pub fn metainfo(&self, hash: WireHash) -> Result<Option<Vec<u8>>, StateError> {
        self.with("read", |db| tables::metainfo(db, hash))
    }

    /// Makes all `changes` in their order, durably, or none of them.
    ///
    /// # Errors
    /// [`StateError::Storage`], of kind [`crate::ErrorKind::NoSpace`] on a full disk: then everything is as it was, and a
    /// later commit may succeed.
    ///
    /// # Panics
    /// Where [`TorrentEntry::encode`] and [`ResumeRecord::encode`] do.
    pub fn commit(&self, changes: &[StateChange]) -> Result<(), StateError> {
        let changes: Vec<Written<'_>> = changes.iter().map(Written::of).collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.is_changed.store(true, Ordering::Relaxed);
        let result = self.with("write", |db| tables::commit(db, &changes));
        match &result {
            Err(StateError::Storage(e))
                if e.kind.is_full() && generation::release(&self.volume, &self.dir) =>
            {
                self.with("write", |db| tables::commit(db, &changes))
            }
            _ => result,
        }
    }

    /// Runs `work` on the database, which is closed when the disk failed and opened when it was closed.
    fn with<T>(
        &self,
        action: &'static str,
        work: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        let result = loop {
            if let Some(db) = self.db.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
                break guarded(|| work(db));
            }
            let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
            if db.is_none() {
                *db = Some(open_file(&self.volume, &self.path)?);
            }
        };
        result.map_err(|error| {
            // it takes nothing more after a failed write, and must look at the file anew
            *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
            StateError::of(action, &self.path, error)
        })
    }
}

/// Makes an empty database under another name first, so that there is never half of one.
fn create(volume: &Volume, dir: &Path, path: &Path) -> Result<(), StateError> {
    let temp = dir.join("state.redb.new");
    volume.remove_if_there(&temp).map_err(|e| StorageError::new("remove", &temp, e))?;
    let file = volume.open(&temp, How::New).map_err(|e| StorageError::new("create", &temp, e))?;
    drop(open_database(&temp, file, false)?);
    volume.rename(&temp, path).map_err(|e| StorageError::new("rename", &temp, e).into())
}

fn open_file(volume: &Volume, path: &Path) -> Result<Database, StateError> {
    let opened = volume.open(path, How::Write);
    let (file, len) = opened
        .and_then(|file| file.len().map(|len| (file, len)))
        .map_err(|e| StorageError::new("open", path, e))?;
    if len == 0 {
        let why = "it is empty".to_owned();
        return Err(StateError::Damaged { path: path.to_owned(), why });
    }
    open_database(path, file, len <= CHECKED_LEN_MAX)
}

fn open_database(path: &Path, file: File, checks: bool) -> Result<Database, StateError> {
    let opened = guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_LEN).set_check_integrity_on_open(checks);
        let db = match file {
            File::Machine(file) => builder.create_with_backend(FileBackend::new(file)?)?,
            File::Memory(file) => builder.create_with_backend(file)?,
        };
        let schema = tables::upgrade(&db)?;
        Ok((db, schema))
    });
    match opened.map_err(|e| StateError::of("open", path, e))? {
        (db, Schema::Current) => Ok(db),
        (_, Schema::Newer(found)) => {
            Err(StateError::Newer { path: path.to_owned(), found, known: tables::SCHEMA })
        }
    }
}

/// A damaged file may make the database panic: that is damage, too.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    let caught = std::panic::catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| Err(redb::Error::Corrupted("it contradicts itself".to_owned())))
}

#[cfg(test)]
mod tests;
