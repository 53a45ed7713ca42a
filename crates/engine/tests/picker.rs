//! Which blocks are asked for, of whom and in which order.

use proptest::prelude::*;
use slotmap::SlotMap;
use std::collections::BTreeSet;
use unchoke_engine::PeerKey;
use unchoke_engine::picker::{PeerView, Picker, Received};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{BLOCK_LEN, Bitfield, BlockIndex, BlockRef, Layout, PieceIndex};

//= S39
#[test]
fn availability_follows_bitfields_haves_and_losses() {
    let (a, b) = (Peer::new(0, "11111111"), Peer::new(1, "10000000"));
    let mut picker = picker(8 * 4, 4, 0);
    picker.peer_joined(a.key, &a.has);
    picker.peer_joined(b.key, &b.has);
    assert_eq!(availability(&picker), [2, 1, 1, 1, 1, 1, 1, 1]);
    picker.peer_has(PieceIndex(3));
    picker.peer_lost(PieceIndex(0));
    assert_eq!(availability(&picker), [1, 1, 1, 2, 1, 1, 1, 1]);
    picker.peer_left(b.key, &pieces("00010000"));
    assert_eq!(availability(&picker), [1; 8]);
    picker.peer_left(a.key, &a.has);
    assert_eq!(availability(&picker), [0; 8]);
}

//= S47
#[test]
fn the_notes_example_has_two_two_and_one_copies() {
    let (picker, _, _) = three_peers(0);
    assert_eq!(availability(&picker), [2, 2, 1]);
}

//= S48
#[test]
fn the_rarest_piece_is_picked_first_from_the_first_pick() {
    for seed in 0..1000 {
        let (mut picker, b, _) = three_peers(seed);
        assert_eq!(picker.pick(&b.view(), 1, T0)[0].piece, PieceIndex(2), "seed {seed}");
    }
}

//= S49
#[test]
fn the_busy_peer_leaves_the_rest_to_the_idle_one_when_asked_first() {
    for seed in 0..1000 {
        let (mut picker, b, c) = three_peers(seed);
        let from_b = picker.pick(&PeerView { idle_others: &[&c.has], ..b.view() }, 8, T0);
        assert_eq!(pieces_of(&from_b), [2], "seed {seed}");
        let from_c = picker.pick(&c.view(), 8, T0);
        assert_eq!((pieces_of(&from_c), from_c.len()), (vec![0, 1], 4), "seed {seed}");
        assert_an_idle_peer_doubles_nothing_early(&mut picker, &b, &from_b);
    }
}

//= S49
#[test]
fn the_idle_peer_keeps_its_own_rarest_piece_when_the_other_is_asked_first() {
    for seed in 0..1000 {
        let (mut picker, b, c) = three_peers(seed);
        let from_c = picker.pick(&PeerView { idle_others: &[&b.has], ..c.view() }, 8, T0);
        assert_eq!((pieces_of(&from_c), from_c.len()), (vec![0, 1], 4), "seed {seed}");
        let from_b = picker.pick(&b.view(), 8, T0);
        assert_eq!(pieces_of(&from_b), [2], "seed {seed}");
        assert_an_idle_peer_doubles_nothing_early(&mut picker, &b, &from_b);
    }
}

//= S37
#[test]
fn rarer_pieces_go_first_and_equally_rare_ones_by_lot() {
    let rows = ["11111111", "11110000", "11000000"];
    let mut first = [0; 8];
    for seed in 0..2000 {
        let mut picker = picker(8, 1, seed);
        let peers: Vec<Peer> = rows.iter().zip(0..).map(|(row, i)| Peer::new(i, row)).collect();
        peers.iter().for_each(|p| picker.peer_joined(p.key, &p.has));
        let picks = picker.pick(&peers[0].view(), 8, T0);
        let order: Vec<u32> = picks.iter().map(|b| b.piece.0).collect();
        let levels: Vec<u32> = order.iter().map(|p| [3, 3, 2, 2, 1, 1, 1, 1][*p as usize]).collect();
        assert_eq!(levels, [1, 1, 1, 1, 2, 2, 3, 3], "seed {seed}");
        first[order[0] as usize] += 1;
    }
    assert_eq!(first[..4], [0; 4]);
    assert!(first[4..].iter().all(|n| (400..600).contains(n)), "{first:?}");
}

