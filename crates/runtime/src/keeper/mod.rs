//! The thread that looks after torrents' lives: records read, storage opened, files checked, pieces made durable.
//!
//! It may wait for the disk; shards and hub never wait for it.

mod check;
mod errand;
mod kept;
mod lifecycle;
mod records;
mod sleep;
mod trouble;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use unchoke_engine::{Command, Event, ShardId};
use unchoke_storage::{FilePool, ResumeLock, StateChange, TorrentEntry};
use unchoke_wire::{PieceIndex, WireHash};

use crate::add::AddTorrent;
use crate::error::{NotSaved, SessionError};
use crate::event::{EventSink, SessionEvent};
use crate::hub::HubMessage;
use crate::mailbox::Mailbox;
use crate::shard::ShardMessage;
use crate::torrent::{Phase, Registry, Torrent, locked};
use crate::workers::WeakWorkers;
use check::{CheckJob, Checked};
use errand::{Errand, Moved};
use kept::Kept;
use records::Pending;
pub(crate) use records::Records;
pub(crate) use sleep::{add_of, totals_of};
use trouble::{Look, Troubles};

/// How long a finished piece may wait for its record.
const SAVE_INTERVAL: Duration = Duration::from_secs(30);
/// Changes that make a transaction even while more are coming.
const CHANGES_MAX: usize = 1024;
/// How long after a change the state store is copied at the earliest...
const KEEP_INTERVAL: Duration = Duration::from_secs(2);
/// ...and how many times as long as the last copy took.
const KEEP_SHARE: u32 = 200;
/// How long a shard may take to tell figures.
const FIGURES_TIMEOUT: Duration = Duration::from_secs(1);

/// What other threads tell the keeper.
#[derive(Debug)]
pub(crate) enum KeeperMessage {
    /// A torrent was added to the registry.
    Add(Box<Adding>),
    /// Something happened in its engine.
    Event { hash: WireHash, event: Event },
    /// Pieces of it were verified and written.
    Pieces { hash: WireHash, pieces: Vec<PieceIndex> },
    /// Its files were checked.
    Checked { hash: WireHash, result: Result<Checked, String> },
    /// A disk was looked at for a torrent.
    Looked { hash: WireHash, look: Look },
    /// The owner wants it to rest, or to go on.
    Pause { hash: WireHash, is_paused: bool },
    /// The owner chose other files.
    Select { hash: WireHash, selection: Vec<bool> },
    /// The owner wants its files in another folder.
    Move { hash: WireHash, to: PathBuf, done: Sender<Result<(), SessionError>> },
    /// The owner wants all its files checked; told whether that has begun.
    Recheck { hash: WireHash, done: Sender<Result<(), SessionError>> },
    /// A step of its move is done.
    Moved { hash: WireHash, result: Moved },
    /// The owner wants it to go.
    Remove { hash: WireHash, delete_data: bool },
    /// Say when all that came before is durable, or why it is not.
    Saved { hash: WireHash, done: Sender<Result<(), NotSaved>> },
    /// So many torrents that sleep were given to each shard.
    Restored { counts: BTreeMap<ShardId, usize> },
    /// Other limits for the session, in block bytes a second.
    Limits { download: Option<u64>, upload: Option<u64> },
    /// Pause everything and collect the partly received pieces; answered when done or after this time.
    Freeze { within: Duration, done: Sender<()> },
    /// The shards have ended: save everything and end.
    Finish,
}

/// A torrent on its way in.
#[derive(Debug)]
pub(crate) struct Adding {
    pub(crate) entry: Arc<Torrent>,
    pub(crate) add: AddTorrent,
    pub(crate) lock: Option<ResumeLock>,
    /// What the state store has of it already.
    pub(crate) stored: Option<Box<TorrentEntry>>,
}

