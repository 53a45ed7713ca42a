//! Connection ids of UDP trackers (BEP 15): one for all torrents of an engine, as a tracker knows us by our address.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use unchoke_wire::time::{Duration, Instant};

/// A connection id is used this long (BEP 15).
const CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// Trackers whose connection ids are kept; for one more those that are over go, or else all.
const CONNECTIONS_MAX: usize = 1024;

/// The connections with UDP trackers.
#[derive(Debug, Default)]
pub struct Connections(BTreeMap<SocketAddr, (u64, Instant)>);

impl Connections {
    //= BEP 15: a connection id is used for a minute
    pub(super) fn to(&self, tracker: SocketAddr, now: Instant) -> Option<u64> {
        self.0.get(&tracker).filter(|(_, since)| now.since(*since) < CONNECTION_LIFE).map(|(id, _)| *id)
    }

    pub(super) fn note(&mut self, tracker: SocketAddr, id: u64, now: Instant) {
        if self.0.len() >= CONNECTIONS_MAX {
            self.0.retain(|_, (_, since)| now.since(*since) < CONNECTION_LIFE);
        }
        if self.0.len() >= CONNECTIONS_MAX {
            self.0.clear();
        }
        self.0.insert(tracker, (id, now));
    }

    pub(super) fn forget(&mut self, tracker: SocketAddr) {
        self.0.remove(&tracker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_used_for_a_minute_and_their_number_is_bounded() {
        let (mut all, now) = (Connections::default(), Instant::ZERO);
        let tracker = |n: u16| SocketAddr::from(([80, 0, 0, 1], n));
        all.note(tracker(1), 7, now);
        assert_eq!(all.to(tracker(1), now + Duration::from_secs(59)), Some(7));
        assert_eq!(all.to(tracker(1), now + Duration::from_secs(60)), None);
        assert_eq!(all.to(tracker(2), now), None);
        (0..5000).for_each(|n| all.note(tracker(n), 1, now));
        assert!(all.0.len() <= CONNECTIONS_MAX, "{}", all.0.len());
        assert_eq!(all.to(tracker(4999), now), Some(1));
    }
}
