//! The world: hosts, what is under way between them, and the order of events.

use crate::host::{EndName, Host, HostId, HostSettings, Machine, PORT};
use crate::link::Fate;
use crate::log::{Entry, Log, What};
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BinaryHeap};
use unchoke_engine::hub::{HubInput, HubOutput};
use unchoke_engine::input::{ClosedBy, PeerSource, VerifyOutcome};
use unchoke_engine::output::{SendPart, SendPlan};
use unchoke_engine::{Command, ConnId, Input, Output, ShardId, Ticket, TorrentId};
use unchoke_storage::{MemoryStorage, Storage};
use unchoke_wire::PieceIndex;
use unchoke_wire::time::{Duration, Instant};

/// Something that will happen.
#[derive(Debug)]
enum Pending {
    /// A machine's timer.
    Wake(HostId, Machine),
    /// A dial reaches the other side.
    Dial(HostId, ConnId, SocketAddr),
    /// The dialler hears of it.
    Dialled(HostId, ConnId, Option<usize>),
    /// A dial runs out of time.
    DialTimeout(HostId, ConnId),
    /// Bytes reach one end of a pipe.
    Stream(usize, Vec<u8>),
    /// The sender's plan has left the host.
    PlanLeft(usize, u64),
    /// The other side of an end is gone.
    Gone(usize),
    /// A datagram arrives.
    Datagram(SocketAddr, SocketAddr, Vec<u8>),
    /// A verify job is done.
    Verified(HostId, TorrentId, PieceIndex, VerifyOutcome),
}

#[derive(Debug)]
struct Due(Reverse<(Instant, u64)>, Pending);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// One end of a pipe.
#[derive(Debug)]
struct End {
    host: HostId,
    name: EndName,
    /// The other end.
    peer: usize,
    is_open: bool,
    /// Bytes that were sent last arrive then: streams keep their order.
    last_arrival: Instant,
}

/// Hosts and what passes between them.
#[derive(Debug)]
pub struct World {
    now: Instant,
    seq: u64,
    rng: ChaCha12Rng,
    hosts: Vec<Host>,
    by_ip: BTreeMap<IpAddr, HostId>,
    ends: Vec<End>,
    due: BinaryHeap<Due>,
    next_ticket: u64,
    log: Log,
    keeps_log: bool,
    /// Block bytes of every send, spoilt when the host is in here.
    corrupting: BTreeMap<HostId, u32>,
}

impl World {
    /// An empty world. With `keeps_log` every message and event is kept in the log, not only its digest.
    pub fn new(seed: u64, keeps_log: bool) -> Self {
        World {
            now: Instant::from_micros(1_000_000),
            seq: 0,
            rng: ChaCha12Rng::seed_from_u64(seed),
            hosts: Vec::new(),
            by_ip: BTreeMap::new(),
            ends: Vec::new(),
            due: BinaryHeap::new(),
            next_ticket: 0,
            log: Log::new(keeps_log),
            keeps_log,
            corrupting: BTreeMap::new(),
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What happened so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// One host.
    pub fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.0]
    }

