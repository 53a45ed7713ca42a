//! Messages in words: the name of each and what it carries, for the trace, the demo and JSON.

use serde_json::{Value, json};
use unchoke_runtime::TraceMessage;
use unchoke_wire::extension::HANDSHAKE_ID;
use unchoke_wire::krpc::{self, Kind, Method};
use unchoke_wire::message::{Message, id, parse_piece_header};
use unchoke_wire::ut_metadata::MetadataMessage;
use unchoke_wire::ut_pex::PexMessage;
use unchoke_wire::{BlockRef, Extension, ExtensionHandshake, Handshake};

/// A message: its name, and what it carries in the order of the wire.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Described {
    /// The name the specifications use.
    pub(crate) name: String,
    /// Its fields.
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl Described {
    fn new(name: &str, fields: Vec<(&'static str, Value)>) -> Self {
        Described { name: name.to_owned(), fields }
    }

    /// One line: the name, then each field as `name value`.
    pub(crate) fn line(&self) -> String {
        let words = self.fields.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        });
        core::iter::once(self.name.clone()).chain(words).collect::<Vec<_>>().join("  ")
    }
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A peer message as the engine reports it. `is_sent` tells whose extension ids are in it: extended messages that we
/// receive carry ours.
pub(crate) fn peer_message(message: &TraceMessage, is_sent: bool) -> Described {
    match message {
        TraceMessage::Handshake(bytes) => handshake(bytes),
        TraceMessage::Message(bytes) if bytes.get(4) == Some(&id::PIECE) => match parse_piece_header(bytes) {
            Ok(Some(block)) => Described::new("piece", block_fields(block)),
            _ => unreadable(bytes),
        },
        TraceMessage::Message(bytes) => match Message::parse(bytes) {
            Ok(Some((message, _))) => plain_message(&message, is_sent),
            _ => unreadable(bytes),
        },
    }
}

fn unreadable(bytes: &[u8]) -> Described {
    Described::new("unreadable", vec![("bytes", json!(hex(bytes)))])
}

fn handshake(bytes: &[u8]) -> Described {
    match Handshake::decode(bytes) {
        Ok(Some(h)) => Described::new(
            "handshake",
            vec![
                ("reserved", json!(format!("{:?}", h.reserved))),
                ("info_hash", json!(h.info_hash.to_string())),
                ("peer_id", json!(h.peer_id.0.escape_ascii().to_string())),
            ],
        ),
        _ => unreadable(bytes),
    }
}

fn block_fields(block: BlockRef) -> Vec<(&'static str, Value)> {
    vec![("piece", json!(block.piece.0)), ("begin", json!(block.begin)), ("length", json!(block.len))]
}

fn plain_message(message: &Message<'_>, is_sent: bool) -> Described {
    let piece = |p: &unchoke_wire::PieceIndex| vec![("piece", json!(p.0))];
    let (name, fields) = match message {
        Message::KeepAlive => ("keep-alive", vec![]),
        Message::Choke => ("choke", vec![]),
        Message::Unchoke => ("unchoke", vec![]),
        Message::Interested => ("interested", vec![]),
        Message::NotInterested => ("not interested", vec![]),
        Message::Have(p) => ("have", piece(p)),
        Message::Bitfield(bits) => ("bitfield", vec![("bits", json!(bits_of(bits)))]),
        Message::Request(block) => ("request", block_fields(*block)),
        Message::Piece { piece: p, begin, data } => {
            ("piece", vec![("piece", json!(p.0)), ("begin", json!(begin)), ("length", json!(data.len()))])
        }
        Message::Cancel(block) => ("cancel", block_fields(*block)),
        Message::Port(port) => ("port", vec![("port", json!(port))]),
        Message::Suggest(p) => ("suggest piece", piece(p)),
        Message::HaveAll => ("have all", vec![]),
        Message::HaveNone => ("have none", vec![]),
        Message::Reject(block) => ("reject request", block_fields(*block)),
        Message::AllowedFast(p) => ("allowed fast", piece(p)),
        Message::Extended { id, payload } => return extended(*id, payload, is_sent),
        Message::Unknown { id, payload } => {
            ("unknown", vec![("id", json!(id)), ("length", json!(payload.len()))])
        }
    };
    Described::new(name, fields)
}

/// A bitfield as hex, which short ones show best: `0xe0`.
fn bits_of(bits: &[u8]) -> String {
    if bits.len() <= 32 { format!("0x{}", hex(bits)) } else { format!("{} bytes", bits.len()) }
}

