//! An engine with one torrent and peers made of bytes: blocks in and out, and what each turn costs with many peers.

use super::Case;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use unchoke_engine::input::{
    AddTorrent, ClosedBy, Discovery, TorrentSource, Totals, Verified, VerifyOutcome,
};
use unchoke_engine::output::SendPart;
use unchoke_engine::{Command, ConnId, Engine, Event, Input, Output, Settings, ShardId, Ticket, TorrentId};
use unchoke_wire::message::{PIECE_HEADER_LEN, piece_header};
use unchoke_wire::metainfo::MetainfoBuilder;
use unchoke_wire::metainfo::build::BuildFile;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{
    BLOCK_LEN, Bitfield, BlockRef, Handshake, Message, Metainfo, PeerId, PieceIndex, Reserved,
};

/// Blocks in one read: 256 KiB.
const READ_BLOCKS: u64 = 16;
/// Pieces of 256 KiB.
const PIECE_LEN: u32 = 16 * BLOCK_LEN;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, units, scene| Case { name, units, scene };
    vec![
        case("receive/blocks/1 peer", READ_BLOCKS, || receive(1)),
        case("receive/blocks/50 peers", READ_BLOCKS, || receive(50)),
        case("receive/blocks/200 peers", READ_BLOCKS, || receive(200)),
        case("send/blocks/1 peer", READ_BLOCKS, || send(1)),
        case("send/blocks/500 peers", READ_BLOCKS, || send(500)),
        case("swarm/have in/200 peers", 1, haves_in),
        case("swarm/have out/500 peers", 500, haves_out),
        case("swarm/newcomer/500 peers", 1, newcomers),
        case("swarm/second/500 peers", 1, seconds),
    ]
}

struct Peer {
    conn: ConnId,
    /// What it was asked for.
    asked: VecDeque<BlockRef>,
}

/// An engine, its shell and its peers.
struct Swarm {
    engine: Engine,
    torrent: TorrentId,
    peers: Vec<Peer>,
    by_conn: BTreeMap<ConnId, usize>,
    now: Instant,
    joined: u32,
    wants_send: VecDeque<ConnId>,
    /// Blocks sent in plans.
    blocks_sent: u64,
    /// What a read brings: heads are written over, bytes are left as they are.
    read: Vec<u8>,
}

fn metainfo(pieces: u32, piece_len: u32) -> Metainfo {
    let length = u64::from(pieces) * u64::from(piece_len);
    let file = BuildFile { path: vec!["bench".to_owned()], length, ..BuildFile::default() };
    let builder = MetainfoBuilder {
        name: "bench".to_owned(),
        files: vec![file],
        piece_len,
        pieces: vec![[7; 20]; usize::try_from(pieces).expect("a u32 fits the address space")],
        ..MetainfoBuilder::default()
    };
    Metainfo::parse(&builder.build().expect("a made-up torrent is well-formed"))
        .expect("it was built just now")
}

impl Swarm {
    fn new(metainfo: &Metainfo, have: Bitfield) -> Self {
        let settings = Settings {
            connections_max: 2_000,
            torrent_connections_max: 1_000,
            dht: false,
            lsd: false,
            ..Settings::default()
        };
        let mut engine = Engine::new(ShardId(0), settings, [7; 32], Instant::ZERO);
        let add = AddTorrent {
            source: TorrentSource::Metainfo(Box::new(metainfo.clone())),
            discovery: Discovery { trackers: false, dht: false, lsd: false, dial: false },
            is_paused: false,
            is_sequential: false,
            totals: Totals::default(),
        };
        let outputs = engine.handle(Input::Command(Command::Add(Box::new(add))), Instant::ZERO);
        let mut added = outputs.filter_map(|o| match o {
            Output::Event(Event::Added { torrent, .. }) => Some(torrent),
            _ => None,
        });
        let torrent = added.next().expect("the torrent is new");
        drop(added);
        let ready = Command::StorageReady { torrent, have, wanted: None, partials: Vec::new() };
        engine.handle(Input::Command(ready), Instant::ZERO).for_each(drop);
        Swarm {
            engine,
            torrent,
            peers: Vec::new(),
            by_conn: BTreeMap::new(),
            now: Instant::ZERO,
            joined: 0,
            wants_send: VecDeque::new(),
            blocks_sent: 0,
            read: Vec::new(),
        }
    }

