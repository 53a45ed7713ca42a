//! Peer exchange with one peer (BEP 11): what it was told, what it tells, and how often.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use unchoke_wire::limits::{PEX_ADDED_MAX, PEX_DROPPED_MAX};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::ut_pex::{PexFlags, PexMessage, PexPeer};

/// Between two messages we send (BEP 11); messages of a peer are counted over this, too.
const INTERVAL: Duration = Duration::from_secs(60);
/// Messages of a peer within [`INTERVAL`]: one may come, but clocks and networks are not exact, and some clients tell
/// urgent news at once.
const RECEIVED_MAX: usize = 6;
/// Candidates a peer is believed: so many that it has not taken back, and so many within [`INTERVAL`]. Whatever it
/// makes up, the list of known peers stays mostly other people's.
pub const CREDIT_MAX: usize = 50;

/// One peer's side of the exchange.
#[derive(Debug, Default)]
pub struct PexPeers {
    /// Whom it was told of.
    told: BTreeSet<SocketAddr>,
    last_sent: Option<Instant>,
    /// The state of the swarm all of which it was told.
    told_version: Option<u64>,
    /// When its latest messages came.
    received: VecDeque<Instant>,
    /// Whom it told us of.
    heard: BTreeSet<SocketAddr>,
    /// Since when its candidates are counted, and how many there were.
    credited: (Instant, usize),
}

impl PexPeers {
    /// Whether there may be something to tell, now that who is connected has this version, and it may be told.
    pub fn is_due(&self, version: u64, now: Instant) -> bool {
        self.told_version != Some(version) && self.last_sent.is_none_or(|at| now.since(at) >= INTERVAL)
    }

    //= BEP 11: at most 50 added and 50 dropped a minute, never the same contact in both
    /// What to tell, given the peers that are connected at this version; `None` when there is no news.
    pub fn message(
        &mut self,
        connected: &BTreeMap<SocketAddr, PexFlags>,
        version: u64,
        now: Instant,
    ) -> Option<PexMessage> {
        let new = connected.iter().filter(|(addr, _)| !self.told.contains(addr));
        let mut new = new.map(|(addr, flags)| PexPeer { addr: *addr, flags: *flags });
        let added: Vec<PexPeer> = new.by_ref().take(PEX_ADDED_MAX).collect();
        let is_more_new = new.next().is_some();
        let mut gone = self.told.iter().filter(|addr| !connected.contains_key(addr)).copied();
        let dropped: Vec<SocketAddr> = gone.by_ref().take(PEX_DROPPED_MAX).collect();
        let is_more_gone = gone.next().is_some();
        self.told_version = Some(version).filter(|_| !is_more_new && !is_more_gone);
        if added.is_empty() && dropped.is_empty() {
            return None;
        }
        self.last_sent = Some(now);
        self.told.extend(added.iter().map(|p| p.addr));
        self.told.retain(|addr| !dropped.contains(addr));
        Some(PexMessage { added, dropped, surplus: 0 })
    }

    /// Notes a message that came; `false` when the peer tells too often.
    pub fn received(&mut self, now: Instant) -> bool {
        while self.received.front().is_some_and(|at| now.since(*at) >= INTERVAL) {
            self.received.pop_front();
        }
        if self.received.len() >= RECEIVED_MAX {
            return false;
        }
        self.received.push_back(now);
        true
    }

    /// Bytes held of what was told and heard, about.
    pub fn held(&self) -> usize {
        (self.told.len() + self.heard.len()) * 2 * size_of::<SocketAddr>()
    }

