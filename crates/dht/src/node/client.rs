//! Asking others and taking their answers.

use super::goal::Goal;
use super::{Node, VERSION};
use crate::io::{Announce, Event, Step};
use crate::lookup::Lookup;
use crate::scope;
use crate::search::{LOOKUPS_MAX, SMALL_TABLE, TableState};
use crate::transactions::{LookupId, Pending, Purpose};
use core::net::SocketAddr;
use unchoke_wire::WireHash;
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{Kind, Message, Method, NodeId, NodeInfo, Query, Response, Want};
use unchoke_wire::time::Duration;

/// Nodes of our table a lookup begins with.
const SEEDS: usize = 20;

/// A lookup that seeks.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) lookup: Lookup,
    pub(super) goal: Goal,
}

/// A lookup that found its nodes and has something stored at them. Its late answers still count.
#[derive(Debug)]
pub(super) struct Storing {
    pub(super) lookup: Lookup,
    pub(super) goal: Goal,
    /// Nodes that were asked to store.
    asked: usize,
    /// Those of them that have not answered.
    waiting: usize,
    /// Nodes that stored.
    stored: usize,
}

impl Node {
    pub(super) fn ask(&mut self, to: SocketAddr, id: Option<NodeId>, method: Method, purpose: Purpose) {
        //= BEP 32: want asks for nodes of both families
        let seeks_us = match purpose {
            Purpose::Contact => matches!(method, Method::FindNode { .. }),
            Purpose::Lookup(id) => self.lookups.get(&id).is_some_and(|r| r.goal == Goal::OwnId),
            _ => false,
        };
        let want = (self.wants_both && seeks_us).then_some(Want { v4: true, v6: true });
        let pending = Pending::new(to, id, purpose, self.now);
        let tid = self.transactions.begin(pending, self.table.srtt(&to), &mut self.rng);
        self.table.on_asked(&to, self.now);
        self.send(
            to,
            &Message {
                transaction: tid.to_be_bytes().to_vec(),
                kind: Kind::Query(Query { id: self.id, want, method }),
                version: Some(VERSION),
                is_read_only: self.settings.is_read_only,
                ip: None,
            },
        );
    }

    pub(super) fn send_ping(&mut self, to: SocketAddr, id: Option<NodeId>, purpose: Purpose) {
        if self.is_our_family(to) && to.port() != 0 {
            self.ask(to, id, Method::Ping, purpose);
        } else if purpose == Purpose::Command {
            self.emit(Event::NoPong { to });
        }
    }

    pub(super) fn on_response(
        &mut self,
        from: SocketAddr,
        transaction: &[u8],
        response: Response,
        our_addr: Option<SocketAddr>,
    ) {
        let Some(pending) = self.transactions.finish(transaction, from, self.now) else { return };
        self.take_vote(from, our_addr);
        let node = NodeInfo { id: response.id, addr: from };
        if node.id == self.id || pending.id.is_some_and(|id| id != node.id) {
            if let Some(id) = pending.id.filter(|id| *id != node.id) {
                self.table.on_renamed(&from, &id, self.now);
            }
            self.on_refused(&pending);
            if node.id != self.id {
                self.on_changed_id(from);
            }
            return;
        }
        let rtt = self.now.since(pending.sent);
        if !self.upkeep.is_router(&from) && self.table.on_reply(node, rtt, self.now) {
            self.on_new_live(node);
        }
        self.tell_of_other_family(from, &response);
        match pending.purpose {
            Purpose::Ping => {}
            Purpose::Command => self.emit(Event::Pong { from, id: node.id, rtt }),
            Purpose::Contact => self.on_contact(from, &response),
            Purpose::Lookup(lookup) => self.on_lookup_reply(lookup, node, response, rtt),
            Purpose::Store(lookup) => self.on_store_end(lookup, true),
        }
    }

