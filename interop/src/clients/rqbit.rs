//! rqbit, a client in Rust, through its command line and HTTP API, for comparisons alone: it has no part in the matrix.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::{Client, Job, Peer, Role};
use crate::lab::peers_dir;
use crate::ports::free_port;
use crate::proc::{Process, wait_until};

/// Where `interop/install.sh --rqbit` puts it.
pub(crate) fn binary() -> PathBuf {
    peers_dir().join("rqbit/bin/rqbit")
}

/// `rqbit download`.
pub(crate) struct Rqbit;

impl Client for Rqbit {
    fn name(&self) -> &'static str {
        "rqbit"
    }

    fn missing(&self) -> Option<String> {
        (!binary().is_file()).then(|| "rqbit".to_owned())
    }

    fn ends_when_complete(&self) -> bool {
        true
    }

    fn start(&self, job: &Job<'_>) -> Result<Peer> {
        let control_port = free_port()?;
        let mut command = job.host.command(binary());
        command.args(["-v", "warn", "--disable-dht", "--disable-upnp-port-forward", "--disable-lsd"]);
        command.args(["--listen-ip", &job.host.ip.to_string(), "--listen-port", &job.port.to_string()]);
        command.args(["--http-api-listen-addr", &format!("127.0.0.1:{control_port}"), "download"]);
        command.arg("-o").arg(job.dir).arg("--overwrite");
        if job.role == Role::Get {
            command.arg("-e");
        }
        if let Some(peer) = job.dial {
            command.args(["--initial-peers", &peer.to_string()]);
        }
        command.arg(job.source.argument());
        command.env("HOME", job.state).env("XDG_CACHE_HOME", job.state).env("XDG_DATA_HOME", job.state);
        let process = Process::start(command, &job.state.join("log"))?;
        let mut peer = Peer::controlled(process, job.host, control_port);
        if job.role == Role::Seed {
            wait_until("rqbit to seed", Duration::from_secs(60), || {
                peer.process.expect_running()?;
                let stats = peer.ask_json("/torrents/0/stats/v1", &[]);
                Ok(stats.is_ok_and(|stats| stats["finished"] == true && stats["state"] == "live"))
            })?;
        }
        Ok(peer)
    }

    fn is_complete(&self, peer: &mut Peer) -> Result<bool> {
        peer.process.has_finished_well()
    }

    fn bytes_uploaded(&self, _peer: &Peer) -> Result<Option<u64>> {
        Ok(None)
    }
}
