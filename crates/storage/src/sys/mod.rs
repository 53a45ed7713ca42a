//! Everything that asks the operating system more than `std` does: opening beneath a folder without following links,
//! claiming space, holes, locks. The only module with code for one system.

#[cfg(target_os = "linux")]
mod linux;
mod moves;
#[cfg(not(target_os = "linux"))]
mod portable;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

#[cfg(target_os = "linux")]
pub use linux::is_rotational;
#[cfg(target_os = "linux")]
pub(crate) use linux::{allocate, data_from, is_in_memory, read_now, will_need, wont_need};
#[cfg(target_os = "linux")]
use linux::{kind_of_file_system, open_beneath, rename_exclusive};
pub(crate) use moves::{Beneath, copy_link, copy_looks, create_new, link_new, link_target, rename_new};
#[cfg(not(target_os = "linux"))]
pub use portable::is_rotational;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{allocate, data_from, is_in_memory, read_now, will_need, wont_need};
#[cfg(not(target_os = "linux"))]
use portable::{kind_of_file_system, open_beneath, rename_exclusive};

/// Opens a folder the user named; links on the way are followed.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, dir_flags(), Mode::empty())?)
}

/// The file system a folder is on, and its number there.
pub(crate) fn folder_id(dir: impl AsFd) -> io::Result<(rustix::fs::Dev, u64)> {
    let stat = rustix::fs::fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// What a file system says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileSystem {
    /// Bytes in all.
    pub(crate) total: u64,
    /// Bytes that are free for us.
    pub(crate) available: u64,
    pub(crate) is_read_only: bool,
    /// Bytes of the longest name.
    pub(crate) name_len_max: u64,
    /// Bytes of the longest file, as far as that is known.
    pub(crate) file_len_max: u64,
}

/// Asks the file system a folder is on.
pub(crate) fn file_system(dir: impl AsFd) -> io::Result<FileSystem> {
    let fs = rustix::fs::fstatvfs(dir.as_fd())?;
    let unit = if fs.f_frsize > 0 { fs.f_frsize } else { fs.f_bsize };
    Ok(FileSystem {
        total: fs.f_blocks.saturating_mul(unit),
        available: fs.f_bavail.saturating_mul(unit),
        is_read_only: fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        name_len_max: if fs.f_namemax > 0 { fs.f_namemax } else { u64::MAX },
        file_len_max: kind_of_file_system(dir).map_or(u64::MAX, file_len_max_of),
    })
}

/// Bytes of the longest file of a kind of file system.
pub(crate) fn file_len_max_of(kind: u64) -> u64 {
    /// FAT counts a file's bytes in 32 bits.
    const FAT: u64 = 0x4d44;
    if kind == FAT { u64::from(u32::MAX) } else { u64::MAX }
}

/// What is to be known of a file that is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFacts {
    pub(crate) len: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub(crate) mtime_ns: i64,
    pub(crate) inode: u64,
    /// Whether it still has a name.
    pub(crate) is_named: bool,
}

/// Asks about a file that is open.
pub(crate) fn facts_of(file: &File) -> io::Result<OpenFacts> {
    let stat = rustix::fs::fstat(file)?;
    Ok(OpenFacts {
        len: u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?,
        mtime_ns: mtime_ns(&stat),
        inode: stat.st_ino,
        is_named: stat.st_nlink > 0,
    })
}

