//! What the threads of a session know together of a torrent.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use unchoke_engine::{ShardId, TorrentId};
use unchoke_storage::TorrentEntry;
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::{InfoHashes, WireHash};

use crate::error::{NotSaved, SessionError};
use crate::mailbox::Mailbox;
use crate::shard::ShardMessage;

/// A torrent of the session.
#[derive(Debug)]
pub(crate) struct Torrent {
    pub(crate) hash: WireHash,
    pub(crate) hashes: InfoHashes,
    pub(crate) shard_id: ShardId,
    pub(crate) shard: Mailbox<ShardMessage>,
    state: Mutex<State>,
    changed: Condvar,
}

/// What changes.
#[derive(Debug)]
pub(crate) struct State {
    /// Its name in its engine.
    pub(crate) id: Option<TorrentId>,
    pub(crate) phase: Phase,
    /// The metadata, once known.
    pub(crate) metainfo: Option<Arc<Metainfo>>,
    /// Whether the owner wants it to rest.
    pub(crate) is_paused: bool,
    /// Whether all wanted pieces are there, finished and synced.
    pub(crate) is_complete: bool,
    /// Whether its engine lets it sleep: then its metadata is in the state store alone.
    pub(crate) is_asleep: bool,
    /// Whether the keeper has something to tell its engine as soon as that has it.
    pub(crate) is_awaited: bool,
    /// Its name, once known.
    pub(crate) name: Option<Box<str>>,
    /// Bytes in all, once known.
    pub(crate) total_len: Option<u64>,
    /// What is wrong and stops nothing.
    pub(crate) trouble: Option<Box<str>>,
    /// Why its removal is not on the disk yet.
    pub(crate) unsaved: Option<NotSaved>,
}

/// How far a torrent has come, as the shell sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Not known to its engine, or waiting for metadata or storage.
    Starting,
    /// Its files are being checked.
    Checking { done: u32, total: u32 },
    /// Its files are being moved.
    Moving,
    /// The engine has it.
    Running,
    /// It stopped.
    Failed(String),
    /// It is not in the session any more.
    Gone,
}

/// All torrents of a session by their hash.
pub(crate) type Registry = Mutex<BTreeMap<WireHash, Arc<Torrent>>>;

/// The registry, whatever became of a thread that held it.
pub(crate) fn locked(registry: &Registry) -> MutexGuard<'_, BTreeMap<WireHash, Arc<Torrent>>> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Of a torrent that is about to start.
    pub(crate) fn starting(metainfo: Option<Arc<Metainfo>>, is_paused: bool) -> Self {
        let mut state = State {
            id: None,
            phase: Phase::Starting,
            metainfo: None,
            is_paused,
            is_complete: false,
            is_asleep: false,
            is_awaited: false,
            name: None,
            total_len: None,
            trouble: None,
            unsaved: None,
        };
        if let Some(metainfo) = metainfo {
            state.knows(metainfo);
        }
        state
    }

    /// Of a torrent that sleeps.
    pub(crate) fn asleep(stored: &TorrentEntry) -> Self {
        let is_whole = !stored.seed_only || stored.have == stored.pieces;
        State {
            id: None,
            phase: Phase::Running,
            metainfo: None,
            is_paused: stored.is_paused,
            is_complete: stored.left == Some(0) && is_whole,
            is_asleep: true,
            is_awaited: false,
            name: stored.name.clone().map(String::into_boxed_str),
            total_len: stored.total_len,
            trouble: None,
            unsaved: None,
        }
    }

    /// Takes in the metadata.
    pub(crate) fn knows(&mut self, metainfo: Arc<Metainfo>) {
        self.name = Some(metainfo.info.name.as_str().into());
        self.total_len = Some(metainfo.info.payload_len());
        self.metainfo = Some(metainfo);
    }
}

impl Torrent {
    pub(crate) fn new(
        hash: WireHash,
        hashes: InfoHashes,
        shard_id: ShardId,
        shard: Mailbox<ShardMessage>,
        state: State,
    ) -> Self {
        let state = Mutex::new(state);
        Torrent { hash, hashes, shard_id, shard, state, changed: Condvar::new() }
    }

    /// What it is now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it and tells who waits.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until `find` finds something, it fails or goes away, or the time is up.
    pub(crate) fn wait<T>(
        &self,
        timeout: Duration,
        find: impl Fn(&State) -> Option<T>,
    ) -> Result<T, SessionError> {
        let is_over = |s: &State| matches!(s.phase, Phase::Failed(_) | Phase::Gone) || find(s).is_some();
        self.wait_until(timeout, is_over);
        let state = self.state();
        match (find(&state), &state.phase) {
            (Some(found), _) => Ok(found),
            (None, Phase::Failed(error)) => Err(SessionError::Stopped(error.clone())),
            (None, Phase::Gone) => Err(SessionError::Gone),
            _ => Err(SessionError::Timeout(timeout.as_secs())),
        }
    }

    /// Waits until `is_so`, or the time is up; says which.
    pub(crate) fn wait_until(&self, timeout: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), timeout, |s| !is_so(s));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}
