//! One connection to one peer, from the dial or the adoption to its close.
//!
//! [`PeerConn`] owns its parts and keeps their facts together; what follows from a message is decided by the engine,
//! which also knows the torrent and the other peers.

pub mod has;
pub mod pex;
pub mod rate;
pub mod receive;
pub mod requests;
pub mod send;
pub mod uploads;

use crate::id::{ConnId, PeerKey, TorrentId};
use crate::torrent::piece_buffers::Incoming;
use core::net::SocketAddr;
use has::PeerHas;
use pex::PexPeers;
use rate::RateMeter;
use receive::Receive;
use requests::Requests;
use send::SendQueue;
use std::collections::VecDeque;
use unchoke_wire::extension::ExtensionIds;
use unchoke_wire::handshake::Reserved;
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, BlockRef, PeerId, PieceIndex};
use uploads::Uploads;

/// Wrongs of the small kind (blocks nobody asked for, empty blocks) before a peer is closed.
const STRIKES_MAX: u32 = 100;
/// Messages of an unknown kind before a peer is closed.
const UNKNOWN_MESSAGES_MAX: u32 = 1000;
/// Extension handshakes of one peer: a later one tells what changed (BEP 10), which is little and seldom.
const EXTENSION_HANDSHAKES_MAX: u32 = 100;
/// Pieces a peer may suggest, the latest kept.
const SUGGESTED_MAX: usize = 16;
/// Allowed-fast pieces taken from a peer.
const ALLOWED_FAST_MAX: usize = 32;

/// Bytes of memory of what one peer claims to have while nobody knows how many pieces there are.
pub const CLAIMS_LEN_MAX: usize = has::EARLY_LEN_MAX;

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// We dial.
    Dialling,
    /// Bytes pass; the peer's handshake is not whole yet.
    Handshake,
    /// Both handshakes are through, and another connection of the same peer id has to show that it is alive.
    Waiting,
    /// Both handshakes are through, and messages are taken.
    Ready,
}

/// One connection.
#[derive(Debug)]
pub struct PeerConn {
    /// Its torrent, from the first moment to the last.
    pub torrent: TorrentId,
    /// Its entry in the torrent's peer list.
    pub key: PeerKey,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Whether we dialled.
    pub is_outgoing: bool,
    /// How far it has come.
    pub stage: Stage,
    /// When this stage began.
    pub since: Instant,
    /// The id a tracker gave for this address.
    pub expected_id: Option<PeerId>,
    /// What it calls itself, once ready.
    pub peer_id: PeerId,
    /// The extensions both sides speak.
    pub reserved: Reserved,
    /// Bytes of a handshake that is not whole; of what followed it while it is [`Stage::Waiting`].
    pub handshake: Vec<u8>,
    /// The connection of the same peer id that takes its place unless it shows that it is alive.
    pub rival: Option<ConnId>,
    /// The stream in.
    pub receive: Receive,
    /// The stream out.
    pub send: SendQueue,
    /// Our requests.
    pub requests: Requests,
    /// Its requests.
    pub uploads: Uploads,
    /// What it has.
    pub has: PeerHas,
    /// What it was told we have, where that is not everything (BEP 16).
    pub told: Option<Bitfield>,
    /// Whether it said what it has, or anything that comes after that.
    pub has_spoken: bool,
    /// How many of its pieces we want and lack.
    pub interesting: u32,
    /// Whether we told it that we are interested.
    pub am_interested: bool,
    /// Whether it is interested.
    pub is_interested: bool,
    /// Whether it chokes us.
    pub is_choking: bool,
    /// Pieces it lets us have while it chokes us.
    pub allowed_fast: Vec<PieceIndex>,
    /// Pieces it suggested.
    pub suggested: Vec<PieceIndex>,
    /// The block that is arriving.
    pub arriving: Option<BlockRef>,
    /// Where its bytes go, if it is of use.
    pub incoming: Option<Incoming>,
    /// By which ids it takes our extended messages.
    pub extension_ids: ExtensionIds,
    /// The client it says it is.
    pub client: Option<String>,
    /// The port it listens on, once told.
    pub listen_port: Option<u16>,
    /// Whether it says it downloads nothing.
    pub is_upload_only: bool,
    /// Whether it says it prefers encrypted connections.
    pub prefers_encryption: bool,
    /// How many metadata blocks it asked for.
    pub metadata_served: u32,
    /// Those of them it will get and has not got yet.
    pub metadata_asked: VecDeque<u32>,
    /// What peer exchange told and was told.
    pub pex: PexPeers,
    /// Block bytes in.
    pub down: RateMeter,
    /// Block bytes out.
    pub up: RateMeter,
    /// When bytes last came.
    pub last_received: Instant,
    /// When bytes last went.
    pub last_sent: Instant,
    /// When we unchoked it last, and block bytes out by then.
    pub unchoked: (Instant, u64),
    /// Block bytes in and out at the last round of the choker.
    pub round_totals: (u64, u64),
    strikes: u32,
    unknown_messages: u32,
    extension_handshakes: u32,
    /// Messages of little content in this second.
    pub idle_messages: u32,
    /// Cancels in this second.
    pub cancels: u32,
    /// Whether it told the port of its DHT node.
    pub told_dht_port: bool,
}

