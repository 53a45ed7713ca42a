//! A daemon under attack: the shipped binary with its API, and what it costs.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::ports::free_port;
use crate::proc::{Process, wait_until};

/// A running `unchoke daemon`, reached over its socket.
pub(crate) struct Daemon {
    process: Process,
    /// Where it listens for peers.
    pub(crate) addr: SocketAddr,
    /// Where data lands.
    pub(crate) downloads: PathBuf,
    state: PathBuf,
    token: String,
}

impl Daemon {
    /// Starts one whose folders are below `dir`, without any search for peers. `descriptors` bounds what it may open.
    pub(crate) fn start(
        binary: &Path,
        dir: &Path,
        options: &[&str],
        descriptors: Option<u32>,
    ) -> Result<Self> {
        let downloads = dir.join("downloads");
        fs::create_dir_all(&downloads)?;
        let command = match descriptors {
            None => Command::new(binary),
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]).arg(binary);
                shell
            }
        };
        Self::start_by(command, dir, downloads, options)
    }

    /// Starts `command`, which becomes the binary, with the state below `dir`.
    pub(crate) fn start_by(
        mut command: Command,
        dir: &Path,
        downloads: PathBuf,
        options: &[&str],
    ) -> Result<Self> {
        let state = dir.join("state");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        command.arg("daemon").arg("--state").arg(&state).arg("--download-dir").arg(&downloads);
        command.args(["--listen", &addr.to_string(), "--no-dht", "--no-lsd"]).args(options);
        let mut process = Process::start(command, &dir.join("log"))?;
        process.wait_for_output("listening on ", Duration::from_secs(30))?;
        let token = fs::read_to_string(state.join("token"))?.trim().to_owned();
        Ok(Self { process, addr, downloads, state, token })
    }

    /// Adds a torrent by the bytes of its file; it dials `peers`.
    pub(crate) fn add(&self, torrent: &[u8], peers: &[SocketAddr]) -> Result<()> {
        let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let path = format!("/api/v1/torrents?peers={}", peers.join("%2C").replace(':', "%3A"));
        let path = if peers.is_empty() { "/api/v1/torrents" } else { &path };
        self.ask("POST", path, "application/x-bittorrent", torrent).map(|_| ())
    }

    /// Adds a magnet link; it dials `peer`.
    pub(crate) fn add_magnet(&self, magnet: &str, peer: Option<SocketAddr>) -> Result<()> {
        let add = serde_json::json!({ "source": magnet, "peers": peer.map(|p| p.to_string()) });
        self.ask("POST", "/api/v1/torrents", "application/json", add.to_string().as_bytes()).map(|_| ())
    }

    /// All torrents as they are listed.
    pub(crate) fn torrents(&self) -> Result<Vec<Value>> {
        let list = self.ask("GET", "/api/v1/torrents", "", &[])?;
        Ok(list["torrents"].as_array().cloned().unwrap_or_default())
    }

    /// Removes a torrent with its data.
    pub(crate) fn remove(&self, hash: &str) -> Result<()> {
        let path = format!("/api/v1/torrents/{hash}?delete_data=true");
        self.ask("DELETE", &path, "", &[]).map(|_| ())
    }

    /// One torrent with its peers.
    pub(crate) fn torrent(&self, hash: &str) -> Result<Value> {
        self.ask("GET", &format!("/api/v1/torrents/{hash}"), "", &[])
    }

    /// Block bytes in and out, of all torrents over their lives.
    pub(crate) fn moved(&self) -> Result<(u64, u64)> {
        let sum = |all: &[Value], key: &str| all.iter().filter_map(|t| t[key].as_u64()).sum();
        let all = self.torrents()?;
        Ok((sum(&all, "downloaded"), sum(&all, "uploaded")))
    }

    /// Waits until so many torrents seed.
    pub(crate) fn wait_for_seeding(&self, count: usize, limit: Duration) -> Result<()> {
        wait_until(&format!("{count} torrents seeding"), limit, || {
            let all = self.torrents()?;
            let failed = all.iter().find(|t| t["state"] == "error");
            ensure!(failed.is_none(), "a torrent failed: {failed:?}");
            Ok(all.iter().filter(|t| t["state"] == "seeding").count() >= count)
        })
    }

    /// Its memory budget in bytes: the most, and what is held.
    pub(crate) fn budget(&self) -> Result<(u64, u64)> {
        let budget = self.ask("GET", "/api/v1/budget", "", &[])?;
        budget["cap"].as_u64().zip(budget["used"].as_u64()).context("the budget has no figures")
    }

    /// Bytes of memory that are resident.
    pub(crate) fn resident(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.pid()))?;
        resident_kib(&text).map(|kib| kib << 10).context("smaps_rollup has no Rss")
    }

    /// The most bytes that ever were resident.
    pub(crate) fn most_resident(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib << 10)
    }

    /// Descriptors that are open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.process.pid()))?.count())
    }

    /// CPU seconds so far.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        Ok(crate::usage::Usage::of(self.process.pid())?.cpu_s)
    }

    /// An error if it has ended.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        self.process.expect_running()
    }

    /// Ends it in order.
    pub(crate) fn stop(self) -> Result<()> {
        self.process.stop(Duration::from_secs(20))
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Value> {
        let mut socket = UnixStream::connect(self.state.join("api.sock")).context("reach the API")?;
        socket.set_read_timeout(Some(API_TIMEOUT))?;
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{kind}\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.token,
            body.len()
        );
        socket.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).with_context(|| format!("wait for {method} {path}"))?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").context("the API gave no whole answer")?;
        if head.split_whitespace().nth(1) != Some("200") {
            bail!("{method} {path}: {body}");
        }
        serde_json::from_str(body).with_context(|| format!("{method} {path} answered {body:?}"))
    }
}

fn resident_kib(smaps: &str) -> Option<u64> {
    let line = smaps.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

const API_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_one_line_of_the_rollup() {
        let text = "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:               10240 kB\nPss: 9 kB\n";
        assert_eq!(resident_kib(text), Some(10_240));
        assert_eq!(resident_kib("Pss: 9 kB\n"), None);
    }
}
