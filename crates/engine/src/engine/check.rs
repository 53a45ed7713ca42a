//! What must hold between two inputs, checked as a whole for tests and simulators.

use super::Engine;
use crate::id::TorrentId;
use crate::peer::Stage;
use crate::tracker::Announcer;

impl Engine {
    /// Checks that everything the engine counts twice is counted alike. Walks all it knows: not for a running client.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn check_invariants(&self) {
        let dials = self.conns.values().filter(|c| c.stage == Stage::Dialling).count();
        assert_eq!(self.dials, dials, "dials under way");
        let open: u64 = self.torrents.iter().map(|(_, t)| t.open_bytes).sum();
        assert_eq!(self.open_bytes, open, "bytes of open pieces");
        let listed: usize = self.torrents.iter().map(|(_, t)| t.conns.len()).sum();
        assert_eq!(self.conns.len(), listed, "every connection is in one torrent's list");
        let is_due = |id: &TorrentId| self.torrents.due(*id).is_some_and(|at| self.due.contains(&(at, *id)));
        let due = self.torrents.keys().filter(is_due);
        assert_eq!(self.due.len(), due.count(), "deadlines");
        assert!(self.waiting_to_dial.iter().all(|id| self.torrents.contains_key(*id)), "waiting to dial");
        self.torrents.iter().for_each(|(torrent, _)| self.check_torrent(torrent));
        let asking = |id: &TorrentId| self.torrents.announcer(*id).is_some_and(Announcer::is_asking);
        assert_eq!(self.announcing, self.torrents.keys().filter(asking).count(), "torrents asking trackers");
        assert!(
            self.waking.keys().all(|id| self.torrents.contains_key(*id)),
            "waiting for a torrent that is gone"
        );
    }

    fn check_torrent(&self, torrent: TorrentId) {
        let t = &self.torrents[torrent];
        assert!(t.conns.is_empty() || !t.is_paused && !t.is_removing, "a stopped torrent has no connections");
        let arriving = t.conns.iter().filter(|id| self.conns[**id].incoming.is_some()).count();
        let piece_len = t.info.as_ref().map_or(0, |i| u64::from(i.layout.piece_len()));
        let open = t.picker.as_ref().map_or(0, |p| p.open_bytes());
        assert!(t.buffers.bytes() <= open + piece_len * arriving as u64, "buffers without an open piece");
        for (id, c) in t.conns.iter().map(|id| (*id, &self.conns[*id])) {
            assert_eq!(c.torrent, torrent, "{id:?} is bound to its torrent");
            let wanted = match (&t.picker, c.has.known()) {
                (Some(picker), Some(has)) => picker.count_wanted(has),
                _ => 0,
            };
            assert_eq!(c.interesting, wanted, "pieces of interest of {id:?}");
            let is_told = !c.is_ready() || c.am_interested == (c.interesting > 0);
            assert!(is_told, "{id:?} is told of our interest");
            let rival = c.rival.map(|id| self.conns.get(id).map(|r| (r.stage, r.torrent)));
            assert!(
                rival.is_none_or(|r| r == Some((Stage::Waiting, torrent))),
                "{id:?} has a rival that waits"
            );
            let is_rival = t.conns.iter().any(|o| self.conns[*o].rival == Some(id));
            assert_eq!(c.stage == Stage::Waiting, is_rival, "{id:?} waits for one that is there");
            assert!(!c.is_choking || c.is_fast() || c.requests.is_empty(), "asked while choked");
        }
    }
}
