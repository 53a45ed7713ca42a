//! Queries that wait for an answer.
//!
//! An answer counts only from the endpoint that was asked and under the transaction id it was asked by. A query first
//! becomes slow, which lets others go ahead of it, and only later dead; an answer in between still counts.

use crate::round_trips::RoundTrips;
use core::net::SocketAddr;
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::krpc::NodeId;
use unchoke_wire::time::{Duration, Instant};

/// When an unanswered query is dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Bounds of the time until slow of a node not met before.
const SLOW_UNKNOWN_MIN: Duration = Duration::from_millis(80);
const SLOW_UNKNOWN_MAX: Duration = Duration::from_millis(500);
/// What a known node is given beyond one and a quarter times its round-trip time.
const SLACK: Duration = Duration::from_millis(30);
/// Bounds of the time until slow of a known node.
const SLOW_MIN: Duration = Duration::from_millis(100);
const SLOW_MAX: Duration = Duration::from_millis(600);
/// Queries waiting at once.
const PENDING_MAX: usize = 2048;

/// Names a lookup while it runs.
pub(crate) type LookupId = u64;

/// Why a query was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// To see whether a node of the table, or a candidate for it, answers.
    Ping,
    /// The shell asked.
    Command,
    /// First contact: to verify an endpoint and learn the nodes around us.
    Contact,
    Lookup(LookupId),
    /// A lookup's result is to be stored.
    Store(LookupId),
}

/// A query that waits.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) to: SocketAddr,
    /// Who should answer, if that is known.
    pub(crate) id: Option<NodeId>,
    pub(crate) sent: Instant,
    pub(crate) purpose: Purpose,
    pub(crate) is_slow: bool,
    /// Its silence proves nothing: the node answered another query since, or was asked once more.
    pub(crate) is_excused: bool,
}

impl Pending {
    pub(crate) fn new(to: SocketAddr, id: Option<NodeId>, purpose: Purpose, now: Instant) -> Self {
        Pending { to, id, sent: now, purpose, is_slow: false, is_excused: false }
    }

    fn is_contact_in_flight(&self) -> bool {
        self.purpose == Purpose::Contact && !self.is_slow
    }
}

/// What became of a query without an answer.
#[derive(Debug)]
pub(crate) enum Silent {
    /// Late; it may yet be answered.
    Slow(Pending),
    /// Given up.
    Dead(Pending),
}

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Each with its next deadline.
    pending: BTreeMap<u32, (Pending, Instant)>,
    deadlines: BTreeSet<(Instant, u32)>,
    by_addr: BTreeSet<(SocketAddr, u32)>,
    /// First contacts that are not slow yet.
    contacts_in_flight: usize,
    round_trips: RoundTrips,
}

impl Transactions {
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// Registers a query and hands out its transaction id, which cannot be guessed.
    pub(crate) fn begin(&mut self, pending: Pending, srtt: Option<Duration>, rng: &mut impl Rng) -> u32 {
        let mut tid = rng.random();
        while self.pending.contains_key(&tid) {
            tid = rng.random();
        }
        let unknown = self.round_trips.upper_quartile().clamp(SLOW_UNKNOWN_MIN, SLOW_UNKNOWN_MAX);
        let mut slow_after = srtt.map_or(unknown, |srtt| (srtt * 5 / 4 + SLACK).clamp(SLOW_MIN, SLOW_MAX));
        let purpose = pending.purpose;
        if self.excuse(&pending.to, |earlier| earlier.purpose == purpose) {
            // asked once more: it had its time
            slow_after = slow_after.min(unknown);
        }
        let deadline = pending.sent + slow_after;
        self.deadlines.insert((deadline, tid));
        self.by_addr.insert((pending.to, tid));
        self.contacts_in_flight += usize::from(pending.is_contact_in_flight());
        self.pending.insert(tid, (pending, deadline));
        tid
    }

    /// Whether a datagram from `from` with this transaction id would be an answer to a query of ours.
    pub(crate) fn awaits(&self, transaction: &[u8], from: SocketAddr) -> bool {
        let tid = transaction.try_into().map(u32::from_be_bytes);
        tid.is_ok_and(|tid| self.pending.get(&tid).is_some_and(|(p, _)| p.to == from))
    }

