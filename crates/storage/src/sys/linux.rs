//! Linux: `openat2`, `fallocate`, `SEEK_DATA`.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags, ResolveFlags, SeekFrom};
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

/// Where the first data at or after `offset` is; past every offset when there is none.
pub(crate) fn data_from(file: &File, offset: u64) -> io::Result<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(from) => Ok(from),
        Err(Errno::NXIO) => Ok(u64::MAX),
        // a file system without holes
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(offset),
        Err(e) => Err(e.into()),
    }
}

/// Has a stretch of a file brought into memory, without waiting. It is a hint: who reads the bytes hears of failures.
pub(crate) fn read_ahead(file: &File, offset: u64, len: u64) {
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(len), Advice::WillNeed);
}

/// Whether a path is on a disk that turns. Memory, networks and what cannot be told are not.
pub(crate) fn is_rotational(path: &Path) -> bool {
    let Ok(stat) = rustix::fs::lstat(path) else { return false };
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    // a partition's queue is that of the disk above it
    let of = |queue: &str| std::fs::read(format!("/sys/dev/block/{major}:{minor}/{queue}/rotational"));
    of("queue").or_else(|_| of("../queue")).is_ok_and(|flag| flag.starts_with(b"1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn data_is_found_after_a_hole() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        file.write_all_at(&[1; 100], 5 << 20).unwrap();
        assert!(data_from(&file, 0).unwrap() <= 5 << 20);
        assert_eq!(data_from(&file, (5 << 20) + 50).unwrap(), (5 << 20) + 50);
        // a file system that knows no holes has data everywhere
        let after = data_from(&file, 6 << 20).unwrap();
        assert!(after == u64::MAX || after == 6 << 20, "{after}");
        assert_eq!(data_from(&file, 10 << 20).unwrap(), u64::MAX);
    }

    #[test]
    fn memory_and_what_is_not_there_do_not_turn() {
        assert!(!is_rotational(Path::new("/proc/self/status")));
        assert!(!is_rotational(Path::new("/none/of/that/name")));
    }
}
