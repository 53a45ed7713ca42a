//! When a peer may be dialled, and who goes first.

use super::{Peer, PeerList};
use crate::id::PeerKey;
use crate::input::PeerSource;
use core::cmp::Reverse;
use core::net::SocketAddr;
use unchoke_wire::peer_priority;
use unchoke_wire::scope::Scope;
use unchoke_wire::time::{Duration, Instant};

impl PeerList {
    /// Up to `n` peers to dial, the best first: fewest failures, local, longest not tried, best source, highest
    /// priority (BEP 40). `is_seed`: we have all, so that seeds are left alone. They stay candidates until
    /// [`PeerList::dialling`].
    pub fn next_to_dial(&mut self, now: Instant, n: usize, is_seed: bool) -> Vec<(PeerKey, SocketAddr)> {
        if self.is_seed != is_seed {
            self.is_seed = is_seed;
            let keys: Vec<PeerKey> = self.peers.keys().collect();
            keys.into_iter().for_each(|k| self.index(k));
        }
        if n == 0 {
            return Vec::new();
        }
        self.make_ready(now);
        let mut chosen: Vec<(PeerKey, SocketAddr)> = Vec::new();
        let mut later = Vec::new();
        for (_, key) in &self.ready {
            if chosen.len() == n {
                break;
            }
            let addr = self.peers[*key].addr;
            match self.ports_free_at(addr, &chosen, now) {
                None => chosen.push((*key, addr)),
                Some(at) => later.push((*key, at)),
            }
        }
        for (key, at) in later {
            self.peers[key].rests_until = at;
            self.index(key);
        }
        chosen
    }

    /// Moves those whose time has come to where the best is found at once.
    fn make_ready(&mut self, now: Instant) {
        while let Some((_, key)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.pop_first();
            let rank = self.rank(&self.peers[key]);
            self.ready.insert((rank, key));
            (self.peers[key].due, self.peers[key].ready) = (None, Some(rank));
        }
    }

    /// Ranks those who may be dialled anew, after our own address changed.
    pub(super) fn rank_anew(&mut self) {
        let keys: Vec<PeerKey> = self.ready.iter().map(|(_, key)| *key).collect();
        keys.into_iter().for_each(|key| self.index(key));
    }

    /// When somebody may be dialled next, `now` if at once; `None`: nobody, until something changes.
    pub fn next_dial_time(&self, now: Instant) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        self.due.first().map(|(due, _)| (*due).max(now))
    }

    /// Puts an idle peer to rest for as long as its failures demand.
    pub(super) fn rest(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        (peer.is_busy, peer.is_connected) = (false, false);
        peer.rests_until = now + back_off(peer);
        self.index(key);
    }

    /// Remembers a dial for the limit of ports.
    pub(super) fn note_dial(&mut self, addr: SocketAddr, now: Instant) {
        while self.dialled.front().is_some_and(|(at, _)| now.since(*at) >= PORTS_WINDOW) {
            self.dialled.pop_front();
        }
        if Scope::of(addr.ip()) == Scope::Global {
            self.dialled.push_back((now, addr));
        }
    }

    /// Puts a peer where it belongs in the index after a change.
    pub(super) fn index(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let is_candidate = peer.is_dialable
            && !peer.is_busy
            && !(self.is_seed && peer.is_seed)
            && (peer.source == PeerSource::User || peer.fails < FAILS_MAX);
        let banned_until = self.banned.get(&peer.addr.ip()).copied().unwrap_or_default();
        let due = is_candidate.then(|| peer.rests_until.max(banned_until));
        if let Some(before) = peer.due {
            self.due.remove(&(before, key));
        }
        if let Some(rank) = peer.ready {
            self.ready.remove(&(rank, key));
        }
        if let Some(due) = due {
            self.due.insert((due, key));
        }
        (self.peers[key].due, self.peers[key].ready) = (due, None);
    }

    /// When another port of this address may be dialled; `None`: at once. Nobody can make us knock at many ports of
    /// a stranger.
    fn ports_free_at(
        &self,
        addr: SocketAddr,
        chosen: &[(PeerKey, SocketAddr)],
        now: Instant,
    ) -> Option<Instant> {
        if Scope::of(addr.ip()) != Scope::Global {
            return None;
        }
        let before = self.dialled.iter().filter(|(at, _)| now.since(*at) < PORTS_WINDOW).copied();
        let all = before.chain(chosen.iter().map(|(_, addr)| (now, *addr)));
        let others = all.filter(|(_, a)| a.ip() == addr.ip() && a.port() != addr.port());
        let mut latest: Vec<(u16, Instant)> = Vec::new();
        for (at, other) in others {
            latest.retain(|(port, _)| *port != other.port());
            latest.push((other.port(), at));
        }
        let over = (latest.len() + 1).checked_sub(PORTS_MAX + 1)?;
        latest.get(over).map(|(_, at)| *at + PORTS_WINDOW)
    }

    /// Lower is dialled first.
    fn rank(&self, peer: &Peer) -> Rank {
        let is_far = Scope::of(peer.addr.ip()) == Scope::Global;
        let own = self.gate.own().filter(|own| Scope::of(own.ip()) == Scope::Global);
        let priority = own.filter_map(|own| peer_priority(own, peer.addr)).max().unwrap_or(0);
        (peer.fails, is_far, peer.tried_at, source_rank(peer.source), Reverse(priority), peer.lot)
    }
}

/// Failures, not local, last tried, source, priority, lot.
pub(super) type Rank = (u32, bool, Option<Instant>, u8, Reverse<u32>, u32);

/// How good a source is, the best lowest: the more it takes to lie for it.
pub(super) fn source_rank(source: PeerSource) -> u8 {
    match source {
        PeerSource::User => 0,
        PeerSource::Magnet => 1,
        PeerSource::Tracker => 2,
        PeerSource::Lsd => 3,
        PeerSource::Dht => 4,
        PeerSource::Pex => 5,
        PeerSource::Incoming => 6,
    }
}

/// How long a peer rests after a connection or a failure.
fn back_off(peer: &Peer) -> Duration {
    match peer.source {
        PeerSource::User => {
            let doublings = peer.fails.max(peer.missed).saturating_sub(1).min(6);
            Duration::from_secs(1 << doublings).min(USER_REST_MAX)
        }
        _ => REST * (peer.fails.min(FAILS_MAX) + 1),
    }
}

/// A peer the user did not name is given up after so many failures in a row.
pub(super) const FAILS_MAX: u32 = 3;
/// Rest of a peer, and again for each failure.
const REST: Duration = Duration::from_secs(60);
/// Rest of a peer the user named, at most.
const USER_REST_MAX: Duration = Duration::from_secs(60);
/// Ports of one global address dialled within [`PORTS_WINDOW`].
const PORTS_MAX: usize = 2;
/// Over which ports are counted.
pub(super) const PORTS_WINDOW: Duration = Duration::from_secs(60);
