//! Which tracker is asked: tiers, silent trackers, address families.

use super::world::{Answer, Ask, BOTH, World};
use crate::tracker::*;

const A: &str = "http://192.0.2.1/announce";
const B: &str = "http://192.0.2.2/announce";
const C: &str = "http://192.0.2.3/announce";

fn hosts(world: &World) -> Vec<u8> {
    let last = |a: &Ask| a.host.rsplit('.').next().unwrap().parse().unwrap();
    world.asked.iter().map(last).collect()
}

//= BEP 12: tiers
#[test]
fn only_the_first_tracker_that_answers_is_asked() {
    let mut world = World::new(&[&[A], &[B], &[C]], |_| Answer::Ok(1800)).start();
    world.run_to(1900);
    assert_eq!(hosts(&world), [1, 1]);
}

//= BEP 12: tiers
#[test]
fn a_tier_that_fails_gives_way_to_the_next_and_is_tried_first_again() {
    let script = |a: &Ask| match a.host.as_str() {
        "192.0.2.2" => Answer::Ok(1800),
        "192.0.2.1" if a.at > 3_000_000 => Answer::Ok(1800),
        _ => Answer::Error("refused"),
    };
    let mut world = World::new(&[&[A], &[B], &[C]], script).start();
    world.run_to(6000);
    assert_eq!(hosts(&world), [1, 2, 1, 2, 1, 1]);
    assert_eq!(world.times(), [0, 0, 1800, 1800, 3600, 5400]);
}

//= BEP 12: tiers
#[test]
fn a_tracker_that_answers_moves_to_the_front_of_its_tier() {
    let script = |a: &Ask| if a.host == "192.0.2.3" { Answer::Ok(1800) } else { Answer::Error("refused") };
    let mut world = World::new(&[&[A, B, C]], script).start();
    world.run_to(1000);
    assert_eq!(hosts(&world).last(), Some(&3));
    let before = world.asked.len();
    world.run_to(5000);
    assert_eq!(hosts(&world)[before..], [3, 3]);
}

//= BEP 12: tiers
#[test]
fn a_tier_is_shuffled_and_the_order_of_tiers_is_not() {
    let mut firsts = [0; 4];
    for seed in 0..60 {
        let mut world = World::new(&[&[A, B, C]], |_| Answer::Ok(1800));
        let settings = AnnouncerSettings {
            tiers: vec![[A, B, C].map(str::to_owned).to_vec()],
            ..world.announcer.settings.clone()
        };
        world.announcer = Announcer::new(settings, seed, Instant::ZERO);
        world.put(AnnounceInput::Start { is_complete: false });
        firsts[usize::from(hosts(&world)[0])] += 1;
    }
    assert!(firsts[1..].iter().all(|n| *n > 8), "{firsts:?}");
}

#[test]
fn a_silent_tracker_is_joined_by_the_next_after_five_seconds() {
    let script = |a: &Ask| if a.host == "192.0.2.1" { Answer::Silent } else { Answer::Ok(1800) };
    let mut world = World::new(&[&[A], &[B]], script).start();
    world.run_to(30);
    assert_eq!((hosts(&world), world.times()), (vec![1, 2], vec![0, 5]));
    assert_eq!(world.failures().len(), 1);
    world.run_to(1900);
    assert_eq!((hosts(&world), world.times()), (vec![1, 2, 1, 2], vec![0, 5, 1805, 1810]));
}

#[test]
fn a_late_answer_of_a_better_tier_wins_over_an_early_one_of_a_worse() {
    let script = |a: &Ask| match a.host.as_str() {
        "192.0.2.1" if a.at < 1000 => Answer::Late(8000),
        _ => Answer::Ok(1800),
    };
    let mut world = World::new(&[&[A], &[B]], script).start();
    world.run_to(1850);
    assert_eq!((hosts(&world), world.times()), (vec![1, 2, 1], vec![0, 5, 1808]));
    world.put(AnnounceInput::Stop);
    world.run_to(1900);
    let stopped = world.asked.iter().filter(|a| a.event == "stopped");
    assert_eq!(stopped.count(), 2, "both know of us");
}

//= H3f-6
#[test]
fn twenty_dead_trackers_cost_less_than_thirty_seconds() {
    let dead: Vec<String> = (10..30).map(|i| format!("udp://192.0.2.{i}:1")).collect();
    let dead: Vec<&str> = dead.iter().map(String::as_str).collect();
    for is_http_dead in [false, true] {
        let http: Vec<String> =
            dead.iter().map(|u| u.replace("udp", "http").replace(":1", ":1/announce")).collect();
        let http: Vec<&str> = http.iter().map(|u| u.as_str()).collect();
        let tier = if is_http_dead { &http } else { &dead };
        let script =
            |a: &Ask| if a.host == "192.0.2.1" { Answer::Peer("198.51.100.1:1") } else { Answer::Silent };
        let mut world = World::new(&[tier, &[A]], script).start();
        world.run_to(30);
        assert_eq!(world.peers().len(), 1);
    }
}

