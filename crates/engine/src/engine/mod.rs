//! One shard's torrents and their peers.
//!
//! The engine wires its parts together: it takes an input, lets the torrent or connection concerned work it out, and
//! turns what follows into outputs. What takes longer than one input is kept in `touched`, worked off at the end of
//! every [`Engine::handle`].

mod blocks;
mod check;
mod commands;
mod connections;
mod doubt;
mod duplicates;
mod exchange;
mod extended;
mod memory;
mod messages;
mod metadata;
mod pex;
mod send;
mod sleep;
mod stats;
mod super_seed;
mod tick;
mod torrents;
mod trackers;

pub use memory::MemoryPart;
pub use stats::{PeerInfo, TorrentState, TorrentStats};

use crate::choker::Choker;
use crate::event::{CloseReason, Event};
use crate::id::{ConnId, RequestId, ShardId, TorrentId};
use crate::input::Input;
use crate::output::{Output, Trace, TraceMessage};
use crate::own_address::OwnAddress;
use crate::peer::PeerConn;
use crate::rate_limit::RateLimit;
use crate::settings::Settings;
use crate::torrent::buffer_pool::BufferPool;
use crate::tracker::{Announcer, Connections};
use connections::Arrival;
use core::ops::Bound;
use exchange::FIND_WAIT;
use metadata::MetadataRoom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use sleep::Waking;
use slotmap::SlotMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use torrents::Torrents;
use unchoke_wire::WireHash;
use unchoke_wire::time::{Duration, Instant};

/// How often connections are looked over: rates, timeouts, keep-alives.
const TICK: Duration = Duration::from_secs(1);

/// One shard's torrents and their peers.
#[derive(Debug)]
pub struct Engine {
    shard: ShardId,
    settings: Settings,
    torrents: Torrents,
    by_hash: BTreeMap<WireHash, TorrentId>,
    /// Torrents that are waking up.
    waking: BTreeMap<TorrentId, Waking>,
    conns: SlotMap<ConnId, PeerConn>,
    choker: Choker,
    download_limit: RateLimit,
    upload_limit: RateLimit,
    /// Bytes of open pieces over all torrents.
    open_bytes: u64,
    /// Bytes of the blocks in plans that the shell is writing.
    planned_bytes: u64,
    /// Metadata that has come or was asked for, counted anew once a second and only up between.
    metadata: MetadataRoom,
    /// Memory of pieces that were written, for those to come.
    pool: BufferPool,
    dials: usize,
    /// Torrents that have somebody to dial and no room to, and the one that was let in last.
    waiting_to_dial: BTreeSet<TorrentId>,
    dialled_last: TorrentId,
    http: BTreeMap<RequestId, (TorrentId, u32)>,
    /// Torrents that are asking trackers.
    announcing: usize,
    /// Connections with UDP trackers, which all torrents share.
    connections: Connections,
    /// Whose the latest transactions with UDP trackers are, and in which order they came.
    udp: BTreeMap<[u8; 4], TorrentId>,
    udp_order: VecDeque<[u8; 4]>,
    next_request: u64,
    own_address: OwnAddress,
    out: VecDeque<Output>,
    rng: ChaCha12Rng,
    now: Instant,
    next_tick: Option<Instant>,
    next_rechoke: Instant,
    limit_wake: Option<Instant>,
    /// Rounds of those whom a limit held up; who goes first changes with each.
    limit_rounds: usize,
    due: BTreeSet<(Instant, TorrentId)>,
    touched: Touched,
    is_stopping: bool,
}

/// What the end of a turn looks after.
#[derive(Debug, Default)]
struct Touched {
    /// Torrents whose peers may have become idle, or whose free blocks grew.
    requests: BTreeSet<TorrentId>,
    /// Torrents that are super-seeded and may have a piece to show.
    offers: BTreeSet<TorrentId>,
    /// Torrents whose trackers, dials or deadlines may have moved.
    torrents: BTreeSet<TorrentId>,
    /// Whether upload slots may have come free.
    slots: bool,
    /// Whether there may be room for another connection or dial.
    room: bool,
    /// Connections that waited for another one of their peer id, which is gone.
    rivals: BTreeSet<ConnId>,
}

/// What to do, in order. Dropping it keeps what was not taken for the next turn.
#[derive(Debug)]
pub struct Outputs<'e>(&'e mut VecDeque<Output>);

impl Iterator for Outputs<'_> {
    type Item = Output;

    fn next(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}

