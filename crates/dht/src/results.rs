//! What lookups found lately: storing where a lookup has just been costs no second one.

use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::{Duration, Instant};

/// How long a result may be used: nodes accept their tokens for five minutes at least.
const LIFE: Duration = Duration::from_secs(5 * 60);
/// Results kept; the oldest make room.
const RESULTS_MAX: usize = 1000;

/// Nodes to store at, and the token each gave.
type Stores = Box<[(NodeInfo, Vec<u8>)]>;

#[derive(Default, Debug)]
pub(crate) struct Results {
    by_target: BTreeMap<NodeId, (Instant, Stores)>,
    by_age: BTreeSet<(Instant, NodeId)>,
}

impl Results {
    /// Keeps what a lookup found.
    pub(crate) fn put(&mut self, target: NodeId, stores: Vec<(NodeInfo, Vec<u8>)>, now: Instant) {
        self.remove(&target);
        let old = self.by_age.range((Bound::Unbounded, Bound::Excluded((now - LIFE, NodeId([0; 20])))));
        let mut gone: Vec<NodeId> = old.map(|(_, target)| *target).collect();
        if self.by_age.len() - gone.len() >= RESULTS_MAX {
            gone.extend(self.by_age.iter().nth(gone.len()).map(|(_, target)| *target));
        }
        gone.iter().for_each(|target| self.remove(target));
        if !stores.is_empty() {
            self.by_target.insert(target, (now, stores.into()));
            self.by_age.insert((now, target));
        }
    }

    /// What a lookup of `target` found, if it is young enough.
    pub(crate) fn get(&self, target: &NodeId, now: Instant) -> Option<&[(NodeInfo, Vec<u8>)]> {
        let (at, stores) = self.by_target.get(target)?;
        (now.since(*at) <= LIFE).then_some(stores)
    }

    /// Forgets a result that proved to be none.
    pub(crate) fn remove(&mut self, target: &NodeId) {
        if let Some((at, _)) = self.by_target.remove(target) {
            self.by_age.remove(&(at, *target));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u16) -> NodeId {
        let mut id = NodeId([0; 20]);
        id.0[..2].copy_from_slice(&n.to_be_bytes());
        id
    }

    fn stores() -> Vec<(NodeInfo, Vec<u8>)> {
        vec![(NodeInfo { id: id(1), addr: ([8, 8, 8, 8], 1).into() }, b"token".to_vec())]
    }

    #[test]
    fn a_result_is_used_for_five_minutes() {
        let mut r = Results::default();
        r.put(id(1), stores(), Instant::ZERO);
        assert_eq!(r.get(&id(1), Instant::ZERO + LIFE), Some(&stores()[..]));
        let late = Instant::ZERO + LIFE + Duration::from_micros(1);
        assert_eq!(r.get(&id(1), late), None);
        r.put(id(2), stores(), late);
        assert_eq!((r.by_target.len(), r.by_age.len()), (1, 1));
        r.remove(&id(2));
        assert!(r.get(&id(2), late).is_none() && r.by_age.is_empty());
    }

    #[test]
    fn result_one_thousand_and_one_pushes_out_the_oldest() {
        let mut r = Results::default();
        let at = |n: u16| Instant::ZERO + Duration::from_millis(u64::from(n));
        (0..=1000).for_each(|n| r.put(id(n), stores(), at(n)));
        assert_eq!((r.by_target.len(), r.by_age.len()), (RESULTS_MAX, RESULTS_MAX));
        assert!(r.get(&id(0), at(1000)).is_none() && r.get(&id(1), at(1000)).is_some());
        r.put(id(1), vec![], at(1001));
        assert_eq!(r.by_target.len(), RESULTS_MAX - 1);
    }
}
