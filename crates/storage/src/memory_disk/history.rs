//! What a disk in memory did, played back operation by operation, and what a crash after any of them leaves.
//!
//! Only what was synced is sure to be kept: bytes, length, time and mode of a file by a sync of the file, names by a sync
//! of their folder. Of the rest a power cut keeps whatever it likes, in any order, sector by sector.

use super::MemoryDisk;
use super::tree::{Op, Tree};

/// What a power cut does with the operations that no sync has made sure of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// None of them was done.
    Nothing,
    /// All of them were done.
    Everything,
    /// Names were kept, and bytes were lost: a new file is empty.
    NamesOnly,
    /// Bytes were kept, and names were lost: a new file is out of reach.
    BytesOnly,
    /// Names, lengths and times were kept, and in place of the bytes are zeros.
    LengthsOnly,
    /// They were done up to some point.
    Earlier,
    /// Some of them were done, in no order, and of each write some of the sectors of so many bytes.
    Torn {
        /// Bytes that are written at once.
        sector: usize,
    },
}

impl Fate {
    /// Every kind of fate.
    pub const ALL: [Fate; 8] = [
        Fate::Nothing,
        Fate::Everything,
        Fate::NamesOnly,
        Fate::BytesOnly,
        Fate::LengthsOnly,
        Fate::Earlier,
        Fate::Torn { sector: 512 },
        Fate::Torn { sector: 4096 },
    ];
}

/// What the system has, what of it is sure, and what lies between.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) live: Tree,
    durable: Tree,
    /// Done since the last sync of what they change, in order.
    pending: Vec<Op>,
    /// Operations in all, those before crashes included.
    pub(super) count: usize,
}

/// The operations of a disk, played back one after another.
#[derive(Clone, Debug)]
pub struct History {
    kept: Kept,
    ops: Vec<Op>,
    at: usize,
}

impl Kept {
    /// A disk of which everything is sure.
    pub(super) fn sure(tree: Tree, count: usize) -> Self {
        Kept { live: tree.clone(), durable: tree, pending: Vec::new(), count }
    }

    /// Does an operation.
    pub(super) fn step(&mut self, op: &Op) {
        self.live.apply(op);
        self.count += 1;
        match op {
            Op::SyncFile(node) => {
                self.durable.copy_node(*node, &self.live);
                self.pending.retain(|op| op.changed_file() != Some(*node));
            }
            Op::SyncFolder(folder) => {
                self.keep_moves(*folder);
                self.durable.copy_node(*folder, &self.live);
                self.pending.retain(|op| op.places().all(|(f, _)| f != folder));
            }
            Op::Create { node, new, .. } => {
                // the node is there, empty, should its name be kept; without its name nobody finds it
                self.durable.add(*node, new.clone());
                self.pending.push(op.clone());
            }
            _ => self.pending.push(op.clone()),
        }
    }

    /// A name that moved to or from a folder that is synced moved as a whole.
    fn keep_moves(&mut self, folder: u64) {
        let is_move = |op: &Op| matches!(op, Op::Rename { from, to, .. } if from.0 != to.0 && (from.0 == folder || to.0 == folder));
        while let Some(last) = self.pending.iter().rposition(is_move) {
            let op = self.pending.remove(last);
            let places: Vec<_> = op.places().cloned().collect();
            let mut at = 0;
            self.pending.retain(|earlier| {
                at += 1;
                at > last || !earlier.places().any(|p| places.contains(p))
            });
            self.durable.apply(&op);
        }
    }

    /// What the disk holds after a power cut. The same `seed`, the same outcome.
    pub(super) fn after_power_cut(&self, fate: Fate, seed: u64) -> Kept {
        let mut tree = self.durable.clone();
        let mut chance = Chance(seed | 1);
        let until = match fate {
            Fate::Earlier => chance.below(self.pending.len() + 1),
            _ => self.pending.len(),
        };
        for op in &self.pending[..until] {
            let is_name = op.changed_file().is_none();
            match fate {
                Fate::Nothing => {}
                Fate::Everything | Fate::Earlier => tree.apply(op),
                Fate::NamesOnly if is_name => tree.apply(op),
                Fate::BytesOnly if !is_name => tree.apply(op),
                Fate::NamesOnly | Fate::BytesOnly => {}
                Fate::LengthsOnly => match op {
                    Op::Write { node, offset, bytes, mtime_ns } => {
                        tree.lengthen(*node, offset + bytes.len());
                        tree.touch(*node, *mtime_ns);
                    }
                    _ => tree.apply(op),
                },
                Fate::Torn { sector } => tear(&mut tree, op, sector, &mut chance),
            }
        }
        // the machine takes its time to start
        Kept::sure(tree, self.count + 1000)
    }
}

/// Does an operation, none of it, or some of its sectors.
fn tear(tree: &mut Tree, op: &Op, sector: usize, chance: &mut Chance) {
    match (chance.below(4), op) {
        (0, _) => {}
        (1, _) => tree.apply(op),
        (_, Op::Write { node, offset, bytes, mtime_ns }) => {
            let mut at = 0;
            while at < bytes.len() {
                let end = (at + sector - (offset + at) % sector).min(bytes.len());
                if chance.below(2) == 0 {
                    tree.write(*node, offset + at, &bytes[at..end]);
                }
                at = end;
            }
            // the time is kept elsewhere than the bytes
            if chance.below(2) == 0 {
                tree.touch(*node, *mtime_ns);
            }
        }
        (choice, _) => {
            if choice == 2 {
                tree.apply(op);
            }
        }
    }
}

impl History {
    pub(super) fn new(begin: Kept, ops: Vec<Op>) -> Self {
        History { kept: begin, ops, at: 0 }
    }

    /// Operations done so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Does the next operation; `false` when there is none.
    pub fn step(&mut self) -> bool {
        let Some(op) = self.ops.get(self.at) else { return false };
        self.kept.step(op);
        self.at += 1;
        true
    }

    /// The disk when the process dies now: all it did is there, and still not sure to stay.
    pub fn after_kill(&self) -> MemoryDisk {
        MemoryDisk::of(self.kept.clone())
    }

    /// The disk when power fails now. The same `seed`, the same outcome.
    pub fn after_power_cut(&self, fate: Fate, seed: u64) -> MemoryDisk {
        MemoryDisk::of(self.kept.after_power_cut(fate, seed))
    }
}

/// Numbers that look like chance, the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        for _ in 0..2 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
        }
        let end = u64::try_from(end).expect("a count fits 64 bits");
        usize::try_from((self.0 >> 16) % end).expect("below a count of things in memory")
    }
}
