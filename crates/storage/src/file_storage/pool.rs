//! A bounded set of open descriptors, shared by all torrents of a process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::volume::{self, File};

/// Open files, the least recently used closed first. A file handed out stays open as long as somebody holds it.
#[derive(Debug)]
pub struct FilePool {
    open_max: usize,
    inner: Mutex<Inner>,
}

/// Files opened without trouble after which a pool that was made smaller takes one more.
const RECOVER_AFTER: usize = 16;

/// Which file of which torrent: a number given by [`FilePool::join`] and one chosen by the torrent.
pub(super) type Key = (u64, u32);

#[derive(Debug, Default)]
struct Inner {
    open: BTreeMap<Key, Entry>,
    /// How many fewer than the most may be open, since descriptors ran out.
    held_back: usize,
    /// Files opened since that was changed last.
    opened: usize,
    clock: u64,
    joined: u64,
}

#[derive(Debug)]
struct Entry {
    file: Arc<File>,
    is_writable: bool,
    /// Whether its file system is memory: nothing ever waits for a disk.
    is_in_memory: bool,
    used: u64,
}

impl FilePool {
    /// Descriptors kept open unless told otherwise.
    pub const OPEN_DEFAULT: usize = 64;

    /// A pool that keeps at most `open_max` descriptors open (at least one).
    pub fn new(open_max: usize) -> Arc<Self> {
        Arc::new(FilePool { open_max: open_max.max(1), inner: Mutex::default() })
    }

    /// Descriptors open now.
    pub fn open_count(&self) -> usize {
        self.inner().open.len()
    }

    /// A number for one more torrent.
    pub(super) fn join(&self) -> u64 {
        let mut inner = self.inner();
        inner.joined += 1;
        inner.joined
    }

    pub(super) fn find(&self, key: Key, writable: bool) -> Option<Arc<File>> {
        self.inner().find(key, writable).map(|e| Arc::clone(&e.file))
    }

    /// For reading without waiting: also says whether the file's system is memory.
    pub(super) fn find_ready(&self, key: Key) -> Option<(Arc<File>, bool)> {
        self.inner().find(key, false).map(|e| (Arc::clone(&e.file), e.is_in_memory))
    }

    pub(super) fn put(&self, key: Key, file: File, is_writable: bool) -> Arc<File> {
        let is_in_memory = volume::is_in_memory(&file);
        let file = Arc::new(file);
        let mut inner = self.inner();
        inner.clock += 1;
        let entry = Entry { file: Arc::clone(&file), is_writable, is_in_memory, used: inner.clock };
        let replaced = inner.open.insert(key, entry);
        inner.opened += 1;
        if inner.opened >= RECOVER_AFTER {
            (inner.held_back, inner.opened) = (inner.held_back.saturating_sub(1), 0);
        }
        let max = self.open_max.saturating_sub(inner.held_back).max(1);
        let shut = inner.shrink(max);
        // closing may take its time on some file systems, and others wait for the lock
        drop(inner);
        drop((replaced, shut));
        file
    }

    /// Closes the older half: what to do when the process has run out of descriptors. The pool stays that small, and
    /// grows back as files are opened without trouble.
    pub(super) fn shed(&self) {
        let mut inner = self.inner();
        let half = inner.open.len() / 2;
        (inner.held_back, inner.opened) = (self.open_max.saturating_sub(half.max(1)), 0);
        let shut = inner.shrink(half);
        drop(inner);
        drop(shut);
    }

    pub(super) fn close(&self, key: Key) {
        let shut = self.inner().open.remove(&key);
        drop(shut);
    }

    pub(super) fn close_all(&self, torrent: u64) {
        let mut inner = self.inner();
        let shut = inner.open.extract_if((torrent, 0)..=(torrent, u32::MAX), |_, _| true).collect::<Vec<_>>();
        drop(inner);
        drop(shut);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&mut self, key: Key, writable: bool) -> Option<&Entry> {
        self.clock += 1;
        let entry = self.open.get_mut(&key).filter(|e| e.is_writable || !writable)?;
        entry.used = self.clock;
        Some(entry)
    }

    /// Takes out the least recently used until `max` are left; to be closed by the caller.
    fn shrink(&mut self, max: usize) -> Vec<Entry> {
        let mut shut = Vec::new();
        while self.open.len() > max {
            let Some(oldest) = self.open.iter().min_by_key(|(_, e)| e.used).map(|(k, _)| *k) else { break };
            shut.extend(self.open.remove(&oldest));
        }
        shut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_file_is_closed_first() {
        let pool = FilePool::new(2);
        let torrent = pool.join();
        let file = || File::Machine(tempfile::tempfile().unwrap());
        pool.put((torrent, 1), file(), false);
        pool.put((torrent, 2), file(), true);
        assert!(pool.find((torrent, 1), false).is_some());
        pool.put((torrent, 3), file(), true);
        assert!(pool.find((torrent, 2), false).is_none());
        assert!(pool.find((torrent, 1), true).is_none(), "open for reading only");
        assert_eq!(pool.open_count(), 2);
        pool.shed();
        assert_eq!(pool.open_count(), 1);
        pool.close_all(torrent);
        assert_eq!(pool.open_count(), 0);
    }

    //= H3e-4
    #[test]
    fn a_pool_that_ran_out_of_descriptors_is_smaller_and_grows_back() {
        let pool = FilePool::new(8);
        let torrent = pool.join();
        let open = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                pool.put((torrent, number), File::Machine(tempfile::tempfile().unwrap()), false);
            }
            pool.open_count()
        };
        assert_eq!(open(0..8), 8);
        pool.shed();
        assert_eq!(open(8..16), 4, "no more than were left");
        assert_eq!(open(16..24), 5);
        assert_eq!(open(24..100), 8, "it has recovered");
    }
}
