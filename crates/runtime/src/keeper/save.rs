//! When records are made, and how they get to the state store: data synced, then claimed, then said to be saved.

use std::time::Instant;

use crossbeam_channel::Sender;
use unchoke_storage::{ResumeRecord, StateChange};
use unchoke_wire::WireHash;

use super::{CHANGES_MAX, FIGURES_TIMEOUT, Keeper, Records, SAVE_INTERVAL};
use crate::error::NotSaved;
use crate::shard::ShardMessage;

impl Keeper {
    /// Notes that a record is behind.
    pub(super) fn dirty(&mut self, hash: WireHash) {
        if let Some(kept) = self.torrents.get_mut(&hash) {
            kept.is_dirty = true;
            self.save_later();
        }
    }

    pub(super) fn save_later(&mut self) {
        self.next_save.get_or_insert_with(|| Instant::now() + SAVE_INTERVAL);
    }

    /// Somebody wants to know when what the owner wanted of a torrent is durable.
    pub(super) fn saved(&mut self, hash: WireHash, done: Sender<Result<(), NotSaved>>) {
        let has_files = matches!(self.links.records, Records::Files(_));
        // its entry is on its way to the state store by itself; which files it wants is in its record
        let needs_record = |k: &&super::Kept| k.has_chosen || k.is_dirty && has_files;
        if self.torrents.get(&hash).filter(needs_record).is_none() {
            self.pending.waiters.push(done);
            return;
        }
        self.save_then(hash, move |keeper| {
            if keeper.torrents.get(&hash).is_some_and(|k| k.has_chosen) {
                let why = "the torrent's disk did not take what came before".to_owned();
                // who waited may have gone
                let _ = done.send(Err(NotSaved { why, is_disk_full: false }));
            } else {
                keeper.pending.waiters.push(done);
            }
        });
    }

    /// Makes changes durable if it is time for that: who waits is told, and what fails is tried again.
    pub(super) fn look_at_pending(&mut self) {
        let is_all =
            || self.inbox.is_empty() && (self.lanes.is_idle() || self.pending.is_due(Instant::now()));
        if self.pending.is_waiting() && (self.pending.len() >= CHANGES_MAX || is_all()) {
            let _ = self.commit();
        }
    }

    pub(super) fn save_dirty(&mut self) {
        self.next_save = None;
        for hash in self.hashes() {
            if self.torrents[&hash].is_dirty {
                match self.is_busy(hash) {
                    true => self.save_later(),
                    false => {
                        self.ask_totals(hash);
                        self.save(hash);
                    }
                }
            }
        }
        if self.pending.len() > 0 {
            // it is told where it failed, and tried again
            let _ = self.commit();
        }
    }

    /// Copies the state store, for the day it is damaged.
    pub(super) fn keep_generation(&mut self) {
        self.next_keep = None;
        let Some(store) = self.links.records.state() else { return };
        let began = Instant::now();
        if let Err(error) = store.keep_generation() {
            tracing::warn!(%error, "no copy of the state store");
        }
        self.keep_took = began.elapsed();
    }

    pub(super) fn ask_totals(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let Some(torrent) = kept.entry.state().id else { return };
        let (reply, answer) = crossbeam_channel::bounded(1);
        kept.entry.shard.send(ShardMessage::Stats { torrent, reply });
        if let Ok(stats) = answer.recv_timeout(FIGURES_TIMEOUT) {
            kept.totals = stats.totals;
        }
    }

    /// Makes a torrent durable. Data that cannot be synced stops it.
    pub(super) fn save(&mut self, hash: WireHash) {
        self.save_then(hash, |_| {});
    }

    /// As [`Self::save`], and goes on when its record is on the way, or there is none to make.
    pub(super) fn save_then(&mut self, hash: WireHash, then: impl FnOnce(&mut Keeper) + Send + 'static) {
        let has_records = !matches!(self.links.records, Records::None);
        // before it is ready, what it has is not known, and the record of an earlier run says more
        let may_save = |k: &&super::Kept| has_records && k.is_ready && k.removing.is_none();
        match self.torrents.get(&hash).filter(may_save).map(super::Kept::to_record) {
            Some(record) => self.on_disk(hash, record, move |keeper, record| {
                keeper.keep_record(hash, record);
                then(keeper);
            }),
            None => then(self),
        }
    }

    /// Its data was synced, and this is the record of it.
    fn keep_record(&mut self, hash: WireHash, record: Result<ResumeRecord, String>) {
        let record = match record {
            Ok(record) => record,
            Err(e) => return self.sync_failed(hash, e),
        };
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        kept.facts.clone_from(&record.facts);
        let result = match &self.links.records {
            Records::Files(store) => store.save(&record),
            Records::State(_) | Records::None => {
                self.pending.put(StateChange::Record(record));
                Ok(())
            }
        };
        match result {
            Ok(()) => kept.saved(),
            Err(e) => {
                self.warn(hash, e.to_string());
                // the record of before holds until there is room for this one
                self.dirty(hash);
            }
        }
        self.put_entry(hash);
    }
}
