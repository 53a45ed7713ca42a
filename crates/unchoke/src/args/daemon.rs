//! The options of `daemon` and of the commands that talk to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::transfer::SwarmArgs;
use crate::api::ApiAddr;

/// Options of `daemon`.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// Folder that keeps all torrents and their options [default: daemon in the folder of unchoke's state]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Folder to download to: the data lands in DIR/NAME
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) download_dir: PathBuf,
    /// Where the API is: a socket, or a port on loopback [default: unix:api.sock in the state folder]
    #[arg(long, value_name = "unix:PATH|IP:PORT")]
    pub(crate) api: Option<ApiAddr>,
    /// The rest.
    #[command(flatten)]
    pub(crate) swarm: SwarmArgs,
}

/// Which daemon a command talks to.
#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    /// State folder of the daemon [default: that of `unchoke daemon`]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Where its API is [default: as its state folder tells]
    #[arg(long, value_name = "unix:PATH|IP:PORT")]
    pub(crate) api: Option<ApiAddr>,
    /// File with the secret of its API [default: the one in its state folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Options of `add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// .torrent file, magnet link, URL of a .torrent file, or info-hash
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Folder below the daemon's download folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) dir: Option<String>,
    /// Files to get, by their place from 0 such as 0,2,4-6, or by name such as '*.iso'
    #[arg(long, value_name = "LIST|GLOB")]
    pub(crate) select: Option<String>,
    /// Peer to connect to; may be repeated
    #[arg(long = "peer", value_name = "IP:PORT")]
    pub(crate) peers: Vec<SocketAddr>,
    /// Add it, and let it rest
    #[arg(long)]
    pub(crate) paused: bool,
    /// Get pieces in order, to use the files while they arrive
    #[arg(long)]
    pub(crate) sequential: bool,
    /// Once it has everything, show each peer a piece or two that others have not (BEP 16)
    #[arg(long)]
    pub(crate) super_seed: bool,
    /// Print one JSON object for each torrent
    #[arg(long)]
    pub(crate) json: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Options of `ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Print one JSON object for each torrent
    #[arg(long)]
    pub(crate) json: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Options of `info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Name of a torrent, or the beginning of its hash
    #[arg(required = true, value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    /// Print one JSON object for each torrent
    #[arg(long)]
    pub(crate) json: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Options of `pause`, `resume` and `recheck`.
#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// Name of a torrent, or the beginning of its hash
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    /// All torrents
    #[arg(long)]
    pub(crate) all: bool,
    /// Print one JSON object for each torrent
    #[arg(long)]
    pub(crate) json: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Options of `move`.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// Name of a torrent, or the beginning of its hash
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: String,
    /// Folder below the daemon's download folder; "." for that folder itself
    #[arg(value_name = "DIR")]
    pub(crate) dir: String,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Options of `remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Name of a torrent, or the beginning of its hash
    #[arg(required = true, value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    /// Delete its files, too
    #[arg(long)]
    pub(crate) delete_data: bool,
    /// Print one JSON object for each torrent
    #[arg(long)]
    pub(crate) json: bool,
    /// The rest.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Options of `stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The rest.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}
