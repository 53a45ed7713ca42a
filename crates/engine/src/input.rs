//! What a shell may tell an engine.

use crate::id::{ConnId, RequestId, Ticket, TorrentId};
use core::net::{IpAddr, SocketAddr};
use unchoke_wire::magnet::Magnet;
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, BlockRef, InfoHashes, PieceIndex};

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The time of [`crate::engine::Engine::next_timeout`] has come.
    Timeout,
    /// The hub has read a handshake's first 48 bytes and the torrent it names is here. Answered by
    /// [`crate::Output::Adopt`] or [`crate::Output::Refuse`]; later, if the torrent sleeps, within half a minute.
    Accepted {
        /// The shell's name for the connection so far.
        ticket: Ticket,
        /// The torrent its handshake named.
        torrent: TorrentId,
        /// The peer's end.
        remote: SocketAddr,
        /// All bytes received so far, from the first.
        received: &'a [u8],
        /// When it was accepted: its handshake has one budget of time from the first byte to the last.
        since: Instant,
    },
    /// A dial asked for by [`crate::Output::Connect`] succeeded.
    Connected {
        /// The connection.
        conn: ConnId,
    },
    /// Bytes arrived. They may be decrypted in place.
    Received {
        /// The connection.
        conn: ConnId,
        /// The bytes.
        bytes: &'a mut [u8],
    },
    /// A connection that wanted to send may, and all of its last plan is written. Answered by
    /// [`crate::Output::Send`] unless nothing is left to send.
    SendReady {
        /// The connection.
        conn: ConnId,
    },
    /// This many bytes of a plan were handed to the network.
    Sent {
        /// The connection.
        conn: ConnId,
        /// Bytes, headers counted.
        bytes: u64,
    },
    /// A block of a plan could not be read: its piece is in doubt from now on. The plan is dropped from that block on: the connection is closed by the
    /// shell, which then says [`Input::Closed`] too.
    ReadFailed {
        /// The torrent.
        torrent: TorrentId,
        /// The block.
        block: BlockRef,
        /// What went wrong, for people.
        error: String,
    },
    /// A connection is gone: refused, reset, ended, or closed by an I/O error.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Whether it ever was connected.
        reason: ClosedBy,
    },
    /// Verify jobs are done.
    Verified {
        /// All that were done since they were told last.
        done: Vec<Verified>,
    },
    /// An HTTP request is done.
    HttpDone {
        /// The request.
        request: RequestId,
        /// Status and body, or why there is none.
        reply: Result<HttpReply<'a>, String>,
    },
    /// A name was resolved, or not.
    Resolved {
        /// The request.
        request: RequestId,
        /// The addresses, or why there are none.
        addresses: Result<&'a [IpAddr], String>,
    },
    /// A datagram of a UDP tracker.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// Peers of a torrent were heard of outside the engine (DHT, local network, the user).
    PeersFound {
        /// The torrent.
        torrent: TorrentId,
        /// By whom.
        source: PeerSource,
        /// Their addresses.
        peers: &'a [SocketAddr],
    },
    /// The hub is sure that others see us at this address.
    OwnAddress {
        /// The address.
        ip: IpAddr,
    },
    /// The owner wants something.
    Command(Command),
}

/// An HTTP reply.
#[derive(Clone, Copy, Debug)]
pub struct HttpReply<'a> {
    /// Status code.
    pub status: u16,
    /// Decoded body, at most [`unchoke_wire::limits::TRACKER_REPLY_LEN_MAX`] bytes.
    pub body: &'a [u8],
    /// The address that answered, if known.
    pub remote: Option<IpAddr>,
}

/// How a connection ended, as the shell saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClosedBy {
    /// The dial failed: refused, unreachable or out of time.
    DialFailed,
    /// The other side ended or reset it, or the network did.
    Remote,
}

/// A verify job that is done.
#[derive(Debug)]
pub struct Verified {
    /// The torrent.
    pub torrent: TorrentId,
    /// The piece.
    pub piece: PieceIndex,
    /// How it went.
    pub outcome: VerifyOutcome,
    /// The bytes of the job, whose memory is used again; empty when the shell kept them. A piece that could not be written
    /// must come again without them.
    pub data: Box<[u8]>,
}

