//! Accepted connections until their handshake names a torrent.

use crate::id::Ticket;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::handshake::{HandshakeError, PREFIX_LEN, Prefix, parse_prefix};
use unchoke_wire::limits::HANDSHAKE_TIMEOUT as TIMEOUT;
use unchoke_wire::time::{Duration, Instant};

pub use unchoke_wire::limits::{
    PENDING_HANDSHAKES_MAX as PENDING_MAX, PENDING_HANDSHAKES_PER_IP_MAX as PENDING_PER_IP_MAX,
};

/// Places are scarce once one of so many is taken. Before that an honest host may come with dozens at once: it dials for
/// each torrent it shares with us.
const SCARCE_FROM_ONE_IN: usize = 4;
/// Connections that one address outside the loopback network may make at once: a client that shares hundreds of
/// torrents with us comes with all of them.
const BURST: u32 = 256;
/// And one more each time this has passed.
const REFILL: Duration = Duration::from_millis(100);
/// Addresses whose connections are counted; for each one more the one that came first is forgotten.
const COUNTED_MAX: usize = 4096;

#[derive(Debug)]
struct Pending {
    ip: IpAddr,
    since: Instant,
    bytes: Vec<u8>,
}

/// Connections whose handshake is not in.
#[derive(Debug)]
pub struct Accepting {
    pending: BTreeMap<Ticket, Pending>,
    /// The waiting connections of each address, oldest first.
    per_ip: BTreeMap<IpAddr, BTreeSet<Ticket>>,
    pending_max: usize,
    /// By address: when it may have made all its connections of late, had it made them [`REFILL`] apart.
    paid_until: BTreeMap<IpAddr, Instant>,
}

/// What became of an accepted connection.
#[derive(PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Wait for more bytes.
    Wait,
    /// It names this swarm.
    Names {
        /// The first bytes of its handshake.
        prefix: Prefix,
        /// All of its bytes.
        received: Vec<u8>,
        /// When it was accepted.
        since: Instant,
    },
    /// It speaks another protocol.
    Other(HandshakeError),
}

impl Accepting {
    /// Takes so many at once, but no more than [`PENDING_MAX`] and at least one.
    pub fn new(pending_max: usize) -> Self {
        let pending_max = pending_max.clamp(1, PENDING_MAX);
        Accepting {
            pending: BTreeMap::new(),
            per_ip: BTreeMap::new(),
            paid_until: BTreeMap::new(),
            pending_max,
        }
    }

    /// Lets a connection in, whose ticket is greater than all before. Answers which one has to go for it: the one of its
    /// address that has waited longest when that has its share and places are scarce, and the one that has waited
    /// longest of all when all places are taken, so that silent ones never keep others out; or itself, when its address
    /// comes too often.
    pub fn accept(&mut self, ticket: Ticket, remote: SocketAddr, now: Instant) -> Option<Ticket> {
        let ip = remote.ip().to_canonical();
        if !ip.is_loopback() && !self.is_paced(ip, now) {
            return Some(ticket);
        }
        let is_shared = ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
        let is_scarce = self.pending.len() >= self.pending_max / SCARCE_FROM_ONE_IN;
        let has_share = |tickets: &&BTreeSet<Ticket>| tickets.len() >= PENDING_PER_IP_MAX;
        let of_ip = self.per_ip.get(&ip).filter(|_| is_scarce && !is_shared).filter(has_share);
        let gone = match of_ip.and_then(BTreeSet::first) {
            Some(oldest) => Some(*oldest),
            None if self.pending.len() >= self.pending_max => self.pending.keys().next().copied(),
            None => None,
        };
        if let Some(gone) = gone {
            self.remove(gone);
        }
        self.per_ip.entry(ip).or_default().insert(ticket);
        self.pending.insert(ticket, Pending { ip, since: now, bytes: Vec::new() });
        gone
    }

    /// Counts a connection of this address; `false` when it made too many of late.
    fn is_paced(&mut self, ip: IpAddr, now: Instant) -> bool {
        let until = self.paid_until.get(&ip).copied().unwrap_or(now).max(now);
        if until.since(now) > REFILL * BURST {
            return false;
        }
        if self.paid_until.len() >= COUNTED_MAX && !self.paid_until.contains_key(&ip) {
            self.paid_until.retain(|_, until| *until > now);
            let first = self.paid_until.iter().min_by_key(|(_, until)| **until).map(|(ip, _)| *ip);
            if let Some(first) = first.filter(|_| self.paid_until.len() >= COUNTED_MAX) {
                self.paid_until.remove(&first);
            }
        }
        self.paid_until.insert(ip, until + REFILL);
        true
    }

