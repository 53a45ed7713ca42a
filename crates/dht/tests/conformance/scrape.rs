//! Scrapes: the filters of a swarm, given and taken (BEP 33).

use super::bench::*;
use unchoke_dht::{Command, Event, NodeId};
use unchoke_wire::krpc::{Method, Response, Scrape};

fn scrape(no_seeds: bool) -> Method {
    Method::GetPeers { info_hash: KEY, no_seeds, scrape: true }
}

/// Nodes 1 to `n` announce themselves, the first `seeds` of them as seeds.
fn announce_many(bench: &mut Bench, n: u8, seeds: u8) {
    for n in 1..=n {
        let token = bench.response(at(n), get_peers()).token.expect("a token");
        let method = Method::AnnouncePeer {
            info_hash: KEY,
            port: 7000,
            implied_port: false,
            token,
            is_seed: n <= seeds,
        };
        bench.response(at(n), method);
    }
}

fn counts(scrape: &Scrape) -> (u64, u64) {
    (scrape.seeds.count(), scrape.downloaders.count())
}

//= BEP 33: a scrape brings both filters
//= test
#[test]
fn a_scrape_brings_filters_and_values_together_within_1024_bytes() {
    let mut bench = Bench::new();
    (101..=120).for_each(|n| bench.befriend(node(n)));
    announce_many(&mut bench, 60, 20);
    let (sent, _) = bench.receive(at(200), &query(OTHER, scrape(false)));
    let reply = sent.iter().find(|(_, m)| m.transaction == b"aa").expect("an answer");
    assert!((900..=1024).contains(&reply.1.encode().len()));
    let r = bench.response(at(200), scrape(false));
    assert_eq!(counts(r.scrape.as_ref().expect("filters")), (20, 40));
    assert_eq!((r.values.len(), r.nodes.map(|n| n.len())), (22, Some(8)));
    assert!(r.token.is_some());
}

#[test]
fn without_scrape_there_are_values_and_no_filters() {
    let mut bench = Bench::new();
    announce_many(&mut bench, 10, 5);
    let r = bench.response(at(200), get_peers());
    assert_eq!((r.scrape, r.values.len()), (None, 10));
    assert_eq!(
        bench.response(at(200), Method::GetPeers { info_hash: OTHER, no_seeds: false, scrape: true }).scrape,
        None
    );
}

#[test]
fn noseed_leaves_seeds_out_of_the_values_and_not_out_of_the_filters() {
    let mut bench = Bench::new();
    announce_many(&mut bench, 10, 5);
    let r = bench.response(at(200), scrape(true));
    assert_eq!((r.values.len(), counts(r.scrape.as_ref().expect("filters"))), (5, (5, 5)));
}

#[test]
fn our_estimate_is_of_the_union_of_what_nodes_tell() {
    let mut bench = Bench::new();
    (1..=2).for_each(|n| bench.befriend(node(n)));
    let filters = |seeds: core::ops::Range<u8>| {
        let mut scrape = Scrape::default();
        seeds.for_each(|n| scrape.seeds.insert(at(n).ip()));
        scrape.downloaders.insert(at(200).ip());
        Some(Box::new(scrape))
    };
    let (mut sent, _) = bench.command(Command::Scrape { target: KEY.into() });
    let mut events = Vec::new();
    while let Some((to, ask)) = sent.pop() {
        let (id, scrape) =
            if to == at(1) { (NodeId([1; 20]), filters(0..20)) } else { (NodeId([2; 20]), filters(10..30)) };
        let (s, e) = bench.receive(to, &answer(&ask, Response { scrape, ..Response::new(id) }));
        sent.extend(s);
        events.extend(e);
    }
    assert_eq!(events, [Event::Scraped { target: KEY.into(), seeds: 30, downloaders: 1, answers: 2 }]);
}

#[test]
fn what_we_store_ourselves_counts_too() {
    let mut bench = Bench::new();
    announce_many(&mut bench, 3, 1);
    let (_, events) = bench.command(Command::Scrape { target: KEY.into() });
    assert_eq!(events, [Event::Scraped { target: KEY.into(), seeds: 1, downloaders: 2, answers: 1 }]);
}
