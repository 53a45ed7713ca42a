//! The standing searches: each is a lookup repeated before the nodes that store us forget.

use crate::io::Announce;
use crate::routing_table::K;
use crate::transactions::LookupId;
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::{Duration, Instant};

/// Mean time between two rounds of a search.
const INTERVAL: Duration = Duration::from_secs(15 * 60);
/// First pause after a round that found nobody; it doubles with every such round up to [`INTERVAL`].
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The same while the node is finding its neighbourhood, and its peers are finding theirs: whoever was found or not.
const FIRST_PAUSE_SETTLING: Duration = Duration::from_secs(8);
/// Live nodes up to which the table counts as small.
pub(crate) const SMALL_TABLE: usize = 32;
/// The same while the table is small: nodes that matter may appear any second.
const FIRST_PAUSE_SMALL_TABLE: Duration = Duration::from_secs(1);
/// Least time between a round and one that a new node provokes.
const PROVOKED_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) announce: Option<Announce>,
    pub(crate) running: Option<LookupId>,
    /// The closest nodes that answered in the last round.
    pub(crate) closest: Vec<NodeInfo>,
    due: Instant,
    /// Rounds since the last that was followed by a whole [`INTERVAL`].
    short_rounds: u32,
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
    due: BTreeSet<(Instant, WireHash)>,
}

impl Searches {
    /// Begins a search, or makes a known one due with this announcement. While its round runs the new announcement
    /// goes out at the round's end.
    pub(crate) fn start(&mut self, target: WireHash, announce: Option<Announce>, now: Instant) {
        let search = self.by_target.entry(target).or_insert_with(|| Search {
            announce,
            running: None,
            closest: Vec::new(),
            due: now,
            short_rounds: 0,
            finished: None,
        });
        search.announce = announce;
        search.short_rounds = 0;
        self.make_due(target, now);
    }

    /// Ends a search and hands it out.
    pub(crate) fn stop(&mut self, target: &WireHash) -> Option<Search> {
        let search = self.by_target.remove(target)?;
        self.due.remove(&(search.due, *target));
        Some(search)
    }

    pub(crate) fn get_mut(&mut self, target: &WireHash) -> Option<&mut Search> {
        self.by_target.get_mut(target)
    }

    /// Takes the next search whose time has come; it then must be given a lookup or [`Self::make_due`].
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<WireHash> {
        let (_, target) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.due.pop_first();
        Some(target)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Sets the start of the next round of a search that does not run.
    pub(crate) fn make_due(&mut self, target: WireHash, at: Instant) {
        if let Some(search) = self.by_target.get_mut(&target)
            && search.running.is_none()
        {
            self.due.remove(&(search.due, target));
            search.due = at;
            self.due.insert((at, target));
        }
    }

    /// Ends a round, and sets when the next begins.
    pub(crate) fn finish_round(
        &mut self,
        target: WireHash,
        peers_found: usize,
        closest: Vec<NodeInfo>,
        table: TableState,
        rng: &mut impl Rng,
        now: Instant,
    ) {
        let Some(search) = self.by_target.get_mut(&target) else { return };
        search.running = None;
        search.finished = Some(now);
        search.closest = closest;
        // 90 to 110 % of the interval, so that searches begun together drift apart
        let interval = INTERVAL * rng.random_range(900..=1100) / 1000;
        let is_table_small = table.live_nodes <= SMALL_TABLE;
        let pause = if table.live_nodes == 0 {
            // the first node that appears brings the round forward
            interval
        } else if peers_found == 0 || is_table_small || table.is_settling {
            let first = match (is_table_small, table.is_settling) {
                (true, _) => FIRST_PAUSE_SMALL_TABLE,
                (false, true) => FIRST_PAUSE_SETTLING,
                (false, false) => FIRST_PAUSE,
            };
            let pause = first * (1 << search.short_rounds.min(10));
            search.short_rounds += 1;
            pause.min(interval)
        } else {
            search.short_rounds = 0;
            interval
        };
        self.make_due(target, now + pause);
    }

    /// Brings forward every search for which `node`, new to the table, would be among the closest.
    pub(crate) fn on_new_node(&mut self, node: &NodeInfo, now: Instant) {
        let mut provoked = Vec::new();
        for (target, search) in self.by_target.iter().filter(|(_, s)| s.running.is_none()) {
            let key = NodeId::from(*target);
            let is_close = search.closest.len() < K
                || search.closest.iter().any(|c| node.id.distance(&key) < c.id.distance(&key));
            let at = search.finished.map_or(now, |at| now.max(at + PROVOKED_PAUSE));
            if is_close && at < search.due && !search.closest.contains(node) {
                provoked.push((*target, at));
            }
        }
        provoked.into_iter().for_each(|(target, at)| self.make_due(target, at));
    }
}