impl PeerConn {
    /// A connection that begins now.
    pub fn new(
        torrent: TorrentId,
        key: PeerKey,
        remote: SocketAddr,
        is_outgoing: bool,
        now: Instant,
    ) -> Self {
        PeerConn {
            torrent,
            key,
            remote,
            is_outgoing,
            stage: if is_outgoing { Stage::Dialling } else { Stage::Handshake },
            since: now,
            expected_id: None,
            peer_id: PeerId([0; 20]),
            reserved: Reserved::default(),
            handshake: Vec::new(),
            rival: None,
            receive: Receive::default(),
            send: SendQueue::default(),
            requests: Requests::default(),
            uploads: Uploads::new(now),
            has: PeerHas::early(),
            told: None,
            has_spoken: false,
            interesting: 0,
            am_interested: false,
            is_interested: false,
            is_choking: true,
            allowed_fast: Vec::new(),
            suggested: Vec::new(),
            arriving: None,
            incoming: None,
            extension_ids: ExtensionIds::default(),
            client: None,
            listen_port: None,
            is_upload_only: false,
            prefers_encryption: false,
            metadata_served: 0,
            metadata_asked: VecDeque::new(),
            pex: PexPeers::default(),
            down: RateMeter::default(),
            up: RateMeter::default(),
            last_received: now,
            last_sent: now,
            unchoked: (now, 0),
            round_totals: (0, 0),
            strikes: 0,
            unknown_messages: 0,
            extension_handshakes: 0,
            idle_messages: 0,
            cancels: 0,
            told_dht_port: false,
        }
    }

    /// Whether both handshakes are through.
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Whether both sides speak the fast extension.
    pub fn is_fast(&self) -> bool {
        self.reserved.has_fast()
    }

    /// Counts a small wrong; `true` when that was one too many.
    pub fn strike(&mut self) -> bool {
        self.strikes += 1;
        self.strikes > STRIKES_MAX
    }

    /// Counts a message of an unknown kind; `true` when that was one too many.
    pub fn unknown_message(&mut self) -> bool {
        self.unknown_messages += 1;
        self.unknown_messages > UNKNOWN_MESSAGES_MAX
    }

    /// Remembers a piece the peer suggests.
    pub fn suggest(&mut self, piece: PieceIndex) {
        if !self.suggested.contains(&piece) {
            if self.suggested.len() >= SUGGESTED_MAX {
                self.suggested.remove(0);
            }
            self.suggested.push(piece);
        }
    }

    /// Remembers a piece the peer allows while it chokes us.
    pub fn allow_fast(&mut self, piece: PieceIndex) {
        if self.allowed_fast.len() < ALLOWED_FAST_MAX && !self.allowed_fast.contains(&piece) {
            self.allowed_fast.push(piece);
        }
    }

    /// Counts an extension handshake; `true` when that was one too many.
    pub fn extension_handshake(&mut self) -> bool {
        self.extension_handshakes += 1;
        self.extension_handshakes > EXTENSION_HANDSHAKES_MAX
    }

    /// Bytes held for it, block bytes apart.
    pub fn held(&self) -> usize {
        self.handshake.capacity()
            + self.receive.held()
            + self.send.held()
            + self.uploads.held()
            + self.has.held()
            + self.metadata_asked.capacity() * size_of::<u32>()
            + self.pex.held()
            + self.client.as_ref().map_or(0, String::capacity)
    }

    /// Where the peer can be dialled: where we dialled it, or its address with the port it told.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        if self.is_outgoing {
            return Some(self.remote);
        }
        self.listen_port.map(|port| SocketAddr::new(self.remote.ip(), port))
    }
}
