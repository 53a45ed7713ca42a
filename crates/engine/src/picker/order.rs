//! How rare each piece is, and the pieces nobody has begun in that order.
//!
//! Pieces lie in one bucket for each availability, in random order, and know their place, so that a `have` costs two
//! swaps. A peer that has most pieces is counted once as a whole, and again for each piece it lacks: a seed costs
//! nothing to come or go.

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
    slots: Vec<usize>,
    /// The pieces in the buckets.
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
            buckets: VecDeque::from([Vec::new()]),
            slots: vec![0; len],
            fresh: Bitfield::none(piece_count),
            is_whole: SecondaryMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Puts a piece in, at a random place among those that are as rare.
    pub(super) fn insert(&mut self, piece: PieceIndex) {
        if !self.fresh.set(piece) {
            return;
        }
        let level = self.level(piece);
        while self.buckets.len() <= level {
            self.buckets.push_back(Vec::new());
        }
        let bucket = &mut self.buckets[level];
        let place = self.rng.random_range(0..=bucket.len());
        bucket.push(piece);
        let last = bucket.len() - 1;
        bucket.swap(place, last);
        self.slots[at(bucket[last])] = last;
        self.slots[at(piece)] = place;
    }

    /// Takes a piece out; nothing happens when it is not in.
    pub(super) fn remove(&mut self, piece: PieceIndex) {
        if !self.fresh.clear(piece) {
            return;
        }
        let level = self.level(piece);
        let bucket = &mut self.buckets[level];
        let place = self.slots[at(piece)];
        bucket.swap_remove(place);
        if let Some(moved) = bucket.get(place) {
            self.slots[at(*moved)] = place;
        }
        while self.buckets.len() > 1 && self.buckets.back().is_some_and(Vec::is_empty) {
            self.buckets.pop_back();
        }
    }

    /// Counts a peer with what it has.
    pub(super) fn joined(&mut self, peer: PeerKey, has: &Bitfield) {
        let is_whole = has.count() > has.len() / 2;
        let before = self.is_whole.insert(peer, is_whole);
        assert!(before.is_none(), "a peer is counted once");
        if is_whole {
            self.whole += 1;
            self.buckets.push_front(Vec::new());
            has.missing().for_each(|p| self.shift(p, -1));
        } else {
            has.iter().for_each(|p| self.shift(p, 1));
        }
    }

    /// Counts a peer no more. `has` is what it was counted with, and every change told since.
    pub(super) fn left(&mut self, peer: PeerKey, has: &Bitfield) {
        match self.is_whole.remove(peer) {
            None => {}
            Some(false) => has.iter().for_each(|p| self.shift(p, -1)),
            Some(true) => {
                has.missing().for_each(|p| self.shift(p, 1));
                let lowest = self.buckets.pop_front();
                assert!(lowest.is_none_or(|b| b.is_empty()), "what this peer had, nobody has");
                self.whole -= 1;
                if self.buckets.is_empty() {
                    self.buckets.push_back(Vec::new());
                }
            }
        }
    }

    /// One more peer, or one less, has this piece.
    pub(super) fn shift(&mut self, piece: PieceIndex, by: i32) {
        let is_in = self.fresh.has(piece);
        if is_in {
            self.remove(piece);
        }
        self.single[at(piece)] += by;
        if is_in {
            self.insert(piece);
        }
    }

    /// The best piece that `has` has and `is_fit` accepts: exactly the best while the first [`WALK_MAX`] pieces hold
    /// one, else the best of a sample.
    pub(super) fn best(
        &mut self,
        prefer: Prefer,
        has: &Bitfield,
        is_fit: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let mut walked = 0;
        let levels = self.buckets.len();
        for i in 0..levels {
            let level = if prefer == Prefer::Rare { i } else { levels - 1 - i };
            // What nobody has, this peer does not have.
            if level == 0 {
                continue;
            }
            for piece in &self.buckets[level] {
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
        common(self.fresh.as_bytes(), has.as_bytes(), 0).find(|p| is_fit(*p))
    }

    /// The best of up to [`WALK_MAX`] pieces from a random place on.
    fn sample(
        &mut self,
        prefer: Prefer,
        has: &Bitfield,
        is_fit: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        let words = self.fresh.as_bytes().len().div_ceil(WORD_LEN);
        let start = self.rng.random_range(0..words);
        let level = |piece: PieceIndex| match prefer {
            Prefer::Rare => self.single[at(piece)],
            Prefer::Common => -self.single[at(piece)],
        };
        common(self.fresh.as_bytes(), has.as_bytes(), start)
            .filter(|p| is_fit(*p))
            .take(WALK_MAX)
            .min_by_key(|p| level(*p))
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

    /// The pieces that are in, those that fewest peers have first.
    pub(super) fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.buckets.iter().flatten().copied()
    }

    fn level(&self, piece: PieceIndex) -> usize {
        usize::try_from(self.whole + self.single[at(piece)])
            .expect("no peer leaves with more than it came with")
    }
}

/// The pieces of both sets, from word `start` to the end and then from the first word.
fn common<'a>(a: &'a [u8], b: &'a [u8], start: usize) -> impl Iterator<Item = PieceIndex> + 'a {
    let words = a.len().min(b.len()).div_ceil(WORD_LEN);
    (start..words).chain(0..start.min(words)).flat_map(move |w| {
        let mut bits = word(a, w) & word(b, w);
        core::iter::from_fn(move || {
            let bit = usize::try_from(bits.leading_zeros()).expect("at most 64");
            bits &= !(1 << 63 >> bit.min(63));
            let index = u32::try_from(w * WORD_LEN * 8 + bit).expect("pieces are counted in u32");
            (bit < 64).then_some(PieceIndex(index))
        })
    })
}

/// Eight bytes as a number, first bit highest; zeros beyond the end.
fn word(bytes: &[u8], index: usize) -> u64 {
    let rest = &bytes[index * WORD_LEN..];
    if let Some(whole) = rest.first_chunk() {
        return u64::from_be_bytes(*whole);
    }
    let mut padded = [0; WORD_LEN];
    padded[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(padded)
}

/// The place of a piece in a list of all pieces.
pub(super) fn at(piece: PieceIndex) -> usize {
    usize::try_from(piece.0).expect("a u32 fits the address space")
}

/// Pieces looked at before a sample is taken: under a microsecond.
const WALK_MAX: usize = 256;
const WORD_LEN: usize = 8;
