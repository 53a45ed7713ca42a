//! A session: the threads, and the way to them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use mio::Poll;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use unchoke_engine::engine::Engine;
use unchoke_engine::hub::{Hub, HubSettings};
use unchoke_engine::input::TorrentSource;
use unchoke_engine::tracker::Families;
use unchoke_engine::{Settings, ShardId};
use unchoke_wire::WireHash;

use crate::add::{AddTorrent, Place};
use crate::addresses::{AddressWatch, own_addresses};
use crate::clock::Clock;
use crate::config::{Role, SessionConfig};
use crate::dht_file;
use crate::dht_view::DhtView;
use crate::error::SessionError;
use crate::event::{EventSink, SessionEvent};
use crate::handle::{ANSWER_TIMEOUT, Summary, TorrentHandle, stats_of};
use crate::hub::{self, HubMessage, HubParts, HubThread};
use crate::keeper::{Adding, Keeper, KeeperLinks, KeeperMessage, Records};
use crate::listen::{Datagrams, Listening};
use crate::lsd::LocalSockets;
use crate::mailbox::{Inbox, Mailbox, mailbox};
use crate::memory::{self, MemoryBudget};
use crate::resolver::Resolver;
use crate::restore::Restore;
use crate::shard::{self, Io, Links, Shard, ShardMessage};
use crate::sys::{interfaces, raise_descriptors, share_descriptors};
use crate::torrent::{Phase, Registry, State, Torrent, locked};
use crate::workers::{WorkerThreads, Workers};

/// How long a session may be told to take for its end.
const END_TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
/// How long a torrent of a state store stays awake for nobody, unless the owner says otherwise.
const SLEEP_AFTER: unchoke_wire::time::Duration = unchoke_wire::time::Duration::from_secs(180);
/// How often it is looked whether a thread has ended.
const JOIN_TICK: Duration = Duration::from_millis(2);
/// How long dropping a session may take.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// Torrents, their peers, the DHT, and the threads they run on. Ends when shut down or dropped.
///
/// All methods may be called from any thread; none waits for peers but [`TorrentHandle::wait_complete`].
#[derive(Debug)]
pub struct Session {
    addrs: Vec<SocketAddr>,
    shards: Vec<Mailbox<ShardMessage>>,
    hub: Mailbox<HubMessage>,
    keeper: Sender<KeeperMessage>,
    sink: Arc<EventSink>,
    registry: Arc<Registry>,
    records: Records,
    /// Torrents go to the shards in turn.
    next_shard: AtomicUsize,
    /// How many DHT nodes it runs, one a family.
    dht_nodes: usize,
    threads: Option<Threads>,
}

/// The threads, in the order in which they end.
#[derive(Debug)]
struct Threads {
    shards: Vec<JoinHandle<()>>,
    /// They end when the shards have, and no file changes after that: records can be saved.
    workers: WorkerThreads,
    keeper: JoinHandle<()>,
    hub: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
    /// How long a disk that does nothing is waited for.
    disk_wait: Duration,
}

/// What one shard's thread is made of.
struct ShardParts {
    id: ShardId,
    poll: Poll,
    own: Mailbox<ShardMessage>,
    inbox: Inbox<ShardMessage>,
}

