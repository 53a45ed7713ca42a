//! A few engines and hubs wired in memory, without latency; and peers played by the test, byte by byte.

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use unchoke_engine::hub::{DhtState, HubInput, HubOutput, HubSettings};
use unchoke_engine::input::{
    AddTorrent, ClosedBy, Discovery, TorrentSource, Totals, Verified, VerifyOutcome,
};
use unchoke_engine::input::{HttpReply, PartialPiece, PeerSource};
use unchoke_engine::output::{HttpRequest, HubCommand, SendPart, VerifyJob};
use unchoke_engine::{
    Command, ConnId, Engine, Event, Hub, Input, Output, Settings, ShardId, Ticket, TorrentId,
};
use unchoke_wire::handshake::HANDSHAKE_LEN;
use unchoke_wire::message::Message;
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{
    BLOCK_LEN, Bitfield, BlockRef, Handshake, InfoHashes, Metainfo, PeerId, PieceIndex, Reserved, WireHash,
};

/// A torrent and its bytes.
#[derive(Clone)]
pub struct Content {
    pub metainfo: Metainfo,
    pub data: Vec<u8>,
}

impl Content {
    pub fn new(name: &str, len: usize, piece_len: u32, is_private: bool) -> Self {
        let data: Vec<u8> = (0..len).map(|i| u8::try_from((i / 7 + i) % 251).unwrap()).collect();
        let hash = |piece: &[u8]| InfoHashes::v1_of(piece).v1.unwrap();
        let file = BuildFile { path: vec![name.into()], length: len as u64, ..BuildFile::default() };
        let builder = MetainfoBuilder {
            name: name.into(),
            files: vec![file],
            piece_len,
            pieces: data.chunks(piece_len as usize).map(hash).collect(),
            private: is_private,
            ..MetainfoBuilder::default()
        };
        Content { metainfo: Metainfo::parse(&builder.build().unwrap()).unwrap(), data }
    }

    /// Three pieces of 32 KiB, the last one short.
    pub fn small() -> Self {
        Content::new("small", 75_536, 32_768, false)
    }

    pub fn pieces(&self) -> u32 {
        self.metainfo.info.layout.piece_count()
    }

    pub fn hash(&self) -> WireHash {
        self.metainfo.info_hashes.best().unwrap().wire()
    }

    pub fn block(&self, block: BlockRef) -> &[u8] {
        let start = usize::try_from(self.metainfo.info.layout.start_of(block.piece)).unwrap();
        let from = start + block.begin as usize;
        &self.data[from..from + block.len as usize]
    }

    fn verdict(&self, job: &VerifyJob) -> VerifyOutcome {
        let hashes =
            || job.data.chunks(BLOCK_LEN as usize).map(|b| InfoHashes::v1_of(b).v1.unwrap()).collect();
        if InfoHashes::v1_of(&job.data).v1 == Some(job.expected) {
            VerifyOutcome::Good { block_hashes: if job.wants_block_hashes { hashes() } else { Vec::new() } }
        } else {
            VerifyOutcome::Bad { block_hashes: hashes() }
        }
    }
}

/// One engine with its hub.
pub struct Host {
    pub engine: Engine,
    pub hub: Hub,
    pub addr: SocketAddr,
    pub events: Vec<Event>,
    pub hub_commands: Vec<HubCommand>,
    pub tracker_datagrams: usize,
    /// Datagrams its hub sent, to DHT nodes and to the group of the local network.
    pub datagrams: Vec<Vec<u8>>,
    pub lsd_datagrams: Vec<Vec<u8>>,
    /// Whom its engine dialled.
    pub dials: Vec<SocketAddr>,
    /// HTTP requests that wait for an answer.
    pub http: Vec<HttpRequest>,
    /// Verify jobs wait here while they are held back.
    pub held: Vec<VerifyJob>,
    pub holds_jobs: bool,
    /// Its sockets take nothing.
    pub is_stuck: bool,
    /// What was said last of how long connections may be silent.
    patience: BTreeMap<(usize, usize), Option<Duration>>,
    contents: BTreeMap<TorrentId, Content>,
    ends: BTreeMap<ConnId, (usize, usize)>,
    tickets: BTreeMap<Ticket, (usize, usize)>,
}

