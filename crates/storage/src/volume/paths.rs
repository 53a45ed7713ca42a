//! What can be asked of a volume by path: what a store of state needs. New files and folders are their owner's alone.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::open::{Dir, File};
use super::{Volume, open_root, sync_dir};
use crate::memory_disk::{MemoryDisk, components};

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// To read it.
    Read,
    /// To read and write it.
    Write,
    /// To read and write it; it is made if it is not there.
    Create,
    /// To read and write it, empty; it is not there.
    New,
}

impl Volume {
    /// Makes a folder and those it lies in, durably, as far as they are missing.
    pub(crate) fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if self.exists(dir)? {
            // whoever made it may have died before its name was durable
            self.sync_parent(dir);
            return Ok(());
        }
        if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.create_dir_all(parent)?;
        }
        match self.create_dir(dir, 0o700) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => {
                self.sync_parent(dir);
                Ok(())
            }
        }
    }

    /// Makes a folder in one that is there.
    pub(crate) fn create_dir(&self, dir: &Path, mode: u32) -> io::Result<()> {
        let Some(disk) = &self.0 else { return fs::DirBuilder::new().mode(mode).create(dir) };
        let path = components(dir);
        let (_, parent) = path.split_last().ok_or(io::ErrorKind::AlreadyExists)?;
        match disk.top().find(&path)? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => disk.top().open_folder(parent, false)?.open_folder(&path[parent.len()..], true).map(drop),
        }
    }

    /// Makes the name of a file or folder durable as far as the folder it is in lets us.
    pub(crate) fn sync_parent(&self, path: &Path) {
        let parent = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
        if let Some(parent) = parent {
            let _ = open_root(self, parent).and_then(|dir| sync_dir(&dir));
        }
    }

    /// Opens a file.
    pub(crate) fn open(&self, path: &Path, how: How) -> io::Result<File> {
        let Some(disk) = &self.0 else {
            let mut options = fs::File::options();
            options.read(true).write(how != How::Read).mode(0o600);
            options.create(how == How::Create).create_new(how == How::New);
            return options.open(path).map(File::Machine);
        };
        let (top, path) = (disk.top(), components(path));
        match how {
            How::Read | How::Write => top.open_file(&path).map(File::Memory),
            How::New if top.find(&path)?.is_some() => Err(io::ErrorKind::AlreadyExists.into()),
            How::Create | How::New => top.create_file(&path, 0o600).map(|(file, _)| File::Memory(file)),
        }
    }

    /// Whether anything stands at a path.
    pub(crate) fn exists(&self, path: &Path) -> io::Result<bool> {
        match &self.0 {
            None => path.try_exists(),
            Some(disk) => Ok(path.parent().is_none() || disk.top().find(&components(path))?.is_some()),
        }
    }

    /// Gives what is at `from` the name `to`, in place of what is there.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.0 {
            None => fs::rename(from, to),
            Some(disk) => MemoryDisk::rename(disk, from, to),
        }
    }

    /// Removes a file. It is no error that there is none.
    pub(crate) fn remove_if_there(&self, path: &Path) -> io::Result<()> {
        let removed = match &self.0 {
            None => fs::remove_file(path),
            Some(disk) => disk.top().remove(&components(path), false),
        };
        match removed {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Copies a file to another name; a file there is written over. The bytes are made durable, not the name.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, target) = (self.open(from, How::Read)?, self.open(to, How::Create)?);
        let (len, mut at) = (source.len()?, 0);
        target.set_len(len)?;
        let mut buf = vec![0; COPY_LEN];
        while at < len {
            let now = usize::try_from(len - at).unwrap_or(COPY_LEN).min(COPY_LEN);
            source.read_exact_at(&mut buf[..now], at)?;
            target.write_all_at(&buf[..now], at)?;
            at += u64::try_from(now).expect("a length fits 64 bits");
        }
        target.sync_all()
    }

    /// Opens a folder.
    pub(crate) fn open_dir(&self, dir: &Path) -> io::Result<Dir> {
        open_root(self, dir)
    }
}

/// Bytes copied at once.
const COPY_LEN: usize = 1 << 20;
