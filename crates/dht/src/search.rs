//! The standing searches: each is a lookup repeated before the nodes that store us forget.
//!
//! A search that somebody waits for goes first. Those that merely keep us announced may be ten thousands: they rest in
//! a few hundred bytes each, and their rounds begin one by one at an even pace.

use crate::io::Announce;
use crate::routing_table::K;
use crate::transactions::LookupId;
use core::ops::Bound;
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::WireHash;
use unchoke_wire::compact;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::{Duration, Instant};

/// Mean time between two rounds of a search somebody waits for.
const INTERVAL: Duration = Duration::from_secs(15 * 60);
/// The same for one that keeps us announced: nodes forget after 30 to 45 minutes.
const QUIET_INTERVAL: Duration = Duration::from_secs(24 * 60);
/// Rounds of quiet searches that begin in a second, at least; more only if there are so many that their interval
/// needs it.
const QUIET_PER_S: u32 = 10;
/// First pause after a round that found nobody; it doubles with every such round up to the interval.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The same while the node is finding its neighbourhood, and its peers are finding theirs: whoever was found or not.
const FIRST_PAUSE_SETTLING: Duration = Duration::from_secs(8);
/// Live nodes up to which the table counts as small.
pub(crate) const SMALL_TABLE: usize = 32;
/// The same while the table is small: nodes that matter may appear any second.
const FIRST_PAUSE_SMALL_TABLE: Duration = Duration::from_secs(1);
/// The same after an announcement that no node took.
const FIRST_PAUSE_UNSTORED: Duration = Duration::from_secs(2 * 60);
/// Least time between a round and one that a new node provokes.
const PROVOKED_PAUSE: Duration = Duration::from_secs(1);
/// Searches on either side of a new node that are looked at: the nearest to it, for which it matters most.
const PROVOKED_MAX: usize = 128;
/// Lookups that run at once.
pub(crate) const LOOKUPS_MAX: usize = 32;
/// Lookups that run at once beside which a quiet search may begin a round.
const LOOKUPS_BESIDE_QUIET: usize = 24;

#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) announce: Option<Announce>,
    pub(crate) is_urgent: bool,
    /// Its next round is about the announcement alone: peers were sought lately, or nobody waits for them.
    pub(crate) is_announcing_only: bool,
    pub(crate) running: Option<LookupId>,
    closest: Contacts,
    due: Instant,
    /// Rounds since the last that was followed by a whole interval.
    short_rounds: u8,
    /// Announcements since one was taken.
    unstored: u8,
    finished: Option<Instant>,
}

/// What a round's end needs to know of the routing table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableState {
    pub(crate) live_nodes: usize,
    /// Our neighbourhood is still being found.
    pub(crate) is_settling: bool,
}

/// All searches, and when each is due.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    by_target: BTreeMap<WireHash, Search>,
    /// Searches that do not run, by their next start.
    urgent: BTreeSet<(Instant, WireHash)>,
    quiet: BTreeSet<(Instant, WireHash)>,
    /// No round of a quiet search begins before.
    next_quiet: Instant,
}

impl Searches {
    /// Begins a search, or makes a known one due with this announcement. While its round runs the new announcement
    /// goes out at the round's end.
    pub(crate) fn start(
        &mut self,
        target: WireHash,
        announce: Option<Announce>,
        is_urgent: bool,
        now: Instant,
    ) {
        let known = self.stop(&target);
        let is_news = known.as_ref().is_some_and(|s| s.finished.is_some() && s.announce != announce);
        let search = Search {
            announce,
            is_urgent,
            is_announcing_only: announce.is_some() && (is_news || !is_urgent),
            running: known.as_ref().and_then(|s| s.running),
            finished: known.as_ref().and_then(|s| s.finished),
            closest: known.map(|s| s.closest).unwrap_or_default(),
            due: now,
            short_rounds: 0,
            unstored: 0,
        };
        self.by_target.insert(target, search);
        self.make_due(target, now);
    }

    /// Ends a search and hands it out.
    pub(crate) fn stop(&mut self, target: &WireHash) -> Option<Search> {
        let search = self.by_target.remove(target)?;
        self.queue(search.is_urgent).remove(&(search.due, *target));
        Some(search)
    }

