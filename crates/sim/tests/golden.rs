//! The notes' exchanges, over a thousand seeds each. A seed draws the lines: 5 to 60 ms one way and up to 20 ms of
//! jitter, 8 to 80 Mbit/s.

mod common;

use common::{one, play};

//= S06
//= S30
//= S56
#[test]
fn the_example_flow_is_played_as_the_notes_tell_it() {
    play("golden-a", 1000);
}

//= S24
//= S30
#[test]
fn with_a_plain_peer_the_example_flow_is_all_that_is_said() {
    play("golden-a-plain", 1000);
}

//= S42
//= S45
//= S46
//= S47
//= S48
//= S49
//= S50
//= S51
#[test]
fn the_notes_three_peers_find_each_other_and_share_the_rarest_piece_first() {
    play("golden-b", 1000);
}

//= S36
//= S39
//= S50
#[test]
fn on_any_lines_piece_2_comes_from_b_and_interest_before_requests() {
    play("golden-b-far", 1000);
}

//= S47
//= S57
#[test]
fn a_plain_peer_sees_the_bitfields_e0_and_c0_each_on_its_own_link() {
    play("golden-b-plain", 1000);
}

//= S52
#[test]
fn c_completes_from_a_after_b_has_stopped() {
    play("golden-b-stopped", 1000);
}

//= S19
//= S53
#[test]
fn ten_idle_minutes_leave_every_link_alive() {
    play("idle", 1000);
}

#[test]
fn a_seed_played_again_is_the_same_to_the_byte() {
    for name in ["golden-a", "golden-b", "idle", "swarm", "magnet", "tracker-udp", "hostile/41-one-bad-block"]
    {
        for seed in 0..3 {
            assert_eq!(one(name, seed), one(name, seed), "{name} {seed}");
        }
    }
    assert_ne!(one("golden-b", 1).digest, one("golden-b", 2).digest);
}
