//! The server: one thread that takes connections and answers requests.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::ApiAddr;
use super::socket::{self, SocketFile};
use crate::errors::reason;

/// A server that runs. Dropping it ends it, too.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A socket that is listened on.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Where it is, with its real port.
    pub(crate) addr: ApiAddr,
    listener: Listener,
}

#[derive(Debug)]
enum Listener {
    Unix(std::os::unix::net::UnixListener, SocketFile),
    Tcp(std::net::TcpListener),
}

/// Listens at `addr`; nobody is answered yet.
///
/// # Errors
/// One line: the port or socket is in use, or what the system says.
pub(crate) fn bind(addr: &ApiAddr) -> Result<Bound> {
    match addr {
        ApiAddr::Unix(path) => {
            let (listener, file) = socket::listen(path)?;
            Ok(Bound { addr: addr.clone(), listener: Listener::Unix(listener, file) })
        }
        ApiAddr::Tcp(at) => {
            let bound = std::net::TcpListener::bind(at).and_then(|l| {
                l.set_nonblocking(true)?;
                Ok((l.local_addr()?, l))
            });
            let (real, listener) =
                bound.map_err(|e| anyhow::anyhow!("cannot listen on {at}: {}", reason(&e)))?;
            Ok(Bound { addr: ApiAddr::Tcp(real), listener: Listener::Tcp(listener) })
        }
    }
}

impl Server {
    /// Answers requests on a thread of its own.
    ///
    /// # Errors
    /// When the system has no thread or poll.
    pub(crate) fn start(bound: Bound, router: Router) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(REQUESTS_AT_ONCE_MAX)
            .build()
            .context("cannot start the API")?;
        let accept = {
            let _inside = runtime.enter();
            bound.listener.watched().context("cannot start the API")?
        };
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(serve(accept, router, stopped));
            runtime.shutdown_timeout(END_TIMEOUT);
        };
        let thread = std::thread::Builder::new().name("api".to_owned()).spawn(run);
        let thread = thread.context("cannot start the API")?;
        Ok(Server { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have ended by a panic of its own
        let _ = self.stop.take().map(|stop| stop.send(()));
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the API panicked");
        }
    }
}

impl Listener {
    /// The same, watched by the runtime this is called in.
    fn watched(self) -> io::Result<Accept> {
        Ok(match self {
            Listener::Unix(listener, file) => {
                Accept::Unix { listener: UnixListener::from_std(listener)?, _file: file }
            }
            Listener::Tcp(listener) => Accept::Tcp(TcpListener::from_std(listener)?),
        })
    }
}

/// Where connections come from.
enum Accept {
    Unix {
        listener: UnixListener,
        /// Goes with the listener.
        _file: SocketFile,
    },
    Tcp(TcpListener),
}

impl Accept {
    async fn next(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Accept::Unix { listener, .. } => Box::new(listener.accept().await?.0),
            Accept::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Takes connections until it is stopped; requests under way are answered.
async fn serve(accept: Accept, router: Router, mut stopped: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let permit = Arc::clone(&free).acquire_owned().await.expect("it is never closed");
            (permit, accept.next().await)
        };
        tokio::select! {
            // who is gone without a word wants an end, too
            _ = &mut stopped => break,
            (permit, next) = next => match next {
                Ok(stream) => answer(stream, permit, &router, graceful.watcher()),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(accept);
    // who has not got its answer by then gets none
    let _ = tokio::time::timeout(END_TIMEOUT, graceful.shutdown()).await;
}

/// Answers all requests of a connection.
fn answer(stream: Box<dyn Stream>, permit: OwnedSemaphorePermit, router: &Router, graceful: Watcher) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_LEN_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // a client that goes away or speaks something else is no failure of ours
        let _ = connection.await;
        drop(permit);
    });
}

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// Requests that may wait for the disk at once.
const REQUESTS_AT_ONCE_MAX: usize = 64;
/// The longest head of a request, in bytes.
const HEADER_LEN_MAX: usize = 16 << 10;
/// How long the head of a request, or the wait for one, may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take when it ends.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// After a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
