//! What the keeper has done with disks: never by its own thread, so that one that hangs keeps nobody waiting but its own
//! torrents. Whatever concerns a torrent waits, in order, as long as something of it is under way.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::RecvTimeoutError;
use std::time::Instant;
use unchoke_engine::Event;
use unchoke_wire::WireHash;

use super::kept::Kept;
use super::lanes::Lane;
use super::{Keeper, KeeperMessage};
use crate::add::Place;
use crate::torrent::Phase;

/// What is under way with the disk of a torrent, and what waits for that. Bounded by its sources: the disk that would
/// make more of it is the one waited for, and owners wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Busy {
    jobs: Vec<u64>,
    deferred: VecDeque<KeeperMessage>,
}

/// What the keeper does when something was done with a disk.
pub(crate) struct Then(Box<dyn FnOnce(&mut Keeper) + Send>);

impl std::fmt::Debug for Then {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Then")
    }
}

impl KeeperMessage {
    /// The torrent it is about, if it is about one that is kept already.
    fn hash(&self) -> Option<WireHash> {
        match self {
            KeeperMessage::Event { hash, .. }
            | KeeperMessage::Pieces { hash, .. }
            | KeeperMessage::Checked { hash, .. }
            | KeeperMessage::Looked { hash, .. }
            | KeeperMessage::Pause { hash, .. }
            | KeeperMessage::Select { hash, .. }
            | KeeperMessage::Move { hash, .. }
            | KeeperMessage::Recheck { hash, .. }
            | KeeperMessage::Moved { hash, .. }
            | KeeperMessage::Remove { hash, .. }
            | KeeperMessage::Saved { hash, .. } => Some(*hash),
            _ => None,
        }
    }
}

