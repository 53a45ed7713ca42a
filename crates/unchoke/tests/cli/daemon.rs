//! The daemon and its clients: what is acknowledged stays, whatever happens.

use crate::daemon_support::{Daemon, OPTIONS};
use crate::support::{Place, is_same_tree, noise};

/// A place with torrents of these names, whose data lies in the folder `full`.
fn place(names: &[&str]) -> Place {
    let place = Place::new();
    for (seed, name) in (7..).zip(names) {
        place.write(&format!("full/{name}/one"), noise(200_000, seed));
        place.write(&format!("full/{name}/two"), noise(50_000, seed + 100));
        place.ok(&["create", &format!("full/{name}"), "-o", &format!("{name}.torrent")]);
    }
    place
}

#[test]
fn torrents_are_added_listed_paused_and_removed() {
    let place = place(&["film", "song"]);
    let daemon = Daemon::start(&place);
    assert!(daemon.ready.starts_with("listening on 127.0.0.1:"), "{}", daemon.ready);
    assert!(daemon.ready.contains(", api at unix:/") && daemon.ready.ends_with("/state/api.sock"));
    assert_eq!(daemon.ok(&["ls"]), "no torrents; `unchoke add` adds one\n");
    let out = daemon.ok(&["add", "film.torrent", "song.torrent", "--paused"]);
    assert!(out.contains("added film (") && out.contains("added song ("), "{out}");
    assert_eq!(daemon.names(), ["film", "song"]);
    let film = daemon.wait_state("film", "paused");
    assert_eq!((film["total_size"].as_u64(), film["left"].as_u64()), (Some(250_000), Some(250_000)));
    let table = daemon.ok(&["ls"]);
    assert!(table.starts_with("HASH") && table.lines().count() == 3 && table.contains("paused"), "{table}");
    let hash = film["hash"].as_str().unwrap();
    let again = daemon.run(&["add", "film.torrent"]);
    again.is_one_line(&["is there already", hash]);
    assert_eq!(again.code, Some(1));
    assert_eq!(daemon.ok(&["resume", &hash[..12]]), "resumed film\n");
    daemon.wait_state("film", "downloading");
    assert_eq!(daemon.ok(&["pause", "film", hash]), format!("paused film\npaused {hash}\n"));
    let info = daemon.ok(&["info", "song"]);
    assert!(info.contains("name   ") && info.contains("song/one"), "{info}");
    assert_eq!(daemon.ok(&["remove", "song"]), "removed song\n");
    assert_eq!(daemon.names(), ["film"]);
    daemon.run(&["remove", "song"]).is_one_line(&["no torrent is called 'song'"]);
    assert_eq!(daemon.ok(&["stop"]), "");
    assert_eq!(daemon.wait(), Some(0));
    assert!(!place.path("state/api.sock").exists() && !place.path("state/api.json").exists());
}

#[test]
fn a_daemon_downloads_what_a_seed_has_and_deletes_it_when_asked() {
    let place = place(&["film"]);
    let seed = place.seed(&["film.torrent", "--dir", "full"]);
    let daemon = Daemon::start(&place);
    daemon.ok(&["add", "film.torrent", "--dir", "new/films", "--peer", &seed.addr]);
    daemon.wait_state("film", "seeding");
    let data = place.path("data/new/films/film");
    assert!(is_same_tree(&data, &place.path("full/film")));
    place.write("data/new/films/film/mine.txt", "not the torrent's");
    daemon.ok(&["remove", "film", "--delete-data"]);
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.txt"]);
    assert_eq!(daemon.interrupt(), Some(130));
}

/// Rule N1.
#[test]
fn torrents_and_their_options_survive_a_kill() {
    let place = place(&["film", "song", "text"]);
    let daemon = Daemon::start(&place);
    daemon.ok(&["add", "film.torrent", "--paused", "--dir", "films"]);
    daemon.ok(&["add", "song.torrent", "text.torrent"]);
    daemon.ok(&["add", "magnet:?xt=urn:btih:0123456789012345678901234567890123456789&dn=later"]);
    daemon.ok(&["pause", "song"]);
    daemon.ok(&["remove", "text"]);
    daemon.kill();
    // the socket and the note of the dead one are still there
    assert!(place.path("state/api.sock").exists());
    place.fails(1, &["ls", "--state", "state"], &["no daemon at unix:", "unchoke daemon"]);
    let daemon = Daemon::start(&place);
    let list = daemon.list();
    let states: Vec<_> = list.iter().map(|t| (t["name"].as_str(), t["state"].as_str().unwrap())).collect();
    let told = |name: &str| states.iter().find(|(n, _)| *n == Some(name)).map(|(_, state)| *state);
    assert_eq!(
        (told("film"), told("song"), told("text")),
        (Some("paused"), Some("paused"), None),
        "{states:?}"
    );
    assert_eq!(list.len(), 3, "{states:?}");
    assert!(list.iter().any(|t| t["hash"] == "0123456789012345678901234567890123456789"));
}

