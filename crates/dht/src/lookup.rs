//! One iterative lookup: asks ever closer nodes until the eight closest that live have answered.
//!
//! Silence costs little: a late node makes room for others at once, is asked once more if it is among the closest,
//! and holds nothing up after that, though its answer still counts. Strangers' words cost little: whoever names nodes
//! is heard further only as far as those live, one network has one voice, and a crowd closer to the target than the
//! network's size explains is looked past.

use crate::identity::is_compliant;
use crate::io::Step;
use crate::network_size::{is_crowd, share_of_space};
use crate::routing_table::K;
use crate::scope;
use core::net::{IpAddr, SocketAddr};
use unchoke_wire::krpc::{Distance, NodeId, NodeInfo};

/// Candidates remembered.
const CANDIDATES_MAX: usize = 100;
/// Queries to one node: one retransmission, for those among the eight closest.
const TRIES_MAX: u8 = 2;
/// Nodes taken of one reply; some implementations tell twenty.
const NAMED_MAX: usize = 20;
/// Nodes one node may name that are asked before any of them answers; as many more for each that does.
const UNPROVEN_MAX: usize = 4;
/// Doubtful nodes, closest first, that are asked in addition to the others.
const DOUBTFUL_MAX: usize = 12;

/// How much a lookup spends on being fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// Somebody waits.
    Fast,
    /// Nobody does.
    Sparing,
}

impl Pace {
    /// First queries in flight that are not slow, while nobody was silent; and the most.
    fn in_flight(self) -> (usize, usize) {
        match self {
            Pace::Fast => (10, 12),
            Pace::Sparing => (4, 6),
        }
    }

    /// Of how many of the closest thought to live all are asked, while nobody was silent; and the most.
    fn window(self) -> (usize, usize) {
        match self {
            Pace::Fast => (K, 12),
            Pace::Sparing => (K, K),
        }
    }
}

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
    /// Where its operator is; one candidate of a site is asked at a time.
    site: SocketAddr,
    is_compliant: bool,
    /// Who named it first: an index into the sources.
    source: usize,
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

    /// Whether others of its site must stand back.
    fn holds_site(&self) -> bool {
        self.counts() && self.state != State::Fresh
    }
}

/// One that named candidates: our own table, or a node that answered.
#[derive(Default, Debug)]
struct Source {
    /// Candidates it was the first to name that were asked, and that answered.
    asked: usize,
    lived: usize,
}

/// What is thought of a candidate that may be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Sound,
    /// One of more nodes closer to the target than the size of the network explains.
    Crowding,
    /// Its id does not follow from its address while most do, or a closer one is in its IPv6 network.
    Doubtful,
}

#[derive(Debug)]
pub(crate) struct Lookup {
    target: NodeId,
    pace: Pace,
    /// Nodes of the whole network, if that is known.
    network_size: Option<f64>,
    /// Closest first.
    candidates: Vec<Candidate>,
    sources: Vec<Source>,
    /// Candidates that we knew ourselves, and those of them whose id follows from their address.
    seeds: usize,
    compliant_seeds: usize,
    /// Unproven candidates of one source that are asked; grows when else nobody is left.
    unproven_max: usize,
    queries_sent: usize,
    /// Candidates that were silent.
    silent: usize,
    /// Something happened since it was last asked what to do.
    is_stirred: bool,
}

impl Lookup {
    pub(crate) fn new(target: NodeId, pace: Pace, network_size: Option<f64>) -> Self {
        Lookup {
            target,
            pace,
            network_size,
            candidates: Vec::new(),
            sources: vec![Source::default()],
            seeds: 0,
            compliant_seeds: 0,
            unproven_max: UNPROVEN_MAX,
            queries_sent: 0,
            silent: 0,
            is_stirred: true,
        }
    }

    pub(crate) fn target(&self) -> NodeId {
        self.target
    }

    pub(crate) fn queries_sent(&self) -> usize {
        self.queries_sent
    }

    /// Whether something happened since the last call, so that there may be someone to ask or an end.
    pub(crate) fn take_stirred(&mut self) -> bool {
        core::mem::take(&mut self.is_stirred)
    }

    /// Has [`Self::take_stirred`] say yes once.
    pub(crate) fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// Adds a candidate that we know of ourselves.
    pub(crate) fn add(&mut self, node: NodeInfo) {
        self.insert(node, OURSELVES);
    }

