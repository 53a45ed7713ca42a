//! The stream out: control messages, haves and blocks, in plans of a bounded size.

use super::Engine;
use crate::id::ConnId;
use crate::output::{Output, SendPart, SendPlan, TraceMessage};
use unchoke_wire::message::{Message, piece_header};

/// Blocks in one plan: 256 KiB, enough to fill a socket buffer; control messages go between plans.
const PLAN_BLOCKS_MAX: usize = 16;

impl Engine {
    /// The shell can write: hand out the next plan.
    pub(super) fn send_ready(&mut self, conn: ConnId) {
        self.push_haves(conn);
        let Some(c) = self.conns.get_mut(conn) else { return };
        let torrent = c.torrent;
        let mut parts = Vec::new();
        let mut bytes = c.send.take();
        for _ in 0..PLAN_BLOCKS_MAX {
            let Some(c) = self.conns.get_mut(conn) else { break };
            let Some(block) = c.uploads.next() else { break };
            if !self.upload_limit.take(u64::from(block.len), self.now) {
                let at = self.upload_limit.next_block(self.now);
                self.wake_for_limit(at);
                break;
            }
            c.uploads.pop();
            c.up.add(u64::from(block.len), self.now);
            self.torrents[torrent].totals.uploaded += u64::from(block.len);
            let header = piece_header(block);
            bytes.extend_from_slice(&header);
            parts.push(SendPart::Bytes(core::mem::take(&mut bytes)));
            parts.push(SendPart::Block(block));
            if self.settings.trace {
                self.trace(conn, true, TraceMessage::Message(header.to_vec()));
            }
        }
        if !bytes.is_empty() {
            parts.push(SendPart::Bytes(bytes));
        }
        let Some(c) = self.conns.get_mut(conn) else { return };
        if parts.is_empty() {
            c.send.idle();
        } else {
            c.send.sending();
            self.out.push_back(Output::Send { conn, plan: SendPlan { torrent, parts } });
        }
    }

    //= BEP 3: have goes to every peer, also one that has the piece
    /// Tells a peer of the pieces that were verified since it was told last.
    fn push_haves(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        if !c.is_ready() {
            return;
        }
        let log = &self.torrents[c.torrent].have_log;
        let from = core::mem::replace(&mut c.send.have_cursor, log.len());
        let fresh = log[from..].to_vec();
        for piece in fresh {
            let bytes = Message::Have(piece).to_vec();
            self.conns[conn].send.push_bytes(&bytes);
            self.trace(conn, true, TraceMessage::Message(bytes));
        }
    }

    pub(super) fn sent(&mut self, conn: ConnId, bytes: u64) {
        if let Some(c) = self.conns.get_mut(conn)
            && bytes > 0
        {
            c.last_sent = self.now;
        }
    }
}
