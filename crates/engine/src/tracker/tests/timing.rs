//! When trackers are asked, and what their answers come to.

use super::world::{Answer, Ask, World};
use crate::tracker::*;

const HTTP: &str = "http://192.0.2.1/k3y-of-mine/announce?pass=s3cret99";

fn one(answer: Answer) -> World {
    World::new(&[&[HTTP]], move |_| answer.clone()).start()
}

#[test]
fn the_interval_of_the_tracker_is_kept() {
    for interval in [440, 1200, 1800] {
        let mut world = one(Answer::Ok(interval));
        world.run_to(4 * u64::from(interval));
        let i = u64::from(interval);
        assert_eq!(world.times()[..4], [0, i, 2 * i, 3 * i]);
    }
}

//= H3f-6
#[test]
fn absurd_intervals_are_clamped_to_a_minute_and_a_day() {
    for (body, next) in [
        ("d8:intervali0ee", 60),
        ("d8:intervali-1ee", 60),
        ("d8:intervali59ee", 60),
        ("d8:intervali2147483648ee", 86_400),
        ("d8:intervali9223372036854775807ee", 86_400),
        ("d8:interval3:fooe", 1800),
        ("de", 1800),
        ("d8:intervali60e12:min intervali600ee", 600),
        ("d8:intervali60e12:min intervali-6ee", 60),
        ("d8:intervali60e12:min intervali2147483648ee", 86_400),
    ] {
        let mut world = one(Answer::Body(body));
        world.run_to(90_000);
        assert_eq!(world.times()[1], next, "{body}");
    }
    let mut world = World::new(&[&["udp://192.0.2.1:1"]], |_| Answer::Ok(1 << 31)).start();
    world.run_to(100);
    assert_eq!(world.times(), [0, 60]);
}

#[test]
fn a_wish_for_peers_waits_for_the_least_interval() {
    for (body, next) in [
        ("d8:intervali1800e12:min intervali120ee", 120),
        ("d8:intervali1800e12:min intervali1ee", 60),
        ("d8:intervali1800ee", 300),
        ("d8:intervali90ee", 90),
    ] {
        let mut world = one(Answer::Body(body));
        world.run_to(10);
        world.put(AnnounceInput::AnnounceNow);
        world.run_to(next + 1);
        assert_eq!(world.times(), [0, next], "{body}");
    }
    let mut world = one(Answer::Ok(1800));
    world.run_to(400);
    world.put(AnnounceInput::AnnounceNow);
    world.put(AnnounceInput::AnnounceNow);
    world.run_to(500);
    assert_eq!(world.times(), [0, 400]);
}

#[test]
fn a_wish_for_peers_does_not_shorten_a_back_off() {
    let mut world = one(Answer::Error("refused"));
    world.run_to(5);
    world.put(AnnounceInput::AnnounceNow);
    world.run_to(10);
    assert_eq!(world.asked.len(), 1);
}

//= H3f-6
#[test]
fn failures_are_retried_ever_later_up_to_an_hour() {
    let mut world = one(Answer::Error("refused"));
    world.run_to(20 * 3600);
    let waits: Vec<f64> = world.asked.windows(2).map(|w| (w[1].at - w[0].at) as f64 / 1000.0).collect();
    for (n, wait) in waits.iter().enumerate() {
        let fails = (n + 1) as f64;
        let want = (5.0 + 12.5 * fails * fails).min(3600.0);
        assert!((wait - want).abs() <= want * 0.1 + 0.2, "after {fails} failures {wait}, not {want}");
    }
    assert!(waits.len() > 25);
    let longest = &waits[20..];
    assert!(longest.windows(2).any(|w| w[0] != w[1]), "waits are jittered");
    let failures = world.failures();
    assert_eq!(failures[0].0, "http://192.0.2.1/…");
    assert!((15..=19).contains(&failures[0].2.unwrap()));
}

#[test]
fn a_success_ends_the_back_off() {
    let script =
        |a: &Ask| if a.at < 100_000 || a.at > 3_000_000 { Answer::Error("x") } else { Answer::Ok(3600) };
    let mut world = World::new(&[&[HTTP]], script).start();
    world.run_to(4000);
    let waits: Vec<u64> = world.failures().iter().map(|f| f.2.unwrap()).collect();
    assert!(waits[0] < 20 && waits[2] > 100 && waits[3] < 20, "{waits:?}");
}

