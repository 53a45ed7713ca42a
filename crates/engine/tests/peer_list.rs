//! Which peers are known, dialled and banned.

use core::net::{IpAddr, SocketAddr};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use unchoke_engine::PeerKey;
use unchoke_engine::input::PeerSource;
use unchoke_engine::peer_list::{PeerList, is_newer_kept};
use unchoke_wire::limits::KNOWN_PEERS_MAX;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{BlockIndex, PeerId, PieceIndex};

#[test]
fn an_address_enters_once_and_never_from_outside_its_tellers_scope() {
    let mut list = PeerList::new(0, vec![addr("9.9.9.9:6881")]);
    let table = [
        ("8.8.8.8:1", PeerSource::Pex, "1.1.1.1", true),
        ("8.8.8.8:1", PeerSource::Tracker, "1.1.1.1", false),
        ("[::ffff:8.8.8.8]:1", PeerSource::Tracker, "1.1.1.1", false),
        ("8.8.8.8:0", PeerSource::User, "1.1.1.1", false),
        ("9.9.9.9:6881", PeerSource::Dht, "1.1.1.1", false),
        ("127.0.0.1:1", PeerSource::Pex, "1.1.1.1", false),
        ("192.168.0.1:1", PeerSource::Tracker, "127.0.0.1", false),
        ("127.0.0.1:1", PeerSource::Tracker, "127.0.0.1", true),
        ("192.168.0.1:1", PeerSource::Pex, "10.0.0.1", true),
        ("127.0.0.1:2", PeerSource::User, "1.1.1.1", true),
    ];
    for (peer, source, told_by, is_new) in table {
        let told_by = Some(told_by.parse().unwrap());
        assert_eq!(list.add(addr(peer), source, told_by, T0), is_new, "{peer} told by {told_by:?}");
    }
    assert!(!list.add(addr("127.0.0.1:3"), PeerSource::Dht, None, T0), "nobody in particular is global");
    assert_eq!(list.len(), 4);
}

#[test]
fn a_failed_peer_rests_a_minute_more_each_time_and_is_given_up_after_three() {
    let mut list = list(&["8.8.8.8:1"]);
    let mut now = T0;
    for rest_s in [120, 180] {
        let key = dial_one(&mut list, now);
        assert_eq!(list.next_dial_time(now), None, "not while it is dialled");
        list.failed(key, now);
        assert_eq!(list.next_dial_time(now), Some(now + Duration::from_secs(rest_s)));
        assert_eq!(list.next_to_dial(now + Duration::from_secs(rest_s - 1), 9, false), []);
        now = now + Duration::from_secs(rest_s);
    }
    let key = dial_one(&mut list, now);
    list.failed(key, now);
    assert_eq!(list.next_dial_time(now), None);
    list.add(addr("8.8.8.8:1"), PeerSource::Pex, None, now);
    assert_eq!(list.next_dial_time(now), None, "hearsay does not bring it back");
    list.add(addr("8.8.8.8:1"), PeerSource::Tracker, None, now);
    assert!(list.next_dial_time(now).is_some());
}

#[test]
fn a_peer_the_user_named_is_tried_again_soon_and_for_ever() {
    let mut list = PeerList::new(0, vec![]);
    list.add(addr("10.0.0.1:1"), PeerSource::User, None, T0);
    let mut now = T0;
    for rest_s in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let key = dial_one(&mut list, now);
        list.failed(key, now);
        assert_eq!(list.next_dial_time(now), Some(now + Duration::from_secs(rest_s)));
        now = now + Duration::from_secs(rest_s);
    }
    let key = dial_one(&mut list, now);
    list.connected(key, now);
    list.disconnected(key, now);
    assert_eq!(list.next_dial_time(now), Some(now + Duration::from_secs(1)));
}

