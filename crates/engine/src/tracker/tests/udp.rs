//! UDP trackers: lost and forged packets, connection ids.

use super::world::{Answer, Ask, BOTH, World};
use crate::tracker::*;
use unchoke_wire::udp_tracker::{Reply, Request};

const URL: &str = "udp://192.0.2.1:6969/dir?a=b";

fn kinds(world: &World) -> Vec<(u64, &'static str)> {
    let kind = |bytes: &[u8]| match Request::decode(bytes).unwrap() {
        Request::Connect { .. } => "connect",
        Request::Announce(_) => "announce",
        Request::Scrape { .. } => "scrape",
    };
    world.datagrams.iter().map(|(at, _, bytes)| (*at, kind(bytes))).collect()
}

fn transaction(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes[12..].first_chunk().unwrap())
}

//= S60
//= BEP 15: UDP trackers
//= BEP 41: URLData
#[test]
fn a_connect_and_an_announce_with_url_data_bring_peers() {
    let mut world = World::new(&[&[URL]], |_| Answer::Peer("198.51.100.1:5")).start();
    world.run_to(1);
    assert_eq!(kinds(&world), [(0, "connect"), (100, "announce")]);
    assert_eq!(world.asked[0].url, "/dir?a=b");
    assert_eq!(world.peers(), [("198.51.100.1:5".parse().unwrap(), None)]);
    let Ok(Request::Announce(a)) = Request::decode(&world.datagrams[1].2) else { panic!("an announce") };
    assert_eq!((a.key, a.num_want, a.port, a.left, a.ip), (0x1234, 200, 6881, 1000, 0));
    let tracker = Some("192.0.2.1".parse().unwrap());
    assert!(
        world
            .told
            .iter()
            .any(|(_, o)| matches!(o, AnnounceOutput::Peers { tracker: t, .. } if *t == tracker))
    );
    for (_, _, bytes) in &world.datagrams {
        assert_eq!(transaction(bytes) >> 24, 3, "the shard is the top byte");
    }
    assert_ne!(transaction(&world.datagrams[0].2), transaction(&world.datagrams[1].2));
}

//= BEP 15: UDP trackers
#[test]
fn lost_packets_are_sent_again_after_three_and_six_seconds() {
    let mut world = World::new(&[&[URL]], |_| Answer::Ok(1800));
    world.lost = vec![0, 1, 3];
    let mut world = world.start();
    world.run_to(20);
    let want =
        [(0, "connect"), (3000, "connect"), (9000, "connect"), (9100, "announce"), (12_100, "announce")];
    assert_eq!(kinds(&world), want);
    assert!(world.failures().is_empty());
    assert_eq!(transaction(&world.datagrams[0].2), transaction(&world.datagrams[2].2));
}

#[test]
fn a_silent_tracker_fails_after_fifteen_seconds() {
    let mut world = World::new(&[&[URL]], |_| Answer::Silent);
    world.lost = (0..100).collect();
    let mut world = world.start();
    world.run_to(16);
    assert_eq!(kinds(&world).len(), 3);
    assert_eq!(world.failures()[0].1, "no reply in 15 seconds");
}

//= BEP 15: UDP trackers
//= C4
#[test]
fn forged_replies_are_ignored() {
    let mut world = World::new(&[&[URL]], |_| Answer::Silent);
    world.lost = vec![0];
    let mut world = world.start();
    let tid = transaction(&world.datagrams[0].2);
    let tracker: SocketAddr = "192.0.2.1:6969".parse().unwrap();
    let connect = |transaction| Reply::Connect { transaction, connection: 9 }.encode();
    let announce = |transaction| {
        let peers = vec!["198.51.100.1:1".parse().unwrap()];
        Reply::Announce { transaction, interval: 60, leechers: 0, seeders: 0, peers }.encode()
    };
    let put = |world: &mut World, from: &str, bytes: Vec<u8>| {
        let before = world.datagrams.len();
        world.put(AnnounceInput::Datagram { from: from.parse().unwrap(), bytes: &bytes });
        world.datagrams.len() != before || !world.told.is_empty()
    };
    assert!(!put(&mut world, "192.0.2.2:6969", connect(tid)), "another address");
    assert!(!put(&mut world, "192.0.2.1:6970", connect(tid)), "another port");
    assert!(!put(&mut world, "192.0.2.1:6969", connect(tid ^ 1)), "another transaction");
    assert!(!put(&mut world, "192.0.2.1:6969", announce(tid)), "another action");
    assert!(!put(&mut world, "192.0.2.1:6969", vec![0; 7]), "too short");
    assert!(
        put(&mut world, "[::ffff:192.0.2.1]:6969", connect(tid)),
        "the tracker as a dual-stack socket sees it"
    );
    let tid = transaction(&world.datagrams[1].2);
    assert!(!put(&mut world, "192.0.2.1:6969", connect(tid)), "connected already");
    assert!(!put(&mut world, "192.0.2.2:6969", announce(tid)), "another address");
    assert!(put(&mut world, &tracker.to_string(), announce(tid)));
    assert_eq!(world.peers().len(), 1);
}

