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
