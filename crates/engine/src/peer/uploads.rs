//! What one peer asked of us.

use std::collections::VecDeque;
use unchoke_wire::layout::BLOCK_LEN;
use unchoke_wire::limits::INVALID_REQUESTS_MAX;
pub use unchoke_wire::limits::REQUEST_QUEUE_MAX;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, BlockRef, Layout, PieceIndex};

/// Bytes of memory of the requests of one peer at most: none follows another, and the list grows by doubling.
pub const UPLOADS_LEN_MAX: usize = 2 * REQUEST_QUEUE_MAX * size_of::<Run>();
/// How long after a choke requests may still arrive that were sent before it.
const CHOKE_GRACE: Duration = Duration::from_secs(2);
/// How often each block of an allowed-fast piece may be fetched while choked.
const FAST_FETCHES_MAX: u32 = 3;

/// What to do with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is queued.
    Queued,
    /// Refuse it: a reject where the peer knows rejects, silence elsewhere.
    Reject,
    /// The peer got too many requests wrong: close it.
    Close,
}

/// Requests for blocks of one length that follow one another in a piece, as they mostly come.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: BlockRef,
    count: u32,
}

impl Run {
    /// The `n`th block.
    fn block(&self, n: u32) -> BlockRef {
        BlockRef { begin: self.first.begin + n * self.first.len, ..self.first }
    }

    /// Which one of them a block is.
    fn position(&self, block: BlockRef) -> Option<u32> {
        let is_alike = block.piece == self.first.piece && block.len == self.first.len;
        let ahead = block.begin.checked_sub(self.first.begin).filter(|_| is_alike)?;
        let n = ahead / self.first.len;
        (ahead % self.first.len == 0 && n < self.count).then_some(n)
    }
}

/// The requests of one peer and whether it is choked.
#[derive(Debug)]
pub struct Uploads {
    /// None is empty.
    queue: VecDeque<Run>,
    /// Blocks of all runs.
    queued: usize,
    is_choked: bool,
    choked_at: Instant,
    invalid: u32,
    allowed_fast: Vec<PieceIndex>,
    fast_blocks: u32,
}

impl Uploads {
    /// A peer begins choked (BEP 3).
    pub fn new(now: Instant) -> Self {
        Uploads {
            queue: VecDeque::new(),
            queued: 0,
            is_choked: true,
            choked_at: now,
            invalid: 0,
            allowed_fast: Vec::new(),
            fast_blocks: 0,
        }
    }

    /// Whether we choke the peer.
    pub fn is_choked(&self) -> bool {
        self.is_choked
    }

    /// Bytes held for what it asked.
    pub fn held(&self) -> usize {
        self.queue.capacity() * size_of::<Run>() + self.allowed_fast.capacity() * size_of::<PieceIndex>()
    }

    /// Whether a block is waiting to be sent.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets the peer have these pieces even while it is choked (BEP 6).
    pub fn allow_fast(&mut self, pieces: Vec<PieceIndex>) {
        self.allowed_fast = pieces;
    }

    /// Whether allowed-fast pieces were named already.
    pub fn has_allowed_fast(&self) -> bool {
        !self.allowed_fast.is_empty()
    }

    /// Unchokes the peer.
    pub fn unchoke(&mut self) {
        self.is_choked = false;
    }

    //= BEP 6: a choke rejects all queued requests but those of allowed-fast pieces
    /// Chokes the peer and takes back what it had queued. With the fast extension allowed-fast requests stay.
    pub fn choke(&mut self, is_fast: bool, now: Instant) -> Vec<BlockRef> {
        (self.is_choked, self.choked_at) = (true, now);
        let mut dropped = Vec::new();
        self.queue.retain(|run| {
            let stays = is_fast && self.allowed_fast.contains(&run.first.piece);
            if !stays {
                dropped.extend((0..run.count).map(|n| run.block(n)));
            }
            stays
        });
        self.queued -= dropped.len();
        dropped
    }

