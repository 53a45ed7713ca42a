//! A tracker in the world, over HTTP and UDP.

use crate::fault::{AtWork, FaultKind};
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use unchoke_wire::http_tracker::AnnounceEvent;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::udp_tracker::{Reply, Request};
use unchoke_wire::{PeerId, WireHash, compact};

/// The port every tracker listens on, HTTP and UDP.
pub const TRACKER_PORT: u16 = 6969;
/// Peers in one reply.
const PEERS_MAX: usize = 50;

/// How a tracker behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrackerManner {
    /// As it should.
    Good,
    /// It never answers.
    Silent,
    /// It answers with bytes that mean nothing.
    Garbage,
    /// It refuses, for this reason.
    Fails(String),
    /// It answers and warns.
    Warns(String),
}

/// How a tracker lists peers over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerFormat {
    /// Six bytes a peer (BEP 23).
    Compact,
    /// Dictionaries with peer ids, as BEP 3 has it.
    Dictionaries,
    /// Dictionaries whose peer ids are all wrong.
    WrongIds,
}

/// One announce a tracker heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announced {
    /// When.
    pub at: Instant,
    /// The torrent.
    pub hash: WireHash,
    /// Where the peer listens.
    pub addr: SocketAddr,
    /// What it calls itself.
    pub peer_id: PeerId,
    /// Why it announced.
    pub event: AnnounceEvent,
    /// What it lacks.
    pub left: u64,
    /// What it says it sent.
    pub uploaded: u64,
    /// What it says it received.
    pub downloaded: u64,
}

/// What comes of an HTTP request, and who answered.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Status and body.
    pub reply: Result<(u16, Vec<u8>), String>,
    /// The answering address.
    pub remote: IpAddr,
}

/// A tracker.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// Its address.
    pub ip: IpAddr,
    /// How long it thinks, its line included.
    pub latency: Duration,
    /// How it behaves; may be changed in mid-run.
    pub manner: TrackerManner,
    /// How it lists peers over HTTP.
    pub format: PeerFormat,
    /// Seconds between announces that it asks for.
    pub interval_s: u32,
    /// The least seconds between announces that it allows over HTTP, when it says so.
    pub min_interval_s: Option<u32>,
    /// Every announce it heard.
    pub heard: Vec<Announced>,
    /// What goes wrong with it by plan.
    pub faults: AtWork,
    swarms: BTreeMap<WireHash, BTreeMap<SocketAddr, (PeerId, u64)>>,
}

/// What a tracker asks for that lies about intervals, one after the other.
const INTERVAL_LIES: [i64; 5] = [0, -1, 1, i32::MAX as i64, i64::MAX];

impl Tracker {
    /// A good tracker at this address.
    pub fn new(ip: IpAddr) -> Self {
        Tracker {
            ip,
            latency: Duration::from_millis(40),
            manner: TrackerManner::Good,
            format: PeerFormat::Compact,
            interval_s: 1800,
            min_interval_s: None,
            heard: Vec::new(),
            faults: AtWork::default(),
            swarms: BTreeMap::new(),
        }
    }

    /// Its HTTP announce URL.
    pub fn http_url(&self) -> String {
        format!("http://{}/announce", SocketAddr::new(self.ip, TRACKER_PORT))
    }

    /// Its UDP announce URL.
    pub fn udp_url(&self) -> String {
        format!("udp://{}/announce", SocketAddr::new(self.ip, TRACKER_PORT))
    }

    /// How it behaves at this moment.
    fn manner(&self) -> TrackerManner {
        if self.faults.has(FaultKind::TrackerDown) {
            TrackerManner::Silent
        } else if self.faults.has(FaultKind::TrackerGarbage) {
            TrackerManner::Garbage
        } else {
            self.manner.clone()
        }
    }

    /// The interval it asks for, in seconds.
    fn interval(&self) -> i64 {
        if self.faults.has(FaultKind::TrackerIntervals) {
            return INTERVAL_LIES[self.heard.len() % INTERVAL_LIES.len()];
        }
        i64::from(self.interval_s)
    }

