//! What passed between an engine and its peers, and what follows from it: never the engine's own books.

use super::CONTENT;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use unchoke_engine::ConnId;
use unchoke_engine::output::{Trace, TraceMessage, VerifyJob};
use unchoke_wire::message::{Message, parse_piece_header};
use unchoke_wire::scope::canonical;
use unchoke_wire::{BLOCK_LEN, Bitfield, BlockRef, Extension, Handshake, PieceIndex, Reserved, lt_donthave};

/// Requests out to one peer at most.
const OUT_MAX: usize = 2000;

/// What is known.
pub struct Model {
    /// Pieces that were verified and written.
    pub disk: Bitfield,
    /// The pieces the engine was told of; `None` without a storage.
    have: Option<Bitfield>,
    pub wanted: Bitfield,
    checking: BTreeSet<u32>,
    conns: BTreeMap<ConnId, Conn>,
    slots: usize,
}

/// One connection.
#[derive(Default)]
struct Conn {
    dialled: Option<SocketAddr>,
    /// What the peer and we speak, once both said so.
    reserved: [Option<Reserved>; 2],
    sent: u32,
    has_told: bool,
    has: BTreeSet<u32>,
    is_all: bool,
    am_interested: bool,
    is_letting: bool,
    is_unchoked: bool,
    /// Pieces we may ask for while choked, and those the peer may.
    fast_for_us: BTreeSet<u32>,
    fast_for_it: BTreeSet<u32>,
    requests: BTreeSet<BlockRef>,
    /// The block that began to arrive last.
    arriving: Option<BlockRef>,
    /// Requests of the peer and how often each waits for an answer.
    asked: BTreeMap<BlockRef, u32>,
}

impl Model {
    pub fn new(slots: usize) -> Self {
        let pieces = CONTENT.metainfo.info.layout.piece_count();
        Model {
            disk: Bitfield::none(pieces),
            have: None,
            wanted: Bitfield::all(pieces),
            checking: BTreeSet::new(),
            conns: BTreeMap::new(),
            slots,
        }
    }

    /// The storage is open.
    pub fn loaded(&mut self) {
        self.have = Some(self.disk.clone());
        self.wanted = Bitfield::all(self.disk.len());
    }

    /// The torrent fell asleep.
    pub fn unloaded(&mut self) {
        self.have = None;
        assert!(self.conns.values().all(|c| c.reserved[0].is_none()), "it sleeps and has peers");
    }

    pub fn is_loaded(&self) -> bool {
        self.have.is_some()
    }

    /// A connection begins; `dialled`: with whom, if we began it.
    pub fn opened(&mut self, conn: ConnId, dialled: Option<SocketAddr>) {
        let dialled = dialled.map(canonical);
        assert!(self.conns.insert(conn, Conn { dialled, ..Conn::default() }).is_none());
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.conns.remove(&conn).expect("a connection is closed once");
    }

    /// Whether a connection is there that we dialled this address for.
    pub fn is_dialled(&self, addr: SocketAddr) -> bool {
        self.conns.values().any(|c| c.dialled == Some(canonical(addr)))
    }

    /// Requests that are out to a peer.
    pub fn requests(&self, conn: ConnId) -> Vec<BlockRef> {
        self.conns.get(&conn).map(|c| c.requests.iter().copied().collect()).unwrap_or_default()
    }

    /// A piece is to be hashed and written.
    pub fn verifying(&mut self, job: &VerifyJob) {
        let have = self.have.as_ref().expect("there is a storage");
        assert!(!have.has(job.piece), "{:?} is there", job.piece);
        assert_eq!(job.data.len(), CONTENT.piece(job.piece).len());
        assert!(self.checking.insert(job.piece.0), "{:?} is being verified", job.piece);
    }

    /// The job is answered.
    pub fn verified(&mut self, piece: PieceIndex, is_written: bool) {
        self.checking.remove(&piece.0);
        if is_written {
            self.disk.set(piece);
        }
    }

    /// The engine says that a piece is done.
    pub fn done(&mut self, piece: PieceIndex) {
        assert!(self.disk.has(piece), "{piece:?} is told as done and not written");
        if let Some(have) = &mut self.have {
            have.set(piece);
        }
    }

