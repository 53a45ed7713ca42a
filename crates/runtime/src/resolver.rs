//! The thread for what waits for servers: HTTP requests and names. Torrents' data never passes here.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, mpsc};
use unchoke_engine::id::RequestId;
use unchoke_engine::output::HttpRequest;

use crate::error::SessionError;
use crate::http::{Http, Reply, within};
use crate::http_pool::Names;

/// Requests that may wait to be taken up; later ones fail at once, and are tried again by whoever asked.
const WAITING_MAX: usize = 4096;
/// HTTP requests taken up at once, those counted that wait for their turn with a host.
pub(crate) const HTTP_MAX: usize = 256;
/// Names being resolved at once.
const NAMES_MAX: usize = 16;

/// What a name resolved to; empty on failure.
pub(crate) type Addresses = Result<Vec<IpAddr>, String>;

/// Somebody who waits for answers: a shard or the hub.
pub(crate) trait Asker: Send + 'static {
    /// Takes the answer to an HTTP request.
    fn http_done(&self, request: RequestId, reply: Reply);
    /// Takes the answer to a name.
    fn resolved(&self, request: RequestId, addresses: Addresses);
}

enum Job {
    Http(HttpRequest, Box<dyn Asker>),
    Resolve(RequestId, String, Box<dyn Asker>),
}

/// The way to the thread. It ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    jobs: mpsc::Sender<Job>,
}

impl Resolver {
    /// Starts the thread.
    pub(crate) fn start() -> Result<(Self, JoinHandle<()>), SessionError> {
        let failed = |source| SessionError::System { action: "start a thread for requests", source };
        let http = Http::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(NAMES_MAX)
            .build()
            .map_err(failed)?;
        let (jobs, inbox) = mpsc::channel(WAITING_MAX);
        let run = move || {
            runtime.block_on(serve(inbox, http));
            // names still being looked up have nobody left to tell
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("requests".to_owned()).spawn(run).map_err(failed)?;
        Ok((Resolver { jobs }, thread))
    }

    /// Does an HTTP GET and tells the asker.
    pub(crate) fn http(&self, request: HttpRequest, asker: Box<dyn Asker>) {
        self.put(Job::Http(request, asker));
    }

    /// Resolves a name and tells the asker.
    pub(crate) fn resolve(&self, request: RequestId, host: String, asker: Box<dyn Asker>) {
        self.put(Job::Resolve(request, host, asker));
    }

    fn put(&self, job: Job) {
        let job = match self.jobs.try_send(job) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) => job,
        };
        let busy = || "too many requests at once".to_owned();
        match job {
            Job::Http(request, asker) => asker.http_done(request.request, Err(busy())),
            Job::Resolve(request, _, asker) => asker.resolved(request, Err(busy())),
        }
    }
}

async fn serve(mut inbox: mpsc::Receiver<Job>, http: Http) {
    let requests = Arc::new(Semaphore::new(HTTP_MAX));
    let names = Arc::new(Semaphore::new(NAMES_MAX));
    while let Some(job) = inbox.recv().await {
        let (http, requests, names) = (http.clone(), Arc::clone(&requests), Arc::clone(&names));
        tokio::spawn(async move {
            match job {
                Job::Http(request, asker) => {
                    // waiting for a turn counts: whoever asked has given up by then
                    let reply = within(request.timeout, async {
                        let _turn = requests.acquire().await;
                        http.get(&request).await
                    });
                    let reply = reply.await;
                    asker.http_done(request.request, reply);
                }
                Job::Resolve(request, host, asker) => {
                    let addresses = match http.names().get(&host) {
                        Some(addresses) => Ok(addresses),
                        None => {
                            let _turn = names.acquire().await;
                            resolve(&host, http.names()).await
                        }
                    };
                    asker.resolved(request, addresses);
                }
            }
        });
    }
}

/// Resolves a name, and remembers what it resolved to.
pub(crate) async fn resolve(host: &str, names: &Names) -> Addresses {
    let found = tokio::net::lookup_host((host, 0)).await.map_err(|e| e.to_string())?;
    let addresses: Vec<IpAddr> = found.map(|a| a.ip().to_canonical()).collect();
    names.note(host, addresses.clone());
    Ok(addresses)
}
