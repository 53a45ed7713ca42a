//! Networks small enough to play in seconds; times in them are virtual and may be asserted.

use super::*;
use unchoke_wire::time::Duration;

fn snapshot(nodes: u32, lookups: u32) -> Plan {
    Plan { seed: 7, nodes, lookups, ..Plan::default() }
}

fn life(nodes: u32, minutes: u64, churn: Option<Churn>, start: Start) -> Plan {
    let life = Life { time: Duration::from_secs(minutes * 60), churn, start };
    Plan { mode: Mode::Life(life), ..snapshot(nodes, 100) }
}

const HARSH: Churn = Churn { median: Duration::from_secs(600), shape: 0.6 };

fn attacked(attack: Attack) -> Report {
    play(&Plan { attack: Some(attack), ..snapshot(3000, 120) })
}

#[test]
fn the_same_plan_gives_the_same_digest_and_another_seed_another() {
    let plan = Plan { foreign: Share::per_mille(300), ..snapshot(3000, 300) };
    let (once, again) = (play(&plan), play(&plan));
    assert_eq!(once, again);
    assert_ne!(once.digest, play(&Plan { seed: 8, ..plan }).digest);
    let plan = life(120, 20, Some(HARSH), Start::Warm);
    assert_eq!(play(&plan), play(&plan));
}

#[test]
fn lookups_among_ten_thousand_are_quick_and_find_their_peer() {
    let report = play(&snapshot(10_000, 250));
    assert_eq!(report.lookups.len(), 250);
    assert!(report.success() >= 0.995, "{}", report.success());
    let (done, first) = (report.done_ms(), report.first_ms());
    assert!(done.p50 <= 600.0 && done.p95 <= 800.0, "{done:?}");
    assert!(first.p50 <= 250.0 && first.p95 <= 500.0, "{first:?}");
    assert!(report.queries().mean <= 45.0 && report.queries().max <= 60.0, "{:?}", report.queries());
    assert!(report.recall().mean >= 0.95 && report.replicas().mean >= 7.0);
    assert!(
        report.served.dead * 4 < report.served.nodes && report.served.same_site * 20 < report.served.nodes
    );
}

#[test]
fn making_all_nodes_or_those_that_are_met_comes_to_the_same() {
    // the dead are noticed by those who live, so there are none
    let plan = Plan { dead: Share::NONE, ..snapshot(4000, 300) };
    let lazy = play(&plan);
    let full = play(&Plan { mode: Mode::Full, ..plan });
    let ratio = |a: f64, b: f64| (a / b - 1.0).abs();
    assert!(
        ratio(lazy.queries().mean, full.queries().mean) < 0.03,
        "{:?} {:?}",
        lazy.queries(),
        full.queries()
    );
    assert!(ratio(lazy.hops().mean, full.hops().mean) < 0.03, "{:?} {:?}", lazy.hops(), full.hops());
}

#[test]
fn what_the_observer_counts_is_what_is_sent() {
    let report = play(&Plan {
        dead: Share::NONE,
        net: NetSettings { loss: Share::NONE, ..NetSettings::default() },
        ..snapshot(1000, 50)
    });
    // without loss or death only those are missed that answer too late
    assert_eq!(report.success(), 1.0);
    assert!(report.recall().mean > 0.97, "{:?}", report.recall());
    assert!(report.lookups.iter().all(|l| l.queries >= 8 && l.hops >= 1 && l.bytes > 8 * 300));
    assert_eq!(report.served.dead, 0);
}

#[test]
fn other_makes_and_nats_leave_lookups_whole() {
    let report = play(&Plan { foreign: Share::per_mille(600), ..snapshot(3000, 150) });
    assert!(report.success() >= 0.98, "{}", report.success());
    let net = NetSettings { has_nats: true, ..NetSettings::default() };
    let report = play(&Plan { net, ..snapshot(3000, 150) });
    assert!(report.success() >= 0.9, "{}", report.success());
}

