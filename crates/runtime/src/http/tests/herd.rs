//! Ten thousand torrents that start together.

use super::*;
use std::sync::{Condvar, Mutex};
use tokio::task::JoinSet;
use unchoke_wire::limits::{HTTP_PER_HOST_MAX, HTTP_REQUESTS_MAX};

/// Requests that a server holds until as many are under way as it waits for.
#[derive(Default)]
struct Held {
    now: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Held {
    /// Holds a request until `until` are held at once or have been; answers how many there were.
    fn hold(&self, until: usize) {
        let mut now = self.now.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        self.changed.notify_all();
        let mut now = self.changed.wait_while(now, |now| now.1 < until).unwrap();
        now.0 -= 1;
    }

    fn most(&self) -> usize {
        self.now.lock().unwrap().1
    }
}

/// Answers each request in a thread of its own, once `until` are under way together.
fn serve_held(until: usize) -> (SocketAddr, Arc<Held>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let held = Arc::new(Held::default());
    let shared = Arc::clone(&held);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let held = Arc::clone(&shared);
            std::thread::spawn(move || {
                head_of(&mut stream);
                held.hold(until);
                let _ = stream.write_all(&ok("", b"de"));
            });
        }
    });
    (addr, held)
}

/// Asks `hosts` hosts `count` times in all, at once, and answers how many were answered.
fn ask(addr: SocketAddr, hosts: usize, count: usize) -> usize {
    let http = http_with(move |_| vec![addr.ip()]);
    run(async {
        let mut asked = JoinSet::new();
        for n in 0..count {
            let url = format!("http://t{}.example:{}/announce?n={n}", n % hosts, addr.port());
            let http = http.clone();
            asked.spawn(async move { http.get(&request(&url, Duration::from_secs(60))).await.is_ok() });
        }
        asked.join_all().await.into_iter().filter(|is_ok| *is_ok).count()
    })
}

//= H3f-7
#[test]
fn at_most_fifty_announces_are_under_way_at_once() {
    let (addr, held) = serve_held(HTTP_REQUESTS_MAX);
    assert_eq!(ask(addr, 25, 400), 400);
    assert!(held.most() < HTTP_REQUESTS_MAX + 1, "{} at once", held.most());
}

//= H3f-7
#[test]
fn one_tracker_gets_eight_at_once() {
    let (addr, held) = serve_held(HTTP_PER_HOST_MAX);
    assert_eq!(ask(addr, 1, 100), 100);
    assert!(held.most() < HTTP_PER_HOST_MAX + 1, "{} at once", held.most());
}

//= H3f-7
#[test]
fn a_tracker_that_hangs_keeps_no_place_of_another() {
    // it accepts, and says nothing
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let (slow, fine) = (hangs.local_addr().unwrap(), serve(|_, _| ok("", b"de")));
    let http = Http::new().unwrap();
    run(async {
        let mut waiting = JoinSet::new();
        for n in 0..10 * HTTP_REQUESTS_MAX {
            let (http, url) = (http.clone(), format!("http://{slow}/announce?n={n}"));
            waiting.spawn(async move { http.get(&request(&url, Duration::from_secs(600))).await.is_ok() });
        }
        tokio::task::yield_now().await;
        for n in 0..20 {
            let url = format!("http://{fine}/announce?n={n}");
            assert_eq!(http.get(&request(&url, Duration::from_secs(60))).await.unwrap().body, b"de");
        }
        assert_eq!(waiting.len(), 10 * HTTP_REQUESTS_MAX);
    });
    drop(hangs);
}