fn extended(id: u8, payload: &[u8], is_sent: bool) -> Described {
    let size = ("length", json!(payload.len()));
    if id == HANDSHAKE_ID {
        let Ok(h) = ExtensionHandshake::decode(payload) else {
            return Described::new("extension handshake", vec![size]);
        };
        let names = Extension::ALL.iter().filter(|e| h.ids.id_of(**e).is_some()).map(|e| e.name());
        let mut fields = vec![("extensions", json!(names.collect::<Vec<_>>().join(",")))];
        fields.extend(h.client.map(|c| ("client", json!(c))));
        fields.extend(h.metadata_size.map(|s| ("metadata_size", json!(s))));
        fields.extend(h.request_queue_len.map(|n| ("reqq", json!(n))));
        return Described::new("extension handshake", fields);
    }
    // what we send goes by the receiver's ids, which only the connection knows
    match Extension::from_local_id(id).filter(|_| !is_sent) {
        Some(Extension::UtMetadata) => metadata(payload),
        Some(Extension::UtPex) => match PexMessage::decode(payload) {
            Ok(m) => Described::new(
                "ut_pex",
                vec![("added", json!(m.added.len())), ("dropped", json!(m.dropped.len()))],
            ),
            Err(_) => Described::new("ut_pex", vec![size]),
        },
        Some(other) => Described::new(other.name(), vec![size]),
        None => Described::new("extended", vec![("id", json!(id)), size]),
    }
}

fn metadata(payload: &[u8]) -> Described {
    let (kind, block) = match MetadataMessage::decode(payload) {
        Ok(Some(MetadataMessage::Request { block })) => ("request", block),
        Ok(Some(MetadataMessage::Data { block, .. })) => ("data", block),
        Ok(Some(MetadataMessage::Reject { block })) => ("reject", block),
        _ => return Described::new("ut_metadata", vec![("length", json!(payload.len()))]),
    };
    Described::new("ut_metadata", vec![("type", json!(kind)), ("block", json!(block))])
}

/// A DHT message, and the transaction by which a reply finds its query; `None` when it is none.
pub(crate) fn dht_message(bytes: &[u8]) -> Option<(Described, Vec<u8>)> {
    let message = krpc::Message::decode(bytes).ok()?;
    let described = match &message.kind {
        Kind::Query(query) => match &query.method {
            Method::Ping => Described::new("ping", vec![]),
            Method::FindNode { target } => {
                Described::new("find_node", vec![("target", json!(hex(&target.0)))])
            }
            Method::GetPeers { info_hash, .. } => {
                Described::new("get_peers", vec![("info_hash", json!(info_hash.to_string()))])
            }
            Method::AnnouncePeer { info_hash, port, token, .. } => Described::new(
                "announce_peer",
                vec![
                    ("info_hash", json!(info_hash.to_string())),
                    ("port", json!(port)),
                    ("token", json!(hex(token))),
                ],
            ),
            Method::Get { target, .. } => Described::new("get", vec![("target", json!(target.to_string()))]),
            Method::Put(put) => {
                Described::new("put", vec![("target", json!(put.item.key().target().to_string()))])
            }
            Method::SampleInfohashes { target } => {
                Described::new("sample_infohashes", vec![("target", json!(target.to_string()))])
            }
            Method::Unknown { name, .. } => Described::new(&String::from_utf8_lossy(name), vec![]),
        },
        Kind::Response(r) => {
            let mut fields = Vec::new();
            if !r.values.is_empty() {
                let peers: Vec<String> = r.values.iter().map(ToString::to_string).collect();
                fields.push(("values", json!(peers.join(","))));
            }
            let nodes = r.nodes.as_ref().map_or(0, Vec::len) + r.nodes6.as_ref().map_or(0, Vec::len);
            fields.push(("nodes", json!(nodes)));
            fields.extend(r.token.as_ref().map(|t| ("token", json!(hex(t)))));
            fields.extend(r.item.as_ref().and_then(|i| i.seq).map(|seq| ("seq", json!(seq))));
            let value = r.item.as_ref().and_then(|i| i.value.as_ref());
            fields.extend(value.map(|v| ("value_length", json!(v.len()))));
            fields.extend(r.samples.as_ref().map(|s| ("samples", json!(s.hashes.len()))));
            Described::new("reply", fields)
        }
        Kind::Error { code, text } => Described::new(
            "error",
            vec![("code", json!(code)), ("text", json!(String::from_utf8_lossy(text)))],
        ),
    };
    Some((described, message.transaction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::PieceIndex;

    #[test]
    fn messages_are_told_by_the_names_of_the_specification() {
        let request = BlockRef { piece: PieceIndex(2), begin: 0, len: 10_000 };
        let line = |m: Message<'_>| peer_message(&TraceMessage::Message(m.to_vec()), true).line();
        assert_eq!(line(Message::Request(request)), "request  piece 2  begin 0  length 10000");
        assert_eq!(line(Message::Bitfield(&[0xe0])), "bitfield  bits 0xe0");
        assert_eq!(line(Message::NotInterested), "not interested");
        let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
        assert_eq!(dht_message(ping).map(|(d, t)| (d.line(), t)), Some(("ping".to_owned(), b"aa".to_vec())));
        assert_eq!(dht_message(b"nonsense"), None);
    }
}
