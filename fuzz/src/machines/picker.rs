//! The picker against a model that knows, block by block, what is there and who was asked.

use crate::steps::{BEGIN, Steps};
use slotmap::SlotMap;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_engine::PeerKey;
use unchoke_engine::picker::{PeerView, Picker, Received};
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, BlockIndex, BlockRef, Layout, PieceIndex};

const PEERS: usize = 5;
const PIECES: u32 = 6;
/// No multiple of a block; the last piece is a short one.
const PIECE_LEN: u32 = 40_000;
const TOTAL: u64 = 5 * 40_000 + 17_000;

struct Peer {
    key: PeerKey,
    has: Option<Bitfield>,
    asked: BTreeSet<BlockRef>,
    /// Asked for once, and given up since: it may come all the same.
    late: BTreeSet<BlockRef>,
}

struct World {
    layout: Layout,
    picker: Picker,
    peers: Vec<Peer>,
    have: BTreeSet<u32>,
    wanted: BTreeSet<u32>,
    /// Blocks of begun pieces that are there.
    blocks: BTreeSet<BlockRef>,
    now: Instant,
}

/// Only what a peer has and nobody has sent is asked for, of two peers at once only at the end; every count is the
/// model's.
pub fn picker(data: &[u8]) {
    let mut steps = Steps::new(data);
    let layout = Layout::new(PIECE_LEN, [TOTAL]).expect("a sound layout");
    assert_eq!(layout.piece_count(), PIECES);
    let (have, wanted) = (bits(steps.byte()), bits(!steps.byte()));
    let mut keys: SlotMap<PeerKey, ()> = SlotMap::with_key();
    let new = |_| Peer { key: keys.insert(()), has: None, asked: BTreeSet::new(), late: BTreeSet::new() };
    let mut world = World {
        picker: Picker::new(layout.clone(), have.clone(), Some(wanted.clone()), steps.flag(), 7),
        layout,
        peers: (0..PEERS).map(new).collect(),
        have: have.iter().map(|p| p.0).collect(),
        wanted: wanted.iter().map(|p| p.0).collect(),
        blocks: BTreeSet::new(),
        now: BEGIN,
    };
    while !steps.is_over() {
        world.step(&mut steps);
        world.check();
    }
}

/// The pieces whose bit is set.
fn bits(byte: u8) -> Bitfield {
    let mut set = Bitfield::none(PIECES);
    (0..PIECES).filter(|p| byte & (1 << p) != 0).for_each(|p| _ = set.set(PieceIndex(p)));
    set
}

impl World {
    fn step(&mut self, steps: &mut Steps<'_>) {
        let (what, who) = (steps.byte(), steps.below(PEERS));
        let piece = PieceIndex(u32::from(steps.byte()) % PIECES);
        match what % 13 {
            0 => self.join(who, bits(steps.byte())),
            1 => self.leave(who),
            2 => self.gain(who, piece),
            3 => self.lose(who, piece),
            4..=6 => self.pick(who, steps),
            7 => self.arrive(who, steps, true),
            8 => self.arrive(who, steps, false),
            9 => self.release(who, steps),
            10 => self.judge(piece, steps.flag()),
            11 if steps.flag() => self.restore(piece, steps.byte()),
            11 => {
                self.wanted = bits(steps.byte()).iter().map(|p| p.0).collect();
                let wanted = self.wanted.iter().fold(Bitfield::none(PIECES), |mut set, p| {
                    set.set(PieceIndex(*p));
                    set
                });
                self.picker.set_wanted(&wanted);
            }
            _ => self.now = self.now + steps.wait(),
        }
    }

    fn join(&mut self, who: usize, has: Bitfield) {
        if self.peers[who].has.is_none() {
            self.picker.peer_joined(self.peers[who].key, &has);
            self.peers[who].has = Some(has);
        }
    }

    fn leave(&mut self, who: usize) {
        let peer = &mut self.peers[who];
        if let Some(has) = peer.has.take() {
            self.picker.release_all(peer.key);
            self.picker.peer_left(peer.key, &has);
            (peer.asked, peer.late) = Default::default();
        }
    }

