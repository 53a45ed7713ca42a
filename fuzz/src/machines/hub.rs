//! The hub: connections until their handshake names a torrent, datagrams, the DHT and the local network.

use crate::steps::{BEGIN, Steps};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use unchoke_engine::hub::{DhtState, Hub, HubInput, HubOutput, HubSettings, PENDING_MAX, PENDING_PER_IP_MAX};
use unchoke_engine::output::HubCommand;
use unchoke_engine::{RequestId, ShardId, Ticket, TorrentId};
use unchoke_wire::handshake::PREFIX_LEN;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{Handshake, HostPort, PeerId, Reserved, WireHash};

struct World {
    hub: Hub,
    now: Instant,
    waiting: BTreeMap<Ticket, Waiting>,
    registered: BTreeSet<WireHash>,
    next: u64,
    requests: Vec<RequestId>,
}

/// A connection that is neither routed nor dropped.
struct Waiting {
    remote: SocketAddr,
    since: Instant,
    bytes: Vec<u8>,
}

/// A connection is routed once, with all its bytes, by the hash in its first 48, whatever pieces they come in; or
/// dropped, within ten seconds; no more wait than there is room for; no datagram is answered by a longer one.
pub fn hub(data: &[u8]) {
    let mut steps = Steps::new(data);
    let settings = HubSettings {
        dht_v4: steps.flag(),
        dht_v6: steps.flag(),
        is_dht_read_only: steps.flag(),
        reports_dht_steps: false,
        lsd_v4: steps.flag(),
        lsd_v6: false,
        listen_port: 6881,
        saved: DhtState::default(),
        nodes: HostPort::new("node.test", 6881).into_iter().collect(),
        routers: HostPort::new("80.0.0.1", 6881).into_iter().collect(),
    };
    let mut world = World {
        hub: Hub::new(settings, [3; 32], BEGIN),
        now: BEGIN,
        waiting: BTreeMap::new(),
        registered: BTreeSet::new(),
        next: 0,
        requests: Vec::new(),
    };
    while !steps.is_over() {
        world.step(&mut steps);
        assert!(world.waiting.len() <= 512);
    }
}

impl World {
    fn step(&mut self, steps: &mut Steps<'_>) {
        let hash = WireHash([steps.byte() % 3; 20]);
        let tickets: Vec<Ticket> = self.waiting.keys().copied().collect();
        match steps.byte() % 10 {
            0 | 1 => self.accept(steps.address()),
            2..=4 => {
                let Some(ticket) = steps.pick(&tickets) else { return };
                let bytes = match steps.byte() % 4 {
                    0 => steps.bytes().to_vec(),
                    part => {
                        let greeting = Handshake {
                            reserved: Reserved::default(),
                            info_hash: hash,
                            peer_id: PeerId([1; 20]),
                        };
                        let had = self.waiting[&ticket].bytes.len().min(68);
                        let all = greeting.encode();
                        all[had..(had + 20 * usize::from(part)).min(68)].to_vec()
                    }
                };
                self.bytes(ticket, &bytes);
            }
            5 => {
                let Some(ticket) = steps.pick(&tickets) else { return };
                self.waiting.remove(&ticket);
                self.handle(HubInput::AcceptedClosed { ticket });
            }
            6 => {
                let bytes = steps.bytes();
                let sent = self.handle(HubInput::Datagram { from: steps.address(), bytes });
                assert!(sent <= 1400 + 2 * bytes.len() * 20, "{sent} bytes for {}", bytes.len());
            }
            7 => self.command(hash, steps),
            8 => self.wait(steps.wait()),
            _ => {
                let (request, ip) = (steps.pick(&self.requests), steps.address().ip());
                self.handle(HubInput::Resolved {
                    request: request.unwrap_or(RequestId(99)),
                    addresses: &[ip],
                });
            }
        }
    }

