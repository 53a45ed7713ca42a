//! How far an address reaches: the gate for what names and redirects may lead to.

use std::net::IpAddr;

/// How far an address reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Everywhere.
    Global,
    /// Within a network behind one operator's door.
    Private,
    /// Within this machine.
    Loopback,
}

impl Scope {
    /// The scope of `ip`; `None` for what names no single host.
    pub(crate) fn of(ip: IpAddr) -> Option<Self> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => match ip.octets() {
                [0 | 224..=255, ..] => None,
                [127, ..] => Some(Scope::Loopback),
                [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] | [100, 64..=127, ..] => {
                    Some(Scope::Private)
                }
                _ => Some(Scope::Global),
            },
            IpAddr::V6(ip) if ip.is_loopback() => Some(Scope::Loopback),
            IpAddr::V6(ip) => match ip.segments() {
                [0, 0, 0, 0, 0, 0, ..] | [0xff00..=0xffff, ..] => None,
                [0xfc00..=0xfdff | 0xfe80..=0xfebf, ..] => Some(Scope::Private),
                // IPv4 addresses in the clothes of NAT64 and 6to4 reach what the IPv4 address reaches
                [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => {
                    let [c, d] = [a.to_be_bytes(), b.to_be_bytes()];
                    Scope::of([c[0], c[1], d[0], d[1]].into())
                }
                _ => Some(Scope::Global),
            },
        }
    }

    /// Whether `ip` may be used when somebody of scope `teller` named it.
    pub(crate) fn may_tell(teller: Scope, ip: IpAddr) -> bool {
        Scope::of(ip).is_some_and(|scope| scope == Scope::Global || scope == teller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_point_us_inside() {
        for (teller, ip, is_allowed) in [
            (Scope::Global, "1.2.3.4", true),
            (Scope::Global, "127.0.0.1", false),
            (Scope::Global, "::ffff:127.0.0.1", false),
            (Scope::Global, "64:ff9b::7f00:1", false),
            (Scope::Global, "2002:a00:1::1", false),
            (Scope::Global, "169.254.169.254", false),
            (Scope::Global, "fe80::1", false),
            (Scope::Global, "2a00::1", true),
            (Scope::Private, "192.168.0.1", true),
            (Scope::Private, "127.0.0.1", false),
            (Scope::Loopback, "::1", true),
            (Scope::Loopback, "0.0.0.0", false),
        ] {
            assert_eq!(Scope::may_tell(teller, ip.parse().unwrap()), is_allowed, "{ip} told by {teller:?}");
        }
    }
}
