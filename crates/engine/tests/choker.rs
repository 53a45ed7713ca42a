//! Who is sent blocks, over many rounds.

use proptest::prelude::*;
use slotmap::SlotMap;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_engine::ConnId;
use unchoke_engine::choker::{Choker, PeerRates};
use unchoke_wire::time::{Duration, Instant};

//= S22
#[test]
fn the_best_seven_of_those_that_send_to_us_are_always_unchoked() {
    for seed in 0..200 {
        let mut swarm = Swarm::new(8, 30, seed);
        for round in 0..20 {
            let order = swarm.shuffled_rates(round);
            swarm.rechoke();
            let best: BTreeSet<usize> = order[..7].iter().copied().collect();
            assert!(best.is_subset(&swarm.unchoked()), "seed {seed} round {round}");
            assert_eq!(swarm.unchoked().len(), 8);
        }
    }
}

//= S22
#[test]
fn one_more_is_drawn_by_lot_for_thirty_seconds_and_newcomers_three_times_as_often() {
    let (mut new, mut draws, mut drawn) = (0, 0, BTreeSet::new());
    for seed in 0..400 {
        let mut swarm = Swarm::new(8, 27, seed);
        swarm.now = swarm.now + Duration::from_secs(1000);
        (0..7).for_each(|i| swarm.peers[i].received = 1000);
        (0..20).for_each(|i| swarm.peers[i].connected_at = T0);
        (20..27).for_each(|i| swarm.peers[i].connected_at = swarm.now);
        swarm.rechoke();
        let first = swarm.by_lot(7);
        swarm.pass(10);
        swarm.rechoke();
        swarm.pass(10);
        swarm.rechoke();
        assert_eq!(swarm.by_lot(7), first, "kept for three rounds");
        draws += 1;
        new += usize::from(first >= 20);
        drawn.insert(first);
    }
    // Seven newcomers with three lots each against thirteen others: 21 of 34.
    let share = new * 100 / draws;
    assert!((55..69).contains(&share), "{share} % newcomers");
    assert_eq!(drawn, (7..27).collect());
}

//= S22
#[test]
fn lots_are_drawn_anew_after_thirty_seconds() {
    let mut swarm = Swarm::new(8, 60, 1);
    (0..7).for_each(|i| swarm.peers[i].received = 1000);
    let mut drawn = BTreeSet::new();
    for _ in 0..60 {
        swarm.rechoke();
        drawn.insert(swarm.by_lot(7));
        swarm.pass(10);
    }
    assert!((10..=20).contains(&drawn.len()), "{} of 20 drawings differ", drawn.len());
}

//= S23
#[test]
fn a_free_slot_is_given_away_at_once_and_no_more_than_there_are() {
    let mut swarm = Swarm::new(4, 6, 0);
    swarm.peers.iter_mut().for_each(|p| p.is_interested = false);
    for i in 0..6 {
        swarm.peers[i].is_interested = true;
        swarm.fill();
        assert_eq!(swarm.unchoked().len(), (i + 1).min(4));
    }
    let gone = *swarm.unchoked().first().unwrap();
    swarm.choker.forget(swarm.peers[gone].conn);
    swarm.peers.remove(gone);
    swarm.fill();
    assert_eq!(swarm.unchoked().len(), 4);
}

//= S23
#[test]
fn who_lost_interest_is_choked_when_another_needs_its_slot() {
    let mut swarm = Swarm::new(2, 3, 0);
    swarm.fill();
    let idle = *swarm.unchoked().first().unwrap();
    swarm.peers[idle].is_interested = false;
    swarm.fill();
    assert_eq!(swarm.unchoked().len(), 2);
    assert!(swarm.peers[idle].is_choked, "the third took its slot");
    let other = *swarm.unchoked().first().unwrap();
    swarm.peers[other].is_interested = false;
    swarm.fill();
    assert!(!swarm.peers[other].is_choked, "nobody waits");
    swarm.rechoke();
    assert!(swarm.peers[other].is_choked, "but a round ends it");
}

