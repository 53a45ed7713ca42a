//! Requests to a daemon's API, as plainly as they can be made: what is not answered before a kill must show.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The way to a daemon.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) socket: PathBuf,
    pub(super) token: String,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Request {
    /// One with a JSON body.
    pub(super) fn json(method: &'static str, path: String, body: &Value) -> Self {
        Request { method, path, kind: "application/json", body: body.to_string().into_bytes() }
    }

    /// One without a body.
    pub(super) fn plain(method: &'static str, path: String) -> Self {
        Request { method, path, kind: "", body: Vec::new() }
    }
}

impl Api {
    /// Sends it and waits for the whole answer.
    pub(super) fn ask(&self, request: &Request) -> Result<Answer> {
        let Request { method, path, kind, body } = request;
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let content = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{content}\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.token,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        let reply = String::from_utf8(reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").context("no whole answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Answer { status, body: serde_json::from_str(body).context("no whole body")? })
    }

    /// Asks for what must be there.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        self.expect(&Request::plain("GET", path.to_owned()))
    }

    /// Asks for what must succeed.
    pub(super) fn expect(&self, request: &Request) -> Result<Value> {
        let answer = self.ask(request).with_context(|| format!("{} {}", request.method, request.path))?;
        ensure!(
            answer.status == 200,
            "{} {}: {} {}",
            request.method,
            request.path,
            answer.status,
            answer.body
        );
        Ok(answer.body)
    }
}
