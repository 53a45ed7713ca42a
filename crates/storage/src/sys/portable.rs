//! Unix systems other than Linux: the same with what POSIX has.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens `path` beneath `root`, links refused wherever they stand.
pub(super) fn open_beneath(
    root: &OwnedFd,
    path: &[String],
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    super::walk_beneath(root, path, flags, mode)
}

/// Gives a file the length `len`, if it is shorter; space is not claimed.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    if file.metadata()?.len() < len { file.set_len(len) } else { Ok(()) }
}

/// Where the first data at or after `offset` is: right there, as holes are not known.
pub(crate) fn data_from(_file: &File, offset: u64) -> io::Result<u64> {
    Ok(offset)
}

/// Has a stretch of a file brought into memory: left to the system.
pub(crate) fn read_ahead(_file: &File, _offset: u64, _len: u64) {}

/// Whether a path is on a disk that turns: not known.
pub(crate) fn is_rotational(_path: &Path) -> bool {
    false
}
