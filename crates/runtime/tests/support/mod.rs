//! Torrents made on the spot, sessions on loopback, and waiting with deadlines.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(dead_code, reason = "every test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use unchoke_runtime::{AddTorrent, Session, SessionConfig, SessionEvent, TorrentHandle};
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::{Handshake, InfoHashes, Magnet, Metainfo, PeerId, Reserved, WireHash};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A torrent and its data on disk.
pub struct Fixture {
    pub dir: tempfile::TempDir,
    pub metainfo: Metainfo,
    builder: MetainfoBuilder,
}

impl Fixture {
    /// A folder NAME of files of these lengths with bytes that `salt` makes, in a folder of its own.
    pub fn new(name: &str, salt: u64, files: &[(&str, usize)], piece_len: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for (path, len) in files {
            let mut bytes = Vec::with_capacity(len + 8);
            while bytes.len() < *len {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                bytes.extend_from_slice(&(state >> 16).to_le_bytes());
            }
            bytes.truncate(*len);
            let at = dir.path().join(name).join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, &bytes).unwrap();
            all.extend_from_slice(&bytes);
        }
        let pieces: Vec<&[u8]> = all.chunks(usize::try_from(piece_len).unwrap()).collect();
        let mut digests = vec![[0; 20]; pieces.len()];
        unchoke_hash::sha1_batch(&pieces, &mut digests);
        let builder = MetainfoBuilder {
            name: name.to_owned(),
            files: files
                .iter()
                .map(|(path, len)| BuildFile {
                    path: path.split('/').map(str::to_owned).collect(),
                    length: u64::try_from(*len).unwrap(),
                    ..BuildFile::default()
                })
                .collect(),
            is_multi_file: true,
            piece_len,
            pieces: digests,
            ..MetainfoBuilder::default()
        };
        let metainfo = Metainfo::parse(&builder.build().unwrap()).unwrap();
        Fixture { dir, metainfo, builder }
    }

    /// All bytes, in the order of the files.
    pub fn bytes(&self) -> Vec<u8> {
        let files = &self.metainfo.info.files;
        files.iter().flat_map(|f| std::fs::read(self.dir.path().join(f.display_path())).unwrap()).collect()
    }

    /// Two files, two folders deep, one empty, eleven pieces.
    pub fn small(salt: u64) -> Self {
        let files = [("a.bin", 100_000), ("sub/b.bin", 70_000), ("sub/deep/empty", 0), ("z", 1)];
        Self::new("small", salt, &files, 16_384)
    }

    /// Names a tracker; the hash stays.
    pub fn with_tracker(mut self, url: &str) -> Self {
        self.builder.trackers = vec![vec![url.to_owned()]];
        self.metainfo = Metainfo::parse(&self.builder.build().unwrap()).unwrap();
        self
    }

    /// Only trackers may name peers; another hash.
    pub fn made_private(mut self) -> Self {
        self.builder.private = true;
        self.metainfo = Metainfo::parse(&self.builder.build().unwrap()).unwrap();
        self
    }

    pub fn hash(&self) -> WireHash {
        self.metainfo.info_hashes.best().unwrap().wire()
    }

    pub fn magnet(&self) -> Magnet {
        Magnet::new(InfoHashes { v1: self.metainfo.info_hashes.v1, v2: None })
    }

    /// Adds the torrent as a seed and waits until it is ready.
    pub fn seed(&self, session: &Session) -> TorrentHandle {
        let add = AddTorrent { seed_only: true, ..AddTorrent::new(self.metainfo.clone(), self.dir.path()) };
        let torrent = session.add(add).unwrap();
        torrent.wait_complete(PATIENCE).unwrap();
        torrent
    }

    /// Whether the folder holds the same bytes as the fixture.
    pub fn assert_same(&self, dir: &Path) {
        for file in &self.metainfo.info.files {
            let path = file.display_path();
            let got = std::fs::read(dir.join(&path)).unwrap();
            assert!(got == std::fs::read(self.dir.path().join(&path)).unwrap(), "{path} differs");
        }
    }
}

/// A session on 127.0.0.1 without a DHT, on two shards and one worker.
pub fn quiet() -> SessionConfig {
    SessionConfig { dht: false, shards: Some(2), workers: 1, ..SessionConfig::loopback() }
}

pub fn start(config: SessionConfig) -> Session {
    Session::start(config).unwrap()
}

/// Downloads the torrent of `fixture` from `peers` into `dir`.
pub fn leech(fixture: &Fixture, session: &Session, dir: &Path, peers: &[SocketAddr]) -> TorrentHandle {
    let add = AddTorrent { peers: peers.to_vec(), ..AddTorrent::new(fixture.metainfo.clone(), dir) };
    session.add(add).unwrap()
}

/// The first event that `pick` picks.
pub fn wait_for<T>(events: &Receiver<SessionEvent>, mut pick: impl FnMut(&SessionEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = events.recv_deadline(deadline).expect("the event comes in time");
        if let Some(found) = pick(&event) {
            return found;
        }
    }
}

/// A raw connection with a deadline on every read.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The 68 bytes of a handshake.
pub fn handshake(hash: WireHash) -> Vec<u8> {
    let peer_id = PeerId(*b"-XX0001-abcdefghijkl");
    Handshake { reserved: Reserved::default(), info_hash: hash, peer_id }.encode().to_vec()
}

/// Sends a handshake and reads the answer.
pub fn greet(addr: SocketAddr, hash: WireHash) -> TcpStream {
    let mut stream = connect(addr);
    stream.write_all(&handshake(hash)).unwrap();
    let mut answer = [0; 68];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer[28..48], &hash.0);
    stream
}

/// Everything until the other side closes; a reset is an end, too.
pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Ok(_) => got,
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => got,
        Err(e) => panic!("not closed in time: {e}"),
    }
}
