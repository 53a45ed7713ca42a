//! Requests to a daemon, one connection each.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::body::Body;
pub(super) use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::api::model::{Failure, Whereabouts};
use crate::api::{ApiAddr, Token};
use crate::args::RemoteArgs;
use crate::daemon::{NOTE, TOKEN};
use crate::errors::{about, reason, without_number};
use crate::state;

/// The way to a daemon.
#[derive(Debug)]
pub(crate) struct Client {
    addr: ApiAddr,
    token: Token,
    /// The longest wait for an answer.
    timeout: Duration,
}

/// What a request carries.
pub(super) struct Content<'b> {
    pub(super) kind: &'static str,
    pub(super) bytes: &'b [u8],
}

/// The way to the daemon that the arguments name: that of the state folder, or another one.
///
/// # Errors
/// One line: there is none, or its token cannot be read.
pub(crate) fn connect(args: &RemoteArgs) -> Result<Client> {
    let dir = state::daemon_dir(args.state.as_deref())?;
    let addr = match &args.api {
        Some(addr) => addr.clone(),
        None => noted(&dir)?,
    };
    let path = args.token_file.clone().unwrap_or_else(|| dir.join(TOKEN));
    Ok(Client { addr, token: Token::read(&path)?, timeout: REPLY_TIMEOUT })
}

/// Where the daemon of the state folder said it is.
fn noted(dir: &Path) -> Result<ApiAddr> {
    let path: PathBuf = dir.join(NOTE);
    let text = match std::fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            bail!("no daemon in {}: start one with `unchoke daemon`, or name it with --api", dir.display())
        }
        text => text.map_err(|e| about("read", &path, &e))?,
    };
    let note: Option<Whereabouts> = serde_json::from_str(&text).ok();
    let addr = note.and_then(|n| n.api.parse().ok());
    addr.with_context(|| format!("{} does not say where the daemon is; restart it", path.display()))
}

impl Client {
    /// One that waits for what takes very long.
    pub(super) fn patient(self) -> Self {
        Client { timeout: Duration::from_secs(30 * 86_400), ..self }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// What the daemon says against it, or that there is none.
    pub(super) fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content: Option<Content<'_>>,
    ) -> Result<T> {
        let (status, bytes) = self.exchange(method, path, content)?;
        if status != StatusCode::OK {
            let failure: Option<Failure> = serde_json::from_slice(&bytes).ok();
            let why =
                failure.map(|f| f.error).unwrap_or_else(|| format!("the daemon answered with {status}"));
            bail!("{why}{}", if status == StatusCode::UNAUTHORIZED { "; name its --token-file" } else { "" });
        }
        serde_json::from_slice(&bytes).with_context(|| format!("{} is no daemon of this version", self.addr))
    }

    /// Waits until nobody answers any more.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) fn wait_gone(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < GONE_TIMEOUT {
            let is_there = match &self.addr {
                ApiAddr::Unix(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
                ApiAddr::Tcp(addr) => std::net::TcpStream::connect(addr).is_ok(),
            };
            if !is_there {
                return Ok(());
            }
            std::thread::sleep(GONE_PAUSE);
        }
        bail!("the daemon at {} is still there after {} s", self.addr, GONE_TIMEOUT.as_secs())
    }

    fn exchange(
        &self,
        method: Method,
        path: &str,
        content: Option<Content<'_>>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let host = match &self.addr {
            ApiAddr::Unix(_) => "localhost".to_owned(),
            ApiAddr::Tcp(addr) => addr.to_string(),
        };
        let request = Request::builder().method(method).uri(path);
        let request = request.header(HOST, host).header(AUTHORIZATION, self.token.bearer());
        let request = match content {
            Some(Content { kind, bytes }) => {
                request.header(CONTENT_TYPE, kind).body(Body::from(bytes.to_vec()))
            }
            None => request.body(Body::empty()),
        };
        let request = request.context("cannot make a request")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot make a request")?;
        runtime.block_on(async {
            match tokio::time::timeout(self.timeout, self.ask(request)).await {
                Ok(reply) => reply,
                Err(_) => bail!("no answer from {} within {} s", self.addr, self.timeout.as_secs()),
            }
        })
    }

    async fn ask(&self, request: Request<Body>) -> Result<(StatusCode, Vec<u8>)> {
        match &self.addr {
            ApiAddr::Unix(path) => {
                self.over(UnixStream::connect(path).await.map_err(|e| self.nobody(&e))?, request).await
            }
            ApiAddr::Tcp(addr) => {
                self.over(TcpStream::connect(addr).await.map_err(|e| self.nobody(&e))?, request).await
            }
        }
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Body>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let failed = |e: &dyn std::fmt::Display| {
            anyhow::anyhow!("no answer from {}: {}", self.addr, without_number(&e.to_string()))
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        tokio::spawn(connection);
        let reply = sender.send_request(request).await.map_err(|e| failed(&e))?;
        let status = reply.status();
        let body = axum::body::to_bytes(Body::new(reply.into_body()), REPLY_LEN_MAX).await;
        Ok((status, body.map_err(|e| failed(&e))?.to_vec()))
    }

    fn nobody(&self, error: &io::Error) -> anyhow::Error {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                anyhow::anyhow!("no daemon at {}: start one with `unchoke daemon`", self.addr)
            }
            _ => anyhow::anyhow!("cannot reach the daemon at {}: {}", self.addr, reason(error)),
        }
    }
}

/// The longest wait for an answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(90);
/// The longest answer: a list of some 500,000 torrents.
const REPLY_LEN_MAX: usize = 256 << 20;
/// How long a daemon may take to end.
const GONE_TIMEOUT: Duration = Duration::from_secs(60);
const GONE_PAUSE: Duration = Duration::from_millis(50);
