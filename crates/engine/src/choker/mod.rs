//! Whom to send blocks to.
//!
//! All torrents of an engine share its slots. A peer that sends us blocks of a torrent we lack keeps its slot by
//! sending more than others (tit for tat); the rest take turns. One slot in five goes to anybody, for a while, so that
//! better partners are found and newcomers get their first pieces.

use crate::id::ConnId;
use core::cmp::Reverse;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::time::{Duration, Instant};

/// The choker of one engine.
#[derive(Debug)]
pub struct Choker {
    slots: usize,
    /// Peers that got their slot by lot.
    optimistic: BTreeSet<ConnId>,
    /// When lots are drawn anew.
    redraw_at: Instant,
    /// When each peer held a slot last that it did not get by lot: a prize does not cost the winner its turn.
    served: BTreeMap<ConnId, Instant>,
    rng: ChaCha8Rng,
}

/// A peer as the choker sees it.
#[derive(Clone, Copy, Debug)]
pub struct PeerRates {
    /// Its connection.
    pub conn: ConnId,
    /// It wants something of us.
    pub is_interested: bool,
    /// We choke it.
    pub is_choked: bool,
    /// We have all we want of its torrent: what it sends us does not matter.
    pub is_seeding: bool,
    /// Block bytes it sent us since the round before.
    pub received: u64,
    /// Block bytes we sent it since the round before.
    pub sent: u64,
    /// Block bytes we sent it since it was unchoked last.
    pub sent_since_unchoke: u64,
    /// When it was unchoked last; does not matter while it is choked.
    pub unchoked_at: Instant,
    /// When it was connected.
    pub connected_at: Instant,
    /// It was asked for blocks and has not sent any for long.
    pub is_snubbing: bool,
    /// Block bytes after which its turn is over: those of [`TURN_PIECES`] pieces of its torrent.
    pub quota: u64,
}

/// What is to be said to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChokeChange {
    /// Its connection.
    pub conn: ConnId,
    /// Whether to choke or to unchoke it.
    pub choke: bool,
}

/// Pieces a peer is sent in its turn.
pub const TURN_PIECES: u64 = 20;

impl Choker {
    /// A choker of `slots` peers at once, those drawn by lot included.
    pub fn new(slots: usize, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (optimistic, served) = (BTreeSet::new(), BTreeMap::new());
        Choker { slots, optimistic, redraw_at: Instant::ZERO, served, rng }
    }

    //= BEP 3: choking, decided every ten seconds
    /// Decides anew; `peers` are all connected peers of the engine. Returns what changes, chokes first.
    pub fn rechoke(&mut self, peers: &[PeerRates], now: Instant) -> Vec<ChokeChange> {
        let mut waiting: Vec<&PeerRates> = peers.iter().filter(|p| p.is_interested).collect();
        waiting.sort_by_cached_key(|p| self.rank(p, now));
        let regular = self.slots - self.optimistic_slots();
        let entitled = waiting.iter().take_while(|p| !is_snubbing(p)).count();
        let lots = waiting.split_off(regular.min(entitled));
        let mut unchoked: BTreeSet<ConnId> = waiting.iter().map(|p| p.conn).collect();
        self.served.extend(unchoked.iter().map(|conn| (*conn, now)));
        self.draw(&lots, self.slots - unchoked.len(), now);
        unchoked.extend(&self.optimistic);
        changes(peers, |p| unchoked.contains(&p.conn))
    }

    /// Gives slots that became free since the last round to those who wait, the strongest claim first. A peer that
    /// lost its interest gives its slot to one that needs it.
    pub fn fill(&mut self, peers: &[PeerRates], now: Instant) -> Vec<ChokeChange> {
        let is_using = |p: &&PeerRates| !p.is_choked && p.is_interested;
        let used = peers.iter().filter(is_using).count();
        let free = self.slots.saturating_sub(used);
        let is_waiting = |p: &&PeerRates| p.is_choked && p.is_interested && !is_snubbing(p);
        let mut waiting: Vec<&PeerRates> = peers.iter().filter(is_waiting).collect();
        waiting.sort_by_cached_key(|p| self.rank(p, now));
        waiting.truncate(free);
        let spare = free - waiting.len();
        let idle = peers.iter().filter(|p| !p.is_choked && !p.is_interested).take(spare);
        let keep: BTreeSet<ConnId> =
            peers.iter().filter(is_using).chain(waiting).chain(idle).map(|p| p.conn).collect();
        changes(peers, |p| keep.contains(&p.conn))
    }