//= S38
#[test]
fn twenty_clients_of_one_seed_begin_with_different_pieces() {
    let mut early = BTreeSet::new();
    for client in 0..20 {
        let mut picker = picker(200, 1, client);
        let seed = Peer::seed(0, 200);
        picker.peer_joined(seed.key, &seed.has);
        early.extend(picker.pick(&seed.view(), 5, T0).iter().map(|b| b.piece));
    }
    assert!(early.len() > 60, "{} different pieces of 100 picks", early.len());
}

#[test]
fn a_peer_that_sends_a_piece_soon_keeps_it_and_slow_ones_share() {
    for (rate, shared) in [(BLOCK_LEN.into(), false), (0, true)] {
        let (mut picker, a, b) = two_seeds(4, 16);
        let first = picker.pick(&PeerView { rate, ..a.view() }, 2, T0);
        let second = picker.pick(&PeerView { rate, ..b.view() }, 2, T0);
        assert_eq!(first[0].piece == second[0].piece, shared, "rate {rate}");
        let more = picker.pick(&PeerView { rate, requests_out: 2, ..a.view() }, 2, T0);
        assert_eq!(pieces_of(&more), pieces_of(&first), "rate {rate}");
    }
}

#[test]
fn no_piece_is_begun_beyond_the_budget_but_one_always_is() {
    let (mut picker, a, b) = two_seeds(4, 4);
    let piece_len = u64::from(4 * BLOCK_LEN);
    let tight = PeerView { open_bytes_max: piece_len - 1, ..a.view() };
    assert_eq!(picker.pick(&tight, 100, T0).len(), 4);
    assert_eq!(picker.open_bytes(), piece_len);
    assert_eq!(picker.pick(&PeerView { open_bytes_max: 2 * piece_len - 1, ..b.view() }, 100, T0), []);
    assert_eq!(picker.pick(&PeerView { open_bytes_max: 2 * piece_len, ..b.view() }, 100, T0).len(), 4);
}

#[test]
fn begun_pieces_go_first_when_the_budget_is_used_up() {
    let (mut picker, a, b) = two_seeds(4, 4);
    let picks = picker.pick(&PeerView { rate: 1 << 20, ..a.view() }, 2, T0);
    let rest = picker.pick(&PeerView { open_bytes_max: 0, ..b.view() }, 100, T0);
    assert_eq!((pieces_of(&rest), rest.len()), (pieces_of(&picks), 2));
}

#[test]
fn suggested_pieces_come_first_and_only_sixteen_count() {
    let mut picker = picker(100, 1, 1);
    let seed = Peer::seed(0, 100);
    picker.peer_joined(seed.key, &seed.has);
    let suggested: Vec<PieceIndex> = (10..40).map(PieceIndex).collect();
    let picks = picker.pick(&PeerView { suggested: &suggested, ..seed.view() }, 16, T0);
    assert_eq!(pieces_of(&picks), (10..26).collect::<Vec<u32>>());
    let next = picker.pick(&PeerView { suggested: &suggested[..1], ..seed.view() }, 1, T0);
    assert!(!pieces_of(&picks).contains(&next[0].piece.0));
}

#[test]
fn a_peer_that_chokes_us_is_asked_for_allowed_fast_pieces_only() {
    let (mut picker, a, _) = two_seeds(8, 2);
    let fast = [PieceIndex(3), PieceIndex(5), PieceIndex(99)];
    let view = PeerView { is_choked: true, allowed_fast: &fast, ..a.view() };
    assert_eq!(pieces_of(&picker.pick(&view, 100, T0)), [3, 5]);
    let later = T0 + Duration::from_secs(60);
    assert_eq!(picker.pick(&PeerView { allowed_fast: &[], ..view }, 100, later), []);
}

#[test]
fn a_snubbed_peer_gets_one_block_of_the_commonest_piece() {
    let mut picker = picker(4 * 2, 2, 3);
    let (a, b) = (Peer::new(0, "1111"), Peer::new(1, "0010"));
    [&a, &b].into_iter().for_each(|p| picker.peer_joined(p.key, &p.has));
    let view = PeerView { is_snubbed: true, ..a.view() };
    let picks = picker.pick(&view, 100, T0);
    assert_eq!((pieces_of(&picks), picks.len()), (vec![2], 1));
    assert_eq!(picker.pick(&PeerView { requests_out: 1, ..view }, 100, T0), []);
}

