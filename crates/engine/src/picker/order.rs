//! How rare each piece is, and the pieces nobody has begun in that order.
//!
//! Pieces lie in one bucket for each availability and know their place, so that a `have` costs two swaps; chance comes
//! in when one is picked. A peer that has most pieces is counted once as a whole, and again for each piece it lacks: a
//! seed costs nothing to come or go. A peer that changes much is counted without touching the buckets, which are made
//! anew when somebody picks: many that come at once cost it once.

use crate::id::PeerKey;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotmap::SecondaryMap;
use std::collections::VecDeque;
use unchoke_wire::{Bitfield, PieceIndex};

/// Which end of the order a peer gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Prefer {
    /// The pieces that fewest peers have.
    Rare,
    /// The pieces that most peers have, for a peer that may never deliver.
    Common,
}

/// Availability of all pieces and the order of those not begun.
#[derive(Debug)]
pub(super) struct Order {
    /// Peers counted as a whole.
    whole: i32,
    /// Peers counted by piece: plus one for each that has it, less one for each counted as a whole that lacks it.
    single: Vec<i32>,
    /// Bucket `n` holds the pieces not begun that `n` peers have.
    buckets: VecDeque<Vec<PieceIndex>>,
    /// Where each of those pieces lies in its bucket.
    slots: Vec<u32>,
    /// The buckets and slots are of an earlier time.
    is_stale: bool,
    /// The pieces not begun.
    fresh: Bitfield,
    /// The peers that are counted, and whether as a whole.
    is_whole: SecondaryMap<PeerKey, bool>,
    rng: ChaCha8Rng,
}

