//! `unchoke dht`, a process for each thing it is asked: it enters the network, does it, and leaves.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::node::{Finder, KEY, Keeper, SEED, Signed, string_in, unhex};
use crate::lab::Lab;
use crate::netns::Host;
use crate::proc::{run, run_any};

/// The command on some host, entering at one node.
pub(crate) struct CommandLine {
    binary: PathBuf,
    host: Host,
    entry: SocketAddr,
    key_file: PathBuf,
}

impl CommandLine {
    /// Keeps its key in `dir`.
    pub(crate) fn new(lab: &Lab, host: &Host, entry: SocketAddr, dir: &Path) -> Result<Self> {
        let key_file = dir.join("key");
        fs::write(&key_file, SEED)?;
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600))?;
        Ok(Self { binary: lab.unchoke.binary.clone(), host: host.clone(), entry, key_file })
    }

    fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.host.command(&self.binary);
        command.arg("dht").args(args).args(["--node", &self.entry.to_string()]);
        command.args(["--listen", &self.host.at(0).to_string()]);
        command
    }

    /// What it prints; an error when it fails.
    fn ask<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        run(&mut self.command(args), LIMIT)
    }

    /// What it prints; `None` when it finds nothing.
    fn look<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Option<String>> {
        let (is_found, found, errors) = run_any(&mut self.command(args), LIMIT)?;
        if !is_found && !errors.contains("nothing found") && !errors.trim().is_empty() {
            bail!("unchoke dht failed: {}", errors.trim());
        }
        Ok(is_found.then_some(found))
    }
}

impl Finder for CommandLine {
    fn ip(&self) -> IpAddr {
        self.host.ip.into()
    }

    fn announce(&mut self, hash: &str, port: u16) -> Result<()> {
        self.ask(["announce", hash, "--port", &port.to_string(), "--quiet"]).map(|_| ())
    }

    fn peers(&mut self, hash: &str) -> Result<BTreeSet<SocketAddr>> {
        let found = self.look(["get-peers", hash, "--quiet"])?.unwrap_or_default();
        found.lines().map(|peer| peer.parse().with_context(|| format!("read {peer:?}"))).collect()
    }
}

impl Keeper for CommandLine {
    fn put(&mut self, text: &str) -> Result<String> {
        let told = self.ask(["put", text, "--quiet"])?;
        let target = told.lines().find_map(|line| line.strip_prefix("target"));
        Ok(target.with_context(|| format!("put told {told:?}"))?.trim().to_owned())
    }

    fn get(&mut self, target: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.look(["get", target, "--raw", "--quiet"])?.map(String::into_bytes))
    }

    fn put_mutable(&mut self, item: &Signed) -> Result<()> {
        let seq = item.seq.to_string();
        let key_file = self.key_file.to_str().context("a temporary path is UTF-8")?;
        let salt = if item.salt.is_empty() { &[][..] } else { &["--salt", item.salt] };
        let args = ["put", item.text, "--quiet", "--key", key_file, "--seq", &seq];
        self.ask(args.into_iter().chain(salt.iter().copied())).map(|_| ())
    }

    fn get_mutable(&mut self, salt: &str) -> Result<Option<(i64, Vec<u8>)>> {
        let salt = if salt.is_empty() { &[][..] } else { &["--salt", salt] };
        let args = ["get", "--key", KEY, "--json"].into_iter().chain(salt.iter().copied());
        let Some(told) = self.look(args)? else { return Ok(None) };
        let mut events = told.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let item = events.find(|event| event["event"] == "item").context("it told no item")?;
        let value = unhex(item["bencoded"].as_str().context("no value")?)?;
        Ok(Some((item["seq"].as_i64().context("no number")?, string_in(&value)?)))
    }
}

/// Its own limit is half a minute.
const LIMIT: Duration = Duration::from_secs(40);
