//! What a session reports.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use unchoke_engine::output::Trace;
use unchoke_engine::{Event, hub::HubEvent};
use unchoke_wire::WireHash;

/// Something happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// To a torrent. `Completed` comes after the files were finished and synced.
    Torrent {
        /// Its hash.
        hash: WireHash,
        /// What.
        event: Event,
    },
    /// A check of a torrent's files went on.
    Checking {
        /// Its hash.
        hash: WireHash,
        /// Pieces checked so far.
        done: u32,
        /// Pieces to check.
        total: u32,
    },
    /// The storage of a torrent is open and its check is over: it transfers from now on.
    Ready {
        /// Its hash.
        hash: WireHash,
        /// Pieces that are there.
        have: u32,
        /// Pieces in all.
        pieces: u32,
    },
    /// Something about a torrent that a user should see and that stops nothing.
    Warning {
        /// Its hash.
        hash: WireHash,
        /// One line.
        text: String,
    },
    /// Of no single torrent: what others tell us about our address.
    Network(Event),
    /// To the DHT.
    Dht(HubEvent),
    /// A peer message passed, when tracing is on.
    Message {
        /// The torrent's hash.
        hash: WireHash,
        /// The message.
        trace: Trace,
    },
    /// A datagram passed, when tracing is on.
    Datagram {
        /// The other end.
        remote: SocketAddr,
        /// Whether we sent it.
        is_sent: bool,
        /// Its payload.
        bytes: Vec<u8>,
    },
}

/// Events that may wait for their reader; later ones are dropped and counted.
pub(crate) const EVENTS_MAX: usize = 65_536;

/// Where the threads of a session put events.
#[derive(Debug)]
pub(crate) struct EventSink {
    sender: Sender<SessionEvent>,
    receiver: Receiver<SessionEvent>,
    dropped: AtomicU64,
}

impl EventSink {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = crossbeam_channel::unbounded();
        EventSink { sender, receiver, dropped: AtomicU64::new(0) }
    }

    pub(crate) fn emit(&self, event: SessionEvent) {
        // not a bounded channel: that would hold the memory of all places from the start
        if self.sender.len() < EVENTS_MAX {
            // our own receiver keeps the channel open
            let _ = self.sender.send(event);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn receiver(&self) -> Receiver<SessionEvent> {
        self.receiver.clone()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
