//! [`Message`] → bytes, keys sorted as bencode wants.

use super::{Kind, Message, Method, Query, Response, compact_nodes};
use crate::bencode::{DictWriter, Writer};
use crate::compact;

impl Message {
    /// The canonical bytes of this message.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.dict(|top| {
            match &self.kind {
                Kind::Query(query) => top.key(b"a").dict(|a| arguments(a, query)),
                Kind::Error { code, text } => top.key(b"e").list(|e| {
                    e.int(*code);
                    e.bytes(text);
                }),
                Kind::Response(_) => {}
            }
            if let Some(ip) = self.ip {
                let mut endpoint = Vec::with_capacity(18);
                compact::encode_into(ip, &mut endpoint);
                top.bytes(b"ip", &endpoint);
            }
            match &self.kind {
                Kind::Query(query) => top.bytes(b"q", query.method.name()),
                Kind::Response(response) => top.key(b"r").dict(|r| results(r, response)),
                Kind::Error { .. } => {}
            }
            if self.is_read_only {
                top.int(b"ro", 1);
            }
            top.bytes(b"t", &self.transaction);
            if let Some(version) = &self.version {
                top.bytes(b"v", version);
            }
            top.bytes(
                b"y",
                match &self.kind {
                    Kind::Query(_) => b"q",
                    Kind::Response(_) => b"r",
                    Kind::Error { .. } => b"e",
                },
            );
        });
        w.finish()
    }
}

impl Method {
    /// The name on the wire.
    pub fn name(&self) -> &[u8] {
        match self {
            Method::Ping => b"ping",
            Method::FindNode { .. } => b"find_node",
            Method::GetPeers { .. } => b"get_peers",
            Method::AnnouncePeer { .. } => b"announce_peer",
            Method::Unknown { name, .. } => name,
        }
    }
}

fn arguments(a: &mut DictWriter<'_>, query: &Query) {
    a.bytes(b"id", &query.id.0);
    match &query.method {
        Method::Ping => {}
        Method::FindNode { target } | Method::Unknown { target: Some(target), .. } => {
            a.bytes(b"target", &target.0);
        }
        Method::Unknown { target: None, .. } => {}
        Method::GetPeers { info_hash, no_seeds, scrape } => {
            a.bytes(b"info_hash", &info_hash.0);
            if *no_seeds {
                a.int(b"noseed", 1);
            }
            if *scrape {
                a.int(b"scrape", 1);
            }
        }
        Method::AnnouncePeer { info_hash, port, implied_port, token, is_seed } => {
            if *implied_port {
                a.int(b"implied_port", 1);
            }
            a.bytes(b"info_hash", &info_hash.0);
            a.int(b"port", i64::from(*port));
            if *is_seed {
                a.int(b"seed", 1);
            }
            a.bytes(b"token", token);
        }
    }
    if let Some(want) = query.want {
        a.key(b"want").list(|l| {
            if want.v4 {
                l.bytes(b"n4");
            }
            if want.v6 {
                l.bytes(b"n6");
            }
        });
    }
}

fn results(r: &mut DictWriter<'_>, response: &Response) {
    r.bytes(b"id", &response.id.0);
    if let Some(nodes) = &response.nodes {
        r.bytes(b"nodes", &compact_nodes::node_list(nodes));
    }
    if let Some(nodes) = &response.nodes6 {
        r.bytes(b"nodes6", &compact_nodes::node_list(nodes));
    }
    if let Some(token) = &response.token {
        r.bytes(b"token", token);
    }
    if !response.values.is_empty() {
        r.key(b"values").list(|l| {
            let mut endpoint = Vec::with_capacity(18);
            for peer in &response.values {
                endpoint.clear();
                compact::encode_into(*peer, &mut endpoint);
                l.bytes(&endpoint);
            }
        });
    }
}