#[test]
fn a_peer_the_user_named_that_closes_each_time_is_tried_ever_more_seldom_until_it_gives_something() {
    let mut list = PeerList::new(0, vec![]);
    list.add(addr("10.0.0.1:1"), PeerSource::User, None, T0);
    let mut now = T0;
    for rest_s in [1, 2, 4, 8, 16, 32, 60, 60] {
        let key = dial_one(&mut list, now);
        list.connected(key, now);
        list.missed(key, now);
        let next = list.next_dial_time(now).unwrap();
        assert_eq!(next.since(now).as_secs(), rest_s);
        now = next;
    }
    let key = dial_one(&mut list, now);
    list.connected(key, now);
    list.disconnected(key, now);
    assert_eq!(list.next_dial_time(now), Some(now + Duration::from_secs(1)));
}

#[test]
fn the_best_candidates_are_dialled_first() {
    let mut list = PeerList::new(0, vec![]);
    let told_by = Some("10.0.0.9".parse().unwrap());
    for (peer, source) in [
        ("1.0.0.1:1", PeerSource::Pex),
        ("1.0.0.2:1", PeerSource::Dht),
        ("1.0.0.3:1", PeerSource::Tracker),
        ("1.0.0.4:1", PeerSource::Magnet),
        ("10.0.0.1:1", PeerSource::Pex),
    ] {
        list.add(addr(peer), source, told_by, T0);
    }
    let order = ["10.0.0.1:1", "1.0.0.4:1", "1.0.0.3:1", "1.0.0.2:1", "1.0.0.1:1"];
    assert_eq!(dialled(&mut list, T0, 9), order.map(addr));
    assert_eq!(dialled(&mut list, T0, 2), order[..2].iter().map(|a| addr(a)).collect::<Vec<_>>());
    // Who failed or was tried lately goes last.
    let local = list.next_to_dial(T0, 1, false)[0].0;
    list.dialling(local, T0);
    list.failed(local, T0);
    let later = T0 + Duration::from_secs(600);
    assert_eq!(dialled(&mut list, later, 9).last(), Some(&addr("10.0.0.1:1")));
}

#[test]
fn equals_are_dialled_in_another_order_by_everybody() {
    let first: BTreeSet<SocketAddr> = (0..20)
        .map(|seed| {
            let mut list = PeerList::new(seed, vec![]);
            (1..50).for_each(|i| _ = list.add(addr(&format!("1.0.0.{i}:1")), PeerSource::Tracker, None, T0));
            dialled(&mut list, T0, 1)[0]
        })
        .collect();
    assert!(first.len() > 10, "{first:?}");
}

/// Row 62 of the hostile suite.
#[test]
fn two_ports_of_one_global_address_are_dialled_a_minute() {
    let mut list = PeerList::new(0, vec![]);
    (1..=50).for_each(|port| _ = list.add(SocketAddr::new(ip("8.8.8.8"), port), PeerSource::Pex, None, T0));
    for minute in 0..3 {
        let now = T0 + Duration::from_secs(60 * minute);
        assert_eq!(list.next_to_dial(now, 30, false).len(), 2, "in one go");
        for _ in 0..2 {
            dial_one(&mut list, now);
        }
        assert_eq!(list.next_to_dial(now + Duration::from_secs(59), 30, false), []);
    }
    let mut local = PeerList::new(0, vec![]);
    let told_by = Some(ip("127.0.0.1"));
    (1..=50).for_each(|p| _ = local.add(SocketAddr::new(ip("127.0.0.1"), p), PeerSource::Pex, told_by, T0));
    assert_eq!(local.next_to_dial(T0, 30, false).len(), 30);
}

#[test]
fn seeds_do_not_dial_seeds() {
    let mut list = list(&["1.0.0.1:1", "1.0.0.2:1"]);
    list.note_seed_at(addr("1.0.0.1:1"));
    assert_eq!(dialled(&mut list, T0, 9).len(), 2);
    assert_eq!(dialled_as_seed(&mut list, T0), [addr("1.0.0.2:1")]);
    list.note_seed_at(addr("1.0.0.2:1"));
    assert_eq!((dialled_as_seed(&mut list, T0), list.next_dial_time(T0)), (vec![], None));
    assert_eq!(dialled(&mut list, T0, 9).len(), 2, "when we lack something again");
}