#[test]
fn when_all_fail_the_first_that_may_be_asked_is_asked_again() {
    let mut world = World::new(&[&[A], &[B]], |_| Answer::Error("refused")).start();
    world.run_to(30);
    assert_eq!(hosts(&world)[..2], [1, 2]);
    let mut again = hosts(&world)[2..].to_vec();
    again.sort_unstable();
    assert_eq!(again, [1, 2]);
    assert!(world.times()[2] >= 15);
}

#[test]
fn a_tracker_listed_twice_is_asked_once() {
    let mut world = World::new(&[&[A, A], &[A]], |_| Answer::Error("refused")).start();
    world.run_to(1);
    assert_eq!(hosts(&world), [1]);
}

#[test]
fn a_url_that_cannot_be_used_is_reported_and_passed_over() {
    let mut world =
        World::new(&[&["wss://t.example/key", "http://127.0.0.1/shutdown"], &[A]], |_| Answer::Ok(1800))
            .start();
    world.run_to(1);
    let failures: Vec<_> = world.failures().iter().map(|f| (f.0, f.2)).collect();
    assert_eq!(failures, [("wss://…", None), ("http://…", None)]);
    assert_eq!(hosts(&world), [1]);
}

fn dual(families: Families, script: impl FnMut(&Ask) -> Answer + 'static) -> World {
    let url = "http://t.example/announce";
    let mut world = World::with(&[&[url], &["http://other.example/announce"]], families, false, script);
    world.dns.insert("t.example", vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
    world.dns.insert("other.example", vec!["192.0.2.2".parse().unwrap(), "2001:db8::2".parse().unwrap()]);
    world
}

fn seen(world: &World) -> Vec<(&str, bool)> {
    let mut seen: Vec<_> = world.asked.iter().map(|a| (a.host.as_str(), a.family == Family::V6)).collect();
    seen.sort_unstable();
    seen
}

//= BEP 7: one announce over each address family
#[test]
fn both_families_announce_with_the_same_key() {
    let mut world = dual(BOTH, |_| Answer::Ok(1800)).start();
    world.run_to(1);
    assert_eq!(seen(&world), [("t.example", false), ("t.example", true)]);
    assert!(world.asked.iter().all(|a| a.event == "started" && a.url.contains("&key=00001234&")));
    world.put(AnnounceInput::Completed);
    world.run_to(2);
    world.put(AnnounceInput::Stop);
    world.run_to(3);
    let count = |event| world.asked.iter().filter(|a| a.event == event).count();
    assert_eq!((count("started"), count("completed"), count("stopped")), (2, 2, 2));
}

//= BEP 7: one announce over each address family
#[test]
fn a_family_that_fails_goes_on_alone() {
    let script = |a: &Ask| match (a.host.as_str(), a.family) {
        ("t.example", Family::V6) => Answer::Error("unreachable"),
        _ => Answer::Ok(1800),
    };
    let mut world = dual(BOTH, script).start();
    world.run_to(1900);
    let want = [
        ("other.example", true),
        ("other.example", true),
        ("t.example", false),
        ("t.example", false),
        ("t.example", true),
        ("t.example", true),
    ];
    assert_eq!(seen(&world), want);
}

//= BEP 7: one announce over each address family
#[test]
fn a_tracker_without_an_address_in_a_family_has_not_failed() {
    let mut world = dual(BOTH, |_| Answer::Ok(1800));
    world.dns.insert("t.example", vec!["192.0.2.1".parse().unwrap()]);
    let mut world = world.start();
    world.run_to(1);
    assert_eq!(seen(&world), [("other.example", true), ("t.example", false)]);
    assert!(world.failures().is_empty());
    let mut world = World::with(&[&[A]], BOTH, false, |_| Answer::Ok(1800)).start();
    world.run_to(4000);
    assert_eq!(hosts(&world), [1, 1, 1]);
    assert!(world.failures().is_empty());
}

#[test]
fn a_tracker_without_an_address_in_any_family_of_ours_has_failed() {
    let v6 = Families { v4: false, v6: true };
    let mut world = dual(v6, |_| Answer::Ok(1800));
    world.dns.insert("t.example", vec!["192.0.2.1".parse().unwrap()]);
    let mut world = world.start();
    world.run_to(1);
    assert_eq!(seen(&world), [("other.example", true)]);
    assert_eq!(world.failures()[0].1, "host has no address of a family we have");
    let mut world = World::new(&[&["http://nowhere.example/announce"]], |_| Answer::Ok(1800)).start();
    world.run_to(1);
    assert_eq!(world.failures()[0].1, "no such name");
}

#[test]
fn without_a_family_nobody_is_asked() {
    let mut world = dual(Families { v4: false, v6: false }, |_| Answer::Ok(1800)).start();
    world.put(AnnounceInput::AnnounceNow);
    world.put(AnnounceInput::Scrape);
    world.run_to(100_000);
    assert!(world.asked.is_empty());
    assert_eq!(world.announcer.next_timeout(), None);
    world.put(AnnounceInput::Stop);
    assert!(world.announcer.is_stopped());
}

#[test]
fn another_address_is_tried_after_a_failure() {
    let mut world = World::new(&[&["udp://multi.example:1"]], |_| Answer::Silent);
    world.dns.insert("multi.example", vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]);
    let mut world = world.start();
    world.run_to(100);
    let mut hosts = hosts(&world);
    hosts.dedup();
    assert_eq!(hosts, [1, 2]);
}
