//! DHT nodes that others made, each a process of its own that is asked by words on lines.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::node::{Finder, KEY, Keeper, SEED, Signed, hex, unhex};
use crate::clients::Client;
use crate::lab::{Lab, peers_dir};
use crate::netns::Host;
use crate::proc::{Process, find_program, wait_until};

/// An implementation of the DHT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    Libtorrent,
    /// The npm package of WebTorrent.
    BittorrentDht,
    /// The crate.
    Mainline,
}

impl Maker {
    pub(crate) const ALL: [Self; 3] = [Self::Libtorrent, Self::BittorrentDht, Self::Mainline];

    /// Its name in case names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Libtorrent => "libtorrent",
            Self::BittorrentDht => "bittorrent-dht",
            Self::Mainline => "mainline",
        }
    }

    /// What would have to be installed, if something is missing.
    pub(crate) fn missing(self, lab: &Lab) -> Option<String> {
        match self {
            Self::Libtorrent => lab.libtorrent.missing(),
            Self::BittorrentDht if find_program("node").is_none() => Some("node".into()),
            Self::BittorrentDht => {
                let package = npm_dir().join("node_modules/bittorrent-dht/package.json");
                (!package.is_file()).then(|| "bittorrent-dht".into())
            }
            Self::Mainline => (!mainline_program().is_file()).then(|| "mainline".into()),
        }
    }

    fn command(self, lab: &Lab, host: &Host) -> Result<Command> {
        Ok(match self {
            Self::Libtorrent => {
                let script = lab.script("dht_lt.py", include_str!("../../peers/dht_lt.py"))?;
                lab.libtorrent.python(host, &script)
            }
            Self::BittorrentDht => {
                let mut command = host.command("node");
                command.arg(lab.script("dht_js.mjs", include_str!("../../peers/dht_js.mjs"))?);
                command.env("UNCHOKE_PEERS_NPM", npm_dir());
                command
            }
            Self::Mainline => host.command(mainline_program()),
        })
    }
}

fn npm_dir() -> PathBuf {
    peers_dir().join("npm")
}

fn mainline_program() -> PathBuf {
    peers_dir().join("mainline/release/unchoke-interop-mainline")
}

/// One node or more in one process; what is asked is asked of the first.
pub(crate) struct Foreign {
    process: Process,
    input: ChildStdin,
    at: SocketAddr,
    asked: u32,
}

impl Foreign {
    /// Starts a node at each of `nodes`; they know each other and the node to join. `dir` gets the log.
    pub(crate) fn start(
        maker: Maker,
        lab: &Lab,
        nodes: &[SocketAddr],
        join: Option<SocketAddr>,
        dir: &Path,
    ) -> Result<Self> {
        Self::run(maker.command(lab, &Host::loopback())?, nodes, join, dir)
    }

    /// Starts libtorrent's node at `at`: it answers nobody and says so in what it asks.
    pub(crate) fn start_read_only(lab: &Lab, at: SocketAddr, join: SocketAddr, dir: &Path) -> Result<Self> {
        let mut command = Maker::Libtorrent.command(lab, &Host::loopback())?;
        command.arg("--read-only");
        Self::run(command, &[at], Some(join), dir)
    }

    fn run(mut command: Command, nodes: &[SocketAddr], join: Option<SocketAddr>, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        command.args(join.iter().flat_map(|join| ["--join".to_owned(), join.to_string()]));
        command.args(nodes.iter().map(ToString::to_string));
        let (mut process, input) = Process::start_with_input(command, &dir.join("log"))?;
        process.wait_for_output("READY", Duration::from_secs(30))?;
        let at = *nodes.first().context("no address for a node")?;
        Ok(Self { process, input, at, asked: 0 })
    }

    /// Where the first answers.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Gives a command and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String> {
        self.asked += 1;
        let number = format!("{} ", self.asked);
        writeln!(self.input, "{number}{command}").context("give a command")?;
        let mut answer = None;
        wait_until(&format!("answer to {command:?}"), LIMIT, || {
            let output = self.process.output()?;
            // A line counts when it is whole.
            let lines = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            answer = lines.rev().find_map(|line| line.strip_prefix(&number)).map(str::to_owned);
            if answer.is_none() {
                self.process.expect_running()?;
            }
            Ok(answer.is_some())
        })?;
        let answer = answer.expect("the wait ends with an answer");
        match answer.strip_prefix("error ") {
            Some(error) => bail!("{command:?}: {error}"),
            None => Ok(answer),
        }
    }

    /// What comes after `word` in the answer; `None` for the answer `none`.
    pub(crate) fn ask_for(&mut self, word: &str, command: &str) -> Result<Option<String>> {
        let answer = self.ask(command)?;
        match answer.strip_prefix(word) {
            Some(rest) => Ok(Some(rest.trim().to_owned())),
            None if answer == "none" => Ok(None),
            None => bail!("{command:?} was answered {answer:?}"),
        }
    }
}

impl Finder for Foreign {
    fn ip(&self) -> IpAddr {
        self.at.ip()
    }

    fn announce(&mut self, hash: &str, port: u16) -> Result<()> {
        self.ask_for("stored", &format!("announce {hash} {port}")).map(|_| ())
    }

    fn peers(&mut self, hash: &str) -> Result<BTreeSet<SocketAddr>> {
        let found = self.ask_for("peers", &format!("get-peers {hash}"))?.unwrap_or_default();
        found.split_whitespace().map(|peer| peer.parse().context("read a peer")).collect()
    }
}

impl Keeper for Foreign {
    fn put(&mut self, text: &str) -> Result<String> {
        self.ask_for("stored", &format!("put {}", hex(text.as_bytes())))?.context("nobody stored it")
    }

    fn get(&mut self, target: &str) -> Result<Option<Vec<u8>>> {
        self.ask_for("value", &format!("get {target}"))?.map(|value| unhex(&value)).transpose()
    }

    fn put_mutable(&mut self, item: &Signed) -> Result<()> {
        let (salt, text) = (hex(item.salt.as_bytes()), hex(item.text.as_bytes()));
        let command = format!("put-mutable {SEED} {KEY} {salt} {} {text}", item.seq);
        self.ask_for("stored", &command).map(|_| ())
    }

    fn get_mutable(&mut self, salt: &str) -> Result<Option<(i64, Vec<u8>)>> {
        let command = format!("get-mutable {KEY} {}", hex(salt.as_bytes()));
        let Some(found) = self.ask_for("value", &command)? else { return Ok(None) };
        let (seq, value) = found.split_once(' ').context("a number and a value")?;
        Ok(Some((seq.parse()?, unhex(value)?)))
    }
}

/// Longer than any of them waits for a node that does not answer.
const LIMIT: Duration = Duration::from_secs(30);