fn mtime_ns(stat: &Stat) -> i64 {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Opens the folder `dirs` beneath `root`, links refused, making what is missing if `create`.
pub(crate) fn open_dir(root: &OwnedFd, dirs: &[String], create: bool) -> io::Result<OwnedFd> {
    let mut dir = root.try_clone()?;
    for name in dirs {
        dir = match step(&dir, name) {
            Err(e) if create && e.kind() == io::ErrorKind::NotFound => {
                match rustix::fs::mkdirat(&dir, name.as_str(), Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => step(&dir, name)?,
                    Err(e) => return Err(e.into()),
                }
            }
            other => other?,
        };
    }
    Ok(dir)
}

/// Opens a plain file beneath `root` for reading, or for both if `writable`; links anywhere below the root are refused.
pub(crate) fn open_file(root: &OwnedFd, path: &[String], writable: bool) -> io::Result<File> {
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    plain(open_beneath(root, path, access | file_flags(), Mode::empty())?)
}

/// Opens a plain file beneath `root` for reading, as [`open_file`] does. Answers its length too, and whether it takes less
/// space than that.
pub(crate) fn open_to_check(root: &OwnedFd, path: &[String]) -> io::Result<(File, u64, bool)> {
    let fd = open_beneath(root, path, OFlags::RDONLY | file_flags(), Mode::empty())?;
    let stat = plain_stat(&fd)?;
    let len = u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?;
    // blocks are of 512 bytes, whatever the file system
    let space = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
    // plain files take no notice of the flag against blocking
    Ok((File::from(fd), len, space < len))
}

/// Opens a plain file beneath `root` for reading and writing, making it and the folders it lies in. Answers whether it
/// may be new.
pub(crate) fn create_file(root: &OwnedFd, path: &[String]) -> io::Result<(File, bool)> {
    match open_file(root, path, true) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(|f| (f, false)),
    }
    let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
    let dir = open_dir(root, dirs, true)?;
    let flags = OFlags::RDWR | OFlags::CREATE | file_flags();
    let fd = rustix::fs::openat(&dir, name.as_str(), flags, Mode::from_raw_mode(0o666))?;
    plain(fd).map(|f| (f, true))
}

/// Asks what stands at paths beneath a folder, links not followed. Keeps the last folder open, as a torrent's files
/// come folder by folder.
#[derive(Debug)]
pub(crate) struct Lookup {
    root: OwnedFd,
    dirs: Vec<String>,
    /// The folder `dirs`, if it is there.
    dir: Option<OwnedFd>,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: FileType,
    pub(crate) len: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub(crate) mtime_ns: i64,
    pub(crate) inode: u64,
    /// The file system it is on.
    pub(crate) device: rustix::fs::Dev,
}

impl Lookup {
    /// Looks beneath `root`.
    pub(crate) fn new(root: OwnedFd) -> io::Result<Self> {
        let dir = Some(root.try_clone()?);
        Ok(Lookup { root, dirs: Vec::new(), dir })
    }

