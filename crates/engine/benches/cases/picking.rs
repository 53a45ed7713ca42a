//! The picker alone: picks at three sizes of torrent and swarm, haves, peers that come and go.

use super::Case;
use slotmap::SlotMap;
use std::collections::VecDeque;
use std::hint::black_box;
use unchoke_engine::PeerKey;
use unchoke_engine::picker::{PeerView, Picker, Received};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{BLOCK_LEN, Bitfield, BlockRef, Layout, PieceIndex};

/// Blocks of a piece: pieces of 256 KiB.
const BLOCKS: u32 = 16;
/// What may be open at once: 256 such pieces.
const OPEN_BYTES: u64 = 64 << 20;
/// Blocks that each peer has yet to send.
const DEPTH: usize = 16;
/// So fast that each peer has pieces of its own.
const FAST: u64 = 1 << 20;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, scene| Case { name, units: 1, scene };
    vec![
        case("picker/pick/2000x1", || picks(2_000, 1, FAST)),
        case("picker/pick/2000x50", || picks(2_000, 50, FAST)),
        case("picker/pick/2000x200", || picks(2_000, 200, FAST)),
        case("picker/pick/20000x1", || picks(20_000, 1, FAST)),
        case("picker/pick/20000x50", || picks(20_000, 50, FAST)),
        case("picker/pick/20000x200", || picks(20_000, 200, FAST)),
        case("picker/pick/200000x1", || picks(200_000, 1, FAST)),
        case("picker/pick/200000x50", || picks(200_000, 50, FAST)),
        case("picker/pick/200000x200", || picks(200_000, 200, FAST)),
        case("picker/pick slow/200000x200", || picks(200_000, 200, 0)),
        case("picker/pick in vain/2000x200", || picks_in_vain(2_000)),
        case("picker/pick in vain/200000x200", || picks_in_vain(200_000)),
        case("picker/have/200000x200", haves),
        case("picker/peer with half/2000x200", || joins(2_000, 2)),
        case("picker/peer with half/200000x200", || joins(200_000, 2)),
        case("picker/seed/200000x200", || joins(200_000, 1)),
    ]
}

struct Peer {
    key: PeerKey,
    has: Bitfield,
    out: VecDeque<BlockRef>,
}

struct Scene {
    picker: Picker,
    peers: Vec<Peer>,
    rate: u64,
    next: usize,
}

/// A number that looks random, always the same for the same two.
fn lot(a: u32, b: u32) -> u32 {
    let mixed =
        u64::from(a).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(b).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    u32::try_from(mixed >> 40).expect("24 bits")
}

/// What a peer has: everything for one in ten, of the others so many of a hundred pieces as their number says.
fn set(pieces: u32, peer: u32) -> Bitfield {
    let mut has = Bitfield::none(pieces);
    let share = if peer.is_multiple_of(10) { 100 } else { peer % 100 };
    for piece in (0..pieces).filter(|p| lot(*p, peer) % 100 < share) {
        has.set(PieceIndex(piece));
    }
    has
}

impl Scene {
    fn new(pieces: u32, peers: u32, rate: u64) -> Self {
        let layout = Layout::new(BLOCKS * BLOCK_LEN, [u64::from(pieces) * u64::from(BLOCKS * BLOCK_LEN)])
            .expect("sizes of a torrent");
        let mut picker = Picker::new(layout, Bitfield::none(pieces), None, false, 7);
        let mut keys: SlotMap<PeerKey, ()> = SlotMap::with_key();
        let peers: Vec<Peer> = (0..peers)
            .map(|i| Peer { key: keys.insert(()), has: set(pieces, i), out: VecDeque::new() })
            .collect();
        peers.iter().for_each(|p| picker.peer_joined(p.key, &p.has));
        let mut scene = Scene { picker, peers, rate, next: 0 };
        for _ in 0..DEPTH * scene.peers.len() {
            scene.pick();
        }
        scene
    }

