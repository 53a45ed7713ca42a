//! The hostile peer suite: each row beside an honest transfer, with the victim dialling and being dialled.

mod common;

use common::play;
use std::collections::BTreeSet;
use unchoke_sim::scenarios::{self, hostile};

/// Numbers of the suite that are not played: hole punching, v2 hashes, encryption, TLS and uTP are not built.
const LEFT_OUT: [u8; 9] = [63, 65, 66, 67, 68, 69, 70, 71, 72];

//= S08
//= S58
#[test]
fn hostile_peers_get_what_they_deserve_and_the_honest_transfer_goes_on() {
    // even seeds: it dials; odd ones: it is dialled
    let wanted: u64 = std::env::var("UNCHOKE_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let seeds = 0..wanted.max(2);
    let runs = hostile::rows().flat_map(|row| seeds.clone().map(|seed| scenarios::run(row.name, seed, None)));
    let failures: Vec<String> = runs.filter_map(Result::err).map(|f| f.to_string()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

//= S03
//= S07
//= S18
//= S32
#[test]
fn what_looks_odd_and_is_right_stays() {
    play(hostile::ODD.name, 10);
}

#[test]
fn every_row_of_the_suite_that_concerns_what_is_built_is_played_once() {
    let rows: Vec<u8> = hostile::rows().map(|r| r.number).collect();
    let numbers: BTreeSet<u8> = rows.iter().copied().collect();
    assert_eq!(numbers.len(), rows.len(), "a number twice");
    let due: BTreeSet<u8> = (1..=76).filter(|n| !LEFT_OUT.contains(n)).collect();
    assert_eq!(numbers, due);
    assert!(rows.len() >= 65);
    for row in hostile::rows() {
        assert!(row.name.starts_with(&format!("hostile/{:02}-", row.number)), "{}", row.name);
        assert_eq!(scenarios::all().filter(|s| s.name == row.name).count(), 1, "{}", row.name);
    }
}