/// How a verify job ended.
#[derive(Debug)]
pub enum VerifyOutcome {
    /// The hash was right and the bytes are written.
    Good {
        /// SHA-1 of every block of the piece in order, if the job asked for them.
        block_hashes: Vec<[u8; 20]>,
    },
    /// The hash was wrong and nothing was written.
    Bad {
        /// SHA-1 of every block of the piece in order, to find the culprit when a good copy comes.
        block_hashes: Vec<[u8; 20]>,
    },
    /// The hash was right and the bytes could not be written.
    WriteFailed {
        /// What went wrong, for people.
        error: String,
    },
}

/// Who told us of a peer, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerSource {
    /// The user named it.
    User,
    /// The magnet link named it.
    Magnet,
    /// A tracker.
    Tracker,
    /// Itself, in the local network (BEP 14).
    Lsd,
    /// The DHT.
    Dht,
    /// Another peer of the torrent (BEP 11).
    Pex,
    /// It connected to us.
    Incoming,
}

/// What a torrent is added from.
#[derive(Clone, Debug)]
pub enum TorrentSource {
    /// A whole metainfo file.
    Metainfo(Box<Metainfo>),
    /// A magnet link: the metadata comes from peers.
    Magnet(Box<Magnet>),
}

/// A torrent to add.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// What it is.
    pub source: TorrentSource,
    /// Whether to look for peers by its own means: trackers, the DHT and the local network.
    pub discovery: Discovery,
    /// Whether it begins paused.
    pub is_paused: bool,
    /// Pieces in order instead of the rarest first.
    pub is_sequential: bool,
    /// Bytes received and sent in earlier runs.
    pub totals: Totals,
}

/// A torrent to add as it was left: announced and reachable, without its metadata.
#[derive(Clone, Debug)]
pub struct AddAsleep {
    /// All hashes it is known by.
    pub hashes: InfoHashes,
    /// URLs of trackers, best tier first.
    pub trackers: Vec<Vec<String>>,
    /// Whether to look for peers by its own means.
    pub discovery: Discovery,
    /// Whether peers come from its trackers only (BEP 27).
    pub is_private: bool,
    /// Whether it begins paused.
    pub is_paused: bool,
    /// Pieces in order instead of the rarest first.
    pub is_sequential: bool,
    /// Whether it is to be super-seeded, as [`Command::SetSuperSeeding`] has it.
    pub is_super_seeding: bool,
    /// Pieces it has, and in all.
    pub pieces: (u32, u32),
    /// Bytes of wanted pieces left to get.
    pub left: u64,
    /// Whether every wanted piece is there.
    pub is_complete: bool,
    /// Bytes received and sent in earlier runs.
    pub totals: Totals,
    /// Its trackers hear of it some time within this, so that many that are added together do not ask at once.
    pub announce_within: Duration,
}

/// How a torrent may find peers and be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discovery {
    /// Trackers may be asked.
    pub trackers: bool,
    /// The DHT may be used; never for a private torrent.
    pub dht: bool,
    /// The local network may be asked; never for a private torrent.
    pub lsd: bool,
    /// Peers that were heard of may be dialled. When `false` the torrent only answers, except peers the user named.
    pub dial: bool,
}

impl Default for Discovery {
    fn default() -> Self {
        Discovery { trackers: true, dht: true, lsd: true, dial: true }
    }
}

/// What a torrent did over its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Block bytes received and of use.
    pub downloaded: u64,
    /// Block bytes sent.
    pub uploaded: u64,
    /// For how long it did what.
    pub times: Times,
}

/// For how long a torrent did what, over its life, by the time its engine is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// It was not paused, and had not failed.
    pub active: Duration,
    /// It was active, and every wanted piece was there.
    pub finished: Duration,
    /// It was active, and every piece was there.
    pub seeding: Duration,
}

/// A partly received piece of an earlier run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartialPiece {
    /// The piece.
    pub piece: PieceIndex,
    /// Which of its blocks are there.
    pub blocks: Bitfield,
    /// The piece's bytes; only those of its blocks count.
    pub data: Box<[u8]>,
}

