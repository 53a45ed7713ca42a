//! One node of another make is all we know: a plain BEP 5 node, scripted in raw bytes.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use unchoke_dht::{Announce, Command, Family, Input, Node, NodeId, Output, Settings};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{Kind, Message, Method};
use unchoke_wire::time::{Duration, Instant};

const KEY: WireHash = WireHash(*b"mnopqrstuvwxyz123456");
const SECOND: Duration = Duration::from_secs(1);

fn foreign() -> SocketAddr {
    SocketAddr::from(([8, 8, 8, 8], 6881))
}

/// A node that tells nobody but itself, with neither `ip` nor `v`.
struct Foreign {
    id: [u8; 20],
    token: &'static [u8],
    is_up: bool,
    delay: Duration,
    /// Ports announced with the right token, and when.
    announced: Vec<(Instant, u16)>,
}

struct Bench {
    node: Node,
    foreign: Foreign,
    now: Instant,
    /// Its answers on their way.
    answers: BTreeMap<(Instant, usize), Vec<u8>>,
    sent: usize,
}

impl Bench {
    fn new(token: &'static [u8], delay: Duration) -> Self {
        let now = Instant::from_micros(1_000_000);
        let settings = Settings::new(Family::V4);
        let other = Foreign { id: [0xf0; 20], token, is_up: true, delay, announced: Vec::new() };
        let node = Node::new(settings, [7; 32], now);
        let mut bench = Bench { node, foreign: other, now, answers: BTreeMap::new(), sent: 0 };
        let announce = Announce { port: 7000, implied_port: false, is_seed: true };
        bench.input(Input::Command(Command::Search {
            target: KEY,
            announce: Some(announce),
            is_urgent: true,
        }));
        bench.input(Input::Command(Command::AddNode(foreign())));
        bench
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
            let Some(next) =
                [answer, self.node.next_timeout()].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if answer == Some(next) {
                let (_, bytes) = self.answers.pop_first().expect("the first was seen");
                self.input(Input::Datagram { from: foreign(), bytes: &bytes });
            } else {
                self.input(Input::Timeout);
            }
        }
        self.now = end;
    }

    fn input(&mut self, input: Input<'_>) {
        let outputs: Vec<Output> = self.node.handle(input, self.now).collect();
        for output in outputs {
            if let Output::Datagram { to, bytes } = output {
                assert_eq!(to, foreign());
                self.sent += 1;
                if let Some(answer) = self.foreign.answer(&bytes, self.now) {
                    self.answers.insert((self.now + self.foreign.delay, self.sent), answer);
                }
            }
        }
    }
}

impl Foreign {
    fn answer(&mut self, bytes: &[u8], now: Instant) -> Option<Vec<u8>> {
        let message = Message::decode(bytes).expect("we send KRPC");
        let Kind::Query(query) = message.kind else { return None };
        if !self.is_up {
            return None;
        }
        let mut answer = b"d1:rd2:id20:".to_vec();
        answer.extend(self.id);
        if matches!(query.method, Method::FindNode { .. } | Method::GetPeers { .. }) {
            answer.extend(b"5:nodes26:");
            answer.extend(self.id);
            answer.extend([8, 8, 8, 8, 0x1a, 0xe1]);
        }
        if let Method::GetPeers { .. } = query.method {
            answer.extend(format!("5:token{}:", self.token.len()).bytes());
            answer.extend(self.token);
        }
        if let Method::AnnouncePeer { port, token, .. } = query.method {
            assert_eq!(token, self.token);
            self.announced.push((now, port));
        }
        answer.extend(b"e1:t");
        answer.extend(format!("{}:", message.transaction.len()).bytes());
        answer.extend(message.transaction);
        answer.extend(b"1:y1:re");
        Some(answer)
    }
}

//= S45
#[test]
fn a_lone_foreign_node_is_announced_to_as_soon_as_it_answers() {
    let delays = [(5, 2), (700, 4), (1500, 6), (3000, 11), (4500, 15)];
    for token in [&b"ab"[..], b"0123456789abcdefghij"] {
        for (delay_ms, within_s) in delays {
            let mut bench = Bench::new(token, Duration::from_millis(delay_ms));
            bench.run_for(within_s * SECOND);
            assert_eq!(bench.foreign.announced.first().map(|(_, port)| *port), Some(7000), "{delay_ms} ms");
            assert!(bench.sent <= 20, "{delay_ms} ms: {} sent", bench.sent);
        }
    }
}

#[test]
fn a_lone_foreign_node_that_starts_late_is_announced_to_when_it_is_there() {
    let mut bench = Bench::new(b"ab", Duration::from_millis(30));
    bench.foreign.is_up = false;
    bench.run_for(20 * SECOND);
    bench.foreign.is_up = true;
    bench.run_for(20 * SECOND);
    assert_eq!(bench.foreign.announced.first().map(|(_, port)| *port), Some(7000));
}

#[test]
fn a_lone_foreign_node_restarted_under_another_id_is_announced_to_again() {
    let mut bench = Bench::new(b"ab", Duration::from_millis(30));
    bench.run_for(3600 * SECOND);
    bench.foreign.id = [0x0f; 20];
    bench.foreign.announced.clear();
    // until we next ask it anything nobody can know
    bench.run_for(11 * 60 * SECOND);
    assert!(!bench.foreign.announced.is_empty());
    assert_eq!(bench.node.table().next().map(|row| row.node.id), Some(NodeId([0x0f; 20])));
}

#[test]
fn a_foreign_node_that_changes_its_id_with_every_answer_is_not_asked_without_end() {
    let mut bench = Bench::new(b"ab", Duration::from_millis(5));
    for n in 0..600u32 {
        bench.foreign.id[..4].copy_from_slice(&n.to_be_bytes());
        bench.run_for(SECOND / 2);
    }
    assert!(bench.sent <= 600, "{} sent in five minutes", bench.sent);
}