    /// One host, to change how its line or disk behaves.
    pub fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0]
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// The generator of this world, for scenarios.
    pub fn rng(&mut self) -> &mut ChaCha12Rng {
        &mut self.rng
    }

    /// The address the next host will have: each in a network of its own.
    pub fn next_ip(&self) -> IpAddr {
        let n = u32::try_from(self.hosts.len()).expect("few hosts");
        IpAddr::V4(Ipv4Addr::from_bits(0x5000_0001 + (n << 9)))
    }

    /// Adds a host.
    pub fn add_host(&mut self, mut settings: HostSettings) -> HostId {
        let ip = self.next_ip();
        settings.engine.trace = self.keeps_log;
        let mut seeds = [[0; 32]; 2];
        seeds.iter_mut().for_each(|s| self.rng.fill_bytes(s));
        let id = HostId(self.hosts.len());
        self.hosts.push(Host::new(ip, settings, seeds, self.now));
        self.by_ip.insert(ip, id);
        self.hub(id, HubInput::Timeout);
        id
    }

    /// Makes a host spoil one block in so many that it sends; zero ends it.
    pub fn corrupt_one_in(&mut self, host: HostId, blocks: u32) {
        if blocks == 0 {
            self.corrupting.remove(&host);
        } else {
            self.corrupting.insert(host, blocks);
        }
    }

    /// Gives a command to a host's engine.
    pub fn command(&mut self, host: HostId, command: Command) {
        self.engine(host, Input::Command(command));
    }

    /// Tells a host's engine of a peer as its user would.
    pub fn add_peer(&mut self, host: HostId, torrent: TorrentId, addr: SocketAddr) {
        self.engine(host, Input::PeersFound { torrent, source: PeerSource::User, peers: &[addr] });
    }

    /// Keeps a torrent of a host in this storage.
    pub fn set_storage(&mut self, host: HostId, torrent: TorrentId, storage: MemoryStorage) {
        self.hosts[host.0].storages.insert(torrent, storage);
    }

    /// Switches a host off at once: its connections are reset, its memory is lost.
    pub fn kill(&mut self, host: HostId) {
        self.hosts[host.0].is_up = false;
        let ends: Vec<usize> = self.hosts[host.0].ends.values().copied().collect();
        ends.into_iter().for_each(|end| self.close_end(end));
    }

    /// Resets every connection of a host, as a line that flaps does.
    pub fn reset_connections(&mut self, host: HostId) {
        let ends: Vec<usize> = self.hosts[host.0].ends.values().copied().collect();
        for end in ends {
            self.close_end(end);
            self.gone(end);
        }
    }

    /// Plays until nothing is due before `until`.
    pub fn run_until(&mut self, until: Instant) {
        while self.due.peek().is_some_and(|d| d.0.0.0 <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// Plays until `done` says so, or `limit` has passed; whether it did.
    pub fn run_while(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.due.peek().is_none_or(|d| d.0.0.0 > end) {
                self.now = end;
                return done(self);
            }
            self.step();
        }
        true
    }

    /// Plays one event; `false` when there is none.
    pub fn step(&mut self) -> bool {
        let Some(Due(Reverse((at, _)), pending)) = self.due.pop() else { return false };
        self.now = self.now.max(at);
        self.play(pending);
        true
    }

    fn at(&mut self, at: Instant, pending: Pending) {
        self.seq += 1;
        self.due.push(Due(Reverse((at.max(self.now), self.seq)), pending));
    }

    fn play(&mut self, pending: Pending) {
        match pending {
            Pending::Wake(host, machine) => self.woken(host, machine),
            Pending::Dial(host, conn, addr) => self.dialled_by(host, conn, addr),
            Pending::Dialled(host, conn, end) => self.dial_answer(host, conn, end),
            Pending::DialTimeout(host, conn) => {
                if !self.hosts[host.0].ends.contains_key(&EndName::Conn(conn)) {
                    self.engine(host, Input::Closed { conn, reason: ClosedBy::DialFailed });
                }
            }
            Pending::Stream(end, bytes) => self.stream(end, bytes),
            Pending::PlanLeft(end, bytes) => self.plan_left(end, bytes),
            Pending::Gone(end) => self.gone(end),
            Pending::Datagram(from, to, bytes) => {
                if let Some(host) = self.by_ip.get(&to.ip()).copied() {
                    self.hub(host, HubInput::Datagram { from, bytes: &bytes });
                }
            }
            Pending::Verified(host, torrent, piece, outcome) => {
                self.engine(host, Input::Verified { torrent, piece, outcome });
            }
        }
    }

    fn woken(&mut self, host: HostId, machine: Machine) {
        let h = &mut self.hosts[host.0];
        let slot = &mut h.wake[machine as usize];
        if *slot == Some(self.now) {
            *slot = None;
        }
        let due = match machine {
            Machine::Hub => h.hub.next_timeout(),
            Machine::Engine => h.engine.next_timeout(),
        };
        if due.is_none_or(|at| at > self.now) {
            self.set_wake(host, machine);
            return;
        }
        match machine {
            Machine::Hub => self.hub(host, HubInput::Timeout),
            Machine::Engine => self.engine(host, Input::Timeout),
        }
    }

    fn set_wake(&mut self, host: HostId, machine: Machine) {
        let h = &mut self.hosts[host.0];
        let next = match machine {
            Machine::Hub => h.hub.next_timeout(),
            Machine::Engine => h.engine.next_timeout(),
        };
        let Some(at) = next.map(|at| at.max(self.now)) else { return };
        if h.wake[machine as usize].is_none_or(|set| at < set || set < self.now) {
            h.wake[machine as usize] = Some(at);
            self.at(at, Pending::Wake(host, machine));
        }
    }

    fn note(&mut self, host: HostId, what: What) {
        let entry = Entry { at: self.now, host, what };
        self.log.push(entry);
    }

    /// Gives an input to a host's hub and carries out what it wants.
    fn hub(&mut self, host: HostId, input: HubInput<'_>) {
        if !self.hosts[host.0].is_up {
            return;
        }
        let outputs: Vec<HubOutput> = self.hosts[host.0].hub.handle(input, self.now).collect();
        for output in outputs {
            self.hub_output(host, output);
        }
        self.set_wake(host, Machine::Hub);
    }

    fn hub_output(&mut self, host: HostId, output: HubOutput) {
        match output {
            HubOutput::Route { ticket, torrent, received, .. } => {
                if let Some(end) = self.hosts[host.0].ends.get(&EndName::Ticket(ticket)).copied() {
                    let remote = self.remote_of(end);
                    self.engine(host, Input::Accepted { ticket, torrent, remote, received: &received });
                }
            }
            HubOutput::Drop { ticket } => self.close_named(host, EndName::Ticket(ticket)),
            HubOutput::Datagram { to, bytes } => self.send_datagram(host, to, bytes),
            HubOutput::Resolve { request, .. } => {
                self.hub(host, HubInput::Resolved { request, addresses: &[] })
            }
            HubOutput::Peers { torrent, peers, .. } => {
                self.engine(host, Input::PeersFound { torrent, source: PeerSource::Dht, peers: &peers });
            }
            HubOutput::TrackerDatagram { from, bytes, .. } => {
                self.engine(host, Input::Datagram { from, bytes: &bytes });
            }
            HubOutput::Event(event) => self.note(host, What::Hub(event)),
        }
    }

    /// Gives an input to a host's engine and carries out what it wants.
    fn engine(&mut self, host: HostId, input: Input<'_>) {
        if !self.hosts[host.0].is_up {
            return;
        }
        let outputs: Vec<Output> = self.hosts[host.0].engine.handle(input, self.now).collect();
        for output in outputs {
            self.engine_output(host, output);
        }
        self.set_wake(host, Machine::Engine);
    }

    fn engine_output(&mut self, host: HostId, output: Output) {
        match output {
            Output::Adopt { ticket, conn } => {
                let h = &mut self.hosts[host.0];
                if let Some(end) = h.ends.remove(&EndName::Ticket(ticket)) {
                    h.ends.insert(EndName::Conn(conn), end);
                    self.ends[end].name = EndName::Conn(conn);
                }
            }
            Output::Refuse { ticket } => self.close_named(host, EndName::Ticket(ticket)),
            Output::Connect { conn, addr, timeout } => {
                let delay = self.hosts[host.0].link.delay(&mut self.rng);
                self.at(self.now + delay, Pending::Dial(host, conn, addr));
                self.at(self.now + timeout, Pending::DialTimeout(host, conn));
            }
            Output::WantSend { conn } => {
                if let Some(end) = self.hosts[host.0].ends.get(&EndName::Conn(conn)).copied() {
                    self.at(self.now, Pending::PlanLeft(end, 0));
                }
            }
            Output::Send { conn, plan } => self.send_plan(host, conn, plan),
            Output::Close { conn } => self.close_named(host, EndName::Conn(conn)),
            Output::Datagram { to, bytes } => self.send_datagram(host, to, bytes),
            Output::Http(request) => {
                let reply = Err("no route".to_owned());
                self.engine(host, Input::HttpDone { request: request.request, reply });
            }
            Output::Resolve { request, .. } => {
                self.engine(host, Input::Resolved { request, addresses: Err("no such name".to_owned()) });
            }
            Output::Verify(job) => {
                let h = &mut self.hosts[host.0];
                let done = h.disk.done(job.data.len(), self.now);
                let outcome = match h.storages.get(&job.torrent) {
                    Some(storage) => h.disk.verify(&job, storage, &mut self.rng),
                    None => VerifyOutcome::WriteFailed { error: "no storage".to_owned() },
                };
                self.at(done, Pending::Verified(host, job.torrent, job.piece, outcome));
            }
            Output::Hub(command) => self.hub(host, HubInput::Engine { shard: ShardId(0), command }),
            Output::Event(event) => self.note(host, What::Event(event)),
            Output::Trace(trace) => self.note(host, What::Peer(trace)),
        }
    }

    fn remote_of(&self, end: usize) -> SocketAddr {
        let peer = &self.ends[self.ends[end].peer];
        let ip = self.hosts[peer.host.0].ip;
        // the dialler's port is made of its place among all ends, the acceptor listens on the common one
        let is_dialler = self.ends[end].peer % 2 == 0;
        let port =
            if is_dialler { 20_000 + u16::try_from(self.ends[end].peer % 40_000).unwrap_or(0) } else { PORT };
        SocketAddr::new(ip, port)
    }

    fn dialled_by(&mut self, host: HostId, conn: ConnId, addr: SocketAddr) {
        let target = self.by_ip.get(&addr.ip()).copied().filter(|_| addr.port() == PORT);
        let Some(target) = target.filter(|t| self.hosts[t.0].is_up) else { return };
        let back =
            self.hosts[target.0].link.delay(&mut self.rng) + self.hosts[host.0].link.delay(&mut self.rng);
        let near = self.ends.len();
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let end = |host, name, peer| End { host, name, peer, is_open: true, last_arrival: Instant::ZERO };
        self.ends.push(end(host, EndName::Conn(conn), near + 1));
        self.ends.push(end(target, EndName::Ticket(ticket), near));
        self.hosts[target.0].ends.insert(EndName::Ticket(ticket), near + 1);
        self.at(self.now + back, Pending::Dialled(host, conn, Some(near)));
        let remote = self.remote_of(near + 1);
        self.hub(target, HubInput::Accepted { ticket, remote });
    }

    fn dial_answer(&mut self, host: HostId, conn: ConnId, end: Option<usize>) {
        let Some(end) = end.filter(|e| self.ends[*e].is_open) else {
            self.engine(host, Input::Closed { conn, reason: ClosedBy::DialFailed });
            return;
        };
        self.hosts[host.0].ends.insert(EndName::Conn(conn), end);
        self.engine(host, Input::Connected { conn });
    }

    fn send_plan(&mut self, host: HostId, conn: ConnId, plan: SendPlan) {
        let Some(end) = self.hosts[host.0].ends.get(&EndName::Conn(conn)).copied() else { return };
        let mut bytes = Vec::new();
        for part in plan.parts {
            match part {
                SendPart::Bytes(b) => bytes.extend_from_slice(&b),
                SendPart::Block(block) => {
                    let from = bytes.len();
                    bytes.resize(from + block.len as usize, 0);
                    let storage = self.hosts[host.0].storages.get(&plan.torrent);
                    let read = storage.map(|s| s.read(block, &mut bytes[from..]));
                    if let Some(Err(error)) = read {
                        let error = error.to_string();
                        self.engine(host, Input::ReadFailed { torrent: plan.torrent, block, error });
                        return;
                    }
                    if self.corrupting.get(&host).is_some_and(|n| self.rng.next_u32() % n == 0) {
                        bytes[from] ^= 0x55;
                    }
                }
            }
        }
        self.send_stream(end, bytes);
    }

    fn send_stream(&mut self, end: usize, bytes: Vec<u8>) {
        let (from, to) = (self.ends[end].host, self.ends[self.ends[end].peer].host);
        let len = bytes.len();
        let left = self.hosts[from.0].link.send(len, self.now);
        let fates = [self.hosts[from.0].link.fate(&mut self.rng), self.hosts[to.0].link.fate(&mut self.rng)];
        let mut arrival =
            left + self.hosts[from.0].link.delay(&mut self.rng) + self.hosts[to.0].link.delay(&mut self.rng);
        for fate in fates {
            match fate {
                Fate::After(delay) => arrival = arrival + delay,
                Fate::Reset => {
                    self.close_end(end);
                    self.gone(end);
                    return;
                }
            }
        }
        arrival = self.hosts[to.0].link.receive(len, arrival.max(self.ends[end].last_arrival));
        self.ends[end].last_arrival = arrival;
        self.at(arrival, Pending::Stream(self.ends[end].peer, bytes));
        self.at(left, Pending::PlanLeft(end, len as u64));
    }

    fn stream(&mut self, end: usize, mut bytes: Vec<u8>) {
        if !self.ends[end].is_open {
            return;
        }
        let (host, name) = (self.ends[end].host, self.ends[end].name);
        match name {
            EndName::Ticket(ticket) => self.hub(host, HubInput::AcceptedBytes { ticket, bytes: &bytes }),
            EndName::Conn(conn) => self.engine(host, Input::Received { conn, bytes: &mut bytes }),
        }
    }

    fn plan_left(&mut self, end: usize, bytes: u64) {
        let (host, EndName::Conn(conn)) = (self.ends[end].host, self.ends[end].name) else { return };
        if self.ends[end].is_open && self.hosts[host.0].ends.contains_key(&EndName::Conn(conn)) {
            if bytes > 0 {
                self.engine(host, Input::Sent { conn, bytes });
            }
            self.engine(host, Input::SendReady { conn });
        }
    }

    /// The host of this end hears that the connection is gone.
    fn gone(&mut self, end: usize) {
        let (host, name) = (self.ends[end].host, self.ends[end].name);
        self.ends[end].is_open = false;
        self.hosts[host.0].ends.remove(&name);
        match name {
            EndName::Ticket(ticket) => self.hub(host, HubInput::AcceptedClosed { ticket }),
            EndName::Conn(conn) => self.engine(host, Input::Closed { conn, reason: ClosedBy::Remote }),
        }
    }

    fn close_named(&mut self, host: HostId, name: EndName) {
        if let Some(end) = self.hosts[host.0].ends.remove(&name) {
            self.close_end(end);
        }
    }

    /// Closes one end; the other hears of it once what was sent before has arrived.
    fn close_end(&mut self, end: usize) {
        if core::mem::replace(&mut self.ends[end].is_open, false) {
            let peer = self.ends[end].peer;
            let (host, name) = (self.ends[end].host, self.ends[end].name);
            self.hosts[host.0].ends.remove(&name);
            if self.ends[peer].is_open {
                let far = self.hosts[self.ends[peer].host.0].link.delay(&mut self.rng);
                let delay = self.hosts[host.0].link.delay(&mut self.rng) + far;
                let at = (self.now + delay).max(self.ends[end].last_arrival);
                self.at(at, Pending::Gone(peer));
            }
        }
    }

    fn send_datagram(&mut self, host: HostId, to: SocketAddr, bytes: Vec<u8>) {
        if self.keeps_log {
            self.note(host, What::DatagramSent { to, bytes: bytes.clone() });
        }
        let h = &mut self.hosts[host.0];
        let from = h.addr();
        let left = h.link.send(bytes.len() + 28, self.now) + h.link.delay(&mut self.rng);
        let Some(target) = self.by_ip.get(&to.ip()).copied() else { return };
        let is_lost =
            self.hosts[host.0].link.loses(&mut self.rng) || self.hosts[target.0].link.loses(&mut self.rng);
        if to.port() == PORT && !is_lost {
            let arrival = left + self.hosts[target.0].link.delay(&mut self.rng);
            self.at(arrival, Pending::Datagram(from, to, bytes));
        }
    }
}
