//! Threads that hash and use the disk, so that shards never wait for either.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use unchoke_engine::ConnId;
use unchoke_engine::input::Verified;
use unchoke_storage::{Storage, StorageError};
use unchoke_wire::BlockRef;

use crate::error::SessionError;
use crate::mailbox::Mailbox;
use crate::shard::ShardMessage;
use crate::upload::ColdBlocks;
use crate::verify::{PieceJob, verify_batch};

/// How long a piece that is written may wait for others of its batch before its shard is told: on a disk that keeps
/// up one message tells of many.
const REPLY_WAIT: Duration = Duration::from_millis(1);

/// The way to the workers. They end when the last one is dropped. What waits is bounded by its sources: pieces by the
/// engines' buffer budget, reads by one plan a connection.
#[derive(Clone, Debug)]
pub(crate) struct Workers(Arc<Owner>);

/// Pieces to hash and write, together.
pub(crate) struct VerifyBatch {
    pub(crate) jobs: Vec<PieceJob>,
    pub(crate) reply: Mailbox<ShardMessage>,
}

/// Blocks of a plan that were not in memory.
pub(crate) struct ReadTask {
    pub(crate) conn: ConnId,
    pub(crate) cold: ColdBlocks,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) reply: Mailbox<ShardMessage>,
}

/// The buffer of a [`ReadTask`] with its blocks, or the first that could not be read and why.
pub(crate) type ReadResult = Result<Vec<u8>, (BlockRef, String)>;

/// What the holders of [`Workers`] share: its end is the end of the workers.
#[derive(Debug)]
struct Owner(Arc<Queue>);

/// What waits for a worker.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    reads: VecDeque<ReadTask>,
    verifies: VecDeque<VerifyBatch>,
    is_over: bool,
}

/// What a worker does next.
enum Task {
    Read(ReadTask),
    /// A few batches that fill the lanes together, or one.
    Verify(Vec<VerifyBatch>),
}

impl Workers {
    /// Starts `count` threads; none at all for 0.
    pub(crate) fn start(count: usize) -> Result<(Option<Self>, Vec<JoinHandle<()>>), SessionError> {
        if count == 0 {
            return Ok((None, Vec::new()));
        }
        let workers = Workers(Arc::new(Owner(Arc::default())));
        let mut threads = Vec::with_capacity(count);
        for n in 0..count {
            let queue = Arc::clone(&workers.0.0);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{n}"))
                .spawn(move || queue.run())
                .map_err(|source| SessionError::System { action: "start a worker", source })?;
            threads.push(thread);
        }
        Ok((Some(workers), threads))
    }

    pub(crate) fn verify(&self, batch: VerifyBatch) {
        self.0.0.waiting().verifies.push_back(batch);
        self.0.0.changed.notify_one();
    }

    pub(crate) fn read(&self, task: ReadTask) {
        self.0.0.waiting().reads.push_back(task);
        self.0.0.changed.notify_one();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.waiting().is_over = true;
        self.0.changed.notify_all();
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
                None => return,
            }
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.verifies.is_empty()
    }

    /// The next thing to do: a peer waits for each read.
    fn take(&mut self) -> Option<Task> {
        if let Some(read) = self.reads.pop_front() {
            return Some(Task::Read(read));
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
        let ReadTask { conn, mut cold, storage, reply } = self;
        let result = read_blocks(&*storage, &cold.blocks, &mut cold.body[cold.from..]);
        reply.send(ShardMessage::BlocksRead { conn, result: result.map(|()| cold.body) });
    }
}

/// Reads blocks end to end, those that follow one another in a piece together. Whoever asks for the blocks of a piece
/// in order goes on to its end, so the disk is asked for the rest as well.
fn read_blocks(
    storage: &dyn Storage,
    blocks: &[BlockRef],
    mut buf: &mut [u8],
) -> Result<(), (BlockRef, String)> {
    let follows = |a: &BlockRef, b: &BlockRef| a.piece == b.piece && a.begin + a.len == b.begin;
    for run in blocks.chunk_by(follows) {
        let (first, len) = (run[0], run.iter().map(|b| b.len).sum());
        let (now, later) = buf.split_at_mut(usize::try_from(len).expect("a u32 fits the address space"));
        buf = later;
        let result = guarded(|| {
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

    #[test]
    fn a_panic_of_a_storage_is_an_outcome() {
        assert_eq!(guarded(|| Ok(1)), Ok(1));
        let error = guarded::<()>(|| panic!("of the owner's storage")).unwrap_err();
        assert!(error.contains("panicked") && !error.contains('\n'), "{error}");
    }
}
