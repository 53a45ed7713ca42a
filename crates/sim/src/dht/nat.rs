//! Translators of addresses before a host: whom they let in, and from which port they speak.

use super::census::HostIndex;
use super::chance::{Purpose, generator, scatter};
use core::net::{IpAddr, SocketAddr};
use rand::RngExt;
use std::collections::BTreeMap;
use unchoke_wire::time::{Duration, Instant};

/// Whom a translator lets in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// Addresses the host spoke to.
    Address,
    /// Endpoints the host spoke to.
    Port,
    /// The same, and every endpoint is spoken to from a port of its own.
    Symmetric,
}

/// One translator.
#[derive(Clone, Debug)]
pub(super) struct Nat {
    class: Class,
    /// The port that is told of the host.
    port: u16,
    /// How long it remembers whom the host spoke to.
    memory: Duration,
    mappings: BTreeMap<SocketAddr, Mapping>,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    port: u16,
    until: Instant,
}

impl Nat {
    /// What stands before a host. Six of ten hosts have nothing there, or what lets everybody in; of the others a
    /// table knows many whom nobody else can reach, as was measured of the network at large (P2P'09).
    pub(super) fn of(seed: u64, host: HostIndex, port: u16) -> Option<Self> {
        let rng = &mut generator(seed, Purpose::Nats, u64::from(host.0));
        let class = match rng.random_range(0..100) {
            0..60 => return None,
            60..75 => Class::Address,
            75..90 => Class::Port,
            _ => Class::Symmetric,
        };
        let memory = Duration::from_secs(rng.random_range(30..=120));
        Some(Nat { class, port, memory, mappings: BTreeMap::new() })
    }

    /// The port a datagram to `to` leaves from.
    pub(super) fn on_sent(&mut self, to: SocketAddr, now: Instant) -> u16 {
        self.mappings.retain(|_, m| now < m.until);
        let until = now + self.memory;
        let port = match (self.class, self.mappings.get(&to)) {
            (Class::Symmetric, Some(mapping)) => mapping.port,
            (Class::Symmetric, None) => fresh_port(self.port, to, now),
            _ => self.port,
        };
        self.mappings.insert(to, Mapping { port, until });
        port
    }

    /// Whether a datagram to `port` is let in.
    pub(super) fn lets_in(&self, from: SocketAddr, port: u16, now: Instant) -> bool {
        let is_open = |m: &Mapping| now < m.until && m.port == port;
        match self.class {
            Class::Address => {
                let ip: IpAddr = from.ip();
                let range = SocketAddr::new(ip, 0)..=SocketAddr::new(ip, u16::MAX);
                self.mappings.range(range).any(|(_, m)| is_open(m))
            }
            Class::Port | Class::Symmetric => self.mappings.get(&from).is_some_and(is_open),
        }
    }

    /// Remembers `from` as spoken to from the port that is told of the host.
    pub(super) fn let_in(&mut self, from: SocketAddr, now: Instant) {
        self.mappings.insert(from, Mapping { port: self.port, until: now + self.memory });
    }
}

fn fresh_port(port: u16, to: SocketAddr, now: Instant) -> u16 {
    let mixed = scatter(now.as_micros() ^ u64::from(port) << 48 ^ u64::from(to.port()) << 32);
    1024 + u16::try_from(mixed % 60_000).expect("less than a port")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_micros(1);

    fn addr(n: u8, port: u16) -> SocketAddr {
        ([8, 8, 8, n], port).into()
    }

    #[test]
    fn classes_let_in_whom_they_should() {
        for (class, other_port, same) in
            [(Class::Address, true, true), (Class::Port, false, true), (Class::Symmetric, false, false)]
        {
            let memory = Duration::from_secs(60);
            let mut nat = Nat { class, port: 99, memory, mappings: BTreeMap::new() };
            assert!(!nat.lets_in(addr(1, 1), 99, START));
            let port = nat.on_sent(addr(1, 1), START);
            assert_eq!(port == 99, same);
            assert_eq!(nat.on_sent(addr(1, 1), START), port);
            assert!(nat.lets_in(addr(1, 1), port, START));
            assert_eq!(nat.lets_in(addr(1, 2), port, START), other_port);
            assert!(!nat.lets_in(addr(2, 1), port, START) && !nat.lets_in(addr(1, 1), port, START + memory));
        }
    }

    #[test]
    fn reciprocity_and_transitivity_fail_as_often_as_was_measured() {
        let rng = &mut generator(1, Purpose::Workload, 0);
        let (mut back, mut third) = (0, 0);
        for host in 0..10_000 {
            let Some(mut nat) = Nat::of(1, HostIndex(host), 7) else { continue };
            let port = nat.on_sent(addr(1, 1), START);
            // whom it asked asks it back within two and a half minutes
            let later = START + Duration::from_secs(rng.random_range(0..150));
            back += u32::from(!nat.lets_in(addr(1, 1), port, later));
            third += u32::from(!nat.lets_in(addr(2, 1), port, START));
        }
        assert!(third.abs_diff(4000) < 200 && back.abs_diff(2000) < 200, "{third} {back}");
    }
}
