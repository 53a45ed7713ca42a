//! Compact peers: an address and a port in 6 bytes (BEP 23) or 18 bytes (BEP 7), both big-endian.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which addresses a list holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4, 6 bytes a peer.
    V4,
    /// IPv6, 18 bytes a peer.
    V6,
}

impl Family {
    /// Bytes of one peer.
    pub const fn entry_len(self) -> usize {
        match self {
            Family::V4 => 6,
            Family::V6 => 18,
        }
    }
}

/// What to do with bytes at the end of a list that are no whole peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remainder {
    /// Leave them out.
    Ignore,
    /// Refuse the list.
    Refuse,
}

/// A list that does not end with a whole peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("compact peers of {got} bytes, no multiple of {entry}")]
pub struct RemainderError {
    /// Bytes of the list.
    pub got: usize,
    /// Bytes of one peer.
    pub entry: usize,
}

/// The peers of a list, in its order. IPv4 addresses written as IPv6 become IPv4; peers with port 0 are left out.
///
/// # Errors
/// [`RemainderError`] when `remainder` says so.
pub fn decode(
    bytes: &[u8],
    family: Family,
    remainder: Remainder,
) -> Result<impl Iterator<Item = SocketAddr> + use<'_>, RemainderError> {
    let entry = family.entry_len();
    if remainder == Remainder::Refuse && !bytes.len().is_multiple_of(entry) {
        return Err(RemainderError { got: bytes.len(), entry });
    }
    Ok(entries(bytes, family).filter(|a| a.port() != 0))
}

/// The one peer that these 6 or 18 bytes are; `None` for any other length and for port 0.
pub fn decode_one(bytes: &[u8]) -> Option<SocketAddr> {
    let family = match bytes.len() {
        6 => Family::V4,
        18 => Family::V6,
        _ => return None,
    };
    entries(bytes, family).find(|a| a.port() != 0)
}

/// Appends a peer: 6 bytes for IPv4 (also one written as IPv6), 18 for IPv6.
pub fn encode_into(addr: SocketAddr, out: &mut Vec<u8>) {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

//= BEP 23: compact peer list
//= BEP 7: compact IPv6 peer list
/// Every whole entry, port 0 included, so that what is listed beside the peers stays in step.
pub(crate) fn entries(bytes: &[u8], family: Family) -> impl Iterator<Item = SocketAddr> + use<'_> {
    bytes.chunks_exact(family.entry_len()).map(move |entry| {
        let (ip, port) = entry.split_last_chunk().expect("an entry is longer than its port");
        let ip = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_octets(*ip.first_chunk().expect("an entry of 6 bytes"))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_octets(*ip.first_chunk().expect("an entry of 18 bytes"))),
        };
        SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(*port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], family: Family) -> Vec<String> {
        decode(bytes, family, Remainder::Ignore).unwrap().map(|a| a.to_string()).collect()
    }

    #[test]
    fn the_peers_of_the_example_in_bep_7_are_read() {
        assert_eq!(all(b"iiiipp", Family::V4), ["105.105.105.105:28784"]);
        let v6 = "[6969:6969:6969:6969:6969:6969:6969:6969]:28784";
        assert_eq!(all(b"iiiiiiiiiiiiiiiipp", Family::V6), [v6]);
    }

    #[test]
    fn a_remainder_is_ignored_or_refused_as_the_caller_says() {
        let bytes = b"\x7f\0\0\x01\x1a\xe1\x7f";
        assert_eq!(all(bytes, Family::V4), ["127.0.0.1:6881"]);
        assert_eq!(all(bytes, Family::V6), [""; 0]);
        let refused = decode(bytes, Family::V4, Remainder::Refuse).err();
        assert_eq!(refused, Some(RemainderError { got: 7, entry: 6 }));
        assert_eq!(decode(&bytes[..6], Family::V4, Remainder::Refuse).unwrap().count(), 1);
        assert_eq!(decode(&[], Family::V6, Remainder::Refuse).unwrap().count(), 0);
    }

    #[test]
    fn port_zero_is_left_out_and_a_mapped_address_is_ipv4() {
        assert_eq!(all(b"\x7f\0\0\x01\0\0\x7f\0\0\x02\0\x01", Family::V4), ["127.0.0.2:1"]);
        let mapped = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04\0\x50";
        assert_eq!(all(mapped, Family::V6), ["1.2.3.4:80"]);
        assert_eq!(decode_one(mapped), "1.2.3.4:80".parse().ok());
        let mut out = Vec::new();
        encode_into("[::ffff:1.2.3.4]:80".parse().unwrap(), &mut out);
        assert_eq!(out, b"\x01\x02\x03\x04\0\x50");
    }

    #[test]
    fn one_peer_is_6_or_18_bytes() {
        assert_eq!(decode_one(b"axje.u"), "97.120.106.101:11893".parse().ok());
        assert_eq!(decode_one(b"axje.u6"), None);
        assert_eq!(decode_one(b"axje\0\0"), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(ip: [u8; 16], v4: bool, port in 1u16..) {
            let [a, b, c, d, ..] = ip;
            let ip = if v4 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(ip).to_canonical() };
            let addr = SocketAddr::new(ip, port);
            let mut out = Vec::new();
            encode_into(addr, &mut out);
            prop_assert_eq!(decode_one(&out), Some(addr));
        }
    }
}
