//! What a torrent is taken out of its swarm for: its files are moved to another folder, or all checked anew.
//!
//! A move is written down in the state store before the first byte is touched, and what comes after it as well: where a
//! run was cut off the next one goes on. The files themselves are moved by a thread that lives for one move.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use unchoke_engine::{Command, TorrentId};
use unchoke_storage::{
    FileFact, Found, PlaceError, Relocation, StateChange, StorageError, StorageSpec, Volume,
};
use unchoke_wire::WireHash;

use super::kept::Kept;
use super::{Keeper, KeeperMessage};
use crate::add::Place;
use crate::error::SessionError;
use crate::shard::ShardMessage;
use crate::torrent::Phase;

/// Who is told how it went.
pub(super) type Done = Sender<Result<(), SessionError>>;

/// Why the storage of a torrent is closed.
#[derive(Debug)]
pub(super) enum Errand {
    /// All its files are checked.
    Check,
    /// Its files are moved.
    Move(Moving),
}

/// A move under way.
#[derive(Debug)]
pub(super) struct Moving {
    to: PathBuf,
    done: Option<Done>,
    is_stopped: Arc<AtomicBool>,
    /// Whether the files are being worked on.
    has_begun: bool,
    /// The name in its engine of one that slept, and that somebody came for meanwhile.
    is_wanted: Option<TorrentId>,
    /// Whether its engine forgot it meanwhile.
    is_removed: Option<Option<TorrentId>>,
}

/// How a step of a move went.
#[derive(Debug)]
pub(crate) enum Moved {
    /// All files are in the new folder, and in the old one.
    Placed(Box<Found>),
    /// They are not; whether all is as it was.
    NotPlaced(StorageError, bool),
    /// The old folder is empty of them, or why it is not.
    Cleared(Result<(), StorageError>),
}

impl Moving {
    fn new(to: PathBuf, done: Option<Done>) -> Self {
        let is_stopped = Arc::default();
        Moving { to, done, is_stopped, has_begun: false, is_wanted: None, is_removed: None }
    }
}

impl Errand {
    /// Ends what is under way as soon as that can be.
    pub(super) fn stop(&self) {
        if let Errand::Move(moving) = self {
            moving.is_stopped.store(true, Ordering::Relaxed);
        }
    }
}

impl Keeper {
    /// The owner wants its files in another folder.
    pub(super) fn relocate(&mut self, hash: WireHash, to: PathBuf, done: Done) {
        match self.can_move(hash, &to) {
            Ok(true) => self.start_errand(hash, Errand::Move(Moving::new(to, Some(done)))),
            Ok(false) => {
                let result = self.move_nothing(hash, to);
                self.let_sleep(hash);
                let _ = done.send(result);
            }
            Err(error) => {
                self.let_sleep(hash);
                let _ = done.send(Err(error));
            }
        }
    }

    /// The owner wants all its files checked.
    pub(super) fn recheck(&mut self, hash: WireHash, done: &Done) {
        let result = self.recall(hash).map_err(SessionError::Stopped).and_then(|()| {
            let kept = self.torrents.get(&hash).filter(|k| k.removing.is_none()).ok_or(SessionError::Gone)?;
            match kept.metainfo() {
                Some(_) if kept.errand.is_none() => Ok(()),
                Some(_) => Err(SessionError::Occupied),
                None => Err(SessionError::NoMetadata),
            }
        });
        let may = result.is_ok();
        let _ = done.send(result);
        match may {
            true => self.start_errand(hash, Errand::Check),
            false => self.let_sleep(hash),
        }
    }

    /// Whether there are files to move, if it may be moved.
    fn can_move(&mut self, hash: WireHash, to: &PathBuf) -> Result<bool, SessionError> {
        self.recall(hash).map_err(SessionError::Stopped)?;
        let kept = self.torrents.get(&hash).filter(|k| k.removing.is_none()).ok_or(SessionError::Gone)?;
        if kept.errand.is_some() {
            return Err(SessionError::Occupied);
        }
        let (Some(stored), Place::Dir(from)) = (&kept.stored, &kept.add.place) else {
            return Err(SessionError::CustomStorage);
        };
        if stored.is_moving() {
            return Err(SessionError::Occupied);
        }
        let Some(metainfo) = kept.metainfo().filter(|_| from != to) else { return Ok(false) };
        let relocation = Relocation::new(StorageSpec::from(&metainfo.info), from, to)?;
        relocation.check()?;
        Ok(true)
    }

