//! How far an address reaches, and whom we believe about it.
//!
//! An address is used only if it is global, or of the same scope as the one who told us. The rules that hold one
//! operator to one place (an IP once in the table, a /24 or /64 once a bucket and search) bind global addresses
//! alone: on loopback and in private networks many nodes share an address.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How far an address reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    Global,
    Private,
    Loopback,
}

/// The scope of `ip`; `None` for what names no single host: unspecified, multicast, reserved, embedded IPv4.
pub(crate) fn of(ip: IpAddr) -> Option<Scope> {
    match ip {
        IpAddr::V4(ip) => of_v4(ip),
        IpAddr::V6(ip) => match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Some(Scope::Loopback),
            // addresses that carry an IPv4 one (NAT64, 6to4) reach as far as that
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                of_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))).filter(|s| *s == Scope::Global)
            }
            // link-local means nothing without a zone, which compact forms cannot carry
            [0 | 0xfe80..=0xfebf | 0xff00..=0xffff, ..] => None,
            [0xfc00..=0xfdff, ..] => Some(Scope::Private),
            _ => Some(Scope::Global),
        },
    }
}

fn of_v4(ip: Ipv4Addr) -> Option<Scope> {
    let [a, b, ..] = ip.octets();
    match (a, b) {
        (0 | 224..=255, _) => None,
        (127, _) => Some(Scope::Loopback),
        (10, _) | (172, 16..=31) | (192, 168) | (169, 254) | (100, 64..=127) => Some(Scope::Private),
        _ => Some(Scope::Global),
    }
}

/// Whether `addr` may be used when `teller` names it, and told to `teller` when it asks.
pub(crate) fn may_tell(addr: SocketAddr, teller: SocketAddr) -> bool {
    addr.port() != 0
        && match of(addr.ip()) {
            Some(Scope::Global) => true,
            Some(scope) => of(teller.ip()) == Some(scope),
            None => false,
        }
}

pub(crate) fn is_global(ip: IpAddr) -> bool {
    of(ip) == Some(Scope::Global)
}

/// The network one operator is taken to hold: the first address of the /24 (IPv4) or /64 (IPv6).
pub(crate) fn site(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::from(Ipv4Addr::from(u32::from(ip) & !0xff)),
        IpAddr::V6(ip) => IpAddr::from(core::net::Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}

/// Whether both are global and in one site.
pub(crate) fn share_site(a: IpAddr, b: IpAddr) -> bool {
    is_global(a) && is_global(b) && site(a) == site(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_global_or_of_its_tellers_scope() {
        let at = |s: &str| s.parse::<SocketAddr>().unwrap();
        let global = at("8.8.8.8:1");
        for (addr, teller, is_told) in [
            ("1.2.3.4:5", "8.8.8.8:1", true),
            ("1.2.3.4:0", "8.8.8.8:1", false),
            ("127.0.0.1:5", "8.8.8.8:1", false),
            ("127.0.0.1:5", "127.0.0.1:1", true),
            ("10.1.1.1:5", "127.0.0.1:1", false),
            ("10.1.1.1:5", "192.168.1.1:1", true),
            ("100.64.0.1:5", "8.8.8.8:1", false),
            ("[::1]:5", "[::1]:6", true),
            ("[::ffff:1.2.3.4]:5", "8.8.8.8:1", false),
            ("[2a00::1]:5", "[::1]:6", true),
            ("[fe80::1]:5", "[fe80::2]:6", false),
            ("[2002:7f00:1::1]:5", "[2002:7f00:1::2]:6", false),
            ("[64:ff9b::a00:1]:5", "[2a00::1]:6", false),
            ("[64:ff9b::808:808]:5", "[2a00::1]:6", true),
            ("[fd00::1]:5", "[fc00::2]:6", true),
            ("0.1.2.3:5", "8.8.8.8:1", false),
            ("239.1.2.3:5", "239.1.2.3:1", false),
        ] {
            assert_eq!(may_tell(at(addr), at(teller)), is_told, "{addr} told by {teller}");
        }
        assert!(share_site(global.ip(), at("8.8.8.9:1").ip()));
        assert!(!share_site(at("127.0.0.1:1").ip(), at("127.0.0.1:2").ip()));
        assert!(share_site(at("[2a00::1]:1").ip(), at("[2a00::2:1]:1").ip()));
    }
}
