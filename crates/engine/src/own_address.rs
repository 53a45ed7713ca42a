//! Which address of ours others see: votes, one a network, until enough of them agree.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::VecDeque;
use unchoke_wire::scope;

/// Votes kept, the latest ones.
const VOTES_MAX: usize = 64;
/// Networks that must agree: a single liar, or two, settle nothing.
const QUORUM: usize = 3;
/// Who votes for all trackers together: a torrent can name many that are one.
const TRACKERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The votes of one engine's peers and trackers.
#[derive(Debug, Default)]
pub struct OwnAddress {
    /// The network that voted, and for what.
    votes: VecDeque<(IpAddr, IpAddr)>,
}

impl OwnAddress {
    /// A peer at `voter` sees us at `ip`. Returns `ip` if that settles it: so say three networks and more than half of
    /// those that voted for an address of its family. Only global addresses count, of both.
    pub fn peer_sees(&mut self, ip: IpAddr, voter: IpAddr) -> Option<IpAddr> {
        if scope::is_global(voter) { self.vote(ip, scope::site(voter.to_canonical())) } else { None }
    }

    /// A tracker sees us at `ip`; all trackers together have one vote. Returns as [`OwnAddress::peer_sees`].
    pub fn tracker_sees(&mut self, ip: IpAddr) -> Option<IpAddr> {
        self.vote(ip, TRACKERS)
    }

    fn vote(&mut self, ip: IpAddr, voter: IpAddr) -> Option<IpAddr> {
        let ip = ip.to_canonical();
        if !scope::is_global(ip) {
            return None;
        }
        // one vote a network for each family
        self.votes.retain(|(of, other)| *of != voter || other.is_ipv4() != ip.is_ipv4());
        if self.votes.len() >= VOTES_MAX {
            self.votes.pop_front();
        }
        self.votes.push_back((voter, ip));
        let of_family = self.votes.iter().filter(|(_, other)| other.is_ipv4() == ip.is_ipv4()).count();
        let agree = self.votes.iter().filter(|(_, other)| *other == ip).count();
        (agree >= QUORUM && 2 * agree > of_family).then_some(ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_lying_peer_settles_nothing_however_often_it_votes() {
        let mut own = OwnAddress::default();
        assert!((0..100u8).all(|i| own.peer_sees(ip("1.2.3.4"), IpAddr::from([8, 8, 8, i])).is_none()));
        assert_eq!(own.peer_sees(ip("1.2.3.4"), ip("9.9.9.9")), None);
        assert_eq!(own.peer_sees(ip("1.2.3.4"), ip("7.7.7.7")), Some(ip("1.2.3.4")));
    }

    #[test]
    fn trackers_have_one_vote_and_local_addresses_none() {
        let mut own = OwnAddress::default();
        assert!((0..9).all(|_| own.tracker_sees(ip("1.2.3.4")).is_none()));
        assert_eq!(own.peer_sees(ip("1.2.3.4"), ip("9.9.9.9")), None);
        assert_eq!(own.peer_sees(ip("1.2.3.4"), ip("192.168.0.9")), None);
        assert_eq!(own.peer_sees(ip("192.168.0.1"), ip("7.7.7.7")), None);
        assert_eq!(own.peer_sees(ip("::ffff:1.2.3.4"), ip("7.7.8.7")), Some(ip("1.2.3.4")));
    }

    #[test]
    fn more_than_half_must_agree_and_votes_are_bounded() {
        let mut own = OwnAddress::default();
        let mut settled = 0;
        for i in 0..200u8 {
            let seen = if i % 2 == 0 { ip("1.1.1.1") } else { ip("2.2.2.2") };
            settled += usize::from(own.peer_sees(seen, IpAddr::from([8, 8, i, 1])) == Some(ip("2.2.2.2")));
        }
        assert_eq!((settled, own.votes.len()), (0, VOTES_MAX));
    }
}
