//! The clients: how each is started, asked whether it is done, and asked what it has sent.

pub(crate) mod aria2;
pub(crate) mod libtorrent;
pub(crate) mod qbittorrent;
pub(crate) mod rqbit;
pub(crate) mod transmission;
pub(crate) mod unchoke;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::netns::Host;
use crate::proc::{Process, find_program, run};
use crate::trackers::StaticTracker;

/// One BitTorrent client of the matrix.
pub(crate) trait Client: Sync {
    /// Its name in case names.
    fn name(&self) -> &'static str;

    /// What would have to be installed to use it, if something is missing.
    fn missing(&self) -> Option<String>;

    /// True for a client that dials no loopback address it hears of: then the other side dials it.
    fn must_be_dialled(&self) -> bool {
        false
    }

    /// True for a client that leaves files of no bytes out.
    fn omits_empty_files(&self) -> bool {
        false
    }

    /// True for a client whose process ends when its download is complete.
    fn ends_when_complete(&self) -> bool {
        false
    }

    /// Starts it on `job`. A seeder serves when this returns; a downloader listens.
    fn start(&self, job: &Job<'_>) -> Result<Peer>;

    /// True when the download is complete and verified by the client itself.
    fn is_complete(&self, peer: &mut Peer) -> Result<bool>;

    /// Payload bytes it has sent since it was started; `None` from a client that does not say.
    fn bytes_uploaded(&self, peer: &Peer) -> Result<Option<u64>>;
}

/// Which part a client plays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has the payload and serves it.
    Seed,
    /// It has nothing (or a part, when restarted) and downloads.
    Get,
}

/// What a client is told about the content.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// A `.torrent` file.
    Torrent(&'a Path),
    /// A magnet URI.
    Magnet(&'a str),
}

impl<'a> Source<'a> {
    /// As the one argument that names it on a command line.
    pub(crate) fn argument(self) -> &'a OsStr {
        match self {
            Self::Torrent(path) => path.as_os_str(),
            Self::Magnet(uri) => OsStr::new(uri),
        }
    }
}

/// Everything a client is told when it is started.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) role: Role,
    pub(crate) host: &'a Host,
    /// Where it listens for peers.
    pub(crate) port: u16,
    pub(crate) source: Source<'a>,
    /// The parent folder of the payload.
    pub(crate) dir: &'a Path,
    /// Where it keeps its log and state; the same again when it is restarted.
    pub(crate) state: &'a Path,
    /// A peer it is told to dial.
    pub(crate) dial: Option<SocketAddr>,
    /// Nodes of the DHT to begin at; none: DHT off.
    pub(crate) dht_nodes: &'a [SocketAddr],
    /// Whether it looks for peers in the local network.
    pub(crate) lsd: bool,
    /// Whether it exchanges peers with peers.
    pub(crate) pex: bool,
    /// Bytes a second: upload of a seeder, download of a downloader.
    pub(crate) rate_limit: Option<u32>,
}

/// A started client.
pub(crate) struct Peer {
    pub(crate) process: Process,
    host: Host,
    /// Of its remote control, on 127.0.0.1 of its host; 0 for clients without one.
    control_port: u16,
    /// Serves it as long as it runs.
    _tracker: Option<StaticTracker>,
}

impl Peer {
    /// A client without a remote control.
    fn plain(process: Process, host: &Host) -> Self {
        Self { process, host: host.clone(), control_port: 0, _tracker: None }
    }

    /// A client that is steered through a port of its own.
    fn controlled(process: Process, host: &Host, control_port: u16) -> Self {
        Self { process, host: host.clone(), control_port, _tracker: None }
    }

    /// Asks the remote control; `path` begins with a slash.
    fn ask(&self, path: &str, curl_args: &[&str]) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.control_port);
        let mut command = self.host.command("curl");
        command.args(["-sS", "--max-time", "10"]).args(curl_args).arg(&url);
        run(&mut command, Duration::from_secs(15)).with_context(|| format!("ask {path}"))
    }

    /// Asks the remote control for JSON.
    fn ask_json(&self, path: &str, curl_args: &[&str]) -> Result<Value> {
        let text = self.ask(path, curl_args)?;
        serde_json::from_str(&text).with_context(|| format!("{path} answered {text:?}"))
    }
}

/// The first of `programs` that is not installed.
pub(crate) fn first_missing(programs: &[&str]) -> Option<String> {
    programs.iter().find(|program| find_program(program).is_none()).map(|program| (*program).to_owned())
}
