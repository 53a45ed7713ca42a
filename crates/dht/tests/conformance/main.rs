//! One node, addressed by hand: what it answers, what it refuses, what it believes.

mod bench;
mod families;
mod items;
mod limits;
mod samples;
mod scrape;
mod traps;

use bench::*;
use core::net::SocketAddr;
use proptest::prelude::*;
use std::collections::BTreeSet;
use unchoke_dht::{Announce, Command, Event, Family, Input, NodeId, NodeInfo, Step};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{Kind, Message, Method, Query, Response, Want};
use unchoke_wire::time::Duration;

#[test]
fn a_ping_is_answered_with_our_id_and_the_askers_endpoint() {
    let mut bench = Bench::new();
    let ping = b"d1:ad2:id20:mnopqrstuvwxyz123456e1:q4:ping1:t2:aa1:y1:qe";
    let (sent, _) = bench.input(Input::Datagram { from: at(1), bytes: ping });
    let expected =
        b"d2:ip6:\x08\x08\x01\x01\x1a\xe11:rd2:id20:abcdefghij0123456789e1:t2:aa1:v4:UK\x00\x011:y1:re";
    assert_eq!(sent[0], (at(1), expected.to_vec()));
}

//= S44
#[test]
fn find_node_tells_nodes_and_never_peers() {
    let mut bench = Bench::new();
    (1..=20).for_each(|n| bench.befriend(node(n)));
    let token = bench.response(at(100), get_peers()).token.expect("a token");
    bench.response(at(100), announce(&token, 7000, false));
    let r = bench.response(at(100), Method::FindNode { target: NodeId([5; 20]) });
    assert_eq!(r.nodes.as_ref().map(|n| (n.len(), n[0])), Some((8, node(5))));
    assert_eq!((r.values, r.token, r.nodes6), (vec![], None, None));
    let r = bench.response(at(101), get_peers());
    assert_eq!((r.values, r.nodes.map(|n| n.len())), (vec![SocketAddr::new(at(100).ip(), 7000)], Some(8)));
}

//= S44
#[test]
fn peers_are_believed_from_get_peers_alone() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let values = vec![at(9)];
    let (sent, _) = bench.command(Command::FindNode { target: KEY });
    let (_, find_node) = &sent[0];
    let reply = Response { values: values.clone(), nodes: Some(vec![node(2)]), ..Response::new(node(1).id) };
    let (_, events) = bench.receive(at(1), &answer(find_node, reply.clone()));
    assert!(!events.iter().any(|e| matches!(e, Event::PeersFound { .. })), "{events:?}");
    let (sent, _) = bench.command(Command::Search { target: KEY.into(), announce: None, is_urgent: true });
    let (to, get_peers) = &sent[0];
    assert!(matches!(&get_peers.kind, Kind::Query(q) if matches!(q.method, Method::GetPeers { .. })));
    assert_eq!(*to, at(1));
    let (_, events) = bench.receive(at(1), &answer(get_peers, reply));
    assert!(events.contains(&Event::PeersFound { target: KEY.into(), peers: values }));
    assert!(!events.iter().any(|e| matches!(e, Event::PeersFound { peers, .. } if peers.contains(&at(2)))));
}

#[test]
fn want_for_the_other_family_gets_no_nodes_and_ours_does() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    for (v4, v6, has_nodes) in [(true, false, true), (false, true, false), (true, true, true)] {
        let want = Some(Want { v4, v6 });
        let kind = Kind::Query(Query { id: OTHER, want, method: Method::FindNode { target: KEY } });
        let (sent, _) = bench.receive(at(100), &Message { kind, ..query(OTHER, Method::Ping) });
        let Kind::Response(r) = &sent[0].1.kind else { panic!("a response") };
        assert_eq!((r.nodes.is_some(), r.nodes6.is_some()), (has_nodes, false));
    }
}

#[test]
fn over_ipv6_nodes6_are_told() {
    let mut bench = Bench::with(|s| s.family = Family::V6);
    let v6 = |n: u16| SocketAddr::from(([0x2a00, n, 0, 0, 0, 0, 0, 1], 6881));
    bench.befriend(NodeInfo { id: NodeId([1; 20]), addr: v6(1) });
    let r = bench.response(v6(2), get_peers());
    assert_eq!((r.nodes, r.nodes6.map(|n| n[0].addr)), (None, Some(v6(1))));
    let (sent, _) = bench.receive(at(1), &query(OTHER, Method::Ping));
    assert!(sent.is_empty(), "IPv4 is another node's business");
}

