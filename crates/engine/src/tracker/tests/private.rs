//! Private torrents: one tracker at a time (BEP 27).

use super::world::{Answer, Ask, BOTH, World};
use crate::tracker::*;

const A: &str = "http://192.0.2.1/announce";
const B: &str = "http://192.0.2.2/announce";
const V4: Families = Families { v4: true, v6: false };

fn changes(world: &World) -> usize {
    world.told.iter().filter(|(_, o)| *o == AnnounceOutput::PrivateTrackerChanged).count()
}

//= BEP 27: one tracker at a time
#[test]
fn the_next_tracker_is_asked_only_when_one_has_failed() {
    let script = |a: &Ask| if a.host == "192.0.2.1" { Answer::Silent } else { Answer::Ok(1800) };
    let mut world = World::with(&[&[A], &[B]], V4, true, script).start();
    world.run_to(30);
    assert_eq!(world.announces(), [("192.0.2.1", "started"), ("192.0.2.2", "started")]);
    assert_eq!(world.times(), [0, 15]);
    assert_eq!(changes(&world), 0, "there were no peers to drop");
}

//= BEP 27: one tracker at a time
#[test]
fn a_change_of_tracker_drops_the_peers_and_leaves_the_old_one() {
    let script = |a: &Ask| match (a.host.as_str(), a.at) {
        ("192.0.2.1", 1_000_000..3_000_000) => Answer::Error("down"),
        ("192.0.2.1", _) => Answer::Peer("198.51.100.1:1"),
        _ => Answer::Peer("198.51.100.2:1"),
    };
    let mut world = World::with(&[&[A], &[B]], V4, true, script).start();
    world.run_to(5000);
    let told: Vec<_> = world
        .told
        .iter()
        .filter_map(|(_, o)| match o {
            AnnounceOutput::PrivateTrackerChanged => Some("change".to_owned()),
            AnnounceOutput::Peers { peers, .. } => Some(peers[0].0.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["198.51.100.1:1", "change", "198.51.100.2:1", "change", "198.51.100.1:1"]);
    let stopped: Vec<_> = world.announces().into_iter().filter(|(_, e)| *e == "stopped").collect();
    assert_eq!(stopped, [("192.0.2.1", "stopped"), ("192.0.2.2", "stopped")]);
}

//= BEP 27: one tracker at a time
#[test]
fn both_families_stay_with_the_same_tracker() {
    let script = |a: &Ask| match (a.host.as_str(), a.family) {
        ("a.example", Family::V6) => Answer::Error("unreachable"),
        _ => Answer::Ok(1800),
    };
    let tiers: &[&[&str]] = &[&["http://a.example/announce"], &["http://b.example/announce"]];
    let mut world = World::with(tiers, BOTH, true, script);
    world.dns.insert("a.example", vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
    world.dns.insert("b.example", vec!["192.0.2.2".parse().unwrap(), "2001:db8::2".parse().unwrap()]);
    let mut world = world.start();
    world.run_to(20_000);
    assert!(world.asked.iter().all(|a| a.host == "a.example"), "{:?}", world.announces());
    assert_eq!(changes(&world), 0);
}