    pub(crate) fn get_mut(&mut self, target: &WireHash) -> Option<&mut Search> {
        self.by_target.get_mut(target)
    }

    /// Takes the next search whose time has come beside so many running lookups; it then must be given a lookup or
    /// [`Self::make_due`].
    pub(crate) fn pop_due(&mut self, running: usize, now: Instant) -> Option<WireHash> {
        let is_due = |first: Option<&(Instant, WireHash)>| first.is_some_and(|(at, _)| *at <= now);
        if running < LOOKUPS_MAX && is_due(self.urgent.first()) {
            return self.urgent.pop_first().map(|(_, target)| target);
        }
        if running < LOOKUPS_BESIDE_QUIET && now >= self.next_quiet && is_due(self.quiet.first()) {
            let searches = u32::try_from(self.by_target.len()).unwrap_or(u32::MAX);
            // a quarter faster than the interval needs, so that what was put off is made up for
            let share = QUIET_INTERVAL * 4 / 5 / searches.max(1);
            self.next_quiet = now + share.min(Duration::from_secs(1) / QUIET_PER_S);
            return self.quiet.pop_first().map(|(_, target)| target);
        }
        None
    }

    /// When [`Self::pop_due`] next hands out a search, if so many lookups run till then.
    pub(crate) fn next_due(&self, running: usize) -> Option<Instant> {
        let urgent = self.urgent.first().filter(|_| running < LOOKUPS_MAX).map(|(at, _)| *at);
        let quiet = self.quiet.first().filter(|_| running < LOOKUPS_BESIDE_QUIET);
        urgent.into_iter().chain(quiet.map(|(at, _)| self.next_quiet.max(*at))).min()
    }

    /// Sets the start of the next round of a search that does not run.
    pub(crate) fn make_due(&mut self, target: WireHash, at: Instant) {
        if let Some(search) = self.by_target.get_mut(&target)
            && search.running.is_none()
        {
            let old = core::mem::replace(&mut search.due, at);
            let is_urgent = search.is_urgent;
            let queue = self.queue(is_urgent);
            queue.remove(&(old, target));
            queue.insert((at, target));
        }
    }

    /// Ends a round, and sets when the next begins.
    pub(crate) fn finish_round(
        &mut self,
        target: WireHash,
        peers_found: usize,
        closest: &[NodeInfo],
        table: TableState,
        rng: &mut impl Rng,
        now: Instant,
    ) {
        let Some(search) = self.by_target.get_mut(&target) else { return };
        search.running = None;
        // a round that had nobody to ask was none: the first node that appears is asked at once
        search.finished = (table.live_nodes > 0).then_some(now);
        search.closest = Contacts::new(closest);
        let interval = search.interval(rng);
        let is_table_small = table.live_nodes <= SMALL_TABLE;
        let is_fruitless = search.is_urgent && peers_found == 0;
        let pause = if table.live_nodes == 0 {
            // the first node that appears brings the round forward
            interval
        } else if is_fruitless || is_table_small || table.is_settling {
            let first = match (is_table_small, table.is_settling) {
                (true, _) => FIRST_PAUSE_SMALL_TABLE,
                (false, true) => FIRST_PAUSE_SETTLING,
                (false, false) => FIRST_PAUSE,
            };
            let pause = first * (1 << search.short_rounds.min(10));
            search.short_rounds = search.short_rounds.saturating_add(1);
            pause.min(interval)
        } else {
            search.short_rounds = 0;
            interval
        };
        self.make_due(target, now + pause);
    }

    /// Sets the next round of a search whose announcement went to nodes known from the last one.
    pub(crate) fn skip_round(&mut self, target: WireHash, rng: &mut impl Rng, now: Instant) {
        let Some(search) = self.by_target.get_mut(&target) else { return };
        let interval = search.interval(rng);
        self.make_due(target, now + interval);
    }

    /// Notes how many nodes took an announcement: one that none took is repeated sooner.
    pub(crate) fn on_announced(&mut self, target: WireHash, to: usize, now: Instant) {
        let Some(search) = self.by_target.get_mut(&target) else { return };
        if to > 0 {
            search.unstored = 0;
            return;
        }
        let at = now + FIRST_PAUSE_UNSTORED * (1 << search.unstored.min(4));
        search.unstored = search.unstored.saturating_add(1);
        if at < search.due {
            self.make_due(target, at);
        }
    }

