//! Checks of files: on each disk one torrent after another, since two would only fight over it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use unchoke_storage::Storage;
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::{Bitfield, FileIndex, PieceIndex};

use super::KeeperMessage;
use crate::event::{EventSink, SessionEvent};
use crate::hashing::hash_readable_pieces;
use crate::torrent::{Phase, Torrent};
use crate::workers::guarded;

/// Pieces to check.
pub(super) struct CheckJob {
    pub(super) entry: Arc<Torrent>,
    pub(super) metainfo: Arc<Metainfo>,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) pieces: Bitfield,
    /// Files to be taken for what they are now.
    pub(super) renew: Vec<FileIndex>,
    pub(super) cancel: Arc<AtomicBool>,
}

/// What a check found.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The pieces that were checked.
    pub(super) pieces: Bitfield,
    /// Those that are good.
    pub(super) good: Bitfield,
    /// Those that the disk does not give back.
    pub(super) unreadable: Vec<PieceIndex>,
}

impl CheckJob {
    /// Checks the pieces; nothing comes of it when it is not wanted any more.
    pub(super) fn run(self, sink: &EventSink) -> Option<KeeperMessage> {
        let is_wanted = || !self.cancel.load(Ordering::Relaxed);
        let result = is_wanted().then(|| check(&self, sink))?;
        is_wanted().then(|| KeeperMessage::Checked { hash: self.entry.hash, result })
    }
}

fn check(job: &CheckJob, sink: &EventSink) -> Result<Checked, String> {
    let info = &job.metainfo.info;
    let pieces: Vec<PieceIndex> = job.pieces.iter().collect();
    let progress =
        Progress { job, sink, total: job.pieces.count(), bytes: AtomicU64::new(0), told: Mutex::default() };
    progress.tell(0);
    let (digests, unreadable) = guarded(|| {
        job.storage.renew(&job.renew);
        hash_readable_pieces(&*job.storage, &pieces, &|n| progress.add(n), &job.cancel)
    })?;
    progress.tell(progress.total);
    let mut good = Bitfield::none(info.layout.piece_count());
    for (piece, digest) in pieces.into_iter().zip(digests) {
        if digest.is_some() && digest == info.pieces.get(piece) {
            good.set(piece);
        }
    }
    Ok(Checked { pieces: job.pieces.clone(), good, unreadable })
}

/// Tells of every percent once, whichever thread comes to it.
struct Progress<'a> {
    job: &'a CheckJob,
    sink: &'a EventSink,
    total: u32,
    bytes: AtomicU64,
    /// The pieces told of last.
    told: Mutex<u32>,
}

impl Progress<'_> {
    fn add(&self, len: u64) {
        let bytes = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
        let done = bytes / u64::from(self.job.metainfo.info.layout.piece_len());
        let done = u32::try_from(done).unwrap_or(u32::MAX).min(self.total);
        let percent = |pieces: u32| u64::from(pieces) * 100 / u64::from(self.total.max(1));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // the end is told when all is hashed
        if percent(done) > percent(*told) && done < self.total {
            *told = done;
            self.tell(done);
        }
    }

    fn tell(&self, done: u32) {
        let (entry, total) = (&self.job.entry, self.total);
        entry.change(|s| {
            // it may have failed or gone since
            if matches!(s.phase, Phase::Checking { .. }) {
                s.phase = Phase::Checking { done, total };
            }
        });
        self.sink.emit(SessionEvent::Checking { hash: entry.hash, done, total });
    }
}
