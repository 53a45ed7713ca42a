//! The stream out: control messages, haves and blocks, in plans of a bounded size.

use super::Engine;
use crate::id::ConnId;
use crate::output::{Output, PlanBlock, SendPlan, TraceMessage};
use unchoke_wire::BLOCK_LEN;
use unchoke_wire::message::{Message, piece_header};

/// Blocks in one plan: 256 KiB, enough to fill a socket buffer; control messages go between plans.
const PLAN_BLOCKS_MAX: u64 = 16;
/// Blocks in a plan for a peer that has not shown its speed, and for everybody while [`PLANNED_BYTES_MAX`] are on their
/// way.
pub(super) const PLAN_BLOCKS_MIN: u64 = 2;
/// Bytes of blocks that the shell holds for plans that are being written, over all peers, beyond which plans are short:
/// peers that ask for much and read nothing cost no more than this together.
pub(super) const PLANNED_BYTES_MAX: u64 = 32 << 20;
/// Plans a second to a peer that is not fast enough for whole ones.
const PLANS_PER_S: u64 = 4;
/// Haves in one plan, nine bytes each.
const PLAN_HAVES_MAX: usize = 4096;

impl Engine {
    /// The shell can write: hand out the next plan.
    pub(super) fn send_ready(&mut self, conn: ConnId) {
        self.push_haves(conn);
        self.push_metadata(conn);
        let Some(c) = self.conns.get_mut(conn) else { return };
        self.planned_bytes -= c.send.plan().map_or(0, |(bytes, _)| bytes);
        c.send.idle();
        let torrent = c.torrent;
        let mut bytes = c.send.take();
        let mut blocks = Vec::new();
        // a slow peer must not wait long for what is said between plans
        let plan_blocks = c.up.rate() / PLANS_PER_S / u64::from(BLOCK_LEN);
        let is_scarce = self.planned_bytes >= PLANNED_BYTES_MAX;
        let most = if is_scarce { PLAN_BLOCKS_MIN } else { PLAN_BLOCKS_MAX };
        for _ in 0..plan_blocks.clamp(PLAN_BLOCKS_MIN, most) {
            let Some(c) = self.conns.get_mut(conn) else { break };
            let Some(block) = c.uploads.next() else { break };
            if !self.upload_limit.take(u64::from(block.len), self.now) {
                let at = self.upload_limit.next_block(self.now);
                self.wake_for_limit(at);
                break;
            }
            c.uploads.pop();
            c.up.add(u64::from(block.len), self.now);
            let t = &mut self.torrents[torrent];
            t.totals.uploaded += u64::from(block.len);
            if let Some(super_seed) = &mut t.super_seed {
                super_seed.sent(conn, self.now);
            }
            let header = piece_header(block);
            bytes.extend_from_slice(&header);
            blocks.push(PlanBlock { after: bytes.len(), block });
            if self.settings.trace {
                self.trace(conn, true, TraceMessage::Message(header.to_vec()));
            }
        }
        let Some(c) = self.conns.get_mut(conn) else { return };
        if !bytes.is_empty() {
            let block_bytes = blocks.iter().map(|b| u64::from(b.block.len)).sum();
            c.send.sending(block_bytes, self.now);
            self.planned_bytes += block_bytes;
            self.out.push_back(Output::Send { conn, plan: SendPlan { torrent, bytes, blocks } });
        }
    }

    //= BEP 3: have goes to every peer, also one that has the piece
    /// Tells a peer of the pieces that were verified since it was told last.
    pub(super) fn push_haves(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        if !c.is_ready() {
            return;
        }
        let torrent = c.torrent;
        let log = &self.torrents[torrent].have_log;
        let from = c.send.have_cursor;
        let to = log.len().min(from + PLAN_HAVES_MAX);
        c.send.have_cursor = to;
        for at in from..to {
            let piece = self.torrents[torrent].have_log[at];
            let c = &mut self.conns[conn];
            if c.told.as_mut().is_some_and(|told| !told.set(piece)) {
                continue;
            }
            let message = Message::Have(piece);
            c.send.push(&message);
            if self.settings.trace {
                self.trace(conn, true, TraceMessage::Message(message.to_vec()));
            }
        }
        let c = &mut self.conns[conn];
        c.told.take_if(|told| told.is_all());
    }

    pub(super) fn sent(&mut self, conn: ConnId, bytes: u64) {
        if let Some(c) = self.conns.get_mut(conn)
            && bytes > 0
        {
            c.last_sent = self.now;
        }
    }
}
