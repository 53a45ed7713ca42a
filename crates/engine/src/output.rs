//! What an engine may ask of its shell.

use crate::event::Event;
use crate::id::{ConnId, RequestId, Ticket, TorrentId};
use core::net::SocketAddr;
use unchoke_wire::compact::Family;
use unchoke_wire::time::Duration;
use unchoke_wire::{BlockRef, PieceIndex, WireHash};

/// One thing to do.
#[derive(Debug)]
pub enum Output {
    /// The accepted connection has this name from now on.
    Adopt {
        /// Its name so far.
        ticket: Ticket,
        /// Its name.
        conn: ConnId,
    },
    /// Close the accepted connection without a word.
    Refuse {
        /// Its name so far.
        ticket: Ticket,
    },
    /// Dial. Answered by `Connected`, or `Closed` with `DialFailed`.
    Connect {
        /// The new connection's name.
        conn: ConnId,
        /// Whom to dial.
        addr: SocketAddr,
        /// How long to try.
        timeout: Duration,
    },
    /// The connection has something to send: say `SendReady` when it can be written.
    WantSend {
        /// The connection.
        conn: ConnId,
    },
    /// Write this, all of it, then say `SendReady` again.
    Send {
        /// The connection.
        conn: ConnId,
        /// What to write.
        plan: SendPlan,
    },
    /// How long what is sent on the connection may go without an acknowledgement before it is taken for lost, and
    /// `Closed`.
    Patience {
        /// The connection.
        conn: ConnId,
        /// How long; `None`: as long as usual.
        within: Option<Duration>,
    },
    /// Close the connection. It is forgotten: nothing is said of it any more.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Send a datagram from the session's UDP socket.
    Datagram {
        /// To whom.
        to: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// Do an HTTP GET. Answered by `HttpDone`.
    Http(HttpRequest),
    /// Resolve a name. Answered by `Resolved`.
    Resolve {
        /// The request.
        request: RequestId,
        /// The name; never an address.
        host: String,
    },
    /// Hash a piece and, when the hash is right, write it. Answered by `Verified`.
    Verify(VerifyJob),
    /// Something for the session's hub.
    Hub(HubCommand),
    /// Something the owner may want to know.
    Event(Event),
    /// A message of a peer, when tracing is on.
    Trace(Trace),
}

/// Bytes of messages, and the blocks to write between them.
#[derive(Debug)]
pub struct SendPlan {
    /// The torrent whose blocks these are.
    pub torrent: TorrentId,
    /// The messages, end to end, headers of the blocks among them.
    pub bytes: Vec<u8>,
    /// The blocks in order.
    pub blocks: Vec<PlanBlock>,
}

/// A block of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlanBlock {
    /// How many of the plan's message bytes go before it; never less than for the block before.
    pub after: usize,
    /// What to write there, from storage.
    pub block: BlockRef,
}

/// One part of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendPart<'p> {
    /// These bytes.
    Bytes(&'p [u8]),
    /// The bytes of this block, from storage.
    Block(BlockRef),
}

impl SendPlan {
    /// The parts in the order they are to be written.
    pub fn parts(&self) -> impl Iterator<Item = SendPart<'_>> {
        let mut from = 0;
        let blocks = self.blocks.iter().flat_map(move |b| {
            let bytes = &self.bytes[core::mem::replace(&mut from, b.after)..b.after];
            [SendPart::Bytes(bytes), SendPart::Block(b.block)]
        });
        let last = self.blocks.last().map_or(0, |b| b.after);
        blocks.chain(core::iter::once(SendPart::Bytes(&self.bytes[last..])))
    }
}

/// An HTTP GET.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The request.
    pub request: RequestId,
    /// What to get. It may hold a pass key.
    pub url: String,
    /// The address family to use.
    pub family: Family,
    /// How long it may take in all.
    pub timeout: Duration,
}

impl core::fmt::Debug for HttpRequest {
    /// Leaves out the path and the query, which may hold a pass key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let host = self.url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
        let host = host.and_then(|h| h.rsplit('@').next()).unwrap_or_default();
        write!(f, "HttpRequest({:?}, {host}, {:?}, {:?})", self.request, self.family, self.timeout)
    }
}

/// A piece to hash and write.
pub struct VerifyJob {
    /// The torrent.
    pub torrent: TorrentId,
    /// The piece.
    pub piece: PieceIndex,
    /// All its bytes.
    pub data: Box<[u8]>,
    /// The SHA-1 it must have.
    pub expected: [u8; 20],
    /// Whether the hashes of its blocks are wanted also when it is good: an earlier copy was bad.
    pub wants_block_hashes: bool,
}

impl core::fmt::Debug for VerifyJob {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "VerifyJob({:?}, {} bytes)", self.piece, self.data.len())
    }
}

/// What an engine wants of the hub.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HubCommand {
    /// Connections that name this hash belong to this torrent of this engine.
    Register {
        /// The torrent.
        torrent: TorrentId,
        /// The hash.
        hash: WireHash,
    },
    /// They do not any more.
    Unregister {
        /// The hash.
        hash: WireHash,
    },
    /// Find peers in the DHT and be found there, until told to stop.
    DhtSearch {
        /// The torrent.
        torrent: TorrentId,
        /// The hash.
        hash: WireHash,
        /// Whether we have all of it.
        is_seed: bool,
        /// Whether peers are wanted, or only an announce.
        wants_peers: bool,
    },
    /// Stop that.
    DhtStop {
        /// The hash.
        hash: WireHash,
    },
    /// Find peers in the local network and be found there, until told to stop.
    LsdAnnounce {
        /// The torrent.
        torrent: TorrentId,
        /// Its hashes: both of a hybrid.
        hashes: Vec<WireHash>,
    },
    /// Stop that.
    LsdStop {
        /// The hashes.
        hashes: Vec<WireHash>,
    },
    /// A DHT node was named: by a torrent's `nodes`, or a peer's PORT message.
    DhtNode {
        /// A name or an address.
        host: String,
        /// Its UDP port.
        port: u16,
    },
}

/// A message that passed, for people who want to see the exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The torrent.
    pub torrent: TorrentId,
    /// The connection.
    pub conn: ConnId,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Whether we sent it.
    pub is_sent: bool,
    /// The message.
    pub message: TraceMessage,
}

/// What is told of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TraceMessage {
    /// The handshake: reserved bytes, hash and peer id, all 68 bytes of it or the 48 that came first.
    Handshake(Vec<u8>),
    /// A whole message, length prefix included; of a `piece` only the first 13 bytes.
    Message(Vec<u8>),
}
