//! Swarms: under faults, from one seed, with peers that lie and peers that cannot be dialled.

mod common;

use common::play;
use unchoke_sim::scenarios;

//= S21
//= S24
//= S35
//= S58
#[test]
fn a_swarm_under_faults_breaks_nothing_and_completes_once_healed() {
    play("swarm", 20);
}

#[test]
fn a_swarm_of_two_hundred_under_faults_completes_once_healed() {
    // half a minute without optimisation, so that more of it is left to UNCHOKE_SIM_SEEDS
    let wanted: u64 = std::env::var("UNCHOKE_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in 0..(wanted / 10).max(1) {
        scenarios::run("swarm", seed, Some(200)).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

//= S35
//= S38
#[test]
fn one_seed_is_enough_and_leeches_begin_with_different_pieces() {
    play("single-seed", 5);
}

#[test]
fn a_seed_with_five_hundred_leeches_serves_them_all() {
    scenarios::run("flash-crowd", 0, Some(500)).unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_leech_with_two_hundred_peers_asks_most_of_them_and_wastes_little() {
    scenarios::run("many-sources", 0, Some(200)).unwrap_or_else(|failure| panic!("{failure}"));
}

//= S25
//= S34
//= S39
#[test]
fn who_says_have_is_asked_and_have_goes_to_everybody() {
    play("have-source", 50);
}

//= S22
#[test]
fn a_seed_gives_every_leech_its_share() {
    play("fairness", 3);
}

//= S28
#[test]
fn a_corrupting_peer_is_found_and_nobody_else() {
    play("blame", 20);
    play("colluders", 20);
}

//= S59
#[test]
fn peers_come_from_peer_exchange_alone() {
    play("pex", 10);
}

#[test]
fn liars_in_peer_exchange_keep_nobody_from_an_honest_peer() {
    play("pex-poison", 10);
}

#[test]
fn peers_come_from_the_local_network_alone() {
    play("lan", 20);
}

#[test]
fn peers_nobody_can_dial_complete() {
    play("nat", 10);
}

//= S29
#[test]
fn a_round_trip_of_200_ms_is_filled() {
    play("long-path", 2);
}

#[test]
fn limits_hold_in_both_directions() {
    play("rate-limit", 10);
}

//= BEP 16: test
#[test]
fn a_super_seed_sends_its_torrent_once_before_another_has_it() {
    play("super/first-copy", 5);
}

#[test]
fn a_super_seed_is_held_up_by_nobody() {
    for name in ["super/alone", "super/star", "super/silent", "super/leaver"] {
        play(name, 3);
    }
}

#[test]
fn a_super_seed_ends_beside_another_seed_or_when_its_owner_says_so() {
    for name in ["super/other-seed", "super/turned-off"] {
        play(name, 5);
    }
}
