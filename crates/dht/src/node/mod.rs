//! The node: takes inputs, keeps the parts in step, hands out datagrams and events.
//!
//! `server` answers others, `client` asks them and takes their answers, `goal` says what for, `items` does it for items,
//! scrapes and samples, `upkeep` keeps the table alive, `address` keeps our id in step with our address.

mod address;
mod client;
mod goal;
mod items;
mod server;
mod upkeep;

use crate::io::{Command, Event, Input, Output, Outputs};
use crate::item_store::ItemStore;
use crate::network_size::NetworkSize;
use crate::peer_store::PeerStore;
use crate::rate::Rates;
use crate::results::Results;
use crate::routing_table::RoutingTable;
use crate::scope;
use crate::search::Searches;
use crate::token::Tokens;
use crate::transactions::{LookupId, Purpose, Silent, Transactions};
pub use address::FORMER_IDS_MAX;
use address::OwnAddress;
use client::{Running, Storing};
use core::net::SocketAddr;
use goal::Goal;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{Error, Kind, Message, NodeId, NodeInfo};
use unchoke_wire::time::{Duration, Instant};
use upkeep::Upkeep;

/// Outputs that memory is kept for from one input to the next.
const OUTPUTS_KEPT: usize = 8;
/// Bytes at the end of an answer that hold its transaction id, before its `v` and `y`.
const ANSWER_TAIL: usize = 64;
/// `v` of our messages: client `UK`, version 0.1.
const VERSION: [u8; 4] = *b"UK\x00\x01";

/// How a node is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The family of its socket.
    pub family: Family,
    /// The id of an earlier run; `None` draws one. It is kept while those we ask see us at an address it fits (BEP 42).
    pub own_id: Option<NodeId>,
    /// Ask, but answer nothing and stay out of others' tables (BEP 43).
    pub is_read_only: bool,
    /// Store items of others and hand them out (BEP 44).
    pub serves_items: bool,
    /// Tell which info-hashes are stored here to those who sample them (BEP 51).
    pub answers_samples: bool,
    /// Tell every step of the lookups that commands began, as [`Event::Step`].
    pub reports_steps: bool,
}

impl Settings {
    /// A node that asks, answers and serves all it can, under an id it draws.
    pub const fn new(family: Family) -> Self {
        Settings {
            family,
            own_id: None,
            is_read_only: false,
            serves_items: true,
            answers_samples: true,
            reports_steps: false,
        }
    }
}

/// One DHT node in one address family, with one id and one external address: who has more runs a node for each
/// (BEP 45).
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    id: NodeId,
    now: Instant,
    rng: ChaCha12Rng,
    table: RoutingTable,
    transactions: Transactions,
    /// Lookups that seek.
    lookups: BTreeMap<LookupId, Running>,
    /// Lookups that have something stored at the nodes they found.
    storing: BTreeMap<LookupId, Storing>,
    next_lookup: LookupId,
    network_size: NetworkSize,
    results: Results,
    searches: Searches,
    tokens: Tokens,
    store: PeerStore,
    items: ItemStore,
    rates: Rates,
    upkeep: Upkeep,
    own_addrs: Vec<SocketAddr>,
    address: OwnAddress,
    wants_both: bool,
    outputs: Vec<Output>,
}

/// One live node of the routing table, for display.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableRow {
    /// Leading bits its id shares with ours.
    pub bucket: usize,
    /// The node.
    pub node: NodeInfo,
    /// Whether it is good (BEP 5).
    pub is_good: bool,
    /// Whether its id follows from its address (BEP 42), or need not.
    pub is_compliant: bool,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// Time since it last answered.
    pub answered_ago: Option<Duration>,
    /// Queries it left unanswered since.
    pub fails: u8,
}