    /// The next node to ask, if one should be asked at present, and whether anew; it then counts as asked.
    pub(crate) fn next_to_ask(&mut self) -> Option<(NodeInfo, Step)> {
        let eligible = self.eligible();
        if let Some(at) = self.silent_among_closest(&eligible) {
            self.candidates[at].state = State::Waiting { tries: TRIES_MAX };
            self.queries_sent += 1;
            return Some((self.candidates[at].node, Step::AskedAgain));
        }
        let (least, most) = self.pace.in_flight();
        let in_flight = self.candidates.iter().filter(|c| c.state == State::Waiting { tries: 1 }).count();
        if in_flight >= (least + 2 * self.silent).min(most) {
            return None;
        }
        let mut next = eligible.into_iter().map(|(at, _)| at);
        let Some(at) = next.find(|at| self.candidates[*at].state == State::Fresh) else {
            return self.relent(in_flight);
        };
        let candidate = &mut self.candidates[at];
        candidate.state = State::Waiting { tries: 1 };
        self.sources[candidate.source].asked += 1;
        self.queries_sent += 1;
        Some((candidate.node, Step::Asked))
    }

    /// Whether the closest nodes that live have all answered, or none is left to ask. While nobody has answered, late
    /// answers are waited for: they may be all there are.
    pub(crate) fn is_done(&self) -> bool {
        let is_slow = |c: &Candidate| matches!(c.state, State::Slow { .. });
        if self.answered().next().is_none() && self.candidates.iter().any(is_slow) {
            return false;
        }
        let eligible = self.eligible();
        let awaited = awaited(&eligible);
        let is_short = awaited.len() < K && self.candidates.iter().any(|c| self.is_withheld(c));
        !is_short && awaited.iter().all(|at| self.candidates[*at].state == State::Answered)
    }

    /// Takes a node's answer and the nodes it named.
    pub(crate) fn on_reply(&mut self, id: &NodeId, token: Option<Vec<u8>>, named: Vec<NodeInfo>) {
        self.stir();
        let Some(candidate) = self.candidates.iter_mut().find(|c| c.node.id == *id) else { return };
        if candidate.state != State::Answered {
            self.sources[candidate.source].lived += 1;
        }
        candidate.state = State::Answered;
        candidate.token = token.or(candidate.token.take());
        self.sources.push(Source::default());
        let source = self.sources.len() - 1;
        named.into_iter().take(NAMED_MAX).for_each(|node| self.insert(node, source));
    }

    pub(crate) fn on_slow(&mut self, id: &NodeId) {
        if let Some(candidate) = self.candidate(id)
            && let State::Waiting { tries } = candidate.state
        {
            candidate.state = State::Slow { tries };
            self.silent += 1;
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
            self.silent += 1;
        }
    }

    /// The closest nodes that answered, closest first, at most [`K`].
    pub(crate) fn closest(&self) -> Vec<NodeInfo> {
        self.answered().take(K).map(|c| c.node).collect()
    }

    /// Nodes to store at, with the token each gave: the [`K`] closest that are sound, or that there are, and beside
    /// them as many of a crowd before them.
    pub(crate) fn stores(&self) -> Vec<(NodeInfo, Vec<u8>)> {
        let with_token = |wanted: &[Standing]| -> Vec<usize> {
            let eligible = self.eligible().into_iter().filter(|(_, standing)| wanted.contains(standing));
            let gave = |at: &usize| {
                self.candidates[*at].state == State::Answered && self.candidates[*at].token.is_some()
            };
            eligible.map(|(at, _)| at).filter(gave).take(K).collect()
        };
        let mut chosen = with_token(&[Standing::Sound]);
        if chosen.len() < K {
            chosen = with_token(&[Standing::Sound, Standing::Doubtful, Standing::Crowding]);
        } else {
            chosen.extend(with_token(&[Standing::Crowding]));
        }
        let store = |at: usize| Some((self.candidates[at].node, self.candidates[at].token.clone()?));
        chosen.into_iter().filter_map(store).collect()
    }