/// The keeper.
pub(crate) struct Keeper {
    torrents: BTreeMap<WireHash, Kept>,
    pub(crate) links: KeeperLinks,
    inbox: Receiver<KeeperMessage>,
    checks: Sender<CheckJob>,
    /// Open files of all torrents.
    pool: Arc<FilePool>,
    limits: (Option<u64>, Option<u64>),
    /// Torrents of each shard that has any.
    counts: BTreeMap<ShardId, usize>,
    next_save: Option<Instant>,
    /// When the state store is copied next, and how long that took the last time.
    next_keep: Option<Instant>,
    keep_took: Duration,
    freeze: Option<(Instant, Sender<()>)>,
    /// What is on its way to the state store.
    pending: Pending,
    troubles: Troubles,
    /// The way to ourselves, for threads that use disks.
    own: Sender<KeeperMessage>,
    /// Those that may still be at it.
    movers: Vec<std::thread::JoinHandle<()>>,
    /// Whether the session is ending.
    is_ending: bool,
}

/// The ways to the other threads, and where records are.
#[derive(Debug)]
pub(crate) struct KeeperLinks {
    pub(crate) shards: Vec<Mailbox<ShardMessage>>,
    pub(crate) hub: Mailbox<HubMessage>,
    pub(crate) sink: Arc<EventSink>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) records: Records,
    /// Who looks at disks; `None`: the keeper itself.
    pub(crate) workers: Option<WeakWorkers>,
}

impl Keeper {
    /// Starts the checker as well; its thread ends with the keeper.
    pub(crate) fn new(
        links: KeeperLinks,
        own: Sender<KeeperMessage>,
        inbox: Receiver<KeeperMessage>,
        limits: (Option<u64>, Option<u64>),
    ) -> Result<(Self, std::thread::JoinHandle<()>), SessionError> {
        let (checks, checker) = check::start(own.clone(), Arc::clone(&links.sink))?;
        let keeper = Keeper {
            torrents: BTreeMap::new(),
            links,
            inbox,
            checks,
            pool: FilePool::new(FilePool::OPEN_DEFAULT),
            limits,
            counts: BTreeMap::new(),
            next_save: None,
            next_keep: Some(Instant::now() + KEEP_INTERVAL),
            keep_took: Duration::ZERO,
            freeze: None,
            pending: Pending::default(),
            troubles: Troubles::default(),
            own,
            movers: Vec::new(),
            is_ending: false,
        };
        Ok((keeper, checker))
    }

