//! A storage that fails as told: for tests of whatever stands on a [`Storage`].
//!
//! [`FaultyStorage`] wraps another storage and follows a [`FaultPlan`], which tests hold too and may change in mid-run.
//! A plan knows operations by their kind and number, pieces that cannot be read, and a seed for faults by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use unchoke_wire::{BlockRef, FileIndex, PieceIndex};

use crate::error::StorageError;
use crate::spec::StorageSpec;
use crate::storage::{FileFact, PieceRead, PieceReader, Storage};

/// What a disk says when it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// EIO: the medium, or the way to it.
    Io,
    /// EINTR: a signal came; tried again, it works.
    Interrupted,
    /// ENOSPC.
    NoSpace,
    /// EDQUOT.
    Quota,
    /// EROFS.
    ReadOnly,
    /// EACCES.
    Denied,
    /// ENAMETOOLONG.
    NameTooLong,
    /// EFBIG.
    TooLarge,
    /// ENOTDIR.
    NotADirectory,
    /// EMFILE: the process has no descriptor left.
    ProcessFiles,
    /// ENFILE: the system has none left.
    SystemFiles,
    /// ENOENT, as when a file was deleted.
    NotFound,
    /// The file ends before the bytes asked for.
    Truncated,
}

/// What happens to an operation.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It fails, and nothing is done.
    Fail(Failure),
    /// It does so many of the bytes from the front, then fails. As [`Fault::Fail`] for what has no bytes.
    Partial(usize, Failure),
    /// It fails, and what was written since the last sync is gone. As [`Fault::Fail`] for anything but a sync.
    LoseUnsynced(Failure),
    /// It waits until the gate is open, then it is done.
    Stall(Gate),
}

/// Operations that are counted, each kind on its own from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Op {
    /// [`Storage::prepare`].
    Prepare,
    /// [`Storage::write`].
    Write,
    /// [`Storage::read`]. While a fault of reads is planned, [`Storage::read_now`] reads nothing.
    Read,
    /// [`PieceReader::read`], which checks use.
    Check,
    /// [`Storage::sync`].
    Sync,
    /// [`Storage::set_selection`].
    Select,
    /// [`Storage::finish`].
    Finish,
    /// [`Storage::delete`].
    Delete,
    /// [`Storage::probe`].
    Probe,
}

/// A gate at which operations wait. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    is_open: bool,
    waiting: usize,
}

impl Gate {
    /// A gate that is shut.
    pub fn shut() -> Self {
        Gate::default()
    }

    /// Lets all through, from here on.
    pub fn open(&self) {
        self.state().is_open = true;
        self.0.1.notify_all();
    }

    /// Waits until `count` operations stand at the gate together; `false` when they do not in time.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> bool {
        let waited = self.0.1.wait_timeout_while(self.state(), timeout, |s| s.waiting < count);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits until it is open.
    pub fn pass(&self) {
        let mut state = self.state();
        state.waiting += 1;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |s| !s.is_open).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to go wrong. Clones are the same plan.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    /// Operations so far.
    counts: BTreeMap<Op, u64>,
    once: BTreeMap<(Op, u64), Fault>,
    always: BTreeMap<Op, Fault>,
    unreadable: BTreeSet<u32>,
    chance: Option<Chance>,
    /// Operations that failed.
    failed: u64,
}

/// Faults by chance.
#[derive(Debug)]
struct Chance {
    state: u64,
    per_mille: u32,
    failures: Vec<Failure>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn new() -> Self {
        FaultPlan::default()
    }

    /// Reads, writes and syncs fail by chance: `per_mille` of a thousand, each by one of `failures`. The same seed
    /// makes the same choices for the same operations.
    ///
    /// # Panics
    /// When `failures` is empty.
    pub fn seeded(seed: u64, per_mille: u32, failures: &[Failure]) -> Self {
        assert!(!failures.is_empty(), "a kind of failure to choose");
        let plan = FaultPlan::new();
        plan.plan().chance = Some(Chance { state: seed, per_mille, failures: failures.to_vec() });
        plan
    }

