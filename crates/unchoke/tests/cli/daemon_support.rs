//! A daemon of a place, and raw requests to its API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Ended, Place, interrupt};

/// A running daemon with its state in the folder `state` and its data in `data`; it is killed when dropped.
pub struct Daemon<'p> {
    place: &'p Place,
    child: Child,
    /// What it said when it was ready.
    pub ready: String,
}

/// An answer: its status, its head in lower case, its body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

pub const OPTIONS: [&str; 8] =
    ["--state", "state", "--download-dir", "data", "--listen", "127.0.0.1:0", "--no-dht", "--no-lsd"];

impl<'p> Daemon<'p> {
    pub fn start(place: &'p Place) -> Self {
        Self::start_with(place, &[])
    }

    pub fn start_with(place: &'p Place, more: &[&str]) -> Self {
        std::fs::create_dir_all(place.path("data")).unwrap();
        let mut command = place.command(&[&["daemon"], &OPTIONS[..], more].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let ready = BufReader::new(child.stdout.take().unwrap()).lines().next();
        let ready = ready.expect("it gets ready before it ends").unwrap();
        Daemon { place, child, ready }
    }

    /// Runs a client of it that must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        self.place.ok(&[args, &["--state", "state"]].concat())
    }

    /// Runs a client of it.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.place.run(&[args, &["--state", "state"]].concat())
    }

    /// What `ls --json` prints, by name.
    pub fn list(&self) -> Vec<Value> {
        let out = self.ok(&["ls", "--json"]);
        let mut list: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        list.sort_by_key(|t| t["name"].as_str().unwrap_or_default().to_owned());
        list
    }

    /// The names of all torrents, in order.
    pub fn names(&self) -> Vec<String> {
        self.list().iter().map(|t| t["name"].as_str().unwrap_or("?").to_owned()).collect()
    }

    /// Waits until a torrent is in this state.
    pub fn wait_state(&self, name: &str, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let found = self.list().into_iter().find(|t| t["name"] == name && t["state"] == state);
            if let Some(found) = found {
                return found;
            }
        }
        panic!("{name} is not {state}: {:?}", self.list());
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.place.path("state/token")).unwrap().trim().to_owned()
    }

    pub fn socket(&self) -> PathBuf {
        self.place.path("state/api.sock")
    }

    /// A request with the token.
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let token = format!("Authorization: Bearer {}", self.token());
        self.raw(method, path, &[&["Host: localhost", &token], headers].concat(), body)
    }

    /// A request with these headers alone.
    pub fn raw(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        exchange(UnixStream::connect(self.socket()).unwrap(), method, path, headers, body)
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end as Ctrl-C does, and gives its exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        interrupt(&self.child);
        self.child.wait().unwrap().code()
    }

    /// Waits until it ends by itself, and gives its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// One request on a connection of its own.
pub fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let len = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // who refuses a body may hang up before it has all of it
    let _ = stream.write_all(body);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    let reply = String::from_utf8(reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {reply:?}"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: serde_json::from_str(body).unwrap_or_default(),
    }
}

/// The port of an API on TCP.
pub fn tcp(ready: &str) -> (TcpStream, String) {
    let addr = ready.rsplit_once("http://").unwrap().1.to_owned();
    (TcpStream::connect(&addr).unwrap(), addr)
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
