//! [`Message`] → bytes, keys sorted as bencode wants.

use super::{ItemReply, Kind, Message, Method, Put, Query, Response, compact_nodes};
use crate::bencode::{DictWriter, Writer};
use crate::compact;
use crate::item::Item;
use crate::limits::KRPC_REPLY_LEN_MAX;

impl Message {
    /// The canonical bytes of this message.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(match &self.kind {
            Kind::Response(_) => KRPC_REPLY_LEN_MAX,
            Kind::Query(_) | Kind::Error { .. } => 256,
        });
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
            Method::Get { .. } => b"get",
            Method::Put(_) => b"put",
            Method::SampleInfohashes { .. } => b"sample_infohashes",
            Method::Unknown { name, .. } => name,
        }
    }
}

fn arguments(a: &mut DictWriter<'_>, query: &Query) {
    if let Method::Put(put) = &query.method
        && let Some(cas) = put.cas
    {
        a.int(b"cas", cas);
    }
    a.bytes(b"id", &query.id.0);
    match &query.method {
        Method::Ping | Method::Unknown { target: None, .. } => {}
        Method::FindNode { target }
        | Method::SampleInfohashes { target }
        | Method::Unknown { target: Some(target), .. } => a.bytes(b"target", &target.0),
        Method::Get { target, seq } => {
            if let Some(seq) = seq {
                a.int(b"seq", *seq);
            }
            a.bytes(b"target", &target.0);
        }
        Method::Put(put) => item(a, put),
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

/// The arguments of `put` after `id`. BEP 44 has no `target` among them, but nodes of the mainline crate take no
/// `put` without it.
fn item(a: &mut DictWriter<'_>, put: &Put) {
    if let Item::Mutable(item) = &put.item {
        a.bytes(b"k", &item.key);
        if !item.salt.is_empty() {
            a.bytes(b"salt", &item.salt);
        }
        a.int(b"seq", item.seq);
        a.bytes(b"sig", &item.signature);
    }
    a.bytes(b"target", &put.item.key().target().0);
    a.bytes(b"token", &put.token);
    a.key(b"v").raw(put.item.value());
}

fn results(r: &mut DictWriter<'_>, response: &Response) {
    let nothing = ItemReply::default();
    let item = response.item.as_deref().unwrap_or(&nothing);
    if let Some(scrape) = &response.scrape {
        r.bytes(b"BFpe", scrape.downloaders.as_bytes());
        r.bytes(b"BFsd", scrape.seeds.as_bytes());
    }
    r.bytes(b"id", &response.id.0);
    if let Some(samples) = &response.samples {
        r.int(b"interval", i64::from(samples.interval_s));
    }
    if let Some(key) = &item.key {
        r.bytes(b"k", key);
    }
    if let Some(nodes) = &response.nodes {
        r.bytes(b"nodes", &compact_nodes::node_list(nodes));
    }
    if let Some(nodes) = &response.nodes6 {
        r.bytes(b"nodes6", &compact_nodes::node_list(nodes));
    }
    if let Some(samples) = &response.samples {
        r.int(b"num", i64::try_from(samples.stored).unwrap_or(i64::MAX));
        r.bytes(b"samples", samples.hashes.iter().map(|hash| hash.0).collect::<Vec<_>>().as_flattened());
    }
    if let Some(seq) = item.seq {
        r.int(b"seq", seq);
    }
    if let Some(signature) = &item.signature {
        r.bytes(b"sig", signature);
    }
    if let Some(token) = &response.token {
        r.bytes(b"token", token);
    }
    if let Some(value) = &item.value {
        r.key(b"v").raw(value);
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
