//! Many nodes in one virtual network: joining, finding, announcing, surviving.

mod net;

use core::net::SocketAddr;
use net::{CALM, Links, Net, global, global_v6, loopback};
use std::collections::BTreeSet;
use unchoke_dht::{Command, Event, NodeId, NodeInfo};
use unchoke_wire::WireHash;
use unchoke_wire::time::{Duration, Instant};

const KEY: WireHash = WireHash(*b"mnopqrstuvwxyz123456");
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn with_port(addr: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(addr.ip(), port)
}

/// A, B and C know one node; B and C announce; A finds both within three seconds of its own start.
fn a_finds_b_and_c(mut net: Net, address: fn(usize) -> SocketAddr, others: usize) {
    let first = net.add(address(0));
    for n in 1..=others {
        let host = net.add(address(n));
        net.command(host, Command::AddNode(address(0)));
    }
    let (b, c) = if others == 0 { (first, net.add(address(1))) } else { (1, 2) };
    if others == 0 {
        net.command(c, Command::AddNode(address(0)));
    }
    net.search(b, KEY, Some(7001));
    net.search(c, KEY, Some(7002));
    net.run_for(10 * SECOND);
    let a = net.add(address(1000));
    net.search(a, KEY, Some(7000));
    net.command(a, Command::AddNode(address(0)));
    net.run_for(3 * SECOND);
    let (b, c) = (with_port(net.hosts[b].addr, 7001), with_port(net.hosts[c].addr, 7002));
    let expected = BTreeSet::from([b, c]);
    let found: BTreeSet<_> = net.peers_of(a, KEY).intersection(&expected).copied().collect();
    assert_eq!(found, expected);
    let announced =
        net.events.iter().any(|(_, h, e)| *h == a && matches!(e, Event::Announced { to: 1.., .. }));
    assert!(announced, "A is findable too");
}

//= S42
//= S45
#[test]
fn in_a_dht_of_three_alone_the_third_finds_both_announcers() {
    for seed in 0..20 {
        a_finds_b_and_c(Net::new(seed, CALM), global, 0);
    }
}

//= S42
//= S45
#[test]
fn on_loopback_three_nodes_on_one_address_find_each_other() {
    for seed in 0..20 {
        a_finds_b_and_c(Net::new(seed, CALM), loopback, 0);
    }
}

//= S42
#[test]
fn over_ipv6_three_nodes_find_each_other() {
    a_finds_b_and_c(Net::new(1, CALM), global_v6, 0);
}

//= S42
//= S45
#[test]
fn in_a_dht_of_fifty_alone_a_newcomer_finds_both_announcers() {
    for seed in 0..3 {
        a_finds_b_and_c(Net::new(seed, CALM), global, 49);
        a_finds_b_and_c(Net::new(seed, CALM), loopback, 49);
    }
}

#[test]
fn three_that_start_in_the_same_moment_find_each_other_within_three_seconds() {
    for seed in 0..20 {
        let mut net = Net::new(seed, CALM);
        let hosts: Vec<usize> = (0..3).map(|n| net.add(loopback(n))).collect();
        for host in &hosts {
            net.search(*host, KEY, Some(7000 + u16::try_from(*host).unwrap()));
            net.command(*host, Command::AddNode(loopback(0)));
        }
        net.run_for(3 * SECOND);
        for host in &hosts {
            let others = net.peers_of(*host, KEY).into_iter().map(|p| usize::from(p.port() - 7000));
            let others: BTreeSet<usize> = others.filter(|other| other != host).collect();
            assert_eq!(others.len(), 2, "host {host}, seed {seed}");
        }
    }
}

#[test]
fn a_node_that_appears_during_a_search_is_used_at_once() {
    let mut net = Net::new(1, CALM);
    let a = net.add(global(0));
    net.search(a, KEY, None);
    net.run_for(5 * MINUTE);
    let b = net.add(global(1));
    let c = net.add(global(2));
    net.command(c, Command::AddNode(global(1)));
    net.search(c, KEY, Some(7002));
    net.run_for(10 * SECOND);
    net.command(a, Command::AddNode(global(b)));
    net.run_for(2 * SECOND);
    assert_eq!(net.peers_of(a, KEY), BTreeSet::from([with_port(global(c), 7002)]));
}

