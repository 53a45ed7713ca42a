//! The routing table: who is near, who answers, and who takes whose place.
//!
//! A bucket for every count of bits shared with our own id is what splitting the bucket of our own id comes to. The
//! first buckets, which cover most of the space, are larger: that saves a hop. A node is live only once it answered a
//! query of ours. Live nodes are kept in one list ordered by id, in which each bucket is a range.

use crate::bucket;
pub(crate) use crate::bucket::K;
use crate::entry::{Entry, FAILS_TO_LEAVE, FAILS_TO_YIELD, GOOD_FOR, History, Stamp};
use crate::identity::is_compliant;
use crate::node_list::NodeList;
use crate::scope;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use rand::Rng;
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::{Duration, Instant};

/// Replacements kept by a bucket.
const REPLACEMENTS_MAX: usize = 8;
/// Round-trip time from which on a live node yields to one at less than half of it.
const SLOW_RTT: Duration = Duration::from_millis(200);
/// Rows among which [`RoutingTable::closest`] sorts; larger ranges are split first.
const SORTED_AT_ONCE: usize = 8;

#[derive(Debug)]
pub(crate) struct RoutingTable {
    own: NodeId,
    /// Nodes that answered us, by id.
    live: NodeList,
    /// Nodes that would like a place, by bucket and the newest of a bucket last; they need not have answered.
    replacements: NodeList,
    /// As far as the deepest that ever had a live node.
    buckets: Vec<Bucket>,
    /// No ping and no refresh is due before.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Live nodes.
    len: u16,
    /// When one of them last answered, or one was last sought.
    touched: Stamp,
}

impl RoutingTable {
    pub(crate) fn new(own: NodeId, family: Family) -> Self {
        RoutingTable {
            own,
            live: NodeList::new(family),
            replacements: NodeList::new(family),
            buckets: Vec::new(),
            due: None,
        }
    }

    /// Notes that `node` answered us, and makes it live if it may be; says whether it became so.
    pub(crate) fn on_reply(&mut self, node: NodeInfo, rtt: Duration, now: Instant) -> bool {
        if !self.may_hold(&node) {
            return false;
        }
        self.evict_renamed(&node, now);
        let at = self.bucket_of(&node.id);
        self.mark_touched(at, now);
        if let Ok(row) = self.search(&node.id) {
            if self.live.addr(row) == node.addr {
                self.live.history_mut(row).replied(rtt, now);
                return false;
            }
            // the endpoint that had the id first keeps it while it answers
            if self.live.history(row).is_good(now) {
                return false;
            }
            self.evict_row(row, now);
        }
        let mut entry = self.take_replacement(at, &node).unwrap_or_else(|| entry_of(node));
        entry.history.replied(rtt, now);
        self.admit(at, entry, now)
    }

    /// Notes that `node` queried us; says whether it is unknown and worth a ping.
    pub(crate) fn on_query(&mut self, node: NodeInfo, now: Instant) -> bool {
        if !self.may_hold(&node) {
            return false;
        }
        if let Ok(row) = self.search(&node.id) {
            if self.live.addr(row) == node.addr {
                self.live.history_mut(row).queried(now);
            }
            return false;
        }
        let mut entry = entry_of(node);
        entry.history.queried(now);
        let at = self.bucket_of(&node.id);
        let range = self.bucket(at);
        if !matches!(self.rivals(at, range.clone(), &entry), Rivals::None) {
            return false;
        }
        self.keep(at, entry);
        let could_displace = |h: &History| entry.history.is_compliant() && !h.is_compliant();
        range.len() < bucket::capacity(at) || self.live.histories(range).any(could_displace)
    }

    /// Keeps a node others told us of as a possible replacement.
    pub(crate) fn on_heard(&mut self, node: NodeInfo) {
        if !self.may_hold(&node) || self.search(&node.id).is_ok() || self.is_live(&node.addr) {
            return;
        }
        let (at, entry) = (self.bucket_of(&node.id), entry_of(node));
        if matches!(self.rivals(at, self.bucket(at), &entry), Rivals::None) {
            self.keep(at, entry);
        }
    }

    /// Notes that we sent a query there.
    pub(crate) fn on_asked(&mut self, addr: &SocketAddr, now: Instant) {
        if let Some(row) = self.live.position(addr) {
            self.live.history_mut(row).was_asked(now);
        }
    }

