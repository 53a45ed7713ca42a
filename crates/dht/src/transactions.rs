//! Queries that wait for an answer.
//!
//! An answer counts only from the endpoint that was asked and under the transaction id it was asked by. A query first
//! becomes slow, which lets others go ahead of it, and only later dead; an answer in between still counts.

use core::net::SocketAddr;
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::krpc::NodeId;
use unchoke_wire::time::{Duration, Instant};

/// When an unanswered query is dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Time until slow while no round-trip time is known at all, and the most for a node whose own is unknown.
const SLOW_UNKNOWN: Duration = Duration::from_millis(500);
/// Least time until slow for a node whose own round-trip time is unknown.
const SLOW_UNKNOWN_MIN: Duration = Duration::from_millis(150);
/// What a known node is given beyond one and a half times its round-trip time.
const SLACK: Duration = Duration::from_millis(30);
/// Bounds of the time until slow of a known node.
const SLOW_MIN: Duration = Duration::from_millis(100);
const SLOW_MAX: Duration = Duration::from_secs(1);
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

#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) to: SocketAddr,
    /// Who should answer, if that is known.
    pub(crate) id: Option<NodeId>,
    pub(crate) sent: Instant,
    pub(crate) purpose: Purpose,
    pub(crate) is_slow: bool,
}

impl Pending {
    /// As which it counts among the first contacts that are not slow yet.
    fn fresh_contacts(&self) -> usize {
        usize::from(self.purpose == Purpose::Contact && !self.is_slow)
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
    /// Smoothed round-trip time over all answers: what to expect of a node not met before.
    typical_rtt: Option<Duration>,
    /// First contacts that are not slow yet.
    contacts_in_flight: usize,
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
        let slow_after = match (srtt, self.typical_rtt) {
            (Some(srtt), _) => (srtt * 3 / 2 + SLACK).clamp(SLOW_MIN, SLOW_MAX),
            (None, Some(typical)) => (typical * 3 / 2).clamp(SLOW_UNKNOWN_MIN, SLOW_UNKNOWN),
            (None, None) => SLOW_UNKNOWN,
        };
        let deadline = pending.sent + slow_after;
        self.deadlines.insert((deadline, tid));
        self.contacts_in_flight += pending.fresh_contacts();
        self.pending.insert(tid, (pending, deadline));
        tid
    }

    /// Whether a datagram from `from` with this transaction id would be an answer to a query of ours.
    pub(crate) fn awaits(&self, transaction: &[u8], from: SocketAddr) -> bool {
        let tid = transaction.try_into().map(u32::from_be_bytes);
        tid.is_ok_and(|tid| self.pending.get(&tid).is_some_and(|(p, _)| p.to == from))
    }

    /// The query that an answer with this transaction id from this endpoint ends.
    pub(crate) fn finish(&mut self, transaction: &[u8], from: SocketAddr, now: Instant) -> Option<Pending> {
        let tid = transaction.try_into().map(u32::from_be_bytes).ok()?;
        self.pending.get(&tid).filter(|(p, _)| p.to == from)?;
        let pending = self.remove(tid)?;
        let rtt = now.since(pending.sent);
        self.typical_rtt = Some(self.typical_rtt.map_or(rtt, |typical| (typical * 15 + rtt) / 16));
        Some(pending)
    }

    /// The next query whose time came; call until `None`.
    pub(crate) fn pop_silent(&mut self, now: Instant) -> Option<Silent> {
        let (_, tid) = self.deadlines.first().copied().filter(|(at, _)| *at <= now)?;
        self.deadlines.pop_first();
        let (pending, deadline) = self.pending.get_mut(&tid).expect("a deadline is removed with its query");
        if pending.is_slow {
            return self.pending.remove(&tid).map(|(p, _)| Silent::Dead(p));
        }
        self.contacts_in_flight -= pending.fresh_contacts();
        pending.is_slow = true;
        *deadline = pending.sent + DEAD_AFTER;
        self.deadlines.insert((*deadline, tid));
        Some(Silent::Slow(pending.clone()))
    }

    /// Ends every query to `addr` and hands them out.
    pub(crate) fn abort(&mut self, addr: &SocketAddr) -> Vec<Pending> {
        let tids: Vec<u32> =
            self.pending.iter().filter(|(_, (p, _))| p.to == *addr).map(|(tid, _)| *tid).collect();
        tids.into_iter().filter_map(|tid| self.remove(tid)).collect()
    }

    /// Whether a query to `addr` waits and is not slow yet.
    pub(crate) fn is_asking(&self, addr: &SocketAddr) -> bool {
        self.pending.values().any(|(p, _)| p.to == *addr && !p.is_slow)
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
        self.contacts_in_flight -= pending.fresh_contacts();
        Some(pending)
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
        let pending = Pending { to, id: None, sent: now, purpose: Purpose::Ping, is_slow: false };
        transactions.begin(pending, srtt.map(Duration::from_millis), rng);
        let at = transactions.next_deadline().expect("one waits");
        transactions.abort(&to);
        assert!(transactions.next_deadline().is_none());
        at.since(now)
    }

    #[test]
    fn a_query_is_slow_after_one_and_a_half_times_what_is_expected_within_bounds() {
        let mut t = Transactions::default();
        for (srtt, ms) in [(None, 500), (Some(10), 100), (Some(200), 330), (Some(900), 1000)] {
            assert_eq!(slow_after(&mut t, srtt), Duration::from_millis(ms));
        }
        for (typical, ms) in [(20, 150), (150, 225), (2000, 500)] {
            t.typical_rtt = Some(Duration::from_millis(typical));
            assert_eq!(slow_after(&mut t, None), Duration::from_millis(ms));
        }
    }

    #[test]
    fn first_contacts_in_flight_are_those_neither_answered_nor_refused_nor_slow() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        let at = |n: u8| SocketAddr::from(([8, 8, 8, n], 1));
        let begin = |t: &mut Transactions, n, purpose, rng: &mut ChaCha12Rng| {
            let pending = Pending { to: at(n), id: None, sent: Instant::ZERO, purpose, is_slow: false };
            t.begin(pending, None, rng).to_be_bytes()
        };
        let mut t = Transactions::default();
        let first = begin(&mut t, 1, Purpose::Contact, rng);
        for n in 2..=4 {
            begin(&mut t, n, Purpose::Contact, rng);
        }
        begin(&mut t, 5, Purpose::Ping, rng);
        assert_eq!(t.contacts_in_flight(), 4);
        assert!(t.finish(&first, at(1), Instant::ZERO).is_some());
        t.abort(&at(2));
        assert_eq!(t.contacts_in_flight(), 2);
        while t.pop_silent(Instant::ZERO + SLOW_UNKNOWN).is_some() {}
        assert_eq!(t.contacts_in_flight(), 0);
        while t.pop_silent(Instant::ZERO + DEAD_AFTER).is_some() {}
        assert_eq!(t.contacts_in_flight(), 0);
    }

    #[test]
    fn a_silent_query_is_slow_once_then_dead_and_in_between_an_answer_counts() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        let to = SocketAddr::from(([8, 8, 8, 8], 1));
        let pending = Pending { to, id: None, sent: Instant::ZERO, purpose: Purpose::Ping, is_slow: false };
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
