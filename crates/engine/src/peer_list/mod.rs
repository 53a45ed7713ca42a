//! The peers a torrent knows of, connected or not, and which of them to dial next.
//!
//! An address gets in through one [`Gate`]. Idle peers lie in an index by the time they may
//! be dialled again, so that an idle torrent costs nothing.

pub mod blame;
mod dial;
mod gate;

pub use gate::Gate;

use crate::id::PeerKey;
use crate::input::PeerSource;
use blame::{BlockHash, Ledger, Senders};
use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotmap::SlotMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use unchoke_wire::scope::{Teller, canonical};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{PeerId, PieceIndex};

pub use unchoke_wire::limits::KNOWN_PEERS_MAX as PEERS_MAX;

/// Bytes of memory of one known peer, with its places in the indexes, twice over as their nodes are half full.
pub const PEER_LEN: usize = 2
    * (size_of::<Peer>()
        + size_of::<(SocketAddr, PeerKey)>()
        + size_of::<(Instant, PeerKey)>()
        + size_of::<(dial::Rank, PeerKey)>());
/// Bytes of memory of a list at most: known peers, banned addresses, and the blocks of failed pieces.
pub const LEN_MAX: usize =
    PEERS_MAX * PEER_LEN + 2 * BANNED_MAX * size_of::<(IpAddr, Instant)>() + blame::SUSPECTS_LEN_MAX;

/// The known peers of one torrent.
#[derive(Debug)]
pub struct PeerList {
    peers: SlotMap<PeerKey, Peer>,
    by_addr: BTreeMap<SocketAddr, PeerKey>,
    /// Idle peers that may be dialled, by when.
    due: BTreeSet<(Instant, PeerKey)>,
    /// Those of them whose time has come, the best first.
    ready: BTreeSet<(dial::Rank, PeerKey)>,
    /// Which addresses may get in.
    gate: Gate,
    /// Addresses that sent corrupt data, until when.
    banned: BTreeMap<IpAddr, Instant>,
    /// Global addresses dialled in the last [`dial::PORTS_WINDOW`], oldest first.
    dialled: VecDeque<(Instant, SocketAddr)>,
    /// We have all: other seeds are of no use.
    is_seed: bool,
    ledger: Ledger,
    rng: ChaCha8Rng,
}

/// A known peer.
#[derive(Debug)]
struct Peer {
    addr: SocketAddr,
    /// The best of those who told us of it.
    source: PeerSource,
    /// Whether `addr` is where it listens.
    is_dialable: bool,
    /// It is being dialled or connected.
    is_busy: bool,
    /// It has shaken hands on the connection it has.
    is_connected: bool,
    /// When its last connection ended that was more than a handshake.
    lost_at: Option<Instant>,
    /// It has all pieces.
    is_seed: bool,
    /// Failed dials and handshakes since the last success.
    fails: u32,
    tried_at: Option<Instant>,
    /// Connections in a row that were over before they began.
    missed: u32,
    /// It is not dialled before.
    rests_until: Instant,
    expected_id: Option<PeerId>,
    /// Decides between equals, so that not everybody dials the same peers first.
    lot: u32,
    /// Its place in the index.
    due: Option<Instant>,
    /// The other index it may be in.
    ready: Option<dial::Rank>,
}

/// While nobody is connected, failures of peers that were are overlooked for so long,
const CUT_OFF_MAX: Duration = Duration::from_secs(15 * 60);
/// and they are tried again after this time.
const CUT_OFF_REST: Duration = Duration::from_secs(30);
/// Rest of a peer whose connection was over before it began, at least.
const RETRY_REST: Duration = Duration::from_secs(1);
/// And up to this much more, in milliseconds.
const RETRY_SPREAD_MS: u64 = 1000;