impl Order {
    /// An order over `piece_count` pieces without any of them.
    pub(super) fn new(piece_count: u32, seed: u64) -> Self {
        let len = at(PieceIndex(piece_count));
        Order {
            whole: 0,
            single: vec![0; len],
            buckets: VecDeque::new(),
            slots: vec![0; len],
            is_stale: true,
            fresh: Bitfield::none(piece_count),
            is_whole: SecondaryMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Puts a piece in.
    pub(super) fn insert(&mut self, piece: PieceIndex) {
        if self.fresh.set(piece) && !self.is_stale {
            self.put(piece);
        }
    }

    /// Takes a piece out; nothing happens when it is not in.
    pub(super) fn remove(&mut self, piece: PieceIndex) {
        if self.fresh.clear(piece) && !self.is_stale {
            self.take(piece);
        }
    }

    /// Counts a peer with what it has.
    pub(super) fn joined(&mut self, peer: PeerKey, has: &Bitfield) {
        let is_whole = has.count() > has.len() / 2;
        let before = self.is_whole.insert(peer, is_whole);
        assert!(before.is_none(), "a peer is counted once");
        if is_whole {
            self.whole += 1;
            if !self.is_stale {
                self.buckets.push_front(Vec::new());
            }
        }
        self.count(has, is_whole, 1);
    }

    /// Counts a peer no more. `has` is what it was counted with, and every change told since.
    pub(super) fn left(&mut self, peer: PeerKey, has: &Bitfield) {
        let Some(is_whole) = self.is_whole.remove(peer) else { return };
        self.count(has, is_whole, -1);
        if is_whole {
            self.whole -= 1;
            if !self.is_stale {
                let lowest = self.buckets.pop_front();
                assert!(lowest.is_none_or(|b| b.is_empty()), "what this peer had, nobody has");
            }
        }
    }

    /// Counts one peer more or one less, by what it has or, counted as a whole, by what it lacks.
    fn count(&mut self, has: &Bitfield, is_whole: bool, by: i32) {
        let changed = if is_whole { has.len() - has.count() } else { has.count() };
        self.is_stale |= changed > self.fresh.len() / BULK_SHARE;
        match is_whole {
            _ if changed == 0 => {}
            true => has.missing().for_each(|p| self.shift(p, -by)),
            false => has.iter().for_each(|p| self.shift(p, by)),
        }
    }

    /// One more peer, or one less, has this piece.
    pub(super) fn shift(&mut self, piece: PieceIndex, by: i32) {
        let is_in = !self.is_stale && self.fresh.has(piece);
        if is_in {
            self.take(piece);
        }
        self.single[at(piece)] += by;
        if is_in {
            self.put(piece);
        }
    }

    /// Lays a piece into its bucket.
    fn put(&mut self, piece: PieceIndex) {
        let level = self.level(piece);
        while self.buckets.len() <= level {
            self.buckets.push_back(Vec::new());
        }
        let bucket = &mut self.buckets[level];
        self.slots[at(piece)] = u32::try_from(bucket.len()).expect("pieces are counted in u32");
        bucket.push(piece);
    }

    /// Takes a piece out of its bucket.
    fn take(&mut self, piece: PieceIndex) {
        let level = self.level(piece);
        let bucket = &mut self.buckets[level];
        let slot = self.slots[at(piece)];
        let place = at(PieceIndex(slot));
        bucket.swap_remove(place);
        if let Some(moved) = bucket.get(place) {
            self.slots[at(*moved)] = slot;
        }
        while self.buckets.back().is_some_and(Vec::is_empty) {
            self.buckets.pop_back();
        }
    }

    /// Makes the buckets anew if they are of an earlier time.
    fn refresh(&mut self) {
        if !core::mem::take(&mut self.is_stale) {
            return;
        }
        self.buckets.iter_mut().for_each(Vec::clear);
        let fresh = core::mem::take(&mut self.fresh);
        fresh.iter().for_each(|piece| self.put(piece));
        self.fresh = fresh;
    }

    /// The best piece that `has` has and `is_fit` accepts, by lot among equals: exactly the best while the first
    /// [`WALK_MAX`] pieces hold one, else the best of a sample.
    pub(super) fn best(
        &mut self,
        prefer: Prefer,
        has: &Bitfield,
        is_fit: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        // whoever has little lacks nearly all that a walk would meet
        if has.count() < self.fresh.count() / WALK_SHARE {
            return self.sample(prefer, has, is_fit);
        }
        self.refresh();
        let mut walked = 0;
        let levels = self.buckets.len();
        // what nobody has, this peer does not have
        for i in 1..levels {
            let bucket = &self.buckets[if prefer == Prefer::Rare { i } else { levels - i }];
            let start = if bucket.len() > 1 { self.rng.random_range(0..bucket.len()) } else { 0 };
            let (head, tail) = bucket.split_at(start);
            for piece in tail.iter().chain(head) {
                if walked == WALK_MAX {
                    return self.sample(prefer, has, is_fit);
                }
                walked += 1;
                if has.has(*piece) && is_fit(*piece) {
                    return Some(*piece);
                }
            }
        }
        None
    }

    /// The lowest piece that `has` has and `is_fit` accepts.
    pub(super) fn lowest(&self, has: &Bitfield, is_fit: impl Fn(PieceIndex) -> bool) -> Option<PieceIndex> {
        self.fresh.common(has, PieceIndex(0)).find(|p| is_fit(*p))
    }

    /// The best of up to [`WALK_MAX`] pieces from a random place on.
    fn sample(
        &mut self,
        prefer: Prefer,
        has: &Bitfield,
        is_fit: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let start = PieceIndex(self.rng.random_range(0..self.fresh.len().max(1)));
        let level = |piece: PieceIndex| match prefer {
            Prefer::Rare => self.single[at(piece)],
            Prefer::Common => -self.single[at(piece)],
        };
        self.fresh.common(has, start).filter(|p| is_fit(*p)).take(WALK_MAX).min_by_key(|p| level(*p))
    }

    /// Peers that have this piece.
    pub(super) fn availability(&self, piece: PieceIndex) -> u32 {
        u32::try_from(self.level(piece)).expect("peers are counted in u32")
    }

    /// How many pieces are in.
    pub(super) fn len(&self) -> u32 {
        self.fresh.count()
    }

    /// Whether this piece is in.
    pub(super) fn contains(&self, piece: PieceIndex) -> bool {
        self.fresh.has(piece)
    }

    /// The pieces that are in, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.fresh.iter()
    }

    fn level(&self, piece: PieceIndex) -> usize {
        usize::try_from(self.whole + self.single[at(piece)])
            .expect("no peer leaves with more than it came with")
    }
}

/// The place of a piece in a list of all pieces.
pub(super) fn at(piece: PieceIndex) -> usize {
    usize::try_from(piece.0).expect("a u32 fits the address space")
}

/// Pieces looked at before a sample is taken: under a microsecond.
const WALK_MAX: usize = 128;
/// A peer with less than one piece to so many in the order is not walked for.
const WALK_SHARE: u32 = 64;
/// A peer that changes more than one piece in so many is counted apart from the buckets: to make them anew costs a
/// fourth of moving each piece.
const BULK_SHARE: u32 = 8;
