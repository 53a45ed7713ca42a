//! Threads that hash and use the disk, so that shards never wait for either.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use unchoke_engine::ConnId;
use unchoke_engine::output::VerifyJob;
use unchoke_storage::{Storage, StorageError};
use unchoke_wire::BlockRef;

use crate::error::SessionError;
use crate::mailbox::Mailbox;
use crate::shard::ShardMessage;
use crate::upload::ColdBlocks;
use crate::verify::verify_batch;

/// The way to the workers. They end when the last one is dropped. What waits is bounded by its sources: pieces by the
/// engines' buffer budget, reads by one plan a connection.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    verifies: Sender<VerifyTask>,
    reads: Sender<ReadTask>,
}

/// A piece to hash and write.
pub(crate) struct VerifyTask {
    pub(crate) job: VerifyJob,
    /// `None` when the torrent went away meanwhile.
    pub(crate) storage: Option<Arc<dyn Storage>>,
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

impl Workers {
    /// Starts `count` threads; none at all for 0.
    pub(crate) fn start(count: usize) -> Result<(Option<Self>, Vec<JoinHandle<()>>), SessionError> {
        if count == 0 {
            return Ok((None, Vec::new()));
        }
        let (verifies, waiting_verifies) = unbounded();
        let (reads, waiting_reads) = unbounded();
        let mut threads = Vec::with_capacity(count);
        for n in 0..count {
            let (verifies, reads) = (waiting_verifies.clone(), waiting_reads.clone());
            let thread = std::thread::Builder::new()
                .name(format!("worker-{n}"))
                .spawn(move || run(&verifies, &reads))
                .map_err(|source| SessionError::System { action: "start a worker", source })?;
            threads.push(thread);
        }
        Ok((Some(Workers { verifies, reads }), threads))
    }

    pub(crate) fn verify(&self, task: VerifyTask) {
        // workers outlive every sender, so this can fail only while the session falls apart
        let _ = self.verifies.send(task);
    }

    pub(crate) fn read(&self, task: ReadTask) {
        let _ = self.reads.send(task);
    }
}

fn run(verifies: &Receiver<VerifyTask>, reads: &Receiver<ReadTask>) {
    loop {
        select! {
            recv(reads) -> task => match task {
                Ok(task) => task.run(),
                Err(_) => return,
            },
            recv(verifies) -> task => match task {
                Ok(task) => {
                    // as many as fill the lanes, and no waiting for more
                    let more = verifies.try_iter().take(unchoke_hash::lanes().saturating_sub(1));
                    run_verifies(std::iter::once(task).chain(more).collect());
                }
                Err(_) => return,
            },
        }
    }
}

/// Verifies a batch and tells each shard.
pub(crate) fn run_verifies(tasks: Vec<VerifyTask>) {
    let mut replies = Vec::with_capacity(tasks.len());
    let mut jobs = Vec::with_capacity(tasks.len());
    for task in tasks {
        replies.push(task.reply);
        jobs.push((task.job, task.storage));
    }
    // each is told as soon as it is written: the next one's disk may be slow
    for ((reply, (job, _)), outcome) in replies.iter().zip(&jobs).zip(verify_batch(&jobs)) {
        reply.send(ShardMessage::Verified { torrent: job.torrent, piece: job.piece, outcome });
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
