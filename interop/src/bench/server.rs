//! The nodes under load: our `seed` command, and libtorrent with its guards against floods off.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::clients::{Client, Job, Role, Source};
use crate::lab::Lab;
use crate::netns::Host;
use crate::ports::free_port;
use crate::proc::Process;
use crate::usage::Usage;

/// A running node.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    process: Process,
}

impl Server {
    /// Ours: `unchoke seed`, with all its settings as they come, beginning at `entry`.
    pub(crate) fn unchoke(lab: &Lab, torrent: &Path, dir: &Path, entry: SocketAddr) -> Result<Self> {
        let (host, port) = (Host::loopback(), free_port()?);
        let job = Job {
            role: Role::Seed,
            host: &host,
            port,
            source: Source::Torrent(torrent),
            dir: &lab.payloads.small.parent,
            state: dir,
            dial: None,
            dht_nodes: &[entry],
            lsd: false,
            pex: false,
            rate_limit: None,
        };
        fs::create_dir_all(dir)?;
        let peer = lab.unchoke.start(&job)?;
        Ok(Server { name: "unchoke", addr: host.at(port), process: peer.process })
    }

    /// libtorrent, beginning at `entry`.
    pub(crate) fn libtorrent(lab: &Lab, dir: &Path, entry: SocketAddr) -> Result<Self> {
        let (host, port) = (Host::loopback(), free_port()?);
        let mut command = lab.libtorrent.script(&host);
        command.args(["serve", &host.at(port).to_string(), &entry.to_string()]);
        fs::create_dir_all(dir)?;
        let mut process = Process::start(command, &dir.join("log"))?;
        process.wait_for_output("READY", Duration::from_secs(30))?;
        Ok(Server { name: "libtorrent", addr: host.at(port), process })
    }

    /// Seconds of CPU it has used, in user and system mode, all threads together.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        Ok(Usage::of(self.process.pid())?.cpu_s)
    }
}
