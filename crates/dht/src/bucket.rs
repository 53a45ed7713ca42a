//! One bucket of the routing table: live nodes, and replacements waiting for a place.

use std::collections::VecDeque;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::{Duration, Instant};

/// How long an answer keeps a node good, and a bucket fresh (BEP 5).
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// Age of the last answer at which a node is pinged, so that it stays good without a gap.
const PING_AFTER: Duration = Duration::from_secs(13 * 60);
/// Pause between pings of a node that fails to answer.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Unanswered queries in a row after which a node yields to a replacement.
pub(crate) const FAILS_TO_YIELD: u8 = 2;
/// Unanswered queries in a row after which a node leaves in any case.
pub(crate) const FAILS_TO_LEAVE: u8 = 5;
/// Replacements kept by a bucket.
const REPLACEMENTS_MAX: usize = 8;

/// What we know of a node.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) node: NodeInfo,
    pub(crate) srtt: Option<Duration>,
    pub(crate) last_reply: Option<Instant>,
    pub(crate) last_query: Option<Instant>,
    pub(crate) last_asked: Option<Instant>,
    /// Queries it left unanswered since its last answer.
    pub(crate) fails: u8,
}

impl Entry {
    pub(crate) fn new(node: NodeInfo) -> Self {
        Entry { node, srtt: None, last_reply: None, last_query: None, last_asked: None, fails: 0 }
    }

    pub(crate) fn replied(&mut self, rtt: Duration, now: Instant) {
        self.srtt = Some(self.srtt.map_or(rtt, |srtt| (srtt * 7 + rtt) / 8));
        self.last_reply = Some(now);
        self.fails = 0;
    }

    /// Whether it answered us lately; only such nodes are told to others.
    pub(crate) fn is_servable(&self, now: Instant) -> bool {
        self.fails == 0 && self.last_reply.is_some_and(|at| now.since(at) < GOOD_FOR)
    }

    //= BEP 5: good answered within 15 minutes, or ever answered and queried us within 15 minutes
    /// Whether the node is good.
    pub(crate) fn is_good(&self, now: Instant) -> bool {
        let asks_us = self.last_reply.is_some() && self.last_query.is_some_and(|at| now.since(at) < GOOD_FOR);
        self.is_servable(now) || (self.fails == 0 && asks_us)
    }

    pub(crate) fn is_due_for_ping(&self, now: Instant) -> bool {
        let age = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.since(at));
        (self.fails > 0 || age(self.last_reply) >= PING_AFTER) && age(self.last_asked) >= RETRY_AFTER
    }

    /// When [`Self::is_due_for_ping`] comes to hold if nothing is heard of the node.
    pub(crate) fn next_ping(&self) -> Instant {
        let old = self.last_reply.filter(|_| self.fails == 0).map_or(Instant::ZERO, |at| at + PING_AFTER);
        self.last_asked.map_or(old, |at| old.max(at + RETRY_AFTER))
    }

    /// When [`Self::is_servable`] ceases to hold if nothing is heard of the node.
    pub(crate) fn servable_until(&self) -> Instant {
        self.last_reply.filter(|_| self.fails == 0).map_or(Instant::ZERO, |at| at + GOOD_FOR)
    }
}

#[derive(Debug)]
pub(crate) struct Bucket {
    /// Nodes that answered us, at most the capacity.
    pub(crate) live: Vec<Entry>,
    /// Nodes that would like a place, the newest last; they need not have answered.
    pub(crate) replacements: VecDeque<Entry>,
    pub(crate) capacity: usize,
    /// When a node of this bucket last answered, or one was last sought.
    pub(crate) touched: Instant,
}

impl Bucket {
    pub(crate) fn new(capacity: usize, now: Instant) -> Self {
        Bucket { live: Vec::new(), replacements: VecDeque::new(), capacity, touched: now }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.live.len() < self.capacity
    }

    pub(crate) fn live_mut(&mut self, id: &NodeId) -> Option<&mut Entry> {
        self.live.iter_mut().find(|e| e.node.id == *id)
    }

    /// Keeps `entry` as a replacement, the oldest unproven one making room. What is known of a proven node is not
    /// overwritten by hearsay.
    pub(crate) fn keep(&mut self, entry: Entry) {
        let is_same = |e: &Entry| e.node.id == entry.node.id || e.node.addr == entry.node.addr;
        if let Some(at) = self.replacements.iter().position(is_same) {
            if entry.last_reply.is_none() {
                return;
            }
            self.replacements.remove(at);
        } else if self.replacements.len() >= REPLACEMENTS_MAX {
            let unproven = self.replacements.iter().position(|e| e.last_reply.is_none());
            match unproven {
                Some(at) => self.replacements.remove(at),
                None if entry.last_reply.is_some() => self.replacements.pop_front(),
                None => return,
            };
        }
        self.replacements.push_back(entry);
    }

    /// The newest replacement that answered us lately, for which `fits` holds, taken out.
    pub(crate) fn take_proven(&mut self, now: Instant, fits: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let at = self.replacements.iter().rposition(|e| e.is_servable(now) && fits(e))?;
        self.replacements.remove(at)
    }

    /// Drops the replacement with this id or endpoint and hands it out.
    pub(crate) fn take_replacement(&mut self, node: &NodeInfo) -> Option<Entry> {
        let is_it = |e: &Entry| e.node.id == node.id || e.node.addr == node.addr;
        let at = self.replacements.iter().position(is_it)?;
        self.replacements.remove(at).filter(|e| e.node == *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u8, replied: Option<Instant>) -> Entry {
        let node = NodeInfo { id: NodeId([n; 20]), addr: ([n, 0, 0, 1], 1).into() };
        Entry { last_reply: replied, ..Entry::new(node) }
    }

    //= S54
    #[test]
    fn a_node_silent_for_fifteen_minutes_is_questionable_and_pinged_before() {
        let mut e = entry(1, None);
        assert!(!e.is_good(Instant::ZERO));
        e.replied(Duration::from_millis(80), Instant::ZERO);
        let at = |minutes: u64| Instant::ZERO + Duration::from_secs(minutes * 60);
        assert!(e.is_good(at(14)) && !e.is_good(at(15)));
        assert!(!e.is_due_for_ping(at(12)) && e.is_due_for_ping(at(13)));
        assert_eq!((e.next_ping(), e.servable_until()), (at(13), at(15)));
        e.last_query = Some(at(14));
        assert!(e.is_good(at(28)) && !e.is_servable(at(28)));
        e.fails = 1;
        assert!(!e.is_good(at(1)));
    }

    #[test]
    fn a_ninth_replacement_pushes_out_the_oldest_unproven_one() {
        let mut bucket = Bucket::new(8, Instant::ZERO);
        bucket.keep(entry(1, Some(Instant::ZERO)));
        (2..=8).for_each(|n| bucket.keep(entry(n, None)));
        bucket.keep(entry(9, None));
        let ids = |b: &Bucket| b.replacements.iter().map(|e| e.node.id.0[0]).collect::<Vec<_>>();
        assert_eq!(ids(&bucket), [1, 3, 4, 5, 6, 7, 8, 9]);
        bucket.keep(entry(1, None));
        assert!(bucket.take_proven(Instant::ZERO, |_| true).is_some_and(|e| e.node.id.0[0] == 1));
        assert!(bucket.take_proven(Instant::ZERO, |_| true).is_none());
    }
}
