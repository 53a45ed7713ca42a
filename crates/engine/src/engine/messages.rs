//! Messages of ready peers.

use super::{Engine, protocol};
use crate::event::CloseReason;
use crate::id::ConnId;
use crate::output::{HubCommand, TraceMessage};
use crate::peer::receive::{Item, Receive};
use crate::peer::requests::Answer;
use crate::peer::uploads::Verdict;
use unchoke_wire::message::{Message, piece_header};
use unchoke_wire::{BlockRef, PieceIndex};

/// Keep-alives, changes of mind and other talk of little content from one peer in a second, more than which closes
/// it. News of pieces does not count: a peer that is fast has many.
const IDLE_MESSAGES_MAX: u32 = 200;
/// Cancels from one peer in a second, more than which closes it: an end-game may take back all that was asked, some
/// times over.
const CANCELS_MAX: u32 = 5000;
/// Bytes of answers that wait for a peer, more than which closes it: it asks and does not read. Rejects of a whole queue
/// of requests and the largest answers about metadata stay far below.
pub(super) const ANSWERS_MAX: usize = 128 << 10;

impl Engine {
    /// Cuts the bytes of a ready peer into messages and takes each.
    pub(super) fn receive_messages(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), CloseReason> {
        let mut input = bytes;
        // the stream is taken out while its messages, which may borrow from it, are handled
        let mut receive = core::mem::take(&mut self.conns[conn].receive);
        let result = self.receive_items(conn, &mut receive, &mut input);
        if let Some(c) = self.conns.get_mut(conn) {
            c.receive = receive;
            let torrent = c.torrent;
            result?;
            if c.send.len() > ANSWERS_MAX {
                return Err(protocol("asks and does not read the answers"));
            }
            if self.torrents[torrent].has_picked {
                self.top_up(conn);
            } else {
                self.touched.requests.insert(torrent);
            }
        }
        Ok(())
    }

    fn receive_items(
        &mut self,
        conn: ConnId,
        receive: &mut Receive,
        input: &mut &[u8],
    ) -> Result<(), CloseReason> {
        loop {
            let item = receive.next(input).map_err(|e| CloseReason::Protocol(e.to_string()))?;
            match item {
                None => return Ok(()),
                Some(Item::Message(message)) => self.message(conn, &message)?,
                Some(Item::BlockBegin(block)) => {
                    if self.settings.trace {
                        self.trace(conn, false, TraceMessage::Message(piece_header(block).to_vec()));
                    }
                    self.block_begin(conn, block)?;
                }
                Some(Item::BlockBytes(bytes)) => self.block_bytes(conn, bytes),
                Some(Item::BlockEnd) => self.block_end(conn)?,
            }
            if !self.conns.contains_key(conn) {
                return Ok(());
            }
        }
    }

    fn message(&mut self, conn: ConnId, message: &Message<'_>) -> Result<(), CloseReason> {
        if self.settings.trace {
            self.trace(conn, false, TraceMessage::Message(message.to_vec()));
        }
        self.note_spoken(conn, message);
        match message {
            Message::KeepAlive => self.idle_message(conn),
            Message::Choke => {
                self.choked(conn);
                self.idle_message(conn)
            }
            Message::Unchoke => {
                self.conns[conn].is_choking = false;
                self.idle_message(conn)
            }
            Message::Interested => self.interested(conn, true),
            Message::NotInterested => self.interested(conn, false),
            Message::Have(piece) => self.peer_has(conn, *piece),
            Message::Bitfield(_) => self.has_set(conn, message),
            Message::HaveAll | Message::HaveNone => {
                self.needs_fast(conn)?;
                self.has_set(conn, message)
            }
            Message::Request(block) => self.request(conn, *block),
            Message::Cancel(block) => self.cancel(conn, *block),
            Message::Port(port) => {
                self.dht_port(conn, *port);
                self.idle_message(conn)
            }
            Message::Suggest(piece) => {
                self.needs_piece(conn, *piece)?;
                self.conns[conn].suggest(*piece);
                Ok(())
            }
            Message::AllowedFast(piece) => {
                self.needs_piece(conn, *piece)?;
                self.conns[conn].allow_fast(*piece);
                Ok(())
            }
            Message::Reject(block) => self.rejected(conn, *block),
            Message::Extended { id, payload } => self.extended(conn, *id, payload),
            Message::Piece { .. } => Ok(()),
            Message::Unknown { .. } => {
                let is_enough = self.conns[conn].unknown_message();
                if is_enough { Err(protocol("too many unknown messages")) } else { Ok(()) }
            }
        }
    }

    /// The bitfield comes first, if there is one: whoever says anything else has none.
    fn note_spoken(&mut self, conn: ConnId, message: &Message<'_>) {
        let may_come_before =
            matches!(message, Message::KeepAlive | Message::Extended { .. } | Message::Port(_));
        let c = &mut self.conns[conn];
        if !c.has_spoken && !may_come_before {
            c.has_spoken = true;
            self.touched.requests.insert(c.torrent);
        }
    }