#[test]
fn a_peer_on_parole_gets_whole_pieces_nobody_else_works_on() {
    let (mut picker, a, b) = two_seeds(2, 4);
    let shared = picker.pick(&a.view(), 2, T0);
    let parole = PeerView { is_on_parole: true, ..b.view() };
    let alone = picker.pick(&parole, 2, T0);
    assert_ne!(alone[0].piece, shared[0].piece);
    let rest = picker.pick(&PeerView { requests_out: 2, ..a.view() }, 100, T0);
    assert_eq!((pieces_of(&rest), rest.len()), (pieces_of(&shared), 2));
    assert_eq!(picker.pick(&PeerView { requests_out: 2, ..parole }, 100, T0).len(), 2);
    assert_eq!(picker.pick(&parole, 100, T0 + Duration::from_secs(60)), [], "no end-game on parole");
}

#[test]
fn a_piece_of_a_parole_peer_that_stalls_is_finished_by_others() {
    let (mut picker, a, b) = two_seeds(1, 4);
    picker.pick(&PeerView { is_on_parole: true, ..a.view() }, 2, T0);
    assert_eq!(picker.pick(&b.view(), 100, T0 + Duration::from_secs(1)), []);
    assert_eq!(picker.pick(&b.view(), 100, T0 + Duration::from_secs(6)).len(), 2);
}

#[test]
fn end_game_takes_one_overdue_block_and_never_the_same_twice() {
    let mut picker = picker(2, 2, 0);
    let peers: Vec<Peer> = (0..3).map(|i| Peer::seed(i, 1)).collect();
    peers.iter().for_each(|p| picker.peer_joined(p.key, &p.has));
    // A block each 100 ms: the first is overdue after two seconds, the least there is.
    let rate = 10 * u64::from(BLOCK_LEN);
    let held = picker.pick(&PeerView { rate, ..peers[0].view() }, 100, T0);
    assert_eq!(picker.next_overdue(), Some(T0 + Duration::from_secs(2)));
    let idle = PeerView { rate, ..peers[1].view() };
    assert_eq!(picker.pick(&idle, 100, T0 + Duration::from_millis(1999)), []);
    let late = T0 + Duration::from_secs(3);
    assert_eq!(picker.pick(&PeerView { requests_out: 1, ..idle }, 100, late), []);
    assert_eq!(picker.pick(&idle, 100, late), held[..1]);
    assert_eq!(
        picker.pick(&PeerView { rate, ..peers[2].view() }, 100, late),
        held[1..],
        "least doubled first"
    );
    let later = late + Duration::from_secs(60);
    assert_eq!(picker.pick(&idle, 100, later), held[1..]);
    assert_eq!(picker.pick(&idle, 100, later + Duration::from_secs(60)), []);
    let received = picker.received(held[1], peers[2].key);
    let also_requested_from = vec![peers[0].key, peers[1].key];
    assert_eq!(received, Received::New { is_piece_complete: false, also_requested_from });
    assert_eq!(picker.received(held[1], peers[0].key), Received::Duplicate);
}

#[test]
fn a_slow_holder_is_given_twice_its_expected_time_but_no_more_than_twenty_seconds() {
    for (rate, overdue_s) in [(u64::from(BLOCK_LEN) / 4, 8), (1, 20), (0, 5)] {
        let (mut picker, a, _) = two_seeds(1, 1);
        picker.pick(&PeerView { rate, ..a.view() }, 1, T0);
        assert_eq!(picker.next_overdue(), Some(T0 + Duration::from_secs(overdue_s)), "rate {rate}");
    }
}

#[test]
fn sequential_order_goes_by_index() {
    let layout = Layout::new(BLOCK_LEN, [8 * u64::from(BLOCK_LEN)]).unwrap();
    let mut picker = Picker::new(layout, pieces("01000000"), Some(pieces("11111010")), true, 7);
    let seed = Peer::seed(0, 8);
    picker.peer_joined(seed.key, &seed.has);
    let order: Vec<u32> = picker.pick(&seed.view(), 100, T0).iter().map(|b| b.piece.0).collect();
    assert_eq!(order, [0, 2, 3, 4, 6]);
}

