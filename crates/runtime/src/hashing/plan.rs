//! How much is read at once, and by how many threads.

use super::bytes;

/// The shape of the work on one torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) threads: usize,
    /// Pieces a thread works on at once.
    pub(super) group_len: usize,
    /// Bytes of each piece that are read and hashed at once: all, when [`Plan::is_whole`].
    pub(super) stripe_len: u32,
    /// Whether a group is read from end to end before it is hashed.
    pub(super) is_whole: bool,
    /// Whether only one thread reads at a time.
    pub(super) is_by_turns: bool,
}

/// Bytes of a piece read at once: with all lanes full this is what stays in the cache of a core.
const STRIPE_LEN: u32 = 64 << 10;
/// Bytes of a turn on a disk that turns: enough to make its way there worth while.
const TURN_LEN: u32 = 8 << 20;
/// Bytes for which a further thread pays.
const THREAD_LEN_MIN: u64 = 4 << 20;
/// Threads, however many cores there are: the memory is busy by then, and descriptors are not without end.
const THREADS_MAX: usize = 32;

impl Plan {
    pub(super) fn new(piece_len: u32, count: usize, is_rotational: bool, cores: usize) -> Self {
        let len = u64::from(piece_len).saturating_mul(u64::try_from(count).unwrap_or(u64::MAX));
        let worth = usize::try_from(len / THREAD_LEN_MIN).unwrap_or(usize::MAX);
        let threads = cores.min(THREADS_MAX).min(worth).max(1);
        let lanes = unchoke_hash::lanes();
        let (is_whole, group_len) = if is_rotational {
            (piece_len <= TURN_LEN, bytes(TURN_LEN / piece_len).max(1))
        } else {
            (piece_len <= STRIPE_LEN, lanes * bytes(STRIPE_LEN / piece_len).max(1))
        };
        let stripe_len = if is_whole { piece_len } else { STRIPE_LEN };
        Plan {
            threads,
            group_len: shared_out(count, group_len, threads),
            stripe_len,
            is_whole,
            is_by_turns: is_rotational,
        }
    }

    /// Bytes of a thread's buffer.
    pub(super) fn buffer_len(&self) -> usize {
        self.group_len * bytes(self.stripe_len)
    }
}

/// Pieces of a group, at most `group_len`: when there are few groups, as many for every thread.
fn shared_out(count: usize, group_len: usize, threads: usize) -> usize {
    let groups = count.div_ceil(group_len).max(1);
    if groups > threads * 4 { group_len } else { count.div_ceil(groups.next_multiple_of(threads)).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_does_not_depend_on_the_length_of_pieces() {
        for is_rotational in [false, true] {
            for piece_len in [1, 16 << 10, 100_000, 256 << 10, 1 << 20, 16 << 20, 64 << 20, 1 << 31] {
                let plan = Plan::new(piece_len, 100_000, is_rotational, 2);
                assert_eq!(plan.threads, if piece_len == 1 { 1 } else { 2 });
                assert!(plan.buffer_len() <= 8 << 20, "{plan:?}");
                assert!(plan.stripe_len <= piece_len && plan.group_len > 0, "{plan:?}");
            }
        }
    }

    #[test]
    fn few_groups_are_as_many_for_every_thread() {
        assert_eq!(shared_out(32, 16, 2), 16);
        assert_eq!(shared_out(40, 16, 2), 10);
        assert_eq!(shared_out(16, 16, 4), 4);
        assert_eq!(shared_out(1_001, 16, 2), 16);
        assert_eq!(shared_out(0, 16, 2), 1);
        assert_eq!(Plan::new(1 << 20, 3, false, 8).threads, 1);
    }

    #[test]
    fn a_disk_that_turns_is_read_in_order() {
        let plan = Plan::new(1 << 20, 1_000, true, 4);
        assert!(plan.is_by_turns && plan.is_whole && plan.group_len == 8, "{plan:?}");
        let plan = Plan::new(16 << 20, 1_000, true, 4);
        assert!(!plan.is_whole && plan.group_len == 1, "{plan:?}");
    }
}