    /// Runs until told to finish.
    pub(crate) fn run(mut self) {
        loop {
            let freeze = self.freeze.as_ref().map(|(at, _)| *at);
            let looks = self.troubles.next_look();
            let message = match [self.next_save, self.next_keep, freeze, looks].into_iter().flatten().min() {
                Some(at) => self.inbox.recv_deadline(at),
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(KeeperMessage::Finish) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.message(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.pending.is_waiting() && (self.inbox.is_empty() || self.pending.len() >= CHANGES_MAX) {
                // who waits is told, and it is tried again
                let _ = self.commit();
            }
            if self.next_save.is_some_and(|at| at <= Instant::now()) {
                self.save_dirty();
            }
            if self.next_keep.is_some_and(|at| at <= Instant::now()) {
                self.keep_generation();
            }
            self.look_at_freeze();
            self.look_at_disks();
        }
        for hash in self.hashes() {
            if self.torrents[&hash].is_behind() {
                self.save(hash);
            }
        }
        // what failed was told
        let _ = self.commit();
        self.keep_generation();
        // they were told to stop, and take back what they have begun
        for mover in self.movers.drain(..) {
            let _ = mover.join();
        }
        // who still waits for one of them waits in vain
        for entry in locked(&self.links.registry).values() {
            entry.change(|s| s.phase = Phase::Gone);
        }
    }

    fn message(&mut self, message: KeeperMessage) {
        match message {
            KeeperMessage::Add(adding) => self.add(*adding),
            KeeperMessage::Event { hash, event } => self.event(hash, event),
            KeeperMessage::Pieces { hash, pieces } => self.pieces(hash, &pieces),
            KeeperMessage::Checked { hash, result } => self.checked(hash, result),
            KeeperMessage::Looked { hash, look } => self.looked(hash, look),
            KeeperMessage::Pause { hash, is_paused } => self.pause(hash, is_paused),
            KeeperMessage::Select { hash, selection } => self.select(hash, selection),
            KeeperMessage::Move { hash, to, done } => self.relocate(hash, to, done),
            KeeperMessage::Recheck { hash, done } => self.recheck(hash, &done),
            KeeperMessage::Moved { hash, result } => self.moved(hash, result),
            KeeperMessage::Remove { hash, delete_data } => self.remove(hash, delete_data),
            KeeperMessage::Saved { hash, done } => self.saved(hash, done),
            KeeperMessage::Restored { counts } => {
                for (shard, count) in counts {
                    *self.counts.entry(shard).or_default() += count;
                }
                self.split_limits();
            }
            KeeperMessage::Limits { download, upload } => {
                self.limits = (download, upload);
                self.split_limits();
            }
            KeeperMessage::Freeze { within, done } => self.freeze(within, done),
            KeeperMessage::Finish => {}
        }
    }

    fn event(&mut self, hash: WireHash, event: Event) {
        match event {
            Event::Added { torrent, .. } => self.added(hash, torrent),
            Event::MetadataReceived { info, .. } => self.metadata(hash, info),
            Event::Completed { torrent } => self.completed(hash, torrent),
            Event::StorageFailed { error, .. } => {
                if let Some(kept) = self.torrents.get(&hash) {
                    kept.entry.change(|s| s.phase = Phase::Failed(error));
                    self.watch(hash);
                }
            }
            Event::ReadFailed { piece, error, .. } => self.read_failed(hash, piece, error),
            Event::Partials { partials, totals, .. } => {
                if let Some(kept) = self.torrents.get_mut(&hash) {
                    (kept.partials, kept.totals, kept.is_saving) = (partials, totals, false);
                }
            }
            Event::Removed { torrent } => self.removed(hash, Some(torrent)),
            Event::Wake { torrent } => self.wake(hash, torrent),
            Event::Slept { .. } => self.slept(hash),
            Event::StorageClosed { .. } => self.storage_closed(hash),
            _ => {}
        }
    }

    fn pieces(&mut self, hash: WireHash, pieces: &[PieceIndex]) {
        if let Some(kept) = self.torrents.get_mut(&hash) {
            for piece in pieces {
                kept.have.set(*piece);
            }
            self.dirty(hash);
        }
    }

    fn hashes(&self) -> Vec<WireHash> {
        self.torrents.keys().copied().collect()
    }

    /// Notes that a record is behind.
    fn dirty(&mut self, hash: WireHash) {
        if let Some(kept) = self.torrents.get_mut(&hash) {
            kept.is_dirty = true;
            self.save_later();
        }
    }

    fn save_later(&mut self) {
        self.next_save.get_or_insert_with(|| Instant::now() + SAVE_INTERVAL);
    }

    /// Somebody wants to know when what the owner wanted of a torrent is durable.
    fn saved(&mut self, hash: WireHash, done: Sender<Result<(), NotSaved>>) {
        if self.torrents.get(&hash).is_some_and(|k| k.is_dirty) {
            self.save(hash);
        }
        self.pending.waiters.push(done);
    }

    fn save_dirty(&mut self) {
        self.next_save = None;
        for hash in self.hashes() {
            if self.torrents[&hash].is_dirty {
                self.ask_totals(hash);
                self.save(hash);
            }
        }
        if self.pending.len() > 0 {
            // it is told where it failed, and tried again
            let _ = self.commit();
        }
    }

    /// Copies the state store, for the day it is damaged.
    fn keep_generation(&mut self) {
        self.next_keep = None;
        let Some(store) = self.links.records.state() else { return };
        let began = Instant::now();
        if let Err(error) = store.keep_generation() {
            tracing::warn!(%error, "no copy of the state store");
        }
        self.keep_took = began.elapsed();
    }

    fn ask_totals(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let Some(torrent) = kept.entry.state().id else { return };
        let (reply, answer) = crossbeam_channel::bounded(1);
        kept.entry.shard.send(ShardMessage::Stats { torrent, reply });
        if let Ok(stats) = answer.recv_timeout(FIGURES_TIMEOUT) {
            kept.totals = stats.totals;
        }
    }

    /// Makes a torrent durable. Data that cannot be synced stops it.
    fn save(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        if matches!(self.links.records, Records::None) {
            return;
        }
        // before it is ready, what it has is not known, and the record of an earlier run says more
        if !kept.is_ready || kept.removing.is_some() {
            return;
        }
        let record = match kept.to_record() {
            Ok(record) => record,
            Err(e) => return self.sync_failed(hash, e),
        };
        kept.facts.clone_from(&record.facts);
        let result = match &self.links.records {
            Records::Files(store) => store.save(&record),
            Records::State(_) | Records::None => {
                self.pending.put(StateChange::Record(record));
                Ok(())
            }
        };
        match result {
            Ok(()) => kept.saved(),
            Err(e) => {
                self.warn(hash, e.to_string());
                // the record of before holds until there is room for this one
                self.dirty(hash);
            }
        }
        self.put_entry(hash);
    }

    fn warn(&self, hash: WireHash, text: String) {
        tracing::warn!(%hash, %text);
        self.links.sink.emit(SessionEvent::Warning { hash, text });
    }

    /// Stops a torrent for a reason of its storage.
    fn fail(&mut self, hash: WireHash, error: String) {
        let Some(kept) = self.torrents.get(&hash) else { return };
        let failed = Phase::Failed(error.clone());
        let (id, is_told) = {
            let state = kept.entry.state();
            (state.id, state.phase == failed)
        };
        kept.entry.change(|s| s.phase = failed);
        self.watch(hash);
        let Some(kept) = self.torrents.get(&hash).filter(|_| !is_told) else { return };
        if let Some(torrent) = id {
            kept.entry.shard.send(ShardMessage::Command(Command::Pause(torrent)));
            let event = Event::StorageFailed { torrent, error };
            self.links.sink.emit(SessionEvent::Torrent { hash, event });
        } else {
            self.warn(hash, error);
        }
    }

    /// Counts a torrent of a shard. Its first one gives the shard a part of the limits.
    fn count(&mut self, shard: ShardId) {
        let count = self.counts.entry(shard).or_default();
        *count += 1;
        if *count == 1 && self.limits != (None, None) {
            self.split_limits();
        }
    }

    /// Counts a torrent of a shard no more. With its last one its part of the limits goes to the others.
    fn uncount(&mut self, shard: ShardId) {
        let Some(count) = self.counts.get_mut(&shard) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&shard);
            self.split_limits();
        }
    }

