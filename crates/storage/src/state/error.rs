//! What can keep the state store from doing what it is asked.

use std::io;
use std::path::{Path, PathBuf};

use unchoke_wire::WireHash;

use crate::error::StorageError;
use crate::resume::DecodeError;

/// Why the store could not do it. Displays as one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The disk failed, or is full. What was stored before is still stored.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Another process has it.
    #[error("the state folder {} is in use by another process; stop it first, or choose another folder", .dir.display())]
    Busy {
        /// The folder.
        dir: PathBuf,
    },
    /// A later version of the program wrote it. It was left as it is.
    #[error("{} is of schema {found}, this program knows schemas up to {known}; use the newer program", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema known.
        known: u32,
    },
    /// The file as a whole cannot be read.
    #[error("{} is damaged ({why}); restart to go on with its last good copy", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A record was written by a later version of the program. It was left as it is.
    #[error("cannot use the record of {hash}: {why}; use the newer program")]
    Record {
        /// Of which torrent.
        hash: WireHash,
        /// Its format.
        why: DecodeError,
    },
}

impl StateError {
    /// Wraps what the database said about the file `path`.
    pub(super) fn of(action: &'static str, path: &Path, error: redb::Error) -> Self {
        let source = match error {
            redb::Error::Corrupted(why) => {
                return StateError::Damaged { path: path.to_owned(), why };
            }
            redb::Error::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
                return StateError::Damaged { path: path.to_owned(), why: "not a state file".into() };
            }
            redb::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return StateError::Damaged { path: path.to_owned(), why: "it ends too early".into() };
            }
            redb::Error::Io(e) => e,
            other => io::Error::other(other.to_string()),
        };
        StorageError::new(action, path, source).into()
    }
}