//= S15
#[test]
fn our_own_address_is_remembered_and_never_dialled() {
    let mut list = list(&["1.0.0.1:1"]);
    let key = dial_one(&mut list, T0);
    list.note_ourselves(key);
    list.failed(key, T0);
    let later = T0 + Duration::from_secs(3600);
    assert!(!list.add(addr("1.0.0.1:1"), PeerSource::Tracker, None, later));
    assert_eq!(list.next_dial_time(later), None);
}

//= S15
#[test]
fn both_sides_keep_the_same_one_of_two_crossing_connections() {
    let (low, high) = (PeerId([1; 20]), PeerId([2; 20]));
    // The low side dialled the older, the high side the newer connection.
    assert!(is_newer_kept(low, high, true, false), "as the low side sees it");
    assert!(is_newer_kept(high, low, false, true), "as the high side sees it");
    // The other way round.
    assert!(!is_newer_kept(low, high, false, true));
    assert!(!is_newer_kept(high, low, true, false));
    for is_outgoing in [true, false] {
        assert!(!is_newer_kept(low, high, is_outgoing, is_outgoing), "the newer of one direction goes");
    }
}

//= S15
#[test]
fn two_connections_to_one_listening_address_are_one_peer() {
    let mut list = list(&["1.0.0.1:6881"]);
    let ours = dial_one(&mut list, T0);
    list.connected(ours, T0);
    let theirs = list.accept(addr("1.0.0.1:40000"), T0).unwrap();
    assert_eq!(list.listens_on(theirs, 6881), Some(ours));
    assert_eq!(list.accept(addr("1.0.0.1:40000"), T0), None, "it is connected");
    assert_eq!(list.listens_on(ours, 6882), None, "whom we dialled listens where we dialled it");
    assert_eq!(list.addr(ours), Some(addr("1.0.0.1:6881")));
}

#[test]
fn an_accepted_peer_becomes_the_one_that_was_known() {
    let mut list = list(&["1.0.0.1:6881"]);
    let key = list.accept(addr("1.0.0.1:40000"), T0).unwrap();
    list.connected(key, T0);
    assert!(!list.is_dialable(key));
    assert_eq!((list.listens_on(key, 0), list.len()), (None, 2));
    assert_eq!((list.listens_on(key, 6881), list.len()), (None, 1));
    assert!(list.is_dialable(key));
    assert_eq!((list.addr(key), list.next_dial_time(T0)), (Some(addr("1.0.0.1:6881")), None));
    list.disconnected(key, T0);
    assert_eq!(list.next_dial_time(T0), Some(T0 + Duration::from_secs(60)));
}

#[test]
fn a_connection_that_ends_before_it_began_is_tried_again_soon_but_once() {
    let mut list = list(&["8.8.8.8:1"]);
    let mut now = T0;
    for _ in 0..2 {
        let key = dial_one(&mut list, now);
        list.connected(key, now);
        list.missed(key, now);
        let soon = list.next_dial_time(now).unwrap();
        assert!(soon.since(now) >= Duration::from_secs(1) && soon.since(now) < Duration::from_secs(2));
        now = soon;
        let key = dial_one(&mut list, now);
        list.connected(key, now);
        list.missed(key, now);
        assert_eq!(list.next_dial_time(now), Some(now + Duration::from_secs(60)), "not for ever");
        now = now + Duration::from_secs(60);
        let key = dial_one(&mut list, now);
        list.connected(key, now);
        list.disconnected(key, now);
        assert_eq!(list.next_dial_time(now), Some(now + Duration::from_secs(60)));
        now = now + Duration::from_secs(60);
    }
}

