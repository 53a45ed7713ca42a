//! What strangers may cost us: datagrams looked at, bytes sent, signatures checked.
//!
//! Silence is the whole answer to excess: an error reply would make us the reflector the limits are there to prevent.
//! Only addresses of the internet are counted; on loopback and in private networks many nodes share an address.

use crate::scope;
use core::net::IpAddr;
use std::collections::BTreeMap;
use unchoke_wire::time::{Duration, Instant};

/// Datagrams in ten seconds: of an address, and of a site. Answers to our own queries are not among them.
const PER_ADDRESS: u32 = 50;
const PER_SITE: u32 = 200;
const DATAGRAMS_WINDOW: Duration = Duration::from_secs(10);
/// Datagrams a second from everybody, and how many of them may come at once.
const INCOMING_PER_S: u32 = 250;
const INCOMING_BURST: u32 = 2_500;
/// Bytes a second of all replies, and how many may go at once.
const OUTGOING_PER_S: u32 = 16_000;
const OUTGOING_BURST: u32 = 160_000;
/// Items a site may put in a minute, and everybody: each costs a signature's check.
const PUTS_PER_SITE: u32 = 60;
const PUTS_IN_ALL: u32 = 1_200;
/// Bytes by which replies with large items may go beyond the bound for replies in a minute: to a site, and to everybody.
const EXCESS_PER_SITE: u32 = 4_096;
const EXCESS_IN_ALL: u32 = 65_536;
const MINUTE: Duration = Duration::from_secs(60);
/// Sources counted apart in a window; those beyond it share one count.
const SOURCES_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Rates {
    incoming: Bucket,
    outgoing: Bucket,
    addresses: Counts,
    sites: Counts,
    puts: Counts,
    excess: Counts,
}

impl Rates {
    pub(crate) fn new(now: Instant) -> Self {
        Rates {
            incoming: Bucket::new(INCOMING_PER_S, INCOMING_BURST, now),
            outgoing: Bucket::new(OUTGOING_PER_S, OUTGOING_BURST, now),
            addresses: Counts::new(PER_ADDRESS, u32::MAX, DATAGRAMS_WINDOW, now),
            sites: Counts::new(PER_SITE, u32::MAX, DATAGRAMS_WINDOW, now),
            puts: Counts::new(PUTS_PER_SITE, PUTS_IN_ALL, MINUTE, now),
            excess: Counts::new(EXCESS_PER_SITE, EXCESS_IN_ALL, MINUTE, now),
        }
    }

    /// Counts a datagram from `ip` and says whether it may be looked at; not if no answer could go out. In a flood of many sources it costs next to
    /// nothing, and one that floods alone takes nothing from the others.
    pub(crate) fn admits_datagram(&mut self, ip: IpAddr, now: Instant) -> bool {
        !scope::is_global(ip)
            || (self.incoming.holds(1, now)
                && self.outgoing.holds(1, now)
                && self.addresses.take(ip, 1, now)
                && self.sites.take(scope::site(ip), 1, now)
                && self.incoming.take(1, now))
    }

    /// Counts an item put by `ip` and says whether its signature may be checked.
    pub(crate) fn admits_put(&mut self, ip: IpAddr, now: Instant) -> bool {
        !scope::is_global(ip) || self.puts.take(scope::site(ip), 1, now)
    }

    /// Counts a reply of `len` bytes to `ip` and says whether it may go.
    pub(crate) fn admits_reply(&mut self, ip: IpAddr, len: usize, now: Instant) -> bool {
        !scope::is_global(ip) || self.outgoing.take(cost(len), now)
    }

    /// Counts `len` bytes to `ip` beyond the bound for replies and says whether they may go.
    pub(crate) fn admits_excess(&mut self, ip: IpAddr, len: usize, now: Instant) -> bool {
        !scope::is_global(ip) || self.excess.take(scope::site(ip), cost(len), now)
    }
}