    /// Moves one that has no files, or is there already.
    fn move_nothing(&mut self, hash: WireHash, to: PathBuf) -> Result<(), SessionError> {
        let Some(kept) = self.torrents.get_mut(&hash) else { return Err(SessionError::Gone) };
        kept.add.place = Place::Dir(to.clone());
        if let Some(stored) = &mut kept.stored {
            stored.dir = to;
        }
        self.put_entry(hash);
        self.commit_all()
    }

    fn start_errand(&mut self, hash: WireHash, errand: Errand) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        kept.errand = Some(errand);
        kept.cancel.store(true, Ordering::Relaxed);
        let id = kept.entry.state().id;
        match id.filter(|_| kept.is_ready) {
            Some(torrent) => {
                // whoever changes its record meanwhile changes one that says all
                kept.record = kept.to_record().ok().or(kept.record.take());
                kept.is_ready = false;
                kept.entry.shard.send(ShardMessage::Command(Command::CloseStorage(torrent)));
            }
            None => self.begin_errand(hash),
        }
    }

    /// Its engine lets its storage be.
    pub(super) fn storage_closed(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash).filter(|k| k.errand.is_some()) else { return };
        if kept.storage.is_none() {
            return;
        }
        match kept.to_record() {
            Ok(mut record) => {
                // files may have been chosen meanwhile
                if let Some(selection) = kept.add.selection.clone() {
                    record.selection = selection;
                }
                kept.record = Some(record);
            }
            // what cannot be synced is known by none of its facts
            Err(error) => {
                if let Some(record) = &mut kept.record {
                    record.facts.fill(FileFact::Doubtful);
                }
                self.warn(hash, error);
            }
        }
        self.begin_errand(hash);
    }

    fn begin_errand(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash).filter(|k| k.removing.is_none()) else { return };
        kept.storage = None;
        match kept.errand {
            Some(Errand::Check) => self.check_all(hash),
            Some(Errand::Move(_)) => self.begin_move(hash),
            None => {}
        }
    }

    fn check_all(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let (id, is_paused, is_asleep) = {
            let state = kept.entry.state();
            (state.id, state.is_paused, state.is_asleep)
        };
        // one that its engine does not have yet is checked as soon as that has it
        let Some(torrent) = id else { return kept.entry.change(|s| s.is_awaited = true) };
        kept.errand = None;
        kept.checks_all = true;
        kept.entry.change(|s| (s.is_asleep, s.is_complete, s.phase) = (false, false, Phase::Starting));
        if let (true, Some(metainfo)) = (is_asleep, kept.metainfo()) {
            let whole = Box::new(unchoke_wire::Metainfo::clone(&metainfo));
            kept.entry.shard.send(ShardMessage::Command(Command::Wake { torrent, metainfo: whole }));
        }
        // one that failed goes on
        let command = if is_paused { Command::Pause } else { Command::Resume };
        kept.entry.shard.send(ShardMessage::Command(command(torrent)));
        self.open(hash);
    }

    /// Its engine has one that is to be checked. `false` when it is not.
    pub(super) fn is_checked_now(&mut self, hash: WireHash) -> bool {
        let is_it = self.torrents.get(&hash).is_some_and(|k| matches!(k.errand, Some(Errand::Check)));
        if is_it {
            self.check_all(hash);
        }
        is_it
    }

    /// What was under way when the last run ended goes on. `false` when nothing was.
    pub(super) fn goes_on_moving(&mut self, hash: WireHash) -> bool {
        let Some(kept) = self.torrents.get_mut(&hash) else { return false };
        let Some(stored) = kept.stored.as_ref() else { return false };
        if let Some(to) =
            stored.moving_to.clone().or_else(|| stored.moved_from.as_ref().map(|_| stored.dir.clone()))
        {
            if kept.errand.is_none() {
                kept.errand = Some(Errand::Move(Moving::new(to, None)));
                self.begin_move(hash);
            }
            return true;
        }
        false
    }

    /// Writes down what is going to happen, and has it done.
    fn begin_move(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let (Some(Errand::Move(moving)), Some(stored)) = (&mut kept.errand, &mut kept.stored) else { return };
        moving.has_begun = true;
        let is_new = stored.begin_move(moving.to.clone());
        if let Some(record) = &kept.record {
            self.pending.put(StateChange::Record(record.clone()));
        }
        self.put_entry(hash);
        if let Err(error) = self.commit_all() {
            let Some(kept) = self.torrents.get_mut(&hash) else { return };
            match is_new {
                true => {
                    if let Some(stored) = &mut kept.stored {
                        stored.end_move();
                    }
                    self.put_entry(hash);
                    self.end_move(hash, Err(error));
                }
                false => self.break_off(hash, error),
            }
            return;
        }
        let Some(kept) = self.torrents.get(&hash) else { return };
        kept.entry.change(|s| s.phase = Phase::Moving);
        match kept.stored.as_ref().is_some_and(|s| s.is_placed()) {
            true => self.spawn_move(hash, |relocation, _| Moved::Cleared(relocation.clear_source())),
            false => {
                let recorded = kept.record.as_ref().map(|r| r.facts.clone()).unwrap_or_default();
                self.spawn_move(hash, move |relocation, is_stopped| {
                    match relocation.place_recorded(&recorded, is_new, is_stopped) {
                        Ok(found) => Moved::Placed(Box::new(found)),
                        // told to stop it goes on later, unless its owner wants it to go
                        Err(PlaceError { error, is_undone, .. }) => Moved::NotPlaced(error, is_undone),
                    }
                });
            }
        }
    }

    fn spawn_move(
        &mut self,
        hash: WireHash,
        work: impl FnOnce(&Relocation, &AtomicBool) -> Moved + Send + 'static,
    ) {
        let Some(kept) = self.torrents.get(&hash) else { return };
        let relocation = kept.relocation();
        let (Some(Errand::Move(moving)), Some(relocation)) = (&kept.errand, relocation) else { return };
        let relocation = match relocation {
            Ok(relocation) => relocation,
            Err(error) => return self.break_off(hash, error.into()),
        };
        let (is_stopped, own) = (Arc::clone(&moving.is_stopped), self.own.clone());
        let spawned = std::thread::Builder::new().name("mover".to_owned()).spawn(move || {
            let result = work(&relocation, &is_stopped);
            // the session may have ended
            let _ = own.send(KeeperMessage::Moved { hash, result });
        });
        match spawned {
            Ok(thread) => {
                self.movers.retain(|m| !m.is_finished());
                self.movers.push(thread);
            }
            Err(source) => {
                self.break_off(hash, SessionError::System { action: "start a thread", source });
            }
        }
    }

    /// A step of a move is done.
    pub(super) fn moved(&mut self, hash: WireHash, result: Moved) {
        if self.is_ending {
            // the next run goes on with it
            return;
        }
        match result {
            Moved::Placed(found) => self.placed(hash, &found),
            Moved::NotPlaced(error, true) => {
                if let Some(stored) = self.torrents.get_mut(&hash).and_then(|k| k.stored.as_mut()) {
                    stored.end_move();
                }
                self.put_entry(hash);
                let saved = self.commit_all();
                self.end_move(hash, saved.and(Err(error.into())));
            }
            Moved::NotPlaced(error, false) => self.break_off(hash, error.into()),
            Moved::Cleared(result) => {
                if let Err(error) = result {
                    // it is tried again at the next start
                    self.warn(hash, error.to_string());
                } else if let Some(stored) = self.torrents.get_mut(&hash).and_then(|k| k.stored.as_mut()) {
                    stored.end_move();
                }
                self.put_entry(hash);
                let saved = self.commit_all();
                self.end_move(hash, saved);
            }
        }
    }

    /// All files are in the new folder: from now on that is where the torrent is.
    fn placed(&mut self, hash: WireHash, found: &Found) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let Some(stored) = kept.stored.as_mut().filter(|s| s.moving_to.is_some()) else { return };
        stored.settle_in();
        kept.add.place = Place::Dir(stored.dir.clone());
        let metainfo = kept.metainfo();
        let storage = metainfo.and_then(|m| kept.open(&m.info, &self.pool).ok());
        if let (Some(record), Some(storage)) = (&mut kept.record, storage) {
            record.carry(found, &storage.facts());
            self.pending.put(StateChange::Record(record.clone()));
        }
        self.put_entry(hash);
        match self.commit_all() {
            // only now may anything be removed
            Ok(()) => self.spawn_move(hash, |relocation, _| Moved::Cleared(relocation.clear_source())),
            Err(error) => self.break_off(hash, error),
        }
    }

    /// It cannot go on at present. The torrent stops, and a resume or the next start tries again.
    fn break_off(&mut self, hash: WireHash, error: SessionError) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let errand = kept.errand.take();
        self.fail(hash, error.to_string());
        if let Some(Errand::Move(moving)) = errand {
            if let Some(done) = moving.done {
                let _ = done.send(Err(error));
            }
            if let Some(torrent) = moving.is_removed {
                self.removed(hash, torrent);
            }
        }
    }

    /// It is over: the torrent goes on, or sleeps on, where it is.
    fn end_move(&mut self, hash: WireHash, result: Result<(), SessionError>) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let Some(Errand::Move(moving)) = kept.errand.take() else { return };
        let (id, is_asleep, is_paused) = {
            let state = kept.entry.state();
            (state.id, state.is_asleep, state.is_paused)
        };
        let phase = if is_asleep { Phase::Running } else { Phase::Starting };
        kept.entry.change(|s| s.phase = phase);
        if let Some(torrent) = moving.is_removed {
            self.removed(hash, torrent);
        } else if is_asleep {
            self.let_sleep(hash);
            if let Some(torrent) = moving.is_wanted {
                self.wake(hash, torrent);
            }
        } else if let Some(torrent) = id {
            if !is_paused {
                kept.entry.shard.send(ShardMessage::Command(Command::Resume(torrent)));
            }
            self.open(hash);
        }
        if let Some(done) = moving.done {
            // who waited may have gone
            let _ = done.send(result);
        }
    }

    /// Lets go of what was read of one that sleeps.
    fn let_sleep(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get(&hash) else { return };
        let may_go = kept.errand.is_none() && kept.removing.is_none() && !kept.is_ready;
        let is_asleep = kept.entry.state().is_asleep;
        if is_asleep && may_go && kept.entry.state().id.is_some() && !self.pending.has_failed {
            kept.entry.change(|s| s.metainfo = None);
            self.torrents.remove(&hash);
        }
    }

    /// Somebody wants a torrent whose files are on their way. `false` when they are not.
    pub(super) fn waits_for_move(&mut self, hash: WireHash, torrent: TorrentId) -> bool {
        match self.torrents.get_mut(&hash).and_then(|k| k.errand.as_mut()) {
            Some(Errand::Move(moving)) => {
                moving.is_wanted = Some(torrent);
                true
            }
            _ => false,
        }
    }

    /// Its engine has forgotten a torrent whose files are on their way: it goes when they are. `false` when they are not.
    pub(super) fn is_removed_while_moving(&mut self, hash: WireHash, torrent: Option<TorrentId>) -> bool {
        match self.torrents.get_mut(&hash).and_then(|k| k.errand.as_mut()) {
            Some(Errand::Move(moving)) if moving.has_begun => {
                moving.is_removed = Some(torrent);
                true
            }
            _ => false,
        }
    }

    /// Makes all changes durable.
    fn commit_all(&mut self) -> Result<(), SessionError> {
        self.commit().map_err(SessionError::NotSaved)
    }
}

impl Kept {
    /// The way of its files, while they are on it.
    pub(super) fn relocation(&self) -> Option<Result<Relocation, StorageError>> {
        let (stored, metainfo) = (self.stored.as_ref()?, self.metainfo()?);
        stored.relocation(&Volume::default(), StorageSpec::from(&metainfo.info))
    }

    /// Makes one folder of two before its data is deleted.
    pub(super) fn tidy_move(&self) -> Result<(), String> {
        let Some(relocation) = self.relocation() else { return Ok(()) };
        let is_placed = self.stored.as_ref().is_some_and(|s| s.is_placed());
        relocation.and_then(|r| r.tidy(is_placed)).map_err(|e| e.to_string())
    }
}

/// The kind of error that tells a full disk.
pub(super) fn is_full(error: &unchoke_storage::StateError) -> bool {
    matches!(error, unchoke_storage::StateError::Storage(e) if e.kind.is_full())
}
