//! A torrent in files under a root folder.
//!
//! Nothing is opened or made before it is needed. Every path is opened beneath the root without following a link below
//! it, so nothing outside is ever touched. Bytes of unwanted files go to the part file (see `part_file.rs`) unless the file
//! is on the disk already.

mod check;
mod disk;
mod finish;
mod part_file;
mod pool;
mod preflight;
mod ready;
mod selection;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use unchoke_wire::layout::FileSpan;
use unchoke_wire::{BlockRef, FileIndex, PieceIndex};

use crate::error::{ErrorKind, StorageError};
use crate::spec::StorageSpec;
use crate::storage::{FileFact, PieceReader, Storage, check_stretch};
use crate::volume::{self, Volume};

use check::FileReader;
use disk::Dirty;
use part_file::PartTable;
pub use pool::FilePool;
use selection::Homes;
use witness::Witness;

/// How space for files is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocation {
    /// As bytes arrive; files may have holes meanwhile.
    #[default]
    Sparse,
    /// All of a file when it is made, so that a full disk shows at once.
    Full,
}

/// How a [`FileStorage`] treats the disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// How space is taken.
    pub allocation: Allocation,
    /// Whether the root folder itself may be made (never its parents). Off for a torrent that was begun before: its
    /// root is missing because its disk is.
    pub may_create_root: bool,
    /// Whether symbolic links of the torrent are made when it is finished.
    pub makes_symlinks: bool,
    /// Which files are wanted, one entry a file; `None` means all.
    pub selection: Option<Vec<bool>>,
    /// Descriptors, shared among torrents.
    pub pool: Arc<FilePool>,
    /// Where the root folder is.
    pub volume: Volume,
}

/// A torrent in files under a root folder.
#[derive(Debug)]
pub struct FileStorage {
    root: PathBuf,
    spec: StorageSpec,
    options: Options,
    /// Our number in the pool.
    id: u64,
    homes: RwLock<Homes>,
    /// `None` until a part file is found or needed. Locked after `homes`.
    part: Mutex<Option<PartTable>>,
    dirty: Mutex<Dirty>,
    /// Locked last, for a moment.
    witness: Witness,
    /// Held during a sync. Locked after `part`, before `dirty`.
    syncing: Mutex<()>,
    /// The root as it was opened first: its file system, and its number there.
    root_id: OnceLock<(rustix::fs::Dev, u64)>,
    /// The longest file the file system takes, once asked.
    file_len_max: OnceLock<u64>,
    /// Descriptors that readers hold for checks.
    checking: AtomicUsize,
    /// Whether the disk of the root has moving parts, once asked.
    is_spinning: OnceLock<bool>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            allocation: Allocation::Sparse,
            may_create_root: false,
            makes_symlinks: false,
            selection: None,
            pool: FilePool::new(FilePool::OPEN_DEFAULT),
            volume: Volume::default(),
        }
    }
}

impl FileStorage {
    /// The torrent `spec` in the folder `root`, which may itself be a link. Touches no disk.
    ///
    /// Fails with [`crate::ErrorKind::BadName`] when a path could leave the root or two files share one.
    ///
    /// # Panics
    /// When the layout was not made of the files, or the selection is not one entry a file.
    pub fn open(root: &Path, spec: StorageSpec, options: Options) -> Result<Self, StorageError> {
        spec.check()?;
        let selected = options.selection.clone();
        assert!(selected.as_ref().is_none_or(|s| s.len() == spec.files.len()), "one entry a file");
        let id = options.pool.join();
        Ok(FileStorage {
            root: root.to_owned(),
            spec,
            options,
            id,
            homes: RwLock::new(Homes::new(selected)),
            part: Mutex::default(),
            dirty: Mutex::default(),
            witness: Witness::default(),
            syncing: Mutex::default(),
            root_id: OnceLock::new(),
            file_len_max: OnceLock::new(),
            checking: AtomicUsize::new(0),
            is_spinning: OnceLock::new(),
        })
    }

    /// The folder everything lies in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn write_span(
        &self,
        homes: &Homes,
        piece: PieceIndex,
        span: FileSpan,
        data: &[u8],
    ) -> Result<(), StorageError> {
        if homes.is_parted(span.file) && self.write_part(piece, span, data)? {
            return Ok(());
        }
        let file = self.file(span.file, true)?;
        let written = self.writing(span.file.0, || volume::write_at(&file, data, span.offset));
        // a write that broke off may have come to some of it
        self.note_written(span.file.0);
        written.map_err(|e| self.failed("write", span.file, e))
    }

    fn read_span(
        &self,
        homes: &Homes,
        piece: PieceIndex,
        span: FileSpan,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        if self.spec.file(span.file).is_pad {
            //= BEP 47: pad files are zeros, not written, served if requested
            buf.fill(0);
            return Ok(());
        }
        if homes.is_parted(span.file) && self.read_part(piece, span, buf)? {
            return Ok(());
        }
        let file = self.file(span.file, false)?;
        let read = volume::read_at(&file, buf, span.offset);
        // a file that was cut short is told as one that changed
        self.check_witness(span.file, &file)?;
        read.map_err(|e| self.failed("read", span.file, e))
    }
}

