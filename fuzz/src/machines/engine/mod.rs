//! The engine as a whole: peers that say anything in any order, a disk that fails, an owner that changes their mind;
//! against a model of what passed ([`model`]).

mod life;
mod model;
mod talk;

use crate::steps::{BEGIN, Steps};
use model::Model;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::LazyLock;
use unchoke_engine::input::{AddAsleep, AddTorrent, ClosedBy, Discovery, TorrentSource, Totals};
use unchoke_engine::output::{SendPart, VerifyJob};
use unchoke_engine::{
    Command, ConnId, Engine, Event, Input, Output, RequestId, Settings, ShardId, Ticket, TorrentId,
};
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Bitfield, InfoHashes, Magnet, Metainfo, PieceIndex, WireHash};

/// Connections a test keeps at most.
const PEERS_MAX: usize = 8;
/// Bytes of a piece: no multiple of a block.
const PIECE_LEN: u32 = 20_000;
const PIECES: u32 = 5;

/// The torrent of every run and its bytes.
pub struct Content {
    pub metainfo: Metainfo,
    pub data: Vec<u8>,
}

/// Five pieces, the last one short.
pub static CONTENT: LazyLock<Content> = LazyLock::new(|| {
    let data: Vec<u8> = (0..87_000u32).map(|i| (i / 7 + i).to_le_bytes()[0]).collect();
    let builder = MetainfoBuilder {
        name: "content".to_owned(),
        files: vec![BuildFile { path: vec!["content".to_owned()], length: 87_000, ..BuildFile::default() }],
        piece_len: PIECE_LEN,
        pieces: data.chunks(PIECE_LEN as usize).map(|p| InfoHashes::v1_of(p).v1.expect("it is v1")).collect(),
        trackers: vec![vec!["http://80.0.9.1/announce".to_owned(), "udp://tracker.test:80".to_owned()]],
        // metadata of more than one block
        source: Some("s".repeat(15_000)),
        ..MetainfoBuilder::default()
    };
    let metainfo = Metainfo::parse(&builder.build().expect("it is sound")).expect("it is sound");
    Content { metainfo, data }
});

impl Content {
    /// The name of its swarm.
    pub fn hash(&self) -> WireHash {
        self.metainfo.info_hashes.best().expect("it has one").wire()
    }

    /// The bytes of a piece.
    pub fn piece(&self, piece: PieceIndex) -> &[u8] {
        let layout = &self.metainfo.info.layout;
        let start = usize::try_from(layout.start_of(piece)).expect("it is small");
        &self.data[start..][..layout.len_of(piece) as usize]
    }
}

/// A torrent that lacks pieces.
pub fn engine_leech(data: &[u8]) {
    let mut steps = Steps::new(data);
    let have = steps.byte();
    run(Start::Leech { have }, &mut steps);
}

/// A torrent that has all.
pub fn engine_seed(data: &[u8]) {
    run(Start::Leech { have: 0xff }, &mut Steps::new(data));
}

/// A torrent from a magnet: without metadata at first.
pub fn engine_magnet(data: &[u8]) {
    run(Start::Magnet, &mut Steps::new(data));
}

/// A torrent that sleeps, wakes up and falls asleep again.
pub fn engine_asleep(data: &[u8]) {
    let mut steps = Steps::new(data);
    let have = steps.byte();
    run(Start::Asleep { have }, &mut steps);
}

/// How a run begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Leech { have: u8 },
    Magnet,
    Asleep { have: u8 },
}

fn run(start: Start, steps: &mut Steps<'_>) {
    let mut world = World::new(start, steps);
    while !steps.is_over() {
        world.step(steps);
    }
    world.end();
}

/// Where a connection is, as the shell sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The engine asked for it.
    Dialling,
    /// It is connected and the peer has not said who it is.
    Greeting,
    Open,
}

/// A connection.
struct Peer {
    conn: ConnId,
    stage: Stage,
    /// What the engine wrote and was not looked at.
    came: Vec<u8>,
    has_greeted: bool,
    wants_send: bool,
    /// It does not read for now.
    is_stalled: bool,
}

/// One engine, its shell played by the test.
struct World {
    engine: Engine,
    torrent: TorrentId,
    settings: Settings,
    now: Instant,
    model: Model,
    peers: Vec<Peer>,
    tickets: BTreeMap<Ticket, SocketAddr>,
    jobs: Vec<VerifyJob>,
    http: Vec<RequestId>,
    names: Vec<RequestId>,
    /// The engine asked for storage, or for what a sleeper needs.
    wants_storage: bool,
    is_waking: bool,
    is_removed: bool,
    closed: BTreeSet<ConnId>,
    next_ticket: u64,
}