    /// A connection is gone.
    pub fn forget(&mut self, conn: ConnId) {
        self.optimistic.remove(&conn);
        self.served.remove(&conn);
    }

    /// Lower goes first; never equal for two peers. Within a class that does not trade, who was served longest ago.
    fn rank(&self, peer: &PeerRates, now: Instant) -> (Class, Reverse<u64>, Instant, ConnId) {
        let class = self.class(peer, now);
        let received = if class == Class::Trading { peer.received } else { 0 };
        let served = self.served.get(&peer.conn).copied().unwrap_or(peer.connected_at);
        (class, Reverse(received), served, peer.conn)
    }

    fn class(&self, peer: &PeerRates, now: Instant) -> Class {
        if is_snubbing(peer) {
            Class::Snubbing
        } else if !peer.is_seeding && peer.received > 0 {
            Class::Trading
        } else if peer.is_choked || self.optimistic.contains(&peer.conn) {
            Class::Waiting
        } else if is_in_turn(peer, now.since(peer.unchoked_at)) {
            Class::InTurn
        } else {
            Class::Done
        }
    }

    /// A fifth of the slots, at least one.
    fn optimistic_slots(&self) -> usize {
        (self.slots / 5).max(1).min(self.slots)
    }

    //= BEP 3: optimistic unchoking, rotated every 30 seconds, new peers three times as likely
    /// Draws `free` of those who did not earn a slot; who was drawn keeps it until lots are drawn anew.
    fn draw(&mut self, lots: &[&PeerRates], free: usize, now: Instant) {
        if now >= self.redraw_at {
            self.optimistic.clear();
            self.redraw_at = now + OPTIMISTIC_INTERVAL;
        }
        self.optimistic.retain(|conn| lots.iter().any(|p| p.conn == *conn));
        while self.optimistic.len() > free {
            self.optimistic.pop_first();
        }
        let is_drawn = |p: &PeerRates| self.optimistic.contains(&p.conn);
        let mut lots: Vec<&PeerRates> = lots.iter().copied().filter(|p| !is_drawn(p)).collect();
        while self.optimistic.len() < free && !lots.is_empty() {
            let tickets: Vec<usize> =
                lots.iter().zip(0..).flat_map(|(p, i)| core::iter::repeat_n(i, weight(p, now))).collect();
            let winner = tickets[self.rng.random_range(0..tickets.len())];
            self.optimistic.insert(lots.swap_remove(winner).conn);
        }
    }
}

/// What is to be said so that exactly those stay unchoked that `is_kept` names. Chokes first.
fn changes(peers: &[PeerRates], is_kept: impl Fn(&PeerRates) -> bool) -> Vec<ChokeChange> {
    let changed = peers.iter().filter(|p| is_kept(p) == p.is_choked);
    let mut changes: Vec<ChokeChange> =
        changed.map(|p| ChokeChange { conn: p.conn, choke: !p.is_choked }).collect();
    changes.sort_by_key(|c| !c.choke);
    changes
}

/// Lots of a peer.
fn weight(peer: &PeerRates, now: Instant) -> usize {
    if now.since(peer.connected_at) < NEW_FOR { NEW_WEIGHT } else { 1 }
}

/// By what a peer gets its slot, the strongest claim first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    /// It sends us what we lack.
    Trading,
    /// It has a slot and its turn is not over.
    InTurn,
    /// It waits for its turn.
    Waiting,
    /// It had its turn.
    Done,
    /// It takes and does not give: only by lot.
    Snubbing,
}

/// Whether a peer that was unchoked for `held` may go on: it has its minute, and what is left of its quota while it
/// takes it.
fn is_in_turn(peer: &PeerRates, held: Duration) -> bool {
    held < TURN_MIN || (held < TURN_MAX && peer.sent > 0 && peer.sent_since_unchoke < peer.quota)
}

fn is_snubbing(peer: &PeerRates) -> bool {
    peer.is_snubbing && !peer.is_seeding
}

/// Between two drawings of lots.
const OPTIMISTIC_INTERVAL: Duration = Duration::from_secs(30);
/// A peer is new for three rounds.
const NEW_FOR: Duration = Duration::from_secs(30);
/// Lots of a new peer.
const NEW_WEIGHT: usize = 3;
/// A turn is at least so long.
const TURN_MIN: Duration = Duration::from_secs(60);
/// A turn ends then, whatever was sent: who takes slowly must not hold a slot for ever.
const TURN_MAX: Duration = Duration::from_secs(300);
