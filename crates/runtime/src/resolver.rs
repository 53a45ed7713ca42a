//! The thread for what waits for servers: HTTP requests and names. Torrents' data never passes here.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, mpsc};
use unchoke_engine::id::RequestId;
use unchoke_engine::output::HttpRequest;
use unchoke_wire::limits::NAME_LOOKUPS_MAX;

use crate::error::SessionError;
use crate::http::{Http, Reply, within};
use crate::names::Addresses;

/// Requests under way, those counted that wait for their turn; later ones fail at once, and are tried again by whoever
/// asked.
const WAITING_MAX: usize = 4096;

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
            .max_blocking_threads(NAME_LOOKUPS_MAX)
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
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) => {
                job.refuse()
            }
        }
    }
}

impl Job {
    fn refuse(self) {
        let busy = || "too many requests at once".to_owned();
        match self {
            Job::Http(request, asker) => asker.http_done(request.request, Err(busy())),
            Job::Resolve(request, _, asker) => asker.resolved(request, Err(busy())),
        }
    }

    async fn run(self, http: Http) {
        match self {
            Job::Http(request, asker) => {
                // waiting for a turn counts: whoever asked has given up by then
                let reply = within(request.timeout, http.get(&request)).await;
                asker.http_done(request.request, reply);
            }
            Job::Resolve(request, host, asker) => {
                let addresses = http.names().resolve(&host).await;
                asker.resolved(request, addresses);
            }
        }
    }
}

async fn serve(mut inbox: mpsc::Receiver<Job>, http: Http) {
    let places = Arc::new(Semaphore::new(WAITING_MAX));
    while let Some(job) = inbox.recv().await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            job.refuse();
            continue;
        };
        let http = http.clone();
        tokio::spawn(async move {
            job.run(http).await;
            drop(place);
        });
    }
}
