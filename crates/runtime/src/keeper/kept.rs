//! A torrent as the keeper has it: its storage, its record, and what of it is on the disk for sure.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use unchoke_engine::input::{PartialPiece, Totals};
use unchoke_storage::{
    FileFact, FilePool, FileStorage, Options, ResumeLock, ResumeRecord, Storage, StorageSpec, TorrentEntry,
};
use unchoke_wire::metainfo::{Info, Metainfo};
use unchoke_wire::{Bitfield, FileIndex, Magnet, PieceIndex};

use super::errand::Errand;
use super::trouble::Doubts;
use crate::add::{AddTorrent, Place};
use crate::error::SessionError;
use crate::torrent::Torrent;
use crate::workers::{Placed, guarded};

/// A torrent of the keeper.
pub(super) struct Kept {
    pub(super) entry: Arc<Torrent>,
    /// What it was added with, but for the source.
    pub(super) add: AddTorrent,
    /// The magnet it was added from, if it was.
    pub(super) magnet: Option<Box<Magnet>>,
    /// Held as long as the torrent is kept.
    pub(super) _lock: Option<ResumeLock>,
    /// What an earlier run left, until the torrent is ready.
    pub(super) record: Option<ResumeRecord>,
    pub(super) storage: Option<Placed>,
    /// Pieces that are verified and written.
    pub(super) have: Bitfield,
    /// What the disk said of its files when they were known to be right last.
    pub(super) facts: Vec<FileFact>,
    /// What is wrong with its pieces.
    pub(super) doubts: Doubts,
    pub(super) partials: Vec<PartialPiece>,
    pub(super) totals: Totals,
    /// Whether pieces or files changed since the record was saved.
    pub(super) is_dirty: bool,
    /// What the state store has of it; `None` without one.
    pub(super) stored: Option<Box<TorrentEntry>>,
    /// Bytes received and sent by the record on disk; `None` when there is none.
    saved_bytes: Option<(u64, u64)>,
    /// Whether the engine was told of the storage.
    pub(super) is_ready: bool,
    /// Whether partial pieces are awaited.
    pub(super) is_saving: bool,
    /// Ends a check under way.
    pub(super) cancel: Arc<AtomicBool>,
    /// What its storage is closed for.
    pub(super) errand: Option<Errand>,
    /// Whether nothing that is known of its files is believed when they are opened next.
    pub(super) checks_all: bool,
    /// Set when the torrent is to go; whether its data goes too.
    pub(super) removing: Option<bool>,
}

impl Kept {
    pub(super) fn new(
        entry: Arc<Torrent>,
        add: AddTorrent,
        magnet: Option<Box<Magnet>>,
        lock: Option<ResumeLock>,
        record: Option<ResumeRecord>,
    ) -> Self {
        let saved_bytes = record.as_ref().map(|r| (r.downloaded, r.uploaded));
        let (downloaded, uploaded) = saved_bytes.unwrap_or_default();
        let totals = Totals { downloaded, uploaded, ..Totals::default() };
        Kept {
            entry,
            add,
            magnet,
            _lock: lock,
            record,
            storage: None,
            have: Bitfield::default(),
            facts: Vec::new(),
            doubts: Doubts::default(),
            partials: Vec::new(),
            totals,
            is_dirty: false,
            stored: None,
            saved_bytes,
            is_ready: false,
            is_saving: false,
            cancel: Arc::default(),
            errand: None,
            checks_all: false,
            removing: None,
        }
    }

    pub(super) fn metainfo(&self) -> Option<Arc<Metainfo>> {
        self.entry.state().metainfo.clone()
    }

    /// The files wanted, one entry a file; `None` for all.
    pub(super) fn selection(&self, info: &Info) -> Option<Vec<bool>> {
        let fits = |s: &Vec<bool>| s.len() == info.files.len();
        if let Some(selection) = self.add.selection.as_ref().filter(|s| fits(s)) {
            return Some(selection.clone());
        }
        let magnet = self.magnet.as_ref().filter(|m| !m.select.is_empty())?;
        let is_selected = |file: u32| magnet.select.iter().any(|range| range.contains(&file));
        Some((0u32..).zip(&info.files).map(|(file, _)| is_selected(file)).collect())
    }

