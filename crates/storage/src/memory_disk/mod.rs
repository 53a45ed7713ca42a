//! A disk in memory that notes every operation, for trying out a crash after each of them. It does what the machine's does,
//! links, modes, times and numbers of files included; what it lacks are owners, limits and open files without a name.

mod backend;
mod calls;
mod history;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use calls::{Folder, OpenFile, components};
use history::Kept;
pub use history::{Fate, History};
use tree::{Kind, NodeId, Op, TOP, Tree};

/// A disk in memory. A clone is the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    kept: Kept,
    /// What there was at first.
    begin: Tree,
    ops: Vec<Op>,
    /// Files somebody holds the lock of.
    locked: BTreeSet<NodeId>,
    /// Never given twice, so that no number tells of two files.
    next: NodeId,
    /// Operations that make the clock of the file system go on by one step: several changes may have one time.
    ops_per_tick: usize,
}

/// What stands at a path of a [`MemoryDisk`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// A file, with its bytes.
    File(Arc<Vec<u8>>),
    /// A folder.
    Folder,
    /// A link, and what it leads to.
    Link(String),
}

/// One step of the clock, in nanoseconds: that of a kernel with 250 ticks a second.
const TICK_NS: i64 = 4_000_000;

impl Default for MemoryDisk {
    fn default() -> Self {
        MemoryDisk::new()
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::of(Kept::sure(Tree::new()))
    }

    fn of(kept: Kept) -> Self {
        let (begin, next) = (kept.live.clone(), kept.live.free_id());
        let state = State { kept, begin, ops: Vec::new(), locked: BTreeSet::new(), next, ops_per_tick: 5 };
        MemoryDisk(Arc::new(Mutex::new(state)))
    }

    /// Operations done since the disk was made.
    pub fn ops(&self) -> usize {
        self.state().ops.len()
    }

    /// The operations so far, to be played back. The disk as it was made counts as sure to stay.
    pub fn history(&self) -> History {
        let state = self.state();
        History::new(state.begin.clone(), state.ops.clone())
    }

    /// The disk when power fails now.
    pub fn after_power_cut(&self, fate: Fate, seed: u64) -> MemoryDisk {
        MemoryDisk::of(Kept::sure(self.state().kept.after_power_cut(fate, seed)))
    }

    /// Everything below `path`, by its path.
    pub fn list(&self, path: &Path) -> BTreeMap<PathBuf, Found> {
        let state = self.state();
        let mut found = BTreeMap::new();
        let mut waiting = vec![(path.to_owned(), state.find(path))];
        while let Some((path, node)) = waiting.pop() {
            let Some((id, node)) = node.and_then(|id| Some((id, state.kept.live.node(id)?))) else {
                continue;
            };
            let what = match &node.kind {
                Kind::File(bytes) => Found::File(Arc::clone(bytes)),
                Kind::Folder(_) => Found::Folder,
                Kind::Link(target) => Found::Link(target.clone()),
            };
            for (name, id) in state.kept.live.entries(id).into_iter().flatten() {
                waiting.push((path.join(name), Some(*id)));
            }
            found.insert(path, what);
        }
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Does an operation and notes it.
    fn act(&mut self, op: Op) {
        self.kept.step(&op);
        self.ops.push(op);
    }

    fn new_id(&mut self) -> NodeId {
        self.next += 1;
        self.next - 1
    }

    /// Now, by the clock of the file system, in nanoseconds since 1970.
    fn now_ns(&self) -> i64 {
        let ticks =
            i64::try_from(self.ops.len() / self.ops_per_tick).expect("operations are counted in memory");
        let newest = i64::try_from(self.next).expect("files are counted in memory");
        // a disk made of another one goes on after it
        (1_000_000 + newest * 1000 + ticks) * TICK_NS
    }

    fn find(&self, path: &Path) -> Option<NodeId> {
        calls::components(path)
            .iter()
            .try_fold(TOP, |folder, name| self.kept.live.entries(folder)?.get(name).copied())
    }
}
