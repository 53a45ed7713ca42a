//! Canonical peer priority (BEP 40): an order of connections that both ends agree on and nobody can choose freely.

use core::net::{IpAddr, SocketAddr};

//= BEP 40: canonical peer priority
/// The priority of a connection between these endpoints, the same from both ends; the larger is preferred. `None`
/// when one is IPv4 and the other IPv6.
pub fn peer_priority(a: SocketAddr, b: SocketAddr) -> Option<u32> {
    let (ip_a, ip_b) = (a.ip().to_canonical(), b.ip().to_canonical());
    if ip_a == ip_b {
        let (low, high) = (a.port().min(b.port()), a.port().max(b.port()));
        return Some(crc32c::crc32c(&[low.to_be_bytes(), high.to_be_bytes()].concat()));
    }
    match (ip_a, ip_b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some(masked_crc(a.octets(), b.octets(), 2)),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some(masked_crc(a.octets(), b.octets(), 6)),
        _ => None,
    }
}

/// The checksum of both addresses, smaller first. The bytes that count whole are the first `whole`, or all up to the
/// first that differs if that is more; of the rest every other bit counts.
fn masked_crc<const N: usize>(mut a: [u8; N], mut b: [u8; N], whole: usize) -> u32 {
    let differs = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(N);
    let whole = whole.max(differs + 1).min(N);
    for byte in a[whole..].iter_mut().chain(&mut b[whole..]) {
        *byte &= 0x55;
    }
    crc32c::crc32c_append(crc32c::crc32c(a.min(b).as_slice()), a.max(b).as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn priority(a: &str, b: &str) -> Option<u32> {
        peer_priority(a.parse().unwrap(), b.parse().unwrap())
    }

    #[test]
    fn the_examples_of_bep_40_agree() {
        assert_eq!(priority("123.213.32.10:1", "98.76.54.32:2"), Some(0xec2d_7224));
        assert_eq!(priority("123.213.32.10:1", "123.213.32.234:2"), Some(0x9956_8189));
    }

    #[test]
    fn the_mask_widens_with_what_two_addresses_share() {
        assert_eq!(priority("123.213.32.10:1", "123.213.99.234:2"), Some(0x2e4a_a643));
        let a = "[2001:db8:1:2:3:4:5:6]:1";
        assert_eq!(priority(a, "[2001:db9:ffff:ffff:ffff:ffff:ffff:ffff]:2"), Some(0x2576_6d17));
        assert_eq!(priority(a, "[2001:db8:1:ffff:ffff:ffff:ffff:ffff]:2"), Some(0x996e_3137));
        assert_eq!(priority(a, "[2001:db8:1:ff:ffff:ffff:ffff:ffff]:2"), Some(0x3519_1a5a));
        assert_eq!(priority(a, "[2001:db8:1:2:3:4:5:7]:2"), Some(0x1337_cf8c));
    }

    #[test]
    fn two_peers_at_one_address_are_told_apart_by_port() {
        assert_eq!(priority("10.0.0.1:6881", "10.0.0.1:6882"), Some(0x67f8_fe57));
        assert_eq!(priority("10.0.0.1:6882", "[::ffff:10.0.0.1]:6881"), Some(0x67f8_fe57));
    }

    #[test]
    fn families_do_not_mix() {
        assert_eq!(priority("10.0.0.1:6881", "[2001:db8::1]:6881"), None);
    }

    proptest! {
        #[test]
        fn both_ends_agree(a: [u8; 16], b: [u8; 16], shared in 0usize..=16, port_a: u16, port_b: u16, v4: bool) {
            let mut b = b;
            b[..shared].copy_from_slice(&a[..shared]);
            let addr = |ip: [u8; 16], port| match ip {
                [a, b, c, d, ..] if v4 => SocketAddr::new(IpAddr::from([a, b, c, d]), port),
                ip => SocketAddr::new(IpAddr::from(ip), port),
            };
            let (a, b) = (addr(a, port_a), addr(b, port_b));
            prop_assert_eq!(peer_priority(a, b), peer_priority(b, a));
        }
    }
}
