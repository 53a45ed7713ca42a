//! Which blocks to ask a peer for.
//!
//! The picker knows how rare each piece is, which pieces are there, wanted and begun, and who was asked for or sent
//! each block of a begun piece. It does not hold their bytes. A piece is fresh (in the order), open (begun), checking
//! (open and complete) or there. The rarest piece goes first from the very first pick, ties are broken at random.

mod choose;
mod open;
mod order;
mod view;

pub use view::PeerView;

use crate::id::PeerKey;
use open::Open;
use order::Order;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, BlockIndex, BlockRef, Layout, PieceIndex};

/// Suggested pieces of a peer that count.
pub const SUGGESTED_MAX: usize = 16;
/// Between two looks at every open block for one that is overdue.
const OVERDUE_LOOK: Duration = Duration::from_millis(250);

/// The picker of one torrent.
#[derive(Debug)]
pub struct Picker {
    layout: Layout,
    have: Bitfield,
    wanted: Bitfield,
    /// Wanted and not there.
    missing: Bitfield,
    /// Was there, and is in doubt: neither there nor missing.
    doubtful: BTreeSet<PieceIndex>,
    /// Was there and is not there again.
    lost: BTreeSet<PieceIndex>,
    order: Order,
    open: BTreeMap<PieceIndex, Open>,
    partial: Partials,
    open_bytes: u64,
    /// No block is overdue before.
    overdue_from: Option<Instant>,
    /// When that is found out anew, if it has come.
    overdue_look_at: Instant,
    /// Whether an open piece may have lost the last peer that has it.
    may_be_stuck: bool,
    left_bytes: u64,
    is_sequential: bool,
}

/// The open and missing pieces with free blocks.
#[derive(Debug, Default)]
struct Partials {
    /// Those kept for a peer.
    held: BTreeSet<(PeerKey, PieceIndex)>,
    /// Those that are anybody's, by index.
    shared: Vec<PieceIndex>,
}

impl Partials {
    fn len(&self) -> usize {
        self.held.len() + self.shared.len()
    }

    fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.shared.iter().copied().chain(self.held.iter().map(|(_, piece)| *piece))
    }

    /// Those kept for this peer.
    fn of(&self, peer: PeerKey) -> impl Iterator<Item = PieceIndex> + '_ {
        let all = (peer, PieceIndex(0))..=(peer, PieceIndex(u32::MAX));
        self.held.range(all).map(|(_, piece)| *piece)
    }

    fn insert(&mut self, piece: PieceIndex, holder: Option<PeerKey>) {
        match holder {
            Some(holder) => _ = self.held.insert((holder, piece)),
            None => {
                let place = self.shared.partition_point(|p| *p < piece);
                self.shared.insert(place, piece);
            }
        }
    }

    fn remove(&mut self, piece: PieceIndex, holder: Option<PeerKey>) {
        match holder {
            Some(holder) => _ = self.held.remove(&(holder, piece)),
            None => self.shared.retain(|p| *p != piece),
        }
    }
}

/// Who sent which block of a piece; `None`: it came in an earlier run.
pub type Contributors = Vec<(BlockIndex, Option<PeerKey>)>;

/// What became of a block that came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// It is of use: its bytes are to be kept.
    New {
        /// The piece has all its blocks and is to be checked.
        is_piece_complete: bool,
        /// Others that were asked for it and may be told not to send it.
        also_requested_from: Vec<PeerKey>,
    },
    /// It is there already, or not wanted, or no block at all. Drop it.
    Duplicate,
}

impl Picker {
    /// A picker of a torrent that has `have` and is to get `wanted`, all when `None`. Both are over the pieces of
    /// `layout`.
    pub fn new(
        layout: Layout,
        have: Bitfield,
        wanted: Option<Bitfield>,
        is_sequential: bool,
        seed: u64,
    ) -> Self {
        let count = layout.piece_count();
        assert_eq!(have.len(), count, "have is over the torrent's pieces");
        let mut picker = Picker {
            order: Order::new(count, seed),
            have,
            wanted: Bitfield::none(count),
            missing: Bitfield::none(count),
            doubtful: BTreeSet::new(),
            lost: BTreeSet::new(),
            open: BTreeMap::new(),
            partial: Partials::default(),
            open_bytes: 0,
            overdue_from: None,
            overdue_look_at: Instant::ZERO,
            may_be_stuck: false,
            left_bytes: 0,
            is_sequential,
            layout,
        };
        picker.set_wanted(&wanted.unwrap_or_else(|| Bitfield::all(count)));
        picker
    }

