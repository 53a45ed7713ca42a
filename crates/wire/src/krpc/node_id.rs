//! Node ids and the XOR metric (BEP 5).

use crate::WireHash;
use core::fmt;

/// A point of the DHT's 160-bit space: a node's id or a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

/// How far two points are apart: their XOR as an unsigned number, most significant byte first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 20]);

impl NodeId {
    /// Bits of an id.
    pub const BITS: usize = 160;

    /// The id these bytes are, if they are 20.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(NodeId)
    }

    //= BEP 5: distance is the XOR of two ids
    /// The distance to `other`; zero only for the same id.
    pub fn distance(&self, other: &NodeId) -> Distance {
        let mut d = self.0;
        d.iter_mut().zip(other.0).for_each(|(a, b)| *a ^= b);
        Distance(d)
    }
}

impl Distance {
    /// Leading bits the two points share: 0 to 160, where 160 means they are the same point.
    pub fn shared_bits(&self) -> usize {
        match self.0.iter().position(|b| *b != 0) {
            Some(at) => at * 8 + self.0[at].leading_zeros() as usize,
            None => NodeId::BITS,
        }
    }
}

//= BEP 5: the info-hash is the key
impl From<WireHash> for NodeId {
    fn from(hash: WireHash) -> Self {
        NodeId(hash.0)
    }
}

impl From<NodeId> for WireHash {
    fn from(id: NodeId) -> Self {
        WireHash(id.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&NodeId(self.0), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_to_oneself_shares_every_bit() {
        let id = NodeId([7; 20]);
        assert_eq!(id.distance(&id).shared_bits(), 160);
        let mut other = id;
        other.0[19] ^= 1;
        assert_eq!(id.distance(&other).shared_bits(), 159);
        other.0[0] ^= 0x80;
        assert_eq!(id.distance(&other).shared_bits(), 0);
    }

    #[test]
    fn distance_orders_by_the_most_significant_bit() {
        let target = NodeId([0; 20]);
        let mut near = target;
        near.0[1] = 0xff;
        let mut far = target;
        far.0[0] = 1;
        assert!(target.distance(&near) < target.distance(&far));
        assert_eq!(target.distance(&far), far.distance(&target));
    }

    //= S43
    #[test]
    fn the_key_of_a_swarm_is_its_info_hash_unchanged() {
        let hash = WireHash(*b"mnopqrstuvwxyz123456");
        assert_eq!(NodeId::from(hash).0, *b"mnopqrstuvwxyz123456");
        assert_eq!(WireHash::from(NodeId::from(hash)), hash);
    }
}