    /// Takes an answer that refuses.
    pub(super) fn on_error(&mut self, from: SocketAddr, transaction: &[u8], code: i64, text: &[u8]) {
        let Some(pending) = self.transactions.finish(transaction, from, self.now) else { return };
        if let Purpose::Store(lookup) = pending.purpose
            && let Some(storing) = self.storing.get_mut(&lookup)
        {
            storing.goal.on_refusal(code, text);
        }
        self.on_refused(&pending);
        // every node can answer these, while what a lookup asks or has stored it may refuse with good reason
        if matches!(pending.purpose, Purpose::Ping | Purpose::Contact) {
            self.note_failure(&pending);
        }
    }

    /// Notes that a query failed at once: refused, undeliverable, or answered by another node than was meant.
    pub(super) fn on_refused(&mut self, pending: &Pending) {
        self.on_unanswered(pending, Lookup::on_refused);
    }

    /// Notes that a query was never answered.
    pub(super) fn on_dead(&mut self, pending: &Pending) {
        self.on_unanswered(pending, Lookup::on_dead);
    }

    /// Notes that a query is late.
    pub(super) fn on_slow(&mut self, pending: &Pending) {
        if let Purpose::Lookup(lookup) = pending.purpose {
            self.note_in_lookup(lookup, pending, Lookup::on_slow, Step::Slow);
        }
    }

    fn on_unanswered(&mut self, pending: &Pending, note: fn(&mut Lookup, &NodeId)) {
        match pending.purpose {
            Purpose::Lookup(lookup) => self.note_in_lookup(lookup, pending, note, Step::Failed),
            Purpose::Store(lookup) => self.on_store_end(lookup, false),
            Purpose::Command => self.emit(Event::NoPong { to: pending.to }),
            Purpose::Ping | Purpose::Contact => {}
        }
    }

    fn note_in_lookup(
        &mut self,
        lookup: LookupId,
        pending: &Pending,
        note: fn(&mut Lookup, &NodeId),
        step: Step,
    ) {
        if let Some(id) = pending.id
            && let Some(running) = self.lookups.get_mut(&lookup)
        {
            note(&mut running.lookup, &id);
            self.tell_step(lookup, NodeInfo { id, addr: pending.to }, step);
        }
    }

    /// Tells what happened in a lookup that seeks, if that is wanted.
    fn tell_step(&mut self, lookup: LookupId, node: NodeInfo, step: Step) {
        if self.settings.reports_steps
            && let Some(running) = self.lookups.get(&lookup)
            && running.goal.is_commanded()
        {
            let target = running.lookup.target();
            self.emit(Event::Step { target, node, step });
        }
    }

    /// Starts a lookup from the closest live nodes; `None` when too many run. The one for our own id, on which all
    /// others depend, always may.
    pub(super) fn start_lookup(&mut self, target: NodeId, goal: Goal) -> Option<LookupId> {
        if self.lookups.len() >= LOOKUPS_MAX && goal != Goal::OwnId {
            return None;
        }
        self.table.touch(&target, self.now);
        let mut lookup = Lookup::new(target, goal.pace(), self.network_size.nodes());
        for node in self.table.closest(&target, SEEDS, |_| true) {
            lookup.add(node);
        }
        for (node, _) in self.results.get(&target, self.now).unwrap_or_default() {
            lookup.add(*node);
        }
        let id = self.new_lookup_id();
        self.lookups.insert(id, Running { lookup, goal });
        Some(id)
    }

    /// Begins the rounds of searches whose time has come, as far as lookups may run.
    pub(super) fn run_searches(&mut self) {
        while let Some(target) = self.searches.pop_due(self.lookups.len(), self.now) {
            let Some(search) = self.searches.get_mut(&target) else { continue };
            let (announce, is_urgent) = (search.announce, search.is_urgent);
            let is_announcing_only = core::mem::take(&mut search.is_announcing_only);
            let last: Vec<NodeInfo> = search.closest().collect();
            let stored = self.stored_peers(&target);
            let seen = stored.iter().copied().collect();
            let goal = Goal::Search { target, is_urgent, seen, announce };
            if is_announcing_only && self.store_at_known(target.into(), &goal) {
                self.searches.skip_round(target, &mut self.rng, self.now);
                continue;
            }
            let id = self.start_lookup(target.into(), goal);
            if let Some(search) = self.searches.get_mut(&target) {
                search.running = id;
            }
            if let Some(running) = id.and_then(|id| self.lookups.get_mut(&id)) {
                last.into_iter().for_each(|node| running.lookup.add(node));
            }
            self.emit_peers(target, stored);
        }
    }

