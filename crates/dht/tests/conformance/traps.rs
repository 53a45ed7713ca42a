//! Mistakes that other nodes made or that the wire invites, and tricks that no other file here is about.

use super::bench::*;
use core::net::SocketAddr;
use std::collections::{BTreeSet, VecDeque};
use unchoke_dht::{Announce, Command, Event, Family, Input, NodeId, NodeInfo};
use unchoke_wire::krpc::{Kind, Message, Method, Query, Response};

/// Answers every query among `sent`, and those that follow, with what `respond` has for its receiver. Hands out the
/// queries in order, and the events.
fn answer_all(
    bench: &mut Bench,
    sent: Vec<(SocketAddr, Message)>,
    respond: impl Fn(NodeInfo) -> Response,
) -> (Vec<(SocketAddr, Method)>, Vec<Event>) {
    let (mut asked, mut events) = (Vec::new(), Vec::new());
    let mut queue = VecDeque::from(sent);
    while let Some((to, ask)) = queue.pop_front() {
        let Kind::Query(Query { method, .. }) = &ask.kind else { continue };
        asked.push((to, method.clone()));
        let known = bench.live().into_iter().find(|n| n.addr == to).expect("nodes we know are asked");
        let (s, e) = bench.receive(to, &answer(&ask, respond(known)));
        queue.extend(s);
        events.extend(e);
    }
    (asked, events)
}

fn search(port: Option<u16>) -> Command {
    let announce = port.map(|port| Announce { port, implied_port: false, is_seed: false });
    Command::Search { target: KEY.into(), announce, is_urgent: true }
}

/// The response to a query in these bytes, whose transaction is `aa`.
fn response_to(bench: &mut Bench, from: SocketAddr, bytes: &[u8]) -> Response {
    let (sent, _) = bench.input(Input::Datagram { from, bytes });
    match decoded(sent).into_iter().find(|(_, m)| m.transaction == b"aa").map(|(_, m)| m.kind) {
        Some(Kind::Response(response)) => response,
        other => panic!("not a response: {other:?}"),
    }
}

#[test]
fn a_transaction_id_is_echoed_exactly_whatever_its_bytes_and_length() {
    let mut bench = Bench::new();
    for transaction in [vec![0], vec![0xff; 2], b"1:t4:e".to_vec(), vec![b'e'; 9], vec![0x80; 64]] {
        for method in [Method::Ping, Method::Unknown { name: b"x".to_vec(), target: None }] {
            let ask = Message { transaction: transaction.clone(), ..query(OTHER, method) };
            let (sent, _) = bench.receive(at(1), &ask);
            assert_eq!(sent[0].1.transaction, transaction);
        }
    }
}

#[test]
fn every_reply_and_refusal_names_the_askers_endpoint() {
    let mut bench = Bench::new();
    for method in [
        Method::Ping,
        Method::FindNode { target: KEY },
        get_peers(),
        Method::Get { target: KEY, seq: None },
        Method::SampleInfohashes { target: KEY },
        Method::Unknown { name: b"x".to_vec(), target: None },
        announce(b"forged", 7000, false),
    ] {
        let (sent, _) = bench.receive(at(1), &query(OTHER, method.clone()));
        assert_eq!((sent[0].0, sent[0].1.ip), (at(1), Some(at(1))), "{method:?}");
    }
}

#[test]
fn find_node_and_get_go_by_their_target_whatever_hash_they_carry() {
    let mut bench = Bench::new();
    (1..=20).for_each(|n| bench.befriend(node(n)));
    let (by_hash, by_target) = (node(17), node(5));
    for (method, expected) in
        [("9:find_node", by_target), ("3:get", by_target), ("9:get_peers", by_hash), ("6:future", by_target)]
    {
        let parts: [&[u8]; 7] = [
            b"d1:ad2:id20:mnopqrstuvwxyz1234569:info_hash20:",
            &by_hash.id.0,
            b"6:target20:",
            &by_target.id.0,
            b"e1:q",
            method.as_bytes(),
            b"1:t2:aa1:y1:qe",
        ];
        let r = response_to(&mut bench, at(100), &parts.concat());
        assert_eq!(r.nodes.map(|n| n[0]), Some(expected), "{method}");
    }
}

