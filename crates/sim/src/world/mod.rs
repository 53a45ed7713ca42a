//! The world: hosts, what is under way between them, and the order of events.

mod faults;
mod machines;
mod pipes;

use crate::bad_peer::{BadPeer, Manner};
use crate::checkers::{Checkers, Sight};
use crate::fault::FaultPlan;
use crate::host::{Host, HostId, HostSettings, Machine, Stored};
use crate::link::LinkSettings;
use crate::log::{Entry, Log, What};
use crate::marks::{Mark, Marks};
use crate::swarm::Content;
use crate::tracker::{HttpAnswer, Tracker};
use crate::watch;
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use pipes::End;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use unchoke_engine::hub::HubInput;
use unchoke_engine::input::{ClosedBy, HttpReply, PartialPiece, PeerSource};
use unchoke_engine::output::VerifyJob;
use unchoke_engine::{Command, ConnId, Input, RequestId, TorrentId};
use unchoke_wire::Bitfield;
use unchoke_wire::time::{Duration, Instant};

/// Something that will happen.
#[derive(Debug)]
enum Pending {
    /// A machine's timer.
    Wake(HostId, Machine),
    /// A bad peer's timer.
    ScriptWake(HostId),
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
    /// The other side has answered the end of this end's stream with its own.
    Finished(usize),
    /// A datagram arrives.
    Datagram(SocketAddr, SocketAddr, Vec<u8>),
    LanDatagram(HostId, SocketAddr, Vec<u8>),
    /// A disk is done with a verify job.
    Verified(HostId, VerifyJob),
    /// A tracker's HTTP answer arrives.
    Http(HostId, RequestId, HttpAnswer),
    /// The storage of a torrent from a magnet is opened.
    Open(HostId, TorrentId),
    /// A fault of the plan begins.
    FaultBegins(usize),
    /// A fault of the plan is over.
    FaultEnds(usize),
    /// A host's connections are reset again, as long as its fault lasts.
    ResetAgain(HostId),
}

/// What is due when, and for which life of a host if only for that one.
#[derive(Debug)]
struct Due(Reverse<(Instant, u64)>, Option<(HostId, u32)>, Pending);

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

/// Hosts and what passes between them.
#[derive(Debug)]
pub struct World {
    seed: u64,
    now: Instant,
    seq: u64,
    rng: ChaCha12Rng,
    hosts: Vec<Host>,
    trackers: Vec<Tracker>,
    by_ip: BTreeMap<IpAddr, HostId>,
    /// Names that resolve.
    names: BTreeMap<String, Vec<IpAddr>>,
    /// What torrents from magnets will turn out to be.
    awaited: BTreeMap<(HostId, TorrentId), (Rc<Content>, Bitfield)>,
    ends: Vec<End>,
    due: BinaryHeap<Due>,
    next_ticket: u64,
    log: Log,
    checkers: Checkers,
    marks: Marks,
    plan: FaultPlan,
    planned_at: Instant,
    /// Hosts up to this one are cut off from those after it, until then.
    partition: Option<(usize, Instant)>,
}

impl Drop for World {
    /// Leaves its log to who watches.
    fn drop(&mut self) {
        watch::leave(|| watch::Recording {
            log: core::mem::take(&mut self.log),
            hosts: self.hosts.iter().map(|h| h.all_ips.clone()).collect(),
            plan: self.plan.clone(),
            planned_at: self.planned_at,
            end: self.now,
        });
    }
}

impl World {
    /// An empty world. With `keeps_log` every message and event is kept in the log, not only its digest.
    pub fn new(seed: u64, keeps_log: bool) -> Self {
        World {
            seed,
            now: Instant::from_micros(1_000_000),
            seq: 0,
            rng: ChaCha12Rng::seed_from_u64(seed),
            hosts: Vec::new(),
            trackers: Vec::new(),
            by_ip: BTreeMap::new(),
            names: BTreeMap::new(),
            awaited: BTreeMap::new(),
            ends: Vec::new(),
            due: BinaryHeap::new(),
            next_ticket: 0,
            log: Log::new(keeps_log || watch::keeps_logs()),
            checkers: Checkers::default(),
            marks: Marks::default(),
            plan: FaultPlan::default(),
            planned_at: Instant::ZERO,
            partition: None,
        }
    }

