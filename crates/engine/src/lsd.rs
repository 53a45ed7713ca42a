//! Local service discovery (BEP 14): announces torrents in the local network and hears of peers there.
//!
//! However many torrents there are, packets are few: each carries as many of them as fit, those first that have waited
//! longest, and a new one waits for nobody. Of what comes in only so much a second is even looked at.

use core::net::{IpAddr, SocketAddr};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use unchoke_wire::WireHash;
use unchoke_wire::compact::Family;
use unchoke_wire::limits::LSD_HASHES_MAX;
use unchoke_wire::lsd::Announce;
use unchoke_wire::scope::{self, Scope};
use unchoke_wire::time::{Duration, Instant};

/// Between two announces of a torrent, less up to a tenth so that hosts started together drift apart.
pub const INTERVAL: Duration = Duration::from_secs(300);
/// Over time one packet goes out in this, to each group.
pub const PACKET_EVERY: Duration = Duration::from_secs(60);
/// Packets that may go out at once after a long silence.
pub const BURST: u32 = 5;
/// Until a new torrent is announced: others that come with it share the packet.
const GATHER: Duration = Duration::from_millis(100);
/// A new torrent is announced again so often, since datagrams get lost.
const REPEATS: u8 = 2;
/// Between these.
const REPEAT_AFTER: Duration = Duration::from_secs(2);
/// A peer that shows up is answered by an announce unless there was one within this.
const ANSWER_AFTER: Duration = Duration::from_secs(60);
/// Datagrams of one address that are looked at in one second.
pub const HEARD_PER_SOURCE_MAX: u32 = 10;
/// Datagrams that are looked at in one second.
pub const HEARD_MAX: u32 = 40;
/// What these two are counted over.
const WINDOW: Duration = Duration::from_secs(1);

/// Settings of local service discovery.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether there is a socket for IPv4.
    pub v4: bool,
    /// Whether there is a socket for IPv6.
    pub v6: bool,
    /// The port peers reach us on; zero: none, and we only listen.
    pub listen_port: u16,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The time of [`Lsd::next_timeout`] has come.
    Timeout,
    /// Announce this torrent, and hear of its peers.
    Announce(WireHash),
    /// Do so no more.
    Stop(WireHash),
    /// A datagram came to a group.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// Whether that is an address of a network this machine is in.
        is_on_link: bool,
        /// Its payload.
        bytes: &'a [u8],
    },
}

/// One thing to do.
#[derive(PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this to the group of a family.
    Datagram {
        /// The family.
        family: Family,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Somebody near has a torrent of ours.
    Found {
        /// The torrent.
        hash: WireHash,
        /// Where it takes peers.
        peer: SocketAddr,
    },
}

/// Announces torrents in the local network and hears of peers there.
#[derive(Debug)]
pub struct Lsd {
    settings: Settings,
    cookie: String,
    torrents: BTreeMap<WireHash, Torrent>,
    /// When each is to be announced.
    due: BTreeSet<(Instant, WireHash)>,
    /// When the packets of the burst may go out again.
    packets: VecDeque<Instant>,
    heard: Heard,
    out: VecDeque<Output>,
    rng: ChaCha8Rng,
}

/// One announced torrent.
#[derive(Debug)]
struct Torrent {
    due: Instant,
    repeats: u8,
    announced_at: Option<Instant>,
}

/// What was looked at in this second.
#[derive(Debug, Default)]
struct Heard {
    since: Instant,
    count: u32,
    per_source: BTreeMap<IpAddr, u32>,
}

/// What to do, in order.
#[derive(Debug)]
pub struct Outputs<'l>(&'l mut VecDeque<Output>);

impl Iterator for Outputs<'_> {
    type Item = Output;

    fn next(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}