#[test]
fn no_query_goes_out_twice_to_who_answers() {
    let mut bench = Bench::new();
    (1..=20).for_each(|n| bench.befriend(node(n)));
    let (sent, _) = bench.command(search(Some(7000)));
    let (asked, events) = answer_all(&mut bench, sent, |n| {
        let nodes = Some((1..=20).map(node).collect());
        Response { nodes, token: Some(b"token".to_vec()), ..Response::new(n.id) }
    });
    assert!(events.iter().any(|e| matches!(e, Event::Announced { .. })));
    for (i, query) in asked.iter().enumerate() {
        assert!(!asked[..i].contains(query), "{query:?}");
    }
}

#[test]
fn an_announcement_goes_to_the_eight_closest_each_with_the_token_it_gave() {
    let mut bench = Bench::new();
    (1..=20).for_each(|n| bench.befriend(node(n)));
    let token = |n: NodeInfo| n.addr.ip().to_string().into_bytes();
    let (sent, _) = bench.command(search(Some(7000)));
    let (asked, events) =
        answer_all(&mut bench, sent, |n| Response { token: Some(token(n)), ..Response::new(n.id) });
    let mut closest: Vec<NodeInfo> = (1..=20).map(node).collect();
    closest.sort_unstable_by_key(|n| n.id.distance(&KEY));
    let told: BTreeSet<SocketAddr> = asked
        .iter()
        .filter(|(_, method)| matches!(method, Method::AnnouncePeer { .. }))
        .map(|(to, _)| *to)
        .collect();
    assert_eq!(told, closest[..8].iter().map(|n| n.addr).collect());
    for n in &closest[..8] {
        assert!(asked.contains(&(n.addr, announce(&token(*n), 7000, false))));
    }
    assert!(events.contains(&Event::Announced { target: KEY.into(), to: 8 }));
}

#[test]
fn who_gives_no_token_is_not_announced_to() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let (sent, _) = bench.command(search(Some(7000)));
    let (asked, _) = answer_all(&mut bench, sent, |n| Response::new(n.id));
    assert_eq!(asked, [(at(1), get_peers())]);
}

#[test]
fn a_hash_that_shares_no_bit_with_our_id_is_stored() {
    let mut bench = Bench::new();
    let info_hash = NodeId(OWN.0.map(|byte| !byte));
    let ask = Method::GetPeers { info_hash, no_seeds: false, scrape: false };
    let token = bench.response(at(1), ask.clone()).token.expect("a token");
    let tell = Method::AnnouncePeer { info_hash, port: 7000, implied_port: false, token, is_seed: false };
    bench.response(at(1), tell);
    assert_eq!(bench.response(at(2), ask).values, [SocketAddr::new(at(1).ip(), 7000)]);
}

#[test]
fn an_announcement_names_no_address_but_its_senders() {
    let mut bench = Bench::new();
    let token = bench.response(at(1), get_peers()).token.expect("a token");
    let parts: [&[u8]; 4] = [
        b"d1:ad2:id20:mnopqrstuvwxyz1234569:info_hash20:0123456789abcdefghij",
        b"2:ip4:\x09\x09\x09\x094:ipv44:\x09\x09\x09\x094:porti7000e5:token8:",
        &token,
        b"e2:ip6:\x09\x09\x09\x09\x1b\x581:q13:announce_peer1:t2:aa1:y1:qe",
    ];
    response_to(&mut bench, at(1), &parts.concat());
    assert_eq!(bench.response(at(2), get_peers()).values, [SocketAddr::new(at(1).ip(), 7000)]);
}

