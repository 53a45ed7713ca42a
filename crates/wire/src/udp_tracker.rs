//! UDP trackers (BEP 15, 41): requests and replies, both ways.
//!
//! No packet has an exact size: what follows the part that is known is ignored.

pub use crate::http_tracker::{AnnounceEvent, ScrapeStats};

use crate::compact::{self, Family};
use crate::http_tracker::{compact_peers, text};
use crate::{PeerId, WireHash, limits};
use core::net::{IpAddr, SocketAddr};

/// The number that begins every connect request.
pub const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// Bytes of one URLData option (BEP 41).
const URL_DATA_CHUNK_MAX: usize = 255;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// Why bytes are no packet of this protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shorter than its kind must be.
    #[error("packet of {len} bytes is too short")]
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// An action this protocol does not have.
    #[error("unknown action {0}")]
    Action(u32),
    /// A connect request with another number than [`PROTOCOL_ID`].
    #[error("wrong protocol id {0:#x}")]
    ProtocolId(u64),
    /// An event this protocol does not have.
    #[error("unknown event {0}")]
    Event(u32),
}

/// What a client sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Asks for a connection id.
    Connect {
        /// Chosen by the client, repeated by the tracker.
        transaction: u32,
    },
    /// Announces.
    Announce(AnnounceRequest),
    /// Asks for the counts of torrents.
    Scrape {
        /// From the reply to a connect request.
        connection: u64,
        /// Chosen by the client, repeated by the tracker.
        transaction: u32,
        /// The torrents, at most [`limits::SCRAPE_HASHES_MAX`].
        hashes: Vec<WireHash>,
    },
}

/// An announce.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceRequest {
    /// From the reply to a connect request.
    pub connection: u64,
    /// Chosen by the client, repeated by the tracker.
    pub transaction: u32,
    /// The torrent.
    pub info_hash: WireHash,
    /// Who announces.
    pub peer_id: PeerId,
    /// Block bytes received since `Started`.
    pub downloaded: u64,
    /// Bytes that are missing.
    pub left: u64,
    /// Block bytes sent since `Started`.
    pub uploaded: u64,
    /// Why.
    pub event: AnnounceEvent,
    /// The IPv4 address to list, zero for the sender's.
    pub ip: u32,
    /// A number only the tracker and the client know.
    pub key: u32,
    /// Peers wanted, −1 for the tracker's default.
    pub num_want: i32,
    /// TCP port.
    pub port: u16,
    /// Path and query of the tracker's URL (BEP 41), at most [`limits::TRACKER_URL_LEN_MAX`] bytes.
    pub url_data: Vec<u8>,
}

impl Request {
    //= BEP 15: connect, announce and scrape requests
    /// The packet.
    ///
    /// # Panics
    /// When there are more hashes or URL bytes than their limits.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            Request::Connect { transaction } => {
                out.extend_from_slice(&PROTOCOL_ID.to_be_bytes());
                put(&mut out, &[CONNECT, *transaction]);
            }
            Request::Announce(a) => a.encode(&mut out),
            Request::Scrape { connection, transaction, hashes } => {
                assert!(hashes.len() <= limits::SCRAPE_HASHES_MAX, "as many as fit a packet");
                out.extend_from_slice(&connection.to_be_bytes());
                put(&mut out, &[SCRAPE, *transaction]);
                hashes.iter().for_each(|h| out.extend_from_slice(&h.0));
            }
        }
        out
    }

    /// Reads a packet, as a tracker does.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader { bytes, at: 0 };
        let connection = r.u64()?;
        let (action, transaction) = (r.u32()?, r.u32()?);
        match action {
            CONNECT if connection != PROTOCOL_ID => Err(Error::ProtocolId(connection)),
            CONNECT => Ok(Request::Connect { transaction }),
            ANNOUNCE => AnnounceRequest::decode(connection, transaction, r).map(Request::Announce),
            SCRAPE => {
                let (hashes, _) = r.rest().as_chunks::<20>();
                let hashes = hashes.iter().take(limits::SCRAPE_HASHES_MAX).map(|h| WireHash(*h)).collect();
                Ok(Request::Scrape { connection, transaction, hashes })
            }
            other => Err(Error::Action(other)),
        }
    }
}

impl AnnounceRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.url_data.len() <= limits::TRACKER_URL_LEN_MAX, "no longer than a URL");
        out.extend_from_slice(&self.connection.to_be_bytes());
        put(out, &[ANNOUNCE, self.transaction]);
        out.extend_from_slice(&self.info_hash.0);
        out.extend_from_slice(&self.peer_id.0);
        for n in [self.downloaded, self.left, self.uploaded] {
            out.extend_from_slice(&n.to_be_bytes());
        }
        let event = match self.event {
            AnnounceEvent::None => 0,
            AnnounceEvent::Completed => 1,
            AnnounceEvent::Started => 2,
            AnnounceEvent::Stopped => 3,
        };
        put(out, &[event, self.ip, self.key]);
        out.extend_from_slice(&self.num_want.to_be_bytes());
        out.extend_from_slice(&self.port.to_be_bytes());
        //= BEP 41: URLData in pieces of at most 255 bytes
        for chunk in self.url_data.chunks(URL_DATA_CHUNK_MAX) {
            let len = u8::try_from(chunk.len()).expect("chunks are at most 255 bytes");
            out.extend_from_slice(&[OPTION_URL_DATA, len]);
            out.extend_from_slice(chunk);
        }
    }

    fn decode(connection: u64, transaction: u32, mut r: Reader<'_>) -> Result<Self, Error> {
        Ok(AnnounceRequest {
            connection,
            transaction,
            info_hash: WireHash(r.array()?),
            peer_id: PeerId(r.array()?),
            downloaded: r.u64()?,
            left: r.u64()?,
            uploaded: r.u64()?,
            event: match r.u32()? {
                0 => AnnounceEvent::None,
                1 => AnnounceEvent::Completed,
                2 => AnnounceEvent::Started,
                3 => AnnounceEvent::Stopped,
                other => return Err(Error::Event(other)),
            },
            ip: r.u32()?,
            key: r.u32()?,
            num_want: i32::from_be_bytes(r.array()?),
            port: u16::from_be_bytes(r.array()?),
            url_data: url_data(r.rest()),
        })
    }
}

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_URL_DATA: u8 = 2;

