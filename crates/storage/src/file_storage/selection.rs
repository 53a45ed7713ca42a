//! Which files are wanted, and where the bytes of the others go.

use std::sync::{MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use unchoke_wire::layout::FileSpan;
use unchoke_wire::{FileIndex, PieceIndex};

use super::disk::PART;
use super::part_file::PartTable;
use super::{FileStorage, part_len};
use crate::error::StorageError;
use crate::spec::at;
use crate::volume;

/// Where each file's bytes are kept.
#[derive(Debug)]
pub(super) struct Homes {
    /// Wanted files; `None` means all.
    selected: Option<Vec<bool>>,
    /// Files whose bytes are in the part file; `None` means none of them.
    parted: Option<Vec<bool>>,
    /// Whether `parted` agrees with the disk.
    is_settled: bool,
}

impl Homes {
    pub(super) fn new(selected: Option<Vec<bool>>) -> Self {
        Homes { selected, parted: None, is_settled: false }
    }

    pub(super) fn is_parted(&self, file: FileIndex) -> bool {
        self.parted.as_ref().is_some_and(|p| p[at(file)])
    }

    pub(super) fn has_parted(&self) -> bool {
        self.parted.is_some()
    }

    pub(super) fn is_selected(&self, file: FileIndex) -> bool {
        self.selected.as_ref().is_none_or(|s| s[at(file)])
    }
}

impl FileStorage {
    /// The homes, settled at first use.
    pub(super) fn homes(&self) -> Result<RwLockReadGuard<'_, Homes>, StorageError> {
        loop {
            let homes = self.homes.read().unwrap_or_else(PoisonError::into_inner);
            if homes.is_settled {
                return Ok(homes);
            }
            drop(homes);
            let mut homes = self.homes_mut();
            if !homes.is_settled {
                self.settle(&mut homes)?;
            }
        }
    }

    /// The homes when a stretch of a piece is going to be written. A file that is not wanted and gets bytes for which the part
    /// file has no place is made before them, and is the home of all its bytes from then on: the next run, which finds it on
    /// the disk, takes it for that.
    pub(super) fn homes_to_write(
        &self,
        piece: PieceIndex,
        begin: u32,
        len: u32,
    ) -> Result<RwLockReadGuard<'_, Homes>, StorageError> {
        let homes = self.homes()?;
        let mut strays = Vec::new();
        if homes.has_parted() {
            let spans = self.spec.layout.spans(piece, begin, len).map(|s| s.file);
            strays.extend(spans.filter(|f| homes.is_parted(*f) && self.is_part_filled(piece, *f).is_none()));
        }
        if strays.is_empty() {
            return Ok(homes);
        }
        drop(homes);
        for file in strays {
            self.file(file, true)?;
        }
        self.homes_mut().is_settled = false;
        self.homes()
    }

    /// Whether a file's bytes may be in the part file. Does not wait for those who find out.
    pub(super) fn may_be_parted(&self, file: FileIndex) -> bool {
        self.homes.try_read().ok().is_none_or(|homes| !homes.is_settled || homes.is_parted(file))
    }

    pub(super) fn select(&self, selected: &[bool]) -> Result<(), StorageError> {
        let mut homes = self.homes_mut();
        homes.selected = selected.iter().any(|s| !s).then(|| selected.to_vec());
        homes.is_settled = false;
        self.settle(&mut homes)
    }

    /// Forgets what is known of the part file, which is gone.
    pub(super) fn forget_part(&self) {
        let mut homes = self.homes_mut();
        homes.is_settled = false;
        homes.parted = None;
        *self.part() = None;
    }

    /// Writes to the part file; `false` when this stretch has no place there, as no wanted file shares its piece.
    pub(super) fn write_part(
        &self,
        piece: PieceIndex,
        span: FileSpan,
        data: &[u8],
    ) -> Result<bool, StorageError> {
        let mut part = self.part();
        let table = part.get_or_insert_with(|| PartTable::new(&self.spec));
        let Some(index) = table.place(piece, span.file.0) else { return Ok(false) };
        let file = self.file_by_number(PART, true)?;
        table.write(&file, index, span.offset, data).map_err(|e| self.failed_number("write", PART, e))?;
        self.note_written(PART);
        Ok(true)
    }

    /// Reads from the part file; `false` when this stretch has no place there.
    pub(super) fn read_part(
        &self,
        piece: PieceIndex,
        span: FileSpan,
        buf: &mut [u8],
    ) -> Result<bool, StorageError> {
        let mut part = self.part();
        let table = part.get_or_insert_with(|| PartTable::new(&self.spec));
        let Some(index) = table.place(piece, span.file.0) else { return Ok(false) };
        let file = self.file_by_number(PART, false)?;
        table.read(&file, index, span.offset, buf).map_err(|e| self.failed_number("read", PART, e))?;
        Ok(true)
    }

    /// Whether the part file has the bytes of `file` in `piece`; `None` when these have no place there.
    pub(super) fn is_part_filled(&self, piece: PieceIndex, file: FileIndex) -> Option<bool> {
        let mut part = self.part();
        let table = part.get_or_insert_with(|| PartTable::new(&self.spec));
        table.place(piece, file.0).map(|index| table.segment(index).is_filled)
    }

    /// Finds out where each file is, and moves out of the part file what does not belong there.
    fn settle(&self, homes: &mut Homes) -> Result<(), StorageError> {
        let mut lookup = self.lookup()?;
        let mut parted = vec![false; if homes.selected.is_some() { self.spec.files.len() } else { 0 }];
        for (i, is_parted) in (0u32..).zip(&mut parted) {
            let file = FileIndex(i);
            // a file begun before it was deselected goes on where it is
            *is_parted = !homes.is_selected(file)
                && self.spec.file(file).is_stored()
                && !self.is_on_disk(&mut lookup, i)?;
        }
        let parted = Some(parted).filter(|p| p.contains(&true));
        let mut part = self.part();
        if self.is_on_disk(&mut lookup, PART)? {
            let mut table = PartTable::new(&self.spec);
            let file = self.file_by_number(PART, false)?;
            table.load(&file).map_err(|e| self.failed_number("read", PART, e))?;
            // an earlier run may have been killed before it was synced
            self.note_written(PART);
            self.move_out(&mut table, parted.as_deref())?;
            let is_empty = table.filled().next().is_none();
            *part = Some(table);
            if is_empty {
                self.remove_part()?;
            }
        }
        homes.parted = parted;
        homes.is_settled = true;
        Ok(())
    }

    /// Moves the segments of all files that are not parted to their files: copy, sync, then clear.
    fn move_out(&self, table: &mut PartTable, parted: Option<&[bool]>) -> Result<(), StorageError> {
        let moving: Vec<usize> = table
            .filled()
            .filter(|i| parted.is_none_or(|p| !p[at(FileIndex(table.segment(*i).file))]))
            .collect();
        let (mut buf, mut held) = (Vec::new(), Vec::new());
        for index in &moving {
            let segment = table.segment(*index);
            let part = self.file_by_number(PART, true)?;
            buf.resize(part_len(segment.len), 0);
            match table.read(&part, *index, segment.file_offset, &mut buf) {
                Ok(()) => {}
                // a power cut kept the flag and lost the bytes
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => continue,
                Err(e) => return Err(self.failed_number("read", PART, e)),
            }
            let file = self.file_by_number(segment.file, true)?;
            held.resize(buf.len(), 0);
            let is_moved = volume::read_at(&file, &mut held, segment.file_offset).is_ok() && held == buf;
            // an earlier run may have moved it: writing it again would put a whole file in doubt
            if !is_moved {
                let write = || volume::write_at(&file, &buf, segment.file_offset);
                let written = self.writing(segment.file, write);
                written.map_err(|e| self.failed_number("write", segment.file, e))?;
            }
            self.note_written(segment.file);
        }
        if moving.is_empty() {
            return Ok(());
        }
        self.sync_dirty()?;
        let part = self.file_by_number(PART, true)?;
        for index in moving {
            table.set_filled(&part, index, false).map_err(|e| self.failed_number("write", PART, e))?;
        }
        self.note_written(PART);
        Ok(())
    }

    /// Removes the part file from the disk, if it is there.
    pub(super) fn remove_part(&self) -> Result<(), StorageError> {
        self.options.pool.close((self.id, PART));
        self.note_removed(PART);
        let root = self.open_root(false)?;
        match volume::remove_file(&root, &self.path_of(PART)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            // should it come back, its segments would be moved once more
            removed => removed
                .and_then(|()| volume::sync_dir(&root))
                .map_err(|e| self.failed_number("remove", PART, e)),
        }
    }

    fn part(&self) -> MutexGuard<'_, Option<PartTable>> {
        self.part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn homes_mut(&self) -> RwLockWriteGuard<'_, Homes> {
        self.homes.write().unwrap_or_else(PoisonError::into_inner)
    }
}
