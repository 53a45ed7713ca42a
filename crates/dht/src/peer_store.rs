//! The peers others announced to us.

use crate::scope;
use core::net::{IpAddr, SocketAddr};
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, VecDeque};
use unchoke_wire::WireHash;
use unchoke_wire::time::{Duration, Instant};

/// Swarms stored.
const SWARMS_MAX: usize = 2000;
/// Peers stored of a swarm.
const PEERS_MAX: usize = 500;
/// How long an announcement counts.
pub(crate) const PEER_LIFE: Duration = Duration::from_secs(45 * 60);
/// Entries one global address may hold in all swarms together.
const PER_ADDRESS: usize = 200;
/// Ports one global address may hold in a swarm.
const PORTS_PER_ADDRESS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Peer {
    addr: SocketAddr,
    is_seed: bool,
    expires: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct PeerStore {
    /// Peers of a swarm, the one that expires first in front.
    swarms: BTreeMap<WireHash, VecDeque<Peer>>,
    /// Entries held by each global address.
    held: BTreeMap<IpAddr, usize>,
    /// No entry expires before.
    next_expiry: Option<Instant>,
}

impl PeerStore {
    /// Whether an announcement by `ip` under `key` would be stored.
    pub(crate) fn has_room(&self, key: &WireHash, ip: IpAddr) -> bool {
        let swarm = self.swarms.get(key);
        if swarm.is_some_and(|peers| peers.iter().any(|p| p.addr.ip() == ip)) {
            return true;
        }
        let is_greedy = self.held.get(&ip).is_some_and(|held| *held >= PER_ADDRESS);
        !is_greedy && swarm.map_or(self.swarms.len() < SWARMS_MAX, |peers| peers.len() < PEERS_MAX)
    }

    /// Stores `addr` under `key`, or makes its stay longer; false when there is no room.
    pub(crate) fn announce(&mut self, key: WireHash, addr: SocketAddr, is_seed: bool, now: Instant) -> bool {
        let is_global = scope::is_global(addr.ip());
        let peer = Peer { addr, is_seed, expires: now + PEER_LIFE };
        if let Some(peers) = self.swarms.get_mut(&key) {
            let mut ports = 0;
            for at in 0..peers.len() {
                if peers[at].addr == addr {
                    peers.remove(at);
                    peers.push_back(peer);
                    return true;
                }
                ports += usize::from(peers[at].addr.ip() == addr.ip());
            }
            if peers.len() >= PEERS_MAX || (is_global && ports >= PORTS_PER_ADDRESS) {
                return false;
            }
        } else if self.swarms.len() >= SWARMS_MAX {
            return false;
        }
        if is_global {
            let held = self.held.entry(addr.ip()).or_default();
            if *held >= PER_ADDRESS {
                return false;
            }
            *held += 1;
        }
        self.swarms.entry(key).or_default().push_back(peer);
        self.next_expiry.get_or_insert(peer.expires);
        true
    }

    /// Up to `n` peers of `key` that `asker` may be told, picked at random; without seeds if `no_seeds`.
    pub(crate) fn sample(
        &self,
        key: &WireHash,
        asker: SocketAddr,
        no_seeds: bool,
        n: usize,
        rng: &mut impl Rng,
    ) -> Vec<SocketAddr> {
        let mut peers: Vec<SocketAddr> = self
            .swarms
            .get(key)
            .into_iter()
            .flatten()
            .filter(|p| !(no_seeds && p.is_seed) && scope::may_tell(p.addr, asker))
            .map(|p| p.addr)
            .collect();
        for at in 0..n.min(peers.len()) {
            let pick = rng.random_range(at..peers.len());
            peers.swap(at, pick);
        }
        peers.truncate(n);
        peers
    }

    /// Every peer of `key`.
    pub(crate) fn peers(&self, key: &WireHash) -> impl Iterator<Item = SocketAddr> {
        self.swarms.get(key).into_iter().flatten().map(|p| p.addr)
    }

    /// Forgets what has expired.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.next_expiry.is_none_or(|at| at > now) {
            return;
        }
        let held = &mut self.held;
        self.swarms.retain(|_, peers| {
            while peers.front().is_some_and(|p| p.expires <= now) {
                let gone = peers.pop_front().map(|p| p.addr.ip());
                if let Some(ip) = gone
                    && let Some(count) = held.get_mut(&ip)
                {
                    *count -= 1;
                    if *count == 0 {
                        held.remove(&ip);
                    }
                }
            }
            !peers.is_empty()
        });
        self.next_expiry = self.swarms.values().filter_map(|peers| peers.front()).map(|p| p.expires).min();
    }

    /// When to call [`Self::expire`]; early calls do no harm.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Entries of all swarms.
    pub(crate) fn len(&self) -> usize {
        self.swarms.values().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    fn peer(n: u32, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from((0x0800_0000 + n).to_be_bytes()), port)
    }

    fn key(n: u16) -> WireHash {
        let mut key = [0; 20];
        key[..2].copy_from_slice(&n.to_be_bytes());
        WireHash(key)
    }

    //= S55
    #[test]
    fn a_peer_is_forgotten_unless_it_announces_again() {
        let mut store = PeerStore::default();
        assert!(store.announce(key(1), peer(1, 1), false, Instant::ZERO));
        assert!(store.announce(key(1), peer(2, 1), false, Instant::ZERO));
        let again = Instant::ZERO + PEER_LIFE / 2;
        assert!(store.announce(key(1), peer(1, 1), false, again));
        store.expire(Instant::ZERO + PEER_LIFE);
        assert_eq!(store.peers(&key(1)).collect::<Vec<_>>(), [peer(1, 1)]);
        store.expire(again + PEER_LIFE);
        assert_eq!((store.len(), store.held.len(), store.swarms.len()), (0, 0, 0));
    }

    #[test]
    fn one_address_holds_four_ports_of_a_swarm_and_two_hundred_entries() {
        let mut store = PeerStore::default();
        let stored =
            (1..10).filter(|port| store.announce(key(1), peer(1, *port), false, Instant::ZERO)).count();
        assert_eq!(stored, PORTS_PER_ADDRESS);
        let stored = (2..400).filter(|n| store.announce(key(*n), peer(1, 1), false, Instant::ZERO)).count();
        assert_eq!(stored, PER_ADDRESS - PORTS_PER_ADDRESS);
        assert!(!store.has_room(&key(500), peer(1, 1).ip()));
        assert!(store.has_room(&key(1), peer(1, 1).ip()));
    }

    #[test]
    fn on_loopback_many_peers_share_an_address() {
        let mut store = PeerStore::default();
        let stored = (1..=500)
            .filter(|port| store.announce(key(1), ([127, 0, 0, 1], *port).into(), false, Instant::ZERO));
        assert_eq!(stored.count(), 500);
    }

    #[test]
    fn a_full_swarm_takes_no_new_peer_but_keeps_the_old_ones() {
        let mut store = PeerStore::default();
        assert!((0..500).all(|n| store.announce(key(1), peer(n, 1), false, Instant::ZERO)));
        assert!(!store.has_room(&key(1), peer(500, 1).ip()));
        assert!(!store.announce(key(1), peer(500, 1), false, Instant::ZERO));
        assert!(store.has_room(&key(1), peer(7, 1).ip()));
        assert!(store.announce(key(1), peer(7, 1), false, Instant::ZERO));
        assert_eq!(store.len(), 500);
    }

    #[test]
    fn swarm_two_thousand_and_one_is_refused() {
        let mut store = PeerStore::default();
        assert!((0..2000).all(|n| store.announce(key(n), peer(u32::from(n), 1), false, Instant::ZERO)));
        assert!(!store.has_room(&key(2000), peer(5000, 1).ip()));
        assert!(!store.announce(key(2000), peer(5000, 1), false, Instant::ZERO));
    }

    #[test]
    fn a_sample_is_random_bounded_and_keeps_private_addresses_private() {
        let mut store = PeerStore::default();
        for n in 0..100 {
            assert!(store.announce(key(1), peer(n, 1), n % 2 == 0, Instant::ZERO));
        }
        assert!(store.announce(key(1), ([10, 0, 0, 1], 1).into(), false, Instant::ZERO));
        let rng = &mut ChaCha12Rng::from_seed([3; 32]);
        let asker = peer(200, 1);
        let (a, b) =
            (store.sample(&key(1), asker, false, 50, rng), store.sample(&key(1), asker, false, 50, rng));
        assert_eq!((a.len(), b.len()), (50, 50));
        assert_ne!(a, b);
        assert_eq!(store.sample(&key(1), asker, false, 500, rng).len(), 100);
        assert_eq!(store.sample(&key(1), asker, true, 500, rng).len(), 50);
        assert_eq!(store.sample(&key(1), ([10, 0, 0, 2], 1).into(), true, 500, rng).len(), 51);
        assert!(store.sample(&key(2), asker, false, 50, rng).is_empty());
    }
}
