//! Every rare path is reached by some scenario.

use std::collections::BTreeSet;
use unchoke_sim::{Mark, scenarios};

#[test]
fn the_scenarios_together_reach_every_mark() {
    let mut hit = BTreeSet::new();
    for scenario in scenarios::all() {
        for seed in 0..4 {
            let report = scenarios::run(scenario.name, seed, None);
            hit.extend(report.unwrap_or_else(|failure| panic!("{failure}")).marks);
        }
    }
    let missed: Vec<&Mark> = Mark::ALL.iter().filter(|mark| !hit.contains(mark)).collect();
    assert!(missed.is_empty(), "no scenario reaches {missed:?}");
}

#[test]
fn a_failure_says_how_to_see_it_again() {
    let failure = scenarios::run("no-such-run", 7, Some(3)).unwrap_err().to_string();
    assert!(failure.contains("SEED=7"), "{failure}");
    assert!(failure.contains("unchoke sim no-such-run --seed 7 --peers 3"), "{failure}");
}