    /// Notes the round-trip time of an answer.
    pub(crate) fn note_rtt(&mut self, rtt: Duration) {
        self.round_trips.note(rtt);
    }

    /// The query that an answer with this transaction id from this endpoint ends.
    pub(crate) fn finish(&mut self, transaction: &[u8], from: SocketAddr, now: Instant) -> Option<Pending> {
        let tid = transaction.try_into().map(u32::from_be_bytes).ok()?;
        self.pending.get(&tid).filter(|(p, _)| p.to == from)?;
        let pending = self.remove(tid)?;
        self.round_trips.note(now.since(pending.sent));
        self.excuse(&from, |_| true);
        Some(pending)
    }

    /// The next query whose time came; call until `None`.
    pub(crate) fn pop_silent(&mut self, now: Instant) -> Option<Silent> {
        let (_, tid) = self.deadlines.first().copied().filter(|(at, _)| *at <= now)?;
        self.deadlines.pop_first();
        let (pending, deadline) = self.pending.get_mut(&tid).expect("a deadline is removed with its query");
        if pending.is_slow {
            return self.remove(tid).map(Silent::Dead);
        }
        self.contacts_in_flight -= usize::from(pending.is_contact_in_flight());
        pending.is_slow = true;
        *deadline = pending.sent + DEAD_AFTER;
        self.deadlines.insert((*deadline, tid));
        Some(Silent::Slow(pending.clone()))
    }

    /// Ends every query to `addr` and hands them out.
    pub(crate) fn abort(&mut self, addr: &SocketAddr) -> Vec<Pending> {
        let tids: Vec<u32> = self.asked_at(addr).collect();
        tids.into_iter().filter_map(|tid| self.remove(tid)).collect()
    }

    /// Whether a query to `addr` waits and is not slow yet.
    pub(crate) fn is_asking(&self, addr: &SocketAddr) -> bool {
        self.asked_at(addr).any(|tid| self.pending.get(&tid).is_some_and(|(p, _)| !p.is_slow))
    }

    /// First contacts that are not slow yet.
    pub(crate) fn contacts_in_flight(&self) -> usize {
        self.contacts_in_flight
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, tid: u32) -> Option<Pending> {
        let (pending, deadline) = self.pending.remove(&tid)?;
        self.deadlines.remove(&(deadline, tid));
        self.by_addr.remove(&(pending.to, tid));
        self.contacts_in_flight -= usize::from(pending.is_contact_in_flight());
        Some(pending)
    }

    /// Excuses those of the queries to `addr` that `which` names; says whether there are any.
    fn excuse(&mut self, addr: &SocketAddr, which: impl Fn(&Pending) -> bool) -> bool {
        let tids: Vec<u32> = self.asked_at(addr).collect();
        let mut is_any = false;
        for tid in tids {
            if let Some((pending, _)) = self.pending.get_mut(&tid).filter(|(p, _)| which(p)) {
                pending.is_excused = true;
                is_any = true;
            }
        }
        is_any
    }

