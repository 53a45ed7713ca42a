//! Who is told `started`, `completed` and `stopped`, and how often.

use super::world::{Answer, BOTH, World};
use crate::tracker::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const HTTP: &str = "http://192.0.2.1/announce";
const UDP: &str = "udp://192.0.2.2:6969/announce";

//= S59
//= S60
//= BEP 3: tracker announces and replies
#[test]
fn each_event_is_said_once_over_http_and_udp() {
    for (url, host) in [(HTTP, "192.0.2.1"), (UDP, "192.0.2.2")] {
        let mut world = World::new(&[&[url]], |_| Answer::Ok(1800)).start();
        world.run_to(2000);
        world.put(AnnounceInput::Completed);
        world.put(AnnounceInput::Completed);
        world.run_to(6000);
        world.put(AnnounceInput::Stop);
        world.put(AnnounceInput::Stop);
        world.run_to(9000);
        let events = ["started", "", "completed", "", "", "stopped"];
        assert_eq!(world.announces(), events.map(|e| (host, e)));
        assert_eq!(world.times(), [0, 1800, 2000, 3800, 5600, 6000].map(|t| t));
        assert!(world.announcer.is_stopped());
        assert_eq!(world.announcer.next_timeout(), None);
    }
}

#[test]
fn a_torrent_complete_at_start_never_says_completed() {
    let mut world = World::new(&[&[HTTP]], |_| Answer::Ok(1800));
    world.totals.left = Some(0);
    world.put(AnnounceInput::Start { is_complete: true });
    world.run_to(10);
    world.put(AnnounceInput::Completed);
    world.run_to(1900);
    assert_eq!(world.announces(), [("192.0.2.1", "started"), ("192.0.2.1", "")]);
    assert!(world.asked[0].url.contains("&left=0&"));
}

#[test]
fn a_completion_before_started_is_answered_is_said_after_it() {
    let mut world =
        World::new(&[&[HTTP]], |a| if a.event == "started" { Answer::Late(3000) } else { Answer::Ok(1800) });
    world.put(AnnounceInput::Start { is_complete: false });
    world.run_to(1);
    world.put(AnnounceInput::Completed);
    world.run_to(100);
    assert_eq!(world.announces(), [("192.0.2.1", "started"), ("192.0.2.1", "completed")]);
    assert_eq!(world.times(), [0, 3]);
}

#[test]
fn a_completion_that_a_tracker_did_not_take_is_said_again() {
    let mut count = 0;
    let script = move |a: &super::world::Ask| {
        count += u32::from(a.event == "completed");
        if a.event == "completed" && count < 3 { Answer::Error("reset") } else { Answer::Ok(1800) }
    };
    let mut world = World::new(&[&[HTTP]], script).start();
    world.run_to(10);
    world.put(AnnounceInput::Completed);
    world.run_to(1000);
    let events: Vec<_> = world.asked.iter().map(|a| a.event).collect();
    assert_eq!(events, ["started", "completed", "completed", "completed"]);
}

#[test]
fn stopped_is_told_only_to_those_who_know_of_us() {
    let mut world = World::new(&[&[HTTP], &[UDP]], |a| match a.host.as_str() {
        "192.0.2.1" => Answer::Error("refused"),
        _ => Answer::Ok(1800),
    });
    world.put(AnnounceInput::Start { is_complete: false });
    world.run_to(1);
    world.put(AnnounceInput::Stop);
    world.run_to(100);
    let want = [("192.0.2.1", "started"), ("192.0.2.2", "started"), ("192.0.2.2", "stopped")];
    assert_eq!(world.announces(), want);
}

#[test]
fn stopped_asks_for_no_peers_and_takes_none() {
    let mut world = World::new(&[&[HTTP]], |_| Answer::Peer("198.51.100.1:1")).start();
    world.run_to(1);
    world.put(AnnounceInput::Stop);
    world.run_to(2);
    assert_eq!(world.peers().len(), 1);
    assert!(world.asked[0].url.contains("&numwant=200&"));
    assert!(world.asked[1].url.contains("&event=stopped&numwant=0&"));
}

#[test]
fn a_silent_tracker_holds_up_the_stop_for_five_seconds_at_most() {
    let script = |a: &super::world::Ask| if a.event == "stopped" { Answer::Silent } else { Answer::Ok(1800) };
    let mut world = World::new(&[&[HTTP]], script).start();
    world.run_to(10);
    world.put(AnnounceInput::Stop);
    world.run_to_ms(14_999);
    assert!(!world.announcer.is_stopped());
    world.run_to(15);
    assert!(world.announcer.is_stopped());
    assert!(world.failures().is_empty());
}