/// One end of a connection.
enum Side {
    Accepted(usize, Ticket),
    Engine(usize, ConnId),
    /// Played by the test: what came, and whether the other side closed.
    Puppet {
        addr: SocketAddr,
        came: Vec<u8>,
        has_handshake: bool,
        is_closed: bool,
    },
}

enum Todo {
    Dial(usize, ConnId, SocketAddr),
    Bytes(usize, usize, Vec<u8>),
    Ready(usize, ConnId),
    Sent(usize, ConnId, u64),
    Gone(usize, usize),
    Verified(usize, TorrentId, PieceIndex, VerifyOutcome),
}

pub struct Net {
    pub now: Instant,
    pub hosts: Vec<Host>,
    wires: Vec<[Side; 2]>,
    /// Where the test listens.
    listening: Vec<SocketAddr>,
    todo: VecDeque<Todo>,
    next_ticket: u64,
    /// Timeouts handled.
    pub wakes: u64,
}

/// A connection played by the test, by its place.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Puppet(usize, usize);

impl Net {
    pub fn new() -> Self {
        let now = Instant::from_micros(1_000_000);
        let (wires, todo, listening) = (Vec::new(), VecDeque::new(), Vec::new());
        Net { now, hosts: Vec::new(), wires, listening, todo, next_ticket: 0, wakes: 0 }
    }

    pub fn add_host(&mut self, settings: Settings) -> usize {
        let n = u8::try_from(self.hosts.len()).unwrap() + 1;
        let addr = SocketAddr::from(([80, 0, n, 1], 6881));
        let settings = Settings { listen_port: 6881, own_addresses: vec![addr], ..settings };
        let hub = HubSettings {
            is_dht_read_only: false,
            reports_dht_steps: false,
            dht_v4: settings.dht,
            dht_v6: false,
            lsd_v4: settings.lsd,
            lsd_v6: false,
            listen_port: 6881,
            saved: DhtState::default(),
            nodes: Vec::new(),
            routers: Vec::new(),
        };
        self.hosts.push(Host {
            engine: Engine::new(ShardId(0), settings, [n; 32], self.now),
            hub: Hub::new(hub, [n + 100; 32], self.now),
            addr,
            events: Vec::new(),
            hub_commands: Vec::new(),
            tracker_datagrams: 0,
            datagrams: Vec::new(),
            lsd_datagrams: Vec::new(),
            dials: Vec::new(),
            http: Vec::new(),
            held: Vec::new(),
            holds_jobs: false,
            is_stuck: false,
            patience: BTreeMap::new(),
            contents: BTreeMap::new(),
            ends: BTreeMap::new(),
            tickets: BTreeMap::new(),
        });
        self.hosts.len() - 1
    }

    /// Adds a torrent of which the host has the pieces whose bit is set in `have`.
    pub fn add(&mut self, host: usize, content: &Content, have: &Bitfield) -> TorrentId {
        let torrent = self.add_source(host, TorrentSource::Metainfo(Box::new(content.metainfo.clone())));
        self.storage(host, torrent, content, have, Vec::new());
        torrent
    }

    pub fn add_source(&mut self, host: usize, source: TorrentSource) -> TorrentId {
        self.hosts[host].events.clear();
        let add = AddTorrent {
            source,
            discovery: Discovery::default(),
            is_paused: false,
            is_sequential: false,
            totals: Totals::default(),
        };
        self.command(host, Command::Add(Box::new(add)));
        let added = self.hosts[host].events.iter().find_map(|e| match e {
            Event::Added { torrent, .. } => Some(*torrent),
            _ => None,
        });
        added.expect("a new torrent is added")
    }

    pub fn storage(
        &mut self,
        host: usize,
        torrent: TorrentId,
        content: &Content,
        have: &Bitfield,
        partials: Vec<PartialPiece>,
    ) {
        self.hosts[host].contents.insert(torrent, content.clone());
        let have = have.clone();
        self.command(host, Command::StorageReady { torrent, have, wanted: None, partials });
    }

    pub fn command(&mut self, host: usize, command: Command) {
        self.engine(host, Input::Command(command));
        self.settle();
    }

    /// Tells a host of peers.
    pub fn tell(&mut self, host: usize, torrent: TorrentId, source: PeerSource, peers: &[SocketAddr]) {
        self.engine(host, Input::PeersFound { torrent, source, peers });
        self.settle();
    }

