//! Names and their addresses: looked up a few at a time, each once however many ask, and remembered for a while.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use unchoke_wire::limits::{NAME_ADDRESSES_MAX, NAME_LOOKUPS_MAX, NAMES_ASKED_MAX};

/// What a name resolved to, or why it did not.
pub(crate) type Addresses = Result<Vec<IpAddr>, String>;

/// How a name is looked up: by the system, or as a test says.
pub(crate) type Lookup = Box<dyn Fn(String) -> Looking + Send + Sync>;

/// A lookup under way.
pub(crate) type Looking = Pin<Box<dyn Future<Output = Addresses> + Send>>;

/// How long a name's addresses are taken to be what they were: thousands of torrents share a few trackers.
const LIFE: Duration = Duration::from_secs(300);
/// How long a name that failed is not looked up again.
const FAILURE_LIFE: Duration = Duration::from_secs(10);
/// How long an answer is waited for; the lookup may take longer, and serves who asks then.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// Names remembered; for one more those that are over go, or else all.
const KNOWN_MAX: usize = 1024;

/// Names that were resolved lately, and those that are being resolved.
pub(crate) struct Names {
    lookup: Lookup,
    places: Arc<Semaphore>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    answers: BTreeMap<String, (Addresses, Instant)>,
    /// Lookups under way, by name.
    asked: BTreeMap<String, watch::Receiver<Option<Addresses>>>,
}

