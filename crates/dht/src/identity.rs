//! Ids that follow from addresses (BEP 42), and what our own address is by the word of others.
//!
//! There is one node, with one id, for each family and external address (BEP 45).

use crate::entry::Stamp;
use crate::scope::{self, Scope};
use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;
use unchoke_wire::krpc::NodeId;
use unchoke_wire::time::{Duration, Instant};

/// Votes that count at once; the oldest make room.
const VOTES_MAX: usize = 50;
/// How long a vote counts.
const VOTE_LIFE: Duration = Duration::from_secs(5 * 60);
/// Addresses voted for at once; votes for more are ignored.
const CANDIDATES_MAX: usize = 40;
/// Votes the winner needs.
const VOTES_TO_WIN: usize = 3;
/// How many times the votes of the address elected before another needs, and for how long without a break: a node seen
/// through two addresses in turn keeps to the first.
const LEAD_TO_REPLACE: usize = 4;
const LEAD_HELD: Duration = Duration::from_secs(10 * 60);

//= BEP 42: an id follows from its node's address, except in local networks
/// Whether a node at `ip` may go by `id`: in local networks by any, elsewhere the first 21 bits and the last byte
/// follow from the address.
pub fn is_compliant(id: &NodeId, ip: IpAddr) -> bool {
    if is_exempt(ip) {
        return true;
    }
    let [a, b, c, _] = prefix(ip, id.0[19]);
    id.0[0] == a && id.0[1] == b && (id.0[2] ^ c) & 0xf8 == 0
}

/// The id that is `random` but for the 21 bits that follow from `ip` and its last byte; `random` itself in local
/// networks.
pub fn compliant_id(ip: IpAddr, random: NodeId) -> NodeId {
    let mut id = random;
    if !is_exempt(ip) {
        let [a, b, c, _] = prefix(ip, id.0[19]);
        id.0[..2].copy_from_slice(&[a, b]);
        id.0[2] = (c & 0xf8) | (id.0[2] & 0x07);
    }
    id
}

fn is_exempt(ip: IpAddr) -> bool {
    matches!(Scope::of(ip), Scope::Private | Scope::LinkLocal | Scope::Loopback)
}

