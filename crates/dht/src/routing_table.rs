//! The routing table: buckets by the number of leading bits shared with our own id (BEP 5).
//!
//! A bucket for every count of shared bits is what splitting the bucket of our own id comes to. The first buckets,
//! which cover most of the space, are larger: that saves a hop. A node is live only once it answered a query of ours.

use crate::bucket::{Bucket, Entry, FAILS_TO_LEAVE, FAILS_TO_YIELD, GOOD_FOR};
use crate::scope;
use core::net::{IpAddr, SocketAddr};
use rand::Rng;
use std::collections::BTreeMap;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::{Duration, Instant};

/// Nodes of a reply, and the size of a deep bucket (BEP 5's K).
pub(crate) const K: usize = 8;
/// Sizes of the first buckets; the others hold [`K`].
const FIRST_BUCKETS: [usize; 4] = [128, 64, 32, 16];

#[derive(Debug)]
pub(crate) struct RoutingTable {
    own: NodeId,
    /// Grown to the deepest bucket that was needed; never more than 160.
    buckets: Vec<Bucket>,
    /// Live nodes by endpoint.
    by_addr: BTreeMap<SocketAddr, NodeId>,
}

impl RoutingTable {
    pub(crate) fn new(own: NodeId) -> Self {
        RoutingTable { own, buckets: Vec::new(), by_addr: BTreeMap::new() }
    }

    /// Notes that `node` answered us, and makes it live if it may be; says whether it became so.
    pub(crate) fn on_reply(&mut self, node: NodeInfo, rtt: Duration, now: Instant) -> bool {
        if node.id == self.own {
            return false;
        }
        if self.by_addr.get(&node.addr).is_some_and(|id| *id != node.id) {
            self.evict(&node.addr, now);
        }
        let at = self.grow_to(&node.id, now);
        let bucket = &mut self.buckets[at];
        bucket.touched = now;
        if let Some(entry) = bucket.live_mut(&node.id) {
            if entry.node.addr == node.addr {
                entry.replied(rtt, now);
                return false;
            }
            // the endpoint that had the id first keeps it while it answers
            if entry.is_good(now) {
                return false;
            }
            let old = entry.node.addr;
            self.evict(&old, now);
        }
        let mut entry = self.buckets[at].take_replacement(&node).unwrap_or_else(|| Entry::new(node));
        entry.replied(rtt, now);
        if !self.is_distinct(at, node.addr.ip()) {
            return false;
        }
        let bucket = &mut self.buckets[at];
        if !bucket.has_room() {
            let Some(failing) = bucket.live.iter().position(|e| e.fails >= FAILS_TO_YIELD) else {
                bucket.keep(entry);
                return false;
            };
            let gone = bucket.live.swap_remove(failing);
            self.by_addr.remove(&gone.node.addr);
        }
        self.buckets[at].live.push(entry);
        self.by_addr.insert(node.addr, node.id);
        true
    }

    /// Notes that `node` queried us; says whether it is unknown and worth a ping.
    pub(crate) fn on_query(&mut self, node: NodeInfo, now: Instant) -> bool {
        if node.id == self.own {
            return false;
        }
        let at = self.grow_to(&node.id, now);
        if let Some(entry) = self.buckets[at].live_mut(&node.id) {
            if entry.node.addr == node.addr {
                entry.last_query = Some(now);
            }
            return false;
        }
        if !self.is_distinct(at, node.addr.ip()) {
            return false;
        }
        self.buckets[at].keep(Entry { last_query: Some(now), ..Entry::new(node) });
        self.buckets[at].has_room()
    }

    /// Keeps a node others told us of as a possible replacement.
    pub(crate) fn on_heard(&mut self, node: NodeInfo, now: Instant) {
        if node.id == self.own || self.by_addr.contains_key(&node.addr) {
            return;
        }
        let at = self.grow_to(&node.id, now);
        if self.buckets[at].live_mut(&node.id).is_none() && self.is_distinct(at, node.addr.ip()) {
            self.buckets[at].keep(Entry::new(node));
        }
    }

    /// Notes that we sent a query there.
    pub(crate) fn on_asked(&mut self, addr: &SocketAddr, now: Instant) {
        if let Some(entry) = self.entry_mut(addr) {
            entry.last_asked = Some(now);
        }
    }

    /// Notes that a query stayed unanswered; hands out the node if that made it leave the table.
    pub(crate) fn on_fail(
        &mut self,
        addr: &SocketAddr,
        id: Option<NodeId>,
        now: Instant,
    ) -> Option<NodeInfo> {
        if let Some(id) = id.or_else(|| self.by_addr.get(addr).copied())
            && let Some(bucket) = self.buckets.get_mut(self.own.distance(&id).shared_bits())
        {
            bucket.replacements.retain(|e| e.node.addr != *addr);
        }
        let entry = self.entry_mut(addr)?;
        entry.fails = entry.fails.saturating_add(1);
        let (node, fails) = (entry.node, entry.fails);
        let at = self.own.distance(&node.id).shared_bits();
        let can_yield = self.buckets[at].replacements.iter().any(|e| e.is_servable(now));
        if fails >= FAILS_TO_LEAVE || (fails >= FAILS_TO_YIELD && can_yield) {
            self.evict(addr, now);
            return Some(node);
        }
        None
    }

