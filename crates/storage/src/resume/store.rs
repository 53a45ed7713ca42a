//! A folder of records: one file a torrent, replaced as a whole, the generation before kept.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use unchoke_wire::WireHash;

use super::record::{DecodeError, ResumeRecord};
use crate::error::{ErrorKind, StorageError};
use crate::sys;

/// A folder with `HASH.resume` for each torrent, `HASH.resume.old` from the save before, and `HASH.lock` while a
/// process works on it.
#[derive(Debug)]
pub struct ResumeStore {
    dir: PathBuf,
}

/// What was found of a torrent.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The newest record that is good.
    pub record: Option<ResumeRecord>,
    /// Records set aside on the way to it, to be reported.
    pub refused: Vec<Refused>,
}

/// A record that cannot be used. It was set aside under another name.
#[derive(Debug)]
pub struct Refused {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: DecodeError,
}

/// Why a torrent cannot go on from its record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A later version of the program wrote it. It was left as it is, and must not be overwritten.
    #[error("cannot use {}: {why}; use the newer program, or move the file away", .path.display())]
    Future {
        /// Where it is.
        path: PathBuf,
        /// Its format.
        why: DecodeError,
    },
}

/// The right to work on a torrent; ends when dropped, or with the process.
#[derive(Debug)]
pub struct ResumeLock {
    path: PathBuf,
    _file: File,
}

/// A record larger than this is not read: the largest honest one (bits, facts of a million files, begun pieces).
const RECORD_LEN_MAX: u64 = 1 << 30;

impl ResumeStore {
    /// The store in the folder `dir`, which is made if need be.
    pub fn open(dir: &Path) -> Result<Self, StorageError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| StorageError::new("create the folder", dir, e))?;
        Ok(ResumeStore { dir: dir.to_owned() })
    }

    /// Takes the torrent for this process. [`ErrorKind::Busy`] when another one has it.
    pub fn lock(&self, info_hash: WireHash) -> Result<ResumeLock, StorageError> {
        let path = self.path(info_hash, "lock");
        let failed = |e| StorageError::new("lock", &path, e);
        loop {
            let file =
                File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
            if !sys::try_lock(&file).map_err(failed)? {
                let source = io::Error::from(io::ErrorKind::WouldBlock);
                return Err(StorageError::with_kind(ErrorKind::Busy, "lock", &path, source));
            }
            // who held it before may have removed the file between our open and our lock
            let ours = file.metadata().map_err(failed)?;
            if std::fs::symlink_metadata(&path).is_ok_and(|m| (m.dev(), m.ino()) == (ours.dev(), ours.ino()))
            {
                return Ok(ResumeLock { path, _file: file });
            }
        }
    }

    /// Makes `record` the newest one of its torrent, durably; the one before stays as the generation before.
    ///
    /// The caller has synced the storage after the last piece in `record.have` was written and before
    /// `record.facts` were taken: a have bit becomes durable only after its bytes. It holds the [`lock`](Self::lock) and
    /// saves a torrent from one thread at a time. After an error a record saved earlier is still loaded.
    pub fn save(&self, record: &ResumeRecord) -> Result<(), StorageError> {
        let path = self.path(record.info_hash, "resume");
        let temp = self.path(record.info_hash, "resume.tmp");
        self.write_temp(&temp, &record.encode())?;
        let old = self.path(record.info_hash, "resume.old");
        match std::fs::rename(&path, &old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::new("rename", &path, e));
            }
            _ => {}
        }
        std::fs::rename(&temp, &path).map_err(|e| StorageError::new("rename", &temp, e))?;
        self.sync_dir()
    }

    /// The newest good record. Damaged ones are set aside as `HASH.resume.bad` and reported.
    pub fn load(&self, info_hash: WireHash) -> Result<Loaded, ResumeError> {
        let mut loaded = Loaded::default();
        for name in ["resume", "resume.old"] {
            let path = self.path(info_hash, name);
            let Some(bytes) = read(&path)? else { continue };
            match ResumeRecord::decode(&bytes, info_hash) {
                Ok(record) => {
                    loaded.record = Some(record);
                    break;
                }
                Err(why @ DecodeError::FutureVersion { .. }) => {
                    return Err(ResumeError::Future { path, why });
                }
                Err(why) => {
                    let aside = self.path(info_hash, &format!("{name}.bad"));
                    std::fs::rename(&path, &aside).map_err(|e| StorageError::new("set aside", &path, e))?;
                    loaded.refused.push(Refused { path: aside, why });
                }
            }
        }
        Ok(loaded)
    }

    /// Forgets a torrent, durably. Records set aside stay.
    pub fn remove(&self, info_hash: WireHash) -> Result<(), StorageError> {
        // the newest goes last, so that a crash between cannot bring an older one back alone
        for name in ["resume.tmp", "resume.old", "resume"] {
            let path = self.path(info_hash, name);
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(StorageError::new("remove", &path, e));
                }
                _ => {}
            }
        }
        self.sync_dir()
    }

    fn write_temp(&self, temp: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        let written = File::create(temp).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
        written.map_err(|e| StorageError::new("write", temp, e))
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        File::open(&self.dir).and_then(sys::sync_dir).map_err(|e| StorageError::new("sync", &self.dir, e))
    }

    fn path(&self, info_hash: WireHash, extension: &str) -> PathBuf {
        self.dir.join(format!("{info_hash}.{extension}"))
    }
}