    /// One host dials another.
    pub fn connect(&mut self, from: usize, torrent: TorrentId, to: usize) {
        let addr = self.hosts[to].addr;
        self.tell(from, torrent, PeerSource::User, &[addr]);
    }

    /// The test dials a host from this address.
    pub fn dial(&mut self, host: usize, from: SocketAddr) -> Puppet {
        let wire = self.wires.len();
        let ticket = self.ticket();
        let puppet = Side::Puppet { addr: from, came: Vec::new(), has_handshake: false, is_closed: false };
        self.wires.push([puppet, Side::Accepted(host, ticket)]);
        self.hosts[host].tickets.insert(ticket, (wire, 1));
        let outputs = self.hub(host, HubInput::Accepted { ticket, remote: from });
        self.hub_outputs(host, outputs);
        self.settle();
        Puppet(wire, 0)
    }

    /// How long a host lets its connection with a puppet be silent, once that was said.
    pub fn patience(&self, host: usize, Puppet(wire, side): Puppet) -> Option<Option<Duration>> {
        self.hosts[host].patience.get(&(wire, 1 - side)).copied()
    }

    /// The test listens at this address from now on.
    pub fn listen(&mut self, addr: SocketAddr) {
        self.listening.push(addr);
    }

    /// The latest connection a host made to this address of the test.
    pub fn dialled(&self, addr: SocketAddr) -> Option<Puppet> {
        let is_there = |side: &Side| matches!(side, Side::Puppet { addr: a, .. } if *a == addr);
        self.wires.iter().rposition(|w| is_there(&w[1])).map(|wire| Puppet(wire, 1))
    }

    /// The test dials a host and shakes hands: as a peer of this id that speaks what `reserved` says.
    pub fn join(&mut self, host: usize, content: &Content, n: u8, reserved: Reserved) -> Puppet {
        let puppet = self.dial(host, SocketAddr::from(([90, 0, n, 1], 40_000)));
        self.shake(puppet, content, n, reserved);
        puppet
    }

    pub fn shake(&mut self, puppet: Puppet, content: &Content, n: u8, reserved: Reserved) {
        self.send(puppet, &handshake(content, n, reserved));
    }

    /// Bytes from the test to a host.
    pub fn send(&mut self, Puppet(wire, side): Puppet, bytes: &[u8]) {
        self.todo.push_back(Todo::Bytes(wire, 1 - side, bytes.to_vec()));
        self.settle();
    }