    /// Removes the live node at `addr`; a replacement that answered lately takes its place.
    pub(crate) fn evict(&mut self, addr: &SocketAddr, now: Instant) {
        let Some(id) = self.by_addr.remove(addr) else { return };
        let at = self.own.distance(&id).shared_bits();
        self.buckets[at].live.retain(|e| e.node.id != id);
        let by_addr = &self.by_addr;
        let bucket = &mut self.buckets[at];
        let live = &bucket.live;
        let taken: Vec<IpAddr> = live.iter().map(|e| e.node.addr.ip()).collect();
        let fits = |e: &Entry| {
            !has_global_ip(by_addr, e.node.addr.ip())
                && !by_addr.contains_key(&e.node.addr)
                && !taken.iter().any(|ip| scope::share_site(*ip, e.node.addr.ip()))
        };
        if let Some(entry) = bucket.take_proven(now, fits) {
            self.by_addr.insert(entry.node.addr, entry.node.id);
            self.buckets[at].live.push(entry);
        }
    }

    /// Removes the live node at `addr` if it goes by this id there.
    pub(crate) fn evict_if(&mut self, addr: &SocketAddr, id: Option<NodeId>, now: Instant) {
        if id.is_some() && self.by_addr.get(addr).copied() == id {
            self.evict(addr, now);
        }
    }

    /// Marks the bucket around `target` as sought.
    pub(crate) fn touch(&mut self, target: &NodeId, now: Instant) {
        if let Some(bucket) = self.buckets.get_mut(self.own.distance(target).shared_bits()) {
            bucket.touched = now;
        }
    }

    /// Up to `n` live nodes closest to `target` that are `wanted`, closest first.
    pub(crate) fn closest(
        &self,
        target: &NodeId,
        n: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<NodeInfo> {
        let home = self.own.distance(target).shared_bits();
        let mut found: Vec<NodeInfo> = Vec::new();
        // all of a group is nearer than any of the next: the target's bucket, all deeper ones together, then outwards
        let deeper = home.saturating_add(1)..self.buckets.len();
        let groups =
            [home..home.saturating_add(1), deeper].into_iter().chain((0..home).rev().map(|i| i..i + 1));
        for group in groups {
            if found.len() >= n {
                break;
            }
            let from = found.len();
            let buckets =
                self.buckets.get(group.start..group.end.min(self.buckets.len())).unwrap_or_default();
            found.extend(buckets.iter().flat_map(|b| &b.live).filter(|e| wanted(e)).map(|e| e.node));
            found[from..].sort_unstable_by_key(|node| node.id.distance(target));
        }
        found.truncate(n);
        found
    }

    //= BEP 5: questionable nodes are pinged
    /// Up to `n` nodes that should be pinged: live ones whose answer grows old, then unproven ones a bucket has
    /// room for.
    pub(crate) fn due_for_ping(&self, n: usize, now: Instant) -> Vec<NodeInfo> {
        let mut old: Vec<&Entry> =
            self.buckets.iter().flat_map(|b| &b.live).filter(|e| e.is_due_for_ping(now)).collect();
        old.sort_unstable_by_key(|e| (e.last_asked, e.node));
        let unproven = self
            .buckets
            .iter()
            .filter(|b| b.has_room())
            .flat_map(|b| b.replacements.iter().rev())
            .filter(|e| !e.is_servable(now));
        old.into_iter().chain(unproven).take(n).map(|e| e.node).collect()
    }

    /// When [`Self::due_for_ping`] next names a node.
    pub(crate) fn next_ping(&self) -> Option<Instant> {
        let old = self.buckets.iter().flat_map(|b| &b.live).map(Entry::next_ping);
        let with_room = self.buckets.iter().filter(|b| b.has_room());
        let unproven = with_room.flat_map(|b| &b.replacements).map(Entry::servable_until);
        old.chain(unproven).min()
    }

    /// When [`Self::stale_target`] next names an id.
    pub(crate) fn next_stale(&self) -> Option<Instant> {
        self.buckets.iter().map(|b| b.touched + GOOD_FOR).min()
    }

    //= BEP 5: a bucket untouched for 15 minutes is refreshed by a random id of its range
    /// A random id in the range of a bucket untouched for 15 minutes, if there is one.
    pub(crate) fn stale_target(&self, rng: &mut impl Rng, now: Instant) -> Option<NodeId> {
        let at = self.buckets.iter().position(|b| now.since(b.touched) >= GOOD_FOR)?;
        let mut id = [0; 20];
        rng.fill_bytes(&mut id);
        for (i, byte) in id.iter_mut().enumerate() {
            let own = self.own.0[i];
            let shared = at.saturating_sub(i * 8).min(8);
            let mask = u8::try_from(0xff00u16 >> shared & 0xff).unwrap_or(0xff);
            *byte = (own & mask) | (*byte & !mask);
            if at / 8 == i {
                let flip = 0x80 >> (at % 8);
                *byte = (*byte & !flip) | (!own & flip);
            }
        }
        Some(NodeId(id))
    }

    /// Round-trip time of the live node at `addr`.
    pub(crate) fn srtt(&self, addr: &SocketAddr) -> Option<Duration> {
        let id = self.by_addr.get(addr)?;
        let bucket = self.buckets.get(self.own.distance(id).shared_bits())?;
        bucket.live.iter().find(|e| e.node.id == *id)?.srtt
    }

    pub(crate) fn is_live(&self, addr: &SocketAddr) -> bool {
        self.by_addr.contains_key(addr)
    }

    pub(crate) fn live_count(&self) -> usize {
        self.by_addr.len()
    }

    pub(crate) fn good_count(&self, now: Instant) -> usize {
        self.entries().filter(|(_, e)| e.is_good(now)).count()
    }

    /// Every live node with the number of its bucket, the widest bucket first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.buckets.iter().enumerate().flat_map(|(at, b)| b.live.iter().map(move |e| (at, e)))
    }

