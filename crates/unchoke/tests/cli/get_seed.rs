//! `unchoke get` and `seed`: processes on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::support::{Place, Seed, interrupt, is_same_tree};
use serde_json::json;

const GET: [&str; 5] = ["get", "--no-dht", "--no-lsd", "--listen", "127.0.0.1:0"];

/// A torrent that is being seeded, and a folder `out`.
fn swarm(extra: &[&str]) -> (Place, Seed) {
    let place = Place::new();
    place.tree("t");
    place.ok(&["create", "t", "--piece-length", "16KiB"]);
    std::fs::create_dir(place.path("out")).unwrap();
    let seed = place.seed(&[&["t.torrent"], extra].concat());
    (place, seed)
}

fn get<'a>(seed: &'a Seed, args: &[&'a str]) -> Vec<&'a str> {
    [&GET[..], &["--peer", &seed.addr, "--dir", "out"], args].concat()
}

#[test]
fn a_torrent_is_downloaded_whole() {
    let (place, seed) = swarm(&[]);
    assert_eq!(seed.ready, format!("seeding t on {}", seed.addr));
    let out = place.ok(&get(&seed, &["t.torrent"]));
    assert!(
        out.contains("t: complete\n") && out.ends_with("t: 2.38 MiB downloaded, 0 B uploaded\n"),
        "{out}"
    );
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
    place.ok(&["verify", "t.torrent", "--dir", "out"]);
    assert_eq!(seed.interrupt(), Some(130));
}

#[test]
fn a_magnet_is_downloaded_and_its_events_tell_how() {
    let (place, seed) = swarm(&[]);
    let magnet = place.ok(&["magnet", "t.torrent"]);
    let ended = place.run(&get(&seed, &[magnet.trim(), "--json"]));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let events = ended.events();
    let at =
        |name: &str| events.iter().position(|e| e["event"] == name).unwrap_or_else(|| panic!("no {name}"));
    let order = ["added", "peer_connected", "metadata", "ready", "piece", "completed", "summary"].map(at);
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(events.iter().filter(|e| e["event"] == "piece").count(), 153);
    assert!(events.iter().all(|e| e["time"].is_f64()));
    let summary = ended.event("summary");
    let told = ["result", "downloaded", "uploaded", "wasted", "have", "pieces"].map(|f| summary[f].clone());
    assert_eq!(told, [json!("complete"), json!(2_500_000), json!(0), json!(0), json!(153), json!(153)]);
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let (place, seed) = swarm(&[]);
    let args = get(&seed, &["t.torrent", "--json", "--limit-down", "50K"]);
    let mut command = place.command(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    while !first.contains("\"piece\"") {
        assert_ne!(std::io::BufRead::read_line(&mut out, &mut first).unwrap(), 0, "{first}");
    }
    interrupt(&child);
    out.read_to_string(&mut first).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let first = crate::support::Ended { code: Some(130), out: first, err: String::new() };
    let before = first.event("summary");
    assert_eq!(before["result"], "incomplete");
    let ended = place.run(&get(&seed, &["t.torrent", "--json"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // a piece may arrive between the summary's figures and the end
    let have = |e: &serde_json::Value| e["have"].as_u64().unwrap();
    assert!(have(&ended.event("ready")) >= have(&before), "{ended:?}");
    let bytes = |e: &serde_json::Value| e["downloaded"].as_u64().unwrap();
    let total = bytes(&before) + bytes(&ended.event("summary"));
    assert!(total <= 2_500_000, "nothing is downloaded twice: {total}");
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
}

#[test]
fn what_is_complete_is_not_downloaded_again_and_what_was_deleted_is() {
    let (place, seed) = swarm(&[]);
    for downloaded in [2_500_000, 0] {
        let ended = place.run(&get(&seed, &["t.torrent", "--json"]));
        assert_eq!((ended.code, &ended.event("summary")["downloaded"]), (Some(0), &json!(downloaded)));
    }
    std::fs::remove_dir_all(place.path("out/t")).unwrap();
    let magnet = place.ok(&["magnet", "t.torrent"]);
    place.ok(&get(&seed, &[magnet.trim()]));
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
}

#[test]
fn a_folder_made_anew_on_the_same_disk_is_filled_anew() {
    let (place, seed) = swarm(&[]);
    place.ok(&get(&seed, &["t.torrent"]));
    std::fs::remove_dir_all(place.path("out")).unwrap();
    // so that the new one is another folder to the system as well
    std::fs::create_dir(place.path("other")).unwrap();
    std::fs::create_dir(place.path("out")).unwrap();
    place.ok(&get(&seed, &["t.torrent"]));
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
}

#[test]
fn a_tracker_and_a_peer_that_nobody_can_reach_are_named() {
    let place = Place::new();
    place.tree("t");
    place.ok(&["create", "t", "--tracker", "http://127.0.0.1:1/announce"]);
    std::fs::create_dir(place.path("out")).unwrap();
    let mut child = place
        .command(&[&GET[..], &["--peer", "127.0.0.1:2", "--dir", "out", "t.torrent"]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told: Vec<String> =
        BufReader::new(child.stderr.take().unwrap()).lines().take(2).map(Result::unwrap).collect();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for due in [
        "no connection to 127.0.0.1:2 yet;",
        "the tracker http://127.0.0.1:1/… failed: Connection refused; it is asked again later",
    ] {
        assert!(told.iter().any(|line| line.contains(due)), "{told:?}");
    }
}

#[test]
fn only_the_files_that_are_picked_are_made() {
    let (place, seed) = swarm(&[]);
    place.ok(&get(&seed, &["t.torrent", "--select", "z.*", "--select", "0"]));
    for (file, is_there) in [("a-small", true), ("z.txt", true), ("a/big", false)] {
        let (ours, theirs) = (place.path("out/t").join(file), place.path("t").join(file));
        assert_eq!(ours.is_file(), is_there, "{file}");
        assert!(!is_there || std::fs::read(ours).unwrap() == std::fs::read(theirs).unwrap(), "{file}");
    }
    place.ok(&get(&seed, &["t.torrent"]));
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
}

#[test]
fn a_url_of_a_torrent_is_a_source() {
    let (place, seed) = swarm(&[]);
    let torrent = std::fs::read(place.path("t.torrent")).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/some.torrent", server.local_addr().unwrap());
    let missing = format!("http://{}/missing", server.local_addr().unwrap());
    let serve = std::thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 4096];
            let len = stream.read(&mut request).unwrap();
            let is_there = request[..len].starts_with(b"GET /some.torrent ");
            let (status, body) =
                if is_there { ("200 OK", &torrent[..]) } else { ("404 Not Found", &b"no"[..]) };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        }
    });
    assert_eq!(place.show(&url)["name"], "t");
    place.ok(&get(&seed, &[&url]));
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
    place.fails(1, &["show", &missing], &[&missing, "404"]);
    serve.join().unwrap();
}

#[test]
fn quiet_says_nothing_and_a_trace_says_all() {
    let (place, seed) = swarm(&[]);
    let ended = place.run(&get(&seed, &["t.torrent", "--quiet", "--trace", "trace"]));
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(0), "", ""));
    let trace = std::fs::read_to_string(place.path("trace")).unwrap();
    for message in ["handshake", "have all", "interested", "unchoke", "request  piece ", "piece  piece "] {
        assert!(trace.contains(message), "{message}");
    }
    assert!(trace.lines().skip(1).all(|l| l.contains(" -> ") || l.contains(" <- ")));
    std::fs::remove_dir_all(place.path("out/t")).unwrap();
    let ended = place.run(&get(&seed, &["t.torrent", "--json", "--trace"]));
    let message = ended.event("message");
    assert_eq!((&message["protocol"], &message["peer"]), (&json!("peer"), &json!(seed.addr)));
}

#[test]
fn seeding_ends_when_enough_was_given() {
    let (place, seed) = swarm(&["--ratio", "1"]);
    place.ok(&get(&seed, &["t.torrent"]));
    assert_eq!(seed.wait(), Some(0));
    let out = place.ok(&[
        "seed",
        "t.torrent",
        "--no-dht",
        "--no-lsd",
        "--listen",
        "127.0.0.1:0",
        "--seed-time",
        "0",
        "--trust",
    ]);
    assert!(out.contains("seeding t on 127.0.0.1:"), "{out}");
}

#[test]
fn a_download_may_go_on_as_a_seed() {
    let (place, seed) = swarm(&[]);
    let out = place.ok(&get(&seed, &["t.torrent", "--seed", "--seed-time", "0"]));
    assert!(out.contains("t: complete"), "{out}");
}

#[test]
fn two_torrents_are_downloaded_by_one_command() {
    let (place, seed) = swarm(&[]);
    place.write("u", crate::support::noise(300_000, 9));
    place.ok(&["create", "u"]);
    let other = place.seed(&["u.torrent"]);
    let args = get(&seed, &["--peer", &other.addr, "t.torrent", "u.torrent"]);
    place.ok(&args);
    assert!(is_same_tree(&place.path("t"), &place.path("out/t")));
    assert_eq!(std::fs::read(place.path("u")).unwrap(), std::fs::read(place.path("out/u")).unwrap());
}

#[test]
fn one_process_downloads_to_a_place_and_many_seed_from_it() {
    let (place, _first) = swarm(&[]);
    let _second = place.seed(&["t.torrent"]);
    let args = [&GET[..], &["--dir", "out", "t.torrent", "--json"]].concat();
    let mut child = place.command(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    while !line.contains("\"ready\"") {
        assert_ne!(std::io::BufRead::read_line(&mut out, &mut line).unwrap(), 0, "{line}");
    }
    let again = [&GET[..], &["--dir", "out", "t.torrent"]].concat();
    place.fails(1, &again, &["t.torrent", "another process works on this torrent; stop it first"]);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
