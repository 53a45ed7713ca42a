//! What an engine may hold in memory for strangers: every part with its most, and what it holds at the moment.

use super::Engine;
use super::extended::METADATA_ASKED_LEN_MAX;
use super::messages::ANSWERS_MAX;
use super::send::{PLAN_BLOCKS_MIN, PLANNED_BYTES_MAX};
use crate::peer::requests::{REQUEST_LEN, REQUESTS_LEN_MAX};
use crate::peer::uploads::UPLOADS_LEN_MAX;
use crate::peer::{CLAIMS_LEN_MAX, PeerConn};
use crate::peer_list;
use crate::settings::Settings;
use core::mem::size_of;
use unchoke_wire::BLOCK_LEN;
use unchoke_wire::limits::{EXTENDED_LEN_MAX, METADATA_LEN_MAX};

/// One kind of memory that peers can make grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryPart {
    /// What it is, in a word or two.
    pub name: &'static str,
    /// The most, in bytes.
    pub cap: u64,
    /// What is held, in bytes, where that is counted.
    pub used: Option<u64>,
}

impl Engine {
    /// What may be held at most for all peers together, by kind, and what is held: the caps of its [`Settings`] and of
    /// `unchoke_wire::limits`, for the torrents it has. What the owner gave it, torrents and their metadata, is not in it.
    pub fn memory(&self) -> Vec<MemoryPart> {
        let Settings { connections_max, piece_buffer_bytes, metadata_bytes, .. } = self.settings;
        let each = |len: usize| bytes(len).saturating_mul(bytes(connections_max));
        let awake = || self.torrents.iter().map(|(_, t)| t);
        let layouts = || awake().filter_map(|t| t.info.as_ref()).map(|info| &info.layout);
        // one piece is always let in, however large
        let piece_len = layouts().map(|l| u64::from(l.piece_len())).max().unwrap_or(0);
        let has_early = awake().any(|t| t.info.is_none());
        // a super-seed keeps as much of what it told each peer
        let sets = if awake().any(|t| t.super_seed.is_some()) { 2 } else { 1 };
        let known = layouts().map(|l| bytes(l.piece_count().div_ceil(8) as usize)).max().unwrap_or(0);
        let claims = (sets * known).max(if has_early { bytes(CLAIMS_LEN_MAX) } else { 0 });
        let claimed =
            self.conns.values().filter_map(|c| c.has.known()).map(|has| u64::from(has.len() / 8)).sum();
        let part = |name, cap, used| MemoryPart { name, cap, used };
        let has_metadata = awake().any(|t| t.metadata.is_some());
        let metadata = bytes(metadata_bytes).max(if has_metadata { u64::from(METADATA_LEN_MAX) } else { 0 });
        let queued = self.conns.values().map(|c| bytes(c.send.len()));
        let out = self.conns.values().map(|c| bytes(c.requests.len() * REQUEST_LEN));
        let short_plans = u64::from(BLOCK_LEN) * PLAN_BLOCKS_MIN * bytes(connections_max);
        let peers = awake().map(|t| bytes(t.peers.len() * peer_list::PEER_LEN)).sum();
        let parts = self.conns.values().map(|c| bytes(c.receive.held() + c.handshake.len()));
        let pieces = self.open_bytes + self.pool.bytes();
        vec![
            part("piece buffers", piece_buffer_bytes.max(piece_len), Some(pieces)),
            part("connections", each(CONN_LEN), Some(bytes(self.conns.len() * CONN_LEN))),
            part("messages in parts", each(EXTENDED_LEN_MAX as usize), Some(parts.sum())),
            part("blocks arriving twice", each(BLOCK_LEN as usize), None),
            part("answers waiting", each(ANSWERS_MAX), Some(queued.sum())),
            part("blocks being sent", PLANNED_BYTES_MAX + short_plans, Some(self.planned_bytes)),
            part("requests to peers", each(REQUESTS_LEN_MAX), Some(out.sum())),
            part("requests of peers", each(UPLOADS_LEN_MAX), None),
            part("metadata asked for", each(METADATA_ASKED_LEN_MAX), None),
            part("what peers have", claims.saturating_mul(bytes(connections_max)), Some(claimed)),
            part("peer lists", bytes(awake().count() * peer_list::LEN_MAX), Some(peers)),
            part("metadata in flight", metadata, Some(bytes(self.metadata_bytes()))),
        ]
    }
}

/// Bytes of one connection itself, and of what the shell keeps of it.
const CONN_LEN: usize = size_of::<PeerConn>() + 512;

fn bytes(len: usize) -> u64 {
    u64::try_from(len).expect("a usize fits 64 bits")
}
