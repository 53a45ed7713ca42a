//! The torrents of an engine under one kind of name: those that exchange pieces, and those that sleep.
//!
//! Whoever looks a torrent up gets it only while it is awake, so that nothing has to ask first; what concerns sleepers,
//! too, names them.

use crate::id::TorrentId;
use crate::torrent::Torrent;
use crate::torrent::sleeper::Sleeper;
use crate::tracker::{AnnounceTotals, Announcer};
use core::ops::{Index, IndexMut};
use slotmap::SlotMap;
use unchoke_wire::time::Instant;
use unchoke_wire::{InfoHash, InfoHashes, WireHash};

/// The torrents of an engine.
#[derive(Debug)]
pub(super) struct Torrents(SlotMap<TorrentId, Slot>);

/// One torrent.
#[derive(Debug)]
pub(super) enum Slot {
    Awake(Box<Torrent>),
    Asleep(Box<Sleeper>),
    /// Only while one is made of the other.
    Between,
}

impl Torrents {
    pub(super) fn new() -> Self {
        Torrents(SlotMap::with_key())
    }

    pub(super) fn insert(&mut self, slot: Slot) -> TorrentId {
        self.0.insert(slot)
    }

    pub(super) fn remove(&mut self, torrent: TorrentId) -> Option<Slot> {
        self.0.remove(torrent)
    }

    /// Makes something else of a torrent under the same name.
    pub(super) fn convert(&mut self, torrent: TorrentId, convert: impl FnOnce(Slot) -> Slot) {
        if let Some(slot) = self.0.get_mut(torrent) {
            *slot = convert(core::mem::replace(slot, Slot::Between));
        }
    }

    /// One that is awake.
    pub(super) fn get_mut(&mut self, torrent: TorrentId) -> Option<&mut Torrent> {
        match self.0.get_mut(torrent)? {
            Slot::Awake(t) => Some(t),
            Slot::Asleep(_) | Slot::Between => None,
        }
    }

    /// One that sleeps.
    pub(super) fn asleep_mut(&mut self, torrent: TorrentId) -> Option<&mut Sleeper> {
        match self.0.get_mut(torrent)? {
            Slot::Asleep(s) => Some(s),
            Slot::Awake(_) | Slot::Between => None,
        }
    }

    /// The trackers of a torrent, and what they are told.
    pub(super) fn announcing(&mut self, torrent: TorrentId) -> Option<(&mut Announcer, AnnounceTotals)> {
        let (announcer, totals, at_start, corrupt, left) = match self.0.get_mut(torrent)? {
            Slot::Awake(t) => {
                let left = t.left();
                (&mut t.announcer, t.totals, t.totals_at_start, t.corrupt, left)
            }
            Slot::Asleep(s) => {
                let left = s.facts.left;
                (&mut s.announcer, s.totals, s.totals_at_start, s.corrupt, Some(left))
            }
            Slot::Between => return None,
        };
        let uploaded = totals.uploaded - at_start.uploaded;
        let downloaded = totals.downloaded.saturating_sub(at_start.downloaded);
        Some((announcer, AnnounceTotals { uploaded, downloaded, corrupt, left }))
    }

    /// Counts the time of a torrent up to `now`, by what it did until then.
    pub(super) fn turn_clocks(&mut self, torrent: TorrentId, now: Instant) {
        match self.0.get_mut(torrent) {
            Some(Slot::Awake(t)) => {
                let doing = t.doing();
                t.clocks.turn(&mut t.totals.times, doing, now);
            }
            Some(Slot::Asleep(s)) => {
                let doing = s.doing();
                s.clocks.turn(&mut s.totals.times, doing, now);
            }
            Some(Slot::Between) | None => {}
        }
    }

    /// Where the time is kept at which the engine looks at a torrent next.
    pub(super) fn due_mut(&mut self, torrent: TorrentId) -> Option<&mut Option<Instant>> {
        match self.0.get_mut(torrent)? {
            Slot::Awake(t) => Some(&mut t.due),
            Slot::Asleep(s) => Some(&mut s.due),
            Slot::Between => None,
        }
    }

