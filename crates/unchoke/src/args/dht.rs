//! The options of `dht` and its commands.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use unchoke_wire::HostPort;
use unchoke_wire::krpc::NodeId;

use crate::commands::{public_key, salt_text, target};
use crate::units;

/// Help of `--listen`: a default that depends on the command.
const LISTEN_HELP: &str = "Address to send from; may be repeated [default: a free port of every address; `node`: 0.0.0.0:6881 and [::]:6881]";

/// Options of `dht`.
#[derive(Debug, Args)]
pub(crate) struct DhtArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: DhtCommand,
}

/// The commands of `dht`.
#[derive(Debug, Subcommand)]
pub(crate) enum DhtCommand {
    /// Ask nodes whether they are there
    Ping(PingArgs),
    /// Find the nodes closest to a point of the id space
    FindNode(FindNodeArgs),
    /// Find the peers of a torrent
    GetPeers(GetPeersArgs),
    /// Tell the DHT that this machine has a torrent
    Announce(AnnounceArgs),
    /// Store a value, or the newest version of a mutable torrent
    Put(PutArgs),
    /// Read a value
    Get(GetItemArgs),
    /// Ask nodes which torrents they know of
    Sample(SampleArgs),
    /// Run a node and show what it does
    Node(NodeArgs),
}

/// How the DHT is entered, and what is told.
#[derive(Debug, Args)]
pub(crate) struct DhtNetArgs {
    /// Node to begin with, in place of the public ones and those of earlier runs; may be repeated
    #[arg(long = "node", value_name = "HOST:PORT")]
    pub(crate) nodes: Vec<HostPort>,
    /// Address to send from; may be repeated
    #[arg(long, value_name = "IP:PORT", help = LISTEN_HELP)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Use IPv4 alone
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// Use IPv6 alone
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
    /// Print events, one JSON object a line
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Print results alone
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How a lookup is made: how long it may take, and where it begins.
#[derive(Debug, Args)]
pub(crate) struct LookupArgs {
    /// Give up after so long, such as 10s or 2m
    #[arg(long, value_name = "T", value_parser = units::pause, default_value = "30s")]
    pub(crate) timeout: Duration,
    /// Show every step of the lookup
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) trace: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) net: DhtNetArgs,
}

/// Options of `dht ping`.
#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// Nodes to ask
    #[arg(required = true, value_name = "HOST:PORT")]
    pub(crate) hosts: Vec<HostPort>,
    /// Give up after so long, such as 10s or 2m
    #[arg(long, value_name = "T", value_parser = units::pause, default_value = "30s")]
    pub(crate) timeout: Duration,
    /// The rest.
    #[command(flatten)]
    pub(crate) net: DhtNetArgs,
}

/// Options of `dht find-node`.
#[derive(Debug, Args)]
pub(crate) struct FindNodeArgs {
    /// The point: an id or an info-hash of 40 hex digits
    #[arg(value_name = "ID|HASH", value_parser = target)]
    pub(crate) target: NodeId,
    /// The rest.
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

/// Options of `dht get-peers`.
#[derive(Debug, Args)]
pub(crate) struct GetPeersArgs {
    /// Info-hash, magnet link, .torrent file or URL of one
    #[arg(value_name = "HASH|MAGNET|TORRENT")]
    pub(crate) source: String,
    /// Estimate how many seeds and downloaders there are, too
    #[arg(long)]
    pub(crate) scrape: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

/// Options of `dht announce`.
#[derive(Debug, Args)]
pub(crate) struct AnnounceArgs {
    /// Info-hash, magnet link, .torrent file or URL of one
    #[arg(value_name = "HASH|MAGNET|TORRENT")]
    pub(crate) source: String,
    /// Port that peers reach this machine on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// Say that everything is there
    #[arg(long)]
    pub(crate) seed: bool,
    /// Stay, answer other nodes and announce again before it is forgotten
    #[arg(long)]
    pub(crate) keep: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

/// Options of `dht put`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["value", "file", "torrent"])))]
pub(crate) struct PutArgs {
    /// Text to store
    #[arg(value_name = "VALUE")]
    pub(crate) value: Option<String>,
    /// Store the content of FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Store which torrent is the newest version: an info-hash, magnet link or .torrent file
    #[arg(long, value_name = "TORRENT", requires = "key")]
    pub(crate) torrent: Option<String>,
    /// The value is bencoded already, and stored as it is
    #[arg(long, conflicts_with = "torrent")]
    pub(crate) bencoded: bool,
    /// Sign with the key in FILE: the value is found under the key and can be replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// With --key: make the key; FILE must not exist
    #[arg(long, requires = "key")]
    pub(crate) new_key: bool,
    /// With --key: text that tells several values of one key apart
    #[arg(long, value_name = "TEXT", value_parser = salt_text, requires = "key")]
    pub(crate) salt: Option<String>,
    /// With --key: number of this version [default: one more than the newest found]
    #[arg(long, value_name = "N", requires = "key", allow_negative_numbers = true)]
    pub(crate) seq: Option<i64>,
    /// With --key: replace only the version of this number
    #[arg(long, value_name = "N", requires = "key", allow_negative_numbers = true)]
    pub(crate) cas: Option<i64>,
    /// Stay, answer other nodes and store it again every hour
    #[arg(long)]
    pub(crate) keep: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

/// Options of `dht get`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["target", "key"])))]
pub(crate) struct GetItemArgs {
    /// Where a value without a key is, as `put` printed it: 40 hex digits
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Option<NodeId>,
    /// Public key of the value's owner: 64 hex digits
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    pub(crate) key: Option<[u8; 32]>,
    /// With --key: text that tells several values of one key apart
    #[arg(long, value_name = "TEXT", value_parser = salt_text, requires = "key")]
    pub(crate) salt: Option<String>,
    /// Write the bytes of the value and nothing else; what is no string stays bencoded
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

/// Options of `dht sample`.
#[derive(Debug, Args)]
pub(crate) struct SampleArgs {
    /// The point whose surroundings are asked: 40 hex digits [default: any]
    #[arg(value_name = "ID", value_parser = target)]
    pub(crate) target: Option<NodeId>,
    /// The rest.
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

/// Options of `dht node`.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// File that keeps what the node knows for its next run [default: one of its own, none with --node]
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Time between two looks at the node [default: 1s on a terminal, else 10s]
    #[arg(long, value_name = "T", value_parser = units::pause)]
    pub(crate) every: Option<Duration>,
    /// The rest.
    #[command(flatten)]
    pub(crate) net: DhtNetArgs,
}
