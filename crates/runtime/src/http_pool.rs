//! Connections to trackers that are used again, and how many requests one tracker and all together get at once.
//!
//! A client is bound to the addresses its host had when they were looked at: whoever may not name one of them gets
//! another client, or none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unchoke_wire::limits::{HTTP_PER_HOST_MAX, HTTP_REQUESTS_MAX};

/// Clients kept; the one that was not used for the longest time makes room.
const CLIENTS_MAX: usize = 64;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How long a connection may take to come about, encryption and all addresses of a host counted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A host as it was found: its name, its port, and the addresses it may be asked at.
pub(crate) type Place = (String, u16, Vec<SocketAddr>);

/// Clients by the host they ask.
#[derive(Debug)]
pub(crate) struct Pool {
    clients: Mutex<BTreeMap<Place, (reqwest::Client, Instant)>>,
    turns: Mutex<BTreeMap<(String, u16), Arc<Semaphore>>>,
    all: Arc<Semaphore>,
}

/// The right to ask; it is given back when dropped, after the body is read.
#[derive(Debug)]
pub(crate) struct Turn {
    _of_host: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

/// Answers every name with the addresses that passed the gate, so that nothing else is ever dialled.
struct Pinned(Vec<SocketAddr>);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

impl Pool {
    /// A pool without a client.
    pub(crate) fn new() -> Self {
        Pool {
            clients: Mutex::default(),
            turns: Mutex::default(),
            all: Arc::new(Semaphore::new(HTTP_REQUESTS_MAX)),
        }
    }

    /// The client of a place; one that `make` makes when there is none.
    pub(crate) fn client(
        &self,
        place: Place,
        make: impl FnOnce(reqwest::ClientBuilder) -> Result<reqwest::Client, String>,
    ) -> Result<reqwest::Client, String> {
        let now = Instant::now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((client, used)) = clients.get_mut(&place) {
            *used = now;
            return Ok(client.clone());
        }
        let builder = reqwest::Client::builder()
            .pool_max_idle_per_host(HTTP_PER_HOST_MAX)
            .pool_idle_timeout(IDLE)
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(Arc::new(Pinned(place.2.clone())));
        let client = make(builder)?;
        if clients.len() >= CLIENTS_MAX {
            let oldest = clients.iter().min_by_key(|(_, (_, used))| *used).map(|(place, _)| place.clone());
            oldest.and_then(|place| clients.remove(&place));
        }
        clients.insert(place, (client.clone(), now));
        Ok(client)
    }

    /// Waits for a turn with a host, then for one of all, so that a host that is slow keeps but its own waiting.
    pub(crate) async fn turn(&self, host: &str, port: u16) -> Turn {
        let turns = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // nobody waits for one that has all its permits
            if all.len() >= CLIENTS_MAX {
                all.retain(|_, turns| Arc::strong_count(turns) > 1);
            }
            let turns = all.entry((host.to_owned(), port));
            Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(HTTP_PER_HOST_MAX))))
        };
        // semaphores that are never closed always give
        let of_host = turns.acquire_owned().await.ok();
        Turn { _of_host: of_host, _of_all: Arc::clone(&self.all).acquire_owned().await.ok() }
    }
}