    /// Judges a request for a block of a torrent of which we have `have`.
    pub fn request(&mut self, block: BlockRef, layout: &Layout, have: &Bitfield, now: Instant) -> Verdict {
        let is_served = layout.contains(block) && block.len <= BLOCK_LEN && have.has(block.piece);
        let is_fast = self.is_choked && self.allowed_fast.contains(&block.piece);
        if !is_served || (self.is_choked && !is_fast) {
            let is_in_grace = is_served && now < self.choked_at + CHOKE_GRACE;
            return self.refuse(!is_in_grace);
        }
        if is_fast {
            let blocks: u32 = self.allowed_fast.iter().map(|p| layout.block_count(*p)).sum();
            self.fast_blocks += 1;
            if self.fast_blocks > blocks * FAST_FETCHES_MAX {
                return Verdict::Close;
            }
        }
        if self.queued >= REQUEST_QUEUE_MAX || self.queue.iter().any(|run| run.position(block).is_some()) {
            return self.refuse(true);
        }
        match self.queue.back_mut() {
            Some(last) if last.block(last.count) == block => last.count += 1,
            _ => self.queue.push_back(Run { first: block, count: 1 }),
        }
        self.queued += 1;
        Verdict::Queued
    }

    fn refuse(&mut self, counts: bool) -> Verdict {
        self.invalid += u32::from(counts);
        if self.invalid > INVALID_REQUESTS_MAX { Verdict::Close } else { Verdict::Reject }
    }

    /// Takes back a request; `true` if it was still queued.
    pub fn cancel(&mut self, block: BlockRef) -> bool {
        let found = self.queue.iter().enumerate().find_map(|(at, run)| Some((at, run.position(block)?)));
        let Some((at, n)) = found else { return false };
        let run = self.queue[at];
        let after = Run { first: run.block(n + 1), count: run.count - n - 1 };
        self.queue[at].count = n;
        if after.count > 0 {
            self.queue.insert(at + 1, after);
        }
        if n == 0 {
            self.queue.remove(at);
        }
        self.queued -= 1;
        true
    }

    /// Takes back all requests for a piece.
    pub fn drop_piece(&mut self, piece: PieceIndex) -> Vec<BlockRef> {
        let mut dropped = Vec::new();
        self.queue.retain(|run| {
            let stays = run.first.piece != piece;
            if !stays {
                dropped.extend((0..run.count).map(|n| run.block(n)));
            }
            stays
        });
        self.queued -= dropped.len();
        dropped
    }

    /// The block to send next.
    pub fn next(&self) -> Option<BlockRef> {
        self.queue.front().map(|run| run.first)
    }