    /// Counts a peer with the pieces it has. It is not counted yet.
    pub fn peer_joined(&mut self, peer: PeerKey, has: &Bitfield) {
        self.order.joined(peer, has);
    }

    /// Counts a peer no more. `has` is what it joined with and every change told since. What it was asked for stays
    /// asked for: see [`Picker::release_all`].
    pub fn peer_left(&mut self, peer: PeerKey, has: &Bitfield) {
        self.order.left(peer, has);
        self.may_be_stuck = true;
    }

    /// A peer that was counted got a piece it did not have.
    pub fn peer_has(&mut self, piece: PieceIndex) {
        if piece.0 < self.layout.piece_count() {
            self.order.shift(piece, 1);
        }
    }

    //= BEP 54: lt_donthave
    /// A peer that was counted lost a piece it had.
    pub fn peer_lost(&mut self, piece: PieceIndex) {
        if piece.0 < self.layout.piece_count() {
            self.order.shift(piece, -1);
            self.may_be_stuck = true;
        }
    }

    /// A block came in from a peer that was asked for it, even if it was given up since.
    pub fn received(&mut self, block: BlockRef, from: PeerKey) -> Received {
        let Some(index) = self.layout.block_index(block).filter(|_| self.needs(block)) else {
            return Received::Duplicate;
        };
        let open = self.begin(block.piece);
        let free = open.free();
        let also_requested_from = open.receive(index, from);
        let (is_piece_complete, was_free) = (open.is_complete(), open.free() < free);
        if was_free {
            self.settle(block.piece);
        }
        Received::New { is_piece_complete, also_requested_from }
    }

    /// Whether a block that comes in would be kept: it is one, it is not there, and its piece is begun or to be got.
    pub fn needs(&self, block: BlockRef) -> bool {
        let Some(index) = self.layout.block_index(block) else { return false };
        self.open.get(&block.piece).map_or(self.order.contains(block.piece), |open| open.lacks(index))
    }

    /// A peer will not send a block it was asked for: cancelled, rejected, out of time.
    pub fn released(&mut self, block: BlockRef, peer: PeerKey) {
        if let Some(index) = self.layout.block_index(block)
            && let Some(open) = self.open.get_mut(&block.piece)
        {
            open.release(index, peer);
            self.settle(block.piece);
        }
    }

    /// A peer will send nothing of what it was asked for: it choked us or is gone.
    pub fn release_all(&mut self, peer: PeerKey) {
        let pieces: Vec<PieceIndex> = self.open.keys().copied().collect();
        for piece in pieces {
            if let Some(open) = self.open.get_mut(&piece)
                && open.is_shared_by(peer)
            {
                open.release_all(peer);
                self.settle(piece);
            }
        }
    }

    /// A piece is verified and written. Who sent it.
    pub fn verified(&mut self, piece: PieceIndex) -> Contributors {
        let contributors = self.close(piece);
        self.order.remove(piece);
        self.have.set(piece);
        self.doubtful.remove(&piece);
        self.lost.remove(&piece);
        if self.missing.clear(piece) {
            self.left_bytes -= u64::from(self.layout.len_of(piece));
        }
        contributors
    }

    /// A piece failed its check, or could not be written: all its blocks are to be got again. Who sent it.
    pub fn failed(&mut self, piece: PieceIndex) -> Contributors {
        let contributors = self.close(piece);
        if self.missing.has(piece) {
            self.order.insert(piece);
        }
        contributors
    }

    /// A piece that is there is in doubt: it is not there any more, and not to be got before it is [missed](Self::missed).
    pub fn doubted(&mut self, piece: PieceIndex) {
        if self.have.clear(piece) {
            self.doubtful.insert(piece);
            self.lost.insert(piece);
        }
    }

