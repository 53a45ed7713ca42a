//! Files on their way from one folder of a volume to another: linked, renamed or copied, never over anything that is there.

use std::io;

use rustix::io::Errno;

use super::folder_id;
use super::open::{Dir, File, make_link, open_dir};
use crate::memory_disk::Folder;
use crate::sys;

/// A path beneath a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beneath<'p> {
    pub(crate) root: &'p Dir,
    pub(crate) path: &'p [String],
}

/// The two ends of a way.
enum Ends<'p> {
    Machine(sys::Beneath<'p>, sys::Beneath<'p>),
    Memory(&'p Folder, &'p Folder),
}

impl<'p> Beneath<'p> {
    /// From here to there. Two volumes are as far from each other as two file systems.
    fn to(self, to: Beneath<'p>) -> io::Result<Ends<'p>> {
        match (self.root, to.root) {
            (Dir::Machine(from), Dir::Machine(root)) => Ok(Ends::Machine(
                sys::Beneath { root: from, path: self.path },
                sys::Beneath { root, path: to.path },
            )),
            (Dir::Memory(from), Dir::Memory(to)) => Ok(Ends::Memory(from, to)),
            _ => Err(Errno::XDEV.into()),
        }
    }

    /// Whether both lie in one folder, however the two ways to it are called.
    pub(crate) fn is_beside(self, other: Beneath<'_>) -> io::Result<bool> {
        let number = |at: Beneath<'_>| {
            let (_, dirs) = at.path.split_last().ok_or(Errno::INVAL)?;
            folder_id(&open_dir(at.root, dirs, false)?)
        };
        Ok(number(self)? == number(other)?)
    }
}

/// Gives the file `from` the name `to` as well, with the folders that lies in. Anything there is an error.
pub(crate) fn link_new(from: Beneath<'_>, to: Beneath<'_>) -> io::Result<()> {
    match from.to(to)? {
        Ends::Machine(from, to) => sys::link_new(from, to),
        Ends::Memory(root, target) => root.link_new(from.path, target, to.path),
    }
}

/// Renames `from` to `to`, making the folders that lies in. Anything there is an error.
pub(crate) fn rename_new(from: Beneath<'_>, to: Beneath<'_>) -> io::Result<()> {
    match from.to(to)? {
        Ends::Machine(from, to) => sys::rename_new(from, to),
        Ends::Memory(root, target) => root.rename_new(from.path, target, to.path),
    }
}

/// Makes the link `to` lead where the link `from` leads.
pub(crate) fn copy_link(from: Beneath<'_>, to: Beneath<'_>) -> io::Result<()> {
    match from.to(to)? {
        Ends::Machine(from, to) => sys::copy_link(from, to),
        Ends::Memory(root, _) => {
            let target = String::from_utf8(root.link_target(from.path)?).map_err(|_| Errno::ILSEQ)?;
            make_link(to.root, to.path, &target)
        }
    }
}

/// Where the link leads.
pub(crate) fn link_target(at: Beneath<'_>) -> io::Result<Vec<u8>> {
    match at.root {
        Dir::Machine(root) => sys::link_target(sys::Beneath { root, path: at.path }),
        Dir::Memory(root) => root.link_target(at.path),
    }
}

/// Makes a plain file where nothing is, with the folders it lies in.
pub(crate) fn create_new(at: Beneath<'_>) -> io::Result<File> {
    match at.root {
        Dir::Machine(root) => sys::create_new(sys::Beneath { root, path: at.path }).map(File::Machine),
        Dir::Memory(root) => match root.create_file(at.path, 0o644)? {
            (file, true) => Ok(File::Memory(file)),
            (_, false) => Err(Errno::EXIST.into()),
        },
    }
}

/// Gives `to` the mode and the time of the last change of `from`, as far as the file system lets us.
pub(crate) fn copy_looks(from: &File, to: &File) -> io::Result<()> {
    match (from, to) {
        (File::Machine(from), File::Machine(to)) => sys::copy_looks(from, to),
        (File::Memory(from), File::Memory(to)) => {
            to.take_looks(from);
            Ok(())
        }
        _ => Err(Errno::XDEV.into()),
    }
}
