//! Networks of DHT nodes on loopback, within the test's own process.

use std::net::UdpSocket;
use std::time::Duration;

use unchoke_runtime::{Role, Session, SessionConfig};
use unchoke_wire::HostPort;

/// Some nodes that know of each other; they end when it is dropped.
pub struct Network {
    /// The address of the first node.
    pub entry: String,
    /// Their ids in hex.
    pub ids: Vec<String>,
    _sessions: Vec<Session>,
    /// A bound socket that nobody reads.
    silent: UdpSocket,
}

impl Network {
    pub fn start(nodes: usize) -> Self {
        let mut sessions: Vec<Session> = Vec::new();
        for _ in 0..nodes {
            let entry: Vec<HostPort> =
                sessions.first().map(|s| s.local_addr().to_string().parse().unwrap()).into_iter().collect();
            let config = SessionConfig {
                role: Role::DhtNode,
                dht_nodes: entry,
                shards: Some(1),
                workers: 0,
                ..SessionConfig::loopback()
            };
            sessions.push(Session::start(config).unwrap());
            settle(&sessions);
        }
        Network {
            entry: sessions[0].local_addr().to_string(),
            ids: sessions.iter().map(|s| s.dht_views()[0].id.to_string()).collect(),
            _sessions: sessions,
            silent: UdpSocket::bind("127.0.0.1:0").unwrap(),
        }
    }

    /// An address where nobody answers.
    pub fn silent_address(&self) -> String {
        self.silent.local_addr().unwrap().to_string()
    }
}

/// Waits until all know all.
fn settle(sessions: &[Session]) {
    let is_settled = |s: &Session| s.dht_views()[0].table.len() == sessions.len() - 1;
    for session in sessions {
        while !is_settled(session) {
            // something happens while it is not
            let _ = session.events().recv_timeout(Duration::from_millis(20));
        }
    }
}