#[test]
fn eclipse_by_64_addresses_in_four_networks_captures_no_half_of_the_lookups() {
    for attack in [Attack::Eclipse, Attack::EclipseAnyId] {
        let report = attacked(attack);
        assert!(report.captured() < 0.5, "{attack:?} {}", report.captured());
        let least = if attack == Attack::Eclipse { 0.95 } else { 0.5 };
        assert!(report.success() > least, "{attack:?} {}", report.success());
    }
}

#[test]
fn poisoned_tables_leave_most_lookups_a_way() {
    let report = attacked(Attack::Poison);
    assert!(report.success() > 0.9, "{}", report.success());
}

#[test]
fn poisoned_values_come_along_with_true_ones() {
    let report = attacked(Attack::Values);
    assert!(report.success() > 0.95 && report.false_peers() > 0.0);
}

#[test]
fn nodes_invented_by_liars_do_not_end_a_lookup() {
    let report = attacked(Attack::Liars);
    assert!(report.success() > 0.9, "{}", report.success());
}

#[test]
fn droppers_that_answer_pings_alone_cost_time_and_no_peer() {
    let report = attacked(Attack::Droppers);
    assert!(report.success() > 0.95, "{}", report.success());
}

#[test]
fn id_changers_are_passed_over() {
    let report = attacked(Attack::IdChangers);
    assert!(report.success() > 0.95, "{}", report.success());
}

#[test]
fn vote_liars_move_few_newcomers_and_no_table() {
    let mut plan = life(150, 15, Some(HARSH), Start::Warm);
    plan.attack = Some(Attack::Votes);
    let report = play(&plan);
    // a newcomer whose first three answers are lies believes them, until it has more
    assert!(report.votes.wrong * 20 <= report.votes.right, "{:?}", report.votes);
    assert!(report.served.not_compliant * 100 <= report.served.nodes, "{:?}", report.served);
    assert!(report.success() > 0.9, "{}", report.success());
}

#[test]
fn a_victim_gets_no_more_than_ten_times_what_the_amplifier_sends() {
    let reflected = attacked(Attack::Amplify).reflected;
    assert!(reflected.sent > 10_000 && reflected.largest <= 1024, "{reflected:?}");
    assert!(reflected.reflected <= reflected.sent * 10, "{reflected:?}");
}

//= H3f-10
#[test]
fn dead_bootstraps_are_survived() {
    let report = attacked(Attack::Bootstrap);
    assert!(report.success() >= 0.9, "{}", report.success());
}

#[test]
fn under_harsh_churn_what_is_announced_is_found() {
    let report = play(&Plan { lookups: 200, ..life(150, 60, Some(HARSH), Start::Warm) });
    assert!(report.success() >= 0.99, "{}", report.success());
    assert!(report.joins.len() > 50 && report.join_ms().p50 < 5000.0, "{:?}", report.join_ms());
    let last = report.surveys.last().unwrap();
    assert!(last.up.abs_diff(150) < 40 && last.entries > 30.0, "{last:?}");
}

#[test]
fn nodes_that_join_in_waves_or_at_once_find_each_other() {
    for start in [Start::Waves, Start::Rush] {
        let report = play(&life(150, 30, None, start));
        assert!(report.success() >= 0.98, "{start:?} {}", report.success());
        assert_eq!(report.joins.len(), if start == Start::Rush { 170 } else { 148 }, "{start:?}");
    }
}

#[test]
fn a_node_at_rest_sends_and_receives_no_more_than_ten_kilobytes_a_minute() {
    let report = play(&snapshot(3000, 10));
    assert!(report.upkeep > 100.0 && report.upkeep <= 10_000.0, "{}", report.upkeep);
}

#[test]
fn the_drawing_shows_every_panel() {
    let drawing = draw(&play(&snapshot(1000, 20)));
    assert!(drawing.starts_with("<svg") && drawing.ends_with("</svg>\n"));
    for text in ["first peer", "queries of a lookup", "hops of a lookup"] {
        assert!(drawing.contains(text), "{text}");
    }
    assert!(!drawing.contains("NaN"));
    let drawing = draw(&play(&life(120, 20, None, Start::Warm)));
    assert!(drawing.contains("part that found a peer, by hour"));
}
