//! Pieces in doubt: they were there, and the disk does not give them back, or something else wrote over them. They are
//! neither served nor fetched until the owner has looked.

use super::Engine;
use crate::event::Event;
use crate::id::{ConnId, TorrentId};
use crate::picker::Picker;
use unchoke_wire::{Bitfield, BlockRef, Extension, PieceIndex, lt_donthave};

impl Engine {
    /// A block could not be read: its piece is in doubt. No peer is to blame.
    pub(super) fn read_failed(&mut self, torrent: TorrentId, block: BlockRef, error: String) {
        let piece = block.piece;
        let Some(picker) = self.torrents.get(torrent).and_then(|t| t.picker.as_ref()) else { return };
        if picker.have().has(piece) {
            self.withdraw(torrent, &[piece]);
            self.event(Event::ReadFailed { torrent, piece, error });
        }
    }

    /// The owner doubts pieces; those that are not there do not matter.
    pub(super) fn doubt(&mut self, torrent: TorrentId, pieces: &Bitfield) {
        let Some(picker) = self.torrents.get(torrent).and_then(|t| t.picker.as_ref()) else { return };
        let lost: Vec<PieceIndex> = pieces.iter().filter(|p| picker.have().has(*p)).collect();
        self.withdraw(torrent, &lost);
    }

    /// The owner has looked: of the pieces in doubt those of `good` are there, those of `bad` are to be got again.
    pub(super) fn settle_doubt(&mut self, torrent: TorrentId, good: &Bitfield, bad: &Bitfield) {
        let Some(t) = self.torrents.get_mut(torrent) else { return };
        let Some(picker) = &mut t.picker else { return };
        t.have_log.extend(good.iter().filter(|p| picker.restored(*p)));
        bad.iter().for_each(|p| picker.missed(p));
        let was_completed = t.is_completed;
        t.is_completed &= picker.is_complete();
        let has_more_to_get = was_completed && !t.is_completed;
        for conn in t.conns.clone() {
            self.want_send(conn);
        }
        self.recount_interest(torrent);
        self.touched.torrents.insert(torrent);
        if has_more_to_get {
            self.tell_upload_only(torrent, false);
        }
        self.check_completion(torrent);
    }

    //= BEP 54: lt_donthave
    /// Takes back the word for pieces: who asked for them is refused, and peers that can hear of it are told.
    fn withdraw(&mut self, torrent: TorrentId, pieces: &[PieceIndex]) {
        let t = &mut self.torrents[torrent];
        let Some(picker) = &mut t.picker else { return };
        pieces.iter().for_each(|p| picker.doubted(*p));
        let conns: Vec<ConnId> = t.conns.iter().copied().filter(|c| self.conns[*c].is_ready()).collect();
        for conn in conns {
            for piece in pieces {
                for block in self.conns[conn].uploads.drop_piece(*piece) {
                    self.reject(conn, block);
                }
                self.push_extended(conn, Extension::LtDonthave, &lt_donthave::encode(*piece));
            }
        }
        self.touched.torrents.insert(torrent);
    }

    /// Keeps a piece that is right and could not be written, so that it need not come again. Without its bytes it must.
    pub(super) fn keep_unwritten(&mut self, torrent: TorrentId, piece: PieceIndex, data: Box<[u8]>) {
        let t = &mut self.torrents[torrent];
        let is_whole = t.info.as_ref().is_some_and(|i| data.len() == i.layout.len_of(piece) as usize);
        match &mut t.picker {
            Some(_) if is_whole => t.buffers.restore(piece, data),
            Some(picker) => _ = picker.failed(piece),
            None => {}
        }
    }

    /// Has the pieces written that could not be before.
    pub(super) fn write_again(&mut self, torrent: TorrentId) {
        let whole = self.torrents.get(torrent).and_then(|t| t.picker.as_ref()).map(Picker::whole);
        for piece in whole.unwrap_or_default() {
            self.verify(torrent, piece);
        }
    }
}
