//! Answering others.
//!
//! A reply is at most [`KRPC_REPLY_LEN_MAX`] bytes and at most [`AMPLIFICATION_MAX`] times the query, so that nobody
//! gains by asking in another's name. What does not fit is left out in the order of its use: other families' nodes,
//! peers beyond the first, nodes beside a large item. An item that fits by no means goes out whole only within a small
//! quota (`docs/decisions`).

use super::{Node, VERSION};
use crate::io::Output;
use crate::item;
use crate::item_store::Refusal;
use crate::peer_store::PeerStore;
use crate::routing_table::K;
use crate::scope;
use core::net::SocketAddr;
use unchoke_wire::WireHash;
use unchoke_wire::compact::Family;
use unchoke_wire::item::Item;
use unchoke_wire::krpc::{
    self, ItemReply, Kind, Message, Method, NodeId, NodeInfo, Put, Query, Response, Want,
};
use unchoke_wire::limits::{ITEM_VALUE_LEN_MAX, KRPC_REPLY_LEN_MAX};
use unchoke_wire::time::Instant;

/// Peers in a reply.
const VALUES_V4: usize = 50;
const VALUES_V6: usize = 25;
/// Bytes of a reply for each byte of its query.
const AMPLIFICATION_MAX: usize = 10;
/// Bytes of any reply: beside a largest value go key, signature, sequence number, token, ids and endpoint.
const ITEM_REPLY_LEN_MAX: usize = ITEM_VALUE_LEN_MAX + 400;

/// A query while its reply is put together.
struct Asked<'a> {
    from: SocketAddr,
    want: Option<Want>,
    /// The node of the other family, which knows the nodes there.
    other: Option<&'a Node>,
    /// Bytes that the reply may still grow by.
    room: usize,
}

impl Asked<'_> {
    /// Takes `len` bytes of the room if they are there.
    fn take(&mut self, len: usize) -> bool {
        let fits = len <= self.room;
        if fits {
            self.room -= len;
        }
        fits
    }

    fn wants(&self, family: Family, own: Family) -> bool {
        match (self.want, family) {
            (None, family) => family == own,
            (Some(want), Family::V4) => want.v4,
            (Some(want), Family::V6) => want.v6,
        }
    }
}

impl Node {
    /// Answers a query that came in a datagram of `query_len` bytes.
    pub(super) fn on_query(
        &mut self,
        from: SocketAddr,
        query_len: usize,
        transaction: Vec<u8>,
        query: Query,
        is_read_only: bool,
        other: Option<&Node>,
    ) {
        //= BEP 43: a read-only node answers nothing
        if self.settings.is_read_only {
            return;
        }
        let bound = KRPC_REPLY_LEN_MAX.min(query_len.saturating_mul(AMPLIFICATION_MAX));
        let room = bound.saturating_sub(bare_reply_len(from, &transaction));
        let mut asked = Asked { from, want: query.want, other, room };
        if let Some(answer) = self.answer(query.method, &mut asked) {
            self.reply(
                from,
                transaction,
                match answer {
                    Ok(response) => Kind::Response(response),
                    Err((code, text)) => Kind::Error { code, text: text.into() },
                },
            );
        }
        //= BEP 43: a read-only sender enters no table
        if !is_read_only {
            self.consider(NodeInfo { id: query.id, addr: from });
        }
    }

    pub(super) fn refuse_malformed(&mut self, from: SocketAddr, transaction: Vec<u8>, code: i64) {
        if !self.settings.is_read_only {
            let text = match code {
                krpc::ERROR_VALUE_TOO_BIG => "Value Too Big",
                krpc::ERROR_SALT_TOO_BIG => "Salt Too Big",
                _ => "Protocol Error",
            };
            self.reply(from, transaction, Kind::Error { code, text: text.into() });
        }
    }

    /// What a query is answered with; `None` for silence.
    fn answer(&mut self, method: Method, asked: &mut Asked<'_>) -> Option<Result<Response, Refusal>> {
        Some(match method {
            Method::Ping => Ok(Response::new(self.id)),
            // a method of the future that seeks something is led nearer to it
            Method::FindNode { target } | Method::Unknown { target: Some(target), .. } => {
                Ok(self.nodes_near(&target, asked))
            }
            Method::GetPeers { info_hash, no_seeds, scrape } => {
                Ok(self.peers_of(&info_hash, no_seeds, scrape, asked))
            }
            Method::AnnouncePeer { info_hash, port, implied_port, token, is_seed } => {
                let port = if implied_port { asked.from.port() } else { port };
                self.store_peer(asked.from, &info_hash, port, &token, is_seed)
            }
            Method::Get { target, seq } => Ok(self.item_of(&target, seq, asked)),
            Method::Put(put) => return self.store_item(asked.from, *put),
            Method::SampleInfohashes { target } => Ok(self.samples_near(&target, asked)),
            Method::Unknown { target: None, .. } => Err((krpc::ERROR_METHOD_UNKNOWN, "Method Unknown")),
        })
    }

