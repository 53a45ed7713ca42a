//! `--trace`: every message of peers and DHT nodes, decoded, as a line of text or a JSON event.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use unchoke_engine::ConnId;
use unchoke_engine::event::Event;
use unchoke_runtime::{SessionEvent, Trace, TraceMessage};
use unchoke_wire::handshake::parse_prefix;
use unchoke_wire::krpc::{self, Kind, Method, NodeInfo};
use unchoke_wire::ut_metadata::MetadataMessage;
use unchoke_wire::ut_pex::PexMessage;
use unchoke_wire::{
    BlockRef, Extension, ExtensionHandshake, ExtensionIds, Message, PeerId, extension, message,
};

use super::{Report, events, line};
use crate::errors::about;
use crate::units;

/// Writes messages where the user wants them.
#[derive(Debug)]
pub(crate) struct Tracer {
    to: To,
    /// The extension ids that each peer chose for what we send it.
    ids: BTreeMap<ConnId, ExtensionIds>,
}

#[derive(Debug)]
enum To {
    Stdout,
    Json,
    File(BufWriter<File>),
}

/// A message: its name and its fields.
struct Decoded {
    name: String,
    fields: Map<String, Value>,
}

impl Tracer {
    /// To the end of this file, else to stdout: as text, or as events when they are asked for.
    ///
    /// # Errors
    /// One line when the file cannot be written, or holds something else.
    pub(crate) fn open(to: Option<&Path>, json: bool) -> Result<Self> {
        let to = match to {
            Some(path) => To::File(BufWriter::new(open_file(path)?)),
            None if json => To::Json,
            None => To::Stdout,
        };
        Ok(Tracer { to, ids: BTreeMap::new() })
    }

    /// Whether lines of text go to stdout.
    pub(crate) fn is_on_stdout(&self) -> bool {
        matches!(self.to, To::Stdout)
    }

