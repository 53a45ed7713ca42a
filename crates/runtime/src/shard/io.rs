//! What a shard owns beside its engine: sockets, queues, and the ways to the other threads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam_channel::Sender;
use mio::net::TcpStream;
use mio::{Registry, Token};
use slotmap::SecondaryMap;
use unchoke_engine::{ConnId, ShardId, Ticket, TorrentId};
use unchoke_wire::time::Instant;
use unchoke_wire::{PieceIndex, WireHash};

use super::conns::Conn;
use super::verifies::Verifies;
use super::{Pending, ShardMessage, WAKER};
use crate::event::EventSink;
use crate::hub::HubMessage;
use crate::keeper::KeeperMessage;
use crate::listen::Datagrams;
use crate::mailbox::Mailbox;
use crate::resolver::Resolver;
use crate::torrent;
use crate::workers::{Placed, Workers};

/// The ways to the other threads.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    pub(crate) shard: ShardId,
    pub(crate) own: Mailbox<ShardMessage>,
    pub(crate) hub: Mailbox<HubMessage>,
    pub(crate) keeper: Sender<KeeperMessage>,
    pub(crate) workers: Option<Workers>,
    pub(crate) resolver: Resolver,
    pub(crate) datagrams: Arc<Datagrams>,
    pub(crate) sink: Arc<EventSink>,
    pub(crate) torrents: Arc<torrent::Registry>,
}

/// Sockets and queues of a shard.
pub(crate) struct Io {
    pub(super) links: Links,
    pub(super) registry: Registry,
    pub(super) conns: SecondaryMap<ConnId, Conn>,
    pub(super) tokens: BTreeMap<Token, ConnId>,
    last_token: Token,
    /// Accepted connections until the engine has decided about them, which waits for a torrent that sleeps.
    pub(super) tickets: BTreeMap<Ticket, (TcpStream, SocketAddr)>,
    /// Dials under way, by the time they are given up.
    pub(super) dials: BTreeSet<(Instant, ConnId)>,
    /// Connections that may have bytes, each at most once.
    pub(super) readable: VecDeque<ConnId>,
    /// Inputs that follow from outputs: a few a connection.
    pub(super) pending: VecDeque<Pending>,
    /// Buffers for the blocks of plans, those not in use.
    pub(super) buffers: Vec<Vec<u8>>,
    pub(super) storages: SecondaryMap<TorrentId, Placed>,
    pub(super) hashes: SecondaryMap<TorrentId, WireHash>,
    /// Pieces to hash and write.
    pub(super) verifies: Verifies,
    /// Pieces that are done and that the keeper was not told of, all of one torrent.
    pub(super) untold: Option<(WireHash, Vec<PieceIndex>)>,
}

impl Io {
    pub(crate) fn new(registry: Registry, links: Links) -> Self {
        Io {
            links,
            registry,
            conns: SecondaryMap::new(),
            tokens: BTreeMap::new(),
            last_token: WAKER,
            tickets: BTreeMap::new(),
            dials: BTreeSet::new(),
            readable: VecDeque::new(),
            pending: VecDeque::new(),
            buffers: Vec::new(),
            storages: SecondaryMap::new(),
            hashes: SecondaryMap::new(),
            verifies: Verifies::default(),
            untold: None,
        }
    }

    /// Whether something is left to do without waiting.
    pub(crate) fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.readable.is_empty()
    }

    /// When a dial is given up next, or pieces are handed over.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let dial = self.dials.first().map(|(at, _)| *at);
        [dial, self.verifies.next_timeout()].into_iter().flatten().min()
    }

    /// A token no connection had before.
    pub(super) fn next_token(&mut self) -> Token {
        self.last_token = Token(self.last_token.0 + 1);
        self.last_token
    }
}
