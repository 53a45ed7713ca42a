//! What a torrent is added with.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use unchoke_engine::input::{Discovery, TorrentSource};
use unchoke_storage::{Allocation, Storage, StorageError, StorageSpec};
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::{HostPort, Magnet};

/// A torrent to add. Make one with [`AddTorrent::new`] or [`AddTorrent::with_storage`] and change what is to differ.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// What it is.
    pub source: TorrentSource,
    /// Where its pieces are.
    pub place: Place,
    /// Which files are wanted, one entry a file; `None`: those a magnet selects, else all, whatever earlier runs
    /// chose.
    pub selection: Option<Vec<bool>>,
    /// Pieces in order instead of the rarest first.
    pub is_sequential: bool,
    /// Whether its pieces are shown to its peers one by one once it has all of them (BEP 16), until somebody else has
    /// all.
    pub is_super_seeding: bool,
    /// Whether the files are taken to hold what the resume record says, or everything when there is none.
    pub trust: bool,
    /// Whether nothing is ever written or asked for.
    pub seed_only: bool,
    /// Whether it begins anew when its record tells of files and all of them are gone. Else their disk is taken to be
    /// missing, and it stops.
    pub begins_anew: bool,
    /// Whether it begins paused.
    pub is_paused: bool,
    /// By which means it finds peers.
    pub discovery: Discovery,
    /// Peers to begin with; any scope, since the user names them.
    pub peers: Vec<SocketAddr>,
    /// DHT nodes to begin with.
    pub dht_nodes: Vec<HostPort>,
    /// How space for files is taken.
    pub allocation: Allocation,
}

/// Where the pieces of a torrent are.
#[derive(Clone)]
pub enum Place {
    /// In files: data lands in DIR/NAME. DIR, or at least its parent, exists.
    Dir(PathBuf),
    /// Wherever the owner says, once the metadata is known.
    Custom(StorageFactory),
}

/// Makes the storage of a torrent. Called from a thread that may wait for it.
pub type StorageFactory = Arc<dyn Fn(StorageSpec) -> Result<Arc<dyn Storage>, StorageError> + Send + Sync>;

impl AddTorrent {
    /// The torrent with its data in the folder `dir`.
    pub fn new(source: impl Into<Source>, dir: impl Into<PathBuf>) -> Self {
        Self::at(source.into(), Place::Dir(dir.into()))
    }

    /// The torrent with its data in a storage of the owner's own.
    pub fn with_storage(source: impl Into<Source>, factory: StorageFactory) -> Self {
        Self::at(source.into(), Place::Custom(factory))
    }

    fn at(source: Source, place: Place) -> Self {
        AddTorrent {
            source: source.0,
            place,
            selection: None,
            is_sequential: false,
            is_super_seeding: false,
            trust: false,
            seed_only: false,
            begins_anew: false,
            is_paused: false,
            discovery: Discovery::default(),
            peers: Vec::new(),
            dht_nodes: Vec::new(),
            allocation: Allocation::default(),
        }
    }
}

/// What a torrent can be made from: [`Metainfo`], [`Magnet`], or either as a [`TorrentSource`].
#[derive(Clone, Debug)]
pub struct Source(TorrentSource);

impl From<Metainfo> for Source {
    fn from(metainfo: Metainfo) -> Self {
        Source(TorrentSource::Metainfo(Box::new(metainfo)))
    }
}

impl From<Magnet> for Source {
    fn from(magnet: Magnet) -> Self {
        Source(TorrentSource::Magnet(Box::new(magnet)))
    }
}

impl From<TorrentSource> for Source {
    fn from(source: TorrentSource) -> Self {
        Source(source)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Dir(dir) => f.debug_tuple("Dir").field(dir).finish(),
            Place::Custom(_) => f.write_str("Custom"),
        }
    }
}
