//! KRPC, the DHT's messages (BEP 5, 32, 33, 44, 51): bencoded queries, responses and errors in one datagram each.
//!
//! Receiving is liberal: unknown keys, trailing bytes, long lists and cut-off node lists are tolerated. Sending is
//! canonical. The value of an item is the exception: it is taken and given as the bytes it was written in.

mod bloom;
mod compact_nodes;
mod decode;
mod encode;
#[cfg(test)]
mod item_tests;
mod node_id;
#[cfg(test)]
mod tests;

use crate::WireHash;
use crate::item::{Item, ItemKey, KEY_LEN, MutableItem, SIGNATURE_LEN};
use core::net::SocketAddr;

pub use bloom::BloomFilter;
pub use node_id::{Distance, NodeId};

/// Error code: no further reason (BEP 5).
pub const ERROR_GENERIC: i64 = 201;
/// Error code: we cannot serve this at present (BEP 5).
pub const ERROR_SERVER: i64 = 202;
/// Error code: malformed packet, invalid arguments or bad token (BEP 5).
pub const ERROR_PROTOCOL: i64 = 203;
/// Error code: method unknown (BEP 5).
pub const ERROR_METHOD_UNKNOWN: i64 = 204;
/// Error code: the value of an item is too big (BEP 44).
pub const ERROR_VALUE_TOO_BIG: i64 = 205;
/// Error code: the signature of an item does not fit it (BEP 44).
pub const ERROR_BAD_SIGNATURE: i64 = 206;
/// Error code: the salt of an item is too big (BEP 44).
pub const ERROR_SALT_TOO_BIG: i64 = 207;
/// Error code: the stored item has another sequence number than `cas` (BEP 44).
pub const ERROR_CAS_MISMATCH: i64 = 301;
/// Error code: the stored item is newer (BEP 44).
pub const ERROR_SEQ_TOO_OLD: i64 = 302;

/// One datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// `t`: opaque, echoed exactly; 1 to [`KRPC_TRANSACTION_LEN_MAX`](crate::limits::KRPC_TRANSACTION_LEN_MAX) bytes.
    pub transaction: Vec<u8>,
    /// What is asked or answered.
    pub kind: Kind,
    /// `v`: two letters of the client and two bytes of its version. Other lengths are ignored.
    pub version: Option<[u8; 4]>,
    /// `ro`: the sender answers no queries and belongs in no routing table (BEP 43).
    pub is_read_only: bool,
    /// `ip`: the receiver's endpoint as the sender sees it (BEP 42).
    pub ip: Option<SocketAddr>,
}

/// What a message is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `y` = `q`.
    Query(Query),
    /// `y` = `r`.
    Response(Response),
    /// `y` = `e`.
    Error {
        /// What went wrong, for a program: see `ERROR_…`. Zero when the sender gave none.
        code: i64,
        /// What went wrong, for a reader; need not be UTF-8.
        text: Vec<u8>,
    },
}

/// A query and who sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// The querying node.
    pub id: NodeId,
    /// `want`: the families of node lists asked for (BEP 32). `None`: the packet's own family.
    pub want: Option<Want>,
    /// What is asked.
    pub method: Method,
}

/// Families of node lists asked for (BEP 32).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Want {
    /// `n4`: `nodes`.
    pub v4: bool,
    /// `n6`: `nodes6`.
    pub v6: bool,
}

/// The method of a query and its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Method {
    /// Are you there?
    Ping,
    /// The nodes you know closest to `target`.
    FindNode {
        /// Any point of the id space.
        target: NodeId,
    },
    /// The peers you store under `info_hash`, and the nodes closest to it.
    GetPeers {
        /// The key; it is the info-hash itself.
        info_hash: NodeId,
        /// `noseed`: leave seeds out (BEP 33).
        no_seeds: bool,
        /// `scrape`: send the swarm's filters too (BEP 33).
        scrape: bool,
    },
    /// Store me as a peer under `info_hash`.
    AnnouncePeer {
        /// The key.
        info_hash: NodeId,
        /// The peer's port; without meaning under `implied_port`, else never 0.
        port: u16,
        /// The peer's port is the one this datagram came from.
        implied_port: bool,
        /// The token the receiver gave for this key.
        token: Vec<u8>,
        /// `seed`: the peer has everything (BEP 33).
        is_seed: bool,
    },
    /// The item stored under `target` (BEP 44).
    Get {
        /// See [`ItemKey::target`].
        target: NodeId,
        /// `seq`: a mutable item is sent only if it is newer.
        seq: Option<i64>,
    },
    /// Store this item (BEP 44).
    Put(Box<Put>),
    /// Some of the info-hashes you store, and the nodes closest to `target` (BEP 51).
    SampleInfohashes {
        /// Any point of the id space.
        target: NodeId,
    },
    /// A method this codec does not know.
    Unknown {
        /// Its name, cut to [`KRPC_TEXT_LEN_MAX`](crate::limits::KRPC_TEXT_LEN_MAX) bytes.
        name: Vec<u8>,
        /// Its `target` or `info_hash`, by which it may be answered like `find_node`.
        target: Option<NodeId>,
    },
}

