//! Super-seeding (BEP 16): a seed that says it has nothing, and shows its pieces one by one. Which and when is worked
//! out by `crate::torrent::super_seed`.

use super::Engine;
use crate::id::{ConnId, TorrentId};
use crate::torrent::Torrent;
use crate::torrent::super_seed::PeerView;
use unchoke_wire::message::Message;
use unchoke_wire::{Bitfield, PieceIndex};

impl Engine {
    /// The owner wants a torrent super-seeded once it is a seed, or not any more. Peers that know what we have go on as
    /// they are.
    pub(super) fn set_super_seeding(&mut self, torrent: TorrentId, is_on: bool) {
        if let Some(s) = self.torrents.asleep_mut(torrent) {
            s.is_super_seeding = is_on;
        }
        let Some(t) = self.torrents.get_mut(torrent) else { return };
        if is_on {
            t.super_seed.get_or_insert_default();
        } else {
            self.end_super_seeding(torrent);
        }
    }

    /// Tells a peer that comes to a super-seed that we have nothing. `false` when this is none.
    pub(super) fn hide_pieces(&mut self, conn: ConnId) -> bool {
        let is_hidden = self.conceal(conn);
        if is_hidden && self.conns[conn].is_fast() {
            self.push(conn, &Message::HaveNone);
        }
        is_hidden
    }

    /// Begins with the offers for a peer that was told of nothing. `false` when this is no super-seed.
    pub(super) fn conceal(&mut self, conn: ConnId) -> bool {
        let c = &mut self.conns[conn];
        let t = &mut self.torrents[c.torrent];
        let pieces = t.have().map_or(0, Bitfield::len);
        let Some(super_seed) = t.super_seeding() else { return false };
        super_seed.joined(conn, self.now);
        c.told = Some(Bitfield::none(pieces));
        self.touched.offers.insert(c.torrent);
        true
    }

    /// A peer told of a piece it has.
    pub(super) fn offered_piece_came(&mut self, conn: ConnId, piece: PieceIndex) {
        let c = &self.conns[conn];
        if let Some(super_seed) = self.torrents[c.torrent].super_seeding() {
            let was_told = c.told.as_ref().is_some_and(|told| told.has(piece));
            super_seed.has(conn, piece, was_told, self.now);
            self.touched.offers.insert(c.torrent);
        }
    }

    /// Shows pieces to whom they are due; all of them to everybody once somebody else has all.
    pub(super) fn offer_pieces(&mut self, torrent: TorrentId) {
        let start = self.random_start(torrent);
        let (now, conns) = (self.now, &self.conns);
        let Some(t) = self.torrents.get_mut(torrent) else { return };
        let views: Vec<PeerView<'_>> = t
            .conns
            .iter()
            .map(|conn| (*conn, &conns[*conn]))
            .filter(|(_, c)| c.is_ready())
            .filter_map(|(conn, c)| {
                Some(PeerView {
                    conn,
                    has: c.has.known()?,
                    told: c.told.as_ref(),
                    is_interested: c.is_interested,
                    is_choked: c.uploads.is_choked(),
                    unchoked_at: c.unchoked.0,
                })
            })
            .collect();
        let is_needed = !views.iter().any(|v| v.has.is_all());
        let Some(super_seed) = t.super_seeding() else { return };
        if !is_needed {
            return self.end_super_seeding(torrent);
        }
        for (conn, piece) in super_seed.review(&views, start, now) {
            if let Some(told) = self.conns.get_mut(conn).and_then(|c| c.told.as_mut()) {
                told.set(piece);
                self.push(conn, &Message::Have(piece));
            }
        }
    }

    /// Tells everybody of all pieces that were held back.
    fn end_super_seeding(&mut self, torrent: TorrentId) {
        let t = &mut self.torrents[torrent];
        if t.super_seed.take().is_none() {
            return;
        }
        let ready = t.conns.iter().copied().filter(|conn| self.conns[*conn].is_ready());
        let (hidden, knowing): (Vec<ConnId>, Vec<ConnId>) =
            ready.partition(|conn| self.conns[*conn].told.is_some());
        if hidden.is_empty() {
            return;
        }
        let told = t.have_log.len();
        for conn in &knowing {
            while self.conns[*conn].send.have_cursor < told {
                self.push_haves(*conn);
            }
        }
        let t = &mut self.torrents[torrent];
        let all: Vec<PieceIndex> = t.have().map(|have| have.iter().collect()).unwrap_or_default();
        t.have_log.extend(all);
        let whole = t.have_log.len();
        // who knows of everything is told of nothing twice
        knowing.into_iter().for_each(|conn| self.conns[conn].send.have_cursor = whole);
        hidden.into_iter().for_each(|conn| self.want_send(conn));
        self.tell_upload_only(torrent, true);
    }

    fn random_start(&mut self, torrent: TorrentId) -> u32 {
        let is_active = self.torrents.get_mut(torrent).is_some_and(|t| t.super_seeding().is_some());
        // no choice is drawn where none is made
        if is_active { u32::try_from(self.random() >> 32).expect("32 bits") } else { 0 }
    }
}

impl Torrent {
    /// The offers of a torrent that is being super-seeded.
    fn super_seeding(&mut self) -> Option<&mut crate::torrent::super_seed::SuperSeed> {
        let is_seed = self.is_seed();
        self.super_seed.as_mut().filter(|_| is_seed)
    }
}