    /// What stands at `path`; `None` when nothing does, or a folder on the way is missing.
    pub(crate) fn find(&mut self, path: &[String]) -> io::Result<Option<Entry>> {
        let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        if self.dirs != dirs {
            // what holds should the next folder be refused
            let top = self.root.try_clone()?;
            (self.dirs, self.dir) = (Vec::new(), Some(top));
            self.dir = found(open_dir(&self.root, dirs, false))?;
            self.dirs = dirs.to_vec();
        }
        let Some(dir) = &self.dir else { return Ok(None) };
        let stat = rustix::fs::statat(dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        let Some(stat) = found(stat.map_err(io::Error::from))? else { return Ok(None) };
        Ok(Some(Entry {
            kind: FileType::from_raw_mode(stat.st_mode),
            len: u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?,
            mtime_ns: mtime_ns(&stat),
            inode: stat.st_ino,
            device: stat.st_dev,
        }))
    }
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes all of `data` at `offset`; interrupted and short writes go on.
pub(crate) fn write_at(file: &impl FileExt, data: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(data, offset)
}

/// Fills `buf` from `offset`; interrupted and short reads go on. A file that ends early is `UnexpectedEof`.
pub(crate) fn read_at(file: &impl FileExt, buf: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buf, offset)
}

/// Removes the file or link `path` beneath `root`.
pub(crate) fn remove_file(root: &OwnedFd, path: &[String]) -> io::Result<()> {
    remove(root, path, AtFlags::empty())
}

/// Removes the empty folder `path` beneath `root`.
pub(crate) fn remove_dir(root: &OwnedFd, path: &[String]) -> io::Result<()> {
    remove(root, path, AtFlags::REMOVEDIR)
}

fn remove(root: &OwnedFd, path: &[String], flags: AtFlags) -> io::Result<()> {
    let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
    let dir = open_dir(root, dirs, false)?;
    Ok(rustix::fs::unlinkat(&dir, name.as_str(), flags)?)
}

/// Makes the link `path` beneath `root`, with the folders it lies in.
pub(crate) fn make_link(root: &OwnedFd, path: &[String], target: &str) -> io::Result<()> {
    let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
    let dir = open_dir(root, dirs, true)?;
    Ok(rustix::fs::symlinkat(target, &dir, name.as_str())?)
}

/// Gives everyone who may read the file the right to execute it.
pub(crate) fn make_executable(file: &File) -> io::Result<()> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    let mut wanted = mode;
    for (read, execute) in [(Mode::RUSR, Mode::XUSR), (Mode::RGRP, Mode::XGRP), (Mode::ROTH, Mode::XOTH)] {
        wanted.set(execute, mode.contains(execute) || mode.contains(read));
    }
    if wanted != mode {
        rustix::fs::fchmod(file, wanted)?;
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(dir) {
        // some network file systems cannot sync a folder
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Takes the lock on a file; `false` when another process holds it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Gives back the lock on a file. Closing the file does that too, but not before a program that is being started has
/// let go of the descriptor it inherited.
pub(crate) fn unlock(file: &File) {
    // what cannot be given back is gone with the descriptor
    let _ = rustix::fs::flock(file, FlockOperation::Unlock);
}

/// Opens a file folder by folder, no link followed: what [`open_beneath`] does where the system has no call for it.
pub(crate) fn walk_beneath(
    root: &OwnedFd,
    path: &[String],
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
    let dir = open_dir(root, dirs, false)?;
    Ok(rustix::fs::openat(&dir, name.as_str(), flags | OFlags::NOFOLLOW, mode)?)
}

fn step(dir: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::openat(dir, name, dir_flags() | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(fd) => Ok(fd),
        // a link is "not a folder" to some systems
        Err(Errno::NOTDIR) => match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Err(Errno::LOOP.into()),
            _ => Err(Errno::NOTDIR.into()),
        },
        Err(e) => Err(e.into()),
    }
}

/// Lets only plain files through: a pipe or a device would block or worse.
fn plain(fd: OwnedFd) -> io::Result<File> {
    plain_stat(&fd)?;
    // takes back the one status flag that file_flags() set
    rustix::fs::fcntl_setfl(&fd, OFlags::empty())?;
    Ok(File::from(fd))
}

fn plain_stat(fd: &OwnedFd) -> io::Result<Stat> {
    let stat = rustix::fs::fstat(fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat),
        _ => Err(Errno::ISDIR.into()),
    }
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn file_flags() -> OFlags {
    // a pipe that stands in place of a file must not block the open
    OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|p| (*p).to_owned()).collect()
    }

