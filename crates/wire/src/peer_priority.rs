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