#[test]
fn an_announcement_needs_the_token_given_to_the_same_ip_for_the_same_key_lately() {
    let mut bench = Bench::new();
    let token = bench.response(at(1), get_peers()).token.expect("a token");
    let other_port = SocketAddr::new(at(1).ip(), 9);
    assert_eq!(error_code(&bench.query(at(2), announce(&token, 7000, false))), Some(203));
    assert_eq!(error_code(&bench.query(at(1), announce(b"aoeusnth", 7000, false))), Some(203));
    assert_eq!(error_code(&bench.query(at(1), announce(b"", 7000, false))), Some(203));
    let elsewhere = Method::AnnouncePeer {
        info_hash: OTHER,
        port: 7000,
        implied_port: false,
        token: token.clone(),
        is_seed: false,
    };
    assert_eq!(error_code(&bench.query(at(1), elsewhere)), Some(203));
    assert_eq!(bench.node.stored_peer_count(), 0);
    bench.wait(5 * MINUTE);
    assert_eq!(error_code(&bench.query(other_port, announce(&token, 7000, false))), None);
    assert_eq!(bench.node.stored_peer_count(), 1);
    bench.wait(5 * MINUTE);
    assert_eq!(error_code(&bench.query(at(1), announce(&token, 7001, false))), Some(203));
}

#[test]
fn an_implied_port_is_the_datagrams_and_port_zero_is_refused() {
    let mut bench = Bench::new();
    let token = bench.response(at(1), get_peers()).token.expect("a token");
    bench.response(at(1), announce(&token, 0, true));
    assert_eq!(bench.response(at(2), get_peers()).values, [at(1)]);
    let zero = query(OTHER, announce(&token, 0, false));
    let (sent, _) = bench.receive(at(1), &zero);
    assert_eq!(error_code(&sent[0].1.kind), Some(203));
    assert_eq!(bench.node.stored_peer_count(), 1);
}

#[test]
fn of_a_hundred_and_one_peers_a_reply_tells_fifty_at_random_within_1024_bytes() {
    let mut bench = Bench::new();
    for n in 1..=101 {
        let token = bench.response(at(n), get_peers()).token.expect("a token");
        bench.response(at(n), announce(&token, 7000, false));
    }
    (110..=130).for_each(|n| bench.befriend(node(n)));
    let ask = query(OTHER, get_peers()).encode();
    let (a, _) = bench.input(Input::Datagram { from: at(200), bytes: &ask });
    assert!(a[0].1.len() <= 1024);
    let (a, b) = (bench.response(at(200), get_peers()), bench.response(at(200), get_peers()));
    assert_eq!((a.values.len(), b.values.len(), a.nodes.map(|n| n.len())), (50, 50, Some(8)));
    assert_ne!(a.values, b.values);
}

#[test]
fn seeds_are_left_out_on_demand() {
    let mut bench = Bench::new();
    let token = bench.response(at(1), get_peers()).token.expect("a token");
    let seed = Method::AnnouncePeer { info_hash: KEY, port: 7000, implied_port: false, token, is_seed: true };
    bench.response(at(1), seed);
    let no_seeds = Method::GetPeers { info_hash: KEY, no_seeds: true, scrape: false };
    assert_eq!(bench.response(at(2), no_seeds).values, []);
    assert_eq!(bench.response(at(2), get_peers()).values.len(), 1);
}

#[test]
fn unknown_methods_that_seek_are_led_on_and_others_refused() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let unknown = |target| Method::Unknown { name: b"sample_nothing".to_vec(), target };
    assert_eq!(bench.response(at(2), unknown(Some(KEY))).nodes, Some(vec![node(1)]));
    assert_eq!(error_code(&bench.query(at(2), unknown(None))), Some(204));
}

