//! What is written down of a move. Whoever has torrents moved commits, in this order, what these leave of entry and record:
//!
//! 1. [`TorrentEntry::begin_move`], before any file is touched;
//! 2. [`TorrentEntry::settle_in`] and [`ResumeRecord::carry`], together, after [`Relocation::place_recorded`];
//! 3. [`TorrentEntry::end_move`], after [`Relocation::clear_source`], or instead of 2 when all is as it was.
//!
//! A run that finds [`TorrentEntry::is_moving`] goes on at the step that [`TorrentEntry::is_placed`] tells.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::{Found, PlaceError, Relocation};
use crate::error::StorageError;
use crate::resume::ResumeRecord;
use crate::spec::StorageSpec;
use crate::state::TorrentEntry;
use crate::storage::FileFact;
use crate::volume::Volume;

impl TorrentEntry {
    /// Whether its files are on their way, in one folder or in two.
    pub fn is_moving(&self) -> bool {
        self.moving_to.is_some() || self.moved_from.is_some()
    }

    /// Whether they are in the new folder, and only the old one is still to be cleared.
    pub fn is_placed(&self) -> bool {
        self.moved_from.is_some()
    }

    /// Notes that its files go to the folder `to`, unless they are on their way already. Answers whether they were not.
    pub fn begin_move(&mut self, to: PathBuf) -> bool {
        let is_new = !self.is_moving();
        if is_new {
            self.moving_to = Some(to);
        }
        is_new
    }

    /// Notes that its files are in the new folder: from now on that is where it is.
    pub fn settle_in(&mut self) {
        if let Some(to) = self.moving_to.take() {
            self.moved_from = Some(std::mem::replace(&mut self.dir, to));
        }
    }

    /// Notes that its files are in one folder, `dir`, alone.
    pub fn end_move(&mut self) {
        (self.moving_to, self.moved_from) = (None, None);
    }

    /// The way of its files on `volume`, while they are on it.
    ///
    /// # Errors
    /// As [`Relocation::new`].
    ///
    /// # Panics
    /// As [`Relocation::new`].
    pub fn relocation(&self, volume: &Volume, spec: StorageSpec) -> Option<Result<Relocation, StorageError>> {
        let (from, to) = match (&self.moving_to, &self.moved_from) {
            (Some(to), _) => (&self.dir, to),
            (None, Some(from)) => (from, &self.dir),
            (None, None) => return None,
        };
        Some(Relocation::new_on(volume, spec, from, to))
    }
}

impl ResumeRecord {
    /// Says of the files in their new place, which are as `now` says, what the record says of them in the old one, as far
    /// as that still held when they were `found`.
    pub fn carry(&mut self, found: &Found, now: &[FileFact]) {
        for (fact, now) in self.facts.iter_mut().zip(now) {
            *fact = match *fact {
                FileFact::Missing => FileFact::Missing,
                then if found.holds(then) => *now,
                _ => FileFact::Doubtful,
            };
        }
    }
}

impl Relocation {
    /// As [`Self::place`] for files of which there is a record, and answers what was where before. `is_new` tells that no
    /// earlier run began with it.
    ///
    /// # Errors
    /// As [`Self::place`], and [`crate::ErrorKind::MissingRoot`] when nothing of what is recorded is there.
    pub fn place_recorded(
        &self,
        recorded: &[FileFact],
        is_new: bool,
        is_stopped: &AtomicBool,
    ) -> Result<Found, PlaceError> {
        let untouched = |error| PlaceError { error, is_undone: is_new };
        let found = self.find_all().map_err(untouched)?;
        if found.is_source_missing(recorded) {
            return Err(untouched(self.source_is_missing()));
        }
        self.place(is_stopped)?;
        Ok(found)
    }

    /// Makes one folder of two where a move was cut off and the data is to be deleted: the new one if it `is_placed`.
    ///
    /// # Errors
    /// As [`Self::clear_source`] and [`Self::undo`].
    pub fn tidy(&self, is_placed: bool) -> Result<(), StorageError> {
        if is_placed { self.clear_source() } else { self.undo() }
    }
}
