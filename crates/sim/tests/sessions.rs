//! Who is who, who is asked, and what strangers get.

mod common;

use common::play;

//= S12
#[test]
fn a_peer_id_lasts_for_a_session_and_no_longer() {
    play("session-ids", 20);
}

//= S14
#[test]
fn a_wrong_peer_id_closes_only_in_strict_mode_and_only_if_one_was_named() {
    play("strict-id", 20);
}

//= S15
#[test]
fn a_host_knows_itself_after_one_dial() {
    play("self-dial", 20);
}

//= S15
#[test]
fn of_two_connections_between_the_same_two_one_stays() {
    play("cross-dial", 100);
}

//= H3f-3
#[test]
fn a_host_that_moves_goes_on_within_seconds() {
    play("new-address", 20);
}

//= S09
//= S11
#[test]
fn a_hundred_torrents_share_a_port_and_strangers_get_no_byte() {
    play("many-torrents", 3);
}

//= S12
//= S59
//= S60
#[test]
fn a_swarm_finds_itself_by_an_http_tracker() {
    play("tracker-http", 10);
}

//= S60
#[test]
fn a_swarm_finds_itself_by_a_udp_tracker() {
    play("tracker-udp", 10);
}

//= S60
#[test]
fn bad_trackers_do_not_keep_a_good_one_from_being_asked() {
    play("tracker-failover", 10);
}

#[test]
fn time_counts_for_what_a_torrent_does_through_pauses_and_checks() {
    play("clocks/life", 5);
}

#[test]
fn trackers_that_are_replaced_hear_of_the_end_and_who_cannot_be_reached_tells_none() {
    for name in ["tracker/replaced", "tracker/no-socket"] {
        play(name, 5);
    }
}

#[test]
fn what_is_told_before_the_metadata_counts_after_it_and_a_magnet_may_come_again() {
    for name in ["magnet/early-fast", "magnet/again", "magnet/port"] {
        play(name, 5);
    }
}
