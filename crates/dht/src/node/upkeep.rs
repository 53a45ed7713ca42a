//! Keeping the table alive: first contacts, bootstrap, pings, refreshes, expiry.

use super::Node;
use super::goal::Goal;
use crate::io::Event;
use crate::routing_table::K;
use crate::scope;
use crate::search::SMALL_TABLE;
use crate::transactions::{Pending, Purpose};
use core::net::SocketAddr;
use rand::{Rng, RngExt};
use std::collections::VecDeque;
use unchoke_wire::krpc::{Method, NodeId, NodeInfo, Response};
use unchoke_wire::time::{Duration, Instant};

/// Least pause between two looks at the table.
const TICK: Duration = Duration::from_secs(5);
/// Pings a tick.
const PINGS_PER_TICK: usize = 2;
/// Endpoints that wait for their first contact; those beyond it are dropped.
const WAITING_MAX: usize = 512;
/// First contacts in flight.
const CONTACTS_IN_FLIGHT: usize = 8;
/// Endpoints remembered to begin anew with; the oldest make room.
const CONTACTS_MAX: usize = 64;
/// Attempts made at an endpoint we were given, until it answers, although enough others are known.
const CONTACT_TRIES: u8 = 5;
/// Routers remembered; those beyond it are ignored.
const ROUTERS_MAX: usize = 16;
/// First pause between attempts to bootstrap; it doubles with each.
const FIRST_ATTEMPT_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between attempts to bootstrap.
const ATTEMPT_PAUSE_MAX: Duration = Duration::from_secs(5 * 60);
/// First pause between lookups of our own id; it doubles with each. Nodes that join in the same moment learn of each
/// other by the second and third.
const OWN_ID_PAUSE_FIRST: Duration = Duration::from_secs(12);
/// Longest pause between lookups of our own id while the table is small, and later.
const OWN_ID_PAUSE_SMALL: Duration = Duration::from_secs(10 * 60);
const OWN_ID_PAUSE: Duration = Duration::from_secs(30 * 60);
/// Pause between lookups of our own id from which on our neighbourhood counts as known.
const OWN_ID_PAUSE_SETTLED: Duration = Duration::from_secs(3 * 60);
/// Bytes of our id that its lookup seeks; the others are random.
const OWN_ID_KEPT: usize = 12;

#[derive(Debug)]
pub(super) struct Upkeep {
    /// The table is not looked at before.
    next_tick: Instant,
    /// Endpoints to contact, and their ids where known.
    waiting: VecDeque<(SocketAddr, Option<NodeId>)>,
    contacts: VecDeque<Contact>,
    /// Whether a contact has attempts left.
    is_eager: bool,
    routers: Vec<SocketAddr>,
    next_attempt: Instant,
    attempt_pause: Duration,
    next_own_id: Instant,
    own_id_pause: Duration,
    is_bootstrapped: bool,
}

/// An endpoint to begin anew with.
#[derive(Clone, Copy, Debug)]
struct Contact {
    addr: SocketAddr,
    /// Attempts still due although enough other nodes are known: nodes that join by us must not be left with us
    /// apart from the network because our first datagram was lost.
    tries_left: u8,
}

impl Upkeep {
    pub(super) fn new(now: Instant) -> Self {
        Upkeep {
            next_tick: now + TICK,
            waiting: VecDeque::new(),
            contacts: VecDeque::new(),
            is_eager: false,
            routers: Vec::new(),
            next_attempt: now,
            attempt_pause: FIRST_ATTEMPT_PAUSE,
            next_own_id: now + OWN_ID_PAUSE_FIRST,
            own_id_pause: OWN_ID_PAUSE_FIRST,
            is_bootstrapped: false,
        }
    }

    /// Goes over to what is done once our neighbourhood is known.
    pub(super) fn settle(&mut self, rng: &mut impl Rng, now: Instant) {
        self.is_bootstrapped = true;
        self.own_id_pause = OWN_ID_PAUSE;
        self.next_own_id = now + OWN_ID_PAUSE * rng.random_range(0..1000) / 1000;
    }

