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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V4: IpAddr = IpAddr::V4(core::net::Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(core::net::Ipv6Addr::LOCALHOST);

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn hello() -> WireHash {
        crate::InfoHashes::v1_of(b"hello").best().unwrap().wire()
    }

    fn announce() -> AnnounceRequest {
        AnnounceRequest {
            connection: 0x0102_0304_0506_0708,
            transaction: 0x1122_3344,
            info_hash: hello(),
            peer_id: PeerId(*b"-XX0001-abcdefghijkl"),
            downloaded: 0,
            left: 1000,
            uploaded: 0,
            event: AnnounceEvent::Started,
            ip: 0,
            key: 0xdead_beef,
            num_want: -1,
            port: 6881,
            url_data: vec![],
        }
    }

    //= S60
    //= BEP 15: UDP trackers
    #[test]
    fn requests_have_the_bytes_of_the_vectors() {
        let connect = Request::Connect { transaction: 0x1122_3344 };
        assert_eq!(hex(&connect.encode()), "00000417271019800000000011223344");
        let bytes = Request::Announce(announce()).encode();
        let want = "01020304050607080000000111223344aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\
            2d5858303030312d6162636465666768696a6b6c000000000000000000000000000003e80000000000000000\
            0000000200000000deadbeefffffffff1ae1";
        assert_eq!((bytes.len(), hex(&bytes).as_str()), (98, want));
        let scrape = Request::Scrape { connection: 1, transaction: 2, hashes: vec![hello(), hello()] };
        let hash = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
        assert_eq!(hex(&scrape.encode()), format!("00000000000000010000000200000002{hash}{hash}"));
        for request in [connect, Request::Announce(announce()), scrape] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    //= BEP 41: URLData
    #[test]
    fn url_data_has_the_bytes_of_bep_41() {
        let options = |url: &[u8]| {
            Request::Announce(AnnounceRequest { url_data: url.to_vec(), ..announce() }).encode()[98..]
                .to_vec()
        };
        assert_eq!(options(b"/dir?a=b&c=d"), b"\x02\x0c/dir?a=b&c=d");
        assert_eq!(url_data(b"\x02\x0c/dir?a=b&c=d"), b"/dir?a=b&c=d");
        assert_eq!(url_data(b"\x02\x0c/dir?a=b&c=d\x01\x01\x00\x02\x01x"), b"/dir?a=b&c=d");
        assert_eq!(url_data(b"\x02\x00"), b"");
        assert_eq!(
            url_data(b"\x02\x01/\x07\x02??\x02\x01a"),
            b"/a",
            "an unknown option is skipped by its length"
        );
        assert_eq!(url_data(b"\x02\x01/\x02\x05abcd"), b"/", "an option cut off is left out");
        let long = vec![b'x'; 600];
        let bytes = options(&long);
        assert_eq!(
            (bytes.len(), &bytes[..2], &bytes[257..259], &bytes[514..516]),
            (606, &[2, 255][..], &[2, 255][..], &[2, 90][..])
        );
        assert_eq!(url_data(&bytes), long);
        let above = Request::Announce(AnnounceRequest {
            url_data: vec![b'x'; limits::TRACKER_URL_LEN_MAX],
            ..announce()
        });
        let bytes = [above.encode(), b"\x02\x01x".to_vec()].concat();
        assert_eq!(Request::decode(&bytes), Ok(above));
    }

    #[test]
    fn replies_pass_both_ways() {
        let peers4 = vec!["192.0.2.1:1".parse().unwrap(), "192.0.2.2:65535".parse().unwrap()];
        let peers6 = vec!["[2001:db8::1]:6881".parse().unwrap()];
        let announce =
            |peers| Reply::Announce { transaction: 7, interval: 1800, leechers: 3, seeders: 4, peers };
        let stats = vec![ScrapeStats { complete: 1, incomplete: 3, downloaded: 2 }];
        for (reply, from) in [
            (Reply::Connect { transaction: 7, connection: u64::MAX }, V4),
            (announce(peers4), V4),
            (announce(peers6), V6),
            (Reply::Scrape { transaction: 7, stats }, V4),
            (Reply::Error { transaction: 7, message: "no".into() }, V6),
        ] {
            assert_eq!(reply.transaction(), 7);
            assert_eq!(Reply::decode(&reply.encode(), from), Ok(reply));
        }
        let scrape = Reply::decode(&[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 7], V4);
        let stats = vec![ScrapeStats { complete: 9, downloaded: 8, incomplete: 7 }];
        assert_eq!(scrape, Ok(Reply::Scrape { transaction: 1, stats }));
    }

    //= BEP 7: one announce over each address family
    #[test]
    fn the_family_of_the_sender_decides_the_size_of_a_peer() {
        let head =
            Reply::Announce { transaction: 1, interval: 1, leechers: 0, seeders: 0, peers: vec![] }.encode();
        let bytes = [head, vec![1; 18]].concat();
        let count = |from: &str| match Reply::decode(&bytes, from.parse().unwrap()) {
            Ok(Reply::Announce { peers, .. }) => peers.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!((count("192.0.2.1"), count("2001:db8::1"), count("::ffff:192.0.2.1")), (3, 1, 3));
    }

    #[test]
    fn packets_may_be_longer_and_never_shorter() {
        let longer = [Reply::Connect { transaction: 1, connection: 2 }.encode(), vec![0; 9]].concat();
        assert_eq!(Reply::decode(&longer, V4), Ok(Reply::Connect { transaction: 1, connection: 2 }));
        assert_eq!(Reply::decode(&longer[..15], V4), Err(Error::TooShort { len: 15 }));
        assert_eq!(Reply::decode(&[0; 7], V4), Err(Error::TooShort { len: 7 }));
        assert_eq!(Reply::decode(&[0, 0, 0, 1, 0, 0, 0, 0, 1], V4), Err(Error::TooShort { len: 9 }));
        let bytes = Request::Announce(announce()).encode();
        assert_eq!(Request::decode(&bytes[..97]), Err(Error::TooShort { len: 97 }));
        assert_eq!(Reply::decode(&[0, 0, 0, 9, 0, 0, 0, 0], V4), Err(Error::Action(9)));
        assert_eq!(Request::decode(&[0; 16]), Err(Error::ProtocolId(0)));
        let mut paused = bytes;
        paused[83] = 4;
        assert_eq!(Request::decode(&paused), Err(Error::Event(4)));
    }

    #[test]
    fn caps_hold_at_one_above_them() {
        let head =
            Reply::Announce { transaction: 1, interval: 1, leechers: 0, seeders: 0, peers: vec![] }.encode();
        let bytes = [head, [1; 6].repeat(limits::TRACKER_PEERS_MAX + 1)].concat();
        assert!(
            matches!(Reply::decode(&bytes, V4), Ok(Reply::Announce { peers, .. }) if peers.len() == limits::TRACKER_PEERS_MAX)
        );
        let head = Request::Scrape { connection: 1, transaction: 1, hashes: vec![] }.encode();
        let bytes = [head, [1; 20].repeat(limits::SCRAPE_HASHES_MAX + 1)].concat();
        assert!(
            matches!(Request::decode(&bytes), Ok(Request::Scrape { hashes, .. }) if hashes.len() == limits::SCRAPE_HASHES_MAX)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_err(bytes in prop::collection::vec(any::<u8>(), 0..200), action in 0u8..5) {
            let mut framed = bytes.clone();
            framed.splice(0..0, [0, 0, 0, action]);
            for from in [V4, V6] {
                let _ = Reply::decode(&bytes, from);
                let _ = Reply::decode(&framed, from);
            }
            let mut framed = PROTOCOL_ID.to_be_bytes().to_vec();
            framed.extend([0, 0, 0, action]);
            framed.extend(&bytes);
            let _ = Request::decode(&bytes);
            if let Ok(request) = Request::decode(&framed) {
                prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
            }
        }
    }
}
