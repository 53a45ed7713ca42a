//! Whom to send blocks to.
//!
//! All torrents of an engine share its slots. A peer that sends us blocks of a torrent we lack keeps its slot by
//! sending more than others (tit for tat); the rest take turns. One slot in five goes to anybody, for a while, so that
//! better partners are found and newcomers get their first pieces.

use crate::id::ConnId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use unchoke_wire::time::{Duration, Instant};

/// The choker of one engine.
#[derive(Debug)]
pub struct Choker {
    slots: usize,
    interval: Duration,
    /// Peers that fill a slot.
    unchoked: BTreeSet<ConnId>,
    /// Those of them that were drawn by lot.
    optimistic: BTreeSet<ConnId>,
    /// When lots are drawn anew.
    redraw_at: Instant,
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
    pub is_choked_by_us: bool,
    /// We have all we want of its torrent: what it sends us does not matter.
    pub is_seed_torrent: bool,
    /// Block bytes it sent us since the round before.
    pub received: u64,
    /// Block bytes we sent it since it was unchoked.
    pub sent_since_unchoke: u64,
    /// Block bytes after which its turn is over: those of [`TURN_PIECES`] pieces of its torrent.
    pub turn_bytes: u64,
    /// When it was connected.
    pub connected_at: Instant,
    /// When we choked or unchoked it last; when it was connected, if never.
    pub choke_changed_at: Instant,
    /// It is of the local network and needs no slot.
    pub is_local: bool,
    /// It was asked for blocks and has not sent any for long.
    pub is_snubbing_us: bool,
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
    /// A choker of `slots` peers at once, those drawn by lot included, that is asked every `interval`.
    pub fn new(slots: usize, interval: Duration, seed: u64, now: Instant) -> Self {
        Choker {
            slots,
            interval,
            unchoked: BTreeSet::new(),
            optimistic: BTreeSet::new(),
            redraw_at: now,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    //= BEP 3: choking, every ten seconds
    /// Decides anew; `peers` are all connected peers of the engine. Returns what changes, chokes first.
    pub fn rechoke(&mut self, peers: &[PeerRates], now: Instant) -> Vec<ChokeChange> {
        let mut waiting: Vec<&PeerRates> = peers.iter().filter(|p| p.is_interested && !p.is_local).collect();
        waiting.sort_by_key(|p| rank(p, now));
        let regular = self.slots - self.optimistic_slots();
        let entitled = waiting.iter().take_while(|p| rank(p, now).0 < Class::Snubbing).count();
        let lots = waiting.split_off(regular.min(entitled));
        self.unchoked = waiting.iter().map(|p| p.conn).collect();
        self.draw(&lots, now);
        let is_unchoked = |p: &PeerRates| self.unchoked.contains(&p.conn) || (p.is_local && p.is_interested);
        let changed = peers.iter().filter(|p| is_unchoked(p) == p.is_choked_by_us);
        let mut changes: Vec<ChokeChange> =
            changed.map(|p| ChokeChange { conn: p.conn, choke: !p.is_choked_by_us }).collect();
        changes.sort_by_key(|c| !c.choke);
        changes
    }

    /// A peer became interested between two rounds: whether to unchoke it at once since a slot is free.
    pub fn interested(&mut self, peer: &PeerRates) -> bool {
        if !peer.is_choked_by_us {
            return false;
        }
        if peer.is_local {
            return true;
        }
        self.unchoked.len() < self.slots && !is_snubbing(peer) && self.unchoked.insert(peer.conn)
    }

    /// A connection is gone; its slot is free.
    pub fn closed(&mut self, conn: ConnId) {
        self.unchoked.remove(&conn);
        self.optimistic.remove(&conn);
    }

    //= BEP 3: optimistic unchoking, rotated every 30 seconds, new peers three times as likely
    /// Fills what slots are left from those who did not earn one.
    fn draw(&mut self, lots: &[&PeerRates], now: Instant) {
        if now >= self.redraw_at {
            self.optimistic.clear();
            self.redraw_at = now + OPTIMISTIC_INTERVAL;
        }
        self.optimistic.retain(|conn| lots.iter().any(|p| p.conn == *conn));
        let mut lots: Vec<&PeerRates> =
            lots.iter().copied().filter(|p| !self.optimistic.contains(&p.conn)).collect();
        while self.unchoked.len() + self.optimistic.len() < self.slots && !lots.is_empty() {
            let weights: Vec<usize> = lots.iter().map(|p| self.weight(p, now)).collect();
            let mut ticket = self.rng.random_range(0..weights.iter().sum());
            let winner = weights.iter().position(|w| match ticket.checked_sub(*w) {
                None => true,
                Some(rest) => {
                    ticket = rest;
                    false
                }
            });
            let winner = winner.expect("the ticket is below the sum of the weights");
            self.optimistic.insert(lots.swap_remove(winner).conn);
        }
        while self.unchoked.len() + self.optimistic.len() > self.slots
            && self.optimistic.pop_first().is_some()
        {}
        self.unchoked.extend(&self.optimistic);
    }

    fn weight(&self, peer: &PeerRates, now: Instant) -> usize {
        if now.since(peer.connected_at) < self.interval * NEW_ROUNDS { NEW_WEIGHT } else { 1 }
    }

    /// A fifth of the slots, at least one.
    fn optimistic_slots(&self) -> usize {
        (self.slots / 5).max(1).min(self.slots)
    }
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

/// Lower goes first; never equal for two peers.
fn rank(peer: &PeerRates, now: Instant) -> (Class, u64, Instant, ConnId) {
    let (class, received) = match class(peer, now) {
        Class::Trading => (Class::Trading, u64::MAX - peer.received),
        other => (other, 0),
    };
    (class, received, peer.choke_changed_at, peer.conn)
}

fn class(peer: &PeerRates, now: Instant) -> Class {
    let held = now.since(peer.choke_changed_at);
    if is_snubbing(peer) {
        Class::Snubbing
    } else if !peer.is_seed_torrent && peer.received > 0 {
        Class::Trading
    } else if peer.is_choked_by_us {
        Class::Waiting
    } else if held < TURN_MIN || (peer.sent_since_unchoke < peer.turn_bytes && held < TURN_MAX) {
        Class::InTurn
    } else {
        Class::Done
    }
}

fn is_snubbing(peer: &PeerRates) -> bool {
    peer.is_snubbing_us && !peer.is_seed_torrent
}

/// Between two drawings of lots.
const OPTIMISTIC_INTERVAL: Duration = Duration::from_secs(30);
/// A peer is new for so many rounds.
const NEW_ROUNDS: u32 = 3;
/// Lots of a new peer.
const NEW_WEIGHT: usize = 3;
/// A turn is at least so long.
const TURN_MIN: Duration = Duration::from_secs(60);
/// A turn ends then, whatever was sent: who takes slowly must not hold a slot for ever.
const TURN_MAX: Duration = Duration::from_secs(300);