    /// The `n`th operation of a kind from the beginning goes wrong.
    pub fn at(&self, op: Op, n: u64, fault: Fault) {
        self.plan().once.insert((op, n), fault);
    }

    /// The next operation of a kind goes wrong.
    pub fn next(&self, op: Op, fault: Fault) {
        let mut plan = self.plan();
        let n = plan.counts.get(&op).copied().unwrap_or(0);
        plan.once.insert((op, n), fault);
    }

    /// Every operation of a kind goes wrong until [`FaultPlan::heal`].
    pub fn always(&self, op: Op, fault: Fault) {
        self.plan().always.insert(op, fault);
    }

    /// No read of this piece succeeds, whoever reads: a bad spot of the disk.
    pub fn unreadable(&self, piece: PieceIndex) {
        self.plan().unreadable.insert(piece.0);
    }

    /// Nothing goes wrong from here on.
    pub fn heal(&self) {
        let mut plan = self.plan();
        let Plan { counts, failed, .. } = std::mem::take(&mut *plan);
        *plan = Plan { counts, failed, ..Plan::default() };
    }

    /// Operations of a kind so far, those that failed included.
    pub fn count(&self, op: Op) -> u64 {
        self.plan().counts.get(&op).copied().unwrap_or(0)
    }

    /// Operations that failed so far.
    pub fn failed(&self) -> u64 {
        self.plan().failed
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, and says what happens to it.
    fn take(&self, op: Op) -> Option<Fault> {
        let mut plan = self.plan();
        let count = plan.counts.entry(op).or_default();
        let n = *count;
        *count += 1;
        let planned = plan.once.remove(&(op, n)).or_else(|| plan.always.get(&op).cloned());
        planned.or_else(|| {
            let chance = plan.chance.as_mut().filter(|_| matches!(op, Op::Read | Op::Write | Op::Sync))?;
            chance.draw().map(Fault::Fail)
        })
    }

    fn is_unreadable(&self, pieces: Range<u32>) -> bool {
        self.plan().unreadable.range(pieces).next().is_some()
    }

    fn may_read_now(&self) -> bool {
        let plan = self.plan();
        let is_of_reads = |op: &Op| *op == Op::Read;
        plan.chance.is_none()
            && plan.unreadable.is_empty()
            && !plan.always.keys().any(is_of_reads)
            && !plan.once.keys().any(|(op, _)| is_of_reads(op))
    }
}

impl Chance {
    fn draw(&mut self) -> Option<Failure> {
        let fails = self.next() % 1000 < u64::from(self.per_mille);
        let len = u64::try_from(self.failures.len()).expect("a few kinds");
        let which = usize::try_from(self.next() % len).expect("below the number of kinds");
        fails.then(|| self.failures[which])
    }

    /// The next number of SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Failure {
    fn error(self) -> io::Error {
        let errno = match self {
            Failure::Io => Errno::IO,
            Failure::Interrupted => Errno::INTR,
            Failure::NoSpace => Errno::NOSPC,
            Failure::Quota => Errno::DQUOT,
            Failure::ReadOnly => Errno::ROFS,
            Failure::Denied => Errno::ACCESS,
            Failure::NameTooLong => Errno::NAMETOOLONG,
            Failure::TooLarge => Errno::FBIG,
            Failure::NotADirectory => Errno::NOTDIR,
            Failure::ProcessFiles => Errno::MFILE,
            Failure::SystemFiles => Errno::NFILE,
            Failure::NotFound => Errno::NOENT,
            Failure::Truncated => return io::ErrorKind::UnexpectedEof.into(),
        };
        errno.into()
    }
}

/// A storage that fails as its plan says.
pub struct FaultyStorage {
    inner: Arc<dyn Storage>,
    plan: FaultPlan,
    disk: Option<u64>,
    /// Stretches written since the last sync, and whether a sync failed: then all fail.
    unsynced: Mutex<(Vec<BlockRef>, bool)>,
}

impl FaultyStorage {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Storage>, plan: FaultPlan) -> Self {
        FaultyStorage { inner, plan, disk: None, unsynced: Mutex::default() }
    }