    /// The seed it was made of.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What happened so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Rare paths that ran so far.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Notes a path that only the scenario can see.
    pub fn mark(&mut self, mark: Mark) {
        self.marks.add(mark);
    }

    /// What watches the run.
    pub fn checkers(&self) -> &Checkers {
        &self.checkers
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

    /// The address the next host or tracker will have: each in a network of its own.
    pub fn next_ip(&self) -> IpAddr {
        let n = u32::try_from(self.hosts.len() + self.trackers.len()).expect("few hosts");
        IpAddr::V4(Ipv4Addr::from_bits(0x5000_0001 + (n << 9)))
    }

    /// The same in IPv6.
    pub fn next_ip6(&self) -> IpAddr {
        let n = u128::try_from(self.hosts.len() + self.trackers.len()).expect("few hosts");
        IpAddr::V6(Ipv6Addr::from_bits((0x2a01_0000 << 96) + (n << 72) + 1))
    }

    /// Adds a host.
    pub fn add_host(&mut self, settings: HostSettings) -> HostId {
        let ip = self.next_ip();
        self.add_host_at(ip, settings)
    }

    /// Adds a host at an address, which the host that had it before loses: it came back.
    pub fn add_host_at(&mut self, ip: IpAddr, settings: HostSettings) -> HostId {
        let mut seeds = [[0; 32]; 2];
        seeds.iter_mut().for_each(|s| self.rng.fill_bytes(s));
        let id = HostId(self.hosts.len());
        self.checkers.add_host(&settings.engine);
        core::iter::once(ip).chain(settings.other_ip).for_each(|ip| _ = self.by_ip.insert(ip, id));
        self.hosts.push(Host::new(ip, settings, seeds, self.now));
        self.hub(id, HubInput::Timeout);
        id
    }

    /// Adds a peer that speaks raw bytes. It is no honest one: it may be banned.
    pub fn add_bad_peer(&mut self, content: &Rc<Content>, manner: Manner) -> HostId {
        let mut settings = HostSettings { link: LinkSettings::default(), ..HostSettings::default() };
        settings.engine.dht = false;
        let id = self.add_host(settings);
        let mut tail = [0; 12];
        self.rng.fill_bytes(&mut tail);
        let lot = self.rng.next_u64();
        self.checkers.set_dishonest(self.hosts[id.0].ip);
        self.hosts[id.0].script = Some(BadPeer::new(content, manner, tail, lot));
        id
    }

    /// What a bad peer saw.
    ///
    /// # Panics
    /// When the host is none.
    pub fn bad_peer(&self, host: HostId) -> &BadPeer {
        self.hosts[host.0].script.as_ref().expect("a bad peer has a script")
    }

    /// Adds a tracker; its number.
    pub fn add_tracker(&mut self, make: impl FnOnce(IpAddr) -> Tracker) -> usize {
        let ip = self.next_ip();
        self.trackers.push(make(ip));
        self.trackers.len() - 1
    }

    /// One tracker.
    pub fn tracker(&self, tracker: usize) -> &Tracker {
        &self.trackers[tracker]
    }

    /// One tracker, to change how it behaves.
    pub fn tracker_mut(&mut self, tracker: usize) -> &mut Tracker {
        &mut self.trackers[tracker]
    }

    /// Makes a name resolve to this address, beside those it has.
    pub fn add_name(&mut self, name: &str, ip: IpAddr) {
        self.names.entry(name.to_owned()).or_default().push(ip);
    }

    /// Makes a host spoil one block in so many that it sends; zero ends it.
    pub fn corrupt_one_in(&mut self, host: HostId, blocks: u32) {
        self.hosts[host.0].corrupts_one_in = blocks;
        self.checkers.set_dishonest(self.hosts[host.0].ip);
    }

    /// Gives a command to a host's engine.
    pub fn command(&mut self, host: HostId, command: Command) {
        match &command {
            Command::SetWanted { torrent, wanted } => {
                self.see(host, &Sight::Wanted { torrent: *torrent, wanted });
            }
            Command::SetLimits { upload, .. } => self.checkers.set_upload_limit(host, *upload, self.now),
            Command::Add(add) => self.hosts[host.0].added.push((**add).clone()),
            _ => {}
        }
        self.engine(host, Input::Command(command));
    }

    /// Tells a host's engine of a peer as its user would.
    pub fn add_peer(&mut self, host: HostId, torrent: TorrentId, addr: SocketAddr) {
        self.hosts[host.0].named.push((torrent, addr));
        self.engine(host, Input::PeersFound { torrent, source: PeerSource::User, peers: &[addr] });
    }

    /// Opens the storage of a host's torrent with these pieces in it.
    pub fn open_storage(
        &mut self,
        host: HostId,
        torrent: TorrentId,
        content: &Rc<Content>,
        have: Bitfield,
        wanted: Option<Bitfield>,
    ) {
        self.open(host, torrent, content, (have, wanted), Vec::new());
    }

    /// The same with partly received pieces of an earlier run.
    pub fn open_storage_with(
        &mut self,
        host: HostId,
        torrent: TorrentId,
        content: &Rc<Content>,
        have: Bitfield,
        partials: Vec<PartialPiece>,
    ) {
        self.open(host, torrent, content, (have, None), partials);
    }

    fn open(
        &mut self,
        host: HostId,
        torrent: TorrentId,
        content: &Rc<Content>,
        (have, wanted): (Bitfield, Option<Bitfield>),
        partials: Vec<PartialPiece>,
    ) {
        let storage = content.storage(&have);
        let written = Vec::new();
        let stored = Stored { content: content.clone(), storage, wanted: wanted.clone(), written };
        self.hosts[host.0].stored.insert(torrent, stored);
        self.see(host, &Sight::Loaded { torrent, content, have: &have, wanted: wanted.as_ref() });
        self.command(host, Command::StorageReady { torrent, have, wanted, partials });
    }

    /// Opens an empty storage once the metadata of a torrent has come.
    pub fn await_metadata(&mut self, host: HostId, torrent: TorrentId, content: &Rc<Content>) {
        self.await_metadata_with(host, torrent, content, Bitfield::none(content.pieces()));
    }

    /// Opens a storage that holds these pieces once the metadata of a torrent has come.
    pub fn await_metadata_with(
        &mut self,
        host: HostId,
        torrent: TorrentId,
        content: &Rc<Content>,
        have: Bitfield,
    ) {
        self.awaited.insert((host, torrent), (content.clone(), have));
    }

    /// Switches a host off at once: its connections are reset, its memory is lost.
    pub fn kill(&mut self, host: HostId) {
        let ends: Vec<usize> = self.hosts[host.0].ends.values().copied().collect();
        ends.into_iter().for_each(|end| self.close_end(end));
        self.hosts[host.0].is_up = false;
    }

    /// Resets every connection of a host, as a line that flaps does.
    pub fn reset_connections(&mut self, host: HostId) {
        let ends: Vec<usize> = self.hosts[host.0].ends.values().copied().collect();
        ends.into_iter().for_each(|end| self.reset(end));
    }

    /// Plays until nothing is due before `until`.
    pub fn run_until(&mut self, until: Instant) {
        while self.due.peek().is_some_and(|d| d.0.0.0 <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// Plays for so long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Plays until `done` says so, which is asked every tenth of a second, or `limit` has passed; whether it did.
    pub fn run_while(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.now >= end {
                return false;
            }
            self.run_until((self.now + Duration::from_millis(100)).min(end));
        }
        true
    }

    /// Plays one event; `false` when there is none. What is due at a host that is suspended waits for it.
    pub fn step(&mut self) -> bool {
        let Some(Due(Reverse((at, seq)), life, pending)) = self.due.pop() else { return false };
        self.now = self.now.max(at);
        if life.is_some_and(|(host, life)| self.hosts[host.0].life != life) {
            if let Pending::Dialled(_, _, Some(end)) = pending {
                self.close_end(end);
            }
            return true;
        }
        match self.frozen_until(&pending) {
            // what waits keeps its place before what came later
            Some(until) => self.due.push(Due(Reverse((until, seq)), life, pending)),
            None => self.play(pending),
        }
        true
    }

    /// What was wrong so far, as one text.
    ///
    /// # Errors
    /// The first violations of each checker.
    pub fn verdict(&self) -> Result<(), String> {
        self.checkers.verdict()
    }

    fn at(&mut self, at: Instant, pending: Pending) {
        self.push(at, None, pending);
    }

    /// The same, void once the host begins anew.
    fn at_host(&mut self, host: HostId, at: Instant, pending: Pending) {
        let life = self.hosts[host.0].life;
        self.push(at, Some((host, life)), pending);
    }

    fn push(&mut self, at: Instant, life: Option<(HostId, u32)>, pending: Pending) {
        self.seq += 1;
        self.due.push(Due(Reverse((at.max(self.now), self.seq)), life, pending));
    }

    fn play(&mut self, pending: Pending) {
        match pending {
            Pending::Wake(host, machine) => self.woken(host, machine),
            Pending::ScriptWake(host) => self.script(host, |script, now| script.timer(now)),
            Pending::Dial(host, conn, addr) => self.dialled_by(host, conn, addr),
            Pending::Dialled(host, conn, end) => self.dial_answer(host, conn, end),
            Pending::DialTimeout(host, conn) => {
                if self.hosts[host.0].dialling.remove(&conn) {
                    self.marks.add(Mark::DialTimeout);
                    self.engine(host, Input::Closed { conn, reason: ClosedBy::DialFailed });
                }
            }
            Pending::Stream(end, bytes) => self.stream(end, bytes),
            Pending::PlanLeft(end, bytes) => self.plan_left(end, bytes),
            Pending::Gone(end) => self.gone(end),
            Pending::Finished(end) => self.finished(end),
            Pending::Datagram(from, to, bytes) => self.datagram(from, to, &bytes),
            Pending::LanDatagram(host, from, bytes) => {
                self.hub(host, HubInput::LsdDatagram { from, is_on_link: true, bytes: &bytes });
            }
            Pending::FaultBegins(number) => self.fault_begins(number),
            Pending::FaultEnds(number) => self.fault_ends(number),
            Pending::ResetAgain(host) => self.reset_again(host),
            Pending::Verified(host, job) => self.verified(host, job),
            Pending::Http(host, request, answer) => {
                let reply = answer.reply.as_ref().map_err(Clone::clone).map(|(status, body)| HttpReply {
                    status: *status,
                    body,
                    remote: Some(answer.remote),
                });
                self.engine(host, Input::HttpDone { request, reply });
            }
            Pending::Open(host, torrent) => {
                if let Some((content, have)) = self.awaited.remove(&(host, torrent)) {
                    self.open_storage(host, torrent, &content, have, None);
                }
            }
        }
    }

    fn note(&mut self, host: HostId, what: What) {
        self.log.push(Entry { at: self.now, host, what });
    }

    fn see(&mut self, host: HostId, sight: &Sight<'_>) {
        self.checkers.see(host, sight, self.now);
        self.marks.see(host, sight);
    }
}
