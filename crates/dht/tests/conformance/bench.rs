//! The node under test, and the shorthand of these tests.

use core::net::SocketAddr;
use unchoke_dht::{Command, Event, Family, Input, Node, NodeId, NodeInfo, Output, Settings};
use unchoke_wire::krpc::{Kind, Message, Method, Query, Response};
use unchoke_wire::time::{Duration, Instant};

pub const OWN: NodeId = NodeId(*b"abcdefghij0123456789");
pub const OTHER: NodeId = NodeId(*b"mnopqrstuvwxyz123456");
pub const KEY: NodeId = NodeId(*b"0123456789abcdefghij");
pub const MINUTE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub node: Node,
    pub now: Instant,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { own_id: Some(OWN), ..Settings::new(Family::V4) };
        change(&mut settings);
        let now = Instant::from_micros(1_000_000);
        Bench { node: Node::new(settings, [7; 32], now), now }
    }

    pub fn input(&mut self, input: Input<'_>) -> (Vec<(SocketAddr, Vec<u8>)>, Vec<Event>) {
        self.input_beside(input, None)
    }

    pub fn input_beside(
        &mut self,
        input: Input<'_>,
        other: Option<&Node>,
    ) -> (Vec<(SocketAddr, Vec<u8>)>, Vec<Event>) {
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        for output in self.node.handle_beside(input, other, self.now) {
            match output {
                Output::Datagram { to, bytes } => sent.push((to, bytes)),
                Output::Event(event) => events.push(event),
            }
        }
        (sent, events)
    }

    pub fn command(&mut self, command: Command) -> (Vec<(SocketAddr, Message)>, Vec<Event>) {
        let (sent, events) = self.input(Input::Command(command));
        (decoded(sent), events)
    }

    pub fn receive(
        &mut self,
        from: SocketAddr,
        message: &Message,
    ) -> (Vec<(SocketAddr, Message)>, Vec<Event>) {
        let (sent, events) = self.input(Input::Datagram { from, bytes: &message.encode() });
        (decoded(sent), events)
    }

    /// Sends a query and hands out the answer.
    pub fn query(&mut self, from: SocketAddr, method: Method) -> Kind {
        let (sent, _) = self.receive(from, &query(OTHER, method));
        let answers: Vec<Message> =
            sent.into_iter().map(|(_, m)| m).filter(|m| m.transaction == b"aa").collect();
        let [answer] = answers.try_into().expect("one answer");
        answer.kind
    }

    pub fn response(&mut self, from: SocketAddr, method: Method) -> Response {
        match self.query(from, method) {
            Kind::Response(response) => response,
            other => panic!("not a response: {other:?}"),
        }
    }

    /// Makes `node` live by a ping and its answer.
    pub fn befriend(&mut self, node: NodeInfo) {
        let (sent, _) = self.command(Command::Ping(node.addr));
        let (_, ping) = sent.into_iter().find(|(to, _)| *to == node.addr).expect("a ping");
        self.receive(node.addr, &answer(&ping, Response::new(node.id)));
    }

    pub fn wait(&mut self, time: Duration) -> (Vec<(SocketAddr, Message)>, Vec<Event>) {
        let end = self.now + time;
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        while let Some(at) = self.node.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let (s, e) = self.input(Input::Timeout);
            sent.extend(s);
            events.extend(e);
        }
        self.now = end;
        (decoded(sent), events)
    }

    pub fn live(&self) -> Vec<NodeInfo> {
        self.node.table().map(|row| row.node).collect()
    }
}

pub fn decoded(sent: Vec<(SocketAddr, Vec<u8>)>) -> Vec<(SocketAddr, Message)> {
    sent.into_iter().map(|(to, bytes)| (to, Message::decode(&bytes).expect("we send KRPC"))).collect()
}

pub fn query(id: NodeId, method: Method) -> Message {
    Message {
        transaction: b"aa".to_vec(),
        kind: Kind::Query(Query { id, want: None, method }),
        version: None,
        is_read_only: false,
        ip: None,
    }
}

pub fn answer(to: &Message, response: Response) -> Message {
    Message { kind: Kind::Response(response), is_read_only: false, ip: None, ..to.clone() }
}

pub fn get_peers() -> Method {
    Method::GetPeers { info_hash: KEY, no_seeds: false, scrape: false }
}

pub fn announce(token: &[u8], port: u16, implied_port: bool) -> Method {
    Method::AnnouncePeer { info_hash: KEY, port, implied_port, token: token.to_vec(), is_seed: false }
}

pub fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([8, 8, n, 1], 6881))
}

pub fn node(n: u8) -> NodeInfo {
    NodeInfo { id: NodeId([n; 20]), addr: at(n) }
}

/// A node or peer at an address of IPv6.
pub fn at_v6(n: u16) -> SocketAddr {
    SocketAddr::from(([0x2a00, n, 0, 0, 0, 0, 0, 1], 6881))
}

pub fn error_code(kind: &Kind) -> Option<i64> {
    match kind {
        Kind::Error { code, .. } => Some(*code),
        _ => None,
    }
}