    /// Takes an announce and names the other peers of the torrent.
    fn announce(&mut self, announced: Announced) -> Vec<(SocketAddr, PeerId)> {
        let swarm = self.swarms.entry(announced.hash).or_default();
        if announced.event == AnnounceEvent::Stopped {
            swarm.remove(&announced.addr);
        } else {
            swarm.insert(announced.addr, (announced.peer_id, announced.left));
        }
        let others = swarm.iter().filter(|(addr, _)| **addr != announced.addr);
        let start = self.heard.len();
        let all: Vec<(SocketAddr, PeerId)> = others.map(|(addr, (id, _))| (*addr, *id)).collect();
        let from = announced.addr;
        self.heard.push(announced);
        if self.faults.has(FaultKind::TrackerWrongPeers) {
            return (1..=30u8).map(|n| (nobody(from, n), PeerId([n; 20]))).collect();
        }
        // another stretch of the list for each announce, so that large swarms mix
        all.iter().cycle().skip(start).take(all.len().min(PEERS_MAX)).copied().collect()
    }

    fn counts(&self, hash: WireHash) -> (u32, u32) {
        let swarm = self.swarms.get(&hash);
        let seeds = swarm.iter().flat_map(|s| s.values()).filter(|(_, left)| *left == 0).count();
        let all = swarm.map_or(0, BTreeMap::len);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (count(seeds), count(all - seeds))
    }

    //= BEP 3: tracker replies
    /// Answers an HTTP request; `None`: never.
    pub fn http(&mut self, url: &str, from: IpAddr, now: Instant) -> Option<Result<(u16, Vec<u8>), String>> {
        let manner = self.manner();
        match &manner {
            TrackerManner::Silent => return None,
            TrackerManner::Garbage => return Some(Ok((200, b"<html>not a tracker</html>".to_vec()))),
            TrackerManner::Fails(reason) => {
                return Some(Ok((200, format!("d14:failure reason{}:{reason}e", reason.len()).into_bytes())));
            }
            TrackerManner::Good | TrackerManner::Warns(_) => {}
        }
        let Some(announced) = parse_announce(url, from, now) else {
            return Some(Ok((400, b"d14:failure reason11:bad requeste".to_vec())));
        };
        let hash = announced.hash;
        let interval = self.interval();
        let peers = self.announce(announced);
        let (seeds, leeches) = self.counts(hash);
        let mut body =
            format!("d8:completei{seeds}e10:incompletei{leeches}e8:intervali{interval}e").into_bytes();
        if let Some(least) = self.min_interval_s {
            body.extend_from_slice(format!("12:min intervali{least}e").as_bytes());
        }
        body.extend_from_slice(if from.is_ipv6() { b"6:peers6" } else { b"5:peers" });
        self.put_peers(&peers, &mut body);
        if let TrackerManner::Warns(text) = &manner {
            body.extend_from_slice(format!("15:warning message{}:{text}", text.len()).as_bytes());
        }
        body.push(b'e');
        Some(Ok((200, body)))
    }

    fn put_peers(&self, peers: &[(SocketAddr, PeerId)], body: &mut Vec<u8>) {
        if self.format == PeerFormat::Compact {
            let mut list = Vec::new();
            peers.iter().for_each(|(addr, _)| compact::encode_into(*addr, &mut list));
            body.extend_from_slice(format!("{}:", list.len()).as_bytes());
            body.extend_from_slice(&list);
            return;
        }
        body.push(b'l');
        for (addr, id) in peers {
            let ip = addr.ip().to_string();
            body.extend_from_slice(format!("d2:ip{}:{ip}7:peer id20:", ip.len()).as_bytes());
            let wrong = PeerId(*b"-XX0000-nobody-at-al");
            let id = if self.format == PeerFormat::WrongIds { wrong } else { *id };
            body.extend_from_slice(&id.0);
            body.extend_from_slice(format!("4:porti{}ee", addr.port()).as_bytes());
        }
        body.push(b'e');
    }

