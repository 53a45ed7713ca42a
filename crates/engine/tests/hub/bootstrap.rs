//! The way to a first node, with those that are named dead, hostile, or not to be resolved.

use crate::net::{Net, addr, hash, settings};
use std::net::SocketAddr;
use unchoke_engine::ShardId;
use unchoke_engine::hub::{HubEvent, HubInput, HubSettings};
use unchoke_engine::output::HubCommand;
use unchoke_wire::HostPort;
use unchoke_wire::krpc::{Kind, Message, Method, NodeId, NodeInfo, Query, Response};
use unchoke_wire::time::Duration;

const OURS: u16 = 500;

fn routers(names: &[&str]) -> Vec<HostPort> {
    names.iter().map(|name| HostPort::new(name, 6881).unwrap()).collect()
}

fn name_node(net: &mut Net, host: &str) {
    let command = HubCommand::DhtNode { host: host.to_owned(), port: 6881 };
    net.input(addr(OURS), HubInput::Engine { shard: ShardId(0), command });
}

#[test]
fn with_95_of_100_named_nodes_dead_a_peer_is_found() {
    let mut net = Net::of(20);
    net.search(addr(3), hash(1), true);
    net.run(Duration::from_secs(30));
    // the living are the last of them
    let named = (900..995).chain(5..10).map(addr);
    net.join(addr(OURS), settings(named));
    net.search(addr(OURS), hash(1), false);
    net.run(Duration::from_secs(30));
    assert!(net.seen(addr(OURS)).peers.contains(&addr(3)));
    assert!(net.good_nodes(addr(OURS)) >= 8);
}

#[test]
fn dead_nodes_are_asked_less_and_less_often() {
    let mut net = Net::default();
    net.join(addr(OURS), settings((900..910).map(addr)));
    net.run(Duration::from_secs(4 * 3600));
    let sent = &net.seen(addr(OURS)).sent;
    let within = |from: u64, to: u64| sent.range(from..to).map(|(_, n)| n).sum::<usize>();
    assert!(within(0, 60) >= 10);
    assert!(within(3600, 4 * 3600) <= 1000, "{}", within(3600, 4 * 3600));
}

#[test]
fn hostile_nodes_that_name_nobody_themselves_and_us_lead_nowhere_and_hide_nobody() {
    let mut net = Net::of(20);
    net.search(addr(3), hash(1), true);
    net.run(Duration::from_secs(30));
    let hostile: Vec<SocketAddr> = (700..710).map(addr).collect();
    net.join(addr(OURS), settings(hostile.iter().copied().chain([addr(4)])));
    net.search(addr(OURS), hash(1), false);
    for round in 0..200u8 {
        net.run(Duration::from_millis(50));
        let id = net.hub(addr(OURS)).dht_nodes()[0].id();
        for from in &hostile {
            // an answer to whatever may have been asked, with lies in it, and a question with our own id
            let lies = [addr(OURS), *from, ([127, 0, 0, 1], 1).into(), ([10, 0, 0, 1], 2).into()];
            let nodes = lies.iter().map(|a| NodeInfo { id: NodeId([round; 20]), addr: *a }).collect();
            let response = Response { nodes: Some(nodes), ..Response::new(id) };
            let query = Query { id, want: None, method: Method::FindNode { target: id } };
            for kind in [Kind::Response(response.clone()), Kind::Query(query)] {
                let transaction = vec![round; 4];
                let message = Message { transaction, kind, version: None, is_read_only: false, ip: None };
                net.input(addr(OURS), HubInput::Datagram { from: *from, bytes: &message.encode() });
            }
        }
    }
    assert!(net.seen(addr(OURS)).peers.contains(&addr(3)));
    let asked = &net.seen(addr(OURS)).asked;
    assert!(asked.iter().all(|a| *a != addr(OURS) && unchoke_wire::scope::is_global(a.ip())));
}

#[test]
fn a_name_that_does_not_resolve_at_first_is_resolved_later() {
    let mut net = Net::of(12);
    net.join(addr(OURS), HubSettings { routers: routers(&["router.example"]), ..settings([]) });
    net.run(Duration::from_secs(20));
    assert_eq!(net.good_nodes(addr(OURS)), 0);
    assert_eq!(net.seen(addr(OURS)).resolved.len(), 3, "after 0, 5 and 15 seconds");
    net.names.insert("router.example".to_owned(), vec![addr(0).ip()]);
    net.run(Duration::from_secs(40));
    assert!(net.good_nodes(addr(OURS)) >= 8, "{}", net.good_nodes(addr(OURS)));
}

