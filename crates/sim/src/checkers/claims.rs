//! No piece is claimed, by have, bitfield or have-all, before its write was acknowledged.

use super::view::HostView;
use unchoke_engine::TorrentId;
use unchoke_engine::output::Trace;
use unchoke_wire::message::Message;
use unchoke_wire::{Bitfield, PieceIndex};

/// A piece the engine says is done.
pub fn done(host: &HostView, torrent: TorrentId, piece: PieceIndex) -> Option<String> {
    let t = host.torrents.get(&torrent)?;
    (!t.stored.has(piece)).then(|| format!("piece {} is told as done and not stored", piece.0))
}

/// A message the host sends.
pub fn told(host: &HostView, trace: &Trace, message: &Message<'_>) -> Option<String> {
    if !matches!(message, Message::Have(_) | Message::Bitfield(_) | Message::HaveAll) {
        return None;
    }
    let Some(t) = host.torrents.get(&trace.torrent) else {
        return Some(format!("{message:?} before there was a storage"));
    };
    match message {
        Message::Have(piece) if !t.stored.has(*piece) => {
            Some(format!("have {} before its write was acknowledged", piece.0))
        }
        Message::HaveAll if !t.stored.is_all() => Some("have-all with pieces missing".to_owned()),
        Message::Bitfield(bytes) => match Bitfield::from_bytes(bytes, t.content.pieces()) {
            Err(e) => Some(format!("a malformed bitfield: {e}")),
            Ok(told) if told.has_any_not_in(&t.stored) => {
                Some("a bitfield claims pieces that are not stored".to_owned())
            }
            Ok(_) => None,
        },
        _ => None,
    }
}
