//! Announcing one torrent to its trackers (BEP 3, 7, 12, 15, 24, 27, 31, 41, 48).
//!
//! Each address family is a *lane* that announces on its own: the same tracker may work over one and fail over the
//! other. A lane *walks* through the tiers in order until a tracker answers, then waits for that tracker's interval
//! and walks again. A tracker that is silent is not waited for: after five seconds the next one is tried beside it,
//! sooner when there are many, so that a tier of dead trackers costs at most 25 s. A private torrent asks one tracker
//! after the other instead. One exchange with one tracker is an attempt; it ends after 15 s, name lookup and
//! all. UDP packets are sent again after 3, 6 and 12 s instead of BEP 15's 15, 30, 60 …: a lost packet then costs
//! seconds, and a dead tracker is left to the back-off that all trackers share.

mod attempt;
mod connections;
mod io;
mod lane;
pub mod url;

#[cfg(test)]
mod tests;

pub use connections::Connections;
pub use io::{AnnounceInput, AnnounceOutput, AnnounceOutputs, AnnounceTotals, AnnouncerSettings, Families};
pub use url::{Scheme, TrackerUrl, UrlError};

use attempt::{Attempt, Purpose};
use core::net::{IpAddr, SocketAddr};
use lane::{Lane, Slot};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use unchoke_wire::PeerId;
use unchoke_wire::compact::Family;
use unchoke_wire::http_tracker::{AnnounceEvent, AnnounceReply, PeerAddress, RetryIn, TrackerPeer};
use unchoke_wire::time::{Duration, Instant};

/// Announces one torrent.
#[derive(Debug)]
pub struct Announcer {
    settings: AnnouncerSettings,
    rng: ChaCha12Rng,
    phase: Phase,
    trackers: Vec<Tracker>,
    lanes: Vec<Lane>,
    attempts: Vec<Attempt>,
    named_peers: Vec<NamedPeer>,
    next_request: u32,
    /// The tracker a private torrent belongs to for the time being.
    private_tracker: Option<usize>,
    is_complete: bool,
    is_complete_at_start: bool,
    totals: AnnounceTotals,
    /// Lent by the owner while an input is handled.
    connections: Connections,
    /// When trackers are, or were, told of another address of ours.
    moved_at: Option<Instant>,
    outputs: Vec<AnnounceOutput>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    Running,
    Stopping {
        deadline: Instant,
        /// `Start` came meanwhile.
        restart: Option<bool>,
    },
}

#[derive(Debug)]
struct Tracker {
    url: TrackerUrl,
    /// What it wants to be repeated.
    id: Option<Vec<u8>>,
    /// It is in no tier any more.
    is_removed: bool,
}

/// A peer of a tracker's list whose name is being resolved.
#[derive(Debug)]
struct NamedPeer {
    request: u32,
    port: u16,
    peer_id: Option<PeerId>,
    tracker: Option<IpAddr>,
}

/// A tracker that says nothing of an interval is asked this often.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(1800);
/// Whatever a tracker says, it is asked at most this often...
const INTERVAL_MIN: Duration = Duration::from_secs(60);
/// ...and at least this often.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// A tracker that says nothing of a least interval is asked for more peers at most this often.
const MIN_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);
/// A failed tracker is left alone at most this long.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);
/// A tracker without an address in a lane's family is looked up again after this.
const NO_ADDRESS_WAIT: Duration = Duration::from_secs(1800);
/// Telling the trackers that we stop may take this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Names of peers being resolved at once; more are left out.
const NAMED_PEERS_MAX: usize = 16;

impl Announcer {
    /// An announcer that is silent until `Start`. URLs that cannot be used are reported by the first outputs.
    pub fn new(mut settings: AnnouncerSettings, seed: u64, now: Instant) -> Self {
        let tiers = core::mem::take(&mut settings.tiers);
        let mut lanes = Vec::new();
        if settings.families.v4 {
            lanes.push(Lane::new(Family::V4));
        }
        if settings.families.v6 {
            lanes.push(Lane::new(Family::V6));
        }
        let mut this = Announcer {
            settings,
            rng: ChaCha12Rng::seed_from_u64(seed),
            phase: Phase::Idle,
            trackers: Vec::new(),
            lanes,
            attempts: Vec::new(),
            named_peers: Vec::new(),
            next_request: 0,
            private_tracker: None,
            is_complete: false,
            is_complete_at_start: false,
            totals: AnnounceTotals::default(),
            connections: Connections::default(),
            moved_at: None,
            outputs: Vec::new(),
        };
        this.set_tiers(tiers, now);
        this
    }

