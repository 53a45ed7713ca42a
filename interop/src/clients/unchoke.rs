//! Our own binary, through its command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Client, Job, Peer, Role};
use crate::fixtures::Payload;
use crate::proc::{Process, run};

/// The binary under test.
pub(crate) struct Unchoke {
    pub(crate) binary: PathBuf,
    /// Whether a download tells nothing, in place of every event.
    pub(crate) is_quiet: bool,
}

impl Unchoke {
    /// Makes a torrent of `payload` at `out`; `extra` are more options of `create`.
    pub(crate) fn create(&self, payload: &Payload, out: &Path, extra: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.arg("create").arg(payload.path()).arg("-o").arg(out);
        command.args(["--piece-length", &payload.piece_length.to_string()]).args(extra);
        run(&mut command, Duration::from_secs(120)).map(|_| ())
    }

    /// What `show --json` says about a torrent.
    pub(crate) fn show(&self, torrent: &Path) -> Result<Value> {
        let text = self.ask(["show".as_ref(), torrent, "--json".as_ref()])?;
        serde_json::from_str(&text).with_context(|| format!("show answered {text:?}"))
    }

    /// The v1 info-hash of a torrent, in hex.
    pub(crate) fn info_hash(&self, torrent: &Path) -> Result<String> {
        Ok(self.show(torrent)?["info_hash_v1"].as_str().context("show names no info_hash_v1")?.to_owned())
    }

    /// The magnet URI of a torrent.
    pub(crate) fn magnet(&self, torrent: &Path) -> Result<String> {
        let uri = self.ask(["magnet".as_ref(), torrent])?.trim().to_owned();
        if uri.starts_with("magnet:?") { Ok(uri) } else { bail!("magnet answered {uri:?}") }
    }

    fn ask<'a>(&self, args: impl IntoIterator<Item = &'a Path>) -> Result<String> {
        run(Command::new(&self.binary).args(args), Duration::from_secs(30))
    }
}

impl Client for Unchoke {
    fn name(&self) -> &'static str {
        "unchoke"
    }

    fn missing(&self) -> Option<String> {
        (!self.binary.is_file()).then(|| self.binary.display().to_string())
    }

    fn start(&self, job: &Job<'_>) -> Result<Peer> {
        let mut command = job.host.command(&self.binary);
        command.arg(if job.role == Role::Seed { "seed" } else { "get" }).arg(job.source.argument());
        command.arg("--dir").arg(job.dir).arg("--listen").arg(job.host.at(job.port).to_string());
        command.arg("--no-port-map");
        let unwanted = [(job.lsd, "--no-lsd"), (job.pex, "--no-pex")];
        command.args(unwanted.iter().filter(|(is_on, _)| !is_on).map(|(_, flag)| flag));
        if let Some(rate) = job.rate_limit {
            let which = if job.role == Role::Seed { "--limit-up" } else { "--limit-down" };
            command.args([which, &rate.to_string()]);
        }
        command.env("UNCHOKE_STATE", job.state.join("state"));
        match job.dht_nodes.first() {
            None => command.arg("--no-dht"),
            Some(node) => command.args(["--dht-node", &node.to_string()]),
        };
        if let Some(peer) = job.dial {
            command.args(["--peer", &peer.to_string()]);
        }
        if job.role == Role::Get {
            command.arg(if self.is_quiet { "--quiet" } else { "--json" });
        }
        let mut process = Process::start(command, &job.state.join("log"))?;
        if job.role == Role::Seed {
            process.wait_for_output("seeding ", Duration::from_secs(30))?;
        }
        Ok(Peer::plain(process, job.host))
    }

    fn ends_when_complete(&self) -> bool {
        true
    }

    fn is_complete(&self, peer: &mut Peer) -> Result<bool> {
        peer.process.has_finished_well()
    }

    fn bytes_uploaded(&self, _peer: &Peer) -> Result<Option<u64>> {
        Ok(None)
    }
}