impl Engine {
    /// An engine without torrents. `seed` fixes every random choice it will make.
    pub fn new(shard: ShardId, settings: Settings, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let choker = Choker::new(settings.upload_slots, rng.next_u64());
        Engine {
            shard,
            torrents: Torrents::new(),
            by_hash: BTreeMap::new(),
            waking: BTreeMap::new(),
            conns: SlotMap::with_key(),
            choker,
            download_limit: RateLimit::new(settings.download_limit, now),
            upload_limit: RateLimit::new(settings.upload_limit, now),
            open_bytes: 0,
            planned_bytes: 0,
            metadata: MetadataRoom::default(),
            pool: BufferPool::default(),
            dials: 0,
            waiting_to_dial: BTreeSet::new(),
            dialled_last: TorrentId::default(),
            http: BTreeMap::new(),
            announcing: 0,
            connections: Connections::default(),
            udp: BTreeMap::new(),
            udp_order: VecDeque::new(),
            next_request: 0,
            own_address: OwnAddress::default(),
            out: VecDeque::new(),
            rng,
            now,
            next_tick: None,
            next_rechoke: now,
            limit_wake: None,
            limit_rounds: 0,
            due: BTreeSet::new(),
            touched: Touched::default(),
            is_stopping: false,
            settings,
        }
    }