    /// Brings forward the searches near `node`, new to the table, for which it would be among the closest.
    pub(crate) fn on_new_node(&mut self, node: &NodeInfo, now: Instant) {
        let mut provoked = Vec::new();
        let here = WireHash::from(node.id);
        let before = self.by_target.range(..here).rev().take(PROVOKED_MAX);
        let behind = self.by_target.range((Bound::Included(here), Bound::Unbounded)).take(PROVOKED_MAX);
        for (target, search) in before.chain(behind).filter(|(_, s)| s.running.is_none()) {
            let at = search.finished.map_or(now, |at| now.max(at + PROVOKED_PAUSE));
            if at < search.due && search.closest.would_take(node, &NodeId::from(*target)) {
                provoked.push((*target, at));
            }
        }
        provoked.into_iter().for_each(|(target, at)| self.make_due(target, at));
    }

    fn queue(&mut self, is_urgent: bool) -> &mut BTreeSet<(Instant, WireHash)> {
        if is_urgent { &mut self.urgent } else { &mut self.quiet }
    }
}

impl Search {
    /// The closest nodes that answered in the last round.
    pub(crate) fn closest(&self) -> impl Iterator<Item = NodeInfo> {
        self.closest.iter()
    }

    /// 90 to 110 % of the mean, so that searches begun together drift apart.
    fn interval(&self, rng: &mut impl Rng) -> Duration {
        let mean = if self.is_urgent { INTERVAL } else { QUIET_INTERVAL };
        mean * rng.random_range(900..=1100) / 1000
    }
}

/// Nodes of one family in as few bytes as can be.
#[derive(Default, Debug)]
struct Contacts {
    /// Each an id and a compact endpoint.
    bytes: Box<[u8]>,
    node_len: u8,
}

impl Contacts {
    fn new(nodes: &[NodeInfo]) -> Self {
        let mut bytes = Vec::new();
        for node in nodes {
            bytes.extend(node.id.0);
            compact::encode_into(node.addr, &mut bytes);
        }
        let node_len = bytes.len().checked_div(nodes.len()).unwrap_or(0);
        Contacts { bytes: bytes.into(), node_len: u8::try_from(node_len).expect("38 at most") }
    }

    fn iter(&self) -> impl Iterator<Item = NodeInfo> {
        self.bytes.chunks_exact(usize::from(self.node_len).max(1)).filter_map(|node| {
            let (id, addr) = node.split_at_checked(20)?;
            Some(NodeInfo { id: NodeId::from_slice(id)?, addr: compact::decode_one(addr)? })
        })
    }

    /// Whether `node` is not there and closer to `key` than one that is, or there is room.
    fn would_take(&self, node: &NodeInfo, key: &NodeId) -> bool {
        let (mut count, mut is_closer) = (0, false);
        for old in self.iter() {
            if old == *node {
                return false;
            }
            count += 1;
            is_closer |= node.id.distance(key) < old.id.distance(key);
        }
        is_closer || count < K
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    const SETTLED: TableState = TableState { live_nodes: 200, is_settling: false };
    const ANNOUNCE: Announce = Announce { port: 7000, implied_port: false, is_seed: true };

    fn key(n: u16) -> WireHash {
        let mut key = WireHash([0; 20]);
        key.0[..2].copy_from_slice(&n.to_be_bytes());
        key
    }

    fn node(n: u8) -> NodeInfo {
        NodeInfo { id: NodeId([n; 20]), addr: ([8, 8, n, 1], 1).into() }
    }

    #[test]
    fn a_search_that_does_not_run_takes_a_few_hundred_bytes() {
        let closest = Contacts::new(&[1, 2, 3, 4, 5, 6, 7, 8].map(node));
        assert_eq!(closest.bytes.len(), 8 * 26);
        // a key of the map, one of the queue with its time
        let all = size_of::<Search>() + closest.bytes.len() + 20 + 28;
        assert!(all <= 400, "{all} bytes");
        assert_eq!(closest.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8].map(node));
    }

