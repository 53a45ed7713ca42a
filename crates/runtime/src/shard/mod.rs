//! A thread that runs some torrents: their engine, their connections and sockets.
//!
//! The loop sleeps in one poll, takes what came in (readiness, messages, time), hands each thing to the engine as an
//! input and does what the engine says. It never waits for anything else: disk and hashing are the workers', names
//! and HTTP the resolver's.

mod conns;
mod io;
mod outputs;
mod verifies;

use std::time::Duration;

use crossbeam_channel::Sender;
use mio::net::TcpStream;
use mio::{Events, Poll, Token};
use unchoke_engine::engine::{Engine, MemoryPart, PeerInfo, TorrentStats};
use unchoke_engine::id::RequestId;
use unchoke_engine::input::{HttpReply, PeerSource, Verified};
use unchoke_engine::{Command, ConnId, Input, Ticket, TorrentId};
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, BlockRef};

use crate::clock::Clock;
use crate::http::Reply;
use crate::mailbox::Inbox;
use crate::names::Addresses;
use crate::resolver::Asker;
use crate::workers::{Placed, ReadResult};
use conns::Read;
pub(crate) use io::{Io, Links};

/// The token of the waker; connections have later ones.
pub(crate) const WAKER: Token = Token(0);
/// Events taken from one poll.
const EVENTS_MAX: usize = 1024;
/// Messages taken in one turn.
const MESSAGES_MAX: usize = 256;
/// Follow-up inputs worked off at once, so that one fast connection does not keep the others waiting.
const PENDING_MAX: usize = 64;
/// Connections read in one turn, so that sockets that became writable and finished jobs do not wait for all others.
const CONNS_MAX: usize = 64;
/// Reads of one connection in one turn.
const READS_MAX: usize = 4;
/// Bytes one read may give.
pub(crate) const SCRATCH_LEN: usize = 256 << 10;

/// What other threads tell a shard.
pub(crate) enum ShardMessage {
    /// A connection named one of our torrents.
    Accepted {
        ticket: Ticket,
        torrent: TorrentId,
        stream: TcpStream,
        remote: std::net::SocketAddr,
        received: Vec<u8>,
        since: Instant,
    },
    /// Verify jobs are done.
    Verified(Vec<Verified>),
    /// The cold blocks of a connection's plan were read.
    BlocksRead { conn: ConnId, result: ReadResult },
    /// An HTTP request is done.
    HttpDone { request: RequestId, reply: Reply },
    /// A name was resolved.
    Resolved { request: RequestId, addresses: Addresses },
    /// A datagram of a tracker.
    Datagram { from: std::net::SocketAddr, bytes: Vec<u8> },
    /// Peers of a torrent were heard of.
    Peers { torrent: TorrentId, source: PeerSource, peers: Vec<std::net::SocketAddr> },
    /// This machine has other addresses: where we are reached now, and all of them.
    Addresses { own: Vec<std::net::SocketAddr>, present: Vec<std::net::IpAddr> },
    /// Others see us at this address.
    OwnAddress { ip: std::net::IpAddr },
    /// Where the pieces of a torrent are from now on.
    Storage { torrent: TorrentId, place: Placed },
    /// A command for the engine.
    Command(Command),
    /// Figures of a torrent.
    Stats { torrent: TorrentId, reply: Sender<TorrentStats> },
    /// Figures of all torrents.
    AllStats { reply: Sender<Vec<TorrentStats>> },
    /// What it may hold for strangers, and holds.
    Memory { reply: Sender<Vec<MemoryPart>> },
    /// The pieces it has, while it is awake and its storage is open.
    Have { torrent: TorrentId, reply: Sender<Option<Bitfield>> },
    /// Its connected peers.
    Peerlist { torrent: TorrentId, reply: Sender<Vec<PeerInfo>> },
    /// Stop as the engine knows how, within this time, then end.
    Stop { within: Duration },
}

/// One shard.
pub(crate) struct Shard {
    engine: Engine,
    io: Io,
    poll: Poll,
    inbox: Inbox<ShardMessage>,
    clock: Clock,
    scratch: Vec<u8>,
    stop_at: Option<Instant>,
}

/// An input that follows from what was done for an output.
#[derive(Debug)]
enum Pending {
    Connected(ConnId),
    Closed(ConnId, unchoke_engine::input::ClosedBy),
    SendReady(ConnId),
    Sent(ConnId, u64),
    ReadFailed(TorrentId, BlockRef, String),
}

