//! What the file system lets us do, asked before anything is made on it and again after something failed.

use rustix::io::Errno;
use unchoke_wire::FileIndex;

use super::{Allocation, FileStorage};
use crate::error::{ErrorKind, StorageError};
use crate::storage::room_for;
use crate::sys::FileSystem;
use crate::volume::{self, Dir};

impl FileStorage {
    /// Refuses what cannot end well: files that are too large or names that are too long for the file system, and,
    /// where space is claimed at once, more than there is.
    pub(super) fn check_limits(&self, root: &Dir) -> Result<(), StorageError> {
        let fs = self.file_system(root)?;
        let file_len_max = *self.file_len_max.get_or_init(|| fs.file_len_max);
        let mut missing = 0;
        let mut lookup = self.lookup()?;
        for number in self.selected(|f| !f.is_pad)? {
            let file = self.spec.file(FileIndex(number));
            if file.len > file_len_max {
                return Err(self.failed_number("make", number, Errno::FBIG.into()));
            }
            let is_long = |name: &String| u64::try_from(name.len()).is_ok_and(|len| len > fs.name_len_max);
            if file.path.iter().any(is_long) {
                return Err(self.failed_number("make", number, Errno::NAMETOOLONG.into()));
            }
            if self.options.allocation == Allocation::Full && !self.is_on_disk(&mut lookup, number)? {
                missing += file.len;
            }
        }
        if missing > fs.available {
            return Err(StorageError::new("claim space in", &self.root, Errno::NOSPC));
        }
        Ok(())
    }

    /// Whether there is any use in going on: the root is there, can be written, and has room.
    pub(super) fn probe_root(&self, bytes: u64) -> Result<(), StorageError> {
        let root = match self.with_descriptors(|| self.open_root(false)) {
            Err(e) if e.kind == ErrorKind::MissingRoot && self.may_make_root() => {
                let parent = self.root.parent().unwrap_or(&self.root);
                volume::open_root(&self.options.volume, parent)
                    .map_err(|e| StorageError::new("open the folder", parent, e))
            }
            other => other,
        }?;
        let fs = self.file_system(&root)?;
        if fs.is_read_only {
            return Err(StorageError::new("write to", &self.root, Errno::ROFS));
        }
        if fs.available < room_for(fs.total, bytes) {
            return Err(StorageError::new("write to", &self.root, Errno::NOSPC));
        }
        Ok(())
    }

    fn file_system(&self, root: &Dir) -> Result<FileSystem, StorageError> {
        volume::file_system(root).map_err(|e| StorageError::new("examine", &self.root, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_storage::Options;
    use crate::spec::{FileSpec, StorageSpec};
    use crate::storage::Storage;
    use crate::sys;
    use unchoke_wire::Layout;

    fn storage(root: &std::path::Path, name: &str, len: u64, allocation: Allocation) -> FileStorage {
        let file = FileSpec { path: vec!["t".to_owned(), name.to_owned()], len, ..FileSpec::default() };
        let spec = StorageSpec { layout: Layout::new(16 << 20, [len]).unwrap(), files: vec![file] };
        FileStorage::open(root, spec, Options { allocation, ..Options::default() }).unwrap()
    }

    //= H3e-8
    #[test]
    fn what_the_file_system_cannot_hold_is_told_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let root = sys::open_root(dir.path()).unwrap();
        let available = sys::file_system(&root).unwrap().available;
        // more than is free: told by full allocation, possible with holes
        let large = |allocation| storage(dir.path(), "a", available + (1 << 30), allocation).prepare();
        let error = large(Allocation::Full).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoSpace);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(large(Allocation::Sparse).is_ok());
        let error = storage(dir.path(), &"x".repeat(300), 5, Allocation::Sparse).prepare().unwrap_err();
        assert_eq!(error.kind, ErrorKind::NameTooLong);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    //= H3e-8
    #[test]
    fn a_file_beyond_4_gib_is_refused_where_the_file_system_ends_there() {
        // the greatest length of FAT, and what other systems say
        assert_eq!(sys::file_len_max_of(0x4d44), (4 << 30) - 1);
        assert_eq!(sys::file_len_max_of(0xef53), u64::MAX);
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(dir.path(), "a", 5 << 30, Allocation::Sparse);
        storage.file_len_max.set((4 << 30) - 1).unwrap();
        let error = storage.prepare().unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
        assert!(error.to_string().contains("too large for this file system"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    //= H3e-1
    #[test]
    fn a_probe_tells_room_and_a_root_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let s = storage(dir.path(), "a", 5, Allocation::Sparse);
        assert!(s.probe(1).is_ok());
        assert_eq!(s.probe(u64::MAX).unwrap_err().kind, ErrorKind::NoSpace);
        let gone = storage(&dir.path().join("none"), "a", 5, Allocation::Sparse);
        assert_eq!(gone.probe(1).unwrap_err().kind, ErrorKind::MissingRoot);
        // 2 % of a small disk, 1 GiB of a large one, and always what is to be written
        assert_eq!(
            [room_for(8 << 20, 0), room_for(1 << 50, 0), room_for(8 << 20, 1 << 20)],
            [(8 << 20) / 50, 1 << 30, 1 << 20]
        );
    }
}