    /// Writes the message that this event is about, if it is about one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn take(&mut self, event: &SessionEvent, report: &mut dyn Report) -> Result<()> {
        match event {
            SessionEvent::Message { hash, trace } => {
                let decoded = self.peer_message(trace);
                self.write(Some(hash.to_string()), trace.remote, trace.is_sent, decoded, report)
            }
            SessionEvent::Datagram { remote, is_sent, bytes } => {
                self.write(None, *remote, *is_sent, krpc_message(bytes), report)
            }
            SessionEvent::Torrent { event: Event::PeerDisconnected { conn, .. }, .. } => {
                self.ids.remove(conn);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sees to it that all is written.
    ///
    /// # Errors
    /// When it cannot be.
    pub(crate) fn finish(self) -> Result<()> {
        match self.to {
            To::File(mut file) => Ok(file.flush()?),
            To::Stdout | To::Json => Ok(()),
        }
    }

    fn write(
        &mut self,
        hash: Option<String>,
        remote: SocketAddr,
        is_sent: bool,
        decoded: Decoded,
        report: &mut dyn Report,
    ) -> Result<()> {
        let text = |decoded: &Decoded| {
            let arrow = if is_sent { "->" } else { "<-" };
            format!("{} {arrow} {remote} {}", units::clock(), decoded.text())
        };
        match &mut self.to {
            To::File(file) => writeln!(file, "{}", text(&decoded))?,
            To::Stdout => {
                let mut written = Ok(());
                report.aside(&mut || written = line(text(&decoded)));
                written?;
            }
            To::Json => {
                let mut fields = Map::new();
                fields.insert("peer".into(), remote.to_string().into());
                fields.insert("sent".into(), is_sent.into());
                fields.insert("message".into(), decoded.name.into());
                fields.insert("fields".into(), decoded.fields.into());
                line(events::event("message", hash, fields.into()))?;
            }
        }
        Ok(())
    }

    fn peer_message(&mut self, trace: &Trace) -> Decoded {
        let bytes = match &trace.message {
            TraceMessage::Handshake(bytes) => return handshake(bytes),
            TraceMessage::Message(bytes) => bytes,
        };
        // of a piece only the head is traced
        if let Ok(Some(block)) = message::parse_piece_header(bytes) {
            return Decoded::new("piece", block_fields(block));
        }
        match Message::parse(bytes) {
            Ok(Some((Message::Extended { id, payload }, _))) => self.extended(trace, id, payload),
            Ok(Some((message, _))) => plain(&message),
            Ok(None) | Err(_) => Decoded::new("unreadable", json!({"bytes": hex(bytes)})),
        }
    }

    /// A message of the extension protocol. Its id is the receiver's choice.
    fn extended(&mut self, trace: &Trace, id: u8, payload: &[u8]) -> Decoded {
        if id == extension::HANDSHAKE_ID {
            let Ok(handshake) = ExtensionHandshake::decode(payload) else {
                return Decoded::new("extended_handshake", json!({"bytes": hex(payload)}));
            };
            if !trace.is_sent {
                self.ids.entry(trace.conn).or_default().update(&handshake.ids);
            }
            return extension_handshake(&handshake);
        }
        let theirs = self.ids.get(&trace.conn);
        let extension = match trace.is_sent {
            true => Extension::ALL.into_iter().find(|e| theirs.and_then(|ids| ids.id_of(*e)) == Some(id)),
            false => Extension::from_local_id(id),
        };
        match extension {
            Some(Extension::UtMetadata) => metadata(payload),
            Some(Extension::UtPex) => pex(payload),
            Some(other) => Decoded::new(other.name(), json!({"bytes": hex(payload)})),
            None => Decoded::new("extended", json!({"id": id, "length": payload.len()})),
        }
    }
}

impl Decoded {
    /// `fields` is an object.
    fn new(name: &str, fields: Value) -> Self {
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Decoded { name: name.to_owned(), fields }
    }

    fn text(&self) -> String {
        let mut text = self.name.clone();
        for (name, value) in self.fields.iter().filter(|(_, v)| !v.is_null()) {
            write!(text, " {name}={value}").expect("a String takes all text");
        }
        text
    }
}

fn handshake(bytes: &[u8]) -> Decoded {
    let Ok(Some(prefix)) = parse_prefix(bytes) else {
        return Decoded::new("handshake", json!({"bytes": hex(bytes)}));
    };
    let peer_id: Option<[u8; 20]> = bytes.get(48..68).and_then(|b| b.try_into().ok());
    let fields = json!({
        "reserved": hex(&prefix.reserved.0),
        "info_hash": prefix.info_hash.to_string(),
        "peer_id": peer_id.map(|id| hex(&id)),
        "client": peer_id.and_then(|id| PeerId(id).client()),
    });
    Decoded::new("handshake", fields)
}

fn plain(message: &Message<'_>) -> Decoded {
    let none = || json!({});
    let (name, fields) = match *message {
        Message::KeepAlive => ("keep_alive", none()),
        Message::Choke => ("choke", none()),
        Message::Unchoke => ("unchoke", none()),
        Message::Interested => ("interested", none()),
        Message::NotInterested => ("not_interested", none()),
        Message::Have(piece) => ("have", json!({"piece": piece.0})),
        Message::Bitfield(bits) => ("bitfield", json!({"bits": short_hex(bits), "bytes": bits.len()})),
        Message::Request(block) => ("request", block_fields(block)),
        Message::Piece { piece, begin, data } => {
            ("piece", json!({"piece": piece.0, "begin": begin, "length": data.len()}))
        }
        Message::Cancel(block) => ("cancel", block_fields(block)),
        Message::Port(port) => ("port", json!({"port": port})),
        Message::Suggest(piece) => ("suggest", json!({"piece": piece.0})),
        Message::HaveAll => ("have_all", none()),
        Message::HaveNone => ("have_none", none()),
        Message::Reject(block) => ("reject", block_fields(block)),
        Message::AllowedFast(piece) => ("allowed_fast", json!({"piece": piece.0})),
        Message::Extended { id, payload } => ("extended", json!({"id": id, "length": payload.len()})),
        Message::Unknown { id, payload } => ("unknown", json!({"id": id, "length": payload.len()})),
    };
    Decoded::new(name, fields)
}

fn block_fields(block: BlockRef) -> Value {
    json!({"piece": block.piece.0, "begin": block.begin, "length": block.len})
}

fn extension_handshake(h: &ExtensionHandshake) -> Decoded {
    let ids: Map<String, Value> = Extension::ALL
        .into_iter()
        .filter_map(|e| h.ids.id_of(e).map(|id| (e.name().to_owned(), id.into())))
        .collect();
    let fields = json!({
        "m": ids,
        "p": h.port,
        "v": h.client,
        "yourip": h.your_ip.map(|ip| ip.to_string()),
        "reqq": h.request_queue_len,
        "metadata_size": h.metadata_size,
        "upload_only": h.upload_only,
    });
    Decoded::new("extended_handshake", fields)
}

fn metadata(payload: &[u8]) -> Decoded {
    let fields = match MetadataMessage::decode(payload) {
        Ok(Some(MetadataMessage::Request { block })) => json!({"type": "request", "block": block}),
        Ok(Some(MetadataMessage::Data { block, total_size, data })) => {
            json!({"type": "data", "block": block, "total_size": total_size, "length": data.len()})
        }
        Ok(Some(MetadataMessage::Reject { block })) => json!({"type": "reject", "block": block}),
        Ok(None) | Err(_) => json!({"bytes": short_hex(payload)}),
    };
    Decoded::new("ut_metadata", fields)
}

fn pex(payload: &[u8]) -> Decoded {
    let fields = match PexMessage::decode(payload) {
        Ok(pex) => {
            let added: Vec<String> = pex.added.iter().map(|p| p.addr.to_string()).collect();
            let dropped: Vec<String> = pex.dropped.iter().map(ToString::to_string).collect();
            json!({"added": added, "dropped": dropped})
        }
        Err(_) => json!({"bytes": short_hex(payload)}),
    };
    Decoded::new("ut_pex", fields)
}

fn krpc_message(bytes: &[u8]) -> Decoded {
    let Ok(message) = krpc::Message::decode(bytes) else {
        return Decoded::new("datagram", json!({"bytes": short_hex(bytes)}));
    };
    let transaction = hex(&message.transaction);
    let (name, mut fields) = match &message.kind {
        Kind::Query(query) => {
            let (name, fields) = krpc_query(&query.method);
            (name, object(json!({"id": hex(&query.id.0)}), fields))
        }
        Kind::Response(r) => {
            let values: Vec<String> = r.values.iter().map(ToString::to_string).collect();
            let fields = json!({
                "id": hex(&r.id.0),
                "nodes": r.nodes.as_deref().map(nodes),
                "nodes6": r.nodes6.as_deref().map(nodes),
                "values": (!values.is_empty()).then_some(values),
                "token": r.token.as_deref().map(hex),
            });
            ("response".to_owned(), object(fields, json!({})))
        }
        Kind::Error { code, text } => {
            let fields = json!({"code": code, "text": String::from_utf8_lossy(text)});
            ("error".to_owned(), object(fields, json!({})))
        }
    };
    fields.insert("t".into(), transaction.into());
    Decoded { name: format!("dht_{name}"), fields }
}

fn krpc_query(method: &Method) -> (String, Value) {
    match method {
        Method::Ping => ("ping".to_owned(), json!({})),
        Method::FindNode { target } => ("find_node".to_owned(), json!({"target": hex(&target.0)})),
        Method::GetPeers { info_hash, .. } => {
            ("get_peers".to_owned(), json!({"info_hash": hex(&info_hash.0)}))
        }
        Method::AnnouncePeer { info_hash, port, implied_port, token, is_seed } => {
            let fields = json!({
                "info_hash": hex(&info_hash.0), "port": port, "implied_port": implied_port,
                "token": hex(token), "seed": is_seed,
            });
            ("announce_peer".to_owned(), fields)
        }
        Method::Unknown { name, target } => {
            (String::from_utf8_lossy(name).into_owned(), json!({"target": target.map(|t| hex(&t.0))}))
        }
    }
}

fn nodes(nodes: &[NodeInfo]) -> Vec<String> {
    nodes.iter().map(|n| format!("{}@{}", hex(&n.id.0), n.addr)).collect()
}

fn object(first: Value, second: Value) -> Map<String, Value> {
    let mut all = Map::new();
    for part in [first, second] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all text");
        text
    })
}

