//! Two nodes side by side, one in each family (BEP 32).

use super::bench::*;
use core::net::SocketAddr;
use unchoke_dht::{Command, Event, Family, Input, NodeId, NodeInfo};
use unchoke_wire::krpc::{Kind, Message, Method, Query, Response, Want};

fn node_v6(n: u8) -> NodeInfo {
    NodeInfo { id: NodeId([n; 20]), addr: at_v6(n.into()) }
}

fn v6() -> Bench {
    let mut bench = Bench::with(|s| s.family = Family::V6);
    (1..=20).for_each(|n| bench.befriend(node_v6(n)));
    bench
}

/// What is answered to a query with this `want` by `bench` beside `other`.
fn response(
    bench: &mut Bench,
    other: Option<&Bench>,
    from: SocketAddr,
    want: Option<Want>,
    method: Method,
) -> Response {
    let ask = Message { kind: Kind::Query(Query { id: OTHER, want, method }), ..query(OTHER, Method::Ping) };
    let (sent, _) =
        bench.input_beside(Input::Datagram { from, bytes: &ask.encode() }, other.map(|other| &other.node));
    let answer = decoded(sent).into_iter().find(|(_, m)| m.transaction == b"aa").expect("an answer");
    match answer.1.kind {
        Kind::Response(response) => response,
        other => panic!("not a response: {other:?}"),
    }
}

#[test]
fn nodes_of_both_families_are_told_to_those_who_want_them() {
    let (mut v4, mut v6) = (Bench::new(), v6());
    (1..=20).for_each(|n| v4.befriend(node(n)));
    let find = Method::FindNode { target: NodeId([5; 20]) };
    for (want, of_v4, of_v6) in [
        (None, Some(node(5)), None),
        (Some(Want { v4: true, v6: true }), Some(node(5)), Some(node_v6(5))),
        (Some(Want { v4: false, v6: true }), None, Some(node_v6(5))),
        (Some(Want { v4: true, v6: false }), Some(node(5)), None),
    ] {
        let first = |nodes: Option<Vec<NodeInfo>>| nodes.map(|n| n[0]);
        let r = response(&mut v4, Some(&v6), at(100), want, find.clone());
        assert_eq!((first(r.nodes), first(r.nodes6)), (of_v4, of_v6));
        let r = response(&mut v4, None, at(100), want, find.clone());
        assert_eq!(r.nodes6, None, "nobody knows them");
    }
    let both = Some(Want { v4: true, v6: true });
    let r = response(&mut v6, Some(&v4), at_v6(100), both, get_peers());
    assert_eq!((r.nodes.map(|n| n.len()), r.nodes6.map(|n| n.len())), (Some(8), Some(8)));
}

#[test]
fn private_nodes_of_the_other_family_are_not_told_to_strangers() {
    let (mut v4, mut v6) = (Bench::new(), Bench::with(|s| s.family = Family::V6));
    v6.befriend(NodeInfo { id: NodeId([1; 20]), addr: "[fd00::1]:7000".parse().unwrap() });
    v6.befriend(node_v6(2));
    let want = Some(Want { v4: false, v6: true });
    let r = response(&mut v4, Some(&v6), at(100), want, get_peers());
    assert_eq!(r.nodes6, Some(vec![node_v6(2)]));
}

#[test]
fn our_own_neighbourhood_is_asked_for_in_both_families_on_demand_and_others_are_told() {
    let mut bench = Bench::new();
    let want_of = |message: &Message| match &message.kind {
        Kind::Query(q) => q.want,
        other => panic!("not a query: {other:?}"),
    };
    let local = NodeInfo { id: NodeId([8; 20]), addr: "[::1]:7000".parse().unwrap() };
    for (n, wants_both) in [(1, true), (2, false)] {
        bench.command(Command::WantBoth(wants_both));
        let (sent, _) = bench.command(Command::AddNode(at(n)));
        let (_, contact) = sent.into_iter().find(|(to, _)| *to == at(n)).expect("a first contact");
        assert_eq!(want_of(&contact), wants_both.then_some(Want { v4: true, v6: true }));
        let nodes6 = Some(vec![node_v6(7), local]);
        let reply = Response { nodes: Some(vec![]), nodes6, ..Response::new(node(n).id) };
        let (_, events) = bench.receive(at(n), &answer(&contact, reply));
        assert_eq!(events.contains(&Event::HeardOf { nodes: vec![node_v6(7)] }), wants_both, "{events:?}");
    }
    bench.command(Command::WantBoth(true));
    let (sent, _) = bench.command(Command::FindNode { target: KEY });
    assert_eq!(want_of(&sent[0].1), None, "only where our own id is sought");
}
