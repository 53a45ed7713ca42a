//! What takes several commits: a move, and the removal of data that a move was cut off from. Session and start share it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use unchoke_storage::{
    Allocation, FileStorage, MemoryDisk, ResumeRecord, StateChange, StateStore, Storage, TorrentEntry, Volume,
};
use unchoke_wire::WireHash;

use super::book::Member;
use super::session::options;

/// A torrent on its way, and where all of it is kept.
pub(super) struct Journey<'a> {
    pub(super) disk: &'a MemoryDisk,
    pub(super) store: &'a StateStore,
    pub(super) member: &'a Member,
    pub(super) hash: WireHash,
}

impl Journey<'_> {
    /// Opens the storage as it is opened at a start.
    pub(super) fn open(&self, dir: &Path, record: &ResumeRecord) -> Result<FileStorage, String> {
        let options = options(self.disk, record.have.count() > 0, &record.selection, Allocation::Sparse);
        FileStorage::open(dir, self.member.spec.clone(), options).map_err(|e| e.to_string())
    }

    /// Moves to `to`, or goes on with a move that was cut off.
    pub(super) fn relocate(
        &self,
        entry: &mut TorrentEntry,
        record: &mut ResumeRecord,
        to: &Path,
    ) -> Result<(), String> {
        let is_new = entry.begin_move(to.to_owned());
        self.commit(entry, Some(record))?;
        if !entry.is_placed() {
            self.place(entry, record, is_new)?;
            self.settle(entry, record)?;
        }
        self.way(entry)?.clear_source().map_err(|e| e.to_string())?;
        entry.end_move();
        self.commit(entry, None)
    }

    /// Begins a move that breaks off, before its files are known to be in their new place or after.
    pub(super) fn break_off(
        &self,
        entry: &mut TorrentEntry,
        record: &mut ResumeRecord,
        (to, is_placed): (&Path, bool),
    ) -> Result<(), String> {
        let is_new = entry.begin_move(to.to_owned());
        self.commit(entry, Some(record))?;
        self.place(entry, record, is_new)?;
        if is_placed { self.settle(entry, record) } else { Ok(()) }
    }

    /// Deletes the data of a torrent that is noted to be deleted, and forgets it.
    pub(super) fn delete(&self, entry: &TorrentEntry, record: &ResumeRecord) -> Result<(), String> {
        if entry.is_moving() {
            self.way(entry)?.tidy(entry.is_placed()).map_err(|e| e.to_string())?;
        }
        self.open(&entry.dir, record)?.delete().map_err(|e| e.to_string())?;
        self.store.commit(&[StateChange::Remove(self.hash)]).map_err(|e| e.to_string())
    }

    fn place(&self, entry: &TorrentEntry, record: &mut ResumeRecord, is_new: bool) -> Result<(), String> {
        let found = self.way(entry)?.place_recorded(&record.facts, is_new, &AtomicBool::new(false));
        let found = found.map_err(|e| e.to_string())?;
        let mut there = entry.clone();
        there.settle_in();
        let now = self.open(&there.dir, record)?.facts();
        record.carry(&found, &now);
        Ok(())
    }

    fn settle(&self, entry: &mut TorrentEntry, record: &ResumeRecord) -> Result<(), String> {
        entry.settle_in();
        self.commit(entry, Some(record))
    }

    fn way(&self, entry: &TorrentEntry) -> Result<unchoke_storage::Relocation, String> {
        let way = entry.relocation(&Volume::from(self.disk), self.member.spec.clone());
        way.ok_or("it is on its way")?.map_err(|e| e.to_string())
    }

    fn commit(&self, entry: &TorrentEntry, record: Option<&ResumeRecord>) -> Result<(), String> {
        let entry = StateChange::Entry(self.hash, entry.clone());
        let record = record.map(|r| StateChange::Record(r.clone()));
        let changes: Vec<StateChange> = [entry].into_iter().chain(record).collect();
        self.store.commit(&changes).map_err(|e| e.to_string())
    }
}