    fn nodes_near(&self, target: &NodeId, asked: &mut Asked<'_>) -> Response {
        let mut response = Response::new(self.id);
        self.add_own_nodes(&mut response, target, asked);
        self.add_other_nodes(&mut response, target, asked);
        response
    }

    //= BEP 5: get_peers answers with a token, and values where peers are stored
    //= BEP 32: nodes go along with values
    //= BEP 33: filters go along with values
    fn peers_of(&mut self, key: &NodeId, no_seeds: bool, scrape: bool, asked: &mut Asked<'_>) -> Response {
        let (hash, from) = (WireHash::from(*key), asked.from);
        let mut response = Response::new(self.id);
        if self.store.has_room(&hash, from.ip()) {
            self.add_token(&mut response, key, asked);
        }
        self.add_own_nodes(&mut response, key, asked);
        if self.store.knows(&hash) {
            if scrape && asked.take(2 * entry_len(4, 256)) {
                response.scrape = self.store.scrape(&hash, self.now);
            }
            let (most, each) = if from.is_ipv4() { (VALUES_V4, 8) } else { (VALUES_V6, 21) };
            let list = string_len(b"values".len()) + b"le".len();
            let n = asked.room.saturating_sub(list) / each;
            response.values = self.store.sample(&hash, from, no_seeds, n.min(most), &mut self.rng);
            if !response.values.is_empty() {
                asked.take(list + each * response.values.len());
            }
        }
        self.add_other_nodes(&mut response, key, asked);
        response
    }

    //= BEP 5: announce_peer needs the token given to the same IP
    fn store_peer(
        &mut self,
        from: SocketAddr,
        key: &NodeId,
        port: u16,
        token: &[u8],
        is_seed: bool,
    ) -> Result<Response, Refusal> {
        if !self.tokens.is_valid(token, from.ip(), key, &mut self.rng, self.now) {
            return Err((krpc::ERROR_PROTOCOL, "Bad Token"));
        }
        let (hash, peer) = (WireHash::from(*key), SocketAddr::new(from.ip(), port));
        if !PeerStore::is_plausible(peer) {
            return Err((krpc::ERROR_PROTOCOL, "Bad Port"));
        }
        if !self.store.announce(hash, peer, is_seed, self.now) {
            return Err((krpc::ERROR_SERVER, "Storage Full"));
        }
        self.on_stored_peer(hash, peer);
        Ok(Response::new(self.id))
    }

    //= BEP 44: get answers with a token, nodes and the item, without the item if it is not newer than seq
    fn item_of(&mut self, target: &NodeId, seq: Option<i64>, asked: &mut Asked<'_>) -> Response {
        let mut response = Response::new(self.id);
        let ip = asked.from.ip();
        if self.settings.serves_items {
            if self.items.has_room(target, ip, &self.id, self.now) {
                self.add_token(&mut response, target, asked);
            }
            if let Some(mut item) = self.items.get(target, &self.id, self.now).map(ItemReply::of) {
                if item.seq.is_some_and(|ours| seq.is_some_and(|theirs| ours <= theirs)) {
                    item = without_value(&item);
                }
                let len = item_len(&item);
                if len > asked.room && self.rates.admits_excess(ip, len - asked.room, self.now) {
                    asked.room = 0;
                } else if !asked.take(len) {
                    item = without_value(&item);
                    asked.take(item_len(&item));
                }
                response.item = (item != ItemReply::default()).then(|| Box::new(item));
            }
        }
        self.add_own_nodes(&mut response, target, asked);
        self.add_other_nodes(&mut response, target, asked);
        response
    }

    //= BEP 44: put needs a token; what is too old or not signed is refused
    /// Stores an item. The cheap checks come first; the signature is checked for proven addresses alone.
    fn store_item(&mut self, from: SocketAddr, put: Put) -> Option<Result<Response, Refusal>> {
        if !self.settings.serves_items {
            return Some(Err((krpc::ERROR_METHOD_UNKNOWN, "Method Unknown")));
        }
        let target = put.item.key().target();
        if !self.tokens.is_valid(&put.token, from.ip(), &target, &mut self.rng, self.now) {
            return Some(Err((krpc::ERROR_PROTOCOL, "Bad Token")));
        }
        if !self.rates.admits_put(from.ip(), self.now) {
            return None;
        }
        let mut stored = self.items.check(&target, &put.item, put.cas);
        if stored.is_ok() {
            stored = match &put.item {
                Item::Mutable(item) if !item::is_authentic(item) => {
                    Err((krpc::ERROR_BAD_SIGNATURE, "Bad Signature"))
                }
                _ => self.items.put(target, put.item, from.ip(), &self.id, self.now),
            };
        }
        Some(stored.map(|()| Response::new(self.id)))
    }