    /// Takes in one thing that happened. `totals` are those of this moment; `connections` are the owner's, for all its
    /// torrents.
    pub fn handle(
        &mut self,
        input: AnnounceInput<'_>,
        totals: AnnounceTotals,
        connections: &mut Connections,
        now: Instant,
    ) -> AnnounceOutputs<'_> {
        self.totals = totals;
        core::mem::swap(&mut self.connections, connections);
        match input {
            AnnounceInput::Timeout => {}
            AnnounceInput::Start { is_complete } => self.start(is_complete, now),
            AnnounceInput::StartLater { is_complete, delay } => {
                self.start(is_complete, now);
                self.put_off(now + delay);
            }
            AnnounceInput::Later(until) => self.put_off(until),
            AnnounceInput::Completed => self.complete(now),
            AnnounceInput::Stop => self.stop(now),
            AnnounceInput::AnnounceNow => self.announce_now(now),
            AnnounceInput::Moved(at) => self.moved(at),
            AnnounceInput::Private => self.become_private(now),
            AnnounceInput::Scrape => self.scrape(now),
            AnnounceInput::SetTiers(tiers) => self.set_tiers(tiers, now),
            AnnounceInput::HttpDone { request, reply, remote } => self.http_done(request, reply, remote, now),
            AnnounceInput::Resolved { request, addresses } => self.resolved(request, addresses, now),
            AnnounceInput::Datagram { from, bytes } => self.datagram(from, bytes, now),
        }
        self.advance(now);
        core::mem::swap(&mut self.connections, connections);
        AnnounceOutputs(self.outputs.drain(..))
    }

    /// When to call with `Timeout`.
    pub fn next_timeout(&self) -> Option<Instant> {
        let attempts = self.attempts.iter().map(Attempt::next_timeout);
        let hedges = self.lanes.iter().filter_map(|l| {
            l.walk.as_ref().filter(|w| !w.queue.is_empty() && !self.settings.is_private).map(|w| w.hedge_at)
        });
        let is_running = self.phase == Phase::Running;
        let walks = self.lanes.iter().filter_map(|l| l.next_walk_at.filter(|_| is_running));
        let stop = match self.phase {
            Phase::Stopping { deadline, .. } => Some(deadline),
            Phase::Idle | Phase::Running => None,
        };
        attempts.chain(hedges).chain(walks).chain(stop).min()
    }

    /// Whether a tracker is being asked or told something.
    pub fn is_asking(&self) -> bool {
        !self.attempts.is_empty()
    }

    /// Whether no tracker is being told anything: before `Start`, and a while after `Stop`.
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Idle
    }

    //= BEP 12: each tier is shuffled once
    fn set_tiers(&mut self, tiers: Vec<Vec<String>>, now: Instant) {
        let mut is_listed = vec![false; self.trackers.len()];
        let mut by_tier: Vec<Vec<usize>> = Vec::new();
        for tier in tiers {
            let mut members = Vec::new();
            for text in &tier {
                let Some(at) = self.tracker_of(text) else { continue };
                is_listed.resize(self.trackers.len(), false);
                if !core::mem::replace(&mut is_listed[at], true) {
                    members.push(at);
                }
            }
            members.shuffle(&mut self.rng);
            by_tier.push(members);
        }
        for (tracker, is_listed) in self.trackers.iter_mut().zip(&is_listed) {
            tracker.is_removed = !is_listed;
        }
        for lane in &mut self.lanes {
            lane.slots.resize(self.trackers.len(), Slot::default());
            lane.tiers = by_tier.clone();
            lane.working = lane.working.filter(|t| is_listed[*t]);
            if let Some(working) = lane.working {
                lane.move_to_front(working);
            }
            if let Some(walk) = &mut lane.walk {
                walk.queue.clear();
            }
            // one that works is kept to its interval, unless a better tier has come
            let is_best = lane.working.is_some_and(|t| lane.tier_of(t) == 0);
            if self.phase == Phase::Running && !is_best {
                lane.walk = None;
                lane.next_walk_at = Some(now);
            }
        }
        if self.phase == Phase::Running {
            let removed = (0..is_listed.len()).filter(|t| !is_listed[*t]).collect::<Vec<_>>();
            removed.into_iter().for_each(|t| self.leave(t, now));
        }
    }

    fn tracker_of(&mut self, text: &str) -> Option<usize> {
        let url = match TrackerUrl::parse(text) {
            Ok(url) => url,
            Err(error) => {
                let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
                let url = format!("{}://…", scheme.chars().take(8).collect::<String>());
                let error = error.to_string();
                self.outputs.push(AnnounceOutput::Failed { url, error, next_in: None });
                return None;
            }
        };
        let known = self.trackers.iter().position(|t| t.url == url);
        Some(known.unwrap_or_else(|| {
            self.trackers.push(Tracker { url, id: None, is_removed: false });
            self.trackers.len() - 1
        }))
    }

    fn start(&mut self, is_complete: bool, now: Instant) {
        match &mut self.phase {
            Phase::Running => return,
            Phase::Stopping { restart, .. } => {
                *restart = Some(is_complete);
                return;
            }
            Phase::Idle => self.phase = Phase::Running,
        }
        self.is_complete = is_complete;
        self.is_complete_at_start = is_complete;
        self.private_tracker = None;
        for lane in &mut self.lanes {
            lane.slots.iter_mut().for_each(|s| s.restart(now));
            lane.working = None;
            lane.next_walk_at = Some(now);
        }
    }

    /// Lets walks that have not begun wait.
    fn put_off(&mut self, until: Instant) {
        for at in self.lanes.iter_mut().filter_map(|l| l.next_walk_at.as_mut()) {
            *at = (*at).max(until);
        }
    }

    fn complete(&mut self, now: Instant) {
        self.is_complete = true;
        if let Phase::Stopping { restart: Some(is_complete), .. } = &mut self.phase {
            *is_complete = true;
        }
        if self.phase == Phase::Running {
            for (lane, tracker) in self.slots() {
                self.tell_completed(lane, tracker, now);
            }
        }
    }

    /// Tells a tracker of the completion if it has to know and nothing else is being told to it.
    fn tell_completed(&mut self, lane: usize, tracker: usize, now: Instant) {
        if self.event_for(lane, tracker) == AnnounceEvent::Completed && !self.is_busy(lane, tracker) {
            self.begin(lane, tracker, Purpose::Announce(AnnounceEvent::Completed), false, now);
        }
    }

    /// What the next announce says. Whoever hears of us after the completion hears of both.
    fn event_for(&self, lane: usize, tracker: usize) -> AnnounceEvent {
        let slot = &self.lanes[lane].slots[tracker];
        if !slot.has_started {
            AnnounceEvent::Started
        } else if self.is_complete && !self.is_complete_at_start && !slot.has_completed {
            AnnounceEvent::Completed
        } else {
            AnnounceEvent::None
        }
    }

    fn stop(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Idle => return,
            Phase::Stopping { restart, .. } => {
                *restart = None;
                return;
            }
            Phase::Running => {}
        }
        let deadline = now + STOP_TIMEOUT;
        self.phase = Phase::Stopping { deadline, restart: None };
        self.named_peers.clear();
        for lane in &mut self.lanes {
            lane.walk = None;
            lane.next_walk_at = None;
        }
        (0..self.trackers.len()).for_each(|t| self.leave(t, now));
        self.attempts.retain(|a| matches!(a.purpose, Purpose::Announce(_)));
        self.attempts.iter_mut().for_each(|a| a.deadline = a.deadline.min(deadline));
    }

    /// Tells a tracker that we stop if it knows of us. If it is just being told `started`, that is waited for.
    fn leave(&mut self, tracker: usize, now: Instant) {
        for lane in 0..self.lanes.len() {
            let has_started = self.lanes[lane].slots[tracker].has_started;
            self.attempts.retain(|a| {
                let is_other = (a.lane, a.tracker) != (lane, tracker);
                let is_stopped = a.purpose == Purpose::Announce(AnnounceEvent::Stopped);
                is_other || is_stopped || (!has_started && a.is_announced())
            });
            if has_started && !self.is_busy(lane, tracker) {
                self.begin(lane, tracker, Purpose::Announce(AnnounceEvent::Stopped), false, now);
            }
        }
    }

    fn announce_now(&mut self, now: Instant) {
        for lane in self.lanes.iter_mut().filter(|l| l.walk.is_none()) {
            let may_ask_at = match lane.working {
                Some(tracker) => Some(lane.slots[tracker].not_before.max(now)),
                None => lane.may_ask_at().map(|at| at.max(now)),
            };
            if let (Some(at), Some(next)) = (may_ask_at, lane.next_walk_at) {
                lane.next_walk_at = Some(next.min(at));
            }
        }
    }

    /// Trackers that have an old address of ours are asked then.
    fn moved(&mut self, at: Instant) {
        let at = self.moved_at.map_or(at, |last| at.max(last + INTERVAL_MIN));
        self.moved_at = Some(at);
        for lane in self.lanes.iter_mut().filter(|l| l.walk.is_none() && l.next_walk_at.is_some()) {
            lane.slots.iter_mut().for_each(|s| s.not_before = s.not_before.min(at));
            lane.next_walk_at = lane.next_walk_at.map(|next| next.min(at));
        }
    }

    //= BEP 27: a private torrent uses one tracker at a time
    /// Stays with one of the trackers that answered, if any did, and leaves the others.
    fn become_private(&mut self, now: Instant) {
        self.settings.is_private = true;
        self.private_tracker = self.lanes.iter().find_map(|l| l.working);
        let Some(kept) = self.private_tracker.filter(|_| self.phase == Phase::Running) else { return };
        for lane in self.lanes.iter_mut().filter(|l| l.working != Some(kept)) {
            lane.working = None;
            lane.walk = None;
            lane.next_walk_at = Some(now);
        }
        (0..self.trackers.len()).filter(|t| *t != kept).for_each(|t| self.leave(t, now));
    }

    fn scrape(&mut self, now: Instant) {
        let working = self.lanes.iter().enumerate().find_map(|(i, l)| Some((i, l.working?)));
        let first = || Some((0, *self.lanes.first()?.tiers.iter().flatten().next()?));
        match working.or_else(first) {
            Some((lane, tracker)) => self.begin(lane, tracker, Purpose::Scrape, false, now),
            None => {
                let result = Err("there is no tracker to ask".to_owned());
                self.outputs.push(AnnounceOutput::Scraped { url: String::new(), result });
            }
        }
    }

    /// Does all that is due.
    fn advance(&mut self, now: Instant) {
        self.expire_attempts(now);
        self.resend(now);
        if self.phase == Phase::Running {
            (0..self.lanes.len()).for_each(|lane| self.advance_lane(lane, now));
        }
        if let Phase::Stopping { deadline, restart } = self.phase
            && (self.attempts.is_empty() || deadline <= now)
        {
            self.attempts.clear();
            self.phase = Phase::Idle;
            self.lanes.iter_mut().flat_map(|l| &mut l.slots).for_each(|s| s.restart(now));
            if let Some(is_complete) = restart {
                self.start(is_complete, now);
                (0..self.lanes.len()).for_each(|lane| self.advance_lane(lane, now));
            }
        }
    }

    //= BEP 12: tiers in order, the next tracker when one fails
    fn advance_lane(&mut self, lane: usize, now: Instant) {
        if self.lanes[lane].walk.is_none() && self.lanes[lane].next_walk_at.is_some_and(|at| at <= now) {
            let only = self.only_tracker(lane);
            let attempts = &self.attempts;
            let is_busy = |t| attempts.iter().any(|a| a.is_announce_of(lane, t));
            self.lanes[lane].begin_walk(only, is_busy, now);
        }
        loop {
            let is_trying = self.attempts.iter().any(|a| a.lane == lane && a.is_walk);
            let is_private = self.settings.is_private;
            let Some(walk) = &mut self.lanes[lane].walk else { return };
            match walk.queue.front().copied() {
                Some(tracker) if !is_trying || (walk.hedge_at <= now && !is_private) => {
                    walk.queue.pop_front();
                    walk.hedge_at = now + walk.hedge_every;
                    let event = self.event_for(lane, tracker);
                    self.begin(lane, tracker, Purpose::Announce(event), true, now);
                }
                None if !is_trying => {
                    let only = self.only_tracker(lane);
                    self.lanes[lane].end_walk(only, now);
                    return;
                }
                _ => return,
            }
        }
    }

    //= BEP 27: a private torrent uses one tracker at a time
    /// The one tracker a lane may ask, since another lane of a private torrent works with it.
    fn only_tracker(&self, lane: usize) -> Option<usize> {
        let current = self.private_tracker.filter(|_| self.settings.is_private)?;
        let mut others = self.lanes.iter().enumerate().filter(|(i, _)| *i != lane);
        others.any(|(_, l)| l.working == Some(current)).then_some(current)
    }

    fn is_busy(&self, lane: usize, tracker: usize) -> bool {
        self.attempts.iter().any(|a| a.is_announce_of(lane, tracker))
    }

    fn slots(&self) -> Vec<(usize, usize)> {
        let trackers = self.trackers.len();
        (0..self.lanes.len()).flat_map(|lane| (0..trackers).map(move |t| (lane, t))).collect()
    }

    /// A tracker answered an announce.
    fn succeed(&mut self, attempt: Attempt, reply: AnnounceReply, remote: Option<IpAddr>, now: Instant) {
        let Attempt { lane, tracker, purpose, .. } = attempt;
        let slot = &mut self.lanes[lane].slots[tracker];
        match purpose {
            Purpose::Announce(AnnounceEvent::Stopped) => {
                self.left(lane, tracker, now);
                return;
            }
            Purpose::Announce(AnnounceEvent::Started) => slot.has_started = true,
            Purpose::Announce(AnnounceEvent::Completed) => slot.has_completed = true,
            Purpose::Announce(AnnounceEvent::None) | Purpose::Scrape => {}
        }
        if reply.tracker_id.is_some() {
            self.trackers[tracker].id.clone_from(&reply.tracker_id);
        }
        let is_foreign = self.only_tracker(lane).is_some_and(|only| only != tracker);
        if self.phase != Phase::Running || self.trackers[tracker].is_removed || is_foreign {
            self.leave(tracker, now);
            return;
        }
        let least = reply.min_interval.map_or(MIN_INTERVAL_DEFAULT, |d| d.clamp(INTERVAL_MIN, INTERVAL_MAX));
        let interval = reply.interval.unwrap_or(INTERVAL_DEFAULT).clamp(INTERVAL_MIN, INTERVAL_MAX);
        // a tracker that names an interval but no least one may be asked as often as that
        let least = if reply.min_interval.is_none() { least.min(interval) } else { least };
        let next_in = interval.max(least);
        let slot = &mut self.lanes[lane].slots[tracker];
        slot.fails = 0;
        slot.not_before = now + least;
        self.settle(lane, tracker, now + next_in, now);
        self.outputs.push(AnnounceOutput::Replied {
            url: self.trackers[tracker].url.redacted().to_owned(),
            peers: reply.peers.len(),
            warning: reply.warning.map(|w| self.trackers[tracker].url.scrub(&w)),
            next_in,
            complete: reply.complete,
            incomplete: reply.incomplete,
        });
        self.outputs.extend(reply.external_ip.map(AnnounceOutput::ExternalIp));
        self.hand_out(reply.peers, remote);
        self.tell_completed(lane, tracker, now);
    }

    /// Makes a tracker that answered the lane's tracker, unless one of a better tier is.
    fn settle(&mut self, lane: usize, tracker: usize, next_at: Instant, now: Instant) {
        let this = &mut self.lanes[lane];
        let is_found = this.walk.is_none() && this.next_walk_at.is_some();
        let is_worse = |working| this.tier_of(tracker) > this.tier_of(working);
        if is_found && this.working.is_some_and(is_worse) {
            return;
        }
        this.walk = None;
        this.working = Some(tracker);
        this.next_walk_at = Some(next_at);
        this.move_to_front(tracker);
        if !self.settings.is_private || self.private_tracker == Some(tracker) {
            return;
        }
        let before = self.private_tracker.replace(tracker);
        self.attempts.retain(|a| a.tracker == tracker || a.is_announced());
        for other in self.lanes.iter_mut().filter(|l| l.working != Some(tracker)) {
            other.working = None;
            other.walk = None;
            other.next_walk_at = Some(now);
        }
        if let Some(before) = before {
            self.outputs.push(AnnounceOutput::PrivateTrackerChanged);
            self.leave(before, now);
        }
    }

    fn hand_out(&mut self, peers: Vec<TrackerPeer>, tracker: Option<IpAddr>) {
        let mut known: Vec<(SocketAddr, Option<PeerId>)> = Vec::with_capacity(peers.len());
        for TrackerPeer { address, peer_id } in peers {
            match address {
                PeerAddress::Socket(addr) => known.push((addr, peer_id)),
                PeerAddress::Name { host, port } if self.named_peers.len() < NAMED_PEERS_MAX => {
                    let request = self.request_number();
                    self.named_peers.push(NamedPeer { request, port, peer_id, tracker });
                    self.outputs.push(AnnounceOutput::Resolve { request, host });
                }
                PeerAddress::Name { .. } => {}
            }
        }
        if !known.is_empty() {
            self.outputs.push(AnnounceOutput::Peers { peers: known, tracker });
        }
    }

    /// A tracker failed an attempt.
    fn fail(&mut self, attempt: Attempt, error: &str, retry_in: Option<RetryIn>, now: Instant) {
        let Attempt { lane, tracker, purpose, is_walk, .. } = attempt;
        let url = &self.trackers[tracker].url;
        let (shown, error) = (url.redacted().to_owned(), url.scrub(error));
        if purpose == Purpose::Scrape {
            self.outputs.push(AnnounceOutput::Scraped { url: shown, result: Err(error) });
            return;
        }
        let is_removed = self.trackers[tracker].is_removed;
        let slot = &mut self.lanes[lane].slots[tracker];
        if attempt.is_stop() {
            self.left(lane, tracker, now);
            return;
        }
        if self.phase != Phase::Running || is_removed {
            return;
        }
        slot.fails = slot.fails.saturating_add(1);
        let wait = match retry_in {
            //= BEP 31: a tracker that says never is not asked again
            Some(RetryIn::Never) => None,
            Some(RetryIn::After(d)) => Some(d.clamp(INTERVAL_MIN, INTERVAL_MAX)),
            None => Some(backoff(slot.fails).mul_f64(self.rng.random_range(0.9..=1.1))),
        };
        slot.is_dead = wait.is_none();
        slot.not_before = wait.map_or(slot.not_before, |d| now + d);
        self.outputs.push(AnnounceOutput::Failed { url: shown, error, next_in: wait });
        self.pass_over(lane, tracker, is_walk, now);
    }

    /// Goes on without a tracker that failed or has no address.
    fn pass_over(&mut self, lane: usize, tracker: usize, is_walk: bool, now: Instant) {
        let not_before = self.lanes[lane].slots[tracker].not_before;
        let is_dead = self.lanes[lane].slots[tracker].is_dead;
        let this = &mut self.lanes[lane];
        if this.working == Some(tracker) {
            this.working = None;
        }
        if let Some(walk) = &mut this.walk {
            if is_walk {
                walk.hedge_at = now;
            }
        } else if this.working.is_none() {
            let retry_at = if is_dead { now } else { not_before };
            this.next_walk_at = Some(this.next_walk_at.map_or(retry_at, |at| at.min(retry_at)));
        }
    }

    /// A tracker was told that we stopped, or cannot be told.
    fn left(&mut self, lane: usize, tracker: usize, now: Instant) {
        let lane = &mut self.lanes[lane];
        lane.slots[tracker].has_started = false;
        lane.slots[tracker].has_completed = false;
        // it may be listed again since, and was passed over while it was told
        if self.phase == Phase::Running && lane.walk.is_none() && lane.next_walk_at.is_none() {
            lane.next_walk_at = Some(now);
        }
    }

    fn request_number(&mut self) -> u32 {
        self.next_request = self.next_request.wrapping_add(1);
        self.next_request
    }
}

/// How long a tracker is left alone after so many failures: 5 + 5 · 2.5 · fails² seconds, at most an hour.
fn backoff(fails: u32) -> Duration {
    let fails = u64::from(fails.min(1000));
    Duration::from_millis(5_000 + 12_500 * fails * fails).min(BACKOFF_MAX)
}
