//! Trackers and the DHT of the discovery cases: opentracker, a static HTTP tracker, libtorrent DHT nodes.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clients::first_missing;
use crate::clients::libtorrent::Libtorrent;
use crate::netns::Host;
use crate::proc::{Process, find_program, run, wait_until};

/// Debian's opentracker, HTTP and UDP on one port, for one torrent.
pub(crate) struct Opentracker {
    _process: Process,
    host: Host,
    at: SocketAddr,
    info_hash: String,
}

impl Opentracker {
    /// Why it cannot be used here, if so.
    pub(crate) fn missing() -> Option<String> {
        first_missing(&["opentracker", "curl"])
    }

    /// Starts it on `host`. Debian's build serves only white-listed hashes, and it drops to `nobody` in `dir`.
    pub(crate) fn start(host: &Host, port: u16, info_hash: &str, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        fs::write(dir.join("whitelist"), format!("{info_hash}\n"))?;
        fs::set_permissions(dir.join("whitelist"), fs::Permissions::from_mode(0o644))?;
        let at = host.at(port);
        let mut command = host.command(find_program("opentracker").context("opentracker is not installed")?);
        command.arg("-i").arg(host.ip.to_string()).args(["-p", &port.to_string(), "-P", &port.to_string()]);
        command.arg("-d").arg(dir).args(["-u", "nobody", "-w", "whitelist"]);
        let mut process = Process::start(command, &dir.join("log"))?;
        wait_until("an answer of opentracker", Duration::from_secs(10), || {
            process.expect_running()?;
            Ok(scrape(host, at, info_hash).is_ok())
        })?;
        Ok(Self { _process: process, host: host.clone(), at, info_hash: info_hash.into() })
    }

    /// Waits until it knows a seed.
    pub(crate) fn wait_for_seed(&self) -> Result<()> {
        wait_until("a seed in the tracker", Duration::from_secs(60), || {
            Ok(scrape(&self.host, self.at, &self.info_hash).is_ok_and(|answer| complete_count(&answer) > 0))
        })
    }
}

/// What opentracker says about one info-hash.
fn scrape(host: &Host, at: SocketAddr, info_hash: &str) -> Result<String> {
    let url = format!("http://{at}/scrape?info_hash={}", percent_encoded(info_hash)?);
    let mut command = host.command("curl");
    command.args(["-sS", "-f", "--max-time", "3", &url]);
    run(&mut command, Duration::from_secs(5))
}

/// `complete` of the one torrent in a scrape answer; 0 when it is not there.
fn complete_count(answer: &str) -> u64 {
    let Some((_, rest)) = answer.split_once("8:completei") else { return 0 };
    rest.split('e').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A hex info-hash as the percent-encoded bytes of a query.
fn percent_encoded(info_hash: &str) -> Result<String> {
    if info_hash.len() != 40 || !info_hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{info_hash:?} is no info-hash");
    }
    Ok(info_hash
        .as_bytes()
        .chunks(2)
        .map(|pair| format!("%{}{}", char::from(pair[0]), char::from(pair[1])))
        .collect())
}

/// The DHT of a case: one node or more, known to every peer from the start.
pub(crate) struct Dht {
    process: Process,
    /// Where the nodes answer.
    pub(crate) nodes: Vec<SocketAddr>,
}

impl Dht {
    /// Starts its nodes on `host`, all in one process.
    pub(crate) fn start(
        libtorrent: &Libtorrent,
        host: &Host,
        nodes: Vec<SocketAddr>,
        dir: &Path,
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut command = libtorrent.script(host);
        command.arg("node").args(nodes.iter().map(ToString::to_string));
        let mut process = Process::start(command, &dir.join("log"))?;
        process.wait_for_output("READY", Duration::from_secs(20))?;
        Ok(Self { process, nodes })
    }

    /// Waits until a peer has been announced to one of them.
    pub(crate) fn wait_for_announce(&self) -> Result<()> {
        wait_until("an announce in the DHT", Duration::from_secs(90), || {
            Ok(self.process.output()?.contains("ANNOUNCE"))
        })
    }
}

/// An HTTP tracker on loopback that answers every announce with one fixed peer, for clients without an add-peer call.
pub(crate) struct StaticTracker {
    at: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StaticTracker {
    /// Serves `peer` until dropped.
    pub(crate) fn start(peer: SocketAddrV4) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let at = listener.local_addr()?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let answer = announce_answer(peer);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // A client that hangs up loses only its own answer.
                let _ = serve(stream, &answer);
            }
        });
        Ok(Self { at, stopping, thread: Some(thread) })
    }

    /// The announce URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/announce", self.at)
    }
}

impl Drop for StaticTracker {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Wakes the accept call; if it fails the thread is already gone.
        let _ = TcpStream::connect(self.at);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, answer: &[u8]) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    let mut buffer = [0; 2048];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < 16_384 {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        request.extend_from_slice(&buffer[..count]);
    }
    stream.write_all(answer)?;
    Ok(())
}

/// A whole HTTP response with `peer` in compact form.
fn announce_answer(peer: SocketAddrV4) -> Vec<u8> {
    let mut body = b"d8:intervali5e12:min intervali5e5:peers6:".to_vec();
    body.extend_from_slice(&peer.ip().octets());
    body.extend_from_slice(&peer.port().to_be_bytes());
    body.push(b'e');
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announce_is_answered_with_the_one_peer() {
        let tracker = StaticTracker::start(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 1), 0x1ae1)).unwrap();
        let mut stream = TcpStream::connect(tracker.at).unwrap();
        stream.write_all(b"GET /announce?x=1 HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(answer.ends_with(b"5:peers6:\x7f\x00\x00\x01\x1a\xe1e"));
    }

    #[test]
    fn an_info_hash_is_percent_encoded_byte_by_byte() {
        let encoded = percent_encoded("00112233445566778899aabbccddeeff00112233").unwrap();
        assert_eq!(encoded, "%00%11%22%33%44%55%66%77%88%99%aa%bb%cc%dd%ee%ff%00%11%22%33");
        assert!(percent_encoded("0011").is_err());
    }

    #[test]
    fn the_seed_count_is_read_from_a_scrape() {
        assert_eq!(complete_count("d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei2e10:downloadedi0eeee"), 2);
        assert_eq!(complete_count("d5:filesdee"), 0);
    }
}
