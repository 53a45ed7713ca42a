//! One iterative lookup: asks ever closer nodes until the eight closest that live have answered.

use crate::io::Step;
use crate::routing_table::K;
use crate::scope;
use unchoke_wire::krpc::{Distance, NodeId, NodeInfo};

/// First queries in flight that are not slow.
const ALPHA: usize = 5;
/// Candidates remembered; the farthest are forgotten.
const CANDIDATES_MAX: usize = 100;
/// Queries to one node: one retransmission, for those among the eight closest.
const TRIES_MAX: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Fresh,
    Waiting { tries: u8 },
    Slow { tries: u8 },
    Answered,
    Failed,
}

#[derive(Debug)]
struct Candidate {
    node: NodeInfo,
    distance: Distance,
    state: State,
    token: Option<Vec<u8>>,
}

impl Candidate {
    /// Whether the end of the lookup waits for this node, or has its answer. One that was silent twice may still
    /// answer but holds nothing up.
    fn counts(&self) -> bool {
        !matches!(self.state, State::Failed | State::Slow { tries: TRIES_MAX })
    }

    /// Whether the node is thought to live; others are asked in place of one that was silent once.
    fn is_hopeful(&self) -> bool {
        matches!(self.state, State::Fresh | State::Waiting { tries: 1 } | State::Answered)
    }
}

#[derive(Debug)]
pub(crate) struct Lookup {
    target: NodeId,
    /// Closest first.
    candidates: Vec<Candidate>,
    queries_sent: usize,
    /// Something happened since it was last asked what to do.
    is_stirred: bool,
}

impl Lookup {
    pub(crate) fn new(target: NodeId) -> Self {
        Lookup { target, candidates: Vec::new(), queries_sent: 0, is_stirred: true }
    }

    pub(crate) fn target(&self) -> NodeId {
        self.target
    }

    /// Whether something happened since the last call, so that there may be someone to ask or an end.
    pub(crate) fn take_stirred(&mut self) -> bool {
        core::mem::take(&mut self.is_stirred)
    }

    /// Has [`Self::take_stirred`] say yes once.
    pub(crate) fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// Adds a candidate unless its id, endpoint or site is there already, or it is too far.
    pub(crate) fn add(&mut self, node: NodeInfo) {
        let is_known = self.candidates.iter().any(|c| {
            let (old, new) = (c.node, node);
            old.id == new.id || old.addr == new.addr || scope::share_site(old.addr.ip(), new.addr.ip())
        });
        let distance = node.id.distance(&self.target);
        let at = self.candidates.partition_point(|c| c.distance < distance);
        if is_known || at >= CANDIDATES_MAX {
            return;
        }
        self.candidates.insert(at, Candidate { node, distance, state: State::Fresh, token: None });
        self.candidates.truncate(CANDIDATES_MAX);
        self.stir();
    }

    /// The next node to ask, if one should be asked at present, and whether anew; it then counts as asked.
    pub(crate) fn next_to_ask(&mut self) -> Option<(NodeInfo, Step)> {
        let mut best = self.candidates.iter_mut().filter(|c| c.counts()).take(K);
        if let Some(silent) = best.find(|c| matches!(c.state, State::Slow { .. })) {
            silent.state = State::Waiting { tries: TRIES_MAX };
            self.queries_sent += 1;
            return Some((silent.node, Step::AskedAgain));
        }
        let in_flight = self.candidates.iter().filter(|c| c.state == State::Waiting { tries: 1 }).count();
        if in_flight >= ALPHA {
            return None;
        }
        let mut best = self.candidates.iter_mut().filter(|c| c.is_hopeful()).take(K);
        let fresh = best.find(|c| c.state == State::Fresh)?;
        fresh.state = State::Waiting { tries: 1 };
        self.queries_sent += 1;
        Some((fresh.node, Step::Asked))
    }

    /// Whether the closest nodes that live have all answered, or none is left to ask. While nobody has answered, late
    /// answers are waited for: they may be all there are.
    pub(crate) fn is_done(&self) -> bool {
        let is_slow = |c: &Candidate| matches!(c.state, State::Slow { .. });
        if self.answered().next().is_none() && self.candidates.iter().any(is_slow) {
            return false;
        }
        self.candidates.iter().filter(|c| c.counts()).take(K).all(|c| c.state == State::Answered)
    }

    pub(crate) fn on_reply(&mut self, id: &NodeId, token: Option<Vec<u8>>) {
        if let Some(candidate) = self.candidate(id) {
            candidate.state = State::Answered;
            candidate.token = token;
        }
    }

    pub(crate) fn on_slow(&mut self, id: &NodeId) {
        if let Some(candidate) = self.candidate(id)
            && let State::Waiting { tries } = candidate.state
        {
            candidate.state = State::Slow { tries };
        }
    }

    /// Notes that a query is dead. While a retransmission is in flight it changes nothing.
    pub(crate) fn on_dead(&mut self, id: &NodeId) {
        if let Some(candidate) = self.candidate(id)
            && let State::Slow { .. } = candidate.state
        {
            candidate.state = State::Failed;
        }
    }

