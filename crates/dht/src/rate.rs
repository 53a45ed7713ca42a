//! How many datagrams a source may send us before we fall silent towards it.
//!
//! Silence is the whole answer: an error reply would make us the reflector the limit is there to prevent.

use crate::scope;
use core::net::IpAddr;
use std::collections::BTreeMap;
use unchoke_wire::time::{Duration, Instant};

/// The window counts are taken over.
const WINDOW: Duration = Duration::from_secs(10);
/// Datagrams a global address may send in a window.
const PER_ADDRESS: u32 = 50;
/// Datagrams a loopback or private address may send in a window: many nodes may share it.
const PER_LOCAL_ADDRESS: u32 = 20_000;
/// Datagrams all global addresses may send in a window.
const IN_ALL: u32 = 5_000;
/// Addresses counted in a window; those beyond it share one count.
const ADDRESSES_MAX: usize = 8192;

#[derive(Debug)]
pub(crate) struct RateLimit {
    window_end: Instant,
    counts: BTreeMap<IpAddr, u32>,
    uncounted: u32,
    all: u32,
}

impl RateLimit {
    pub(crate) fn new(now: Instant) -> Self {
        RateLimit { window_end: now + WINDOW, counts: BTreeMap::new(), uncounted: 0, all: 0 }
    }

    /// Counts a datagram from `ip` and says whether it may be looked at.
    pub(crate) fn admit(&mut self, ip: IpAddr, now: Instant) -> bool {
        if now >= self.window_end {
            *self = RateLimit::new(now);
        }
        let is_global = scope::is_global(ip);
        // an IPv6 host has a whole /64 to send from
        let source = if ip.is_ipv6() { scope::site(ip) } else { ip };
        let has_room = self.counts.len() < ADDRESSES_MAX;
        let count = match self.counts.get_mut(&source) {
            Some(count) => count,
            None if has_room => self.counts.entry(source).or_default(),
            None => &mut self.uncounted,
        };
        *count = count.saturating_add(1);
        let is_within = *count <= if is_global { PER_ADDRESS } else { PER_LOCAL_ADDRESS };
        if is_global && is_within {
            self.all = self.all.saturating_add(1);
        }
        is_within && (!is_global || self.all <= IN_ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifty_first_datagram_in_ten_seconds_is_not_looked_at() {
        let mut limit = RateLimit::new(Instant::ZERO);
        let (ip, other) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([1, 2, 3, 5]));
        assert!((0..50).all(|_| limit.admit(ip, Instant::ZERO)));
        assert!(!limit.admit(ip, Instant::ZERO));
        assert!(limit.admit(other, Instant::ZERO));
        assert!(limit.admit(ip, Instant::ZERO + WINDOW));
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_together() {
        let mut limit = RateLimit::new(Instant::ZERO);
        let admitted = (0..20_000u32)
            .filter(|i| limit.admit(IpAddr::from((0x0100_0000 + i).to_be_bytes()), Instant::ZERO));
        assert_eq!(admitted.count(), 5_000);
        assert!(limit.counts.len() <= ADDRESSES_MAX);
        assert!(limit.admit(IpAddr::from([127, 0, 0, 1]), Instant::ZERO + WINDOW));
    }
}
