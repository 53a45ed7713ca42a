//! Requests go for pieces the peer claims, of blocks the torrent has and we lack, to peers that let us, and never
//! twice while they are out.

use super::view::HostView;
use unchoke_engine::output::Trace;
use unchoke_wire::BLOCK_LEN;
use unchoke_wire::message::Message;

/// Requests out to one peer at most.
const OUT_MAX: usize = 2000;

/// A message the host sends.
pub fn check(host: &HostView, trace: &Trace, message: &Message<'_>) -> Option<String> {
    let Message::Request(block) = message else { return None };
    let c = host.conns.get(&trace.conn)?;
    let Some(t) = host.torrents.get(&trace.torrent) else {
        return Some("a request before there was a storage".to_owned());
    };
    let layout = &t.content.metainfo.info.layout;
    let wrong = if block.len > BLOCK_LEN || layout.block_index(*block).is_none() {
        "is none of the torrent's"
    } else if !c.has(block.piece) {
        "is of a piece the peer does not claim"
    } else if t.have.has(block.piece) {
        "is of a piece that is there"
    } else if !t.wanted.has(block.piece) {
        "is of a piece nobody wants"
    } else if c.is_choking && !c.allowed_fast.contains(&block.piece.0) {
        "goes to a peer that chokes us"
    } else if !c.am_interested {
        "goes to a peer that was not told of interest"
    } else if c.requests.contains(block) {
        "is out already"
    } else if c.requests.len() >= OUT_MAX {
        "is one too many"
    } else {
        return None;
    };
    Some(format!("a request for {block:?} {wrong}"))
}
