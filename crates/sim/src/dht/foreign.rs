//! Nodes that are not ours: they answer after the letter of BEP 5, from a table that was drawn for them.

use super::chance::scatter;
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use unchoke_dht::{NodeId, NodeInfo};
use unchoke_wire::krpc::{ERROR_METHOD_UNKNOWN, ERROR_PROTOCOL, Kind, Message, Method, Query, Response};
use unchoke_wire::time::{Duration, Instant};

/// How long a token counts at least; it changes that often, and the one before is still taken.
const TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);
/// How long a peer is kept.
const PEER_LIFE: Duration = Duration::from_secs(30 * 60);
/// Peers of a reply.
const VALUES: usize = 50;

/// How such a node differs from ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Eight nodes, no `ip`.
    Plain,
    /// Twenty nodes.
    Twenty,
    /// Knows those who asked it last, and names any of them: a bootstrap router.
    Router,
}

/// Nodes a router remembers.
const ROUTER_MEMORY: usize = 200;

/// What a query seeks, if it seeks something.
pub(super) fn target_of(method: &Method) -> Option<NodeId> {
    match method {
        Method::FindNode { target } | Method::GetPeers { info_hash: target, .. } => Some(*target),
        _ => None,
    }
}

#[derive(Debug)]
pub(super) struct Foreign {
    id: NodeId,
    manner: Manner,
    table: Vec<NodeInfo>,
    secret: u64,
    peers: BTreeMap<NodeId, Vec<(SocketAddr, Instant)>>,
    answered: u64,
}

impl Foreign {
    pub(super) fn new(id: NodeId, manner: Manner, table: Vec<NodeInfo>, secret: u64) -> Self {
        Foreign { id, manner, table, secret, peers: BTreeMap::new(), answered: 0 }
    }

    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    /// Exchanges the table for another.
    pub(super) fn set_table(&mut self, table: Vec<NodeInfo>) {
        if self.manner != Manner::Router {
            self.table = table;
        }
    }