    //= BEP 15: replies
    /// Answers a datagram; `None`: never.
    pub fn udp(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Option<Vec<u8>> {
        let request = Request::decode(bytes).ok()?;
        let manner = self.manner();
        match &manner {
            TrackerManner::Silent => return None,
            TrackerManner::Garbage => return Some(vec![0, 0, 0, 1, 9]),
            TrackerManner::Good | TrackerManner::Warns(_) | TrackerManner::Fails(_) => {}
        }
        let reply = match request {
            Request::Connect { transaction } => {
                Reply::Connect { transaction, connection: connection_of(from) }
            }
            Request::Announce(a) => match &manner {
                TrackerManner::Fails(reason) => {
                    Reply::Error { transaction: a.transaction, message: reason.clone() }
                }
                _ if a.connection != connection_of(from) => {
                    Reply::Error { transaction: a.transaction, message: "unknown connection".to_owned() }
                }
                _ => {
                    let addr = SocketAddr::new(from.ip(), a.port);
                    let announced = Announced {
                        at: now,
                        hash: a.info_hash,
                        addr,
                        peer_id: a.peer_id,
                        event: a.event,
                        left: a.left,
                        uploaded: a.uploaded,
                        downloaded: a.downloaded,
                    };
                    let interval = self.interval();
                    let peers = self.announce(announced).into_iter().map(|(addr, _)| addr).collect();
                    let (seeders, leechers) = self.counts(a.info_hash);
                    let interval = i32::try_from(interval).unwrap_or(i32::MAX);
                    Reply::Announce { transaction: a.transaction, interval, leechers, seeders, peers }
                }
            },
            Request::Scrape { transaction, .. } => Reply::Scrape { transaction, stats: Vec::new() },
        };
        Some(reply.encode())
    }
}

/// An address nobody has, in the family of another one.
fn nobody(like: SocketAddr, n: u8) -> SocketAddr {
    if like.is_ipv4() {
        SocketAddr::from(([99, 1, n, 1], 6881))
    } else {
        SocketAddr::from(([0x2a0e, u16::from(n), 0, 0, 0, 0, 0, 1], 6881))
    }
}

/// A connection id nobody else can guess the rule of, as far as a simulation goes.
fn connection_of(from: SocketAddr) -> u64 {
    let mut bytes = Vec::new();
    compact::encode_into(from, &mut bytes);
    bytes.iter().fold(0x9e37_79b9_7f4a_7c15, |h: u64, b| h.rotate_left(9) ^ u64::from(*b))
}

fn parse_announce(url: &str, from: IpAddr, now: Instant) -> Option<Announced> {
    let (_, query) = url.split_once('?')?;
    let mut params: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=')?;
        params.insert(key, unescape(value)?);
    }
    let text = |key: &str| params.get(key).and_then(|v| core::str::from_utf8(v).ok());
    let number = |key: &str| text(key).and_then(|v| v.parse::<u64>().ok());
    let port = u16::try_from(number("port")?).ok()?;
    Some(Announced {
        at: now,
        hash: WireHash(params.get("info_hash")?.as_slice().try_into().ok()?),
        addr: SocketAddr::new(from, port),
        peer_id: PeerId(params.get("peer_id")?.as_slice().try_into().ok()?),
        event: match text("event") {
            None => AnnounceEvent::None,
            Some("started") => AnnounceEvent::Started,
            Some("completed") => AnnounceEvent::Completed,
            Some("stopped") => AnnounceEvent::Stopped,
            Some(_) => return None,
        },
        left: number("left")?,
        uploaded: number("uploaded")?,
        downloaded: number("downloaded")?,
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = core::str::from_utf8(&digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            out.push(b);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_an_announce_are_read() {
        assert_eq!(unescape("a%00%FFb").as_deref(), Some(&[b'a', 0, 255, b'b'][..]));
        assert_eq!(unescape("%0"), None);
        assert_eq!(unescape("%zz"), None);
    }
}
