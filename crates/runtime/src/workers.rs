//! Threads that hash and use the disk, so that shards never wait for either.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use unchoke_engine::ConnId;
use unchoke_engine::input::Verified;
use unchoke_storage::{ErrorKind, Storage, StorageError};
use unchoke_wire::BlockRef;

use crate::error::SessionError;
use crate::mailbox::Mailbox;
use crate::shard::ShardMessage;
use crate::upload::ColdBlocks;
use crate::verify::{PieceJob, verify_batch};

/// How long a piece that is written may wait for others of its batch before its shard is told: on a disk that keeps
/// up one message tells of many.
const REPLY_WAIT: Duration = Duration::from_millis(1);

/// Disks with threads of their own; what is on more of them shares those of the first.
const DISKS_MAX: usize = 16;

/// The way to the workers: some threads for each disk, so that one that hangs keeps nobody waiting but its own. They end
/// when the last one is dropped. What waits is bounded by its sources: pieces by the engines' buffer budget, reads by one
/// plan a connection, other work by one a torrent.
#[derive(Clone, Debug)]
pub(crate) struct Workers(Arc<Owner>);

/// The same for who must not keep the workers from ending.
#[derive(Clone, Debug)]
pub(crate) struct WeakWorkers(Weak<Owner>);

/// Threads that were started, to be waited for.
pub(crate) type WorkerThreads = Arc<Mutex<Vec<JoinHandle<()>>>>;

/// The storage of a torrent as it is shared among threads.
#[derive(Clone)]
pub(crate) struct Placed {
    pub(crate) storage: Arc<dyn Storage>,
    /// The disk it is on.
    pub(crate) disk: u64,
    /// What went wrong last, for who has to do something about it.
    failure: Arc<Mutex<Option<ErrorKind>>>,
}

/// Pieces to hash and write, together.
pub(crate) struct VerifyBatch {
    pub(crate) jobs: Vec<PieceJob>,
    pub(crate) reply: Mailbox<ShardMessage>,
}

/// Blocks of a plan that were not in memory.
pub(crate) struct ReadTask {
    pub(crate) conn: ConnId,
    pub(crate) cold: ColdBlocks,
    pub(crate) place: Placed,
    pub(crate) reply: Mailbox<ShardMessage>,
}

/// The buffer of a [`ReadTask`] with its blocks, or the first that could not be read and why.
pub(crate) type ReadResult = Result<Vec<u8>, (BlockRef, String)>;

/// What the holders of [`Workers`] share: its end is the end of the workers.
#[derive(Debug)]
struct Owner {
    /// Threads of each disk.
    count: usize,
    disks: Mutex<BTreeMap<u64, Arc<Queue>>>,
    threads: WorkerThreads,
}

/// What waits for the workers of a disk.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    reads: VecDeque<ReadTask>,
    verifies: VecDeque<VerifyBatch>,
    others: VecDeque<Work>,
    is_over: bool,
}

/// Other work that may wait for the disk.
type Work = Box<dyn FnOnce() + Send>;

/// What a worker does next.
enum Task {
    Other(Work),
    Read(ReadTask),
    /// A few batches that fill the lanes together, or one.
    Verify(Vec<VerifyBatch>),
}

impl Workers {
    /// Some threads for each disk, `count` of them, started when the disk is first used; none at all for 0.
    ///
    /// # Errors
    /// [`SessionError::System`] when the system gives no threads.
    pub(crate) fn start(count: usize) -> Result<(Option<Self>, WorkerThreads), SessionError> {
        let threads = WorkerThreads::default();
        if count == 0 {
            return Ok((None, threads));
        }
        let owner = Owner { count, disks: Mutex::default(), threads: Arc::clone(&threads) };
        owner.add(0).map_err(|source| SessionError::System { action: "start a worker", source })?;
        Ok((Some(Workers(Arc::new(owner))), threads))
    }

    /// The same without keeping them alive.
    pub(crate) fn downgrade(&self) -> WeakWorkers {
        WeakWorkers(Arc::downgrade(&self.0))
    }

    pub(crate) fn verify(&self, disk: u64, batch: VerifyBatch) {
        self.0.put(disk, |waiting| waiting.verifies.push_back(batch));
    }

