//! Who plays: a DHT node and three peers, each a session of its own on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crossbeam_channel::Select;
use unchoke_runtime::storage::{FileSpec, MemoryStorage, Storage, StorageSpec};
use unchoke_runtime::{AddTorrent, Discovery, Session, SessionConfig, SessionEvent, TorrentHandle};
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::{BlockRef, HostPort, PieceIndex};

/// Bytes of a piece of the demo's torrent.
const PIECE_LEN: u32 = 32_768;
/// Bytes of its file: two whole pieces and a short one.
const FILE_LEN: u32 = 75_536;

/// One of those who play.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Who {
    /// The DHT node that the torrent names.
    Router,
    /// The peer without any piece.
    A,
    /// The seed.
    B,
    /// The peer with the first two pieces.
    C,
}

impl Who {
    /// How it is called in the story.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Router => "N",
            Who::A => "A",
            Who::B => "B",
            Who::C => "C",
        }
    }
}

struct Player {
    who: Who,
    session: Session,
    torrent: Option<TorrentHandle>,
    storage: Arc<MemoryStorage>,
}

/// All of them, and the torrent they share.
pub(crate) struct Cast {
    players: Vec<Player>,
    metainfo: Metainfo,
    data: Vec<u8>,
}

impl Cast {
    /// Starts the DHT node and B and C, which share the torrent already. A waits for its cue.
    pub(crate) fn assemble() -> Result<Cast> {
        let router = start(Who::Router, None)?;
        let node = router.local_addr();
        let data: Vec<u8> = (0..FILE_LEN).map(|i| u8::try_from(i % 251).expect("below 251")).collect();
        let metainfo = torrent(&data, node)?;
        let mut cast = Cast { players: Vec::new(), metainfo, data };
        cast.players.push(Player {
            who: Who::Router,
            session: router,
            torrent: None,
            storage: cast.storage(&[])?,
        });
        for (who, pieces) in [(Who::B, &[0, 1, 2][..]), (Who::C, &[0, 1]), (Who::A, &[])] {
            let (session, storage) = (start(who, Some(node))?, cast.storage(pieces)?);
            cast.players.push(Player { who, session, torrent: None, storage });
        }
        let quiet = Discovery { dial: false, ..Discovery::default() };
        cast.share(Who::B, quiet)?;
        cast.share(Who::C, quiet)?;
        Ok(cast)
    }

    /// A adds the torrent: it knows nothing but what the torrent says.
    pub(crate) fn start_a(&mut self) -> Result<()> {
        self.share(Who::A, Discovery::default())
    }

    /// Whether this peer has the torrent.
    pub(crate) fn has_started(&self, who: Who) -> bool {
        self.player(who).torrent.is_some()
    }

    fn share(&mut self, who: Who, discovery: Discovery) -> Result<()> {
        let metainfo = self.metainfo.clone();
        let player = self.players.iter_mut().find(|p| p.who == who).expect("everybody was assembled");
        let storage = Arc::clone(&player.storage);
        let factory = Arc::new(move |_spec| Ok(Arc::clone(&storage) as Arc<dyn Storage>));
        let mut add = AddTorrent::with_storage(metainfo, factory);
        add.discovery = discovery;
        player.torrent = Some(player.session.add(add).context("adding the demo's torrent")?);
        Ok(())
    }

    fn player(&self, who: Who) -> &Player {
        self.players.iter().find(|p| p.who == who).expect("everybody was assembled")
    }

    /// A storage in memory that holds these pieces.
    fn storage(&self, pieces: &[u32]) -> Result<Arc<MemoryStorage>> {
        let info = &self.metainfo.info;
        let file = |f: &unchoke_wire::metainfo::FileEntry| FileSpec {
            path: f.path.clone(),
            len: f.length,
            ..FileSpec::default()
        };
        let spec = StorageSpec { layout: info.layout.clone(), files: info.files.iter().map(file).collect() };
        let storage = MemoryStorage::new(spec)?;
        for piece in pieces.iter().map(|p| PieceIndex(*p)) {
            storage.write(piece, 0, self.piece(piece))?;
        }
        Ok(Arc::new(storage))
    }