impl Drop for ResumeLock {
    fn drop(&mut self) {
        // while the lock is still held; a file that stays behind does no harm
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The bytes of a file; `None` when there is none. What is too large is cut off, and so will not decode.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|f| f.take(RECORD_LEN_MAX).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StorageError::new("read", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::sample;
    use super::*;

    fn store() -> (tempfile::TempDir, ResumeStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = ResumeStore::open(&dir.path().join("a/b")).unwrap();
        (dir, store)
    }

    fn uploaded(loaded: &Loaded) -> Option<u64> {
        loaded.record.as_ref().map(|r| r.uploaded)
    }

    #[test]
    fn the_newest_record_is_loaded() {
        let (_dir, store) = store();
        let hash = sample().info_hash;
        assert_eq!(uploaded(&store.load(hash).unwrap()), None);
        for uploaded in [1, 2, 3] {
            store.save(&ResumeRecord { uploaded, ..sample() }).unwrap();
        }
        assert_eq!(uploaded(&store.load(hash).unwrap()), Some(3));
        store.remove(hash).unwrap();
        assert_eq!(uploaded(&store.load(hash).unwrap()), None);
    }

    #[test]
    fn a_damaged_record_is_set_aside_and_the_one_before_is_used() {
        let (_dir, store) = store();
        let hash = sample().info_hash;
        store.save(&ResumeRecord { uploaded: 1, ..sample() }).unwrap();
        store.save(&ResumeRecord { uploaded: 2, ..sample() }).unwrap();
        let newest = store.path(hash, "resume");
        let len = std::fs::metadata(&newest).unwrap().len();
        std::fs::write(&newest, vec![0; usize::try_from(len).unwrap()]).unwrap();
        let loaded = store.load(hash).unwrap();
        assert_eq!(uploaded(&loaded), Some(1));
        assert_eq!(loaded.refused.len(), 1);
        assert!(loaded.refused[0].path.exists() && !newest.exists());
        // the next save must not put anything bad in the place of the good generation
        store.save(&ResumeRecord { uploaded: 3, ..sample() }).unwrap();
        assert_eq!(uploaded(&store.load(hash).unwrap()), Some(3));
        std::fs::remove_file(&newest).unwrap();
        assert_eq!(uploaded(&store.load(hash).unwrap()), Some(1));
    }

    #[test]
    fn a_crash_between_any_two_steps_of_a_save_keeps_a_record() {
        let (_dir, store) = store();
        let hash = sample().info_hash;
        store.save(&ResumeRecord { uploaded: 1, ..sample() }).unwrap();
        let temp = store.path(hash, "resume.tmp");
        // half a temporary file
        std::fs::write(&temp, &sample().encode()[..50]).unwrap();
        assert_eq!(uploaded(&store.load(hash).unwrap()), Some(1));
        // a whole one
        std::fs::write(&temp, ResumeRecord { uploaded: 2, ..sample() }.encode()).unwrap();
        assert_eq!(uploaded(&store.load(hash).unwrap()), Some(1));
        // the newest moved away already
        std::fs::rename(store.path(hash, "resume"), store.path(hash, "resume.old")).unwrap();
        assert_eq!(uploaded(&store.load(hash).unwrap()), Some(1));
        store.save(&ResumeRecord { uploaded: 3, ..sample() }).unwrap();
        assert_eq!(uploaded(&store.load(hash).unwrap()), Some(3));
    }

    #[test]
    fn a_record_of_a_later_version_is_left_alone() {
        let (_dir, store) = store();
        let hash = sample().info_hash;
        let path = store.path(hash, "resume");
        let body = b"unchoke resume 2 ";
        let sum = crc32c::crc32c(body);
        std::fs::write(&path, [&body[..], format!("{sum:08x}\n").as_bytes()].concat()).unwrap();
        let error = store.load(hash).unwrap_err();
        assert!(matches!(error, ResumeError::Future { .. }), "{error}");
        assert!(path.exists() && !error.to_string().contains('\n'));
    }

    #[test]
    fn one_process_works_on_a_torrent() {
        let (_dir, store) = store();
        let hash = sample().info_hash;
        let lock = store.lock(hash).unwrap();
        let error = store.lock(hash).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
        assert!(store.lock(WireHash([9; 20])).is_ok());
        drop(lock);
        assert!(!store.path(hash, "lock").exists());
        assert!(store.lock(hash).is_ok());
    }
}