impl Session {
    /// Binds the sockets and starts the threads.
    ///
    /// # Errors
    /// [`SessionError::PortInUse`] and [`SessionError::Listen`] for the sockets, [`SessionError::Storage`] for the
    /// folder of records, [`SessionError::State`] for the state store, and what the system cannot give.
    pub fn start(config: SessionConfig) -> Result<Session, SessionError> {
        let (waiting_max, open_max) = share_descriptors(raise_descriptors());
        let listening = Listening::bind(&config.listen, config.role == Role::Client)?;
        let records = Records::open(&config)?;
        let mut starter = Starter::new()?;
        let (hub_poll, hub_own, hub_inbox) = new_mailbox(hub::WAKER)?;
        let (keeper, keeper_inbox) = crossbeam_channel::unbounded();
        let (resolver, requests) = Resolver::start()?;
        let (workers, worker_threads) = Workers::start(config.workers)?;
        let parts = (0..config.shard_count()).map(|n| {
            let (poll, own, inbox) = new_mailbox(shard::WAKER)?;
            Ok(ShardParts { id: ShardId(n), poll, own, inbox })
        });
        let parts = parts.collect::<Result<Vec<_>, SessionError>>()?;
        let shards: Vec<_> = parts.iter().map(|p| p.own.clone()).collect();
        let Listening { listeners, datagrams, addrs } = listening;
        let links = Common {
            hub: hub_own.clone(),
            keeper: keeper.clone(),
            workers,
            resolver: resolver.clone(),
            datagrams: Arc::new(datagrams),
            sink: Arc::new(EventSink::new()),
            registry: Arc::default(),
        };
        let hub = HubThread::new(HubParts {
            hub: starter.hub(&config, &addrs).with_pending_max(waiting_max),
            poll: hub_poll,
            inbox: hub_inbox,
            own: hub_own,
            clock: starter.clock,
            listeners,
            datagrams: Arc::clone(&links.datagrams),
            addresses: AddressWatch::new(addrs.clone(), starter.clock.now()),
            local: local_sockets(&config, &addrs),
            shards: shards.clone(),
            resolver,
            sink: Arc::clone(&links.sink),
            dht_file: config.dht_file.clone().filter(|_| config.role != Role::DhtVisitor),
            trace: config.trace,
        })
        .map_err(|source| SessionError::System { action: "watch the sockets", source })?;
        let keeper_links = KeeperLinks {
            shards: shards.clone(),
            hub: links.hub.clone(),
            sink: Arc::clone(&links.sink),
            registry: Arc::clone(&links.registry),
            records: records.clone(),
            workers: links.workers.as_ref().map(Workers::downgrade),
        };
        let limits = (config.engine.download_limit, config.engine.upload_limit);
        let kept = Keeper::new(keeper_links, keeper.clone(), keeper_inbox, limits, config.disk_wait);
        let threads = Threads {
            shards: starter.shards(&config, &addrs, parts, &links, open_max)?,
            keeper: spawn("keeper", move || kept.run())?,
            hub: spawn("hub", move || hub.run())?,
            workers: worker_threads,
            others: vec![requests],
            disk_wait: config.disk_wait,
        };
        let Common { hub, sink, registry, .. } = links;
        let (next_shard, threads) = (AtomicUsize::new(0), Some(threads));
        let dht_nodes = dht_nodes(&config, &addrs);
        let session =
            Session { addrs, shards, hub, keeper, sink, registry, records, next_shard, dht_nodes, threads };
        session.restore()?;
        Ok(session)
    }