impl World {
    fn new(start: Start, steps: &mut Steps<'_>) -> Self {
        let choice = steps.byte();
        let settings = Settings {
            listen_port: 6881,
            own_addresses: vec![SocketAddr::from(([80, 0, 9, 9], 6881))],
            upload_slots: 1 + usize::from(choice & 3),
            connections_max: 4 + usize::from(choice >> 5),
            torrent_connections_max: 6,
            dials_max: 3,
            piece_buffer_bytes: if choice & 4 == 4 { 1 } else { 60_000 },
            fast: choice & 8 == 0,
            upload_limit: (choice & 16 == 16).then_some(20_000),
            download_limit: (choice & 24 == 24).then_some(20_000),
            trace: true,
            sleep_after: matches!(start, Start::Asleep { .. }).then_some(Duration::from_secs(180)),
            ..Settings::default()
        };
        let mut world = World {
            engine: Engine::new(ShardId(0), settings.clone(), [choice; 32], BEGIN),
            torrent: TorrentId::default(),
            model: Model::new(settings.upload_slots),
            settings,
            now: BEGIN,
            peers: Vec::new(),
            tickets: BTreeMap::new(),
            jobs: Vec::new(),
            http: Vec::new(),
            names: Vec::new(),
            wants_storage: false,
            is_waking: false,
            is_removed: false,
            closed: BTreeSet::new(),
            next_ticket: 0,
        };
        world.begin(start);
        world
    }

    fn begin(&mut self, start: Start) {
        let have = |bits: u8| {
            let mut have = Bitfield::none(PIECES);
            (0..PIECES).filter(|p| bits & (1 << p) != 0).for_each(|p| _ = have.set(PieceIndex(p)));
            have
        };
        let m = &CONTENT.metainfo;
        let source = match start {
            Start::Asleep { have: bits } => {
                self.model.disk = have(bits);
                let asleep = asleep(&self.model.disk);
                self.command(Command::AddAsleep(Box::new(asleep)));
                return;
            }
            Start::Leech { .. } => TorrentSource::Metainfo(Box::new(m.clone())),
            Start::Magnet => TorrentSource::Magnet(Box::new(Magnet::new(m.info_hashes))),
        };
        let add = AddTorrent {
            source,
            discovery: Discovery::default(),
            is_paused: false,
            is_sequential: false,
            totals: Totals::default(),
        };
        self.command(Command::Add(Box::new(add)));
        if let Start::Leech { have: bits } = start {
            self.model.disk = have(bits);
            self.open_storage();
        }
    }

    /// The storage is opened, with all that is on the disk.
    fn open_storage(&mut self) {
        self.wants_storage = false;
        self.model.loaded();
        let (torrent, have) = (self.torrent, self.model.disk.clone());
        self.command(Command::StorageReady { torrent, have, wanted: None, partials: Vec::new() });
    }

    fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
    }

    /// One input, and whatever follows from it at once.
    fn handle(&mut self, input: Input<'_>) {
        let outputs: Vec<Output> = self.engine.handle(input, self.now).collect();
        outputs.into_iter().for_each(|output| self.output(output));
        self.engine.check_invariants();
        let dialling = self.peers.iter().filter(|p| p.stage == Stage::Dialling).count();
        assert!(dialling <= self.settings.dials_max, "{dialling} dials at once");
        assert!(self.peers.len() <= self.settings.connections_max.min(self.settings.torrent_connections_max));
        self.model.check_turn();
        self.write();
    }

    /// What the engine has to say goes to those who read.
    fn write(&mut self) {
        for _ in 0..10_000 {
            let ready = |p: &Peer| p.wants_send && !p.is_stalled && p.stage != Stage::Dialling;
            let Some(peer) = self.peers.iter_mut().find(|p| ready(p)) else { return };
            peer.wants_send = false;
            let conn = peer.conn;
            let outputs: Vec<Output> = self.engine.handle(Input::SendReady { conn }, self.now).collect();
            outputs.into_iter().for_each(|output| self.output(output));
            self.model.check_turn();
        }
        panic!("it writes for ever");
    }

    fn peer(&mut self, conn: ConnId) -> &mut Peer {
        self.peers.iter_mut().find(|p| p.conn == conn).expect("it names a connection that is there")
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Adopt { ticket, conn } => {
                self.tickets.remove(&ticket).expect("a ticket is answered once");
                self.model.opened(conn, None);
                self.add_peer(conn, Stage::Greeting);
            }
            Output::Refuse { ticket } => _ = self.tickets.remove(&ticket).expect("a ticket is answered once"),
            Output::Connect { conn, addr, timeout } => {
                assert!(
                    addr.port() != 0
                        && timeout > Duration::ZERO
                        && !self.settings.own_addresses.contains(&addr)
                );
                assert!(!self.model.is_dialled(addr), "{addr} is dialled twice");
                self.model.opened(conn, Some(addr));
                self.add_peer(conn, Stage::Dialling);
            }
            Output::WantSend { conn } => self.peer(conn).wants_send = true,
            Output::Send { conn, plan } => self.send(conn, &plan),
            Output::Close { conn } => {
                let there = self.peers.iter().position(|p| p.conn == conn).expect("it is there");
                self.peers.swap_remove(there);
                self.gone(conn);
            }
            Output::Datagram { to, bytes } => assert!(to.port() != 0 && bytes.len() <= 1500),
            Output::Http(request) => self.http.push(request.request),
            Output::Resolve { request, .. } => self.names.push(request),
            Output::Verify(job) => {
                self.model.verifying(&job);
                self.jobs.push(job);
            }
            Output::Event(event) => self.event(event),
            Output::Trace(trace) => {
                assert!(self.peers.iter().any(|p| p.conn == trace.conn), "a message without a connection");
                self.model.trace(&trace);
            }
            Output::Patience { conn, .. } => _ = self.peer(conn),
            Output::Hub(_) => {}
        }
    }

    fn add_peer(&mut self, conn: ConnId, stage: Stage) {
        assert!(!self.closed.contains(&conn), "a name is used once");
        self.peers.push(Peer {
            conn,
            stage,
            came: Vec::new(),
            has_greeted: false,
            wants_send: false,
            is_stalled: false,
        });
    }

    fn gone(&mut self, conn: ConnId) {
        self.closed.insert(conn);
        self.model.closed(conn);
    }

    /// A plan is written as a whole: it is messages, end to end, and blocks that are there.
    fn send(&mut self, conn: ConnId, plan: &unchoke_engine::output::SendPlan) {
        let mut bytes = Vec::new();
        for part in plan.parts() {
            match part {
                SendPart::Bytes(b) => bytes.extend_from_slice(b),
                SendPart::Block(b) => {
                    assert!(self.model.disk.has(b.piece), "{b:?} is not on the disk");
                    bytes.extend_from_slice(&CONTENT.piece(b.piece)[b.begin as usize..][..b.len as usize]);
                }
            }
        }
        let len = bytes.len() as u64;
        let peer = self.peer(conn);
        peer.came.extend_from_slice(&bytes);
        peer.wants_send = true;
        talk::check_stream(peer);
        let outputs: Vec<Output> = self.engine.handle(Input::Sent { conn, bytes: len }, self.now).collect();
        outputs.into_iter().for_each(|output| self.output(output));
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Added { torrent, hash } => {
                assert_eq!(hash, CONTENT.hash());
                self.torrent = torrent;
            }
            Event::MetadataReceived { info, .. } => {
                assert!(info == CONTENT.metainfo.raw_info, "metadata that was not checked");
                self.wants_storage = true;
            }
            Event::Wake { .. } => self.is_waking = true,
            Event::Slept { .. } => self.model.unloaded(),
            Event::PieceDone { piece, .. } => self.model.done(piece),
            Event::Completed { .. } => self.model.completed(),
            Event::Removed { .. } => self.is_removed = true,
            Event::Partials { partials, .. } => {
                for p in partials {
                    assert!(p.data.len() == CONTENT.piece(p.piece).len() && p.blocks.count() > 0);
                }
            }
            _ => {}
        }
    }
}

fn asleep(have: &Bitfield) -> AddAsleep {
    let m = &CONTENT.metainfo;
    AddAsleep {
        hashes: m.info_hashes,
        trackers: m.trackers.clone(),
        discovery: Discovery::default(),
        is_private: false,
        is_paused: false,
        is_sequential: false,
        is_super_seeding: false,
        pieces: (have.count(), PIECES),
        left: have.missing().map(|p| u64::from(m.info.layout.len_of(p))).sum(),
        is_complete: have.is_all(),
        totals: Totals::default(),
        announce_within: Duration::ZERO,
    }
}

/// How the shell says that a connection is gone.
const REMOTE: ClosedBy = ClosedBy::Remote;