#[test]
fn a_node_named_by_the_user_is_asked_before_hundreds_of_dead_saved_ones() {
    let mut net = Net::new(1, CALM);
    let (a, b) = (net.add(global(0)), net.add(global(1)));
    for n in 100..400 {
        let id = NodeId::from(net.random_key());
        net.command(a, Command::AddSaved(NodeInfo { id, addr: global(n) }));
    }
    net.command(a, Command::AddNode(global(1)));
    net.run_for(SECOND);
    assert_eq!(net.hosts[a].node.table().next().map(|row| row.node.id), Some(net.hosts[b].node.id()));
}

#[test]
fn saved_nodes_that_live_are_good_again_soon_after_a_restart() {
    let mut net = Net::new(1, CALM);
    net.grow(80);
    net.run_for(2 * MINUTE);
    let saved = net.hosts[7].node.nodes_to_save();
    assert!(saved.len() > 20);
    let restarted = net.add(global(900));
    saved.iter().for_each(|node| net.command(restarted, Command::AddSaved(*node)));
    net.run_for(5 * SECOND);
    let good = net.hosts[restarted].node.good_node_count();
    assert!(good >= saved.len() * 3 / 4, "{good} of {}", saved.len());
}

#[test]
fn a_dead_bootstrap_node_is_tried_again_until_it_lives() {
    let mut net = Net::new(1, CALM);
    let (a, b) = (net.add(global(0)), net.add(global(1)));
    net.hosts[b].is_up = false;
    net.command(a, Command::AddNode(global(1)));
    net.run_for(20 * MINUTE);
    assert!(net.sent < 40, "attempts are spaced out: {}", net.sent);
    net.hosts[b].is_up = true;
    net.run_for(6 * MINUTE);
    assert_eq!(net.hosts[a].node.good_node_count(), 1);
    let is_bootstrapped =
        |(_, host, e): &(Instant, usize, Event)| *host == a && matches!(e, Event::Bootstrapped { .. });
    assert!(net.events.iter().any(is_bootstrapped));
}

//= S54
#[test]
fn a_node_that_went_away_is_pinged_and_leaves_every_table() {
    let mut net = Net::new(1, CALM);
    net.grow(20);
    net.run_for(5 * MINUTE);
    let gone = net.hosts[7].addr;
    let knowing = |net: &Net| {
        net.hosts.iter().filter(|h| h.is_up && h.node.table().any(|r| r.node.addr == gone)).count()
    };
    assert!(knowing(&net) > 10);
    let good = |net: &Net| -> Vec<usize> { net.hosts.iter().map(|h| h.node.good_node_count()).collect() };
    let before = good(&net);
    net.hosts[7].is_up = false;
    net.run_for(25 * MINUTE);
    assert_eq!(knowing(&net), 0);
    for (host, (before, after)) in before.into_iter().zip(good(&net)).enumerate().filter(|(h, _)| *h != 7) {
        assert!(
            after + 1 >= before,
            "those that live stay good through pings: host {host}, {before}, {after}"
        );
    }
}

#[test]
fn a_table_that_died_whole_is_built_anew() {
    let mut net = Net::new(1, CALM);
    net.grow(10);
    net.run_for(5 * MINUTE);
    net.hosts[1..].iter_mut().for_each(|h| h.is_up = false);
    net.run_for(60 * MINUTE);
    assert_eq!(net.hosts[0].node.good_node_count(), 0);
    net.hosts[1..].iter_mut().for_each(|h| h.is_up = true);
    // their timers stand still while they are down; hosts that are asked wake up
    net.run_for(6 * MINUTE);
    assert!(net.hosts[0].node.good_node_count() >= 8);
}

//= S55
#[test]
fn an_announcer_stays_findable_for_hours_and_is_forgotten_after_it_stops() {
    let mut net = Net::new(1, CALM);
    net.grow(12);
    let b = 5;
    net.search(b, KEY, Some(7001));
    net.run_for(10 * SECOND);
    let stored = |net: &Net| net.hosts.iter().map(|h| h.node.stored_peer_count()).sum::<usize>();
    for _ in 0..18 {
        net.run_for(10 * MINUTE);
        assert!(stored(&net) >= 8, "{} at {:?}", stored(&net), net.now);
    }
    net.command(b, Command::StopSearch { target: KEY });
    net.run_for(25 * MINUTE);
    assert!(stored(&net) >= 8, "pings do not keep a peer, but its last announcement still counts");
    net.run_for(21 * MINUTE);
    assert_eq!(stored(&net), 0);
}

