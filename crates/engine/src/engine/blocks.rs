//! Blocks come in: from the first byte of one to the verdict on its piece.

use super::{Engine, protocol};
use crate::event::{CloseReason, Event};
use crate::id::{ConnId, PeerKey, TorrentId};
use crate::input::{Verified, VerifyOutcome};
use crate::output::{Output, VerifyJob};
use crate::peer::requests::Answer;
use crate::picker::Received;
use crate::tracker::AnnounceInput;
use unchoke_wire::message::Message;
use unchoke_wire::{BlockRef, PieceIndex};

impl Engine {
    /// A block begins. One that is of no use is read and dropped.
    pub(super) fn block_begin(&mut self, conn: ConnId, block: BlockRef) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let t = &mut self.torrents[c.torrent];
        c.arriving = Some(block);
        let (Some(info), Some(picker)) = (&t.info, &t.picker) else { return self.strike(conn) };
        let is_block = info.layout.block_index(block).is_some();
        if !is_block && block.len > 0 {
            return Err(protocol("a block that is none of the torrent's"));
        }
        if !is_block || c.requests.expects(block) == Answer::Unasked {
            return self.strike(conn);
        }
        if picker.needs(block) {
            c.incoming = Some(t.buffers.begin(&info.layout, block, conn, &mut self.pool));
        }
        Ok(())
    }

    fn strike(&mut self, conn: ConnId) -> Result<(), CloseReason> {
        let is_enough = self.conns[conn].strike();
        if is_enough { Err(protocol("too many blocks nobody asked for")) } else { Ok(()) }
    }

    pub(super) fn block_bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let c = &mut self.conns[conn];
        if let Some(incoming) = &mut c.incoming {
            self.torrents[c.torrent].buffers.write(incoming, bytes);
        }
    }

    /// A block is whole.
    pub(super) fn block_end(&mut self, conn: ConnId) -> Result<(), CloseReason> {
        let c = &mut self.conns[conn];
        let Some(block) = c.arriving.take() else { return Ok(()) };
        let incoming = c.incoming.take();
        if c.requests.received(block, self.now) == Answer::Unasked {
            return Ok(());
        }
        c.down.add(u64::from(block.len), self.now);
        let (torrent, key) = (c.torrent, c.key);
        let t = &mut self.torrents[torrent];
        let held = incoming.filter(|incoming| t.buffers.holds(incoming));
        let (Some(incoming), Some(picker)) = (held, &mut t.picker) else {
            // of no use, or the place of its bytes went to another while they came
            t.release(block, key);
            self.touched.requests.insert(torrent);
            return Ok(());
        };
        match picker.received(block, key) {
            Received::New { is_piece_complete, also_requested_from } => {
                t.buffers.end(incoming);
                t.totals.downloaded += u64::from(block.len);
                self.cancel_elsewhere(torrent, block, &also_requested_from);
                if is_piece_complete {
                    self.verify(torrent, block.piece);
                }
            }
            Received::Duplicate => {
                t.buffers.abandon(&incoming);
                t.release(block, key);
            }
        }
        Ok(())
    }

    //= BEP 3: end game, cancels go out when a block arrives
    fn cancel_elsewhere(&mut self, torrent: TorrentId, block: BlockRef, peers: &[PeerKey]) {
        if peers.is_empty() {
            return;
        }
        let conns = self.torrents[torrent].conns.clone();
        for conn in conns {
            if peers.contains(&self.conns[conn].key) && self.conns[conn].requests.give_up(block) {
                self.push(conn, &Message::Cancel(block));
                self.touched.requests.insert(torrent);
            }
        }
    }

    pub(super) fn verify(&mut self, torrent: TorrentId, piece: PieceIndex) {
        let t = &mut self.torrents[torrent];
        let expected = t.info.as_ref().and_then(|i| i.pieces.get(piece));
        if let (Some(data), Some(expected)) = (t.buffers.take(piece), expected) {
            t.checking += 1;
            let wants_block_hashes = t.peers.wants_hashes(piece);
            let job = VerifyJob { torrent, piece, data, expected, wants_block_hashes };
            self.out.push_back(Output::Verify(job));
        }
    }

    /// Puts blocks back that were asked of a peer.
    pub(super) fn release(&mut self, conn: ConnId, blocks: &[BlockRef]) {
        let c = &self.conns[conn];
        let t = &mut self.torrents[c.torrent];
        blocks.iter().for_each(|block| t.release(*block, c.key));
        self.touched.requests.insert(c.torrent);
    }

    pub(super) fn verified(&mut self, done: Verified) {
        let Verified { torrent, piece, outcome, data } = done;
        let Some(t) = self.torrents.get_mut(torrent) else { return self.pool.put(data) };
        t.checking -= 1;
        self.touched.torrents.insert(torrent);
        self.touched.requests.insert(torrent);
        match outcome {
            VerifyOutcome::Good { block_hashes } => {
                self.pool.put(data);
                self.piece_done(torrent, piece, &block_hashes);
            }
            VerifyOutcome::Bad { block_hashes } => {
                self.pool.put(data);
                self.piece_failed(torrent, piece, &block_hashes);
            }
            VerifyOutcome::WriteFailed { error } => {
                self.keep_unwritten(torrent, piece, data);
                self.storage_failed(torrent, error);
            }
        }
        self.count_open_bytes(torrent);
        self.finish_close(torrent);
    }

    //= BEP 3: have is sent only for a piece whose hash was checked
    fn piece_done(&mut self, torrent: TorrentId, piece: PieceIndex, block_hashes: &[[u8; 20]]) {
        let t = &mut self.torrents[torrent];
        let Some(picker) = &mut t.picker else { return };
        let was_wanted = picker.wants(piece);
        let contributors = picker.verified(piece);
        t.peers.piece_passed(piece, block_hashes, &contributors, self.now);
        t.have_log.push(piece);
        self.event(Event::PieceDone { torrent, piece });
        self.close_banned(torrent);
        for conn in self.torrents[torrent].conns.clone() {
            let c = &mut self.conns[conn];
            let has_it = c.has.known().is_some_and(|has| has.has(piece));
            if was_wanted && has_it {
                c.interesting -= 1;
            }
            self.update_interest(conn);
            // who has it is told with other messages
            if !has_it {
                self.want_send(conn);
            }
        }
        self.check_completion(torrent);
    }

    //= BEP 3: a piece that fails its hash check is discarded and fetched again
    fn piece_failed(&mut self, torrent: TorrentId, piece: PieceIndex, block_hashes: &[[u8; 20]]) {
        let t = &mut self.torrents[torrent];
        let Some(picker) = &mut t.picker else { return };
        let contributors = picker.failed(piece);
        let bytes: u64 = t.info.as_ref().map_or(0, |i| u64::from(i.layout.len_of(piece)));
        t.totals.downloaded = t.totals.downloaded.saturating_sub(bytes);
        t.corrupt += bytes;
        t.peers.piece_failed(piece, block_hashes, &contributors, self.now);
        self.event(Event::PieceFailed { torrent, piece });
        self.close_banned(torrent);
    }

    /// Closes the connections of peers that were banned since.
    fn close_banned(&mut self, torrent: TorrentId) {
        let t = &self.torrents[torrent];
        let is_banned = |conn: &ConnId| t.peers.is_banned(self.conns[*conn].remote.ip(), self.now);
        let banned: Vec<ConnId> = t.conns.iter().copied().filter(is_banned).collect();
        for conn in banned {
            let remote = self.conns[conn].remote;
            self.event(Event::PeerBanned { torrent, remote });
            self.close(conn, CloseReason::Banned);
        }
    }

    /// Tells of completion, once.
    pub(super) fn check_completion(&mut self, torrent: TorrentId) {
        let t = &mut self.torrents[torrent];
        if t.is_completed || !t.is_complete() {
            return;
        }
        t.is_completed = true;
        let is_seed = t.is_seed();
        self.event(Event::Completed { torrent });
        if is_seed {
            self.announce(torrent, AnnounceInput::Completed);
        }
        self.dht_search(torrent);
        self.tell_upload_only(torrent, true);
    }

    /// The storage does not take bytes: ask for no more until the owner says so.
    pub(super) fn storage_failed(&mut self, torrent: TorrentId, error: String) {
        let t = &mut self.torrents[torrent];
        if t.error.is_none() {
            t.error = Some(error.clone());
            self.stop_running(torrent);
            self.event(Event::StorageFailed { torrent, error });
        }
    }
}
