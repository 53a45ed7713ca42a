//! `unchoke verify`, through the command line.

use crate::support::Place;
use serde_json::{Value, json};

/// A torrent of [`Place::tree`], and what `verify --json` says after `harm`.
fn verified(harm: impl FnOnce(&Place)) -> (Option<i32>, Value, String) {
    let place = Place::new();
    place.tree("t");
    place.ok(&["create", "t", "--piece-length", "16KiB"]);
    harm(&place);
    let text = place.run(&["verify", "t.torrent", "--dir", "."]);
    let ended = place.run(&["verify", "t.torrent", "--dir", ".", "--json"]);
    assert_eq!(text.code, ended.code);
    if ended.code == Some(1) {
        ended.is_one_line(&["t in .", "not whole"]);
    }
    (ended.code, serde_json::from_str(&ended.out).unwrap(), text.out)
}

#[test]
fn whole_files_are_found_whole() {
    let (code, json, text) = verified(|_| ());
    assert_eq!(code, Some(0));
    assert_eq!(
        (&json["complete"], &json["pieces"], &json["good_pieces"]),
        (&json!(true), &json!(153), &json!(153))
    );
    assert_eq!(text, "153 of 153 pieces are good\n");
}

#[test]
fn a_changed_byte_is_found_in_its_file() {
    let (code, json, text) = verified(|place| {
        let path = place.path("t/a/big");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[1_000_000] ^= 1;
        std::fs::write(path, bytes).unwrap();
    });
    assert_eq!((code, &json["good_pieces"]), (Some(1), &json!(152)));
    let due = json!([{"path": "t/a/big", "problem": "bad", "pieces": 147, "bad_pieces": 1}]);
    assert_eq!(json["bad_files"], due);
    assert!(text.starts_with("bad      t/a/big  (1 of 147 pieces bad)\n"), "{text}");
}

#[test]
fn missing_short_and_long_files_are_named() {
    let (code, json, _) = verified(|place| {
        std::fs::remove_file(place.path("t/empty")).unwrap();
        place.write("t/z.txt", b"short");
        let mut small = std::fs::read(place.path("t/a-small")).unwrap();
        small.push(0);
        place.write("t/a-small", small);
    });
    assert_eq!(code, Some(1));
    let problems: Vec<_> =
        json["bad_files"].as_array().unwrap().iter().map(|f| (&f["path"], &f["problem"])).collect();
    let (big, empty, short) = (json!("t/a/big"), json!("t/empty"), json!("t/z.txt"));
    // the last piece of the big file is also one of the short file
    assert_eq!(
        problems,
        [(&big, &json!("doubtful")), (&empty, &json!("missing")), (&short, &json!("short"))]
    );
    assert_eq!(json["long_files"], json!(["t/a-small"]));
}

#[test]
fn nothing_there_is_no_crash() {
    let (code, json, _) = verified(|place| std::fs::remove_dir_all(place.path("t")).unwrap());
    assert_eq!((code, &json["good_pieces"]), (Some(1), &json!(0)));
    assert_eq!(json["bad_files"].as_array().unwrap().len(), 4);
}
