//! Reading whole pieces for a check: large reads, holes skipped, absent files told apart from errors.

use std::fs::File;
use std::io;
use std::ops::Range;

use unchoke_wire::PieceIndex;
use unchoke_wire::layout::FileSpan;

use super::selection::Homes;
use super::{FileStorage, part_len};
use crate::error::{ErrorKind, StorageError};
use crate::storage::{PieceRead, run_len};
use crate::sys;

/// A run of pieces being read.
struct Run<'a> {
    first: u32,
    piece_len: u64,
    found: &'a mut [PieceRead],
    /// The whole run's bytes.
    buf: &'a mut [u8],
}

impl FileStorage {
    pub(super) fn check_run(
        &self,
        pieces: Range<u32>,
        buf: &mut Vec<u8>,
        found: &mut Vec<PieceRead>,
    ) -> Result<(), StorageError> {
        let layout = &self.spec.layout;
        let len = run_len(layout, &pieces);
        // what was in the buffer is overwritten by data, holes and pads alike, so growing it is all that costs
        buf.resize(part_len(u64::from(len)), 0);
        found.clear();
        found.resize(pieces.len(), PieceRead::Hole);
        let homes = self.homes()?;
        let mut run = Run { first: pieces.start, piece_len: u64::from(layout.piece_len()), found, buf };
        let mut at = 0;
        for span in layout.spans(PieceIndex(pieces.start), 0, len) {
            let range = at..at + span.len;
            at = range.end;
            self.check_span(&homes, &mut run, span, range)?;
        }
        Ok(())
    }

    /// Reads one span, which covers `range` of the run.
    fn check_span(
        &self,
        homes: &Homes,
        run: &mut Run<'_>,
        span: FileSpan,
        range: Range<u64>,
    ) -> Result<(), StorageError> {
        if self.spec.file(span.file).is_pad {
            run.bytes(&range).fill(0);
            return Ok(());
        }
        if homes.is_parted(span.file) {
            return self.check_parted(run, span, range);
        }
        self.check_file(run, span, range)
    }

    fn check_file(&self, run: &mut Run<'_>, span: FileSpan, range: Range<u64>) -> Result<(), StorageError> {
        match self.file(span.file, false) {
            Ok(file) => run.read(&file, &span, range).map_err(|e| self.failed("read", span.file, e)),
            Err(e) if matches!(e.kind, ErrorKind::Missing | ErrorKind::MissingRoot) => {
                run.mark(&range, PieceRead::Missing);
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Piece by piece, as only those at the edge of the file have a place in the part file.
    fn check_parted(&self, run: &mut Run<'_>, span: FileSpan, range: Range<u64>) -> Result<(), StorageError> {
        let mut at = range.start;
        while at < range.end {
            let piece = run.piece_at(at);
            let end = range.end.min((u64::from(piece.0 - run.first) + 1) * run.piece_len);
            let part = FileSpan { offset: span.offset + (at - range.start), len: end - at, ..span };
            match self.read_part(piece, part, run.bytes(&(at..end))) {
                Ok(true) => run.mark(&(at..end), PieceRead::Data),
                Ok(false) => self.check_file(run, part, at..end)?,
                Err(e) if e.kind == ErrorKind::Missing => run.mark(&(at..end), PieceRead::Missing),
                Err(e) => return Err(e),
            }
            at = end;
        }
        Ok(())
    }
}

impl Run<'_> {
    fn read(&mut self, file: &File, span: &FileSpan, range: Range<u64>) -> io::Result<()> {
        let available = file.metadata()?.len().saturating_sub(span.offset).min(span.len);
        let end = span.offset + available;
        let run_at = |offset: u64| range.start + (offset - span.offset);
        let mut at = span.offset;
        while at < end {
            let data = sys::data_range(file, at..end)?;
            self.bytes(&(run_at(at)..run_at(data.start))).fill(0);
            let target = run_at(data.start)..run_at(data.end);
            match sys::read_at(file, self.bytes(&target), data.start) {
                Ok(()) => self.mark(&target, PieceRead::Data),
                // cut short since its length was asked
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => self.mark(&target, PieceRead::Missing),
                Err(e) => return Err(e),
            }
            at = data.end;
        }
        self.mark(&(run_at(end)..range.end), PieceRead::Missing);
        Ok(())
    }

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

    fn bytes(&mut self, range: &Range<u64>) -> &mut [u8] {
        &mut self.buf[part_len(range.start)..part_len(range.end)]
    }
}