/// Rules N1 and N8: fifty commands, each followed by a kill as soon as it was acknowledged.
#[test]
fn what_was_acknowledged_is_there_after_a_kill_right_after_the_reply() {
    let place = Place::new();
    let hash = |n: usize| format!("{n:040x}");
    let mut expected: Vec<(String, bool)> = Vec::new();
    let mut daemon = Daemon::start(&place);
    for n in 1..=50 {
        match n % 5 {
            3 => {
                let (hash, is_paused) = expected.first_mut().unwrap();
                *is_paused = !*is_paused;
                let verb = if *is_paused { "pause" } else { "resume" };
                let answer = daemon.request("POST", &format!("/api/v1/torrents/{hash}/{verb}"), &[], b"");
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            4 => {
                let (hash, _) = expected.remove(0);
                let answer = daemon.request("DELETE", &format!("/api/v1/torrents/{hash}"), &[], b"");
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            _ => {
                let is_paused = n % 2 == 0;
                let body = format!(r#"{{"source":"{}","paused":{is_paused}}}"#, hash(n));
                let json = ["Content-Type: application/json"];
                let answer = daemon.request("POST", "/api/v1/torrents", &json, body.as_bytes());
                assert_eq!(
                    (answer.status, answer.body["hash"].as_str()),
                    (200, Some(&*hash(n))),
                    "{answer:?}"
                );
                expected.push((hash(n), is_paused));
            }
        }
        daemon.kill();
        daemon = Daemon::start(&place);
        let list = daemon.request("GET", "/api/v1/torrents", &[], b"").body;
        let list = list["torrents"].as_array().unwrap().clone();
        let found: Vec<(String, bool)> =
            list.iter().map(|t| (t["hash"].as_str().unwrap().to_owned(), t["state"] == "paused")).collect();
        assert_eq!(found, expected, "after command {n}");
    }
}

#[test]
fn a_second_daemon_on_the_same_state_or_socket_is_refused() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let same = [&["daemon"], &OPTIONS[..], &["--api", "unix:other.sock"]].concat();
    place.fails(1, &same, &["/state is in use by another process"]);
    let socket = format!("unix:{}", daemon.socket().display());
    let other =
        ["daemon", "--state", "other", "--listen", "127.0.0.1:0", "--no-dht", "--no-lsd", "--api", &socket];
    place.fails(1, &other, &["api.sock", "in use by another daemon"]);
    assert_eq!(daemon.list().len(), 0);
}

#[test]
fn clients_without_a_daemon_say_how_to_start_one() {
    let place = Place::new();
    for command in ["ls", "stop"] {
        place.fails(1, &[command, "--state", "state"], &["no daemon in state", "unchoke daemon"]);
    }
    place.fails(1, &["ls"], &["no daemon in", "unchoke daemon"]);
    place.write("token", "0".repeat(64));
    let api = ["--api", "unix:none.sock", "--token-file", "token"];
    place.fails(1, &[&["ls"], &api[..]].concat(), &["no daemon at unix:none.sock"]);
}

#[test]
fn what_cannot_be_added_is_refused_in_one_line() {
    let place = place(&["film"]);
    let daemon = Daemon::start(&place);
    place.write("bad.torrent", "rubbish");
    for (args, names) in [
        (&["add", "bad.torrent"][..], &["cannot add bad.torrent", "cannot use the torrent"][..]),
        (&["add", "nowhere.torrent"], &["nowhere.torrent", "no such file"]),
        (&["add", "magnet:?xt=urn:btih:zz"], &["cannot use magnet:"]),
        (&["add", "film.torrent", "--dir", "../x"], &["no folder below the download folder"]),
        (&["add", "film.torrent", "--dir", "/tmp"], &["no folder below the download folder"]),
        (&["add", "film.torrent", "--select", "7"], &["there is no file 7"]),
        (&["add", "http://127.0.0.1:1/x.torrent"], &["cannot fetch http://127.0.0.1:1/x.torrent"]),
    ] {
        let ended = daemon.run(args);
        ended.is_one_line(names);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{args:?}");
    }
    assert!(daemon.list().is_empty());
}