    /// Splits the limits evenly over the shards that have torrents.
    fn split_limits(&self) {
        let count = u64::try_from(self.counts.len().max(1)).expect("shards are few");
        let part = |limit: Option<u64>| limit.map(|l| (l / count).max(1));
        for shard in self.counts.keys() {
            let (download, upload) = (part(self.limits.0), part(self.limits.1));
            self.links.shards[usize::from(shard.0)]
                .send(ShardMessage::Command(Command::SetLimits { download, upload }));
        }
    }

    fn freeze(&mut self, within: Duration, done: Sender<()>) {
        self.is_ending = true;
        for kept in self.torrents.values_mut() {
            kept.cancel.store(true, Ordering::Relaxed);
            kept.errand.iter().for_each(Errand::stop);
            let Some(torrent) = kept.entry.state().id.filter(|_| kept.is_ready) else { continue };
            kept.is_saving = true;
            kept.entry.shard.send(ShardMessage::Command(Command::Pause(torrent)));
            kept.entry.shard.send(ShardMessage::Command(Command::SavePartials(torrent)));
        }
        self.freeze = Some((Instant::now() + within, done));
    }

    fn look_at_freeze(&mut self) {
        let is_over = |at: Instant| {
            let is_saving = self.torrents.values().any(|k| k.is_saving && k.removing.is_none());
            !is_saving || at <= Instant::now()
        };
        if self.freeze.as_ref().is_some_and(|(at, _)| is_over(*at))
            && let Some((_, done)) = self.freeze.take()
        {
            let _ = done.send(());
        }
    }

    /// Takes a torrent out of the session.
    fn forget(&mut self, hash: WireHash) {
        self.troubles.forget(hash);
        if let Some(kept) = self.torrents.remove(&hash) {
            let entry = Arc::clone(&kept.entry);
            // the lock goes before anybody hears that the torrent may be added anew
            drop(kept);
            let mut registry = locked(&self.links.registry);
            registry.remove(&hash);
            // in one step, so that no handle of it is taken for one of its successor
            entry.change(|s| s.phase = Phase::Gone);
            drop(registry);
            self.uncount(entry.shard_id);
        }
    }
}