#[test]
fn a_token_of_one_family_is_of_no_use_in_the_other() {
    let (mut v4, mut v6) = (Bench::new(), Bench::with(|s| s.family = Family::V6));
    let token = v4.response(at(1), get_peers()).token.expect("a token");
    assert_eq!(error_code(&v6.query(at_v6(1), announce(&token, 7000, false))), Some(203));
    assert_eq!(error_code(&v4.query(at(1), announce(&token, 7000, false))), None);
}

#[test]
fn a_reply_of_a_hundred_peers_and_twenty_nodes_is_of_use_whole() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let (sent, _) = bench.command(search(None));
    let values: Vec<SocketAddr> = (1..=100).map(|n| SocketAddr::from(([9, 9, n, 9], 7000))).collect();
    let nodes = Some((101..=120).map(node).collect());
    let reply = answer(&sent[0].1, Response { values: values.clone(), nodes, ..Response::new(node(1).id) });
    assert!(reply.encode().len() > 1300);
    let (sent, events) = bench.receive(at(1), &reply);
    let peers = |e: &Event| match e {
        Event::PeersFound { peers, .. } => peers.clone(),
        _ => Vec::new(),
    };
    assert_eq!(events.iter().flat_map(peers).collect::<Vec<_>>(), values);
    let mut best: Vec<NodeInfo> = (101..=120).map(node).collect();
    best.sort_unstable_by_key(|n| n.id.distance(&KEY));
    assert_eq!(sent[0].0, best[0].addr);
}

#[test]
fn values_of_both_families_in_one_list_are_both_told() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let (sent, _) = bench.command(search(None));
    let values = vec![at(9), at_v6(9), at(10)];
    let reply = Response { values: values.clone(), ..Response::new(node(1).id) };
    let (_, events) = bench.receive(at(1), &answer(&sent[0].1, reply));
    assert!(events.contains(&Event::PeersFound { target: KEY.into(), peers: values }), "{events:?}");
}

#[test]
fn a_victim_that_a_liar_names_on_twenty_ports_is_asked_once() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let (sent, _) = bench.command(search(None));
    let victim = |n: u8| NodeInfo {
        id: NodeId([n; 20]),
        addr: SocketAddr::from(([66, 6, 6, 6], 7000 + u16::from(n))),
    };
    let reply = Response { nodes: Some((101..=120).map(victim).collect()), ..Response::new(node(1).id) };
    let (sent, _) = bench.receive(at(1), &answer(&sent[0].1, reply));
    assert_eq!(sent.len(), 1, "{sent:?}");
}

#[test]
fn a_node_that_a_peer_names_by_its_port_is_asked_before_it_enters_the_table() {
    let mut bench = Bench::new();
    let (sent, _) = bench.command(Command::AddNode(at(1)));
    assert_eq!((sent.len(), sent[0].0, bench.live()), (1, at(1), vec![]));
    assert_eq!(bench.response(at(2), Method::FindNode { target: KEY }).nodes, Some(vec![]));
    bench.receive(at(1), &answer(&sent[0].1, Response::new(node(1).id)));
    assert_eq!(bench.live(), [node(1)]);
}

#[test]
fn networks_that_were_dark_once_are_of_the_internet() {
    let mut bench = Bench::new();
    let dark = [3, 6, 7, 9, 11, 19, 21, 22, 25, 26, 28, 29, 30, 33, 34, 48, 56];
    let nodes = dark.map(|n| NodeInfo { id: NodeId([n; 20]), addr: SocketAddr::from(([n, 1, 2, 3], 6881)) });
    nodes.iter().for_each(|n| bench.befriend(*n));
    let live: BTreeSet<NodeInfo> = bench.live().into_iter().collect();
    assert_eq!(live, nodes.into_iter().collect());
    for n in nodes {
        let token = bench.response(n.addr, get_peers()).token.expect("a token");
        bench.response(n.addr, announce(&token, 7000, false));
    }
    assert_eq!(bench.response(at(1), get_peers()).values.len(), dark.len());
}