//= BEP 41: option types 0, 1 and 2; others are skipped by their length
/// The URLData options of `options`, put together. An option that is cut off ends the list.
fn url_data(mut options: &[u8]) -> Vec<u8> {
    let mut url = Vec::new();
    loop {
        match options {
            [] | [OPTION_END, ..] => break,
            [OPTION_NOP, rest @ ..] => options = rest,
            [kind, len, rest @ ..] if rest.len() >= usize::from(*len) => {
                let (data, rest) = rest.split_at(usize::from(*len));
                if *kind == OPTION_URL_DATA {
                    url.extend_from_slice(data);
                }
                options = rest;
            }
            _ => break,
        }
    }
    url.truncate(limits::TRACKER_URL_LEN_MAX);
    url
}

/// What a tracker sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// A connection id, good for a minute at the client.
    Connect {
        /// From the request.
        transaction: u32,
        /// To be used in requests.
        connection: u64,
    },
    /// Peers.
    Announce {
        /// From the request.
        transaction: u32,
        /// Seconds between announces.
        interval: i32,
        /// Leeches.
        leechers: u32,
        /// Seeds.
        seeders: u32,
        /// Peers of one address family, at most [`limits::TRACKER_PEERS_MAX`], none with port zero.
        peers: Vec<SocketAddr>,
    },
    /// The counts of the torrents asked for, in that order.
    Scrape {
        /// From the request.
        transaction: u32,
        /// At most [`limits::SCRAPE_HASHES_MAX`].
        stats: Vec<ScrapeStats>,
    },
    /// The tracker refused.
    Error {
        /// From the request.
        transaction: u32,
        /// Why, for people.
        message: String,
    },
}

impl Reply {
    //= BEP 15: replies
    //= BEP 7: the family of the packet decides the size of a peer
    /// Reads a packet that came from `from`: its family is the family of the peers.
    pub fn decode(bytes: &[u8], from: IpAddr) -> Result<Self, Error> {
        let mut r = Reader { bytes, at: 0 };
        let (action, transaction) = (r.u32()?, r.u32()?);
        Ok(match action {
            CONNECT => Reply::Connect { transaction, connection: r.u64()? },
            ANNOUNCE => Reply::Announce {
                transaction,
                interval: i32::from_be_bytes(r.array()?),
                leechers: r.u32()?,
                seeders: r.u32()?,
                peers: compact_peers(r.rest(), family_of(from)).collect(),
            },
            SCRAPE => {
                let (entries, _) = r.rest().as_chunks::<12>();
                let stats = entries.iter().take(limits::SCRAPE_HASHES_MAX).map(|entry| {
                    let (words, _) = entry.as_chunks::<4>();
                    let [complete, downloaded, incomplete] = [0, 1, 2].map(|i| u32::from_be_bytes(words[i]));
                    ScrapeStats { complete, incomplete, downloaded }
                });
                Reply::Scrape { transaction, stats: stats.collect() }
            }
            ERROR => Reply::Error { transaction, message: text(r.rest()) },
            other => return Err(Error::Action(other)),
        })
    }

    /// The packet, as a tracker makes it.
    ///
    /// # Panics
    /// When the peers are of both families.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Reply::Connect { transaction, connection } => {
                put(&mut out, &[CONNECT, *transaction]);
                out.extend_from_slice(&connection.to_be_bytes());
            }
            Reply::Announce { transaction, interval, leechers, seeders, peers } => {
                assert!(peers.windows(2).all(|w| w[0].is_ipv4() == w[1].is_ipv4()), "one family a packet");
                put(&mut out, &[ANNOUNCE, *transaction]);
                out.extend_from_slice(&interval.to_be_bytes());
                put(&mut out, &[*leechers, *seeders]);
                peers.iter().for_each(|p| compact::encode_into(*p, &mut out));
            }
            Reply::Scrape { transaction, stats } => {
                put(&mut out, &[SCRAPE, *transaction]);
                stats.iter().for_each(|s| put(&mut out, &[s.complete, s.downloaded, s.incomplete]));
            }
            Reply::Error { transaction, message } => {
                put(&mut out, &[ERROR, *transaction]);
                out.extend_from_slice(message.as_bytes());
            }
        }
        out
    }

    /// The transaction of the request it answers.
    pub fn transaction(&self) -> u32 {
        match self {
            Reply::Connect { transaction, .. }
            | Reply::Announce { transaction, .. }
            | Reply::Scrape { transaction, .. }
            | Reply::Error { transaction, .. } => *transaction,
        }
    }
}

fn family_of(ip: IpAddr) -> Family {
    if ip.to_canonical().is_ipv4() { Family::V4 } else { Family::V6 }
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|w| out.extend_from_slice(&w.to_be_bytes()));
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let array = self.rest().first_chunk().ok_or(Error::TooShort { len: self.bytes.len() })?;
        self.at += N;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }
}
