//! What a bucket is: the ids that share so many leading bits with our own, and no more (BEP 5).

use core::cmp::Ordering;
use rand::Rng;
use unchoke_wire::krpc::NodeId;

/// Nodes of a reply, and the size of a deep bucket (BEP 5's K).
pub(crate) const K: usize = 8;
/// Sizes of the first buckets; the others hold [`K`].
pub(crate) const FIRST_BUCKETS: [usize; 4] = [128, 64, 32, 16];
/// Bits below those that all ids of a bucket share, by which its nodes are spread.
const SUB_PREFIX_BITS: usize = 3;
/// Parts of a bucket by these bits.
pub(crate) const SUB_PREFIXES: usize = 1 << SUB_PREFIX_BITS;

/// Nodes that bucket `at` holds.
pub(crate) fn capacity(at: usize) -> usize {
    FIRST_BUCKETS.get(at).copied().unwrap_or(K)
}

/// Bit `at` of an id, the most significant one first; clear beyond its end.
pub(crate) fn bit(id: &NodeId, at: usize) -> bool {
    id.0.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}

/// Which of the parts of bucket `at` holds `id`.
pub(crate) fn sub_prefix(id: &NodeId, at: usize) -> usize {
    (1..=SUB_PREFIX_BITS).fold(0, |part, i| part << 1 | usize::from(bit(id, at + i)))
}

/// Which of `a` and `b` is nearer to `target`: what comparing distances says, and faster.
pub(crate) fn nearer(target: &NodeId, a: &NodeId, b: &NodeId) -> Ordering {
    let (first_a, first_b, first) = (first_bits(a), first_bits(b), first_bits(target));
    (first_a ^ first).cmp(&(first_b ^ first)).then_with(|| a.distance(target).cmp(&b.distance(target)))
}

fn first_bits(id: &NodeId) -> u64 {
    id.0.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// A random id of bucket `at` around `own`.
pub(crate) fn random_id(own: &NodeId, at: usize, rng: &mut impl Rng) -> NodeId {
    let mut id = NodeId([0; 20]);
    rng.fill_bytes(&mut id.0);
    let whole = at / 8;
    id.0[..whole].copy_from_slice(&own.0[..whole]);
    // the bits kept of our own, then the one that differs
    let kept = !(0xff >> (at % 8));
    let differs = 0x80 >> (at % 8);
    let lower_bits = id.0[whole] & !(kept | differs);
    id.0[whole] = (own.0[whole] & kept) | (!own.0[whole] & differs) | lower_bits;
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    #[test]
    fn an_id_of_a_bucket_shares_just_that_many_bits() {
        let own = NodeId([0b1010_0110; 20]);
        let rng = &mut ChaCha12Rng::from_seed([5; 32]);
        for at in 0..NodeId::BITS {
            assert_eq!(own.distance(&random_id(&own, at, rng)).shared_bits(), at);
        }
    }

    #[test]
    fn ids_that_differ_in_their_last_bits_alone_are_ordered_too() {
        let (target, mut near, mut far) = (NodeId([1; 20]), NodeId([1; 20]), NodeId([1; 20]));
        (near.0[19], far.0[19]) = (3, 5);
        assert_eq!(nearer(&target, &near, &far), Ordering::Less);
        assert_eq!(nearer(&target, &far, &far), Ordering::Equal);
        near.0[0] = 0;
        assert_eq!(nearer(&target, &near, &far), Ordering::Greater);
    }

    #[test]
    fn the_parts_of_a_bucket_are_told_apart_by_three_bits() {
        let id = NodeId([0b0101_1010; 20]);
        let parts = [0, 1, 2, 6, 158, 159].map(|at| sub_prefix(&id, at));
        assert_eq!(parts, [0b101, 0b011, 0b110, 0b001, 0b000, 0b000]);
    }
}
