//! What one run leaves to the next.

use crate::net::{Net, addr, settings};
use std::net::SocketAddr;
use unchoke_engine::hub::{DhtState, HubSettings};
use unchoke_wire::compact::Family;
use unchoke_wire::krpc::{NodeId, NodeInfo};
use unchoke_wire::time::Duration;

const OURS: u16 = 500;

fn restart(net: &mut Net, state: DhtState) {
    net.join(addr(OURS), HubSettings { saved: state, ..settings([]) });
}

#[test]
fn a_restarted_hub_has_its_id_and_its_nodes_again_without_anybody_else() {
    let mut net = Net::of(40);
    net.join(addr(OURS), settings([addr(0)]));
    net.run(Duration::from_secs(60));
    let (id, before) = (net.hub(addr(OURS)).dht_nodes()[0].id(), net.good_nodes(addr(OURS)));
    let state = net.leave(addr(OURS)).unwrap();
    assert_eq!(state.ids, [(Family::V4, id)]);
    assert!(state.nodes.len() >= 8 && state.nodes.len() == before, "{before}");
    restart(&mut net, state);
    net.run(Duration::from_secs(20));
    assert_eq!(net.hub(addr(OURS)).dht_nodes()[0].id(), id);
    assert!(net.good_nodes(addr(OURS)) + 3 >= before, "{} of {before}", net.good_nodes(addr(OURS)));
}

#[test]
fn saved_nodes_count_only_once_they_have_answered() {
    let mut net = Net::of(20);
    net.join(addr(OURS), settings([addr(0)]));
    net.run(Duration::from_secs(60));
    let state = net.leave(addr(OURS)).unwrap();
    net.dead.extend((0..10).map(addr));
    restart(&mut net, state);
    assert_eq!(net.good_nodes(addr(OURS)), 0);
    net.run(Duration::from_secs(60));
    let state = net.leave(addr(OURS)).unwrap();
    assert!((8..=10).contains(&state.nodes.len()), "{}", state.nodes.len());
    assert!(state.nodes.iter().all(|n| !net.dead.contains(&n.addr)));
}

#[test]
fn a_run_without_a_network_costs_the_next_one_nothing() {
    let mut net = Net::of(20);
    net.join(addr(OURS), settings([addr(0)]));
    net.run(Duration::from_secs(60));
    let state = net.leave(addr(OURS)).unwrap();
    net.dead.insert(addr(OURS));
    restart(&mut net, state.clone());
    net.run(Duration::from_secs(3600));
    let after = net.leave(addr(OURS)).unwrap();
    assert_eq!(after.ids, state.ids);
    let sorted = |state: DhtState| {
        let mut nodes = state.nodes;
        nodes.sort_unstable();
        nodes
    };
    assert_eq!(sorted(after), sorted(state));
}

#[test]
fn what_is_kept_of_a_family_is_bounded_and_each_has_its_own() {
    let mut net = Net::default();
    let node = |n: u16, ip: [u16; 8]| NodeInfo { id: NodeId([9; 20]), addr: (ip, n).into() };
    let many = 2 * u16::try_from(DhtState::NODES_MAX).unwrap();
    let v6 = (1..=many).map(|n| node(n, [0x2a00, n, 0, 0, 0, 0, 0, 1]));
    let v4 = (1..=many).map(|n| NodeInfo { addr: addr(1000 + n), ..node(n, [1; 8]) });
    let saved = DhtState {
        ids: (0..20).map(|n| (if n % 2 == 0 { Family::V4 } else { Family::V6 }, NodeId([n; 20]))).collect(),
        nodes: v6.chain(v4).collect(),
    };
    net.dead.insert(addr(OURS));
    net.join(addr(OURS), HubSettings { dht_v6: true, saved, ..settings([]) });
    let ids: Vec<_> = net.hub(addr(OURS)).dht_nodes().iter().map(|n| (n.family(), n.id())).collect();
    assert_eq!(ids, [(Family::V4, NodeId([0; 20])), (Family::V6, NodeId([1; 20]))]);
    let state = net.leave(addr(OURS)).unwrap();
    let of = |family| state.ids.iter().filter(|(f, _)| *f == family).count();
    assert_eq!((of(Family::V4), of(Family::V6)), (DhtState::IDS_MAX, DhtState::IDS_MAX));
    let v4 = state.nodes.iter().filter(|n| n.addr.is_ipv4()).count();
    assert!(v4 <= DhtState::NODES_MAX && state.nodes.len() - v4 <= DhtState::NODES_MAX);
    assert!(v4 > 400 && state.nodes.len() - v4 > 400);
}

#[test]
fn who_moves_between_two_networks_has_its_id_of_each_again() {
    let mut net = Net::default();
    let wide = |n: u8| SocketAddr::from(([60 + n, n, 9, 9], 6881));
    for n in 0..20 {
        net.join(wide(n), settings([wide(0)].into_iter().filter(|_| n > 0)));
        net.run(Duration::from_millis(200));
    }
    net.run(Duration::from_secs(60));
    let [home, office]: [SocketAddr; 2] = [([200, 1, 1, 1], 6881).into(), ([201, 9, 9, 9], 6881).into()];
    let (mut state, mut ids) = (DhtState::default(), Vec::new());
    for at in [home, office, home, office] {
        net.join(at, HubSettings { saved: state, ..settings([wide(1)]) });
        net.run(Duration::from_secs(120));
        ids.push(net.hub(at).dht_nodes()[0].id());
        state = net.leave(at).unwrap();
        // the others forget who was there
        net.run(Duration::from_secs(1800));
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[..2], ids[2..]);
    assert_eq!(state.ids.len(), 3, "those two, and the random one of the very beginning");
}

#[test]
fn a_run_without_one_family_leaves_the_other_what_was_known_of_it() {
    let v6 = NodeInfo { id: NodeId([6; 20]), addr: "[2a00::1]:6881".parse().unwrap() };
    let saved = DhtState { ids: vec![(Family::V6, NodeId([8; 20]))], nodes: vec![v6] };
    let mut net = Net::default();
    net.join(addr(OURS), HubSettings { saved, ..settings([]) });
    net.run(Duration::from_secs(60));
    let left = net.leave(addr(OURS)).unwrap();
    assert!(left.ids.contains(&(Family::V6, NodeId([8; 20]))), "{:?}", left.ids);
    assert_eq!(left.nodes, [v6]);
}
