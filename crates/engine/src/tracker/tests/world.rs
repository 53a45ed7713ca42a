//! The shell and the trackers of a test: every answer is what a script says, a tenth of a second after the question.

use super::super::*;
use std::collections::BTreeMap;
use unchoke_wire::WireHash;
use unchoke_wire::compact;
use unchoke_wire::udp_tracker::{Reply, Request};

/// An announce or a scrape as a tracker saw it.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// When, in milliseconds.
    pub(super) at: u64,
    /// The host's name over HTTP, its address over UDP.
    pub(super) host: String,
    pub(super) family: Family,
    pub(super) event: &'static str,
    /// The whole URL over HTTP, the URLData over UDP.
    pub(super) url: String,
    pub(super) is_scrape: bool,
}

/// What a tracker does.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// No peers, and this interval in seconds.
    Ok(u32),
    /// One peer.
    Peer(&'static str),
    /// This HTTP body.
    Body(&'static str),
    Status(u16, &'static str),
    /// The connection fails.
    Error(&'static str),
    Silent,
    /// [`Answer::Ok`] of half an hour after so many milliseconds.
    Late(u64),
}

enum Pending {
    Http(u32, Result<(u16, Vec<u8>), String>),
    Resolved(u32, Result<Vec<IpAddr>, String>),
    Datagram(SocketAddr, Vec<u8>),
}

pub(super) struct World {
    pub(super) announcer: Announcer,
    connections: Connections,
    pub(super) now: Instant,
    pub(super) totals: AnnounceTotals,
    pub(super) dns: BTreeMap<&'static str, Vec<IpAddr>>,
    script: Box<dyn FnMut(&Ask) -> Answer>,
    pending: Vec<(Instant, Pending)>,
    pub(super) asked: Vec<Ask>,
    /// What is not I/O, with its time in milliseconds.
    pub(super) told: Vec<(u64, AnnounceOutput)>,
    pub(super) datagrams: Vec<(u64, SocketAddr, Vec<u8>)>,
    /// Datagrams to lose, by the order they are sent in from zero.
    pub(super) lost: Vec<usize>,
}

pub(super) const LATENCY: Duration = Duration::from_millis(100);
pub(super) const BOTH: Families = Families { v4: true, v6: true };
const V4: Families = Families { v4: true, v6: false };
pub(super) const HASH: WireHash = WireHash([7; 20]);

impl World {
    /// IPv4 alone, one inner list for each tier.
    pub(super) fn new(tiers: &[&[&str]], script: impl FnMut(&Ask) -> Answer + 'static) -> Self {
        Self::with(tiers, V4, false, script)
    }

    pub(super) fn with(
        tiers: &[&[&str]],
        families: Families,
        is_private: bool,
        script: impl FnMut(&Ask) -> Answer + 'static,
    ) -> Self {
        let settings = AnnouncerSettings {
            info_hash: HASH,
            peer_id: PeerId(*b"-UK0100-abcdefghijkl"),
            key: 0x1234,
            port: 6881,
            shard: crate::ShardId(3),
            families,
            is_private,
            tiers: tiers.iter().map(|t| t.iter().map(|u| (*u).to_owned()).collect()).collect(),
        };
        World {
            announcer: Announcer::new(settings, 1, Instant::ZERO),
            connections: Connections::default(),
            now: Instant::ZERO,
            totals: AnnounceTotals { left: Some(1000), ..AnnounceTotals::default() },
            dns: BTreeMap::new(),
            script: Box::new(script),
            pending: Vec::new(),
            asked: Vec::new(),
            told: Vec::new(),
            datagrams: Vec::new(),
            lost: Vec::new(),
        }
    }

    pub(super) fn start(mut self) -> Self {
        self.put(AnnounceInput::Start { is_complete: false });
        self
    }

    pub(super) fn put(&mut self, input: AnnounceInput<'_>) {
        let outputs: Vec<_> =
            self.announcer.handle(input, self.totals, &mut self.connections, self.now).collect();
        outputs.into_iter().for_each(|o| self.take(o));
    }

    /// Lets time pass until `ms` milliseconds after the beginning.
    pub(super) fn run_to_ms(&mut self, ms: u64) {
        let end = Instant::from_micros(ms * 1000);
        for _ in 0..100_000 {
            let pending = self.pending.iter().map(|(at, _)| *at).min();
            let next = pending.into_iter().chain(self.announcer.next_timeout()).min();
            let Some(next) = next.filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            match self.pending.iter().position(|(at, _)| *at <= self.now) {
                Some(at) => match self.pending.remove(at).1 {
                    Pending::Http(request, reply) => {
                        let reply = reply.as_ref().map(|(s, b)| (*s, b.as_slice())).map_err(Clone::clone);
                        self.put(AnnounceInput::HttpDone { request, reply, remote: None });
                    }
                    Pending::Resolved(request, addresses) => {
                        let addresses = addresses.as_deref().map_err(Clone::clone);
                        self.put(AnnounceInput::Resolved { request, addresses });
                    }
                    Pending::Datagram(from, bytes) => {
                        self.put(AnnounceInput::Datagram { from, bytes: &bytes });
                    }
                },
                None => self.put(AnnounceInput::Timeout),
            }
        }
        panic!("the announcer spins at {:?}", self.now);
    }

    pub(super) fn run_to(&mut self, seconds: u64) {
        self.run_to_ms(seconds * 1000);
    }

    /// Host and event of every announce so far.
    pub(super) fn announces(&self) -> Vec<(&str, &'static str)> {
        self.asked.iter().filter(|a| !a.is_scrape).map(|a| (a.host.as_str(), a.event)).collect()
    }

    /// Seconds of every announce so far.
    pub(super) fn times(&self) -> Vec<u64> {
        self.asked.iter().map(|a| a.at / 1000).collect()
    }

    /// URL, error and wait in seconds of every failure so far.
    pub(super) fn failures(&self) -> Vec<(&str, &str, Option<u64>)> {
        let failure = |o| match o {
            &(_, AnnounceOutput::Failed { ref url, ref error, next_in }) => {
                Some((url.as_str(), error.as_str(), next_in.map(|d| d.as_secs())))
            }
            _ => None,
        };
        self.told.iter().filter_map(failure).collect()
    }

    pub(super) fn peers(&self) -> Vec<(SocketAddr, Option<PeerId>)> {
        let peers = self.told.iter().filter_map(|(_, o)| match o {
            AnnounceOutput::Peers { peers, .. } => Some(peers.clone()),
            _ => None,
        });
        peers.flatten().collect()
    }

    pub(super) fn ms(&self) -> u64 {
        self.now.as_micros() / 1000
    }

    fn later(&mut self, pending: Pending) {
        self.pending.push((self.now + LATENCY, pending));
    }

    fn take(&mut self, output: AnnounceOutput) {
        match output {
            AnnounceOutput::Http { request, url, family, timeout } => {
                assert!(timeout <= Duration::from_secs(15));
                self.http(request, &url, family);
            }
            AnnounceOutput::Resolve { request, host } => {
                let addresses = self.dns.get(host.as_str()).cloned().ok_or("no such name".to_owned());
                self.later(Pending::Resolved(request, addresses));
            }
            AnnounceOutput::Datagram { to, bytes } => {
                let is_lost = self.lost.contains(&self.datagrams.len());
                self.datagrams.push((self.ms(), to, bytes.clone()));
                if !is_lost {
                    self.udp(to, &bytes);
                }
            }
            told => self.told.push((self.ms(), told)),
        }
    }

    fn ask(&mut self, ask: Ask) -> Answer {
        let answer = (self.script)(&ask);
        self.asked.push(ask);
        answer
    }

    fn http(&mut self, request: u32, url: &str, family: Family) {
        let has = |text: &str| url.contains(text);
        let event = match () {
            () if has("event=started") => "started",
            () if has("event=completed") => "completed",
            () if has("event=stopped") => "stopped",
            () => "",
        };
        let host = url.split(['/', '?']).nth(2).unwrap_or("").to_owned();
        let is_scrape = has("/scrape");
        let answer = self.ask(Ask { at: self.ms(), host, family, event, url: url.to_owned(), is_scrape });
        let ok = |interval: u32| Ok((200, format!("d8:intervali{interval}e5:peers0:e").into_bytes()));
        let reply = match answer {
            Answer::Ok(interval) => ok(interval),
            Answer::Late(_) => ok(1800),
            Answer::Peer(peer) => {
                let mut body = b"d8:intervali1800e5:peers6:".to_vec();
                compact::encode_into(peer.parse().unwrap(), &mut body);
                body.push(b'e');
                Ok((200, body))
            }
            Answer::Body(body) => Ok((200, body.into())),
            Answer::Status(status, body) => Ok((status, body.into())),
            Answer::Error(error) => Err(error.to_owned()),
            Answer::Silent => return,
        };
        let wait = if let Answer::Late(ms) = answer { Duration::from_millis(ms) } else { LATENCY };
        self.pending.push((self.now + wait, Pending::Http(request, reply)));
    }

    fn udp(&mut self, to: SocketAddr, bytes: &[u8]) {
        let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
        let (at, host) = (self.ms(), to.ip().to_string());
        let reply = match Request::decode(bytes).unwrap() {
            Request::Connect { transaction } => Reply::Connect { transaction, connection: at },
            Request::Announce(a) => {
                let event = match a.event {
                    AnnounceEvent::None => "",
                    AnnounceEvent::Started => "started",
                    AnnounceEvent::Completed => "completed",
                    AnnounceEvent::Stopped => "stopped",
                };
                let url = String::from_utf8(a.url_data).unwrap();
                let ok = |interval, peers| {
                    let transaction = a.transaction;
                    Reply::Announce { transaction, interval, leechers: 1, seeders: 2, peers }
                };
                match self.ask(Ask { at, host, family, event, url, is_scrape: false }) {
                    Answer::Ok(interval) => ok(i32::from_ne_bytes(interval.to_ne_bytes()), vec![]),
                    Answer::Peer(peer) => ok(1800, vec![peer.parse().unwrap()]),
                    Answer::Error(message) => {
                        Reply::Error { transaction: a.transaction, message: message.into() }
                    }
                    _ => return,
                }
            }
            Request::Scrape { transaction, hashes, .. } => {
                assert_eq!(hashes, [HASH]);
                let stats =
                    unchoke_wire::udp_tracker::ScrapeStats { complete: 1, incomplete: 2, downloaded: 3 };
                Reply::Scrape { transaction, stats: vec![stats] }
            }
        };
        self.later(Pending::Datagram(to, reply.encode()));
    }
}
