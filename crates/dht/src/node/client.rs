//! Asking others and taking their answers.

use super::{Goal, LOOKUPS_MAX, Node, Running, VERSION};
use crate::io::Event;
use crate::lookup::Lookup;
use crate::scope;
use crate::search::TableState;
use crate::transactions::{LookupId, Pending, Purpose};
use core::net::SocketAddr;
use unchoke_wire::WireHash;
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{Kind, Message, Method, NodeId, NodeInfo, Query, Response};

/// Nodes of our table a lookup begins with.
const SEEDS: usize = 20;

impl Node {
    pub(super) fn ask(&mut self, to: SocketAddr, id: Option<NodeId>, method: Method, purpose: Purpose) {
        let pending = Pending { to, id, sent: self.now, purpose, is_slow: false };
        let tid = self.transactions.begin(pending, self.table.srtt(&to), &mut self.rng);
        self.table.on_asked(&to, self.now);
        self.send(
            to,
            &Message {
                transaction: tid.to_be_bytes().to_vec(),
                kind: Kind::Query(Query { id: self.id, want: None, method }),
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

    pub(super) fn on_response(&mut self, from: SocketAddr, transaction: &[u8], response: Response) {
        let Some(pending) = self.transactions.finish(transaction, from, self.now) else { return };
        let node = NodeInfo { id: response.id, addr: from };
        if node.id == self.id || pending.id.is_some_and(|id| id != node.id) {
            self.table.evict_if(&from, pending.id, self.now);
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
        match pending.purpose {
            Purpose::Ping => {}
            Purpose::Command => self.emit(Event::Pong { from, id: node.id, rtt }),
            Purpose::Contact => self.on_contact(from, &response),
            Purpose::Lookup(lookup) => self.on_lookup_reply(lookup, node, response),
            Purpose::Announce(target) => self.on_announce_end(target, true),
        }
    }

    /// Notes that a query failed at once: refused, undeliverable, or answered by another node than was meant.
    pub(super) fn on_refused(&mut self, pending: &Pending) {
        self.end_lookup_query(pending, Lookup::on_refused);
    }

    /// Notes that a query was never answered.
    pub(super) fn on_dead(&mut self, pending: &Pending) {
        self.end_lookup_query(pending, Lookup::on_dead);
    }

    fn end_lookup_query(&mut self, pending: &Pending, note: fn(&mut Lookup, &NodeId)) {
        match (pending.purpose, pending.id) {
            (Purpose::Lookup(lookup), Some(id)) => {
                if let Some(running) = self.lookups.get_mut(&lookup) {
                    note(&mut running.lookup, &id);
                }
            }
            (Purpose::Announce(target), _) => self.on_announce_end(target, false),
            (Purpose::Command, _) => self.emit(Event::NoPong { to: pending.to }),
            _ => {}
        }
    }

    /// Starts a lookup from the closest live nodes; `None` when too many run or nobody is known to begin with.
    pub(super) fn start_lookup(&mut self, target: NodeId, goal: Goal) -> Option<LookupId> {
        if self.lookups.len() >= LOOKUPS_MAX {
            return None;
        }
        self.table.touch(&target, self.now);
        let mut lookup = Lookup::new(target);
        for node in self.table.closest(&target, SEEDS, |_| true) {
            lookup.add(node);
        }
        let id = self.next_lookup;
        self.next_lookup += 1;
        self.lookups.insert(id, Running { lookup, goal });
        Some(id)
    }

    /// Begins the rounds of searches whose time has come, as far as lookups may run.
    pub(super) fn run_searches(&mut self) {
        while self.lookups.len() < LOOKUPS_MAX
            && let Some(target) = self.searches.pop_due(self.now)
        {
            let id = self.start_lookup(target.into(), Goal::Search(target));
            let Some(search) = self.searches.get_mut(&target) else { continue };
            search.running = id;
            search.seen.clear();
            let closest = search.closest.clone();
            if let Some(running) = id.and_then(|id| self.lookups.get_mut(&id)) {
                closest.into_iter().for_each(|node| running.lookup.add(node));
            }
            let stored: Vec<SocketAddr> = self.store.peers(&target).collect();
            self.report_peers(target, stored);
        }
    }

    /// Lets every lookup ask what it should ask at present, and ends those that are done.
    pub(super) fn drive_lookups(&mut self) {
        let ids: Vec<LookupId> = self.lookups.keys().copied().collect();
        for id in ids {
            while !self.transactions.is_full()
                && let Some(running) = self.lookups.get_mut(&id)
                && let Some(node) = running.lookup.next_to_ask()
            {
                let key = running.lookup.target();
                let method = match running.goal {
                    Goal::Search(_) => Method::GetPeers { info_hash: key, no_seeds: false, scrape: false },
                    Goal::OwnId | Goal::Refresh | Goal::FindNode => Method::FindNode { target: key },
                };
                self.ask(node.addr, Some(node.id), method, Purpose::Lookup(id));
            }
            if self.lookups.get(&id).is_some_and(|r| r.lookup.is_done())
                && let Some(running) = self.lookups.remove(&id)
            {
                self.finish_lookup(running);
            }
        }
    }

    fn finish_lookup(&mut self, running: Running) {
        let lookup = running.lookup;
        let closest = lookup.closest();
        match running.goal {
            Goal::OwnId => self.on_own_id_found(!closest.is_empty()),
            Goal::Refresh => {}
            Goal::FindNode => self.emit(Event::NodesFound { target: lookup.target(), closest }),
            Goal::Search(target) => self.finish_search_round(target, lookup, closest),
        }
    }

    fn finish_search_round(&mut self, target: WireHash, lookup: Lookup, closest: Vec<NodeInfo>) {
        let table = TableState { live_nodes: self.table.live_count(), is_settling: self.is_settling() };
        self.searches.finish_round(target, closest.clone(), table, &mut self.rng, self.now);
        let Some(search) = self.searches.get_mut(&target) else { return };
        let (announce, peers_found) = (search.announce, search.seen.len());
        let queries_sent = lookup.queries_sent();
        self.emit(Event::SearchDone { target, peers_found, queries_sent, closest });
        let Some(announce) = announce else { return };
        let stores = lookup.into_stores();
        if let Some(search) = self.searches.get_mut(&target) {
            (search.announcing, search.announced) = (stores.len(), 0);
        }
        for (node, token) in stores {
            let method = Method::AnnouncePeer {
                info_hash: target.into(),
                port: announce.port,
                implied_port: announce.implied_port,
                token,
                is_seed: announce.is_seed,
            };
            self.ask(node.addr, Some(node.id), method, Purpose::Announce(target));
        }
    }

    fn on_announce_end(&mut self, target: WireHash, is_stored: bool) {
        let Some(search) = self.searches.get_mut(&target) else { return };
        search.announcing = search.announcing.saturating_sub(1);
        search.announced += usize::from(is_stored);
        if search.announcing == 0 {
            let to = search.announced;
            self.emit(Event::Announced { target, to });
        }
    }

    fn on_lookup_reply(&mut self, id: LookupId, node: NodeInfo, response: Response) {
        let heard = self.usable_nodes(node.addr, &response);
        for n in &heard {
            self.table.on_heard(*n, self.now);
        }
        let Some(running) = self.lookups.get_mut(&id) else { return };
        running.lookup.on_reply(&node.id, response.token);
        heard.into_iter().for_each(|n| running.lookup.add(n));
        // peers come from get_peers alone
        if let Goal::Search(target) = running.goal {
            let mut peers = response.values;
            peers.retain(|p| scope::may_tell(*p, node.addr));
            self.report_peers(target, peers);
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
