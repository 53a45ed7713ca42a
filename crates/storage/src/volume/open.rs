//! Open files and folders of a volume, and what can be asked of them.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Volume;
use crate::memory_disk::{Folder, OpenFile};
use crate::sys::{self, Entry, FileSystem, OpenFacts};

/// An open folder.
#[derive(Debug)]
pub(crate) enum Dir {
    /// Of the machine.
    Machine(OwnedFd),
    /// Of a disk in memory.
    Memory(Folder),
}

/// An open file.
#[derive(Debug)]
pub(crate) enum File {
    /// Of the machine.
    Machine(fs::File),
    /// Of a disk in memory.
    Memory(OpenFile),
}

/// Asks what stands at paths beneath a folder, links not followed.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// In the machine's file system.
    Machine(sys::Lookup),
    /// On a disk in memory.
    Memory(Folder),
}

impl Dir {
    pub(crate) fn try_clone(&self) -> io::Result<Dir> {
        match self {
            Dir::Machine(dir) => dir.try_clone().map(Dir::Machine),
            Dir::Memory(dir) => Ok(Dir::Memory(dir.clone())),
        }
    }

    /// Whether it is on a disk with moving parts.
    pub(crate) fn is_rotational(&self) -> bool {
        match self {
            Dir::Machine(dir) => sys::is_rotational(dir),
            Dir::Memory(_) => false,
        }
    }
}

impl File {
    /// Bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            File::Machine(file) => Ok(file.metadata()?.len()),
            File::Memory(file) => Ok(file.len()),
        }
    }

    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            File::Machine(file) => file.read_exact_at(buf, offset),
            File::Memory(file) => file.read_exact_at(buf, offset),
        }
    }

    pub(crate) fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        match self {
            File::Machine(file) => file.write_all_at(data, offset),
            File::Memory(file) => file.write_all_at(data, offset),
        }
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        match self {
            File::Machine(file) => file.set_len(len),
            File::Memory(file) => file.set_len(len),
        }
    }

    /// Makes its bytes durable, with its length, times and mode.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        match self {
            File::Machine(file) => file.sync_all(),
            File::Memory(file) => {
                file.sync_all();
                Ok(())
            }
        }
    }
}

impl Lookup {
    /// Looks beneath `root`.
    pub(crate) fn new(root: Dir) -> io::Result<Self> {
        match root {
            Dir::Machine(root) => sys::Lookup::new(root).map(Lookup::Machine),
            Dir::Memory(root) => Ok(Lookup::Memory(root)),
        }
    }

    /// What stands at `path`; `None` when nothing does, or a folder on the way is missing.
    pub(crate) fn find(&mut self, path: &[String]) -> io::Result<Option<Entry>> {
        match self {
            Lookup::Machine(lookup) => lookup.find(path),
            Lookup::Memory(root) => root.find(path),
        }
    }
}

/// Opens a folder the user named; links on the way are followed where the volume has them.
pub(crate) fn open_root(volume: &Volume, path: &Path) -> io::Result<Dir> {
    match &volume.0 {
        None => sys::open_root(path).map(Dir::Machine),
        Some(disk) => disk.open_folder(path).map(Dir::Memory),
    }
}

/// The file system a folder is on, and its number there.
pub(crate) fn folder_id(dir: &Dir) -> io::Result<(rustix::fs::Dev, u64)> {
    match dir {
        Dir::Machine(dir) => sys::folder_id(dir),
        Dir::Memory(dir) => Ok(dir.number()),
    }
}

/// Asks the file system a folder is on.
pub(crate) fn file_system(dir: &Dir) -> io::Result<FileSystem> {
    match dir {
        Dir::Machine(dir) => sys::file_system(dir),
        Dir::Memory(_) => Ok(FileSystem {
            total: u64::MAX,
            available: u64::MAX,
            is_read_only: false,
            name_len_max: u64::MAX,
            file_len_max: u64::MAX,
        }),
    }
}

/// Asks about a file that is open.
pub(crate) fn facts_of(file: &File) -> io::Result<OpenFacts> {
    match file {
        File::Machine(file) => sys::facts_of(file),
        File::Memory(file) => Ok(file.facts()),
    }
}

/// Lets go of what of a file is in memory, as far as the disk has it.
pub(crate) fn drop_cache(file: &File) {
    if let File::Machine(file) = file {
        sys::wont_need(file);
    }
}

/// Opens the folder `dirs` beneath `root`, links refused, making what is missing if `create`.
pub(crate) fn open_dir(root: &Dir, dirs: &[String], create: bool) -> io::Result<Dir> {
    match root {
        Dir::Machine(root) => sys::open_dir(root, dirs, create).map(Dir::Machine),
        Dir::Memory(root) => root.open_folder(dirs, create).map(Dir::Memory),
    }
}

/// Opens a plain file beneath `root` for reading, or for both if `writable`; links anywhere below the root are refused.
pub(crate) fn open_file(root: &Dir, path: &[String], writable: bool) -> io::Result<File> {
    match root {
        Dir::Machine(root) => sys::open_file(root, path, writable).map(File::Machine),
        Dir::Memory(root) => root.open_file(path).map(File::Memory),
    }
}

