//! Who is where in the id space: the list all tables are drawn from and all lookups are judged by.

use core::ops::Range;
use rand::{Rng, RngExt};
use unchoke_dht::NodeId;

/// Number of a host in its network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct HostIndex(pub(super) u32);

impl HostIndex {
    /// As an index of a list of all hosts.
    pub(super) fn get(self) -> usize {
        usize::try_from(self.0).expect("an index of a list")
    }
}

/// One node of the list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Member {
    pub(super) id: NodeId,
    pub(super) host: HostIndex,
}

/// Sizes of a table's buckets: those of the first, then that of all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    pub(super) first: &'static [usize],
    pub(super) rest: usize,
}

/// Ours, and those of most others that are in use.
pub(super) const EXTENDED: Buckets = Buckets { first: &[128, 64, 32, 16], rest: 8 };
/// BEP 5 as it is written.
pub(super) const PLAIN: Buckets = Buckets { first: &[], rest: 8 };
/// Every bucket of twenty.
pub(super) const TWENTY: Buckets = Buckets { first: &[], rest: 20 };

/// Nodes by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Census(Vec<Member>);

impl Census {
    pub(super) fn new(mut members: Vec<Member>) -> Self {
        members.sort_unstable();
        Census(members)
    }

    /// A node drawn evenly; `None` of none.
    pub(super) fn any(&self, rng: &mut impl Rng) -> Option<Member> {
        (!self.0.is_empty()).then(|| self.0[rng.random_range(0..self.0.len())])
    }

    /// What the table of a node with this id holds: as many of each bucket's range as it takes, drawn evenly.
    pub(super) fn draw_table(&self, own: &NodeId, sizes: Buckets, rng: &mut impl Rng) -> Vec<Member> {
        let mut table = Vec::new();
        let mut near = 0..self.0.len();
        for bits in 0..NodeId::BITS {
            if near.len() < 2 {
                break;
            }
            let nearer = self.sharing(own, bits + 1, near.clone());
            let size = sizes.first.get(bits).copied().unwrap_or(sizes.rest);
            // the bucket is what the nearer half leaves, on one side of it
            let bucket =
                if nearer.start == near.start { nearer.end..near.end } else { near.start..nearer.start };
            for at in pick(bucket, size, rng) {
                if self.0[at].id != *own {
                    table.push(self.0[at]);
                }
            }
            near = nearer;
        }
        table
    }

    /// Up to `n` of those `wanted`, the closest to `target` first.
    pub(super) fn closest(&self, target: &NodeId, n: usize, wanted: impl Fn(&Member) -> bool) -> Vec<Member> {
        let mut ranges: Vec<Range<usize>> = core::iter::once(0..self.0.len()).collect();
        while let Some(last) = ranges.last()
            && last.len() > n
            && ranges.len() <= NodeId::BITS
        {
            ranges.push(self.sharing(target, ranges.len(), last.clone()));
        }
        let mut found = Vec::new();
        while let Some(range) = ranges.pop() {
            found = self.0[range].iter().filter(|m| wanted(m)).copied().collect();
            if found.len() >= n {
                break;
            }
        }
        found.sort_unstable_by_key(|m| m.id.distance(target));
        found.truncate(n);
        found
    }

    /// Those of `within` that share their first `bits` bits with `id`; all of `within` share one fewer.
    fn sharing(&self, id: &NodeId, bits: usize, within: Range<usize>) -> Range<usize> {
        let at = bits - 1;
        let bit = |id: &NodeId| id.0[at / 8] >> (7 - at % 8) & 1;
        let ones = within.start + self.0[within.clone()].partition_point(|m| bit(&m.id) == 0);
        if bit(id) == 1 { ones..within.end } else { within.start..ones }
    }
}

/// Up to `n` different numbers of the range, in order.
fn pick(range: Range<usize>, n: usize, rng: &mut impl Rng) -> Vec<usize> {
    if range.len() <= n {
        return range.collect();
    }
    let mut picked: Vec<usize> = Vec::with_capacity(n);
    // each step adds one of the first numbers, or the last of them if that one is taken
    for last in range.end - n..range.end {
        let drawn = rng.random_range(range.start..=last);
        match picked.binary_search(&drawn) {
            Ok(_) => picked.push(last),
            Err(at) => picked.insert(at, drawn),
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Purpose, generator};
    use super::*;

    fn census(n: u32) -> Census {
        let rng = &mut generator(3, Purpose::Ids, 0);
        Census::new((0..n).map(|i| Member { id: NodeId(rng.random()), host: HostIndex(i) }).collect())
    }

    #[test]
    fn a_table_holds_what_its_buckets_take_and_all_of_the_nearest() {
        let (all, rng) = (census(5000), &mut generator(3, Purpose::Tables, 0));
        let own = all.0[1234].id;
        let table = all.draw_table(&own, EXTENDED, rng);
        let mut counts = vec![0; 161];
        for member in &table {
            counts[own.distance(&member.id).shared_bits()] += 1;
        }
        assert_eq!(counts[..6], [128, 64, 32, 16, 8, 8]);
        let mut ids: Vec<_> = table.iter().map(|m| m.host).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), table.len());
        let nearest = all.closest(&own, 3, |m| m.id != own);
        assert!(nearest.iter().all(|m| table.contains(m)));
    }

    #[test]
    fn closest_is_what_sorting_everything_says() {
        let all = census(700);
        let rng = &mut generator(3, Purpose::Workload, 0);
        for _ in 0..50 {
            let target = NodeId(rng.random());
            let mut sorted = all.0.clone();
            sorted.retain(|m| m.host.0 % 3 != 0);
            sorted.sort_unstable_by_key(|m| m.id.distance(&target));
            assert_eq!(all.closest(&target, 8, |m| m.host.0 % 3 != 0), sorted[..8]);
        }
    }

    #[test]
    fn picks_are_different_and_within() {
        let rng = &mut generator(3, Purpose::Workload, 0);
        for n in [1, 5, 19] {
            let picked = pick(10..30, n, rng);
            assert_eq!(picked.len(), n);
            assert!(picked.windows(2).all(|w| w[0] < w[1]) && picked.iter().all(|p| (10..30).contains(p)));
        }
        assert_eq!(pick(3..5, 8, rng), [3, 4]);
    }
}
