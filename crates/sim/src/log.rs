//! What happened in a run, in order: the messages that passed and the events that were told.

use crate::host::HostId;
use core::net::SocketAddr;
use unchoke_engine::Event;
use unchoke_engine::hub::HubEvent;
use unchoke_engine::output::Trace;
use unchoke_wire::message::Message;
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
        // FNV-1a over the entry's text: stable on every platform
        for byte in format!("{entry:?}").bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.is_kept {
            self.entries.push(entry);
        }
    }

    /// The entries so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A digest over everything that happened.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// Calls `f` with the message a trace holds; handshakes and blocks are left out.
pub fn with_message<T>(trace: &Trace, f: impl FnOnce(&Message<'_>) -> T) -> Option<T> {
    match &trace.message {
        unchoke_engine::output::TraceMessage::Message(bytes) => {
            Message::parse(bytes).ok().flatten().map(|(message, _)| f(&message))
        }
        unchoke_engine::output::TraceMessage::Handshake(_) => None,
    }
}
