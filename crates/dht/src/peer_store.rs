//! The peers others announced to us, and what is told of them: some of them, filters of all (BEP 33), the hashes they
//! announced (BEP 51).

use crate::scope;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, VecDeque};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{Samples, Scrape};
use unchoke_wire::limits::{DHT_PEERS_MAX as PEERS_MAX, DHT_SWARMS_MAX as SWARMS_MAX};
use unchoke_wire::time::{Duration, Instant};

/// Bytes of memory of the store at most: its peers, whose lists grow by doubling, and a kilobyte for each swarm's filters
/// and places.
pub(crate) const LEN_MAX: usize = SWARMS_MAX * (2 * PEERS_MAX * size_of::<Peer>() + (1 << 10));
/// How long an announcement counts.
pub(crate) const PEER_LIFE: Duration = Duration::from_secs(45 * 60);
/// Entries one global address may hold in all swarms together, and one site.
const PER_ADDRESS: usize = 200;
const PER_SITE: usize = 500;
/// Ports one global address may hold in a swarm.
const PORTS_PER_ADDRESS: usize = 4;
/// Below it a port belongs to other services: nobody at a global address is announced there.
const PORT_MIN: u16 = 1024;
/// How long the filters of a swarm are given out before those that left it are taken out.
const FILTERS_LIFE_S: u32 = 60;
/// Hashes of a sample.
const SAMPLES: usize = 20;
/// How long the same sample is given.
const SAMPLE_INTERVAL_S: u32 = 3600;

/// A peer in 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// IPv4 as IPv4-mapped IPv6.
    ip: [u8; 16],
    expires_s: u32,
    port: u16,
    is_seed: bool,
}

impl Peer {
    fn new(addr: SocketAddr, is_seed: bool, now: Instant) -> Self {
        Peer { ip: packed(addr.ip()), expires_s: seconds(now + PEER_LIFE), port: addr.port(), is_seed }
    }

    fn ip(&self) -> IpAddr {
        match self.ip {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            ip => IpAddr::V6(Ipv6Addr::from(ip)),
        }
    }

    fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }
}