    #[test]
    fn both_ways_of_opening_refuse_links_and_special_files() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("f"), b"secret").unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::fs::write(dir.path().join("real/f"), b"mine").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("away")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("near")).unwrap();
        std::os::unix::fs::symlink("f", dir.path().join("real/link")).unwrap();
        let root = open_root(dir.path()).unwrap();
        let flags = OFlags::RDWR | file_flags();
        for way in [open_beneath, walk_beneath] {
            let open = |parts: &[&str]| way(&root, &path(parts), flags, Mode::empty());
            assert!(open(&["real", "f"]).is_ok());
            for refused in [&["away", "f"], &["near", "f"], &["real", "link"]] {
                let e = open(refused).unwrap_err();
                assert_eq!(Errno::from_io_error(&e), Some(Errno::LOOP), "{refused:?}");
            }
            let up = open(&["real", "..", "..", "etc"]);
            assert!(up.is_err());
            assert_eq!(open(&["real", "none"]).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert!(create_file(&root, &path(&["away", "new"])).is_err());
        assert!(!outside.path().join("new").exists());
        assert!(open_file(&root, &path(&["real"]), false).is_err());
    }

    #[test]
    fn a_folder_that_is_refused_does_not_hide_what_stands_at_the_top() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), b"mine").unwrap();
        let mut lookup = Lookup::new(open_root(dir.path()).unwrap()).unwrap();
        assert!(lookup.find(&path(&["f", "below"])).is_err());
        assert!(lookup.find(&path(&["f"])).unwrap().is_some());
    }

    /// A file that takes and gives little at a time, is interrupted in between, and breaks off in the end.
    struct Choppy {
        file: File,
        turn: std::cell::Cell<u32>,
        breaks_at: Option<(u64, Errno)>,
    }

    impl Choppy {
        fn new(breaks_at: Option<(u64, Errno)>) -> Self {
            Choppy { file: tempfile::tempfile().unwrap(), turn: std::cell::Cell::new(0), breaks_at }
        }

        fn len(&self, len: usize, offset: u64) -> io::Result<usize> {
            self.turn.set(self.turn.get() + 1);
            match self.breaks_at {
                Some((at, errno)) if offset >= at => Err(errno.into()),
                _ if self.turn.get().is_multiple_of(3) => Err(Errno::INTR.into()),
                _ => Ok(len.min(7)),
            }
        }
    }

    impl FileExt for Choppy {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            let len = self.len(buf.len(), offset)?;
            self.file.read_at(&mut buf[..len], offset)
        }

        fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
            let len = self.len(buf.len(), offset)?;
            self.file.write_at(&buf[..len], offset)
        }
    }

    //= H3e-3
    #[test]
    fn short_and_interrupted_writes_go_on_and_one_that_breaks_off_is_an_error() {
        let data: Vec<u8> = (0..250).collect();
        let file = Choppy::new(None);
        write_at(&file, &data, 3).unwrap();
        let mut back = vec![0; 250];
        read_at(&file, &mut back, 3).unwrap();
        assert_eq!(back, data);
        assert_eq!(read_at(&file, &mut back, 4).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            let file = Choppy::new(Some((100, errno)));
            let error = write_at(&file, &data, 0).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(errno));
            assert!(read_at(&file, &mut back, 0).is_err());
        }
    }

    //= H3e-7
    #[test]
    fn a_folder_that_turns_into_a_link_while_files_are_opened_leads_nowhere() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("f"), b"precious").unwrap();
        std::fs::create_dir_all(dir.path().join("t/d")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("t/link")).unwrap();
        let is_over = AtomicBool::new(false);
        let exchange = |a: &str, b: &str| {
            let top = File::open(dir.path().join("t")).unwrap();
            rustix::fs::renameat_with(&top, a, &top, b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
        };
        let root = open_root(dir.path()).unwrap();
        let mut opened = [0; 2];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    exchange("d", "link");
                }
            });
            for round in 0..20_000 {
                let name = format!("f{}", round % 50);
                if let Ok((file, _)) = create_file(&root, &path(&["t", "d", &name])) {
                    file.write_all_at(b"ours", 0).unwrap();
                    opened[0] += 1;
                }
                let flags = OFlags::RDWR | OFlags::CREATE | file_flags();
                let walked = walk_beneath(&root, &path(&["t", "d", "f"]), flags, Mode::from_raw_mode(0o666));
                if let Ok(fd) = walked {
                    File::from(fd).write_all_at(b"ours", 0).unwrap();
                    opened[1] += 1;
                }
                let _ = remove_file(&root, &path(&["t", "d", &name]));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert!(opened.iter().all(|n| *n > 0), "{opened:?}");
        let names: Vec<_> =
            std::fs::read_dir(outside.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["f"]);
        assert_eq!(std::fs::read(outside.path().join("f")).unwrap(), b"precious");
    }

    #[test]
    fn execute_follows_read() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("f")).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o640)).unwrap();
        make_executable(&file).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o750);
    }
}