    /// Notes that a query stayed unanswered; hands out the node if that made it leave the table.
    pub(crate) fn on_fail(&mut self, addr: &SocketAddr, now: Instant) -> Option<NodeInfo> {
        self.forget_replacement(addr);
        let row = self.live.position(addr)?;
        let history = self.live.history_mut(row);
        history.fails = history.fails.saturating_add(1);
        let (fails, next_ping) = (history.fails, history.next_ping());
        let waiting = self.replacements_of(self.bucket_of(self.live.id(row)));
        let can_yield = self.replacements.histories(waiting).any(|h| h.is_servable(now));
        if fails >= FAILS_TO_LEAVE || (fails >= FAILS_TO_YIELD && can_yield) {
            return Some(self.evict_row(row, now));
        }
        self.note_due(next_ping);
        None
    }

    /// Notes that another than `id` answered at `addr`: it loses its place, and those around it are asked whether
    /// they are still who they were.
    pub(crate) fn on_renamed(&mut self, addr: &SocketAddr, id: &NodeId, now: Instant) {
        self.forget_replacement(addr);
        if let Some(row) = self.live.position(addr).filter(|row| self.live.id(*row) == id) {
            let at = self.bucket_of(id);
            self.evict_row(row, now);
            self.doubt(at);
        }
    }

    /// Removes the node at `addr`, which was caught lying.
    pub(crate) fn evict(&mut self, addr: &SocketAddr, now: Instant) {
        self.forget_replacement(addr);
        if let Some(row) = self.live.position(addr) {
            self.evict_row(row, now);
        }
    }

    /// Marks the bucket around `target` as sought.
    pub(crate) fn touch(&mut self, target: &NodeId, now: Instant) {
        if let Some(bucket) = self.buckets.get_mut(self.own.distance(target).shared_bits()) {
            bucket.touched = Stamp::of(now);
        }
    }