fn cost(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// An allowance that fills up at a steady rate.
#[derive(Debug)]
struct Bucket {
    per_s: u32,
    /// Most it holds, and what it holds, in millionths.
    full: u64,
    level: u64,
    at: Instant,
}

impl Bucket {
    fn new(per_s: u32, burst: u32, now: Instant) -> Self {
        let full = u64::from(burst) * 1_000_000;
        Bucket { per_s, full, level: full, at: now }
    }

    fn holds(&mut self, cost: u32, now: Instant) -> bool {
        let elapsed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let filled = elapsed.saturating_mul(u64::from(self.per_s));
        self.level = self.level.saturating_add(filled).min(self.full);
        self.at = now;
        self.level >= u64::from(cost) * 1_000_000
    }

    fn take(&mut self, cost: u32, now: Instant) -> bool {
        let holds = self.holds(cost, now);
        if holds {
            self.level -= u64::from(cost) * 1_000_000;
        }
        holds
    }
}

/// What each source, and all together, took in a window of time.
#[derive(Debug)]
struct Counts {
    per_source: u32,
    in_all: u32,
    window: Duration,
    ends: Instant,
    by_source: BTreeMap<IpAddr, u32>,
    /// Taken by sources beyond those counted apart.
    others: u32,
    all: u32,
}

impl Counts {
    fn new(per_source: u32, in_all: u32, window: Duration, now: Instant) -> Self {
        Counts {
            per_source,
            in_all,
            window,
            ends: now + window,
            by_source: BTreeMap::new(),
            others: 0,
            all: 0,
        }
    }

    /// Takes `cost` for `source` if both it and all together may still have so much.
    fn take(&mut self, source: IpAddr, cost: u32, now: Instant) -> bool {
        if now >= self.ends {
            *self = Counts::new(self.per_source, self.in_all, self.window, now);
        }
        let has_room = self.by_source.len() < SOURCES_MAX;
        let taken = match self.by_source.get_mut(&source) {
            Some(taken) => taken,
            None if has_room => self.by_source.entry(source).or_default(),
            None => &mut self.others,
        };
        let fits =
            taken.saturating_add(cost) <= self.per_source && self.all.saturating_add(cost) <= self.in_all;
        if fits {
            *taken += cost;
            self.all = self.all.saturating_add(cost);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::ZERO;

    fn ip(n: u32) -> IpAddr {
        IpAddr::from((0x0100_0000 + n).to_be_bytes())
    }

    #[test]
    fn the_fifty_first_datagram_in_ten_seconds_is_not_looked_at() {
        let mut rates = Rates::new(START);
        assert!((0..50).all(|_| rates.admits_datagram(ip(1), START)));
        assert!(!rates.admits_datagram(ip(1), START));
        assert!(rates.admits_datagram(ip(2), START));
        assert!(rates.admits_datagram(ip(1), START + DATAGRAMS_WINDOW));
    }

    #[test]
    fn the_addresses_of_a_site_share_two_hundred_datagrams() {
        for site in [
            |n: u8| IpAddr::from([8, 8, 8, n]),
            |n: u8| IpAddr::from([0x2a00, 0, 0, 0, 0, 0, 0, u16::from(n)]),
        ] {
            let mut rates = Rates::new(START);
            let admitted =
                (0..=255).flat_map(|n| [n; 4]).filter(|n| rates.admits_datagram(site(*n), START)).count();
            assert_eq!(admitted, 200);
            assert!(rates.admits_datagram([9, 9, 9, 9].into(), START));
        }
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_together_in_number_and_memory() {
        let mut rates = Rates::new(START);
        let admitted = (0..200_000).filter(|i| rates.admits_datagram(ip(i << 8), START)).count();
        assert_eq!(admitted, 2_500);
        let second = START + Duration::from_secs(1);
        let admitted = (0..200_000).filter(|i| rates.admits_datagram(ip(i << 4), second)).count();
        assert_eq!(admitted, 250);
        for counts in [&rates.addresses, &rates.sites] {
            assert!(counts.by_source.len() <= SOURCES_MAX);
        }
    }

    #[test]
    fn one_source_that_floods_takes_nothing_from_the_others() {
        let mut rates = Rates::new(START);
        let admitted = (0..100_000).filter(|_| rates.admits_datagram(ip(1), START)).count();
        assert_eq!(admitted, 50);
        assert!((2..1000).all(|n| rates.admits_datagram(ip(n << 8), START)));
    }

    #[test]
    fn replies_to_strangers_share_a_quota_of_bytes() {
        let mut rates = Rates::new(START);
        assert!((0..160).all(|n| rates.admits_reply(ip(n), 1000, START)));
        assert!(!rates.admits_reply(ip(1), 1, START));
        let second = START + Duration::from_secs(1);
        assert!(rates.admits_reply(ip(1), 16_000, second) && !rates.admits_reply(ip(2), 1, second));
    }

    #[test]
    fn local_addresses_are_not_limited() {
        let mut rates = Rates::new(START);
        for ip in [IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 168, 0, 1])] {
            assert!((0..100_000).all(|_| rates.admits_datagram(ip, START)));
            assert!((0..1000).all(|_| rates.admits_reply(ip, 1000, START) && rates.admits_put(ip, START)));
            assert!((0..1000).all(|_| rates.admits_excess(ip, 1000, START)));
        }
    }

    #[test]
    fn puts_and_bytes_beyond_the_bound_are_limited_by_site_and_in_all() {
        let mut rates = Rates::new(START);
        assert_eq!((0..100).filter(|n| rates.admits_put(ip(n % 9), START)).count(), 60);
        assert_eq!((0..9_999).filter(|n| rates.admits_put(ip(n << 8), START)).count(), 1_140);
        assert_eq!((0..100).filter(|_| rates.admits_excess(ip(1), 400, START)).count(), 10);
        assert_eq!((0..9_999).filter(|n| rates.admits_excess(ip(n << 8), 400, START)).count(), 153);
        assert!(rates.admits_excess(ip(1), 400, START + MINUTE));
    }
}
