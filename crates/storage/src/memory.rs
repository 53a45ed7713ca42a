//! A torrent kept in memory: no I/O, for simulations, examples and tests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use unchoke_wire::{BlockRef, FileIndex, PieceIndex};

use crate::error::{ErrorKind, StorageError};
use crate::spec::StorageSpec;
use crate::storage::{FileFact, PieceRead, PieceReader, Storage, check_stretch, run_len};

/// A torrent in memory. A piece takes space from its first write on.
#[derive(Debug)]
pub struct MemoryStorage {
    spec: StorageSpec,
    pieces: RwLock<BTreeMap<u32, Vec<u8>>>,
}

impl MemoryStorage {
    /// An empty one.
    ///
    /// # Panics
    /// When the layout was not made of the files.
    pub fn new(spec: StorageSpec) -> Result<Self, StorageError> {
        spec.check()?;
        Ok(MemoryStorage { spec, pieces: RwLock::default() })
    }

    fn pieces(&self) -> RwLockReadGuard<'_, BTreeMap<u32, Vec<u8>>> {
        self.pieces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pieces_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u32, Vec<u8>>> {
        self.pieces.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `f` with each stretch of `buf` that lies in a pad.
    fn each_pad(&self, piece: PieceIndex, begin: u32, buf: &mut [u8], mut f: impl FnMut(&mut [u8])) {
        let len = u32::try_from(buf.len()).expect("checked by the caller");
        let mut rest = buf;
        for span in self.spec.layout.spans(piece, begin, len) {
            let (now, later) = rest.split_at_mut(usize::try_from(span.len).expect("a part of a buffer"));
            rest = later;
            if self.spec.file(span.file).is_pad {
                f(now);
            }
        }
    }
}

impl Storage for MemoryStorage {
    fn spec(&self) -> &StorageSpec {
        &self.spec
    }

    fn prepare(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn write(&self, piece: PieceIndex, begin: u32, data: &[u8]) -> Result<(), StorageError> {
        let layout = &self.spec.layout;
        check_stretch(layout, piece, begin, data.len());
        let mut pieces = self.pieces_mut();
        let len = usize::try_from(layout.len_of(piece)).expect("a u32 fits the address space");
        let stored = pieces.entry(piece.0).or_insert_with(|| vec![0; len]);
        let from = usize::try_from(begin).expect("a u32 fits the address space");
        let target = &mut stored[from..from + data.len()];
        target.copy_from_slice(data);
        self.each_pad(piece, begin, target, |pad| pad.fill(0));
        Ok(())
    }

    fn read(&self, block: BlockRef, buf: &mut [u8]) -> Result<(), StorageError> {
        let len = check_stretch(&self.spec.layout, block.piece, block.begin, buf.len());
        assert_eq!(len, block.len, "the buffer is as long as the stretch");
        let pieces = self.pieces();
        let Some(stored) = pieces.get(&block.piece.0) else {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(StorageError::with_kind(ErrorKind::Missing, "read", self.spec.name(), source));
        };
        let from = usize::try_from(block.begin).expect("a u32 fits the address space");
        buf.copy_from_slice(&stored[from..from + buf.len()]);
        Ok(())
    }

    fn piece_reader(&self) -> Box<dyn PieceReader + '_> {
        Box::new(MemoryReader(self))
    }

    fn is_rotational(&self) -> bool {
        false
    }

    fn read_now(&self, blocks: &[BlockRef], buf: &mut [u8]) -> usize {
        let pieces = self.pieces();
        let mut at = 0;
        for block in blocks {
            let end = at + usize::try_from(block.len).expect("a u32 fits the address space");
            let from = usize::try_from(block.begin).expect("a u32 fits the address space");
            let stored = pieces.get(&block.piece.0).and_then(|p| p.get(from..from + (end - at)));
            let (Some(stored), Some(target)) = (stored, buf.get_mut(at..end)) else { break };
            target.copy_from_slice(stored);
            at = end;
        }
        at
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn facts(&self) -> Vec<FileFact> {
        let pieces = self.pieces();
        (0u32..)
            .zip(&self.spec.files)
            .map(|(i, file)| {
                let mut range = pieces.range(self.spec.layout.pieces_of(FileIndex(i)));
                match file.is_stored() && range.next().is_some() {
                    true => FileFact::Present { len: file.len, mtime_ns: 0, inode: u64::from(i) },
                    false => FileFact::Missing,
                }
            })
            .collect()
    }

    fn set_selection(&self, selected: &[bool]) -> Result<(), StorageError> {
        assert_eq!(selected.len(), self.spec.files.len(), "one entry a file");
        Ok(())
    }

    fn finish(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn delete(&self) -> Result<(), StorageError> {
        self.pieces_mut().clear();
        Ok(())
    }

    fn close_files(&self) {}
}

struct MemoryReader<'a>(&'a MemoryStorage);

impl PieceReader for MemoryReader<'_> {
    fn survey(&mut self, run: Range<u32>, found: &mut Vec<PieceRead>) -> Result<(), StorageError> {
        run_len(&self.0.spec.layout, &run);
        let pieces = self.0.pieces();
        let state = |p| if pieces.contains_key(&p) { PieceRead::Data } else { PieceRead::Missing };
        found.clear();
        found.extend(run.map(state));
        Ok(())
    }

    fn read(&mut self, piece: PieceIndex, begin: u32, buf: &mut [u8]) -> Result<bool, StorageError> {
        let pieces = self.0.pieces();
        let (mut rest, mut from) = (buf, usize::try_from(begin).expect("a u32 fits the address space"));
        for p in piece.0.. {
            if rest.is_empty() {
                break;
            }
            assert!(p < self.0.spec.layout.piece_count(), "a stretch of the torrent");
            let Some(stored) = pieces.get(&p) else { return Ok(false) };
            let len = rest.len().min(stored.len() - from);
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(&stored[from..from + len]);
            (rest, from) = (later, 0);
        }
        Ok(true)
    }

    fn read_ahead(&mut self, _piece: PieceIndex, _begin: u32, _len: u64) -> Result<(), StorageError> {
        Ok(())
    }
}
