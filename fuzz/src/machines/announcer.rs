//! The announcer: what trackers are asked and told, whatever they answer.

use crate::steps::{BEGIN, Steps};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use unchoke_engine::ShardId;
use unchoke_engine::tracker::{
    AnnounceInput, AnnounceOutput, AnnounceTotals, Announcer, AnnouncerSettings, Connections, Families,
};
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::udp_tracker::{Reply, Request};
use unchoke_wire::{PeerId, WireHash, limits};

const URLS: [&str; 8] = [
    "http://80.0.0.1/announce",
    "http://one.test/announce?key=0123456789abcdef",
    "udp://80.0.0.2:80/announce",
    "udp://two.test:80",
    "https://three.test/x/announce",
    "http://127.0.0.1/secret",
    "no url at all",
    "http://[2a00::1]/announce",
];

struct World {
    announcer: Announcer,
    connections: Connections,
    now: Instant,
    is_private: bool,
    is_started: bool,
    http: Vec<u32>,
    names: Vec<u32>,
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
    numbers: BTreeSet<u32>,
}

/// Numbers are used once, trackers are asked within their limits, one at a time for a private torrent; nothing spins,
/// and after a stop all is silent within seconds.
pub fn announcer(data: &[u8]) {
    let mut steps = Steps::new(data);
    let is_private = steps.flag();
    let tiers = tiers(&mut steps);
    let settings = AnnouncerSettings {
        info_hash: WireHash([1; 20]),
        peer_id: PeerId([2; 20]),
        key: 3,
        port: 6881,
        shard: ShardId(4),
        families: Families { v4: !steps.byte().is_multiple_of(8), v6: steps.flag() },
        is_private,
        tiers,
    };
    let mut world = World {
        announcer: Announcer::new(settings, 5, BEGIN),
        connections: Connections::default(),
        now: BEGIN,
        is_private,
        is_started: false,
        http: Vec::new(),
        names: Vec::new(),
        datagrams: Vec::new(),
        numbers: BTreeSet::new(),
    };
    while !steps.is_over() {
        world.step(&mut steps);
    }
    world.end();
}

fn tiers(steps: &mut Steps<'_>) -> Vec<Vec<String>> {
    let url = |steps: &mut Steps<'_>| match steps.byte() {
        n @ 0..=199 => URLS[usize::from(n) % URLS.len()].to_owned(),
        _ => format!("http://{}", String::from_utf8_lossy(steps.bytes())),
    };
    (0..1 + steps.below(3)).map(|_| (0..1 + steps.below(3)).map(|_| url(steps)).collect()).collect()
}

impl World {
    fn step(&mut self, steps: &mut Steps<'_>) {
        match steps.byte() % 16 {
            0 => self.start(AnnounceInput::Start { is_complete: steps.flag() }),
            1 => {
                let is_complete = steps.flag();
                self.start(AnnounceInput::StartLater { is_complete, delay: steps.wait() });
            }
            2 => self.handle(AnnounceInput::Completed),
            3 => self.handle(AnnounceInput::AnnounceNow),
            4 => self.handle(AnnounceInput::Scrape),
            5 => self.handle(AnnounceInput::SetTiers(tiers(steps))),
            6 if steps.byte() > 200 => {
                self.is_private = true;
                self.handle(AnnounceInput::Private);
            }
            7 if self.is_started && steps.byte() > 200 => {
                self.is_started = false;
                self.handle(AnnounceInput::Stop);
            }
            8 => self.handle(AnnounceInput::Later(self.now + Duration::from_secs(u64::from(steps.byte())))),
            9 | 10 => self.http_reply(steps),
            11 => self.resolve(steps),
            12 | 13 => self.datagram(steps),
            _ => self.wait(steps.wait()),
        }
    }

    fn start(&mut self, input: AnnounceInput<'_>) {
        if !self.is_started {
            self.is_started = true;
            self.handle(input);
        }
    }

    fn http_reply(&mut self, steps: &mut Steps<'_>) {
        let Some(request) = steps.pick(&self.http) else { return };
        self.http.retain(|r| *r != request);
        let body;
        let reply = match steps.byte() % 5 {
            0 => Err("no answer".to_owned()),
            1 => Ok((404, &b"gone"[..])),
            2 => Ok((200, steps.bytes())),
            _ => {
                let (interval, ip) = (i64::from(steps.odd_number()) - 2, steps.word().to_be_bytes());
                body = [
                    format!("d8:intervali{interval}e12:min intervali{}e5:peers6:", interval / 2).as_bytes(),
                    &ip,
                    &[26, steps.byte()],
                    b"10:tracker id3:abce",
                ]
                .concat();
                Ok((200, &body[..]))
            }
        };
        let remote = steps.flag().then(|| IpAddr::from([80, 0, 0, 1]));
        self.handle(AnnounceInput::HttpDone { request, reply, remote });
    }