fn packed(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn seconds(at: Instant) -> u32 {
    u32::try_from(at.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}

#[derive(Debug, Default)]
struct Swarm {
    /// The one that expires first in front.
    peers: VecDeque<Peer>,
    /// The filters of its peers, once somebody asked for them, and when they were made.
    filters: Option<Box<(Scrape, u32)>>,
}

#[derive(Debug, Default)]
pub(crate) struct PeerStore {
    swarms: BTreeMap<WireHash, Swarm>,
    /// Entries held by each global address, and by each site.
    held: BTreeMap<IpAddr, usize>,
    held_by_site: BTreeMap<IpAddr, usize>,
    /// No entry expires before.
    next_expiry_s: Option<u32>,
    /// The sample given at present, and until when.
    sample: Vec<WireHash>,
    sample_until: Option<Instant>,
}

impl PeerStore {
    /// Whether an announcement by `ip` under `key` would be stored.
    pub(crate) fn has_room(&self, key: &WireHash, ip: IpAddr) -> bool {
        let swarm = self.swarms.get(key).map(|s| &s.peers);
        let packed = packed(ip);
        if swarm.is_some_and(|peers| peers.iter().any(|p| p.ip == packed)) {
            return true;
        }
        !self.is_greedy(ip) && swarm.map_or(self.swarms.len() < SWARMS_MAX, |peers| peers.len() < PEERS_MAX)
    }

    /// Whether a peer may be announced at this endpoint.
    pub(crate) fn is_plausible(addr: SocketAddr) -> bool {
        addr.port() >= PORT_MIN || (addr.port() != 0 && !scope::is_global(addr.ip()))
    }

    /// Stores `addr` under `key`, or makes its stay longer; false when there is no room.
    pub(crate) fn announce(&mut self, key: WireHash, addr: SocketAddr, is_seed: bool, now: Instant) -> bool {
        let is_global = scope::is_global(addr.ip());
        let peer = Peer::new(addr, is_seed, now);
        if let Some(swarm) = self.swarms.get_mut(&key) {
            let mut ports = 0;
            for at in 0..swarm.peers.len() {
                let known = swarm.peers[at];
                if known.ip == peer.ip && known.port == peer.port {
                    swarm.peers.remove(at);
                    swarm.push(peer);
                    return true;
                }
                ports += usize::from(known.ip == peer.ip);
            }
            if swarm.peers.len() >= PEERS_MAX || (is_global && ports >= PORTS_PER_ADDRESS) {
                return false;
            }
        } else if self.swarms.len() >= SWARMS_MAX {
            return false;
        }
        if self.is_greedy(addr.ip()) {
            return false;
        }
        if is_global {
            *self.held.entry(addr.ip()).or_default() += 1;
            *self.held_by_site.entry(scope::site(addr.ip())).or_default() += 1;
        }
        self.swarms.entry(key).or_default().push(peer);
        self.next_expiry_s.get_or_insert(peer.expires_s);
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
        let Some(swarm) = self.swarms.get(key).filter(|_| n > 0) else { return Vec::new() };
        let peers = &swarm.peers;
        let mut order: [u16; PEERS_MAX] = core::array::from_fn(|at| u16::try_from(at).unwrap_or(u16::MAX));
        let order = &mut order[..peers.len()];
        let mut sample = Vec::with_capacity(n.min(peers.len()));
        for at in 0..order.len() {
            let pick = rng.random_range(at..order.len());
            order.swap(at, pick);
            let peer = peers[usize::from(order[at])];
            if !(no_seeds && peer.is_seed) && scope::may_tell(peer.addr(), asker) {
                sample.push(peer.addr());
                if sample.len() == n {
                    break;
                }
            }
        }
        sample
    }

    /// Whether there are peers of `key`.
    pub(crate) fn knows(&self, key: &WireHash) -> bool {
        self.swarms.contains_key(key)
    }

    /// Every peer of `key`.
    pub(crate) fn peers(&self, key: &WireHash) -> impl Iterator<Item = SocketAddr> {
        self.swarms.get(key).into_iter().flat_map(|s| &s.peers).map(Peer::addr)
    }

    /// The filters of all peers of `key`, if there are any.
    pub(crate) fn scrape(&mut self, key: &WireHash, now: Instant) -> Option<Box<Scrape>> {
        let swarm = self.swarms.get_mut(key)?;
        let now_s = seconds(now);
        let is_old = |made_s: u32| now_s.saturating_sub(made_s) >= FILTERS_LIFE_S;
        if swarm.filters.as_ref().is_none_or(|filters| is_old(filters.1)) {
            let mut scrape = Scrape::default();
            swarm.peers.iter().for_each(|peer| add(&mut scrape, peer));
            swarm.filters = Some(Box::new((scrape, now_s)));
        }
        swarm.filters.as_ref().map(|filters| Box::new(filters.0.clone()))
    }

    //= BEP 51: the sample changes no more often than the interval tells
    /// Some of the keys: all if they are few, else the same ones for an interval.
    pub(crate) fn sample_keys(&mut self, rng: &mut impl Rng, now: Instant) -> Samples {
        let stored = self.swarms.len();
        let hashes = if stored <= SAMPLES {
            self.swarms.keys().copied().collect()
        } else {
            if self.sample_until.is_none_or(|until| now >= until) {
                self.sample_until = Some(now + Duration::from_secs(SAMPLE_INTERVAL_S.into()));
                self.sample = pick(self.swarms.keys().copied(), rng);
            }
            self.sample.clone()
        };
        Samples { interval_s: SAMPLE_INTERVAL_S, stored: stored as u64, hashes }
    }

    /// Forgets what has expired.
    pub(crate) fn expire(&mut self, now: Instant) {
        let now_s = seconds(now);
        if self.next_expiry_s.is_none_or(|at| at > now_s) {
            return;
        }
        let (held, held_by_site) = (&mut self.held, &mut self.held_by_site);
        self.swarms.retain(|_, swarm| {
            while swarm.peers.front().is_some_and(|p| p.expires_s <= now_s) {
                if let Some(ip) = swarm.peers.pop_front().map(|p| p.ip()) {
                    release(held, &ip);
                    release(held_by_site, &scope::site(ip));
                }
            }
            !swarm.peers.is_empty()
        });
        self.next_expiry_s = self.swarms.values().filter_map(|s| s.peers.front()).map(|p| p.expires_s).min();
    }

    /// When to call [`Self::expire`]; early calls do no harm.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry_s.map(|s| Instant::from_micros(u64::from(s) * 1_000_000))
    }

    /// Entries of all swarms.
    pub(crate) fn len(&self) -> usize {
        self.swarms.values().map(|s| s.peers.len()).sum()
    }

    /// Whether `ip` or its site holds as much as it may.
    fn is_greedy(&self, ip: IpAddr) -> bool {
        let holds = |held: &BTreeMap<_, usize>, ip, max| held.get(&ip).is_some_and(|n| *n >= max);
        holds(&self.held, ip, PER_ADDRESS) || holds(&self.held_by_site, scope::site(ip), PER_SITE)
    }
}

impl Swarm {
    fn push(&mut self, peer: Peer) {
        self.peers.push_back(peer);
        if let Some(filters) = &mut self.filters {
            add(&mut filters.0, &peer);
        }
    }
}

fn add(scrape: &mut Scrape, peer: &Peer) {
    let filter = if peer.is_seed { &mut scrape.seeds } else { &mut scrape.downloaders };
    filter.insert(peer.ip());
}

fn release(held: &mut BTreeMap<IpAddr, usize>, ip: &IpAddr) {
    if let Some(count) = held.get_mut(ip) {
        *count -= 1;
        if *count == 0 {
            held.remove(ip);
        }
    }
}

/// [`SAMPLES`] of `keys`, each as likely as any other.
fn pick(keys: impl Iterator<Item = WireHash>, rng: &mut impl Rng) -> Vec<WireHash> {
    let mut picked = Vec::with_capacity(SAMPLES);
    for (at, key) in keys.enumerate() {
        if picked.len() < SAMPLES {
            picked.push(key);
        } else if let Some(slot) = picked.get_mut(rng.random_range(0..=at)) {
            *slot = key;
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;
    use unchoke_wire::limits;

    fn peer(n: u32, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from((0x0800_0000 + (n << 8)).to_be_bytes()), port)
    }

    fn key(n: u16) -> WireHash {
        let mut key = [0; 20];
        key[..2].copy_from_slice(&n.to_be_bytes());
        WireHash(key)
    }

    fn rng() -> ChaCha12Rng {
        ChaCha12Rng::from_seed([3; 32])
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
        assert_eq!((store.held_by_site.len(), store.next_expiry()), (0, None));
    }

    #[test]
    fn a_peer_takes_24_bytes_in_either_family() {
        assert_eq!(size_of::<Peer>(), 24);
        for addr in ["8.8.8.8:7000", "[2a00::1]:7000", "[::1]:7000"] {
            let addr = addr.parse().unwrap();
            assert_eq!(Peer::new(addr, false, Instant::ZERO).addr(), addr);
        }
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
    fn one_site_holds_five_hundred_entries() {
        let mut store = PeerStore::default();
        let at = |n: u16| SocketAddr::from(([8, 8, 8, u8::try_from(n % 250).unwrap()], 7000));
        let stored = (0..1000).filter(|n| store.announce(key(*n), at(*n), false, Instant::ZERO)).count();
        assert_eq!(stored, PER_SITE);
        assert!(!store.has_room(&key(1500), [8, 8, 8, 255].into()));
        assert!(store.has_room(&key(1500), [8, 8, 9, 1].into()));
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
        let mut stored = 0..u32::try_from(limits::DHT_PEERS_MAX + 1).unwrap();
        let refused = stored.next_back().unwrap();
        assert!(stored.all(|n| store.announce(key(1), peer(n, 1), false, Instant::ZERO)));
        assert!(!store.has_room(&key(1), peer(refused, 1).ip()));
        assert!(!store.announce(key(1), peer(refused, 1), false, Instant::ZERO));
        assert!(store.has_room(&key(1), peer(7, 1).ip()));
        assert!(store.announce(key(1), peer(7, 1), false, Instant::ZERO));
        assert_eq!(store.len(), 500);
    }

    #[test]
    fn swarm_two_thousand_and_one_is_refused() {
        let mut store = PeerStore::default();
        let mut stored = 0..u16::try_from(limits::DHT_SWARMS_MAX + 1).unwrap();
        let refused = stored.next_back().unwrap();
        assert!(stored.all(|n| store.announce(key(n), peer(u32::from(n), 1), false, Instant::ZERO)));
        assert!(!store.has_room(&key(refused), peer(5000, 1).ip()));
        assert!(!store.announce(key(refused), peer(5000, 1), false, Instant::ZERO));
    }

    #[test]
    fn port_one_and_other_privileged_ports_are_no_peers_on_the_internet() {
        for (addr, is_plausible) in [
            ("8.8.8.8:1", false),
            ("8.8.8.8:1023", false),
            ("8.8.8.8:1024", true),
            ("[2a00::1]:53", false),
            ("127.0.0.1:1", true),
            ("10.0.0.1:80", true),
            ("10.0.0.1:0", false),
        ] {
            assert_eq!(PeerStore::is_plausible(addr.parse().unwrap()), is_plausible, "{addr}");
        }
    }

    #[test]
    fn a_sample_is_random_bounded_and_keeps_private_addresses_private() {
        let mut store = PeerStore::default();
        for n in 0..100 {
            assert!(store.announce(key(1), peer(n, 1), n % 2 == 0, Instant::ZERO));
        }
        assert!(store.announce(key(1), ([10, 0, 0, 1], 1).into(), false, Instant::ZERO));
        let rng = &mut rng();
        let asker = peer(200, 1);
        let (a, b) =
            (store.sample(&key(1), asker, false, 50, rng), store.sample(&key(1), asker, false, 50, rng));
        assert_eq!((a.len(), b.len()), (50, 50));
        assert_ne!(a, b);
        let mut all = store.sample(&key(1), asker, false, 500, rng);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 100);
        assert_eq!(store.sample(&key(1), asker, true, 500, rng).len(), 50);
        assert_eq!(store.sample(&key(1), ([10, 0, 0, 2], 1).into(), true, 500, rng).len(), 51);
        assert!(store.sample(&key(2), asker, false, 50, rng).is_empty());
        assert!(store.sample(&key(1), asker, false, 0, rng).is_empty());
    }

    #[test]
    fn filters_tell_seeds_from_downloaders_and_follow_those_who_come_at_once_and_those_who_go() {
        let mut store = PeerStore::default();
        assert_eq!(store.scrape(&key(1), Instant::ZERO), None);
        for n in 0..30 {
            assert!(store.announce(key(1), peer(n, 1), n < 10, Instant::ZERO));
        }
        let about =
            |scrape: &Scrape| (scrape.seeds.estimate().round(), scrape.downloaders.estimate().round());
        assert_eq!(about(&store.scrape(&key(1), Instant::ZERO).unwrap()), (10.0, 20.0));
        assert!(store.announce(key(1), peer(30, 1), false, Instant::ZERO));
        assert_eq!(about(&store.scrape(&key(1), Instant::ZERO).unwrap()), (10.0, 21.0));
        // a downloader finished: for a minute it is both
        assert!(store.announce(key(1), peer(30, 1), true, Instant::ZERO));
        assert_eq!(about(&store.scrape(&key(1), Instant::ZERO).unwrap()), (11.0, 21.0));
        let minute = Instant::ZERO + Duration::from_secs(60);
        assert_eq!(about(&store.scrape(&key(1), minute).unwrap()), (11.0, 20.0));
    }

    #[test]
    fn the_sample_of_keys_is_all_of_a_few_and_twenty_of_many_for_an_hour() {
        let (mut store, rng) = (PeerStore::default(), &mut rng());
        assert_eq!(store.sample_keys(rng, Instant::ZERO).hashes, []);
        for n in 0..20 {
            assert!(store.announce(key(n), peer(1, 1), false, Instant::ZERO));
        }
        let few = store.sample_keys(rng, Instant::ZERO);
        assert_eq!((few.interval_s, few.stored, few.hashes.len()), (3600, 20, 20));
        for n in 20..120 {
            assert!(store.announce(key(n), peer(1, 1), false, Instant::ZERO));
        }
        let many = store.sample_keys(rng, Instant::ZERO);
        assert_eq!((many.stored, many.hashes.len()), (120, 20));
        let at = |s: u64| Instant::ZERO + Duration::from_secs(s);
        assert_eq!(store.sample_keys(rng, at(3599)).hashes, many.hashes);
        assert_ne!(store.sample_keys(rng, at(3600)).hashes, many.hashes);
    }
}