#[test]
fn a_failed_piece_is_got_again_and_names_its_senders() {
    let (mut picker, a, b) = two_seeds(1, 2);
    let picks = [picker.pick(&a.view(), 1, T0), picker.pick(&b.view(), 1, T0)].concat();
    picker.received(picks[0], a.key);
    let complete = Received::New { is_piece_complete: true, also_requested_from: vec![] };
    assert_eq!(picker.received(picks[1], b.key), complete);
    assert!(picker.is_checking(PieceIndex(0)) && !picker.is_complete());
    assert_eq!(picker.pick(&a.view(), 100, T0), [], "nothing of a piece that is being checked");
    let senders = vec![(BlockIndex(0), Some(a.key)), (BlockIndex(1), Some(b.key))];
    assert_eq!(picker.contributors(PieceIndex(0)).collect::<Vec<_>>(), senders);
    assert_eq!(picker.failed(PieceIndex(0)), senders);
    assert_eq!((picker.open_bytes(), picker.pick(&a.view(), 100, T0).len()), (0, 2));
    picks.iter().for_each(|p| _ = picker.received(*p, a.key));
    assert_eq!(picker.verified(PieceIndex(0)).len(), 2);
    assert!(picker.is_complete() && picker.have().is_all());
    assert_eq!((picker.left_bytes(), picker.open_bytes()), (0, 0));
    assert_eq!(picker.received(picks[0], a.key), Received::Duplicate);
}

#[test]
fn a_restored_piece_misses_only_its_other_blocks() {
    let (mut picker, a, _) = two_seeds(2, 4);
    assert!(!picker.restore_partial(PieceIndex(1), &pieces("1010")));
    assert!(!picker.restore_partial(PieceIndex(1), &pieces("1111")), "it is open already");
    assert!(!picker.restore_partial(PieceIndex(0), &pieces("11111")), "not so many blocks");
    assert_eq!(picker.partials().collect::<Vec<_>>(), [(PieceIndex(1), pieces("1010"))]);
    let picks = picker.pick(&a.view(), 2, T0);
    assert_eq!(picks.iter().map(|b| (b.piece.0, b.begin / BLOCK_LEN)).collect::<Vec<_>>(), [(1, 1), (1, 3)]);
    assert!(picker.restore_partial(PieceIndex(0), &pieces("1111")) && picker.is_checking(PieceIndex(0)));
    assert_eq!(picker.failed(PieceIndex(0)), (0..4).map(|i| (BlockIndex(i), None)).collect::<Vec<_>>());
}

#[test]
fn what_is_not_wanted_any_more_is_not_picked_and_keeps_its_blocks() {
    let (mut picker, a, _) = two_seeds(2, 2);
    let picks = picker.pick(&a.view(), 1, T0);
    picker.received(picks[0], a.key);
    let begun = picks[0].piece;
    let mut wanted = Bitfield::all(2);
    wanted.clear(begun);
    picker.set_wanted(&wanted);
    assert!(!picker.wants(begun) && !picker.is_interesting(&only(begun)));
    assert!(picker.pick(&a.view(), 100, T0).iter().all(|b| b.piece != begun));
    assert_eq!(picker.count_wanted(&a.has), 1);
    assert_eq!(picker.contributors(begun).count(), 1);
    picker.set_wanted(&Bitfield::all(2));
    assert_eq!(pieces_of(&picker.pick(&a.view(), 100, T0)), [begun.0]);
}

#[test]
fn blocks_of_a_peer_that_is_gone_are_free_again() {
    let (mut picker, a, b) = two_seeds(2, 2);
    let picks = picker.pick(&a.view(), 3, T0);
    picker.received(picks[0], a.key);
    picker.release_all(a.key);
    assert_eq!(picker.open_bytes(), u64::from(2 * BLOCK_LEN), "the piece without a block is closed");
    assert_eq!(picker.pick(&b.view(), 100, T0).len(), 3);
    let late = Received::New { is_piece_complete: true, also_requested_from: vec![b.key] };
    assert_eq!(picker.received(picks[1], a.key), late);
}

#[test]
fn a_block_that_comes_after_it_was_given_up_is_kept() {
    let (mut picker, a, b) = two_seeds(2, 2);
    let picks = picker.pick(&a.view(), 2, T0);
    picker.release_all(a.key);
    assert_eq!(picker.open_bytes(), 0);
    let incomplete = Received::New { is_piece_complete: false, also_requested_from: vec![] };
    assert!(picker.needs(picks[0]));
    assert_eq!(picker.received(picks[0], a.key), incomplete);
    assert!(!picker.needs(picks[0]) && picker.needs(picks[1]));
    let complete = Received::New { is_piece_complete: true, also_requested_from: vec![] };
    assert_eq!(picker.received(picks[1], a.key), complete);
    assert!(picker.pick(&b.view(), 100, T0).iter().all(|r| r.piece != picks[0].piece));
}

