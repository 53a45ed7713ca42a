//! Reading pieces for a check: each thread with its own descriptors, holes told apart before anything is read.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;

use unchoke_wire::layout::FileSpan;
use unchoke_wire::{FileIndex, PieceIndex};

use super::{FileStorage, part_len};
use crate::error::{ErrorKind, StorageError};
use crate::storage::{PieceRead, PieceReader, run_len};
use crate::volume::{self, Dir, File};

/// Reads the pieces of a torrent in files. The descriptors of its own keep it from waiting for other threads.
pub(super) struct FileReader<'a> {
    storage: &'a FileStorage,
    /// Open from the first use on.
    root: Option<Dir>,
    opened: Vec<Opened>,
    /// Counts uses.
    clock: u64,
}

/// What stands in the place of a file.
struct Opened {
    number: FileIndex,
    /// `None` when nothing does.
    file: Option<PlainFile>,
    used: u64,
}

struct PlainFile {
    file: File,
    /// Bytes when it was opened.
    len: u64,
    /// Whether it takes less space than that.
    is_sparse: bool,
}

/// Descriptors a reader holds. A group of pieces may lie in many small files, and each is looked at before it is read.
const OPEN_MAX: usize = 192;
/// Descriptors of all readers of a torrent together, beyond which each makes do with [`OPEN_MIN`].
const OPEN_TOGETHER_MAX: usize = 384;
const OPEN_MIN: usize = 16;
/// Bytes of a file for which it is opened ahead.
const AHEAD_FILE_MIN: u64 = 1 << 20;

impl<'a> FileReader<'a> {
    pub(super) fn new(storage: &'a FileStorage) -> Self {
        FileReader { storage, root: None, opened: Vec::new(), clock: 0 }
    }

    /// The file, if it is there.
    fn file(&mut self, number: FileIndex) -> Result<Option<&PlainFile>, StorageError> {
        self.clock += 1;
        let at = match self.opened.iter().position(|o| o.number == number) {
            Some(at) => at,
            None => {
                let file = match self.open(number) {
                    Err(e) if e.kind == ErrorKind::TooManyFiles => {
                        self.close_all();
                        self.storage.options.pool.shed();
                        self.open(number)
                    }
                    other => other,
                }?;
                self.put(Opened { number, file, used: 0 })
            }
        };
        let opened = &mut self.opened[at];
        opened.used = self.clock;
        Ok(opened.file.as_ref())
    }

    /// Keeps a file in place of the one that was not used for the longest time; answers where.
    fn put(&mut self, opened: Opened) -> usize {
        let together = self.storage.checking.load(Ordering::Relaxed);
        let room = if together < OPEN_TOGETHER_MAX { OPEN_MAX } else { OPEN_MIN };
        if self.opened.len() < room {
            self.storage.checking.fetch_add(1, Ordering::Relaxed);
            self.opened.push(opened);
            return self.opened.len() - 1;
        }
        let oldest = (0..self.opened.len()).min_by_key(|i| self.opened[*i].used);
        let at = oldest.expect("a full list has an oldest entry");
        self.opened[at] = opened;
        at
    }

    fn close_all(&mut self) {
        self.storage.checking.fetch_sub(self.opened.len(), Ordering::Relaxed);
        self.opened.clear();
    }

    fn open(&mut self, number: FileIndex) -> Result<Option<PlainFile>, StorageError> {
        let root = match &self.root {
            Some(root) => root,
            None => match self.storage.open_root(false) {
                Ok(root) => self.root.insert(root),
                Err(e) if e.kind == ErrorKind::MissingRoot => return Ok(None),
                Err(e) => return Err(e),
            },
        };
        match volume::open_to_check(root, &self.storage.spec.file(number).path) {
            Ok((file, len, is_sparse)) => {
                // what is read may be in memory alone, from a run that was killed: it is claimed only after a sync
                self.storage.note_written(number.0);
                Ok(Some(PlainFile { file, len, is_sparse }))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.storage.failed("read", number, e)),
        }
    }

    /// Finds out about a span of a file, which covers `range` of the run.
    fn survey_file(
        &mut self,
        run: &mut Run<'_>,
        span: FileSpan,
        range: Range<u64>,
    ) -> Result<(), StorageError> {
        let storage = self.storage;
        let Some(file) = self.file(span.file)? else {
            run.mark(&range, PieceRead::Missing);
            return Ok(());
        };
        let there = range.start + file.len.saturating_sub(span.offset).min(span.len);
        run.mark(&(there..range.end), PieceRead::Missing);
        let mut at = range.start;
        while at < there {
            let offset = span.offset + (at - range.start);
            let data =
                volume::data_from(&file.file, offset).map_err(|e| storage.failed("read", span.file, e))?;
            let skipped = data.saturating_sub(offset);
            if skipped >= there - at {
                break;
            }
            at += skipped;
            // where most of a file is there, looking for every hole costs more than reading some
            let end = if file.is_sparse { run.end_of_piece(at).min(there) } else { there };
            run.mark(&(at..end), PieceRead::Data);
            at = end;
        }
        Ok(())
    }

