//! One node among made-up others: whom it lets into its table, what makes it change its id, what upkeep costs.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};
use unchoke_dht::{
    Command, Event, Family, Input, Node, NodeId, NodeInfo, Output, Settings, compliant_id, is_compliant,
};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{Kind, Message, Method, Query, Response};
use unchoke_wire::time::{Duration, Instant};

const OWN: NodeId = NodeId(*b"abcdefghij0123456789");
const KEY: WireHash = WireHash(*b"mnopqrstuvwxyz123456");
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// One way to the others.
const LATENCY: Duration = Duration::from_millis(30);
const V4: Settings = Settings { own_id: Some(OWN), ..Settings::new(Family::V4) };

/// A node of ours, and others that answer it by rote.
struct World {
    node: Node,
    now: Instant,
    others: BTreeMap<SocketAddr, Other>,
    /// Answers on their way.
    answers: BTreeMap<(Instant, usize), (SocketAddr, Vec<u8>)>,
    /// What our node sent.
    sent: Vec<(SocketAddr, Message)>,
    events: Vec<Event>,
    bytes: usize,
}

#[derive(Clone)]
struct Other {
    id: NodeId,
    /// What it names to all who ask.
    nodes: Vec<NodeInfo>,
    /// Where it says we are.
    sees_us_at: Option<IpAddr>,
}

impl World {
    fn new(node: Node, now: Instant) -> Self {
        let (sent, events, answers) = (Vec::new(), Vec::new(), BTreeMap::new());
        World { node, now, others: BTreeMap::new(), answers, sent, events, bytes: 0 }
    }

    fn fresh(settings: Settings) -> Self {
        let now = Instant::from_micros(1_000_000);
        Self::new(Node::new(settings, [7; 32], now), now)
    }

    fn add(&mut self, node: NodeInfo) {
        self.others.insert(node.addr, Other { id: node.id, nodes: Vec::new(), sees_us_at: None });
    }

    /// Adds the node and makes it known to ours by a ping.
    fn befriend(&mut self, node: NodeInfo) {
        self.add(node);
        self.input(Input::Command(Command::Ping(node.addr)));
        self.run_for(LATENCY * 3);
    }

    fn input(&mut self, input: Input<'_>) {
        let outputs: Vec<Output> = self.node.handle(input, self.now).collect();
        for output in outputs {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Datagram { to, bytes } => {
                    self.bytes += bytes.len();
                    let message = Message::decode(&bytes).expect("we send KRPC");
                    if let Some(answer) = self.answer(to, &message) {
                        let key = (self.now + LATENCY * 2, self.sent.len());
                        self.answers.insert(key, (to, answer.encode()));
                    }
                    self.sent.push((to, message));
                }
            }
        }
    }

    fn answer(&self, to: SocketAddr, message: &Message) -> Option<Message> {
        let Kind::Query(query) = &message.kind else { return None };
        let other = self.others.get(&to)?;
        let mut response = Response::new(other.id);
        if query.method != Method::Ping {
            let nodes = Some(other.nodes.clone());
            if to.is_ipv4() { response.nodes = nodes } else { response.nodes6 = nodes }
        }
        let ip = other.sees_us_at.map(|ip| SocketAddr::new(ip, 6881));
        Some(Message { kind: Kind::Response(response), ip, ..message.clone() })
    }

    fn receive(&mut self, from: SocketAddr, message: &Message) {
        self.input(Input::Datagram { from, bytes: &message.encode() });
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = answer.into_iter().chain(self.node.next_timeout()).min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(at);
            if answer == Some(at) {
                let (_, (from, bytes)) = self.answers.pop_first().expect("the first was seen");
                self.bytes += bytes.len();
                self.input(Input::Datagram { from, bytes: &bytes });
            } else {
                self.input(Input::Timeout);
            }
        }
        self.now = end;
    }

    fn table(&self) -> Vec<NodeInfo> {
        self.node.table().map(|row| row.node).collect()
    }

    /// What our node answers to this query.
    fn response(&mut self, from: SocketAddr, id: NodeId, method: Method) -> Response {
        self.sent.clear();
        self.receive(from, &query(id, method));
        match self.sent.iter().find(|(to, m)| *to == from && m.transaction == b"aa").map(|(_, m)| &m.kind) {
            Some(Kind::Response(response)) => response.clone(),
            other => panic!("not a response: {other:?}"),
        }
    }

    fn asked(&self) -> BTreeSet<SocketAddr> {
        let is_query = |(_, m): &&(SocketAddr, Message)| matches!(m.kind, Kind::Query(_));
        self.sent.iter().filter(is_query).map(|(to, _)| *to).collect()
    }

    fn moves(&self) -> Vec<(IpAddr, NodeId)> {
        let moved = |e: &Event| match e {
            Event::AddressVoted { ip, id } => Some((*ip, *id)),
            _ => None,
        };
        self.events.iter().filter_map(moved).collect()
    }
}