/// The arguments of `put`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    /// The item, within the caps of BEP 44 and canonical; a signature need not be good.
    pub item: Item,
    /// `cas`: store only if the stored item has this sequence number. Without meaning for an immutable item.
    pub cas: Option<i64>,
    /// The token the receiver gave for the item's target.
    pub token: Vec<u8>,
}

/// A response; which fields are there depends on the query it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The answering node.
    pub id: NodeId,
    /// `nodes`: IPv4 nodes, none with port 0.
    pub nodes: Option<Vec<NodeInfo>>,
    /// `nodes6`: IPv6 nodes, none with port 0 (BEP 32).
    pub nodes6: Option<Vec<NodeInfo>>,
    /// `token`: lets this socket announce to the answering node. One too long to keep is left out.
    pub token: Option<Vec<u8>>,
    /// `values`: peers of either family, none with port 0. An empty list is not sent.
    pub values: Vec<SocketAddr>,
    /// `BFsd`, `BFpe`: the swarm's filters (BEP 33).
    pub scrape: Option<Box<Scrape>>,
    /// `v`, `k`, `seq`, `sig`: the item, or what was told of it (BEP 44).
    pub item: Option<Box<ItemReply>>,
    /// `samples`, `num`, `interval`: some of the info-hashes stored (BEP 51).
    pub samples: Option<Samples>,
}

/// The peers of a swarm as two filters (BEP 33); one that was not sent is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scrape {
    /// `BFsd`: those that have everything.
    pub seeds: BloomFilter,
    /// `BFpe`: those that do not.
    pub downloaders: BloomFilter,
}

/// What `get` brought of an item; nothing of it is proven.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ItemReply {
    /// `v`: the bencoded value, canonical and within its cap.
    pub value: Option<Vec<u8>>,
    /// `k`: the owner of a mutable item.
    pub key: Option<[u8; KEY_LEN]>,
    /// `seq`: its sequence number.
    pub seq: Option<i64>,
    /// `sig`: its signature.
    pub signature: Option<[u8; SIGNATURE_LEN]>,
}

impl ItemReply {
    /// What a node that stores `item` tells of it.
    pub fn of(item: &Item) -> Self {
        match item {
            Item::Immutable { value } => ItemReply { value: Some(value.clone()), ..Self::default() },
            Item::Mutable(item) => ItemReply {
                value: Some(item.value.clone()),
                key: Some(item.key),
                seq: Some(item.seq),
                signature: Some(item.signature),
            },
        }
    }

    /// The item, if it is whole and the one sought: an immutable one has the right hash; a mutable one has the right
    /// owner, and the caller checks its signature.
    pub fn into_item(self, sought: &ItemKey) -> Option<Item> {
        let item = match sought {
            ItemKey::Immutable(_) => Item::Immutable { value: self.value? },
            ItemKey::Mutable { key, salt } => Item::Mutable(MutableItem {
                key: self.key.filter(|k| k == key)?,
                salt: salt.clone(),
                seq: self.seq?,
                value: self.value?,
                signature: self.signature?,
            }),
        };
        (item.key() == *sought).then_some(item)
    }
}

/// Some of the info-hashes a node stores (BEP 51).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Samples {
    /// `interval`: seconds for which the node will give the same answer, at most
    /// [`KRPC_SAMPLE_INTERVAL_MAX`](crate::limits::KRPC_SAMPLE_INTERVAL_MAX).
    pub interval_s: u32,
    /// `num`: info-hashes it stores.
    pub stored: u64,
    /// `samples`: some of them.
    pub hashes: Vec<WireHash>,
}

impl Response {
    /// A response that says no more than who answers.
    pub fn new(id: NodeId) -> Self {
        Response {
            id,
            nodes: None,
            nodes6: None,
            token: None,
            values: Vec::new(),
            scrape: None,
            item: None,
            samples: None,
        }
    }
}

/// A node: its id and its UDP endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeInfo {
    /// The node's id.
    pub id: NodeId,
    /// The node's UDP endpoint.
    pub addr: SocketAddr,
}

/// Why bytes are no message we act upon.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not bencode.
    #[error(transparent)]
    Bencode(#[from] crate::bencode::Error),
    /// Bencode, but not a KRPC message that could be answered: `what` is missing or malformed.
    #[error("not a KRPC message: {what}")]
    NotKrpc {
        /// The key at fault.
        what: &'static str,
    },
    /// A query whose arguments are malformed; it may be answered with `code`.
    #[error("malformed query: {what}")]
    BadQuery {
        /// The query's `t`.
        transaction: Vec<u8>,
        /// The error it earned: see `ERROR_…`.
        code: i64,
        /// The key at fault.
        what: &'static str,
    },
}