    fn entry_mut(&mut self, addr: &SocketAddr) -> Option<&mut Entry> {
        let id = *self.by_addr.get(addr)?;
        self.buckets[self.own.distance(&id).shared_bits()].live_mut(&id)
    }

    /// The bucket of `id`, which is not our own.
    fn grow_to(&mut self, id: &NodeId, now: Instant) -> usize {
        let at = self.own.distance(id).shared_bits();
        assert!(at < NodeId::BITS, "our own id has no bucket");
        while self.buckets.len() <= at {
            let capacity = FIRST_BUCKETS.get(self.buckets.len()).copied().unwrap_or(K);
            self.buckets.push(Bucket::new(capacity, now));
        }
        at
    }

    /// Whether a node with this address may join the bucket: its IP is not in the table, nor its site in the bucket.
    fn is_distinct(&self, bucket: usize, ip: IpAddr) -> bool {
        !has_global_ip(&self.by_addr, ip)
            && !self.buckets[bucket].live.iter().any(|e| scope::share_site(e.node.addr.ip(), ip))
    }
}

fn has_global_ip(by_addr: &BTreeMap<SocketAddr, NodeId>, ip: IpAddr) -> bool {
    scope::is_global(ip)
        && by_addr.range(SocketAddr::new(ip, 0)..=SocketAddr::new(ip, u16::MAX)).next().is_some()
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
        RoutingTable::new(NodeId([0; 20]))
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
        t.on_heard(own, Instant::ZERO);
        assert!(t.closest(&own.id, K, |_| true).is_empty());
        t.touch(&own.id, Instant::ZERO);
    }

    #[test]
    fn closest_is_what_sorting_everything_says() {
        let mut t = table();
        let rng = &mut ChaCha12Rng::from_seed([5; 32]);
        let mut all = Vec::new();
        for n in 0..400u16 {
            let mut id = NodeId([0; 20]);
            rng.fill_bytes(&mut id.0);
            id.0[0] >>= n % 8;
            let node = NodeInfo { id, ..node(0, n) };
            if t.on_reply(node, RTT, Instant::ZERO) {
                all.push(node);
            }
        }
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
        t.on_heard(node(0x80, 1), Instant::ZERO);
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
        assert_eq!(t.on_fail(&node(0x08, 1).addr, None, Instant::ZERO), None);
        assert_eq!(t.on_fail(&node(0x08, 1).addr, None, Instant::ZERO), Some(node(0x08, 1)));
        assert!(t.is_live(&node(0x08, 9).addr) && t.live_count() == 8);
    }

    //= S54
    #[test]
    fn without_a_replacement_a_node_leaves_after_five_failures_in_a_row() {
        let mut t = table();
        let n = node(0x08, 1);
        t.on_reply(n, RTT, Instant::ZERO);
        (0..4).for_each(|_| assert_eq!(t.on_fail(&n.addr, Some(n.id), Instant::ZERO), None));
        t.on_reply(n, RTT, Instant::ZERO);
        (0..4).for_each(|_| assert_eq!(t.on_fail(&n.addr, Some(n.id), Instant::ZERO), None));
        assert_eq!(t.on_fail(&n.addr, Some(n.id), Instant::ZERO), Some(n));
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
        let mut t = RoutingTable::new(NodeId([0b1010_1010; 20]));
        let rng = &mut ChaCha12Rng::from_seed([5; 32]);
        let mut deep = NodeId([0b1010_1010; 20]);
        deep.0[2] ^= 0x10;
        t.on_reply(NodeInfo { id: deep, addr: ([8, 8, 8, 8], 1).into() }, RTT, Instant::ZERO);
        assert_eq!(t.stale_target(rng, Instant::ZERO), None);
        let later = Instant::ZERO + GOOD_FOR;
        for bucket in 0..20 {
            let target = t.stale_target(rng, later).expect("twenty are stale");
            assert_eq!(t.own.distance(&target).shared_bits(), bucket);
            t.touch(&target, later);
        }
        assert_eq!(t.stale_target(rng, later), None);
    }
}
