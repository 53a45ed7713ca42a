//! What the owner of a session chooses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use unchoke_engine::Settings;
use unchoke_wire::HostPort;

/// Nodes asked first when nothing better is known.
pub const DHT_ROUTERS: [(&str, u16); 5] = [
    ("dht.libtorrent.org", 25401),
    ("dht.transmissionbt.com", 6881),
    ("router.bt.ouinet.work", 6881),
    ("router.bittorrent.com", 6881),
    ("relay.pkarr.org", 6881),
];

/// How long a disk that does nothing may keep a session from ending, unless its owner says otherwise.
const DISK_WAIT: Duration = Duration::from_secs(15);

/// What a session takes part in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// Torrents, and the DHT.
    #[default]
    Client,
    /// The DHT alone: connections are not accepted.
    DhtNode,
    /// The DHT alone, which it asks without answering (BEP 43): for programs that go away soon. The file of the DHT
    /// is read, and left as it is.
    DhtVisitor,
}

/// What a session is started with.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// What it takes part in.
    pub role: Role,
    /// Where TCP connections and datagrams are taken. All entries with port 0 share one free port.
    /// An unspecified IPv6 address is left out on machines without IPv6.
    pub listen: Vec<SocketAddr>,
    /// Whether there are DHT nodes, one for each family that is listened on.
    pub dht: bool,
    /// Nodes to begin with.
    pub dht_nodes: Vec<HostPort>,
    /// Public routers: asked for nodes while few are known.
    pub dht_routers: Vec<HostPort>,
    /// Whether every step of the lookups that [`crate::Session::dht`] began is reported, as
    /// [`unchoke_dht::Event::Step`].
    pub dht_steps: bool,
    /// Where the DHT's ids and nodes are kept between runs. Its folder exists.
    pub dht_file: Option<PathBuf>,
    /// Where resume records are kept. Without it every start checks the files.
    pub resume_dir: Option<PathBuf>,
    /// Where the session's torrents are kept, all there is to know of them: the next session of this folder begins with
    /// them, asleep. It belongs to one session at a time, and takes the place of `resume_dir`.
    pub state_dir: Option<PathBuf>,
    /// Bytes of the disk of `state_dir` that are set aside, so that small changes can be kept when it is full.
    pub state_reserve_len: u64,
    /// Threads that run torrents, at most 255; `None`: as many as there are cores.
    pub shards: Option<u8>,
    /// Threads that hash and use the disk. With none the shards do it themselves, and wait for the disk.
    pub workers: usize,
    /// How long a disk that does nothing may keep the session from ending. What is not saved by then is told, and is as
    /// after a crash.
    pub disk_wait: Duration,
    /// Settings of the engines, as for one engine. Limits hold for the whole session: they are split evenly over
    /// the shards that have torrents. Port, addresses, `dht` and `trace` are set by the session.
    pub engine: Settings,
    /// Whether every message and DHT datagram is reported as [`crate::SessionEvent`].
    pub trace: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig {
            role: Role::Client,
            listen: vec![(Ipv4Addr::UNSPECIFIED, 6881).into(), (Ipv6Addr::UNSPECIFIED, 6881).into()],
            dht: true,
            dht_nodes: Vec::new(),
            dht_routers: DHT_ROUTERS
                .iter()
                .map(|(host, port)| HostPort::new(host, *port).expect("the names above are names"))
                .collect(),
            dht_steps: false,
            dht_file: None,
            resume_dir: None,
            state_dir: None,
            state_reserve_len: 0,
            shards: None,
            workers: cores(),
            disk_wait: DISK_WAIT,
            engine: Settings::default(),
            trace: false,
        }
    }
}

impl SessionConfig {
    /// A session on loopback alone, on a free port, with a DHT that asks nobody at first and without discovery in the
    /// local network: for tests and examples.
    pub fn loopback() -> Self {
        SessionConfig {
            listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
            dht_routers: Vec::new(),
            engine: Settings { lsd: false, ..Settings::default() },
            ..SessionConfig::default()
        }
    }

    pub(crate) fn shard_count(&self) -> u8 {
        self.shards.unwrap_or_else(|| u8::try_from(cores()).unwrap_or(u8::MAX)).max(1)
    }
}

/// Cores this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