    fn accept(&mut self, remote: SocketAddr) {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.waiting.insert(ticket, Waiting { remote, since: self.now, bytes: Vec::new() });
        self.handle(HubInput::Accepted { ticket, remote });
        let ip = remote.ip().to_canonical();
        let of_ip = self.waiting.values().filter(|w| w.remote.ip().to_canonical() == ip).count();
        let share = PENDING_MAX / 4 + PENDING_PER_IP_MAX;
        assert!(ip.is_loopback() || of_ip <= share, "one address takes more than its share");
    }

    fn bytes(&mut self, ticket: Ticket, bytes: &[u8]) {
        let waiting = self.waiting.get_mut(&ticket).expect("it waits");
        waiting.bytes.extend_from_slice(bytes);
        let had = waiting.bytes.clone();
        self.handle(HubInput::AcceptedBytes { ticket, bytes });
        let is_other = !b"\x13BitTorrent protocol".starts_with(&had[..had.len().min(20)]);
        let is_over = is_other || had.len() >= PREFIX_LEN;
        assert_eq!(self.waiting.contains_key(&ticket), !is_over, "{}", had.escape_ascii());
    }

    fn command(&mut self, hash: WireHash, steps: &mut Steps<'_>) {
        let torrent = TorrentId::default();
        let command = match steps.byte() % 8 {
            0 | 1 => {
                self.registered.insert(hash);
                HubCommand::Register { torrent, hash }
            }
            2 => {
                self.registered.remove(&hash);
                HubCommand::Unregister { hash }
            }
            3 => HubCommand::DhtSearch { torrent, hash, is_seed: steps.flag(), wants_peers: true },
            4 => HubCommand::DhtStop { hash },
            5 => HubCommand::LsdAnnounce { torrent, hashes: vec![hash] },
            6 => HubCommand::LsdStop { hashes: vec![hash] },
            _ => {
                HubCommand::DhtNode { host: String::from_utf8_lossy(steps.bytes()).into_owned(), port: 6881 }
            }
        };
        self.handle(HubInput::Engine { shard: ShardId(1), command });
    }

    /// Lets time pass, every deadline on the way served.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for turn in 0.. {
            assert!(turn < 20_000 || self.now >= end, "it spins");
            let Some(at) = self.hub.next_timeout().filter(|at| *at <= end) else { break };
            if turn > 200 {
                // long waits in one step: what is overdue is done at once
                break;
            }
            self.now = self.now.max(at);
            self.handle(HubInput::Timeout);
        }
        self.now = end;
        self.handle(HubInput::Timeout);
        let late = |w: &Waiting| self.now.since(w.since) >= Duration::from_secs(10);
        assert!(!self.waiting.values().any(late), "silence is waited for");
    }

    /// Takes an input; answers how many bytes were sent for it.
    fn handle(&mut self, input: HubInput<'_>) -> usize {
        let mut sent = 0;
        for output in self.hub.handle(input, self.now).collect::<Vec<_>>() {
            match output {
                HubOutput::Route { ticket, shard, received, since, .. } => {
                    let waiting = self.waiting.remove(&ticket).expect("a connection is routed once");
                    assert_eq!((shard, &received), (ShardId(1), &waiting.bytes), "all its bytes");
                    assert_eq!(since, waiting.since, "the time it has spent goes with it");
                    let hash: [u8; 20] = received[28..48].try_into().expect("twenty bytes");
                    assert!(self.registered.contains(&WireHash(hash)));
                }
                HubOutput::Drop { ticket } => {
                    self.waiting.remove(&ticket).expect("a connection is dropped once");
                }
                HubOutput::Datagram { to, bytes } => {
                    assert!(to.port() != 0 && bytes.len() <= 1400);
                    sent += bytes.len();
                }
                HubOutput::Resolve { request, host } => {
                    assert!(host.parse::<std::net::IpAddr>().is_err(), "{host} needs no resolving");
                    self.requests.push(request);
                    let surplus = self.requests.len().saturating_sub(16);
                    self.requests.drain(..surplus);
                }
                _ => {}
            }
        }
        sent
    }
}
