//! Hashes pieces as they are on the disk, on all cores: what making a torrent, checking one and starting one have in
//! common.
//!
//! Pieces are taken in groups in the order of the disk. A thread reads a stretch of each piece of its group into a buffer
//! that stays in its cache, and hashes these side by side; the next group is fetched from the disk meanwhile. So memory
//! depends on the number of threads alone, not on the length of pieces. On a disk that turns, one thread reads at a time,
//! whole pieces in order, while the others hash.

mod plan;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use unchoke_hash::{Sha1Digest, Sha1Stream};
use unchoke_storage::{ErrorKind, Storage, StorageError};
use unchoke_wire::PieceIndex;

use plan::Plan;
use worker::Worker;

/// The SHA-1 of each of `pieces` as it is on the disk, in their order; `None` where a file is missing or too short, and
/// for what `cancel` left undone. Pieces should be ascending.
///
/// `progress` hears of bytes as they are done with, from any thread. Holes count, though they are not read.
///
/// # Errors
/// The first failure to read what is there.
///
/// # Panics
/// When a piece is not of the torrent.
pub fn hash_pieces(
    storage: &dyn Storage,
    pieces: &[PieceIndex],
    progress: &(dyn Fn(u64) + Sync),
    cancel: &AtomicBool,
) -> Result<Vec<Option<Sha1Digest>>, StorageError> {
    hash_all(storage, pieces, progress, cancel, None)
}

/// As [`hash_pieces`], but that pieces which the disk does not give back are no failure: they have no digest, and are
/// named, ascending.
///
/// # Errors
/// The first failure of another kind.
///
/// # Panics
/// When a piece is not of the torrent.
pub(crate) fn hash_readable_pieces(
    storage: &dyn Storage,
    pieces: &[PieceIndex],
    progress: &(dyn Fn(u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(Vec<Option<Sha1Digest>>, Vec<PieceIndex>), StorageError> {
    let unreadable = Mutex::default();
    let digests = hash_all(storage, pieces, progress, cancel, Some(&unreadable))?;
    let mut unreadable = unreadable.into_inner().unwrap_or_else(PoisonError::into_inner);
    unreadable.sort_unstable();
    Ok((digests, unreadable))
}

fn hash_all(
    storage: &dyn Storage,
    pieces: &[PieceIndex],
    progress: &(dyn Fn(u64) + Sync),
    cancel: &AtomicBool,
    unreadable: Option<&Mutex<Vec<PieceIndex>>>,
) -> Result<Vec<Option<Sha1Digest>>, StorageError> {
    let layout = &storage.spec().layout;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan::new(layout.piece_len(), pieces.len(), storage.is_rotational(), cores);
    let job = Job {
        storage,
        pieces,
        progress,
        cancel,
        unreadable,
        turn: plan.is_by_turns.then(Mutex::default),
        plan,
        taken: AtomicUsize::new(0),
        has_failed: AtomicBool::new(false),
        zeros: OnceLock::new(),
    };
    let mut digests = vec![None; pieces.len()];
    for part in job.run() {
        for (at, part) in part? {
            digests[at..at + part.len()].copy_from_slice(&part);
        }
    }
    Ok(digests)
}

/// What one thread found: where its groups begin, and their digests.
type Part = Result<Vec<(usize, Vec<Option<Sha1Digest>>)>, StorageError>;

/// What the threads share.
struct Job<'a> {
    storage: &'a dyn Storage,
    pieces: &'a [PieceIndex],
    progress: &'a (dyn Fn(u64) + Sync),
    cancel: &'a AtomicBool,
    /// Where pieces are named that cannot be read; `None` when one of them is the end.
    unreadable: Option<&'a Mutex<Vec<PieceIndex>>>,
    plan: Plan,
    /// Held by the thread that reads, when only one may.
    turn: Option<Mutex<()>>,
    /// Pieces given to threads.
    taken: AtomicUsize,
    has_failed: AtomicBool,
    /// The digest of a whole piece of zeros.
    zeros: OnceLock<Sha1Digest>,
}

/// A group of pieces, and where it begins among all.
#[derive(Clone, Copy)]
struct Group<'a> {
    at: usize,
    pieces: &'a [PieceIndex],
}

impl<'a> Job<'a> {
    /// Runs the threads; with one, the caller's is it.
    fn run(&self) -> Vec<Part> {
        let work = || {
            let part = Worker::new(self).run();
            if part.is_err() {
                self.has_failed.store(true, Ordering::Relaxed);
            }
            part
        };
        if self.plan.threads == 1 {
            return vec![work()];
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.plan.threads).map(|_| scope.spawn(work)).collect();
            let join = |t: std::thread::ScopedJoinHandle<'_, Part>| {
                t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }

    /// The next group to hash.
    fn take(&self) -> Option<Group<'a>> {
        let at = self.taken.fetch_add(self.plan.group_len, Ordering::Relaxed);
        let rest = self.pieces.get(at..).filter(|rest| !rest.is_empty())?;
        Some(Group { at, pieces: &rest[..rest.len().min(self.plan.group_len)] })
    }

    /// A group to fetch while another is hashed, unless few are left: other threads need them.
    fn take_ahead(&self) -> Option<Group<'a>> {
        let left = self.pieces.len().saturating_sub(self.taken.load(Ordering::Relaxed));
        if left / self.plan.group_len > self.plan.threads { self.take() } else { None }
    }

    /// Takes in that a piece could not be read, unless that is the end of it all.
    fn note_unreadable(&self, piece: PieceIndex, error: StorageError) -> Result<(), StorageError> {
        let Some(unreadable) = self.unreadable.filter(|_| error.kind == ErrorKind::Io) else {
            return Err(error);
        };
        unreadable.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.cancel.load(Ordering::Relaxed) || self.has_failed.load(Ordering::Relaxed)
    }

    /// The digest of a piece of zeros.
    fn of_zeros(&self, len: u32) -> Sha1Digest {
        if len == self.storage.spec().layout.piece_len() {
            *self.zeros.get_or_init(|| sha1_of_zeros(len))
        } else {
            sha1_of_zeros(len)
        }
    }
}

fn sha1_of_zeros(len: u32) -> Sha1Digest {
    let zeros = [0; 16 << 10];
    let mut stream = Sha1Stream::new();
    let mut left = bytes(len);
    while left > 0 {
        let now = left.min(zeros.len());
        stream.update(&zeros[..now]);
        left -= now;
    }
    stream.finish()
}

/// A length in memory.
fn bytes(len: u32) -> usize {
    usize::try_from(len).expect("a u32 fits the address space")
}

#[cfg(test)]
mod tests;
