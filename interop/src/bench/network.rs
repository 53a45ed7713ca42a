//! A small DHT of stand-ins on loopback addresses of their own: each answers as BEP 5 says, knows all the others, and
//! keeps what is announced to it. It fills the tables of the nodes under load, and answers their lookups.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use super::krpc::{Id, random_id, string_after};
use crate::fixtures::Rng;

/// Where the stand-ins listen, each on its own address.
const PORT: u16 = 6881;
/// Nodes named in a reply.
const NAMED: usize = 8;
/// Bytes of stack of a stand-in.
const STACK: usize = 128 << 10;
/// How often a stand-in looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(300);

/// The stand-ins; they end when it is dropped.
pub(crate) struct Network {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    nodes: Vec<(Id, SocketAddrV4)>,
    peers: Mutex<BTreeMap<Id, BTreeSet<[u8; 6]>>>,
    is_over: AtomicBool,
}

impl Network {
    /// Starts `count` of them, at most 250, on 127.`net`.0.1 and after.
    pub(crate) fn start(net: u8, count: u8) -> Result<Self> {
        let mut rng = Rng::new(u64::from(net));
        let addr = |n: u8| SocketAddrV4::new(Ipv4Addr::new(127, net, 0, n + 1), PORT);
        let nodes: Vec<_> = (0..count).map(|n| (random_id(&mut rng), addr(n))).collect();
        let shared = Shared { nodes, peers: Mutex::default(), is_over: AtomicBool::new(false) };
        let mut network = Network { shared: Arc::new(shared), threads: Vec::new() };
        for (id, addr) in network.shared.nodes.clone() {
            let socket = UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            let shared = Arc::clone(&network.shared);
            let thread =
                std::thread::Builder::new().stack_size(STACK).spawn(move || shared.serve(&id, &socket));
            network.threads.push(thread.context("start a stand-in")?);
        }
        Ok(network)
    }

    /// One of them, to begin at.
    pub(crate) fn entry(&self) -> SocketAddr {
        self.shared.nodes[0].1.into()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // a stand-in that panicked has said so on stderr
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, id: &Id, socket: &UdpSocket) {
        let mut buf = [0; 2048];
        while !self.is_over.load(Ordering::Relaxed) {
            match socket.recv_from(&mut buf) {
                Ok((len, from)) => {
                    if let Some(reply) = self.answer(id, &buf[..len], from) {
                        // the asker may be gone
                        let _ = socket.send_to(&reply, from);
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                // a refusal of an earlier reply
                Err(_) => {}
            }
        }
    }

    /// The answer of the node `id`; none to what is no query.
    fn answer(&self, id: &Id, query: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        if !query.ends_with(b"1:y1:qe") {
            return None;
        }
        let transaction = string_after(query, b"1:t")?;
        let key = string_after(query, b"6:target").or_else(|| string_after(query, b"9:info_hash"));
        let key: Option<Id> = key.and_then(|key| key.try_into().ok());
        let mut reply = [b"d1:rd2:id20:", &id[..]].concat();
        if let Some(key) = key {
            let is_announce = string_after(query, b"1:q") == Some(b"announce_peer");
            let mut peers = self.peers.lock().expect("no stand-in panics while it holds the peers");
            if is_announce && let SocketAddr::V4(from) = from {
                let [a, b, c, d] = from.ip().octets();
                let [e, f] = port_of(query)?.to_be_bytes();
                peers.entry(key).or_default().insert([a, b, c, d, e, f]);
            }
            let values = peers.get(&key).into_iter().flatten().copied().take(50).collect::<Vec<_>>();
            drop(peers);
            let nodes = self.closest(&key);
            reply.extend_from_slice(format!("5:nodes{}:", nodes.len()).as_bytes());
            reply.extend_from_slice(&nodes);
            reply.extend_from_slice(b"5:token4:okay");
            if !values.is_empty() {
                reply.extend_from_slice(b"6:valuesl");
                values.iter().for_each(|peer| reply.extend_from_slice(&[b"6:", &peer[..]].concat()));
                reply.push(b'e');
            }
        }
        reply.extend_from_slice(format!("e1:t{}:", transaction.len()).as_bytes());
        reply.extend_from_slice(transaction);
        reply.extend_from_slice(b"1:y1:re");
        Some(reply)
    }

    /// The compact form of the nodes closest to `key`.
    fn closest(&self, key: &Id) -> Vec<u8> {
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_unstable_by_key(|(id, _)| std::array::from_fn::<u8, 20, _>(|n| id[n] ^ key[n]));
        let mut compact = Vec::with_capacity(26 * NAMED);
        for (id, addr) in nodes.into_iter().take(NAMED) {
            compact.extend_from_slice(id);
            compact.extend_from_slice(&addr.ip().octets());
            compact.extend_from_slice(&addr.port().to_be_bytes());
        }
        compact
    }
}

/// The port an announcement names.
fn port_of(query: &[u8]) -> Option<u16> {
    let key = b"4:porti";
    let at = query.windows(key.len()).position(|window| window == key)? + key.len();
    let end = query[at..].iter().position(|b| *b == b'e')?;
    std::str::from_utf8(&query[at..at + end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::krpc;
    use super::*;

    #[test]
    fn a_stand_in_names_the_eight_closest_and_keeps_what_is_announced() {
        let network = Network::start(251, 20).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (own, key) = ([7; 20], network.shared.nodes[5].0);
        let ask = |query: Vec<u8>| {
            socket.send_to(&query, network.entry()).unwrap();
            let mut buf = [0; 2048];
            let len = socket.recv(&mut buf).unwrap();
            buf[..len].to_vec()
        };
        let reply = ask(krpc::find_node(&own, &key));
        assert!(krpc::is_response(&reply));
        let nodes = string_after(&reply, b"5:nodes").unwrap();
        assert_eq!((nodes.len(), &nodes[..20]), (208, &key[..]));
        ask(krpc::announce_peer(&own, &key, 6999, b"okay"));
        assert_eq!(network.shared.peers.lock().unwrap()[&key].len(), 1);
        let reply = ask(krpc::get_peers(&own, &key));
        assert!(reply.windows(8).any(|w| w == [b'6', b':', 127, 0, 0, 1, 0x1b, 0x57]));
    }
}
