//! The whole catalogue: every scenario holds, goes the same way twice, and together they reach every rare path.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use unchoke_sim::scenarios::{self, Scenario};
use unchoke_sim::{FaultKind, Mark, Report};

/// The seed every scenario is played with.
const SEED: u64 = 1;
/// Scenarios that show the same with any number of hosts are played with few: this is not optimised.
const FEW: [&str; 6] = ["swarm", "single-seed", "fairness", "flash-crowd", "many-sources", "lan"];

fn play(scenario: &Scenario, seed: u64) -> Report {
    let peers = FEW.contains(&scenario.name).then_some(8);
    scenarios::run(scenario.name, seed, peers).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Plays every scenario in a few threads; what each came to.
fn play_all(f: impl Fn(&Scenario) -> BTreeSet<Mark> + Sync) -> BTreeSet<Mark> {
    let all: Vec<&Scenario> = scenarios::all().collect();
    let (next, hit) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(scenario) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let marks = f(scenario);
                    hit.lock().expect("nobody panics with the lock").extend(marks);
                }
            });
        }
    });
    hit.into_inner().expect("nobody panicked with the lock")
}

#[test]
fn every_scenario_goes_the_same_way_twice_and_together_they_reach_every_mark() {
    let mut hit = play_all(|scenario| {
        let (once, twice) = (play(scenario, SEED), play(scenario, SEED));
        assert_eq!(once, twice, "{}", scenario.name);
        once.marks
    });
    // what is left to chance in one seed shows in another
    let by_plan = || scenarios::all().filter(|s| s.name.starts_with("fault/") || s.name.starts_with("mix/"));
    for seed in SEED + 1..SEED + 4 {
        if hit.len() < Mark::ALL.len() {
            by_plan().for_each(|scenario| hit.extend(play(scenario, seed).marks));
        }
    }
    let missed: Vec<&Mark> = Mark::ALL.iter().filter(|mark| !hit.contains(mark)).collect();
    assert!(missed.is_empty(), "no scenario reaches {missed:?}");
}

#[test]
fn the_catalogue_has_a_name_once_and_a_scenario_for_each_kind_of_fault() {
    let names: Vec<&str> = scenarios::all().map(|s| s.name).collect();
    let once: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(once.len(), names.len());
    assert!(names.len() >= 150, "{} scenarios", names.len());
    assert!(FaultKind::ALL.len() >= 20);
    for kind in FaultKind::ALL {
        let name = format!("fault/{}", kind.name());
        assert!(once.contains(name.as_str()) || kind.is_of_tracker(), "{name}");
    }
}

#[test]
fn a_failure_says_how_to_see_it_again() {
    let failure = scenarios::run("no-such-run", 7, Some(3)).unwrap_err().to_string();
    assert!(failure.contains("SEED=7"), "{failure}");
    assert!(failure.contains("unchoke sim no-such-run --seed 7 --peers 3"), "{failure}");
}
