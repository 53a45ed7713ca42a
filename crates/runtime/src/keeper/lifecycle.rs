//! The steps of a torrent's life, one after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use unchoke_engine::input::{AddTorrent, PeerSource, TorrentSource};
use unchoke_engine::output::HubCommand;
use unchoke_engine::{Command, Event, TorrentId};
use unchoke_storage::{ResumeRecord, StateChange, check_facts};
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::{Bitfield, WireHash};

use super::check::{CheckJob, Checked};
use super::errand::Errand;
use super::kept::{Kept, complete};
use super::sleep::stored_of;
use super::{Adding, Keeper, Records};
use crate::event::SessionEvent;
use crate::hub::HubMessage;
use crate::shard::ShardMessage;
use crate::torrent::Phase;
use crate::workers::{Placed, guarded};

impl Keeper {
    /// Reads the record and hands the torrent to its engine.
    pub(super) fn add(&mut self, adding: Adding) {
        let Adding { entry, mut add, lock, stored } = adding;
        let hash = entry.hash;
        let (record, error) = match self.links.records.load(hash) {
            Ok(loaded) => {
                for refused in &loaded.refused {
                    self.warn(hash, format!("the record {} is {}", refused.path.display(), refused.why));
                }
                (loaded.record, None)
            }
            Err(e) => (None, Some(e.to_string())),
        };
        // the engine gets the source; a second copy of large metadata would stay for good
        let mut source = std::mem::replace(&mut add.source, TorrentSource::Magnet(Box::default()));
        let magnet = match &source {
            TorrentSource::Magnet(magnet) => Some(magnet.clone()),
            TorrentSource::Metainfo(_) => None,
        };
        let is_new = stored.is_none();
        let mut kept = Kept::new(entry, add, magnet, lock, record);
        if self.links.records.state().is_some() {
            let fresh = || stored_of(&kept.entry, &kept.add, kept.magnet.as_deref());
            if let Some(stored) = stored.map(|s| *s).or_else(fresh) {
                kept.set_stored(stored);
            }
        }
        if let Some(magnet) = &kept.magnet {
            let info = kept.record.as_ref().and_then(|r| r.info.clone());
            let info = info.filter(|info| kept.entry.hashes.matches(info));
            if let Some(Ok(metainfo)) = info.map(|info| complete(magnet, info)) {
                source = TorrentSource::Metainfo(Box::new(metainfo.clone()));
                kept.entry.change(|s| s.knows(Arc::new(metainfo)));
            }
        }
        let command = Command::Add(Box::new(AddTorrent {
            source,
            discovery: kept.add.discovery,
            is_paused: kept.entry.state().is_paused,
            is_sequential: kept.add.is_sequential,
            totals: kept.totals,
        }));
        let shard = kept.entry.shard.clone();
        let shard_id = kept.entry.shard_id;
        self.torrents.insert(hash, kept);
        self.count(shard_id);
        if is_new {
            self.put_all(hash);
            self.put_selection(hash);
        }
        match error {
            Some(error) => self.fail(hash, error),
            None => shard.send(ShardMessage::Command(command)),
        }
    }

    /// Stores a torrent with its metadata.
    fn put_all(&mut self, hash: WireHash) {
        self.put_entry(hash);
        let Some(kept) = self.torrents.get(&hash).filter(|k| k.stored.is_some()) else { return };
        if let Some(metainfo) = kept.metainfo() {
            self.pending.put(StateChange::Metainfo(hash, metainfo.to_bytes()));
        }
    }

