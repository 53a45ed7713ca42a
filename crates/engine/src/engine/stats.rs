//! What a shell may read of torrents and peers.

use super::Engine;
use crate::id::{ConnId, TorrentId};
use crate::input::Totals;
use crate::peer::PeerConn;
use crate::torrent::sleeper::Sleeper;
use crate::torrent::{Phase, Torrent};
use core::net::SocketAddr;
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, PeerId, WireHash};

/// What a torrent is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TorrentState {
    /// Getting the metadata from peers.
    Metadata,
    /// Waiting for its storage.
    Storage,
    /// Getting pieces.
    Downloading,
    /// All wanted pieces are there.
    Seeding,
    /// Stopped by its owner.
    Paused,
    /// Stopped by its storage, for this reason.
    Failed(String),
}

/// Figures of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TorrentStats {
    /// Its hash on the wire.
    pub hash: WireHash,
    /// What it is doing.
    pub state: TorrentState,
    /// Pieces it has, and in all; zero while unknown.
    pub pieces: (u32, u32),
    /// Bytes left to get; `None` while unknown.
    pub left: Option<u64>,
    /// Block bytes a second in, and out.
    pub rates: (u64, u64),
    /// What it did over its life.
    pub totals: Totals,
    /// The same when it was added.
    pub totals_at_start: Totals,
    /// Bytes of pieces that failed their hash check in this run.
    pub corrupt: u64,
    /// Peers connected, and known.
    pub peers: (usize, usize),
    /// Connected peers that have everything.
    pub seeds: usize,
    /// Whether its pieces are shown one by one, or will be once it has all (BEP 16).
    pub is_super_seeding: bool,
}

/// Figures of a connected peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerInfo {
    /// The connection.
    pub conn: ConnId,
    /// The peer's end.
    pub remote: SocketAddr,
    /// What it calls itself.
    pub peer_id: PeerId,
    /// The client it says it is.
    pub client: Option<String>,
    /// Whether we dialled.
    pub is_outgoing: bool,
    /// Pieces it has.
    pub pieces: u32,
    /// Block bytes a second in, and out.
    pub rates: (u64, u64),
    /// Block bytes in, and out.
    pub totals: (u64, u64),
    /// Whether it chokes us, and we it.
    pub is_choking: (bool, bool),
    /// Whether it is interested, and we are.
    pub is_interested: (bool, bool),
    /// Requests out to it.
    pub requests: usize,
}

impl Engine {
    /// Figures of a torrent; `None` when there is no such.
    pub fn torrent_stats(&self, torrent: TorrentId) -> Option<TorrentStats> {
        if let Some(s) = self.torrents.asleep(torrent) {
            return Some(stats_asleep(s, self.now));
        }
        let t = self.torrents.get(torrent)?;
        let conns = t.conns.iter().map(|c| &self.conns[*c]).filter(|c| c.is_ready());
        let rates = conns.clone().fold((0, 0), |(d, u), c| (d + c.down.rate(), u + c.up.rate()));
        Some(TorrentStats {
            hash: t.hash,
            state: state_of(t),
            pieces: t.have().map_or((0, 0), |h| (h.count(), h.len())),
            left: t.left(),
            rates,
            totals: Totals { times: t.clocks.read(t.totals.times, self.now), ..t.totals },
            totals_at_start: t.totals_at_start,
            corrupt: t.corrupt,
            peers: (conns.clone().count(), t.peers.len()),
            seeds: conns.filter(|c| c.has.is_seed()).count(),
            is_super_seeding: t.super_seed.is_some(),
        })
    }

    /// The most bytes that are held for a single connection, over all of them: what it sent and was not taken yet, what
    /// it asked for and has not read yet, and what it told of itself. Block bytes, which have a budget of their own
    /// ([`crate::Settings::piece_buffer_bytes`]), are not in it.
    pub fn held_for_peers(&self) -> usize {
        self.conns.values().map(PeerConn::held).max().unwrap_or(0)
    }

    /// The pieces of a torrent that are verified and written; `None` until its storage is ready.
    pub fn have(&self, torrent: TorrentId) -> Option<&Bitfield> {
        self.torrents.get(torrent)?.have()
    }

    /// Whether a torrent sleeps.
    pub fn is_asleep(&self, torrent: TorrentId) -> bool {
        self.torrents.asleep(torrent).is_some()
    }

    /// All torrents.
    pub fn torrents(&self) -> impl Iterator<Item = TorrentId> + '_ {
        self.torrents.keys()
    }

    /// Figures of the connected peers of a torrent, oldest connection first.
    pub fn peers(&self, torrent: TorrentId) -> Vec<PeerInfo> {
        let conns = self.torrents.get(torrent).map(|t| t.conns.as_slice()).unwrap_or_default();
        let ready = conns.iter().map(|id| (*id, &self.conns[*id])).filter(|(_, c)| c.is_ready());
        ready
            .map(|(conn, c)| PeerInfo {
                conn,
                remote: c.remote,
                peer_id: c.peer_id,
                client: c.client.clone(),
                is_outgoing: c.is_outgoing,
                pieces: c.has.known().map_or(0, Bitfield::count),
                rates: (c.down.rate(), c.up.rate()),
                totals: (c.down.total(), c.up.total()),
                is_choking: (c.is_choking, c.uploads.is_choked()),
                is_interested: (c.is_interested, c.am_interested),
                requests: c.requests.len(),
            })
            .collect()
    }
}

fn stats_asleep(s: &Sleeper, now: Instant) -> TorrentStats {
    TorrentStats {
        hash: s.hash,
        state: match (s.is_paused, s.facts.is_complete) {
            (true, _) => TorrentState::Paused,
            (false, true) => TorrentState::Seeding,
            (false, false) => TorrentState::Downloading,
        },
        pieces: s.facts.pieces,
        left: Some(s.facts.left),
        rates: (0, 0),
        totals: Totals { times: s.clocks.read(s.totals.times, now), ..s.totals },
        totals_at_start: s.totals_at_start,
        corrupt: s.corrupt,
        peers: (0, 0),
        seeds: 0,
        is_super_seeding: s.is_super_seeding,
    }
}

fn state_of(t: &Torrent) -> TorrentState {
    match (&t.error, t.is_paused, t.phase) {
        (Some(error), _, _) => TorrentState::Failed(error.clone()),
        (None, true, _) => TorrentState::Paused,
        (None, false, Phase::Metadata) => TorrentState::Metadata,
        (None, false, Phase::Storage) => TorrentState::Storage,
        (None, false, Phase::Ready) if t.is_complete() => TorrentState::Seeding,
        (None, false, Phase::Ready) => TorrentState::Downloading,
    }
}
