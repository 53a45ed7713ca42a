//! What `get` and `seed` do while a session runs: they follow its events, tell the user, and know when it is over.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use unchoke_engine::Event;
use unchoke_engine::input::TorrentSource;
use unchoke_runtime::{
    AddTorrent, HubEvent, Session, SessionError, SessionEvent, State, Stats, TorrentHandle, dht,
};
use unchoke_wire::WireHash;
use unchoke_wire::metainfo::Info;

use super::follow::{Follow, Version};
use super::signals;
use crate::args::NetArgs;
use crate::errors::{interrupted, warn, without_number};
use crate::output::{self, Report, trace::Tracer};
use crate::selection::{self, Pick};
use crate::{random, units};

/// What is to be reached.
#[derive(Debug)]
pub(super) enum Goal {
    /// All wanted files.
    Get {
        /// Whether, and how long, to seed afterwards.
        seed: Option<SeedUntil>,
        /// The files wanted.
        picks: Vec<Pick>,
    },
    /// To serve what is there.
    Seed(SeedUntil),
}

/// When seeding ends; without any of both: never by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeedUntil {
    /// So many times the size was uploaded.
    pub(super) ratio: Option<f64>,
    /// It went on for so long.
    pub(super) time: Option<Duration>,
}

/// A torrent of the run and what is known of it.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) handle: TorrentHandle,
    /// Its name, or its hash while it has none.
    pub(crate) name: String,
    pub(crate) stats: Stats,
    pub(crate) phase: Phase,
    /// Whether there is anybody to ask for peers.
    can_ask: bool,
}

/// How far a torrent has come in this run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// On its way.
    Running,
    /// Everything wanted is there, since then.
    Complete(Instant),
    /// It was seeded as long as asked.
    Seeded,
    /// A newer version takes its place.
    Replaced,
    /// It cannot go on, for this reason.
    Failed(String),
}

/// A session, its torrents, and who is told about them.
pub(super) struct Transfer {
    session: Session,
    goal: Goal,
    torrents: Vec<Tracked>,
    follows: Vec<Follow>,
    /// Versions to be added once the one before is out of the session.
    replacing: Vec<(TorrentHandle, AddTorrent)>,
    /// Whether a DHT node of ours knows others.
    is_dht_ready: bool,
    report: Box<dyn Report>,
    tracer: Option<Tracer>,
    started: Instant,
    /// Peers that the user named.
    peers: Vec<SocketAddr>,
    /// Troubles that were told, each once.
    troubles: BTreeSet<String>,
    /// Set by the first Ctrl-C; the second one ends the process.
    stop: Arc<AtomicBool>,
}

impl Transfer {
    /// A run without torrents. From here on Ctrl-C ends it in order.
    ///
    /// # Errors
    /// When the trace cannot be written or signals cannot be caught.
    pub(super) fn new(session: Session, goal: Goal, args: &NetArgs) -> Result<Self> {
        let tracer = args.trace.as_ref().map(|to| Tracer::open(to.as_deref(), args.json)).transpose()?;
        let stop = signals::catch()?;
        let is_traced_here = tracer.as_ref().is_some_and(Tracer::is_on_stdout);
        let report = output::report(args.json, args.quiet, is_traced_here);
        let (peers, troubles) = (args.peers.clone(), BTreeSet::new());
        Ok(Transfer {
            session,
            goal,
            torrents: Vec::new(),
            follows: Vec::new(),
            replacing: Vec::new(),
            is_dht_ready: false,
            report,
            tracer,
            started: Instant::now(),
            peers,
            troubles,
            stop,
        })
    }

    /// Adds a torrent.
    ///
    /// # Errors
    /// What the session says against it.
    pub(super) fn add(&mut self, add: AddTorrent) -> Result<()> {
        let name = match &add.source {
            TorrentSource::Metainfo(m) => Some(m.info.name.clone()),
            TorrentSource::Magnet(m) => m.display_name.clone(),
        };
        let can_ask = match &add.source {
            TorrentSource::Metainfo(m) => !m.trackers.is_empty() || (add.discovery.dht && !m.info.private),
            TorrentSource::Magnet(m) => !m.trackers.is_empty() || !m.peers.is_empty() || add.discovery.dht,
        };
        let handle = self.session.add(add)?;
        let stats = handle.stats()?;
        let name = name.unwrap_or_else(|| handle.info_hash().to_string());
        let torrent = Tracked { handle, name, stats, phase: Phase::Running, can_ask };
        self.report.added(&torrent)?;
        self.torrents.push(torrent);
        Ok(())
    }

