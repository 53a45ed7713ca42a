//! Answering others.

use super::{Node, VERSION};
use crate::routing_table::K;
use crate::scope;
use core::net::SocketAddr;
use unchoke_wire::WireHash;
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{self, Kind, Message, Method, NodeId, NodeInfo, Query, Response, Want};
use unchoke_wire::limits::KRPC_REPLY_LEN_MAX;

/// Peers in a reply.
const VALUES_V4: usize = 50;
const VALUES_V6: usize = 25;

impl Node {
    pub(super) fn on_query(
        &mut self,
        from: SocketAddr,
        transaction: Vec<u8>,
        query: Query,
        is_read_only: bool,
    ) {
        //= BEP 43: a read-only node answers nothing
        if self.settings.is_read_only {
            return;
        }
        let result = match query.method {
            Method::Ping => Ok(Response::new(self.id)),
            // a method of the future that seeks something is led nearer to it
            Method::FindNode { target } | Method::Unknown { target: Some(target), .. } => {
                Ok(self.with_nodes(Response::new(self.id), from, &target, query.want))
            }
            Method::GetPeers { info_hash, no_seeds, .. } => {
                Ok(self.peers_of(from, &info_hash, no_seeds, query.want))
            }
            Method::AnnouncePeer { info_hash, port, implied_port, ref token, is_seed } => {
                let port = if implied_port { from.port() } else { port };
                self.store_peer(from, &info_hash, port, token, is_seed)
            }
            Method::Unknown { target: None, .. } => Err((krpc::ERROR_METHOD_UNKNOWN, "Method Unknown")),
        };
        self.reply(
            from,
            transaction,
            match result {
                Ok(response) => Kind::Response(response),
                Err((code, text)) => Kind::Error { code, text: text.into() },
            },
        );
        //= BEP 43: a read-only sender enters no table
        if !is_read_only {
            self.consider(NodeInfo { id: query.id, addr: from });
        }
    }

    pub(super) fn refuse_malformed(&mut self, from: SocketAddr, transaction: Vec<u8>) {
        if !self.settings.is_read_only {
            self.reply(
                from,
                transaction,
                Kind::Error { code: krpc::ERROR_PROTOCOL, text: "Protocol Error".into() },
            );
        }
    }

    //= BEP 5: get_peers answers with a token, and values where peers are stored
    //= BEP 32: nodes go along with values
    fn peers_of(&mut self, from: SocketAddr, key: &NodeId, no_seeds: bool, want: Option<Want>) -> Response {
        let hash = WireHash::from(*key);
        let n = if from.is_ipv4() { VALUES_V4 } else { VALUES_V6 };
        let values = self.store.sample(&hash, from, no_seeds, n, &mut self.rng);
        let token = self
            .store
            .has_room(&hash, from.ip())
            .then(|| self.tokens.issue(from.ip(), key, &mut self.rng, self.now).to_vec());
        self.with_nodes(Response { token, values, ..Response::new(self.id) }, from, key, want)
    }

    //= BEP 5: announce_peer needs the token given to the same IP
    fn store_peer(
        &mut self,
        from: SocketAddr,
        key: &NodeId,
        port: u16,
        token: &[u8],
        is_seed: bool,
    ) -> Result<Response, (i64, &'static str)> {
        if !self.tokens.is_valid(token, from.ip(), key, &mut self.rng, self.now) {
            return Err((krpc::ERROR_PROTOCOL, "Bad Token"));
        }
        let (hash, peer) = (WireHash::from(*key), SocketAddr::new(from.ip(), port));
        if !self.store.announce(hash, peer, is_seed, self.now) {
            return Err((krpc::ERROR_SERVER, "Storage Full"));
        }
        self.on_stored_peer(hash, peer);
        Ok(Response::new(self.id))
    }

    /// Adds the nodes closest to `target`, if the asker wants our family. Our socket knows no other.
    fn with_nodes(
        &self,
        response: Response,
        from: SocketAddr,
        target: &NodeId,
        want: Option<Want>,
    ) -> Response {
        let (is_v4, now) = (self.settings.family == Family::V4, self.now);
        if want.is_some_and(|want| if is_v4 { !want.v4 } else { !want.v6 }) {
            return response;
        }
        let nodes = self.table.closest(target, K, |e| {
            e.is_servable(now) && e.node.addr != from && scope::may_tell(e.node.addr, from)
        });
        if is_v4 {
            Response { nodes: Some(nodes), ..response }
        } else {
            Response { nodes6: Some(nodes), ..response }
        }
    }

    //= BEP 42: a reply tells the asker its endpoint
    fn reply(&mut self, to: SocketAddr, transaction: Vec<u8>, kind: Kind) {
        let message =
            Message { transaction, kind, version: Some(VERSION), is_read_only: false, ip: Some(to) };
        let bytes = message.encode();
        //= BEP 32: a reply is at most 1024 bytes
        assert!(bytes.len() <= KRPC_REPLY_LEN_MAX, "nodes, values and transaction ids are capped");
        self.outputs.push(crate::io::Output::Datagram { to, bytes });
    }
}
