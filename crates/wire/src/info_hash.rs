//! Names of torrents: the hash of the raw `info` dictionary, and the 20 bytes that stand for it on the wire.

use core::fmt;
use sha1::Digest;

/// The 20 bytes that name a swarm in handshakes, tracker requests and the DHT: the SHA-1 info-hash of a v1 torrent,
/// or the first 20 bytes of the SHA-256 info-hash of a v2 torrent (BEP 3, 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireHash(pub [u8; 20]);

/// A whole info-hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InfoHash {
    /// SHA-1 of the raw `info` bytes (BEP 3).
    V1([u8; 20]),
    /// SHA-256 of the raw `info` bytes (BEP 52).
    V2([u8; 32]),
}

impl InfoHash {
    /// Whether `info` (the raw bencoded dictionary) hashes to this.
    pub fn matches(&self, info: &[u8]) -> bool {
        match self {
            InfoHash::V1(h) => *h == <[u8; 20]>::from(sha1::Sha1::digest(info)),
            InfoHash::V2(h) => *h == <[u8; 32]>::from(sha2::Sha256::digest(info)),
        }
    }

    /// The form used on the wire.
    pub fn wire(&self) -> WireHash {
        match self {
            InfoHash::V1(h) => WireHash(*h),
            InfoHash::V2(h) => WireHash(*h.first_chunk().expect("32 bytes hold 20")),
        }
    }
}

/// The hashes a torrent is known by: one, or both for a hybrid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InfoHashes {
    /// SHA-1 info-hash.
    pub v1: Option<[u8; 20]>,
    /// SHA-256 info-hash.
    pub v2: Option<[u8; 32]>,
}

impl InfoHashes {
    //= BEP 3: info-hash is the SHA-1 of the raw info bytes
    /// The v1 hash of these raw `info` bytes.
    pub fn v1_of(info: &[u8]) -> Self {
        InfoHashes { v1: Some(sha1::Sha1::digest(info).into()), v2: None }
    }

    /// Both hashes over the same raw `info` bytes.
    pub fn hybrid_of(info: &[u8]) -> Self {
        InfoHashes { v1: Some(sha1::Sha1::digest(info).into()), v2: Some(sha2::Sha256::digest(info).into()) }
    }

    /// The v2 hash of these raw `info` bytes.
    pub fn v2_of(info: &[u8]) -> Self {
        InfoHashes { v1: None, v2: Some(sha2::Sha256::digest(info).into()) }
    }

    /// The hash a swarm is joined by: v1 where there is one, else v2. `None` when empty.
    pub fn best(&self) -> Option<InfoHash> {
        self.v1.map(InfoHash::V1).or(self.v2.map(InfoHash::V2))
    }

    /// Whether `info` hashes to every hash that is known, and at least one is.
    pub fn matches(&self, info: &[u8]) -> bool {
        let all = [self.v1.map(InfoHash::V1), self.v2.map(InfoHash::V2)];
        self.best().is_some() && all.iter().flatten().all(|h| h.matches(info))
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

impl fmt::Display for WireHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for WireHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InfoHash::V1(h) => hex(h, f),
            InfoHash::V2(h) => hex(h, f),
        }
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= S04
    //= S10
    #[test]
    fn the_download_hash_is_the_sha1_of_the_raw_info_bytes() {
        let hashes = InfoHashes::v1_of(b"hello");
        assert_eq!(
            hashes.best().map(|h| h.to_string()).as_deref(),
            Some("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d")
        );
        assert!(hashes.matches(b"hello"));
        assert!(!hashes.matches(b"hello "));
        assert!(!InfoHashes::default().matches(b"hello"));
    }

    #[test]
    fn a_v2_hash_is_cut_to_twenty_bytes_on_the_wire() {
        let h = InfoHashes::v2_of(b"hello").best().expect("has v2");
        assert_eq!(h.wire().to_string(), h.to_string()[..40]);
    }
}
