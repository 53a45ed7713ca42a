//! How the exchange is told: chapters in words with the messages beside them, or every message as JSON.
//!
//! Every message is told once. What A sends and receives is told as A sees it, in A's order; of B and C only what
//! passes without A. The DHT node itself says nothing that the others do not tell.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Map, Value, json};
use unchoke_runtime::{Event, SessionEvent};

use super::Telling;
use super::cast::{Cast, Who};
use crate::describe::{self, Described};

/// A message as one of the players saw it.
struct Seen {
    who: Who,
    other: Who,
    is_sent: bool,
    is_dht: bool,
    described: Described,
    bytes: Vec<u8>,
}

/// Tells the exchange.
pub(crate) struct Story<'w> {
    telling: Telling,
    out: &'w mut dyn Write,
    start: Instant,
    chapter: usize,
    /// DHT lines told in this chapter; in words a few are enough.
    dht_lines: usize,
    /// What was asked, by who saw it, the other end and the transaction.
    queries: BTreeMap<(Who, SocketAddr, Vec<u8>), String>,
    a_has: usize,
    messages: usize,
}

/// DHT messages shown in each chapter when not everything is.
const DHT_LINES_MAX: usize = 4;

/// The headings, in the order of the exchange.
const CHAPTERS: [(&str, &str); 11] = [
    ("", ""),
    (
        "B and C join the DHT and announce the torrent",
        "A peer can only be found in the DHT once it has announced itself: first get_peers, which brings a token, then announce_peer with it.",
    ),
    (
        "A joins the DHT",
        "All A has is the torrent. It has no tracker, but names a DHT node: A asks it for others.",
    ),
    (
        "A asks the DHT who shares the torrent",
        "The info-hash is the key. Only get_peers brings peers (\"values\"); find_node brings nodes. When the lookup ends A announces itself too, with the tokens it was given: announce_peer, further down.",
    ),
    (
        "Handshakes",
        "A dials B and C. Both sides name the protocol, the info-hash and themselves: 68 bytes each way.",
    ),
    (
        "Bitfields",
        "Right after the handshake everybody says what it has. B: 111 = 0xe0. C: 110 = 0xc0. A has nothing, so it says nothing.",
    ),
    (
        "Interested, unchoke",
        "A wants what they have and says so. Nothing may be requested before the other side unchokes.",
    ),
    (
        "Requests: the rarest piece first",
        "Piece 2 is held by B alone, so A takes it first, and from B. Pieces 0 and 1 are as common as each other: C, who is idle, gives them.",
    ),
    (
        "Blocks arrive, pieces are verified, haves go out",
        "A piece whose hash is right is written, and only then announced: one have to each peer, also to those who have it.",
    ),
    ("A is a seed and stays", "A is no longer interested in anybody, and goes on to serve."),
    ("C takes its last piece from A", "C lacked piece 2 and has just heard that A has it."),
];

impl<'w> Story<'w> {
    /// A story that begins now.
    pub(crate) fn new(telling: Telling, out: &'w mut dyn Write, start: Instant) -> Self {
        let queries = BTreeMap::new();
        Story { telling, out, start, chapter: 0, dht_lines: 0, queries, a_has: 0, messages: 0 }
    }

    /// Says who plays.
    pub(crate) fn begin(&mut self, cast: &Cast) -> Result<()> {
        if self.telling == Telling::Json {
            return Ok(());
        }
        let hash = cast.metainfo().info_hashes.best().map(|h| h.to_string()).unwrap_or_default();
        writeln!(
            self.out,
            "A trackerless swarm of three, on this machine, with the real engine on real sockets.\n"
        )?;
        writeln!(
            self.out,
            "  torrent    seed3.bin, 75,536 bytes in 3 pieces of 32,768 bytes (the last has 10,000)"
        )?;
        writeln!(self.out, "  info-hash  {hash}")?;
        writeln!(self.out, "  trackers   none")?;
        writeln!(self.out, "  nodes      {}\n", cast.addr(Who::Router))?;
        for (who, what) in [
            (Who::Router, "a DHT node, with no torrent"),
            (Who::A, "the newcomer: 000, no piece yet"),
            (Who::B, "the seed:     111, every piece"),
            (Who::C, "a peer:       110, pieces 0 and 1"),
        ] {
            writeln!(self.out, "  {}  {:<21} {what}", who.name(), cast.addr(who))?;
        }
        self.turn_to(1)
    }

    /// Says that A begins.
    pub(crate) fn a_starts(&mut self, _cast: &Cast) -> Result<()> {
        self.turn_to(2)
    }

    /// Says what happened at somebody.
    pub(crate) fn tell(&mut self, cast: &Cast, who: Who, event: &SessionEvent) -> Result<()> {
        match event {
            SessionEvent::Message { trace, .. } if who == Who::A => {
                let bytes = match &trace.message {
                    unchoke_runtime::TraceMessage::Handshake(b)
                    | unchoke_runtime::TraceMessage::Message(b) => b,
                };
                self.message(Seen {
                    who,
                    other: cast.who_is(trace.remote),
                    is_sent: trace.is_sent,
                    is_dht: false,
                    described: describe::peer_message(&trace.message, trace.is_sent),
                    bytes: bytes.clone(),
                })
            }
            SessionEvent::Datagram { remote, is_sent, bytes } => {
                let other = cast.who_is(*remote);
                let is_told = who == Who::A
                    || (who != Who::Router && other != Who::A && (other == Who::Router || *is_sent));
                match self.dht_message(who, *remote, bytes).filter(|_| is_told) {
                    Some(described) => self.message(Seen {
                        who,
                        other,
                        is_sent: *is_sent,
                        is_dht: true,
                        described,
                        bytes: bytes.clone(),
                    }),
                    None => Ok(()),
                }
            }
            SessionEvent::Torrent { event: Event::PieceDone { piece, .. }, .. } if who != Who::B => {
                self.note(&format!("{} verified and wrote piece {}", who.name(), piece.0))
            }
            SessionEvent::Torrent { event: Event::Completed { .. }, .. } if who != Who::B => {
                self.note(&format!("{} has all three pieces", who.name()))
            }
            _ => Ok(()),
        }
    }

