//! Transfers between few peers: held up, choked, narrowed, paused, ended.

mod common;

use common::play;

//= S20
#[test]
fn requests_to_a_silent_peer_go_elsewhere() {
    play("stalled", 20);
}

//= S23
#[test]
fn a_choke_in_mid_transfer_costs_time_and_nothing_else() {
    play("choke", 20);
}

//= S22
//= S23
#[test]
fn slots_pass_on_and_nobody_starves() {
    play("slots", 5);
}

#[test]
fn a_slow_peer_does_not_hold_up_the_end() {
    play("end-game", 20);
}

#[test]
fn only_wanted_pieces_are_fetched() {
    play("selection", 20);
}

#[test]
fn a_paused_torrent_is_silent_and_goes_on_when_resumed() {
    play("pause", 20);
}

#[test]
fn a_torrent_removed_in_mid_transfer_leaves_nothing_and_can_come_back() {
    play("remove", 20);
}

#[test]
fn a_full_disk_stops_the_torrent_until_there_is_room() {
    play("disk-full", 20);
}

#[test]
fn metadata_comes_from_peers_in_spite_of_liars() {
    play("magnet", 3);
}

#[test]
fn a_magnet_that_turns_out_private_completes_by_its_tracker() {
    play("magnet-private", 10);
}
