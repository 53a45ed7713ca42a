//! Where a daemon lives: its folders, the torrents it may be asked for, a seed that has them, and a tracker that names it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use unchoke_wire::Metainfo;

use super::api::Api;
use crate::fixtures::Rng;
use crate::proc::{Process, command_with, run};

/// A daemon's place.
pub(super) struct Place {
    binary: PathBuf,
    pub(super) root: PathBuf,
    pub(super) torrents: Vec<Torrent>,
    daemon: Option<Process>,
    /// Where it takes connections.
    pub(super) addr: Option<SocketAddr>,
    _seed: Process,
    /// Whether the folder `other` is a file system of its own.
    is_mounted: bool,
}

/// A torrent of the place.
pub(super) struct Torrent {
    pub(super) bytes: Vec<u8>,
    pub(super) metainfo: Metainfo,
    pub(super) hash: String,
}

/// Folders data may be in, below the download folder; the last may be on a disk of its own.
pub(super) const DIRS: [&str; 4] = ["", "a", "b/c", "other"];
/// Files of others, below each of them.
pub(super) const FOREIGN: &[u8] = b"of somebody else";
const TORRENTS: usize = 6;

impl Place {
    /// Makes everything below `root` and starts the daemon.
    pub(super) fn new(binary: &Path, root: &Path, rng: &mut Rng) -> Result<Self> {
        for dir in DIRS {
            fs::create_dir_all(root.join("data").join(dir))?;
        }
        let other = root.join("data/other");
        let mut mount = command_with("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs"]);
        let is_mounted = mount.arg(&other).output().is_ok_and(|out| out.status.success());
        let tracker = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/announce", tracker.local_addr()?);
        let mut torrents = Vec::new();
        let mut seed = Command::new(binary);
        seed.args(["seed", "--dir"]).arg(root.join("full"));
        for number in 0..TORRENTS {
            torrents.push(Torrent::make(binary, root, number, &url, rng)?);
            seed.arg(root.join(format!("t{number}.torrent")));
        }
        let port = crate::ports::free_port()?;
        seed.args(["--no-dht", "--no-lsd", "--no-port-map", "--limit-up", "6MiB", "--listen"]);
        seed.arg(format!("127.0.0.1:{port}")).env("UNCHOKE_STATE", root.join("seed-state"));
        serve(tracker, format!("127.0.0.1:{port}").parse()?);
        let mut seed = Process::start(seed, &root.join("seed.log"))?;
        seed.wait_for_output("seeding ", Duration::from_secs(30))?;
        for (dir, torrent) in DIRS.iter().flat_map(|dir| torrents.iter().map(move |t| (dir, t))) {
            let dir = root.join("data").join(dir).join(&torrent.metainfo.info.name);
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("foreign.txt"), FOREIGN)?;
        }
        let (binary, root) = (binary.to_owned(), root.to_owned());
        let mut place = Place { binary, root, torrents, daemon: None, addr: None, _seed: seed, is_mounted };
        place.start()?;
        Ok(place)
    }

    /// The way to its API.
    pub(super) fn api(&self) -> Api {
        let token = fs::read_to_string(self.root.join("state/token")).unwrap_or_default();
        Api { socket: self.root.join("state/api.sock"), token: token.trim().to_owned() }
    }

    /// Starts the daemon, without waiting for it.
    pub(super) fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.arg("daemon").arg("--state").arg(self.root.join("state"));
        command.arg("--download-dir").arg(self.root.join("data"));
        command.args(["--listen", "127.0.0.1:0", "--no-dht", "--no-lsd"]);
        self.daemon = Some(Process::start(command, &self.root.join("daemon.log"))?);
        Ok(())
    }

    /// Starts the daemon and waits until it is ready.
    pub(super) fn start(&mut self) -> Result<()> {
        self.spawn()?;
        let daemon = self.daemon.as_mut().context("it was just started")?;
        daemon.wait_for_output("listening on ", Duration::from_secs(30))?;
        let said = daemon.output()?;
        let addr = said.split("listening on ").nth(1).and_then(|rest| rest.split([',', ' ']).next());
        self.addr = Some(addr.context("it does not say where it listens")?.parse()?);
        Ok(())
    }

    /// Ends it as a crash does.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("it runs")?.kill()
    }

    /// Where a torrent's data is when it is in this folder.
    pub(super) fn data(&self, dir: &str) -> PathBuf {
        self.root.join("data").join(dir)
    }

    /// Gives the second file system back.
    pub(super) fn unmount(&mut self) {
        self.daemon = None;
        if self.is_mounted {
            // lazily: it goes when nobody uses it
            let _ = command_with("umount", ["-l"]).arg(self.root.join("data/other")).output();
            self.is_mounted = false;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.unmount();
    }
}

impl Torrent {
    /// A folder of files of several lengths.
    fn make(binary: &Path, root: &Path, number: usize, tracker: &str, rng: &mut Rng) -> Result<Self> {
        let dir = root.join(format!("full/t{number}"));
        fs::create_dir_all(dir.join("sub"))?;
        for file in ["one", "sub/two", "sub/three", "four"] {
            let len = 40_000 + rng.below(900_000);
            fs::write(dir.join(file), rng.bytes(len))?;
        }
        let path = root.join(format!("t{number}.torrent"));
        let mut create = Command::new(binary);
        create.arg("create").arg(&dir).arg("-o").arg(&path);
        run(create.args(["--piece-length", "32768", "--tracker", tracker]), Duration::from_secs(30))?;
        let bytes = fs::read(&path)?;
        let metainfo = Metainfo::parse(&bytes).map_err(|e| anyhow::anyhow!("a torrent of ours: {e}"))?;
        let Some(hash) = metainfo.info_hashes.best() else { bail!("a torrent of ours has no hash") };
        Ok(Torrent { hash: hash.wire().to_string(), bytes, metainfo })
    }
}

/// Answers every request with the one peer there is, until the program ends.
fn serve(tracker: TcpListener, peer: SocketAddrV4) {
    std::thread::spawn(move || {
        let mut body = b"d8:intervali60e5:peers6:".to_vec();
        body.extend(peer.ip().octets());
        body.extend(peer.port().to_be_bytes());
        body.push(b'e');
        for stream in tracker.incoming().flatten() {
            let mut stream = stream;
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // whoever asked may be dead by now
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
}