#[test]
fn a_start_that_is_under_way_at_the_stop_is_taken_back() {
    let mut world =
        World::new(&[&[HTTP]], |a| if a.event == "started" { Answer::Late(2000) } else { Answer::Ok(1800) });
    world.put(AnnounceInput::Start { is_complete: false });
    world.run_to(1);
    world.put(AnnounceInput::Stop);
    world.run_to(10);
    assert_eq!(world.announces(), [("192.0.2.1", "started"), ("192.0.2.1", "stopped")]);
    assert_eq!(world.times(), [0, 2]);
    assert!(world.announcer.is_stopped());
}

#[test]
fn a_stop_before_anything_was_sent_sends_nothing() {
    let mut world = World::new(&[&["http://tracker.example/announce", UDP]], |_| Answer::Ok(1800)).start();
    world.put(AnnounceInput::Stop);
    world.run_to(10);
    assert!(world.asked.is_empty());
    assert!(world.announcer.is_stopped());
}

#[test]
fn a_start_during_the_stop_waits_for_it() {
    let mut world = World::new(&[&[HTTP]], |_| Answer::Ok(1800)).start();
    world.run_to(1);
    world.put(AnnounceInput::Stop);
    world.put(AnnounceInput::Start { is_complete: false });
    world.run_to(2);
    let events: Vec<_> = world.asked.iter().map(|a| (a.at, a.event)).collect();
    assert_eq!(events, [(0, "started"), (1000, "stopped"), (1100, "started")]);
    assert!(!world.announcer.is_stopped());
}

#[test]
fn other_trackers_midway_end_the_old_and_keep_the_common_ones() {
    let third = "http://192.0.2.3/announce";
    let mut world = World::new(&[&[HTTP], &[third]], |a| match a.host.as_str() {
        "192.0.2.1" if a.at < 50_000 => Answer::Silent,
        _ => Answer::Ok(1800),
    });
    world.put(AnnounceInput::Start { is_complete: false });
    world.run_to(60);
    assert_eq!(world.announces(), [("192.0.2.1", "started"), ("192.0.2.3", "started")]);
    world.put(AnnounceInput::SetTiers(vec![vec![third.to_owned()], vec![UDP.to_owned()]]));
    world.run_to(100);
    assert_eq!(world.asked.len(), 2, "the one that works is best and keeps its interval");
    world.put(AnnounceInput::SetTiers(vec![vec![UDP.to_owned()]]));
    world.run_to(200);
    assert_eq!(world.announces()[2..], [("192.0.2.3", "stopped"), ("192.0.2.2", "started")]);
    world.put(AnnounceInput::SetTiers(vec![]));
    world.run_to(20_000);
    assert_eq!(world.announces()[4..], [("192.0.2.2", "stopped")]);
    world.put(AnnounceInput::SetTiers(vec![vec![UDP.to_owned()]]));
    world.put(AnnounceInput::SetTiers(vec![]));
    world.put(AnnounceInput::SetTiers(vec![vec![UDP.to_owned()]]));
    world.run_to(20_010);
    assert_eq!(world.announces().last(), Some(&("192.0.2.2", "started")));
}

#[test]
fn an_unknown_size_is_never_said_to_be_complete() {
    let mut world = World::new(&[&[HTTP]], |_| Answer::Ok(1800));
    world.totals.left = None;
    world.put(AnnounceInput::Start { is_complete: false });
    assert!(world.asked[0].url.contains("&left=16384&"));
}

#[test]
fn hedged_trackers_that_all_answer_hear_each_event_once() {
    let tiers: &[&[&str]] = &[&[HTTP, "http://192.0.2.3/announce"], &["http://192.0.2.4/announce"]];
    let script =
        |a: &super::world::Ask| if a.event == "started" { Answer::Late(12_000) } else { Answer::Ok(1800) };
    let mut world = World::new(tiers, script).start();
    world.run_to(30);
    world.put(AnnounceInput::Completed);
    world.run_to(4000);
    world.put(AnnounceInput::Stop);
    world.run_to(4010);
    for host in ["192.0.2.1", "192.0.2.3", "192.0.2.4"] {
        let of_host = world.announces().into_iter().filter(|(h, e)| *h == host && !e.is_empty());
        let events: Vec<_> = of_host.map(|(_, e)| e).collect();
        assert_eq!(events, ["started", "completed", "stopped"], "{host}");
    }
}

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Start(bool),
    Stop,
    Completed,
    AnnounceNow,
    Scrape,
    SetTiers(usize),
}