    /// Counts a message of little content; honest peers send few.
    pub(super) fn idle_message(&mut self, conn: ConnId) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        c.idle_messages += 1;
        if c.idle_messages > IDLE_MESSAGES_MAX { Err(protocol("a flood of empty messages")) } else { Ok(()) }
    }

    //= BEP 6: messages 13 to 17 only between peers that both speak it
    fn needs_fast(&self, conn: ConnId) -> Result<(), CloseReason> {
        let is_fast = self.conns[conn].is_fast();
        if is_fast { Ok(()) } else { Err(protocol("a fast message without the fast extension")) }
    }

    /// A fast message that names a piece: it must exist, where the number of pieces is known.
    fn needs_piece(&self, conn: ConnId, piece: PieceIndex) -> Result<(), CloseReason> {
        self.needs_fast(conn)?;
        let info = self.torrents[self.conns[conn].torrent].info.as_ref();
        let exists = info.is_none_or(|i| piece.0 < i.layout.piece_count());
        if exists { Ok(()) } else { Err(protocol("names a piece the torrent does not have")) }
    }

    /// The peer chokes us: without the fast extension all requests are void, with it each will be rejected.
    fn choked(&mut self, conn: ConnId) {
        let c = &mut self.conns[conn];
        c.is_choking = true;
        if !c.is_fast() {
            let (key, torrent) = (c.key, c.torrent);
            let blocks = c.requests.give_up_all();
            self.release(conn, &blocks);
            if let Some(picker) = &mut self.torrents[torrent].picker {
                picker.release_all(key);
            }
        }
    }

    fn interested(&mut self, conn: ConnId, is_interested: bool) -> Result<(), CloseReason> {
        self.idle_message(conn)?;
        let c = &mut self.conns[conn];
        if c.is_interested == is_interested {
            return Ok(());
        }
        c.is_interested = is_interested;
        if is_interested {
            self.fill_slots();
            self.allow_fast(conn);
        } else {
            self.touched.slots = true;
        }
        Ok(())
    }

    //= BEP 3: have
    fn peer_has(&mut self, conn: ConnId, piece: PieceIndex) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let was_seed = c.has.is_seed();
        if !c.has.have(piece).map_err(|e| CloseReason::Protocol(e.to_string()))? {
            return self.idle_message(conn);
        }
        let (is_seed, key, torrent) = (c.has.is_seed(), c.key, c.torrent);
        let t = &mut self.torrents[torrent];
        if let Some(picker) = &mut t.picker {
            picker.peer_has(piece);
            self.conns[conn].interesting += u32::from(picker.wants(piece));
        }
        if is_seed && !was_seed {
            t.peers.note_seed(key);
        }
        self.offered_piece_came(conn, piece);
        self.update_interest(conn);
        Ok(())
    }

    //= BEP 3: bitfield
    //= BEP 6: have all, have none
    fn has_set(&mut self, conn: ConnId, message: &Message<'_>) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let t = &mut self.torrents[c.torrent];
        if let (Some(picker), Some(has)) = (&mut t.picker, c.has.known()) {
            picker.peer_left(c.key, has);
        }
        let replaced = c.has.replace(message);
        if let (Some(picker), Some(has)) = (&mut t.picker, c.has.known()) {
            picker.peer_joined(c.key, has);
            c.interesting = picker.count_wanted(has);
        }
        if c.has.is_seed() {
            t.peers.note_seed(c.key);
        }
        if t.super_seed.is_some() {
            self.touched.offers.insert(c.torrent);
        }
        replaced.map_err(|e| CloseReason::Protocol(e.to_string()))?;
        self.update_interest(conn);
        self.idle_message(conn)
    }

    fn request(&mut self, conn: ConnId, block: BlockRef) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let t = &self.torrents[c.torrent];
        let verdict = match (&t.info, t.have()) {
            // it was told of a piece that is gone, and may not have heard of that
            _ if t.picker.as_ref().is_some_and(|p| p.is_lost(block.piece)) => Verdict::Reject,
            (Some(info), Some(have)) => {
                let told = c.told.as_ref().filter(|_| have.has(block.piece));
                c.uploads.request(block, &info.layout, told.unwrap_or(have), self.now)
            }
            _ => Verdict::Reject,
        };
        match verdict {
            Verdict::Queued => self.want_send(conn),
            Verdict::Reject => self.reject(conn, block),
            Verdict::Close => return Err(protocol("too many requests it may not make")),
        }
        Ok(())
    }

    //= BEP 6: every request gets a piece or a reject
    pub(super) fn reject(&mut self, conn: ConnId, block: BlockRef) {
        if self.conns[conn].is_fast() {
            self.push(conn, &Message::Reject(block));
        }
    }

    fn cancel(&mut self, conn: ConnId, block: BlockRef) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        c.cancels += 1;
        if c.cancels > CANCELS_MAX {
            return Err(protocol("a flood of cancels"));
        }
        if c.uploads.cancel(block) {
            self.reject(conn, block);
        }
        Ok(())
    }

    fn rejected(&mut self, conn: ConnId, block: BlockRef) -> Result<(), CloseReason> {
        self.needs_fast(conn)?;
        let info = self.torrents[self.conns[conn].torrent].info.as_ref();
        if info.is_some_and(|i| !i.layout.contains(block)) {
            return Err(protocol("rejects what the torrent does not have"));
        }
        let c = &mut self.conns[conn];
        c.allowed_fast.retain(|p| !c.is_choking || *p != block.piece);
        c.suggested.retain(|p| *p != block.piece);
        let is_refused = !c.is_choking;
        match c.requests.rejected(block) {
            Answer::Asked => {
                if is_refused {
                    c.requests.rest();
                }
                self.release(conn, &[block]);
            }
            Answer::Late => {}
            Answer::Unasked => {
                if self.conns[conn].strike() {
                    return Err(protocol("rejects what was never requested"));
                }
            }
        }
        Ok(())
    }

    //= BEP 5: port message
    fn dht_port(&mut self, conn: ConnId, port: u16) {
        let c = &mut self.conns[conn];
        let is_private = self.torrents[c.torrent].is_private();
        // one port a connection: nobody makes us knock at many
        if self.settings.dht && port != 0 && !is_private && !core::mem::replace(&mut c.told_dht_port, true) {
            let host = c.remote.ip().to_string();
            self.hub(HubCommand::DhtNode { host, port });
        }
    }
}
