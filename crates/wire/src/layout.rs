//! Where pieces, blocks and files lie: the only place where these indices are turned into one another.

use crate::limits;

/// Length of a block, the unit of requests, in bytes.
pub const BLOCK_LEN: u32 = 16 * 1024;

/// Index of a piece in a torrent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PieceIndex(pub u32);

/// Index of a block in its piece.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct BlockIndex(pub u32);

/// Index of a file in its torrent, pad files counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FileIndex(pub u32);

/// A stretch of a piece, as a request names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockRef {
    /// The piece.
    pub piece: PieceIndex,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes.
    pub len: u32,
}

/// A stretch of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSpan {
    /// The file.
    pub file: FileIndex,
    /// First byte within the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// The sizes of a torrent: one long stream of files cut into pieces, cut into blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    piece_len: u32,
    total_len: u64,
    piece_count: u32,
    /// Where each file begins in the stream, ascending; as many as there are files.
    file_starts: Vec<u64>,
}

/// Sizes no torrent may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Piece length of zero or above [`limits::PIECE_LEN_MAX`].
    #[error("piece length {0} is outside 1 to {max}", max = limits::PIECE_LEN_MAX)]
    PieceLength(u32),
    /// Nothing in it, or more than [`limits::TORRENT_LEN_MAX`].
    #[error("total size {0} is outside 1 to {max}", max = limits::TORRENT_LEN_MAX)]
    TotalLength(u64),
    /// More than [`limits::PIECES_MAX`] pieces.
    #[error("{0} pieces, {max} are the most", max = limits::PIECES_MAX)]
    PieceCount(u64),
}

impl Layout {
    /// The layout of files of these lengths in this order, in pieces of `piece_len` bytes.
    pub fn new(piece_len: u32, file_lens: impl IntoIterator<Item = u64>) -> Result<Self, LayoutError> {
        if piece_len == 0 || piece_len > limits::PIECE_LEN_MAX {
            return Err(LayoutError::PieceLength(piece_len));
        }
        let mut total_len = 0u64;
        let mut file_starts = Vec::new();
        for len in file_lens {
            file_starts.push(total_len);
            total_len = total_len
                .checked_add(len)
                .filter(|t| *t <= limits::TORRENT_LEN_MAX)
                .ok_or(LayoutError::TotalLength(u64::MAX))?;
        }
        if total_len == 0 {
            return Err(LayoutError::TotalLength(0));
        }
        let pieces = total_len.div_ceil(u64::from(piece_len));
        let piece_count = u32::try_from(pieces)
            .ok()
            .filter(|p| *p <= limits::PIECES_MAX)
            .ok_or(LayoutError::PieceCount(pieces))?;
        Ok(Layout { piece_len, total_len, piece_count, file_starts })
    }

    /// Bytes of every piece but the last.
    pub fn piece_len(&self) -> u32 {
        self.piece_len
    }

    /// Bytes of all files together, pad files counted.
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Pieces of the torrent, at least one.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// All pieces, ascending.
    pub fn pieces(&self) -> impl Iterator<Item = PieceIndex> + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// Bytes of this piece; zero beyond the last.
    pub fn len_of(&self, piece: PieceIndex) -> u32 {
        let left = self.total_len.saturating_sub(self.start_of(piece));
        u32::try_from(left.min(u64::from(self.piece_len))).expect("at most piece_len, a u32")
    }