    #[test]
    fn urgent_searches_go_first_and_quiet_ones_ten_a_second() {
        let mut s = Searches::default();
        let mut now = Instant::ZERO + Duration::from_secs(1);
        (0..50).for_each(|n| s.start(key(n), Some(ANNOUNCE), false, now));
        (50..53).for_each(|n| s.start(key(n), None, true, now));
        let mut order = Vec::new();
        while let Some(at) = s.next_due(0).filter(|at| at.since(now) < Duration::from_secs(60)) {
            now = now.max(at);
            while let Some(target) = s.pop_due(0, now) {
                order.push(target);
            }
        }
        assert_eq!(order[..3], [50, 51, 52].map(key));
        assert_eq!((order.len(), now), (53, Instant::ZERO + Duration::from_millis(1000 + 49 * 100)));
    }

    #[test]
    fn while_many_lookups_run_quiet_searches_wait_and_with_more_all_do() {
        let mut s = Searches::default();
        s.start(key(1), Some(ANNOUNCE), false, Instant::ZERO);
        assert_eq!((s.next_due(24), s.pop_due(24, Instant::ZERO)), (None, None));
        s.start(key(2), None, true, Instant::ZERO);
        assert_eq!((s.next_due(32), s.pop_due(32, Instant::ZERO)), (None, None));
        assert_eq!(s.pop_due(31, Instant::ZERO), Some(key(2)));
        assert_eq!((s.next_due(23), s.pop_due(23, Instant::ZERO)), (Some(Instant::ZERO), Some(key(1))));
    }

    #[test]
    fn an_announcement_that_nobody_took_is_repeated_sooner_and_ever_more_seldom() {
        let (rng, now) = (&mut ChaCha12Rng::from_seed([1; 32]), Instant::ZERO);
        let mut s = Searches::default();
        s.start(key(1), Some(ANNOUNCE), false, now);
        for minutes in [2, 4, 8, 16] {
            s.finish_round(key(1), 0, &[node(1)], SETTLED, rng, now);
            s.on_announced(key(1), 0, now);
            assert_eq!(s.next_due(0), Some(now + Duration::from_secs(minutes * 60)));
        }
        s.on_announced(key(1), 8, now);
        s.finish_round(key(1), 0, &[node(1)], SETTLED, rng, now);
        let pause = s.next_due(0).expect("one").since(now).as_secs() / 60;
        assert!((21..=26).contains(&pause), "{pause}");
    }

    #[test]
    fn a_search_begun_before_any_node_is_known_asks_the_first_at_once_and_the_next_a_second_later() {
        let (rng, now) = (&mut ChaCha12Rng::from_seed([1; 32]), Instant::ZERO);
        let mut s = Searches::default();
        s.start(key(1), Some(ANNOUNCE), true, now);
        s.pop_due(0, now);
        s.finish_round(key(1), 0, &[], TableState { live_nodes: 0, is_settling: true }, rng, now);
        let joined = now + Duration::from_millis(3);
        s.on_new_node(&node(1), joined);
        assert_eq!((s.next_due(0), s.pop_due(0, joined)), (Some(joined), Some(key(1))));
        s.finish_round(
            key(1),
            0,
            &[node(1)],
            TableState { live_nodes: 200, is_settling: false },
            rng,
            joined,
        );
        s.on_new_node(&node(2), joined);
        assert_eq!(s.next_due(0), Some(joined + PROVOKED_PAUSE));
    }

    #[test]
    fn of_thousands_of_searches_a_new_node_brings_forward_a_bounded_number_the_nearest() {
        let (rng, now) = (&mut ChaCha12Rng::from_seed([1; 32]), Instant::ZERO);
        let mut s = Searches::default();
        for n in 0..2000 {
            s.start(key(n * 30), Some(ANNOUNCE), false, now);
            s.finish_round(key(n * 30), 0, &[], SETTLED, rng, now);
        }
        s.on_new_node(&node(7), now + Duration::from_secs(10));
        let soon = s.quiet.iter().filter(|(at, _)| at.since(now) < Duration::from_secs(60)).count();
        // sixty lie before it
        assert_eq!(soon, PROVOKED_MAX + 60);
    }
}