    /// A DHT message in words; a reply is named after its query.
    fn dht_message(&mut self, who: Who, remote: SocketAddr, bytes: &[u8]) -> Option<Described> {
        let (mut described, transaction) = describe::dht_message(bytes)?;
        let key = (who, remote, transaction);
        if described.name == "reply" {
            if let Some(query) = self.queries.remove(&key) {
                described.name = format!("{query} reply");
            }
        } else {
            self.queries.insert(key, described.name.clone());
        }
        Some(described)
    }

    fn message(&mut self, seen: Seen) -> Result<()> {
        self.messages += 1;
        if self.telling == Telling::Json {
            return self.json(&seen);
        }
        if let Some(chapter) = chapter_of(&seen).filter(|c| *c > self.chapter) {
            self.turn_to(chapter)?;
        }
        if seen.who == Who::A && seen.is_sent && seen.described.name == "have" {
            self.a_has += 1;
        }
        if !self.is_shown(&seen) {
            return Ok(());
        }
        let arrow = if seen.is_sent { "→" } else { "←" };
        let time = self.start.elapsed().as_secs_f64();
        let (who, other, line) = (seen.who.name(), seen.other.name(), seen.described.line());
        writeln!(self.out, "  {time:6.3}  {who} {arrow} {other}  {line}")?;
        Ok(())
    }

    /// Whether a message is among those shown.
    fn is_shown(&mut self, seen: &Seen) -> bool {
        if self.telling == Telling::Trace {
            return true;
        }
        if seen.is_dht {
            let name = seen.described.name.as_str();
            let has_values = seen.described.fields.iter().any(|(field, _)| *field == "values");
            let matters = match (seen.who, self.chapter) {
                (Who::B | Who::C, 1) => name == "announce_peer",
                (Who::A, 2) => name.starts_with("find_node"),
                (Who::A, 3) => name == "get_peers" || has_values,
                (Who::A, _) => name == "announce_peer",
                _ => false,
            };
            self.dht_lines += usize::from(matters);
            return matters && (has_values || self.dht_lines <= DHT_LINES_MAX);
        }
        !matches!(seen.described.name.as_str(), "extension handshake" | "port" | "upload_only" | "extended")
    }

    fn json(&mut self, seen: &Seen) -> Result<()> {
        let mut object = Map::new();
        object.insert("time_ms".to_owned(), json!(self.start.elapsed().as_millis()));
        object.insert("host".to_owned(), json!(seen.who.name()));
        object.insert("direction".to_owned(), json!(if seen.is_sent { "sent" } else { "received" }));
        object.insert("peer".to_owned(), json!(seen.other.name()));
        object.insert("protocol".to_owned(), json!(if seen.is_dht { "dht" } else { "peer" }));
        object.insert("message".to_owned(), json!(seen.described.name));
        for (name, value) in &seen.described.fields {
            object.insert((*name).to_owned(), value.clone());
        }
        object.insert("bytes".to_owned(), json!(describe::hex(&seen.bytes)));
        writeln!(self.out, "{}", Value::Object(object))?;
        Ok(())
    }

    fn note(&mut self, text: &str) -> Result<()> {
        if self.telling != Telling::Json {
            writeln!(self.out, "  {:6.3}  * {text}", self.start.elapsed().as_secs_f64())?;
        }
        Ok(())
    }

    fn turn_to(&mut self, chapter: usize) -> Result<()> {
        (self.chapter, self.dht_lines) = (chapter, 0);
        if self.telling != Telling::Json {
            let (heading, words) = CHAPTERS[chapter];
            writeln!(self.out, "\n{chapter}. {heading}\n   {words}\n")?;
        }
        Ok(())
    }

    /// Says how it ended.
    pub(crate) fn end(&mut self, cast: &Cast) -> Result<()> {
        if self.telling == Telling::Json {
            return Ok(());
        }
        let seconds = self.start.elapsed().as_secs_f64();
        let pieces = cast.metainfo().info.layout.piece_count();
        writeln!(self.out, "\nAll three are seeds: {pieces} of {pieces} pieces each, every byte compared.")?;
        writeln!(
            self.out,
            "{} messages in {seconds:.1} s. `--trace` shows all of them, `--json` each as an object.",
            self.messages
        )?;
        Ok(())
    }
}

/// The chapter a message opens, if it is one of those that do.
fn chapter_of(seen: &Seen) -> Option<usize> {
    if seen.who != Who::A {
        return None;
    }
    match (seen.described.name.as_str(), seen.is_sent, seen.other) {
        ("get_peers", true, _) => Some(3),
        ("handshake", true, _) => Some(4),
        ("bitfield", false, _) => Some(5),
        ("interested", true, _) => Some(6),
        ("request", true, _) => Some(7),
        ("piece", false, _) => Some(8),
        ("not interested", true, _) => Some(9),
        ("interested", false, Who::C) => Some(10),
        _ => None,
    }
}