    /// Takes one input at `now`, which never goes back, and says what to do.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> Outputs<'_> {
        self.now = self.now.max(now);
        match input {
            Input::Timeout => self.timeout(),
            Input::Accepted { ticket, torrent, remote, received, since } => {
                self.accepted(Arrival { ticket, torrent, remote, since }, received);
            }
            Input::Connected { conn } => self.connected(conn),
            Input::Received { conn, bytes } => self.received(conn, bytes),
            Input::SendReady { conn } => self.send_ready(conn),
            Input::Sent { conn, bytes } => self.sent(conn, bytes),
            Input::ReadFailed { torrent, block, error } => self.read_failed(torrent, block, error),
            Input::Closed { conn, reason } => self.closed(conn, reason),
            Input::Verified { done } => done.into_iter().for_each(|done| self.verified(done)),
            Input::HttpDone { request, reply } => self.http_done(request, reply),
            Input::Resolved { request, addresses } => self.resolved(request, addresses),
            Input::Datagram { from, bytes } => self.tracker_datagram(from, bytes),
            Input::PeersFound { torrent, source, peers } => self.peers_found(torrent, source, peers, None),
            Input::OwnAddress { ip } => self.reached_at(ip),
            Input::Command(command) => self.command(command),
        }
        self.end_turn();
        Outputs(&mut self.out)
    }

    /// When to call [`handle`](Self::handle) with [`Input::Timeout`], if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let first_due = self.due.first().map(|(at, _)| *at);
        [self.next_tick, self.limit_wake, first_due].into_iter().flatten().min()
    }

    /// Whether all is told to trackers and closed after [`crate::Command::Stop`].
    pub fn is_stopped(&self) -> bool {
        self.is_stopping && self.torrents.is_empty()
    }

    fn timeout(&mut self) {
        if self.next_tick.is_some_and(|at| at <= self.now) {
            self.tick();
        }
        if self.limit_wake.is_some_and(|at| at <= self.now) {
            self.limit_wake = None;
            self.wake_limited();
        }
        while let Some((at, torrent)) = self.due.first().copied().filter(|(at, _)| *at <= self.now) {
            self.due.remove(&(at, torrent));
            if let Some(due) = self.torrents.due_mut(torrent) {
                *due = None;
                self.keep_order(torrent);
                self.announcer_timeout(torrent);
                self.expire_waiting(torrent);
                self.fall_asleep(torrent);
                self.touched.requests.insert(torrent);
                self.touched.torrents.insert(torrent);
            }
        }
    }

    /// Works off what the turn touched.
    fn end_turn(&mut self) {
        while let Some(rival) = self.touched.rivals.pop_first() {
            self.succeed(rival);
        }
        while let Some(torrent) = self.touched.offers.pop_first() {
            self.offer_pieces(torrent);
        }
        while let Some(torrent) = self.touched.requests.pop_first() {
            self.top_up_all(torrent);
        }
        loop {
            if core::mem::take(&mut self.touched.room) {
                self.let_dial();
            }
            let Some(torrent) = self.touched.torrents.pop_first() else { break };
            self.dial(torrent);
            self.ask_metadata(torrent);
            self.look_for_peers(torrent);
            self.finish_removal(torrent);
            self.torrents.turn_clocks(torrent, self.now);
            self.reschedule(torrent);
        }
        if core::mem::take(&mut self.touched.slots) {
            self.fill_slots();
        }
        self.next_tick = match (self.conns.is_empty(), self.next_tick) {
            (true, _) => {
                // there is no tick that would
                self.pool.clear();
                None
            }
            (false, Some(at)) => Some(at),
            (false, None) => Some(self.now + TICK),
        };
    }

    /// Puts a torrent where its next deadline is.
    fn reschedule(&mut self, torrent: TorrentId) {
        let waiting = self.waiting_until(torrent);
        let announce = self.torrents.announcer(torrent).and_then(Announcer::next_timeout);
        let sleep_at = self.note_idle(torrent);
        let (own, is_waiting) = self.own_deadline(torrent);
        let next = [waiting, announce, sleep_at, own].into_iter().flatten().min();
        // a deadline that has just been served must not spin
        let next = next.map(|at| at.max(self.now + Duration::from_millis(1)));
        let Some(due) = self.torrents.due_mut(torrent) else { return };
        let before = core::mem::replace(due, next);
        if next != before {
            if let Some(at) = before {
                self.due.remove(&(at, torrent));
            }
            if let Some(at) = next {
                self.due.insert((at, torrent));
            }
        }
        if is_waiting {
            self.waiting_to_dial.insert(torrent);
        } else {
            self.waiting_to_dial.remove(&torrent);
        }
    }

    /// The next deadline of a torrent that is awake, its trackers' apart, and whether it waits for room to dial.
    fn own_deadline(&self, torrent: TorrentId) -> (Option<Instant>, bool) {
        let (dial_room, look_at) = (self.dial_room(), self.look_for_peers_at(torrent));
        let Some(t) = self.torrents.get(torrent) else { return (None, false) };
        let may_dial = t.is_running() && t.conns.len() < self.settings.torrent_connections_max;
        let dial = if may_dial { t.peers.next_dial_time(self.now) } else { None };
        // who cannot dial for want of room is called when there is some, not by the clock
        let is_waiting = dial.is_some_and(|at| at <= self.now) && dial_room == 0;
        let dial = dial.filter(|_| !is_waiting);
        let metadata = t.metadata.as_ref().and_then(|m| m.next_timeout(self.now));
        // a wait that is over and changed nothing needs somebody to ask, not the clock
        let first_pick = t.first_pick_at.filter(|_| !t.has_picked).and_then(|until| {
            [until, t.last_found + FIND_WAIT].into_iter().filter(|at| *at > self.now).min()
        });
        let next = [dial, look_at, metadata, first_pick].into_iter().flatten().min();
        (next, is_waiting)
    }

    /// How many more dials may be under way, over all torrents.
    fn dial_room(&self) -> usize {
        let connections = self.settings.connections_max.saturating_sub(self.conns.len());
        connections.min(self.settings.dials_max.saturating_sub(self.dials))
    }

    /// Lets torrents dial that wait for room, each in turn.
    fn let_dial(&mut self) {
        if self.waiting_to_dial.is_empty() || self.dial_room() == 0 {
            return;
        }
        let after = (Bound::Excluded(self.dialled_last), Bound::Unbounded);
        let next = self.waiting_to_dial.range(after).next().or(self.waiting_to_dial.first()).copied();
        if let Some(torrent) = next {
            self.waiting_to_dial.remove(&torrent);
            self.dialled_last = torrent;
            self.touched.torrents.insert(torrent);
            self.touched.room = true;
        }
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn next_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    fn trace(&mut self, conn: ConnId, is_sent: bool, message: TraceMessage) {
        if let (true, Some(c)) = (self.settings.trace, self.conns.get(conn)) {
            let trace = Trace { torrent: c.torrent, conn, remote: c.remote, is_sent, message };
            self.out.push_back(Output::Trace(trace));
        }
    }

    /// Counts the bytes of open pieces anew after a torrent's changed.
    fn count_open_bytes(&mut self, torrent: TorrentId) {
        if let Some(t) = self.torrents.get_mut(torrent) {
            let bytes = t.picker.as_ref().map_or(0, |p| p.open_bytes());
            self.open_bytes = self.open_bytes - t.open_bytes + bytes;
            t.open_bytes = bytes;
        }
    }
}

/// What a peer did wrong, in words.
fn protocol(what: &str) -> CloseReason {
    CloseReason::Protocol(what.to_owned())
}