    /// The engine says that all is there.
    pub fn completed(&self) {
        let have = self.have.as_ref().expect("there is a storage");
        assert!(!self.wanted.has_any_not_in(have), "complete and something is missing");
    }

    pub fn trace(&mut self, trace: &Trace) {
        let c = self.conns.get(&trace.conn).expect("it is there");
        let bytes = match &trace.message {
            TraceMessage::Handshake(bytes) => {
                let reserved = Handshake::decode(bytes).ok().flatten().map(|h| h.reserved);
                self.conn(trace).reserved[usize::from(trace.is_sent)] = reserved;
                return;
            }
            TraceMessage::Message(bytes) => bytes,
        };
        if let Ok(Some(block)) = parse_piece_header(bytes) {
            match trace.is_sent {
                true => self.block_sent(trace, block),
                false => {
                    let c = self.conn(trace);
                    c.requests.remove(&block);
                    c.arriving = Some(block);
                }
            }
            return;
        }
        let (message, used) = Message::parse(bytes).expect("it is a message").expect("it is whole");
        assert_eq!(used, bytes.len());
        if trace.is_sent {
            self.check_greeting(c, &message);
            self.check_claim(&message);
            if let Message::Request(block) = &message {
                self.check_request(c, *block);
            }
            self.sent(trace, &message);
        } else {
            received(self.conn(trace), &message);
        }
    }

    fn conn(&mut self, trace: &Trace) -> &mut Conn {
        self.conns.get_mut(&trace.conn).expect("it is there")
    }

    /// Only what was asked for, is there and may be had is sent, once.
    fn block_sent(&mut self, trace: &Trace, block: BlockRef) {
        let is_there = self.have.as_ref().is_some_and(|h| h.has(block.piece)) && self.disk.has(block.piece);
        assert!(is_there, "{block:?} is sent and not there");
        let c = self.conn(trace);
        c.sent += 1;
        assert!(c.is_unchoked || c.fast_for_it.contains(&block.piece.0), "{block:?} goes to a choked peer");
        answered(c, block, "sent");
    }

    /// What we have is told first, once, and fast messages only to those who know them.
    fn check_greeting(&self, c: &Conn, message: &Message<'_>) {
        assert!(c.reserved.iter().all(Option::is_some), "{message:?} before both handshakes");
        match message {
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => {
                assert!(!c.has_told, "told twice what it has");
                assert_eq!(c.sent, 0, "told what it has after other messages");
            }
            _ => {}
        }
        let is_fast_message = matches!(
            message,
            Message::HaveAll
                | Message::HaveNone
                | Message::Reject(_)
                | Message::AllowedFast(_)
                | Message::Suggest(_)
        );
        assert!(!is_fast_message || is_fast(c), "{message:?} to a peer without the fast extension");
    }

    /// Nothing is claimed that is not written.
    fn check_claim(&self, message: &Message<'_>) {
        match message {
            Message::Have(piece) => assert!(self.disk.has(*piece), "have of {piece:?}, which is not written"),
            Message::HaveAll => assert!(self.disk.is_all(), "have-all with pieces missing"),
            Message::Bitfield(bytes) => {
                let told = Bitfield::from_bytes(bytes, self.disk.len()).expect("it is a bitfield");
                assert!(!told.has_any_not_in(&self.disk), "a bitfield claims what is not written");
            }
            _ => {}
        }
    }

    /// A request is for a block of a piece that the peer has, we want and lack, to a peer that lets us.
    fn check_request(&self, c: &Conn, block: BlockRef) {
        let have = self.have.as_ref().expect("a request before there is a storage");
        let layout = &CONTENT.metainfo.info.layout;
        assert!(block.len <= BLOCK_LEN && layout.block_index(block).is_some(), "{block:?} is none");
        assert!(c.is_all || c.has.contains(&block.piece.0), "the peer does not claim {block:?}");
        assert!(!have.has(block.piece), "{block:?} is there");
        assert!(self.wanted.has(block.piece), "nobody wants {block:?}");
        assert!(!self.checking.contains(&block.piece.0), "{block:?} is being verified");
        let may_ask = c.is_letting || is_fast(c) && c.fast_for_us.contains(&block.piece.0);
        assert!(may_ask, "the peer chokes us for {block:?}");
        assert!(c.am_interested, "asked without interest");
        assert!(!c.requests.contains(&block), "{block:?} is out already");
        assert!(c.requests.len() < OUT_MAX, "{block:?} is one too many");
    }

