//! Who sent corrupt data: proof first, suspicion never bans.
//!
//! A piece that fails puts all its senders on parole, which means whole pieces for themselves. Somebody who sent a
//! failed piece alone is guilty. When a piece that failed before passes, the blocks that differ from the good ones
//! name the rest. Everything goes by [`PeerKey`]; a peer id proves nothing and is not asked for.

use crate::id::PeerKey;
use slotmap::SecondaryMap;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::{BlockIndex, PieceIndex};

/// What is known of the honesty of a torrent's peers.
#[derive(Debug, Default)]
pub struct Ledger {
    records: SecondaryMap<PeerKey, Record>,
    /// Blocks of pieces that failed and did not pass since.
    suspects: BTreeMap<PieceIndex, BTreeSet<Suspect>>,
    suspects_len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    trust: i32,
    is_on_parole: bool,
}

/// A block of a failed piece.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Suspect {
    block: BlockIndex,
    hash: BlockHash,
    peer: PeerKey,
}

/// SHA-1 of a block.
pub type BlockHash = [u8; 20];

/// The sender of each block of a piece; `None`: from an earlier run.
pub type Senders = [(BlockIndex, Option<PeerKey>)];

impl Ledger {
    /// Nothing is known of anybody.
    pub fn new() -> Self {
        Self::default()
    }

    //= BEP 3: pieces whose hash differs
    /// A piece failed. `hashes` are those of its blocks in order, `from` who sent them. Returns the peers that are
    /// guilty by that alone.
    pub fn piece_failed(&mut self, piece: PieceIndex, hashes: &[BlockHash], from: &Senders) -> Vec<PeerKey> {
        for peer in distinct(from) {
            let Some(record) = self.record(peer) else { continue };
            record.trust = (record.trust - TRUST_LOST).max(TRUST_MIN);
            record.is_on_parole = true;
        }
        if let Some(culprit) = sole(from) {
            return vec![culprit];
        }
        let suspects = self.suspects.entry(piece).or_default();
        for ((block, peer), hash) in from.iter().zip(hashes) {
            if let Some(peer) = *peer {
                let suspect = Suspect { block: *block, hash: *hash, peer };
                self.suspects_len += usize::from(suspects.insert(suspect));
            }
        }
        while self.suspects_len > SUSPECTS_MAX
            && let Some((_, dropped)) = self.suspects.pop_first()
        {
            self.suspects_len -= dropped.len();
        }
        Vec::new()
    }

    /// Whether the hashes of this piece's blocks are of use once it passes.
    pub fn wants_hashes(&self, piece: PieceIndex) -> bool {
        self.suspects.contains_key(&piece)
    }

    /// A piece passed. `hashes` are those of its blocks in order, if [`Ledger::wants_hashes`] asked for them. Returns
    /// the peers that are guilty of an earlier failure of it.
    pub fn piece_passed(&mut self, piece: PieceIndex, hashes: &[BlockHash], from: &Senders) -> Vec<PeerKey> {
        let sole = sole(from);
        for peer in distinct(from) {
            let Some(record) = self.record(peer) else { continue };
            record.trust = (record.trust + 1).min(TRUST_MAX);
            record.is_on_parole &= sole != Some(peer);
        }
        let suspects = self.suspects.remove(&piece).unwrap_or_default();
        self.suspects_len -= suspects.len();
        let good = |s: &&Suspect| {
            let place = usize::try_from(s.block.0).expect("a u32 fits the address space");
            hashes.get(place).is_none_or(|hash| *hash == s.hash)
        };
        let (cleared, guilty): (Vec<&Suspect>, Vec<&Suspect>) = suspects.iter().partition(good);
        let guilty: BTreeSet<PeerKey> = guilty.into_iter().map(|s| s.peer).collect();
        let cleared: BTreeSet<PeerKey> = cleared.into_iter().map(|s| s.peer).collect();
        for peer in cleared.difference(&guilty) {
            let is_suspect = self.suspects.values().flatten().any(|s| s.peer == *peer);
            if let Some(record) = self.record(*peer) {
                record.is_on_parole &= is_suspect || hashes.is_empty();
            }
        }
        guilty.into_iter().collect()
    }

    /// Good pieces it had a part in less twice the failed ones, from −8 to 8.
    pub fn trust(&self, peer: PeerKey) -> i32 {
        self.records.get(peer).map_or(0, |r| r.trust)
    }

    /// Whether it gets whole pieces for itself until it is cleared.
    pub fn is_on_parole(&self, peer: PeerKey) -> bool {
        self.records.get(peer).is_some_and(|r| r.is_on_parole)
    }

    /// What is known of a peer; `None` when it was forgotten and another has its place.
    fn record(&mut self, peer: PeerKey) -> Option<&mut Record> {
        if !self.records.contains_key(peer) {
            self.records.insert(peer, Record::default());
        }
        self.records.get_mut(peer)
    }
}

fn distinct(from: &Senders) -> BTreeSet<PeerKey> {
    from.iter().filter_map(|(_, peer)| *peer).collect()
}

/// Who sent all of it.
fn sole(from: &Senders) -> Option<PeerKey> {
    let (_, first) = *from.first()?;
    first.filter(|_| from.iter().all(|(_, peer)| *peer == first))
}

const TRUST_MAX: i32 = 8;
const TRUST_MIN: i32 = -8;
const TRUST_LOST: i32 = 2;
/// Blocks of failed pieces that are remembered, 32 bytes each; beyond, those of the lowest piece are forgotten.
const SUSPECTS_MAX: usize = 65_536;
/// Bytes of memory of those, twice over as their lists grow by doubling.
pub const SUSPECTS_LEN_MAX: usize = 2 * 32 * SUSPECTS_MAX;