    /// Begins with the torrents of the state store.
    fn restore(&self) -> Result<(), SessionError> {
        let Some(store) = self.records.state() else { return Ok(()) };
        let Session { shards, keeper, registry, sink, .. } = self;
        let count = Restore { store, shards, keeper, registry, sink }.run()?;
        self.next_shard.store(count % shards.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Adds a torrent and gives the way to it. What goes wrong later (a damaged record, a full disk) stops the
    /// torrent and is told as an event.
    ///
    /// # Errors
    /// [`SessionError::Duplicate`], [`SessionError::NoInfoHash`], [`SessionError::MissingFolder`],
    /// [`SessionError::Selection`], [`SessionError::CustomStorage`], and [`SessionError::Storage`] of kind `Busy` when
    /// another process has it.
    pub fn add(&self, mut add: AddTorrent) -> Result<TorrentHandle, SessionError> {
        let (hashes, metainfo) = match &add.source {
            TorrentSource::Metainfo(m) => (m.info_hashes, Some(Arc::new((**m).clone()))),
            TorrentSource::Magnet(m) => (m.info_hashes, None),
        };
        let hash = hashes.best().ok_or(SessionError::NoInfoHash)?.wire();
        match &add.place {
            Place::Dir(dir) => check_folder(dir)?,
            Place::Custom(_) if self.records.state().is_some() => return Err(SessionError::CustomStorage),
            Place::Custom(_) => {}
        }
        if let (Some(metainfo), Some(selection)) = (&metainfo, &add.selection) {
            check_selection(metainfo.info.files.len(), selection)?;
        }
        for peer in &mut add.peers {
            *peer = canonical(*peer);
        }
        let entry = {
            let mut registry = locked(&self.registry);
            if registry.contains_key(&hash) {
                return Err(SessionError::Duplicate(hash));
            }
            let turn = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            let shard_id = ShardId(u8::try_from(turn).expect("at most 255 shards"));
            let shard = self.shards[turn].clone();
            let state = State::starting(metainfo, add.is_paused);
            let entry = Arc::new(Torrent::new(hash, hashes, shard_id, shard, state));
            registry.insert(hash, Arc::clone(&entry));
            entry
        };
        // not under the registry's lock, which shards take, too: this may wait for the disk
        let lock = self.records.lock(hash).inspect_err(|_| {
            locked(&self.registry).remove(&hash);
            entry.change(|s| s.phase = Phase::Gone);
        })?;
        let message = Adding { entry: Arc::clone(&entry), add, lock, stored: None };
        self.keeper.send(KeeperMessage::Add(Box::new(message))).map_err(|_| SessionError::Gone)?;
        Ok(self.handle(entry))
    }

    /// The torrent of this hash.
    pub fn torrent(&self, hash: WireHash) -> Option<TorrentHandle> {
        let entry = locked(&self.registry).get(&hash).map(Arc::clone)?;
        Some(self.handle(entry))
    }

    /// What the owner should know of the state store, in one line: that it was damaged when the session began, or that
    /// its disk is full.
    pub fn notice(&self) -> Option<String> {
        let store = self.records.state()?;
        let recovered = store.recovered().map(ToString::to_string);
        recovered.or_else(|| {
            let dir = store.dir().display();
            store.is_reserve_used().then(|| format!("the disk of {dir} is full, or nearly; free some space"))
        })
    }

    /// All torrents, by their hash.
    pub fn torrents(&self) -> Vec<TorrentHandle> {
        let registry = locked(&self.registry);
        registry.values().map(|e| self.handle(Arc::clone(e))).collect()
    }

    /// What all torrents are doing, by their hash: one question to each shard, however many there are.
    ///
    /// # Errors
    /// [`SessionError::Gone`] when the session is ending.
    pub fn summaries(&self) -> Result<Vec<Summary>, SessionError> {
        let mut answers = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let (reply, answer) = crossbeam_channel::bounded(1);
            shard.send(ShardMessage::AllStats { reply });
            answers.push(answer);
        }
        let mut figures = std::collections::BTreeMap::new();
        for answer in answers {
            let all = answer.recv_timeout(ANSWER_TIMEOUT).map_err(|_| SessionError::Gone)?;
            figures.extend(all.into_iter().map(|f| (f.hash, f)));
        }
        let registry = locked(&self.registry);
        let all = registry.values().map(|entry| {
            let stats = stats_of(entry, figures.remove(&entry.hash));
            Summary { info_hash: entry.hash, stats }
        });
        Ok(all.collect())
    }

    /// The most memory that strangers can make the session hold, part by part, and what it holds of it.
    ///
    /// # Errors
    /// [`SessionError::Gone`] when the session is ending.
    pub fn memory_budget(&self) -> Result<MemoryBudget, SessionError> {
        let mut answers = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let (reply, answer) = crossbeam_channel::bounded(1);
            shard.send(ShardMessage::Memory { reply });
            answers.push(answer);
        }
        let mut of_shards = Vec::with_capacity(answers.len());
        for answer in answers {
            of_shards.push(answer.recv_timeout(ANSWER_TIMEOUT).map_err(|_| SessionError::Gone)?);
        }
        Ok(memory::budget(of_shards, self.dht_nodes))
    }

    fn handle(&self, entry: Arc<Torrent>) -> TorrentHandle {
        TorrentHandle::new(entry, self.keeper.clone(), self.records.state().map(Arc::downgrade))
    }

    /// What happens. At most 65,536 events wait for their reader, later ones are dropped and counted. Several
    /// receivers share the events, each event goes to one of them.
    pub fn events(&self) -> Receiver<SessionEvent> {
        self.sink.receiver()
    }

    /// Events that were dropped since nobody took them.
    pub fn events_dropped(&self) -> u64 {
        self.sink.dropped()
    }

    /// Asks the DHT something on the owner's behalf, apart from what torrents want of it; what comes of it is told as
    /// [`SessionEvent::Dht`]. Without a DHT, or after its end, nothing happens.
    pub fn dht(&self, command: unchoke_dht::Command) {
        self.hub.send(HubMessage::Dht(command));
    }

