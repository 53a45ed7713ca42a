//! The filter of a swarm's addresses (BEP 33): how many there are, and how many two nodes have in common, without
//! telling any of them.

use core::fmt;
use core::net::IpAddr;
use sha1::{Digest, Sha1};

/// Bytes of a filter.
const LEN: usize = 256;
/// Bits of a filter.
const BITS: u32 = 2048;

/// A Bloom filter over IP addresses: 2048 bits, two for each address.
#[derive(Clone, PartialEq, Eq)]
pub struct BloomFilter([u8; LEN]);

impl BloomFilter {
    /// The filter with these bits.
    pub fn from_bytes(bytes: [u8; LEN]) -> Self {
        BloomFilter(bytes)
    }

    //= BEP 33: the first two 16-bit words of the SHA-1, least significant byte first, modulo 2048
    /// Adds an address; ports and the like do not count.
    pub fn insert(&mut self, ip: IpAddr) {
        let digest = match ip {
            IpAddr::V4(ip) => Sha1::digest(ip.octets()),
            IpAddr::V6(ip) => Sha1::digest(ip.octets()),
        };
        for word in [[digest[0], digest[1]], [digest[2], digest[3]]] {
            let bit = usize::from(u16::from_le_bytes(word)) % (8 * LEN);
            self.0[bit / 8] |= 1 << (bit % 8);
        }
    }

    /// Adds every address of `other`.
    pub fn merge(&mut self, other: &BloomFilter) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// Its bytes as they are sent.
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    //= BEP 33: the estimate is ln(c / m) / (2 ln(1 - 1 / m)) for c zero bits of m, c at most m - 1
    /// How many addresses it holds, about; it cannot tell more than some 6000.
    pub fn estimate(&self) -> f64 {
        if self.zeros() == BITS {
            return 0.0;
        }
        let m = f64::from(BITS);
        let zeros = f64::from(self.zeros().max(1));
        (zeros / m).ln() / (2.0 * (1.0 - 1.0 / m).ln())
    }

    /// [`Self::estimate`] as a whole number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate lies between 0 and 7806"
    )]
    pub fn count(&self) -> u64 {
        self.estimate().round() as u64
    }

    fn zeros(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_zeros()).sum()
    }
}

impl Default for BloomFilter {
    fn default() -> Self {
        BloomFilter([0; LEN])
    }
}

impl fmt::Debug for BloomFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BloomFilter({} bits clear)", self.zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    fn published() -> BloomFilter {
        let mut filter = BloomFilter::default();
        (0..=255).for_each(|n| filter.insert(Ipv4Addr::new(192, 0, 2, n).into()));
        (0..0x3e8).for_each(|n| filter.insert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into()));
        filter
    }

    //= BEP 33: the published filter
    //= test
    #[test]
    fn the_filter_of_256_and_1000_addresses_is_that_of_bep_33() {
        let filter = published();
        let digest: [u8; 20] = Sha1::digest(filter.as_bytes()).into();
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "e4dabf3c822dcd0030ee21df8369bfef2594b52b");
        assert_eq!(
            (&filter.0[..4], &filter.0[252..]),
            (&[0xf6, 0xc3, 0xf5, 0xea][..], &[0xfd, 0x8f, 0x72, 0xef][..])
        );
        assert_eq!(filter.zeros(), 619);
        assert!((filter.estimate() - 1224.9308).abs() < 0.0001, "{}", filter.estimate());
    }

    #[test]
    fn an_empty_filter_holds_nobody_and_a_full_one_some_thousands() {
        assert_eq!((BloomFilter::default().estimate(), BloomFilter::default().count()), (0.0, 0));
        assert_eq!(published().count(), 1225);
        let full = BloomFilter::from_bytes([0xff; LEN]).estimate();
        assert!((7000.0..9000.0).contains(&full), "{full}");
    }

    #[test]
    fn merging_counts_what_two_nodes_have_in_common_once() {
        let mut filter = published();
        filter.merge(&published());
        assert_eq!(filter, published());
        let mut other = BloomFilter::default();
        other.insert(Ipv4Addr::new(8, 8, 8, 8).into());
        let mut both = other.clone();
        both.merge(&published());
        other.merge(&filter);
        assert_eq!(both, other);
    }
}
