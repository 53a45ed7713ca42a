//! How many nodes the network has, by how near to a point the closest ones are.
//!
//! Ids are spread evenly, so the i-th closest node to any point is expected at i/N of the space. Each lookup gives an
//! estimate of N; the median of the last few, each of another target, is hard to move by crowding one of them.

use crate::routing_table::K;
use unchoke_wire::krpc::NodeId;

/// Lookups remembered.
const SAMPLES_MAX: usize = 16;
/// Lookups needed for an answer.
const SAMPLES_MIN: usize = 5;
/// How unlikely a crowd is to come about by chance: the negative natural logarithm of the bound on that.
const CROWD_LOG: f64 = 4.6;

#[derive(Default, Debug)]
pub(crate) struct NetworkSize {
    /// The leading bytes of each target and what its lookup said, the oldest first.
    samples: Vec<(u32, f64)>,
}

impl NetworkSize {
    /// Takes what a lookup found: the distances of the closest nodes, closest first, as shares of the space.
    pub(crate) fn note(&mut self, target: &NodeId, nearest: &[f64; K]) {
        let [a, b, c, d, ..] = target.0;
        let key = u32::from_be_bytes([a, b, c, d]);
        self.samples.retain(|(k, _)| *k != key);
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.remove(0);
        }
        self.samples.push((key, least_squares(nearest)));
    }

    /// Nodes of the network, once enough lookups were made.
    pub(crate) fn nodes(&self) -> Option<f64> {
        if self.samples.len() < SAMPLES_MIN {
            return None;
        }
        let mut sizes: Vec<f64> = self.samples.iter().map(|(_, size)| *size).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        Some(sizes[sizes.len() / 2])
    }
}

/// The size that fits best: the one that minimises the squares of `nearest[i] - (i + 1) / size`.
fn least_squares(nearest: &[f64; K]) -> f64 {
    let (mut squares, mut products) = (0.0, f64::MIN_POSITIVE);
    for (place, distance) in (1u8..).zip(nearest) {
        let place = f64::from(place);
        squares += place * place;
        products += place * distance;
    }
    squares / products
}

/// The distance between two points as a share of the space: 0 to 1.
pub(crate) fn share_of_space(a: &NodeId, b: &NodeId) -> f64 {
    let bits = a.0.iter().zip(b.0).take(8).fold(0u64, |bits, (a, b)| bits << 8 | u64::from(a ^ b));
    bits as f64 / 2f64.powi(64)
}

/// Whether so many nodes where so many are expected are no chance, by Chernoff's bound on the Poisson distribution.
pub(crate) fn is_crowd(nodes: u32, expected: f64) -> bool {
    let (nodes, expected) = (f64::from(nodes), expected.max(f64::MIN_POSITIVE));
    nodes > expected && expected - nodes + nodes * (nodes / expected).ln() > CROWD_LOG
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha12Rng;

    fn id(rng: &mut ChaCha12Rng) -> NodeId {
        let mut id = NodeId([0; 20]);
        rng.fill_bytes(&mut id.0);
        id
    }

    /// The closest of `n` nodes spread at random.
    fn nearest(n: usize, rng: &mut ChaCha12Rng) -> [f64; K] {
        let mut shares: Vec<f64> = (0..n).map(|_| rng.random()).collect();
        shares.sort_unstable_by(f64::total_cmp);
        *shares.first_chunk().expect("more than eight")
    }

    #[test]
    fn sixteen_lookups_tell_the_size_within_a_third() {
        let rng = &mut ChaCha12Rng::from_seed([1; 32]);
        for n in [100, 1000, 30_000] {
            let mut size = NetworkSize::default();
            for lookup in 0..16 {
                assert_eq!(size.nodes().is_some(), lookup >= SAMPLES_MIN);
                size.note(&id(rng), &nearest(n, rng));
            }
            let (nodes, n) = (size.nodes().expect("enough"), n as f64);
            assert!((n * 0.67..n * 1.5).contains(&nodes), "{nodes} of {n}");
        }
    }

    #[test]
    fn crowding_one_key_does_not_move_it_however_often_the_key_is_looked_up() {
        let rng = &mut ChaCha12Rng::from_seed([2; 32]);
        let mut size = NetworkSize::default();
        (0..10).for_each(|_| size.note(&id(rng), &nearest(1000, rng)));
        let key = id(rng);
        (0..1000).for_each(|_| size.note(&key, &[1e-12; K]));
        assert!(size.nodes().is_some_and(|nodes| nodes < 2000.0));
        assert_eq!(size.samples.len(), 11);
    }

    #[test]
    fn eight_where_two_are_expected_are_a_crowd_and_where_four_are_none() {
        assert!(is_crowd(8, 2.0) && is_crowd(64, 0.1) && is_crowd(3, 0.0));
        assert!(!is_crowd(8, 4.0) && !is_crowd(8, 20.0) && !is_crowd(1, 0.1));
    }

    #[test]
    fn a_share_of_the_space_is_half_where_the_first_bit_differs() {
        let mut other = NodeId([0; 20]);
        other.0[0] = 0x80;
        assert_eq!(share_of_space(&NodeId([0; 20]), &other), 0.5);
        assert_eq!(share_of_space(&other, &other), 0.0);
    }
}
