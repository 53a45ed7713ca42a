//! Bytes → [`Message`].

use super::{
    BloomFilter, ERROR_PROTOCOL, ERROR_SALT_TOO_BIG, ERROR_VALUE_TOO_BIG, Error, ItemReply, Kind, Message,
    Method, NodeId, NodeInfo, Put, Query, Response, Samples, Scrape, Want, compact_nodes,
};
use crate::WireHash;
use crate::bencode::{Dict, Document, Value};
use crate::compact::{self, Family};
use crate::item::{Item, MutableItem};
use crate::limits::{
    ITEM_SALT_LEN_MAX, ITEM_VALUE_LEN_MAX, KRPC_SAMPLE_INTERVAL_MAX, KRPC_SAMPLES_MAX, KRPC_TEXT_LEN_MAX,
    KRPC_TOKEN_LEN_MAX, KRPC_TRANSACTION_LEN_MAX, KRPC_VALUES_MAX,
};
use core::net::SocketAddr;

impl Message {
    /// Reads one datagram; bytes after the message are ignored.
    ///
    /// # Errors
    /// When the bytes are no KRPC message, or a query without the arguments its method needs.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        // most of what is no message shows it at once
        if bytes.first() != Some(&b'd') {
            return Err(Error::NotKrpc { what: "dictionary" });
        }
        let (doc, _) = Document::parse_prefix(bytes)?;
        let top = doc.root().as_dict().ok_or(Error::NotKrpc { what: "dictionary" })?;
        let transaction = string(&top, b"t")
            .filter(|t| (1..=KRPC_TRANSACTION_LEN_MAX).contains(&t.len()))
            .ok_or(Error::NotKrpc { what: "t" })?
            .to_vec();
        let kind = match string(&top, b"y") {
            Some(b"q") => match query(&top) {
                Ok(query) => Kind::Query(query),
                Err(Fault { code, what }) => return Err(Error::BadQuery { transaction, code, what }),
            },
            Some(b"r") => {
                let r = top.get(b"r").and_then(|r| r.as_dict()).ok_or(Error::NotKrpc { what: "r" })?;
                Kind::Response(response(&r)?)
            }
            Some(b"e") => error(top.get(b"e")),
            _ => return Err(Error::NotKrpc { what: "y" }),
        };
        Ok(Message {
            transaction,
            kind,
            version: string(&top, b"v").and_then(|v| v.try_into().ok()),
            is_read_only: flag(&top, b"ro"),
            ip: string(&top, b"ip").and_then(compact::decode_one),
        })
    }
}

/// Why a query is refused: its error code, and the key at fault.
struct Fault {
    code: i64,
    what: &'static str,
}

impl From<&'static str> for Fault {
    fn from(what: &'static str) -> Self {
        Fault { code: ERROR_PROTOCOL, what }
    }
}

fn string<'d>(dict: &Dict<'d>, key: &[u8]) -> Option<&'d [u8]> {
    dict.get(key).and_then(|v| v.as_bytes())
}

fn id(dict: &Dict<'_>, key: &[u8]) -> Option<NodeId> {
    string(dict, key).and_then(NodeId::from_slice)
}

fn flag(dict: &Dict<'_>, key: &[u8]) -> bool {
    dict.get(key).and_then(|v| v.as_int()).is_some_and(|i| i != 0)
}

fn int(dict: &Dict<'_>, key: &[u8]) -> Option<i64> {
    dict.get(key).and_then(|v| v.as_int())
}

fn array<const N: usize>(dict: &Dict<'_>, key: &[u8]) -> Option<[u8; N]> {
    string(dict, key).and_then(|s| s.try_into().ok())
}

fn text(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(KRPC_TEXT_LEN_MAX)].to_vec()
}

fn query(top: &Dict<'_>) -> Result<Query, Fault> {
    let name = string(top, b"q").ok_or("q")?;
    let args = top.get(b"a").and_then(|a| a.as_dict()).ok_or("a")?;
    let sender = id(&args, b"id").ok_or("id")?;
    let method = match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: id(&args, b"target").ok_or("target")? },
        b"get_peers" => Method::GetPeers {
            info_hash: id(&args, b"info_hash").ok_or("info_hash")?,
            no_seeds: flag(&args, b"noseed"),
            scrape: flag(&args, b"scrape"),
        },
        b"announce_peer" => announce_peer(&args)?,
        b"get" => Method::Get { target: id(&args, b"target").ok_or("target")?, seq: int(&args, b"seq") },
        b"put" => put(&args)?,
        b"sample_infohashes" => Method::SampleInfohashes { target: id(&args, b"target").ok_or("target")? },
        _ => Method::Unknown {
            name: text(name),
            target: id(&args, b"target").or_else(|| id(&args, b"info_hash")),
        },
    };
    Ok(Query { id: sender, want: want(&args), method })
}

