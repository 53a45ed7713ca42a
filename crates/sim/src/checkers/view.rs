//! What passed between a host and its peers, and what the host has: the facts that checkers judge by.

use super::waste::Waste;
use crate::swarm::Content;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use unchoke_engine::output::{Trace, TraceMessage};
use unchoke_engine::{ConnId, TorrentId};
use unchoke_wire::message::Message;
use unchoke_wire::{Bitfield, BlockRef, Extension, Handshake, PieceIndex, lt_donthave};

/// One torrent of a host.
#[derive(Debug)]
pub struct TorrentView {
    pub content: Rc<Content>,
    /// Acknowledged by the disk.
    pub stored: Bitfield,
    /// Told by the engine.
    pub have: Bitfield,
    pub wanted: Bitfield,
    /// Blocks received once at least, by piece and begin.
    blocks: BTreeSet<(u32, u32)>,
}

/// One connection of a host.
#[derive(Debug, Default)]
pub struct ConnView {
    pub torrent: TorrentId,
    reserved: [Option<unchoke_wire::Reserved>; 2],
    /// Messages we sent after the handshake.
    pub sent: u32,
    /// Whether we told what we have.
    pub has_told: bool,
    /// What it has, as it told.
    pub has: BTreeSet<u32>,
    pub is_all: bool,
    pub am_interested: bool,
    pub is_interested: bool,
    pub is_choking: bool,
    pub is_choked: bool,
    pub allowed_fast: BTreeSet<u32>,
    /// Requests that are out.
    pub requests: BTreeSet<BlockRef>,
    /// Requests given up, whose blocks may still come.
    given_up: BTreeSet<BlockRef>,
}

impl ConnView {
    pub fn is_fast(&self) -> bool {
        self.reserved.iter().all(|r| r.is_some_and(|r| r.has_fast()))
    }

    pub fn has(&self, piece: PieceIndex) -> bool {
        self.is_all || self.has.contains(&piece.0)
    }

    /// Whether it has something we want and lack.
    pub fn is_interesting(&self, torrent: &TorrentView) -> bool {
        let lacks = |p: PieceIndex| torrent.wanted.has(p) && !torrent.have.has(p);
        if self.is_all {
            return torrent.have.missing().any(|p| torrent.wanted.has(p));
        }
        self.has.iter().any(|p| lacks(PieceIndex(*p)))
    }
}

/// One host.
#[derive(Debug)]
pub struct HostView {
    pub slots: usize,
    pub torrents: BTreeMap<TorrentId, TorrentView>,
    pub conns: BTreeMap<ConnId, ConnView>,
    /// Connections whose interest may have changed in this turn.
    pub touched: BTreeSet<ConnId>,
    /// Whether a peer was choked or unchoked in this turn.
    pub choked: bool,
    pub waste: Waste,
}

impl HostView {
    pub fn new(slots: usize) -> Self {
        HostView {
            slots,
            torrents: BTreeMap::new(),
            conns: BTreeMap::new(),
            touched: BTreeSet::new(),
            choked: false,
            waste: Waste::default(),
        }
    }

    /// It begins anew; what it received for nothing still counts.
    pub fn restart(&mut self, slots: usize) {
        let waste = self.waste;
        *self = HostView { waste, ..HostView::new(slots) };
    }

    pub fn loaded(
        &mut self,
        torrent: TorrentId,
        content: &Rc<Content>,
        have: &Bitfield,
        wanted: Option<&Bitfield>,
    ) {
        let wanted = wanted.cloned().unwrap_or_else(|| Bitfield::all(content.pieces()));
        let view = TorrentView {
            content: content.clone(),
            stored: have.clone(),
            have: have.clone(),
            wanted,
            blocks: BTreeSet::new(),
        };
        self.torrents.insert(torrent, view);
        self.touch_all(torrent);
    }

    pub fn wants(&mut self, torrent: TorrentId, wanted: &Bitfield) {
        if let Some(t) = self.torrents.get_mut(&torrent) {
            t.wanted = wanted.clone();
        }
        self.touch_all(torrent);
    }

    pub fn stored(&mut self, torrent: TorrentId, piece: PieceIndex) {
        if let Some(t) = self.torrents.get_mut(&torrent) {
            t.stored.set(piece);
        }
    }

    pub fn piece_done(&mut self, torrent: TorrentId, piece: PieceIndex) {
        if let Some(t) = self.torrents.get_mut(&torrent) {
            t.have.set(piece);
        }
        self.touch_all(torrent);
    }