//= BEP 31: retry in
#[test]
fn a_refusal_says_when_to_come_again() {
    let mut world = one(Answer::Body("d14:failure reason4:full8:retry in2:10e"));
    world.run_to(601);
    assert_eq!(world.times(), [0, 600]);
    assert_eq!(world.failures()[0], ("http://192.0.2.1/…", "tracker says: full", Some(600)));
    let mut world = one(Answer::Body("d14:failure reason4:gone8:retry in5:nevere"));
    world.run_to(1_000_000);
    assert_eq!(world.times(), [0]);
    assert_eq!(world.failures(), [("http://192.0.2.1/…", "tracker says: gone", None)]);
    world.put(AnnounceInput::Stop);
    world.put(AnnounceInput::Start { is_complete: false });
    assert_eq!(world.asked.len(), 2, "a new start asks again");
    let mut world = one(Answer::Body("d14:failure reason4:full8:retry in1:0e"));
    world.run_to(100);
    assert_eq!(world.times(), [0, 60]);
}

//= H3f-6
#[test]
fn every_kind_of_bad_reply_is_a_failure_with_its_reason() {
    for (answer, error) in [
        (Answer::Status(404, "Not Found"), "HTTP status 404"),
        (Answer::Status(503, ""), "HTTP status 503"),
        (Answer::Status(400, "d14:failure reason7:unknowne"), "tracker says: unknown"),
        (Answer::Status(200, ""), "reply is not bencode (ends inside a value at byte 0): \"\""),
        (Answer::Body("<html>"), "reply is not bencode (not bencode at byte 0): \"<html>\""),
        (
            Answer::Body("d8:interval"),
            "reply is not bencode (ends inside a value at byte 11): \"d8:interval\"",
        ),
        (Answer::Body("i5e"), "reply is not what a tracker says: \"i5e\""),
        (Answer::Error("connection refused"), "connection refused"),
    ] {
        let mut world = one(answer);
        world.run_to(1);
        assert_eq!(world.failures()[0].1, error);
        assert!(world.peers().is_empty());
    }
    let mut world = one(Answer::Silent);
    world.run_to(16);
    assert_eq!(world.failures()[0].1, "no reply in 15 seconds");
}

//= C4
#[test]
fn keys_in_urls_are_never_shown() {
    let mut world = one(Answer::Error("GET http://192.0.2.1/k3y-of-mine/announce?pass=s3cret99&x: refused"));
    world.run_to(1);
    assert_eq!(world.failures()[0].1, "GET http://192.0.2.1/…/announce?pass=…&x: refused");
    let mut world = one(Answer::Body("d15:warning message16:k3y-of-mine old?e"));
    world.run_to(1);
    let shown = format!("{:?} {:?}", world.told, world.announcer);
    assert!(shown.contains("… old?"));
    assert!(!shown.contains("k3y") && !shown.contains("s3cret"), "{shown}");
    assert!(world.asked[0].url.starts_with("http://192.0.2.1/k3y-of-mine/announce?pass=s3cret99&info_hash="));
}

//= S13
//= BEP 24: external ip
#[test]
fn a_reply_hands_out_warning_counts_address_and_peers() {
    let body = "d8:completei3e11:external ip4:abcd10:incompletei4e8:intervali900e5:peersl\
        d2:ip12:198.51.100.17:peer id20:-XX0001-abcdefghijkl4:porti1ee\
        d2:ip12:peer.example4:porti2eee15:warning message3:oldd";
    let body: &'static str = Box::leak(format!("{}e", &body[..body.len() - 1]).into_boxed_str());
    let mut world = World::new(&[&[HTTP]], move |_| Answer::Body(body));
    world.dns.insert("peer.example", vec!["2001:db8::9".parse().unwrap()]);
    let mut world = world.start();
    world.run_to(1);
    let replied = AnnounceOutput::Replied {
        url: "http://192.0.2.1/…".into(),
        peers: 2,
        warning: Some("old".into()),
        next_in: Duration::from_secs(900),
        complete: Some(3),
        incomplete: Some(4),
    };
    let tracker = Some("192.0.2.1".parse().unwrap());
    let id = Some(PeerId(*b"-XX0001-abcdefghijkl"));
    let told: Vec<_> = world.told.iter().map(|(_, o)| o.clone()).collect();
    let want = [
        replied,
        AnnounceOutput::ExternalIp("97.98.99.100".parse().unwrap()),
        AnnounceOutput::Peers { peers: vec![("198.51.100.1:1".parse().unwrap(), id)], tracker },
        AnnounceOutput::Peers { peers: vec![("[2001:db8::9]:2".parse().unwrap(), None)], tracker },
    ];
    assert_eq!(told, want);
}