    /// Takes the block to send next.
    pub fn pop(&mut self) -> Option<BlockRef> {
        let run = self.queue.front_mut()?;
        let block = run.first;
        (run.first, run.count) = (run.block(1), run.count - 1);
        if run.count == 0 {
            self.queue.pop_front();
        }
        self.queued -= 1;
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> (Uploads, Layout, Bitfield) {
        let layout = Layout::new(32_768, [75_536]).unwrap();
        let have = Bitfield::all(3);
        (Uploads::new(Instant::ZERO), layout, have)
    }

    fn block(piece: u32, begin: u32, len: u32) -> BlockRef {
        BlockRef { piece: PieceIndex(piece), begin, len }
    }

    //= S27
    #[test]
    fn a_piece_is_served_only_to_an_unchoked_peer() {
        let (mut uploads, layout, have) = setup();
        let late = Instant::ZERO + Duration::from_secs(3);
        assert_eq!(uploads.request(block(0, 0, 16_384), &layout, &have, late), Verdict::Reject);
        uploads.unchoke();
        assert_eq!(uploads.request(block(0, 0, 16_384), &layout, &have, late), Verdict::Queued);
        assert_eq!(uploads.choke(false, late), [block(0, 0, 16_384)]);
        assert!(uploads.is_empty());
    }

    //= S26
    #[test]
    fn requests_beyond_a_block_or_the_torrent_are_refused_and_counted() {
        let (mut uploads, layout, have) = setup();
        uploads.unchoke();
        let wrong = [
            block(0, 0, 16_385),
            block(0, 0, 0),
            block(0, 32_768, 1),
            block(3, 0, 1),
            block(u32::MAX, 0, 1),
            block(0, u32::MAX, 16),
            block(2, 9_999, 2),
        ];
        for b in wrong {
            assert_eq!(uploads.request(b, &layout, &have, Instant::ZERO), Verdict::Reject, "{b:?}");
        }
        let few = Bitfield::none(3);
        assert_eq!(uploads.request(block(0, 0, 1), &layout, &few, Instant::ZERO), Verdict::Reject);
        let mut uploads = Uploads::new(Instant::ZERO);
        uploads.unchoke();
        let mut wrong = || uploads.request(block(9, 0, 1), &layout, &have, Instant::ZERO);
        let verdicts: Vec<Verdict> = (0..INVALID_REQUESTS_MAX + 1).map(|_| wrong()).collect();
        let closes = verdicts.iter().position(|v| *v == Verdict::Close);
        assert_eq!(closes, usize::try_from(INVALID_REQUESTS_MAX).ok());
    }

    #[test]
    fn the_queue_ends_at_its_cap() {
        let layout = Layout::new(1 << 20, [1 << 30]).unwrap();
        let have = Bitfield::all(1024);
        let mut uploads = Uploads::new(Instant::ZERO);
        uploads.unchoke();
        let ask = |u: &mut Uploads, i: u32| {
            u.request(block(i / 64, i % 64 * BLOCK_LEN, BLOCK_LEN), &layout, &have, Instant::ZERO)
        };
        let over = u32::try_from(REQUEST_QUEUE_MAX + 1).unwrap();
        let queued = (0..over).filter(|i| ask(&mut uploads, *i) == Verdict::Queued).count();
        assert_eq!(queued, REQUEST_QUEUE_MAX);
    }

    #[test]
    fn blocks_leave_in_the_order_they_were_asked_for_without_the_cancelled_ones() {
        let layout = Layout::new(1 << 20, [1 << 30]).unwrap();
        let have = Bitfield::all(1024);
        let mut uploads = Uploads::new(Instant::ZERO);
        uploads.unchoke();
        let at = |piece, n: u32| block(piece, n * BLOCK_LEN, BLOCK_LEN);
        // a run, one that goes on in another piece, a short one, and the run's end after a gap
        let mut asked: Vec<BlockRef> = (0..8).map(|n| at(3, n)).chain((60..64).map(|n| at(5, n))).collect();
        asked.extend([block(5, 0, 100), block(5, 100, 100), at(6, 0), at(3, 9), at(3, 8)]);
        for b in &asked {
            assert_eq!(uploads.request(*b, &layout, &have, Instant::ZERO), Verdict::Queued, "{b:?}");
            assert_eq!(uploads.request(*b, &layout, &have, Instant::ZERO), Verdict::Reject, "twice");
        }
        let cancelled = [at(3, 0), at(3, 4), at(5, 63), block(5, 100, 100), at(6, 0)];
        assert!(cancelled.iter().all(|b| uploads.cancel(*b)));
        assert!(!cancelled.iter().any(|b| uploads.cancel(*b)) && !uploads.cancel(block(3, 1, BLOCK_LEN)));
        asked.retain(|b| !cancelled.contains(b));
        let of_piece_5: Vec<BlockRef> = asked.iter().copied().filter(|b| b.piece.0 == 5).collect();
        assert_eq!(uploads.drop_piece(PieceIndex(5)), of_piece_5);
        asked.retain(|b| b.piece.0 != 5);
        let sent: Vec<BlockRef> = core::iter::from_fn(|| uploads.pop()).collect();
        assert_eq!(sent, asked);
        assert!(uploads.is_empty() && uploads.next().is_none());
    }

    #[test]
    fn choked_peer_keeps_allowed_fast_requests() {
        let (mut uploads, layout, have) = setup();
        uploads.allow_fast(vec![PieceIndex(1)]);
        let late = Instant::ZERO + Duration::from_secs(9);
        assert_eq!(uploads.request(block(1, 0, 16_384), &layout, &have, late), Verdict::Queued);
        uploads.unchoke();
        assert_eq!(uploads.request(block(0, 0, 16_384), &layout, &have, late), Verdict::Queued);
        assert_eq!(uploads.choke(true, late), [block(0, 0, 16_384)]);
        assert_eq!(uploads.next(), Some(block(1, 0, 16_384)));
        let again = (0..20).map(|_| {
            uploads.pop();
            uploads.request(block(1, 0, 16_384), &layout, &have, late)
        });
        assert!(again.into_iter().any(|v| v == Verdict::Close), "fetched more than three times over");
    }
}
