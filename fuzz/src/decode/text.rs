//! Addresses, names of hosts, URLs and signed items.

use crate::steps::Steps;
use std::net::{IpAddr, SocketAddr};
use unchoke_dht::item::{SecretKey, is_authentic};
use unchoke_engine::tracker::url::TrackerUrl;
use unchoke_wire::item::{Item, MutableItem, signed_bytes};
use unchoke_wire::scope::{self, Scope, Teller};
use unchoke_wire::{HostPort, limits};

/// A host with a port has both, within their limits, and is written as it was meant.
pub fn host_port(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(parsed) = text.parse::<HostPort>() else { return };
    assert!(parsed.port() != 0 && !parsed.host().is_empty() && parsed.host().len() <= limits::HOST_LEN_MAX);
    assert!(!parsed.host().contains(['/', '@', '[', ']', '%']) && parsed.host().is_ascii());
    assert_eq!(parsed.to_string().parse(), Ok(parsed.clone()));
    assert_eq!(HostPort::new(parsed.host(), parsed.port()), Ok(parsed.clone()));
    assert_eq!(parsed.socket_addr().map(|a| a.ip()), parsed.ip());
}

/// What may be dialled has a port, is sent to, and is never nearer than who named it; the canonical form is final.
pub fn scope(data: &[u8]) {
    let mut steps = Steps::new(data);
    let (addr, teller) = (any_address(&mut steps), any_address(&mut steps));
    let canonical = scope::canonical(addr);
    assert_eq!(scope::canonical(canonical), canonical);
    assert_eq!(Scope::of(addr.ip()), Scope::of(canonical.ip()), "{addr}");
    assert_eq!(scope::is_global(addr.ip()), Scope::of(addr.ip()) == Scope::Global);
    assert_eq!(scope::share_site(addr.ip(), teller.ip()), scope::share_site(teller.ip(), addr.ip()));
    let at = Teller::At(teller.ip());
    for who in [at, Teller::User, Teller::Torrent, Teller::Anybody] {
        if scope::may_use(addr, who) {
            assert!(addr.port() != 0 && Scope::of(addr.ip()) != Scope::Unroutable, "{addr}");
            assert!(scope::may_use(addr, Teller::User), "the user may name what others may");
        }
    }
    if scope::may_use(addr, Teller::Anybody) {
        assert!(
            scope::is_global(addr.ip()) && !is_special(addr.ip()),
            "{addr} is no address of the internet"
        );
        assert!(scope::may_use(addr, at) && scope::may_use(addr, Teller::Torrent));
    }
    if scope::may_use(addr, at) && !scope::is_global(addr.ip()) {
        assert_eq!(Scope::of(addr.ip()), Scope::of(teller.ip()), "{teller} named {addr}");
    }
    if scope::may_tell(addr, teller) {
        assert!(scope::may_use(addr, at));
    }
}

fn any_address(steps: &mut Steps<'_>) -> SocketAddr {
    let kind = steps.byte();
    let port = u16::from(steps.byte());
    let v4 = |steps: &mut Steps<'_>| steps.word().to_be_bytes();
    let ip: IpAddr = match kind % 4 {
        0 => v4(steps).into(),
        1 => {
            let [a, b, c, d] = v4(steps);
            // forms that hold an IPv4 address: mapped, compatible, 6to4, NAT64
            let forms: [[u8; 16]; 4] = [
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d],
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d],
                [0x20, 0x02, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d],
            ];
            forms[steps.below(4)].into()
        }
        _ => {
            let mut bytes = [0; 16];
            bytes.iter_mut().for_each(|b| *b = steps.byte());
            bytes.into()
        }
    };
    SocketAddr::new(ip, port)
}

/// What the standard library knows to be no address of a host in the internet.
fn is_special(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets()[0] == 0
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

/// A tracker's URL is printable, is read back as itself, has a host and a port, and is shown without what may be a key.
pub fn tracker_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(url) = TrackerUrl::parse(text) else { return };
    assert!(url.as_str().len() <= limits::TRACKER_URL_LEN_MAX);
    assert!(url.as_str().bytes().all(|b| b.is_ascii_graphic()), "{:?}", url.as_str());
    assert!(url.port() != 0 && !url.host().is_empty());
    assert_eq!(TrackerUrl::parse(url.as_str()).as_ref(), Ok(&url), "{:?}", url.as_str());
    assert!(url.target().is_empty() || url.target().starts_with(['/', '?']));
    assert!(url.as_str().ends_with(url.target()));
    assert!(!url.redacted().contains(['@', '?', '#']));
    // a long part of the path is a key, and is taken out of whatever a tracker says
    let scrubbed = url.scrub(url.as_str());
    for part in url.target().split(['/', '?', '&', '=', ';']).filter(|p| p.len() >= 20) {
        assert!(part.starts_with("announce") || !scrubbed.contains(part), "{part} in {scrubbed}");
    }
}

/// A signed item is authentic, and is not once anything of it is changed.
pub fn item(data: &[u8]) {
    let mut steps = Steps::new(data);
    let key = SecretKey::from_seed(&[steps.byte(); 32]);
    let seq = i64::from(steps.odd_number()) - i64::from(steps.odd_number());
    let salt = steps.bytes();
    let salt = salt[..salt.len().min(limits::ITEM_SALT_LEN_MAX)].to_vec();
    let (which, bit) = (steps.byte(), 1 << (steps.byte() % 8));
    let value = steps.rest().to_vec();
    let good = key.sign(salt, seq, value);
    assert!(is_authentic(&good));
    let signed = signed_bytes(&good.salt, good.seq, &good.value);
    let mut bad = good.clone();
    match which % 5 {
        0 => bad.seq ^= 1,
        1 => bad.signature[usize::from(which) % 64] ^= bit,
        2 => bad.key[usize::from(which) % 32] ^= bit,
        3 => bad.value.push(bit),
        _ => bad.salt.insert(0, bit),
    }
    assert!(!is_authentic(&bad), "{which} {bit}");
    assert!(which % 5 == 1 || which % 5 == 2 || signed_bytes(&bad.salt, bad.seq, &bad.value) != signed);
    let of_key = |item: &MutableItem| Item::Mutable(item.clone()).key().target();
    let is_same_place = bad.key == good.key && bad.salt == good.salt;
    assert_eq!(of_key(&bad) == of_key(&good), is_same_place);
}
