//! `unchoke create`, through the command line.

use crate::support::Place;
use serde_json::json;

#[test]
fn a_folder_becomes_a_torrent_that_says_what_was_asked() {
    let place = Place::new();
    place.tree("t");
    let printed = place.ok(&[
        "create",
        "t",
        "-o",
        "x.torrent",
        "--piece-length",
        "32KiB",
        "--tracker",
        "http://a.example/announce,udp://b.example:80",
        "--tracker",
        "https://c.example/ann",
        "--node",
        "router.example:6881",
        "--node",
        "[::1]:7",
        "--web-seed",
        "http://w.example/files",
        "--private",
        "--source",
        "SRC",
        "--comment",
        "for all",
    ]);
    let shown = place.show("x.torrent");
    let hash = shown["info_hash_v1"].as_str().unwrap();
    assert!(printed.contains(&format!("info-hash: {hash}")), "{printed}");
    assert!(printed.contains(&format!("magnet: magnet:?xt=urn:btih:{hash}&dn=t&")), "{printed}");
    assert_eq!(
        printed.lines().last().unwrap().strip_prefix("magnet: "),
        Some(place.ok(&["magnet", "x.torrent"]).trim())
    );
    assert_eq!(shown["name"], "t");
    assert_eq!(shown["total_size"], 2_500_000);
    assert_eq!((&shown["piece_length"], &shown["piece_count"]), (&json!(32_768), &json!(77)));
    assert_eq!(
        (&shown["private"], &shown["source"], &shown["comment"]),
        (&json!(true), &json!("SRC"), &json!("for all"))
    );
    assert_eq!(
        shown["trackers"],
        json!([["http://a.example/announce", "udp://b.example:80"], ["https://c.example/ann"]])
    );
    assert_eq!(shown["nodes"], json!(["router.example:6881", "[::1]:7"]));
    assert_eq!(shown["web_seeds"], json!(["http://w.example/files/"]));
    let paths: Vec<&str> =
        shown["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["t/a-small", "t/a/big", "t/empty", "t/z.txt"]);
    assert!(shown["creation_date"].as_i64().unwrap() > 1_700_000_000);
    place.ok(&["verify", "x.torrent", "--dir", "."]);
}

#[test]
fn the_same_folder_gives_the_same_torrent() {
    let place = Place::new();
    place.tree("t");
    for name in ["1.torrent", "2.torrent"] {
        place.ok(&["create", "t", "-o", name, "--no-date"]);
    }
    assert_eq!(
        std::fs::read(place.path("1.torrent")).unwrap(),
        std::fs::read(place.path("2.torrent")).unwrap()
    );
    assert!(place.show("1.torrent")["creation_date"].is_null());
    let entries = std::fs::read_dir(place.path("")).unwrap().count();
    assert_eq!(entries, 3, "nothing but the folder and two torrents is there");
}

#[test]
fn a_single_file_is_hashed_as_the_published_algorithm_says() {
    let place = Place::new();
    place.write("a.txt", b"hello");
    place.ok(&["create", "a.txt", "--no-date"]);
    let torrent = std::fs::read(place.path("a.txt.torrent")).unwrap();
    let info = b"4:infod6:lengthi5e4:name5:a.txt12:piece lengthi16384e6:pieces20:";
    let sha1_of_hello = b"\xaa\xf4\xc6\x1d\xdc\xc5\xe8\xa2\xda\xbe\xde\x0f\x3b\x48\x2c\xd9\xae\xa9\x43\x4d";
    let due = [&info[..], sha1_of_hello, b"ee"].concat();
    assert!(torrent.ends_with(&due), "{}", torrent.escape_ascii());
}

#[test]
fn links_are_left_out_aloud() {
    let place = Place::new();
    place.write("t/real", b"x");
    std::os::unix::fs::symlink("real", place.path("t/link")).unwrap();
    let ended = place.run(&["create", "t"]);
    assert_eq!(ended.code, Some(0));
    ended.is_one_line(&["1 symbolic link", "t/link"]);
    assert_eq!(place.show("t.torrent")["files"].as_array().unwrap().len(), 1);
}

#[test]
fn a_torrent_that_exists_is_replaced_only_by_force() {
    let place = Place::new();
    place.write("t/real", b"x");
    place.write("t.torrent", b"precious");
    place.fails(1, &["create", "t"], &["t.torrent", "--force"]);
    assert_eq!(std::fs::read(place.path("t.torrent")).unwrap(), b"precious");
    place.ok(&["create", "t", "--force"]);
    assert_eq!(place.show("t.torrent")["name"], "t");
    place.write("t/x", b"precious");
    place.fails(1, &["create", "t", "-o", "t/x", "--force"], &["t/x", "one of the files"]);
    assert_eq!(std::fs::read(place.path("t/x")).unwrap(), b"precious");
}

#[test]
fn a_name_that_readers_would_change_is_told() {
    let place = Place::new();
    place.write("t/aux", b"x");
    let ended = place.run(&["create", "t"]);
    assert_eq!(ended.code, Some(0));
    ended.is_one_line(&["t/aux", "rename"]);
}
