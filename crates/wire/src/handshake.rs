//! The 68 bytes that open every peer connection, the same in both directions (BEP 3).
//!
//! The acceptor answers as soon as [`Prefix`] is in, since some initiators wait for the answer before they send
//! their id; a wrong byte is refused as soon as it is seen.

use crate::{PeerId, WireHash};
use core::fmt;

/// Bytes of a handshake.
pub const HANDSHAKE_LEN: usize = 68;
/// Bytes of a handshake in front of the peer id.
pub const PREFIX_LEN: usize = 48;

/// The length byte and the protocol string that every handshake begins with.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// What the bytes of a fresh connection look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demux {
    /// A plain BitTorrent handshake.
    BitTorrent,
    /// Anything else, such as an encrypted handshake.
    Other,
    /// Too few bytes to tell.
    NeedMore,
}

/// Tells a plain handshake from any other protocol by the first bytes of a connection; 20 bytes always suffice.
pub fn demux(first: &[u8]) -> Demux {
    let seen = first.len().min(PROTOCOL.len());
    if first[..seen] != PROTOCOL[..seen] {
        Demux::Other
    } else if seen < PROTOCOL.len() {
        Demux::NeedMore
    } else {
        Demux::BitTorrent
    }
}

/// The eight reserved bytes. Bits that are not known here are kept and ignored.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    const DHT: (usize, u8) = (7, 0x01);
    const FAST: (usize, u8) = (7, 0x04);
    const V2_UPGRADE: (usize, u8) = (7, 0x10);
    const EXTENSION: (usize, u8) = (5, 0x10);

    //= BEP 5: reserved bit of the DHT
    /// Whether the peer runs a DHT node.
    pub const fn has_dht(self) -> bool {
        self.has(Self::DHT)
    }

    //= BEP 6: reserved bit of the fast extension
    /// Whether the peer speaks the fast extension.
    pub const fn has_fast(self) -> bool {
        self.has(Self::FAST)
    }

    //= BEP 10: reserved bit of the extension protocol
    /// Whether the peer speaks the extension protocol.
    pub const fn has_extension(self) -> bool {
        self.has(Self::EXTENSION)
    }

    //= BEP 52: reserved bit of the upgrade to v2
    /// Whether the peer of a hybrid torrent can go on with the v2 hash.
    pub const fn has_v2_upgrade(self) -> bool {
        self.has(Self::V2_UPGRADE)
    }

    /// These bits and the DHT's.
    pub const fn with_dht(self) -> Self {
        self.with(Self::DHT)
    }

    /// These bits and the fast extension's.
    pub const fn with_fast(self) -> Self {
        self.with(Self::FAST)
    }

    /// These bits and the extension protocol's.
    pub const fn with_extension(self) -> Self {
        self.with(Self::EXTENSION)
    }

    /// These bits and the v2 upgrade's.
    pub const fn with_v2_upgrade(self) -> Self {
        self.with(Self::V2_UPGRADE)
    }

    /// The bits that both sides set.
    pub fn common(self, other: Self) -> Self {
        Reserved((u64::from_be_bytes(self.0) & u64::from_be_bytes(other.0)).to_be_bytes())
    }

    const fn has(self, (byte, bit): (usize, u8)) -> bool {
        self.0[byte] & bit != 0
    }

    const fn with(mut self, (byte, bit): (usize, u8)) -> Self {
        self.0[byte] |= bit;
        self
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The bytes on a plain connection are no BitTorrent handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// This byte differs from the protocol string.
    #[error("another protocol: byte {0} of the handshake differs")]
    Protocol(usize),
}

/// What a handshake says before the peer id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    /// The extensions of the sender.
    pub reserved: Reserved,
    /// The swarm it means.
    pub info_hash: WireHash,
}

/// Reads the prefix from the first bytes of a connection; `None` until [`PREFIX_LEN`] of them are in. Bytes after the
/// prefix are not looked at.
///
/// # Errors
/// [`HandshakeError::Protocol`] on the first byte of the protocol string that is wrong, however few bytes are in.
pub fn parse_prefix(bytes: &[u8]) -> Result<Option<Prefix>, HandshakeError> {
    if let Some(at) = bytes.iter().zip(PROTOCOL).position(|(got, due)| got != due) {
        return Err(HandshakeError::Protocol(at));
    }
    Ok(bytes
        .first_chunk::<PREFIX_LEN>()
        .map(|b| Prefix { reserved: Reserved(array(b, 20)), info_hash: WireHash(array(b, 28)) }))
}

/// A whole handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// The extensions of the sender.
    pub reserved: Reserved,
    /// The swarm it means.
    pub info_hash: WireHash,
    /// What the sender calls itself.
    pub peer_id: PeerId,
}

