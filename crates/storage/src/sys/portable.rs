//! Unix systems other than Linux: the same with what POSIX has.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

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

/// Whether all files of this file system are in memory: not known.
pub(crate) fn is_in_memory(_file: &File) -> bool {
    false
}

/// The number of the kind of file system: not known.
pub(super) fn kind_of_file_system(_dir: impl AsFd) -> Option<u64> {
    None
}

/// Bytes that can be read without waiting: none that are known.
pub(crate) fn read_now(_file: &File, _buf: &mut [u8], _offset: u64, _is_in_memory: bool) -> usize {
    0
}

/// A hint that has no effect here.
pub(crate) fn will_need(_file: &File, _offset: u64, _len: u64) {}

/// A hint that has no effect here.
pub(crate) fn wont_need(_file: &File) {}

/// No one step is known that does it.
pub(super) fn rename_exclusive(
    _from: impl AsFd,
    _name: &str,
    _to: impl AsFd,
    _new_name: &str,
) -> Result<(), rustix::io::Errno> {
    Err(rustix::io::Errno::NOSYS)
}

/// Whether a file is on a disk with moving parts: not known.
pub fn is_rotational(_file: impl AsFd) -> bool {
    false
}