#[test]
fn a_tracker_id_is_repeated_until_another_comes() {
    let mut turn = 0;
    let script = move |_: &Ask| {
        turn += 1;
        Answer::Body(
            ["d10:tracker id1:aee", "d10:tracker id1:ae", "de", "d10:tracker id1:be", "de"][turn.min(4)],
        )
    };
    let mut world = World::new(&[&[HTTP]], script).start();
    world.run_to(6000);
    let ids: Vec<_> =
        world.asked.iter().map(|a| a.url.split_once("&trackerid=").map(|x| x.1.to_owned())).collect();
    let a = Some("a".to_owned());
    assert_eq!(ids, [None, a.clone(), a, Some("b".to_owned())]);
}

#[test]
fn peers_by_name_above_the_limit_are_left_out() {
    let peers: String = (0..=NAMED_PEERS_MAX).map(|i| format!("d2:ip3:p{i:02}4:porti1ee")).collect();
    let body: &'static str = Box::leak(format!("d5:peersl{peers}ee").into_boxed_str());
    let mut world = World::new(&[&[HTTP]], move |_| Answer::Body(body)).start();
    world.run_to_ms(100);
    assert_eq!(world.announcer.named_peers.len(), NAMED_PEERS_MAX);
    world.run_to_ms(300);
    assert!(world.announcer.named_peers.is_empty());
}

//= BEP 48: scrapes
#[test]
fn a_scrape_tells_the_counts() {
    let body = "d5:filesd20:\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
        d8:completei1e10:downloadedi3e10:incompletei2eeee";
    let stats = unchoke_wire::udp_tracker::ScrapeStats { complete: 1, incomplete: 2, downloaded: 3 };
    for (url, shown) in [
        ("http://192.0.2.1/key-key/announce", "http://192.0.2.1/…"),
        ("udp://192.0.2.1:1/x", "udp://192.0.2.1:1/…"),
    ] {
        let mut world = World::new(&[&[url]], move |_| Answer::Body(body));
        world.put(AnnounceInput::Scrape);
        world.run_to(1);
        let url = shown.to_owned();
        assert_eq!(world.told, [(world.told[0].0, AnnounceOutput::Scraped { url, result: Ok(stats) })]);
    }
    let scraped = |url: &'static str, answer: Answer| {
        let mut world = World::new(&[&[url]], move |_| answer.clone());
        world.put(AnnounceInput::Scrape);
        world.run_to(20);
        match world.told.pop() {
            Some((_, AnnounceOutput::Scraped { result, .. })) => result.unwrap_err(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(scraped("http://192.0.2.1/x", Answer::Silent), "tracker cannot be scraped");
    assert_eq!(scraped("http://192.0.2.1/announce", Answer::Silent), "no reply in 15 seconds");
    assert_eq!(scraped("http://192.0.2.1/announce", Answer::Status(404, "")), "HTTP status 404");
    let unknown = "tracker does not know the torrent";
    assert_eq!(scraped("http://192.0.2.1/announce", Answer::Body("d5:filesdee")), unknown);
}

#[test]
fn another_address_is_told_before_the_least_interval_but_not_twice_in_a_minute() {
    let mut world = one(Answer::Body("d8:intervali1800e12:min intervali900ee"));
    world.run_to(100);
    let moved = |world: &mut World| world.put(AnnounceInput::Moved(world.now + Duration::from_secs(10)));
    moved(&mut world);
    world.run_to(120);
    moved(&mut world);
    world.run_to(1500);
    assert_eq!(world.times(), [0, 110, 170]);
}