    /// A piece was in doubt without need: `true` if it is there again.
    pub fn restored(&mut self, piece: PieceIndex) -> bool {
        let was_doubtful = self.doubtful.remove(&piece);
        if was_doubtful {
            self.lost.remove(&piece);
            self.have.set(piece);
        }
        was_doubtful
    }

    /// A piece that was in doubt is not there: it is to be got if it is wanted.
    pub fn missed(&mut self, piece: PieceIndex) {
        if self.doubtful.remove(&piece) && self.wanted.has(piece) && self.missing.set(piece) {
            self.left_bytes += u64::from(self.layout.len_of(piece));
            self.order.insert(piece);
        }
    }

    /// Whether this piece was there once and is not there now, so that peers may ask for it in good faith.
    pub fn is_lost(&self, piece: PieceIndex) -> bool {
        self.lost.contains(&piece)
    }

    /// Begun pieces that have all their blocks.
    pub fn whole(&self) -> Vec<PieceIndex> {
        self.open.iter().filter(|(_, open)| open.is_complete()).map(|(p, _)| *p).collect()
    }

    /// The blocks of a piece that are there, not verified, and who sent them.
    pub fn contributors(
        &self,
        piece: PieceIndex,
    ) -> impl Iterator<Item = (BlockIndex, Option<PeerKey>)> + '_ {
        self.open.get(&piece).into_iter().flat_map(Open::contributors)
    }

    /// Blocks of a piece are there from an earlier run; a bit of `blocks` for each. `true` if that is all of it and
    /// it is to be checked. Nothing happens for a piece that is there or open already.
    pub fn restore_partial(&mut self, piece: PieceIndex, blocks: &Bitfield) -> bool {
        let is_fit = piece.0 < self.layout.piece_count() && blocks.len() == self.layout.block_count(piece);
        if !is_fit || blocks.count() == 0 || self.have.has(piece) || self.open.contains_key(&piece) {
            return false;
        }
        let open = self.begin(piece);
        blocks.iter().for_each(|b| open.restore(BlockIndex(b.0)));
        let is_complete = open.is_complete();
        self.settle(piece);
        self.may_be_stuck = true;
        is_complete
    }

    /// The open pieces with at least one block, and which of their blocks are there.
    pub fn partials(&self) -> impl Iterator<Item = (PieceIndex, Bitfield)> + '_ {
        self.open.iter().map(|(p, open)| (*p, open.received_mask())).filter(|(_, mask)| mask.count() > 0)
    }

    /// Chooses anew which pieces to get. Open pieces that are not wanted any more keep their blocks.
    pub fn set_wanted(&mut self, wanted: &Bitfield) {
        assert_eq!(wanted.len(), self.layout.piece_count(), "wanted is over the torrent's pieces");
        self.wanted = wanted.clone();
        self.missing = Bitfield::none(wanted.len());
        self.left_bytes = 0;
        for piece in self.layout.pieces() {
            if wanted.has(piece) && !self.have.has(piece) && !self.doubtful.contains(&piece) {
                self.missing.set(piece);
                self.left_bytes += u64::from(self.layout.len_of(piece));
                if !self.open.contains_key(&piece) {
                    self.order.insert(piece);
                }
            } else {
                self.order.remove(piece);
            }
        }
        let open: Vec<PieceIndex> = self.open.keys().copied().collect();
        open.into_iter().for_each(|p| self.settle(p));
    }

    /// The pieces that are verified and written.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// The pieces to get, those that are there included.
    pub fn wanted(&self) -> &Bitfield {
        &self.wanted
    }

    /// Whether every wanted piece is there.
    pub fn is_complete(&self) -> bool {
        self.missing.count() == 0
    }

    /// Bytes of wanted pieces that are not there; blocks of open pieces count as not there.
    pub fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    /// Bytes of all pieces that are begun and not verified.
    pub fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    /// Whether a peer with these pieces has one that we want and lack. Walks the sets up to the first.
    pub fn is_interesting(&self, has: &Bitfield) -> bool {
        self.missing.has_common(has)
    }

    /// How many pieces a peer with these pieces has that we want and lack. Walks the sets.
    pub fn count_wanted(&self, has: &Bitfield) -> u32 {
        if has.is_all() { self.missing.count() } else { self.missing.count_common(has) }
    }

    /// Whether this piece is wanted and not there: the question for one `have`.
    pub fn wants(&self, piece: PieceIndex) -> bool {
        self.missing.has(piece)
    }

    /// Whether this piece is begun and not verified.
    pub fn is_open(&self, piece: PieceIndex) -> bool {
        self.open.contains_key(&piece)
    }

    /// Whether all blocks of this piece are there and it is not verified.
    pub fn is_checking(&self, piece: PieceIndex) -> bool {
        self.open.get(&piece).is_some_and(Open::is_complete)
    }

    /// Counted peers that have this piece. It exists.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.order.availability(piece)
    }

    /// When a block that was asked for is overdue next, so that idle peers may be asked for it too. `None` while
    /// nothing is asked for.
    pub fn next_overdue(&self) -> Option<Instant> {
        self.open.values().filter_map(Open::next_overdue).min()
    }

    /// Whether anybody could be asked for anything now: begun pieces have free blocks, a fresh one may be begun within
    /// [`PeerView::open_bytes_max`], or a block may be overdue. While not, no pick brings anything.
    pub fn has_work(&mut self, open_bytes_max: u64, now: Instant) -> bool {
        if self.partial.len() > 0 || self.order.len() > 0 && self.may_begin(open_bytes_max) {
            return true;
        }
        if self.overdue_from.is_some_and(|at| at <= now) && self.overdue_look_at <= now {
            self.overdue_look_at = now + OVERDUE_LOOK;
            self.overdue_from = self.next_overdue();
        }
        self.overdue_from.is_some_and(|at| at <= now)
    }

    /// Whether the budget of bytes lets another piece be begun: one always may.
    fn may_begin(&self, open_bytes_max: u64) -> bool {
        let after = self.open_bytes.saturating_add(u64::from(self.layout.piece_len()));
        self.open.is_empty() || after <= open_bytes_max
    }

    /// The begun piece that nobody counted has any more and of which least is there, so that dropping it costs least.
    /// Costs a look at every open piece, once after a peer left or lost a piece.
    pub fn stuck(&mut self) -> Option<PieceIndex> {
        if !self.may_be_stuck {
            return None;
        }
        let stuck = self.open.iter().filter(|(p, open)| {
            !open.is_complete() && open.received() > 0 && self.order.availability(**p) == 0
        });
        let least = stuck.min_by_key(|(p, open)| (open.received(), **p)).map(|(p, _)| *p);
        self.may_be_stuck = least.is_some();
        least
    }

    /// Opens a fresh piece.
    fn begin(&mut self, piece: PieceIndex) -> &mut Open {
        if !self.open.contains_key(&piece) {
            self.order.remove(piece);
            self.open_bytes += u64::from(self.layout.len_of(piece));
        }
        let blocks = self.layout.block_count(piece);
        self.open.entry(piece).or_insert_with(|| Open::new(blocks))
    }

    /// Forgets what is known of an open piece.
    fn close(&mut self, piece: PieceIndex) -> Contributors {
        let Some(open) = self.open.remove(&piece) else { return Vec::new() };
        self.open_bytes -= u64::from(self.layout.len_of(piece));
        if let Some(holder) = open.listed {
            self.partial.remove(piece, holder);
        }
        open.contributors().collect()
    }

    /// Puts an open piece where it belongs after a change: back into the order when nothing of it is left, in the
    /// list of pieces with free blocks or out of it.
    fn settle(&mut self, piece: PieceIndex) {
        let Some(open) = self.open.get_mut(&piece) else { return };
        if open.is_untouched() {
            self.failed(piece);
            return;
        }
        let is_partial = open.free() > 0 && self.missing.has(piece);
        let holder = is_partial.then_some(open.holder);
        let before = core::mem::replace(&mut open.listed, holder);
        if before != holder {
            before.into_iter().for_each(|holder| self.partial.remove(piece, holder));
            holder.into_iter().for_each(|holder| self.partial.insert(piece, holder));
        }
    }
}