    /// The answer to a datagram, if it is a query.
    pub(super) fn answer(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Option<Vec<u8>> {
        Some(self.respond(from, Message::decode(bytes).ok()?, now)?.encode())
    }

    /// The answer to a message, if it is a query.
    pub(super) fn respond(&mut self, from: SocketAddr, message: Message, now: Instant) -> Option<Message> {
        let Kind::Query(query) = message.kind else { return None };
        self.answered += 1;
        if self.manner == Manner::Router && !message.is_read_only {
            self.remember(NodeInfo { id: query.id, addr: from });
        }
        let kind = self.reply(from, query, now);
        let ip = (self.manner != Manner::Plain).then_some(from);
        Some(Message { transaction: message.transaction, kind, version: None, is_read_only: false, ip })
    }

    fn remember(&mut self, node: NodeInfo) {
        self.table.retain(|known| known.addr != node.addr);
        if self.table.len() >= ROUTER_MEMORY {
            self.table.remove(0);
        }
        self.table.push(node);
    }

    fn reply(&mut self, from: SocketAddr, query: Query, now: Instant) -> Kind {
        let response = Response::new(self.id);
        match query.method {
            Method::Ping => Kind::Response(response),
            Method::FindNode { target } => {
                Kind::Response(Response { nodes: Some(self.closest(&target)), ..response })
            }
            Method::GetPeers { info_hash, .. } => Kind::Response(Response {
                nodes: Some(self.closest(&info_hash)),
                token: Some(self.token(from.ip(), now).to_vec()),
                values: self.values(&info_hash, now),
                ..response
            }),
            Method::AnnouncePeer { info_hash, port, implied_port, token, .. } => {
                let before = now - TOKEN_LIFE;
                if token != self.token(from.ip(), now) && token != self.token(from.ip(), before) {
                    return Kind::Error { code: ERROR_PROTOCOL, text: b"Bad Token".to_vec() };
                }
                let port = if implied_port { from.port() } else { port };
                self.store(info_hash, SocketAddr::new(from.ip(), port), now);
                Kind::Response(response)
            }
            _ => Kind::Error { code: ERROR_METHOD_UNKNOWN, text: b"Method Unknown".to_vec() },
        }
    }

    fn closest(&self, target: &NodeId) -> Vec<NodeInfo> {
        let n = if self.manner == Manner::Twenty { 20 } else { 8 };
        let mut nodes = self.table.clone();
        if self.manner == Manner::Router {
            // in an order of chance
            let mark = scatter(self.secret ^ self.answered);
            let first = |id: &NodeId| id.0.first_chunk().map_or(0, |eight| u64::from_be_bytes(*eight));
            nodes.sort_by_cached_key(|node| scatter(mark ^ first(&node.id)));
        } else {
            nodes.sort_unstable_by_key(|node| node.id.distance(target));
        }
        nodes.truncate(n);
        nodes
    }

    fn values(&self, key: &NodeId, now: Instant) -> Vec<SocketAddr> {
        let peers = self.peers.get(key).map(Vec::as_slice).unwrap_or_default();
        peers.iter().filter(|(_, until)| now < *until).map(|(addr, _)| *addr).take(VALUES).collect()
    }

    fn store(&mut self, key: NodeId, peer: SocketAddr, now: Instant) {
        let peers = self.peers.entry(key).or_default();
        peers.retain(|(addr, until)| *addr != peer && now < *until);
        peers.push((peer, now + PEER_LIFE));
    }

    /// The token for an address in the span of time around `now`.
    fn token(&self, ip: IpAddr, now: Instant) -> [u8; 8] {
        let span = now.as_micros() / u64::try_from(TOKEN_LIFE.as_micros()).expect("a short time");
        let IpAddr::V4(ip) = ip else { return [0; 8] };
        scatter(self.secret ^ scatter(span << 32 ^ u64::from(u32::from(ip)))).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(node: &mut Foreign, method: Method, now: Instant) -> Message {
        let from = SocketAddr::from(([8, 8, 8, 8], 1000));
        let query = Message {
            transaction: b"ab".to_vec(),
            kind: Kind::Query(Query { id: NodeId([1; 20]), want: None, method }),
            version: None,
            is_read_only: false,
            ip: None,
        };
        Message::decode(&node.answer(from, &query.encode(), now).unwrap()).unwrap()
    }

    #[test]
    fn a_foreign_node_stores_a_peer_for_its_token_of_five_minutes() {
        let table = (0..40).map(|n| NodeInfo { id: NodeId([n; 20]), addr: ([9, 9, n, 9], 9).into() });
        let mut node = Foreign::new(NodeId([9; 20]), Manner::Twenty, table.collect(), 7);
        let (key, start) = (NodeId([3; 20]), Instant::from_micros(3_600_000_000));
        let get = || Method::GetPeers { info_hash: key, no_seeds: false, scrape: false };
        let Kind::Response(first) = ask(&mut node, get(), start).kind else { panic!("a response") };
        assert_eq!(first.nodes.as_ref().map(Vec::len), Some(20));
        assert_eq!(first.nodes.unwrap()[0].id, key);
        let put = |token: Option<Vec<u8>>| Method::AnnouncePeer {
            info_hash: key,
            port: 5,
            implied_port: false,
            token: token.unwrap(),
            is_seed: false,
        };
        let late = ask(&mut node, put(first.token.clone()), start + TOKEN_LIFE * 2);
        assert!(matches!(late.kind, Kind::Error { code: ERROR_PROTOCOL, .. }));
        let stored = ask(&mut node, put(first.token), start + TOKEN_LIFE - Duration::from_secs(1));
        assert!(matches!(stored.kind, Kind::Response(_)) && stored.ip.is_some());
        let Kind::Response(second) = ask(&mut node, get(), start + TOKEN_LIFE).kind else { panic!("one") };
        assert_eq!(second.values, [SocketAddr::from(([8, 8, 8, 8], 5))]);
    }
}