#[test]
fn what_cannot_be_decoded_is_never_answered() {
    let mut bench = Bench::new();
    let half = &query(OTHER, get_peers()).encode()[..40];
    for bytes in [&b""[..], b"hello", b"de", b"d1:t2:aa1:y1:qe", half, &[0xff; 1500], &[b'l'; 60_000]] {
        let (sent, events) = bench.input(Input::Datagram { from: at(1), bytes });
        let is_refusal =
            sent.iter().all(|(_, b)| Message::decode(b).is_ok_and(|m| error_code(&m.kind) == Some(203)));
        assert!(is_refusal && (sent.is_empty() || bytes.len() == 15) && events.is_empty());
    }
}

#[test]
fn the_fifty_first_query_of_an_address_in_ten_seconds_meets_silence() {
    let mut bench = Bench::new();
    let ping = query(OWN, Method::Ping);
    let answered = (0..60).filter(|_| !bench.receive(at(1), &ping).0.is_empty()).count();
    assert_eq!(answered, 50);
    assert!(!bench.receive(at(2), &ping).0.is_empty());
    bench.wait(Duration::from_secs(10));
    assert!(!bench.receive(at(1), &ping).0.is_empty());
}

#[test]
fn a_node_that_queries_us_is_asked_before_it_enters_the_table() {
    let mut bench = Bench::new();
    let (sent, _) = bench.receive(at(1), &query(node(1).id, Method::Ping));
    assert_eq!((sent.len(), bench.live()), (2, vec![]));
    bench.receive(at(1), &answer(&sent[1].1, Response::new(node(1).id)));
    assert_eq!(bench.live(), [node(1)]);
}

#[test]
fn a_read_only_sender_is_answered_but_never_asked() {
    let mut bench = Bench::new();
    let ping = Message { is_read_only: true, ..query(node(1).id, Method::Ping) };
    let (sent, _) = bench.receive(at(1), &ping);
    assert!(matches!(sent[..], [(_, Message { kind: Kind::Response(_), .. })]));
    let (sent, _) = bench.wait(20 * MINUTE);
    assert!(sent.is_empty() && bench.live().is_empty());
}

#[test]
fn a_read_only_node_asks_with_ro_and_answers_nothing() {
    let mut bench = Bench::with(|s| s.is_read_only = true);
    assert!(bench.receive(at(1), &query(OTHER, get_peers())).0.is_empty());
    let bad = b"d1:ade1:q4:ping1:t2:aa1:y1:qe";
    assert!(bench.input(Input::Datagram { from: at(1), bytes: bad }).0.is_empty());
    let (sent, _) = bench.command(Command::AddNode(at(2)));
    assert!(sent[0].1.is_read_only);
}

#[test]
fn an_answer_counts_only_from_whom_was_asked_with_the_same_transaction_and_in_time() {
    let mut bench = Bench::new();
    let (sent, _) = bench.command(Command::AddNode(at(1)));
    let asked = &sent[0].1;
    let good = answer(asked, Response::new(node(1).id));
    let other_port = SocketAddr::new(at(1).ip(), 9);
    bench.receive(at(2), &good);
    bench.receive(other_port, &good);
    bench.receive(at(1), &Message { transaction: b"aa".to_vec(), ..good.clone() });
    bench.receive(at(1), &Message { transaction: vec![0; 4], ..good.clone() });
    bench.receive(at(1), &answer(asked, Response::new(OWN)));
    assert!(bench.live().is_empty());
    bench.wait(10 * MINUTE);
    bench.receive(at(1), &good);
    assert!(bench.live().is_empty(), "too late");
    let (sent, _) = bench.command(Command::AddNode(at(1)));
    bench.wait(Duration::from_secs(4));
    bench.receive(at(1), &answer(&sent[0].1, Response::new(node(1).id)));
    assert_eq!(bench.live(), [node(1)], "slow, but not given up");
}

#[test]
fn an_answer_under_another_id_than_was_meant_makes_nobody_live() {
    let mut bench = Bench::new();
    let (sent, _) = bench.command(Command::AddSaved(node(1)));
    bench.receive(at(1), &answer(&sent[0].1, Response::new(OTHER)));
    assert!(bench.live().is_empty());
    bench.befriend(node(2));
    let (sent, _) = bench.command(Command::FindNode { target: KEY });
    bench.receive(at(2), &answer(&sent[0].1, Response::new(OTHER)));
    assert!(bench.live().is_empty(), "the node we knew is not there any more");
}