    /// The pieces wanted; `None` for all.
    pub(super) fn wanted(&self, info: &Info) -> Option<Bitfield> {
        if self.add.seed_only {
            return Some(Bitfield::none(info.layout.piece_count()));
        }
        self.selection(info).map(|selection| pieces_of(info, &selection))
    }

    /// Whether all that is wanted is there. Never for an incomplete seed.
    pub(super) fn is_complete(&self, info: &Info) -> bool {
        match self.wanted(info) {
            Some(wanted) if !self.add.seed_only => wanted.iter().all(|p| self.have.has(p)),
            _ => self.have.is_all(),
        }
    }

    /// Opens the storage, without touching the disk.
    pub(super) fn open(&self, info: &Info, pool: &Arc<FilePool>) -> Result<Arc<dyn Storage>, String> {
        let spec = StorageSpec::from(info);
        let dir = match &self.add.place {
            Place::Custom(factory) => return guarded(|| factory(spec)),
            Place::Dir(dir) => dir,
        };
        let claims = self.record.as_ref().is_some_and(|r| r.have.count() > 0);
        let options = Options {
            allocation: self.add.allocation,
            may_create_root: (!claims || self.add.begins_anew) && !self.add.seed_only,
            makes_symlinks: true,
            selection: self.selection(info),
            pool: Arc::clone(pool),
            ..Options::default()
        };
        let storage = FileStorage::open(dir, spec, options).map_err(|e| e.to_string())?;
        Ok(Arc::new(storage))
    }

    /// Partly received pieces of the record that still fit.
    pub(super) fn recorded_partials(&self, info: &Info) -> Vec<PartialPiece> {
        let recorded = self.record.iter().flat_map(|r| &r.partials);
        let fits = |p: &&unchoke_storage::PartialPiece| {
            p.piece.0 < info.layout.piece_count()
                && !self.have.has(p.piece)
                && p.blocks.len() == info.layout.block_count(p.piece)
                && u32::try_from(p.data.len()) == Ok(info.layout.len_of(p.piece))
        };
        let partial = |p: &unchoke_storage::PartialPiece| PartialPiece {
            piece: p.piece,
            blocks: p.blocks.clone(),
            data: p.data.clone().into(),
        };
        recorded.filter(fits).map(partial).collect()
    }

    fn bytes(&self) -> (u64, u64) {
        (self.totals.downloaded, self.totals.uploaded)
    }

    /// Takes on what the state store has of it.
    pub(super) fn set_stored(&mut self, stored: TorrentEntry) {
        self.totals.times = super::sleep::totals_of(&stored).times;
        self.stored = Some(Box::new(stored));
    }

    /// Whether the record says less than is known. Time alone is not worth a record.
    pub(super) fn is_behind(&self) -> bool {
        self.is_dirty || self.saved_bytes != Some(self.bytes()) || !self.partials.is_empty()
    }

    /// Syncs the data, then makes a record of what is true of it. Call [`Self::saved`] when that is kept.
    pub(super) fn to_record(&self) -> Result<ResumeRecord, String> {
        let mut record = ResumeRecord::new(self.entry.hash, self.entry.hashes);
        let metainfo = self.metainfo();
        if let (Some(place), Some(metainfo)) = (&self.storage, &metainfo) {
            place.call(|storage| record.claim(self.have.clone(), storage))?;
            record.selection = self.selection(&metainfo.info).unwrap_or_default();
            record.info = (self.magnet.is_some() && self.stored.is_none()).then(|| metainfo.raw_info.clone());
        }
        let left = self.partials.iter().filter(|p| !self.have.has(p.piece));
        record.partials = left
            .map(|p| unchoke_storage::PartialPiece {
                piece: p.piece,
                blocks: p.blocks.clone(),
                data: p.data.to_vec(),
            })
            .collect();
        (record.downloaded, record.uploaded) = (self.totals.downloaded, self.totals.uploaded);
        Ok(record)
    }