#[test]
fn a_peer_that_snubs_us_is_unchoked_by_lot_only() {
    let mut swarm = Swarm::new(8, 12, 0);
    swarm.peers.iter_mut().for_each(|p| p.received = 10);
    (0..3).for_each(|i| {
        swarm.peers[i].received = 1_000_000;
        swarm.peers[i].is_snubbing = true;
    });
    swarm.rechoke();
    assert!(swarm.unchoked().iter().filter(|i| **i < 3).count() <= 1);
    swarm.peers.iter_mut().for_each(|p| (p.is_choked, p.is_snubbing) = (true, true));
    swarm.fill();
    assert_eq!(swarm.unchoked().len(), 0, "a free slot is not for them");
}

#[test]
fn a_seed_serves_everybody_in_turn() {
    let mut swarm = Swarm::new(8, 24, 3);
    swarm.peers.iter_mut().for_each(|p| p.is_seeding = true);
    let mut served = BTreeMap::new();
    for _ in 0..360 {
        swarm.rechoke();
        let share = 8_000_000 / swarm.unchoked().len() as u64;
        swarm.serve(|_| share);
        swarm.unchoked().into_iter().for_each(|i| *served.entry(i).or_insert(0u64) += share);
        swarm.pass(10);
    }
    let (least, most) = (served.values().min().unwrap(), served.values().max().unwrap());
    assert_eq!(served.len(), 24);
    assert!(most < &(least * 3 / 2), "between {least} and {most} bytes");
}

#[test]
fn a_turn_lasts_a_minute_then_its_quota_while_it_is_taken_and_five_minutes_at_most() {
    let table = [
        (59, 0, 0, true),
        (59, 1, 2 * QUOTA, true),
        (60, 0, 0, false),
        (60, 1, QUOTA - 1, true),
        (60, 1, QUOTA, false),
        (299, 1, 1, true),
        (300, 1, 1, false),
    ];
    for (held_s, sent, sent_since_unchoke, is_kept) in table {
        let was_choked = (0..20).any(|seed| {
            let mut swarm = Swarm::new(2, 9, seed);
            swarm.peers.iter_mut().for_each(|p| p.is_seeding = true);
            swarm.peers[0] = PeerRates { is_choked: false, sent, sent_since_unchoke, ..swarm.peers[0] };
            swarm.pass(held_s);
            swarm.rechoke();
            swarm.peers[0].is_choked
        });
        assert_eq!(!was_choked, is_kept, "{held_s} s, {sent} bytes of late, {sent_since_unchoke} in all");
    }
}

/// B10 of the hostile suite: whoever reconnects whenever it is choked, to be new again, gains next to nothing.
#[test]
fn three_reconnecting_attackers_of_32_slow_the_median_by_less_than_a_tenth() {
    let median = |attackers: usize| {
        let mut all = Vec::new();
        for seed in 0..8 {
            let mut swarm = Swarm::new(8, 32, seed);
            swarm.peers.iter_mut().for_each(|p| p.is_seeding = true);
            let mut served = vec![0u64; 32];
            for _ in 0..720 {
                swarm.rechoke();
                for i in 0..attackers {
                    if swarm.peers[i].is_choked {
                        swarm.choker.forget(swarm.peers[i].conn);
                        swarm.peers[i] = PeerRates { is_seeding: true, ..swarm.peer() };
                    }
                }
                swarm.fill();
                let share = 8_000_000 / swarm.unchoked().len().max(1) as u64;
                swarm.serve(|_| share);
                swarm.unchoked().into_iter().for_each(|i| served[i] += share);
                swarm.pass(10);
            }
            all.extend_from_slice(&served[3..]);
        }
        all.sort_unstable();
        all[all.len() / 2]
    };
    let (calm, attacked) = (median(0), median(3));
    assert!(attacked * 10 > calm * 9, "{attacked} of {calm} bytes");
}

