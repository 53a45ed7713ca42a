//! Connections to trackers that are used again, how many requests a tracker gets at once, and trackers' addresses.
//!
//! A client is bound to the addresses its host had when they were looked at: whoever may not name one of them gets
//! another client, or none.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests under way to one host and port at once; more wait for them, within their own time.
pub(crate) const PER_HOST_MAX: usize = 8;
/// Clients kept; the one that was not used for the longest time makes room.
const CLIENTS_MAX: usize = 64;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// How long a name's addresses are taken to be what they were: thousands of torrents share a few trackers.
const NAME_LIFE: Duration = Duration::from_secs(300);
/// Names remembered; for one more those that are over go, or else all.
const KNOWN_MAX: usize = 1024;

/// A host as it was found: its name, its port, and the addresses it may be asked at.
pub(crate) type Place = (String, u16, Vec<SocketAddr>);

/// Clients by the host they ask.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    clients: Mutex<BTreeMap<Place, (reqwest::Client, Instant)>>,
    turns: Mutex<BTreeMap<(String, u16), Arc<Semaphore>>>,
}

impl Pool {
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
            .pool_max_idle_per_host(PER_HOST_MAX)
            .pool_idle_timeout(IDLE)
            .resolve_to_addrs(&place.0, &place.2);
        let client = make(builder)?;
        if clients.len() >= CLIENTS_MAX {
            let oldest = clients.iter().min_by_key(|(_, (_, used))| *used).map(|(place, _)| place.clone());
            oldest.and_then(|place| clients.remove(&place));
        }
        clients.insert(place, (client.clone(), now));
        Ok(client)
    }

    /// Waits for a turn with a host.
    pub(crate) async fn turn(&self, host: &str, port: u16) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // nobody waits for one that has all its permits
            if all.len() >= CLIENTS_MAX {
                all.retain(|_, turns| Arc::strong_count(turns) > 1);
            }
            let turns = all.entry((host.to_owned(), port));
            Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(PER_HOST_MAX))))
        };
        // a semaphore that is never closed always gives
        turns.acquire_owned().await.ok()
    }
}

/// Names that were resolved lately.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeMap<String, (Vec<IpAddr>, Instant)>>);

impl Names {
    /// The addresses of a name, if they are known.
    pub(crate) fn get(&self, host: &str) -> Option<Vec<IpAddr>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(host)
            .filter(|(_, since)| since.elapsed() < NAME_LIFE)
            .map(|(addresses, _)| addresses.clone())
    }

    /// A name was resolved.
    pub(crate) fn note(&self, host: &str, addresses: Vec<IpAddr>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.retain(|_, (_, since)| since.elapsed() < NAME_LIFE);
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(host.to_owned(), (addresses, Instant::now()));
    }
}
