//! The second generation of the state store: a copy of the whole file from a short time ago, for the day on which the
//! file itself is damaged; and space that is set aside for a full disk.

use std::path::{Path, PathBuf};

use super::StateError;
use crate::error::StorageError;
use crate::volume::{self, How, Volume};

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
pub(super) fn keep(volume: &Volume, dir: &Path, path: &Path) -> Result<(), StorageError> {
    copy(volume, dir, path, &dir.join(PREVIOUS))
}

/// Puts the older generation in the place of `path`, and a damaged file that is there aside. Answers where that is, and
/// whether there was an older generation.
pub(super) fn fall_back(
    volume: &Volume,
    dir: &Path,
    path: &Path,
) -> Result<(Option<PathBuf>, bool), StorageError> {
    let previous = dir.join(PREVIOUS);
    let has_previous = exists(volume, &previous)?;
    let ready = dir.join("state.redb.restored");
    if has_previous {
        copy(volume, dir, &previous, &ready)?;
    }
    // a crash from here on leaves no file, or the older generation: both lead here again
    let damaged = set_aside(volume, dir, path)?;
    if has_previous {
        volume.rename(&ready, path).map_err(|e| StorageError::new("rename", &ready, e))?;
        sync(volume, dir)?;
    }
    Ok((damaged, has_previous))
}

/// Gives a damaged file another name.
pub(super) fn set_aside(volume: &Volume, dir: &Path, path: &Path) -> Result<Option<PathBuf>, StorageError> {
    if !exists(volume, path)? {
        return Ok(None);
    }
    let name = |n: u32| match n {
        1 => dir.join("state.redb.damaged"),
        n => dir.join(format!("state.redb.damaged-{n}")),
    };
    let free = (1..DAMAGED_MAX).map(name).find(|to| !volume.exists(to).unwrap_or(true));
    let to = free.unwrap_or_else(|| name(DAMAGED_MAX));
    volume.rename(path, &to).map_err(|e| StorageError::new("rename", path, e))?;
    sync(volume, dir)?;
    Ok(Some(to))
}

/// Whether there is an older generation.
pub(super) fn has_previous(volume: &Volume, dir: &Path) -> Result<bool, StorageError> {
    exists(volume, &dir.join(PREVIOUS))
}

/// Sets space aside, unless that is done or would fill the disk. Answers whether it is set aside.
pub(super) fn reserve(volume: &Volume, dir: &Path, len: u64) -> bool {
    let path = dir.join(RESERVE);
    if volume.open(&path, How::Read).and_then(|file| file.len()).is_ok_and(|there| there == len) {
        return true;
    }
    let room = volume.open_dir(dir).and_then(|dir| volume::file_system(&dir)).map_or(0, |fs| fs.available);
    let made = (room / 2 > len).then(|| {
        let file = volume.open(&path, How::Create)?;
        file.set_len(0)?;
        volume::allocate(&file, len)
    });
    match made {
        Some(Ok(())) => true,
        Some(Err(_)) => {
            release(volume, dir);
            false
        }
        None => false,
    }
}

/// Gives the space back. Answers whether there was any.
pub(super) fn release(volume: &Volume, dir: &Path) -> bool {
    has_reserve(volume, dir) && volume.remove_if_there(&dir.join(RESERVE)).is_ok()
}

/// Whether space is set aside.
pub(super) fn has_reserve(volume: &Volume, dir: &Path) -> bool {
    volume.exists(&dir.join(RESERVE)).unwrap_or(false)
}

/// Copies a file so that there is never half of one.
fn copy(volume: &Volume, dir: &Path, from: &Path, to: &Path) -> Result<(), StorageError> {
    let temp = to.with_extension("new");
    let copied = volume.copy(from, &temp).and_then(|()| volume.rename(&temp, to));
    if let Err(e) = copied {
        // half a copy is of no use to anybody
        let _ = volume.remove_if_there(&temp);
        return Err(StorageError::new("copy to", to, e));
    }
    sync(volume, dir)
}

/// Makes the names in the folder durable.
pub(super) fn sync(volume: &Volume, dir: &Path) -> Result<(), StorageError> {
    let synced = volume.open_dir(dir).and_then(|dir| volume::sync_dir(&dir));
    synced.map_err(|e| StorageError::new("sync", dir, e))
}

fn exists(volume: &Volume, path: &Path) -> Result<bool, StorageError> {
    volume.exists(path).map_err(|e| StorageError::new("open", path, e))
}

/// Opens what [`fall_back`] made of a damaged store, or an empty one where that is damaged, too.
pub(super) fn recover<T>(
    volume: &Volume,
    dir: &Path,
    path: &Path,
    why: String,
    open: impl Fn() -> Result<T, StateError>,
    create: impl Fn() -> Result<(), StateError>,
) -> Result<(T, Recovered), StateError> {
    let (damaged, has_previous) = fall_back(volume, dir, path)?;
    if has_previous {
        match open() {
            Ok(store) => return Ok((store, Recovered { damaged, why, has_previous })),
            Err(StateError::Damaged { .. }) => {
                set_aside(volume, dir, path)?;
            }
            Err(other) => return Err(other),
        }
    }
    create()?;
    Ok((open()?, Recovered { damaged, why, has_previous: false }))
}