    /// Stores the choice of files a torrent is added with.
    fn put_selection(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash).filter(|k| k.stored.is_some()) else { return };
        let Some(selection) = kept.add.selection.clone() else { return };
        let record = kept.record.get_or_insert_with(|| ResumeRecord::new(hash, kept.entry.hashes));
        record.selection = selection;
        self.pending.put(StateChange::Record(record.clone()));
    }

    /// The engine has it.
    pub(super) fn added(&mut self, hash: WireHash, torrent: TorrentId) {
        let Some(kept) = self.torrents.get(&hash) else { return self.added_asleep(hash, torrent) };
        let shard = &kept.entry.shard;
        if kept.removing.is_some() {
            shard.send(ShardMessage::Command(Command::Remove(torrent)));
            return;
        }
        if self.is_checked_now(hash) {
            return;
        }
        let Some(kept) = self.torrents.get(&hash) else { return };
        if kept.entry.state().is_asleep {
            return self.added_asleep(hash, torrent);
        }
        let shard = &kept.entry.shard;
        // a pause that came while it had no name could not be told
        let command = if kept.entry.state().is_paused { Command::Pause } else { Command::Resume };
        shard.send(ShardMessage::Command(command(torrent)));
        if kept.add.is_super_seeding {
            // before its storage is ready, so that nobody is told of more
            shard.send(ShardMessage::Command(Command::SetSuperSeeding { torrent, is_on: true }));
        }
        if !kept.add.peers.is_empty() {
            let peers = kept.add.peers.clone();
            shard.send(ShardMessage::Peers { torrent, source: PeerSource::User, peers });
        }
        for node in &kept.add.dht_nodes {
            let command = HubCommand::DhtNode { host: node.host().to_owned(), port: node.port() };
            self.links.hub.send(HubMessage::Engine { shard: kept.entry.shard_id, command });
        }
        if kept.metainfo().is_some() {
            self.open(hash);
        }
    }

    /// The metadata of a magnet came.
    pub(super) fn metadata(&mut self, hash: WireHash, info: Vec<u8>) {
        let Some(kept) = self.torrents.get(&hash) else { return };
        let Some(magnet) = &kept.magnet else { return };
        match complete(magnet, info) {
            Ok(metainfo) => {
                kept.entry.change(|s| s.knows(Arc::new(metainfo)));
                self.put_all(hash);
                self.open(hash);
            }
            Err(e) => self.fail(hash, e.to_string()),
        }
    }

    /// Opens the storage and finds out what it holds.
    pub(super) fn open(&mut self, hash: WireHash) {
        if self.goes_on_moving(hash) {
            return;
        }
        let Some(kept) = self.torrents.get_mut(&hash).filter(|k| k.errand.is_none()) else { return };
        let Some(metainfo) = kept.metainfo() else { return };
        let (pieces, checks_all) = (metainfo.info.layout.piece_count(), kept.checks_all);
        let opened = kept.open(&metainfo.info, &self.pool).and_then(|storage| {
            let empty = ResumeRecord::new(hash, kept.entry.hashes);
            let storage = Placed::new(storage);
            let mut resume = check_facts(kept.record.as_ref().unwrap_or(&empty), &*storage.storage);
            if checks_all || resume.is_storage_missing && kept.add.begins_anew {
                resume = check_facts(&empty, &*storage.storage);
            }
            if !resume.is_storage_missing && !kept.add.seed_only {
                storage.call(|s| s.prepare())?;
            }
            Ok((storage, resume))
        });
        let (storage, resume) = match opened {
            Ok(opened) => opened,
            Err(e) => return self.fail(hash, e),
        };
        if resume.is_storage_missing {
            let error = "its files are gone: mount their disk, or recheck it to begin anew";
            return self.fail(hash, error.to_owned());
        }
        kept.storage = Some(storage.clone());
        (kept.have, kept.checks_all) = (resume.trusted, false);
        kept.forget_doubts();
        if kept.add.trust && !checks_all {
            let recorded = kept.record.as_ref().map(|r| r.have.clone()).filter(|h| h.len() == pieces);
            kept.have = recorded.unwrap_or_else(|| Bitfield::all(pieces));
        } else if resume.doubtful.count() > 0 {
            let total = resume.doubtful.count();
            kept.entry.change(|s| s.phase = Phase::Checking { done: 0, total });
            kept.cancel = Arc::new(AtomicBool::new(false));
            let (entry, cancel) = (Arc::clone(&kept.entry), Arc::clone(&kept.cancel));
            // the checker outlives the keeper
            let storage = storage.storage;
            let (pieces, renew) = (resume.doubtful, Vec::new());
            let _ = self.checks.send(CheckJob { entry, metainfo, storage, pieces, renew, cancel });
            return;
        }
        self.ready(hash, &metainfo);
    }

    /// The doubtful pieces were checked.
    pub(super) fn checked(&mut self, hash: WireHash, result: Result<Checked, String>) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        if kept.errand.is_some() {
            return;
        }
        if kept.is_ready {
            return self.rechecked(hash, result);
        }
        let Some(metainfo) = kept.metainfo() else { return };
        match result {
            Ok(checked) => {
                for piece in checked.good.iter() {
                    kept.have.set(piece);
                }
                self.unreadable(hash, &checked.unreadable);
                self.dirty(hash);
                self.ready(hash, &metainfo);
            }
            Err(e) => self.fail(hash, e),
        }
    }

    /// Lets the engine begin.
    pub(super) fn ready(&mut self, hash: WireHash, metainfo: &Metainfo) {
        let Some(kept) = self.torrents.get_mut(&hash).filter(|k| k.removing.is_none()) else { return };
        let Some((torrent, place)) = kept.entry.state().id.zip(kept.storage.clone()) else { return };
        kept.facts = kept.record.as_ref().map(|r| r.facts.clone()).unwrap_or_default();
        if kept.facts.len() != metainfo.info.files.len() {
            kept.facts = place.storage.facts();
        }
        let (have, partials) = (kept.have.clone(), kept.recorded_partials(&metainfo.info));
        let (count, pieces) = (have.count(), have.len());
        let wanted = kept.wanted(&metainfo.info);
        (kept.is_ready, kept.record) = (true, None);
        kept.entry.change(|s| s.phase = Phase::Running);
        kept.entry.shard.send(ShardMessage::Storage { torrent, place });
        kept.entry.shard.send(ShardMessage::Command(Command::StorageReady {
            torrent,
            have,
            wanted,
            partials,
        }));
        self.links.sink.emit(SessionEvent::Ready { hash, have: count, pieces });
        if self.torrents.get(&hash).and_then(|k| k.stored.as_ref()).is_some_and(|s| s.have != Some(count)) {
            self.dirty(hash);
        }
        self.completed(hash, torrent);
    }

    /// Ends the download if all is there: the files are finished and synced before anybody is told.
    pub(super) fn completed(&mut self, hash: WireHash, torrent: TorrentId) {
        // while its files are being checked it is not known what is there
        let Some(kept) = self.torrents.get_mut(&hash).filter(|k| k.is_ready) else { return };
        let (Some(metainfo), Some(storage)) = (kept.metainfo(), kept.storage.clone()) else { return };
        if kept.entry.state().is_complete || !kept.is_complete(&metainfo.info) {
            return;
        }
        if !kept.add.seed_only
            && let Err(e) = storage.call(|s| s.finish())
        {
            return self.sync_failed(hash, e);
        }
        self.ask_totals(hash);
        self.save(hash);
        let Some(kept) = self.torrents.get(&hash) else { return };
        if !matches!(kept.entry.state().phase, Phase::Failed(_)) {
            kept.entry.change(|s| s.is_complete = true);
            let event = Event::Completed { torrent };
            self.links.sink.emit(SessionEvent::Torrent { hash, event });
        }
    }

    /// The owner wants it to rest, or to go on.
    pub(super) fn pause(&mut self, hash: WireHash, is_paused: bool) {
        let Some(kept) = self.torrents.get(&hash) else { return self.pause_asleep(hash, is_paused) };
        if kept.removing.is_some() {
            return;
        }
        let (id, has_failed) = {
            let state = kept.entry.state();
            (state.id, matches!(state.phase, Phase::Failed(_)))
        };
        kept.entry.change(|s| s.is_paused = is_paused);
        self.put_entry(hash);
        let Some(kept) = self.torrents.get(&hash) else { return };
        let Some(torrent) = id else { return };
        let command = if is_paused { Command::Pause(torrent) } else { Command::Resume(torrent) };
        kept.entry.shard.send(ShardMessage::Command(command));
        match has_failed && !is_paused {
            true => self.try_again(hash),
            false => self.troubles.forget(hash),
        }
    }

    /// The owner chose other files.
    pub(super) fn select(&mut self, hash: WireHash, selection: Vec<bool>) {
        if let Err(error) = self.recall(hash) {
            return self.warn(hash, error);
        }
        let Some(kept) = self.torrents.get_mut(&hash).filter(|k| k.removing.is_none()) else { return };
        kept.add.selection = Some(selection.clone());
        if !kept.is_ready {
            self.select_later(hash, selection);
            return;
        }
        let (Some(metainfo), Some(storage)) = (kept.metainfo(), kept.storage.clone()) else { return };
        if let Err(e) = storage.call(|s| s.set_selection(&selection)) {
            return self.fail(hash, e);
        }
        let wanted = kept.wanted(&metainfo.info);
        if let (Some(torrent), Some(wanted), true) = (kept.entry.state().id, wanted, kept.is_ready) {
            kept.entry.shard.send(ShardMessage::Command(Command::SetWanted { torrent, wanted }));
        }
        let is_complete = kept.is_complete(&metainfo.info);
        kept.entry.change(|s| s.is_complete &= is_complete);
        let id = kept.entry.state().id;
        self.dirty(hash);
        if let Some(torrent) = id {
            self.completed(hash, torrent);
        }
    }

    /// The choice of files of a torrent whose storage is not open: it is kept, and made when it is.
    fn select_later(&mut self, hash: WireHash, selection: Vec<bool>) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let mut record = kept.record.take().unwrap_or_else(|| ResumeRecord::new(hash, kept.entry.hashes));
        record.selection = selection;
        let metainfo = kept.metainfo();
        let (is_asleep, id) = {
            let mut state = kept.entry.state();
            state.is_awaited |= state.id.is_none();
            (state.is_asleep, state.id)
        };
        if kept.stored.is_some() {
            self.pending.put(StateChange::Record(record.clone()));
        }
        kept.record = Some(record);
        // asking for pieces wakes it
        if let (true, Some(torrent), Some(metainfo)) = (is_asleep, id, metainfo) {
            let wanted = kept.wanted(&metainfo.info);
            let wanted = wanted.unwrap_or_else(|| Bitfield::all(metainfo.info.layout.piece_count()));
            kept.entry.shard.send(ShardMessage::Command(Command::SetWanted { torrent, wanted }));
        }
    }

    /// The owner wants it to go.
    pub(super) fn remove(&mut self, hash: WireHash, delete_data: bool) {
        if !self.torrents.contains_key(&hash) {
            self.recall_to_remove(hash);
        }
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        kept.removing = Some(delete_data);
        kept.cancel.store(true, Ordering::Relaxed);
        kept.errand.iter().for_each(Errand::stop);
        let (id, has_failed) = {
            let mut state = kept.entry.state();
            state.is_awaited |= state.id.is_none();
            (state.id, matches!(state.phase, Phase::Failed(_)))
        };
        match id {
            Some(torrent) => kept.entry.shard.send(ShardMessage::Command(Command::Remove(torrent))),
            // it never reached its engine
            None if has_failed => self.removed(hash, None),
            // it goes as soon as its engine has it
            None => {}
        }
    }

    /// The engine has forgotten it.
    pub(super) fn removed(&mut self, hash: WireHash, torrent: Option<TorrentId>) {
        let Some(kept) = self.torrents.get(&hash) else { return };
        // an engine that stops forgets all its torrents; those are still to be saved
        let Some(delete_data) = kept.removing else { return };
        if self.is_removed_while_moving(hash, torrent) {
            return;
        }
        if delete_data && let Some(stored) = self.torrents.get_mut(&hash).and_then(|k| k.stored.as_mut()) {
            // should it be cut off, the next start goes on with it
            stored.is_deleting = true;
            self.put_entry(hash);
            if let Err(e) = self.commit() {
                self.warn(hash, e.why);
            }
        }
        let Some(kept) = self.torrents.get(&hash) else { return };
        let mut result = Ok(());
        if delete_data {
            if let Err(e) = kept.tidy_move() {
                self.warn(hash, e);
            }
            // that of a torrent which sleeps is not open
            let opened = kept.storage.as_ref().map(|place| Ok(Arc::clone(&place.storage)));
            let opened = opened.or_else(|| Some(kept.open(&kept.metainfo()?.info, &self.pool)));
            if let Some(storage) = opened {
                result = storage.and_then(|storage| guarded(|| storage.delete()));
            }
        }
        if let Records::Files(store) = &self.links.records {
            result = result.and(store.remove(hash).map_err(|e| e.to_string()));
        }
        if let Err(e) = result {
            self.warn(hash, e);
        }
        if self.links.records.state().is_some() {
            self.pending.put(StateChange::Remove(hash));
            self.pending.removed.push((hash, torrent));
        } else {
            self.gone(hash, torrent);
        }
    }

    /// Its removal is durable.
    pub(super) fn gone(&mut self, hash: WireHash, torrent: Option<TorrentId>) {
        self.forget(hash);
        if let Some(torrent) = torrent {
            let event = Event::Removed { torrent };
            self.links.sink.emit(SessionEvent::Torrent { hash, event });
        }
    }
}
