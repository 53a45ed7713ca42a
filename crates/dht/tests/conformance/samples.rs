//! Samples of the info-hashes a node stores, given and taken (BEP 51).

use super::bench::*;
use unchoke_dht::{Command, Event, NodeId};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::{Method, Response, Samples};
use unchoke_wire::time::Duration;

fn sample() -> Method {
    Method::SampleInfohashes { target: KEY }
}

/// Stores a peer under `n` keys.
fn store(bench: &mut Bench, n: u8) {
    for n in 0..n {
        let from = at(n);
        let info_hash = NodeId([n; 20]);
        let ask = Method::GetPeers { info_hash, no_seeds: false, scrape: false };
        let token = bench.response(from, ask).token.expect("a token");
        let method =
            Method::AnnouncePeer { info_hash, port: 7000, implied_port: false, token, is_seed: false };
        bench.response(from, method);
    }
}

//= BEP 51: interval, num, samples and nodes are always there
//= test
#[test]
fn a_node_that_stores_nothing_says_so_and_leads_on() {
    let mut bench = Bench::new();
    bench.befriend(node(1));
    let r = bench.response(at(2), sample());
    assert_eq!(r.samples, Some(Samples { interval_s: 3600, stored: 0, hashes: vec![] }));
    assert_eq!((r.nodes, r.token), (Some(vec![node(1)]), None));
}

#[test]
fn twenty_of_many_hashes_are_told_and_the_same_ones_for_an_interval() {
    let mut bench = Bench::new();
    (101..=120).for_each(|n| bench.befriend(node(n)));
    store(&mut bench, 60);
    let (sent, _) = bench.receive(at(200), &query(OTHER, sample()));
    assert!(sent[0].1.encode().len() <= 1000);
    let first = bench.response(at(200), sample());
    let samples = first.samples.expect("samples");
    assert_eq!((samples.stored, samples.hashes.len(), first.nodes.map(|n| n.len())), (60, 20, Some(8)));
    bench.wait(40 * MINUTE);
    assert_eq!(bench.response(at(201), sample()).samples, Some(samples));
    bench.wait(21 * MINUTE);
    assert_eq!(
        bench.response(at(201), sample()).samples.map(|s| s.stored),
        Some(0),
        "their announcements ended"
    );
}

#[test]
fn a_node_that_tells_no_samples_leads_on() {
    let mut bench = Bench::with(|s| s.answers_samples = false);
    bench.befriend(node(1));
    let r = bench.response(at(2), sample());
    assert_eq!((r.samples, r.nodes), (None, Some(vec![node(1)])));
}

#[test]
fn each_answer_to_our_sampling_is_told_as_it_comes() {
    let mut bench = Bench::new();
    (1..=2).for_each(|n| bench.befriend(node(n)));
    let (sent, _) = bench.command(Command::Sample { target: KEY });
    assert_eq!(sent.len(), 2);
    let mut events = Vec::new();
    for (to, ask) in sent {
        let n = if to == at(1) { 1 } else { 2 };
        let samples =
            (n == 1).then(|| Samples { interval_s: 60, stored: 9, hashes: vec![WireHash([7; 20])] });
        let reply = Response { samples, ..Response::new(node(n).id) };
        events.extend(bench.receive(to, &answer(&ask, reply)).1);
    }
    let sampled = Event::Sampled {
        target: KEY,
        from: node(1),
        interval: Duration::from_secs(60),
        stored: 9,
        samples: vec![WireHash([7; 20])],
    };
    assert_eq!(events, [sampled, Event::SampleDone { target: KEY, answers: 1 }]);
}
