//! Files on their way from one folder to another: linked, renamed or copied, never over anything that is there.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::{file_flags, open_dir, plain};

/// A path beneath a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beneath<'p> {
    pub(crate) root: &'p OwnedFd,
    pub(crate) path: &'p [String],
}

impl<'p> Beneath<'p> {
    /// The folder it lies in, made with `create`, and its name there.
    fn place(self, create: bool) -> io::Result<(OwnedFd, &'p str)> {
        let (name, dirs) = self.path.split_last().ok_or(Errno::INVAL)?;
        Ok((open_dir(self.root, dirs, create)?, name))
    }
}

/// Gives the file `from` the name `to` as well, with the folders that lies in. Anything there is an error.
pub(crate) fn link_new(from: Beneath<'_>, to: Beneath<'_>) -> io::Result<()> {
    let ((from, name), (to, new_name)) = (from.place(false)?, to.place(true)?);
    Ok(rustix::fs::linkat(&from, name, &to, new_name, AtFlags::empty())?)
}

/// Renames `from` to `to`, making the folders that lies in. Anything there is an error.
pub(crate) fn rename_new(from: Beneath<'_>, to: Beneath<'_>) -> io::Result<()> {
    let ((from, name), (to, new_name)) = (from.place(false)?, to.place(true)?);
    match super::rename_exclusive(&from, name, &to, new_name) {
        // a file system that cannot do it in one step
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            match rustix::fs::statat(&to, new_name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => Ok(rustix::fs::renameat(&from, name, &to, new_name)?),
                Ok(_) => Err(Errno::EXIST.into()),
                Err(e) => Err(e.into()),
            }
        }
        other => Ok(other?),
    }
}

/// Makes the link `to` lead where the link `from` leads.
pub(crate) fn copy_link(from: Beneath<'_>, to: Beneath<'_>) -> io::Result<()> {
    let ((from, name), (to, new_name)) = (from.place(false)?, to.place(true)?);
    let target = rustix::fs::readlinkat(&from, name, Vec::new())?;
    Ok(rustix::fs::symlinkat(std::ffi::OsStr::from_bytes(target.as_bytes()), &to, new_name)?)
}

/// Where the link leads.
pub(crate) fn link_target(at: Beneath<'_>) -> io::Result<Vec<u8>> {
    let (dir, name) = at.place(false)?;
    Ok(rustix::fs::readlinkat(&dir, name, Vec::new())?.into_bytes())
}

/// Makes a plain file where nothing is, with the folders it lies in.
pub(crate) fn create_new(at: Beneath<'_>) -> io::Result<File> {
    let (dir, name) = at.place(true)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | file_flags();
    plain(rustix::fs::openat(&dir, name, flags, Mode::from_raw_mode(0o666))?)
}

/// Gives `to` the mode and the time of the last change of `from`, as far as the file system lets us.
pub(crate) fn copy_looks(from: &File, to: &File) -> io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    let nsec = stat.st_mtime_nsec.try_into().map_err(|_| Errno::OVERFLOW)?;
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: nsec };
    for result in [
        rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode)),
        rustix::fs::futimens(to, &Timestamps { last_access: time, last_modification: time }),
    ] {
        match result {
            Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