    fn piece(&self, piece: PieceIndex) -> &[u8] {
        let from = (piece.0 * PIECE_LEN) as usize;
        &self.data[from..self.data.len().min(from + PIECE_LEN as usize)]
    }

    /// The torrent.
    pub(crate) fn metainfo(&self) -> &Metainfo {
        &self.metainfo
    }

    /// Where somebody listens, for TCP and UDP.
    pub(crate) fn addr(&self, who: Who) -> SocketAddr {
        self.player(who).session.local_addr()
    }

    /// Who is at this address, seen by `by`. Only A dials, so an address nobody listens on is A's.
    pub(crate) fn who_is(&self, addr: SocketAddr) -> Who {
        let listening = self.players.iter().find(|p| p.session.local_addr().port() == addr.port());
        listening.map_or(Who::A, |p| p.who)
    }

    /// What happens next, and at whom; `None` when nothing does in time.
    pub(crate) fn next_event(&self, timeout: Duration) -> Option<(Who, SessionEvent)> {
        let receivers: Vec<_> = self.players.iter().map(|p| (p.who, p.session.events())).collect();
        let mut select = Select::new();
        for (_, receiver) in &receivers {
            select.recv(receiver);
        }
        let deadline = Instant::now() + timeout;
        let ready = select.select_deadline(deadline).ok()?;
        let (who, receiver) = &receivers[ready.index()];
        ready.recv(receiver).ok().map(|event| (*who, event))
    }

    /// Looks at what every peer stored.
    ///
    /// # Errors
    /// Somebody lacks a piece or has other bytes.
    pub(crate) fn check(&self) -> Result<()> {
        for player in self.players.iter().filter(|p| p.torrent.is_some()) {
            for piece in self.metainfo.info.layout.pieces() {
                let expected = self.piece(piece);
                let mut bytes = vec![0; expected.len()];
                let len = self.metainfo.info.layout.len_of(piece);
                player.storage.read(BlockRef { piece, begin: 0, len }, &mut bytes)?;
                ensure!(bytes == expected, "piece {} of {} has other bytes", piece.0, player.who.name());
            }
        }
        Ok(())
    }

    /// Ends all sessions.
    pub(crate) fn leave(self) {
        for player in self.players {
            player.session.shutdown(Duration::from_millis(200));
        }
    }
}

fn start(who: Who, node: Option<SocketAddr>) -> Result<Session> {
    let mut config = SessionConfig::loopback();
    (config.shards, config.workers, config.trace) = (Some(1), 1, true);
    // B and C are in the DHT before the story begins; A learns of it from the torrent
    if let (Who::B | Who::C, Some(node)) = (who, node) {
        config.dht_nodes = vec![HostPort::new(&node.ip().to_string(), node.port())?];
    }
    // plain BEP 3: bitfields as they are in the specification, and no more messages than it has
    (config.engine.fast, config.engine.pex) = (false, false);
    Session::start(config).with_context(|| format!("starting {} on loopback", who.name()))
}

/// The torrent of the story: three pieces, no tracker, one DHT node.
fn torrent(data: &[u8], node: SocketAddr) -> Result<Metainfo> {
    let inputs: Vec<&[u8]> = data.chunks(PIECE_LEN as usize).collect();
    let mut pieces = vec![[0; 20]; inputs.len()];
    unchoke_hash::sha1_batch(&inputs, &mut pieces);
    let name = "seed3.bin".to_owned();
    let file = BuildFile { path: vec![name.clone()], length: data.len() as u64, ..BuildFile::default() };
    let builder = MetainfoBuilder {
        name,
        files: vec![file],
        piece_len: PIECE_LEN,
        pieces,
        nodes: vec![HostPort::new(&node.ip().to_string(), node.port())?],
        ..MetainfoBuilder::default()
    };
    Ok(Metainfo::parse(&builder.build()?)?)
}
