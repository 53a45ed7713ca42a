//! What others may cost us and whom we could be made to hit: reply sizes, quotas, floods.

use super::bench::*;
use core::net::SocketAddr;
use unchoke_dht::{Command, Family, Input, NodeId, NodeInfo};
use unchoke_wire::item::Item;
use unchoke_wire::krpc::{Kind, Message, Method, Put, Query, Response, Want};
use unchoke_wire::time::Duration;

fn value(len: usize) -> Item {
    let digits = if len > 100 { 3 } else { 2 };
    let string = len - digits - 1;
    Item::Immutable { value: [format!("{string}:").as_bytes(), &vec![b'x'; string]].concat() }
}

/// A node of `family` with a full neighbourhood, a hundred peers and hashes, and items of these sizes.
fn laden(family: Family, items: &[usize]) -> Bench {
    let mut bench = Bench::with(|s| s.family = family);
    let addr = |n: u8| if family == Family::V4 { at(n) } else { at_v6(n.into()) };
    for n in 0..100 {
        for info_hash in [KEY, NodeId([n; 20])] {
            let ask = Method::GetPeers { info_hash, no_seeds: false, scrape: false };
            let token = bench.response(addr(n), ask).token.expect("a token");
            let method =
                Method::AnnouncePeer { info_hash, port: 7000, implied_port: false, token, is_seed: n < 50 };
            bench.response(addr(n), method);
        }
        bench.wait(Duration::from_secs(1));
    }
    for len in items {
        let item = value(*len);
        let token = bench.response(addr(1), Method::Get { target: item.key().target(), seq: None }).token;
        let put = Put { item, cas: None, token: token.expect("a token") };
        bench.response(addr(1), Method::Put(Box::new(put)));
    }
    bench.wait(Duration::from_secs(10));
    // last, since they answer no more than this
    (101..=130).for_each(|n| bench.befriend(NodeInfo { id: NodeId([n; 20]), addr: addr(n) }));
    bench
}

/// Bytes of a query and of its reply, if there was one.
fn exchange(bench: &mut Bench, other: &Bench, from: SocketAddr, ask: &Message) -> (usize, Option<usize>) {
    let bytes = ask.encode();
    let (sent, _) = bench.input_beside(Input::Datagram { from, bytes: &bytes }, Some(&other.node));
    let replies: Vec<usize> = sent.iter().filter(|(to, _)| *to == from).map(|(_, b)| b.len()).collect();
    // beside the answer we may ask a node we do not know whether it is there
    (bytes.len(), replies.first().copied())
}

fn methods() -> Vec<Method> {
    let get_peers = |no_seeds, scrape| Method::GetPeers { info_hash: KEY, no_seeds, scrape };
    let token = b"12345678".to_vec();
    vec![
        Method::Ping,
        Method::FindNode { target: KEY },
        get_peers(false, false),
        get_peers(false, true),
        get_peers(true, true),
        Method::AnnouncePeer {
            info_hash: KEY,
            port: 7000,
            implied_port: false,
            token: token.clone(),
            is_seed: false,
        },
        Method::SampleInfohashes { target: KEY },
        Method::Put(Box::new(Put { item: value(50), cas: None, token })),
        Method::Unknown { name: b"x".to_vec(), target: Some(KEY) },
        Method::Unknown { name: b"x".to_vec(), target: None },
        Method::Get { target: value(50).key().target(), seq: None },
        Method::Get { target: value(500).key().target(), seq: None },
        Method::Get { target: value(700).key().target(), seq: None },
    ]
}