#[test]
fn the_list_is_bounded_and_the_worst_make_room() {
    let mut list = PeerList::new(0, vec![]);
    list.add(addr("9.0.0.1:1"), PeerSource::User, None, T0);
    list.add(addr("9.0.0.2:1"), PeerSource::Tracker, None, T0);
    let connected = list.accept(addr("9.0.0.3:1"), T0).unwrap();
    let over = u32::try_from(KNOWN_PEERS_MAX + 1).expect("it is small");
    for i in 0..2 * over {
        let ip = IpAddr::from((0x0700_0000 + i).to_be_bytes());
        assert!(list.add(SocketAddr::new(ip, 1), PeerSource::Pex, None, T0));
        assert!(list.len() <= KNOWN_PEERS_MAX);
    }
    assert_eq!(list.addr(connected), Some(addr("9.0.0.3:1")));
    assert_eq!(dialled(&mut list, T0, 2), ["9.0.0.1:1", "9.0.0.2:1"].map(addr));
}

/// Row 41 of the hostile suite.
//= S28
#[test]
fn one_corrupt_block_of_64_names_its_sender_once_the_piece_passes() {
    let mut swarm = Senders::new(8);
    let from: Vec<usize> = (0..64).map(|block| block % 8).collect();
    swarm.fails(0, &from, &[13]);
    assert_eq!(swarm.banned(), []);
    assert!(
        (0..8).all(|p| swarm.list.is_on_parole(swarm.peers[p]) && swarm.list.trust(swarm.peers[p]) == -2)
    );
    assert!(swarm.list.wants_hashes(PieceIndex(0)));
    swarm.passes(0, &[0; 64]);
    assert_eq!(swarm.banned(), [13 % 8]);
    assert!((0..8).all(|p| swarm.list.is_on_parole(swarm.peers[p]) == (p == 5)), "the others are cleared");
    assert!(!swarm.list.wants_hashes(PieceIndex(0)));
}

/// Row 42 of the hostile suite.
//= S28
#[test]
fn two_colluders_are_banned_within_three_pieces() {
    let mut swarm = Senders::new(4);
    swarm.fails(0, &[0, 1, 2, 3], &[1, 2]);
    swarm.fails(0, &[3, 0, 1, 2], &[2, 3]);
    swarm.passes(0, &[0, 3, 3, 0]);
    assert_eq!(swarm.banned(), [1, 2]);
    assert!(!swarm.list.is_on_parole(swarm.peers[0]) && !swarm.list.is_on_parole(swarm.peers[3]));
    // A colluder that keeps the good piece from coming is alone with its next one, on parole.
    let mut swarm = Senders::new(2);
    swarm.fails(0, &[0, 1], &[0]);
    swarm.fails(1, &[0, 0], &[1]);
    assert_eq!(swarm.banned(), [0]);
}

/// Row 43 of the hostile suite.
//= S28
#[test]
fn the_only_sender_of_a_failed_piece_is_banned_for_an_hour_at_once() {
    let mut swarm = Senders::new(3);
    swarm.fails(9, &[1], &[0]);
    assert_eq!(swarm.banned(), [1]);
    let (ip, hour) = (IpAddr::from([1, 0, 0, 1]), Duration::from_secs(3600));
    assert!(!swarm.list.add(SocketAddr::new(ip, 99), PeerSource::Tracker, None, T0));
    assert_eq!(swarm.list.accept(SocketAddr::new(ip, 4000), T0), None);
    assert!(swarm.list.is_banned(ip, T0 + hour - Duration::from_secs(1)));
    assert!(!swarm.list.is_banned(ip, T0 + hour));
    assert!(swarm.list.accept(SocketAddr::new(ip, 4000), T0 + hour).is_some());
}

