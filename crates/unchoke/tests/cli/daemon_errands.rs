//! `unchoke move` and `unchoke recheck`, and the end of a daemon with many torrents.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::daemon_support::{Daemon, OPTIONS};
use crate::support::{Place, is_same_tree, noise};

/// A daemon that seeds `film`, whose data lies in `full` as well.
fn seeding(place: &Place) -> Daemon<'_> {
    for root in ["full", "data"] {
        place.write(&format!("{root}/film/one"), noise(200_000, 7));
        place.write(&format!("{root}/film/two"), noise(50_000, 107));
    }
    place.ok(&["create", "full/film", "-o", "film.torrent"]);
    let daemon = Daemon::start(place);
    daemon.ok(&["add", "film.torrent"]);
    daemon.wait_state("film", "seeding");
    daemon
}

/// Whoever asks the daemon gets all of it.
fn assert_serves(place: &Place, daemon: &Daemon<'_>, dir: &str) {
    let addr = daemon.ready.strip_prefix("listening on ").unwrap().split(',').next().unwrap();
    std::fs::create_dir(place.path(dir)).unwrap();
    let quiet = ["--listen", "127.0.0.1:0", "--no-dht", "--no-lsd", "--quiet"];
    place.ok(&[&["get", "film.torrent", "--dir", dir, "--peer", addr], &quiet[..]].concat());
    assert!(is_same_tree(&place.path(dir).join("film"), &place.path("full/film")));
}

fn signal(pid: &str) {
    assert!(Command::new("kill").args(["-TERM", pid]).status().unwrap().success());
}

#[test]
fn a_torrent_is_moved_and_seeds_from_there_also_after_a_kill_and_while_it_rests() {
    let place = Place::new();
    let daemon = seeding(&place);
    let full = place.path("full/film");
    assert_eq!(daemon.ok(&["move", "film", "films/new"]), "moved film\n");
    assert!(is_same_tree(&place.path("data/films/new/film"), &full));
    assert!(!place.path("data/film").exists());
    daemon.wait_state("film", "seeding");
    assert_serves(&place, &daemon, "first");
    // there already
    assert_eq!(daemon.ok(&["move", "film", "films/new"]), "moved film\n");
    daemon.kill();
    let daemon = Daemon::start(&place);
    daemon.wait_state("film", "seeding");
    assert_serves(&place, &daemon, "second");
    daemon.ok(&["pause", "film"]);
    let hash = daemon.list()[0]["hash"].as_str().unwrap().to_owned();
    let told: serde_json::Value =
        serde_json::from_str(&daemon.ok(&["move", &hash[..8], ".", "--json"])).unwrap();
    assert_eq!((&told["hash"], &told["done"]), (&hash.as_str().into(), &"moved".into()));
    assert!(is_same_tree(&place.path("data/film"), &full));
    daemon.wait_state("film", "paused");
}

#[test]
fn a_move_that_cannot_be_made_is_refused_in_one_line_and_changes_nothing() {
    let place = Place::new();
    let daemon = seeding(&place);
    place.write("data/file", "x");
    place.write("data/way/film/one", "foreign");
    std::os::unix::fs::symlink(place.path(""), place.path("data/out")).unwrap();
    let below = "is no folder below the download folder";
    for (args, names) in [
        (["nope", "x"], &["no torrent is called 'nope'"][..]),
        (["film", "../x"], &[below, "'../x'"]),
        (["film", "/tmp"], &[below]),
        (["film", "out"], &[below, "a link leads out of it"]),
        (["film", "file"], &[below, "something else is there"]),
        (["film", "way"], &["film: cannot move to ", "way/film/one", "never overwritten"]),
    ] {
        let ended = daemon.run(&["move", args[0], args[1]]);
        ended.is_one_line(names);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{args:?}");
    }
    assert_eq!(daemon.run(&["move", "film"]).code, Some(2));
    assert_eq!(std::fs::read(place.path("data/way/film/one")).unwrap(), b"foreign");
    assert!(is_same_tree(&place.path("data/film"), &place.path("full/film")));
    daemon.wait_state("film", "seeding");
    assert_serves(&place, &daemon, "got");
}

#[test]
fn a_recheck_finds_what_is_wrong_and_keeps_what_is_right() {
    let place = Place::new();
    let daemon = seeding(&place);
    assert_eq!(daemon.ok(&["recheck", "film"]), "rechecking film\n");
    daemon.wait_state("film", "seeding");
    daemon.run(&["recheck", "nope"]).is_one_line(&["no torrent is called 'nope'"]);
    assert_eq!(daemon.run(&["recheck"]).code, Some(2));
    daemon.ok(&["pause", "film"]);
    place.write("data/film/two", noise(50_000, 9));
    let told: serde_json::Value = serde_json::from_str(&daemon.ok(&["recheck", "--all", "--json"])).unwrap();
    assert_eq!(told["done"], "rechecking");
    let left = (0..3000).find_map(|_| {
        let film = daemon.wait_state("film", "paused");
        film["left"].as_u64().filter(|left| *left > 0)
    });
    assert!(left.is_some_and(|left| left < 250_000), "{left:?}");
    // one whose metadata is not here has no files to check
    daemon.ok(&["add", "magnet:?xt=urn:btih:0123456789012345678901234567890123456789&dn=later"]);
    let later = daemon.run(&["recheck", "01234567"]);
    later.is_one_line(&["the metadata of the torrent is not here yet"]);
    assert_eq!(later.code, Some(1));
}

/// The bar of §3d with fewer torrents: all are there after an end in order.
#[test]
fn a_daemon_with_many_torrents_ends_in_order_and_has_them_all_after() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    for n in 1..=300 {
        let body = format!(r#"{{"source":"{n:040x}","paused":{}}}"#, n % 2 == 0);
        let json = ["Content-Type: application/json"];
        assert_eq!(daemon.request("POST", "/api/v1/torrents", &json, body.as_bytes()).status, 200);
    }
    assert_eq!(daemon.interrupt(), Some(130));
    let daemon = Daemon::start(&place);
    let list = daemon.list();
    let paused = list.iter().filter(|t| t["state"] == "paused").count();
    assert_eq!((list.len(), paused), (300, 150));
}

#[test]
fn a_second_signal_ends_a_daemon_whatever_it_is_at() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("data")).unwrap();
    let mut command = place.command(&[&["daemon"], &OPTIONS[..]].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut byte = [0];
    while out.read(&mut byte).unwrap() == 1 && byte != *b"\n" {}
    let pid = child.id().to_string();
    signal(&pid);
    // it may have ended in order before the second one came
    let _ = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    Daemon::start(&place).ok(&["ls"]);
}
