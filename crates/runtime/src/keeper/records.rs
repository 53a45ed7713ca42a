//! Where torrents are kept between runs: a file for each, or one store for all of a session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;
use unchoke_engine::TorrentId;
use unchoke_storage::{Loaded, ResumeLock, ResumeStore, StateChange, StateStore, TorrentEntry};
use unchoke_wire::WireHash;

use super::COMMIT_WAIT;
use crate::config::SessionConfig;
use crate::error::{NotSaved, SessionError};

/// Where torrents are kept.
#[derive(Clone, Debug)]
pub(crate) enum Records {
    /// Nowhere.
    None,
    /// The progress of each in a file of its own, for whoever adds it anew.
    Files(Arc<ResumeStore>),
    /// All there is to know of all of them.
    State(Arc<StateStore>),
}

impl Records {
    pub(crate) fn open(config: &SessionConfig) -> Result<Self, SessionError> {
        match (&config.state_dir, &config.resume_dir) {
            (Some(dir), _) => {
                let store = StateStore::open(dir)?;
                if config.state_reserve_len > 0 {
                    store.reserve(config.state_reserve_len);
                }
                Ok(Records::State(Arc::new(store)))
            }
            (None, Some(dir)) => Ok(Records::Files(Arc::new(ResumeStore::open(dir)?))),
            (None, None) => Ok(Records::None),
        }
    }

    /// Takes a torrent for this process. A state store is this process's as a whole.
    pub(crate) fn lock(&self, hash: WireHash) -> Result<Option<ResumeLock>, SessionError> {
        match self {
            Records::Files(store) => Ok(Some(store.lock(hash)?)),
            Records::State(_) | Records::None => Ok(None),
        }
    }

    pub(crate) fn load(&self, hash: WireHash) -> Result<Loaded, SessionError> {
        match self {
            Records::Files(store) => Ok(store.load(hash)?),
            Records::State(store) => Ok(store.record(hash)?),
            Records::None => Ok(Loaded::default()),
        }
    }

    pub(crate) fn state(&self) -> Option<&Arc<StateStore>> {
        match self {
            Records::State(store) => Some(store),
            Records::Files(_) | Records::None => None,
        }
    }
}

/// In which order the changes of one torrent are made: what was there goes before what comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Remove,
    Entry,
    Metainfo,
    Record,
}

/// Changes on their way to the state store: those that come together share a transaction.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: BTreeMap<(WireHash, Kind), StateChange>,
    /// Who is told when they are durable.
    pub(super) waiters: Vec<Sender<Result<(), NotSaved>>>,
    /// Torrents that are gone once they are.
    pub(super) removed: Vec<(WireHash, Option<TorrentId>)>,
    /// Whether the store did not take them the last time.
    pub(super) has_failed: bool,
    /// Whether they should not wait for others, though nobody waits for them.
    pub(super) is_urgent: bool,
    /// When the first of them came.
    since: Option<Instant>,
}

impl Pending {
    /// Takes a change in. Of each kind the latest counts.
    pub(super) fn put(&mut self, change: StateChange) {
        let (hash, kind) = match &change {
            StateChange::Entry(hash, _) => (*hash, Kind::Entry),
            StateChange::Metainfo(hash, _) => (*hash, Kind::Metainfo),
            StateChange::Record(record) => (record.info_hash, Kind::Record),
            StateChange::Remove(hash) => (*hash, Kind::Remove),
        };
        if kind == Kind::Remove {
            for kind in [Kind::Entry, Kind::Metainfo, Kind::Record] {
                self.changes.remove(&(hash, kind));
            }
        }
        self.changes.insert((hash, kind), change);
        self.since.get_or_insert_with(Instant::now);
    }

    /// The entry of a torrent that is to be stored.
    pub(super) fn entry(&self, hash: WireHash) -> Option<&TorrentEntry> {
        match self.changes.get(&(hash, Kind::Entry)) {
            Some(StateChange::Entry(_, entry)) => Some(entry),
            _ => None,
        }
    }

    /// All changes in the order they are made.
    pub(super) fn take(&mut self) -> Vec<StateChange> {
        (self.since, self.is_urgent) = (None, false);
        std::mem::take(&mut self.changes).into_values().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// When they wait for others no longer; `None` when nothing is to be committed.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.since.filter(|_| self.is_waiting()).map(|since| since + COMMIT_WAIT)
    }

    /// Whether they have waited long enough for others.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let is_awaited = !self.waiters.is_empty() || !self.removed.is_empty() || self.is_urgent;
        is_awaited || self.waits_until().is_some_and(|at| at <= now)
    }

    /// Whether something waits for a commit.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiters.is_empty() || !self.removed.is_empty() || (!self.changes.is_empty() && !self.has_failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_storage::ResumeRecord;
    use unchoke_wire::InfoHashes;

    #[test]
    fn of_changes_to_one_torrent_the_latest_count_and_a_removal_comes_first() {
        let hashes = InfoHashes::v1_of(b"a");
        let hash = hashes.best().unwrap().wire();
        let entry = |added_at| TorrentEntry::new(hashes, "/x".into(), added_at);
        let mut pending = Pending::default();
        pending.put(StateChange::Record(ResumeRecord::new(hash, hashes)));
        pending.put(StateChange::Entry(hash, entry(1)));
        pending.put(StateChange::Remove(hash));
        pending.put(StateChange::Metainfo(hash, b"m".to_vec()));
        pending.put(StateChange::Entry(hash, entry(2)));
        pending.put(StateChange::Entry(hash, entry(3)));
        assert_eq!(pending.entry(hash), Some(&entry(3)));
        let expected = [
            StateChange::Remove(hash),
            StateChange::Entry(hash, entry(3)),
            StateChange::Metainfo(hash, b"m".to_vec()),
        ];
        assert_eq!(pending.take(), expected);
        assert_eq!(pending.len(), 0);
    }
}
