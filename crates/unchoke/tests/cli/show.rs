//! `unchoke show`, `magnet`, `completions` and `man`, through the command line.

use crate::support::Place;
use serde_json::json;

const HASH: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";

#[test]
fn a_magnet_and_a_bare_hash_are_shown_as_far_as_they_tell() {
    let place = Place::new();
    let magnet = format!(
        "magnet:?xt=urn:btih:{HASH}&dn=some+name&xl=77&tr=udp%3A%2F%2Ft%3A1&x.pe=1.2.3.4:5&dht=n.example:6"
    );
    let shown = place.show(&magnet);
    assert_eq!((&shown["info_hash_v1"], &shown["info_hash_v2"]), (&json!(HASH), &json!(null)));
    assert_eq!(
        (&shown["total_size"], &shown["piece_count"], &shown["files"]),
        (&json!(77), &json!(null), &json!([]))
    );
    assert_eq!(shown["trackers"], json!([["udp://t:1"]]));
    assert_eq!((&shown["peers"], &shown["nodes"]), (&json!(["1.2.3.4:5"]), &json!(["n.example:6"])));
    assert_eq!(place.show(HASH)["info_hash_v1"], HASH);
    assert!(place.ok(&["show", &magnet]).contains(HASH));
}

#[test]
fn the_fields_come_in_the_order_that_is_documented() {
    let place = Place::new();
    place.tree("t");
    place.ok(&["create", "t"]);
    let shown = place.show("t.torrent");
    let names: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    let due = [
        "name",
        "info_hash_v1",
        "info_hash_v2",
        "total_size",
        "piece_length",
        "piece_count",
        "private",
        "comment",
        "created_by",
        "creation_date",
        "source",
        "files",
        "trackers",
        "web_seeds",
        "nodes",
    ];
    assert_eq!(names, due);
    assert_eq!(shown["files"][0], json!({"path": "t/a-small", "length": 5_000}));
}

#[test]
fn what_a_file_is_marked_as_is_shown_where_true() {
    let place = Place::new();
    let info = "d5:filesld4:attr1:x6:lengthi5e4:pathl3:runeed4:attr1:p6:lengthi3e4:pathl4:.pad1:3eed4:attr2:hl6:lengthi0e4:pathl4:linke\
                12:symlink pathl3:runeee4:name1:t12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    place.write("x.torrent", format!("d4:info{info}e"));
    let shown = place.show("x.torrent");
    assert_eq!(shown["total_size"], 8, "pads are counted, as others do");
    assert_eq!(
        shown["files"],
        json!([
            {"path": "t/run", "length": 5, "executable": true},
            {"path": "t/.pad/3", "length": 3, "pad": true},
            {"path": "t/link", "length": 0, "hidden": true, "symlink": "t/run"},
        ])
    );
}

#[test]
fn text_for_people_cannot_move_the_cursor() {
    let place = Place::new();
    let info = "d6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    place.write("x.torrent", format!("d7:comment12:two\nlines\x1b[m4:info{info}e"));
    let text = place.ok(&["show", "x.torrent"]);
    assert!(text.contains("comment      two\\nlines[m\n"), "{text}");
}

#[test]
fn every_shell_gets_completions_and_every_command_a_page() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(place.ok(&["completions", shell]).contains("piece-length"), "{shell}");
    }
    assert!(place.ok(&["man"]).starts_with(".ie"));
    assert!(place.ok(&["man", "create"]).contains("piece\\-length"));
    std::fs::create_dir(place.path("pages")).unwrap();
    place.ok(&["man", "--dir", "pages"]);
    for page in ["unchoke.1", "unchoke-get.1", "unchoke-seed.1", "unchoke-create.1", "unchoke-verify.1"] {
        assert!(place.path("pages").join(page).is_file(), "{page}");
    }
}

#[test]
fn version_and_help_go_to_stdout() {
    let place = Place::new();
    assert_eq!(place.ok(&["--version"]), format!("unchoke {}\n", env!("CARGO_PKG_VERSION")));
    for args in [&["help"][..], &["--help"], &["get", "--help"], &["help", "create"]] {
        assert!(place.ok(args).contains("Usage: unchoke"), "{args:?}");
    }
}