    /// Notes that the node refused or cannot be reached.
    pub(crate) fn on_refused(&mut self, id: &NodeId) {
        if let Some(candidate) = self.candidate(id)
            && candidate.state != State::Answered
        {
            candidate.state = State::Failed;
        }
    }

    /// The closest nodes that answered, closest first, at most [`K`].
    pub(crate) fn closest(&self) -> Vec<NodeInfo> {
        self.answered().take(K).map(|c| c.node).collect()
    }

    /// The closest nodes that gave a token, with it, at most [`K`].
    pub(crate) fn stores(&self) -> Vec<(NodeInfo, Vec<u8>)> {
        self.answered().filter_map(|c| Some((c.node, c.token.clone()?))).take(K).collect()
    }

    pub(crate) fn queries_sent(&self) -> usize {
        self.queries_sent
    }

    fn answered(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|c| c.state == State::Answered)
    }

    fn candidate(&mut self, id: &NodeId) -> Option<&mut Candidate> {
        self.stir();
        self.candidates.iter_mut().find(|c| c.node.id == *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeInfo {
        NodeInfo { id: NodeId([n; 20]), addr: ([8, 8, n, 1], 1).into() }
    }

    fn lookup(ids: impl IntoIterator<Item = u8>) -> Lookup {
        let mut l = Lookup::new(NodeId([0; 20]));
        ids.into_iter().for_each(|n| l.add(node(n)));
        l
    }

    fn ask_all(l: &mut Lookup) -> Vec<u8> {
        core::iter::from_fn(|| l.next_to_ask()).map(|(n, _)| n.id.0[0]).collect()
    }

    #[test]
    fn the_closest_five_are_asked_first_and_an_answer_or_slowness_opens_a_slot() {
        let mut l = lookup([9, 1, 5, 3, 7, 2, 8]);
        assert_eq!(ask_all(&mut l), [1, 2, 3, 5, 7]);
        l.on_reply(&node(2).id, None);
        assert_eq!(ask_all(&mut l), [8]);
        l.on_slow(&node(1).id);
        assert_eq!(ask_all(&mut l), [1, 9], "the silent one once more, and one in its place");
        l.on_slow(&node(1).id);
        assert_eq!(ask_all(&mut l), []);
        assert!(!l.is_done());
    }

    #[test]
    fn beyond_the_eight_closest_that_are_hopeful_nobody_is_asked() {
        let mut l = lookup(1..=20);
        for n in 1..=8 {
            ask_all(&mut l);
            l.on_reply(&node(n).id, None);
        }
        assert_eq!((ask_all(&mut l), l.queries_sent()), (vec![], 8));
        assert!(l.is_done());
    }

    #[test]
    fn it_ends_when_the_eight_closest_that_live_have_answered() {
        let mut l = lookup(1..=20);
        for n in 1..=9 {
            while let Some((asked, _)) = l.next_to_ask() {
                if asked.id.0[0] == 4 {
                    l.on_refused(&asked.id);
                }
            }
            assert!(!l.is_done());
            if n != 4 {
                l.on_reply(&node(n).id, Some(vec![n]));
            }
        }
        assert!(l.is_done() && l.next_to_ask().is_none());
        assert_eq!(l.queries_sent(), 9);
        let stores: Vec<u8> = l.stores().into_iter().map(|(_, token)| token[0]).collect();
        assert_eq!(stores, [1, 2, 3, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_node_silent_twice_holds_nothing_up_but_may_answer_late() {
        let mut l = lookup([1, 2]);
        ask_all(&mut l);
        l.on_reply(&node(2).id, None);
        l.on_slow(&node(1).id);
        assert_eq!(ask_all(&mut l), [1]);
        l.on_dead(&node(1).id);
        assert!(!l.is_done(), "the retransmission is in flight");
        l.on_slow(&node(1).id);
        assert!(l.is_done());
        l.on_reply(&node(1).id, None);
        assert_eq!(l.closest(), [node(1), node(2)]);
    }

    #[test]
    fn candidate_one_hundred_and_one_pushes_out_the_farthest() {
        let mut l = lookup(2..=101);
        l.add(node(102));
        assert_eq!((l.candidates.len(), l.candidates[99].node), (100, node(101)));
        l.add(node(1));
        assert_eq!((l.candidates.len(), l.candidates[99].node), (100, node(100)));
    }

    #[test]
    fn one_site_has_one_candidate_but_loopback_has_many() {
        let mut l = lookup([1]);
        l.add(NodeInfo { id: NodeId([2; 20]), addr: ([8, 8, 1, 200], 2).into() });
        assert_eq!(l.candidates.len(), 1);
        (3..9).for_each(|n| {
            l.add(NodeInfo { id: NodeId([n; 20]), addr: ([127, 0, 0, 1], u16::from(n)).into() })
        });
        assert_eq!(l.candidates.len(), 7);
    }
}