    /// Finds out about a span of a file that is not wanted, piece by piece: those at its edges have a place in the
    /// part file.
    fn survey_parted(
        &mut self,
        run: &mut Run<'_>,
        span: FileSpan,
        range: Range<u64>,
    ) -> Result<(), StorageError> {
        let mut at = range.start;
        while at < range.end {
            let end = run.end_of_piece(at).min(range.end);
            let part = FileSpan { offset: span.offset + (at - range.start), len: end - at, ..span };
            match self.storage.is_part_filled(run.piece_at(at), span.file) {
                Some(true) => run.mark(&(at..end), PieceRead::Data),
                Some(false) => run.mark(&(at..end), PieceRead::Missing),
                None => self.survey_file(run, part, at..end)?,
            }
            at = end;
        }
        Ok(())
    }

    fn read_file(&mut self, span: FileSpan, buf: &mut [u8]) -> Result<bool, StorageError> {
        let storage = self.storage;
        let Some(file) = self.file(span.file)? else { return Ok(false) };
        match volume::read_at(&file.file, buf, span.offset) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(storage.failed("read", span.file, e)),
        }
    }

    /// Reads a span of a file that is not wanted, which begins at byte `at` of the torrent.
    fn read_parted(&mut self, span: FileSpan, mut at: u64, buf: &mut [u8]) -> Result<bool, StorageError> {
        let piece_len = u64::from(self.storage.spec.layout.piece_len());
        let (mut rest, mut offset) = (buf, span.offset);
        while !rest.is_empty() {
            let piece = PieceIndex(u32::try_from(at / piece_len).expect("a piece of the torrent"));
            let len = (piece_len - at % piece_len).min(span.offset + span.len - offset);
            let (now, later) = rest.split_at_mut(part_len(len));
            rest = later;
            let part = FileSpan { offset, len, ..span };
            let is_there = match self.storage.read_part(piece, part, now) {
                Ok(true) => true,
                Ok(false) => self.read_file(part, now)?,
                Err(e) if e.kind == ErrorKind::Missing => false,
                Err(e) => return Err(e),
            };
            if !is_there {
                return Ok(false);
            }
            (at, offset) = (at + len, offset + len);
        }
        Ok(true)
    }
}

impl Drop for FileReader<'_> {
    fn drop(&mut self) {
        self.close_all();
    }
}

impl PieceReader for FileReader<'_> {
    fn survey(&mut self, pieces: Range<u32>, found: &mut Vec<PieceRead>) -> Result<(), StorageError> {
        let storage = self.storage;
        let layout = &storage.spec.layout;
        let len = run_len(layout, &pieces);
        found.clear();
        found.resize(pieces.len(), PieceRead::Hole);
        let mut run = Run { first: pieces.start, piece_len: u64::from(layout.piece_len()), found };
        let homes = storage.homes()?;
        let mut at = 0;
        for span in layout.spans_from(layout.start_of(PieceIndex(pieces.start)), len) {
            let range = at..at + span.len;
            at = range.end;
            if storage.spec.file(span.file).is_pad {
                continue;
            }
            match homes.is_parted(span.file) {
                true => self.survey_parted(&mut run, span, range)?,
                false => self.survey_file(&mut run, span, range)?,
            }
        }
        Ok(())
    }

    fn read(&mut self, piece: PieceIndex, begin: u32, buf: &mut [u8]) -> Result<bool, StorageError> {
        let storage = self.storage;
        let layout = &storage.spec.layout;
        let mut at = layout.start_of(piece) + u64::from(begin);
        let len = u64::try_from(buf.len()).expect("a length fits");
        let homes = storage.homes()?;
        let mut rest = buf;
        for span in layout.spans_from(at, len) {
            let (now, later) = rest.split_at_mut(part_len(span.len));
            rest = later;
            let is_there = if storage.spec.file(span.file).is_pad {
                now.fill(0);
                true
            } else if homes.is_parted(span.file) {
                self.read_parted(span, at, now)?
            } else {
                self.read_file(span, now)?
            };
            if !is_there {
                return Ok(false);
            }
            at += span.len;
        }
        assert!(rest.is_empty(), "a stretch of the torrent");
        Ok(true)
    }

    fn read_ahead(&mut self, piece: PieceIndex, begin: u32, len: u64) -> Result<(), StorageError> {
        let storage = self.storage;
        let layout = &storage.spec.layout;
        for span in layout.spans_from(layout.start_of(piece) + u64::from(begin), len) {
            if storage.spec.file(span.file).is_pad {
                continue;
            }
            // a small file is read by the time it would be fetched
            if storage.spec.file(span.file).len < AHEAD_FILE_MIN {
                continue;
            }
            if let Some(file) = self.file(span.file)? {
                volume::will_need(&file.file, span.offset, span.len);
            }
        }
        Ok(())
    }
}

/// A run of pieces being looked at.
struct Run<'a> {
    first: u32,
    piece_len: u64,
    found: &'a mut [PieceRead],
}

impl Run<'_> {
    /// Notes what a stretch of the run is: a piece is missing if any of it is, else data if any of it is.
    fn mark(&mut self, range: &Range<u64>, state: PieceRead) {
        if range.is_empty() {
            return;
        }
        let index = |at: u64| part_len(at / self.piece_len);
        for found in &mut self.found[index(range.start)..=index(range.end - 1)] {
            if *found != PieceRead::Missing {
                *found = state;
            }
        }
    }

    fn piece_at(&self, at: u64) -> PieceIndex {
        PieceIndex(self.first + u32::try_from(at / self.piece_len).expect("a piece of the torrent"))
    }

    /// The end of the piece that byte `at` of the run is in.
    fn end_of_piece(&self, at: u64) -> u64 {
        (at / self.piece_len + 1) * self.piece_len
    }
}