    /// The peers a message adds, as far as this one is believed: [`CREDIT_MAX`]. Both families get a share.
    pub fn credited(&mut self, message: &PexMessage, now: Instant) -> Vec<PexPeer> {
        for addr in &message.dropped {
            self.heard.remove(addr);
        }
        if now.since(self.credited.0) >= INTERVAL {
            self.credited = (now, 0);
        }
        let (mut v4, mut v6): (VecDeque<PexPeer>, VecDeque<PexPeer>) =
            message.added.iter().partition(|p| p.addr.is_ipv4());
        let mut credited = Vec::new();
        while self.heard.len() < CREDIT_MAX && self.credited.1 < CREDIT_MAX {
            let Some(peer) = v4.pop_front().or_else(|| v6.pop_front()) else { break };
            core::mem::swap(&mut v4, &mut v6);
            if self.heard.insert(peer.addr) {
                self.credited.1 += 1;
                credited.push(peer);
            }
        }
        credited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(i: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], i + 1))
    }

    fn seconds(s: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(s)
    }

    fn adds(addrs: impl Iterator<Item = SocketAddr>) -> PexMessage {
        let added = addrs.map(|addr| PexPeer { addr, flags: PexFlags::default() }).collect();
        PexMessage { added, ..PexMessage::default() }
    }

    //= BEP 11: added, dropped, and the pace
    //= test
    #[test]
    fn a_peer_is_told_news_only_fifty_at_a_time_once_a_minute() {
        let mut connected: BTreeMap<_, _> = (0..60).map(|i| (addr(i), PexFlags::default())).collect();
        let mut pex = PexPeers::default();
        assert_eq!(pex.message(&connected, 1, seconds(0)).unwrap().added.len(), PEX_ADDED_MAX);
        assert!(!pex.is_due(1, seconds(59)) && !pex.is_due(2, seconds(59)));
        assert!(pex.is_due(1, seconds(60)), "there is more");
        connected.remove(&addr(0));
        let second = pex.message(&connected, 2, seconds(60)).unwrap();
        assert_eq!((second.added.len(), second.dropped), (10, vec![addr(0)]));
        assert!(!pex.is_due(2, seconds(200)), "nothing changed");
        assert_eq!(pex.message(&connected, 3, seconds(200)), None);
        assert!(pex.is_due(4, seconds(200)), "what was not sent does not count");
    }

    //= BEP 11: never the same contact in both
    //= test
    #[test]
    fn who_came_and_went_between_two_messages_is_in_neither_list() {
        let mut pex = PexPeers::default();
        let of = |list: &[u16]| -> BTreeMap<_, _> {
            list.iter().map(|i| (addr(*i), PexFlags::default())).collect()
        };
        pex.message(&of(&[1, 2]), 1, seconds(0)).unwrap();
        // 3 came and went, 2 went and came back
        assert_eq!(pex.message(&of(&[1, 2]), 5, seconds(60)), None);
        let third = pex.message(&of(&[2, 4]), 6, seconds(61)).unwrap();
        assert_eq!((third.added[0].addr, third.dropped), (addr(4), vec![addr(1)]));
        let fourth = pex.message(&of(&[1, 2, 4]), 7, seconds(121)).unwrap();
        assert_eq!((fourth.added[0].addr, fourth.dropped), (addr(1), vec![]), "it was dropped, and is back");
    }

    /// Row 60 of the hostile suite.
    #[test]
    fn a_peer_that_tells_every_second_is_told_on_and_one_that_is_early_is_not() {
        let mut pex = PexPeers::default();
        assert!((0..1000).all(|i| pex.received(seconds(i * 45))), "early each time");
        let mut pex = PexPeers::default();
        let told: Vec<bool> = (0..8).map(|i| pex.received(seconds(i))).collect();
        assert_eq!(told, [true, true, true, true, true, true, false, false]);
    }

    #[test]
    fn a_peer_is_credited_with_fifty_candidates() {
        let mut pex = PexPeers::default();
        let v6 = |i: u16| SocketAddr::from(([0x2a00, 0, 0, 0, 0, 0, 0, i], 1));
        let message = adds((0..50).map(addr).chain((0..50).map(v6)));
        let credited = pex.credited(&message, seconds(0));
        assert_eq!(credited.iter().filter(|p| p.addr.is_ipv4()).count(), CREDIT_MAX / 2);
        assert_eq!(credited.len(), CREDIT_MAX);
        assert_eq!(pex.credited(&adds((100..150).map(addr)), seconds(600)), [], "none was taken back");
        // what is dropped makes room, but not faster than fifty a minute
        let mut poison = adds((100..150).map(addr));
        poison.dropped = credited.iter().map(|p| p.addr).collect();
        assert_eq!(pex.credited(&poison, seconds(601)).len(), CREDIT_MAX);
        let mut more = adds((200..250).map(addr));
        more.dropped = (100..150).map(addr).collect();
        assert_eq!(pex.credited(&more, seconds(602)), []);
        assert_eq!(pex.credited(&more, seconds(661)).len(), CREDIT_MAX);
        assert!(pex.heard.len() <= CREDIT_MAX);
    }
}