impl Names {
    /// Looks names up as the system does.
    pub(crate) fn of_system() -> Self {
        Names::new(Box::new(|host| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host, 0)).await.map_err(|e| e.to_string())?;
                Ok(found.map(|a| a.ip()).collect())
            })
        }))
    }

    /// Looks names up with `lookup`.
    pub(crate) fn new(lookup: Lookup) -> Self {
        Names { lookup, places: Arc::new(Semaphore::new(NAME_LOOKUPS_MAX)), known: Mutex::default() }
    }

    /// The addresses of a name, at most [`NAME_ADDRESSES_MAX`]: those known, or those of a lookup, which all who ask
    /// for the same name share.
    pub(crate) async fn resolve(self: &Arc<Self>, host: &str) -> Addresses {
        let mut answer = {
            let mut known = self.known();
            if let Some(answer) = known.answer(host) {
                return answer;
            }
            match known.asked.get(host) {
                Some(answer) => answer.clone(),
                None if known.asked.len() >= NAMES_ASKED_MAX => {
                    return Err("too many names are being looked up".to_owned());
                }
                None => {
                    let (sender, answer) = watch::channel(None);
                    known.asked.insert(host.to_owned(), answer.clone());
                    tokio::spawn(look_up(Arc::clone(self), host.to_owned(), sender));
                    answer
                }
            }
        };
        let waited = tokio::time::timeout(WAIT_MAX, answer.wait_for(Option::is_some)).await;
        let Ok(waited) = waited else {
            return Err(format!("no answer within {} s", WAIT_MAX.as_secs()));
        };
        let gone = || Err("the lookup was given up".to_owned());
        waited.map_or_else(|_| gone(), |answer| answer.clone().unwrap_or_else(gone))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps its place until the lookup ends, whoever still waits: a server that is silent holds up so many, and no more.
async fn look_up(names: Arc<Names>, host: String, answer: watch::Sender<Option<Addresses>>) {
    let found = {
        let _place = names.places.acquire().await;
        (names.lookup)(host.clone()).await
    };
    let found = found.map(|mut addresses| {
        addresses.iter_mut().for_each(|ip| *ip = ip.to_canonical());
        addresses.truncate(NAME_ADDRESSES_MAX);
        addresses
    });
    names.known().note(host, found.clone());
    answer.send_replace(Some(found));
}

impl Known {
    fn answer(&self, host: &str) -> Option<Addresses> {
        let (answer, since) = self.answers.get(host)?;
        is_fresh(answer, *since).then(|| answer.clone())
    }

    fn note(&mut self, host: String, answer: Addresses) {
        self.asked.remove(&host);
        if self.answers.len() >= KNOWN_MAX {
            self.answers.retain(|_, (answer, since)| is_fresh(answer, *since));
        }
        if self.answers.len() >= KNOWN_MAX {
            self.answers.clear();
        }
        self.answers.insert(host, (answer, Instant::now()));
    }
}

fn is_fresh(answer: &Addresses, since: Instant) -> bool {
    since.elapsed() < if answer.is_ok() { LIFE } else { FAILURE_LIFE }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("answers", &self.known().answers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(1, 1, 1, 1));

    /// Runs under a clock that jumps to the next timer when nothing else can go on.
    fn run<T>(test: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    /// Names that are looked up by `lookup`, and how often they were.
    fn names(lookup: impl Fn(&str) -> Looking + Send + Sync + 'static) -> (Arc<Names>, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let names = Names::new(Box::new(move |host| {
            counted.fetch_add(1, Ordering::SeqCst);
            lookup(&host)
        }));
        (Arc::new(names), count)
    }

    fn at_once(answer: Addresses) -> Looking {
        Box::pin(async move { answer })
    }

    //= H3f-5
    #[test]
    fn every_failure_of_dns_is_one_line_and_not_asked_for_again_at_once() {
        // SERVFAIL, NXDOMAIN and a loop of CNAMEs are told by the system in words of its own
        for why in ["Temporary failure in name resolution", "Name or service not known", "loop of aliases"] {
            let (names, count) = names(move |_| at_once(Err(why.to_owned())));
            run(async {
                for _ in 0..1000 {
                    assert_eq!(names.resolve("t.example").await, Err(why.to_owned()));
                }
                assert_eq!(count.load(Ordering::SeqCst), 1);
                tokio::time::advance(FAILURE_LIFE).await;
                assert_eq!(names.resolve("t.example").await, Err(why.to_owned()));
                assert_eq!(count.load(Ordering::SeqCst), 2);
            });
        }
    }

    //= H3f-5
    #[test]
    fn a_silent_server_is_waited_for_15_s_and_others_are_answered_meanwhile() {
        let (names, count) = names(|host| match host {
            "silent.example" => Box::pin(std::future::pending()),
            _ => at_once(Ok(vec![ONE])),
        });
        run(async {
            let started = Instant::now();
            let silent = tokio::spawn({
                let names = Arc::clone(&names);
                async move { names.resolve("silent.example").await }
            });
            assert_eq!(names.resolve("fine.example").await, Ok(vec![ONE]));
            assert_eq!(started.elapsed(), Duration::ZERO);
            assert_eq!(silent.await.unwrap(), Err("no answer within 15 s".to_owned()));
            assert_eq!(started.elapsed(), WAIT_MAX);
            // who asks again waits for the same lookup
            assert!(names.resolve("silent.example").await.is_err());
            assert_eq!(count.load(Ordering::SeqCst), 2);
        });
    }

    //= H3f-5
    #[test]
    fn lookups_and_names_asked_for_are_bounded() {
        let (names, count) = names(|_| Box::pin(std::future::pending()));
        run(async {
            let asked = |n: usize| {
                let names = Arc::clone(&names);
                tokio::spawn(async move { names.resolve(&format!("t{n}.example")).await })
            };
            let waiting: Vec<_> = (0..NAMES_ASKED_MAX + 1).map(asked).collect();
            for (n, answer) in waiting.into_iter().enumerate() {
                let error = answer.await.unwrap().unwrap_err();
                assert_eq!(error.contains("too many"), n == NAMES_ASKED_MAX, "{n}: {error}");
            }
            let looked_up = count.load(Ordering::SeqCst);
            assert!(looked_up == NAME_LOOKUPS_MAX && looked_up < NAME_LOOKUPS_MAX + 1);
        });
    }

    //= H3f-5
    #[test]
    fn many_addresses_are_cut_and_put_in_their_plain_form() {
        let (names, _) = names(|host| {
            let count = host.split('.').next().unwrap().parse::<usize>().unwrap();
            at_once(Ok(vec!["::ffff:1.1.1.1".parse().unwrap(); count]))
        });
        run(async {
            for count in [1, 10, NAME_ADDRESSES_MAX, NAME_ADDRESSES_MAX + 1, 1000] {
                let found = names.resolve(&format!("{count}.example")).await.unwrap();
                assert_eq!(found, vec![ONE; count.min(NAME_ADDRESSES_MAX)]);
            }
        });
    }

    #[test]
    fn names_are_remembered_for_five_minutes_and_their_number_is_bounded() {
        let (names, count) = names(|_| at_once(Ok(vec![ONE])));
        run(async {
            for _ in 0..10 {
                names.resolve("t.example").await.unwrap();
            }
            assert_eq!(count.load(Ordering::SeqCst), 1);
            tokio::time::advance(LIFE).await;
            names.resolve("t.example").await.unwrap();
            assert_eq!(count.load(Ordering::SeqCst), 2);
            for n in 0..KNOWN_MAX + 1 {
                names.resolve(&format!("t{n}.example")).await.unwrap();
                assert!(names.known().answers.len() <= KNOWN_MAX);
            }
            assert!(names.known().asked.is_empty());
        });
    }
}