#[test]
fn what_is_no_block_or_not_wanted_is_dropped() {
    let (mut picker, a, _) = two_seeds(2, 2);
    picker.set_wanted(&pieces("01"));
    for (piece, begin, len) in [(0, 0, BLOCK_LEN), (1, 1, BLOCK_LEN), (1, 0, 1), (2, 0, BLOCK_LEN)] {
        let block = BlockRef { piece: PieceIndex(piece), begin, len };
        assert!(!picker.needs(block));
        assert_eq!(picker.received(block, a.key), Received::Duplicate, "{block:?}");
    }
}

#[test]
fn nothing_is_looked_for_while_nobody_could_be_asked() {
    let (mut picker, a, b) = two_seeds(4, 2);
    let piece = u64::from(2 * BLOCK_LEN);
    assert!(picker.has_work(piece, T0));
    let picks = picker.pick(&PeerView { open_bytes_max: piece, ..a.view() }, 2, T0);
    assert_eq!(picks.len(), 2);
    assert!(!picker.has_work(piece, T0), "all of the one piece there is room for is asked for");
    assert!(picker.has_work(2 * piece, T0), "there is room for another");
    let late = T0 + Duration::from_secs(30);
    assert!(picker.has_work(piece, late), "a block is overdue");
    picks.iter().for_each(|block| _ = picker.received(*block, a.key));
    assert!(!picker.has_work(piece, late + Duration::from_secs(1)), "the piece is being checked");
    picker.verified(picks[0].piece);
    assert!(picker.has_work(piece, late));
    assert_eq!(picker.pick(&PeerView { open_bytes_max: piece, ..b.view() }, 9, late).len(), 2);
}

#[test]
fn the_least_of_the_pieces_that_nobody_has_any_more_gives_way() {
    let (mut picker, a, b) = two_seeds(4, 4);
    picker.peer_left(b.key, &b.has);
    let begun = [picker.pick(&PeerView { rate: 1 << 20, ..a.view() }, 4, T0), picker.pick(&a.view(), 4, T0)];
    begun[0][..2].iter().chain(&begun[1][..1]).for_each(|block| _ = picker.received(*block, a.key));
    assert_eq!(picker.stuck(), None, "somebody has them");
    picker.release_all(a.key);
    picker.peer_left(a.key, &a.has);
    assert_eq!(picker.stuck(), Some(begun[1][0].piece));
    picker.failed(begun[1][0].piece);
    assert_eq!(picker.stuck(), Some(begun[0][0].piece));
    picker.peer_joined(a.key, &a.has);
    assert_eq!(picker.stuck(), None);
}

proptest! {
    //= S37
    #[test]
    fn the_rarest_is_picked_after_any_coming_and_going(
        seed in any::<u64>(),
        peers in prop::collection::vec((0u32..=100, any::<u32>(), any::<bool>()), 2..24),
    ) {
        let mut picker = picker(120, 1, seed);
        let mut here = Vec::new();
        for (i, (share, lot, leaves)) in peers.iter().enumerate() {
            let mut has = Bitfield::none(120);
            let is_in = |p: &u32| (p.wrapping_mul(2_654_435_761) ^ lot).wrapping_mul(2_246_822_519) >> 16 & 127 < share * 128 / 100;
            (0..120).filter(is_in).for_each(|p| _ = has.set(PieceIndex(p)));
            let peer = Peer { key: key(i), has };
            picker.peer_joined(peer.key, &peer.has);
            if *leaves {
                // the order is in use, then moved piece by piece or as a whole
                let begun = picker.pick(&peer.view(), 1, T0);
                picker.release_all(peer.key);
                prop_assert!(begun.len() <= 1);
                picker.peer_left(peer.key, &peer.has);
            } else {
                here.push(peer);
            }
        }
        let mut picked = BTreeSet::new();
        for peer in &here {
            let free = peer.has.iter().filter(|p| !picked.contains(p));
            let rarest = free.map(|p| picker.availability(p)).min();
            let picks = picker.pick(&peer.view(), 1, T0);
            prop_assert_eq!(picks.first().map(|b| picker.availability(b.piece)), rarest);
            picked.extend(picks.iter().map(|b| b.piece));
        }
    }

    #[test]
    fn any_course_of_events_agrees_with_a_simple_model(
        seed in any::<u64>(),
        is_sequential in any::<bool>(),
        have in prop::collection::vec(prop::bool::weighted(0.2), PIECES as usize),
        wanted in prop::collection::vec(prop::bool::weighted(0.8), PIECES as usize),
        peers in prop::collection::vec(prop::collection::vec(any::<bool>(), PIECES as usize), 3),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut model = Model::new(seed, is_sequential, &have, &wanted, &peers);
        for step in steps {
            model.step(step);
        }
        model.finish();
    }
}

