//! How far an address reaches, and the gate that keeps strangers from pointing us at the local network.

use crate::input::PeerSource;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// The internet.
    Global,
    /// A site: private use, unique local, or a provider's shared space.
    Private,
    /// One link.
    LinkLocal,
    /// This machine.
    Loopback,
    /// Nothing that could be dialled: unspecified, multicast, reserved.
    Unroutable,
}

impl Scope {
    /// The scope of an address; one that carries an IPv4 address inside (mapped, NAT64, 6to4) has the scope of that.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        match ip.octets() {
            [127, ..] => Scope::Loopback,
            [169, 254, ..] => Scope::LinkLocal,
            [100, b, ..] if b & 0xc0 == 64 => Scope::Private,
            [0 | 224..=255, ..] => Scope::Unroutable,
            _ if ip.is_private() => Scope::Private,
            _ => Scope::Global,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let [a, b, c, d, e, f, g, h] = ip.segments();
        let inner = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match (a, b) {
            _ if ip.is_loopback() => Scope::Loopback,
            (0x0064, 0xff9b) if [c, d, e, f] == [0; 4] => inner(g, h),
            (0x2002, _) => inner(b, c),
            (0xfe80..=0xfebf, _) => Scope::LinkLocal,
            (0xfec0..=0xfeff | 0xfc00..=0xfdff, _) => Scope::Private,
            (0x0000 | 0xff00.., _) => Scope::Unroutable,
            _ => Scope::Global,
        }
    }

    /// Whether an address of this scope may be dialled when it came from `source`, told by somebody of scope
    /// `told_by`.
    pub fn may_be_dialled(self, source: PeerSource, told_by: Scope) -> bool {
        match (self, source) {
            (Scope::Unroutable, _) => false,
            (Scope::Global, _) | (_, PeerSource::User) => true,
            _ => self == told_by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_addresses_and_of_those_inside_others() {
        let table = [
            ("8.8.8.8", Scope::Global),
            ("172.32.0.1", Scope::Global),
            ("100.128.0.1", Scope::Global),
            ("2001:4860::1", Scope::Global),
            ("10.1.2.3", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("192.168.0.1", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("fd00::1", Scope::Private),
            ("fec0::1", Scope::Private),
            ("169.254.1.1", Scope::LinkLocal),
            ("fe80::1", Scope::LinkLocal),
            ("127.8.8.8", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("::ffff:10.0.0.1", Scope::Private),
            ("64:ff9b::10.0.0.1", Scope::Private),
            ("64:ff9b::8.8.8.8", Scope::Global),
            ("2002:7f00:1::", Scope::Loopback),
            ("0.0.0.0", Scope::Unroutable),
            ("224.0.0.1", Scope::Unroutable),
            ("255.255.255.255", Scope::Unroutable),
            ("::", Scope::Unroutable),
            ("::8.8.8.8", Scope::Unroutable),
            ("ff02::1", Scope::Unroutable),
        ];
        for (ip, scope) in table {
            assert_eq!(Scope::of(ip.parse().unwrap()), scope, "{ip}");
        }
    }

    #[test]
    fn nobody_names_an_address_of_a_scope_they_are_not_in() {
        use PeerSource::{Dht, Magnet, Pex, Tracker, User};
        for source in [Magnet, Tracker, Dht, Pex] {
            assert!(Scope::Global.may_be_dialled(source, Scope::Loopback));
            assert!(Scope::Loopback.may_be_dialled(source, Scope::Loopback));
            assert!(Scope::Private.may_be_dialled(source, Scope::Private));
            assert!(!Scope::Private.may_be_dialled(source, Scope::Global));
            assert!(!Scope::Loopback.may_be_dialled(source, Scope::Private));
            assert!(!Scope::LinkLocal.may_be_dialled(source, Scope::Global));
        }
        assert!(Scope::Loopback.may_be_dialled(User, Scope::Global));
        assert!(!Scope::Unroutable.may_be_dialled(User, Scope::Global));
    }

    #[test]
    fn a_magnet_cannot_point_us_at_this_machine_or_its_network() {
        for ip in ["127.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "fd00::1"] {
            let scope = Scope::of(ip.parse().unwrap());
            assert!(!scope.may_be_dialled(PeerSource::Magnet, Scope::Global), "{ip}");
        }
    }
}