    /// Distances of the [`K`] closest that answered, one a site, as shares of the space; `None` if there are fewer.
    pub(crate) fn nearest_shares(&self) -> Option<[f64; K]> {
        let shares: Vec<f64> =
            self.answered().take(K).map(|c| share_of_space(&c.node.id, &self.target)).collect();
        shares.try_into().ok()
    }

    /// A candidate the end waits for that was silent once.
    fn silent_among_closest(&self, eligible: &[(usize, Standing)]) -> Option<usize> {
        let is_silent = |at: &usize| matches!(self.candidates[*at].state, State::Slow { .. });
        awaited(eligible).into_iter().find(is_silent)
    }

    /// Lets more be asked of those that nobody else vouches for, if that is all that is left.
    fn relent(&mut self, in_flight: usize) -> Option<(NodeInfo, Step)> {
        let is_short = self.answered().take(K).count() < K;
        if in_flight > 0 || !is_short || !self.candidates.iter().any(|c| self.is_withheld(c)) {
            return None;
        }
        self.unproven_max *= 2;
        self.next_to_ask()
    }

    /// The candidates that may be asked or have answered, closest first, with their standing: as many as have to be
    /// looked at.
    fn eligible(&self) -> Vec<(usize, Standing)> {
        let held: Vec<SocketAddr> =
            self.candidates.iter().filter(|c| c.holds_site()).map(|c| c.site).collect();
        let is_free = |c: &Candidate| c.holds_site() || !held.contains(&c.site);
        let may_count = |c: &&Candidate| c.counts() && is_free(c) && !self.is_withheld(c);
        let crowd = self.crowd(self.candidates.iter().filter(may_count));
        let is_strict = self.expects_compliance();
        let (least, most) = self.pace.window();
        let window = (least + 2 * self.silent).min(most);
        let (mut found, mut networks) = (Vec::new(), Vec::new());
        let (mut hopeful, mut doubtful, mut place) = (0, 0, 0);
        for (at, candidate) in self.candidates.iter().enumerate().filter(|(_, c)| may_count(c)) {
            place += 1;
            let network = v6_network(candidate.node.addr.ip());
            let is_doubtful = (is_strict && !candidate.is_compliant)
                || network.is_some_and(|network| networks.contains(&network));
            networks.extend(network);
            let standing = match (place <= crowd, is_doubtful) {
                (true, _) => Standing::Crowding,
                (false, true) => Standing::Doubtful,
                (false, false) => Standing::Sound,
            };
            if standing == Standing::Sound {
                hopeful += usize::from(candidate.is_hopeful());
            } else {
                doubtful += 1;
            }
            if standing == Standing::Sound || doubtful <= DOUBTFUL_MAX {
                found.push((at, standing));
            }
            if hopeful >= window {
                break;
            }
        }
        found
    }

    /// How many of these, closest first, are a crowd: more than are expected between the crowd so far and there.
    fn crowd<'a>(&self, candidates: impl Iterator<Item = &'a Candidate>) -> u32 {
        let Some(size) = self.network_size else { return 0 };
        let (mut crowd, mut explained) = (0, 0.0);
        for (place, candidate) in (1..).zip(candidates) {
            let expected = share_of_space(&candidate.node.id, &self.target) * size;
            if is_crowd(place - crowd, expected - explained) {
                (crowd, explained) = (place, expected);
            }
        }
        crowd
    }

    //= BEP 42: nodes whose id does not follow from their address do not end a lookup
    /// Whether most nodes of our table have ids that follow from their addresses.
    fn expects_compliance(&self) -> bool {
        self.compliant_seeds * 2 > self.seeds
    }

    /// Whether it is left unasked because those its source named before do not answer.
    fn is_withheld(&self, candidate: &Candidate) -> bool {
        let source = &self.sources[candidate.source];
        candidate.state == State::Fresh
            && candidate.source != OURSELVES
            && source.asked >= self.unproven_max * (1 + source.lived)
    }

    /// Adds a candidate unless it is there already, or it is too far.
    fn insert(&mut self, node: NodeInfo, source: usize) {
        self.stir();
        let distance = node.id.distance(&self.target);
        let at = self.candidates.partition_point(|c| c.distance < distance);
        if let Some(old) = self.candidates.get(at).filter(|c| c.node.id == node.id) {
            // named by another too: a source of better standing takes it over
            if old.node == node && self.is_withheld(old) {
                self.candidates[at].source = source;
            }
            return;
        }
        let ip = node.addr.ip();
        let site = if scope::is_global(ip) { SocketAddr::new(scope::site(ip), 0) } else { node.addr };
        let is_compliant = is_compliant(&node.id, ip);
        if source == OURSELVES {
            self.seeds += 1;
            self.compliant_seeds += usize::from(is_compliant);
        }
        let state = State::Fresh;
        self.candidates
            .insert(at, Candidate { node, distance, site, is_compliant, source, state, token: None });
        if self.candidates.len() > CANDIDATES_MAX {
            let withheld = self.candidates.iter().rposition(|c| self.is_withheld(c));
            self.candidates.remove(withheld.unwrap_or(CANDIDATES_MAX));
        }
    }

    fn answered(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|c| c.state == State::Answered)
    }

    fn candidate(&mut self, id: &NodeId) -> Option<&mut Candidate> {
        self.stir();
        self.candidates.iter_mut().find(|c| c.node.id == *id)
    }
}