impl PeerList {
    /// A list without peers, of somebody who is reached at `own`.
    pub fn new(seed: u64, own: Vec<SocketAddr>) -> Self {
        PeerList {
            peers: SlotMap::with_key(),
            by_addr: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: BTreeSet::new(),
            gate: Gate::new(own),
            banned: BTreeMap::new(),
            dialled: VecDeque::new(),
            is_seed: false,
            ledger: Ledger::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Takes in the address of a listening peer that `told_by` told us of, `None` for nobody in particular. `true` if it
    /// is new. Refused is what the [`Gate`] does not admit, and who is banned.
    pub fn add(
        &mut self,
        addr: SocketAddr,
        source: PeerSource,
        told_by: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        let addr = canonical(addr);
        let teller = match (source, told_by) {
            (PeerSource::User, _) => Teller::User,
            (_, Some(ip)) => Teller::At(ip),
            (_, None) => Teller::Anybody,
        };
        if !self.gate.admits(addr, teller) || self.is_banned(addr.ip(), now) {
            return false;
        }
        let Some(key) = self.by_addr.get(&addr).copied() else {
            return self.insert(addr, source, true, now).is_some();
        };
        let peer = &mut self.peers[key];
        peer.source = better(peer.source, source);
        peer.is_dialable = true;
        if dial::source_rank(source) < dial::source_rank(PeerSource::Pex) {
            // Whoever lists it saw it alive: one more try.
            peer.fails = peer.fails.min(dial::FAILS_MAX - 1);
        }
        self.index(key);
        false
    }

    /// The tracker named this id for the peer at `addr`.
    pub fn expect_id(&mut self, addr: SocketAddr, id: PeerId) {
        if let Some(key) = self.by_addr.get(&canonical(addr)) {
            self.peers[*key].expected_id = Some(id);
        }
    }

    /// A connection was accepted. `None`: it is banned, connected already, or there is no room to know it.
    pub fn accept(&mut self, remote: SocketAddr, now: Instant) -> Option<PeerKey> {
        let remote = canonical(remote);
        if self.is_banned(remote.ip(), now) {
            return None;
        }
        let key = match self.by_addr.get(&remote) {
            Some(key) if self.peers[*key].is_busy => return None,
            Some(key) => *key,
            None => self.insert(remote, PeerSource::Incoming, false, now)?,
        };
        self.peers[key].is_busy = true;
        self.index(key);
        Some(key)
    }

    /// A dial to this peer began.
    pub fn dialling(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.is_busy = true;
        peer.tried_at = Some(now);
        let addr = peer.addr;
        self.note_dial(addr, now);
        self.index(key);
    }

    /// A handshake with this peer succeeded.
    pub fn connected(&mut self, key: PeerKey, now: Instant) {
        if let Some(peer) = self.peers.get_mut(key) {
            (peer.is_busy, peer.is_connected) = (true, true);
            (peer.fails, peer.tried_at) = (0, Some(now));
            self.index(key);
        }
    }

    /// A connection to this peer ended after its handshake.
    pub fn disconnected(&mut self, key: PeerKey, now: Instant) {
        if let Some(peer) = self.peers.get_mut(key) {
            (peer.missed, peer.lost_at) = (0, Some(now));
        }
        self.rest(key, now);
    }

    /// A connection to this peer was over before it began: closed from there after the handshake and before any
    /// payload, or one too many. Where both sides dial each other at once each may close the one that the other keeps,
    /// so it is tried again soon, but once.
    pub fn missed(&mut self, key: PeerKey, now: Instant) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.missed = peer.missed.saturating_add(1);
        }
        self.rest(key, now);
        if let Some(peer) = self.peers.get_mut(key)
            && peer.missed == 1
        {
            peer.rests_until = peer.rests_until.min(soon(peer, now));
            self.index(key);
        }
    }

    /// A dial or handshake failed. A peer that may not be dialled is forgotten.
    pub fn failed(&mut self, key: PeerKey, now: Instant) {
        let is_cut_off = !self.peers.values().any(|p| p.is_connected);
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !peer.is_dialable {
            self.remove(key);
            return;
        }
        // more likely our line than this peer: it keeps its good name, or a line that is down for minutes costs us all
        let is_spared = is_cut_off && peer.lost_at.is_some_and(|at| now.since(at) < CUT_OFF_MAX);
        if !is_spared {
            peer.fails = peer.fails.saturating_add(1);
        }
        self.rest(key, now);
        if is_spared && let Some(peer) = self.peers.get_mut(key) {
            peer.rests_until = peer.rests_until.min(soon(peer, now) + CUT_OFF_REST);
            self.index(key);
        }
    }