    /// Where this piece begins in the stream of files.
    pub fn start_of(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_len)
    }

    /// Blocks of this piece.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.len_of(piece).div_ceil(BLOCK_LEN)
    }

    /// The stretch that block `block` of `piece` covers. Both exist.
    pub fn block(&self, piece: PieceIndex, block: BlockIndex) -> BlockRef {
        let begin = block.0 * BLOCK_LEN;
        BlockRef { piece, begin, len: (self.len_of(piece) - begin).min(BLOCK_LEN) }
    }

    /// The block that `r` covers exactly; `None` when it is not one of ours.
    pub fn block_index(&self, r: BlockRef) -> Option<BlockIndex> {
        let index = BlockIndex(r.begin / BLOCK_LEN);
        let known = r.piece.0 < self.piece_count && index.0 < self.block_count(r.piece);
        (known && self.block(r.piece, index) == r).then_some(index)
    }

    /// Whether the stretch lies within its piece and is not empty.
    pub fn contains(&self, r: BlockRef) -> bool {
        r.piece.0 < self.piece_count
            && r.len > 0
            && r.begin.checked_add(r.len).is_some_and(|end| end <= self.len_of(r.piece))
    }

    /// The files that `len` bytes from `begin` of `piece` lie in, in order, without empty spans. The stretch exists.
    pub fn spans(&self, piece: PieceIndex, begin: u32, len: u32) -> impl Iterator<Item = FileSpan> + '_ {
        self.spans_from(self.start_of(piece) + u64::from(begin), u64::from(len))
    }

    /// Where the `len` bytes from byte `start` of the torrent on lie, file by file; bytes after its end lie nowhere.
    pub fn spans_from(&self, start: u64, len: u64) -> impl Iterator<Item = FileSpan> + '_ {
        let end = start.saturating_add(len).min(self.total_len);
        let first = self.file_starts.partition_point(|s| *s <= start).saturating_sub(1);
        (first..self.file_starts.len())
            .take_while(move |i| self.file_starts[*i] < end)
            .map(move |i| {
                let (from, to) = self.file_range(i);
                let (a, b) = (from.max(start), to.min(end));
                let file = FileIndex(u32::try_from(i).expect("files are counted in u32"));
                FileSpan { file, offset: a - from, len: b.saturating_sub(a) }
            })
            .filter(|s| s.len > 0)
    }

    /// The pieces that file `file` has bytes in; empty for an empty file. The file exists.
    pub fn pieces_of(&self, file: FileIndex) -> core::ops::Range<u32> {
        let (from, to) = self.file_range(usize::try_from(file.0).expect("a u32 fits the address space"));
        if from == to {
            return 0..0;
        }
        let piece = |at: u64| u32::try_from(at / u64::from(self.piece_len)).expect("below piece_count");
        piece(from)..piece(to - 1) + 1
    }

    fn file_range(&self, file: usize) -> (u64, u64) {
        (self.file_starts[file], self.file_starts.get(file + 1).copied().unwrap_or(self.total_len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    //= S26
    #[test]
    fn a_piece_is_many_blocks_and_the_last_ones_are_short() {
        let l = Layout::new(32_768, [75_536]).unwrap();
        assert_eq!((l.piece_count(), l.len_of(PieceIndex(2)), l.len_of(PieceIndex(3))), (3, 10_000, 0));
        assert_eq!(l.block_count(PieceIndex(0)), 2);
        let last = BlockRef { piece: PieceIndex(2), begin: 0, len: 10_000 };
        assert_eq!(l.block(PieceIndex(2), BlockIndex(0)), last);
        assert_eq!(l.block_index(last), Some(BlockIndex(0)));
        assert_eq!(l.block_index(BlockRef { begin: 1, ..last }), None);
        assert!(!l.contains(BlockRef { begin: u32::MAX, len: 2, ..last }));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert_eq!(Layout::new(0, [1]), Err(LayoutError::PieceLength(0)));
        assert_eq!(Layout::new(1, [0, 0]), Err(LayoutError::TotalLength(0)));
        assert_eq!(Layout::new(1, [u64::MAX, 2]), Err(LayoutError::TotalLength(u64::MAX)));
        assert_eq!(
            Layout::new(1, [u64::from(limits::PIECES_MAX) + 1]),
            Err(LayoutError::PieceCount(u64::from(limits::PIECES_MAX) + 1))
        );
        assert_eq!(
            Layout::new(limits::PIECE_LEN_MAX + 1, [1]),
            Err(LayoutError::PieceLength(limits::PIECE_LEN_MAX + 1))
        );
        assert!(Layout::new(limits::PIECE_LEN_MAX, [limits::TORRENT_LEN_MAX]).is_ok());
        let over = Layout::new(limits::PIECE_LEN_MAX, [limits::TORRENT_LEN_MAX + 1]);
        assert_eq!(over, Err(LayoutError::TotalLength(u64::MAX)));
    }

    proptest! {
        #[test]
        fn the_spans_of_all_pieces_cover_every_file_once(piece_len in 1u32..50, lens in prop::collection::vec(0u64..60, 1..12)) {
            prop_assume!(lens.iter().sum::<u64>() > 0);
            let l = Layout::new(piece_len, lens.clone()).unwrap();
            let mut next = vec![0u64; lens.len()];
            for p in l.pieces() {
                let mut sum = 0;
                for s in l.spans(p, 0, l.len_of(p)) {
                    let i = s.file.0 as usize;
                    prop_assert_eq!(s.offset, next[i]);
                    next[i] += s.len;
                    sum += s.len;
                    prop_assert!(l.pieces_of(s.file).contains(&p.0));
                }
                prop_assert_eq!(sum, u64::from(l.len_of(p)));
            }
            prop_assert_eq!(next, lens);
        }
    }
}
