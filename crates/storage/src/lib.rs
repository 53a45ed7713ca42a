//! Where pieces live: files, memory, resume records.
//!
//! [`Storage`] is the seam between the engine's shells and the disk: synchronous, positional, piece-aware, called from
//! worker threads. [`FileStorage`] keeps a torrent's files under one root folder and never touches anything outside
//! it; [`MemoryStorage`] does no I/O. [`ResumeStore`] keeps what is known about each torrent across restarts, and
//! [`check_facts`] says which of its claims still hold; [`StateStore`] keeps all of that for a whole session in one
//! database. [`Relocation`] moves a torrent to another folder. [`scan_tree`] lists a folder for making a torrent.

pub mod error;
pub mod faulty;
pub mod file_storage;
pub mod memory;
pub mod memory_disk;
pub mod relocate;
pub mod resume;
pub mod scan;
pub mod spec;
pub mod state;
pub mod storage;
mod sys;
pub mod volume;

pub use error::{ErrorKind, StorageError};
pub use faulty::{Failure, Fault, FaultPlan, FaultyStorage, Gate, Op};
pub use file_storage::{Allocation, FilePool, FileStorage, Options};
pub use memory::MemoryStorage;
pub use memory_disk::{Fate, History, MemoryDisk, Standing};
pub use relocate::{Found, PlaceError, Relocation};
pub use resume::{
    DecodeError, Loaded, PartialPiece, Refused, Resume, ResumeError, ResumeLock, ResumeRecord, ResumeStore,
    check_facts,
};
pub use scan::{Scan, ScannedFile, Symlinks, scan_tree};
pub use spec::{FileSpec, StorageSpec};
pub use state::{Recovered, StateChange, StateError, StateStore, TorrentEntry};
pub use storage::{FileFact, PieceRead, PieceReader, Storage, room_for};
pub use sys::is_rotational;
pub use volume::Volume;
