//! The options of `get` and `seed`, most of which they share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use unchoke_runtime::{Discovery, SessionConfig, Settings};
use unchoke_wire::HostPort;

use crate::selection::{self, Pick};
use crate::units::{self, Rate};

/// Help of `--listen`: a default that is not a single value.
const LISTEN_HELP: &str =
    "Address to listen on; may be repeated [default: 0.0.0.0:6881 and [::]:6881, or the next free port]";

/// Options of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// .torrent file, magnet link, URL of a .torrent file, or info-hash
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Folder to download to: the data lands in DIR/NAME
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Files to get, by their place from 0 such as 0,2,4-6, or by name such as '*.iso'; may be repeated
    #[arg(long = "select", value_name = "LIST|GLOB", value_parser = selection::pick)]
    pub(crate) picks: Vec<Pick>,
    /// Get pieces in order, to use the files while they arrive
    #[arg(long)]
    pub(crate) sequential: bool,
    /// Go on seeding when everything is there
    #[arg(long)]
    pub(crate) seed: bool,
    /// Go on with newer versions of a mutable torrent, asked for every T, an hour by default
    #[arg(long, value_name = "T", num_args = 0..=1, require_equals = true, default_missing_value = "1h",
        value_parser = units::pause)]
    pub(crate) follow: Option<Duration>,
    /// With --seed: end when so many times the size was uploaded
    #[arg(long, value_name = "R", value_parser = selection::ratio, requires = "seed")]
    pub(crate) ratio: Option<f64>,
    /// With --seed: end after so long, such as 30m or 2h
    #[arg(long, value_name = "T", value_parser = units::time, requires = "seed")]
    pub(crate) seed_time: Option<Duration>,
    /// The rest.
    #[command(flatten)]
    pub(crate) net: NetArgs,
}

/// Options of `seed`.
#[derive(Debug, Args)]
pub(crate) struct SeedArgs {
    /// .torrent file
    #[arg(required = true, value_name = "TORRENT")]
    pub(crate) torrents: Vec<PathBuf>,
    /// Folder the files lie in: the data is at DIR/NAME
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Skip the check of the files
    #[arg(long)]
    pub(crate) trust: bool,
    /// Show each peer a piece or two that others have not, until another has everything (BEP 16)
    #[arg(long)]
    pub(crate) super_seed: bool,
    /// End when so many times the size was uploaded
    #[arg(long, value_name = "R", value_parser = selection::ratio)]
    pub(crate) ratio: Option<f64>,
    /// End after so long, such as 30m or 2h
    #[arg(long, value_name = "T", value_parser = units::time)]
    pub(crate) seed_time: Option<Duration>,
    /// The rest.
    #[command(flatten)]
    pub(crate) net: NetArgs,
}

/// How peers are found, and how fast they are served: what one command and the daemon have in common.
#[derive(Debug, Args)]
pub(crate) struct SwarmArgs {
    /// Address to listen on; may be repeated
    #[arg(long, value_name = "IP:PORT", help = LISTEN_HELP)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Do not use the DHT
    #[arg(long)]
    pub(crate) no_dht: bool,
    /// Do not look for peers in the local network
    #[arg(long)]
    pub(crate) no_lsd: bool,
    /// Do not exchange peers with peers
    #[arg(long)]
    pub(crate) no_pex: bool,
    /// DHT node to begin with, in place of the public ones; may be repeated
    #[arg(long = "dht-node", value_name = "HOST:PORT", conflicts_with = "no_dht")]
    pub(crate) dht_nodes: Vec<HostPort>,
    /// Connections that each of the threads that run torrents may have open, one thread a core
    #[arg(long, value_name = "N", default_value_t = Settings::default().connections_max,
        value_parser = units::at_least_one)]
    pub(crate) max_connections: usize,
    /// Most bytes a second to download, such as 500K or 2MiB; 0 for no limit
    #[arg(long, value_name = "RATE", value_parser = units::rate, default_value = "0", hide_default_value = true)]
    pub(crate) limit_down: Rate,
    /// Most bytes a second to upload, such as 500K or 2MiB; 0 for no limit
    #[arg(long, value_name = "RATE", value_parser = units::rate, default_value = "0", hide_default_value = true)]
    pub(crate) limit_up: Rate,
}

impl SwarmArgs {
    /// By which means torrents find peers.
    pub(crate) fn discovery(&self) -> Discovery {
        Discovery { dht: !self.no_dht, lsd: !self.no_lsd, ..Discovery::default() }
    }

    /// What a session is started with, as far as these options go.
    pub(crate) fn config(&self) -> SessionConfig {
        let config = SessionConfig {
            dht: !self.no_dht,
            engine: Settings {
                connections_max: self.max_connections,
                download_limit: self.limit_down.0,
                upload_limit: self.limit_up.0,
                pex: !self.no_pex,
                lsd: !self.no_lsd,
                ..Settings::default()
            },
            ..SessionConfig::default()
        };
        match &self.dht_nodes[..] {
            [] => config,
            nodes => SessionConfig { dht_nodes: nodes.to_vec(), dht_routers: Vec::new(), ..config },
        }
    }
}

/// How peers are found and spoken to, and what is told about it.
#[derive(Debug, Args)]
pub(crate) struct NetArgs {
    /// Peer to connect to; may be repeated
    #[arg(long = "peer", value_name = "IP:PORT")]
    pub(crate) peers: Vec<SocketAddr>,
    /// How peers are found.
    #[command(flatten)]
    pub(crate) swarm: SwarmArgs,
    /// Do not ask the router to open the port
    #[arg(long)]
    pub(crate) no_port_map: bool,
    /// What connections run over; this version speaks TCP alone
    #[arg(long, value_enum, default_value_t = Transport::Any)]
    pub(crate) transport: Transport,
    /// Whether connections are encrypted; this version speaks plaintext alone
    #[arg(long, value_enum, default_value_t = Encryption::Allow)]
    pub(crate) encryption: Encryption,
    /// Print events, one JSON object a line
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Print nothing but errors, and what `seed` says when it is ready
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show every message of peers and DHT nodes, or append them to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub(crate) trace: Option<Option<PathBuf>>,
}

/// What connections run over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Transport {
    /// TCP alone
    Tcp,
    /// uTP alone
    Utp,
    /// Whatever there is
    Any,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Encryption {
    /// Never
    Off,
    /// When the other side wants it
    Allow,
    /// When the other side can
    Prefer,
    /// Always
    Require,
}