    /// The DHT nodes of the session as they are at present, one a family; none after its end.
    pub fn dht_views(&self) -> Vec<DhtView> {
        let (reply, views) = crossbeam_channel::bounded(1);
        self.hub.send(HubMessage::DhtViews { reply });
        // a hub that is gone drops the reply
        views.recv_timeout(ANSWER_TIMEOUT).unwrap_or_default()
    }

    /// Where the session listens: the first address, with its real port. Unspecified when it listens nowhere.
    pub fn local_addr(&self) -> SocketAddr {
        self.addrs.first().copied().unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// All addresses the session listens on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// New limits of the session in block bytes a second, split evenly over the shards that have torrents.
    pub fn set_limits(&self, download: Option<u64>, upload: Option<u64>) {
        // the keeper lives as long as the session
        let _ = self.keeper.send(KeeperMessage::Limits { download, upload });
    }

    /// Tells trackers that we stop, saves records, partly received pieces and DHT nodes, and ends all threads.
    /// Trackers and peers are given about `timeout`; saving takes the time it takes, as long as the disks get on with it:
    /// see [`SessionConfig::disk_wait`].
    pub fn shutdown(mut self, timeout: Duration) {
        self.end(timeout);
    }

    fn end(&mut self, timeout: Duration) {
        let Some(threads) = self.threads.take() else { return };
        // more than any clock can take is for ever
        let timeout = timeout.min(END_TIMEOUT_MAX);
        let deadline = Instant::now() + timeout;
        let (done, frozen) = crossbeam_channel::bounded(1);
        // threads that are gone already, by a panic of theirs, are no reason to leave the others running
        let _ = self.keeper.send(KeeperMessage::Freeze { within: timeout / 2, done });
        let _ = frozen.recv();
        let within = deadline.saturating_duration_since(Instant::now());
        for shard in &self.shards {
            shard.send(ShardMessage::Stop { within });
        }
        threads.shards.into_iter().for_each(join);
        let workers = std::mem::take(&mut *threads.workers.lock().unwrap_or_else(PoisonError::into_inner));
        join_until(Instant::now() + threads.disk_wait, workers);
        let _ = self.keeper.send(KeeperMessage::Finish);
        join(threads.keeper);
        self.hub.send(HubMessage::Stop);
        join(threads.hub);
        threads.others.into_iter().for_each(join);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(DROP_TIMEOUT);
    }
}

/// What all shards share.
struct Common {
    hub: Mailbox<HubMessage>,
    keeper: Sender<KeeperMessage>,
    workers: Option<Workers>,
    resolver: Resolver,
    datagrams: Arc<Datagrams>,
    sink: Arc<EventSink>,
    registry: Arc<Registry>,
}

/// Makes machines: each with a seed of its own.
struct Starter {
    clock: Clock,
    rng: ChaCha12Rng,
}

impl Starter {
    fn new() -> Result<Self, SessionError> {
        let mut seed = [0; 32];
        random(&mut seed).map_err(|source| SessionError::System { action: "get random bytes", source })?;
        Ok(Starter { clock: Clock::start(), rng: ChaCha12Rng::from_seed(seed) })
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    fn hub(&mut self, config: &SessionConfig, addrs: &[SocketAddr]) -> Hub {
        let is_client = config.role == Role::Client;
        let mut saved = config.dht_file.as_deref().map(dht_file::load).unwrap_or_default();
        if config.role == Role::DhtVisitor {
            // the ids are those of the one whose file it is, who may be running
            saved.ids.clear();
        }
        let settings = HubSettings {
            dht_v4: config.dht && addrs.iter().any(SocketAddr::is_ipv4),
            dht_v6: config.dht && addrs.iter().any(SocketAddr::is_ipv6),
            is_dht_read_only: config.role == Role::DhtVisitor,
            reports_dht_steps: config.dht_steps,
            lsd_v4: is_client && config.engine.lsd && addrs.iter().any(SocketAddr::is_ipv4),
            lsd_v6: is_client && config.engine.lsd && addrs.iter().any(SocketAddr::is_ipv6),
            listen_port: addrs.first().map_or(0, SocketAddr::port),
            saved,
            nodes: if config.dht { config.dht_nodes.clone() } else { Vec::new() },
            routers: if config.dht { config.dht_routers.clone() } else { Vec::new() },
        };
        Hub::new(settings, self.seed(), self.clock.now())
    }

    fn shards(
        &mut self,
        config: &SessionConfig,
        addrs: &[SocketAddr],
        parts: Vec<ShardParts>,
        common: &Common,
        open_max: usize,
    ) -> Result<Vec<JoinHandle<()>>, SessionError> {
        let settings = Settings {
            listen_port: addrs.first().map_or(0, SocketAddr::port),
            own_addresses: own_addresses(addrs, &interfaces().unwrap_or_default()),
            families: Families {
                v4: addrs.is_empty() || addrs.iter().any(SocketAddr::is_ipv4),
                v6: addrs.iter().any(SocketAddr::is_ipv6),
            },
            dht: config.dht && !addrs.is_empty(),
            lsd: config.engine.lsd && !addrs.is_empty(),
            trace: config.trace,
            // without a state store nothing could wake a torrent
            sleep_after: config.state_dir.as_ref().map(|_| config.engine.sleep_after.unwrap_or(SLEEP_AFTER)),
            connections_max: config.engine.connections_max.min((open_max / parts.len()).max(1)),
            metadata_bytes: config.engine.metadata_bytes / parts.len(),
            // the keeper splits the session's limits
            download_limit: None,
            upload_limit: None,
            ..config.engine.clone()
        };
        let mut threads = Vec::with_capacity(parts.len());
        for ShardParts { id, poll, own, inbox } in parts {
            let links = Links {
                shard: id,
                own,
                hub: common.hub.clone(),
                keeper: common.keeper.clone(),
                workers: common.workers.clone(),
                resolver: common.resolver.clone(),
                datagrams: Arc::clone(&common.datagrams),
                sink: Arc::clone(&common.sink),
                torrents: Arc::clone(&common.registry),
            };
            let registry = poll.registry().try_clone();
            let registry =
                registry.map_err(|source| SessionError::System { action: "watch sockets", source })?;
            let engine = Engine::new(id, settings.clone(), self.seed(), self.clock.now());
            let shard = Shard::new(engine, Io::new(registry, links), poll, inbox, self.clock);
            threads.push(spawn(&format!("shard-{}", id.0), move || shard.run())?);
        }
        Ok(threads)
    }
}

/// Where peers of the local network are looked for; nowhere when that is off.
fn local_sockets(config: &SessionConfig, addrs: &[SocketAddr]) -> LocalSockets {
    match config.engine.lsd && config.role == Role::Client {
        true => LocalSockets::open(addrs),
        false => LocalSockets::default(),
    }
}

/// How many DHT nodes a session has: one a family it listens on.
fn dht_nodes(config: &SessionConfig, addrs: &[SocketAddr]) -> usize {
    let families = [SocketAddr::is_ipv4, SocketAddr::is_ipv6];
    families.into_iter().filter(|is_of| config.dht && addrs.iter().any(is_of)).count()
}

/// An address in the form it is compared in: IPv4 written as IPv6 becomes IPv4.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// A selection has an entry for every file.
pub(crate) fn check_selection(files: usize, selection: &[bool]) -> Result<(), SessionError> {
    match selection.len() == files {
        true => Ok(()),
        false => Err(SessionError::Selection { expected: files, got: selection.len() }),
    }
}

/// A data folder is there, or can be made in a folder that is.
fn check_folder(dir: &Path) -> Result<(), SessionError> {
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
    match dir.is_dir() || parent.is_none_or(Path::is_dir) {
        true => Ok(()),
        false => Err(SessionError::MissingFolder(dir.to_owned())),
    }
}

fn new_mailbox<T>(token: mio::Token) -> Result<(Poll, Mailbox<T>, Inbox<T>), SessionError> {
    let made = Poll::new().and_then(|poll| mailbox(&poll, token).map(|(own, inbox)| (poll, own, inbox)));
    made.map_err(|source| SessionError::System { action: "make a poll", source })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, SessionError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|source| SessionError::System { action: "start a thread", source })
}

/// Waits for threads that may hang in a disk. Those that do are left behind.
pub(crate) fn join_until(deadline: Instant, threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::park_timeout(JOIN_TICK);
        }
        match thread.is_finished() {
            true => join(thread),
            false => tracing::warn!("a disk does not answer; what it was told last may be lost"),
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the session panicked");
    }
}

/// Fills `bytes` from the system's source of randomness.
fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}