    /// A peer connects, says what it has and this, and unchokes us.
    fn join(&mut self, metainfo: &Metainfo, has: &Message<'_>, also: &[Message<'_>]) {
        self.joined += 1;
        let [_, a, b, c] = self.joined.to_be_bytes();
        let addr = SocketAddr::from(([10, a, b, c], 6881));
        let mut peer_id = [0; 20];
        peer_id[..4].copy_from_slice(&self.joined.to_be_bytes());
        let info_hash = metainfo.info_hashes.best().expect("a built torrent has a hash").wire();
        let reserved = Reserved::default().with_fast();
        let mut received = Handshake { reserved, info_hash, peer_id: PeerId(peer_id) }.encode().to_vec();
        has.encode_into(&mut received);
        also.iter().for_each(|m| m.encode_into(&mut received));
        Message::Unchoke.encode_into(&mut received);
        let (ticket, torrent) = (Ticket(self.joined.into()), self.torrent);
        self.input(Input::Accepted { ticket, torrent, remote: addr, received: &received, since: self.now });
        let conn = self.peers.last().map(|p| p.conn).expect("it was adopted");
        self.by_conn.insert(conn, self.peers.len() - 1);
        self.settle();
    }

    /// The newest peer goes.
    fn leave(&mut self) {
        let peer = self.peers.pop().expect("somebody joined");
        self.by_conn.remove(&peer.conn);
        self.wants_send.retain(|c| *c != peer.conn);
        self.input(Input::Closed { conn: peer.conn, reason: ClosedBy::Remote });
        self.settle();
    }

    fn say(&mut self, peer: usize, messages: &[Message<'_>]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|m| m.encode_into(&mut bytes));
        let conn = self.peers[peer].conn;
        self.input(Input::Received { conn, bytes: &mut bytes });
    }

    fn input(&mut self, input: Input<'_>) {
        let mut verified = Vec::new();
        for output in self.engine.handle(input, self.now) {
            match output {
                Output::Adopt { conn, .. } => {
                    self.peers.push(Peer { conn, asked: VecDeque::new() });
                    self.by_conn.insert(conn, self.peers.len() - 1);
                }
                Output::WantSend { conn } => self.wants_send.push_back(conn),
                Output::Send { conn, plan } => {
                    self.blocks_sent += u64::try_from(plan.blocks.len()).expect("a few");
                    let was_block = !plan.blocks.is_empty();
                    for part in plan.parts() {
                        if let SendPart::Bytes(bytes) = part {
                            hear(&mut self.peers[self.by_conn[&conn]], bytes);
                        }
                    }
                    // who was sent blocks is ready again in the next step
                    if was_block { self.wants_send.push_back(conn) } else { self.wants_send.push_front(conn) }
                }
                Output::Verify(job) => verified.push(job),
                Output::Close { .. } => panic!("an honest peer is not closed"),
                _ => {}
            }
        }
        for job in verified {
            let (torrent, piece, data) = (job.torrent, job.piece, job.data);
            let outcome = VerifyOutcome::Good { block_hashes: Vec::new() };
            self.input(Input::Verified { done: vec![Verified { torrent, piece, outcome, data }] });
        }
    }

    /// Everybody who has something to send may, until nobody has.
    fn settle(&mut self) {
        while let Some(conn) = self.wants_send.pop_front() {
            self.input(Input::SendReady { conn });
        }
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        if self.engine.next_timeout().is_some_and(|at| at <= self.now) {
            self.input(Input::Timeout);
        }
    }

    /// A read of the blocks that a peer was asked for first; how many.
    fn receive(&mut self, peer: usize) -> u64 {
        let mut blocks = 0;
        let mut filled = 0;
        while let Some(block) = self.peers[peer].asked.pop_front() {
            let end = filled + PIECE_HEADER_LEN + usize::try_from(block.len).expect("16 KiB");
            self.read.resize(self.read.len().max(end), 7);
            self.read[filled..filled + PIECE_HEADER_LEN].copy_from_slice(&piece_header(block));
            (filled, blocks) = (end, blocks + 1);
            if blocks == READ_BLOCKS {
                break;
            }
        }
        let mut read = std::mem::take(&mut self.read);
        let conn = self.peers[peer].conn;
        self.input(Input::Received { conn, bytes: &mut read[..filled] });
        self.read = read;
        self.settle();
        blocks
    }

    fn is_complete(&self) -> bool {
        self.engine.torrent_stats(self.torrent).is_some_and(|s| s.left == Some(0))
    }
}

/// A peer takes note of what it is asked for.
fn hear(peer: &mut Peer, bytes: &[u8]) {
    // the first bytes of a connection are a handshake, the last of a plan with a block the head of one
    let mut rest = if bytes.first() == Some(&19) { &bytes[68..] } else { bytes };
    while let Ok(Some((message, len))) = Message::parse(rest) {
        if let Message::Request(block) = message {
            peer.asked.push_back(block);
        }
        rest = &rest[len..];
    }
}

/// One piece of all, so that nobody waits for the first pick.
fn one_of(pieces: u32) -> Bitfield {
    let mut have = Bitfield::none(pieces);
    have.set(PieceIndex(0));
    have
}

fn downloading(metainfo: &Metainfo, pieces: u32, peers: usize) -> Swarm {
    let mut swarm = Swarm::new(metainfo, one_of(pieces));
    (0..peers).for_each(|_| swarm.join(metainfo, &Message::HaveAll, &[]));
    // so long that every peer has shown its rate
    for i in 0..50 * peers {
        swarm.receive(i % peers);
        swarm.pass(Duration::from_secs(4) / u32::try_from(50 * peers).expect("a few"));
    }
    swarm
}

