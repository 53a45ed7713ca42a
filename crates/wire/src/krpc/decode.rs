//! Bytes → [`Message`].

use super::{Error, Kind, Message, Method, NodeId, NodeInfo, Query, Response, Want, compact_nodes};
use crate::bencode::{Dict, Document, Value};
use crate::compact::{self, Family};
use crate::limits::{KRPC_TEXT_LEN_MAX, KRPC_TOKEN_LEN_MAX, KRPC_TRANSACTION_LEN_MAX, KRPC_VALUES_MAX};
use core::net::SocketAddr;

impl Message {
    /// Reads one datagram; bytes after the message are ignored.
    ///
    /// # Errors
    /// When the bytes are no KRPC message, or a query without the arguments its method needs.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (doc, _) = Document::parse_prefix(bytes)?;
        let top = doc.root().as_dict().ok_or(Error::NotKrpc { what: "dictionary" })?;
        let transaction = string(&top, b"t")
            .filter(|t| (1..=KRPC_TRANSACTION_LEN_MAX).contains(&t.len()))
            .ok_or(Error::NotKrpc { what: "t" })?
            .to_vec();
        let kind = match string(&top, b"y") {
            Some(b"q") => match query(&top) {
                Ok(query) => Kind::Query(query),
                Err(what) => return Err(Error::BadQuery { transaction, what }),
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

fn string<'d>(dict: &Dict<'d>, key: &[u8]) -> Option<&'d [u8]> {
    dict.get(key).and_then(|v| v.as_bytes())
}

fn id(dict: &Dict<'_>, key: &[u8]) -> Option<NodeId> {
    string(dict, key).and_then(NodeId::from_slice)
}

fn flag(dict: &Dict<'_>, key: &[u8]) -> bool {
    dict.get(key).and_then(|v| v.as_int()).is_some_and(|i| i != 0)
}

fn text(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(KRPC_TEXT_LEN_MAX)].to_vec()
}

/// The query of a message, or the key at fault.
fn query(top: &Dict<'_>) -> Result<Query, &'static str> {
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
        _ => Method::Unknown {
            name: text(name),
            target: id(&args, b"target").or_else(|| id(&args, b"info_hash")),
        },
    };
    Ok(Query { id: sender, want: want(&args), method })
}

fn announce_peer(args: &Dict<'_>) -> Result<Method, &'static str> {
    let implied_port = flag(args, b"implied_port");
    let port = args.get(b"port").and_then(|p| p.as_int()).and_then(|p| u16::try_from(p).ok());
    let port = match port {
        Some(port) if port != 0 || implied_port => port,
        None if implied_port => 0,
        _ => return Err("port"),
    };
    let token = string(args, b"token").filter(|t| t.len() <= KRPC_TOKEN_LEN_MAX).ok_or("token")?;
    Ok(Method::AnnouncePeer {
        info_hash: id(args, b"info_hash").ok_or("info_hash")?,
        port,
        implied_port,
        token: token.to_vec(),
        is_seed: flag(args, b"seed"),
    })
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
        token: string(r, b"token").filter(|t| t.len() <= KRPC_TOKEN_LEN_MAX).map(<[u8]>::to_vec),
        values: r.get(b"values").map(values).unwrap_or_default(),
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
