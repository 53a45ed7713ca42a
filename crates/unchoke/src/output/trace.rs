//! `--trace`: every message of peers and DHT nodes, decoded, as a line of text or a JSON event.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::Map;
use unchoke_engine::ConnId;
use unchoke_engine::event::Event;
use unchoke_runtime::{SessionEvent, Trace, TraceMessage};
use unchoke_wire::extension::HANDSHAKE_ID;
use unchoke_wire::{Extension, ExtensionHandshake, ExtensionIds, Message};

use super::{Report, events, line};
use crate::describe::{self, Described, hex};
use crate::errors::{about, one_line};
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
                let message = self.peer_message(trace);
                self.write(Some(hash.to_string()), trace.remote, trace.is_sent, message, report)
            }
            SessionEvent::Datagram { remote, is_sent, bytes } => {
                self.write(None, *remote, *is_sent, datagram(bytes), report)
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
        message: Described,
        report: &mut dyn Report,
    ) -> Result<()> {
        let arrow = if is_sent { "->" } else { "<-" };
        let protocol = if hash.is_some() { "" } else { "dht " };
        let text = || one_line(&format!("{} {arrow} {remote}  {protocol}{}", units::clock(), message.line()));
        match &mut self.to {
            To::File(file) => writeln!(file, "{}", text())?,
            To::Stdout => {
                let mut written = Ok(());
                report.aside(&mut || written = line(text()));
                written?;
            }
            To::Json => {
                let mut fields = Map::new();
                fields.insert("peer".into(), remote.to_string().into());
                fields.insert("direction".into(), if is_sent { "sent" } else { "received" }.into());
                fields.insert("protocol".into(), if hash.is_some() { "peer" } else { "dht" }.into());
                fields.insert("message".into(), message.name.into());
                fields.extend(message.fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
                line(events::event("message", hash, fields.into()))?;
            }
        }
        Ok(())
    }

    fn peer_message(&mut self, trace: &Trace) -> Described {
        if let TraceMessage::Message(bytes) = &trace.message
            && let Ok(Some((Message::Extended { id, payload }, _))) = Message::parse(bytes)
        {
            if id == HANDSHAKE_ID && !trace.is_sent {
                let told = ExtensionHandshake::decode(payload).map(|h| h.ids).unwrap_or_default();
                self.ids.entry(trace.conn).or_default().update(&told);
            } else if trace.is_sent
                && let Some(message) = self.with_our_id(trace.conn, id, payload)
            {
                return describe::peer_message(&message, false);
            }
        }
        describe::peer_message(&trace.message, trace.is_sent)
    }

    /// An extended message that we send carries the id its receiver chose: the same message as we would receive it.
    fn with_our_id(&self, conn: ConnId, id: u8, payload: &[u8]) -> Option<TraceMessage> {
        let theirs = self.ids.get(&conn)?;
        let extension = Extension::ALL.into_iter().find(|e| theirs.id_of(*e) == Some(id))?;
        let message = Message::Extended { id: extension.local_id(), payload };
        Some(TraceMessage::Message(message.to_vec()))
    }
}

/// A datagram of the DHT, or of something else.
fn datagram(bytes: &[u8]) -> Described {
    match describe::dht_message(bytes) {
        Some((message, transaction)) => {
            let mut fields = message.fields;
            fields.push(("transaction", hex(&transaction).into()));
            Described { name: message.name, fields }
        }
        None => Described { name: "datagram".to_owned(), fields: vec![("length", bytes.len().into())] },
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

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_engine::TorrentId;

    fn extended(is_sent: bool, id: u8, payload: &[u8]) -> Trace {
        Trace {
            torrent: TorrentId::default(),
            conn: ConnId::default(),
            remote: "127.0.0.1:1".parse().unwrap(),
            is_sent,
            message: TraceMessage::Message(Message::Extended { id, payload }.to_vec()),
        }
    }

    #[test]
    fn what_we_send_is_named_by_the_ids_of_its_receiver() {
        let mut tracer = Tracer::open(None, true).unwrap();
        let request = b"d8:msg_typei0e5:piecei4ee";
        assert_eq!(tracer.peer_message(&extended(true, 9, request)).name, "extended");
        let handshake = b"d1:md11:ut_metadatai9eee";
        tracer.peer_message(&extended(false, HANDSHAKE_ID, handshake));
        let line = tracer.peer_message(&extended(true, 9, request)).line();
        assert_eq!(line, "ut_metadata  type request  block 4");
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