impl Lsd {
    /// Without torrents. `seed` fixes every random choice it will make, its cookie first.
    pub fn new(settings: Settings, seed: [u8; 32], _now: Instant) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        let cookie = format!("unchoke-{:016x}", rng.random::<u64>());
        Lsd {
            settings,
            cookie,
            torrents: BTreeMap::new(),
            due: BTreeSet::new(),
            packets: VecDeque::new(),
            heard: Heard::default(),
            out: VecDeque::new(),
            rng,
        }
    }

    /// Takes one input at `now` and says what to do.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> Outputs<'_> {
        match input {
            Input::Timeout => self.timeout(now),
            Input::Announce(hash) => self.announce(hash, now),
            Input::Stop(hash) => {
                if let Some(torrent) = self.torrents.remove(&hash) {
                    self.due.remove(&(torrent.due, hash));
                }
            }
            Input::Datagram { from, is_on_link, bytes } => self.datagram(from, is_on_link, bytes, now),
        }
        Outputs(&mut self.out)
    }

    /// When to call [`handle`](Self::handle) with [`Input::Timeout`], if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let (due, _) = self.due.first()?;
        Some(self.next_packet_at().map_or(*due, |at| at.max(*due)))
    }

    /// A torrent that is announced already stays as it is.
    fn announce(&mut self, hash: WireHash, now: Instant) {
        let can_announce = self.settings.listen_port != 0 && (self.settings.v4 || self.settings.v6);
        if let Entry::Vacant(place) = self.torrents.entry(hash) {
            let due = now + GATHER;
            place.insert(Torrent { due, repeats: REPEATS, announced_at: None });
            if can_announce {
                self.due.insert((due, hash));
            }
        }
    }

    //= BEP 14: no more than one announce a minute
    /// When a packet may go out; `None`: at once, as far as that counts.
    fn next_packet_at(&self) -> Option<Instant> {
        let is_spent = self.packets.len() >= usize::try_from(BURST).expect("a few");
        self.packets.front().copied().filter(|_| is_spent)
    }

    fn timeout(&mut self, now: Instant) {
        let is_due = self.due.first().is_some_and(|(at, _)| *at <= now);
        if !is_due || self.next_packet_at().is_some_and(|at| at > now) {
            return;
        }
        while self.packets.front().is_some_and(|at| *at <= now) {
            self.packets.pop_front();
        }
        // each packet of a burst takes a minute of its own
        let after = self.packets.back().map_or(now, |last| (*last).max(now));
        self.packets.push_back(after + PACKET_EVERY);
        let hashes: Vec<WireHash> = self.due.iter().take(LSD_HASHES_MAX).map(|(_, hash)| *hash).collect();
        for hash in &hashes {
            let drift = Duration::from_millis(self.rng.random_range(0..30_000));
            let Some(torrent) = self.torrents.get_mut(hash) else { continue };
            self.due.remove(&(torrent.due, *hash));
            let wait = if torrent.repeats > 0 { REPEAT_AFTER } else { INTERVAL - drift };
            torrent.repeats = torrent.repeats.saturating_sub(1);
            torrent.announced_at = Some(now);
            torrent.due = now + wait;
            self.due.insert((torrent.due, *hash));
        }
        let announce = Announce { port: self.settings.listen_port, hashes, cookie: self.cookie.as_bytes() };
        let families = [(self.settings.v4, Family::V4), (self.settings.v6, Family::V6)];
        for (_, family) in families.into_iter().filter(|(is_on, _)| *is_on) {
            self.out.push_back(Output::Datagram { family, bytes: announce.encode(family) });
        }
    }

    //= BEP 14: what is heard
    fn datagram(&mut self, from: SocketAddr, is_on_link: bool, bytes: &[u8], now: Instant) {
        let from = scope::canonical(from);
        let is_near = is_on_link && Scope::of(from.ip()) != Scope::Unroutable;
        if !is_near || self.torrents.is_empty() || !self.heard.takes(from.ip(), now) {
            return;
        }
        let Ok(announce) = Announce::decode(bytes) else { return };
        if announce.cookie == self.cookie.as_bytes() {
            return;
        }
        let mut peer = from;
        peer.set_port(announce.port);
        for hash in announce.hashes {
            let Some(torrent) = self.torrents.get_mut(&hash) else { continue };
            self.out.push_back(Output::Found { hash, peer });
            // it may have started after our last announce, and not be able to wait for the next
            let is_told = torrent.announced_at.is_some_and(|at| now.since(at) < ANSWER_AFTER);
            let answer_at = now + Duration::from_millis(self.rng.random_range(0..1000));
            if !is_told && torrent.due > answer_at && self.due.remove(&(torrent.due, hash)) {
                torrent.due = answer_at;
                self.due.insert((answer_at, hash));
            }
        }
    }
}

