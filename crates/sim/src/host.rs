//! One host: a hub and an engine, its line, its disk and its ends of connections. A host with a script is a bad peer
//! instead: bytes go to the script, its hub and engine stay idle.

use crate::bad_peer::BadPeer;
use crate::disk::{Disk, DiskSettings};
use crate::link::{Link, LinkSettings};
use crate::swarm::Content;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use unchoke_engine::hub::{DhtState, Hub, HubSettings};
use unchoke_engine::{ConnId, Engine, Settings, ShardId, Ticket, TorrentId};
use unchoke_storage::MemoryStorage;
use unchoke_wire::HostPort;
use unchoke_wire::time::Instant;

/// The port every host listens on, TCP and UDP.
pub const PORT: u16 = 6881;

/// One host of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(pub usize);

/// How a host is set up.
#[derive(Clone, Debug, Default)]
pub struct HostSettings {
    /// Its line.
    pub link: LinkSettings,
    /// Its disk.
    pub disk: DiskSettings,
    /// Its engine. Port and tracing are set by the world, own addresses too unless it is not to know them.
    pub engine: Settings,
    /// Whether it does not know its own address, as behind a NAT.
    pub is_unaware: bool,
    /// The local network it is in: hosts of the same number hear each other's announces.
    pub lan: Option<u32>,
    /// DHT nodes it begins with.
    pub bootstrap: Vec<HostPort>,
}

/// Which of a host's machines an event is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Machine {
    /// Its hub.
    Hub,
    /// Its engine.
    Engine,
}

/// One end of a connection, as its host knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EndName {
    /// Accepted and not routed yet.
    Ticket(Ticket),
    /// Known to the engine.
    Conn(ConnId),
    /// Held by a bad peer.
    Raw(usize),
}

/// What a torrent of a host is stored in, and what it should come to be.
#[derive(Debug)]
pub struct Stored {
    /// The truth.
    pub content: Rc<Content>,
    /// What is there.
    pub storage: MemoryStorage,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    /// Its address; it listens on [`PORT`].
    pub ip: IpAddr,
    /// Its hub.
    pub hub: Hub,
    /// Its engine.
    pub engine: Engine,
    /// The local network it is in.
    pub lan: Option<u32>,
    /// Its line.
    pub link: Link,
    /// Its disk.
    pub disk: Disk,
    /// What its torrents are stored in.
    pub stored: BTreeMap<TorrentId, Stored>,
    /// Of the blocks it sends one in so many is spoilt; zero: none.
    pub corrupts_one_in: u32,
    /// What it does when it is a bad peer.
    pub script: Option<BadPeer>,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Its ends of connections.
    pub(crate) ends: BTreeMap<EndName, usize>,
    /// Dials that were not answered yet.
    pub(crate) dialling: BTreeSet<ConnId>,
    /// Whom its engine dialled, in order.
    pub dialled: Vec<SocketAddr>,
    /// Whom it sent datagrams.
    pub(crate) spoken: BTreeSet<SocketAddr>,
    /// When each machine is woken next.
    pub(crate) wake: [Option<Instant>; 2],
}

impl Host {
    /// A host that knows nothing yet.
    pub fn new(ip: IpAddr, settings: HostSettings, seeds: [[u8; 32]; 2], now: Instant) -> Self {
        let hub = HubSettings {
            is_dht_read_only: false,
            reports_dht_steps: false,
            dht_v4: settings.engine.dht && ip.is_ipv4(),
            dht_v6: settings.engine.dht && ip.is_ipv6(),
            lsd_v4: settings.lan.is_some() && ip.is_ipv4(),
            lsd_v6: settings.lan.is_some() && ip.is_ipv6(),
            listen_port: PORT,
            saved: DhtState::default(),
            nodes: settings.bootstrap,
            routers: Vec::new(),
        };
        let mut engine = settings.engine;
        engine.listen_port = PORT;
        engine.trace = true;
        if !settings.is_unaware {
            engine.own_addresses = vec![SocketAddr::new(ip, PORT)];
        }
        Host {
            ip,
            lan: settings.lan,
            hub: Hub::new(hub, seeds[0], now),
            engine: Engine::new(ShardId(0), engine, seeds[1], now),
            link: Link::new(settings.link),
            disk: Disk::new(settings.disk),
            stored: BTreeMap::new(),
            corrupts_one_in: 0,
            script: None,
            is_up: true,
            ends: BTreeMap::new(),
            dialling: BTreeSet::new(),
            dialled: Vec::new(),
            spoken: BTreeSet::new(),
            wake: [None; 2],
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, PORT)
    }
}