/// The bytes an id begins with, of which 21 bits count.
fn prefix(ip: IpAddr, last: u8) -> [u8; 4] {
    let crc = match ip {
        IpAddr::V4(ip) => {
            let masked = u32::from(ip) & 0x030f_3fff | u32::from(last & 7) << 29;
            crc32c::crc32c(&masked.to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            let high = u64::from(a) << 48 | u64::from(b) << 32 | u64::from(c) << 16 | u64::from(d);
            let masked = high & 0x0103_070f_1f3f_7fff | u64::from(last & 7) << 61;
            crc32c::crc32c(&masked.to_be_bytes())
        }
    };
    crc.to_be_bytes()
}

/// What others take our address to be. Only those we asked are heard, each network of a /16 or an IPv6 /32 once.
#[derive(Debug, Default)]
pub(crate) struct AddressVotes {
    candidates: Vec<IpAddr>,
    /// The oldest in front.
    votes: VecDeque<Vote>,
    elected: Option<IpAddr>,
    /// The address that would be elected in place of the present one, and since when.
    rival: Option<(IpAddr, Stamp)>,
}

#[derive(Clone, Copy, Debug)]
struct Vote {
    /// The voter's network.
    network: u32,
    /// Index of the candidate.
    candidate: u8,
    at: Stamp,
}

impl AddressVotes {
    /// Counts what `voter`, which we had asked, says our address is; hands out the address if that elects another.
    pub(crate) fn cast(&mut self, voter: SocketAddr, ip: IpAddr, now: Instant) -> Option<IpAddr> {
        // an address the voter could not have seen is a lie, or of no use
        let is_possible = scope::may_tell(SocketAddr::new(ip, 1), voter) && ip.is_ipv4() == voter.is_ipv4();
        if !is_possible {
            return None;
        }
        let network = network(voter.ip());
        self.votes.retain(|v| v.network != network && now.since(v.at.instant()) < VOTE_LIFE);
        let candidate = self.candidate(ip)?;
        if self.votes.len() >= VOTES_MAX {
            self.votes.pop_front();
        }
        self.votes.push_back(Vote { network, candidate, at: Stamp::of(now) });
        self.elect(ip, now)
    }

    /// Finds out what a vote for `ip` led to.
    fn elect(&mut self, ip: IpAddr, now: Instant) -> Option<IpAddr> {
        let leader = self.leader();
        // a vote for the rival while there are too few to tell takes nothing from it
        self.rival = match (leader, self.rival) {
            (leader, Some(rival)) if rival.0 == leader.unwrap_or(ip) => Some(rival),
            (Some(leader), _) => Some((leader, Stamp::of(now))).filter(|_| self.elected != Some(leader)),
            (None, _) => None,
        };
        let (rival, since) = self.rival.filter(|(rival, _)| leader == Some(*rival))?;
        if self.elected.is_some() && now.since(since.instant()) < LEAD_HELD {
            return None;
        }
        (self.elected, self.rival) = (Some(rival), None);
        self.elected
    }

    /// The index of `ip` among the candidates, where it takes the place of one without votes.
    fn candidate(&mut self, ip: IpAddr) -> Option<u8> {
        let known = self.candidates.iter().position(|c| *c == ip);
        let at = known.or_else(|| {
            if self.candidates.len() < CANDIDATES_MAX {
                self.candidates.push(ip);
                return Some(self.candidates.len() - 1);
            }
            let counts = self.counts();
            let at = counts.iter().position(|n| *n == 0)?;
            self.candidates[at] = ip;
            Some(at)
        });
        u8::try_from(at?).ok()
    }

    fn counts(&self) -> [usize; CANDIDATES_MAX] {
        let mut counts = [0; CANDIDATES_MAX];
        self.votes.iter().for_each(|v| counts[usize::from(v.candidate)] += 1);
        counts
    }

    /// The address that has votes enough to be elected, or to stay.
    fn leader(&self) -> Option<IpAddr> {
        let counts = self.counts();
        let (winner, votes) = counts.iter().copied().enumerate().max_by_key(|(_, n)| *n)?;
        let ip = *self.candidates.get(winner)?;
        let of_others = counts.iter().enumerate().filter(|(at, _)| *at != winner).map(|(_, n)| *n);
        let second = of_others.max().unwrap_or(0);
        let before = self.elected.and_then(|old| self.candidates.iter().position(|c| *c == old));
        let of_elected = before.filter(|at| *at != winner).map_or(0, |at| counts[at]);
        let is_ahead = votes * 2 >= second * 3 && votes >= of_elected * LEAD_TO_REPLACE;
        (is_ahead && votes >= VOTES_TO_WIN).then_some(ip)
    }
}

/// The /16 (IPv4) or /32 (IPv6) of a voter.
fn network(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip) >> 16,
        IpAddr::V6(ip) => u32::from(ip.segments()[0]) << 16 | u32::from(ip.segments()[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(hex: &str) -> NodeId {
        let byte = |i: usize| u8::from_str_radix(&hex[i * 2..i * 2 + 2], 16).unwrap();
        NodeId(core::array::from_fn(byte))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn voter(n: u8) -> SocketAddr {
        SocketAddr::from(([20, n, 1, 1], 6881))
    }

    /// Elections after votes of voters 1, 2, 3, … for these addresses.
    fn elected(votes: &[&str]) -> Option<IpAddr> {
        let mut all = AddressVotes::default();
        for (n, vote) in (1..).zip(votes) {
            let _ = all.cast(voter(n), ip(vote), Instant::ZERO);
        }
        all.elected
    }

    //= BEP 42: test vectors
    #[test]
    fn the_published_ids_follow_from_their_addresses() {
        for (addr, crc, full) in [
            ("124.31.75.21", 0x5fbf_bdb2, "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
            ("21.75.31.124", 0x5a3c_e9b0, "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
            ("65.23.51.170", 0xa5d4_344a, "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
            ("84.124.73.14", 0x1b03_217b, "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
            ("43.213.53.83", 0xe56f_6972, "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
        ] {
            let (addr, full) = (ip(addr), id(full));
            assert_eq!(prefix(addr, full.0[19]), u32::to_be_bytes(crc), "{addr}");
            assert!(is_compliant(&full, addr));
            assert_eq!(compliant_id(addr, full), full);
            let mut random = NodeId([0x77; 20]);
            random.0[19] = full.0[19];
            assert_eq!(compliant_id(addr, random).0[..2], full.0[..2]);
            assert!(!is_compliant(&random, addr) && is_compliant(&compliant_id(addr, random), addr));
        }
    }

    #[test]
    fn over_ipv6_the_upper_half_of_the_address_counts() {
        let crcs = [
            0x8c13_b876,
            0x8113_ddef,
            0x9613_7344,
            0x9b13_16dd,
            0xb812_2e12,
            0xb512_4b8b,
            0xa212_e520,
            0xaf12_80b9,
        ];
        for (r, crc) in (0..).zip(crcs) {
            assert_eq!(prefix(ip("2001:db8:85a3:8d3::"), r), u32::to_be_bytes(crc));
            assert_eq!(prefix(ip("2001:db8:85a3:8d3:ffff:1:2:3"), r), u32::to_be_bytes(crc));
        }
    }

    #[test]
    fn the_twenty_second_bit_is_free_and_the_twenty_first_is_not() {
        let addr = ip("124.31.75.21");
        let mut free = compliant_id(addr, NodeId([1; 20]));
        free.0[2] ^= 0x04;
        assert!(is_compliant(&free, addr));
        free.0[2] ^= 0x08;
        assert!(!is_compliant(&free, addr));
    }

    #[test]
    fn in_local_networks_every_id_will_do() {
        for addr in [
            "127.0.0.1",
            "127.255.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.9.9",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
        ] {
            assert!(is_compliant(&NodeId([3; 20]), ip(addr)), "{addr}");
            assert_eq!(compliant_id(ip(addr), NodeId([3; 20])), NodeId([3; 20]));
        }
        for addr in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "0.1.2.3", "2a00::1"] {
            assert!(!is_compliant(&NodeId([3; 20]), ip(addr)), "{addr}");
        }
    }

    #[test]
    fn three_votes_with_a_lead_of_three_to_two_win() {
        let (a, b) = ("1.1.1.1", "2.2.2.2");
        assert_eq!(elected(&[a, a]), None);
        assert_eq!(elected(&[a, a, a]), Some(ip(a)));
        assert_eq!(elected(&[b, b, a, a, a]), Some(ip(a)));
        assert_eq!(elected(&[b, b, a, a]), None);
        assert_eq!(elected(&[a, a, a, b, b, b, b, b, b]), Some(ip(a)), "six to three unseats nobody");
    }

    #[test]
    fn one_network_votes_once() {
        let mut votes = AddressVotes::default();
        for n in 0..100 {
            let liar = SocketAddr::from(([20, 1, n, n], 6881));
            assert_eq!(votes.cast(liar, ip("6.6.6.6"), Instant::ZERO), None);
        }
        assert_eq!(votes.votes.len(), 1);
        let mut votes = AddressVotes::default();
        for n in 0..100u16 {
            let liar = SocketAddr::new(IpAddr::from([0x2a00, 1, n, n, 0, 0, 0, n]), 6881);
            assert_eq!(votes.cast(liar, ip("2b00::1"), Instant::ZERO), None);
        }
        assert_eq!(votes.votes.len(), 1);
    }

    #[test]
    fn votes_for_addresses_the_voter_cannot_have_seen_are_ignored() {
        for lie in ["0.0.0.1", "10.0.0.1", "127.0.0.1", "224.0.0.1", "2a00::1"] {
            assert_eq!(elected(&[lie; 5]), None, "{lie}");
        }
        let mut votes = AddressVotes::default();
        for n in 1..4 {
            let neighbour = SocketAddr::from(([10, n, 0, 1], 6881));
            let _ = votes.cast(neighbour, ip("10.0.0.9"), Instant::ZERO);
        }
        assert_eq!(votes.elected, Some(ip("10.0.0.9")), "a local network may say so of a local address");
    }

    #[test]
    fn an_address_seen_half_of_the_time_does_not_unseat_the_elected_one() {
        let mut votes = AddressVotes::default();
        let (a, b) = (ip("1.1.1.1"), ip("2.2.2.2"));
        let mut elections = 0;
        for n in 0..2000u32 {
            let now = Instant::ZERO + Duration::from_secs(u64::from(n));
            let [_, _, x, _] = n.wrapping_mul(0x9e37_79b9).to_be_bytes();
            let vote = if x % 2 == 0 { a } else { b };
            let voter = SocketAddr::from(([20, u8::try_from(n % 250).unwrap(), 1, 1], 6881));
            elections += usize::from(votes.cast(voter, vote, now).is_some());
        }
        assert_eq!(elections, 1);
    }

    #[test]
    fn a_changed_address_is_noticed_when_the_new_one_held_for_ten_minutes() {
        let mut votes = AddressVotes::default();
        let (old, new) = (ip("1.1.1.1"), ip("2.2.2.2"));
        assert_eq!((1..20).filter_map(|n| votes.cast(voter(n), old, Instant::ZERO)).count(), 1);
        assert_eq!(votes.elected, Some(old));
        let later = Instant::ZERO + VOTE_LIFE + Duration::from_secs(1);
        assert!((30..40).all(|n| votes.cast(voter(n), new, later).is_none()), "it may be back in a moment");
        let settled = later + LEAD_HELD;
        let changes: Vec<_> = (40..50).filter_map(|n| votes.cast(voter(n), new, settled)).collect();
        assert_eq!(changes, [new]);
    }

    #[test]
    fn fifty_votes_and_forty_candidates_are_kept() {
        let mut votes = AddressVotes::default();
        for n in 0..200u8 {
            let _ = votes.cast(voter(n), IpAddr::from([9, 9, 9, n]), Instant::ZERO);
            assert!(votes.votes.len() <= VOTES_MAX && votes.candidates.len() <= CANDIDATES_MAX);
        }
        assert_eq!(votes.elected, None);
    }
}