#[test]
fn a_router_gives_nodes_but_never_enters_the_table() {
    let mut bench = Bench::new();
    let (sent, _) = bench.command(Command::AddRouter(at(1)));
    let reply = Response { nodes: Some(vec![node(2)]), ..Response::new(node(1).id) };
    let (sent, _) = bench.receive(at(1), &answer(&sent[0].1, reply));
    assert_eq!(sent[0].0, at(2));
    bench.receive(at(2), &answer(&sent[0].1, Response::new(node(2).id)));
    assert_eq!(bench.live(), [node(2)]);
    bench.receive(at(1), &query(node(1).id, Method::Ping));
    bench.wait(MINUTE);
    assert!(!bench.live().contains(&node(1)));
}

#[test]
fn an_unreachable_endpoint_is_given_up_at_once() {
    let mut bench = Bench::new();
    bench.command(Command::Ping(at(1)));
    let (_, events) = bench.command(Command::ReportUnreachable(at(1)));
    assert_eq!(events, [Event::NoPong { to: at(1) }]);
    let (_, events) = bench.wait(MINUTE);
    assert!(events.is_empty());
}

#[test]
fn our_own_address_and_addresses_beyond_the_tellers_scope_are_no_peers_and_no_nodes() {
    let mut bench = Bench::new();
    bench.command(Command::SetOwnAddresses(vec![at(50), at(51)]));
    bench.befriend(node(1));
    let (sent, _) = bench.command(Command::Search { target: KEY.into(), announce: None, is_urgent: true });
    let local = SocketAddr::from(([127, 0, 0, 1], 7000));
    let private = SocketAddr::from(([192, 168, 1, 1], 7000));
    let nodes = vec![
        NodeInfo { id: NodeId([50; 20]), addr: at(50) },
        NodeInfo { id: NodeId([51; 20]), addr: local },
        NodeInfo { id: NodeId([52; 20]), addr: private },
        NodeInfo { id: OWN, addr: at(53) },
        node(60),
    ];
    let values = vec![at(50), local, private, at(9), at(51)];
    let reply = Response { values, nodes: Some(nodes), ..Response::new(node(1).id) };
    let (sent, events) = bench.receive(at(1), &answer(&sent[0].1, reply));
    assert_eq!(events, [Event::PeersFound { target: KEY.into(), peers: vec![at(9)] }]);
    assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [at(60)]);
}

#[test]
fn private_nodes_and_peers_are_not_told_to_strangers() {
    let mut bench = Bench::new();
    let private = |n| SocketAddr::from(([192, 168, 1, n], 7000));
    bench.befriend(NodeInfo { id: NodeId([1; 20]), addr: private(1) });
    bench.befriend(node(2));
    let token = bench.response(private(3), get_peers()).token.expect("a token");
    bench.response(private(3), announce(&token, 7000, false));
    let r = bench.response(at(9), get_peers());
    assert_eq!((r.nodes, r.values), (Some(vec![node(2)]), vec![]));
    let r = bench.response(private(4), get_peers());
    assert_eq!((r.nodes.map(|n| n.len()), r.values.len()), (Some(2), 1));
}

#[test]
fn a_hybrid_torrent_is_searched_and_announced_under_both_keys() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let mut announced = Vec::new();
    for key in [KEY, OTHER] {
        let announce = Some(Announce { port: 7000, implied_port: false, is_seed: true });
        let (sent, _) = bench.command(Command::Search { target: key.into(), announce, is_urgent: true });
        let reply = Response { token: Some(key.0[..4].to_vec()), ..Response::new(node(1).id) };
        let (sent, events) = bench.receive(at(1), &answer(&sent[0].1, reply));
        assert!(
            events
                .iter()
                .any(|e| matches!(e, Event::SearchDone { target, .. } if *target == WireHash::from(key)))
        );
        let Kind::Query(q) = &sent[0].1.kind else { panic!("a query") };
        announced.push(q.method.clone());
        let (_, events) = bench.receive(at(1), &answer(&sent[0].1, Response::new(node(1).id)));
        assert_eq!(events, [Event::Announced { target: key.into(), to: 1 }]);
    }
    for (method, key) in announced.iter().zip([KEY, OTHER]) {
        let token = key.0[..4].to_vec();
        let expected =
            Method::AnnouncePeer { info_hash: key, port: 7000, implied_port: false, token, is_seed: true };
        assert_eq!(*method, expected);
    }
}