const PIECES: u32 = 12;
const T0: Instant = Instant::from_micros(1_000_000);

/// A thing that may happen to a torrent.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pick { peer: usize, n: usize, is_choked: bool, is_snubbed: bool, is_on_parole: bool, rate: u64, max: u64 },
    Answer { peer: usize, which: usize },
    Release { peer: usize, which: usize },
    AnswerLate { which: usize },
    ReleaseAll { peer: usize },
    Verdict { is_good: bool },
    Have { peer: usize, piece: u32 },
    Lose { peer: usize, piece: u32 },
    Rejoin { peer: usize },
    Wait { secs: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let flag = || prop::bool::weighted(0.15);
    let pick = (1..9usize, flag(), flag(), flag(), 0..200_000u64, 0..6u64);
    let step = (0..26u32, 0..3usize, any::<usize>(), 0..PIECES, pick);
    step.prop_map(|(kind, peer, which, piece, (n, is_choked, is_snubbed, is_on_parole, rate, pieces))| {
        let max = pieces * u64::from(3 * BLOCK_LEN);
        match kind {
            0..6 => Step::Pick { peer, n, is_choked, is_snubbed, is_on_parole, rate, max },
            6..14 => Step::Answer { peer, which },
            14..16 => Step::Release { peer, which },
            16 => Step::AnswerLate { which },
            17 => Step::ReleaseAll { peer },
            18..21 => Step::Verdict { is_good: which % 10 < 7 },
            21..23 => Step::Have { peer, piece },
            23 => Step::Lose { peer, piece },
            24 => Step::Rejoin { peer },
            _ => Step::Wait { secs: rate % 30 },
        }
    })
}

/// What must be true of a picker, kept the slow way.
struct Model {
    picker: Picker,
    layout: Layout,
    peers: Vec<Peer>,
    out: Vec<Vec<BlockRef>>,
    given_up: Vec<(usize, BlockRef)>,
    received: BTreeSet<(u32, u32)>,
    wanted: Bitfield,
    now: Instant,
}

impl Model {
    fn new(seed: u64, is_sequential: bool, have: &[bool], wanted: &[bool], peers: &[Vec<bool>]) -> Self {
        let set =
            |bits: &[bool]| pieces(&bits.iter().map(|b| if *b { '1' } else { '0' }).collect::<String>());
        let layout = Layout::new(3 * BLOCK_LEN, [u64::from(PIECES * 3 * BLOCK_LEN) - 20_000])
            .expect("the test gives fitting numbers");
        let mut picker = Picker::new(layout.clone(), set(have), Some(set(wanted)), is_sequential, seed);
        let peers: Vec<Peer> =
            peers.iter().zip(0..).map(|(bits, i)| Peer { has: set(bits), ..Peer::seed(i, PIECES) }).collect();
        peers.iter().for_each(|p| picker.peer_joined(p.key, &p.has));
        let out = vec![Vec::new(); peers.len()];
        Model {
            picker,
            layout,
            peers,
            out,
            given_up: Vec::new(),
            received: BTreeSet::new(),
            wanted: set(wanted),
            now: T0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pick { peer, n, is_choked, is_snubbed, is_on_parole, rate, max } => {
                let fast = [PieceIndex(1), PieceIndex(4)];
                let others: Vec<Bitfield> = (0..3)
                    .filter(|o| *o != peer && self.out[*o].is_empty())
                    .map(|o| self.peers[o].has.clone())
                    .collect();
                let idle_others: Vec<&Bitfield> = others.iter().collect();
                let has = self.peers[peer].has.clone();
                let view = PeerView {
                    key: self.peers[peer].key,
                    has: &has,
                    is_choked,
                    allowed_fast: &fast,
                    suggested: &[PieceIndex(7)],
                    is_snubbed,
                    is_on_parole,
                    rate,
                    requests_out: self.out[peer].len(),
                    open_bytes_max: max,
                    idle_others: &idle_others,
                };
                self.pick(peer, &view, n);
            }
            Step::Answer { peer, which } => self.answer(peer, which),
            Step::Release { peer, which } => {
                if !self.out[peer].is_empty() {
                    let at = which % self.out[peer].len();
                    let block = self.out[peer].remove(at);
                    self.given_up.push((peer, block));
                    self.picker.released(block, self.peers[peer].key);
                }
            }
            Step::AnswerLate { which } => {
                if !self.given_up.is_empty() {
                    let at = which % self.given_up.len();
                    let (peer, block) = self.given_up.remove(at);
                    self.take(peer, block);
                }
            }
            Step::ReleaseAll { peer } => {
                self.out[peer].clear();
                self.picker.release_all(self.peers[peer].key);
            }
            Step::Verdict { is_good } => self.verdict(is_good),
            Step::Have { peer, piece } => {
                if self.peers[peer].has.set(PieceIndex(piece)) {
                    self.picker.peer_has(PieceIndex(piece));
                }
            }
            Step::Lose { peer, piece } => {
                if self.peers[peer].has.clear(PieceIndex(piece)) {
                    self.picker.peer_lost(PieceIndex(piece));
                }
            }
            Step::Rejoin { peer } => {
                let p = &self.peers[peer];
                self.picker.peer_left(p.key, &p.has);
                self.picker.peer_joined(p.key, &p.has);
            }
            Step::Wait { secs } => self.now = self.now + Duration::from_secs(secs),
        }
        self.check();
    }

