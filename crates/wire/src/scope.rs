//! How far an address reaches, and whom we believe about it.
//!
//! One rule, [`may_use`], for peers, DHT nodes, trackers, redirects and all else that is sent to: an address is used
//! only if it is global, or of the same scope as the one who told us. Rules that hold one operator to one place
//! ([`site`], [`share_site`]) bind global addresses alone: on loopback and in private networks many nodes share an
//! address.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
    /// Nothing that could be sent to: unspecified, multicast, reserved.
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
        match embedded_v4(ip) {
            Some(inner) => Self::of_v4(inner),
            None if ip.is_loopback() => Scope::Loopback,
            None => match ip.segments()[0] {
                0xfe80..=0xfebf => Scope::LinkLocal,
                0xfec0..=0xfeff | 0xfc00..=0xfdff => Scope::Private,
                0x0000 | 0xff00.. => Scope::Unroutable,
                _ => Scope::Global,
            },
        }
    }
}

/// The IPv4 address that a NAT64 address, of the world's prefix or a network's own, or a 6to4 address leads to.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, .., high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

/// Who named an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Teller {
    /// The user, in so many words.
    User,
    /// A torrent the user chose, or the configuration: its trackers and its DHT nodes.
    Torrent,
    /// Somebody at this address.
    At(IpAddr),
    /// Nobody whose place is known: a link, or a list of unknown making.
    Anybody,
}

/// Whether `addr` may be sent to when `teller` named it. An IPv4 address in IPv6 form counts as what it is.
///
/// Global addresses may be, whoever names them. Others only in the scope of who named them, which for the user is any,
/// and for a torrent this machine and its site, where trackers are, but not the link, where what answers without
/// asking who calls is. Nobody may name port 0, what cannot be sent to, an IPv6 link-local address without a zone
/// (which no message carries), or, but for the user, a local address inside an IPv6 one.
pub fn may_use(addr: SocketAddr, teller: Teller) -> bool {
    let has_zone = match addr {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id() != 0,
        _ => true,
    };
    let is_embedded = matches!(addr.ip(), IpAddr::V6(ip) if embedded_v4(ip).is_some());
    addr.port() != 0
        && has_zone
        && match (Scope::of(addr.ip()), teller) {
            (Scope::Unroutable, _) => false,
            (Scope::Global, _) | (_, Teller::User) => true,
            (Scope::LinkLocal, Teller::Torrent) | (_, Teller::Anybody) => false,
            (_, Teller::Torrent) => !is_embedded,
            (scope, Teller::At(ip)) => !is_embedded && Scope::of(ip) == scope,
        }
}

/// Whether `addr` may be used when `teller` names it in a message, and told to `teller` when it asks.
///
/// As [`may_use`], and neither an IPv4 address in IPv6 form nor an IPv6 link-local one, whose zone no message carries.
pub fn may_tell(addr: SocketAddr, teller: SocketAddr) -> bool {
    let is_plain = match addr.ip() {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_none() && !ip.is_unicast_link_local(),
    };
    is_plain && may_use(addr, Teller::At(teller.ip()))
}

/// An IPv4 address mapped into IPv6 as what it is; others as they are, zone and all.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}

/// Whether `ip` is of the internet.
pub fn is_global(ip: IpAddr) -> bool {
    Scope::of(ip) == Scope::Global
}

/// The network one operator is taken to hold: the first address of the /24 (IPv4) or /64 (IPv6).
pub fn site(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::from(Ipv4Addr::from(u32::from(ip) & !0xff)),
        IpAddr::V6(ip) => IpAddr::from(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}

/// Whether both are global and in one site.
pub fn share_site(a: IpAddr, b: IpAddr) -> bool {
    is_global(a) && is_global(b) && site(a) == site(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    //= C1
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
            ("64:ff9b:1::10.0.0.1", Scope::Private),
            ("64:ff9b:1:abcd::127.0.0.1", Scope::Loopback),
            ("64:ff9b:1::8.8.8.8", Scope::Global),
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

    //= C1
    #[test]
    fn who_may_name_what() {
        let at = |ip: &str| Teller::At(ip.parse().unwrap());
        // address, then whether a user, a torrent, somebody on the internet, in a private network, on this machine,
        // on the link, and anybody may name it
        let table = [
            ("8.8.8.8:1", "u t g p l k a"),
            ("[2a00::1]:1", "u t g p l k a"),
            ("[::ffff:8.8.8.8]:1", "u t g p l k a"),
            ("8.8.8.8:0", ""),
            ("10.0.0.1:1", "u t p"),
            ("[fd00::1]:1", "u t p"),
            ("100.64.0.1:1", "u t p"),
            ("127.0.0.1:1", "u t l"),
            ("[::1]:1", "u t l"),
            ("[::ffff:127.0.0.1]:1", "u t l"),
            ("169.254.169.254:80", "u k"),
            ("[fe80::1%2]:1", "u k"),
            ("[fe80::1]:1", ""),
            ("[64:ff9b::a00:1]:1", "u"),
            ("[2002:7f00:1::]:1", "u"),
            ("[64:ff9b::808:808]:1", "u t g p l k a"),
            ("0.0.0.0:1", ""),
            ("[::]:1", ""),
            ("239.192.152.143:6771", ""),
            ("255.255.255.255:1", ""),
            ("[ff15::efc0:988f]:6771", ""),
        ];
        let tellers = [
            ("u", Teller::User),
            ("t", Teller::Torrent),
            ("g", at("1.1.1.1")),
            ("p", at("192.168.7.7")),
            ("l", at("::1")),
            ("k", at("fe80::7")),
            ("a", Teller::Anybody),
        ];
        for (addr, expected) in table {
            let addr: SocketAddr = addr.parse().unwrap();
            let may: Vec<&str> =
                tellers.iter().filter(|(_, teller)| may_use(addr, *teller)).map(|(name, _)| *name).collect();
            assert_eq!(may.join(" "), expected, "{addr}");
        }
    }

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
            ("169.254.1.1:5", "169.254.1.2:1", true),
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