    pub(super) fn is_router(&self, addr: &SocketAddr) -> bool {
        self.routers.contains(addr)
    }

    fn remember(&mut self, addr: SocketAddr, tries_left: u8) {
        if let Some(contact) = self.contacts.iter_mut().find(|c| c.addr == addr) {
            contact.tries_left = tries_left;
        } else {
            if self.contacts.len() >= CONTACTS_MAX {
                self.contacts.pop_front();
            }
            self.contacts.push_back(Contact { addr, tries_left });
        }
        self.note_eager();
    }

    /// Notes that a contact answered.
    fn on_answer(&mut self, addr: &SocketAddr) {
        if let Some(contact) = self.contacts.iter_mut().find(|c| c.addr == *addr) {
            contact.tries_left = 0;
            self.note_eager();
        }
    }

    fn note_eager(&mut self) {
        self.is_eager = self.contacts.iter().any(|c| c.tries_left > 0);
    }

    /// Whether contacts or routers should be asked, given whether few nodes are known.
    fn wants_attempt(&self, is_sparse: bool) -> bool {
        let has_contact = !(self.contacts.is_empty() && self.routers.is_empty());
        (is_sparse && has_contact) || self.is_eager
    }

    /// The contacts of one attempt, and the routers if few nodes are known. Those with attempts left go first, and who
    /// is asked goes to the end, so that all have their turn.
    fn next_contacts(&mut self, is_sparse: bool) -> Vec<SocketAddr> {
        let is_wanted = |c: &Contact| is_sparse || c.tries_left > 0;
        self.contacts.make_contiguous().sort_by_key(|c| c.tries_left == 0);
        let count = self.contacts.iter().take_while(|c| is_wanted(c)).take(CONTACTS_IN_FLIGHT).count();
        self.contacts.rotate_left(count);
        let (mut next, others) = (Vec::new(), self.contacts.len() - count);
        for contact in self.contacts.range_mut(others..) {
            contact.tries_left = contact.tries_left.saturating_sub(1);
            next.push(contact.addr);
        }
        self.note_eager();
        if is_sparse {
            next.extend(&self.routers);
        }
        next
    }

    /// Brings the next attempt forward; it is never put off, however often this is called.
    fn attempt_soon(&mut self, now: Instant) {
        self.attempt_pause = FIRST_ATTEMPT_PAUSE;
        self.next_attempt = self.next_attempt.min(now + FIRST_ATTEMPT_PAUSE);
    }
}

impl Node {
    /// Does what is due; `is_tick_due` is what [`Self::is_tick_due`] said before the input.
    pub(super) fn run_upkeep(&mut self, is_tick_due: bool) {
        self.run_contacts();
        if self.now >= self.upkeep.next_attempt && self.upkeep.wants_attempt(self.is_sparse()) {
            self.attempt_bootstrap();
        }
        if self.now >= self.upkeep.next_tick {
            self.upkeep.next_tick = self.now + TICK;
            if is_tick_due {
                self.tick();
            }
        }
    }

    /// When upkeep has something to do.
    pub(super) fn next_upkeep(&self) -> Instant {
        let tick = self.upkeep.next_tick.max(self.tick_due());
        if self.upkeep.wants_attempt(self.is_sparse()) { tick.min(self.upkeep.next_attempt) } else { tick }
    }

    /// Whether a tick has something to do. Nodes the input tells of are left to the lookups and to a later tick.
    pub(super) fn is_tick_due(&self) -> bool {
        self.now >= self.upkeep.next_tick && self.now >= self.tick_due()
    }

    /// When the table, the store or our own id next need a look.
    fn tick_due(&self) -> Instant {
        let due = [self.table.due(), self.store.next_expiry(), self.items.next_expiry()];
        due.into_iter().flatten().fold(self.upkeep.next_own_id, Instant::min)
    }

    /// Whether our neighbourhood is still being found, so that what was sought may have missed its place.
    pub(super) fn is_settling(&self) -> bool {
        self.upkeep.own_id_pause < OWN_ID_PAUSE_SETTLED
    }

