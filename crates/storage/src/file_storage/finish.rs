//! The ends of a torrent's life on disk: claiming space, finishing, removing.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use unchoke_wire::FileIndex;

use super::{Allocation, FileStorage};
use crate::error::{ErrorKind, StorageError};
use crate::spec::FileSpec;
use crate::sys;

impl FileStorage {
    pub(super) fn claim_space(&self) -> Result<(), StorageError> {
        self.open_root(true)?;
        self.create_empty_files()?;
        if self.options.allocation == Allocation::Full {
            for number in self.selected(|f| f.is_stored())? {
                let file = self.file_by_number(number, true)?;
                self.claim(&file, number)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish_files(&self) -> Result<(), StorageError> {
        self.create_empty_files()?;
        for number in self.selected(|f| f.is_executable && f.is_stored())? {
            let file = self.file_by_number(number, false)?;
            sys::make_executable(&file).map_err(|e| self.failed_number("make executable", number, e))?;
            self.dirty().files.insert(number);
        }
        if self.options.makes_symlinks {
            self.make_links()?;
        }
        self.sync_dirty()
    }

    pub(super) fn delete_files(&self) -> Result<(), StorageError> {
        self.options.pool.close_all(self.id);
        self.dirty().files.clear();
        let root = match self.open_root(false) {
            Err(e) if e.kind == ErrorKind::MissingRoot => return Ok(()),
            other => other?,
        };
        let mut first_error = None;
        let mut dirs = BTreeSet::new();
        for (number, file) in (0u32..).zip(&self.spec.files).filter(|(_, f)| !f.is_pad) {
            if let Err(e) = self.delete_file(&root, number, file) {
                first_error.get_or_insert(e);
            }
            dirs.extend((1..file.path.len()).map(|depth| &file.path[..depth]));
        }
        if let Err(e) = self.remove_part() {
            first_error.get_or_insert(e);
        }
        self.forget_part();
        // a folder sorts before those in it: the deepest go first
        for dir in dirs.into_iter().rev() {
            match sys::remove_dir(&root, dir) {
                Err(e) if !is_kept(&e) => {
                    first_error.get_or_insert(StorageError::new("remove", self.root.join(dir.join("/")), e));
                }
                _ => {}
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Removes a plain file, or the link the torrent made. What else stands in its place is not ours.
    fn delete_file(&self, root: &OwnedFd, number: u32, file: &FileSpec) -> Result<(), StorageError> {
        let failed = |e| self.failed_number("remove", number, e);
        let ours = match sys::entry_type(root, &file.path) {
            Ok(Some(FileType::RegularFile)) => true,
            Ok(Some(FileType::Symlink)) => self.options.makes_symlinks && self.link_target(file).is_some(),
            Ok(_) => false,
            Err(e) if is_kept(&e) => false,
            Err(e) => return Err(failed(e)),
        };
        if ours { sys::remove_file(root, &file.path).map_err(failed) } else { Ok(()) }
    }

    fn create_empty_files(&self) -> Result<(), StorageError> {
        for number in self.selected(|f| !f.is_pad && f.len == 0 && f.symlink.is_none())? {
            self.file_by_number(number, true)?;
        }
        Ok(())
    }

    fn make_links(&self) -> Result<(), StorageError> {
        let root = self.open_root(false)?;
        for number in self.selected(|f| f.len == 0 && f.symlink.is_some())? {
            let file = self.spec.file(FileIndex(number));
            let Some(target) = self.link_target(file) else { continue };
            match sys::make_link(&root, &file.path, &target) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(self.failed_number("link", number, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    //= BEP 47: a symlink's target is relative to the torrent's folder
    /// What to write into the link, relative to the folder it is in. `None` unless it points to a plain file of the
    /// same torrent.
    fn link_target(&self, file: &FileSpec) -> Option<String> {
        if file.len > 0 {
            return None;
        }
        let target = file.symlink.as_ref()?;
        let is_ours = |f: &FileSpec| !f.is_pad && f.symlink.is_none() && f.path.get(1..) == Some(&target[..]);
        if target.is_empty() || !self.spec.files.iter().any(is_ours) {
            return None;
        }
        let up = file.path.len().checked_sub(2)?;
        Some("../".repeat(up) + &target.join("/"))
    }

    /// The wanted files that `f` accepts.
    fn selected(&self, f: impl Fn(&FileSpec) -> bool) -> Result<Vec<u32>, StorageError> {
        let homes = self.homes()?;
        let all = (0u32..).zip(&self.spec.files);
        Ok(all.filter(|(i, file)| homes.is_selected(FileIndex(*i)) && f(file)).map(|(i, _)| i).collect())
    }
}

/// Whether a failed removal means that there is nothing of ours to remove.
fn is_kept(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::DirectoryNotEmpty
        || matches!(ErrorKind::of(e), ErrorKind::Missing | ErrorKind::NotADirectory | ErrorKind::Symlink)
}