    fn resolve(&mut self, steps: &mut Steps<'_>) {
        let Some(request) = steps.pick(&self.names) else { return };
        self.names.retain(|r| *r != request);
        let found: Vec<IpAddr> = (0..steps.below(4)).map(|_| steps.address().ip()).collect();
        let addresses = if steps.byte() < 200 { Ok(&found[..]) } else { Err("no such name".to_owned()) };
        self.handle(AnnounceInput::Resolved { request, addresses });
    }

    /// A tracker answers what it was asked, or something else.
    fn datagram(&mut self, steps: &mut Steps<'_>) {
        let all: Vec<usize> = (0..self.datagrams.len()).collect();
        let Some(at) = steps.pick(&all) else { return };
        let (to, bytes) = &self.datagrams[at];
        let from = if steps.byte() == 255 { steps.address() } else { *to };
        let transaction = match Request::decode(bytes).expect("what we send is a request") {
            Request::Connect { transaction } | Request::Scrape { transaction, .. } => transaction,
            Request::Announce(a) => a.transaction,
        };
        let reply = match steps.byte() % 5 {
            0 => Reply::Connect { transaction, connection: u64::from(steps.word()) },
            1 => Reply::Error { transaction, message: String::from_utf8_lossy(steps.bytes()).into_owned() },
            2 => {
                let stats = vec![unchoke_wire::udp_tracker::ScrapeStats::default(); steps.below(3)];
                Reply::Scrape { transaction, stats }
            }
            _ => {
                let peers = (0..steps.below(5))
                    .map(|_| SocketAddr::from((steps.word().to_be_bytes(), 6881)))
                    .collect();
                let interval = i32::from_be_bytes(steps.word().to_be_bytes());
                Reply::Announce { transaction, interval, leechers: 1, seeders: 0, peers }
            }
        };
        let bytes = if steps.byte() == 255 { steps.bytes().to_vec() } else { reply.encode() };
        self.handle(AnnounceInput::Datagram { from, bytes: &bytes });
    }

    /// Lets time pass, every deadline on the way served.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(at) = self.announcer.next_timeout().filter(|at| *at <= end) {
            let before = self.now;
            self.now = self.now.max(at);
            turns = if self.now == before { turns + 1 } else { 0 };
            assert!(turns < 50, "it spins");
            if self.now.since(before) > Duration::from_secs(3600) {
                break;
            }
            self.handle(AnnounceInput::Timeout);
        }
        self.now = end;
        self.handle(AnnounceInput::Timeout);
    }

    fn handle(&mut self, input: AnnounceInput<'_>) {
        let totals = AnnounceTotals { uploaded: 1, downloaded: 2, corrupt: 3, left: Some(4) };
        let outputs: Vec<AnnounceOutput> =
            self.announcer.handle(input, totals, &mut self.connections, self.now).collect();
        for output in outputs {
            match output {
                AnnounceOutput::Http { request, url, timeout, .. } => {
                    assert!(self.numbers.insert(request), "a number is used once");
                    assert!(url.starts_with("http") && url.bytes().all(|b| b.is_ascii_graphic()), "{url}");
                    assert!(timeout > Duration::ZERO && timeout <= Duration::from_secs(120));
                    assert!(!url.contains("127.0.0.1"), "{url} is a service of this machine");
                    self.http.push(request);
                }
                AnnounceOutput::Resolve { request, host } => {
                    assert!(self.numbers.insert(request), "a number is used once");
                    assert!(!host.is_empty() && host.parse::<IpAddr>().is_err(), "{host}");
                    self.names.push(request);
                }
                AnnounceOutput::Datagram { to, bytes } => {
                    assert!(to.port() != 0 && bytes.len() <= 1500);
                    assert_eq!(bytes[12], 4, "the shard is in the transaction id");
                    self.datagrams.push((to, bytes));
                    let surplus = self.datagrams.len().saturating_sub(16);
                    self.datagrams.drain(..surplus);
                }
                AnnounceOutput::Peers { peers, .. } => assert!(peers.len() <= limits::TRACKER_PEERS_MAX),
                AnnounceOutput::Replied { url, next_in, .. } => {
                    assert!(next_in > Duration::ZERO && !url.contains("0123456789abcdef"));
                }
                AnnounceOutput::Failed { url, error, .. } => {
                    assert!(!url.contains("0123456789abcdef") && !error.contains("0123456789abcdef"));
                }
                _ => {}
            }
        }
        if !self.announcer.is_asking() {
            self.http.clear();
            self.datagrams.clear();
        }
        assert!(!self.is_private || self.is_started || self.http.len() < 64);
    }

    /// Stopped, it tells its trackers and is silent, once a scrape that is under way is over.
    fn end(&mut self) {
        self.is_started = false;
        self.handle(AnnounceInput::Stop);
        self.wait(Duration::from_secs(10));
        assert!(self.announcer.is_stopped(), "it goes on after a stop");
        self.wait(Duration::from_secs(300));
        assert!(!self.announcer.is_asking(), "it asks after a stop");
        assert_eq!(self.announcer.next_timeout(), None);
    }
}