    /// This peer broke the protocol: unless the user named it, it is not dialled until somebody names it again.
    pub fn misbehaved(&mut self, key: PeerKey, now: Instant) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.fails = peer.fails.max(dial::FAILS_MAX);
            if !peer.is_busy {
                self.rest(key, now);
            }
        }
    }

    /// A connected peer told the port it listens on. Returns the peer that is connected under that address already,
    /// which is the same one over another connection; an idle one of that address is merged into this one.
    pub fn listens_on(&mut self, key: PeerKey, port: u16) -> Option<PeerKey> {
        let peer = self.peers.get(key).filter(|p| port != 0 && (!p.is_dialable || p.addr.port() == port))?;
        let addr = SocketAddr::new(peer.addr.ip(), port);
        let twin = self.by_addr.get(&addr).copied().filter(|twin| *twin != key);
        if let Some(twin) = twin {
            if self.peers[twin].is_busy {
                return Some(twin);
            }
            let source = self.peers[twin].source;
            self.remove(twin);
            self.peers[key].source = better(self.peers[key].source, source);
        }
        let before = core::mem::replace(&mut self.peers[key].addr, addr);
        self.by_addr.remove(&before);
        self.by_addr.insert(addr, key);
        self.peers[key].is_dialable = self.gate.admits(addr, Teller::At(addr.ip()));
        self.index(key);
        None
    }

    /// This peer turned out to be us: its address is remembered and never dialled.
    pub fn note_ourselves(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key) {
            if peer.is_dialable {
                self.gate.learn(peer.addr);
            }
            peer.is_dialable = false;
            self.index(key);
            self.rank_anew();
        }
    }

    /// We are reached at these addresses from now on. Peers that rest are tried again soon: what was lost may have been
    /// lost with the old address.
    pub fn moved(&mut self, own: Vec<SocketAddr>, now: Instant) {
        self.gate.replace(own);
        let keys: Vec<PeerKey> = self.peers.keys().collect();
        for key in keys {
            let peer = &mut self.peers[key];
            if peer.fails < dial::FAILS_MAX || peer.source == PeerSource::User {
                peer.rests_until = peer.rests_until.min(soon(peer, now));
            }
            self.index(key);
        }
    }

    /// We are reached at this address.
    pub fn add_own(&mut self, addr: SocketAddr) {
        let addr = canonical(addr);
        self.gate.learn(addr);
        self.rank_anew();
        if let Some(key) = self.by_addr.get(&addr).copied() {
            self.peers[key].is_dialable = false;
            self.index(key);
        }
    }

    /// Forgets the idle peers but those the user named: the torrent is private and they may not be of its tracker.
    pub fn forget_told(&mut self) {
        let told = self.peers.iter().filter(|(_, p)| !p.is_busy && p.source != PeerSource::User);
        let told: Vec<PeerKey> = told.map(|(key, _)| key).collect();
        told.into_iter().for_each(|key| self.remove(key));
    }

    /// This peer has all pieces.
    pub fn note_seed(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.is_seed = true;
            self.index(key);
        }
    }

    /// The peer that listens at this address has all pieces, another peer says (BEP 11). Of a peer that was met, or
    /// dialled, hearsay changes nothing.
    pub fn note_seed_at(&mut self, addr: SocketAddr) {
        if let Some(key) = self.by_addr.get(&canonical(addr)).copied()
            && !self.peers[key].is_busy
            && self.peers[key].tried_at.is_none()
        {
            self.note_seed(key);
        }
    }

    /// A piece failed its check. `hashes` are those of its blocks in order, `from` who sent them. Who is guilty by
    /// that alone is banned; the others get whole pieces for themselves until they are cleared.
    pub fn piece_failed(&mut self, piece: PieceIndex, hashes: &[BlockHash], from: &Senders, now: Instant) {
        let guilty = self.ledger.piece_failed(piece, hashes, from);
        guilty.into_iter().for_each(|key| self.ban(key, now));
    }

    /// Whether the hashes of this piece's blocks are of use once it passes: it failed before.
    pub fn wants_hashes(&self, piece: PieceIndex) -> bool {
        self.ledger.wants_hashes(piece)
    }

    /// A piece passed its check. `hashes` are those of its blocks in order if [`PeerList::wants_hashes`] asked for
    /// them, else empty. Who sent other blocks when it failed is banned.
    pub fn piece_passed(&mut self, piece: PieceIndex, hashes: &[BlockHash], from: &Senders, now: Instant) {
        let guilty = self.ledger.piece_passed(piece, hashes, from);
        guilty.into_iter().for_each(|key| self.ban(key, now));
    }

    /// Whether this peer gets whole pieces for itself, since one it had a part in failed.
    pub fn is_on_parole(&self, key: PeerKey) -> bool {
        self.ledger.is_on_parole(key)
    }

    /// Good pieces this peer had a part in less twice the failed ones, from −8 to 8.
    pub fn trust(&self, key: PeerKey) -> i32 {
        self.ledger.trust(key)
    }

    /// Bans the address of this peer for [`BAN`].
    fn ban(&mut self, key: PeerKey, now: Instant) {
        let Some(ip) = self.peers.get(key).map(|p| p.addr.ip()) else { return };
        self.banned.retain(|_, until| *until > now);
        if self.banned.len() >= BANNED_MAX {
            let first = self.banned.iter().min_by_key(|(_, until)| **until).map(|(ip, _)| *ip);
            first.map(|ip| self.banned.remove(&ip));
        }
        self.banned.insert(ip, now + BAN);
        let keys: Vec<PeerKey> =
            self.peers.iter().filter(|(_, p)| p.addr.ip() == ip).map(|(k, _)| k).collect();
        keys.into_iter().for_each(|k| self.index(k));
    }

    /// Whether this address is banned.
    pub fn is_banned(&self, ip: IpAddr, now: Instant) -> bool {
        self.banned.get(&ip.to_canonical()).is_some_and(|until| *until > now)
    }

    /// The id the tracker named for this peer.
    pub fn expected_id(&self, key: PeerKey) -> Option<PeerId> {
        self.peers.get(key)?.expected_id
    }

    /// The address of this peer: where it listens, as far as known.
    pub fn addr(&self, key: PeerKey) -> Option<SocketAddr> {
        self.peers.get(key).map(|p| p.addr)
    }

    /// Whether others could dial this peer at [`PeerList::addr`], so that it may be told to them.
    pub fn is_dialable(&self, key: PeerKey) -> bool {
        self.peers.get(key).is_some_and(|p| p.is_dialable)
    }

    /// How many peers are known.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether no peer is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    fn insert(
        &mut self,
        addr: SocketAddr,
        source: PeerSource,
        is_dialable: bool,
        now: Instant,
    ) -> Option<PeerKey> {
        if self.peers.len() >= PEERS_MAX {
            self.prune();
        }
        if self.peers.len() >= PEERS_MAX {
            return None;
        }
        let key = self.peers.insert(Peer {
            missed: 0,
            addr,
            source,
            is_dialable,
            is_busy: false,
            is_connected: false,
            lost_at: None,
            is_seed: false,
            fails: 0,
            tried_at: None,
            rests_until: now,
            expected_id: None,
            lot: self.rng.next_u32(),
            due: None,
            ready: None,
        });
        self.by_addr.insert(addr, key);
        self.index(key);
        Some(key)
    }

    fn remove(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.remove(key) {
            self.by_addr.remove(&peer.addr);
            peer.due.map(|due| self.due.remove(&(due, key)));
            peer.ready.map(|rank| self.ready.remove(&(rank, key)));
        }
    }

    /// Forgets the worst twentieth: those that cannot be dialled, failed most, come from the worst source.
    fn prune(&mut self) {
        let idle = self.peers.iter().filter(|(_, p)| !p.is_busy && p.source != PeerSource::User);
        let mut worst: Vec<_> = idle
            .map(|(k, p)| ((p.is_dialable, Reverse(p.fails), Reverse(dial::source_rank(p.source))), k))
            .collect();
        worst.sort();
        worst.truncate(PEERS_MAX / 20);
        worst.into_iter().for_each(|(_, key)| self.remove(key));
    }
}

//= BEP 3: peer ids of connections
/// Of two connections to the same peer id, whether the newer one stays: of two in opposite directions the one that
/// the side with the greater id dialled, so that both sides keep the same; of two in one direction the older.
pub fn is_newer_kept(
    our_id: PeerId,
    their_id: PeerId,
    is_older_outgoing: bool,
    is_newer_outgoing: bool,
) -> bool {
    is_older_outgoing != is_newer_outgoing && is_newer_outgoing == (our_id > their_id)
}

fn better(a: PeerSource, b: PeerSource) -> PeerSource {
    if dial::source_rank(b) < dial::source_rank(a) { b } else { a }
}

/// How long an address is banned.
pub const BAN: Duration = Duration::from_secs(3600);
/// Banned addresses at most; the ban that ends first makes room.
const BANNED_MAX: usize = 1000;

/// When a peer is tried again whose connection was lost without its doing: each side at a time of its own.
fn soon(peer: &Peer, now: Instant) -> Instant {
    now + RETRY_REST + Duration::from_millis(u64::from(peer.lot) % RETRY_SPREAD_MS)
}