    fn gain(&mut self, who: usize, piece: PieceIndex) {
        if self.peers[who].has.as_mut().is_some_and(|has| has.set(piece)) {
            self.picker.peer_has(piece);
        }
    }

    fn lose(&mut self, who: usize, piece: PieceIndex) {
        if self.peers[who].has.as_mut().is_some_and(|has| has.clear(piece)) {
            self.picker.peer_lost(piece);
        }
    }

    fn pick(&mut self, who: usize, steps: &mut Steps<'_>) {
        let (flags, n) = (steps.byte(), 1 + steps.below(8));
        let listed = |byte: u8| bits(byte).iter().collect::<Vec<PieceIndex>>();
        let (allowed_fast, suggested) = (listed(steps.byte()), listed(steps.byte()));
        let peer = &self.peers[who];
        let Some(has) = &peer.has else { return };
        let is_idle = |p: &&Peer| p.key != peer.key && p.asked.is_empty();
        let idle: Vec<&Bitfield> = self.peers.iter().filter(is_idle).filter_map(|p| p.has.as_ref()).collect();
        let view = PeerView {
            key: peer.key,
            has,
            is_choked: flags & 1 == 1,
            allowed_fast: &allowed_fast,
            suggested: &suggested,
            is_snubbed: flags & 14 == 14,
            is_on_parole: flags & 48 == 48,
            rate: u64::from(flags >> 4) * 10_000,
            requests_out: peer.asked.len(),
            open_bytes_max: u64::from(flags >> 6) * 60_000,
            idle_others: &idle,
        };
        let open = self.picker.open_bytes();
        let picks = self.picker.pick(&view, n, self.now);
        assert!(picks.len() <= n);
        let may_be_open = view.open_bytes_max.max(u64::from(PIECE_LEN)).max(open);
        assert!(self.picker.open_bytes() <= may_be_open, "more was begun than may be");
        for block in &picks {
            assert!(self.layout.block_index(*block).is_some(), "{block:?} is none");
            assert!(has.has(block.piece), "the peer lacks {block:?}");
            assert!(!view.is_choked || allowed_fast.contains(&block.piece), "it chokes us for {block:?}");
            assert!(self.wanted.contains(&block.piece.0) && !self.have.contains(&block.piece.0), "{block:?}");
            assert!(!self.blocks.contains(block), "{block:?} is there");
            assert!(!peer.asked.contains(block), "it was asked for {block:?}");
            let is_doubled = self.peers.iter().any(|p| p.asked.contains(block));
            assert!(!is_doubled || picks.len() == 1 && peer.asked.is_empty(), "{block:?} is asked for twice");
        }
        let distinct: BTreeSet<&BlockRef> = picks.iter().collect();
        assert_eq!(distinct.len(), picks.len());
        self.peers[who].asked.extend(picks);
    }

    /// A block that was asked for comes in, late ones among them; or any block.
    fn arrive(&mut self, who: usize, steps: &mut Steps<'_>, is_asked: bool) {
        let peer = &self.peers[who];
        if peer.has.is_none() {
            return;
        }
        let of_peer: Vec<BlockRef> = peer.asked.iter().chain(&peer.late).copied().collect();
        let Some(block) = (if is_asked { steps.pick(&of_peer) } else { steps.pick(&self.all_blocks()) })
        else {
            return;
        };
        let key = peer.key;
        let (lacks, is_open) = (!self.blocks.contains(&block), self.picker.is_open(block.piece));
        let is_needed =
            lacks && !self.have.contains(&block.piece.0) && (is_open || self.wanted.contains(&block.piece.0));
        assert_eq!(self.picker.needs(block), is_needed, "{block:?}");
        let others: BTreeSet<PeerKey> =
            self.peers.iter().filter(|p| p.key != key && p.asked.contains(&block)).map(|p| p.key).collect();
        match self.picker.received(block, key) {
            Received::Duplicate => assert!(!is_needed),
            Received::New { is_piece_complete, also_requested_from } => {
                assert!(is_needed);
                assert_eq!(also_requested_from.into_iter().collect::<BTreeSet<_>>(), others);
                self.blocks.insert(block);
                assert_eq!(is_piece_complete, self.is_complete(block.piece));
                for peer in &mut self.peers {
                    peer.asked.remove(&block);
                }
            }
        }
        self.peers[who].asked.remove(&block);
        self.peers[who].late.remove(&block);
    }

