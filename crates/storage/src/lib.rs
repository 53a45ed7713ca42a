//! Where pieces live: files, memory, resume records.
//!
//! [`Storage`] is the seam between the engine's shells and the disk: synchronous, positional, piece-aware, called from
//! worker threads. [`FileStorage`] keeps a torrent's files under one root folder and never touches anything outside
//! it; [`MemoryStorage`] does no I/O. [`ResumeStore`] keeps what is known about each torrent across restarts, and
//! [`check_facts`] says which of its claims still hold. [`scan_tree`] lists a folder for making a torrent.

pub mod error;
pub mod memory;
pub mod spec;
pub mod storage;

pub use error::{ErrorKind, StorageError};
pub use memory::MemoryStorage;
pub use spec::{FileSpec, StorageSpec};
pub use storage::{FileFact, Located, PieceRead, Storage, check_batches};