impl Keeper {
    /// Has `work` done where only that disk's work waits, `then` this thread goes on. A torrent that is forgotten
    /// meanwhile does not.
    pub(super) fn on_disk<T: Send + 'static>(
        &mut self,
        hash: WireHash,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Keeper, T) + Send + 'static,
    ) {
        let lane = self.torrents.get(&hash).map_or(Lane::Own(hash), |kept| self.lane_of(kept));
        self.in_lane(lane, hash, work, then);
    }

    /// As [`Self::on_disk`], for what has to do with more disks than that of the torrent.
    pub(super) fn in_own_lane<T: Send + 'static>(
        &mut self,
        hash: WireHash,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Keeper, T) + Send + 'static,
    ) {
        self.in_lane(Lane::Own(hash), hash, work, then);
    }

    fn in_lane<T: Send + 'static>(
        &mut self,
        lane: Lane,
        hash: WireHash,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Keeper, T) + Send + 'static,
    ) {
        self.jobs_begun += 1;
        let job = self.jobs_begun;
        self.busy.entry(hash).or_default().jobs.push(job);
        let work = move || {
            let outcome = catch_unwind(AssertUnwindSafe(work));
            let then = move |keeper: &mut Keeper| match outcome {
                Ok(outcome) => then(keeper, outcome),
                Err(_) => keeper.fail(hash, "the storage panicked; this is a bug".to_owned()),
            };
            Some(KeeperMessage::Done { hash, job, then: Then(Box::new(then)) })
        };
        self.lanes.run(lane, Box::new(work));
    }

    fn lane_of(&self, kept: &Kept) -> Lane {
        match (&kept.storage, &kept.add.place) {
            (Some(place), _) => Lane::Disk(place.disk),
            (None, Place::Dir(dir)) => match self.disks.get(dir) {
                Some(disk) => Lane::Disk(*disk),
                None => Lane::Folder(dir.clone()),
            },
            (None, Place::Custom(_)) => Lane::Own(kept.entry.hash),
        }
    }

    /// Whether something of the torrent is under way with a disk.
    pub(super) fn is_busy(&self, hash: WireHash) -> bool {
        self.busy.get(&hash).is_some_and(|busy| !busy.jobs.is_empty())
    }

    /// Something was done with a disk: the torrent goes on, and what waited for that is taken up.
    pub(super) fn done(&mut self, hash: WireHash, job: u64, then: Then) {
        let Some(busy) = self.busy.get_mut(&hash).filter(|b| b.jobs.contains(&job)) else { return };
        busy.jobs.retain(|j| *j != job);
        (then.0)(self);
        while let Some(busy) = self.busy.get_mut(&hash).filter(|b| b.jobs.is_empty()) {
            match busy.deferred.pop_front() {
                Some(message) => self.take(message),
                None => _ = self.busy.remove(&hash),
            }
        }
    }

    /// Takes a message, or puts it off while a disk is waited for.
    pub(super) fn message(&mut self, message: KeeperMessage) {
        match message.hash().filter(|hash| self.is_busy(*hash) && !self.overtakes(*hash, &message)) {
            None => self.take(message),
            Some(hash) => self.busy.entry(hash).or_default().deferred.push_back(message),
        }
    }

    /// Whether it needs no disk, so that a torrent whose disk hangs can still be paused and removed.
    fn overtakes(&mut self, hash: WireHash, message: &KeeperMessage) -> bool {
        let Some(kept) = self.torrents.get(&hash) else { return false };
        let is_pause = |m: &KeeperMessage| matches!(m, KeeperMessage::Pause { .. });
        let is_choice = |m: &KeeperMessage| matches!(m, KeeperMessage::Select { .. });
        match message {
            KeeperMessage::Pause { is_paused, .. } => {
                let has_failed = matches!(kept.entry.state().phase, Phase::Failed(_));
                if let Some(busy) = self.busy.get_mut(&hash) {
                    // the last word counts
                    busy.deferred.retain(|m| !is_pause(m));
                }
                *is_paused || !has_failed
            }
            KeeperMessage::Remove { .. } => true,
            KeeperMessage::Event { event: Event::Removed { .. }, .. } => kept.removing == Some(false),
            KeeperMessage::Saved { .. } => {
                let waits = |m: &KeeperMessage| is_pause(m) || is_choice(m);
                !kept.has_chosen && !self.busy.get(&hash).is_some_and(|b| b.deferred.iter().any(waits))
            }
            _ => false,
        }
    }

    /// What is under way or waits for a torrent that goes is of no interest any more.
    pub(super) fn forget_work(&mut self, hash: WireHash) {
        self.busy.remove(&hash);
    }

    /// Saves all that is behind at the end of the session, as long as disks get on with it.
    pub(super) fn save_all(&mut self) {
        let mut unsaved = self.hashes();
        unsaved.retain(|hash| self.torrents[hash].is_behind());
        let now: Vec<WireHash> = unsaved.iter().copied().filter(|hash| !self.is_busy(*hash)).collect();
        unsaved.retain(|hash| self.is_busy(*hash));
        now.into_iter().for_each(|hash| self.save(hash));
        let mut deadline = Instant::now() + self.disk_wait;
        while !self.lanes.is_idle() {
            match self.inbox.recv_deadline(deadline) {
                Ok(message) => {
                    if matches!(message, KeeperMessage::LaneDone { .. }) {
                        deadline = Instant::now() + self.disk_wait;
                    }
                    self.message(message);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            // those that something else was done for have their turn when that is over
            let (later, now): (Vec<_>, Vec<_>) = unsaved.into_iter().partition(|hash| self.is_busy(*hash));
            unsaved = later;
            for hash in now {
                if self.torrents.get(&hash).is_some_and(Kept::is_behind) {
                    self.save(hash);
                }
            }
        }
        let is_behind = |hash: &WireHash| self.torrents.get(hash).is_some_and(Kept::is_behind);
        let hangs = self.busy.iter().filter(|(hash, busy)| is_behind(hash) || !busy.deferred.is_empty());
        let hangs: Vec<WireHash> = hangs.map(|(hash, _)| *hash).collect();
        for hash in hangs {
            let text = "not saved, as its disk does not answer; what came lately is checked or got again";
            self.warn(hash, text.to_owned());
        }
    }
}
