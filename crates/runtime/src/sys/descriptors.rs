//! How many descriptors the process may have, and what of them is for whom.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but connections: the session's own sockets, polls and files, and those of its owner.
const RESERVED: u64 = 64;
/// Descriptors for the files of torrents, of which the storage closes the least used.
const FILES: u64 = 64;

/// Raises the soft limit to the hard one, and answers what it is; none is as many as there may be.
pub(crate) fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some() && limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // a system that refuses leaves us with what there is
        let _ = setrlimit(Resource::Nofile, raised);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections may wait for their handshake, and how many may be open, on a system of so many descriptors:
/// at least one each, and never so many that none would be left for files.
pub(crate) fn share_descriptors(limit: u64) -> (usize, usize) {
    let for_connections = limit.saturating_sub(RESERVED + FILES);
    let waiting = for_connections / 4;
    let open = for_connections - waiting;
    let count = |n: u64| usize::try_from(n.max(1)).unwrap_or(usize::MAX);
    (count(waiting), count(open))
}

#[cfg(test)]
mod tests {
    use super::*;

    //= H3g-9
    #[test]
    fn connections_leave_descriptors_for_files() {
        assert_eq!(share_descriptors(256), (32, 96));
        assert_eq!(share_descriptors(10), (1, 1));
        let (waiting, open) = share_descriptors(20_000);
        assert_eq!(waiting + open, 19_872);
        assert_eq!(share_descriptors(u64::MAX).0, usize::try_from((u64::MAX - 128) / 4).unwrap());
    }
}