impl Handshake {
    //= BEP 3: handshake
    /// The bytes to send.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut out = [0; HANDSHAKE_LEN];
        out[..20].copy_from_slice(PROTOCOL);
        out[20..28].copy_from_slice(&self.reserved.0);
        out[28..48].copy_from_slice(&self.info_hash.0);
        out[48..].copy_from_slice(&self.peer_id.0);
        out
    }

    /// Reads a handshake from the first bytes of a connection; `None` until [`HANDSHAKE_LEN`] of them are in. Bytes
    /// after it belong to the first message.
    ///
    /// # Errors
    /// As [`parse_prefix`].
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, HandshakeError> {
        let Some(Prefix { reserved, info_hash }) = parse_prefix(bytes)? else { return Ok(None) };
        Ok(bytes.first_chunk::<HANDSHAKE_LEN>().map(|b| Handshake {
            reserved,
            info_hash,
            peer_id: PeerId(array(b, PREFIX_LEN)),
        }))
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("callers hold the whole part")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V1: [u8; 68] = *b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05\
        \xaa\xf4\xc6\x1d\xdc\xc5\xe8\xa2\xda\xbe\xde\x0f\x3b\x48\x2c\xd9\xae\xa9\x43\x4d-XX0001-abcdefghijkl";

    fn v1() -> Handshake {
        Handshake {
            reserved: Reserved::default().with_dht().with_fast().with_extension(),
            info_hash: WireHash(*V1[28..48].first_chunk().unwrap()),
            peer_id: PeerId(*b"-XX0001-abcdefghijkl"),
        }
    }

    //= S01
    //= S05
    //= S06
    #[test]
    fn a_handshake_is_the_same_68_bytes_whoever_sends_it() {
        assert_eq!(v1().encode(), V1);
        assert_eq!(Handshake::decode(&V1), Ok(Some(v1())));
        assert_eq!(Handshake::decode(&[&V1[..], b"\0\0\0\x01\x02"].concat()), Ok(Some(v1())));
    }

    #[test]
    fn a_prefix_is_read_as_soon_as_48_bytes_are_in_and_the_whole_at_68() {
        let prefix = Prefix { reserved: v1().reserved, info_hash: v1().info_hash };
        for at in 0..=V1.len() {
            assert_eq!(parse_prefix(&V1[..at]), Ok((at >= 48).then_some(prefix)));
            assert_eq!(Handshake::decode(&V1[..at]), Ok((at >= 68).then(v1)));
        }
    }

    //= S01
    #[test]
    fn any_wrong_byte_of_the_protocol_string_is_refused_at_once() {
        for at in 0..20 {
            let mut bytes = V1;
            bytes[at] ^= 0x20;
            assert_eq!(parse_prefix(&bytes[..=at]), Err(HandshakeError::Protocol(at)));
            assert_eq!(Handshake::decode(&bytes), Err(HandshakeError::Protocol(at)));
            assert_eq!(demux(&bytes[..=at]), Demux::Other);
            assert_eq!(demux(&bytes[..at]), Demux::NeedMore);
        }
        assert_eq!(demux(&V1[..20]), Demux::BitTorrent);
        assert_eq!(demux(&V1), Demux::BitTorrent);
    }

    //= S03
    #[test]
    fn unknown_reserved_bits_are_kept_and_ignored() {
        let all = Handshake { reserved: Reserved([0xff; 8]), ..v1() };
        assert_eq!(Handshake::decode(&all.encode()), Ok(Some(all)));
        let bits = |r: Reserved| [r.has_dht(), r.has_fast(), r.has_extension(), r.has_v2_upgrade()];
        assert_eq!(bits(all.reserved), [true; 4]);
        assert_eq!(bits(Reserved([0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0xff, 0xea])), [false; 4]);
        assert_eq!(bits(Reserved([0, 0, 0, 0, 0, 0, 0, 0x01])), [true, false, false, false]);
        assert_eq!(bits(Reserved([0, 0, 0, 0, 0, 0, 0, 0x04])), [false, true, false, false]);
        assert_eq!(bits(Reserved([0, 0, 0, 0, 0, 0x10, 0, 0])), [false, false, true, false]);
        assert_eq!(Reserved::default().with_v2_upgrade().0, [0, 0, 0, 0, 0, 0, 0, 0x10]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(reserved: [u8; 8], hash: [u8; 20], id: [u8; 20]) {
            let h = Handshake { reserved: Reserved(reserved), info_hash: WireHash(hash), peer_id: PeerId(id) };
            prop_assert_eq!(Handshake::decode(&h.encode()), Ok(Some(h)));
        }
    }
}