    /// The same on another disk, by its number.
    #[must_use]
    pub fn on_disk(self, disk: u64) -> Self {
        FaultyStorage { disk: Some(disk), ..self }
    }

    /// The plan it follows.
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    fn unsynced(&self) -> MutexGuard<'_, (Vec<BlockRef>, bool)> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, action: &'static str, failure: Failure) -> StorageError {
        self.plan.plan().failed += 1;
        StorageError::new(action, self.inner.spec().name(), failure.error())
    }

    /// Counts an operation without bytes. The answer is how it fails, if it does.
    fn meets(&self, op: Op, action: &'static str) -> Result<(), StorageError> {
        match self.plan.take(op) {
            None => Ok(()),
            Some(Fault::Stall(gate)) => {
                gate.pass();
                Ok(())
            }
            Some(Fault::Fail(f) | Fault::Partial(_, f) | Fault::LoseUnsynced(f)) => {
                Err(self.failed(action, f))
            }
        }
    }

    fn keep(&self, piece: PieceIndex, begin: u32, data: &[u8]) -> Result<(), StorageError> {
        self.inner.write(piece, begin, data)?;
        let len = u32::try_from(data.len()).expect("a stretch of a piece");
        self.unsynced().0.push(BlockRef { piece, begin, len });
        Ok(())
    }

    /// Puts zeros in the place of all that was written since the last sync.
    fn lose_unsynced(&self) -> Result<(), StorageError> {
        let lost = std::mem::take(&mut self.unsynced().0);
        for BlockRef { piece, begin, len } in lost {
            let zeros = vec![0; usize::try_from(len).expect("a u32 fits the address space")];
            self.inner.write(piece, begin, &zeros)?;
        }
        Ok(())
    }

    fn is_bad(&self, block: BlockRef) -> bool {
        self.plan.is_unreadable(block.piece.0..block.piece.0 + 1)
    }
}