    /// Whether a torrent may exchange anything: whether it is paused, and whether it is going away.
    pub(super) fn rest_mut(&mut self, torrent: TorrentId) -> Option<(&mut bool, &mut bool)> {
        match self.0.get_mut(torrent)? {
            Slot::Awake(t) => Some((&mut t.is_paused, &mut t.is_removing)),
            Slot::Asleep(s) => Some((&mut s.is_paused, &mut s.is_removing)),
            Slot::Between => None,
        }
    }

    /// One that is awake.
    pub(super) fn get(&self, torrent: TorrentId) -> Option<&Torrent> {
        match self.0.get(torrent)? {
            Slot::Awake(t) => Some(t),
            Slot::Asleep(_) | Slot::Between => None,
        }
    }

    /// One that sleeps.
    pub(super) fn asleep(&self, torrent: TorrentId) -> Option<&Sleeper> {
        match self.0.get(torrent)? {
            Slot::Asleep(s) => Some(s),
            Slot::Awake(_) | Slot::Between => None,
        }
    }

    pub(super) fn announcer(&self, torrent: TorrentId) -> Option<&Announcer> {
        match self.0.get(torrent)? {
            Slot::Awake(t) => Some(&t.announcer),
            Slot::Asleep(s) => Some(&s.announcer),
            Slot::Between => None,
        }
    }

    pub(super) fn due(&self, torrent: TorrentId) -> Option<Instant> {
        match self.0.get(torrent)? {
            Slot::Awake(t) => t.due,
            Slot::Asleep(s) => s.due,
            Slot::Between => None,
        }
    }

    /// The wire forms of all hashes of a torrent: two of a hybrid.
    pub(super) fn wire_hashes(&self, torrent: TorrentId) -> Vec<WireHash> {
        match self.0.get(torrent) {
            Some(Slot::Awake(t)) => t.wire_hashes(),
            Some(Slot::Asleep(s)) => wire_hashes(&s.hashes),
            Some(Slot::Between) | None => Vec::new(),
        }
    }

    /// The hash of a torrent's swarm.
    pub(super) fn hash(&self, torrent: TorrentId) -> Option<WireHash> {
        match self.0.get(torrent)? {
            Slot::Awake(t) => Some(t.hash),
            Slot::Asleep(s) => Some(s.hash),
            Slot::Between => None,
        }
    }

    /// Whether a torrent goes away, and none of its pieces is being written.
    pub(super) fn is_leaving(&self, torrent: TorrentId) -> bool {
        match self.0.get(torrent) {
            Some(Slot::Awake(t)) => t.is_removing && t.checking == 0,
            Some(Slot::Asleep(s)) => s.is_removing,
            Some(Slot::Between) | None => false,
        }
    }

    pub(super) fn contains_key(&self, torrent: TorrentId) -> bool {
        self.0.contains_key(torrent)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, awake or not.
    pub(super) fn keys(&self) -> impl Iterator<Item = TorrentId> + '_ {
        self.0.keys()
    }

    /// Those that are awake.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TorrentId, &Torrent)> {
        self.0.iter().filter_map(|(id, slot)| match slot {
            Slot::Awake(t) => Some((id, &**t)),
            Slot::Asleep(_) | Slot::Between => None,
        })
    }

    /// Those that are awake.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Torrent> {
        self.0.values_mut().filter_map(|slot| match slot {
            Slot::Awake(t) => Some(&mut **t),
            Slot::Asleep(_) | Slot::Between => None,
        })
    }
}

impl Index<TorrentId> for Torrents {
    type Output = Torrent;

    /// # Panics
    /// When there is no such torrent, or it sleeps.
    fn index(&self, torrent: TorrentId) -> &Torrent {
        self.get(torrent).expect("who names a torrent by index has seen it awake")
    }
}

impl IndexMut<TorrentId> for Torrents {
    /// # Panics
    /// When there is no such torrent, or it sleeps.
    fn index_mut(&mut self, torrent: TorrentId) -> &mut Torrent {
        self.get_mut(torrent).expect("who names a torrent by index has seen it awake")
    }
}

/// The wire forms of all hashes: two of a hybrid.
pub(super) fn wire_hashes(hashes: &InfoHashes) -> Vec<WireHash> {
    let all = [hashes.v1.map(InfoHash::V1), hashes.v2.map(InfoHash::V2)];
    all.into_iter().flatten().map(|hash| hash.wire()).collect()
}