/// The one exception is an item of more than some 700 bytes, which goes out whole within a quota: see the next test.
#[test]
fn reply_amplification_is_at_most_ten_times_the_query() {
    let (mut v4, mut v6) = (laden(Family::V4, &[50, 500, 700]), laden(Family::V6, &[50, 500, 700]));
    let wants = [None, Some(Want { v4: true, v6: true }), Some(Want { v4: false, v6: true })];
    for (site, method) in (140..).zip(methods()) {
        let mut worst = (0.0, 0);
        for (want, transaction) in wants.into_iter().flat_map(|want| [(want, 1), (want, 64)]) {
            let kind = Kind::Query(Query { id: OTHER, want, method: method.clone() });
            let ask = Message { kind, transaction: vec![b't'; transaction], ..query(OTHER, Method::Ping) };
            let answers =
                [exchange(&mut v4, &v6, at(site), &ask), exchange(&mut v6, &v4, at_v6(site.into()), &ask)];
            for (query, reply) in answers {
                let reply = reply.unwrap_or_else(|| panic!("no answer to {ask:?}"));
                assert!(reply <= 1024 && reply <= 10 * query, "{method:?}: {reply} bytes for {query}");
                worst = (f64::max(worst.0, reply as f64 / query as f64), worst.1.max(reply));
            }
        }
        let name = String::from_utf8_lossy(method.name()).into_owned();
        println!("{name}: at most {:.1} times the query, {} bytes", worst.0, worst.1);
    }
}

#[test]
fn store_and_flood_gets_large_items_whole_four_times_a_minute_from_a_site_and_fewer_than_a_thousand_in_all() {
    let (mut v4, v6) = (laden(Family::V4, &[1000]), Bench::with(|s| s.family = Family::V6));
    let ask = query(OTHER, Method::Get { target: value(1000).key().target(), seq: None });
    let mut whole = 0;
    for n in 0..40u8 {
        let site = SocketAddr::from(([8, 9, 9, n], 6881));
        let (asked, reply) = exchange(&mut v4, &v6, site, &ask);
        let reply = reply.expect("an answer");
        if reply > 1024 || reply > 10 * asked {
            assert!(reply <= 1400, "{reply}");
            whole += 1;
        }
    }
    assert!((4..=20).contains(&whole), "{whole} for one site");
    let mut excess = 0;
    for n in 0..10_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let (asked, reply) = exchange(&mut v4, &v6, SocketAddr::from(([9, b, c, a + 1], 6881)), &ask);
        excess += reply.map_or(0, |reply| reply.saturating_sub(1024.min(10 * asked)));
    }
    assert!(excess <= 65_536, "{excess} bytes beyond the bound");
    v4.wait(MINUTE);
    let (_, reply) = exchange(&mut v4, &v6, at(201), &ask);
    assert!(reply.is_some_and(|len| len > 1000), "others get it whole");
}

#[test]
fn a_large_item_that_may_not_go_out_leaves_nodes_and_a_token() {
    let mut bench = laden(Family::V4, &[1000]);
    let ask = Method::Get { target: value(1000).key().target(), seq: None };
    let replies: Vec<Response> =
        (0..30).map(|n| bench.response(([8, 9, 9, n], 6881).into(), ask.clone())).collect();
    assert!(replies[0].item.is_some());
    let last = replies.last().expect("thirty");
    assert_eq!((&last.item, last.nodes.as_ref().map(Vec::len)), (&None, Some(8)));
    assert!(last.token.is_some());
}

#[test]
fn replies_to_strangers_keep_to_a_quota_of_bytes_and_local_ones_do_not() {
    let mut bench = Bench::new();
    let ask = query(OTHER, get_peers());
    let mut sent = 0;
    for n in 0..20_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let from = SocketAddr::from(([20 + a, b, c, 1], 6881));
        let (answers, _) = bench.input(Input::Datagram { from, bytes: &ask.encode() });
        sent += answers.iter().filter(|(to, _)| *to == from).map(|(_, bytes)| bytes.len()).sum::<usize>();
        if n % 10 == 0 {
            bench.now = bench.now + Duration::from_millis(5);
        }
    }
    // ten seconds at 16 kB/s, and what may go at once
    assert!(sent <= 330_000, "{sent} bytes");
    let local = SocketAddr::from(([127, 0, 0, 1], 7000));
    assert!((0..5_000).all(|_| matches!(bench.query(local, get_peers()), Kind::Response(_))));
}

#[test]
fn in_a_flood_of_junk_answers_to_our_queries_are_still_taken() {
    let mut bench = Bench::new();
    let (asked, _) = bench.command(Command::Ping(at(1)));
    let junk = [b"d1:ad2:id20:".to_vec(), vec![0xff; 80]].concat();
    let valid = query(OTHER, Method::Ping).encode();
    for n in 0..20_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        for bytes in [&junk, &valid] {
            bench.input(Input::Datagram { from: ([100 + a, b, c, 1], 6881).into(), bytes });
        }
        bench.input(Input::Datagram { from: at(1), bytes: &junk });
    }
    assert!(bench.receive(at(9), &query(OTHER, Method::Ping)).0.is_empty(), "strangers meet silence");
    bench.receive(at(1), &answer(&asked[0].1, Response::new(node(1).id)));
    assert_eq!(bench.live(), [node(1)]);
}