impl Node {
    /// A node that knows nobody. `seed` must be secret and unpredictable outside of simulations.
    pub fn new(settings: Settings, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut random = NodeId([0; 20]);
        rng.fill_bytes(&mut random.0);
        let id = settings.own_id.unwrap_or(random);
        Node {
            id,
            now,
            table: RoutingTable::new(id, settings.family),
            transactions: Transactions::default(),
            lookups: BTreeMap::new(),
            storing: BTreeMap::new(),
            next_lookup: 0,
            network_size: NetworkSize::default(),
            results: Results::default(),
            searches: Searches::default(),
            tokens: Tokens::new(&mut rng, now),
            store: PeerStore::default(),
            items: ItemStore::default(),
            rates: Rates::new(now),
            upkeep: Upkeep::new(now),
            own_addrs: Vec::new(),
            address: OwnAddress::default(),
            wants_both: false,
            outputs: Vec::new(),
            settings,
            rng,
        }
    }

    /// A node whose table holds `nodes` as if each had answered so long ago after that round-trip time, as far as it
    /// would have taken them: for simulations that begin in the middle of a network's life.
    pub fn warm(
        settings: Settings,
        seed: [u8; 32],
        now: Instant,
        nodes: impl IntoIterator<Item = (NodeInfo, Duration, Duration)>,
    ) -> Self {
        let mut node = Node::new(settings, seed, now);
        for (info, ago, rtt) in nodes {
            let answered = Instant::from_micros(
                now.as_micros().saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)),
            );
            node.table.on_reply(info, rtt, answered);
            node.transactions.note_rtt(rtt);
        }
        node.table.shrink();
        node.table.find_due();
        if node.table.live_count() > 0 {
            node.upkeep.settle(&mut node.rng, now);
        }
        node
    }

    /// Takes one input. Timers that are due by `now` run too, whatever the input.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> Outputs<'_> {
        self.handle_beside(input, None, now)
    }

    /// Like [`Self::handle`], beside the node of the other family: it is the one who knows the nodes of that family
    /// that an asker may want (BEP 32).
    pub fn handle_beside(&mut self, input: Input<'_>, other: Option<&Node>, now: Instant) -> Outputs<'_> {
        self.now = self.now.max(now);
        self.outputs.shrink_to(OUTPUTS_KEPT);
        let is_tick_due = self.is_tick_due();
        match input {
            Input::Timeout => {}
            Input::Datagram { from, bytes } => self.on_datagram(from, bytes, other),
            Input::Command(command) => self.on_command(command),
        }
        self.run_silent();
        self.run_upkeep(is_tick_due);
        self.run_searches();
        self.drive_lookups();
        Outputs::new(&mut self.outputs)
    }

    /// When to call [`Self::handle`] with [`Input::Timeout`]; a node always has something to look after.
    pub fn next_timeout(&self) -> Option<Instant> {
        let search = self.searches.next_due(self.lookups.len());
        [self.transactions.next_deadline(), search, Some(self.next_upkeep())].into_iter().flatten().min()
    }

    /// The family of its socket.
    pub fn family(&self) -> Family {
        self.settings.family
    }

    /// Our id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Good nodes in the table.
    pub fn good_node_count(&self) -> usize {
        self.table.good_count(self.now)
    }

    /// Nodes worth keeping for the next run: those that answered within 15 minutes, the nearest to us last.
    pub fn nodes_to_save(&self) -> Vec<NodeInfo> {
        self.table.entries().filter(|(_, e)| e.is_servable(self.now)).map(|(_, e)| e.node).collect()
    }

    /// Peers that others announced to us.
    pub fn stored_peer_count(&self) -> usize {
        self.store.len()
    }

    /// How many nodes the network has, as far as lookups tell: right within a third, once there were a few.
    pub fn network_size(&self) -> Option<f64> {
        self.network_size.nodes()
    }

    /// Lookups under way.
    pub fn lookup_count(&self) -> usize {
        self.lookups.len()
    }

    /// Items that others put here (BEP 44).
    pub fn stored_item_count(&self) -> usize {
        self.items.len()
    }

    /// The live nodes, the widest bucket first.
    pub fn table(&self) -> impl Iterator<Item = TableRow> {
        self.table.entries().map(|(bucket, e)| TableRow {
            bucket,
            node: e.node,
            is_good: e.history.is_good(self.now),
            is_compliant: e.history.is_compliant(),
            rtt: e.history.srtt(),
            answered_ago: e.history.last_reply().map(|at| self.now.since(at)),
            fails: e.history.fails,
        })
    }

    fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8], other: Option<&Node>) {
        let is_usable = self.is_our_family(from) && scope::may_tell(from, from);
        // most of what is no message shows it by its first byte
        if !is_usable || bytes.first() != Some(&b'd') {
            return;
        }
        if !self.is_awaited(from, bytes) && !self.rates.admits_datagram(from.ip(), self.now) {
            return;
        }
        match Message::decode(bytes) {
            Ok(Message { transaction, kind: Kind::Query(query), is_read_only, .. }) => {
                self.on_query(from, bytes.len(), transaction, query, is_read_only, other);
            }
            Ok(Message { transaction, kind: Kind::Response(response), ip, .. }) => {
                self.on_response(from, &transaction, response, ip);
            }
            Ok(Message { transaction, kind: Kind::Error { code, text }, .. }) => {
                self.on_error(from, &transaction, code, &text);
            }
            Err(Error::BadQuery { transaction, code, .. }) => self.refuse_malformed(from, transaction, code),
            Err(_) => {}
        }
    }

    /// Whether a datagram carries, where clients write it, the transaction id of a query we sent to `from`. Such a one
    /// is looked at in the worst flood.
    fn is_awaited(&self, from: SocketAddr, bytes: &[u8]) -> bool {
        let tail = &bytes[bytes.len().saturating_sub(ANSWER_TAIL)..];
        let mut ids = tail.windows(9).rev().filter_map(|w| w.strip_prefix(b"1:t4:"));
        ids.any(|id| self.transactions.awaits(id, from))
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::AddNode(addr) => self.add_contact(addr, None),
            Command::AddSaved(node) => self.add_contact(node.addr, Some(node.id)),
            Command::AddRouter(addr) => self.add_router(addr),
            Command::RememberIds(ids) => self.remember_ids(ids),
            Command::Bootstrap => self.bootstrap(),
            Command::SetOwnAddresses(addrs) => self.own_addrs = addrs,
            Command::Search { target, announce, is_urgent } => {
                self.searches.start(target, announce, is_urgent, self.now);
                let stored = self.stored_peers(&target);
                self.emit_peers(target, stored);
            }
            Command::StopSearch { target } => {
                let running = self.searches.stop(&target).and_then(|s| s.running);
                running.map(|id| self.lookups.remove(&id));
            }
            Command::Ping(addr) => self.send_ping(addr, None, Purpose::Command),
            Command::FindNode { target } => {
                if self.start_lookup(target, Goal::FindNode).is_none() {
                    self.emit(Event::NodesFound { target, closest: Vec::new() });
                }
            }
            Command::Scrape { target } => self.scrape(target),
            Command::GetItem(key) => self.get_item(key),
            Command::PutItem { item, cas } => self.put_item(item, cas),
            Command::Sample { target } => self.sample(target),
            Command::WantBoth(wants_both) => self.wants_both = wants_both,
            Command::ReportUnreachable(addr) => {
                for pending in self.transactions.abort(&addr) {
                    self.on_refused(&pending);
                    self.note_failure(&pending);
                }
            }
        }
    }

    fn run_silent(&mut self) {
        while let Some(silent) = self.transactions.pop_silent(self.now) {
            match silent {
                Silent::Slow(pending) => self.on_slow(&pending),
                Silent::Dead(pending) => {
                    self.on_dead(&pending);
                    if !pending.is_excused {
                        self.note_failure(&pending);
                    }
                }
            }
        }
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    fn send(&mut self, to: SocketAddr, message: &Message) {
        self.outputs.push(Output::Datagram { to, bytes: message.encode() });
    }

    fn is_our_family(&self, addr: SocketAddr) -> bool {
        addr.is_ipv4() == (self.settings.family == Family::V4)
    }
}