    fn release(&mut self, who: usize, steps: &mut Steps<'_>) {
        let peer = &mut self.peers[who];
        let asked: Vec<BlockRef> = peer.asked.iter().copied().collect();
        match steps.pick(&asked) {
            Some(block) if steps.flag() => {
                peer.asked.remove(&block);
                peer.late.insert(block);
                self.picker.released(block, peer.key);
            }
            _ => {
                peer.late.append(&mut peer.asked);
                self.picker.release_all(peer.key);
            }
        }
    }

    /// A piece all of whose blocks are there was checked.
    fn judge(&mut self, piece: PieceIndex, is_good: bool) {
        if !self.picker.is_checking(piece) {
            return;
        }
        let senders = if is_good { self.picker.verified(piece) } else { self.picker.failed(piece) };
        assert_eq!(senders.len() as u64, u64::from(self.layout.block_count(piece)));
        self.blocks.retain(|b| b.piece != piece);
        if is_good {
            self.have.insert(piece.0);
        }
    }

    fn restore(&mut self, piece: PieceIndex, which: u8) {
        let count = self.layout.block_count(piece);
        let mut blocks = Bitfield::none(count);
        (0..count).filter(|b| which & (1 << b) != 0).for_each(|b| _ = blocks.set(PieceIndex(b)));
        let was_open = self.picker.is_open(piece);
        let is_complete = self.picker.restore_partial(piece, &blocks);
        if self.picker.is_open(piece) && !was_open {
            self.blocks.extend(blocks.iter().map(|b| self.layout.block(piece, BlockIndex(b.0))));
        }
        assert_eq!(is_complete, !was_open && self.picker.is_open(piece) && self.is_complete(piece));
    }

    fn all_blocks(&self) -> Vec<BlockRef> {
        let blocks =
            |p: PieceIndex| (0..self.layout.block_count(p)).map(move |b| self.layout.block(p, BlockIndex(b)));
        self.layout.pieces().flat_map(blocks).collect()
    }

    fn is_complete(&self, piece: PieceIndex) -> bool {
        let there = self.blocks.iter().filter(|b| b.piece == piece).count();
        there as u64 == u64::from(self.layout.block_count(piece))
    }

    fn check(&self) {
        let p = &self.picker;
        assert!(p.have().iter().map(|p| p.0).eq(self.have.iter().copied()));
        let missing: Vec<u32> = self.wanted.difference(&self.have).copied().collect();
        let len = |p: &u32| u64::from(self.layout.len_of(PieceIndex(*p)));
        assert_eq!((p.is_complete(), p.left_bytes()), (missing.is_empty(), missing.iter().map(len).sum()));
        let mut open = BTreeMap::new();
        for block in self.blocks.iter().chain(self.peers.iter().flat_map(|p| &p.asked)) {
            open.insert(block.piece.0, ());
        }
        let due: Vec<bool> = (0..PIECES).map(|p| open.contains_key(&p)).collect();
        let got: Vec<bool> = (0..PIECES).map(|n| p.is_open(PieceIndex(n))).collect();
        assert_eq!(got, due, "begun is what has a block that is there or asked for");
        assert_eq!(p.open_bytes(), open.keys().map(len).sum::<u64>());
        for piece in self.layout.pieces() {
            let count = self.peers.iter().filter(|p| p.has.as_ref().is_some_and(|h| h.has(piece))).count();
            assert_eq!(p.availability(piece) as usize, count);
            assert_eq!(p.is_checking(piece), self.is_complete(piece), "{piece:?}");
            assert_eq!(p.wants(piece), missing.contains(&piece.0));
        }
        for has in self.peers.iter().filter_map(|p| p.has.as_ref()) {
            let count = has.iter().filter(|p| missing.contains(&p.0)).count();
            assert_eq!((p.count_wanted(has) as usize, p.is_interesting(has)), (count, count > 0));
        }
    }
}
