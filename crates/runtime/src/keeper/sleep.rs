//! Torrents of a state store that sleep: the keeper has nothing of them but their place in the registry. What it needs
//! of one is read when it wakes up, or when its owner changes something, and is let go when it falls asleep.

use std::sync::Arc;
use std::time::Instant;

use unchoke_engine::input::{Times, Totals};
use unchoke_engine::{Command, Event, TorrentId};
use unchoke_storage::{Loaded, StateChange, TorrentEntry};
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, Magnet, WireHash};

use super::errand::is_full;
use super::kept::Kept;
use super::{KEEP_INTERVAL, KEEP_SHARE, Keeper};
use crate::add::AddTorrent;
use crate::error::NotSaved;
use crate::event::SessionEvent;
use crate::shard::ShardMessage;
use crate::torrent::{Phase, Torrent, locked};

impl Keeper {
    /// Somebody wants a torrent that sleeps.
    pub(super) fn wake(&mut self, hash: WireHash, torrent: TorrentId) {
        if let Err(error) = self.recall(hash) {
            return self.fail_asleep(hash, error);
        }
        if self.waits_for_move(hash, torrent) {
            return;
        }
        let Some(kept) = self.torrents.get(&hash).filter(|k| k.removing.is_none()) else { return };
        if !kept.entry.state().is_asleep {
            // it was woken up to be checked
            return;
        }
        let Some(metainfo) = kept.metainfo() else {
            return self.fail(hash, "its metadata is not in the state store; add it once more".to_owned());
        };
        kept.entry.change(|s| {
            s.is_asleep = false;
            s.phase = Phase::Starting;
        });
        let whole = Box::new(Metainfo::clone(&metainfo));
        kept.entry.shard.send(ShardMessage::Command(Command::Wake { torrent, metainfo: whole }));
        match kept.is_ready {
            // it could not be stored when it fell asleep, and was kept
            true => self.ready(hash, &metainfo),
            false => self.open(hash),
        }
    }

    /// A torrent fell asleep: what is known of it is made durable and let go.
    pub(super) fn slept(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get(&hash).filter(|k| k.removing.is_none()) else { return };
        if kept.errand.is_some() {
            kept.entry.change(|s| s.is_asleep = true);
        }
        if !kept.is_ready {
            return;
        }
        kept.entry.change(|s| s.is_asleep = true);
        self.ask_totals(hash);
        if self.torrents.get(&hash).is_some_and(Kept::is_behind) {
            self.save(hash);
        }
        // where it fails nothing is let go
        let _ = self.commit();
        let Some(kept) = self.torrents.get(&hash).filter(|k| !k.is_behind()) else { return };
        if !self.pending.has_failed && !matches!(kept.entry.state().phase, Phase::Failed(_)) {
            kept.entry.change(|s| s.metainfo = None);
            self.torrents.remove(&hash);
        }
    }

    /// Reads what is stored of a torrent that sleeps, unless it is at hand.
    pub(super) fn recall(&mut self, hash: WireHash) -> Result<(), String> {
        if self.torrents.contains_key(&hash) {
            return Ok(());
        }
        let entry = locked(&self.links.registry).get(&hash).map(Arc::clone);
        let (Some(entry), Some(store)) = (entry, self.links.records.state().map(Arc::clone)) else {
            return Err("the torrent is not in the session".to_owned());
        };
        // nothing may be read that is not written yet
        self.commit().map_err(|e| e.why)?;
        let stored = store.torrent(hash).map_err(|e| e.to_string())?;
        let stored = stored.ok_or("its entry is not in the state store; add it once more")?;
        let metainfo = store.metainfo(hash).map_err(|e| e.to_string())?;
        let metainfo =
            metainfo.map(|bytes| Metainfo::parse(&bytes)).transpose().map_err(|e| e.to_string())?;
        let Loaded { record, refused } = store.record(hash).map_err(|e| e.to_string())?;
        for refused in refused {
            self.warn(hash, format!("a record in {} is {}", refused.path.display(), refused.why));
        }
        let mut add = add_of(&stored);
        add.selection = record.as_ref().map(|r| r.selection.clone()).filter(|s| !s.is_empty());
        let magnet = stored.magnet.as_ref().and_then(|m| m.parse::<Magnet>().ok()).map(Box::new);
        entry.change(|s| s.metainfo = metainfo.map(Arc::new));
        let mut kept = Kept::new(entry, add, magnet, None, record);
        kept.set_stored(stored);
        self.torrents.insert(hash, kept);
        Ok(())
    }

    /// As [`Self::recall`], and as much as can be had when that fails: enough to let it go.
    pub(super) fn recall_to_remove(&mut self, hash: WireHash) {
        if let Err(error) = self.recall(hash) {
            self.warn(hash, error);
            let entry = locked(&self.links.registry).get(&hash).map(Arc::clone);
            if let Some(entry) = entry {
                let stored = TorrentEntry::new(entry.hashes, std::path::PathBuf::new(), 0);
                self.torrents.insert(hash, Kept::new(entry, add_of(&stored), None, None, None));
            }
        }
    }