fn query(id: NodeId, method: Method) -> Message {
    let kind = Kind::Query(Query { id, want: None, method });
    Message { transaction: b"aa".to_vec(), kind, version: None, is_read_only: false, ip: None }
}

/// Node number `n`, alone in its /16, with an id that differs from ours in bit `n % 4` and follows from no address.
fn node(n: u8) -> NodeInfo {
    let mut id = OWN;
    id.0[0] ^= 0x80 >> (n % 4);
    id.0[19] = n;
    NodeInfo { id, addr: ([20, n, 0, 1], 6881).into() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A world in which our node knows `n` others that say where they see it.
fn seen_at(settings: Settings, n: u8, ours: &str) -> World {
    let mut world = World::fresh(settings);
    (0..n).for_each(|n| world.add(node(n)));
    world.others.values_mut().for_each(|o| o.sees_us_at = Some(ip(ours)));
    (0..n).for_each(|n| world.input(Input::Command(Command::AddNode(node(n).addr))));
    world.run_for(10 * SECOND);
    world
}

#[test]
fn three_networks_that_agree_give_us_an_id_of_our_address_and_the_table_moves_with_it() {
    let mut world = World::fresh(V4);
    world.input(Input::Command(Command::Search { target: KEY, announce: None, is_urgent: true }));
    (0..20).for_each(|n| world.add(node(n)));
    (0..20).for_each(|n| world.input(Input::Command(Command::AddNode(node(n).addr))));
    world.run_for(10 * SECOND);
    assert_eq!((world.moves(), world.table().len()), (vec![], 20), "nobody said where we are");
    world.others.values_mut().for_each(|o| o.sees_us_at = Some(ip("124.31.75.21")));
    world.run_for(20 * MINUTE);
    let id = world.node.id();
    assert!(is_compliant(&id, ip("124.31.75.21")) && id.0[19] == OWN.0[19] && id.0[..19] != OWN.0[..19]);
    assert_eq!(world.moves(), [(ip("124.31.75.21"), id)]);
    assert_eq!(world.table().len(), 20);
    for row in world.node.table() {
        assert_eq!(row.bucket, row.node.id.distance(&id).shared_bits());
    }
    let is_near = |target: &NodeId| target.distance(&id).shared_bits() >= 64;
    let seeks_us = |(_, m): &(SocketAddr, Message)| matches!(&m.kind, Kind::Query(Query { method: Method::FindNode { target }, .. }) if is_near(target));
    assert!(world.sent.iter().any(seeks_us), "our new neighbourhood is looked up");
    world.sent.clear();
    world.run_for(20 * MINUTE);
    let goes_on = |(_, m): &(SocketAddr, Message)| matches!(&m.kind, Kind::Query(q) if q.id == id && matches!(q.method, Method::GetPeers { .. }));
    assert!(world.sent.iter().any(goes_on), "the standing search goes on under the new id");
}

#[test]
fn an_id_of_an_earlier_run_is_kept_while_its_address_holds() {
    let own = compliant_id(ip("124.31.75.21"), OWN);
    let mut world = seen_at(Settings { own_id: Some(own), ..V4 }, 20, "124.31.75.21");
    world.run_for(60 * MINUTE);
    assert_eq!(world.moves(), [(ip("124.31.75.21"), own)]);
}

#[test]
fn an_address_that_flaps_changes_our_id_once_at_most() {
    let mut world = seen_at(V4, 20, "124.31.75.21");
    let id = world.node.id();
    for round in 0..100 {
        for (n, other) in world.others.values_mut().enumerate() {
            other.sees_us_at = Some(ip(if (n + round) % 2 == 0 { "124.31.75.21" } else { "84.124.73.14" }));
        }
        world.run_for(MINUTE);
    }
    assert_eq!(world.moves(), [(ip("124.31.75.21"), id)]);
}

#[test]
fn a_new_address_is_followed_within_half_an_hour() {
    let mut world = seen_at(V4, 20, "124.31.75.21");
    world.others.values_mut().for_each(|o| o.sees_us_at = Some(ip("84.124.73.14")));
    world.run_for(30 * MINUTE);
    let id = world.node.id();
    assert!(is_compliant(&id, ip("84.124.73.14")));
    assert_eq!(world.moves().len(), 2);
}

#[test]
fn vote_liars_of_one_network_do_not_move_our_id() {
    let mut world = World::fresh(V4);
    for n in 0..200u8 {
        let liar = NodeInfo { addr: ([20, 1, n, 1], 6881).into(), ..node(n) };
        world.add(liar);
        world.input(Input::Command(Command::Ping(liar.addr)));
    }
    world.others.values_mut().for_each(|o| o.sees_us_at = Some(ip("6.6.6.6")));
    world.run_for(30 * MINUTE);
    assert!(world.table().len() > 50);
    assert_eq!((world.moves(), world.node.id()), (vec![], OWN));
}

#[test]
fn address_votes_of_packets_we_did_not_ask_for_are_ignored() {
    let mut world = World::fresh(V4);
    let ours = Some(SocketAddr::from(([6, 6, 6, 6], 1)));
    for n in 0..100 {
        let from = node(n).addr;
        world.receive(from, &Message { ip: ours, ..query(node(n).id, Method::Ping) });
        let kind = Kind::Response(Response::new(node(n).id));
        for transaction in [b"aa".to_vec(), vec![0, 0, 0, n]] {
            let unasked = Message { transaction, ip: ours, ..query(OWN, Method::Ping) };
            world.receive(from, &Message { kind: kind.clone(), ..unasked });
        }
    }
    world.run_for(SECOND);
    assert_eq!((world.moves(), world.node.id()), (vec![], OWN));
}

#[test]
fn tables_are_not_polluted_by_spoofed_and_zero_network_nodes() {
    let mut world = World::fresh(V4);
    let bad: Vec<NodeInfo> = [
        "0.0.0.0:1",
        "0.1.2.3:6881",
        "127.0.0.1:6881",
        "10.1.1.1:6881",
        "172.16.0.1:1",
        "192.168.1.1:6881",
        "169.254.9.9:6881",
        "100.64.0.1:6881",
        "224.0.0.1:6881",
        "255.255.255.255:6881",
        "9.9.9.9:0",
    ]
    .iter()
    .zip(30..)
    .map(|(addr, n)| NodeInfo { addr: addr.parse().unwrap(), ..node(n) })
    .collect();
    bad.iter().for_each(|n| world.add(*n));
    world.add(node(1));
    world.others.get_mut(&node(1).addr).expect("added").nodes = bad.clone();
    world.input(Input::Command(Command::AddNode(node(1).addr)));
    for spoofed in bad.iter().filter(|n| matches!(n.addr.ip().to_string().as_bytes()[0], b'0' | b'2' | b'9'))
    {
        world.receive(spoofed.addr, &query(spoofed.id, Method::Ping));
        world.input(Input::Command(Command::AddSaved(*spoofed)));
    }
    world.run_for(30 * MINUTE);
    // a hundred that query us with made-up sources, and answer nothing
    (100..200).for_each(|n| world.receive(node(n).addr, &query(node(n).id, Method::Ping)));
    world.run_for(30 * MINUTE);
    assert_eq!(world.table(), [node(1)]);
    assert!(world.asked().iter().all(|addr| bad.iter().all(|b| b.addr != *addr)));
}

#[test]
fn the_distance_to_our_own_id_underflows_nothing() {
    let mut world = World::fresh(V4);
    let ourselves = NodeInfo { id: OWN, addr: ([9, 9, 9, 9], 9).into() };
    world.befriend(node(1));
    world.others.get_mut(&node(1).addr).expect("added").nodes = vec![ourselves];
    world.befriend(ourselves);
    let found = world.response(ourselves.addr, OWN, Method::FindNode { target: OWN });
    assert_eq!(found.nodes, Some(vec![node(1)]));
    world.input(Input::Command(Command::AddSaved(ourselves)));
    world.input(Input::Command(Command::FindNode { target: OWN }));
    world.input(Input::Command(Command::Search { target: OWN.into(), announce: None, is_urgent: true }));
    world.run_for(30 * MINUTE);
    assert_eq!(world.table(), [node(1)]);
}

#[test]
fn a_router_that_asks_us_and_is_named_by_others_never_enters_the_table() {
    let mut world = World::fresh(V4);
    let router = node(99);
    world.add(router);
    (1..=20).for_each(|n| world.add(node(n)));
    world.others.values_mut().for_each(|o| o.nodes = vec![router, node(1), node(2), node(3)]);
    world.others.get_mut(&router.addr).expect("added").nodes = (1..=20).map(node).collect();
    world.input(Input::Command(Command::AddRouter(router.addr)));
    world.run_for(10 * SECOND);
    world.receive(router.addr, &query(router.id, Method::Ping));
    world.run_for(30 * MINUTE);
    assert_eq!(world.table().len(), 20);
    assert!(!world.table().contains(&router));
}

#[test]
fn with_eight_good_nodes_no_router_is_asked_and_in_an_emergency_it_is() {
    let mut world = World::fresh(V4);
    let router = node(99);
    world.add(router);
    (1..=20).for_each(|n| world.befriend(node(n)));
    world.sent.clear();
    world.input(Input::Command(Command::AddRouter(router.addr)));
    world.run_for(60 * MINUTE);
    assert!(!world.asked().contains(&router.addr));
    world.others.retain(|addr, _| *addr == router.addr);
    world.run_for(60 * MINUTE);
    assert!(world.asked().contains(&router.addr));
}

#[test]
fn nodes_that_did_not_answer_for_fifteen_minutes_are_told_to_nobody() {
    let now = Instant::from_micros(3_600_000_000);
    let warm = (0..20).map(|n| (node(n), if n < 3 { 14 } else { 15 } * MINUTE, LATENCY));
    let mut world = World::new(Node::warm(V4, [7; 32], now, warm), now);
    assert_eq!(world.table().len(), 20);
    let asker = SocketAddr::from(([9, 9, 9, 9], 9));
    let told = world.response(asker, node(50).id, Method::FindNode { target: OWN }).nodes;
    let told: BTreeSet<NodeInfo> = told.into_iter().flatten().collect();
    assert_eq!(told, (0..3).map(node).collect());
}

#[test]
fn sybils_of_one_slash_24_get_one_place_in_a_bucket_and_one_address_one_place_in_all() {
    let mut world = World::fresh(V4);
    for n in 0..=250u8 {
        world.befriend(NodeInfo { addr: ([66, 6, 6, n], 6881).into(), ..node(n) });
    }
    assert_eq!(world.table().len(), 4, "one in each of the four buckets that their ids reach");
    let mut world = World::fresh(V4);
    for n in 0..=250u8 {
        world.befriend(NodeInfo { addr: ([66, 6, 6, 6], 6000 + u16::from(n)).into(), ..node(n) });
    }
    assert_eq!(world.table().len(), 1);
}

#[test]
fn the_holder_of_an_ipv6_slash_32_gets_one_place_in_a_deep_bucket() {
    let mut world = World::fresh(Settings { family: Family::V6, ..V4 });
    let at = |byte: usize, n: u8, net: u16| {
        let mut id = OWN;
        id.0[byte] ^= 0x80;
        id.0[19] = n;
        NodeInfo { id, addr: SocketAddr::new([0x2a00, net, u16::from(n), 0, 0, 0, 0, 1].into(), 6881) }
    };
    let (far, deep) = (|n, net| at(0, n, net), |n, net| at(2, n, net));
    (0..100).for_each(|n| world.befriend(deep(n, 1)));
    assert_eq!(world.table().len(), 1);
    (100..104).for_each(|n| world.befriend(deep(n, u16::from(n))));
    assert_eq!(world.table().len(), 5, "other networks have their places");
    (110..150).for_each(|n| world.befriend(far(n, 1)));
    assert_eq!(world.table().len(), 45, "in the wide buckets a /64 each");
    let same_64 = SocketAddr::new([0x2a00, 1, 110, 0, 9, 9, 9, 9].into(), 1);
    world.befriend(NodeInfo { addr: same_64, ..far(160, 1) });
    assert_eq!(world.table().len(), 45);
}

/// Nodes of the widest bucket with addresses of their own, whose ids follow from them or do not.
fn wide(first: u8, is_plain: bool) -> impl Iterator<Item = NodeInfo> {
    let at = move |n: u16| {
        let [b, c] = n.to_be_bytes();
        let addr = SocketAddr::from(([first, b, c, 1], 6881));
        let mut id = compliant_id(addr.ip(), NodeId([c; 20]));
        id.0[1] ^= u8::from(is_plain);
        NodeInfo { id, addr }
    };
    (0..1000).map(at).filter(|n| n.id.distance(&OWN).shared_bits() == 0)
}

#[test]
fn a_node_whose_id_does_not_follow_from_its_address_is_answered_and_yields_its_place() {
    let mut world = World::fresh(V4);
    wide(30, true).take(150).for_each(|n| world.befriend(n));
    let plain = world.table();
    assert_eq!(plain.len(), 128);
    let asker = wide(31, true).next().expect("there are hundreds");
    let found = world.response(asker.addr, asker.id, Method::FindNode { target: asker.id });
    assert_eq!(found.nodes.map(|n| n.len()), Some(8), "it is answered, and with its like");
    let honest: Vec<NodeInfo> = wide(40, false).take(100).collect();
    honest.iter().for_each(|n| world.befriend(*n));
    let table = world.table();
    assert!(table.len() == 128 && honest.iter().all(|n| table.contains(n)));
    wide(50, true).take(100).for_each(|n| world.befriend(n));
    let table = world.table();
    assert!(honest.iter().all(|n| table.contains(n)), "none displaces one that keeps to the rule");
}

#[test]
fn with_nineteen_of_twenty_saved_nodes_dead_we_converge() {
    let mut world = World::fresh(V4);
    let saved: Vec<NodeInfo> = wide(30, false).take(300).collect();
    let all: Vec<NodeInfo> = (0..=250).map(node).collect();
    all.iter().for_each(|n| world.add(*n));
    for (n, other) in world.others.values_mut().enumerate() {
        other.nodes = (0..8).map(|i| all[(n * 37 + i * 31) % all.len()]).collect();
    }
    for alive in saved.iter().step_by(20) {
        world.add(*alive);
        world.others.get_mut(&alive.addr).expect("added").nodes = all[..8].to_vec();
    }
    saved.iter().for_each(|n| world.input(Input::Command(Command::AddSaved(*n))));
    world.run_for(MINUTE);
    assert!(world.node.good_node_count() > 50, "{} good nodes", world.node.good_node_count());
    assert!(world.events.iter().any(|e| matches!(e, Event::Bootstrapped { .. })));
}

#[test]
fn upkeep_of_a_full_table_stays_within_six_kilobytes_a_minute() {
    let now = Instant::from_micros(3_600_000_000);
    let mut nodes = Vec::new();
    for bucket in 0..12usize {
        for n in 0..[128, 64, 32, 16].get(bucket).copied().unwrap_or(8u8) {
            let mut id = OWN;
            id.0[bucket / 8] ^= 0x80 >> (bucket % 8);
            // the bits below spread a bucket's nodes
            id.0[bucket / 8 + 1] = n.wrapping_mul(37);
            id.0[19] = n;
            let addr = ([20 + u8::try_from(bucket).unwrap(), n, 0, 1], 6881).into();
            nodes.push(NodeInfo { id, addr });
        }
    }
    let warm = (0..).zip(&nodes).map(|(n, node)| (*node, SECOND * (n * 7 % 780), LATENCY * 2));
    let mut world = World::new(Node::warm(V4, [7; 32], now, warm), now);
    nodes.iter().for_each(|n| world.add(*n));
    for (n, other) in world.others.values_mut().enumerate() {
        other.nodes = (0..8).map(|i| nodes[(n * 37 + i * 31) % nodes.len()]).collect();
    }
    assert!(world.table().len() > 290);
    let hours = 4;
    world.run_for(MINUTE * 60 * hours);
    let full = usize::try_from(60 * hours).unwrap();
    // IP and UDP headers of both ways count too
    let headers = world.sent.len() * 2 * 28;
    let per_minute = (world.bytes + headers) / full;
    println!("{} B/min, {} queries/min", per_minute, world.sent.len() / full);
    assert!(per_minute <= 6000, "{per_minute} bytes a minute");
    assert!(world.node.good_node_count() > 290);
}
