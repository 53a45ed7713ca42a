//! Attackers: what they want, where they sit, and how they answer.

use super::Plan;
use super::census::{Census, HostIndex, Member};
use super::chance::{Purpose, Share, generator};
use super::foreign::{self, Foreign};
use super::population::{Host, Population, Role, prefix_of};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::FromStr;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use unchoke_dht::{NodeId, NodeInfo};
use unchoke_wire::krpc::{Kind, Message, Method};
use unchoke_wire::scope;
use unchoke_wire::time::Instant;

/// Addresses of an attacker who wants one key.
const GANG: u8 = 64;
/// Networks of 256 they are in.
const GANG_SITES: u8 = 4;
/// Keys that have such an attacker each.
const GANGS: usize = 20;
/// Bits a target shares with a key from which on its attackers lure.
const LURE_BITS: usize = 8;
/// Invented peers or nodes in a reply.
const INVENTED: usize = 8;
/// The address that liars call everybody's.
pub(super) const LIE: Ipv4Addr = Ipv4Addr::new(45, 66, 77, 88);

/// What attackers do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attack {
    /// 64 addresses in four /24s want every lookup for one key, with the ids BEP 42 lets them have.
    Eclipse,
    /// The same with ids right beside the key, which BEP 42 forbids.
    EclipseAnyId,
    /// They name each other only.
    Poison,
    /// They name peers nobody announced.
    Values,
    /// They invent nodes close to what is sought.
    Liars,
    /// They answer pings and nothing else.
    Droppers,
    /// They tell everybody a wrong address.
    Votes,
    /// They have another id in each reply.
    IdChangers,
    /// They ask in the name of a victim, who gets the replies.
    Amplify,
    /// Whoever searches has just started, and 95 % of the nodes it saved and all its routers are dead.
    Bootstrap,
}

/// Every attack and its name.
pub const ATTACKS: [(&str, Attack); 10] = [
    ("eclipse", Attack::Eclipse),
    ("eclipse-any-id", Attack::EclipseAnyId),
    ("poison", Attack::Poison),
    ("values", Attack::Values),
    ("liars", Attack::Liars),
    ("droppers", Attack::Droppers),
    ("votes", Attack::Votes),
    ("id-changers", Attack::IdChangers),
    ("amplify", Attack::Amplify),
    ("bootstrap", Attack::Bootstrap),
];

impl Attack {
    /// Its name.
    pub fn name(self) -> &'static str {
        ATTACKS.iter().find(|(_, attack)| *attack == self).map_or("", |(name, _)| name)
    }

    /// Whether attackers are nodes like all others, a part of the whole.
    pub(super) fn is_widespread(self) -> bool {
        !matches!(self, Attack::Eclipse | Attack::EclipseAnyId | Attack::Amplify | Attack::Bootstrap)
    }

    fn is_eclipse(self) -> bool {
        matches!(self, Attack::Eclipse | Attack::EclipseAnyId)
    }
}

/// A name of no attack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("attacks are {}", ATTACKS.map(|(name, _)| name).join(", "))]
pub struct AttackError;

impl FromStr for Attack {
    type Err = AttackError;

    fn from_str(text: &str) -> Result<Self, AttackError> {
        ATTACKS.iter().find(|(name, _)| *name == text).map(|(_, attack)| *attack).ok_or(AttackError)
    }
}

/// Attackers who work together.
#[derive(Clone, Debug)]
pub(super) struct Gang {
    /// What they want to be found for.
    pub(super) key: Option<NodeId>,
    members: Census,
}

/// All attackers of a network.
#[derive(Clone, Debug, Default)]
pub(super) struct Hostility {
    pub(super) gangs: Vec<Gang>,
    gang_of: BTreeMap<HostIndex, usize>,
}

impl Hostility {
    /// The attackers of a plan, and the population with them in it.
    pub(super) fn new(plan: &Plan, population: Population) -> (Self, Population) {
        let Some(attack) = plan.attack else { return (Hostility::default(), population) };
        let rng = &mut generator(plan.seed, Purpose::Adversary, 0);
        let keys: Vec<NodeId> =
            (0..if attack.is_eclipse() { GANGS } else { 0 }).map(|_| NodeId(rng.random())).collect();
        let placed: Vec<(usize, Host)> = keys
            .iter()
            .enumerate()
            .flat_map(|(at, key)| gang(attack, *key, rng).into_iter().map(move |host| (at, host)))
            .collect();
        let population = population.with(placed.iter().map(|(_, host)| *host));
        let mut members: Vec<Vec<Member>> = vec![Vec::new(); keys.len().max(1)];
        let mut gang_of = BTreeMap::new();
        for host in population.hosts().filter(|h| population.get(*h).role == Role::Hostile) {
            let Host { ip, id, .. } = *population.get(host);
            let at = placed.iter().find(|(_, h)| h.ip == ip).map_or(0, |(at, _)| *at);
            members[at].push(Member { id, host });
            gang_of.insert(host, at);
        }
        let keys = keys.into_iter().map(Some).chain([None]);
        let gangs = members
            .into_iter()
            .zip(keys)
            .map(|(members, key)| Gang { key, members: Census::new(members) })
            .collect();
        (Hostility { gangs, gang_of }, population)
    }