    /// The owner wants a torrent that sleeps to rest, or to go on.
    pub(super) fn pause_asleep(&mut self, hash: WireHash, is_paused: bool) {
        let Some(entry) = locked(&self.links.registry).get(&hash).map(Arc::clone) else { return };
        let stored = match self.pending.entry(hash) {
            Some(stored) => Ok(Some(stored.clone())),
            None => self.links.records.state().map_or(Ok(None), |s| s.torrent(hash)),
        };
        match stored {
            Ok(Some(stored)) => {
                self.pending.put(StateChange::Entry(hash, TorrentEntry { is_paused, ..stored }))
            }
            Ok(None) => self.warn(hash, "its entry is not in the state store".to_owned()),
            Err(e) => self.warn(hash, e.to_string()),
        }
        let mut id = None;
        entry.change(|s| {
            (s.is_paused, id) = (is_paused, s.id);
            s.is_awaited |= id.is_none();
            if !is_paused {
                s.phase = Phase::Running;
            }
        });
        if let Some(torrent) = id {
            let command = if is_paused { Command::Pause(torrent) } else { Command::Resume(torrent) };
            entry.shard.send(ShardMessage::Command(command));
        }
    }

    /// The engine has a sleeper whose owner wanted something of it before.
    pub(super) fn added_asleep(&self, hash: WireHash, torrent: TorrentId) {
        let Some(entry) = locked(&self.links.registry).get(&hash).map(Arc::clone) else { return };
        let command = if entry.state().is_paused { Command::Pause } else { Command::Resume };
        entry.shard.send(ShardMessage::Command(command(torrent)));
        if let Some(metainfo) = self.torrents.get(&hash).and_then(Kept::metainfo) {
            // its files were chosen; that makes it wake up
            let wanted = Bitfield::all(metainfo.info.layout.piece_count());
            entry.shard.send(ShardMessage::Command(Command::SetWanted { torrent, wanted }));
        }
    }

    /// A torrent cannot wake up.
    fn fail_asleep(&self, hash: WireHash, error: String) {
        let Some(entry) = locked(&self.links.registry).get(&hash).map(Arc::clone) else { return };
        let id = entry.state().id;
        entry.change(|s| s.phase = Phase::Failed(error.clone()));
        if let Some(torrent) = id {
            entry.shard.send(ShardMessage::Command(Command::Pause(torrent)));
            let event = Event::StorageFailed { torrent, error };
            self.links.sink.emit(SessionEvent::Torrent { hash, event });
        }
    }

    /// Stores the entry of a torrent anew.
    pub(super) fn put_entry(&mut self, hash: WireHash) {
        if let Some(stored) = self.torrents.get_mut(&hash).and_then(Kept::newest_entry) {
            self.pending.put(StateChange::Entry(hash, stored));
        }
    }

    /// Makes all changes durable, and tells those who wait for it. Those that the disk does not take are kept.
    pub(super) fn commit(&mut self) -> Result<(), NotSaved> {
        let result = match self.links.records.state().map(Arc::clone) {
            Some(store) => {
                let changes = self.pending.take();
                let result = store
                    .commit(&changes)
                    .map_err(|e| NotSaved { why: e.to_string(), is_disk_full: is_full(&e) });
                if result.is_err() {
                    changes.into_iter().for_each(|change| self.pending.put(change));
                }
                result
            }
            None => Ok(()),
        };
        for waiter in std::mem::take(&mut self.pending.waiters) {
            // who waited may have gone
            let _ = waiter.send(result.clone());
        }
        match &result {
            Ok(()) => {
                self.pending.has_failed = false;
                let wait = KEEP_INTERVAL.max(self.keep_took * KEEP_SHARE);
                self.next_keep.get_or_insert_with(|| Instant::now() + wait);
                for (hash, torrent) in std::mem::take(&mut self.pending.removed) {
                    self.gone(hash, torrent);
                }
            }
            Err(error) => {
                self.pending.has_failed = true;
                for (hash, _) in &self.pending.removed {
                    if let Some(kept) = self.torrents.get(hash) {
                        kept.entry.change(|s| s.unsaved = Some(error.clone()));
                    }
                }
                tracing::error!(error = error.why, "cannot store the session's state; it is tried again");
                self.save_later();
            }
        }
        result
    }
}

/// What a stored torrent was added with.
pub(crate) fn add_of(stored: &TorrentEntry) -> AddTorrent {
    let d = stored.discovery;
    AddTorrent {
        is_sequential: stored.is_sequential,
        is_super_seeding: stored.is_super_seeding,
        seed_only: stored.seed_only,
        is_paused: stored.is_paused,
        discovery: unchoke_engine::input::Discovery {
            trackers: d.trackers,
            dht: d.dht,
            lsd: d.lsd,
            dial: d.dial,
        },
        ..AddTorrent::new(Magnet::default(), &stored.dir)
    }
}

/// What a stored torrent has done so far.
pub(crate) fn totals_of(stored: &TorrentEntry) -> Totals {
    let [active, finished, seeding] =
        [stored.active_s, stored.finished_s, stored.seeding_s].map(Duration::from_secs);
    let times = Times { active, finished, seeding };
    Totals { downloaded: stored.downloaded, uploaded: stored.uploaded, times }
}

/// What is stored of a torrent that is added.
pub(super) fn stored_of(entry: &Torrent, add: &AddTorrent, magnet: Option<&Magnet>) -> Option<TorrentEntry> {
    let crate::add::Place::Dir(dir) = &add.place else { return None };
    let d = add.discovery;
    let mut stored = TorrentEntry::new(entry.hashes, dir.clone(), now());
    stored.magnet = magnet.map(ToString::to_string);
    stored.trackers = magnet.iter().flat_map(|m| &m.trackers).map(|t| vec![t.clone()]).collect();
    (stored.is_sequential, stored.seed_only) = (add.is_sequential, add.seed_only);
    stored.is_super_seeding = add.is_super_seeding;
    stored.discovery =
        unchoke_storage::state::Discovery { trackers: d.trackers, dht: d.dht, lsd: d.lsd, dial: d.dial };
    Some(stored)
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
