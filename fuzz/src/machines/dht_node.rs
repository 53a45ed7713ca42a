//! A DHT node under any sequence of datagrams, commands and waits.

use std::net::{IpAddr, SocketAddr};
use unchoke_dht::{Announce, Command, Family, Input, Node, NodeId, Output, Settings};
use unchoke_wire::WireHash;
use unchoke_wire::item::{Item, ItemKey};
use unchoke_wire::krpc::{Kind, Message};
use unchoke_wire::time::{Duration, Instant};

/// Addresses datagrams come from.
const SOURCES: u8 = 16;
/// Longest wait of a step, so that a short input sees timeouts and a long one expiry.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// A node keeps its bounds whatever happens to it: replies are short, only live nodes that answered are in the table,
/// time goes on.
///
/// The input is a sequence of steps: a byte that says what, a byte that says from whom, a length, and so many bytes. An
/// answer's transaction id may be replaced by that of a query the node sent, so that answers reach their lookups.
pub fn dht_node(data: &[u8]) {
    let mut node = Node::new(Settings::new(Family::V4), [7; 32], Instant::from_micros(1_000_000));
    let mut now = Instant::from_micros(1_000_000);
    let mut asked: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
    let mut rest = data;
    while let [what, who, len, tail @ ..] = rest {
        let (bytes, next) = tail.split_at(tail.len().min(usize::from(*len)));
        rest = next;
        let from = source(*who);
        let answer;
        let input = match what % 4 {
            0 => Input::Datagram { from, bytes },
            1 => {
                answer = addressed(bytes, &asked, *who);
                Input::Datagram { from: answer.0, bytes: &answer.1 }
            }
            2 => Input::Command(command(bytes, from)),
            _ => {
                now = now + WAIT_MAX * u32::from(*who) / 255;
                Input::Timeout
            }
        };
        let is_query = matches!(&input, Input::Datagram { bytes, .. }
            if Message::decode(bytes).is_ok_and(|m| matches!(m.kind, Kind::Query(_))));
        let outputs: Vec<Output> = node.handle(input, now).collect();
        check(&node, &outputs, is_query);
        asked.extend(outputs.into_iter().filter_map(query));
        let surplus = asked.len().saturating_sub(64);
        asked.drain(..surplus);
    }
}

fn source(n: u8) -> SocketAddr {
    let n = n % SOURCES;
    // a few share a site, one is local
    let ip = if n == 0 { IpAddr::from([127, 0, 0, 1]) } else { IpAddr::from([8, 8, n / 2, n]) };
    SocketAddr::new(ip, 7000)
}

/// These bytes as the answer to one of the queries the node sent.
fn addressed(bytes: &[u8], asked: &[(SocketAddr, Vec<u8>)], which: u8) -> (SocketAddr, Vec<u8>) {
    let Some((to, transaction)) = asked.get(usize::from(which) % asked.len().max(1)) else {
        return (source(which), bytes.to_vec());
    };
    match Message::decode(bytes) {
        Ok(message) => (*to, Message { transaction: transaction.clone(), ..message }.encode()),
        Err(_) => (*to, bytes.to_vec()),
    }
}

/// Where a query went, and its transaction id.
fn query(output: Output) -> Option<(SocketAddr, Vec<u8>)> {
    let Output::Datagram { to, bytes } = output else { return None };
    let message = Message::decode(&bytes).expect("a node sends KRPC");
    matches!(message.kind, Kind::Query(_)).then_some((to, message.transaction))
}

fn command(bytes: &[u8], addr: SocketAddr) -> Command {
    let target = NodeId([bytes.get(1).copied().unwrap_or(0); 20]);
    let hash = WireHash::from(target);
    match bytes.first().copied().unwrap_or(0) % 12 {
        0 => Command::AddNode(addr),
        1 => Command::AddRouter(addr),
        2 => Command::Bootstrap,
        3 => {
            let announce = Announce { port: 7000, implied_port: false, is_seed: true };
            Command::Search { target: hash, announce: Some(announce), is_urgent: true }
        }
        4 => Command::StopSearch { target: hash },
        5 => Command::Ping(addr),
        6 => Command::FindNode { target },
        7 => Command::Scrape { target: hash },
        8 => Command::GetItem(ItemKey::Immutable(target)),
        9 => Command::PutItem { item: Item::Immutable { value: bytes[1..].to_vec() }, cas: None },
        10 => Command::Sample { target },
        _ => Command::WantBoth(true),
    }
}

fn check(node: &Node, outputs: &[Output], is_query: bool) {
    let mut replies = 0;
    for output in outputs {
        if let Output::Datagram { to, bytes } = output {
            assert!(to.port() != 0 && bytes.len() <= 1400);
            let message = Message::decode(bytes).expect("a node sends KRPC");
            replies += usize::from(!matches!(message.kind, Kind::Query(_)));
        }
    }
    // what is malformed may be refused, once; what is no query is not answered
    assert!(replies <= 1 && (is_query || outputs.len() < 5_000));
    let rows: Vec<_> = node.table().collect();
    assert!(rows.iter().all(|row| row.answered_ago.is_some() && row.node.id != node.id()));
    assert!(node.good_node_count() <= rows.len() && node.stored_item_count() <= 1000);
    assert!(node.next_timeout().is_some());
}
