//! Two namespaces, the line between them, and what runs in them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::fixtures::{Payload, Rng, allocated_bytes};
use crate::lab::Lab;
use crate::link::{Line, Shape};
use crate::netns::Namespaces;
use crate::proc::{Process, command_with, run_any, wait_until};

/// Of what family the addresses are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// The whole.
pub(super) struct Net<'a> {
    lab: &'a Lab,
    dir: PathBuf,
    family: Family,
    namespaces: Namespaces,
    line: Line,
    payload: Payload,
    torrent: PathBuf,
    hosts: [Hosts; 2],
}

/// A seeder that runs.
pub(super) struct Seed {
    _process: Process,
    pub(super) at: SocketAddr,
}

/// The folder of a namespace's own hosts file; gone when dropped.
struct Hosts(PathBuf);

impl Hosts {
    /// Gives the tracker's name these addresses in a namespace.
    fn new(namespace: &str, addresses: &[&str]) -> Result<Self> {
        let hosts = Self(Path::new("/etc/netns").join(namespace));
        fs::create_dir_all(&hosts.0)?;
        hosts.write(addresses)?;
        Ok(hosts)
    }

    fn write(&self, addresses: &[&str]) -> Result<()> {
        let lines: String = addresses.iter().map(|address| format!("{address} tracker.test\n")).collect();
        Ok(fs::write(self.0.join("hosts"), lines)?)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl<'a> Net<'a> {
    /// A line of 40 Mbit/s and 10 ms, and a payload of so many MiB at its first end.
    pub(super) fn new(lab: &'a Lab, dir: &Path, tag: &str, mib: u64, family: Family) -> Result<Self> {
        let namespaces = Namespaces::apart(tag)?;
        for (name, _) in namespaces.ends() {
            // a hole for large packets is found only by those who look for it
            let set = "echo 1 > /proc/sys/net/ipv4/tcp_mtu_probing";
            let mut command = command_with("ip", ["netns", "exec", name, "sh", "-c", set]);
            crate::proc::run(&mut command, Duration::from_secs(10))?;
        }
        let addresses = match family {
            Family::V4 => ["10.77.0.1/24", "10.77.0.2/24"],
            Family::V6 => ["fd77::1/64", "fd77::2/64"],
        };
        let shape = Shape { delay_ms: 10, rate_mbit: 40, is_whole: false };
        let line = Line::lay(lab, dir, &namespaces, addresses, &shape)?;
        let parent = dir.join("payload");
        fs::create_dir_all(&parent)?;
        let payload =
            Payload { label: "net", name: "data.bin", parent, piece_length: 64 << 10, size: mib << 20 };
        fs::write(payload.path(), Rng::new(mib).bytes(usize::try_from(payload.size)?))?;
        let [(a, _), (b, _)] = namespaces.ends();
        let tracker_ip = [end_of(family, 0)];
        let hosts = [Hosts::new(a, &tracker_ip)?, Hosts::new(b, &tracker_ip)?];
        let net = Self {
            lab,
            hosts,
            dir: dir.to_owned(),
            family,
            namespaces,
            line,
            torrent: dir.join("case.torrent"),
            payload,
        };
        let tracker = format!("http://tracker.test:{TRACKER_PORT}/announce");
        net.lab.unchoke.create(&net.payload, &net.torrent, &["--tracker", &tracker])?;
        Ok(net)
    }

    /// The names of the namespaces.
    pub(super) fn names(&self) -> [&str; 2] {
        self.namespaces.ends().map(|(name, _)| name)
    }

    /// Changes the line.
    pub(super) fn say(&mut self, command: &str) -> Result<()> {
        self.line.say(command)
    }

    fn unchoke(&self, end: usize, words: &[&str]) -> Command {
        let mut command = command_with("ip", ["netns", "exec", self.names()[end]]);
        command.arg(&self.lab.unchoke.binary).args(words);
        let any = if self.family == Family::V4 { "0.0.0.0" } else { "[::]" };
        command.args(["--listen", &format!("{any}:{PORT}"), "--no-dht", "--no-lsd", "--no-port-map"]);
        command.env("UNCHOKE_STATE", self.dir.join(format!("state-{end}")));
        command
    }

    fn log(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir.join("log"))
    }

    /// Starts the seeder.
    pub(super) fn seed(&self) -> Result<Seed> {
        let mut command = self.unchoke(0, &["seed"]);
        command.arg(&self.torrent).arg("--dir").arg(&self.payload.parent);
        let mut process = Process::start(command, &self.log("seeder")?)?;
        process.wait_for_output("seeding ", Duration::from_secs(30)).context("start the seeder")?;
        let at = SocketAddr::new(end_of(self.family, 0).parse()?, PORT);
        Ok(Seed { _process: process, at })
    }

    /// Starts a downloader that is told of a peer.
    pub(super) fn get(&self, peer: SocketAddr) -> Result<Process> {
        self.start_get(&["--peer", &peer.to_string()])
    }

    /// Starts a downloader that has to ask the tracker.
    pub(super) fn get_untold(&self) -> Result<Process> {
        self.start_get(&[])
    }

    fn start_get(&self, options: &[&str]) -> Result<Process> {
        fs::create_dir_all(self.dir.join("copy"))?;
        let mut command = self.unchoke(1, &["get", "--json"]);
        command.args(options).arg(&self.torrent).arg("--dir").arg(self.dir.join("copy"));
        Process::start(command, &self.log("leecher")?)
    }

    /// Starts the tracker at the first end.
    pub(super) fn track(&self, min_interval_s: u32) -> Result<Process> {
        let script = self.lab.script("tracker.py", include_str!("tracker.py"))?;
        let mut command = command_with("ip", ["netns", "exec", self.names()[0], "python3"]);
        command.arg(script).args([TRACKER_PORT.to_string(), min_interval_s.to_string()]);
        let mut process = Process::start(command, &self.log("tracker")?)?;
        process.wait_for_output("ready", Duration::from_secs(10)).context("start the tracker")?;
        Ok(process)
    }

    /// Gives the tracker's name other addresses at the second end, in this order.
    pub(super) fn rename_tracker(&mut self, addresses: &[&str]) -> Result<()> {
        self.hosts[1].write(addresses)
    }

    /// Whether the downloader takes connections at this address of its own.
    pub(super) fn is_listening(&self, address: &str) -> Result<bool> {
        let script = format!("import socket; socket.create_connection(({address:?}, {PORT}), 1)");
        let mut command = command_with("ip", ["netns", "exec", self.names()[1], "python3", "-c", &script]);
        Ok(run_any(&mut command, Duration::from_secs(10))?.0)
    }

    fn copied(&self) -> u64 {
        allocated_bytes(&self.dir.join("copy"))
    }

    /// Waits until so much of the payload is there.
    pub(super) fn wait_for_share(&self, share: f64) -> Result<()> {
        let bytes = self.payload.size as f64 * share;
        wait_until("a part of the download", TRANSFER_LIMIT, || Ok(self.copied() as f64 >= bytes))
    }

    /// More of the payload than now is there within so long.
    pub(super) fn goes_on_within(&self, limit: Duration) -> Result<()> {
        let before = self.copied();
        ensure!(before < self.payload.size, "the download was complete before the fault was over");
        wait_until("the download to go on", limit, || Ok(self.copied() > before))
    }

    /// Waits for the end of the download; the copy is whole and no piece was bad.
    pub(super) fn complete(&self, mut get: Process) -> Result<()> {
        wait_until("the complete download", TRANSFER_LIMIT, || get.has_finished_well())?;
        self.payload.check_copy(&self.dir.join("copy"), false)?;
        if get.output()?.contains("\"piece_failed\"") {
            bail!("a piece was bad");
        }
        Ok(())
    }
}

fn end_of(family: Family, end: usize) -> &'static str {
    match (family, end) {
        (Family::V4, 0) => "10.77.0.1",
        (Family::V4, _) => "10.77.0.2",
        (Family::V6, 0) => "fd77::1",
        (Family::V6, _) => "fd77::2",
    }
}

/// Every client listens here; each has a namespace of its own.
const PORT: u16 = 6881;
const TRACKER_PORT: u16 = 6969;
/// For a transfer with nothing in its way.
const TRANSFER_LIMIT: Duration = Duration::from_secs(120);