#[test]
fn a_stopped_search_asks_and_reports_nothing_more() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let (sent, _) = bench.command(Command::Search { target: KEY.into(), announce: None, is_urgent: true });
    bench.command(Command::StopSearch { target: KEY.into() });
    let reply = Response { values: vec![at(9)], nodes: Some(vec![node(2)]), ..Response::new(node(1).id) };
    let (sent, events) = bench.receive(at(1), &answer(&sent[0].1, reply));
    assert!(sent.is_empty() && events.is_empty());
}

#[test]
fn the_steps_of_a_commanded_lookup_are_told_on_demand() {
    let mut bench = Bench::with(|s| s.reports_steps = true);
    bench.befriend(node(1));
    let steps = |events: Vec<Event>| -> Vec<(NodeInfo, Step)> {
        let step =
            |e| if let Event::Step { target: KEY, node, step } = e { Some((node, step)) } else { None };
        events.into_iter().filter_map(step).collect()
    };
    let (sent, events) = bench.command(Command::FindNode { target: KEY });
    assert_eq!(steps(events), [(node(1), Step::Asked)]);
    bench.now = bench.now + Duration::from_millis(20);
    let reply = Response { nodes: Some(vec![node(2), node(3)]), ..Response::new(node(1).id) };
    let (_, events) = bench.receive(at(1), &answer(&sent[0].1, reply));
    let answered = Step::Answered { rtt: Duration::from_millis(20), nodes: 2, peers: 0 };
    let expected = [(node(1), answered), (node(2), Step::Asked), (node(3), Step::Asked)];
    assert_eq!(BTreeSet::from_iter(steps(events).iter().map(|s| format!("{s:?}"))).len(), expected.len());
    let (_, events) = bench.command(Command::ReportUnreachable(at(3)));
    assert_eq!(steps(events), [(node(3), Step::Failed)]);
    let (_, events) = bench.wait(Duration::from_secs(1));
    let expected = [(node(2), Step::Slow), (node(2), Step::AskedAgain), (node(2), Step::Slow)];
    assert_eq!(steps(events.clone()), expected);
    assert!(events.iter().any(|e| matches!(e, Event::NodesFound { closest, .. } if *closest == [node(1)])));
}

fn datagrams() -> impl Strategy<Value = Vec<u8>> {
    let valid = prop_oneof![
        Just(query(OTHER, Method::Ping).encode()),
        Just(query(OTHER, announce(b"12345678", 7000, true)).encode()),
        Just(answer(&query(OTHER, Method::Ping), Response::new(OTHER)).encode()),
        Just(b"d1:eli203e9:Bad Tokene1:t4:aaaa1:y1:ee".to_vec()),
    ];
    let damaged = (valid, 0usize..200, any::<u8>(), 0usize..40).prop_map(|(mut bytes, at, to, cut)| {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()) / 4);
        bytes
    });
    prop_oneof![damaged, prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn no_unsolicited_datagram_changes_the_table_or_the_store(
        datagrams in prop::collection::vec((datagrams(), any::<[u8; 4]>(), any::<u16>()), 1..40),
    ) {
        let mut bench = Bench::new();
        (1..=9).for_each(|n| bench.befriend(node(n)));
        let rows: Vec<_> = bench.node.table().collect();
        for (bytes, ip, port) in datagrams {
            let (sent, events) = bench.input(Input::Datagram { from: SocketAddr::from((ip, port)), bytes: &bytes });
            prop_assert!(events.is_empty());
            prop_assert!(sent.len() <= 2 && sent.iter().all(|(_, b)| b.len() <= 1024));
        }
        prop_assert_eq!(bench.node.table().collect::<Vec<_>>(), rows);
        prop_assert_eq!(bench.node.stored_peer_count(), 0);
    }
}
