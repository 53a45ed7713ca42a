//! libtorrent (the library of qBittorrent and Deluge) through a script of ours, from PyPI in a virtual environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Client, Job, Peer, Role};
use crate::lab::peers_dir;
use crate::netns::Host;
use crate::proc::Process;

/// The Python that has it, and the script it runs.
pub(crate) struct Libtorrent {
    python: PathBuf,
    script: PathBuf,
    /// Whether it speaks TCP without encryption alone.
    is_plain: bool,
}

impl Libtorrent {
    /// Writes the script below `dir`.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let script = dir.join("lt.py");
        fs::write(&script, include_str!("../../peers/lt.py"))?;
        Ok(Self { python: peers_dir().join("lt/bin/python"), script, is_plain: false })
    }

    /// One that speaks TCP without encryption alone.
    pub(crate) fn plain(self) -> Self {
        Self { is_plain: true, ..self }
    }

    /// The script, to be given its arguments.
    pub(crate) fn script(&self, host: &Host) -> Command {
        self.python(host, &self.script)
    }

    /// Another script that imports the library, to be given its arguments.
    pub(crate) fn python(&self, host: &Host, script: &Path) -> Command {
        let mut command = host.command(&self.python);
        command.args(["-W", "ignore"]).arg(script);
        command
    }
}

impl Client for Libtorrent {
    fn name(&self) -> &'static str {
        "libtorrent"
    }

    fn missing(&self) -> Option<String> {
        (!self.python.is_file()).then(|| "libtorrent".to_owned())
    }

    fn start(&self, job: &Job<'_>) -> Result<Peer> {
        let mut command = self.script(job.host);
        command.arg(if job.role == Role::Seed { "seed" } else { "get" });
        command.arg(job.source.argument()).arg(job.dir).arg(job.host.at(job.port).to_string());
        if let Some(peer) = job.dial {
            command.args(["--peer", &peer.to_string()]);
        }
        if let Some(node) = job.dht_nodes.first() {
            command.args(["--dht-node", &node.to_string()]);
        }
        let wanted = [(job.lsd, "--lsd"), (job.pex, "--pex"), (self.is_plain, "--plain")];
        command.args(wanted.iter().filter(|(is_on, _)| *is_on).map(|(_, flag)| flag));
        if let Some(rate) = job.rate_limit {
            command.args(["--rate", &rate.to_string()]);
        }
        let mut process = Process::start(command, &job.state.join("log"))?;
        process.wait_for_output("READY", Duration::from_secs(30))?;
        Ok(Peer::plain(process, job.host))
    }

    fn ends_when_complete(&self) -> bool {
        true
    }

    fn is_complete(&self, peer: &mut Peer) -> Result<bool> {
        peer.process.has_finished_well()
    }

    fn bytes_uploaded(&self, peer: &Peer) -> Result<Option<u64>> {
        let output = peer.process.output()?;
        let last = output.lines().rev().find_map(|line| line.strip_prefix("UPLOADED "));
        let count = last.context("it reported no upload count")?;
        Ok(Some(count.parse().context("read the upload count")?))
    }
}