/// As [`open_file`] for reading. Answers its length too, and whether it takes less space than that.
pub(crate) fn open_to_check(root: &Dir, path: &[String]) -> io::Result<(File, u64, bool)> {
    match root {
        Dir::Machine(root) => {
            let (file, len, is_sparse) = sys::open_to_check(root, path)?;
            Ok((File::Machine(file), len, is_sparse))
        }
        Dir::Memory(root) => {
            let file = root.open_file(path)?;
            let len = file.len();
            Ok((File::Memory(file), len, false))
        }
    }
}

/// Opens a plain file beneath `root` for reading and writing, making it and the folders it lies in. Answers whether it
/// may be new.
pub(crate) fn create_file(root: &Dir, path: &[String]) -> io::Result<(File, bool)> {
    match root {
        Dir::Machine(root) => {
            let (file, is_new) = sys::create_file(root, path)?;
            Ok((File::Machine(file), is_new))
        }
        Dir::Memory(root) => {
            let (file, is_new) = root.create_file(path, 0o644)?;
            Ok((File::Memory(file), is_new))
        }
    }
}

/// Writes all of `data` at `offset`; interrupted and short writes go on.
pub(crate) fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    match file {
        File::Machine(file) => sys::write_at(file, data, offset),
        File::Memory(file) => file.write_all_at(data, offset),
    }
}

/// Fills `buf` from `offset`; interrupted and short reads go on. A file that ends early is `UnexpectedEof`.
pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    match file {
        File::Machine(file) => sys::read_at(file, buf, offset),
        File::Memory(file) => file.read_exact_at(buf, offset),
    }
}

/// Removes the file or link `path` beneath `root`.
pub(crate) fn remove_file(root: &Dir, path: &[String]) -> io::Result<()> {
    match root {
        Dir::Machine(root) => sys::remove_file(root, path),
        Dir::Memory(root) => root.remove(path, false),
    }
}

/// Removes the empty folder `path` beneath `root`.
pub(crate) fn remove_dir(root: &Dir, path: &[String]) -> io::Result<()> {
    match root {
        Dir::Machine(root) => sys::remove_dir(root, path),
        Dir::Memory(root) => root.remove(path, true),
    }
}

/// Makes the link `path` beneath `root`, with the folders it lies in.
pub(crate) fn make_link(root: &Dir, path: &[String], target: &str) -> io::Result<()> {
    match root {
        Dir::Machine(root) => sys::make_link(root, path, target),
        Dir::Memory(root) => root.make_link(path, target),
    }
}

/// Gives everyone who may read the file the right to execute it.
pub(crate) fn make_executable(file: &File) -> io::Result<()> {
    match file {
        File::Machine(file) => sys::make_executable(file),
        File::Memory(file) => {
            file.make_executable();
            Ok(())
        }
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Dir) -> io::Result<()> {
    match dir {
        Dir::Machine(dir) => sys::sync_dir(dir),
        Dir::Memory(dir) => {
            dir.sync();
            Ok(())
        }
    }
}

/// A file whose lock is held for as long as this lives, even where a program that is being started still has what it
/// inherited.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        match &self.0 {
            File::Machine(file) => sys::unlock(file),
            // by being closed
            File::Memory(_) => {}
        }
    }
}

/// Takes the lock on a file; `None` when another holds it.
pub(crate) fn try_lock(file: File) -> io::Result<Option<Locked>> {
    let is_ours = match &file {
        File::Machine(file) => sys::try_lock(file)?,
        File::Memory(file) => file.try_lock(),
    };
    Ok(is_ours.then_some(Locked(file)))
}

/// Claims the space of a whole file of `len` bytes and gives it that length, if it is shorter.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    match file {
        File::Machine(file) => sys::allocate(file, len),
        File::Memory(file) if file.len() < len => file.set_len(len),
        File::Memory(_) => Ok(()),
    }
}

/// Where the first data at or after `offset` is; past every offset when there is none.
pub(crate) fn data_from(file: &File, offset: u64) -> io::Result<u64> {
    match file {
        File::Machine(file) => sys::data_from(file, offset),
        File::Memory(file) => Ok(if offset < file.len() { offset } else { u64::MAX }),
    }
}

/// Whether reading never waits for a disk.
pub(crate) fn is_in_memory(file: &File) -> bool {
    match file {
        File::Machine(file) => sys::is_in_memory(file),
        File::Memory(_) => true,
    }
}

/// Reads from `offset` as much as is in memory, and says how many bytes that were.
pub(crate) fn read_now(file: &File, buf: &mut [u8], offset: u64, is_in_memory: bool) -> usize {
    match file {
        File::Machine(file) => sys::read_now(file, buf, offset, is_in_memory),
        File::Memory(file) => {
            let there = usize::try_from(file.len().saturating_sub(offset)).unwrap_or(usize::MAX);
            let len = buf.len().min(there);
            file.read_exact_at(&mut buf[..len], offset).map_or(0, |()| len)
        }
    }
}

/// Has the disk begin to read a stretch; it may ignore that.
pub(crate) fn will_need(file: &File, offset: u64, len: u64) {
    if let File::Machine(file) = file {
        sys::will_need(file, offset, len);
    }
}