impl Shard {
    pub(crate) fn new(engine: Engine, io: Io, poll: Poll, inbox: Inbox<ShardMessage>, clock: Clock) -> Self {
        Shard { engine, io, poll, inbox, clock, scratch: vec![0; SCRATCH_LEN], stop_at: None }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.is_over() {
            let is_busy = self.io.has_work() || !self.inbox.is_empty();
            let timeout = match is_busy {
                true => Some(Duration::ZERO),
                false => {
                    let own = [self.io.next_timeout(), self.stop_at].into_iter().flatten().min();
                    self.clock.until(self.engine.next_timeout(), own)
                }
            };
            if let Err(e) = self.poll.poll(&mut events, timeout)
                && e.kind() != std::io::ErrorKind::Interrupted
            {
                tracing::error!(error = %e, "cannot poll");
                return;
            }
            for event in &events {
                if event.token() != WAKER {
                    self.io.ready(event);
                }
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        // all of it: a connection's bytes must not come before the news that it is connected
        self.work_all_pending();
        self.inbox.begin();
        for _ in 0..MESSAGES_MAX {
            let Some(message) = self.inbox.take() else { break };
            self.message(message);
            self.work_pending();
        }
        for _ in 0..self.io.readable.len().min(CONNS_MAX) {
            self.read_next();
            self.work_pending();
        }
        let now = self.clock.now();
        self.io.expire_dials(now);
        if self.engine.next_timeout().is_some_and(|at| at <= now) {
            self.input(Input::Timeout);
        }
        self.work_pending();
        self.io.verify_held(now);
        self.io.tell_pieces();
    }

    fn is_over(&self) -> bool {
        let Some(at) = self.stop_at else { return false };
        self.engine.is_stopped() && self.io.verifies.is_idle() && !self.io.has_work()
            || at <= self.clock.now()
    }

    /// Hands an input to the engine and does what it says.
    fn input(&mut self, input: Input<'_>) {
        let now = self.clock.now();
        for output in self.engine.handle(input, now) {
            self.io.apply(output, now);
        }
    }

    /// All inputs that have followed so far.
    fn work_all_pending(&mut self) {
        for _ in 0..=self.io.pending.len() / PENDING_MAX {
            self.work_pending();
        }
    }

    /// Inputs that followed from outputs; what is left over is taken in the next turn.
    fn work_pending(&mut self) {
        for _ in 0..PENDING_MAX {
            let Some(pending) = self.io.pending.pop_front() else { return };
            match pending {
                Pending::Connected(conn) => self.input(Input::Connected { conn }),
                Pending::Closed(conn, reason) => self.input(Input::Closed { conn, reason }),
                Pending::SendReady(conn) => {
                    if self.io.begin_send(conn) {
                        self.input(Input::SendReady { conn });
                    }
                }
                Pending::Sent(conn, bytes) => self.input(Input::Sent { conn, bytes }),
                Pending::ReadFailed(torrent, block, error) => {
                    self.input(Input::ReadFailed { torrent, block, error });
                }
            }
        }
    }

    fn read_next(&mut self) {
        let Some(conn) = self.io.readable.pop_front() else { return };
        for turn in 1..=READS_MAX {
            match self.io.read(conn, &mut self.scratch) {
                Read::Bytes(len) => {
                    let now = self.clock.now();
                    let bytes = &mut self.scratch[..len];
                    for output in self.engine.handle(Input::Received { conn, bytes }, now) {
                        self.io.apply(output, now);
                    }
                    if turn == READS_MAX {
                        self.io.read_later(conn);
                    }
                }
                Read::Nothing => return,
            }
        }
    }

    fn message(&mut self, message: ShardMessage) {
        match message {
            ShardMessage::Accepted { ticket, torrent, stream, remote, received, since } => {
                self.io.tickets.insert(ticket, (stream, remote));
                self.input(Input::Accepted { ticket, torrent, remote, received: &received, since });
            }
            ShardMessage::Verified(done) => {
                self.io.verifies.done(done.len());
                self.input(Input::Verified { done });
            }
            ShardMessage::BlocksRead { conn, result } => self.io.blocks_read(conn, result),
            ShardMessage::HttpDone { request, reply } => {
                let reply = match &reply {
                    Ok(answer) => {
                        Ok(HttpReply { status: answer.status, remote: answer.remote, body: &answer.body })
                    }
                    Err(e) => Err(e.clone()),
                };
                self.input(Input::HttpDone { request, reply });
            }
            ShardMessage::Resolved { request, addresses } => {
                let addresses = addresses.as_deref().map_err(Clone::clone);
                self.input(Input::Resolved { request, addresses });
            }
            ShardMessage::Datagram { from, bytes } => self.input(Input::Datagram { from, bytes: &bytes }),
            ShardMessage::Peers { torrent, source, peers } => {
                self.input(Input::PeersFound { torrent, source, peers: &peers });
            }
            ShardMessage::Addresses { own, present } => {
                self.io.drop_stranded(&present);
                // peers must be known to be gone before they are tried anew
                self.work_all_pending();
                self.input(Input::Command(Command::AddressesChanged(own)));
            }
            ShardMessage::OwnAddress { ip } => self.input(Input::OwnAddress { ip }),
            ShardMessage::Storage { torrent, place } => {
                self.io.storages.insert(torrent, place);
            }
            ShardMessage::Command(command) => self.input(Input::Command(command)),
            // nobody may be waiting any more
            ShardMessage::Stats { torrent, reply } => {
                // times are read at the engine's time, which stands still while nothing happens
                self.input(Input::Timeout);
                if let Some(stats) = self.engine.torrent_stats(torrent) {
                    let _ = reply.send(stats);
                }
            }
            ShardMessage::AllStats { reply } => {
                let all = self.engine.torrents().filter_map(|t| self.engine.torrent_stats(t));
                let _ = reply.send(all.collect());
            }
            ShardMessage::Memory { reply } => {
                let _ = reply.send(self.engine.memory());
            }
            ShardMessage::Have { torrent, reply } => {
                let _ = reply.send(self.engine.have(torrent).cloned());
            }
            ShardMessage::Peerlist { torrent, reply } => {
                let _ = reply.send(self.engine.peers(torrent));
            }
            ShardMessage::Stop { within } => {
                self.stop_at = Some(self.clock.now() + within);
                self.input(Input::Command(Command::Stop));
            }
        }
    }
}

impl Asker for crate::mailbox::Mailbox<ShardMessage> {
    fn http_done(&self, request: RequestId, reply: Reply) {
        self.send(ShardMessage::HttpDone { request, reply });
    }

    fn resolved(&self, request: RequestId, addresses: Addresses) {
        self.send(ShardMessage::Resolved { request, addresses });
    }
}

impl std::fmt::Debug for ShardMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShardMessage")
    }
}