    fn touch_all(&mut self, torrent: TorrentId) {
        self.touched.extend(self.conns.iter().filter(|(_, c)| c.torrent == torrent).map(|(id, _)| *id));
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
        self.touched.remove(&conn);
    }

    pub fn handshake(&mut self, trace: &Trace) {
        let TraceMessage::Handshake(bytes) = &trace.message else { return };
        let c = self.conns.entry(trace.conn).or_insert_with(|| ConnView {
            torrent: trace.torrent,
            is_choking: true,
            is_choked: true,
            ..ConnView::default()
        });
        let reserved = Handshake::decode(bytes).ok().flatten().map(|h| h.reserved);
        c.reserved[usize::from(trace.is_sent)] = reserved;
    }

    /// A block was sent or begins to arrive.
    pub fn block(&mut self, trace: &Trace, block: BlockRef) {
        let Some(c) = self.conns.get_mut(&trace.conn) else { return };
        if trace.is_sent {
            c.sent += 1;
            return;
        }
        let is_asked = c.requests.remove(&block);
        let is_late = c.given_up.remove(&block);
        if let Some(t) = self.torrents.get_mut(&trace.torrent) {
            let is_new = (is_asked || is_late) && t.blocks.insert((block.piece.0, block.begin));
            self.waste.received += u64::from(block.len);
            self.waste.useless += u64::from(if is_new { 0 } else { block.len });
        }
    }

    pub fn message(&mut self, trace: &Trace, message: &Message<'_>) {
        let Some(c) = self.conns.get_mut(&trace.conn) else { return };
        if trace.is_sent {
            c.sent += 1;
            sent(c, message);
            self.choked |= matches!(message, Message::Choke | Message::Unchoke);
            return;
        }
        received(c, message);
        if let Some(t) = self.torrents.get(&c.torrent) {
            lost(c, t, message);
        }
        let is_claim =
            matches!(message, Message::Have(_) | Message::Bitfield(_) | Message::HaveAll | Message::HaveNone);
        if is_claim || matches!(message, Message::Extended { .. }) {
            self.touched.insert(trace.conn);
        }
    }
}

fn sent(c: &mut ConnView, message: &Message<'_>) {
    match message {
        Message::Interested => c.am_interested = true,
        Message::NotInterested => c.am_interested = false,
        Message::Choke => c.is_choked = true,
        Message::Unchoke => c.is_choked = false,
        Message::Request(block) => {
            c.requests.insert(*block);
        }
        Message::Cancel(block) => {
            c.requests.remove(block);
            c.given_up.insert(*block);
        }
        Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => c.has_told = true,
        _ => {}
    }
}

//= BEP 54: lt_donthave
/// Takes back what a peer says it has no more.
fn lost(c: &mut ConnView, torrent: &TorrentView, message: &Message<'_>) {
    let Message::Extended { id, payload } = message else { return };
    if Extension::from_local_id(*id) != Some(Extension::LtDonthave) {
        return;
    }
    if let Ok(piece) = lt_donthave::decode(payload) {
        if core::mem::take(&mut c.is_all) {
            c.has = (0..torrent.have.len()).collect();
        }
        c.has.remove(&piece.0);
    }
}

fn received(c: &mut ConnView, message: &Message<'_>) {
    match message {
        Message::Choke => {
            c.is_choking = true;
            if !c.is_fast() {
                let void = core::mem::take(&mut c.requests);
                c.given_up.extend(void);
            }
        }
        Message::Unchoke => c.is_choking = false,
        Message::Interested => c.is_interested = true,
        Message::NotInterested => c.is_interested = false,
        Message::Have(piece) => {
            c.has.insert(piece.0);
        }
        Message::Bitfield(bytes) => {
            let bits = bytes.iter().zip(0u32..).flat_map(|(byte, i)| {
                (0..8u32).filter(move |bit| byte & (0x80 >> bit) != 0).map(move |bit| i * 8 + bit)
            });
            (c.is_all, c.has) = (false, bits.collect());
        }
        Message::HaveAll => c.is_all = true,
        Message::HaveNone => {
            c.is_all = false;
            c.has.clear();
        }
        Message::Reject(block) => {
            c.requests.remove(block);
            c.given_up.remove(block);
        }
        Message::AllowedFast(piece) => {
            c.allowed_fast.insert(piece.0);
        }
        _ => {}
    }
}
