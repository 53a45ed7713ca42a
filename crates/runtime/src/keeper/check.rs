//! The thread that checks files: one torrent after another, since two would only fight over the disk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use unchoke_hash::{lanes, sha1_batch};
use unchoke_storage::{PieceRead, Storage, check_batches};
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::{Bitfield, PieceIndex};

use super::KeeperMessage;
use crate::error::SessionError;
use crate::event::{EventSink, SessionEvent};
use crate::torrent::{Phase, Torrent};
use crate::workers::guarded;

/// Bytes read at once, unless one piece is larger: enough for the disk and the lanes, bounded in memory.
const BATCH_LEN: (u32, u32) = (4 << 20, 32 << 20);

/// Pieces to check.
pub(super) struct CheckJob {
    pub(super) entry: Arc<Torrent>,
    pub(super) metainfo: Arc<Metainfo>,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) pieces: Bitfield,
    pub(super) cancel: Arc<AtomicBool>,
}

/// Starts the thread. It ends when the sender is dropped.
pub(super) fn start(
    keeper: Sender<KeeperMessage>,
    sink: Arc<EventSink>,
) -> Result<(Sender<CheckJob>, JoinHandle<()>), SessionError> {
    let (jobs, waiting) = crossbeam_channel::unbounded();
    let thread = std::thread::Builder::new()
        .name("checker".to_owned())
        .spawn(move || run(&waiting, &keeper, &sink))
        .map_err(|source| SessionError::System { action: "start the checker", source })?;
    Ok((jobs, thread))
}

fn run(jobs: &Receiver<CheckJob>, keeper: &Sender<KeeperMessage>, sink: &EventSink) {
    let mut checker = Checker { buf: Vec::new(), found: Vec::new(), zeros: BTreeMap::new() };
    for job in jobs {
        if job.cancel.load(Ordering::Relaxed) {
            continue;
        }
        let result = checker.check(&job, sink);
        if !job.cancel.load(Ordering::Relaxed) {
            let _ = keeper.send(KeeperMessage::Checked { hash: job.entry.hash, result });
        }
        // a large piece is no reason to keep its memory
        checker.buf = Vec::new();
    }
}

struct Checker {
    buf: Vec<u8>,
    found: Vec<PieceRead>,
    /// SHA-1 of so many zeros.
    zeros: BTreeMap<usize, [u8; 20]>,
}

impl Checker {
    /// The pieces of the job that are good.
    fn check(&mut self, job: &CheckJob, sink: &EventSink) -> Result<Bitfield, String> {
        let layout = &job.metainfo.info.layout;
        let wide = u64::from(layout.piece_len()).saturating_mul(u64::try_from(lanes()).unwrap_or(1));
        let target = u32::try_from(wide).unwrap_or(u32::MAX).clamp(BATCH_LEN.0, BATCH_LEN.1);
        let mut good = Bitfield::none(layout.piece_count());
        let mut done = 0;
        let total = job.pieces.count();
        let mut told = None;
        for run in check_batches(layout, job.pieces.iter(), target) {
            if job.cancel.load(Ordering::Relaxed) {
                break;
            }
            let percent = u64::from(done) * 100 / u64::from(total.max(1));
            if told != Some(percent) {
                told = Some(percent);
                job.entry.change(|s| {
                    // it may have failed or gone since
                    if matches!(s.phase, Phase::Checking { .. }) {
                        s.phase = Phase::Checking { done, total };
                    }
                });
                sink.emit(SessionEvent::Checking { hash: job.entry.hash, done, total });
            }
            guarded(|| job.storage.read_pieces(run.clone(), &mut self.buf, &mut self.found))?;
            done += run.end - run.start;
            self.hash(job, run, &mut good);
        }
        sink.emit(SessionEvent::Checking { hash: job.entry.hash, done, total });
        Ok(good)
    }

    /// Hashes the pieces of a run that was read.
    fn hash(&mut self, job: &CheckJob, run: Range<u32>, good: &mut Bitfield) {
        let info = &job.metainfo.info;
        let mut rest = &self.buf[..];
        let mut inputs = Vec::with_capacity(self.found.len());
        let mut pieces = Vec::with_capacity(self.found.len());
        for (piece, found) in run.map(PieceIndex).zip(&self.found) {
            let len = usize::try_from(info.layout.len_of(piece)).expect("a u32 fits the address space");
            let (bytes, later) = rest.split_at(len);
            rest = later;
            match found {
                PieceRead::Missing => {}
                PieceRead::Hole => {
                    let digest = self.zeros.entry(len).or_insert_with(|| sha1(&vec![0; len]));
                    if info.pieces.get(piece) == Some(*digest) {
                        good.set(piece);
                    }
                }
                PieceRead::Data => {
                    inputs.push(bytes);
                    pieces.push(piece);
                }
            }
        }
        let mut digests = vec![[0; 20]; inputs.len()];
        sha1_batch(&inputs, &mut digests);
        for (piece, digest) in pieces.into_iter().zip(digests) {
            if info.pieces.get(piece) == Some(digest) {
                good.set(piece);
            }
        }
    }
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut digest = [[0; 20]];
    sha1_batch(&[bytes], &mut digest);
    digest[0]
}
