//! One host: a hub and an engine, its line, its disk and its ends of connections.

use crate::disk::{Disk, DiskSettings};
use crate::link::{Link, LinkSettings};
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use unchoke_engine::hub::{Hub, HubSettings};
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
    /// Its engine. Port, own addresses and tracing are set by the world.
    pub engine: Settings,
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
    /// Its line.
    pub link: Link,
    /// Its disk.
    pub disk: Disk,
    /// What its torrents are stored in.
    pub storages: BTreeMap<TorrentId, MemoryStorage>,
    /// Its ends of connections.
    pub ends: BTreeMap<EndName, usize>,
    /// Whether it is switched on.
    pub is_up: bool,
    /// When each machine is woken next.
    pub wake: [Option<Instant>; 2],
}

impl Host {
    /// A host that knows nothing yet.
    pub fn new(ip: IpAddr, settings: HostSettings, seeds: [[u8; 32]; 2], now: Instant) -> Self {
        let hub = HubSettings {
            dht_v4: settings.engine.dht && ip.is_ipv4(),
            dht_v6: settings.engine.dht && ip.is_ipv6(),
            listen_port: PORT,
            saved_nodes: Vec::new(),
            bootstrap: settings.bootstrap,
        };
        let mut engine = settings.engine;
        engine.listen_port = PORT;
        engine.own_addresses = vec![SocketAddr::new(ip, PORT)];
        Host {
            ip,
            hub: Hub::new(hub, seeds[0], now),
            engine: Engine::new(ShardId(0), engine, seeds[1], now),
            link: Link::new(settings.link),
            disk: Disk::new(settings.disk),
            storages: BTreeMap::new(),
            ends: BTreeMap::new(),
            is_up: true,
            wake: [None; 2],
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, PORT)
    }
}