    /// Has the nodes that a lookup of `target` found lately store what `goal` is for; says whether there are any.
    pub(super) fn store_at_known(&mut self, target: NodeId, goal: &Goal) -> bool {
        // while few are known, or our neighbourhood is not, there may be nodes that matter more
        let is_young = self.is_settling() || self.table.live_count() <= SMALL_TABLE;
        if is_young || goal.store_query(target, Vec::new()).is_none() {
            return false;
        }
        let Some(stores) = self.results.get(&target, self.now).map(<[_]>::to_vec) else { return false };
        let lookup = Lookup::new(target, goal.pace(), None);
        let id = self.new_lookup_id();
        self.store(id, lookup, goal.clone(), stores);
        true
    }

    fn new_lookup_id(&mut self) -> LookupId {
        self.next_lookup += 1;
        self.next_lookup
    }

    /// Lets every lookup ask what it should ask at present, and ends those that are done.
    pub(super) fn drive_lookups(&mut self) {
        let stirred = self.lookups.iter_mut().filter_map(|(id, r)| r.lookup.take_stirred().then_some(*id));
        for id in stirred.collect::<Vec<_>>() {
            self.drive_lookup(id);
        }
    }

    fn drive_lookup(&mut self, id: LookupId) {
        while let Some(running) = self.lookups.get_mut(&id) {
            if self.transactions.is_full() {
                running.lookup.stir();
                return;
            }
            let Some((node, step)) = running.lookup.next_to_ask() else { break };
            let method = running.goal.query(running.lookup.target());
            self.tell_step(id, node, step);
            self.ask(node.addr, Some(node.id), method, Purpose::Lookup(id));
        }
        if self.lookups.get(&id).is_some_and(|r| r.lookup.is_done())
            && let Some(Running { lookup, mut goal }) = self.lookups.remove(&id)
        {
            if let Some(nearest) = lookup.nearest_shares() {
                self.network_size.note(&lookup.target(), &nearest);
            }
            self.on_sought(&lookup, &mut goal);
            self.begin_storing(id, lookup, goal);
        }
    }

    /// Asks the nodes that gave tokens to store what the lookup was for, if it was for that.
    fn begin_storing(&mut self, id: LookupId, lookup: Lookup, goal: Goal) {
        let stores = lookup.stores();
        if !stores.is_empty() && goal.is_commanded() {
            self.results.put(lookup.target(), stores.clone(), self.now);
        }
        if goal.store_query(lookup.target(), Vec::new()).is_none() {
            return;
        }
        if stores.is_empty() {
            self.on_stored(goal, 0, 0);
        } else {
            self.store(id, lookup, goal, stores);
        }
    }

    fn store(&mut self, id: LookupId, lookup: Lookup, goal: Goal, stores: Vec<(NodeInfo, Vec<u8>)>) {
        self.storing.insert(id, Storing { lookup, goal, asked: 0, waiting: 0, stored: 0 });
        for (node, token) in stores {
            self.ask_to_store(id, node, token);
        }
    }

    fn ask_to_store(&mut self, id: LookupId, node: NodeInfo, token: Vec<u8>) {
        if let Some(storing) = self.storing.get_mut(&id)
            && let Some(method) = storing.goal.store_query(storing.lookup.target(), token)
        {
            storing.asked += 1;
            storing.waiting += 1;
            self.ask(node.addr, Some(node.id), method, Purpose::Store(id));
        }
    }