/// The first bytes, when there are many.
fn short_hex(bytes: &[u8]) -> String {
    match bytes.get(..BYTES_SHOWN_MAX) {
        Some(head) if bytes.len() > BYTES_SHOWN_MAX => format!("{}…", hex(head)),
        _ => hex(bytes),
    }
}

/// Opens a trace to go on with. Another file, such as one meant as a source, is left alone.
fn open_file(path: &Path) -> Result<File> {
    let failed = |e| about("write the trace to", path, &e);
    let mut file = File::options().create(true).read(true).append(true).open(path).map_err(failed)?;
    let mut first = Vec::new();
    (&file).take(HEADER_LEN).read_to_end(&mut first).map_err(failed)?;
    if first.is_empty() {
        file.write_all(HEADER).map_err(failed)?;
    } else if first != HEADER {
        bail!("cannot write the trace to {}: it holds something else; name another file", path.display());
    }
    Ok(file)
}

/// How a trace begins.
const HEADER: &[u8] = b"# unchoke trace\n";
const HEADER_LEN: u64 = 16;
/// Bytes of a bitfield or datagram that are shown.
const BYTES_SHOWN_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::krpc::{NodeId, Query};
    use unchoke_wire::{Handshake, PieceIndex, Reserved, WireHash};

    #[test]
    fn messages_are_shown_with_their_fields() {
        let text = |m: Message<'_>| plain(&m).text();
        assert_eq!(text(Message::Interested), "interested");
        assert_eq!(text(Message::Have(PieceIndex(7))), "have piece=7");
        let block = BlockRef { piece: PieceIndex(2), begin: 16_384, len: 100 };
        assert_eq!(text(Message::Request(block)), "request piece=2 begin=16384 length=100");
        assert_eq!(text(Message::Bitfield(&[0xe0])), "bitfield bits=\"e0\" bytes=1");
    }

    #[test]
    fn a_handshake_names_torrent_and_client() {
        let peer_id = PeerId::ours(*b"abcdefghijkl");
        let bytes = Handshake { reserved: Reserved([0; 8]), info_hash: WireHash([1; 20]), peer_id }.encode();
        let whole = handshake(&bytes);
        assert_eq!(whole.fields["info_hash"], "01".repeat(20));
        assert!(
            whole.fields["client"].as_str().is_some_and(|c| c.starts_with("Unchoke")),
            "{}",
            whole.text()
        );
        assert!(handshake(&bytes[..48]).fields["peer_id"].is_null());
    }

    #[test]
    fn queries_of_the_dht_are_decoded() {
        let message = krpc::Message {
            transaction: b"aa".to_vec(),
            kind: Kind::Query(Query {
                id: NodeId([2; 20]),
                want: None,
                method: Method::GetPeers { info_hash: NodeId([3; 20]), no_seeds: false, scrape: false },
            }),
            version: None,
            is_read_only: false,
            ip: None,
        };
        let decoded = krpc_message(&message.encode());
        assert_eq!(decoded.name, "dht_get_peers");
        assert_eq!(
            (&decoded.fields["t"], &decoded.fields["info_hash"]),
            (&json!("6161"), &json!("03".repeat(20)))
        );
        assert_eq!(krpc_message(b"\0\x01").text(), "datagram bytes=\"0001\"");
    }

    #[test]
    fn a_trace_is_never_written_over_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for _ in 0..2 {
            drop(open_file(&path).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), HEADER);
        }
        std::fs::write(&path, "d8:announce").unwrap();
        assert!(open_file(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"d8:announce");
    }
}
