//! Linux: `openat2`, `fallocate`, `SEEK_DATA`, reads that do not wait, what kind of disk it is.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags, ResolveFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

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

/// Whether all files of this file's system are in memory (tmpfs), where reading never waits for a disk.
pub(crate) fn is_in_memory(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|fs| fs.f_type == 0x0102_1994)
}

/// The number of the kind of file system a folder is on, if there is one.
pub(super) fn kind_of_file_system(dir: impl AsFd) -> Option<u64> {
    u64::try_from(rustix::fs::fstatfs(dir).ok()?.f_type).ok()
}

/// Reads from `offset` as much as is in memory, and says how many bytes that were. Ends early at the end of the file and
/// on errors, and reads nothing where the file system cannot read without waiting.
pub(crate) fn read_now(file: &File, buf: &mut [u8], offset: u64, is_in_memory: bool) -> usize {
    let flags = if is_in_memory { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT };
    let mut done = 0;
    let mut at = offset;
    while done < buf.len() {
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut buf[done..])], at, flags) {
            Ok(0) => break,
            Ok(len) => {
                done += len;
                at += u64::try_from(len).expect("a length fits 64 bits");
            }
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    done
}

/// Has the kernel begin to read a stretch; it may ignore that.
pub(crate) fn will_need(file: &File, offset: u64, len: u64) {
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(len), Advice::WillNeed);
}

/// Has the kernel forget what it holds of a file, so that the disk is asked for the next read; it may ignore that.
pub(crate) fn wont_need(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// Renames in one step that fails where something is.
pub(super) fn rename_exclusive(
    from: impl AsFd,
    name: &str,
    to: impl AsFd,
    new_name: &str,
) -> Result<(), Errno> {
    rustix::fs::renameat_with(from, name, to, new_name, rustix::fs::RenameFlags::NOREPLACE)
}

/// Whether a file is on a disk with moving parts, as far as the kernel knows: network file systems, and those over
/// several disks, count as not.
pub fn is_rotational(file: impl AsFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(file) else { return false };
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    // a partition has no queue of its own: that of its disk is one folder up
    ["queue", "../queue"].iter().any(|queue| {
        let path = format!("/sys/dev/block/{major}:{minor}/{queue}/rotational");
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
    })
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
    fn what_is_in_memory_is_read_and_the_end_of_the_file_ends_it() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let mut buf = [0; 20];
        // just written; where the file system cannot say, nothing is read
        let got = read_now(&file, &mut buf, 2, is_in_memory(&file));
        assert!(got == 0 || buf[..got] == b"23456789"[..], "{got}");
        assert_eq!(read_now(&file, &mut buf, 2, true), 8);
        assert_eq!(read_now(&file, &mut buf, 10, true), 0);
        will_need(&file, 0, 10);
    }

    #[test]
    fn memory_is_told_from_disks() {
        if let Ok(dir) = File::open("/dev/shm") {
            assert!(is_in_memory(&dir) && !is_rotational(&dir));
        }
        assert!(!is_in_memory(&File::open("/proc/self").unwrap()));
    }
}
