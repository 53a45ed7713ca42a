//! What is kept between runs: a record of each torrent and the nodes of the DHT.
//!
//! Records belong to a torrent in a folder: the same torrent may be downloaded to two folders and seeded from a third,
//! by processes of their own.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use unchoke_storage::ResumeStore;
use unchoke_wire::InfoHashes;

use crate::errors::{about, reason, warn};

/// Where things are kept, for torrents with their data in one folder.
#[derive(Debug)]
pub(crate) struct StateDir {
    /// Folder of the records.
    pub(crate) records: PathBuf,
    /// File of the DHT's nodes.
    pub(crate) dht_nodes: PathBuf,
    /// Whether the folder of the data is on the disk that the records were made of: files that are gone were deleted
    /// then, and are not on a disk that is missing.
    pub(crate) is_same_disk: bool,
}

impl StateDir {
    /// The state for data in `dir`, which exists. `None`, with a warning, when nothing can be kept.
    pub(crate) fn open(dir: &Path) -> Option<Self> {
        let Some(root) = root() else {
            warn("nothing is kept for the next run: set UNCHOKE_STATE or HOME to say where");
            return None;
        };
        let records = root.join("resume").join(key(dir));
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&records);
        let note = records.join("disk");
        let number = std::fs::metadata(dir).map(|m| m.dev().to_string()).unwrap_or_default();
        let is_same_disk = std::fs::read_to_string(&note).is_ok_and(|noted| noted == number);
        // a folder of records that was there already may still be one that cannot be written to
        match made.and_then(|()| std::fs::write(&note, number)) {
            Ok(()) => Some(StateDir { records, dht_nodes: root.join(DHT_NODES), is_same_disk }),
            Err(e) => {
                warn(format_args!(
                    "nothing is kept for the next run: cannot write to {}: {}; set UNCHOKE_STATE to another folder",
                    records.display(),
                    reason(&e)
                ));
                None
            }
        }
    }

    /// Whether no other process works on this torrent in this folder.
    pub(crate) fn is_free(&self, hashes: &InfoHashes) -> bool {
        let store = ResumeStore::open(&self.records);
        hashes.best().is_some_and(|hash| store.is_ok_and(|store| store.lock(hash.wire()).is_ok()))
    }
}

/// The file of the nodes that downloads and seeds know. It may not be there.
pub(crate) fn dht_nodes() -> Option<PathBuf> {
    root().map(|root| root.join(DHT_NODES))
}

/// The file of what `dht node` knows, in a folder that exists; `None` when there can be none.
pub(crate) fn dht_node() -> Option<PathBuf> {
    let root = root()?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).ok()?;
    Some(root.join("dht-node"))
}

/// The state folder of the daemon, made if need be: the one named, else one of its own.
///
/// # Errors
/// One line when it cannot be made, or there is no place for it.
pub(crate) fn daemon(named: Option<&Path>) -> Result<PathBuf> {
    let dir = daemon_dir(named)?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.and_then(|()| std::path::absolute(&dir)).map_err(|e| about("use the folder", &dir, &e))
}

/// The same folder, which may not be there.
///
/// # Errors
/// One line when there is no place for it.
pub(crate) fn daemon_dir(named: Option<&Path>) -> Result<PathBuf> {
    let own = || root().map(|root| root.join("daemon"));
    let dir = named.map(Path::to_owned).or_else(own);
    dir.context("no folder to keep the state in: name one with --state, or set UNCHOKE_STATE or HOME")
}

/// `$UNCHOKE_STATE`, else `$XDG_STATE_HOME/unchoke`, else `~/.local/state/unchoke`.
fn root() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    folder("UNCHOKE_STATE")
        .or_else(|| folder("XDG_STATE_HOME").map(|d| d.join("unchoke")))
        .or_else(|| folder("HOME").map(|d| d.join(".local/state/unchoke")))
}

const DHT_NODES: &str = "dht-nodes";

/// A name for the folder `dir`.
fn key(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mut digest = [[0; 20]];
    unchoke_hash::sha1_batch(&[whole.as_os_str().as_bytes()], &mut digest);
    digest[0][..8].iter().map(|b| format!("{b:02x}")).collect()
}
