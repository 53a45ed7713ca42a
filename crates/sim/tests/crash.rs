//! Crashes after every operation: eight seeds in a row cut a history after each of its operations.

mod common;

use common::{one, play};

/// Plays a scenario for whole histories, or as many seeds as `UNCHOKE_SIM_SEEDS` says if that is more; answers how many
/// crashes were judged.
fn cut(name: &str, histories: u64) -> u64 {
    let wanted = std::env::var("UNCHOKE_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let points = (0..wanted.max(histories * 8)).map(|seed| {
        let report = one(name, seed);
        let points = report.figures.iter().find(|(name, _)| *name == "crash points");
        points.and_then(|(_, n)| n.parse::<u64>().ok()).expect("a crash scenario counts its crashes")
    });
    let points = points.sum();
    println!("{name}: {points} crash points");
    points
}

//= H3d-1
#[test]
fn added_edited_and_removed_torrents_survive_every_crash() {
    for name in
        ["crash/add", "crash/add-many", "crash/edit", "crash/select", "crash/remove", "crash/remove-data"]
    {
        assert!(cut(name, 1) > 50, "{name}");
    }
}

//= H3d-2
#[test]
fn no_crash_makes_a_false_have_or_loses_a_piece_that_was_safe() {
    for name in
        ["crash/download", "crash/download-five", "crash/unflushed", "crash/restart", "crash/full-allocation"]
    {
        assert!(cut(name, 1) > 50, "{name}");
    }
}

//= H3d-3
#[test]
fn a_crash_while_finishing_leaves_foreign_files_alone_and_claims_only_what_is_there() {
    for name in ["crash/finish", "crash/finish-part"] {
        assert!(cut(name, 2) > 50, "{name}");
    }
}

//= H3d-3
#[test]
fn a_crash_in_a_move_or_in_the_start_that_goes_on_with_it_leaves_all_of_the_torrent_in_one_place() {
    for name in ["crash/move", "crash/move-across", "crash/move-renamed", "crash/move-remove"] {
        assert!(cut(name, 1) > 100, "{name}");
    }
}

//= H3d-4
//= H3d-5
#[test]
fn a_crash_between_generations_or_while_stopping_keeps_what_was_told() {
    for name in ["crash/generations", "crash/stop"] {
        assert!(cut(name, 1) > 50, "{name}");
    }
}

//= H3d-7
#[test]
fn a_second_session_is_refused_and_changes_nothing_at_every_crash() {
    play("crash/two-sessions", 16);
}

//= H3d-6
#[test]
fn any_life_survives_every_crash_whatever_the_disk_makes_of_it() {
    assert!(cut("crash/life", 4) > 200);
}