    /// Takes an endpoint said to be a node, to ask it soon.
    pub(super) fn add_contact(&mut self, addr: SocketAddr, id: Option<NodeId>) {
        if !self.may_contact(&addr) || self.table.is_live(&addr) {
            return;
        }
        self.upkeep.remember(addr, if id.is_none() { CONTACT_TRIES } else { 0 });
        self.upkeep.attempt_soon(self.now);
        self.queue_contact(addr, id);
    }

    pub(super) fn add_router(&mut self, addr: SocketAddr) {
        if !self.may_contact(&addr) || self.upkeep.routers.len() >= ROUTERS_MAX {
            return;
        }
        self.upkeep.routers.push(addr);
        if self.is_sparse() {
            self.upkeep.attempt_soon(self.now);
            self.queue_contact(addr, None);
        }
    }

    /// Takes a node that queried us: it may become ours too.
    pub(super) fn consider(&mut self, node: NodeInfo) {
        if self.may_contact(&node.addr) && self.table.on_query(node, self.now) {
            self.queue_contact(node.addr, Some(node.id));
        }
    }

    /// Looks for our neighbourhood from all we know.
    pub(super) fn bootstrap(&mut self) {
        self.upkeep.is_bootstrapped = false;
        self.upkeep.attempt_pause = FIRST_ATTEMPT_PAUSE;
        self.upkeep.next_attempt = self.now;
        self.find_own_id();
    }

    pub(super) fn on_contact(&mut self, from: SocketAddr, response: &Response) {
        let heard = self.usable_nodes(from, response);
        self.upkeep.on_answer(&from);
        if !self.upkeep.is_bootstrapped || self.is_sparse() {
            self.find_own_id();
        }
        for node in heard {
            self.table.on_heard(node);
            self.lookups.values_mut().for_each(|r| r.lookup.add(node));
        }
    }

    /// Takes note that another node answers where one was known: it was restarted, and where few are known it is met
    /// anew soon. One that changes its id all the time costs us an attempt a [`TICK`].
    pub(super) fn on_changed_id(&mut self, addr: SocketAddr) {
        if self.is_sparse() && self.may_contact(&addr) {
            self.upkeep.remember(addr, 0);
            self.upkeep.next_attempt = self.upkeep.next_attempt.min(self.now + TICK);
        }
    }

    pub(super) fn on_new_live(&mut self, node: NodeInfo) {
        self.lookups.values_mut().for_each(|r| r.lookup.add(node));
        if self.table.live_count() <= SMALL_TABLE {
            self.searches.on_new_node(&node, self.now);
        }
        if !self.upkeep.is_bootstrapped || self.is_sparse() {
            self.find_own_id();
        }
    }

    pub(super) fn on_own_id_found(&mut self, is_answered: bool) {
        let is_first = is_answered && !self.upkeep.is_bootstrapped;
        if is_first {
            self.upkeep.own_id_pause = OWN_ID_PAUSE_FIRST;
        }
        // 100 to 150 %, so that nodes started together drift apart
        let pause = self.upkeep.own_id_pause * self.rng.random_range(1000..=1500) / 1000;
        self.upkeep.next_own_id = self.now + pause;
        if is_first {
            self.upkeep.is_bootstrapped = true;
            let good_nodes = self.table.good_count(self.now);
            self.emit(Event::Bootstrapped { good_nodes });
        }
    }

    /// Counts a query without an answer against the node that was asked.
    pub(super) fn note_failure(&mut self, pending: &Pending) {
        if let Some(node) = self.table.on_fail(&pending.to, self.now) {
            self.upkeep.remember(node.addr, 0);
            if self.table.live_count() == 0 {
                self.upkeep.is_bootstrapped = false;
                self.upkeep.attempt_soon(self.now);
            }
        }
    }

