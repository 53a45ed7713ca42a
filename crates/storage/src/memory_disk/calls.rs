//! What a program asks of a disk in memory.

use std::io;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::tree::{Kind, Node, NodeId, Op, Place, TOP};
use super::{MemoryDisk, State};
use crate::sys::{Entry, OpenFacts};

/// An open folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    disk: MemoryDisk,
    id: NodeId,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    disk: MemoryDisk,
    id: NodeId,
    is_locked: AtomicBool,
}

/// The names of a path from the top.
pub(crate) fn components(path: &Path) -> Vec<String> {
    let names = path.components().filter_map(|c| match c {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    names.collect()
}

impl MemoryDisk {
    /// The folder everything is in.
    pub(crate) fn top(&self) -> Folder {
        Folder { disk: self.clone(), id: TOP }
    }

    /// Opens the folder at a path from the top.
    pub(crate) fn open_folder(&self, path: &Path) -> io::Result<Folder> {
        self.top().open_folder(&components(path), false)
    }

    /// Gives what is at `from` the name `to`, in place of what is there.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let ((from_dir, from), (to_dir, to)) =
            (state.place(&components(from))?, state.place(&components(to))?);
        let node = state.entry(from_dir, &from)?.ok_or(Errno::NOENT)?;
        state.are_on_one(node, to_dir)?;
        if state.entry(to_dir, &to)? != Some(node) {
            state.act(Op::Rename { from: (from_dir, from), to: (to_dir, to), node });
        }
        Ok(())
    }
}

impl State {
    /// The folder `dirs` below `from`.
    fn walk(&self, from: NodeId, dirs: &[String]) -> io::Result<NodeId> {
        dirs.iter().try_fold(from, |folder, name| {
            let id = self.entry(folder, name)?.ok_or(Errno::NOENT)?;
            match self.kept.live.node(id).map(|n| &n.kind) {
                Some(Kind::Folder(_)) => Ok(id),
                Some(Kind::Link(_)) => Err(Errno::LOOP.into()),
                _ => Err(Errno::NOTDIR.into()),
            }
        })
    }

    fn entry(&self, folder: NodeId, name: &str) -> io::Result<Option<NodeId>> {
        Ok(self.kept.live.entries(folder).ok_or(Errno::NOTDIR)?.get(name).copied())
    }

    /// The folder a path from the top lies in, and its name there.
    fn place(&self, path: &[String]) -> io::Result<(NodeId, String)> {
        let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        Ok((self.walk(TOP, dirs)?, name.clone()))
    }

    /// That a file or link may have, or get, a name in a folder.
    fn are_on_one(&self, node: NodeId, folder: NodeId) -> io::Result<()> {
        match self.kept.live.device(node) == self.kept.live.device(folder) {
            true => Ok(()),
            false => Err(Errno::XDEV.into()),
        }
    }

    /// The file or link at a path below a folder, with its place, and the place of a name for it that nothing has.
    fn way(
        &self,
        (from, path): (NodeId, &[String]),
        (folder, name): (NodeId, &str),
    ) -> io::Result<(NodeId, Place, Place)> {
        let (old, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        let from = self.walk(from, dirs)?;
        let node = self.entry(from, old)?.ok_or(Errno::NOENT)?;
        if self.entry(folder, name)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        self.are_on_one(node, folder)?;
        Ok((node, (from, old.clone()), (folder, name.to_owned())))
    }

    fn create(&mut self, folder: NodeId, name: &str, new: Node) -> NodeId {
        let node = self.new_id();
        let new = Node { device: self.kept.live.device(folder), ..new };
        self.act(Op::Create { at: (folder, name.to_owned()), node, new });
        node
    }
}

impl Folder {
    /// The folder `dirs` below this one, links refused, made if `create`.
    pub(crate) fn open_folder(&self, dirs: &[String], create: bool) -> io::Result<Folder> {
        let mut state = self.disk.state();
        let mut id = self.id;
        for name in dirs {
            if create && state.entry(id, name)?.is_none() {
                state.create(id, name, Node::folder());
            }
            id = state.walk(id, std::slice::from_ref(name))?;
        }
        Ok(Folder { disk: self.disk.clone(), id })
    }

    /// Opens a plain file below this folder, links refused.
    pub(crate) fn open_file(&self, path: &[String]) -> io::Result<OpenFile> {
        let state = self.disk.state();
        let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        let id = state.entry(state.walk(self.id, dirs)?, name)?.ok_or(Errno::NOENT)?;
        match state.kept.live.node(id).map(|n| &n.kind) {
            Some(Kind::File(_)) => Ok(OpenFile::new(&self.disk, id)),
            Some(Kind::Link(_)) => Err(Errno::LOOP.into()),
            _ => Err(Errno::ISDIR.into()),
        }
    }

    /// As [`Self::open_file`], and makes what is missing. Answers whether it is new.
    pub(crate) fn create_file(&self, path: &[String], mode: u32) -> io::Result<(OpenFile, bool)> {
        match self.open_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => return other.map(|file| (file, false)),
        }
        let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        let folder = self.open_folder(dirs, true)?.id;
        let mut state = self.disk.state();
        let new = Node::file(mode, state.now_ns());
        let id = state.create(folder, name, new);
        Ok((OpenFile::new(&self.disk, id), true))
    }

    /// What stands at a path below this folder.
    pub(crate) fn find(&self, path: &[String]) -> io::Result<Option<Entry>> {
        let state = self.disk.state();
        let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        let found = match state.walk(self.id, dirs) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            folder => state.entry(folder?, name)?,
        };
        let node = found.and_then(|id| Some((id, state.kept.live.node(id)?)));
        Ok(node.map(|(inode, node)| {
            let (kind, len) = match &node.kind {
                Kind::File(bytes) => (FileType::RegularFile, bytes.len()),
                Kind::Folder(_) => (FileType::Directory, 0),
                Kind::Link(_) => (FileType::Symlink, 0),
            };
            let len = u64::try_from(len).expect("a length fits 64 bits");
            Entry { kind, len, mtime_ns: node.mtime_ns, inode, device: node.device }
        }))
    }

    /// Removes the file, link or empty folder at a path below this folder.
    pub(crate) fn remove(&self, path: &[String], is_folder: bool) -> io::Result<()> {
        let mut state = self.disk.state();
        let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        let folder = state.walk(self.id, dirs)?;
        let node = state.entry(folder, name)?.ok_or(Errno::NOENT)?;
        match (state.kept.live.entries(node), is_folder) {
            (Some(entries), true) if !entries.is_empty() => return Err(Errno::NOTEMPTY.into()),
            (Some(_), false) => return Err(Errno::ISDIR.into()),
            (None, true) => return Err(Errno::NOTDIR.into()),
            _ => {}
        }
        state.act(Op::Remove { at: (folder, name.clone()), node });
        Ok(())
    }

    /// Makes a link at a path below this folder, with the folders it lies in.
    pub(crate) fn make_link(&self, path: &[String], target: &str) -> io::Result<()> {
        let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        let folder = self.open_folder(dirs, true)?.id;
        let mut state = self.disk.state();
        if state.entry(folder, name)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        let new = Node::link(target, state.now_ns());
        state.create(folder, name, new);
        Ok(())
    }

    /// Where the link at a path below this folder leads.
    pub(crate) fn link_target(&self, path: &[String]) -> io::Result<Vec<u8>> {
        let state = self.disk.state();
        let (name, dirs) = path.split_last().ok_or(Errno::INVAL)?;
        let id = state.entry(state.walk(self.id, dirs)?, name)?.ok_or(Errno::NOENT)?;
        match state.kept.live.node(id).map(|n| &n.kind) {
            Some(Kind::Link(target)) => Ok(target.clone().into_bytes()),
            _ => Err(Errno::INVAL.into()),
        }
    }

    /// Gives the file at a path the name `new` below `to` as well, with the folders that lies in.
    pub(crate) fn link_new(&self, path: &[String], to: &Folder, new: &[String]) -> io::Result<()> {
        let (name, dirs) = new.split_last().ok_or(Errno::INVAL)?;
        let folder = to.open_folder(dirs, true)?.id;
        let mut state = self.disk.state();
        let (node, _, to) = state.way((self.id, path), (folder, name))?;
        if !state.kept.live.has_links {
            return Err(Errno::PERM.into());
        }
        state.act(Op::Link { to, node });
        Ok(())
    }

    /// Gives what is at a path the name `new` below `to`, with the folders that lies in.
    pub(crate) fn rename_new(&self, path: &[String], to: &Folder, new: &[String]) -> io::Result<()> {
        let (name, dirs) = new.split_last().ok_or(Errno::INVAL)?;
        let folder = to.open_folder(dirs, true)?.id;
        let mut state = self.disk.state();
        let (node, from, to) = state.way((self.id, path), (folder, name))?;
        state.act(Op::Rename { from, to, node });
        Ok(())
    }

    /// Its file system, and its number there.
    pub(crate) fn number(&self) -> (u64, u64) {
        (self.disk.state().kept.live.device(self.id), self.id)
    }

    /// Makes the names in the folder durable.
    pub(crate) fn sync(&self) {
        self.disk.state().act(Op::SyncFolder(self.id));
    }
}