#[test]
fn nobody_is_blamed_for_a_piece_with_blocks_of_an_earlier_run() {
    let mut swarm = Senders::new(1);
    let from = [(BlockIndex(0), None), (BlockIndex(1), Some(swarm.peers[0]))];
    swarm.list.piece_failed(PieceIndex(0), &[hash(0, false), hash(1, true)], &from, T0);
    assert_eq!(swarm.banned(), []);
    assert!(swarm.list.is_on_parole(swarm.peers[0]));
}

#[test]
fn trust_grows_to_eight_and_a_whole_good_piece_ends_parole() {
    let mut swarm = Senders::new(2);
    swarm.fails(0, &[0, 1], &[1]);
    swarm.passes(1, &[0, 1]);
    assert!(swarm.list.is_on_parole(swarm.peers[0]), "a shared piece proves nothing");
    (2..20).for_each(|piece| swarm.passes(piece, &[0, 0]));
    assert!(!swarm.list.is_on_parole(swarm.peers[0]));
    assert_eq!((swarm.list.trust(swarm.peers[0]), swarm.list.trust(swarm.peers[1])), (8, -1));
}

/// S16: that ids never count is in the signatures: nothing about bans takes one.
//= S16
#[test]
fn a_ban_goes_by_address_whatever_id_the_peer_shows() {
    let mut swarm = Senders::new(2);
    swarm.list.expect_id(addr("1.0.0.1:1"), PeerId([7; 20]));
    swarm.list.expect_id(addr("1.0.0.0:1"), PeerId([7; 20]));
    swarm.fails(0, &[1, 1], &[0]);
    assert_eq!(swarm.banned(), [1], "the other one with that id stays");
}

proptest! {
    /// B9 of the hostile suite.
    #[test]
    fn innocents_are_never_banned_and_colluders_always_are(
        colluders in 1..6usize,
        seed in any::<u64>(),
        corrupt_one_in in 1..5usize,
    ) {
        let peers = 12;
        let mut swarm = Senders::new(peers);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut next = |below: usize| rng.random_range(0..below);
        let mut guilty = BTreeSet::new();
        for piece in 0..40 {
            loop {
                let banned = swarm.banned();
                let free: Vec<usize> = (0..peers).filter(|p| !banned.contains(p)).collect();
                let pick = free[next(free.len())];
                // As the picker does: who is on parole gets the piece alone.
                let sharing: Vec<usize> =
                    free.iter().copied().filter(|p| !swarm.list.is_on_parole(swarm.peers[*p])).collect();
                let from: Vec<usize> = match swarm.list.is_on_parole(swarm.peers[pick]) {
                    true => vec![pick; 8],
                    false => (0..8).map(|_| sharing[next(sharing.len())]).collect(),
                };
                let bad: Vec<usize> =
                    (0..8).filter(|b| from[*b] < colluders && next(corrupt_one_in) == 0).collect();
                if bad.is_empty() {
                    swarm.passes(piece, &from);
                    break;
                }
                guilty.extend(bad.iter().map(|b| from[*b]));
                swarm.fails(piece, &from, &bad);
            }
        }
        let banned: BTreeSet<usize> = swarm.banned().into_iter().collect();
        prop_assert_eq!(banned, guilty);
    }
}

const T0: Instant = Instant::from_micros(7_000_000_000);

/// Peers that send blocks, each from its own address.
struct Senders {
    list: PeerList,
    peers: Vec<PeerKey>,
}

impl Senders {
    fn new(count: usize) -> Self {
        let mut list = PeerList::new(0, vec![]);
        let peers = (0..count)
            .map(|i| list.accept(addr(&format!("1.0.0.{i}:1")), T0).expect("the test names what is there"))
            .collect();
        Senders { list, peers }
    }

    fn fails(&mut self, piece: u32, from: &[usize], bad: &[usize]) {
        let hashes: Vec<[u8; 20]> = (0..from.len()).map(|b| hash(b, bad.contains(&b))).collect();
        self.list.piece_failed(PieceIndex(piece), &hashes, &self.senders(from), T0);
    }

