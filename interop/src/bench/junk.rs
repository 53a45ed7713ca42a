//! A flood of datagrams that a DHT node should spend little on: noise, cut-off messages, replies to what was never
//! asked, and queries from more addresses than would be answered.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::krpc::{self, random_id};
use super::load::to_f64;
use crate::fixtures::Rng;

/// Addresses it comes from.
const SOURCES: u8 = 200;
/// Pause between two bursts.
const PAUSE: Duration = Duration::from_millis(1);

/// A flood that goes on until it is ended.
//= H3g-7
pub(crate) struct Flood {
    shared: Arc<(AtomicBool, AtomicU64)>,
    thread: JoinHandle<()>,
}

impl Flood {
    /// Sends `rate` datagrams a second to `node` from 127.`net`.0.1 and after.
    pub(crate) fn start(net: u8, node: SocketAddr, rate: u32) -> Result<Self> {
        let mut sockets = Vec::new();
        for n in 0..SOURCES {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, net, 0, n + 1), 0))?;
            socket.connect(node)?;
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
        let shared = Arc::<(AtomicBool, AtomicU64)>::default();
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let (is_over, sent) = &*seen;
            let (mut rng, begin, mut count) = (Rng::new(u64::from(net)), Instant::now(), 0u64);
            while !is_over.load(Ordering::Relaxed) {
                while to_f64(count) < f64::from(rate) * begin.elapsed().as_secs_f64() {
                    // a full buffer is a datagram that the node is spared
                    let _ = sockets[rng.below(sockets.len())].send(&junk(&mut rng));
                    count += 1;
                }
                sent.store(count, Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        });
        Ok(Flood { shared, thread })
    }

    /// Datagrams sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.1.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.shared.0.store(true, Ordering::Relaxed);
        // a panic of it was told on stderr
        let _ = self.thread.join();
    }
}

/// One datagram, of five kinds with equal chances.
fn junk(rng: &mut Rng) -> Vec<u8> {
    let (id, key) = (random_id(rng), random_id(rng));
    match rng.below(5) {
        0 => {
            let len = 1 + rng.below(1400);
            rng.bytes(len)
        }
        1 => {
            let whole = krpc::get_peers(&id, &key);
            let len = 1 + rng.below(whole.len() - 1);
            whole[..len].to_vec()
        }
        2 => {
            let nodes = rng.bytes(208);
            let transaction = rng.bytes(4);
            [b"d1:rd2:id20:", &id[..], b"5:nodes208:", &nodes, b"e1:t4:", &transaction, b"1:y1:re"].concat()
        }
        3 => {
            // nested as deep as a datagram lets it
            let depth = rng.below(700);
            [b"d1:t2:aa1:y".to_vec(), vec![b'l'; depth], vec![b'e'; depth]].concat()
        }
        _ => krpc::find_node(&id, &key),
    }
}
