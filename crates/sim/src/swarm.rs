//! Torrents for worlds: made-up data, who has which pieces, and how they find each other.

use crate::host::HostId;
use crate::world::World;
use core::net::SocketAddr;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha1::Digest;
use std::rc::Rc;
use unchoke_engine::input::{AddTorrent, Discovery, TorrentSource, Totals};
use unchoke_engine::{Command, TorrentId};
use unchoke_storage::{MemoryStorage, Storage, StorageSpec};
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::{Bitfield, HostPort, Magnet, Metainfo, PieceIndex, WireHash};

/// A torrent and the data it describes.
#[derive(Clone, Debug)]
pub struct Content {
    /// The torrent.
    pub metainfo: Metainfo,
    /// All bytes of all files, in order.
    pub data: Vec<u8>,
}

/// What a torrent says besides its data.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// DHT nodes to begin with.
    pub nodes: Vec<HostPort>,
    /// Tiers of trackers.
    pub trackers: Vec<Vec<String>>,
    /// Whether it is private (BEP 27).
    pub is_private: bool,
}

impl Content {
    /// One file of this name with these bytes.
    ///
    /// # Panics
    /// When the sizes are none of a torrent.
    pub fn new(name: &str, data: Vec<u8>, piece_len: u32, about: About) -> Rc<Self> {
        let file =
            BuildFile { path: vec![name.to_owned()], length: data.len() as u64, ..BuildFile::default() };
        Content::of(name, vec![file], data, piece_len, about)
    }

    /// A folder of files of these lengths; those of them that are pads hold zeros.
    ///
    /// # Panics
    /// When the sizes are none of a torrent.
    pub fn folder(number: u64, files: &[(usize, bool)], piece_len: u32, about: About) -> Rc<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        let mut data = Vec::new();
        let mut built = Vec::new();
        for (n, (len, is_pad)) in files.iter().enumerate() {
            let from = data.len();
            data.resize(from + len, 0);
            if !is_pad {
                rng.fill_bytes(&mut data[from..]);
            }
            let path = if files.len() == 1 {
                vec![format!("{number}")]
            } else if *is_pad {
                vec![".pad".to_owned(), n.to_string()]
            } else {
                vec![format!("part-{}", n % 3), format!("{n}.bin")]
            };
            let length = *len as u64;
            built.push(BuildFile { path, length, is_pad: *is_pad, ..BuildFile::default() });
        }
        Content::of(&format!("{number}"), built, data, piece_len, about)
    }

    fn of(name: &str, files: Vec<BuildFile>, data: Vec<u8>, piece_len: u32, about: About) -> Rc<Self> {
        let pieces = data.chunks(piece_len as usize).map(|p| sha1::Sha1::digest(p).into()).collect();
        let builder = MetainfoBuilder {
            name: name.to_owned(),
            is_multi_file: files.len() > 1,
            files,
            piece_len,
            pieces,
            nodes: about.nodes,
            trackers: about.trackers,
            private: about.is_private,
            ..MetainfoBuilder::default()
        };
        let bytes = builder.build().expect("a made-up torrent is well-formed");
        let metainfo = Metainfo::parse(&bytes).expect("what was built parses");
        Rc::new(Content { metainfo, data })
    }

    /// The fixture of the notes' exchange: three pieces, `seed3.bin`.
    pub fn three_pieces(nodes: Vec<HostPort>) -> Rc<Self> {
        let data = (0..75_536u32).map(|i| u8::try_from(i % 251).expect("below 251")).collect();
        Content::new("seed3.bin", data, 32_768, About { nodes, ..About::default() })
    }

    /// So many random bytes, named by their number.
    pub fn random(number: u64, len: usize, piece_len: u32, about: About) -> Rc<Self> {
        let mut data = vec![0; len];
        ChaCha8Rng::seed_from_u64(number).fill_bytes(&mut data);
        Content::new(&format!("{number}.bin"), data, piece_len, about)
    }

    /// How many pieces it has.
    pub fn pieces(&self) -> u32 {
        self.metainfo.info.layout.piece_count()
    }

    /// Its hash on the wire.
    pub fn hash(&self) -> WireHash {
        self.metainfo.info_hashes.best().expect("a built torrent has a hash").wire()
    }

    /// A magnet link to it that names these trackers.
    pub fn magnet(&self, trackers: Vec<String>) -> Magnet {
        Magnet { trackers, ..Magnet::new(self.metainfo.info_hashes) }
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
        let spec = StorageSpec::from(&self.metainfo.info);
        let storage = MemoryStorage::new(spec).expect("made-up files are well-formed");
        for piece in have.iter() {
            storage.write(piece, 0, self.piece(piece)).expect("memory takes every piece");
        }
        storage
    }

    /// The pieces a storage holds.
    pub fn held(&self, storage: &MemoryStorage) -> Bitfield {
        let mut held = Bitfield::none(self.pieces());
        for piece in self.metainfo.info.layout.pieces().filter(|p| self.is_piece_stored(storage, *p)) {
            held.set(piece);
        }
        held
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
    content: &Rc<Content>,
    have: Bitfield,
    discovery: Discovery,
) -> TorrentId {
    let source = TorrentSource::Metainfo(Box::new(content.metainfo.clone()));
    let torrent = add_source(world, host, source, discovery);
    world.open_storage(host, torrent, content, have, None);
    torrent
}

/// Adds a torrent of which a host knows only the magnet link; its storage is opened once the metadata is there.
///
/// # Panics
/// When the host has it already.
pub fn add_magnet(
    world: &mut World,
    host: HostId,
    content: &Rc<Content>,
    magnet: Magnet,
    discovery: Discovery,
) -> TorrentId {
    let torrent = add_source(world, host, TorrentSource::Magnet(Box::new(magnet)), discovery);
    world.await_metadata(host, torrent, content);
    torrent
}

fn add_source(world: &mut World, host: HostId, source: TorrentSource, discovery: Discovery) -> TorrentId {
    let add =
        AddTorrent { source, discovery, is_paused: false, is_sequential: false, totals: Totals::default() };
    let before: Vec<TorrentId> = world.host(host).engine.torrents().collect();
    world.command(host, Command::Add(Box::new(add)));
    let added = world.host(host).engine.torrents().find(|t| !before.contains(t));
    added.expect("the host did not have it yet")
}

/// Only peers the user named are dialled, nothing is announced.
pub const BY_HAND: Discovery = Discovery { trackers: false, dht: false, lsd: false, dial: true };
/// Answers and is found by others, dials nobody.
pub const QUIET: Discovery = Discovery { trackers: true, dht: true, lsd: true, dial: false };

/// Tells a host of another as its user would.
pub fn introduce(world: &mut World, host: HostId, torrent: TorrentId, other: HostId) {
    let addr: SocketAddr = world.host(other).addr();
    world.add_peer(host, torrent, addr);
}

/// Whether a host has every wanted piece of a torrent.
pub fn is_complete(world: &World, host: HostId, torrent: TorrentId) -> bool {
    let stats = world.host(host).engine.torrent_stats(torrent);
    stats.is_some_and(|s| s.left == Some(0))
}