//= BEP 15: UDP trackers
//= C4
#[test]
fn a_connection_id_serves_a_minute() {
    let mut world = World::new(&[&[URL]], |_| Answer::Ok(300)).start();
    world.run_to(59);
    world.put(AnnounceInput::Completed);
    world.run_to(100);
    world.put(AnnounceInput::Stop);
    world.run_to(101);
    let want = [
        (0, "connect"),
        (100, "announce"),
        (59_000, "announce"),
        (100_000, "connect"),
        (100_100, "announce"),
    ];
    assert_eq!(kinds(&world), want);
}

#[test]
fn a_forgotten_connection_id_is_replaced() {
    // the tracker says so
    let script = |a: &Ask| if a.at == 50_000 { Answer::Error("bad connection id") } else { Answer::Ok(1800) };
    let mut world = World::new(&[&[URL]], script).start();
    world.run_to(50);
    world.put(AnnounceInput::Completed);
    world.run_to(60);
    assert_eq!(kinds(&world)[2..], [(50_000, "announce"), (50_100, "connect"), (50_200, "announce")]);
    assert!(world.failures().is_empty());
    // the tracker is silent about it
    let script = |a: &Ask| if a.at == 50_000 { Answer::Silent } else { Answer::Ok(1800) };
    let mut world = World::new(&[&[URL]], script).start();
    world.run_to(50);
    world.put(AnnounceInput::Completed);
    world.run_to(60);
    assert_eq!(kinds(&world)[2..], [(50_000, "announce"), (53_000, "connect"), (53_100, "announce")]);
}

#[test]
fn an_error_reply_is_a_failure_with_its_text() {
    let mut world = World::new(&[&[URL]], |_| Answer::Error("not registered")).start();
    world.run_to(1);
    let failure = world.failures()[0];
    assert_eq!((failure.0, failure.1), ("udp://192.0.2.1:6969/…", "tracker says: not registered"));
}

//= BEP 7: one announce over each address family
#[test]
fn peers_are_of_the_family_of_the_tracker() {
    let script = |a: &Ask| match a.family {
        Family::V4 => Answer::Peer("198.51.100.1:1"),
        Family::V6 => Answer::Peer("[2001:db8::9]:1"),
    };
    let mut world = World::with(&[&["udp://t.example:1"]], BOTH, false, script);
    world.dns.insert("t.example", vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
    let mut world = world.start();
    world.run_to(1);
    let mut peers = world.peers();
    peers.sort_unstable();
    let want: [SocketAddr; 2] = ["198.51.100.1:1".parse().unwrap(), "[2001:db8::9]:1".parse().unwrap()];
    assert_eq!(peers, want.map(|p| (p, None)));
}

#[test]
fn five_percent_and_twenty_percent_of_packets_lost_still_announce() {
    for every in [20, 5] {
        for first in 0..every {
            let mut world = World::new(&[&[URL]], |_| Answer::Ok(600));
            world.lost = (first..400).step_by(every).collect();
            let mut world = world.start();
            world.run_to(6100);
            assert!(world.failures().is_empty());
            assert!(world.asked.len() >= 10);
        }
    }
}