/// The candidates the end of a lookup waits for: the [`K`] closest that are sound, or all if there are fewer.
fn awaited(eligible: &[(usize, Standing)]) -> Vec<usize> {
    let sound = eligible.iter().filter(|(_, standing)| *standing == Standing::Sound).take(K);
    let sound: Vec<usize> = sound.map(|(at, _)| *at).collect();
    if sound.len() == K { sound } else { eligible.iter().map(|(at, _)| *at).collect() }
}

/// The source of what we know ourselves.
const OURSELVES: usize = 0;

/// The network that one holder of many IPv6 addresses is taken to have: the first 32 bits of a global one.
fn v6_network(ip: IpAddr) -> Option<[u8; 4]> {
    match ip {
        IpAddr::V6(v6) if scope::is_global(ip) => v6.octets().first_chunk().copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeInfo {
        NodeInfo { id: NodeId([n; 20]), addr: ([8, 8, n, 1], 1).into() }
    }

    fn lookup(ids: impl IntoIterator<Item = u8>) -> Lookup {
        let mut l = Lookup::new(NodeId([0; 20]), Pace::Fast, None);
        ids.into_iter().for_each(|n| l.add(node(n)));
        l
    }

    fn ask_all(l: &mut Lookup) -> Vec<u8> {
        core::iter::from_fn(|| l.next_to_ask()).map(|(n, _)| n.id.0[0]).collect()
    }

    #[test]
    fn the_closest_are_asked_first_and_an_answer_or_slowness_opens_a_slot() {
        let mut l = Lookup::new(NodeId([0; 20]), Pace::Sparing, None);
        [9, 1, 5, 3, 7, 2, 8].into_iter().for_each(|n| l.add(node(n)));
        assert_eq!(ask_all(&mut l), [1, 2, 3, 5]);
        l.on_reply(&node(2).id, None, vec![]);
        assert_eq!(ask_all(&mut l), [7]);
        l.on_slow(&node(1).id);
        assert_eq!(ask_all(&mut l), [1, 8, 9], "the silent one once more, and others in its place");
        l.on_slow(&node(1).id);
        assert_eq!(ask_all(&mut l), []);
        assert!(!l.is_done());
    }

    #[test]
    fn each_that_is_silent_has_two_more_asked_ahead() {
        let mut l = lookup(1..=30);
        assert_eq!(ask_all(&mut l).len(), 8);
        l.on_slow(&node(3).id);
        assert_eq!(ask_all(&mut l), [3, 9, 10, 11], "itself, one in its place, two ahead");
        (4..=10).for_each(|n| l.on_slow(&node(n).id));
        let asked = ask_all(&mut l);
        let fresh: Vec<u8> = asked.into_iter().filter(|n| *n > 11).collect();
        assert_eq!(fresh, Vec::from_iter(12..=20), "twelve are in flight or answered");
    }

    #[test]
    fn beyond_the_eight_closest_that_are_hopeful_nobody_is_asked() {
        let mut l = lookup(1..=20);
        for n in 1..=8 {
            ask_all(&mut l);
            l.on_reply(&node(n).id, None, vec![]);
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
                l.on_reply(&node(n).id, Some(vec![n]), vec![]);
            }
        }
        assert!(l.is_done() && l.next_to_ask().is_none());
        assert_eq!(l.queries_sent(), 11, "the refusal had two asked ahead");
        let stores: Vec<u8> = l.stores().into_iter().map(|(_, token)| token[0]).collect();
        assert_eq!(stores, [1, 2, 3, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_node_silent_twice_holds_nothing_up_but_may_answer_late() {
        let mut l = lookup([1, 2]);
        ask_all(&mut l);
        l.on_reply(&node(2).id, None, vec![]);
        l.on_slow(&node(1).id);
        assert_eq!(ask_all(&mut l), [1]);
        l.on_dead(&node(1).id);
        assert!(!l.is_done(), "the retransmission is in flight");
        l.on_slow(&node(1).id);
        assert!(l.is_done());
        l.on_reply(&node(1).id, None, vec![]);
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

    fn local(n: u8) -> NodeInfo {
        NodeInfo { id: NodeId([n; 20]), addr: ([127, 0, 0, 1], u16::from(n)).into() }
    }

    fn at(n: u8, addr: impl Into<SocketAddr>) -> NodeInfo {
        NodeInfo { id: NodeId([n; 20]), addr: addr.into() }
    }

    #[test]
    fn of_one_site_one_is_asked_while_it_may_answer_but_on_loopback_all_are() {
        let mut l = lookup([1]);
        l.add(at(2, ([8, 8, 1, 200], 2)));
        assert_eq!(ask_all(&mut l), [1]);
        l.on_refused(&node(1).id);
        assert_eq!(ask_all(&mut l), [2], "whoever names a dead node beside a living one does not hide it");
        l.on_reply(&NodeId([2; 20]), None, vec![]);
        l.add(at(3, ([8, 8, 1, 3], 2)));
        assert_eq!(ask_all(&mut l), []);
        (4..9).for_each(|n| l.add(local(n)));
        assert_eq!(ask_all(&mut l).len(), 5);
    }

    #[test]
    fn an_endpoint_named_under_two_ids_is_asked_as_the_second_when_it_is_not_the_first() {
        let mut l = Lookup::new(NodeId([0; 20]), Pace::Fast, None);
        l.add(at(1, ([127, 0, 0, 1], 5)));
        l.add(at(2, ([127, 0, 0, 1], 5)));
        assert_eq!(ask_all(&mut l), [1]);
        l.on_refused(&NodeId([1; 20]));
        assert_eq!(ask_all(&mut l), [2]);
    }

    #[test]
    fn a_liars_nodes_that_do_not_exist_cost_four_queries_and_their_repetition() {
        let mut l = lookup(101..=103);
        ask_all(&mut l);
        l.on_reply(&node(101).id, None, (1..=40).map(node).collect());
        assert_eq!(ask_all(&mut l), [1, 2, 3, 4]);
        for n in 1..=4 {
            l.on_slow(&node(n).id);
            ask_all(&mut l);
            l.on_slow(&node(n).id);
        }
        assert_eq!(ask_all(&mut l), []);
        (104..=120).for_each(|n| l.add(node(n)));
        (102..=120).for_each(|n| {
            ask_all(&mut l);
            l.on_reply(&node(n).id, None, vec![]);
        });
        assert!(l.is_done());
        assert!(l.queries_sent() <= 20 + 4 + 4, "{}", l.queries_sent());
        // one that tells the truth is heard on
        let mut l = lookup([101]);
        ask_all(&mut l);
        l.on_reply(&node(101).id, None, (1..=40).map(node).collect());
        assert_eq!(ask_all(&mut l), [1, 2, 3, 4]);
        l.on_reply(&node(4).id, None, vec![]);
        assert_eq!(ask_all(&mut l), [5, 6, 7, 8]);
    }

    #[test]
    fn with_ninety_five_percent_of_the_candidates_dead_the_living_are_found() {
        let mut l = Lookup::new(NodeId([0; 20]), Pace::Fast, None);
        l.add(node(101));
        ask_all(&mut l);
        l.on_reply(&node(101).id, None, (1..=20).map(node).collect());
        while let Some((asked, _)) = l.next_to_ask() {
            if asked == node(20) {
                l.on_reply(&asked.id, None, vec![]);
            } else {
                l.on_refused(&asked.id);
            }
        }
        assert_eq!((l.closest(), l.is_done()), (vec![node(20), node(101)], true));
    }

    #[test]
    fn where_ids_follow_from_addresses_others_end_no_lookup_and_store_nothing() {
        let compliant = |n: u8| {
            let addr = SocketAddr::from(([9, n, 1, 1], 1));
            NodeInfo { id: crate::identity::compliant_id(addr.ip(), NodeId([n; 20])), addr }
        };
        let ids: Vec<NodeInfo> = (1..=30).map(compliant).collect();
        let mut l = Lookup::new(NodeId([0; 20]), Pace::Fast, None);
        ids.iter().for_each(|n| l.add(*n));
        // closer than all of them, told by the first that answers
        let forged = |n: u8| {
            let mut id = NodeId([0; 20]);
            id.0[19] = n;
            NodeInfo { id, ..node(n) }
        };
        let (first, _) = l.next_to_ask().expect("thirty are fresh");
        l.on_reply(&first.id, Some(vec![1]), (1..=20).map(forged).collect());
        while let Some((asked, _)) = l.next_to_ask() {
            l.on_reply(&asked.id, Some(vec![1]), vec![]);
        }
        assert!(l.is_done());
        let stores = l.stores();
        assert_eq!(stores.len(), K);
        assert!(stores.iter().all(|(n, _)| ids.contains(n)), "{stores:?}");
        assert!(l.queries_sent() <= 8 + DOUBTFUL_MAX + 8, "{}", l.queries_sent());
    }

    #[test]
    fn where_no_id_follows_from_its_address_the_closest_eight_do() {
        let mut l = lookup(1..=20);
        while let Some((asked, _)) = l.next_to_ask() {
            l.on_reply(&asked.id, Some(vec![1]), vec![]);
        }
        let stores: Vec<u8> = l.stores().into_iter().map(|(n, _)| n.id.0[0]).collect();
        assert_eq!(stores, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn one_ipv6_network_counts_once_among_the_eight_but_a_network_of_its_own_works() {
        let v6 = |n: u8, network: u16| at(n, ([0x2a00, network, u16::from(n), 0, 0, 0, 0, 1], 1));
        let mut l = Lookup::new(NodeId([0; 20]), Pace::Fast, None);
        (1..=30).for_each(|n| l.add(v6(n, 7)));
        (31..=50).for_each(|n| l.add(v6(n, u16::from(n))));
        while let Some((asked, _)) = l.next_to_ask() {
            l.on_reply(&asked.id, Some(vec![1]), vec![]);
        }
        let stores: Vec<u8> = l.stores().into_iter().map(|(n, _)| n.id.0[0]).collect();
        assert!(l.is_done() && stores == [1, 31, 32, 33, 34, 35, 36, 37], "{stores:?}");
        let mut l = Lookup::new(NodeId([0; 20]), Pace::Fast, None);
        (1..=30).for_each(|n| l.add(v6(n, 7)));
        while let Some((asked, _)) = l.next_to_ask() {
            l.on_reply(&asked.id, Some(vec![1]), vec![]);
        }
        assert!(l.is_done() && l.stores().len() == K);
    }

    #[test]
    fn a_crowd_nearer_than_the_networks_size_explains_is_looked_past() {
        let mut l = Lookup::new(NodeId([0; 20]), Pace::Fast, Some(1000.0));
        let near = |n: u8| {
            let mut id = NodeId([0; 20]);
            id.0[10] = n;
            NodeInfo { id, ..node(n) }
        };
        (1..=60).for_each(|n| l.add(near(n)));
        // a thousand evenly spread: about one to each 65 of the first 16 bits
        (1..=30u8).for_each(|n| {
            let mut id = NodeId([0; 20]);
            id.0[..2].copy_from_slice(&(u16::from(n) * 65).to_be_bytes());
            l.add(NodeInfo { id, ..node(100 + n) });
        });
        while let Some((asked, _)) = l.next_to_ask() {
            l.on_reply(&asked.id, Some(vec![1]), vec![]);
        }
        assert!(l.is_done() && l.queries_sent() <= 24, "{}", l.queries_sent());
        let honest = l.stores().into_iter().filter(|(n, _)| n.id.0[10] == 0).count();
        assert_eq!((honest, l.stores().len()), (8, 16));
    }
}
