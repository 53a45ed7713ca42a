//! The second generation of the state store: a copy of the whole file from a short time ago, for the day on which the
//! file itself is damaged; and space that is set aside for a full disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StateError;
use crate::error::StorageError;
use crate::sys;

/// The older generation.
const PREVIOUS: &str = "state.previous.redb";
/// What takes space until the disk is full.
const RESERVE: &str = "reserve";
/// Damaged files that are kept.
const DAMAGED_MAX: u32 = 9;

/// What was done about a file that could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// Where the damaged file is; `None` when there was none.
    pub damaged: Option<PathBuf>,
    /// What was wrong with it.
    pub why: String,
    /// Whether the generation before it was there and whole. Else the store began empty.
    pub has_previous: bool,
}

impl std::fmt::Display for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = match self.has_previous {
            true => "its last good copy is used, and what changed after that is lost",
            false => "there was no good copy, and it begins without torrents",
        };
        write!(f, "the state store was damaged ({}): {from}", self.why)?;
        match &self.damaged {
            Some(damaged) => write!(f, "; the damaged file is {}", damaged.display()),
            None => Ok(()),
        }
    }
}

/// Copies the file `path` to the older generation, durably. Nobody writes to it meanwhile.
pub(super) fn keep(dir: &Path, path: &Path) -> Result<(), StorageError> {
    copy(dir, path, &dir.join(PREVIOUS))
}

/// Puts the older generation in the place of `path`, and a damaged file that is there aside. Answers where that is, and
/// whether there was an older generation.
pub(super) fn fall_back(dir: &Path, path: &Path) -> Result<(Option<PathBuf>, bool), StorageError> {
    let previous = dir.join(PREVIOUS);
    let has_previous = exists(&previous)?;
    let ready = dir.join("state.redb.restored");
    if has_previous {
        copy(dir, &previous, &ready)?;
    }
    // a crash from here on leaves no file, or the older generation: both lead here again
    let damaged = set_aside(dir, path)?;
    if has_previous {
        std::fs::rename(&ready, path).map_err(|e| StorageError::new("rename", &ready, e))?;
        sync(dir)?;
    }
    Ok((damaged, has_previous))
}

/// Gives a damaged file another name.
pub(super) fn set_aside(dir: &Path, path: &Path) -> Result<Option<PathBuf>, StorageError> {
    if !exists(path)? {
        return Ok(None);
    }
    let name = |n: u32| match n {
        1 => dir.join("state.redb.damaged"),
        n => dir.join(format!("state.redb.damaged-{n}")),
    };
    let free = (1..DAMAGED_MAX).map(name).find(|to| !to.exists());
    let to = free.unwrap_or_else(|| name(DAMAGED_MAX));
    std::fs::rename(path, &to).map_err(|e| StorageError::new("rename", path, e))?;
    sync(dir)?;
    Ok(Some(to))
}

/// Whether there is an older generation.
pub(super) fn has_previous(dir: &Path) -> Result<bool, StorageError> {
    exists(&dir.join(PREVIOUS))
}

/// Sets space aside, unless that is done or would fill the disk. Answers whether it is set aside.
pub(super) fn reserve(dir: &Path, len: u64) -> bool {
    let path = dir.join(RESERVE);
    if std::fs::metadata(&path).is_ok_and(|m| m.len() == len) {
        return true;
    }
    let has_room = rustix::fs::statvfs(dir).is_ok_and(|s| s.f_bavail.saturating_mul(s.f_frsize) / 2 > len);
    let made = has_room.then(|| {
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        sys::allocate(&file, len)
    });
    match made {
        Some(Ok(())) => true,
        Some(Err(_)) => {
            release(dir);
            false
        }
        None => false,
    }
}

/// Gives the space back. Answers whether there was any.
pub(super) fn release(dir: &Path) -> bool {
    std::fs::remove_file(dir.join(RESERVE)).is_ok()
}

/// Whether space is set aside.
pub(super) fn has_reserve(dir: &Path) -> bool {
    dir.join(RESERVE).exists()
}

/// Copies a file so that there is never half of one.
fn copy(dir: &Path, from: &Path, to: &Path) -> Result<(), StorageError> {
    let temp = to.with_extension("new");
    let copied = (|| {
        let mut source = File::open(from)?;
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&temp)?;
        io::copy(&mut source, &mut file)?;
        file.sync_all()?;
        std::fs::rename(&temp, to)
    })();
    if let Err(e) = copied {
        // half a copy is of no use to anybody
        let _ = std::fs::remove_file(&temp);
        return Err(StorageError::new("copy to", to, e));
    }
    sync(dir)
}

fn sync(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(sys::sync_dir).map_err(|e| StorageError::new("sync", dir, e))
}

fn exists(path: &Path) -> Result<bool, StorageError> {
    path.try_exists().map_err(|e| StorageError::new("open", path, e))
}

/// Opens what [`fall_back`] made of a damaged store, or an empty one where that is damaged, too.
pub(super) fn recover<T>(
    dir: &Path,
    path: &Path,
    why: String,
    open: impl Fn() -> Result<T, StateError>,
    create: impl Fn() -> Result<(), StateError>,
) -> Result<(T, Recovered), StateError> {
    let (damaged, has_previous) = fall_back(dir, path)?;
    if has_previous {
        match open() {
            Ok(store) => return Ok((store, Recovered { damaged, why, has_previous })),
            Err(StateError::Damaged { .. }) => {
                set_aside(dir, path)?;
            }
            Err(other) => return Err(other),
        }
    }
    create()?;
    Ok((open()?, Recovered { damaged, why, has_previous: false }))
}
