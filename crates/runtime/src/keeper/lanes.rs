//! Threads for what may wait for a disk: work of one lane is done in order and one piece at a time, that of others goes on
//! meanwhile. What hangs keeps its own lane waiting and nobody else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use unchoke_wire::WireHash;

use super::KeeperMessage;

/// Lanes that are worked on at once; the work of others waits for the first that ends. A thread that has nothing to do
/// costs its stack alone.
const RUNNING_MAX: usize = 32;

/// What has to wait for what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Lane {
    /// All of a disk.
    Disk(u64),
    /// Checks of files on a disk: two would only fight over it, and one may take hours.
    Check(u64),
    /// A folder of which nobody knows yet what disk it is on.
    Folder(PathBuf),
    /// What has to do with one torrent alone.
    Own(WireHash),
}

/// Something to do, and what the keeper is told when it is done.
pub(super) type Work = Box<dyn FnOnce() -> Option<KeeperMessage> + Send>;

/// The lanes. The keeper owns them, and is told by a message when a piece of work is done.
pub(super) struct Lanes {
    jobs: Sender<(Lane, Work)>,
    taken: Receiver<(Lane, Work)>,
    keeper: Sender<KeeperMessage>,
    threads: Vec<JoinHandle<()>>,
    running: BTreeSet<Lane>,
    /// What waits for its lane. A lane without anything is not in it.
    waiting: BTreeMap<Lane, VecDeque<Work>>,
}

impl Lanes {
    /// Threads are started as they are needed.
    pub(super) fn new(keeper: Sender<KeeperMessage>) -> Self {
        let (jobs, taken) = crossbeam_channel::unbounded();
        let (threads, running, waiting) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        Lanes { jobs, taken, keeper, threads, running, waiting }
    }

    /// Has something done when all that came before in this lane is.
    pub(super) fn run(&mut self, lane: Lane, work: Work) {
        self.waiting.entry(lane).or_default().push_back(work);
        self.start();
    }

    /// The work of this lane that was under way is done.
    pub(super) fn done(&mut self, lane: &Lane) {
        self.running.remove(lane);
        self.start();
    }

    /// Whether nothing is under way, and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Lets the threads go. Those that hang are left behind.
    pub(super) fn end(self) {
        let Lanes { jobs, threads, running, .. } = self;
        drop(jobs);
        let may_hang = !running.is_empty();
        for thread in threads {
            if !may_hang || thread.is_finished() {
                // what panicked was told
                let _ = thread.join();
            }
        }
    }

    fn start(&mut self) {
        while self.running.len() < RUNNING_MAX {
            let next = self.waiting.keys().find(|lane| !self.running.contains(*lane)).cloned();
            let Some(lane) = next else { return };
            let Some(queue) = self.waiting.get_mut(&lane) else { return };
            let work = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&lane);
            }
            let Some(work) = work else { continue };
            self.running.insert(lane.clone());
            if self.jobs.send((lane, work)).is_ok() && self.running.len() > self.threads.len() {
                self.add_thread();
            }
        }
    }

    fn add_thread(&mut self) {
        let (taken, keeper) = (self.taken.clone(), self.keeper.clone());
        let take = move || taken.into_iter().for_each(|(lane, work)| run(lane, work, &keeper));
        match std::thread::Builder::new().name("disk".to_owned()).spawn(take) {
            Ok(thread) => self.threads.push(thread),
            Err(error) if self.threads.is_empty() => {
                tracing::warn!(%error, "no thread for a disk; the session waits for it");
                self.taken.try_iter().for_each(|(lane, work)| run(lane, work, &self.keeper));
            }
            // one of the others takes it up
            Err(error) => tracing::warn!(%error, "no more threads for disks"),
        }
    }
}

fn run(lane: Lane, work: Work, keeper: &Sender<KeeperMessage>) {
    // a panic is told by who began the work
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_default().map(Box::new);
    // the keeper may have ended
    let _ = keeper.send(KeeperMessage::LaneDone { lane, outcome });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, unbounded};
    use std::time::Duration;
    use unchoke_storage::Gate;

    /// Takes what lanes tell until `count` pieces of work are done; answers whose they were.
    fn take(lanes: &mut Lanes, inbox: &Receiver<KeeperMessage>, count: usize) -> Vec<Lane> {
        let mut done = Vec::new();
        while done.len() < count {
            if let KeeperMessage::LaneDone { lane, .. } = inbox.recv_timeout(Duration::from_secs(60)).unwrap()
            {
                lanes.done(&lane);
                done.push(lane);
            }
        }
        done
    }

    //= H3e-5
    #[test]
    fn a_lane_that_hangs_keeps_its_own_work_waiting_and_no_other() {
        let (own, inbox) = unbounded();
        let mut lanes = Lanes::new(own);
        let (gate, order) = (Gate::shut(), unbounded());
        let wait = gate.clone();
        lanes.run(
            Lane::Disk(1),
            Box::new(move || {
                wait.pass();
                None
            }),
        );
        assert!(gate.wait_for(1, Duration::from_secs(60)));
        let say = |n: u64, say: Sender<u64>| -> Work {
            Box::new(move || {
                say.send(n).unwrap();
                None
            })
        };
        // more lanes than are worked on at once, and three pieces of work for each
        for n in 1..100 {
            (0..3).for_each(|k| lanes.run(Lane::Disk(n), say(n * 10 + k, order.0.clone())));
        }
        let done = take(&mut lanes, &inbox, 98 * 3);
        assert!(!done.contains(&Lane::Disk(1)));
        gate.open();
        assert_eq!(take(&mut lanes, &inbox, 4), vec![Lane::Disk(1); 4]);
        assert!(lanes.is_idle());
        let said: Vec<u64> = order.1.try_iter().collect();
        for n in 1..100 {
            let of_lane: Vec<u64> = said.iter().copied().filter(|s| s / 10 == n).collect();
            assert_eq!(of_lane, [n * 10, n * 10 + 1, n * 10 + 2], "in order");
        }
        lanes.end();
    }

    #[test]
    fn work_that_panics_frees_its_lane() {
        let (own, inbox) = unbounded();
        let mut lanes = Lanes::new(own);
        lanes.run(Lane::Disk(1), Box::new(|| panic!("of the owner's storage")));
        lanes.run(Lane::Disk(1), Box::new(|| None));
        assert_eq!(take(&mut lanes, &inbox, 2).len(), 2);
        lanes.end();
    }
}