    pub(crate) fn read(&self, task: ReadTask) {
        self.0.put(task.place.disk, |waiting| waiting.reads.push_back(task));
    }
}

impl WeakWorkers {
    /// Has something done by the workers of a disk. When they have ended nobody does it.
    pub(crate) fn run(&self, disk: u64, work: Work) {
        if let Some(owner) = self.0.upgrade() {
            owner.put(disk, |waiting| waiting.others.push_back(work));
        }
    }
}

impl Owner {
    fn disks(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Queue>>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the threads of a disk.
    fn add(&self, disk: u64) -> std::io::Result<Arc<Queue>> {
        let queue: Arc<Queue> = Arc::default();
        for n in 0..self.count {
            let mine = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name(format!("worker-{n}")).spawn(move || mine.run());
            let thread = thread.inspect_err(|_| queue.end())?;
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        self.disks().insert(disk, Arc::clone(&queue));
        Ok(queue)
    }

    /// The queue of a disk. Those of disks that cannot have their own is that of the first.
    fn queue(&self, disk: u64) -> Arc<Queue> {
        let (found, first, count) = {
            let disks = self.disks();
            let first = disks.values().next().cloned();
            (disks.get(&disk).cloned(), first, disks.len())
        };
        let first = first.expect("the first was started with the session");
        match found {
            Some(queue) => queue,
            None if count < DISKS_MAX => self.add(disk).unwrap_or(first),
            None => first,
        }
    }

    fn put(&self, disk: u64, put: impl FnOnce(&mut Waiting)) {
        let queue = self.queue(disk);
        put(&mut queue.waiting());
        queue.changed.notify_one();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.disks().values().for_each(|queue| queue.end());
    }
}

impl Placed {
    /// Asks the storage what disk it is on, which may wait for it.
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        let disk = storage.disk();
        Placed { storage, disk, failure: Arc::default() }
    }

    /// Calls the storage. What goes wrong is told in one line, and its kind is kept.
    pub(crate) fn call<T>(
        &self,
        f: impl FnOnce(&dyn Storage) -> Result<T, StorageError>,
    ) -> Result<T, String> {
        guarded(|| f(&*self.storage).inspect_err(|e| *self.failure() = Some(e.kind)))
    }

    /// What went wrong last, once.
    pub(crate) fn take_failure(&self) -> Option<ErrorKind> {
        self.failure().take()
    }

    fn failure(&self) -> MutexGuard<'_, Option<ErrorKind>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Placed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Placed(disk {})", self.disk)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let waiting = self.changed.wait_while(self.waiting(), |w| !w.is_over && w.is_empty());
            let task = waiting.unwrap_or_else(PoisonError::into_inner).take();
            match task {
                Some(Task::Read(task)) => task.run(),
                Some(Task::Verify(batches)) => run_verifies(batches),
                Some(Task::Other(work)) => work(),
                None => return,
            }
        }
    }

    fn end(&self) {
        self.waiting().is_over = true;
        self.changed.notify_all();
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.verifies.is_empty() && self.others.is_empty()
    }

    /// The next thing to do: a peer waits for each read.
    fn take(&mut self) -> Option<Task> {
        if let Some(read) = self.reads.pop_front() {
            return Some(Task::Read(read));
        }
        if let Some(work) = self.others.pop_front() {
            return Some(Task::Other(work));
        }
        let mut batches: Vec<VerifyBatch> = self.verifies.pop_front().into_iter().collect();
        let mut jobs: usize = batches.iter().map(|b| b.jobs.len()).sum();
        while jobs < unchoke_hash::lanes()
            && let Some(more) = self.verifies.pop_front()
        {
            jobs += more.jobs.len();
            batches.push(more);
        }
        (!batches.is_empty()).then_some(Task::Verify(batches))
    }
}