    /// The next peer is asked for one block more.
    fn pick(&mut self) {
        self.next = (self.next + 1) % self.peers.len();
        let peer = &mut self.peers[self.next];
        let view = PeerView {
            key: peer.key,
            has: &peer.has,
            is_choked: false,
            allowed_fast: &[],
            suggested: &[],
            is_snubbed: false,
            is_on_parole: false,
            rate: self.rate,
            requests_out: peer.out.len(),
            open_bytes_max: OPEN_BYTES,
            idle_others: &[],
        };
        let picks = self.picker.pick(&view, 1, Instant::ZERO);
        peer.out.extend(picks);
    }

    /// The peer that was asked just before sends its oldest block; a piece that is whole is got again, so that it
    /// goes on for ever.
    fn receive(&mut self) {
        let peer = &mut self.peers[self.next];
        let Some(block) = peer.out.pop_front() else { return };
        if let Received::New { is_piece_complete: true, .. } = self.picker.received(block, peer.key) {
            black_box(self.picker.failed(block.piece));
        }
    }
}

/// A block is picked and another comes in.
fn picks(pieces: u32, peers: u32, rate: u64) -> Box<dyn FnMut()> {
    let mut scene = Scene::new(pieces, peers, rate);
    Box::new(move || {
        scene.pick();
        scene.receive();
    })
}

/// A peer that has a half, all of which is there or asked for already, is asked for nothing.
fn picks_in_vain(pieces: u32) -> Box<dyn FnMut()> {
    let mut scene = Scene::new(pieces, 200, FAST);
    let mut keys: SlotMap<PeerKey, ()> = SlotMap::with_key();
    (0..1_000).for_each(|_| _ = keys.insert(()));
    let mut has = Bitfield::none(pieces);
    for piece in (0..pieces).filter(|p| p.is_multiple_of(2)) {
        has.set(PieceIndex(piece));
        if !scene.picker.is_open(PieceIndex(piece)) {
            scene.picker.verified(PieceIndex(piece));
        }
    }
    for i in 0..scene.peers.len() {
        scene.peers[i].has = has.clone();
        (0..OPEN_BYTES / u64::from(BLOCK_LEN)).for_each(|_| {
            scene.next = i;
            scene.pick();
        });
    }
    let key = keys.insert(());
    let idle = move |scene: &mut Scene| {
        let view = PeerView {
            key,
            has: &has,
            is_choked: false,
            allowed_fast: &[],
            suggested: &[],
            is_snubbed: false,
            is_on_parole: false,
            rate: 0,
            requests_out: 0,
            open_bytes_max: OPEN_BYTES,
            idle_others: &[],
        };
        assert!(scene.picker.pick(&view, 1, Instant::ZERO + Duration::from_millis(1)).is_empty());
    };
    Box::new(move || idle(&mut scene))
}

/// A peer tells of a piece, and takes it back so that it goes on for ever.
fn haves() -> Box<dyn FnMut()> {
    let mut scene = Scene::new(200_000, 200, FAST);
    let mut turn = 0;
    Box::new(move || {
        turn += 1;
        let piece = PieceIndex(lot(turn, 1) % 200_000);
        scene.picker.peer_has(piece);
        scene.picker.peer_lost(piece);
    })
}

/// A peer that has each `nth` piece comes and goes.
fn joins(pieces: u32, nth: u32) -> Box<dyn FnMut()> {
    let mut scene = Scene::new(pieces, 200, FAST);
    let mut keys: SlotMap<PeerKey, ()> = SlotMap::with_key();
    (0..1_000).for_each(|_| _ = keys.insert(()));
    let key = keys.insert(());
    let mut has = Bitfield::none(pieces);
    for piece in (0..pieces).filter(|p| p.is_multiple_of(nth)) {
        has.set(PieceIndex(piece));
    }
    Box::new(move || {
        scene.picker.peer_joined(key, &has);
        scene.picker.peer_left(key, &has);
    })
}