    fn tick(&mut self) {
        self.store.expire(self.now);
        self.items.expire(self.now);
        for node in self.table.due_for_ping(PINGS_PER_TICK, self.now) {
            if !self.transactions.is_full() && !self.transactions.is_asking(&node.addr) {
                self.send_ping(node.addr, Some(node.id), Purpose::Ping);
            }
        }
        if let Some(target) = self.table.stale_target(&mut self.rng, self.now) {
            self.start_lookup(target, Goal::Refresh);
        }
        if self.now >= self.upkeep.next_own_id {
            let is_small = self.table.live_count() <= SMALL_TABLE;
            let max = if is_small { OWN_ID_PAUSE_SMALL } else { OWN_ID_PAUSE };
            self.upkeep.own_id_pause = (self.upkeep.own_id_pause * 2).min(max);
            // moved on by the end of the lookup, or here if it cannot begin
            self.upkeep.next_own_id = self.now + self.upkeep.own_id_pause;
            self.find_own_id();
        }
        self.table.find_due();
    }

    //= BEP 5: a node finds its neighbourhood by looking up its own id
    fn find_own_id(&mut self) {
        if !self.lookups.values().any(|r| r.goal == Goal::OwnId) {
            let target = self.near_own_id();
            self.start_lookup(target, Goal::OwnId);
        }
    }

    /// A point so near to our id that the same nodes are closest to both. Who is asked for it does not learn from that
    /// where exactly we are, nor can it have an answer ready that was made for our id.
    fn near_own_id(&mut self) -> NodeId {
        let mut target = self.id;
        self.rng.fill_bytes(&mut target.0[OWN_ID_KEPT..]);
        target
    }

    /// Sends first contacts as far as they may be in flight.
    fn run_contacts(&mut self) {
        let mut in_flight =
            if self.upkeep.waiting.is_empty() { 0 } else { self.transactions.contacts_in_flight() };
        while in_flight < CONTACTS_IN_FLIGHT
            && !self.transactions.is_full()
            && let Some((addr, id)) = self.upkeep.waiting.pop_front()
        {
            if !self.table.is_live(&addr) && !self.transactions.is_asking(&addr) {
                self.contact(addr, id);
                in_flight += 1;
            }
        }
        if self.upkeep.waiting.is_empty() {
            // hundreds may have waited, once
            self.upkeep.waiting.shrink_to(CONTACTS_IN_FLIGHT);
        }
    }

    /// Asks the next few contacts anew, and our neighbourhood, and waits longer before the next attempt.
    fn attempt_bootstrap(&mut self) {
        let is_sparse = self.is_sparse();
        let upkeep = &mut self.upkeep;
        upkeep.next_attempt = self.now + upkeep.attempt_pause;
        upkeep.attempt_pause = (upkeep.attempt_pause * 2).min(ATTEMPT_PAUSE_MAX);
        for addr in upkeep.next_contacts(is_sparse) {
            if !self.table.is_live(&addr)
                && !self.transactions.is_asking(&addr)
                && !self.transactions.is_full()
            {
                self.contact(addr, None);
            }
        }
        if is_sparse {
            self.find_own_id();
        }
    }

    /// First contact: it also asks for nodes near us, unless enough are known and this one was merely heard of.
    fn contact(&mut self, addr: SocketAddr, id: Option<NodeId>) {
        let method = if self.is_sparse() || id.is_none() {
            Method::FindNode { target: self.near_own_id() }
        } else {
            Method::Ping
        };
        self.ask(addr, id, method, Purpose::Contact);
    }

    fn queue_contact(&mut self, addr: SocketAddr, id: Option<NodeId>) {
        let waiting = &mut self.upkeep.waiting;
        if waiting.len() >= WAITING_MAX || waiting.iter().any(|(a, _)| *a == addr) {
            return;
        }
        // what is named to us goes before what we remember or heard of
        if id.is_none() {
            waiting.push_front((addr, id));
        } else {
            waiting.push_back((addr, id));
        }
    }

    fn may_contact(&self, addr: &SocketAddr) -> bool {
        self.is_our_family(*addr)
            && scope::may_tell(*addr, *addr)
            && !self.own_addrs.contains(addr)
            && !self.upkeep.is_router(addr)
    }

    /// Whether so few nodes are known that contacts and routers are asked for more.
    fn is_sparse(&self) -> bool {
        self.table.live_count() < K
    }
}