impl std::fmt::Debug for FaultyStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyStorage").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Storage for FaultyStorage {
    fn spec(&self) -> &StorageSpec {
        self.inner.spec()
    }

    fn prepare(&self) -> Result<(), StorageError> {
        self.meets(Op::Prepare, "prepare")?;
        self.inner.prepare()
    }

    fn write(&self, piece: PieceIndex, begin: u32, data: &[u8]) -> Result<(), StorageError> {
        match self.plan.take(Op::Write) {
            None => self.keep(piece, begin, data),
            // whoever writes goes on after it
            Some(Fault::Fail(Failure::Interrupted)) => self.keep(piece, begin, data),
            Some(Fault::Stall(gate)) => {
                gate.pass();
                self.keep(piece, begin, data)
            }
            Some(Fault::Partial(len, failure)) => {
                let len = len.min(data.len());
                if len > 0 {
                    self.keep(piece, begin, &data[..len])?;
                }
                Err(self.failed("write", failure))
            }
            Some(Fault::Fail(failure) | Fault::LoseUnsynced(failure)) => Err(self.failed("write", failure)),
        }
    }

    fn read(&self, block: BlockRef, buf: &mut [u8]) -> Result<(), StorageError> {
        match self.plan.take(Op::Read) {
            None | Some(Fault::Fail(Failure::Interrupted)) => {}
            Some(Fault::Stall(gate)) => gate.pass(),
            Some(Fault::Fail(f) | Fault::Partial(_, f) | Fault::LoseUnsynced(f)) => {
                return Err(self.failed("read", f));
            }
        }
        if self.is_bad(block) {
            return Err(self.failed("read", Failure::Io));
        }
        self.inner.read(block, buf)
    }

    fn piece_reader(&self) -> Box<dyn PieceReader + '_> {
        Box::new(FaultyReader { storage: self, inner: self.inner.piece_reader() })
    }

    fn is_rotational(&self) -> bool {
        self.inner.is_rotational()
    }

    fn read_now(&self, blocks: &[BlockRef], buf: &mut [u8]) -> usize {
        if self.plan.may_read_now() { self.inner.read_now(blocks, buf) } else { 0 }
    }

    fn read_ahead(&self, stretch: BlockRef) {
        self.inner.read_ahead(stretch);
    }

    fn sync(&self) -> Result<(), StorageError> {
        let fault = self.plan.take(Op::Sync);
        if self.unsynced().1 {
            return Err(self.failed("sync", Failure::Io));
        }
        match fault {
            None | Some(Fault::Fail(Failure::Interrupted)) => {}
            Some(Fault::Stall(gate)) => gate.pass(),
            Some(Fault::Fail(f) | Fault::Partial(_, f)) => {
                self.unsynced().1 = true;
                return Err(self.failed("sync", f));
            }
            Some(Fault::LoseUnsynced(f)) => {
                self.lose_unsynced()?;
                self.unsynced().1 = true;
                return Err(self.failed("sync", f));
            }
        }
        let before = self.unsynced().0.len();
        self.inner.sync()?;
        self.unsynced().0.drain(..before);
        Ok(())
    }

    fn facts(&self) -> Vec<FileFact> {
        match self.unsynced().1 {
            true => vec![FileFact::Doubtful; self.spec().files.len()],
            false => self.inner.facts(),
        }
    }

    fn changed(&self) -> Vec<FileIndex> {
        self.inner.changed()
    }

    fn renew(&self, files: &[FileIndex]) {
        self.unsynced().1 = false;
        self.inner.renew(files);
    }

    fn probe(&self, bytes: u64) -> Result<(), StorageError> {
        self.meets(Op::Probe, "use")?;
        self.inner.probe(bytes)
    }

    fn is_there(&self) -> Result<(), StorageError> {
        self.inner.is_there()
    }

    fn disk(&self) -> u64 {
        self.disk.unwrap_or_else(|| self.inner.disk())
    }

    fn set_selection(&self, selected: &[bool]) -> Result<(), StorageError> {
        self.meets(Op::Select, "select files of")?;
        self.inner.set_selection(selected)
    }

    fn finish(&self) -> Result<(), StorageError> {
        self.meets(Op::Finish, "finish")?;
        self.inner.finish()
    }

    fn delete(&self) -> Result<(), StorageError> {
        self.meets(Op::Delete, "delete")?;
        self.inner.delete()
    }

    fn close_files(&self) {
        self.inner.close_files();
    }
}

struct FaultyReader<'a> {
    storage: &'a FaultyStorage,
    inner: Box<dyn PieceReader + 'a>,
}

impl PieceReader for FaultyReader<'_> {
    fn survey(&mut self, pieces: Range<u32>, found: &mut Vec<PieceRead>) -> Result<(), StorageError> {
        self.inner.survey(pieces, found)
    }

    fn read(&mut self, piece: PieceIndex, begin: u32, buf: &mut [u8]) -> Result<bool, StorageError> {
        self.storage.meets(Op::Check, "read")?;
        let layout = &self.storage.spec().layout;
        let len = u64::try_from(buf.len()).expect("a length fits");
        let end = layout.start_of(piece) + u64::from(begin) + len;
        let last = end.saturating_sub(1) / u64::from(layout.piece_len());
        let last = u32::try_from(last).expect("a piece of the torrent");
        if self.storage.plan.is_unreadable(piece.0..last + 1) {
            return Err(self.storage.failed("read", Failure::Io));
        }
        self.inner.read(piece, begin, buf)
    }

    fn read_ahead(&mut self, piece: PieceIndex, begin: u32, len: u64) -> Result<(), StorageError> {
        self.inner.read_ahead(piece, begin, len)
    }
}
