//! transmission-daemon, steered through its RPC.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Client, Job, Peer, Role, Source, first_missing};
use crate::ports::free_port;
use crate::proc::{Process, wait_until};

/// `transmission-daemon` from the path.
#[derive(Default)]
pub(crate) struct Transmission {
    /// Whether it offers no encryption.
    pub(crate) is_plain: bool,
}

impl Client for Transmission {
    fn name(&self) -> &'static str {
        "transmission"
    }

    fn missing(&self) -> Option<String> {
        first_missing(&["transmission-daemon", "curl"])
    }

    fn must_be_dialled(&self) -> bool {
        true
    }

    fn omits_empty_files(&self) -> bool {
        true
    }

    fn start(&self, job: &Job<'_>) -> Result<Peer> {
        let control_port = free_port()?;
        fs::write(job.state.join("settings.json"), self.settings(job, control_port).to_string())?;
        if !job.dht_nodes.is_empty() {
            fs::write(job.state.join("dht.dat"), remembered_nodes(job.dht_nodes))?;
        }
        let mut command = job.host.command("transmission-daemon");
        command.args(["-f", "--log-info", "-g"]).arg(job.state);
        let process = Process::start(command, &job.state.join("log"))?;
        let mut peer = Peer::controlled(process, job.host, control_port);
        wait_until("transmission's RPC", Duration::from_secs(20), || {
            peer.process.expect_running()?;
            Ok(call(&peer, &json!({"method": "session-get"})).is_ok())
        })?;
        let source = match job.source {
            Source::Torrent(path) => path.to_str().context("a temporary path is UTF-8")?,
            Source::Magnet(uri) => uri,
        };
        // On a restart it knows the torrent already and says "torrent-duplicate" in its answer.
        let paused = job.role == Role::Seed;
        call(
            &peer,
            &json!({"method": "torrent-add",
            "arguments": {"filename": source, "download-dir": job.dir, "paused": paused}}),
        )?;
        if job.role == Role::Seed {
            become_seed(&mut peer)?;
        }
        Ok(peer)
    }

    fn is_complete(&self, peer: &mut Peer) -> Result<bool> {
        peer.process.expect_running()?;
        let torrent = only_torrent(peer)?;
        if torrent["error"] == 3 {
            bail!("transmission stopped: {}", torrent["errorString"]);
        }
        Ok(torrent["metadataPercentComplete"].as_f64() == Some(1.0)
            && torrent["leftUntilDone"] == 0
            && torrent["sizeWhenDone"] != 0)
    }

    fn bytes_uploaded(&self, peer: &Peer) -> Result<Option<u64>> {
        Ok(only_torrent(peer)?["uploadedEver"].as_u64())
    }
}

impl Transmission {
    fn settings(&self, job: &Job<'_>, control_port: u16) -> Value {
        let limit_kb = job.rate_limit.map(|rate| rate / 1000);
        let (up, down) = if job.role == Role::Seed { (limit_kb, None) } else { (None, limit_kb) };
        json!({
            "bind-address-ipv4": job.host.ip, "bind-address-ipv6": "::1",
            "peer-port": job.port, "peer-port-random-on-start": false, "port-forwarding-enabled": false,
            // It would try uTP with everyone first, and TCP with those who have none only a quarter of a minute later.
            "utp-enabled": false, "encryption": u8::from(!self.is_plain),
            "dht-enabled": !job.dht_nodes.is_empty(), "lpd-enabled": job.lsd, "pex-enabled": job.pex,
            "download-dir": job.dir, "incomplete-dir-enabled": false, "rename-partial-files": false,
            "start-added-torrents": true, "ratio-limit-enabled": false, "idle-seeding-limit-enabled": false,
            "speed-limit-up-enabled": up.is_some(), "speed-limit-up": up.unwrap_or(0),
            "speed-limit-down-enabled": down.is_some(), "speed-limit-down": down.unwrap_or(0),
            "rpc-enabled": true, "rpc-bind-address": "127.0.0.1", "rpc-port": control_port,
            "rpc-whitelist-enabled": false, "rpc-host-whitelist-enabled": false, "rpc-authentication-required": false,
            "watch-dir-enabled": false, "preallocation": 0, "umask": 18
        })
    }
}

/// Has it check the data that is there, then serve it.
fn become_seed(peer: &mut Peer) -> Result<()> {
    if only_torrent(peer)?["leftUntilDone"] != 0 {
        call(peer, &json!({"method": "torrent-verify"}))?;
    }
    wait_until("transmission's check of the data", Duration::from_secs(60), || {
        peer.process.expect_running()?;
        let torrent = only_torrent(peer)?;
        let is_checking = torrent["status"] == 1 || torrent["status"] == 2;
        Ok(!is_checking && torrent["leftUntilDone"] == 0)
    })?;
    call(peer, &json!({"method": "torrent-start-now"}))?;
    wait_until("transmission to seed", Duration::from_secs(20), || Ok(only_torrent(peer)?["status"] == 6))
}

fn only_torrent(peer: &Peer) -> Result<Value> {
    let fields = [
        "status",
        "leftUntilDone",
        "sizeWhenDone",
        "metadataPercentComplete",
        "uploadedEver",
        "error",
        "errorString",
    ];
    let answer = call(peer, &json!({"method": "torrent-get", "arguments": {"fields": fields}}))?;
    answer["arguments"]["torrents"].get(0).cloned().context("transmission has no torrent")
}

/// One RPC call: the first request is refused and names the session id that the second must carry.
fn call(peer: &Peer, body: &Value) -> Result<Value> {
    let refusal = peer.ask("/transmission/rpc", &["-i"])?;
    let session = refusal
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("x-transmission-session-id:"))
        .context("no session id")?
        .trim();
    let answer = peer.ask_json("/transmission/rpc", &["-H", session, "-d", &body.to_string()])?;
    if answer["result"] != "success" && answer["result"] != "duplicate torrent" {
        bail!("transmission answered {}", answer["result"]);
    }
    Ok(answer)
}

/// The nodes as it keeps them from one run to the next: it asks the first eight of them within seconds.
fn remembered_nodes(nodes: &[SocketAddr]) -> Vec<u8> {
    let v4 = nodes.iter().filter_map(|node| match node {
        SocketAddr::V4(node) => Some(*node),
        SocketAddr::V6(_) => None,
    });
    let compact: Vec<u8> =
        v4.flat_map(|node| [&node.ip().octets()[..], &node.port().to_be_bytes()].concat()).collect();
    let mut file = b"d2:id20:interop matrix node.5:nodes".to_vec();
    file.extend_from_slice(format!("{}:", compact.len()).as_bytes());
    file.extend_from_slice(&compact);
    file.push(b'e');
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_remembered_in_compact_form() {
        let nodes =
            ["10.77.0.10:258".parse().unwrap(), "[::1]:9".parse().unwrap(), "10.77.0.11:1".parse().unwrap()];
        let expected =
            b"d2:id20:interop matrix node.5:nodes12:\x0a\x4d\x00\x0a\x01\x02\x0a\x4d\x00\x0b\x00\x01e";
        assert_eq!(remembered_nodes(&nodes), expected);
    }
}
