//! What a session may hold in memory for strangers: the caps of its parts, added up.

use std::mem::size_of;

use unchoke_engine::engine::MemoryPart;
use unchoke_engine::hub::PENDING_MAX;
use unchoke_wire::limits::{HTTP_REQUESTS_MAX, TRACKER_REPLY_LEN_MAX};

use crate::event::{EVENTS_MAX, SessionEvent};
use crate::mailbox::OFFERED_MAX;
use crate::shard::SCRATCH_LEN;

/// The most memory that strangers can make a session hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryBudget {
    /// Each part with its most, for all shards together.
    pub parts: Vec<MemoryPart>,
}

impl MemoryBudget {
    /// The most of all parts together, in bytes.
    pub fn cap(&self) -> u64 {
        self.parts.iter().map(|part| part.cap).fold(0, u64::saturating_add)
    }

    /// What is held of the parts that are counted, in bytes.
    pub fn used(&self) -> u64 {
        self.parts.iter().filter_map(|part| part.used).sum()
    }
}

/// Adds up what each shard tells, and the parts that are the session's.
pub(crate) fn budget(shards: Vec<Vec<MemoryPart>>, dht_nodes: usize) -> MemoryBudget {
    let count = bytes(shards.len());
    let mut parts: Vec<MemoryPart> = Vec::new();
    for part in shards.into_iter().flatten() {
        match parts.iter_mut().find(|p| p.name == part.name) {
            Some(sum) => {
                sum.cap = sum.cap.saturating_add(part.cap);
                sum.used = sum.used.zip(part.used).map(|(a, b)| a + b);
            }
            None => parts.push(part),
        }
    }
    let part = |name, cap| MemoryPart { name, cap, used: None };
    parts.extend([
        part("receive buffers", count * bytes(SCRATCH_LEN)),
        part("handshakes waiting", bytes(PENDING_MAX * HANDSHAKE_LEN)),
        part("messages between threads", count * bytes(OFFERED_MAX * DATAGRAM_LEN)),
        part("tracker replies", bytes(HTTP_REQUESTS_MAX * TRACKER_REPLY_LEN_MAX)),
        part("DHT", bytes(dht_nodes * unchoke_dht::NODE_LEN_MAX)),
        part("events", bytes(EVENTS_MAX * size_of::<SessionEvent>())),
    ]);
    MemoryBudget { parts }
}

/// Bytes of a connection that waits for its handshake: what is read at once, and the connection itself.
const HANDSHAKE_LEN: usize = 2 << 10;
/// Bytes of a datagram of a stranger on its way to a shard, with its place in the queue.
const DATAGRAM_LEN: usize = 2 << 10;

fn bytes(len: usize) -> u64 {
    u64::try_from(len).expect("a usize fits 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_shards_add_up_and_the_session_adds_its_own() {
        let part = |cap, used| MemoryPart { name: "answers waiting", cap, used };
        let sum = budget(vec![vec![part(10, Some(1))], vec![part(20, Some(2))]], 1);
        assert_eq!(sum.parts[0], part(30, Some(3)));
        assert_eq!(sum.used(), 3);
        let own: u64 = budget(Vec::new(), 0).cap();
        let dht = bytes(unchoke_dht::NODE_LEN_MAX);
        assert_eq!(sum.cap(), 30 + own + 2 * bytes(SCRATCH_LEN + OFFERED_MAX * DATAGRAM_LEN) + dht);
        assert_eq!(budget(vec![vec![part(10, Some(1))], vec![part(20, None)]], 0).parts[0].used, None);
    }
}
