//! The state store: every torrent of a session with its options, metadata and record, in one database.
//!
//! What [`StateStore::commit`] has returned for is on the disk, all of it or nothing, whatever happens next. The folder
//! belongs to one process at a time. One-shot commands, of which several may run at once, keep
//! [records in files](crate::ResumeStore) instead.

mod entry;
mod error;
mod tables;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Builder, Database};
use unchoke_wire::WireHash;

use crate::error::StorageError;
use crate::resume::{DecodeError, Loaded, Refused, ResumeRecord};
use crate::volume::{self, File, How, Volume};
pub use entry::{Discovery, TorrentEntry};
pub use error::StateError;
use tables::{Schema, Written};

/// The state of a session in `DIR/state.redb`. Its methods block on the disk; they may be called from any thread.
#[derive(Debug)]
pub struct StateStore {
    volume: Volume,
    dir: PathBuf,
    path: PathBuf,
    /// Closed after a failure of the disk, and opened anew by whoever comes next.
    db: RwLock<Option<Database>>,
    /// The lock on the folder, held as long as the store lives.
    _lock: File,
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
    /// database is brought to its last commit; one of an older schema is upgraded.
    ///
    /// # Errors
    /// [`StateError::Busy`], [`StateError::Newer`], [`StateError::Damaged`], [`StateError::Storage`].
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
        if !volume::try_lock(&lock).map_err(failed)? {
            return Err(StateError::Busy { dir: dir.to_owned() });
        }
        let path = dir.join(FILE);
        if !volume.exists(&path).map_err(|e| StorageError::new("open", &path, e))? {
            create(volume, dir, &path)?;
        }
        // whoever made the file may have died before its name was durable
        sync_names(volume, dir)?;
        let db = open_file(volume, &path).map_err(|e| keep_copy(volume, dir, e))?;
        let (volume, dir) = (volume.clone(), dir.to_owned());
        Ok(StateStore { volume, dir, path, db: RwLock::new(Some(db)), _lock: lock })
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
        match changes.is_empty() {
            true => Ok(()),
            false => self.with("write", |db| tables::commit(db, &changes)),
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

fn sync_names(volume: &Volume, dir: &Path) -> Result<(), StateError> {
    let synced = volume.open_dir(dir).and_then(|dir| volume::sync_dir(&dir));
    synced.map_err(|e| StorageError::new("sync", dir, e).into())
}

fn open_file(volume: &Volume, path: &Path) -> Result<Database, StateError> {
    let opened = volume.open(path, How::Write);
    let (file, len) = opened
        .and_then(|file| file.len().map(|len| (file, len)))
        .map_err(|e| StorageError::new("open", path, e))?;
    if len == 0 {
        let why = "it is empty".to_owned();
        return Err(StateError::Damaged { path: path.to_owned(), copy: None, why });
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

/// Keeps a copy of a damaged file as it was when its damage was first seen.
fn keep_copy(volume: &Volume, dir: &Path, error: StateError) -> StateError {
    let StateError::Damaged { path, why, .. } = error else { return error };
    let to = dir.join("state.redb.damaged");
    let is_there = volume.exists(&to).unwrap_or(false) || volume.copy(&path, &to).is_ok();
    StateError::Damaged { path, copy: is_there.then_some(to), why }
}

#[cfg(test)]
mod tests;
