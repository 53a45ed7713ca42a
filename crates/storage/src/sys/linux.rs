//! Linux: `openat2`, `fallocate`, `SEEK_DATA`.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{FallocateFlags, Mode, OFlags, ResolveFlags, SeekFrom};
use rustix::io::Errno;

/// Opens `path` beneath `root`, links refused wherever they stand.
pub(super) fn open_beneath(
    root: &OwnedFd,
    path: &[String],
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(root, path.join("/"), flags, mode, resolve) {
        Ok(fd) => Ok(fd),
        // no such call, forbidden by a sandbox, or a folder was moved meanwhile
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => super::walk_beneath(root, path, flags, mode),
        Err(e) => Err(e.into()),
    }
}

/// Claims the space of a whole file of `len` bytes and gives it that length, if it is shorter.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP) if file.metadata()?.len() >= len => return Ok(()),
            // a file system that cannot claim space
            Err(Errno::OPNOTSUPP) => return file.set_len(len),
            Err(e) => return Err(e.into()),
        }
    }
}

/// The first stretch of `within` that is not a hole; empty when all of it is.
pub(crate) fn data_range(file: &File, within: Range<u64>) -> io::Result<Range<u64>> {
    let from = match rustix::fs::seek(file, SeekFrom::Data(within.start)) {
        Ok(from) => from.max(within.start),
        Err(Errno::NXIO) => within.end,
        // a file system without holes
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(within),
        Err(e) => return Err(e.into()),
    };
    if from >= within.end {
        return Ok(within.end..within.end);
    }
    let to = match rustix::fs::seek(file, SeekFrom::Hole(from)) {
        Ok(to) => to,
        // cut short meanwhile: reading tells
        Err(Errno::NXIO) => within.end,
        Err(e) => return Err(e.into()),
    };
    Ok(from..to.clamp(from, within.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn data_is_found_between_holes() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        file.write_all_at(&[1; 100], 5 << 20).unwrap();
        let found = data_range(&file, 0..10 << 20).unwrap();
        assert!(found.start <= 5 << 20 && found.end >= (5 << 20) + 100, "{found:?}");
        let hole = data_range(&file, 100..200).unwrap();
        assert!(hole.is_empty() || hole == (100..200), "{hole:?}");
    }
}