    fn sent(&mut self, trace: &Trace, message: &Message<'_>) {
        let c = self.conn(trace);
        c.sent += 1;
        match message {
            Message::Interested | Message::NotInterested => {
                let is_interested = *message == Message::Interested;
                assert_ne!(c.am_interested, is_interested, "{message:?} is said twice");
                c.am_interested = is_interested;
            }
            Message::Choke | Message::Unchoke => {
                let is_unchoked = *message == Message::Unchoke;
                assert_ne!(c.is_unchoked, is_unchoked, "{message:?} is said twice");
                c.is_unchoked = is_unchoked;
                if !is_unchoked && !is_fast(c) {
                    c.asked.clear();
                }
            }
            Message::Request(block) => _ = c.requests.insert(*block),
            Message::Cancel(block) => {
                let is_out = c.requests.remove(block) || c.arriving == Some(*block);
                assert!(is_out, "{block:?} is cancelled and was not asked for");
            }
            Message::Reject(block) => answered(c, *block, "rejected"),
            Message::AllowedFast(piece) => _ = c.fast_for_it.insert(piece.0),
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => c.has_told = true,
            _ => {}
        }
    }

    /// At the end of a turn: slots, and interest exactly in those who have what is wanted.
    pub fn check_turn(&self) {
        let unchoked = self.conns.values().filter(|c| c.is_unchoked).count();
        assert!(unchoked <= self.slots, "{unchoked} peers in {} slots", self.slots);
        let Some(have) = &self.have else { return };
        for c in self.conns.values().filter(|c| c.has_told) {
            let lacks = |p: PieceIndex| self.wanted.has(p) && !have.has(p);
            let is_due = match c.is_all {
                true => have.missing().any(lacks),
                false => c.has.iter().any(|p| lacks(PieceIndex(*p))),
            };
            assert_eq!(c.am_interested, is_due, "the peer is told of our interest");
        }
    }
}

fn is_fast(c: &Conn) -> bool {
    c.reserved.iter().all(|r| r.is_some_and(|r| r.has_fast()))
}

/// A request gets one answer.
fn answered(c: &mut Conn, block: BlockRef, how: &str) {
    let left = c.asked.get_mut(&block).filter(|n| **n > 0);
    *left.unwrap_or_else(|| panic!("{block:?} is {how} and nobody waits for it")) -= 1;
}

fn received(c: &mut Conn, message: &Message<'_>) {
    match message {
        Message::Choke => {
            c.is_letting = false;
            if !is_fast(c) {
                c.requests.clear();
            }
        }
        Message::Unchoke => c.is_letting = true,
        Message::Have(piece) => _ = c.has.insert(piece.0),
        Message::Bitfield(bytes) => {
            let bits = bytes.iter().zip(0u32..).flat_map(|(byte, i)| {
                (0..8u32).filter(move |bit| byte & (0x80 >> bit) != 0).map(move |bit| i * 8 + bit)
            });
            (c.is_all, c.has) = (false, bits.collect());
        }
        Message::HaveAll => c.is_all = true,
        Message::HaveNone => (c.is_all, c.has) = (false, BTreeSet::new()),
        Message::Reject(block) => _ = c.requests.remove(block),
        Message::AllowedFast(piece) => _ = c.fast_for_us.insert(piece.0),
        Message::Request(block) => *c.asked.entry(*block).or_default() += 1,
        Message::Extended { id, payload } if *id == Extension::LtDonthave.local_id() => {
            if let Ok(piece) = lt_donthave::decode(payload) {
                lost(c, piece);
            }
        }
        _ => {}
    }
}

/// The peer has a piece no more. One that rejects nothing will not send what it was asked for of it.
fn lost(c: &mut Conn, piece: PieceIndex) {
    if std::mem::take(&mut c.is_all) {
        c.has = (0..CONTENT.metainfo.info.layout.piece_count()).collect();
    }
    c.has.remove(&piece.0);
    if !is_fast(c) {
        c.requests.retain(|b| b.piece != piece);
    }
}