fn announce_peer(args: &Dict<'_>) -> Result<Method, &'static str> {
    let implied_port = flag(args, b"implied_port");
    let port = int(args, b"port").and_then(|p| u16::try_from(p).ok());
    let port = match port {
        Some(port) if port != 0 || implied_port => port,
        None if implied_port => 0,
        _ => return Err("port"),
    };
    Ok(Method::AnnouncePeer {
        info_hash: id(args, b"info_hash").ok_or("info_hash")?,
        port,
        implied_port,
        token: token(args).ok_or("token")?,
        is_seed: flag(args, b"seed"),
    })
}

fn token(dict: &Dict<'_>) -> Option<Vec<u8>> {
    string(dict, b"token").filter(|t| t.len() <= KRPC_TOKEN_LEN_MAX).map(<[u8]>::to_vec)
}

//= BEP 44: put
/// An item with any part of a mutable one is mutable, and refused unless it has all of them.
fn put(args: &Dict<'_>) -> Result<Method, Fault> {
    let token = token(args).ok_or("token")?;
    let value = value(args)?.ok_or("v")?;
    let is_mutable = [&b"k"[..], b"salt", b"seq", b"sig"].into_iter().any(|key| args.get(key).is_some());
    let item = if is_mutable {
        Item::Mutable(MutableItem {
            key: array(args, b"k").ok_or("k")?,
            salt: salt(args)?,
            seq: int(args, b"seq").ok_or("seq")?,
            value,
            signature: array(args, b"sig").ok_or("sig")?,
        })
    } else {
        Item::Immutable { value }
    };
    Ok(Method::Put(Box::new(Put { item, cas: int(args, b"cas"), token })))
}

//= BEP 44: v is below 1001 bytes when bencoded, and canonical
fn value(dict: &Dict<'_>) -> Result<Option<Vec<u8>>, Fault> {
    let Some(value) = dict.get(b"v") else { return Ok(None) };
    if value.span().len() > ITEM_VALUE_LEN_MAX {
        return Err(Fault { code: ERROR_VALUE_TOO_BIG, what: "v" });
    }
    if !value.is_canonical() {
        return Err("v".into());
    }
    Ok(Some(value.span().to_vec()))
}

fn salt(args: &Dict<'_>) -> Result<Vec<u8>, Fault> {
    let Some(salt) = args.get(b"salt") else { return Ok(Vec::new()) };
    let salt = salt.as_bytes().ok_or("salt")?;
    if salt.len() > ITEM_SALT_LEN_MAX {
        return Err(Fault { code: ERROR_SALT_TOO_BIG, what: "salt" });
    }
    Ok(salt.to_vec())
}

//= BEP 32: want names the families of node lists
fn want(args: &Dict<'_>) -> Option<Want> {
    let list = args.get(b"want")?.as_list()?;
    let mut want = Want::default();
    for item in list {
        match item.as_bytes() {
            Some(b"n4") => want.v4 = true,
            Some(b"n6") => want.v6 = true,
            _ => {}
        }
    }
    (want != Want::default()).then_some(want)
}

fn response(r: &Dict<'_>) -> Result<Response, Error> {
    let nodes = |key: &[u8], family| -> Option<Vec<NodeInfo>> {
        string(r, key).map(|list| compact_nodes::nodes(list, family))
    };
    Ok(Response {
        id: id(r, b"id").ok_or(Error::NotKrpc { what: "id" })?,
        nodes: nodes(b"nodes", Family::V4),
        nodes6: nodes(b"nodes6", Family::V6),
        token: token(r),
        values: r.get(b"values").map(values).unwrap_or_default(),
        scrape: scrape(r),
        item: item_reply(r),
        samples: samples(r),
    })
}

//= BEP 33: BFsd and BFpe are filters of 256 bytes
fn scrape(r: &Dict<'_>) -> Option<Box<Scrape>> {
    let (seeds, downloaders) = (array(r, b"BFsd"), array(r, b"BFpe"));
    let filter = |bits: Option<_>| bits.map(BloomFilter::from_bytes).unwrap_or_default();
    (seeds.is_some() || downloaders.is_some())
        .then(|| Box::new(Scrape { seeds: filter(seeds), downloaders: filter(downloaders) }))
}

fn item_reply(r: &Dict<'_>) -> Option<Box<ItemReply>> {
    let reply = ItemReply {
        value: value(r).ok().flatten(),
        key: array(r, b"k"),
        seq: int(r, b"seq"),
        signature: array(r, b"sig"),
    };
    (reply != ItemReply::default()).then(|| Box::new(reply))
}

//= BEP 51: samples are 20 bytes each
fn samples(r: &Dict<'_>) -> Option<Samples> {
    let (hashes, _) = string(r, b"samples")?.as_chunks();
    let interval = int(r, b"interval").unwrap_or(0).clamp(0, i64::from(KRPC_SAMPLE_INTERVAL_MAX));
    Some(Samples {
        interval_s: u32::try_from(interval).unwrap_or(KRPC_SAMPLE_INTERVAL_MAX),
        stored: int(r, b"num").and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        hashes: hashes.iter().take(KRPC_SAMPLES_MAX).map(|hash| WireHash(*hash)).collect(),
    })
}

//= BEP 32: values may mix 6 and 18 byte strings
fn values(list: Value<'_>) -> Vec<SocketAddr> {
    let Some(items) = list.as_list() else { return Vec::new() };
    items.filter_map(|v| v.as_bytes().and_then(compact::decode_one)).take(KRPC_VALUES_MAX).collect()
}

/// An error; a malformed one still ends the query it answers.
fn error(e: Option<Value<'_>>) -> Kind {
    let mut items = e.and_then(|e| e.as_list()).into_iter().flatten();
    let code = items.next().and_then(|c| c.as_int()).unwrap_or(0);
    Kind::Error { code, text: items.next().and_then(|t| t.as_bytes()).map(text).unwrap_or_default() }
}