    /// Adds a mutable torrent, which gets a torrent once the DHT tells of a version.
    pub(super) fn add_mutable(&mut self, follow: Follow) {
        self.follows.push(follow);
    }

    /// Follows the session until the goal is reached, nothing can go on, or the user ends it.
    ///
    /// # Errors
    /// When what is to be told cannot be told.
    pub(super) fn run(mut self) -> Result<ExitCode> {
        let followed = self.follow();
        for torrent in &mut self.torrents {
            torrent.refresh();
        }
        let Transfer { session, goal, torrents, mut report, tracer, stop, .. } = self;
        if stop.load(Ordering::Relaxed) && matches!(goal, Goal::Get { .. }) {
            report.stopping()?;
        }
        let dropped = session.events_dropped();
        session.shutdown(SHUTDOWN_TIMEOUT);
        followed?;
        if let Some(tracer) = tracer {
            tracer.finish()?;
        }
        let told = report.summary(&torrents);
        if dropped > 0 {
            warn(format_args!("{dropped} events came faster than they could be told and were left out"));
        }
        let failed = |t: &Tracked| match &t.phase {
            Phase::Failed(why) => Some(format!("{}: {why}", t.name)),
            _ => None,
        };
        let failures: Vec<String> = torrents.iter().filter_map(failed).collect();
        failures.iter().for_each(warn);
        // who ends a run may have closed its output before
        if stop.load(Ordering::Relaxed) {
            return Ok(interrupted());
        }
        told?;
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn follow(&mut self) -> Result<()> {
        let events = self.session.events();
        let mut next_tick = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let wait = next_tick.saturating_duration_since(Instant::now());
            if let Ok(event) = events.recv_timeout(wait) {
                self.take(&event)?;
                for event in events.try_iter().take(EVENTS_A_TURN_MAX) {
                    self.take(&event)?;
                }
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                self.tick()?;
            }
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &SessionEvent) -> Result<()> {
        if let Some(tracer) = &mut self.tracer {
            tracer.take(event, &mut *self.report)?;
        }
        let index = hash_of(event).and_then(|hash| self.index(hash));
        self.report.happened(index.map(|i| &self.torrents[i]), event)?;
        if let SessionEvent::Dht(event) = event {
            self.take_dht(event);
        }
        let Some(index) = index else { return Ok(()) };
        match event {
            SessionEvent::Torrent { event: Event::MetadataReceived { info, .. }, .. } => {
                self.select(index, info)
            }
            SessionEvent::Torrent { event: Event::Completed { .. }, .. } => self.completed(index),
            SessionEvent::Torrent { event: Event::StorageFailed { error, .. }, .. } => {
                self.failed(index, error.clone())
            }
            SessionEvent::Torrent { event: Event::TrackerFailed { url, error, next_in, .. }, .. } => {
                let next =
                    if next_in.is_some() { "it is asked again later" } else { "it is not asked again" };
                let error = without_number(error);
                let what = format!("the tracker {url} failed: {error}; {next}");
                self.tell_trouble(&self.torrents[index].name.clone(), &what);
                Ok(())
            }
            SessionEvent::Ready { have, pieces, .. }
                if matches!(self.goal, Goal::Seed(_)) && have < pieces =>
            {
                let missing = pieces - have;
                let why =
                    format!("{missing} of {pieces} pieces are missing or bad; `unchoke get` mends them");
                self.failed(index, why)
            }
            SessionEvent::Warning { text, .. } => {
                let name = &self.torrents[index].name;
                self.report.aside(&mut || warn(format_args!("{name}: {text}")));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_dht(&mut self, event: &HubEvent) {
        match event {
            HubEvent::DhtReady { .. } => self.is_dht_ready = true,
            HubEvent::Dht { event: dht::Event::ItemDone { key, item, copies }, .. } => {
                for follow in &mut self.follows {
                    if let Some(put) = follow.on_answer(key, item.as_ref(), *copies) {
                        self.session.dht(put);
                    }
                }
            }
            _ => {}
        }
    }

    /// Asks for versions of mutable torrents, and changes over to those that were found.
    fn tick_follows(&mut self) -> Result<()> {
        let now = Instant::now();
        let families: BTreeSet<bool> = self.session.local_addrs().iter().map(SocketAddr::is_ipv6).collect();
        let nodes = if self.is_dht_ready { families.len() } else { 0 };
        for index in 0..self.follows.len() {
            let follow = &mut self.follows[index];
            if let Some(question) = follow.next_question(nodes, now) {
                self.session.dht(question);
            }
            let [byte] = random::bytes()?;
            if let Some(version) = follow.end_round(f64::from(byte) / 255.0, now) {
                self.change(index, version)?;
            }
        }
        let replacing = std::mem::take(&mut self.replacing);
        for (old, add) in replacing {
            match old.wait_removed(Duration::ZERO) {
                Ok(()) => self.add_version(add)?,
                Err(_) => self.replacing.push((old, add)),
            }
        }
        if self.started.elapsed() >= LONELY_AFTER {
            let lonely = self.follows.iter().filter(|f| f.current.is_none()).map(Follow::name);
            for name in lonely.collect::<Vec<_>>() {
                self.tell_trouble(&name, "the DHT tells of no version yet; it goes on asking");
            }
        }
        Ok(())
    }

    fn change(&mut self, index: usize, version: Version) -> Result<()> {
        let follow = &mut self.follows[index];
        let before = follow.current.map(|v| v.hash);
        let add = follow.change(version);
        self.report.version(&follow.name(), &follow.publisher, version)?;
        let Some(add) = add else { return Ok(()) };
        let old = before.and_then(|hash| self.index(hash));
        // another mutable torrent may have come to the same version, and goes on with it
        let is_shared = before.is_some() && self.follows.iter().any(|f| f.current.map(|v| v.hash) == before);
        let Some(old) = old.filter(|_| !is_shared) else { return self.add_version(add) };
        let old = &mut self.torrents[old];
        old.refresh();
        old.phase = Phase::Replaced;
        // both may lie in the same files
        old.handle.remove(false);
        self.replacing.push((old.handle.clone(), add));
        Ok(())
    }

    /// Adds a version; what is against it is told, and the next one may do better.
    fn add_version(&mut self, add: AddTorrent) -> Result<()> {
        match self.add(add) {
            Err(e) if e.is::<SessionError>() => {
                self.report.aside(&mut || warn(&e));
                Ok(())
            }
            other => other,
        }
    }

    /// Tells once of a torrent that has not met anybody although it had the time.
    fn tell_if_lonely(&mut self, index: usize) {
        let torrent = &self.torrents[index];
        let is_asking = matches!(torrent.stats.state, State::Downloading | State::Metadata);
        if torrent.phase != Phase::Running || !is_asking || torrent.stats.peers.0 > 0 {
            return;
        }
        if !self.peers.is_empty() {
            let peers: Vec<String> = self.peers.iter().map(ToString::to_string).collect();
            let what = format!("no connection to {} yet; it goes on trying", peers.join(", "));
            self.tell_trouble(&self.torrents[index].name.clone(), &what);
        } else if !torrent.can_ask {
            let why =
                "nobody to ask for peers: it has no tracker and cannot use the DHT; name some with --peer";
            self.tell_trouble(&self.torrents[index].name.clone(), why);
        }
    }

    fn tell_trouble(&mut self, name: &str, what: &str) {
        let text = format!("{name}: {what}");
        if self.troubles.insert(text.clone()) {
            self.report.trouble(&text);
        }
    }

    /// Once a magnet's files are known, those that are not wanted are left out.
    fn select(&mut self, index: usize, raw_info: &[u8]) -> Result<()> {
        let Goal::Get { picks, .. } = &self.goal else { return Ok(()) };
        let torrent = &mut self.torrents[index];
        // what is no torrent makes the session stop it
        let Some(info) = Info::parse(raw_info).ok() else { return Ok(()) };
        torrent.name.clone_from(&info.name);
        if picks.is_empty() {
            return Ok(());
        }
        let selected = selection::chosen(picks, &info)
            .and_then(|chosen| torrent.handle.set_selection(chosen).map_err(|e| e.to_string()));
        match selected {
            Ok(()) => Ok(()),
            Err(why) => {
                torrent.handle.pause();
                self.failed(index, why)
            }
        }
    }

    fn completed(&mut self, index: usize) -> Result<()> {
        let torrent = &mut self.torrents[index];
        if torrent.phase != Phase::Running {
            return Ok(());
        }
        torrent.phase = Phase::Complete(Instant::now());
        torrent.refresh();
        match &self.goal {
            Goal::Seed(_) => self.report.seeding(&self.torrents[index], self.session.local_addr()),
            Goal::Get { .. } => self.report.completed(&self.torrents[index]),
        }
    }

    fn failed(&mut self, index: usize, why: String) -> Result<()> {
        let torrent = &mut self.torrents[index];
        if matches!(torrent.phase, Phase::Failed(_)) {
            return Ok(());
        }
        torrent.phase = Phase::Failed(why.clone());
        self.report.failed(&self.torrents[index], &why)
    }

    fn tick(&mut self) -> Result<()> {
        for index in 0..self.torrents.len() {
            let torrent = &mut self.torrents[index];
            torrent.refresh();
            if let State::Error(why) = torrent.stats.state.clone()
                && torrent.phase != Phase::Replaced
            {
                self.failed(index, why)?;
            }
        }
        for torrent in &mut self.torrents {
            if let Phase::Complete(since) = torrent.phase
                && self.goal.is_seeded(torrent, since)
            {
                torrent.phase = Phase::Seeded;
            }
        }
        if self.started.elapsed() >= LONELY_AFTER {
            (0..self.torrents.len()).for_each(|index| self.tell_if_lonely(index));
        }
        self.tick_follows()?;
        self.report.progress(&self.torrents)
    }

    /// Whether nothing is left to wait for.
    fn is_over(&self) -> bool {
        let is_done = |t: &Tracked| match t.phase {
            Phase::Running => false,
            Phase::Complete(_) => matches!(self.goal, Goal::Get { seed: None, .. }),
            Phase::Seeded | Phase::Replaced | Phase::Failed(_) => true,
        };
        let is_changing = !self.replacing.is_empty() || self.follows.iter().any(Follow::keeps_running);
        !is_changing && self.torrents.iter().all(is_done)
    }

    fn index(&self, hash: WireHash) -> Option<usize> {
        // a version that was replaced may have come back
        self.torrents.iter().rposition(|t| t.handle.info_hash() == hash)
    }
}

impl Goal {
    fn is_seeded(&self, torrent: &Tracked, since: Instant) -> bool {
        let (Goal::Get { seed: Some(until), .. } | Goal::Seed(until)) = self else { return false };
        let is_late = until.time.is_some_and(|time| since.elapsed() >= time);
        is_late || until.ratio.is_some_and(|ratio| torrent.ratio() >= ratio)
    }
}

impl Tracked {
    /// Bytes received and of use, and bytes sent, in this run.
    pub(crate) fn moved(&self) -> (u64, u64) {
        let (now, then) = (self.stats.totals, self.stats.totals_at_start);
        (now.downloaded.saturating_sub(then.downloaded), now.uploaded.saturating_sub(then.uploaded))
    }

    /// How many times its size was uploaded, over all runs.
    fn ratio(&self) -> f64 {
        self.stats
            .total_len
            .filter(|len| *len > 0)
            .map_or(0.0, |len| units::quotient(self.stats.totals.uploaded, len))
    }

    fn refresh(&mut self) {
        match self.handle.stats() {
            Ok(stats) => self.stats = stats,
            Err(SessionError::Gone) => {}
            Err(e) => tracing::debug!(error = %e, "no figures"),
        }
    }
}

fn hash_of(event: &SessionEvent) -> Option<WireHash> {
    match event {
        SessionEvent::Torrent { hash, .. }
        | SessionEvent::Checking { hash, .. }
        | SessionEvent::Ready { hash, .. }
        | SessionEvent::Warning { hash, .. }
        | SessionEvent::Message { hash, .. } => Some(*hash),
        _ => None,
    }
}

/// How long a torrent may be without a peer before that is a trouble to be told.
const LONELY_AFTER: Duration = Duration::from_secs(5);
/// Between two looks at the figures, and the longest wait for Ctrl-C to be noticed.
const TICK: Duration = Duration::from_millis(200);
/// Events taken between two looks at the clock.
const EVENTS_A_TURN_MAX: usize = 1000;
/// How long trackers may take to hear that we go.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
