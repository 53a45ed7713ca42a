//! The hosts of a network: their addresses, their ids after BEP 42, and what each is.

use super::census::{Census, HostIndex, Member};
use super::chance::{Purpose, Share, generator, scatter};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use rand::{Rng, RngExt};
use unchoke_dht::NodeId;
use unchoke_wire::scope;

/// What a host is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// One of our nodes.
    Ours,
    /// One of ours that asks and does not answer (BEP 43).
    ReadOnly,
    /// BEP 5 and no more: eight nodes a reply, no `ip`.
    Plain,
    /// Twenty nodes a reply.
    Twenty,
    /// Still in tables, and silent for good.
    Gone,
    /// An attacker's.
    Hostile,
}

/// One host; each has an address of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    pub(super) ip: Ipv4Addr,
    pub(super) port: u16,
    pub(super) id: NodeId,
    pub(super) role: Role,
}

impl Host {
    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip), self.port)
    }
}

/// How many hosts of each kind there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix {
    pub(super) live: u32,
    /// Part of what tables hold that is gone.
    pub(super) dead: Share,
    /// Part of the live that are not our nodes, or are read-only.
    pub(super) foreign: Share,
    /// Part of the live that are an attacker's.
    pub(super) hostile: Share,
}

/// All hosts of a network.
#[derive(Clone, Debug)]
pub(super) struct Population {
    hosts: Vec<Host>,
    by_ip: Vec<(Ipv4Addr, HostIndex)>,
    /// What tables may hold: all but read-only nodes.
    pub(super) tellable: Census,
}

impl Population {
    /// Hosts of this mix; those for whose number `is_ours` holds are ours in any case.
    pub(super) fn new(seed: u64, mix: Mix, is_ours: impl Fn(u32) -> bool) -> Self {
        let rng = &mut generator(seed, Purpose::Ids, 0);
        let gone = mix.dead.beside(mix.live);
        let addresses = (0..u32::MAX).map(|n| Ipv4Addr::from(permute(seed, n)));
        let global = addresses.filter(|ip| scope::is_global(IpAddr::V4(*ip)));
        let hosts = global
            .zip(0..mix.live + gone)
            .map(|(ip, n)| {
                let role = match draw_role(mix, rng) {
                    _ if n >= mix.live => Role::Gone,
                    _ if is_ours(n) => Role::Ours,
                    drawn => drawn,
                };
                let id = compliant_id(ip, rng.random(), rng);
                Host { ip, port: rng.random_range(1024..=u16::MAX), id, role }
            })
            .collect();
        Population::of(hosts)
    }

    fn of(hosts: Vec<Host>) -> Self {
        let numbers = || (0..).map(HostIndex).zip(&hosts);
        let mut by_ip: Vec<_> = numbers().map(|(i, h)| (h.ip, i)).collect();
        by_ip.sort_unstable();
        let told = numbers().filter(|(_, h)| h.role != Role::ReadOnly);
        let tellable = Census::new(told.map(|(host, h)| Member { id: h.id, host }).collect());
        Population { by_ip, tellable, hosts }
    }

