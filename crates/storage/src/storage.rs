//! The seam between the shells and the disk.

use std::ops::Range;

use unchoke_wire::{BlockRef, FileIndex, Layout, PieceIndex};

use crate::error::StorageError;
use crate::spec::StorageSpec;

/// Where the bytes of one torrent are kept. Synchronous; called from worker threads, several at once.
///
/// Every stretch named must lie within the torrent ([`Layout::contains`]); anything else panics, since requests are
/// checked before they come here.
pub trait Storage: Send + Sync {
    /// What is kept.
    fn spec(&self) -> &StorageSpec;

    /// Gets ready to download: makes empty files and, under full allocation, claims the space of the selected ones.
    /// Fails before anything is created when the root folder is missing.
    fn prepare(&self) -> Result<(), StorageError>;

    /// Writes `data` from byte `begin` of `piece`: one positional write a file span, nothing for pads. The bytes are
    /// durable only after [`Storage::sync`].
    fn write(&self, piece: PieceIndex, begin: u32, data: &[u8]) -> Result<(), StorageError>;

    /// Reads a stretch into `buf`, which is exactly as long. Pads read as zeros.
    ///
    /// A file that is absent or too short is [`crate::ErrorKind::Missing`].
    fn read(&self, block: BlockRef, buf: &mut [u8]) -> Result<(), StorageError>;

    /// A reader of what is there, for a check. Each thread has its own.
    fn piece_reader(&self) -> Box<dyn PieceReader + '_>;

    /// Whether the bytes lie on a disk that turns: it is best read in order, by one thread at a time.
    fn is_rotational(&self) -> bool;

    /// Reads of these stretches, end to end into `buf`, as much from the front as can be had without waiting for the
    /// disk: how many bytes. Called by threads that must not wait, so it opens nothing. Where it ends early, an error
    /// included, [`Storage::read`] goes on: it opens the file for the next time, and gives the reason if there is one.
    /// Where `buf` ends, reading ends.
    fn read_now(&self, _blocks: &[BlockRef], _buf: &mut [u8]) -> usize {
        0
    }

    /// Says that a stretch will be read from its beginning to its end before long, so that the disk may read it as
    /// one. Called by threads that may wait, before the first [`Storage::read`] of it.
    fn read_ahead(&self, _stretch: BlockRef) {}

    /// Makes all that was written before durable, names of new files included. After an error every later sync fails
    /// too and the files it hit are [`FileFact::Doubtful`], as a second try proves nothing: until [`Storage::renew`], and
    /// then these files have to be checked.
    fn sync(&self) -> Result<(), StorageError>;

    /// What the disk says about each file, in the torrent's order. From here on a file is expected to stay so until it
    /// is written to: see [`Storage::changed`]. One that did not is [`FileFact::Doubtful`], or missing.
    fn facts(&self) -> Vec<FileFact>;

    /// The files that are not as they were when their facts were taken, though nothing was written to them: somebody
    /// else changed, cut, removed or replaced them. A [`Storage::read`] of one fails with [`crate::ErrorKind::Changed`].
    fn changed(&self) -> Vec<FileIndex> {
        Vec::new()
    }

    /// Takes these files for what they are now, whatever a failed sync said of them. Called before they are checked; what
    /// the system holds of them in memory is forgotten before, since after a failed sync the disk may hold something else.
    fn renew(&self, _files: &[FileIndex]) {}

    /// Whether there is any use in going on after a failure: the root is there, it can be written, and so many bytes
    /// fit, with some room left as [`room_for`] says. May wait for the disk.
    fn probe(&self, _bytes: u64) -> Result<(), StorageError> {
        Ok(())
    }

    /// Whether the root is still there, and on the disk it was on. May wait for the disk.
    fn is_there(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// A number for the disk all this is on: what waits for one disk should not keep others waiting.
    fn disk(&self) -> u64 {
        0
    }

    /// Says which files are wanted, one entry a file. Bytes kept aside for a file that becomes wanted move into it.
    fn set_selection(&self, selected: &[bool]) -> Result<(), StorageError>;

    /// Ends a download: makes empty files, sets execute bits, makes symbolic links where asked, and syncs.
    fn finish(&self) -> Result<(), StorageError>;

    /// Removes the torrent's files and the folders this leaves empty. Foreign files stay, and the folders they are in.
    fn delete(&self) -> Result<(), StorageError>;

    /// Closes descriptors held for this torrent; they open again when needed.
    fn close_files(&self);
}

/// Reads pieces of one torrent to check them. Absent and short files are no errors here.
pub trait PieceReader {
    /// Finds out what there is of consecutive whole pieces, without reading them: one entry a piece in `found`, which is
    /// cleared first. A piece that is only holes may be called data.
    fn survey(&mut self, pieces: Range<u32>, found: &mut Vec<PieceRead>) -> Result<(), StorageError>;

    /// Fills `buf` with the bytes from byte `begin` of `piece` on, over the pieces that follow if it is longer. Pads and
    /// holes are zeros. `false` when a file is absent or too short; the bytes then mean nothing.
    ///
    /// # Panics
    /// When the torrent ends before `buf` does.
    fn read(&mut self, piece: PieceIndex, begin: u32, buf: &mut [u8]) -> Result<bool, StorageError>;

    /// Has `len` bytes from byte `begin` of `piece` on, or those the torrent has, fetched from the disk without waiting
    /// for them.
    fn read_ahead(&mut self, piece: PieceIndex, begin: u32, len: u64) -> Result<(), StorageError>;
}

/// What there is of a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PieceRead {
    /// Its bytes.
    Data,
    /// Only holes of sparse files, or pads: the bytes are zeros, and need not be read. The piece is good only if zeros are.
    Hole,
    /// A file of it is absent or too short.
    Missing,
}

/// What the disk says about a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileFact {
    /// It is there.
    Present {
        /// Bytes; may differ from what the torrent says.
        len: u64,
        /// Time of the last change, in nanoseconds since 1970.
        mtime_ns: i64,
        /// Number of the file in its file system.
        inode: u64,
    },
    /// It is not there, or is not kept (pads).
    Missing,
    /// Nothing can be said: it cannot be examined, or a sync of it failed. Equals no earlier fact.
    Doubtful,
}

/// Free bytes at which a torrent that stopped on a full disk of `total` bytes goes on with `bytes` to write: 1 GiB, or
/// 2 % of a disk that is smaller than 50 GiB, and room for the bytes at least.
pub fn room_for(total: u64, bytes: u64) -> u64 {
    (total / 50).min(1 << 30).max(bytes)
}

/// Bytes of the pieces of a run together.
pub(crate) fn run_len(layout: &Layout, pieces: &Range<u32>) -> u64 {
    assert!(
        pieces.start < pieces.end && pieces.end <= layout.piece_count(),
        "a run of pieces of the torrent"
    );
    let last = PieceIndex(pieces.end - 1);
    layout.start_of(last) + u64::from(layout.len_of(last)) - layout.start_of(PieceIndex(pieces.start))
}

/// Checks that a stretch is of the torrent, and gives its length.
pub(crate) fn check_stretch(layout: &Layout, piece: PieceIndex, begin: u32, len: usize) -> u32 {
    let len = u32::try_from(len).expect("a stretch of a piece is below 4 GiB");
    assert!(layout.contains(BlockRef { piece, begin, len }), "a stretch of the torrent");
    len
}