#[test]
fn nobody_on_the_internet_is_announced_at_port_one() {
    let mut bench = Bench::new();
    let token = bench.response(at(1), get_peers()).token.expect("a token");
    for (port, code) in [(1, Some(203)), (80, Some(203)), (1023, Some(203)), (1024, None)] {
        assert_eq!(error_code(&bench.query(at(1), announce(&token, port, false))), code);
    }
    let privileged = SocketAddr::new(at(1).ip(), 53);
    assert_eq!(error_code(&bench.query(privileged, announce(&token, 7000, true))), Some(203));
    assert_eq!(bench.node.stored_peer_count(), 1);
}

#[test]
fn the_token_is_withheld_when_there_is_no_room_for_a_peer() {
    let mut bench = Bench::new();
    for port in 0..200u16 {
        let info_hash = NodeId([u8::try_from(port).unwrap(); 20]);
        let ask = Method::GetPeers { info_hash, no_seeds: false, scrape: false };
        let token = bench.response(at(1), ask).token.expect("a token");
        let method =
            Method::AnnouncePeer { info_hash, port: 7000, implied_port: false, token, is_seed: false };
        bench.response(at(1), method);
        bench.wait(Duration::from_secs(1));
    }
    assert_eq!(bench.response(at(1), get_peers()).token, None);
    assert!(bench.response(at(2), get_peers()).token.is_some());
}

#[test]
fn who_answers_pings_with_errors_alone_loses_its_place() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let (end, mut refused) = (bench.now + 30 * MINUTE, 0);
    while let Some(at) = bench.node.next_timeout().filter(|at| *at <= end) {
        bench.now = bench.now.max(at);
        let (sent, _) = bench.input(Input::Timeout);
        for (to, asked) in decoded(sent) {
            let is_ping = matches!(&asked.kind, Kind::Query(Query { method: Method::Ping, .. }));
            let kind = match is_ping {
                true => Kind::Error { code: 202, text: b"no".to_vec() },
                // a method that a node does not know says nothing of the node
                false => Kind::Error { code: 204, text: b"Method Unknown".to_vec() },
            };
            refused += usize::from(is_ping);
            bench.receive(to, &Message { kind, is_read_only: false, ..asked });
        }
    }
    assert_eq!(bench.live(), []);
    assert!(refused <= 10, "{refused}");
}

#[test]
fn lookups_of_torrents_do_not_keep_us_from_our_neighbourhood() {
    let mut bench = Bench::new();
    (1..=8).for_each(|n| bench.befriend(node(n)));
    // until the first one is over
    let end = bench.now + MINUTE;
    while let Some(at) = bench.node.next_timeout().filter(|at| *at <= end) {
        bench.now = bench.now.max(at);
        let (sent, _) = bench.input(Input::Timeout);
        for (to, asked) in decoded(sent) {
            let asked_node = (1..=8).map(node).find(|n| n.addr == to).expect("we know no others");
            bench.receive(to, &answer(&asked, Response::new(asked_node.id)));
        }
    }
    for n in 0..40 {
        let target = unchoke_wire::WireHash([n; 20]);
        bench.command(Command::Search { target, announce: None, is_urgent: true });
    }
    let (sent, _) = bench.command(Command::Bootstrap);
    let seeks = |m: &Message| matches!(&m.kind, Kind::Query(Query { method: Method::FindNode { .. }, .. }));
    assert!(sent.iter().any(|(_, m)| seeks(m)));
}

#[test]
fn while_few_nodes_are_known_every_contact_has_its_turn() {
    let mut bench = Bench::new();
    for n in 1..=20 {
        bench.command(Command::AddSaved(node(n)));
    }
    bench.wait(MINUTE);
    let (sent, _) = bench.wait(60 * MINUTE);
    assert!(
        (1..=20).all(|n| sent.iter().any(|(to, _)| *to == at(n))),
        "nobody answered, everybody is asked again"
    );
}
