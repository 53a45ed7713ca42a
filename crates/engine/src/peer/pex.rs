//! Peer exchange with one peer (BEP 11): what it was told, and how often it tells us.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use unchoke_wire::limits::{PEX_ADDED_MAX, PEX_DROPPED_MAX};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::ut_pex::{PexFlags, PexMessage, PexPeer};

/// Between two messages we send (BEP 11).
const SEND_INTERVAL: Duration = Duration::from_secs(60);
/// A peer may be this much early, since clocks and networks are not exact.
const RECEIVE_INTERVAL: Duration = Duration::from_secs(50);
/// Messages that came too early before a peer is closed.
const EARLY_MAX: u32 = 3;

/// One peer's side of the exchange.
#[derive(Debug, Default)]
pub struct PexPeers {
    told: BTreeMap<SocketAddr, PexFlags>,
    last_sent: Option<Instant>,
    last_received: Option<Instant>,
    early: u32,
}

impl PexPeers {
    /// Whether a message may go out.
    pub fn is_due(&self, now: Instant) -> bool {
        self.last_sent.is_none_or(|at| now.since(at) >= SEND_INTERVAL)
    }

    //= BEP 11: at most 50 added and 50 dropped a minute, never the same contact in both
    /// What to tell, given the peers that are connected now; `None` when there is no news.
    pub fn message(
        &mut self,
        connected: &BTreeMap<SocketAddr, PexFlags>,
        now: Instant,
    ) -> Option<PexMessage> {
        let added: Vec<PexPeer> = connected
            .iter()
            .filter(|(addr, _)| !self.told.contains_key(addr))
            .take(PEX_ADDED_MAX)
            .map(|(addr, flags)| PexPeer { addr: *addr, flags: *flags })
            .collect();
        let dropped: Vec<SocketAddr> = self
            .told
            .keys()
            .filter(|addr| !connected.contains_key(addr))
            .take(PEX_DROPPED_MAX)
            .copied()
            .collect();
        self.last_sent = Some(now);
        if added.is_empty() && dropped.is_empty() {
            return None;
        }
        self.told.extend(added.iter().map(|p| (p.addr, p.flags)));
        dropped.iter().for_each(|addr| {
            self.told.remove(addr);
        });
        Some(PexMessage { added, dropped, surplus: 0 })
    }

    /// Notes a message that came; `false` when the peer tells too often.
    pub fn received(&mut self, now: Instant) -> bool {
        let is_early = self.last_received.is_some_and(|at| now.since(at) < RECEIVE_INTERVAL);
        self.last_received = Some(now);
        self.early += u32::from(is_early);
        self.early <= EARLY_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= BEP 11: added, dropped, and the pace
    //= test
    #[test]
    fn a_peer_is_told_news_only_fifty_at_a_time_once_a_minute() {
        let addr = |i: u16| SocketAddr::from(([10, 0, 0, 1], i + 1));
        let mut connected: BTreeMap<_, _> = (0..60).map(|i| (addr(i), PexFlags::default())).collect();
        let mut pex = PexPeers::default();
        let now = Instant::ZERO;
        assert_eq!(pex.message(&connected, now).unwrap().added.len(), PEX_ADDED_MAX);
        assert!(!pex.is_due(now + Duration::from_secs(59)));
        let later = now + Duration::from_secs(60);
        assert!(pex.is_due(later));
        connected.remove(&addr(0));
        let second = pex.message(&connected, later).unwrap();
        assert_eq!((second.added.len(), second.dropped), (10, vec![addr(0)]));
        assert_eq!(pex.message(&connected, later), None);
    }

    #[test]
    fn a_peer_that_tells_every_second_is_told_on() {
        let mut pex = PexPeers::default();
        let mut now = Instant::ZERO;
        assert!((0..10).all(|_| {
            now = now + Duration::from_secs(60);
            pex.received(now)
        }));
        let verdicts = (0..10).map(|_| {
            now = now + Duration::from_secs(1);
            pex.received(now)
        });
        assert!(!verdicts.into_iter().all(|ok| ok));
    }
}
