//! aria2, a downloader that speaks BitTorrent among others; asked through its JSON-RPC.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Client, Job, Peer, Role, first_missing};
use crate::ports::free_port;
use crate::proc::{Process, wait_until};
use crate::trackers::StaticTracker;

/// `aria2c` from the path.
pub(crate) struct Aria2;

impl Client for Aria2 {
    fn name(&self) -> &'static str {
        "aria2"
    }

    fn missing(&self) -> Option<String> {
        first_missing(&["aria2c", "curl"])
    }

    fn start(&self, job: &Job<'_>) -> Result<Peer> {
        let ip = job.host.ip;
        let control_port = free_port()?;
        let mut command = job.host.command("aria2c");
        command.args(["--no-conf", "--disable-ipv6=true", "--enable-dht6=false", "--bt-enable-lpd=false"]);
        command.args(["--enable-peer-exchange=false", "--file-allocation=none", "--summary-interval=0"]);
        command.args(["--show-console-readout=false", "--enable-rpc=true"]);
        command.arg(format!("--rpc-listen-port={control_port}"));
        command.arg(format!("--interface={ip}")).arg(format!("--bt-external-ip={ip}"));
        command.arg(format!("--listen-port={}", job.port)).arg(format!("--dht-listen-port={}", job.port));
        command.arg(format!("--dht-file-path={}", job.state.join("dht.dat").display()));
        // UDP trackers are asked through the DHT's socket: it is on, and without an entry point it knows nobody.
        command.arg("--enable-dht=true");
        if let Some(node) = job.dht_nodes.first() {
            command.arg(format!("--dht-entry-point={node}"));
        }
        // It has no add-peer call: a tracker that names the peer does it.
        let tracker = match job.dial {
            Some(SocketAddr::V4(peer)) => Some(StaticTracker::start(peer)?),
            Some(SocketAddr::V6(_)) => bail!("the matrix dials IPv4 only"),
            None => None,
        };
        if let Some(tracker) = &tracker {
            command.arg(format!("--bt-tracker={}", tracker.url()));
        }
        match job.role {
            Role::Seed => command.args(["--check-integrity=true", "--seed-ratio=0.0"]),
            Role::Get => command.arg("--seed-time=0"),
        };
        if let Some(rate) = job.rate_limit {
            let which = if job.role == Role::Seed { "upload" } else { "download" };
            command.arg(format!("--max-{which}-limit={rate}"));
        }
        command.arg(format!("--dir={}", job.dir.display())).arg(job.source.argument());
        let process = Process::start(command, &job.state.join("log"))?;
        let mut peer = Peer::controlled(process, job.host, control_port);
        peer._tracker = tracker;
        wait_until("aria2's RPC", Duration::from_secs(20), || {
            peer.process.expect_running()?;
            Ok(call(&peer, "aria2.getVersion", "").is_ok())
        })?;
        if job.role == Role::Seed {
            wait_until("aria2 to seed", Duration::from_secs(30), || {
                peer.process.expect_running()?;
                Ok(active_download(&peer).is_ok_and(|active| active["seeder"] == "true"))
            })?;
        }
        Ok(peer)
    }

    fn is_complete(&self, peer: &mut Peer) -> Result<bool> {
        // The RPC server keeps it alive when it is done.
        peer.process.expect_running()?;
        let stopped = call(peer, "aria2.tellStopped", ",\"params\":[0,10]")?;
        let done = stopped["result"].as_array().cloned().unwrap_or_default();
        if let Some(failed) = done.iter().find(|one| one["status"] == "error") {
            bail!("aria2 gave up: {}", failed["errorMessage"]);
        }
        // A magnet's metadata counts as a download of its own, and one with a follower.
        Ok(done.iter().any(|one| one["status"] == "complete" && one.get("followedBy").is_none()))
    }

    fn bytes_uploaded(&self, peer: &Peer) -> Result<Option<u64>> {
        let active = active_download(peer)?;
        let count = active["uploadLength"].as_str().context("no uploadLength")?;
        Ok(Some(count.parse().context("read uploadLength")?))
    }
}

/// The one download it works on.
fn active_download(peer: &Peer) -> Result<Value> {
    let answer = call(peer, "aria2.tellActive", "")?;
    answer["result"].get(0).cloned().context("nothing is active")
}

fn call(peer: &Peer, method: &str, params: &str) -> Result<Value> {
    let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"{method}\"{params}}}");
    peer.ask_json("/jsonrpc", &["-d", &body])
}