    /// How many connections wait for their handshake.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    //= BEP 3: many torrents on one port, the acceptor waits for the hash
    /// Bytes of a waiting connection.
    pub fn received(&mut self, ticket: Ticket, bytes: &[u8]) -> Verdict {
        let Some(pending) = self.pending.get_mut(&ticket) else { return Verdict::Wait };
        pending.bytes.extend_from_slice(bytes);
        match parse_prefix(&pending.bytes[..pending.bytes.len().min(PREFIX_LEN)]) {
            Ok(None) => Verdict::Wait,
            Ok(Some(prefix)) => {
                let Some(Pending { bytes: received, since, .. }) = self.remove(ticket) else {
                    return Verdict::Wait;
                };
                Verdict::Names { prefix, received, since }
            }
            Err(e) => {
                self.remove(ticket);
                Verdict::Other(e)
            }
        }
    }

    /// A waiting connection is gone.
    pub fn closed(&mut self, ticket: Ticket) {
        self.remove(ticket);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.pending.remove(&ticket)?;
        if let Some(tickets) = self.per_ip.get_mut(&pending.ip) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.per_ip.remove(&pending.ip);
            }
        }
        Some(pending)
    }

    /// Takes out the connections that waited too long.
    pub fn expired(&mut self, now: Instant) -> Vec<Ticket> {
        let late = self.pending.iter().take_while(|(_, p)| now.since(p.since) >= TIMEOUT);
        let late: Vec<Ticket> = late.map(|(t, _)| *t).collect();
        late.iter().for_each(|t| {
            self.remove(*t);
        });
        late
    }

    /// When the first connection has waited too long.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.pending.values().next().map(|p| p.since + TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::{Handshake, PeerId, Reserved, WireHash, limits};

    fn addr(ip: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, ip], port))
    }

    //= S62
    #[test]
    fn idle_connections_are_bounded_and_end_after_ten_seconds() {
        let mut a = Accepting::new(PENDING_MAX);
        let mut gone = Vec::new();
        for i in 0..1000u16 {
            let remote = addr(u8::try_from(i / 8).unwrap(), i);
            gone.extend(a.accept(Ticket(u64::from(i)), remote, Instant::from_micros(u64::from(i))));
        }
        assert_eq!(gone, (0..488).map(Ticket).collect::<Vec<_>>());
        assert_eq!(a.next_timeout(), Some(Instant::from_micros(488) + TIMEOUT));
        assert_eq!(a.expired(Instant::from_micros(1000) + TIMEOUT).len(), PENDING_MAX);
        assert_eq!(a.accept(Ticket(5000), addr(1, 1), Instant::ZERO + TIMEOUT), None);
    }

    #[test]
    fn a_host_that_shares_many_torrents_comes_with_all_of_them_while_there_is_room() {
        let mut a = Accepting::new(PENDING_MAX);
        for i in 0..100u16 {
            assert_eq!(a.accept(Ticket(u64::from(i)), addr(7, i), Instant::ZERO), None);
        }
    }

    //= H3b-7
    #[test]
    fn one_address_takes_only_its_share_and_its_oldest_go() {
        let mut a = Accepting::new(PENDING_MAX);
        for i in 0..128u8 {
            let remote = SocketAddr::from(([203, 1, i, 1], 1));
            assert_eq!(a.accept(Ticket(u64::from(i)), remote, Instant::ZERO), None);
        }
        let gone: Vec<_> = (1..=20u16)
            .filter_map(|i| a.accept(Ticket(1000 + u64::from(i)), addr(7, i), Instant::ZERO))
            .collect();
        assert_eq!(gone, (1001..=1012).map(Ticket).collect::<Vec<_>>());
        assert_eq!(a.pending.len(), 128 + PENDING_PER_IP_MAX);
        a.closed(Ticket(1015));
        assert_eq!(a.accept(Ticket(1099), addr(7, 99), Instant::ZERO), None);
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 2], port));
        let gone =
            (100..120u16).filter_map(|i| a.accept(Ticket(1000 + u64::from(i)), loopback(i), Instant::ZERO));
        assert_eq!(gone.count(), 12, "other loopback addresses are addresses");
        let own = (200..300u16)
            .filter_map(|i| a.accept(Ticket(1000 + u64::from(i)), ([127, 0, 0, 1], i).into(), Instant::ZERO));
        assert_eq!(own.count(), 0, "many programs of a machine have this one");
    }

    //= H3b-7
    //= H3b-8
    #[test]
    fn one_more_than_may_wait_ends_the_oldest() {
        let waiting = |count: usize, ip_of: fn(usize) -> u8| {
            let mut a = Accepting::new(usize::MAX);
            let gone: Vec<Ticket> = (0..count)
                .filter_map(|i| {
                    let remote = addr(ip_of(i), u16::try_from(i).unwrap());
                    a.accept(Ticket(u64::try_from(i).unwrap()), remote, Instant::ZERO)
                })
                .collect();
            (gone, a.pending.len())
        };
        let (all, of_one) = (limits::PENDING_HANDSHAKES_MAX, limits::PENDING_HANDSHAKES_PER_IP_MAX);
        let many = |i| u8::try_from(i / limits::PENDING_HANDSHAKES_PER_IP_MAX).unwrap();
        assert_eq!(waiting(all, many), (Vec::new(), all));
        assert_eq!(waiting(all + 1, many), (vec![Ticket(0)], all));
        // an address after so many others that places are scarce
        let scarce = all / SCARCE_FROM_ONE_IN;
        let late =
            |i: usize| u8::try_from(i.min(limits::PENDING_HANDSHAKES_MAX / SCARCE_FROM_ONE_IN)).unwrap();
        assert_eq!(waiting(scarce + of_one, late), (Vec::new(), scarce + of_one));
        let first_of_it = Ticket(u64::try_from(scarce).unwrap());
        assert_eq!(waiting(scarce + of_one + 1, late), (vec![first_of_it], scarce + of_one));
    }

    //= H3b-8
    #[test]
    fn with_few_descriptors_fewer_wait() {
        let mut a = Accepting::new(16);
        let gone = (0..200u8).filter_map(|i| a.accept(Ticket(u64::from(i)), addr(i, 1), Instant::ZERO));
        assert_eq!((gone.count(), a.pending.len()), (184, 16));
    }

    #[test]
    fn an_address_that_connects_and_closes_is_let_in_in_bursts_and_then_ten_times_a_second() {
        let mut a = Accepting::new(PENDING_MAX);
        let mut let_in = |ip, from: u64, count: u64| {
            let connects = (0..count).map(|i| from + i * 10_000).filter(|at| {
                let is_in = a.accept(Ticket(*at), addr(ip, 1), Instant::from_micros(*at)).is_none();
                a.closed(Ticket(*at));
                is_in
            });
            connects.count()
        };
        // a hundred a second
        assert_eq!(let_in(7, 0, 250), 250, "a client with many torrents in common");
        let ten_seconds = let_in(7, 10_000_000, 1000);
        // 106 of the burst are left by then, and 100 come back in ten seconds
        assert!((200..=210).contains(&ten_seconds), "{ten_seconds} of 1000");
        assert_eq!(let_in(8, 20_000_000, 100), 100, "another address has its own count");
        assert_eq!(let_in(7, 60_000_000, 100), 100, "a rest pays for more");
        for i in 0..5_000u32 {
            let remote = SocketAddr::from((core::net::Ipv4Addr::from_bits(0x2d00_0000 + i), 1));
            a.accept(Ticket(u64::from(i)), remote, Instant::from_micros(90_000_000));
        }
        assert!(a.paid_until.len() <= COUNTED_MAX);
    }

    #[test]
    fn a_handshake_that_drips_in_is_named_at_byte_48() {
        let hash = WireHash([7; 20]);
        let bytes =
            Handshake { reserved: Reserved::default(), info_hash: hash, peer_id: PeerId([1; 20]) }.encode();
        let mut a = Accepting::new(PENDING_MAX);
        assert_eq!(a.accept(Ticket(1), addr(1, 1), Instant::ZERO), None);
        for byte in &bytes[..47] {
            assert_eq!(a.received(Ticket(1), &[*byte]), Verdict::Wait);
        }
        match a.received(Ticket(1), &bytes[47..48]) {
            Verdict::Names { prefix, received, since } => {
                assert_eq!((prefix.info_hash, received), (hash, bytes[..48].to_vec()));
                assert_eq!(since, Instant::ZERO, "what it has spent of its time goes with it");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(a.accept(Ticket(2), addr(1, 1), Instant::ZERO), None);
        assert!(matches!(a.received(Ticket(2), b"GET / HTTP/1.1"), Verdict::Other(_)));
    }
}
