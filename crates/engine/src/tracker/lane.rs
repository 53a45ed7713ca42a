//! The trackers of one address family: their order, what each was told, and whose turn it is (BEP 7, 12).

use core::net::IpAddr;
use std::collections::VecDeque;
use unchoke_wire::compact::Family;
use unchoke_wire::time::{Duration, Instant};

/// The trackers as one address family sees them. Each family announces on its own.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) family: Family,
    /// Trackers by tier in the order they are tried.
    pub(super) tiers: Vec<Vec<usize>>,
    /// One for every tracker there ever was.
    pub(super) slots: Vec<Slot>,
    pub(super) walk: Option<Walk>,
    /// When the next walk begins; `None` while one is under way or when no tracker is left.
    pub(super) next_walk_at: Option<Instant>,
    /// The tracker that answered last.
    pub(super) working: Option<usize>,
}

/// What one tracker knows of us over one address family.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// It accepted `started` and was not told `stopped`.
    pub(super) has_started: bool,
    /// It accepted `completed`.
    pub(super) has_completed: bool,
    /// It said it is never to be asked again.
    pub(super) is_dead: bool,
    /// Failures since the last success.
    pub(super) fails: u32,
    /// It may not be asked before this, except to be told an event.
    pub(super) not_before: Instant,
    /// Its address when it was asked last.
    pub(super) address: Option<IpAddr>,
}

/// Trackers being tried one after the other until one answers.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) queue: VecDeque<usize>,
    /// When the next one is tried beside those that are silent.
    pub(super) hedge_at: Instant,
    pub(super) hedge_every: Duration,
}

/// A silent tracker is given this long before the next one is tried beside it...
const HEDGE_MAX: Duration = Duration::from_secs(5);
/// ...or less, so that the last of many is tried within this time.
const WALK_MAX: Duration = Duration::from_secs(25);
const HEDGE_MIN: Duration = Duration::from_secs(1);

impl Lane {
    pub(super) fn new(family: Family) -> Self {
        Lane { family, tiers: Vec::new(), slots: Vec::new(), walk: None, next_walk_at: None, working: None }
    }

    /// Begins to try trackers in their order: those that may be asked, or only `only`. Without any, the next walk
    /// is set to when the first one may be asked.
    pub(super) fn begin_walk(&mut self, only: Option<usize>, is_busy: impl Fn(usize) -> bool, now: Instant) {
        let all = self.tiers.iter().flatten().copied().filter(|t| only.is_none_or(|only| only == *t));
        let may_ask = |t: &usize| {
            let slot = &self.slots[*t];
            !slot.is_dead && slot.not_before <= now && !is_busy(*t)
        };
        let queue: VecDeque<usize> = all.filter(may_ask).collect();
        if queue.is_empty() {
            self.end_walk(only, now);
            return;
        }
        let others = u32::try_from(queue.len() - 1).unwrap_or(u32::MAX).max(1);
        let hedge_every = (WALK_MAX / others).clamp(HEDGE_MIN, HEDGE_MAX);
        self.walk = Some(Walk { queue, hedge_at: now, hedge_every });
        self.next_walk_at = None;
    }

    /// No tracker answered: the next walk begins when one may be asked again.
    pub(super) fn end_walk(&mut self, only: Option<usize>, now: Instant) {
        self.walk = None;
        let all = self.tiers.iter().flatten().filter(|t| only.is_none_or(|only| only == **t));
        let times = all.map(|t| &self.slots[*t]).filter(|s| !s.is_dead).map(|s| s.not_before);
        // one that may be asked but is busy ends by setting a time itself
        self.next_walk_at = times.filter(|at| *at > now).min();
    }

    /// When the first tracker may be asked.
    pub(super) fn may_ask_at(&self) -> Option<Instant> {
        let all = self.tiers.iter().flatten().map(|t| &self.slots[*t]);
        all.filter(|s| !s.is_dead).map(|s| s.not_before).min()
    }

    /// The rank of a tracker's tier; the worst for one that is in none.
    pub(super) fn tier_of(&self, tracker: usize) -> usize {
        self.tiers.iter().position(|tier| tier.contains(&tracker)).unwrap_or(usize::MAX)
    }

    //= BEP 12: a tracker that answers moves to the front of its tier
    pub(super) fn move_to_front(&mut self, tracker: usize) {
        for tier in &mut self.tiers {
            if let Some(at) = tier.iter().position(|t| *t == tracker) {
                tier[..=at].rotate_right(1);
            }
        }
    }
}

impl Slot {
    /// Forgets the session with the tracker, not who it is.
    pub(super) fn restart(&mut self, now: Instant) {
        *self = Slot { address: self.address, not_before: now, ..Slot::default() };
    }
}