impl OpenFile {
    fn new(disk: &MemoryDisk, id: NodeId) -> Self {
        OpenFile { disk: disk.clone(), id, is_locked: AtomicBool::new(false) }
    }

    fn content(&self) -> Arc<Vec<u8>> {
        match self.disk.state().kept.live.node(self.id).map(|n| &n.kind) {
            Some(Kind::File(bytes)) => Arc::clone(bytes),
            _ => unreachable!("an open file stays a file"),
        }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.content().len()).expect("a length fits 64 bits")
    }

    /// What is to be known of it.
    pub(crate) fn facts(&self) -> OpenFacts {
        let len = self.len();
        let state = self.disk.state();
        let mtime_ns = state.kept.live.node(self.id).map_or(0, |n| n.mtime_ns);
        OpenFacts { len, mtime_ns, inode: self.id, is_named: state.kept.live.is_named(self.id) }
    }

    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content();
        let bytes = usize::try_from(offset).ok().and_then(|at| content.get(at..at.checked_add(buf.len())?));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(crate) fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| Errno::FBIG)?;
        let mut state = self.disk.state();
        let mtime_ns = state.now_ns();
        state.act(Op::Write { node: self.id, offset, bytes: data.into(), mtime_ns });
        Ok(())
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| Errno::FBIG)?;
        let mut state = self.disk.state();
        let mtime_ns = state.now_ns();
        state.act(Op::SetLen { node: self.id, len, mtime_ns });
        Ok(())
    }

    pub(crate) fn sync_all(&self) {
        self.disk.state().act(Op::SyncFile(self.id));
    }

    pub(crate) fn make_executable(&self) {
        let mut state = self.disk.state();
        let mode = state.kept.live.node(self.id).map_or(0, |n| n.mode);
        let wanted = mode | (mode & 0o444) >> 2;
        if wanted != mode {
            state.act(Op::SetMode { node: self.id, mode: wanted });
        }
    }

    /// Gives the file the mode and the time of another.
    pub(crate) fn take_looks(&self, of: &OpenFile) {
        let mut state = self.disk.state();
        let looks = |id| state.kept.live.node(id).map_or((0, 0), |n: &Node| (n.mode, n.mtime_ns));
        let (mode, mtime_ns) = looks(of.id);
        state.act(Op::SetMode { node: self.id, mode });
        state.act(Op::SetTime { node: self.id, mtime_ns });
    }

    /// Takes the lock on the file until it is closed; `false` when somebody else holds it.
    pub(crate) fn try_lock(&self) -> bool {
        let is_ours = self.disk.state().locked.insert(self.id);
        self.is_locked.fetch_or(is_ours, Ordering::Relaxed);
        is_ours
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if *self.is_locked.get_mut() {
            self.disk.state().locked.remove(&self.id);
        }
    }
}