    pub fn say(&mut self, puppet: Puppet, messages: &[Message<'_>]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|m| m.encode_into(&mut bytes));
        self.send(puppet, &bytes);
    }

    /// The test sends a block of a torrent.
    pub fn give(&mut self, puppet: Puppet, content: &Content, block: BlockRef) {
        let data = content.block(block);
        self.say(puppet, &[Message::Piece { piece: block.piece, begin: block.begin, data }]);
    }

    /// The test closes a connection.
    pub fn close(&mut self, Puppet(wire, side): Puppet) {
        self.todo.push_back(Todo::Gone(wire, 1 - side));
        self.settle();
    }

    /// Whether the host closed a connection.
    pub fn is_closed(&self, Puppet(wire, side): Puppet) -> bool {
        matches!(self.wires[wire][side], Side::Puppet { is_closed: true, .. })
    }

    /// The bytes that came since the last call.
    pub fn came(&mut self, Puppet(wire, side): Puppet) -> Vec<u8> {
        match &mut self.wires[wire][side] {
            Side::Puppet { came, .. } => core::mem::take(came),
            _ => Vec::new(),
        }
    }

    /// The messages that came since the last call, as text; the handshake is left out.
    pub fn heard(&mut self, puppet: Puppet) -> Vec<String> {
        let mut bytes = self.came(puppet);
        if let Side::Puppet { has_handshake, .. } = &mut self.wires[puppet.0][puppet.1]
            && !core::mem::replace(has_handshake, true)
        {
            bytes.drain(..HANDSHAKE_LEN.min(bytes.len()));
        }
        let (mut rest, mut said) = (&bytes[..], Vec::new());
        while let Some((message, len)) = Message::parse(rest).expect("an engine speaks correctly") {
            said.push(text(&message));
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "whole messages");
        said
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let next = |h: &Host| [h.engine.next_timeout(), h.hub.next_timeout()].into_iter().flatten().min();
            let Some(at) = self.hosts.iter().filter_map(next).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            for host in 0..self.hosts.len() {
                if self.hosts[host].engine.next_timeout().is_some_and(|at| at <= self.now) {
                    self.wakes += 1;
                    self.engine(host, Input::Timeout);
                }
                if self.hosts[host].hub.next_timeout().is_some_and(|at| at <= self.now) {
                    let outputs = self.hub(host, HubInput::Timeout);
                    self.hub_outputs(host, outputs);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    /// Lets the held verify jobs of a host go, the rest too from now on.
    pub fn verify_held(&mut self, host: usize) {
        self.hosts[host].holds_jobs = false;
        for job in core::mem::take(&mut self.hosts[host].held) {
            self.job(host, &job);
        }
        self.settle();
    }

    /// A job is done whose piece could not be written; the shell gives `data` back.
    pub fn failed_write(&mut self, host: usize, job: &VerifyJob, data: Box<[u8]>) {
        let outcome = VerifyOutcome::WriteFailed { error: "the disk is full".into() };
        let done = vec![Verified { torrent: job.torrent, piece: job.piece, outcome, data }];
        self.engine(host, Input::Verified { done });
        self.settle();
    }

    /// Something else happens.
    pub fn input(&mut self, host: usize, input: Input<'_>) {
        self.engine(host, input);
        self.settle();
    }

    /// The tracker answers all that a host asked it.
    pub fn tracker_says(&mut self, host: usize, body: &[u8]) {
        for request in core::mem::take(&mut self.hosts[host].http) {
            let reply = Ok(HttpReply { status: 200, body, remote: None });
            self.engine(host, Input::HttpDone { request: request.request, reply });
        }
        self.settle();
    }

    pub fn datagram(&mut self, host: usize, from: SocketAddr, bytes: &[u8]) -> usize {
        let outputs = self.hub(host, HubInput::Datagram { from, bytes });
        let answers = outputs.iter().filter(|o| matches!(o, HubOutput::Datagram { .. })).count();
        self.hub_outputs(host, outputs);
        self.settle();
        answers
    }

    pub fn has_all(&self, host: usize, torrent: TorrentId) -> bool {
        self.hosts[host].engine.have(torrent).is_some_and(Bitfield::is_all)
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Carries out what is to be done, until nothing is.
    fn settle(&mut self) {
        while let Some(todo) = self.todo.pop_front() {
            match todo {
                Todo::Dial(host, conn, addr) => self.dial_out(host, conn, addr),
                Todo::Bytes(wire, side, bytes) => self.deliver(wire, side, bytes),
                Todo::Sent(host, conn, bytes) => self.engine(host, Input::Sent { conn, bytes }),
                Todo::Ready(host, conn) => {
                    if self.hosts[host].ends.contains_key(&conn) {
                        self.engine(host, Input::SendReady { conn });
                    }
                }
                Todo::Gone(wire, side) => self.gone(wire, side),
                Todo::Verified(host, torrent, piece, outcome) => {
                    let done = vec![Verified { torrent, piece, outcome, data: Box::default() }];
                    self.engine(host, Input::Verified { done });
                }
            }
        }
        self.hosts.iter().for_each(|h| h.engine.check_invariants());
    }

    fn dial_out(&mut self, host: usize, conn: ConnId, addr: SocketAddr) {
        let wire = self.wires.len();
        let from = SocketAddr::new(self.hosts[host].addr.ip(), 20_000 + u16::try_from(wire).unwrap());
        if self.listening.contains(&addr) {
            let puppet = Side::Puppet { addr, came: Vec::new(), has_handshake: false, is_closed: false };
            self.wires.push([Side::Engine(host, conn), puppet]);
        } else if let Some(target) = self.hosts.iter().position(|h| h.addr == addr) {
            let ticket = self.ticket();
            self.wires.push([Side::Engine(host, conn), Side::Accepted(target, ticket)]);
            self.hosts[target].tickets.insert(ticket, (wire, 1));
            let outputs = self.hub(target, HubInput::Accepted { ticket, remote: from });
            self.hub_outputs(target, outputs);
        } else {
            self.engine(host, Input::Closed { conn, reason: ClosedBy::DialFailed });
            return;
        }
        self.hosts[host].ends.insert(conn, (wire, 0));
        self.engine(host, Input::Connected { conn });
    }

    fn deliver(&mut self, wire: usize, side: usize, mut bytes: Vec<u8>) {
        match &mut self.wires[wire][side] {
            Side::Puppet { came, .. } => came.append(&mut bytes),
            Side::Engine(host, conn) => {
                let (host, conn) = (*host, *conn);
                self.engine(host, Input::Received { conn, bytes: &mut bytes });
            }
            Side::Accepted(host, ticket) => {
                let (host, ticket) = (*host, *ticket);
                let outputs = self.hub(host, HubInput::AcceptedBytes { ticket, bytes: &bytes });
                self.hub_outputs(host, outputs);
            }
        }
    }

    fn gone(&mut self, wire: usize, side: usize) {
        match &mut self.wires[wire][side] {
            Side::Puppet { is_closed, .. } => *is_closed = true,
            Side::Engine(host, conn) => {
                let (host, conn) = (*host, *conn);
                if self.hosts[host].ends.remove(&conn).is_some() {
                    self.engine(host, Input::Closed { conn, reason: ClosedBy::Remote });
                }
            }
            Side::Accepted(host, ticket) => {
                let (host, ticket) = (*host, *ticket);
                let outputs = self.hub(host, HubInput::AcceptedClosed { ticket });
                self.hub_outputs(host, outputs);
            }
        }
    }

    fn hub(&mut self, host: usize, input: HubInput<'_>) -> Vec<HubOutput> {
        self.hosts[host].hub.handle(input, self.now).collect()
    }

    fn hub_outputs(&mut self, host: usize, outputs: Vec<HubOutput>) {
        for output in outputs {
            match output {
                HubOutput::Route { ticket, torrent, received, since, .. } => {
                    let (wire, side) = self.hosts[host].tickets[&ticket];
                    let remote = self.remote(wire, side);
                    let received = &received;
                    self.engine(host, Input::Accepted { ticket, torrent, remote, received, since });
                }
                HubOutput::Drop { ticket } => self.drop_ticket(host, ticket),
                HubOutput::Peers { torrent, source, peers, .. } => {
                    self.engine(host, Input::PeersFound { torrent, source, peers: &peers });
                }
                HubOutput::TrackerDatagram { from, bytes, .. } => {
                    self.hosts[host].tracker_datagrams += 1;
                    self.engine(host, Input::Datagram { from, bytes: &bytes });
                }
                HubOutput::OwnAddress { ip } => self.engine(host, Input::OwnAddress { ip }),
                HubOutput::Datagram { bytes, .. } => self.hosts[host].datagrams.push(bytes),
                HubOutput::LsdDatagram { bytes, .. } => self.hosts[host].lsd_datagrams.push(bytes),
                HubOutput::Resolve { .. } | HubOutput::Event(_) => {}
            }
        }
    }

    fn remote(&self, wire: usize, side: usize) -> SocketAddr {
        match &self.wires[wire][1 - side] {
            Side::Puppet { addr, .. } => *addr,
            Side::Engine(host, _) | Side::Accepted(host, _) => {
                SocketAddr::new(self.hosts[*host].addr.ip(), 20_000 + u16::try_from(wire).unwrap())
            }
        }
    }

    fn drop_ticket(&mut self, host: usize, ticket: Ticket) {
        if let Some((wire, side)) = self.hosts[host].tickets.remove(&ticket) {
            self.todo.push_back(Todo::Gone(wire, 1 - side));
        }
    }

    fn engine(&mut self, host: usize, input: Input<'_>) {
        let outputs: Vec<Output> = self.hosts[host].engine.handle(input, self.now).collect();
        for output in outputs {
            self.output(host, output);
        }
    }

    fn output(&mut self, host: usize, output: Output) {
        match output {
            Output::Adopt { ticket, conn } => {
                let (wire, side) =
                    self.hosts[host].tickets.remove(&ticket).expect("a ticket is answered once");
                self.wires[wire][side] = Side::Engine(host, conn);
                self.hosts[host].ends.insert(conn, (wire, side));
            }
            Output::Refuse { ticket } => self.drop_ticket(host, ticket),
            Output::Connect { conn, addr, .. } => {
                self.hosts[host].dials.push(addr);
                self.todo.push_back(Todo::Dial(host, conn, addr));
            }
            Output::WantSend { conn } => self.todo.push_back(Todo::Ready(host, conn)),
            Output::Send { .. } if self.hosts[host].is_stuck => {}
            Output::Send { conn, plan } => {
                let mut bytes = Vec::new();
                for part in plan.parts() {
                    match part {
                        SendPart::Bytes(b) => bytes.extend(b),
                        SendPart::Block(b) => bytes.extend(self.hosts[host].contents[&plan.torrent].block(b)),
                    }
                }
                let (wire, side) = self.hosts[host].ends[&conn];
                self.todo.push_back(Todo::Sent(host, conn, bytes.len() as u64));
                self.todo.push_back(Todo::Bytes(wire, 1 - side, bytes));
                self.todo.push_back(Todo::Ready(host, conn));
            }
            Output::Patience { conn, within } => {
                let place = self.hosts[host].ends[&conn];
                self.hosts[host].patience.insert(place, within);
            }
            Output::Close { conn } => {
                if let Some((wire, side)) = self.hosts[host].ends.remove(&conn) {
                    self.todo.push_back(Todo::Gone(wire, 1 - side));
                }
            }
            Output::Verify(job) if self.hosts[host].holds_jobs => self.hosts[host].held.push(job),
            Output::Verify(job) => self.job(host, &job),
            Output::Hub(command) => {
                self.hosts[host].hub_commands.push(command.clone());
                let outputs = self.hub(host, HubInput::Engine { shard: ShardId(0), command });
                self.hub_outputs(host, outputs);
            }
            Output::Event(event) => self.hosts[host].events.push(event),
            Output::Http(request) => self.hosts[host].http.push(request),
            Output::Datagram { .. } | Output::Resolve { .. } | Output::Trace(_) => {}
        }
    }

    fn job(&mut self, host: usize, job: &VerifyJob) {
        let outcome = self.hosts[host].contents[&job.torrent].verdict(job);
        self.todo.push_back(Todo::Verified(host, job.torrent, job.piece, outcome));
    }
}

pub fn handshake(content: &Content, n: u8, reserved: Reserved) -> [u8; HANDSHAKE_LEN] {
    Handshake { reserved, info_hash: content.hash(), peer_id: PeerId([n; 20]) }.encode()
}

/// The first requests of a torrent wait no longer than this for peers to say what they have.
pub const FIRST_PICK: Duration = Duration::from_millis(300);

/// What most peers speak.
pub fn modern() -> Reserved {
    Reserved::default().with_fast().with_extension()
}

pub fn plain() -> Reserved {
    Reserved::default()
}

pub fn block(piece: u32, begin: u32, len: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(piece), begin, len }
}

/// The block that a heard `request` or such names.
pub fn block_of(said: &str) -> BlockRef {
    let (_, place) = said.rsplit_once(' ').expect("a message with a block");
    let numbers: Vec<u32> = place.split(['/', '+']).map(|n| n.parse().unwrap()).collect();
    block(numbers[0], numbers[1], numbers[2])
}

/// The blocks that heard requests name.
pub fn requests(heard: &[String]) -> Vec<BlockRef> {
    heard.iter().filter(|s| s.starts_with("request")).map(|s| block_of(s)).collect()
}

fn text(message: &Message<'_>) -> String {
    let place = |b: &BlockRef| format!("{}/{}+{}", b.piece.0, b.begin, b.len);
    match message {
        Message::Have(p) => format!("have {}", p.0),
        Message::Bitfield(b) => {
            format!("bitfield {}", b.iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
        Message::Request(b) => format!("request {}", place(b)),
        Message::Piece { piece, begin, data } => format!("piece {}/{begin}+{}", piece.0, data.len()),
        Message::Cancel(b) => format!("cancel {}", place(b)),
        Message::Reject(b) => format!("reject {}", place(b)),
        Message::Port(p) => format!("port {p}"),
        Message::AllowedFast(p) => format!("allowed fast {}", p.0),
        Message::Extended { id, .. } => format!("extended {id}"),
        other => format!("{other:?}").to_lowercase(),
    }
}