    /// Up to `n` live nodes closest to `target` that are `wanted`, closest first.
    pub(crate) fn closest(
        &self,
        target: &NodeId,
        n: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<NodeInfo> {
        let mut found = Vec::with_capacity(n.min(self.live.len()));
        if n > 0 {
            self.gather_closest(0..self.live.len(), target, n, &wanted, &mut found);
        }
        found
    }

    /// Makes `own` our id: every node is placed anew, those that lose their place become replacements.
    pub(crate) fn move_to(&mut self, own: NodeId, now: Instant) {
        let old = core::mem::replace(self, RoutingTable::new(own, self.live.family()));
        let mut proven: Vec<Entry> = old.live.iter().collect();
        // the best come first, as whoever comes later needs a reason to displace another
        proven.sort_by_key(|e| (e.history.fails, !e.history.is_compliant(), e.history.srtt()));
        for entry in proven.into_iter().filter(|e| e.node.id != own) {
            self.admit(self.bucket_of(&entry.node.id), entry, now);
        }
        for entry in old.replacements.iter().filter(|e| e.node.id != own) {
            let at = self.bucket_of(&entry.node.id);
            if matches!(self.rivals(at, self.bucket(at), &entry), Rivals::None) {
                self.keep(at, entry);
            }
        }
    }

    //= BEP 5: questionable nodes are pinged
    /// Up to `n` nodes that should be pinged: live ones whose answer grows old or is doubted, then unproven ones a
    /// bucket has room for, the nearest first.
    pub(crate) fn due_for_ping(&self, n: usize, now: Instant) -> Vec<NodeInfo> {
        let is_old = |e: &Entry| e.history.next_ping() <= now;
        let mut due: Vec<Entry> = self.live.iter().filter(is_old).collect();
        due.sort_unstable_by_key(|e| (e.history.last_asked(), e.node));
        let unproven = self.waiting_for_room().filter(|e| !e.is_servable(now));
        due.into_iter().chain(unproven).take(n).map(|e| e.node).collect()
    }

    //= BEP 5: a bucket untouched for 15 minutes is refreshed by a random id of its range
    /// A random id in the range of a bucket untouched for 15 minutes, if there is one. The buckets beyond our eight
    /// closest are one in BEP 5's table, and looking for our own id refreshes it.
    pub(crate) fn stale_target(&self, rng: &mut impl Rng, now: Instant) -> Option<NodeId> {
        let at = self.refreshed().iter().position(|b| now.since(b.touched.instant()) >= GOOD_FOR)?;
        Some(bucket::random_id(&self.own, at, rng))
    }

    /// When [`Self::due_for_ping`] or [`Self::stale_target`] may next name somebody; never too late.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Finds out when something is due next; to be called when what was due has been done.
    pub(crate) fn find_due(&mut self) {
        let pings = self.live.histories(0..self.live.len()).map(History::next_ping);
        let unproven = self.waiting_for_room().map(|e| e.history.servable_until());
        let refreshes = self.refreshed().iter().map(|b| b.touched.instant() + GOOD_FOR);
        self.due = pings.chain(unproven).chain(refreshes).min();
    }

    /// Returns memory that growth would have used.
    pub(crate) fn shrink(&mut self) {
        self.live.shrink();
        self.replacements.shrink();
        self.buckets.shrink_to_fit();
    }

    /// Round-trip time of the live node at `addr`.
    pub(crate) fn srtt(&self, addr: &SocketAddr) -> Option<Duration> {
        self.live.history(self.live.position(addr)?).srtt()
    }

    pub(crate) fn is_live(&self, addr: &SocketAddr) -> bool {
        self.live.position(addr).is_some()
    }

    pub(crate) fn live_count(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn good_count(&self, now: Instant) -> usize {
        self.live.histories(0..self.live.len()).filter(|h| h.is_good(now)).count()
    }

    /// Every live node with the number of its bucket, the widest bucket first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, Entry)> {
        let mut all: Vec<(usize, Entry)> =
            self.live.iter().map(|e| (self.own.distance(&e.node.id).shared_bits(), e)).collect();
        all.sort_by_key(|(at, _)| *at);
        all.into_iter()
    }

    /// Whether the node could have a place at all.
    fn may_hold(&self, node: &NodeInfo) -> bool {
        node.id != self.own && node.addr.is_ipv4() == (self.live.family() == Family::V4)
    }

    /// The bucket of `id`, which is not our own.
    fn bucket_of(&self, id: &NodeId) -> usize {
        let at = self.own.distance(id).shared_bits();
        assert!(at < NodeId::BITS, "our own id has no bucket");
        at
    }

    /// The live rows of bucket `at`. Ordered by id, the buckets whose ids are lower than ours come first, the widest in
    /// front, and those with higher ids last, the widest at the end.
    fn bucket(&self, at: usize) -> Range<usize> {
        let len = |b: usize| self.buckets.get(b).map_or(0, |b| usize::from(b.len));
        let is_low = bucket::bit(&self.own, at);
        let wider = 0..at.min(self.buckets.len());
        let beyond: usize = wider.filter(|b| bucket::bit(&self.own, *b) == is_low).map(len).sum();
        let start = if is_low { beyond } else { self.live.len() - beyond - len(at) };
        start..start + len(at)
    }

    /// The replacements of bucket `at`.
    fn replacements_of(&self, at: usize) -> Range<usize> {
        let bucket_of = |id: &NodeId| self.own.distance(id).shared_bits();
        let all = 0..self.replacements.len();
        let start = self.replacements.partition_point(all.clone(), |id| bucket_of(id) < at);
        start..self.replacements.partition_point(start..all.end, |id| bucket_of(id) == at)
    }

    /// Replacements of buckets that have room, the deepest bucket and its newest first.
    fn waiting_for_room(&self) -> impl Iterator<Item = Entry> {
        let mut known = None;
        (0..self.replacements.len()).rev().filter_map(move |row| {
            let at = self.bucket_of(self.replacements.id(row));
            let has_room = match known {
                Some((bucket, has_room)) if bucket == at => has_room,
                _ => self.bucket(at).len() < bucket::capacity(at),
            };
            known = Some((at, has_room));
            has_room.then(|| self.replacements.get(row))
        })
    }

    /// The buckets that are refreshed.
    fn refreshed(&self) -> &[Bucket] {
        let mut nearer = 0;
        let neighbourhood = self.buckets.iter().rposition(|bucket| {
            nearer += usize::from(bucket.len);
            nearer >= K
        });
        &self.buckets[..neighbourhood.map_or(0, |at| at + 1)]
    }

    fn mark_touched(&mut self, at: usize, now: Instant) {
        let stamp = Stamp::of(now);
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, Bucket { len: 0, touched: stamp });
            self.note_due(stamp.instant() + GOOD_FOR);
        }
        self.buckets[at].touched = self.buckets[at].touched.max(stamp);
    }

    fn note_due(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Makes `entry`, which has answered, live if its bucket has a place for it, or can make one.
    fn admit(&mut self, at: usize, entry: Entry, now: Instant) -> bool {
        loop {
            match self.rivals(at, self.bucket(at), &entry) {
                Rivals::None => break,
                Rivals::Weaker(row) => drop(self.remove_live(row)),
                Rivals::Stronger => return false,
            }
        }
        let range = self.bucket(at);
        if range.len() >= bucket::capacity(at) {
            let Some(victim) = self.victim(at, range, &entry) else {
                self.keep(at, entry);
                return false;
            };
            let gone = self.remove_live(victim);
            if gone.history.fails < FAILS_TO_YIELD {
                self.keep(at, gone);
            }
        }
        self.mark_touched(at, now);
        self.insert_live(at, entry);
        true
    }

    fn insert_live(&mut self, at: usize, entry: Entry) {
        if let Err(row) = self.search(&entry.node.id) {
            self.live.insert(row, entry);
            self.buckets[at].len += 1;
            self.note_due(entry.history.next_ping());
        }
    }

    fn remove_live(&mut self, row: usize) -> Entry {
        let gone = self.live.remove(row);
        let at = self.bucket_of(&gone.node.id);
        self.buckets[at].len -= 1;
        gone
    }

    /// The live row of `id`, or where it would be.
    fn search(&self, id: &NodeId) -> Result<usize, usize> {
        self.live.search(self.bucket(self.bucket_of(id)), id)
    }

    /// Who stands against `entry` in bucket `at`: a global IP is once in the table; of a global site, and in deep
    /// buckets of an IPv6 /32, whose holder can have any id, a bucket has one.
    fn rivals(&self, at: usize, range: Range<usize>, entry: &Entry) -> Rivals {
        let ip = entry.node.addr.ip();
        if !scope::is_global(ip) {
            return Rivals::None;
        }
        let net_bits = match ip {
            IpAddr::V4(_) => 8,
            IpAddr::V6(_) if at < bucket::FIRST_BUCKETS.len() => 64,
            IpAddr::V6(_) => 96,
        };
        let all = 0..self.live.len();
        let Some(row) = self.live.find_net(all, ip, 0).or_else(|| self.live.find_net(range, ip, net_bits))
        else {
            return Rivals::None;
        };
        let rival = self.live.history(row);
        let is_weaker = entry.history.is_compliant() && !rival.is_compliant();
        if entry.history.has_replied() && (is_weaker || rival.fails >= FAILS_TO_YIELD) {
            Rivals::Weaker(row)
        } else {
            Rivals::Stronger
        }
    }

    /// The live row of the full bucket `at` that `new` displaces: one that fails; one whose id does not follow from
    /// its address, if that of `new` does; else, among its equals, a slow one where ids are crowded while `new` stands
    /// where there are none, or one much slower than `new`.
    fn victim(&self, at: usize, range: Range<usize>, new: &Entry) -> Option<usize> {
        let history = |row: &usize| self.live.history(*row);
        let srtt = |row: &usize| history(row).srtt();
        let failing = range.clone().filter(|row| history(row).fails >= FAILS_TO_YIELD);
        if let Some(row) = failing.max_by_key(|row| history(row).fails) {
            return Some(row);
        }
        let weaker = range.clone().filter(|row| !history(row).is_compliant());
        if new.history.is_compliant()
            && let Some(row) = weaker.max_by_key(srtt)
        {
            return Some(row);
        }
        let part = |row: &usize| bucket::sub_prefix(self.live.id(*row), at);
        let mut held = [0; bucket::SUB_PREFIXES];
        range.clone().for_each(|row| held[part(&row)] += 1);
        let own_part = bucket::sub_prefix(&new.node.id, at);
        let is_equal = |row: &usize| new.history.is_compliant() || !history(row).is_compliant();
        let slowest = range
            .filter(|row| is_equal(row) && (held[part(row)] > 1 || part(row) == own_part))
            .max_by_key(srtt)?;
        let is_new_part = held[own_part] == 0;
        let is_much_slower = srtt(&slowest) >= Some(SLOW_RTT)
            && new.history.srtt().is_some_and(|rtt| srtt(&slowest) > Some(rtt * 2));
        (is_new_part || is_much_slower).then_some(slowest)
    }

    /// Keeps `entry` as a replacement, the oldest unproven one making room. What is known of a proven node is not
    /// overwritten by hearsay, and of a global site only one is kept.
    fn keep(&mut self, at: usize, entry: Entry) {
        let (node, is_proven) = (entry.node, entry.history.has_replied());
        let range = self.replacements_of(at);
        let is_same = |row: &usize| {
            let other = self.replacements.get(*row).node;
            other.id == node.id
                || other.addr == node.addr
                || scope::share_site(other.addr.ip(), node.addr.ip())
        };
        let unproven = |row: &usize| !self.replacements.history(*row).has_replied();
        if let Some(row) = range.clone().find(is_same) {
            if !is_proven {
                return;
            }
            self.replacements.remove(row);
        } else if range.len() >= REPLACEMENTS_MAX {
            match range.clone().find(unproven) {
                Some(row) => self.replacements.remove(row),
                None if is_proven => self.replacements.remove(range.start),
                None => return,
            };
        }
        self.replacements.insert(self.replacements_of(at).end, entry);
        if self.bucket(at).len() < bucket::capacity(at) {
            self.note_due(entry.history.servable_until());
        }
    }

    /// Drops the replacement of bucket `at` with this id or endpoint and hands it out if it is that node.
    fn take_replacement(&mut self, at: usize, node: &NodeInfo) -> Option<Entry> {
        let row = self.replacements_of(at).find(|row| {
            self.replacements.id(*row) == &node.id || self.replacements.addr(*row) == node.addr
        })?;
        Some(self.replacements.remove(row)).filter(|e| e.node == *node)
    }

    fn forget_replacement(&mut self, addr: &SocketAddr) {
        if let Some(row) = self.replacements.position(addr) {
            self.replacements.remove(row);
        }
    }

    /// Removes the live node that goes by another id at the endpoint of `node`.
    fn evict_renamed(&mut self, node: &NodeInfo, now: Instant) {
        if let Some(row) = self.live.position(&node.addr)
            && *self.live.id(row) != node.id
        {
            let old = *self.live.id(row);
            self.on_renamed(&node.addr, &old, now);
        }
    }

    /// Removes a live node and hands it out; the best replacement that answered lately takes its place.
    fn evict_row(&mut self, row: usize, now: Instant) -> NodeInfo {
        let gone = self.remove_live(row).node;
        let at = self.bucket_of(&gone.id);
        let range = self.bucket(at);
        let best = self
            .replacements_of(at)
            .filter(|row| {
                let entry = self.replacements.get(*row);
                let is_free = self.search(&entry.node.id).is_err() && !self.is_live(&entry.node.addr);
                entry.is_servable(now)
                    && is_free
                    && matches!(self.rivals(at, range.clone(), &entry), Rivals::None)
            })
            .max_by_key(|row| (self.replacements.history(*row).is_compliant(), *row));
        if let Some(row) = best {
            let entry = self.replacements.remove(row);
            self.insert_live(at, entry);
        }
        gone
    }

    /// Lets every live node of bucket `at` be pinged soon.
    fn doubt(&mut self, at: usize) {
        for row in self.bucket(at) {
            self.live.history_mut(row).doubt();
            self.note_due(self.live.history(row).next_ping());
        }
    }

    /// Adds the rows of `range` to `found`, closest first, until there are `n`. All rows of the range agree in the bits
    /// above the first in which its ends differ, so the half that has the target's bit there is wholly nearer.
    fn gather_closest(
        &self,
        range: Range<usize>,
        target: &NodeId,
        n: usize,
        wanted: &impl Fn(&Entry) -> bool,
        found: &mut Vec<NodeInfo>,
    ) {
        if range.len() > SORTED_AT_ONCE {
            let bit = self.live.id(range.start).distance(self.live.id(range.end - 1)).shared_bits();
            let middle = self.live.partition_point(range.clone(), |id| !bucket::bit(id, bit));
            let (low, high) = (range.start..middle, middle..range.end);
            let (near, far) = if bucket::bit(target, bit) { (high, low) } else { (low, high) };
            self.gather_closest(near, target, n, wanted, found);
            if found.len() < n {
                self.gather_closest(far, target, n, wanted, found);
            }
            return;
        }
        let mut rows = [0; SORTED_AT_ONCE];
        let rows = &mut rows[..range.len()];
        rows.iter_mut().zip(range).for_each(|(slot, row)| *slot = row);
        rows.sort_unstable_by(|a, b| bucket::nearer(target, self.live.id(*a), self.live.id(*b)));
        let entries = rows.iter().map(|row| self.live.get(*row));
        found.extend(entries.filter(|e| wanted(e)).map(|e| e.node).take(n - found.len()));
    }
}

