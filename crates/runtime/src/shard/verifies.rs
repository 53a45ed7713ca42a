//! Complete pieces on their way to the workers.
//!
//! Pieces are hashed side by side, and that pays only when there are as many as the machine has lanes: while more are
//! arriving they are held back for a moment, then handed over together, with one wake-up for all.

use std::time::Duration;

use unchoke_wire::time::Instant;

use crate::verify::PieceJob;

/// How long pieces wait for the next one.
const QUIET_MAX: Duration = Duration::from_millis(8);
/// How long a piece waits in all.
const HELD_MAX: Duration = Duration::from_millis(30);
/// Bytes held back at most: a part of what may be open at once.
const HELD_BYTES_MAX: usize = 8 << 20;

/// Pieces that wait to be handed over, and how many are out.
#[derive(Default)]
pub(super) struct Verifies {
    held: Vec<PieceJob>,
    bytes: usize,
    /// When the first and the last of them came.
    since: Option<(Instant, Instant)>,
    /// Pieces that were handed over and are not done.
    out: usize,
}

impl Verifies {
    /// Takes a piece that is complete at `now`.
    pub(super) fn push(&mut self, job: PieceJob, now: Instant) {
        self.bytes += job.0.data.len();
        self.since = Some((self.since.map_or(now, |(first, _)| first), now));
        self.held.push(job);
    }

    /// When those that wait are handed over, however few they are.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.since.map(|(first, last)| (last + QUIET_MAX).min(first + HELD_MAX))
    }

    /// What is to be handed over at `now`, if anything: enough to fill `lanes`, or all when they have waited enough.
    pub(super) fn take(&mut self, lanes: usize, now: Instant) -> Option<Vec<PieceJob>> {
        let is_enough = self.held.len() >= lanes || self.bytes >= HELD_BYTES_MAX;
        let is_due = self.next_timeout().is_some_and(|at| at <= now);
        if self.held.is_empty() || !(is_enough || is_due) {
            return None;
        }
        (self.bytes, self.since) = (0, None);
        self.out += self.held.len();
        Some(std::mem::take(&mut self.held))
    }

    /// Notes that so many of those handed over are done.
    pub(super) fn done(&mut self, count: usize) {
        self.out -= count;
    }

    /// Whether none waits and none is out.
    pub(super) fn is_idle(&self) -> bool {
        self.out == 0 && self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_engine::TorrentId;
    use unchoke_engine::output::VerifyJob;
    use unchoke_wire::PieceIndex;

    fn job(piece: u32, len: usize) -> PieceJob {
        let (torrent, data) = (TorrentId::default(), vec![0; len].into_boxed_slice());
        let piece = PieceIndex(piece);
        (VerifyJob { torrent, piece, data, expected: [0; 20], wants_block_hashes: false }, None)
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn pieces_wait_for_each_other_until_the_lanes_are_full_or_no_more_come() {
        let mut verifies = Verifies::default();
        assert_eq!((verifies.next_timeout(), verifies.take(4, at(0)).map(|j| j.len())), (None, None));
        (0..3).for_each(|n| verifies.push(job(n, 10), at(u64::from(n))));
        assert!(verifies.take(4, at(3)).is_none() && !verifies.is_idle());
        verifies.push(job(3, 10), at(4));
        assert_eq!(verifies.take(4, at(4)).map(|j| j.len()), Some(4));
        verifies.push(job(4, 10), at(10));
        assert_eq!(verifies.next_timeout(), Some(at(10) + QUIET_MAX));
        assert!(verifies.take(4, at(11)).is_none());
        assert_eq!(verifies.take(4, at(10) + QUIET_MAX).map(|j| j.len()), Some(1));
        verifies.done(5);
        assert!(verifies.is_idle() && verifies.next_timeout().is_none());
    }

    #[test]
    fn a_steady_trickle_and_large_pieces_are_not_held_for_long() {
        let mut verifies = Verifies::default();
        let gap = QUIET_MAX - Duration::from_millis(1);
        let mut now = at(0);
        while now < at(0) + HELD_MAX {
            assert!(verifies.take(100, now).is_none());
            verifies.push(job(0, 10), now);
            now = now + gap;
        }
        assert!(verifies.take(100, now).is_some());
        verifies.push(job(0, HELD_BYTES_MAX), now);
        assert!(verifies.take(100, now).is_some());
    }
}
