//! Memory of pieces that were written, for the pieces to come.
//!
//! Fresh memory is paid for page by page when it is touched first. A download that goes on as fast as it can fills the
//! same buffers again and again, and what it does not need any more is given back within two seconds.

use std::collections::BTreeMap;

/// Free buffers by their length.
#[derive(Debug, Default)]
pub struct BufferPool {
    shelves: BTreeMap<usize, Shelf>,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    free: Vec<Box<[u8]>>,
    /// The fewest that were free since [`BufferPool::drop_unused`]: so many were not needed.
    least: usize,
}

impl BufferPool {
    /// A buffer of this length, with whatever it held last. One that has to be made takes the room of free ones of
    /// other lengths, so that what is in use and what is free together stay what was in use at once.
    pub fn take(&mut self, len: usize) -> Box<[u8]> {
        let used = self.shelves.get_mut(&len).and_then(|shelf| {
            let used = shelf.free.pop();
            shelf.least = shelf.least.min(shelf.free.len());
            used
        });
        match used {
            Some(used) => {
                self.bytes -= len as u64;
                used
            }
            None => {
                self.shrink(self.bytes.saturating_sub(len as u64));
                vec![0; len].into_boxed_slice()
            }
        }
    }

    /// Takes a buffer that is not needed now. An empty one is of no use and is dropped.
    pub fn put(&mut self, buffer: Box<[u8]>) {
        if !buffer.is_empty() {
            self.bytes += buffer.len() as u64;
            self.shelves.entry(buffer.len()).or_default().free.push(buffer);
        }
    }

    /// Bytes of the free buffers.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Drops what was not needed since the last call. Called about once a second.
    pub fn drop_unused(&mut self) {
        for (len, shelf) in &mut self.shelves {
            shelf.free.truncate(shelf.free.len() - shelf.least);
            self.bytes -= (shelf.least * len) as u64;
            shelf.least = shelf.free.len();
        }
        self.shelves.retain(|_, shelf| !shelf.free.is_empty());
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.shelves.clear();
        self.bytes = 0;
    }

    /// Drops buffers, the longest first, until `bytes_max` bytes are left at most.
    fn shrink(&mut self, bytes_max: u64) {
        while self.bytes > bytes_max {
            let Some(mut last) = self.shelves.last_entry() else { return };
            if last.get_mut().free.pop().is_some() {
                self.bytes -= *last.key() as u64;
                let shelf = last.get_mut();
                shelf.least = shelf.least.min(shelf.free.len());
            } else {
                last.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_given_back_when_it_is_not_needed() {
        let mut pool = BufferPool::default();
        let (a, b) = (pool.take(30), pool.take(30));
        let place = b.as_ptr();
        pool.put(a);
        pool.put(b);
        pool.put(Box::default());
        assert_eq!(pool.bytes, 60);
        let again = pool.take(30);
        assert_eq!((again.as_ptr(), pool.bytes), (place, 30));
        pool.put(again);
        pool.drop_unused();
        assert_eq!(pool.bytes, 60, "both were in use just now");
        let again = pool.take(30);
        pool.put(again);
        pool.drop_unused();
        assert_eq!(pool.bytes, 30, "one was enough");
        pool.drop_unused();
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn a_new_length_takes_the_room_of_the_longest_free_ones() {
        let mut pool = BufferPool::default();
        let buffers = [10, 10, 50, 50].map(|len| pool.take(len));
        buffers.into_iter().for_each(|b| pool.put(b));
        let new = pool.take(40);
        assert_eq!((new.len(), pool.bytes), (40, 70));
        let other = pool.take(55);
        assert_eq!((other.len(), pool.bytes), (55, 10));
        pool.clear();
        assert_eq!((pool.bytes, pool.take(10).len()), (0, 10));
    }
}
