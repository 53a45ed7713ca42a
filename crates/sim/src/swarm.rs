//! Torrents for worlds: made-up data, who has which pieces, and how they find each other.

use crate::host::HostId;
use crate::log::{Log, What};
use crate::world::World;
use sha1::Digest;
use unchoke_engine::input::{AddTorrent, Discovery, TorrentSource, Totals};
use unchoke_engine::{Command, Event, TorrentId};
use unchoke_storage::{FileSpec, MemoryStorage, Storage, StorageSpec};
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::{Bitfield, HostPort, Metainfo, PieceIndex};

/// A torrent and the data it describes.
#[derive(Clone, Debug)]
pub struct Content {
    /// The torrent.
    pub metainfo: Metainfo,
    /// All bytes of all files, in order.
    pub data: Vec<u8>,
}

impl Content {
    /// One file of this name with these bytes, and the DHT nodes to begin with.
    ///
    /// # Panics
    /// When the sizes are none of a torrent.
    pub fn new(name: &str, data: Vec<u8>, piece_len: u32, nodes: Vec<HostPort>) -> Self {
        let pieces = data.chunks(piece_len as usize).map(|p| sha1::Sha1::digest(p).into()).collect();
        let file =
            BuildFile { path: vec![name.to_owned()], length: data.len() as u64, ..BuildFile::default() };
        let builder = MetainfoBuilder {
            name: name.to_owned(),
            files: vec![file],
            piece_len,
            pieces,
            nodes,
            ..MetainfoBuilder::default()
        };
        let bytes = builder.build().expect("a made-up torrent is well-formed");
        let metainfo = Metainfo::parse(&bytes).expect("what was built parses");
        Content { metainfo, data }
    }

    /// The fixture of the notes' exchange: three pieces, `seed3.bin`.
    pub fn three_pieces(nodes: Vec<HostPort>) -> Self {
        let data = (0..75_536u32).map(|i| u8::try_from(i % 251).expect("below 251")).collect();
        Content::new("seed3.bin", data, 32_768, nodes)
    }

    /// Bytes of one piece.
    pub fn piece(&self, piece: PieceIndex) -> &[u8] {
        let layout = &self.metainfo.info.layout;
        let from = usize::try_from(layout.start_of(piece)).expect("small data");
        &self.data[from..from + layout.len_of(piece) as usize]
    }

    /// A storage that holds these pieces.
    ///
    /// # Panics
    /// When the content is malformed.
    pub fn storage(&self, have: &Bitfield) -> MemoryStorage {
        let info = &self.metainfo.info;
        let files = info.files.iter().map(|f| FileSpec {
            path: f.path.clone(),
            len: f.length,
            ..FileSpec::default()
        });
        let spec = StorageSpec { layout: info.layout.clone(), files: files.collect() };
        let storage = MemoryStorage::new(spec).expect("made-up files are well-formed");
        for piece in have.iter() {
            storage.write(piece, 0, self.piece(piece)).expect("memory takes every piece");
        }
        storage
    }

    /// Whether a host's storage holds all of it.
    pub fn is_whole(&self, storage: &MemoryStorage) -> bool {
        self.metainfo.info.layout.pieces().all(|p| self.is_piece_stored(storage, p))
    }

    /// Whether a storage holds this piece.
    pub fn is_piece_stored(&self, storage: &MemoryStorage, piece: PieceIndex) -> bool {
        let mut buf = vec![0; self.metainfo.info.layout.len_of(piece) as usize];
        let block = unchoke_wire::BlockRef { piece, begin: 0, len: self.metainfo.info.layout.len_of(piece) };
        storage.read(block, &mut buf).is_ok() && buf == self.piece(piece)
    }
}

/// Adds a torrent to a host that has `have` of it.
///
/// # Panics
/// When the host has it already.
pub fn add(
    world: &mut World,
    host: HostId,
    content: &Content,
    have: Bitfield,
    discovery: Discovery,
) -> TorrentId {
    let add = AddTorrent {
        source: TorrentSource::Metainfo(Box::new(content.metainfo.clone())),
        discovery,
        is_paused: false,
        is_sequential: false,
        totals: Totals::default(),
    };
    world.command(host, Command::Add(Box::new(add)));
    let torrent = world.host(host).engine.torrents().last().expect("it was just added");
    world.set_storage(host, torrent, content.storage(&have));
    world.command(host, Command::StorageReady { torrent, have, wanted: None, partials: Vec::new() });
    torrent
}

/// Whether a host told that its torrent is complete.
pub fn is_complete(log: &Log, host: HostId) -> bool {
    log.entries().iter().any(|e| e.host == host && matches!(e.what, What::Event(Event::Completed { .. })))
}