/// Who holds the place of a node because of where it is.
enum Rivals {
    None,
    /// One that yields: it fails, or its id does not follow from its address as the other's does.
    Weaker(usize),
    Stronger,
}

fn entry_of(node: NodeInfo) -> Entry {
    Entry { node, history: History::new(is_compliant(&node.id, node.addr.ip())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    const RTT: Duration = Duration::from_millis(50);

    fn node(first: u8, n: u16) -> NodeInfo {
        let mut id = [0; 20];
        id[0] = first;
        id[18..].copy_from_slice(&n.to_be_bytes());
        let [a, b] = n.to_be_bytes();
        NodeInfo { id: NodeId(id), addr: ([8, a, b, first], 6881).into() }
    }

    fn table() -> RoutingTable {
        RoutingTable::new(NodeId([0; 20]), Family::V4)
    }

    #[test]
    fn the_first_buckets_hold_128_64_32_16_and_the_others_8() {
        let mut t = table();
        for (first, size) in [(0x80, 128), (0x40, 64), (0x20, 32), (0x10, 16), (0x08, 8), (0x01, 8)] {
            let live = (1..=200).filter(|n| t.on_reply(node(first, *n), RTT, Instant::ZERO)).count();
            assert_eq!(live, size);
        }
        assert_eq!(t.live_count(), 256);
    }

    #[test]
    fn our_own_id_has_no_place() {
        let mut t = table();
        let own = NodeInfo { id: NodeId([0; 20]), addr: ([8, 8, 8, 8], 1).into() };
        assert!(!t.on_reply(own, RTT, Instant::ZERO));
        assert!(!t.on_query(own, Instant::ZERO));
        t.on_heard(own);
        assert!(t.closest(&own.id, K, |_| true).is_empty());
        t.touch(&own.id, Instant::ZERO);
    }

    #[test]
    fn closest_is_what_sorting_everything_says() {
        let mut t = table();
        let rng = &mut ChaCha12Rng::from_seed([5; 32]);
        for n in 0..400u16 {
            let mut id = NodeId([0; 20]);
            rng.fill_bytes(&mut id.0);
            id.0[0] >>= n % 8;
            t.on_reply(NodeInfo { id, ..node(0, n) }, RTT, Instant::ZERO);
        }
        let mut all: Vec<NodeInfo> = t.entries().map(|(_, e)| e.node).collect();
        for i in 0..200 {
            let mut target = NodeId([0; 20]);
            rng.fill_bytes(&mut target.0);
            target.0[0] >>= i % 8;
            all.sort_unstable_by_key(|n| n.id.distance(&target));
            assert_eq!(t.closest(&target, K, |_| true), all[..K]);
        }
        all.sort_unstable_by_key(|n| n.id.distance(&NodeId([0; 20])));
        assert_eq!(t.closest(&NodeId([0; 20]), K, |_| true), all[..K]);
    }

    #[test]
    fn hearsay_and_queries_alone_make_no_node_live() {
        let mut t = table();
        t.on_heard(node(0x80, 1));
        assert!(t.on_query(node(0x80, 2), Instant::ZERO));
        assert_eq!(t.live_count(), 0);
        assert_eq!(t.due_for_ping(8, Instant::ZERO).len(), 2);
    }

    #[test]
    fn a_global_ip_is_once_in_the_table_and_a_site_once_in_a_bucket() {
        let mut t = table();
        assert!(t.on_reply(node(0x80, 1), RTT, Instant::ZERO));
        let mut twin = node(0x40, 1);
        twin.addr = ([8, 0, 1, 0x80], 9).into();
        assert!(!t.on_reply(twin, RTT, Instant::ZERO));
        twin.addr = ([8, 0, 1, 0x81], 9).into();
        assert!(t.on_reply(twin, RTT, Instant::ZERO));
        let mut neighbour = node(0x80, 2);
        neighbour.addr = ([8, 0, 1, 7], 9).into();
        assert!(!t.on_reply(neighbour, RTT, Instant::ZERO));
        let local = |n: u16| NodeInfo { addr: ([127, 0, 0, 1], n).into(), ..node(0x80, 100 + n) };
        assert!((1..20).all(|n| t.on_reply(local(n), RTT, Instant::ZERO)));
    }

    #[test]
    fn a_failing_node_yields_to_a_proven_replacement() {
        let mut t = table();
        for n in 1..=9 {
            t.on_reply(node(0x08, n), RTT, Instant::ZERO);
        }
        assert_eq!(t.on_fail(&node(0x08, 1).addr, Instant::ZERO), None);
        assert_eq!(t.on_fail(&node(0x08, 1).addr, Instant::ZERO), Some(node(0x08, 1)));
        assert!(t.is_live(&node(0x08, 9).addr) && t.live_count() == 8);
    }

    //= S54
    #[test]
    fn without_a_replacement_a_node_leaves_after_five_failures_in_a_row() {
        let mut t = table();
        let n = node(0x08, 1);
        t.on_reply(n, RTT, Instant::ZERO);
        (0..4).for_each(|_| assert_eq!(t.on_fail(&n.addr, Instant::ZERO), None));
        t.on_reply(n, RTT, Instant::ZERO);
        (0..4).for_each(|_| assert_eq!(t.on_fail(&n.addr, Instant::ZERO), None));
        assert_eq!(t.on_fail(&n.addr, Instant::ZERO), Some(n));
        assert_eq!(t.live_count(), 0);
    }

    #[test]
    fn an_endpoint_that_changes_its_id_loses_the_old_one_and_a_good_id_cannot_be_taken() {
        let mut t = table();
        assert!(t.on_reply(node(0x80, 1), RTT, Instant::ZERO));
        let renamed = NodeInfo { id: NodeId([9; 20]), addr: node(0x80, 1).addr };
        assert!(t.on_reply(renamed, RTT, Instant::ZERO));
        assert_eq!(t.live_count(), 1);
        let thief = NodeInfo { addr: ([9, 9, 9, 9], 9).into(), ..renamed };
        assert!(!t.on_reply(thief, RTT, Instant::ZERO));
        assert!(t.on_reply(thief, RTT, Instant::ZERO + GOOD_FOR));
        assert!(!t.is_live(&renamed.addr));
    }

    #[test]
    fn a_stale_bucket_is_refreshed_inside_its_own_range() {
        let mut t = RoutingTable::new(NodeId([0b1010_1010; 20]), Family::V4);
        let rng = &mut ChaCha12Rng::from_seed([5; 32]);
        for n in 0..40u16 {
            let mut id = t.own;
            id.0[0] ^= 0x80 >> (n % 4);
            id.0[1] = u8::try_from(n).unwrap();
            t.on_reply(NodeInfo { id, ..node(1, n) }, RTT, Instant::ZERO);
        }
        let mut deep = t.own;
        deep.0[2] ^= 0x10;
        t.on_reply(NodeInfo { id: deep, addr: ([8, 8, 8, 8], 1).into() }, RTT, Instant::ZERO);
        t.find_due();
        assert_eq!(t.stale_target(rng, Instant::ZERO), None);
        let later = Instant::ZERO + GOOD_FOR;
        assert!(t.due().is_some_and(|due| due <= later));
        for bucket in 0..4 {
            let target = t.stale_target(rng, later).expect("four are stale");
            assert_eq!(t.own.distance(&target).shared_bits(), bucket);
            t.touch(&target, later);
        }
        assert_eq!(t.stale_target(rng, later), None, "our own id's lookup sees to the deepest");
    }

    #[test]
    fn an_endpoint_that_rotates_its_id_is_evicted_and_its_bucket_asked_anew() {
        let mut t = table();
        assert!((101..=120).all(|n| t.on_reply(node(0x80, n), RTT, Instant::ZERO)));
        assert_eq!((1..=9).filter(|n| t.on_reply(node(0x08, *n), RTT, Instant::ZERO)).count(), 8);
        t.find_due();
        assert!(t.due().is_some_and(|due| due > Instant::ZERO));
        let renamed = NodeInfo { id: NodeId([0x85; 20]), addr: node(0x08, 3).addr };
        assert!(t.on_reply(renamed, RTT, Instant::ZERO));
        assert!(t.search(&node(0x08, 3).id).is_err() && t.is_live(&node(0x08, 9).addr), "the ninth moved up");
        assert_eq!(t.due(), Some(Instant::ZERO));
        let due: Vec<NodeId> = t.due_for_ping(100, Instant::ZERO).iter().map(|n| n.id).collect();
        assert_eq!(due.len(), 8);
        assert!(due.iter().all(|id| id.0[0] == 0x08));
    }

    #[test]
    fn on_a_full_bucket_a_node_of_an_unused_part_goes_before_a_slow_one_of_a_crowded_part() {
        let mut t = table();
        let at = |part: u8, n: u16| {
            let mut node = node(0x08 | part, n);
            node.addr = ([9, 9, u8::try_from(n).unwrap(), 1], 1).into();
            node
        };
        let ms = Duration::from_millis;
        (1..=8).for_each(|n| assert!(t.on_reply(at(0b111, n), ms(100 + u64::from(n)), Instant::ZERO)));
        assert!(!t.on_reply(at(0b111, 9), ms(1), Instant::ZERO), "nobody is slow");
        assert!(t.on_reply(at(0b001, 10), ms(1000), Instant::ZERO));
        assert!(!t.is_live(&at(0b111, 8).addr) && t.live_count() == 8);
        assert!(!t.on_reply(at(0b001, 11), ms(600), Instant::ZERO), "not twice as fast");
        assert!(t.on_reply(at(0b001, 12), ms(400), Instant::ZERO));
        assert!(!t.is_live(&at(0b001, 10).addr) && t.live_count() == 8);
    }

    #[test]
    fn replacements_of_one_site_do_not_crowd_out_others() {
        let mut t = table();
        let at = |n: u16, ip: [u8; 4]| NodeInfo { addr: (ip, 1).into(), ..node(0x08, n) };
        t.on_heard(at(1, [8, 8, 8, 8]));
        (2..100).for_each(|n| t.on_heard(at(n, [6, 6, 6, u8::try_from(n).unwrap()])));
        assert_eq!(t.replacements.len(), 2);
        (100..200).for_each(|n| t.on_heard(at(n, [6, 6, u8::try_from(n).unwrap(), 1])));
        assert_eq!(t.replacements.len(), REPLACEMENTS_MAX);
    }

    #[test]
    fn buckets_stay_ranges_of_the_list_through_any_history() {
        let rng = &mut ChaCha12Rng::from_seed([9; 32]);
        let mut t = RoutingTable::new(NodeId([0b0110_1001; 20]), Family::V4);
        let mut now = Instant::ZERO;
        for n in 0..5000u16 {
            now = now + Duration::from_secs(1);
            let mut ip = [8, 0, 0, 1];
            rng.fill_bytes(&mut ip[1..3]);
            let id = bucket::random_id(&t.own, usize::from(n % 17), rng);
            match n % 5 {
                0 if t.live_count() > 0 => {
                    let addr = t.live.addr(usize::from(n) % t.live_count());
                    t.on_fail(&addr, now);
                }
                1 => {
                    t.on_query(NodeInfo { id, addr: (ip, 1).into() }, now);
                }
                2 => t.on_heard(NodeInfo { id, addr: (ip, 1).into() }),
                _ => {
                    t.on_reply(NodeInfo { id, addr: (ip, 1).into() }, RTT, now);
                }
            }
            if n % 1000 == 999 {
                t.move_to(bucket::random_id(&t.own, 0, rng), now);
            }
            for at in 0..t.buckets.len() {
                let range = t.bucket(at);
                assert!(
                    range.len() <= bucket::capacity(at) && t.replacements_of(at).len() <= REPLACEMENTS_MAX
                );
                assert!(range.clone().all(|row| t.bucket_of(t.live.id(row)) == at));
                assert!(range.clone().skip(1).all(|row| t.live.id(row - 1) < t.live.id(row)));
            }
            let total: usize = t.buckets.iter().map(|b| usize::from(b.len)).sum();
            assert_eq!(total, t.live_count());
        }
        assert!(t.live_count() > 100);
    }
}