proptest! {
    #[test]
    fn slots_are_never_exceeded_nor_left_empty(
        slots in 0..12usize,
        seed in any::<u64>(),
        rounds in prop::collection::vec(prop::collection::vec((any::<bool>(), any::<bool>(), 0..3u64), 15), 1..12),
    ) {
        let mut swarm = Swarm::new(slots, 15, seed);
        for states in rounds {
            for (p, (is_interested, is_seeding, received)) in swarm.peers.iter_mut().zip(states) {
                (p.is_interested, p.is_seeding, p.received) = (is_interested, is_seeding, received);
            }
            let interested = swarm.peers.iter().filter(|p| p.is_interested).count();
            swarm.fill();
            prop_assert!(swarm.unchoked().len() <= slots);
            swarm.rechoke();
            prop_assert_eq!(swarm.unchoked().len(), interested.min(slots));
            prop_assert!(swarm.unchoked().iter().all(|i| swarm.peers[*i].is_interested));
            swarm.pass(10);
        }
    }
}

const T0: Instant = Instant::from_micros(1_000_000);
const QUOTA: u64 = 20 << 20;

/// Peers of one choker, and what it told them.
struct Swarm {
    choker: Choker,
    names: SlotMap<ConnId, ()>,
    peers: Vec<PeerRates>,
    now: Instant,
}

impl Swarm {
    fn new(slots: usize, count: usize, seed: u64) -> Self {
        let choker = Choker::new(slots, seed);
        let mut swarm = Swarm { choker, names: SlotMap::with_key(), peers: Vec::new(), now: T0 };
        swarm.peers = (0..count).map(|_| swarm.peer()).collect();
        swarm
    }

    fn peer(&mut self) -> PeerRates {
        PeerRates {
            conn: self.names.insert(()),
            is_interested: true,
            is_choked: true,
            is_seeding: false,
            received: 0,
            sent: 0,
            sent_since_unchoke: 0,
            unchoked_at: self.now,
            connected_at: self.now,
            is_snubbing: false,
            quota: QUOTA,
        }
    }

    /// Gives everybody another rate; the peers from the fastest to the slowest.
    fn shuffled_rates(&mut self, salt: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.peers.len()).collect();
        order.sort_by_key(|i| {
            (*i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (salt << 32)).rotate_left(17)
        });
        order.iter().zip(0..).for_each(|(i, place)| self.peers[*i].received = 1_000_000 - place * 1000);
        order
    }

    fn rechoke(&mut self) {
        let changes = self.choker.rechoke(&self.peers, self.now);
        self.apply(&changes);
    }

    fn fill(&mut self) {
        let changes = self.choker.fill(&self.peers, self.now);
        self.apply(&changes);
    }

    fn apply(&mut self, changes: &[unchoke_engine::choker::ChokeChange]) {
        for change in changes {
            let peer =
                self.peers.iter_mut().find(|p| p.conn == change.conn).expect("the test names what is there");
            assert_ne!(peer.is_choked, change.choke, "only what changes is said");
            peer.is_choked = change.choke;
            if !change.choke {
                (peer.unchoked_at, peer.sent_since_unchoke) = (self.now, 0);
            }
        }
    }

    fn serve(&mut self, bytes: impl Fn(usize) -> u64) {
        for (i, peer) in self.peers.iter_mut().enumerate() {
            peer.sent = if peer.is_choked { 0 } else { bytes(i) };
            peer.sent_since_unchoke += peer.sent;
        }
    }

    fn pass(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
    }

    fn unchoked(&self) -> BTreeSet<usize> {
        (0..self.peers.len()).filter(|i| !self.peers[*i].is_choked).collect()
    }

    /// The one unchoked peer that is not among the first `regular`.
    fn by_lot(&self, regular: usize) -> usize {
        let drawn: Vec<usize> = self.unchoked().into_iter().filter(|i| *i >= regular).collect();
        assert_eq!(drawn.len(), 1);
        drawn[0]
    }
}