/// What the owner may want.
#[derive(Debug)]
pub enum Command {
    /// Add a torrent. Answered by [`crate::Event::Added`]. It transfers nothing until [`Command::StorageReady`].
    Add(Box<AddTorrent>),
    /// Add a torrent that sleeps. Answered by [`crate::Event::Added`], and by [`crate::Event::Wake`] once it is wanted.
    AddAsleep(Box<AddAsleep>),
    /// The metadata of a torrent that is to wake up; its storage follows by [`Command::StorageReady`].
    Wake {
        /// The torrent.
        torrent: TorrentId,
        /// Its metainfo, of the same hash.
        metainfo: Box<Metainfo>,
    },
    /// The storage of a torrent is open and what it holds is known. A torrent from a magnet gets this after
    /// [`crate::Event::MetadataReceived`].
    StorageReady {
        /// The torrent.
        torrent: TorrentId,
        /// The pieces that are there and verified.
        have: Bitfield,
        /// Pieces to get: bit per piece; all when `None`.
        wanted: Option<Bitfield>,
        /// Partly received pieces.
        partials: Vec<PartialPiece>,
    },
    /// Let go of the storage of a torrent, since its files are to be moved or checked. Its peers are disconnected, what
    /// is being verified is waited for. Answered by [`crate::Event::Partials`] and [`crate::Event::StorageClosed`]; it
    /// transfers nothing until [`Command::StorageReady`] then. One that sleeps has no storage, and goes on sleeping.
    CloseStorage(TorrentId),
    /// Choose anew which pieces to get.
    SetWanted {
        /// The torrent.
        torrent: TorrentId,
        /// Bit per piece.
        wanted: Bitfield,
    },
    /// Pieces are in doubt, as after [`crate::Event::ReadFailed`]: until [`Command::Settle`] they are neither served nor
    /// fetched.
    Doubt {
        /// The torrent.
        torrent: TorrentId,
        /// Bit per piece; those that are not there do not matter.
        pieces: Bitfield,
    },
    /// Pieces that were in doubt were looked at. Others do not matter.
    Settle {
        /// The torrent.
        torrent: TorrentId,
        /// Bit per piece: there, verified anew.
        good: Bitfield,
        /// Bit per piece: not there, to be got if wanted.
        bad: Bitfield,
    },
    /// Other trackers from now on, tier by tier. Those in both lists are told nothing, those that are not any more that
    /// we stop.
    SetTrackers {
        /// The torrent.
        torrent: TorrentId,
        /// URLs, best tier first.
        tiers: Vec<Vec<String>>,
    },
    /// Show the pieces of a torrent to its peers one by one once it has all of them (BEP 16), until somebody else has all;
    /// or not. Peers that know what there is are told nothing else. Said before [`Command::StorageReady`], nobody does.
    SetSuperSeeding {
        /// The torrent.
        torrent: TorrentId,
        /// Whether it is wanted.
        is_on: bool,
    },
    /// Stop all transfers of a torrent and tell its trackers; it stays known.
    Pause(TorrentId),
    /// Go on with a paused torrent, or one that stopped on an error.
    Resume(TorrentId),
    /// Forget a torrent after telling its trackers. Answered by [`crate::Event::Removed`].
    Remove(TorrentId),
    /// Hand out the partly received pieces of a torrent by [`crate::Event::Partials`].
    SavePartials(TorrentId),
    /// Ask the trackers of a torrent for peers now, as far as their least intervals let us.
    Announce(TorrentId),
    /// Ask a tracker of a torrent how many peers it knows. Answered by [`crate::Event::Scraped`].
    Scrape(TorrentId),
    /// This machine has other addresses: where we are reached from now on. Trackers hear of it within a minute,
    /// whatever their least intervals.
    AddressesChanged(Vec<SocketAddr>),
    /// New limits in block bytes a second.
    SetLimits {
        /// To ask for.
        download: Option<u64>,
        /// To send.
        upload: Option<u64>,
    },
    /// Tell all trackers that we stop and close every connection; the engine is done when
    /// [`crate::engine::Engine::is_stopped`] says so.
    Stop,
}