    /// The record says all that is known.
    pub(super) fn saved(&mut self) {
        (self.is_dirty, self.saved_bytes) = (false, Some(self.bytes()));
    }

    /// What the state store shall have of it.
    pub(super) fn newest_entry(&mut self) -> Option<TorrentEntry> {
        let metainfo = self.metainfo();
        let wanted = metainfo.as_ref().and_then(|m| self.wanted(&m.info));
        let is_complete = self.is_ready && metainfo.as_ref().is_some_and(|m| self.is_complete(&m.info));
        let stored = self.stored.as_mut()?;
        stored.is_paused = self.entry.state().is_paused;
        (stored.downloaded, stored.uploaded) = (self.totals.downloaded, self.totals.uploaded);
        let times = self.totals.times;
        [stored.active_s, stored.finished_s, stored.seeding_s] =
            [times.active, times.finished, times.seeding].map(|time| time.as_secs());
        if let Some(metainfo) = &metainfo {
            let layout = &metainfo.info.layout;
            stored.hashes = metainfo.info_hashes;
            stored.name = Some(metainfo.info.name.clone());
            stored.total_len = Some(metainfo.info.payload_len());
            stored.pieces = Some(layout.piece_count());
            stored.is_private = metainfo.info.private;
            stored.trackers.clone_from(&metainfo.trackers);
            if self.is_ready {
                let is_left =
                    |p: &PieceIndex| !self.have.has(*p) && wanted.as_ref().is_none_or(|w| w.has(*p));
                let left = (0..layout.piece_count()).map(PieceIndex).filter(is_left);
                stored.left = Some(left.map(|p| u64::from(layout.len_of(p))).sum());
                stored.have = Some(self.have.count());
            }
        }
        if is_complete {
            stored.completed_at.get_or_insert_with(super::sleep::now);
        }
        Some((**stored).clone())
    }
}

/// The pieces that files selected so have bytes in. Nobody wants the zeros of a pad for their own sake.
fn pieces_of(info: &Info, selection: &[bool]) -> Bitfield {
    let mut pieces = Bitfield::none(info.layout.piece_count());
    let files = (0u32..).map(FileIndex).zip(&info.files).zip(selection);
    for ((number, _), _) in files.filter(|((_, file), is_selected)| **is_selected && !file.is_pad) {
        info.layout.pieces_of(number).for_each(|p| {
            pieces.set(PieceIndex(p));
        });
    }
    pieces
}

/// The metainfo of a magnet whose metadata has come.
///
/// # Errors
/// [`SessionError::Metainfo`] when the metadata is no torrent.
pub(super) fn complete(magnet: &Magnet, raw_info: Vec<u8>) -> Result<Metainfo, SessionError> {
    let info = Info::parse(&raw_info)?;
    Ok(Metainfo {
        info_hashes: info.hashes_of(&raw_info),
        raw_info,
        info,
        trackers: magnet.trackers.iter().map(|t| vec![t.clone()]).collect(),
        web_seeds: magnet.web_seeds.clone(),
        nodes: magnet.nodes.clone(),
        comment: None,
        created_by: None,
        creation_date: None,
        piece_layers: std::collections::BTreeMap::new(),
        warnings: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pad_that_is_selected_asks_for_no_piece_of_the_file_before_it() {
        let raw = [
            &b"d5:filesld6:lengthi5e4:pathl1:aeed4:attr1:p6:lengthi16379e4:pathl4:.pad1:0ee"[..],
            b"d6:lengthi4e4:pathl1:beee4:name1:t12:piece lengthi16384e6:pieces40:",
            &[7; 40],
            b"e",
        ];
        let info = Info::parse(&raw.concat()).unwrap();
        let pieces = |selection| pieces_of(&info, selection).iter().map(|p| p.0).collect::<Vec<_>>();
        assert_eq!(pieces(&[false, true, true]), [1]);
        assert_eq!(pieces(&[true, false, false]), [0]);
    }
}
