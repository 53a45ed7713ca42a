//! The ends of a torrent's life on disk: claiming space, finishing, removing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rustix::fs::FileType;
use rustix::io::Errno;
use unchoke_wire::FileIndex;

use super::{Allocation, FileStorage};
use crate::error::{ErrorKind, StorageError};
use crate::spec::{FileSpec, StorageSpec};
use crate::volume::{self, Dir};

impl FileStorage {
    pub(super) fn claim_space(&self) -> Result<(), StorageError> {
        if !self.may_make_root() {
            self.check_limits(&self.open_root(false)?)?;
        }
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
        for number in self.selected(|f| f.is_executable && !f.is_pad && (f.len > 0 || f.symlink.is_none()))? {
            let file = self.file_by_number(number, false)?;
            match volume::make_executable(&file) {
                Ok(()) => self.note_written(number),
                // the download is complete without
                Err(e) if cannot_be_done(&e) => {}
                Err(e) => return Err(self.failed_number("make executable", number, e)),
            }
        }
        if self.options.makes_symlinks {
            self.make_links()?;
        }
        self.sync_dirty()
    }

    pub(super) fn delete_files(&self) -> Result<(), StorageError> {
        self.options.pool.close_all(self.id);
        self.note_all_removed();
        let root = match self.open_root(false) {
            Err(e) if e.kind == ErrorKind::MissingRoot => return Ok(()),
            other => other?,
        };
        let failed = |e| StorageError::new("open the folder", &self.root, e);
        let mut lookup = volume::Lookup::new(root.try_clone().map_err(failed)?).map_err(failed)?;
        let mut first_error = None;
        let mut dirs = BTreeSet::new();
        for (number, file) in (0u32..).zip(&self.spec.files).filter(|(_, f)| !f.is_pad) {
            if let Err(e) = self.delete_file(&root, &mut lookup, number, file) {
                first_error.get_or_insert(e);
            }
            dirs.extend((1..file.path.len()).map(|depth| &file.path[..depth]));
        }
        if let Err(e) = self.remove_part() {
            first_error.get_or_insert(e);
        }
        self.forget_part();
        // a folder sorts before those in it: the deepest go first
        for dir in dirs.iter().rev() {
            match volume::remove_dir(&root, dir) {
                Err(e) if !is_kept(&e) => {
                    first_error.get_or_insert(StorageError::new("remove", self.root.join(dir.join("/")), e));
                }
                _ => {}
            }
        }
        // nothing comes back after a power cut
        for dir in std::iter::once(&[][..]).chain(dirs) {
            match volume::open_dir(&root, dir, false).and_then(|dir| volume::sync_dir(&dir)) {
                Err(e) if !is_kept(&e) => {
                    first_error.get_or_insert(StorageError::new("sync", self.root.join(dir.join("/")), e));
                }
                _ => {}
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Removes a plain file, or the link the torrent made. What else stands in its place is not ours.
    fn delete_file(
        &self,
        root: &Dir,
        lookup: &mut volume::Lookup,
        number: u32,
        file: &FileSpec,
    ) -> Result<(), StorageError> {
        let failed = |e| self.failed_number("remove", number, e);
        let ours = match lookup.find(&file.path).map(|e| e.map(|e| e.kind)) {
            Ok(Some(FileType::RegularFile)) => true,
            Ok(Some(FileType::Symlink)) => self.options.makes_symlinks && file.symlink.is_some(),
            Ok(_) => false,
            Err(e) if is_kept(&e) => false,
            Err(e) => return Err(failed(e)),
        };
        if ours { volume::remove_file(root, &file.path).map_err(failed) } else { Ok(()) }
    }

    fn create_empty_files(&self) -> Result<(), StorageError> {
        let mut lookup = self.lookup()?;
        for number in self.selected(|f| !f.is_pad && f.len == 0 && f.symlink.is_none())? {
            if !self.is_on_disk(&mut lookup, number)? {
                self.file_by_number(number, true)?;
            }
        }
        Ok(())
    }

    fn make_links(&self) -> Result<(), StorageError> {
        let root = self.open_root(false)?;
        let places = Places::of(&self.spec);
        for number in self.selected(|f| f.symlink.is_some())? {
            let file = self.spec.file(FileIndex(number));
            let Some(target) = places.link_target(file) else { continue };
            match volume::make_link(&root, &file.path, &target) {
                Err(e) if cannot_be_done(&e) => {}
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(self.failed_number("link", number, e));
                }
                _ => self.note_created(number),
            }
        }
        Ok(())
    }

    /// The wanted files that `f` accepts.
    pub(super) fn selected(&self, f: impl Fn(&FileSpec) -> bool) -> Result<Vec<u32>, StorageError> {
        let homes = self.homes()?;
        let all = (0u32..).zip(&self.spec.files);
        Ok(all.filter(|(i, file)| homes.is_selected(FileIndex(*i)) && f(file)).map(|(i, _)| i).collect())
    }
}

/// What links of the torrent may lead to.
struct Places<'a>(BTreeMap<&'a [String], &'a FileSpec>);

/// Links followed before they are taken for a loop.
const LINK_HOPS_MAX: usize = 40;

impl<'a> Places<'a> {
    fn of(spec: &'a StorageSpec) -> Self {
        Places(spec.files.iter().filter(|f| !f.is_pad).map(|f| (&f.path[..], f)).collect())
    }

    //= BEP 47: a symlink leads to a file or folder of its torrent
    /// What to write into the link, relative to the folder it is in. `None` unless it leads, over other links if need
    /// be, to a file or folder of the same torrent.
    fn link_target(&self, link: &'a FileSpec) -> Option<String> {
        let target = link.symlink.as_deref().filter(|t| link.len == 0 && self.reach(t))?;
        let up = link.path.len().checked_sub(2)?;
        let steps: Vec<&str> =
            std::iter::repeat_n("..", up).chain(target[1..].iter().map(String::as_str)).collect();
        Some(if steps.is_empty() { ".".to_owned() } else { steps.join("/") })
    }

    fn reach(&self, mut target: &'a [String]) -> bool {
        for _ in 0..LINK_HOPS_MAX {
            match self.0.get(target).map(|f| f.symlink.as_deref()) {
                Some(Some(next)) => target = next,
                Some(None) => return true,
                // a folder comes right before what is in it
                None => {
                    let next = self.0.range(target..).next();
                    return !target.is_empty() && next.is_some_and(|(path, _)| path.starts_with(target));
                }
            }
        }
        false
    }
}

/// Whether the file system has no links or modes, or the file belongs to somebody else.
fn cannot_be_done(e: &io::Error) -> bool {
    [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS].iter().any(|errno| Errno::from_io_error(e) == Some(*errno))
}

/// Whether a failed removal means that there is nothing of ours to remove.
fn is_kept(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::DirectoryNotEmpty
        || matches!(ErrorKind::of(e), ErrorKind::Missing | ErrorKind::NotADirectory | ErrorKind::Symlink)
}