#[test]
fn rounds_of_a_search_are_fifteen_minutes_apart_give_or_take_a_tenth() {
    let mut net = Net::new(1, CALM);
    net.grow(150);
    net.run_for(10 * MINUTE);
    net.search(3, KEY, Some(7001));
    net.run_for(10 * SECOND);
    net.search(9, KEY, Some(7002));
    net.run_for(180 * MINUTE);
    let done = |(at, host, e): &(Instant, usize, Event)| {
        (*host == 9 && matches!(e, Event::SearchDone { .. })).then_some(*at)
    };
    let rounds: Vec<Instant> = net.events.iter().filter_map(done).collect();
    assert!((11..=15).contains(&rounds.len()), "{} rounds", rounds.len());
    for pair in rounds.windows(2) {
        let pause = pair[1].since(pair[0]);
        assert!((13 * MINUTE..=17 * MINUTE).contains(&pause), "{pause:?}");
    }
}

struct Figures {
    recall: f64,
    queries: f64,
    first_peer_p50: Duration,
    done_p50: Duration,
    done_p95: Duration,
    found: usize,
}

/// Fifty announced keys, then `dead_percent` of the nodes die, then fifty lookups of those keys.
fn measure(seed: u64, hosts: usize, dead_percent: usize, links: Links) -> Figures {
    const LOOKUPS: usize = 50;
    let mut net = Net::new(seed, links);
    net.grow(hosts);
    net.run_for(2 * MINUTE);
    let keys: Vec<WireHash> = (0..LOOKUPS).map(|_| net.random_key()).collect();
    for (n, key) in keys.iter().enumerate() {
        net.search(n * 5 % hosts, *key, Some(7001));
    }
    net.run_for(20 * SECOND);
    for n in 0..hosts * dead_percent / 100 {
        net.hosts[(n * 37 + 11) % hosts].is_up = false;
    }
    let (mut recalled, mut queries, mut found) = (0, 0, 0);
    let (mut first, mut done) = (Vec::new(), Vec::new());
    for (n, key) in keys.iter().enumerate() {
        let asker = (0..hosts).map(|i| (n * 53 + 200 + i) % hosts).find(|h| net.hosts[*h].is_up);
        let asker = asker.expect("some live");
        let truth: Vec<_> =
            net.closest_up((*key).into()).into_iter().filter(|h| *h != asker).take(8).collect();
        let (from, start) = (net.events.len(), net.now);
        net.search(asker, *key, None);
        net.run_for(6 * SECOND);
        for (at, host, event) in net.events[from..].iter().filter(|(_, h, _)| *h == asker) {
            match event {
                Event::SearchDone { target, queries_sent, closest, .. } if target == key => {
                    assert_eq!(*host, asker);
                    done.push(at.since(start));
                    queries += queries_sent;
                    let has = |h: &&usize| closest.iter().any(|c| c.addr == net.hosts[**h].addr);
                    recalled += truth.iter().filter(has).count();
                    break;
                }
                Event::PeersFound { target, .. } if target == key && first.len() == found => {
                    first.push(at.since(start));
                }
                _ => {}
            }
        }
        found = first.len();
        net.command(asker, Command::StopSearch { target: *key });
    }
    assert_eq!(done.len(), LOOKUPS);
    first.sort_unstable();
    done.sort_unstable();
    let count = |n: usize| f64::from(u32::try_from(n).expect("small"));
    let share = |n: usize, of: usize| count(n) / count(of);
    Figures {
        recall: share(recalled, 8 * LOOKUPS),
        queries: share(queries, LOOKUPS),
        first_peer_p50: first[first.len() / 2],
        done_p50: done[LOOKUPS / 2],
        done_p95: done[LOOKUPS * 95 / 100],
        found,
    }
}

fn check(f: &Figures, name: &str, recall: f64, queries: f64, done_p95_ms: u64) {
    println!(
        "{name}: recall {:.3}, {:.1} queries, first peer p50 {:?}, done p50 {:?} p95 {:?}, {} of 50 found",
        f.recall, f.queries, f.first_peer_p50, f.done_p50, f.done_p95, f.found
    );
    assert!(f.recall >= recall && f.queries <= queries, "{name}");
    assert!(f.done_p95 <= Duration::from_millis(done_p95_ms), "{name}");
    assert!(f.found >= 49, "{name}");
}