impl Heard {
    /// Whether a datagram is looked at; most of a flood is not.
    fn takes(&mut self, from: IpAddr, now: Instant) -> bool {
        if now.since(self.since) >= WINDOW {
            (self.since, self.count) = (now, 0);
            self.per_source.clear();
        }
        if self.count >= HEARD_MAX {
            return false;
        }
        let of_source = self.per_source.entry(from).or_default();
        if *of_source >= HEARD_PER_SOURCE_MAX {
            return false;
        }
        *of_source += 1;
        self.count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 6881;
    const T0: Instant = Instant::from_micros(1_000_000);

    fn lsd(seed: u8) -> Lsd {
        Lsd::new(Settings { v4: true, v6: false, listen_port: PORT }, [seed; 32], T0)
    }

    fn hash(n: u16) -> WireHash {
        let mut hash = [0; 20];
        hash[..2].copy_from_slice(&n.to_be_bytes());
        WireHash(hash)
    }

    fn add(lsd: &mut Lsd, n: u16, now: Instant) {
        assert_eq!(lsd.handle(Input::Announce(hash(n)), now).count(), 0);
    }

    /// Every packet until then, with its time and hashes.
    fn run(lsd: &mut Lsd, until: Instant) -> Vec<(Instant, Vec<WireHash>)> {
        let mut packets = Vec::new();
        while let Some(at) = lsd.next_timeout().filter(|at| *at < until) {
            for output in lsd.handle(Input::Timeout, at) {
                let Output::Datagram { family: Family::V4, bytes } = output else { panic!("{output:?}") };
                packets.push((at, Announce::decode(&bytes).unwrap().hashes));
            }
        }
        packets
    }

    fn said(by: &mut Lsd, now: Instant) -> Vec<u8> {
        let at = by.next_timeout().unwrap().max(now);
        let outputs: Vec<Output> = by.handle(Input::Timeout, at).collect();
        let [Output::Datagram { bytes, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        bytes.clone()
    }

    fn hear(lsd: &mut Lsd, from: &str, bytes: &[u8], now: Instant) -> Vec<SocketAddr> {
        let input = Input::Datagram { from: from.parse().unwrap(), is_on_link: true, bytes };
        let found = lsd.handle(input, now).map(|output| match output {
            Output::Found { peer, .. } => peer,
            output => panic!("{output:?}"),
        });
        found.collect()
    }

    //= BEP 14: every torrent every five minutes
    //= test
    #[test]
    fn a_torrent_is_announced_at_once_twice_more_and_then_every_five_minutes() {
        let mut lsd = lsd(1);
        add(&mut lsd, 1, T0);
        let packets = run(&mut lsd, T0 + Duration::from_secs(3600));
        let at: Vec<f64> = packets.iter().map(|(at, _)| at.since(T0).as_secs_f64()).collect();
        assert_eq!(&at[..3], [0.1, 2.1, 4.1]);
        assert!(at[2..].windows(2).all(|w| (270.0..=300.0).contains(&(w[1] - w[0]))), "{at:?}");
        lsd.handle(Input::Stop(hash(1)), T0).count();
        assert_eq!(lsd.next_timeout(), None);
    }

    //= BEP 14: no more than one announce a minute
    //= test
    #[test]
    fn ten_thousand_torrents_send_no_more_than_a_packet_a_minute() {
        let mut lsd = lsd(1);
        (0..10_000).for_each(|n| add(&mut lsd, n, T0));
        let hour = T0 + Duration::from_secs(3600);
        let packets = run(&mut lsd, hour);
        assert!((60..=60 + 5).contains(&packets.len()), "{} packets an hour", packets.len());
        assert!(packets.iter().all(|(_, hashes)| hashes.len() == LSD_HASHES_MAX), "full ones");
        let mut later = hour;
        let mut all: BTreeSet<WireHash> = packets.into_iter().flat_map(|(_, hashes)| hashes).collect();
        for _ in 0..9 {
            later = later + Duration::from_secs(3600);
            all.extend(run(&mut lsd, later).into_iter().flat_map(|(_, hashes)| hashes));
        }
        assert_eq!(all.len(), 10_000, "each has its turn");
    }

    #[test]
    fn all_torrents_that_fit_share_one_packet() {
        let mut lsd = lsd(1);
        (0..20).for_each(|n| add(&mut lsd, n, T0));
        let packets = run(&mut lsd, T0 + Duration::from_secs(1200));
        assert!(packets.iter().all(|(_, hashes)| hashes.len() == 20));
        assert!(packets.len() <= 3 + 4, "{}", packets.len());
    }

    #[test]
    fn two_near_hosts_find_each_other_by_either_announce() {
        let (mut a, mut b) = (lsd(1), lsd(2));
        (1..=2).for_each(|n| add(&mut a, n, T0));
        (2..=3).for_each(|n| add(&mut b, n, T0));
        let (of_a, of_b) = (said(&mut a, T0), said(&mut b, T0));
        assert_eq!(hear(&mut b, "192.168.0.1:6771", &of_a, T0), ["192.168.0.1:6881".parse().unwrap()]);
        assert_eq!(hear(&mut a, "[fe80::2%3]:6771", &of_b, T0), ["[fe80::2%3]:6881".parse().unwrap()]);
        assert_eq!(hear(&mut a, "192.168.0.1:6771", &of_a, T0), [], "its own cookie");
        assert_eq!(hear(&mut a, "192.168.0.2:6771", b"M-SEARCH * HTTP/1.1\r\n", T0), []);
    }

    #[test]
    fn who_shows_up_late_is_answered_soon_and_once_a_minute() {
        let (mut a, mut b) = (lsd(1), lsd(2));
        add(&mut a, 1, T0);
        run(&mut a, T0 + Duration::from_secs(70));
        let now = T0 + Duration::from_secs(70);
        add(&mut b, 1, now);
        let of_b = said(&mut b, now);
        for i in 0..30u64 {
            hear(&mut a, "10.0.0.2:6771", &of_b, now + Duration::from_secs(i));
            let sent = run(&mut a, now + Duration::from_secs(i + 1));
            assert_eq!(sent.len(), usize::from(i == 0), "second {i}");
        }
    }

    #[test]
    fn a_datagram_from_another_network_is_dropped() {
        let (mut a, mut b) = (lsd(1), lsd(2));
        add(&mut a, 1, T0);
        add(&mut b, 1, T0);
        let bytes = said(&mut b, T0);
        for (from, is_on_link) in [("8.8.8.8:6771", false), ("10.0.0.1:6771", false), ("0.0.0.0:1", true)] {
            let input = Input::Datagram { from: from.parse().unwrap(), is_on_link, bytes: &bytes };
            assert_eq!(a.handle(input, T0).count(), 0, "{from}");
        }
        assert_eq!(hear(&mut a, "8.8.8.8:6771", &bytes, T0).len(), 1, "a network of global addresses");
    }

    #[test]
    fn a_flood_is_dropped_before_it_is_read_and_costs_no_memory() {
        let (mut a, mut b) = (lsd(1), lsd(2));
        add(&mut a, 1, T0);
        add(&mut b, 1, T0);
        let bytes = said(&mut b, T0);
        let of_one: usize = (0..10_000).map(|_| hear(&mut a, "10.0.0.2:6771", &bytes, T0).len()).sum();
        assert_eq!(of_one, usize::try_from(HEARD_PER_SOURCE_MAX).unwrap());
        assert_eq!(hear(&mut a, "10.0.0.3:6771", &bytes, T0).len(), 1, "others are heard");
        let now = T0 + Duration::from_secs(1);
        let of_many: usize = (0..10_000u16)
            .map(|i| hear(&mut a, &format!("10.1.{}.{}:6771", i / 250, i % 250), &bytes, now).len())
            .sum();
        assert_eq!(of_many, usize::try_from(HEARD_MAX).unwrap());
        assert_eq!(a.heard.per_source.len(), of_many);
    }

    #[test]
    fn without_a_port_it_only_listens() {
        let mut a = Lsd::new(Settings { v4: true, v6: true, listen_port: 0 }, [1; 32], T0);
        let mut b = lsd(2);
        add(&mut a, 1, T0);
        add(&mut b, 1, T0);
        assert_eq!(a.next_timeout(), None);
        assert_eq!(hear(&mut a, "10.0.0.2:6771", &said(&mut b, T0), T0).len(), 1);
        assert_eq!(a.next_timeout(), None);
    }
}
