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
    let due = json!([{"path": "t/a/big", "problem": "bad", "pieces": 147, "bad_pieces": 1,
        "bad_bytes": [[994_424, 1_010_807]]}]);
    assert_eq!(json["bad_files"], due);
    assert!(text.starts_with("bad      t/a/big  (1 of 147 pieces bad: bytes 994424-1010807)\n"), "{text}");
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

#[test]
fn single_files_and_pieces_can_be_checked() {
    let place = Place::new();
    place.tree("t");
    place.ok(&["create", "t", "--piece-length", "16KiB"]);
    let path = place.path("t/a/big");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1_000_000] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let verify = |more: &[&str]| place.run(&[&["verify", "t.torrent", "--dir", "."], more].concat());
    let checked = |more: &[&str]| -> Value {
        let ended = verify(&[more, &["--json"]].concat());
        let json: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(ended.code, Some(if json["good"] == true { 0 } else { 1 }));
        json
    };
    let small = checked(&["--file", "a-small", "--file", "3"]);
    assert_eq!((&small["complete"], &small["good"]), (&Value::Null, &json!(true)));
    assert_eq!(small["checked_files"], json!(["t/a-small", "t/z.txt"]));
    assert_eq!(small["checked"], json!([[0, 0], [146, 152]]));
    let bad = small["bad"].as_array().unwrap();
    assert!(bad.is_empty());
    let one = checked(&["--piece", "60-62"]);
    assert_eq!(
        (&one["complete"], &one["checked_pieces"], &one["good_pieces"]),
        (&json!(false), &json!(3), &json!(2))
    );
    assert_eq!((&one["bad"], &one["bad_files"][0]["path"]), (&json!([[61, 61]]), &json!("t/a/big")));
    assert_eq!(verify(&["--piece", "0,5"]).out, "2 of 2 checked pieces are good: 0, 5 of 153\n");
    let both = verify(&["--piece", "3", "--file", "big"]);
    assert!(both.out.ends_with("\n146 of 147 checked pieces are good: 0-146 of 153\n"), "{both:?}");
    place.fails(1, &["verify", "t.torrent", "--dir", ".", "--piece", "153"], &["no piece 153", "152"]);
    place.fails(1, &["verify", "t.torrent", "--dir", ".", "--file", "*.mkv"], &["*.mkv"]);
    place.fails(2, &["verify", "t.torrent", "--dir", ".", "--piece", "3-1"], &["3-1"]);
}