    //= BEP 51: sample_infohashes answers with an interval, a count, samples and nodes
    fn samples_near(&mut self, target: &NodeId, asked: &mut Asked<'_>) -> Response {
        let mut response = Response::new(self.id);
        if self.settings.answers_samples {
            let mut samples = self.store.sample_keys(&mut self.rng, self.now);
            let numbers = string_len(b"interval".len()) + string_len(b"num".len()) + 2 * INT_LEN_MAX;
            let room = asked.room.saturating_sub(numbers + entry_len(b"samples".len(), 0) + 2);
            samples.hashes.truncate(room / 20);
            if asked.take(numbers + entry_len(b"samples".len(), 20 * samples.hashes.len())) {
                response.samples = Some(samples);
            }
        }
        self.add_own_nodes(&mut response, target, asked);
        self.add_other_nodes(&mut response, target, asked);
        response
    }

    fn add_token(&mut self, response: &mut Response, key: &NodeId, asked: &mut Asked<'_>) {
        let token = self.tokens.issue(asked.from.ip(), key, &mut self.rng, self.now);
        if asked.take(entry_len(b"token".len(), token.len())) {
            response.token = Some(token.to_vec());
        }
    }

    /// Adds the nodes of our family closest to `target`, if the asker wants them.
    fn add_own_nodes(&self, response: &mut Response, target: &NodeId, asked: &mut Asked<'_>) {
        if asked.wants(self.settings.family, self.settings.family) {
            add_nodes(self, self.now, response, target, asked);
        }
    }

    //= BEP 32: a node of both families tells nodes of both to those who want them
    fn add_other_nodes(&self, response: &mut Response, target: &NodeId, asked: &mut Asked<'_>) {
        if let Some(other) = asked.other
            && asked.wants(other.settings.family, self.settings.family)
            && other.settings.family != self.settings.family
        {
            add_nodes(other, self.now, response, target, asked);
        }
    }

    //= BEP 42: a reply tells the asker its endpoint
    fn reply(&mut self, to: SocketAddr, transaction: Vec<u8>, kind: Kind) {
        let message =
            Message { transaction, kind, version: Some(VERSION), is_read_only: false, ip: Some(to) };
        let bytes = message.encode();
        assert!(bytes.len() <= ITEM_REPLY_LEN_MAX, "what goes into a reply is measured");
        if self.rates.admits_reply(to.ip(), bytes.len(), self.now) {
            self.outputs.push(Output::Datagram { to, bytes });
        }
    }
}

/// Adds the nodes that `owner` knows closest to `target`, as many as there is room for.
fn add_nodes(owner: &Node, now: Instant, response: &mut Response, target: &NodeId, asked: &mut Asked<'_>) {
    let (key, each, list) = match owner.settings.family {
        Family::V4 => (b"nodes".len(), 26, &mut response.nodes),
        Family::V6 => (b"nodes6".len(), 38, &mut response.nodes6),
    };
    let n = K.min(asked.room.saturating_sub(entry_len(key, 0) + 2) / each);
    if n == 0 {
        return;
    }
    let from = asked.from;
    let nodes = owner.table.closest(target, n, |e| {
        e.is_servable(now) && e.node.addr != from && scope::may_tell(e.node.addr, from)
    });
    asked.take(entry_len(key, each * nodes.len()));
    *list = Some(nodes);
}

fn without_value(item: &ItemReply) -> ItemReply {
    ItemReply { seq: item.seq, ..ItemReply::default() }
}

/// Most bytes of an integer.
const INT_LEN_MAX: usize = b"i-9223372036854775808e".len();

/// Bytes of a string of `len` bytes.
fn string_len(len: usize) -> usize {
    let digits = len.checked_ilog10().map_or(1, |log| log as usize + 1);
    digits + b":".len() + len
}

/// Bytes of a dictionary's entry that is a string.
fn entry_len(key: usize, value: usize) -> usize {
    string_len(key) + string_len(value)
}

/// Most bytes of what is told of an item.
fn item_len(item: &ItemReply) -> usize {
    let value = item.value.as_ref().map_or(0, |v| string_len(b"v".len()) + v.len());
    let key = item.key.map_or(0, |k| entry_len(b"k".len(), k.len()));
    let signature = item.signature.map_or(0, |s| entry_len(b"sig".len(), s.len()));
    value + key + signature + item.seq.map_or(0, |_| string_len(b"seq".len()) + INT_LEN_MAX)
}

/// Bytes of a reply to `to` that says no more than who answers.
fn bare_reply_len(to: SocketAddr, transaction: &[u8]) -> usize {
    let endpoint = if to.is_ipv4() { 6 } else { 18 };
    let fixed = b"d1:rd2:id20:e1:v4:UK001:y1:re".len() + 20;
    fixed + entry_len(b"ip".len(), endpoint) + entry_len(b"t".len(), transaction.len())
}