#[test]
fn among_five_hundred_nodes_lookups_find_the_true_eight() {
    check(&measure(1, 500, 0, CALM), "500, none dead", 0.99, 22.0, 300);
}

#[test]
fn with_a_fifth_of_the_nodes_dead_and_two_percent_loss_lookups_still_find_the_true_eight() {
    let rough = Links { latency_ms: (5, 150), loss_permille: 20 };
    check(&measure(2, 500, 20, rough), "500, 20 % dead, 2 % loss", 0.95, 30.0, 1300);
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_byte() {
    let run = |seed| {
        let mut net = Net::new(seed, Links { latency_ms: (5, 150), loss_permille: 20 });
        net.grow(40);
        net.search(3, KEY, Some(7001));
        net.search(9, KEY, None);
        net.run_for(40 * MINUTE);
        (net.digest, net.sent, net.events)
    };
    let (a, b, c) = (run(1), run(1), run(2));
    assert!(a == b && a.0 != c.0);
}

#[test]
fn an_idle_node_sends_a_datagram_in_five_seconds_at_most_and_sleeps_in_between() {
    for hosts in [2, 8, 30, 60, 200] {
        let mut net = Net::new(1, CALM);
        net.grow(hosts);
        net.run_for(20 * MINUTE);
        let (sent, timeouts) = (net.sent, net.timeouts);
        net.run_for(60 * MINUTE);
        // a query or answer weighs about 100 bytes on average; each is sent by one node and received by another
        let per_node_hour = |n: usize| n / hosts;
        let (sent, timeouts) = (per_node_hour(net.sent - sent), per_node_hour(net.timeouts - timeouts));
        println!("{hosts} nodes: {sent} datagrams and {timeouts} timeouts a node and hour");
        assert!(sent <= 720 && timeouts <= 360);
    }
}

#[test]
fn a_node_that_knows_nobody_sleeps() {
    let mut net = Net::new(1, CALM);
    let a = net.add(global(0));
    net.search(a, KEY, Some(7000));
    net.run_for(60 * MINUTE);
    assert!(net.timeouts <= 20 && net.sent == 0, "{} timeouts, {} sent", net.timeouts, net.sent);
}

/// `n` nodes start in the same moment, know the first alone and announce; says in what time all of them, but those
/// that died, had found all others.
fn join_at_once(seed: u64, n: usize, first_dies: bool) -> Option<Duration> {
    let mut net = Net::new(seed, Links { latency_ms: (20, 60), loss_permille: 15 });
    let hosts: Vec<usize> = (0..n).map(|n| net.add(global(n))).collect();
    for host in &hosts {
        net.search(*host, KEY, Some(7000));
        net.command(*host, Command::AddNode(global(0)));
    }
    let living = &hosts[usize::from(first_dies)..];
    let all: BTreeSet<SocketAddr> = living.iter().map(|h| with_port(global(*h), 7000)).collect();
    let knows_all = |net: &Net, host: usize| {
        let mut known = net.peers_of(host, KEY);
        known.insert(with_port(global(host), 7000));
        known.is_superset(&all)
    };
    for second in 1..=600 {
        net.run_for(SECOND);
        if second == 30 && first_dies {
            net.hosts[0].is_up = false;
        }
        if (second < 30 || second % 5 == 0) && living.iter().all(|h| knows_all(&net, *h)) {
            return Some(second * SECOND);
        }
    }
    None
}

#[test]
fn all_that_join_by_one_node_in_the_same_moment_find_each_other_within_ninety_seconds() {
    for (n, first_dies) in [(30, false), (60, false), (30, true), (60, true)] {
        let mut times: Vec<_> = (0..50).map(|seed| join_at_once(seed, n, first_dies)).collect();
        times.sort_unstable_by_key(|t| t.unwrap_or(Duration::MAX));
        println!("{n} nodes, first dies: {first_dies}: p50 {:?}, last {:?}", times[25], times[49]);
        assert!(times[49].is_some_and(|t| t <= 90 * SECOND), "{times:?}");
    }
}