    fn pick(&mut self, peer: usize, view: &PeerView<'_>, n: usize) {
        let picks = self.picker.pick(view, n, self.now);
        assert!(picks.len() <= n);
        for block in picks {
            assert!(self.layout.block_index(block).is_some(), "{block:?} is no block");
            assert!(view.has.has(block.piece), "the peer lacks {block:?}");
            assert!(!view.is_choked || view.allowed_fast.contains(&block.piece), "the peer chokes us");
            assert!(self.wanted.has(block.piece) && !self.picker.have().has(block.piece));
            assert!(!self.received.contains(&id(block)), "{block:?} is there");
            assert!(!self.out[peer].contains(&block), "{block:?} twice of one peer");
            if self.out.iter().flatten().any(|b| *b == block) {
                assert!(self.out[peer].is_empty(), "a doubled block goes alone");
            }
            self.out[peer].push(block);
        }
    }

    fn answer(&mut self, peer: usize, which: usize) {
        if self.out[peer].is_empty() {
            return;
        }
        let at = which % self.out[peer].len();
        let block = self.out[peer].remove(at);
        assert!(self.picker.needs(block));
        self.take(peer, block);
    }

    fn take(&mut self, peer: usize, block: BlockRef) {
        let is_needed = self.picker.needs(block);
        let answer = self.picker.received(block, self.peers[peer].key);
        let Received::New { is_piece_complete, also_requested_from } = answer else {
            assert!(!is_needed && (self.received.contains(&id(block)) || !self.picker.wants(block.piece)));
            return;
        };
        self.out[peer].retain(|b| *b != block);
        assert!(self.received.insert(id(block)), "{block:?} is new");
        for (other, out) in self.peers.iter().zip(&mut self.out) {
            let had = out.len();
            out.retain(|b| *b != block);
            assert_eq!(had > out.len(), also_requested_from.contains(&other.key));
        }
        let there =
            (0..self.layout.block_count(block.piece)).all(|i| self.received.contains(&(block.piece.0, i)));
        assert_eq!(is_piece_complete, there);
    }

    fn verdict(&mut self, is_good: bool) {
        let Some(piece) = self.layout.pieces().find(|p| self.picker.is_checking(*p)) else { return };
        let senders = if is_good { self.picker.verified(piece) } else { self.picker.failed(piece) };
        assert_eq!(senders.len(), self.layout.block_count(piece) as usize);
        self.received.retain(|(p, _)| *p != piece.0);
        assert_eq!(self.picker.have().has(piece), is_good);
    }

    fn check(&self) {
        for piece in self.layout.pieces() {
            let copies = self.peers.iter().filter(|p| p.has.has(piece)).count();
            assert_eq!(self.picker.availability(piece) as usize, copies, "copies of {piece:?}");
        }
        let open: BTreeSet<u32> =
            self.out.iter().flatten().map(|b| b.piece.0).chain(self.received.iter().map(|r| r.0)).collect();
        let bytes: u64 = open.iter().map(|p| u64::from(self.layout.len_of(PieceIndex(*p)))).sum();
        assert_eq!(self.picker.open_bytes(), bytes, "open pieces {open:?}");
    }