    /// The gang of a host.
    pub(super) fn gang(&self, host: HostIndex) -> Option<&Gang> {
        self.gang_of.get(&host).map(|at| &self.gangs[*at])
    }
}

/// The hosts of one attacker who wants `key`.
fn gang(attack: Attack, key: NodeId, rng: &mut impl Rng) -> Vec<Host> {
    let mut hosts = Vec::new();
    for _ in 0..GANG_SITES {
        let site = loop {
            let site: [u8; 3] = rng.random();
            if scope::is_global(IpAddr::from([site[0], site[1], site[2], 1])) {
                break site;
            }
        };
        for n in 0..GANG / GANG_SITES {
            let ip = Ipv4Addr::from([site[0], site[1], site[2], 10 + n * 13]);
            let mut id = key;
            if attack == Attack::Eclipse {
                let near = |last: &u8| {
                    let prefix = prefix_of(ip, *last);
                    [prefix[0] ^ key.0[0], prefix[1] ^ key.0[1], (prefix[2] ^ key.0[2]) & 0xf8]
                };
                let last = (0..8).min_by_key(near).expect("one of eight");
                let prefix = prefix_of(ip, last);
                id.0[..2].copy_from_slice(&prefix[..2]);
                id.0[2] = prefix[2] & 0xf8 | key.0[2] & 7;
                id.0[19] = key.0[19] & 0xf8 | last;
            } else {
                id.0[18] ^= 1 + n;
                id.0[19] = rng.random();
            }
            hosts.push(Host { ip, port: rng.random_range(1024..=u16::MAX), id, role: Role::Hostile });
        }
    }
    hosts
}

/// An attacker's node.
#[derive(Debug)]
pub(super) struct Hostile<'a> {
    attack: Attack,
    gang: &'a Gang,
    population: &'a Population,
    /// How it would answer if it were honest.
    honest: Foreign,
    rng: ChaCha8Rng,
}

impl<'a> Hostile<'a> {
    pub(super) fn new(
        attack: Attack,
        gang: &'a Gang,
        population: &'a Population,
        honest: Foreign,
        rng: ChaCha8Rng,
    ) -> Self {
        Hostile { attack, gang, population, honest, rng }
    }

    pub(super) fn id(&self) -> NodeId {
        self.honest.id()
    }

    /// The answer to a datagram, if there is one.
    pub(super) fn answer(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Option<Vec<u8>> {
        let message = Message::decode(bytes).ok()?;
        let Kind::Query(query) = &message.kind else { return None };
        let sought = foreign::target_of(&query.method);
        let seeks_peers = matches!(query.method, Method::GetPeers { .. });
        if self.attack == Attack::Droppers && query.method != Method::Ping {
            return None;
        }
        let mut reply = self.honest.respond(from, message, now)?;
        if self.attack == Attack::Votes {
            reply.ip = Some(SocketAddr::new(IpAddr::V4(LIE), from.port()));
        }
        let Kind::Response(response) = &mut reply.kind else { return Some(reply.encode()) };
        if self.attack == Attack::IdChangers {
            response.id = NodeId(self.rng.random());
        }
        if let Some(target) = sought {
            let is_lure = self.gang.key.is_some_and(|key| key.distance(&target).shared_bits() >= LURE_BITS);
            if self.attack == Attack::Poison || is_lure {
                response.nodes = Some(self.comrades(&target));
                response.values.clear();
            }
            if self.attack == Attack::Liars {
                response.nodes = Some((0..INVENTED).map(|_| self.invent(target)).collect());
            }
        }
        if self.attack == Attack::Values && seeks_peers {
            response.values = (0..INVENTED).map(|_| random_endpoint(&mut self.rng)).collect();
        }
        Some(reply.encode())
    }

    fn comrades(&self, target: &NodeId) -> Vec<NodeInfo> {
        let nearest = self.gang.members.closest(target, INVENTED, |_| true);
        nearest.into_iter().map(|m| NodeInfo { id: m.id, addr: self.population.get(m.host).addr() }).collect()
    }

    /// A node that does not exist, closer to the target than nearly any that does.
    fn invent(&mut self, target: NodeId) -> NodeInfo {
        let mut id = target;
        id.0[3..].copy_from_slice(&self.rng.random::<[u8; 17]>());
        NodeInfo { id, addr: random_endpoint(&mut self.rng) }
    }
}

fn random_endpoint(rng: &mut impl Rng) -> SocketAddr {
    loop {
        let ip = IpAddr::from(rng.random::<[u8; 4]>());
        if scope::is_global(ip) {
            return SocketAddr::new(ip, rng.random_range(1024..=u16::MAX));
        }
    }
}

/// The part of the nodes that a widespread attack has by default.
pub const HOSTILE_DEFAULT: Share = Share::per_mille(200);