/// A read of blocks from each of some seeds in turn, and the requests that follow.
fn receive(peers: usize) -> Box<dyn FnMut()> {
    const PIECES: u32 = 20_000;
    let metainfo = metainfo(PIECES, PIECE_LEN);
    let mut swarm = downloading(&metainfo, PIECES, peers);
    let mut peer = 0;
    Box::new(move || {
        peer = (peer + 1) % peers;
        swarm.receive(peer);
        swarm.pass(Duration::from_micros(250));
        if swarm.is_complete() {
            swarm = downloading(&metainfo, PIECES, peers);
        }
    })
}

/// A read of requests from each of the unchoked peers in turn, and the plans that answer as many.
fn send(peers: usize) -> Box<dyn FnMut()> {
    const PIECES: u32 = 20_000;
    /// Requests that wait for a plan.
    const AHEAD: u64 = 240;
    let metainfo = metainfo(PIECES, PIECE_LEN);
    let mut swarm = Swarm::new(&metainfo, Bitfield::all(PIECES));
    (0..peers).for_each(|_| swarm.join(&metainfo, &Message::HaveNone, &[Message::Interested]));
    let mut asked = 0u64;
    let mut ask = move |swarm: &mut Swarm, count: u64| {
        let requests: Vec<Message<'_>> = (asked..asked + count)
            .map(|i| {
                let block = u32::try_from(i % (u64::from(PIECES) * 16)).expect("in the torrent");
                let begin = block % 16 * BLOCK_LEN;
                Message::Request(BlockRef { piece: PieceIndex(block / 16), begin, len: BLOCK_LEN })
            })
            .collect();
        asked += count;
        swarm.say(0, &requests);
        let goal = swarm.blocks_sent + if count == AHEAD { 0 } else { count };
        while swarm.blocks_sent < goal {
            let conn = swarm.wants_send.pop_front().expect("there is something to send");
            swarm.input(Input::SendReady { conn });
        }
    };
    ask(&mut swarm, AHEAD);
    // so long that the peer has shown its rate and gets whole plans
    for _ in 0..1_000 {
        ask(&mut swarm, READ_BLOCKS);
        swarm.pass(Duration::from_millis(10));
    }
    Box::new(move || {
        ask(&mut swarm, READ_BLOCKS);
        swarm.pass(Duration::from_micros(250));
    })
}

/// One of many peers tells of a piece it got.
fn haves_in() -> Box<dyn FnMut()> {
    const PIECES: u32 = 200_000;
    const PEERS: usize = 200;
    let metainfo = metainfo(PIECES, PIECE_LEN);
    let mut swarm = Swarm::new(&metainfo, Bitfield::all(PIECES));
    (0..PEERS).for_each(|_| swarm.join(&metainfo, &Message::HaveNone, &[]));
    let mut told = 0;
    Box::new(move || {
        let peer = told % PEERS;
        let piece = u32::try_from(told / PEERS).expect("so many pieces") % PIECES;
        swarm.say(peer, &[Message::Have(PieceIndex(piece))]);
        told += 1;
    })
}

/// A piece of one block comes in, and 500 peers are told.
fn haves_out() -> Box<dyn FnMut()> {
    const PIECES: u32 = 100_000;
    let metainfo = metainfo(PIECES, BLOCK_LEN);
    let scene = move || {
        let mut swarm = Swarm::new(&metainfo, one_of(PIECES));
        swarm.join(&metainfo, &Message::HaveAll, &[]);
        (0..500).for_each(|_| swarm.join(&metainfo, &Message::HaveNone, &[]));
        swarm
    };
    let mut swarm = scene();
    Box::new(move || {
        let Some(block) = swarm.peers[0].asked.pop_front() else {
            swarm = scene();
            return;
        };
        let data = [7; BLOCK_LEN as usize];
        swarm.say(0, &[Message::Piece { piece: block.piece, begin: block.begin, data: &data }]);
        swarm.settle();
        swarm.pass(Duration::from_micros(500));
    })
}

/// A leech joins a seed that has 500, is interested, and goes.
fn newcomers() -> Box<dyn FnMut()> {
    const PIECES: u32 = 2_000;
    let metainfo = metainfo(PIECES, PIECE_LEN);
    let mut swarm = Swarm::new(&metainfo, Bitfield::all(PIECES));
    (0..500).for_each(|_| swarm.join(&metainfo, &Message::HaveNone, &[Message::Interested]));
    Box::new(move || {
        swarm.join(&metainfo, &Message::HaveNone, &[Message::Interested]);
        swarm.leave();
        swarm.pass(Duration::from_millis(1));
    })
}

/// A second passes for a leech that is connected to 500 idle peers.
fn seconds() -> Box<dyn FnMut()> {
    const PIECES: u32 = 2_000;
    let metainfo = metainfo(PIECES, PIECE_LEN);
    let mut swarm = Swarm::new(&metainfo, one_of(PIECES));
    (0..500).for_each(|_| swarm.join(&metainfo, &Message::HaveNone, &[Message::Interested]));
    let mut passed = 0;
    Box::new(move || {
        passed += 1;
        if passed % 60 == 0 {
            (0..swarm.peers.len()).for_each(|peer| swarm.say(peer, &[Message::KeepAlive]));
        }
        swarm.pass(Duration::from_secs(1));
        swarm.settle();
    })
}