    /// When everybody answers and all is good, everything somebody has gets here.
    fn finish(&mut self) {
        for _ in 0..2000 {
            self.verdict(true);
            for peer in 0..3 {
                let has = self.peers[peer].has.clone();
                let view =
                    PeerView { requests_out: self.out[peer].len(), ..view(self.peers[peer].key, &has) };
                self.pick(peer, &view, 2);
                self.answer(peer, 0);
            }
        }
        let able = |p: &PieceIndex| self.peers.iter().any(|peer| peer.has.has(*p));
        let left: Vec<PieceIndex> =
            self.layout.pieces().filter(|p| self.picker.wants(*p)).filter(able).collect();
        assert_eq!(left, [], "of pieces somebody has");
        self.check();
    }
}

struct Peer {
    key: PeerKey,
    has: Bitfield,
}

impl Peer {
    fn new(index: usize, bits: &str) -> Self {
        Peer { key: key(index), has: pieces(bits) }
    }

    fn seed(index: usize, count: u32) -> Self {
        Peer { key: key(index), has: Bitfield::all(count) }
    }

    fn view(&self) -> PeerView<'_> {
        view(self.key, &self.has)
    }
}

fn view(key: PeerKey, has: &Bitfield) -> PeerView<'_> {
    PeerView {
        key,
        has,
        is_choked: false,
        allowed_fast: &[],
        suggested: &[],
        is_snubbed: false,
        is_on_parole: false,
        rate: 0,
        requests_out: 0,
        open_bytes_max: u64::MAX,
        idle_others: &[],
    }
}

/// The notes' exchange: three pieces of two, two and one blocks; B has all, C the first two.
fn three_peers(seed: u64) -> (Picker, Peer, Peer) {
    let layout = Layout::new(2 * BLOCK_LEN, [75_536]).expect("the test gives fitting numbers");
    let mut picker = Picker::new(layout, Bitfield::none(3), None, false, seed);
    let (b, c) = (Peer::new(0, "111"), Peer::new(1, "110"));
    picker.peer_joined(b.key, &b.has);
    picker.peer_joined(c.key, &c.has);
    (picker, b, c)
}

fn assert_an_idle_peer_doubles_nothing_early(picker: &mut Picker, peer: &Peer, picks: &[BlockRef]) {
    picks.iter().for_each(|b| _ = picker.received(*b, peer.key));
    picker.verified(picks[0].piece);
    assert_eq!(picker.pick(&peer.view(), 8, T0 + Duration::from_secs(1)), []);
}

fn two_seeds(piece_count: u32, blocks: u32) -> (Picker, Peer, Peer) {
    let mut picker = picker(piece_count * blocks, blocks, 5);
    let (a, b) = (Peer::seed(0, piece_count), Peer::seed(1, piece_count));
    picker.peer_joined(a.key, &a.has);
    picker.peer_joined(b.key, &b.has);
    (picker, a, b)
}

/// A picker over so many blocks in pieces of so many.
fn picker(blocks: u32, blocks_a_piece: u32, seed: u64) -> Picker {
    let layout = Layout::new(blocks_a_piece * BLOCK_LEN, [u64::from(blocks) * u64::from(BLOCK_LEN)])
        .expect("the test gives fitting numbers");
    let have = Bitfield::none(layout.piece_count());
    Picker::new(layout, have, None, false, seed)
}

fn key(index: usize) -> PeerKey {
    let mut keys = SlotMap::with_key();
    (0..=index).map(|_| keys.insert(())).last().expect("the test gives fitting numbers")
}

fn pieces(bits: &str) -> Bitfield {
    let mut set = Bitfield::none(u32::try_from(bits.len()).expect("a row of bits is short"));
    bits.chars().zip(0..).filter(|(c, _)| *c == '1').for_each(|(_, i)| _ = set.set(PieceIndex(i)));
    set
}

fn only(piece: PieceIndex) -> Bitfield {
    let mut set = Bitfield::none(piece.0 + 1);
    set.set(piece);
    set
}

fn pieces_of(picks: &[BlockRef]) -> Vec<u32> {
    picks.iter().map(|b| b.piece.0).collect::<BTreeSet<_>>().into_iter().collect()
}

fn id(block: BlockRef) -> (u32, u32) {
    (block.piece.0, block.begin / BLOCK_LEN)
}

fn availability(picker: &Picker) -> Vec<u32> {
    (0..picker.have().len()).map(|p| picker.availability(PieceIndex(p))).collect()
}
