//! What a shell may tell the hub, and what the hub may ask of it.

use crate::id::{RequestId, ShardId, Ticket, TorrentId};
use crate::input::PeerSource;
use crate::output::HubCommand;
use core::net::{IpAddr, SocketAddr};
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::Instant;
use unchoke_wire::{HostPort, WireHash};

/// One thing that happened.
#[derive(Debug)]
pub enum HubInput<'a> {
    /// The time of [`super::Hub::next_timeout`] has come.
    Timeout,
    /// A connection was accepted. The shell reads it until the hub routes or drops it.
    Accepted {
        /// The shell's name for it.
        ticket: Ticket,
        /// The peer's end.
        remote: SocketAddr,
    },
    /// Bytes of an accepted connection arrived.
    AcceptedBytes {
        /// Its name.
        ticket: Ticket,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// An accepted connection ended before it was routed or dropped.
    AcceptedClosed {
        /// Its name.
        ticket: Ticket,
    },
    /// A datagram arrived on the session's UDP socket.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// The network says that nobody takes datagrams there.
    Unreachable {
        /// Where.
        to: SocketAddr,
    },
    /// A datagram arrived on the session's socket for the local network (BEP 14).
    LsdDatagram {
        /// Where it came from.
        from: SocketAddr,
        /// Whether that is an address of a network this machine is in.
        is_on_link: bool,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// A name was resolved, or not.
    Resolved {
        /// The request.
        request: RequestId,
        /// The addresses; none on failure.
        addresses: &'a [IpAddr],
    },
    /// An engine wants something.
    Engine {
        /// The engine.
        shard: ShardId,
        /// What it wants.
        command: HubCommand,
    },
    /// The owner asks the DHT: the node of the family an address names, both nodes when none is named. Answered by
    /// [`HubEvent::Dht`].
    Dht(unchoke_dht::Command),
    /// Read what the next run should know of the DHT: answered by [`HubEvent::DhtState`].
    SaveDht,
}

/// One thing to do.
#[derive(Debug)]
pub enum HubOutput {
    /// Hand the connection to this engine as [`crate::Input::Accepted`].
    Route {
        /// Its name.
        ticket: Ticket,
        /// The engine.
        shard: ShardId,
        /// The torrent its handshake named.
        torrent: TorrentId,
        /// All bytes received so far.
        received: Vec<u8>,
        /// When it was accepted.
        since: Instant,
    },
    /// Close the connection without a word.
    Drop {
        /// Its name.
        ticket: Ticket,
    },
    /// Send a datagram from the session's UDP socket.
    Datagram {
        /// To whom.
        to: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// Resolve a name. Answered by [`HubInput::Resolved`].
    Resolve {
        /// The request.
        request: RequestId,
        /// The name; never an address.
        host: String,
    },
    /// Send this to the group of local service discovery on every interface (BEP 14).
    LsdDatagram {
        /// The group's family.
        family: Family,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Tell every engine as [`crate::Input::OwnAddress`].
    OwnAddress {
        /// The address.
        ip: IpAddr,
    },
    /// Tell an engine as [`crate::Input::PeersFound`].
    Peers {
        /// The engine.
        shard: ShardId,
        /// The torrent.
        torrent: TorrentId,
        /// By whom they were found.
        source: PeerSource,
        /// The peers.
        peers: Vec<SocketAddr>,
    },
    /// Tell an engine as [`crate::Input::Datagram`].
    TrackerDatagram {
        /// The engine.
        shard: ShardId,
        /// Where it came from.
        from: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// Something the owner may want to know.
    Event(HubEvent),
}

/// Something happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HubEvent {
    /// The DHT node of one family knows enough nodes to be of use.
    DhtReady {
        /// Whether it is the IPv6 node.
        is_v6: bool,
        /// Good nodes in its table.
        nodes: usize,
    },
    /// A lookup of the DHT ended.
    DhtSearched {
        /// What it was for.
        hash: WireHash,
        /// Peers it found.
        peers: usize,
    },
    /// We are announced in the DHT.
    DhtAnnounced {
        /// Under which hash.
        hash: WireHash,
        /// To how many nodes.
        nodes: usize,
    },
    /// What came of a [`HubInput::Dht`], and what the nodes tell beside it.
    Dht {
        /// Whether the IPv6 node tells it.
        is_v6: bool,
        /// What it is.
        event: unchoke_dht::Event,
    },
    /// What is worth saving.
    DhtState(DhtState),
}

/// What one run of the DHT leaves to the next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DhtState {
    /// Our ids, at most [`DhtState::IDS_MAX`] a family, the latest first: each was ours at another address.
    pub ids: Vec<(Family, NodeId)>,
    /// Nodes that answered lately, at most [`DhtState::NODES_MAX`] a family.
    pub nodes: Vec<NodeInfo>,
}

impl DhtState {
    /// Ids kept of a family.
    pub const IDS_MAX: usize = 1 + unchoke_dht::FORMER_IDS_MAX;
    /// Nodes kept of a family: more than a full table has.
    pub const NODES_MAX: usize = 500;
}

/// Settings of a hub.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// Whether there is a DHT node, for IPv4 and for IPv6.
    pub dht_v4: bool,
    /// The same for IPv6.
    pub dht_v6: bool,
    /// Ask the DHT, but answer nothing and stay out of others' tables (BEP 43).
    pub is_dht_read_only: bool,
    /// Tell every step of the lookups that [`HubInput::Dht`] began.
    pub reports_dht_steps: bool,
    /// Whether the local network is asked, over IPv4 and over IPv6.
    pub lsd_v4: bool,
    /// The same over IPv6.
    pub lsd_v6: bool,
    /// The port peers reach us on, announced in the DHT and the local network; zero: none, and both are only asked.
    pub listen_port: u16,
    /// What an earlier run left.
    pub saved: DhtState,
    /// Nodes to begin with: names or addresses.
    pub nodes: Vec<HostPort>,
    /// Public routers: asked for nodes while few are known, never kept themselves.
    pub routers: Vec<HostPort>,
}
