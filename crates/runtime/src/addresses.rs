//! Which addresses this machine has, and noticing that they change: another network, a lease that ran out, a tunnel that
//! came up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use unchoke_wire::time::Instant;

use crate::sys::{InterfaceAddr, interfaces};

/// How often the addresses are looked at: a few dozen microseconds each time.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks at the addresses from time to time.
#[derive(Debug)]
pub(crate) struct AddressWatch {
    listen: Vec<SocketAddr>,
    present: Vec<IpAddr>,
    look_at: Instant,
}

/// Addresses that are others than before.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Where the session is reached now.
    pub(crate) own: Vec<SocketAddr>,
    /// All addresses of this machine.
    pub(crate) present: Vec<IpAddr>,
}

impl AddressWatch {
    /// Watches for a session that listens there.
    pub(crate) fn new(listen: Vec<SocketAddr>, now: Instant) -> Self {
        let present = sorted(&interfaces().unwrap_or_default());
        AddressWatch { listen, present, look_at: now + LOOK_EVERY }
    }

    /// When to look next.
    pub(crate) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Looks if it is time to, and answers if something changed.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Changed> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + LOOK_EVERY;
        self.compare(&interfaces().ok()?)
    }

    fn compare(&mut self, interfaces: &[InterfaceAddr]) -> Option<Changed> {
        let present = sorted(interfaces);
        if present == self.present {
            return None;
        }
        self.present.clone_from(&present);
        Some(Changed { own: own_addresses(&self.listen, interfaces), present })
    }
}

fn sorted(interfaces: &[InterfaceAddr]) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = interfaces.iter().map(|i| i.ip).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The addresses that reach us, as far as they are known: where the session listens on every address, those of all
/// interfaces and the loopback ones.
pub(crate) fn own_addresses(addrs: &[SocketAddr], interfaces: &[InterfaceAddr]) -> Vec<SocketAddr> {
    let own = |addr: &SocketAddr| -> Vec<IpAddr> {
        let loopback: IpAddr = match addr.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => return vec![ip],
        };
        let of_family = interfaces.iter().map(|i| i.ip).filter(|ip| ip.is_ipv4() == loopback.is_ipv4());
        of_family.filter(|ip| *ip != loopback).chain([loopback]).collect()
    };
    addrs.iter().flat_map(|addr| own(addr).into_iter().map(|ip| SocketAddr::new(ip, addr.port()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(ip: &str) -> InterfaceAddr {
        let ip = ip.parse().unwrap();
        InterfaceAddr { index: 1, ip, prefix_len: 24, is_loopback: false, has_multicast: true }
    }

    #[test]
    fn a_change_is_told_once_with_all_that_is_there_now() {
        let listen = vec!["0.0.0.0:6881".parse().unwrap()];
        let (before, after) = ([interface("10.0.0.1")], [interface("10.0.0.2"), interface("fd00::1")]);
        let mut watch = AddressWatch { listen, present: sorted(&before), look_at: Instant::ZERO };
        assert!(watch.compare(&before).is_none());
        let changed = watch.compare(&after).unwrap();
        assert_eq!(changed.present, ["10.0.0.2".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
        let own: Vec<SocketAddr> = ["10.0.0.2:6881", "127.0.0.1:6881"].map(|a| a.parse().unwrap()).into();
        assert_eq!(changed.own, own);
        assert!(watch.compare(&[after[1], after[0]]).is_none(), "in another order it is the same");
    }
}