impl Storage for FileStorage {
    fn spec(&self) -> &StorageSpec {
        &self.spec
    }

    fn prepare(&self) -> Result<(), StorageError> {
        self.claim_space()
    }

    fn write(&self, piece: PieceIndex, begin: u32, data: &[u8]) -> Result<(), StorageError> {
        let len = check_stretch(&self.spec.layout, piece, begin, data.len());
        let homes = self.homes_to_write(piece, begin, len)?;
        let mut rest = data;
        for span in self.spec.layout.spans(piece, begin, len) {
            let (now, later) = rest.split_at(part_len(span.len));
            rest = later;
            if !self.spec.file(span.file).is_pad {
                self.write_span(&homes, piece, span, now)?;
            }
        }
        Ok(())
    }

    fn read(&self, block: BlockRef, buf: &mut [u8]) -> Result<(), StorageError> {
        let len = check_stretch(&self.spec.layout, block.piece, block.begin, buf.len());
        assert_eq!(len, block.len, "the buffer is as long as the stretch");
        let homes = self.homes()?;
        let mut rest = buf;
        for span in self.spec.layout.spans(block.piece, block.begin, len) {
            let (now, later) = rest.split_at_mut(part_len(span.len));
            rest = later;
            self.read_span(&homes, block.piece, span, now)?;
        }
        Ok(())
    }

    fn piece_reader(&self) -> Box<dyn PieceReader + '_> {
        Box::new(FileReader::new(self))
    }

    fn is_rotational(&self) -> bool {
        self.is_on_spinning_disk()
    }

    fn read_now(&self, blocks: &[BlockRef], buf: &mut [u8]) -> usize {
        self.read_ready(blocks, buf)
    }

    fn read_ahead(&self, stretch: BlockRef) {
        self.ask_ahead(stretch);
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.sync_dirty()
    }

    fn facts(&self) -> Vec<FileFact> {
        self.examine()
    }

    fn changed(&self) -> Vec<FileIndex> {
        self.changed_files()
    }

    fn renew(&self, files: &[FileIndex]) {
        self.renew_files(files);
    }

    fn probe(&self, bytes: u64) -> Result<(), StorageError> {
        self.probe_root(bytes)
    }

    fn is_there(&self) -> Result<(), StorageError> {
        match self.open_root(false) {
            Err(e) if matches!(e.kind, ErrorKind::MissingRoot | ErrorKind::NotADirectory) => Err(e),
            // what else is wrong is seen by who uses it
            _ => Ok(()),
        }
    }

    fn disk(&self) -> u64 {
        self.device()
    }

    fn set_selection(&self, selected: &[bool]) -> Result<(), StorageError> {
        assert_eq!(selected.len(), self.spec.files.len(), "one entry a file");
        self.select(selected)
    }

    fn finish(&self) -> Result<(), StorageError> {
        self.finish_files()
    }

    fn delete(&self) -> Result<(), StorageError> {
        self.delete_files()
    }

    fn close_files(&self) {
        self.options.pool.close_all(self.id);
    }
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        self.close_files();
    }
}

/// The length of a span within a buffer.
fn part_len(len: u64) -> usize {
    usize::try_from(len).expect("a span of a buffer in memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::FileSpec;
    use unchoke_wire::Layout;

    //= H3e-6
    #[test]
    fn nothing_is_made_where_a_mount_went_away() {
        let dir = tempfile::tempdir().unwrap();
        let file = FileSpec { path: vec!["f".to_owned()], len: 5, ..FileSpec::default() };
        let spec = StorageSpec { layout: Layout::new(5, [5]).unwrap(), files: vec![file] };
        let options = Options { may_create_root: true, ..Options::default() };
        let storage = FileStorage::open(dir.path(), spec, options).unwrap();
        storage.root_id.set((rustix::fs::Dev::MAX, 1)).unwrap();
        let error = storage.write(PieceIndex(0), 0, b"bytes").unwrap_err();
        assert_eq!(error.kind, ErrorKind::MissingRoot);
        assert_eq!(storage.facts(), [FileFact::Missing]);
        assert_eq!(storage.is_there().unwrap_err().kind, ErrorKind::MissingRoot);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