    fn on_store_end(&mut self, id: LookupId, is_stored: bool) {
        let Some(storing) = self.storing.get_mut(&id) else { return };
        storing.waiting = storing.waiting.saturating_sub(1);
        storing.stored += usize::from(is_stored);
        if storing.waiting == 0
            && let Some(Storing { lookup, goal, asked, stored, .. }) = self.storing.remove(&id)
        {
            if stored == 0 {
                self.results.remove(&lookup.target());
            }
            self.on_stored(goal, asked, stored);
        }
    }

    fn on_lookup_reply(&mut self, id: LookupId, node: NodeInfo, response: Response, rtt: Duration) {
        let heard = self.usable_nodes(node.addr, &response);
        for n in &heard {
            self.table.on_heard(*n);
        }
        if let Some(running) = self.lookups.get_mut(&id) {
            let step = Step::Answered { rtt, nodes: heard.len(), peers: response.values.len() };
            running.lookup.on_reply(&node.id, response.token.clone(), heard);
            self.tell_step(id, node, step);
        } else if let Some(storing) = self.storing.get_mut(&id) {
            // late, but among the closest it is one more to store at
            storing.lookup.on_reply(&node.id, response.token.clone(), Vec::new());
            if let Some((_, token)) = storing.lookup.stores().into_iter().find(|(n, _)| *n == node) {
                self.ask_to_store(id, node, token);
            }
        }
        self.on_answer(id, node, response);
    }

    /// Peers that others announced to us, but for ourselves.
    pub(super) fn stored_peers(&self, target: &WireHash) -> Vec<SocketAddr> {
        self.store.peers(target).filter(|p| !self.own_addrs.contains(p)).collect()
    }

    /// Tells the shell about peers of a search, if it still runs.
    pub(super) fn emit_peers(&mut self, target: WireHash, peers: Vec<SocketAddr>) {
        if !peers.is_empty() && self.searches.get_mut(&target).is_some() {
            self.emit(Event::PeersFound { target, peers });
        }
    }

    /// Tells the shell about a peer that announced itself to us.
    pub(super) fn on_stored_peer(&mut self, target: WireHash, peer: SocketAddr) {
        if !self.own_addrs.contains(&peer) {
            self.emit_peers(target, vec![peer]);
        }
    }

    /// Ends a round; hands out what to announce.
    pub(super) fn finish_search_round(
        &mut self,
        target: WireHash,
        peers_found: usize,
        closest: &[NodeInfo],
    ) -> Option<Announce> {
        let table = TableState { live_nodes: self.table.live_count(), is_settling: self.is_settling() };
        self.searches.finish_round(target, peers_found, closest, table, &mut self.rng, self.now);
        self.searches.get_mut(&target)?.announce
    }

    /// Tells the shell of nodes of the other family that `from` named.
    fn tell_of_other_family(&mut self, from: SocketAddr, response: &Response) {
        let list = match self.settings.family {
            Family::V4 => &response.nodes6,
            Family::V6 => &response.nodes,
        };
        if !self.wants_both {
            return;
        }
        let nodes = list.iter().flatten().filter(|n| scope::may_tell(n.addr, from)).copied();
        let nodes: Vec<NodeInfo> = nodes.collect();
        if !nodes.is_empty() {
            self.emit(Event::HeardOf { nodes });
        }
    }

    /// The nodes of a reply that `from` may name and that are not ourselves.
    pub(super) fn usable_nodes(&self, from: SocketAddr, response: &Response) -> Vec<NodeInfo> {
        let list = match self.settings.family {
            Family::V4 => &response.nodes,
            Family::V6 => &response.nodes6,
        };
        let is_usable = |n: &&NodeInfo| {
            n.id != self.id && !self.own_addrs.contains(&n.addr) && scope::may_tell(n.addr, from)
        };
        list.iter().flatten().filter(is_usable).copied().collect()
    }
}