#[test]
fn routers_are_left_alone_by_who_has_nodes_and_never_saved() {
    let mut net = Net::of(20);
    let names = ["a.example", "b.example"];
    net.names.insert("a.example".to_owned(), vec![addr(0).ip()]);
    let with_routers = HubSettings { routers: routers(&names), ..settings([]) };
    net.join(addr(OURS), with_routers.clone());
    net.run(Duration::from_secs(60));
    let first: Vec<_> = net.seen(addr(OURS)).resolved.iter().take(2).map(|(_, name)| name.clone()).collect();
    assert_eq!(first, names, "both at once");
    assert!(net.seen(addr(OURS)).resolved[2..].iter().all(|(_, name)| name == "b.example"));
    assert!(matches!(net.seen(addr(OURS)).events[0], HubEvent::DhtReady { is_v6: false, .. }));
    let state = net.leave(addr(OURS)).unwrap();
    assert!(state.nodes.len() >= 8 && state.nodes.iter().all(|n| n.addr != addr(0)));
    net.join(addr(OURS), HubSettings { saved: state, ..with_routers });
    net.run(Duration::from_secs(3600));
    assert!(net.seen(addr(OURS)).resolved.is_empty());
    assert!(net.good_nodes(addr(OURS)) >= 8);
}

#[test]
fn dead_saved_nodes_lead_to_the_routers_in_seconds() {
    let mut net = Net::of(20);
    net.names.insert("a.example".to_owned(), vec![addr(0).ip()]);
    let dead = (900..1000).map(|n| NodeInfo { id: NodeId([3; 20]), addr: addr(n) });
    let saved = unchoke_engine::hub::DhtState { ids: Vec::new(), nodes: dead.collect() };
    net.join(addr(OURS), HubSettings { saved, routers: routers(&["a.example"]), ..settings([]) });
    net.run(Duration::from_secs(15));
    assert!(net.good_nodes(addr(OURS)) >= 8, "{}", net.good_nodes(addr(OURS)));
}

#[test]
fn a_torrents_node_may_be_a_name_or_an_address_of_any_writing() {
    let mut net = Net::of(12);
    net.names.insert("node.example".to_owned(), vec![addr(2).ip()]);
    for host in ["node.example".to_owned(), addr(3).ip().to_string(), format!("::ffff:{}", addr(4).ip())] {
        net.join(addr(OURS), settings([]));
        name_node(&mut net, &host);
        net.run(Duration::from_secs(10));
        assert!(net.good_nodes(addr(OURS)) >= 8, "{host}");
        net.leave(addr(OURS));
    }
}

#[test]
fn a_name_with_a_thousand_addresses_makes_us_ask_eight() {
    let mut net = Net::default();
    net.names.insert("many.example".to_owned(), (0..1000).map(|n| addr(n).ip()).collect());
    net.join(addr(OURS), settings([]));
    name_node(&mut net, "many.example");
    net.run(Duration::from_secs(60));
    assert_eq!(net.seen(addr(OURS)).asked.len(), 8);
}

#[test]
fn without_a_dht_no_name_is_resolved() {
    let mut net = Net::default();
    let off = HubSettings { dht_v4: false, routers: routers(&["a.example"]), ..settings([]) };
    net.join(addr(OURS), off);
    name_node(&mut net, "node.example");
    net.run(Duration::from_secs(60));
    assert!(net.seen(addr(OURS)).resolved.is_empty());
}

//= BEP 32: one family finds its first nodes by the other
//= test
#[test]
fn a_family_without_a_first_node_gets_it_from_the_other() {
    let mut net = Net::default();
    // hosts of both families at one pair of addresses each
    let v6 = |n: u16| SocketAddr::from(([0x2a00, n + 1, 0, 0, 0, 0, 0, 1], 6881));
    for n in 0..16 {
        let first = [addr(0), v6(0)].into_iter().filter(|_| n > 0);
        net.pair(addr(n), v6(n));
        net.join(addr(n), HubSettings { dht_v6: true, ..settings(first) });
        net.run(Duration::from_millis(200));
    }
    net.run(Duration::from_secs(60));
    net.pair(addr(OURS), v6(OURS));
    net.join(addr(OURS), HubSettings { dht_v6: true, ..settings([addr(3)]) });
    net.run(Duration::from_secs(60));
    for at in [addr(3), addr(OURS)] {
        let good: Vec<usize> = net.hub(at).dht_nodes().iter().map(|n| n.good_node_count()).collect();
        assert!(good[0] >= 8 && good[1] >= 8, "{at} {good:?}");
    }
}

#[test]
fn who_is_alone_in_a_swarm_does_not_find_itself_in_it() {
    let mut net = Net::default();
    // each in a network of its own, so that their word on our address counts
    let at = |n: u8| SocketAddr::from(([60 + n, 1, 1, 9], 6881));
    for n in 0..12 {
        net.join(at(n), settings([at(0)].into_iter().filter(|_| n > 0)));
        net.run(Duration::from_secs(1));
    }
    net.run(Duration::from_secs(60));
    net.search(at(5), hash(1), false);
    net.run(Duration::from_secs(600));
    let seen = net.seen(at(5));
    let found = seen.events.iter().filter_map(|event| match event {
        HubEvent::DhtSearched { peers, .. } => Some(*peers),
        _ => None,
    });
    let found: Vec<usize> = found.collect();
    assert!(found.len() > 2 && found.iter().all(|peers| *peers == 0), "{found:?}");
    assert_eq!(seen.peers, []);
}