    /// The same with these hosts too, but for those whose address is taken.
    pub(super) fn with(self, more: impl IntoIterator<Item = Host>) -> Self {
        let mut hosts = self.hosts.clone();
        for host in more {
            if self.at(IpAddr::V4(host.ip)).is_none() {
                hosts.push(host);
            }
        }
        Population::of(hosts)
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// The numbers of all hosts.
    pub(super) fn hosts(&self) -> impl Iterator<Item = HostIndex> + use<> {
        (0..u32::try_from(self.hosts.len()).expect("hosts are numbered by 32 bits")).map(HostIndex)
    }

    pub(super) fn get(&self, host: HostIndex) -> &Host {
        &self.hosts[host.get()]
    }

    /// The host that has this address.
    pub(super) fn at(&self, ip: IpAddr) -> Option<HostIndex> {
        let IpAddr::V4(ip) = ip else { return None };
        let at = self.by_ip.binary_search_by_key(&ip, |(ip, _)| *ip).ok()?;
        Some(self.by_ip[at].1)
    }

    /// The host at exactly this endpoint.
    pub(super) fn find(&self, addr: SocketAddr) -> Option<&Host> {
        self.at(addr.ip()).map(|at| self.get(at)).filter(|h| h.port == addr.port())
    }

    /// One of those with this role, drawn evenly.
    pub(super) fn any(&self, rng: &mut impl Rng, wanted: impl Fn(&Host) -> bool) -> HostIndex {
        let len = u32::try_from(self.hosts.len()).expect("hosts are numbered by 32 bits");
        loop {
            let host = HostIndex(rng.random_range(0..len));
            if wanted(self.get(host)) {
                return host;
            }
        }
    }
}

/// An eighth of foreign nodes is read-only; the others are plain or of twenty by halves.
fn draw_role(mix: Mix, rng: &mut impl Rng) -> Role {
    if mix.hostile.draw(rng) {
        Role::Hostile
    } else if mix.foreign.draw(rng) {
        match rng.random_range(0..8) {
            0 => Role::ReadOnly,
            1..=3 => Role::Plain,
            _ => Role::Twenty,
        }
    } else {
        Role::Ours
    }
}

/// The `n`th address: every number has another, in no visible order.
fn permute(seed: u64, n: u32) -> u32 {
    let (mut left, mut right) = (n >> 16, n & 0xffff);
    for round in 0..4u64 {
        let mixed =
            scatter(seed.wrapping_mul(4).wrapping_add(round).wrapping_mul(0x1_0001) ^ u64::from(right) << 40);
        let low = u32::try_from(mixed & 0xffff).expect("sixteen bits");
        (left, right) = (right, left ^ low);
    }
    left << 16 | right
}

//= BEP 42: the first 21 bits come from the address
/// An id that this address may have; `last` is its last byte, the rest is drawn.
pub(super) fn compliant_id(ip: Ipv4Addr, last: u8, rng: &mut impl Rng) -> NodeId {
    let mut id = NodeId(rng.random());
    let prefix = prefix_of(ip, last);
    id.0[0] = prefix[0];
    id.0[1] = prefix[1];
    id.0[2] = prefix[2] & 0xf8 | id.0[2] & 0x07;
    id.0[19] = last;
    id
}

/// Three bytes of which 21 bits begin the ids of an address with this last byte.
pub(super) fn prefix_of(ip: Ipv4Addr, last: u8) -> [u8; 3] {
    let masked = u32::from(ip) & 0x030f_3fff | u32::from(last & 7) << 29;
    let [a, b, c, _] = crc32c::crc32c(&masked.to_be_bytes()).to_be_bytes();
    [a, b, c]
}

/// Whether the address may have this id (BEP 42).
pub(super) fn is_compliant(id: &NodeId, ip: IpAddr) -> bool {
    let IpAddr::V4(ip) = ip else { return false };
    let [a, b, c] = prefix_of(ip, id.0[19]);
    id.0[0] == a && id.0[1] == b && (id.0[2] ^ c) & 0xf8 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: Mix =
        Mix { live: 2000, dead: Share::per_mille(200), foreign: Share::per_mille(500), hostile: Share::NONE };

    //= BEP 42: the first 21 bits come from the address
    #[test]
    fn ids_of_the_examples_in_bep_42_belong_to_their_addresses() {
        for (ip, last, prefix) in [
            ([124, 31, 75, 21], 1, [0x5f, 0xbf, 0xbf]),
            ([21, 75, 31, 124], 86, [0x5a, 0x3c, 0xe9]),
            ([65, 23, 51, 170], 22, [0xa5, 0xd4, 0x32]),
            ([84, 124, 73, 14], 65, [0x1b, 0x03, 0x21]),
            ([43, 213, 53, 83], 90, [0xe5, 0x6f, 0x6c]),
        ] {
            let id = compliant_id(ip.into(), last, &mut generator(1, Purpose::Ids, 0));
            assert_eq!((id.0[0], id.0[1], id.0[2] & 0xf8), (prefix[0], prefix[1], prefix[2] & 0xf8));
            assert!(is_compliant(&id, IpAddr::from(ip)));
            assert!(!is_compliant(&id, IpAddr::from([8, 8, 8, 8])));
        }
    }

    #[test]
    fn every_host_has_a_global_address_and_an_id_of_its_own() {
        let population = Population::new(5, MIX, |_| false);
        assert_eq!(population.len(), 2500);
        assert!(population.by_ip.windows(2).all(|w| w[0].0 < w[1].0));
        for host in &population.hosts {
            assert!(scope::is_global(IpAddr::V4(host.ip)) && is_compliant(&host.id, IpAddr::V4(host.ip)));
            assert_eq!(population.find(host.addr()).map(|h| h.id), Some(host.id));
        }
        let of = |role| population.hosts.iter().filter(|h| h.role == role).count();
        assert_eq!(of(Role::Gone), 500);
        let told = population.tellable.closest(&NodeId([0; 20]), 9999, |_| true);
        assert_eq!(told.len(), 2500 - of(Role::ReadOnly));
        for (role, share) in
            [(Role::Ours, 1000), (Role::Plain, 375), (Role::Twenty, 500), (Role::ReadOnly, 125)]
        {
            assert!(of(role).abs_diff(share) < 80, "{role:?} {}", of(role));
        }
    }

    #[test]
    fn other_seeds_give_other_networks() {
        let first = |seed| Population::new(seed, MIX, |_| false).hosts[0].id;
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1));
    }
}