    fn passes(&mut self, piece: u32, from: &[usize]) {
        let is_asked = self.list.wants_hashes(PieceIndex(piece));
        let hashes: Vec<[u8; 20]> =
            (0..from.len()).take_while(|_| is_asked).map(|b| hash(b, false)).collect();
        self.list.piece_passed(PieceIndex(piece), &hashes, &self.senders(from), T0);
    }

    fn senders(&self, from: &[usize]) -> Vec<(BlockIndex, Option<PeerKey>)> {
        from.iter().zip(0..).map(|(p, b)| (BlockIndex(b), Some(self.peers[*p]))).collect()
    }

    fn banned(&self) -> Vec<usize> {
        let is_banned = |p: &usize| {
            self.list
                .is_banned(self.list.addr(self.peers[*p]).expect("the test names what is there").ip(), T0)
        };
        (0..self.peers.len()).filter(is_banned).collect()
    }
}

fn hash(block: usize, is_bad: bool) -> [u8; 20] {
    let mut hash = [u8::from(is_bad); 20];
    hash[..8].copy_from_slice(&block.to_be_bytes());
    hash
}

fn list(addrs: &[&str]) -> PeerList {
    let mut list = PeerList::new(0, vec![]);
    addrs.iter().for_each(|a| assert!(list.add(addr(a), PeerSource::Tracker, None, T0)));
    list
}

fn dial_one(list: &mut PeerList, now: Instant) -> PeerKey {
    let (key, _) = list.next_to_dial(now, 1, false)[0];
    list.dialling(key, now);
    key
}

fn dialled(list: &mut PeerList, now: Instant, n: usize) -> Vec<SocketAddr> {
    list.next_to_dial(now, n, false).into_iter().map(|(_, addr)| addr).collect()
}

fn dialled_as_seed(list: &mut PeerList, now: Instant) -> Vec<SocketAddr> {
    list.next_to_dial(now, 9, true).into_iter().map(|(_, addr)| addr).collect()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("the test names what is there")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("the test names what is there")
}

//= H3f-3
#[test]
fn after_a_move_whoever_rests_is_tried_again_within_two_seconds() {
    let mut list = list(&["8.8.8.8:1"]);
    let key = dial_one(&mut list, T0);
    list.connected(key, T0);
    list.disconnected(key, T0);
    list.moved(vec![addr("10.0.0.2:1")], T0);
    let again = list.next_dial_time(T0).unwrap();
    assert!((1..=2).contains(&again.since(T0).as_secs()), "{again:?}");
    let key = dial_one(&mut list, again);
    list.connected(key, again);
    list.misbehaved(key, again);
    list.disconnected(key, again);
    list.moved(vec![addr("10.0.0.3:1")], again);
    assert_eq!(list.next_dial_time(again), None, "who broke the protocol is no better for our move");
}

//= H3f-2
#[test]
fn while_nobody_is_connected_peers_that_were_are_not_given_up_for_a_quarter_of_an_hour() {
    let mut list = list(&["8.8.8.8:1", "9.9.9.9:1"]);
    let both = list.next_to_dial(T0, 2, false);
    for (key, _) in &both {
        list.dialling(*key, T0);
    }
    // one of them is known to be there, the other is not
    list.connected(both[0].0, T0);
    list.disconnected(both[0].0, T0);
    list.failed(both[1].0, T0);
    let mut dials = [0, 0];
    let mut now = T0;
    while let Some(at) = list.next_dial_time(now).filter(|at| at.since(T0) < Duration::from_secs(3600)) {
        now = at;
        for (key, _) in list.next_to_dial(now, 1, false) {
            list.dialling(key, now);
            list.failed(key, now);
            dials[both.iter().position(|b| b.0 == key).unwrap()] += 1;
        }
    }
    assert!((20..40).contains(&dials[0]) && dials[1] == 2, "{dials:?}");
}
