//! What the owner of a session may want to know.

use crate::id::{ConnId, TorrentId};
use crate::input::{PartialPiece, PeerSource, Totals};
use core::net::SocketAddr;
use unchoke_wire::time::Duration;
use unchoke_wire::udp_tracker::ScrapeStats;
use unchoke_wire::{PeerId, PieceIndex, WireHash};

/// Something happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A torrent was added.
    Added {
        /// Its name here.
        torrent: TorrentId,
        /// Its hash on the wire.
        hash: WireHash,
    },
    /// A torrent that sleeps is wanted. Answered by [`crate::Command::Wake`] and [`crate::Command::StorageReady`]; or by
    /// [`crate::Command::Pause`] when it cannot wake up.
    Wake {
        /// The torrent.
        torrent: TorrentId,
    },
    /// A torrent fell asleep: its metadata and storage are not needed until [`Event::Wake`].
    Slept {
        /// The torrent.
        torrent: TorrentId,
    },
    /// A torrent lets its storage be, as [`crate::Command::CloseStorage`] told it.
    StorageClosed {
        /// The torrent.
        torrent: TorrentId,
    },
    /// A torrent of that hash was there already; nothing was added.
    Duplicate {
        /// The one that was there.
        torrent: TorrentId,
    },
    /// The metadata of a torrent from a magnet is complete and verified. Its storage can be opened.
    MetadataReceived {
        /// The torrent.
        torrent: TorrentId,
        /// The raw `info` dictionary.
        info: Vec<u8>,
    },
    /// A piece is verified and written.
    PieceDone {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: PieceIndex,
    },
    /// A piece failed its hash check.
    PieceFailed {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: PieceIndex,
    },
    /// Every wanted piece is verified and written.
    Completed {
        /// The torrent.
        torrent: TorrentId,
    },
    /// A piece that was there could not be read. It is neither served nor fetched until [`crate::Command::Settle`].
    ReadFailed {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: PieceIndex,
        /// What went wrong.
        error: String,
    },
    /// A torrent stopped since its storage failed. `Resume` tries again; pieces that could not be written are kept.
    StorageFailed {
        /// The torrent.
        torrent: TorrentId,
        /// What went wrong.
        error: String,
    },
    /// A handshake succeeded.
    PeerConnected {
        /// The torrent.
        torrent: TorrentId,
        /// The connection.
        conn: ConnId,
        /// The peer's end.
        remote: SocketAddr,
        /// Its id.
        peer_id: PeerId,
        /// Whether we dialled.
        is_outgoing: bool,
    },
    /// A connection after its handshake ended.
    PeerDisconnected {
        /// The torrent.
        torrent: TorrentId,
        /// The connection.
        conn: ConnId,
        /// The peer's end.
        remote: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// An address was banned for corrupt data.
    PeerBanned {
        /// The torrent.
        torrent: TorrentId,
        /// The peer's end.
        remote: SocketAddr,
    },
    /// Peers were heard of.
    PeersFound {
        /// The torrent.
        torrent: TorrentId,
        /// By whom.
        source: PeerSource,
        /// How many were new.
        new: usize,
    },
    /// A tracker answered an announce.
    TrackerReplied {
        /// The torrent.
        torrent: TorrentId,
        /// Its URL, pass keys taken out.
        url: String,
        /// Peers it named.
        peers: usize,
        /// Its warning.
        warning: Option<String>,
        /// When it is asked next.
        next_in: Duration,
    },
    /// A tracker failed.
    TrackerFailed {
        /// The torrent.
        torrent: TorrentId,
        /// Its URL, pass keys taken out.
        url: String,
        /// What went wrong.
        error: String,
        /// When it is asked next; `None`: never again.
        next_in: Option<Duration>,
    },
    /// The answer to [`crate::Command::Scrape`].
    Scraped {
        /// The torrent.
        torrent: TorrentId,
        /// The tracker's URL, pass keys taken out; empty when there is none to ask.
        url: String,
        /// How many peers it knows, or why that is not known.
        result: Result<ScrapeStats, String>,
    },
    /// A tracker sees us at this address: one vote.
    ExternalIp {
        /// The address.
        ip: core::net::IpAddr,
    },
    /// The partly received pieces of a torrent, as asked for.
    Partials {
        /// The torrent.
        torrent: TorrentId,
        /// The pieces.
        partials: Vec<PartialPiece>,
        /// Bytes so far.
        totals: Totals,
    },
    /// A torrent is forgotten.
    Removed {
        /// The torrent.
        torrent: TorrentId,
    },
}

/// Why a connection ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side or the network ended it.
    Remote,
    /// The dial failed.
    DialFailed,
    /// No handshake, or nothing at all, in time.
    Timeout,
    /// It sent what no peer may send.
    Protocol(String),
    /// It is ourselves.
    OwnId,
    /// The same peer is connected already.
    Duplicate,
    /// It is not who the tracker said.
    WrongPeerId,
    /// Its handshake named another torrent.
    WrongInfoHash,
    /// It sent corrupt data.
    Banned,
    /// Both sides have all, or nothing to give each other.
    NotNeeded,
    /// The torrent was paused or removed, or the engine stopped.
    Stopped,
    /// A better peer took its place, or there was no room.
    NoRoom,
}
