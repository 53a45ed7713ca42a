//! What happened in a run, in order: the messages that passed and the events that were told.

use crate::host::HostId;
use core::net::SocketAddr;
use unchoke_engine::Event;
use unchoke_engine::hub::HubEvent;
use unchoke_engine::output::{Trace, TraceMessage};
use unchoke_wire::message::{Message, parse_piece_header};
use unchoke_wire::time::Instant;

/// One thing that happened at one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// At which host.
    pub host: HostId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A peer message was sent or received.
    Peer(Trace),
    /// A datagram was sent.
    DatagramSent {
        /// To whom.
        to: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// The engine told something.
    Event(Event),
    /// The hub told something.
    Hub(HubEvent),
}

/// The log of a run, and a digest of it that two equal runs share.
#[derive(Clone, Debug, Default)]
pub struct Log {
    entries: Vec<Entry>,
    digest: u64,
    is_kept: bool,
}

impl Log {
    /// An empty log; entries are kept only when wanted, the digest always covers them.
    pub fn new(is_kept: bool) -> Self {
        Log { entries: Vec::new(), digest: 0xcbf2_9ce4_8422_2325, is_kept }
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: Entry) {
        self.mix(&entry.at.as_micros().to_le_bytes());
        self.mix(&entry.host.0.to_le_bytes());
        match &entry.what {
            What::Peer(trace) => {
                self.mix(&[u8::from(trace.is_sent)]);
                match &trace.message {
                    TraceMessage::Handshake(bytes) | TraceMessage::Message(bytes) => self.mix(bytes),
                }
            }
            What::DatagramSent { bytes, .. } => self.mix(bytes),
            What::Event(event) => self.mix(format!("{event:?}").as_bytes()),
            What::Hub(event) => self.mix(format!("{event:?}").as_bytes()),
        }
        if self.is_kept {
            self.entries.push(entry);
        }
    }

    /// FNV-1a, eight bytes at a time: stable on every platform.
    fn mix(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut tail = [0; 8];
        tail[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain([&tail]) {
            self.digest = (self.digest ^ u64::from_le_bytes(*word)).wrapping_mul(0x0100_0000_01b3);
        }
        self.digest ^= self.digest >> 32;
    }

    /// The entries so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The events a host's engine told, with their times.
    pub fn events(&self, host: HostId) -> impl Iterator<Item = (Instant, &Event)> {
        self.entries.iter().filter(move |e| e.host == host).filter_map(|e| match &e.what {
            What::Event(event) => Some((e.at, event)),
            What::Peer(_) | What::DatagramSent { .. } | What::Hub(_) => None,
        })
    }

    /// The peer messages a host sent and got, with their times.
    pub fn traces(&self, host: HostId) -> impl Iterator<Item = (Instant, &Trace)> {
        self.entries.iter().filter(move |e| e.host == host).filter_map(|e| match &e.what {
            What::Peer(trace) => Some((e.at, trace)),
            What::Event(_) | What::DatagramSent { .. } | What::Hub(_) => None,
        })
    }

    /// A digest over everything that happened.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// A message in a few words: `> have 2`, `< bitfield e0`, `> request 2 16384`.
pub fn words(trace: &Trace) -> String {
    let direction = if trace.is_sent { '>' } else { '<' };
    match &trace.message {
        TraceMessage::Handshake(_) => format!("{direction} handshake"),
        TraceMessage::Message(bytes) => format!("{direction} {}", message_words(bytes)),
    }
}

/// A whole message in a few words; of a block the place only.
pub fn message_words(bytes: &[u8]) -> String {
    if let Ok(Some(block)) = parse_piece_header(bytes) {
        return format!("piece {} {}", block.piece.0, block.begin);
    }
    let Ok(Some((message, _))) = Message::parse(bytes) else { return "what cannot be read".to_owned() };
    match message {
        Message::KeepAlive => "keep-alive".to_owned(),
        Message::Choke => "choke".to_owned(),
        Message::Unchoke => "unchoke".to_owned(),
        Message::Interested => "interested".to_owned(),
        Message::NotInterested => "not-interested".to_owned(),
        Message::Have(piece) => format!("have {}", piece.0),
        Message::Bitfield(bits) => {
            format!("bitfield {}", bits.iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
        Message::Request(b) => format!("request {} {}", b.piece.0, b.begin),
        Message::Piece { piece, begin, .. } => format!("piece {} {begin}", piece.0),
        Message::Cancel(b) => format!("cancel {} {}", b.piece.0, b.begin),
        Message::Port(port) => format!("port {port}"),
        Message::Suggest(piece) => format!("suggest {}", piece.0),
        Message::HaveAll => "have-all".to_owned(),
        Message::HaveNone => "have-none".to_owned(),
        Message::Reject(b) => format!("reject {} {}", b.piece.0, b.begin),
        Message::AllowedFast(piece) => format!("allowed-fast {}", piece.0),
        Message::Extended { id, .. } => format!("extended {id}"),
        Message::Unknown { id, .. } => format!("unknown {id}"),
    }
}
