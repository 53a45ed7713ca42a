//! One host: a hub and an engine, its line, its disk and its ends of connections. A host with a script is a bad peer
//! instead: bytes go to the script, its hub and engine stay idle.

use crate::bad_peer::BadPeer;
use crate::disk::{Disk, DiskSettings};
use crate::fault::AtWork;
use crate::link::{Link, LinkSettings};
use crate::swarm::Content;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use unchoke_engine::hub::{DhtState, Hub, HubSettings};
use unchoke_engine::input::AddTorrent;
use unchoke_engine::{ConnId, Engine, Settings, ShardId, Ticket, TorrentId};
use unchoke_storage::MemoryStorage;
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, HostPort, PieceIndex};

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
    /// Its address in the other family, when it has both.
    pub other_ip: Option<IpAddr>,
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
    /// Pieces that are wanted; all when `None`.
    pub wanted: Option<Bitfield>,
    /// What was written, and when: it is synced at the next full multiple of [`SYNC_EVERY_US`].
    pub written: Vec<(Instant, PieceIndex)>,
}

/// Microseconds between two moments at which a host's disk syncs all that was written.
pub const SYNC_EVERY_US: u64 = 5_000_000;

/// One host.
#[derive(Debug)]
pub struct Host {
    /// Its address; it listens on [`PORT`].
    pub ip: IpAddr,
    /// Its address in the other family, when it has both.
    pub other_ip: Option<IpAddr>,
    /// Every address it had in this run.
    pub all_ips: Vec<IpAddr>,
    /// The port its datagrams come from, when a NAT gave it another one.
    pub nat_port: Option<u16>,
    /// What goes wrong with it by plan.
    pub faults: AtWork,
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
    /// How often it began anew: what was due for an earlier life is void.
    pub(crate) life: u32,
    /// What it was set up with, to begin anew.
    pub(crate) settings: HostSettings,
    /// Torrents it was given, in order, to begin anew.
    pub(crate) added: Vec<AddTorrent>,
    /// Peers its user named.
    pub(crate) named: Vec<(TorrentId, SocketAddr)>,
}

impl Host {
    /// A host that knows nothing yet.
    pub fn new(ip: IpAddr, settings: HostSettings, seeds: [[u8; 32]; 2], now: Instant) -> Self {
        let (hub, engine) = machines(ip, &settings, seeds, now);
        Host {
            ip,
            other_ip: settings.other_ip,
            all_ips: core::iter::once(ip).chain(settings.other_ip).collect(),
            nat_port: None,
            faults: AtWork::default(),
            lan: settings.lan,
            hub,
            engine,
            link: Link::new(settings.link.clone()),
            disk: Disk::new(settings.disk.clone()),
            stored: BTreeMap::new(),
            corrupts_one_in: 0,
            script: None,
            is_up: true,
            ends: BTreeMap::new(),
            dialling: BTreeSet::new(),
            dialled: Vec::new(),
            spoken: BTreeSet::new(),
            wake: [None; 2],
            life: 0,
            settings,
            added: Vec::new(),
            named: Vec::new(),
        }
    }

    /// Begins anew with machines that know nothing: connections, dials and timers of the life before are void.
    pub(crate) fn begin_anew(&mut self, seeds: [[u8; 32]; 2], now: Instant) {
        let mut settings = self.settings.clone();
        settings.other_ip = self.other_ip;
        (self.hub, self.engine) = machines(self.ip, &settings, seeds, now);
        (self.ends, self.dialling, self.spoken) = Default::default();
        self.wake = [None; 2];
        self.life += 1;
        self.is_up = true;
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, PORT)
    }

    /// Its address in the family of another one.
    pub fn ip_towards(&self, other: IpAddr) -> Option<IpAddr> {
        core::iter::once(self.ip).chain(self.other_ip).find(|ip| ip.is_ipv4() == other.is_ipv4())
    }

    /// Where its datagrams to an address come from.
    pub(crate) fn datagram_addr(&self, to: IpAddr) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip_towards(to)?, self.nat_port.unwrap_or(PORT)))
    }
}

fn machines(ip: IpAddr, settings: &HostSettings, seeds: [[u8; 32]; 2], now: Instant) -> (Hub, Engine) {
    let has = |is_v4: bool| core::iter::once(ip).chain(settings.other_ip).any(|ip| ip.is_ipv4() == is_v4);
    let hub = HubSettings {
        is_dht_read_only: false,
        reports_dht_steps: false,
        dht_v4: settings.engine.dht && has(true),
        dht_v6: settings.engine.dht && has(false),
        lsd_v4: settings.lan.is_some() && has(true),
        lsd_v6: settings.lan.is_some() && has(false),
        listen_port: PORT,
        saved: DhtState::default(),
        nodes: settings.bootstrap.clone(),
        routers: Vec::new(),
    };
    let mut engine = settings.engine.clone();
    engine.listen_port = PORT;
    engine.trace = true;
    if !settings.is_unaware {
        let all = core::iter::once(ip).chain(settings.other_ip);
        engine.own_addresses = all.map(|ip| SocketAddr::new(ip, PORT)).collect();
    }
    (Hub::new(hub, seeds[0], now), Engine::new(ShardId(0), engine, seeds[1], now))
}