const LISTS: [&[&[&str]]; 4] = [
    &[&["http://192.0.2.1/announce", "udp://192.0.2.2:1"], &["http://dual.example/announce"]],
    &[&["udp://192.0.2.2:1"]],
    &[&["http://dual.example/announce"], &["http://192.0.2.1/announce"]],
    &[],
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..12, 1u64..4_000_000, any::<bool>()).prop_map(|(kind, n, is_complete)| match kind {
        0..4 => Step::Wait(n % 40_000 + 1),
        4 | 5 => Step::Wait(n),
        6 | 7 => Step::Start(is_complete),
        8 => Step::Stop,
        9 => Step::Completed,
        10 if is_complete => Step::AnnounceNow,
        10 => Step::Scrape,
        _ => Step::SetTiers(usize::try_from(n).unwrap() % LISTS.len()),
    });
    prop::collection::vec(step, 1..30)
}

proptest! {
    #[test]
    fn no_life_puts_events_out_of_order_or_ends_the_announces(
        steps in steps(),
        answers in prop::collection::vec(0usize..6, 1..20),
        is_private: bool,
    ) {
        const ANSWERS: [Answer; 6] = [
            Answer::Ok(1800), Answer::Ok(0), Answer::Silent, Answer::Error("x"), Answer::Late(9000),
            Answer::Body("d14:failure reason1:x8:retry in5:nevere"),
        ];
        let is_forgiving = !answers.contains(&5);
        let healed_at: u64 = steps.iter().map(|s| if let Step::Wait(ms) = s { *ms } else { 0 }).sum();
        let mut turn = 0;
        let script = move |a: &super::world::Ask| {
            turn += 1;
            if a.at > healed_at {
                return Answer::Ok(1800);
            }
            ANSWERS[answers[turn % answers.len()]].clone()
        };
        let mut world = World::with(LISTS[0], BOTH, is_private, script);
        world.dns.insert("dual.example", vec!["192.0.2.3".parse().unwrap(), "2001:db8::3".parse().unwrap()]);
        let mut at = 0;
        for step in steps {
            match step {
                Step::Wait(ms) => {
                    at += ms;
                    world.run_to_ms(at);
                }
                Step::Start(is_complete) => world.put(AnnounceInput::Start { is_complete }),
                Step::Stop => world.put(AnnounceInput::Stop),
                Step::Completed => world.put(AnnounceInput::Completed),
                Step::AnnounceNow => world.put(AnnounceInput::AnnounceNow),
                Step::Scrape => world.put(AnnounceInput::Scrape),
                Step::SetTiers(list) => {
                    let tiers = LISTS[list].iter().map(|t| t.iter().map(|u| (*u).to_owned()).collect()).collect();
                    world.put(AnnounceInput::SetTiers(tiers));
                }
            }
        }
        // once trackers answer, each family that has a tracker announces again within the longest back-off
        let tiers = LISTS[0].iter().map(|t| t.iter().map(|u| (*u).to_owned()).collect()).collect();
        world.put(AnnounceInput::SetTiers(tiers));
        world.put(AnnounceInput::Start { is_complete: false });
        let before = world.asked.len();
        at += 2 * 3_600_000;
        world.run_to_ms(at);
        let is_asked = |family| world.asked[before..].iter().any(|a| a.family == family);
        let is_enough = match is_private {
            // the one tracker of a private torrent may have no address in a family
            true => is_asked(Family::V4) || is_asked(Family::V6),
            false => is_asked(Family::V4) && is_asked(Family::V6),
        };
        prop_assert!(!is_forgiving || is_enough);
        world.put(AnnounceInput::Stop);
        world.run_to_ms(at + 5_000);
        prop_assert!(world.announcer.is_stopped());
        let mut last: BTreeMap<(&str, bool), &str> = BTreeMap::new();
        for ask in world.asked.iter().filter(|a| !a.is_scrape) {
            let before = last.insert((&ask.host, ask.family == Family::V4), ask.event);
            // an event nobody took is said again
            let is_repeated = before == Some(ask.event);
            let is_new = before.is_none_or(|b| b == "stopped");
            prop_assert!(is_repeated || !is_new || ask.event == "started", "{} after {before:?}", ask.event);
        }
    }
}