/// Verifies batches together and tells each shard.
pub(crate) fn run_verifies(batches: Vec<VerifyBatch>) {
    let mut replies = Vec::with_capacity(batches.len());
    let mut jobs = Vec::with_capacity(batches.iter().map(|b| b.jobs.len()).sum());
    for batch in batches {
        replies.push((batch.reply, batch.jobs.len()));
        jobs.extend(batch.jobs);
    }
    let mut done = verify_batch(jobs);
    for (reply, count) in replies {
        let (mut told, mut untold) = (Instant::now(), Vec::with_capacity(count));
        for verified in done.by_ref().take(count) {
            untold.push(verified);
            if told.elapsed() >= REPLY_WAIT {
                tell(&reply, &mut untold);
                told = Instant::now();
            }
        }
        tell(&reply, &mut untold);
    }
}

fn tell(reply: &Mailbox<ShardMessage>, untold: &mut Vec<Verified>) {
    if !untold.is_empty() {
        reply.send(ShardMessage::Verified(std::mem::take(untold)));
    }
}

impl std::fmt::Debug for VerifyBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyBatch({} pieces)", self.jobs.len())
    }
}

impl std::fmt::Debug for ReadTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReadTask({:?}, {} blocks)", self.conn, self.cold.blocks.len())
    }
}

impl ReadTask {
    /// Reads and tells the shard.
    pub(crate) fn run(self) {
        let ReadTask { conn, mut cold, place, reply } = self;
        let result = read_blocks(&place, &cold.blocks, &mut cold.body[cold.from..]);
        reply.send(ShardMessage::BlocksRead { conn, result: result.map(|()| cold.body) });
    }
}

/// Reads blocks end to end, those that follow one another in a piece together. Whoever asks for the blocks of a piece
/// in order goes on to its end, so the disk is asked for the rest as well.
fn read_blocks(place: &Placed, blocks: &[BlockRef], mut buf: &mut [u8]) -> Result<(), (BlockRef, String)> {
    let follows = |a: &BlockRef, b: &BlockRef| a.piece == b.piece && a.begin + a.len == b.begin;
    for run in blocks.chunk_by(follows) {
        let (first, len) = (run[0], run.iter().map(|b| b.len).sum());
        let (now, later) = buf.split_at_mut(usize::try_from(len).expect("a u32 fits the address space"));
        buf = later;
        let result = place.call(|storage| {
            let to_end = storage.spec().layout.len_of(first.piece) - first.begin;
            storage.read_ahead(BlockRef { len: to_end, ..first });
            storage.read(BlockRef { len, ..first }, now)
        });
        result.map_err(|error| (first, error))?;
    }
    Ok(())
}

/// Calls a storage, which may be the owner's own. What goes wrong is told in one line, a panic too: whoever waits for
/// the outcome would wait for ever.
pub(crate) fn guarded<T>(f: impl FnOnce() -> Result<T, StorageError>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("the storage panicked; this is a bug".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= H3e-5
    #[test]
    fn a_disk_that_hangs_keeps_its_own_work_waiting_and_no_other() {
        let (workers, threads) = Workers::start(1).unwrap();
        let workers = workers.unwrap();
        let weak = workers.downgrade();
        let gate = unchoke_storage::Gate::shut();
        let (say, said) = crossbeam_channel::unbounded();
        let task = |disk: u64, waits: bool| {
            let (gate, say) = (gate.clone(), say.clone());
            weak.run(
                disk,
                Box::new(move || {
                    if waits {
                        gate.pass();
                    }
                    say.send(disk).unwrap();
                }),
            );
        };
        task(1, true);
        assert!(gate.wait_for(1, std::time::Duration::from_secs(60)));
        // one thread a disk: all but the first are free, and those beyond the last with threads of its own share
        (2..40).for_each(|disk| task(disk, false));
        let others: Vec<u64> = (2..40).map(|_| said.recv().unwrap()).collect();
        assert!(others.iter().all(|disk| *disk != 1));
        gate.open();
        assert_eq!(said.recv(), Ok(1));
        drop(workers);
        let threads = std::mem::take(&mut *threads.lock().unwrap());
        assert_eq!(threads.len(), DISKS_MAX);
        threads.into_iter().for_each(|t| t.join().unwrap());
    }

    #[test]
    fn a_panic_of_a_storage_is_an_outcome() {
        assert_eq!(guarded(|| Ok(1)), Ok(1));
        let error = guarded::<()>(|| panic!("of the owner's storage")).unwrap_err();
        assert!(error.contains("panicked") && !error.contains('\n'), "{error}");
    }
}
