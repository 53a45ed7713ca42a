//! The part file `.NAME.unchoke-part`: bytes of unwanted files that came with pieces of wanted ones.
//!
//! A piece that touches two files is downloaded whole even if one of them is unwanted. Where such pieces lie depends on
//! the layout alone, so each stretch of one file in one such piece (a segment) has a fixed place here; a byte a
//! segment says whether it is filled. Nothing moves, and a crash can only lose fills that were not synced.
//!
//! Layout of the file: magic, checksum of the file lengths, one byte a segment, zeros up to 4 KiB, the segments.

use std::io;

use unchoke_wire::PieceIndex;

use crate::spec::StorageSpec;
use crate::volume::File;

const MAGIC: &[u8; 16] = b"unchoke-part 01\n";
const HEADER_LEN: u64 = 24;
const ALIGN: u64 = 4096;

/// The places of all segments, and which are filled.
#[derive(Debug)]
pub(super) struct PartTable {
    /// Ascending by piece, then file.
    segments: Vec<Segment>,
    header: [u8; 24],
    data_start: u64,
}

/// A stretch of one file in one piece that touches several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) piece: u32,
    pub(super) file: u32,
    /// First byte within the file.
    pub(super) file_offset: u64,
    pub(super) len: u64,
    /// First byte within the segments of the part file.
    start: u64,
    pub(super) is_filled: bool,
}

impl PartTable {
    /// The table of a torrent, with nothing filled.
    pub(super) fn new(spec: &StorageSpec) -> Self {
        let layout = &spec.layout;
        let mut edges: Vec<u32> = Vec::new();
        for (i, file) in (0u32..).zip(&spec.files) {
            let pieces = layout.pieces_of(unchoke_wire::FileIndex(i));
            if file.is_stored() {
                edges.extend([pieces.start, pieces.end - 1]);
            }
        }
        edges.sort_unstable();
        edges.dedup();
        let mut segments = Vec::new();
        let mut start = 0;
        for piece in edges.into_iter().map(PieceIndex) {
            let spans = || layout.spans(piece, 0, layout.len_of(piece)).filter(|s| !spec.file(s.file).is_pad);
            if spans().count() < 2 {
                continue;
            }
            for s in spans() {
                let segment = Segment {
                    piece: piece.0,
                    file: s.file.0,
                    file_offset: s.offset,
                    len: s.len,
                    start,
                    is_filled: false,
                };
                segments.push(segment);
                start += s.len;
            }
        }
        let header = header(spec);
        let flags = u64::try_from(segments.len()).expect("segments are counted in memory");
        let data_start = (HEADER_LEN + flags).next_multiple_of(ALIGN);
        PartTable { segments, header, data_start }
    }

    /// Takes over what a part file says. An empty file has nothing filled.
    ///
    /// Fails with `InvalidData` when it is not the part file of this torrent.
    pub(super) fn load(&mut self, file: &File) -> io::Result<()> {
        let mut bytes = vec![0; self.header.len() + self.segments.len()];
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(bytes.len());
        file.read_exact_at(&mut bytes[..len], 0)?;
        let (header, flags) = bytes.split_at(self.header.len());
        // a crash came before its header was durable, whatever of the flags is: nothing was claimed of it
        if header.iter().all(|b| *b == 0) {
            return Ok(());
        }
        if header != self.header || flags.iter().any(|f| *f > 1) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        for (segment, flag) in self.segments.iter_mut().zip(flags) {
            segment.is_filled = *flag == 1;
        }
        Ok(())
    }

    /// Where a stretch of `file` in `piece` is, if that piece touches several files.
    pub(super) fn place(&self, piece: PieceIndex, file: u32) -> Option<usize> {
        self.segments.binary_search_by_key(&(piece.0, file), |s| (s.piece, s.file)).ok()
    }

    /// Writes bytes of file offset `offset` to segment `index` and marks it filled.
    pub(super) fn write(&mut self, part: &File, index: usize, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.filled().next().is_none() {
            let blank = vec![0; self.segments.len()];
            part.write_all_at(&[&self.header[..], &blank].concat(), 0)?;
        }
        let segment = self.segments[index];
        // a piece may come in runs: the rest of the segment reads as zeros until then
        let end = self.data_start + segment.start + segment.len;
        if !segment.is_filled && part.len()? < end {
            part.set_len(end)?;
        }
        part.write_all_at(data, self.data_start + segment.start + (offset - segment.file_offset))?;
        if !segment.is_filled {
            self.set_filled(part, index, true)?;
        }
        Ok(())
    }

    /// Reads bytes of file offset `offset` from segment `index`, which is filled.
    pub(super) fn read(&self, part: &File, index: usize, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let segment = self.segments[index];
        if !segment.is_filled {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        part.read_exact_at(buf, self.data_start + segment.start + (offset - segment.file_offset))
    }

    pub(super) fn set_filled(&mut self, part: &File, index: usize, filled: bool) -> io::Result<()> {
        let flag = HEADER_LEN + u64::try_from(index).expect("an index fits");
        part.write_all_at(&[u8::from(filled)], flag)?;
        self.segments[index].is_filled = filled;
        Ok(())
    }

    pub(super) fn segment(&self, index: usize) -> Segment {
        self.segments[index]
    }

    /// The filled segments, ascending.
    pub(super) fn filled(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.segments.len()).filter(|i| self.segments[*i].is_filled)
    }
}

fn header(spec: &StorageSpec) -> [u8; 24] {
    let mut sum = crc32c::crc32c(&spec.layout.piece_len().to_be_bytes());
    for file in &spec.files {
        sum = crc32c::crc32c_append(sum, &file.len.to_be_bytes());
        sum = crc32c::crc32c_append(sum, &[u8::from(file.is_pad)]);
    }
    let count = u32::try_from(spec.files.len()).expect("files are counted in u32");
    let mut header = [0; 24];
    header[..16].copy_from_slice(MAGIC);
    header[16..20].copy_from_slice(&sum.to_be_bytes());
    header[20..].copy_from_slice(&count.to_be_bytes());
    header
}
