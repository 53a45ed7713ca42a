//! qbittorrent-nox, steered through its Web API.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Client, Job, Peer, Role, Source, first_missing};
use crate::ports::free_port;
use crate::proc::{Process, wait_until};

/// `qbittorrent-nox` from the path.
pub(crate) struct Qbittorrent;

impl Client for Qbittorrent {
    fn name(&self) -> &'static str {
        "qbittorrent"
    }

    fn missing(&self) -> Option<String> {
        first_missing(&["qbittorrent-nox", "curl"])
    }

    fn start(&self, job: &Job<'_>) -> Result<Peer> {
        let control_port = free_port()?;
        let config = job.state.join("qBittorrent/config");
        fs::create_dir_all(&config)?;
        fs::write(config.join("qBittorrent.conf"), settings(job, control_port))?;
        let mut command = job.host.command("qbittorrent-nox");
        command.arg(format!("--profile={}", job.state.display())).arg(format!("--webui-port={control_port}"));
        command.env("HOME", job.state).env("XDG_RUNTIME_DIR", job.state);
        let process = Process::start(command, &job.state.join("log"))?;
        let mut peer = Peer::controlled(process, job.host, control_port);
        wait_until("qBittorrent's Web API", Duration::from_secs(30), || {
            peer.process.expect_running()?;
            Ok(peer.ask("/api/v2/app/version", &["-f"]).is_ok())
        })?;
        add(&peer, job)?;
        wait_until("qBittorrent to take the torrent", Duration::from_secs(20), || {
            Ok(only_torrent(&peer).is_ok())
        })?;
        let hash = only_torrent(&peer)?["hash"].as_str().context("no hash")?.to_owned();
        if let Some(other) = job.dial {
            peer.ask("/api/v2/torrents/addPeers", &["-d", &format!("hashes={hash}&peers={other}")])?;
        }
        if !job.dht_nodes.is_empty() {
            // It asked when it knew no node yet, and would ask again only in a quarter of an hour.
            wait_until("qBittorrent to know a DHT node", Duration::from_secs(60), || {
                Ok(peer.ask_json("/api/v2/transfer/info", &[])?["dht_nodes"] != 0)
            })?;
            peer.ask("/api/v2/torrents/pause", &["-d", &format!("hashes={hash}")])?;
            peer.ask("/api/v2/torrents/resume", &["-d", &format!("hashes={hash}")])?;
        }
        if job.role == Role::Seed {
            wait_until("qBittorrent to seed", Duration::from_secs(60), || {
                peer.process.expect_running()?;
                is_seeding(&peer)
            })?;
        }
        Ok(peer)
    }

    fn is_complete(&self, peer: &mut Peer) -> Result<bool> {
        peer.process.expect_running()?;
        is_seeding(peer)
    }

    fn bytes_uploaded(&self, peer: &Peer) -> Result<Option<u64>> {
        Ok(only_torrent(peer)?["uploaded"].as_u64())
    }
}

/// Adds the torrent; on a restart it has it already and answers "Fails.".
fn add(peer: &Peer, job: &Job<'_>) -> Result<()> {
    let source = match job.source {
        Source::Torrent(path) => format!("torrents=@{};filename=case.torrent", path.display()),
        Source::Magnet(uri) => format!("urls={uri}"),
    };
    let mut form = vec![source, format!("savepath={}", job.dir.display())];
    form.extend(["autoTMM=false", "contentLayout=Original"].map(String::from));
    if let Some(rate) = job.rate_limit {
        let which = if job.role == Role::Seed { "upLimit" } else { "dlLimit" };
        form.push(format!("{which}={rate}"));
    }
    let args: Vec<&str> = form.iter().flat_map(|field| ["-F", field.as_str()]).collect();
    peer.ask("/api/v2/torrents/add", &args).map(|_| ())
}

fn is_seeding(peer: &Peer) -> Result<bool> {
    let torrent = only_torrent(peer)?;
    let state = torrent["state"].as_str().unwrap_or_default();
    if state == "error" || state == "missingFiles" {
        bail!("qBittorrent stopped in state {state}");
    }
    Ok(matches!(state, "uploading" | "stalledUP" | "forcedUP" | "queuedUP") && torrent["amount_left"] == 0)
}

fn only_torrent(peer: &Peer) -> Result<Value> {
    peer.ask_json("/api/v2/torrents/info", &[])?.get(0).cloned().context("qBittorrent has no torrent")
}

fn settings(job: &Job<'_>, control_port: u16) -> String {
    format!(
        "[LegalNotice]\nAccepted=true\n\n\
         [BitTorrent]\n\
         Session\\Port={port}\n\
         Session\\InterfaceAddress={ip}\n\
         Session\\DHTEnabled={dht}\n\
         Session\\LSDEnabled={lsd}\n\
         Session\\PeXEnabled={pex}\n\
         Session\\QueueingSystemEnabled=false\n\
         Session\\MultiConnectionsPerIp=true\n\
         Session\\SSRFMitigation=false\n\
         Session\\IgnoreLimitsOnLAN=false\n\
         Session\\DefaultSavePath={dir}\n\n\
         [Network]\nPortForwardingEnabled=false\n\n\
         [Preferences]\n\
         WebUI\\Enabled=true\n\
         WebUI\\Address=127.0.0.1\n\
         WebUI\\Port={control_port}\n\
         WebUI\\LocalHostAuth=false\n\
         WebUI\\UseUPnP=false\n",
        port = job.port,
        ip = job.host.ip,
        dht = !job.dht_nodes.is_empty(),
        lsd = job.lsd,
        pex = job.pex,
        dir = job.dir.display(),
    )
}
