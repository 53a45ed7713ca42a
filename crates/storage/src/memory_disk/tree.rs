//! The files of a disk in memory, and the operations that change them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of a node.
pub(super) type NodeId = u64;

/// The folder everything is in.
pub(super) const TOP: NodeId = 1;

/// What there is, by number. A node that no folder names is out of reach.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    /// Whether a file may have a second name.
    pub(super) has_links: bool,
}

/// A file, a folder or a link.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// Time of the last change, in nanoseconds since 1970.
    pub(super) mtime_ns: i64,
    /// The file system it is on: the number of the folder that one begins with.
    pub(super) device: NodeId,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    File(Arc<Vec<u8>>),
    Folder(BTreeMap<String, NodeId>),
    Link(String),
}

/// A name in a folder.
pub(super) type Place = (NodeId, String);

/// A change of what is on the disk, or a request to keep such changes.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A new node of this kind has this name.
    Create {
        at: Place,
        node: NodeId,
        new: Node,
    },
    /// Bytes are written, and the time of the change noted.
    Write {
        node: NodeId,
        offset: usize,
        bytes: Arc<[u8]>,
        mtime_ns: i64,
    },
    /// A file is cut or gets zeros at its end.
    SetLen {
        node: NodeId,
        len: usize,
        mtime_ns: i64,
    },
    SetMode {
        node: NodeId,
        mode: u32,
    },
    SetTime {
        node: NodeId,
        mtime_ns: i64,
    },
    /// A file has one more name.
    Link {
        to: Place,
        node: NodeId,
    },
    /// A node has another name, in place of what had it.
    Rename {
        from: Place,
        to: Place,
        node: NodeId,
    },
    /// A name goes.
    Remove {
        at: Place,
        node: NodeId,
    },
    /// All bytes of a file are to be kept, with its length, time and mode.
    SyncFile(NodeId),
    /// All names in a folder are to be kept.
    SyncFolder(NodeId),
}

impl Op {
    /// The file whose bytes, length, mode or time it changes.
    pub(super) fn changed_file(&self) -> Option<NodeId> {
        match self {
            Op::Write { node, .. }
            | Op::SetLen { node, .. }
            | Op::SetMode { node, .. }
            | Op::SetTime { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// The names it changes.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        let (first, second) = match self {
            Op::Create { at, .. } | Op::Remove { at, .. } | Op::Link { to: at, .. } => (Some(at), None),
            Op::Rename { from, to, .. } => (Some(from), Some(to)),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl Node {
    pub(super) fn folder() -> Self {
        Node { kind: Kind::Folder(BTreeMap::new()), mode: 0o755, mtime_ns: 0, device: TOP }
    }

    pub(super) fn file(mode: u32, mtime_ns: i64) -> Self {
        Node { kind: Kind::File(Arc::default()), mode, mtime_ns, device: TOP }
    }

    pub(super) fn link(target: &str, mtime_ns: i64) -> Self {
        Node { kind: Kind::Link(target.to_owned()), mode: 0o777, mtime_ns, device: TOP }
    }
}

impl Tree {
    /// An empty disk.
    pub(super) fn new() -> Self {
        Tree { nodes: BTreeMap::from([(TOP, Node::folder())]), has_links: true }
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// A number no node has.
    pub(super) fn free_id(&self) -> NodeId {
        self.nodes.last_key_value().map_or(TOP, |(id, _)| *id) + 1
    }

    pub(super) fn entries(&self, folder: NodeId) -> Option<&BTreeMap<String, NodeId>> {
        match &self.nodes.get(&folder)?.kind {
            Kind::Folder(entries) => Some(entries),
            _ => None,
        }
    }

    /// The file system a node is on.
    pub(super) fn device(&self, id: NodeId) -> NodeId {
        self.nodes.get(&id).map_or(TOP, |node| node.device)
    }

    /// Makes a folder, with all in it, another file system.
    pub(super) fn set_device(&mut self, folder: NodeId, device: NodeId) {
        let inside: Vec<NodeId> = self.entries(folder).into_iter().flatten().map(|(_, id)| *id).collect();
        if let Some(node) = self.nodes.get_mut(&folder) {
            node.device = device;
        }
        inside.into_iter().for_each(|id| self.set_device(id, device));
    }

    /// Whether any folder names the node.
    pub(super) fn is_named(&self, id: NodeId) -> bool {
        self.nodes.values().any(|node| match &node.kind {
            Kind::Folder(entries) => entries.values().any(|e| *e == id),
            _ => false,
        })
    }

    /// Adds a node that no folder names.
    pub(super) fn add(&mut self, id: NodeId, node: Node) {
        self.nodes.entry(id).or_insert(node);
    }

    /// Takes a node over as another tree has it.
    pub(super) fn copy_node(&mut self, id: NodeId, from: &Tree) {
        if let Some(node) = from.nodes.get(&id) {
            self.nodes.insert(id, node.clone());
        }
    }

    /// Makes a change. What it needs may be gone; then it does as much as it can.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { at, node, new } => {
                self.add(*node, new.clone());
                self.name(at, *node);
            }
            Op::Write { node, offset, bytes, mtime_ns } => {
                self.write(*node, *offset, bytes);
                self.touch(*node, *mtime_ns);
            }
            Op::SetLen { node, len, mtime_ns } => {
                if let Some(content) = self.content_mut(*node) {
                    content.resize(*len, 0);
                }
                self.touch(*node, *mtime_ns);
            }
            Op::SetMode { node, mode } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.mode = *mode;
                }
            }
            Op::SetTime { node, mtime_ns } => self.touch(*node, *mtime_ns),
            Op::Link { to, node } => self.name(to, *node),
            Op::Rename { from, to, node } => {
                self.unname(from, *node);
                self.name(to, *node);
            }
            Op::Remove { at, node } => self.unname(at, *node),
            Op::SyncFile(_) | Op::SyncFolder(_) => {}
        }
    }

    /// Writes bytes, with zeros before them if the file was shorter.
    pub(super) fn write(&mut self, node: NodeId, offset: usize, bytes: &[u8]) {
        if let Some(content) = self.content_mut(node) {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[offset..end].copy_from_slice(bytes);
        }
    }

    /// Makes a file this long, if it is shorter.
    pub(super) fn lengthen(&mut self, node: NodeId, len: usize) {
        if let Some(content) = self.content_mut(node).filter(|c| c.len() < len) {
            content.resize(len, 0);
        }
    }

    pub(super) fn touch(&mut self, node: NodeId, mtime_ns: i64) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.mtime_ns = mtime_ns;
        }
    }

    fn content_mut(&mut self, node: NodeId) -> Option<&mut Vec<u8>> {
        match &mut self.nodes.get_mut(&node)?.kind {
            Kind::File(content) => Some(Arc::make_mut(content)),
            _ => None,
        }
    }

    fn folder_mut(&mut self, folder: NodeId) -> Option<&mut BTreeMap<String, NodeId>> {
        match &mut self.nodes.get_mut(&folder)?.kind {
            Kind::Folder(entries) => Some(entries),
            _ => None,
        }
    }

    fn name(&mut self, (folder, name): &Place, node: NodeId) {
        if let Some(entries) = self.folder_mut(*folder) {
            entries.insert(name.clone(), node);
        }
    }

    fn unname(&mut self, (folder, name): &Place, node: NodeId) {
        if let Some(entries) = self.folder_mut(*folder).filter(|e| e.get(name) == Some(&node)) {
            entries.remove(name);
        }
    }
}
