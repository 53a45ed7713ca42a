//! What can keep a session or a torrent from starting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use unchoke_storage::{ResumeError, StateError, StorageError};
use unchoke_wire::WireHash;
use unchoke_wire::metainfo::MetainfoError;

/// Why a change is not on the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotSaved {
    /// One line.
    pub why: String,
    /// Whether the disk is full.
    pub is_disk_full: bool,
}

/// Why something could not be done. Displays as one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The port is taken by another program.
    #[error("cannot listen on {addr}: the port is in use; choose another one")]
    PortInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No thread, poll or other resource of the system could be had.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, as a verb.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The secure connections of trackers could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// What a URL leads to could not be had.
    #[error("cannot fetch {url}: {why}")]
    Fetch {
        /// The URL.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// The folder for a torrent's data is not there.
    #[error("the folder {} does not exist; make it, or mount its disk", .0.display())]
    MissingFolder(PathBuf),
    /// The torrent is in the session already.
    #[error("the torrent {0} is added already")]
    Duplicate(WireHash),
    /// A magnet without a hash.
    #[error("the source names no info-hash")]
    NoInfoHash,
    /// The metadata is no torrent this session can take.
    #[error("cannot use the metadata: {0}")]
    Metainfo(#[from] MetainfoError),
    /// A selection of files that is not one entry a file.
    #[error("a selection of {got} files for a torrent of {expected}")]
    Selection {
        /// Files of the torrent.
        expected: usize,
        /// Entries of the selection.
        got: usize,
    },
    /// The disk, or another process working on the same torrent.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The state store cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A storage of the owner's own cannot be kept across restarts.
    #[error("a session with a state store takes no torrents with a storage of their own")]
    CustomStorage,
    /// A change could not be made durable. It is tried again.
    #[error("not saved: {}", .0.why)]
    NotSaved(NotSaved),
    /// The files of the torrent are being moved already.
    #[error("its files are being moved; wait until they are there")]
    Occupied,
    /// The metadata of the torrent did not come yet.
    #[error("the metadata of the torrent is not here yet")]
    NoMetadata,
    /// The resume record cannot be used.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The torrent was removed, or the session is over.
    #[error("the torrent is not in the session any more")]
    Gone,
    /// The torrent stopped for this reason.
    #[error("the torrent stopped: {0}")]
    Stopped(String),
    /// It took longer than allowed.
    #[error("not done after {0} s")]
    Timeout(u64),
}