    /// Transaction ids of the queries to `addr`.
    fn asked_at(&self, addr: &SocketAddr) -> impl Iterator<Item = u32> {
        self.by_addr.range((*addr, 0)..=(*addr, u32::MAX)).map(|(_, tid)| *tid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    fn slow_after(transactions: &mut Transactions, srtt: Option<u64>) -> Duration {
        let (rng, now) = (&mut ChaCha12Rng::from_seed([1; 32]), Instant::ZERO);
        let to = SocketAddr::from(([8, 8, 8, 8], 1));
        let pending = Pending::new(to, None, Purpose::Ping, now);
        transactions.begin(pending, srtt.map(Duration::from_millis), rng);
        let at = transactions.next_deadline().expect("one waits");
        transactions.abort(&to);
        assert!(transactions.next_deadline().is_none());
        at.since(now)
    }

    #[test]
    fn a_query_is_slow_after_one_and_a_quarter_times_its_nodes_round_trip_or_after_most_nodes_answer() {
        let mut t = Transactions::default();
        for (srtt, ms) in [(None, 250), (Some(10), 100), (Some(200), 280), (Some(900), 600)] {
            assert_eq!(slow_after(&mut t, srtt), Duration::from_millis(ms));
        }
        for (rtt_ms, slow_ms) in [(20, 80), (3000, 500)] {
            (0..1000).for_each(|_| t.note_rtt(Duration::from_millis(rtt_ms)));
            assert_eq!(slow_after(&mut t, None), Duration::from_millis(slow_ms));
        }
    }

    #[test]
    fn a_lost_query_is_no_failure_of_a_node_that_answered_the_next() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        let (to, now) = (SocketAddr::from(([8, 8, 8, 8], 1)), Instant::ZERO);
        let mut t = Transactions::default();
        t.begin(Pending::new(to, None, Purpose::Lookup(1), now), None, rng);
        let b = t.begin(Pending::new(to, None, Purpose::Lookup(2), now), None, rng).to_be_bytes();
        assert!(t.finish(&b, to, now).is_some_and(|p| !p.is_excused));
        t.begin(Pending::new(to, None, Purpose::Lookup(3), now), None, rng);
        t.begin(Pending::new(to, None, Purpose::Lookup(3), now), None, rng);
        let mut excused = Vec::new();
        while let Some(silent) = t.pop_silent(now + DEAD_AFTER) {
            if let Silent::Dead(p) = silent {
                excused.push((p.purpose, p.is_excused));
            }
        }
        excused.sort_unstable_by_key(|(purpose, is_excused)| (*purpose == Purpose::Lookup(3), *is_excused));
        let third = Purpose::Lookup(3);
        assert_eq!(excused, [(Purpose::Lookup(1), true), (third, false), (third, true)]);
    }

    #[test]
    fn what_waits_at_an_endpoint_is_found_and_ended_without_touching_others() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        let at = |port| SocketAddr::from(([8, 8, 8, 8], port));
        let mut t = Transactions::default();
        for port in [1, 2, 2, 3] {
            t.begin(Pending::new(at(port), None, Purpose::Contact, Instant::ZERO), None, rng);
        }
        assert!(t.is_asking(&at(2)) && !t.is_asking(&at(4)) && t.contacts_in_flight() == 4);
        assert_eq!((t.abort(&at(2)).len(), t.abort(&at(2)).len()), (2, 0));
        assert!(!t.is_asking(&at(2)) && t.is_asking(&at(3)) && t.contacts_in_flight() == 2);
        let late = Instant::ZERO + Duration::from_secs(1);
        while t.pop_silent(late).is_some() {}
        assert_eq!((t.contacts_in_flight(), t.by_addr.len()), (0, 2));
        while t.pop_silent(late + DEAD_AFTER).is_some() {}
        assert!(t.by_addr.is_empty() && t.pending.is_empty() && t.contacts_in_flight() == 0);
    }

    #[test]
    fn a_silent_query_is_slow_once_then_dead_and_in_between_an_answer_counts() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        let to = SocketAddr::from(([8, 8, 8, 8], 1));
        let pending = Pending::new(to, None, Purpose::Ping, Instant::ZERO);
        let mut t = Transactions::default();
        let a = t.begin(pending.clone(), None, rng).to_be_bytes();
        t.begin(pending, None, rng);
        assert!(t.is_asking(&to));
        let late = Instant::ZERO + Duration::from_millis(500);
        assert!(matches!(t.pop_silent(late), Some(Silent::Slow(_))));
        assert!(matches!(t.pop_silent(late), Some(Silent::Slow(_))));
        assert!(t.pop_silent(late).is_none() && !t.is_asking(&to));
        assert!(t.finish(&a, SocketAddr::from(([8, 8, 8, 8], 2)), late).is_none());
        assert!(t.finish(&a[..3], to, late).is_none());
        assert!(t.finish(&a, to, late).is_some_and(|p| p.is_slow));
        assert!(t.finish(&a, to, late).is_none(), "an answer counts once");
        assert!(matches!(t.pop_silent(Instant::ZERO + DEAD_AFTER), Some(Silent::Dead(_))));
        assert!(t.pop_silent(Instant::ZERO + DEAD_AFTER).is_none() && t.next_deadline().is_none());
    }
}
