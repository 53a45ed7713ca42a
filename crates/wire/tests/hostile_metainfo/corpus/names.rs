//! Rows about names: none leaves the root, and all can be made on every system.

use super::bencode::*;
use super::{Case, Listed, read, refused};
use unchoke_wire::InfoHashes;
use unchoke_wire::limits;
use unchoke_wire::metainfo::FileEntry;

pub const ROWS: &[Listed] = &[
    (17, "name missing, no string, empty", || {
        let mut all = vec![
            refused(torrent(&without(&single(), "name")), "MissingName"),
            refused(torrent_where("name", int(1)), "MissingName"),
        ];
        all.extend(named_by_hash(""));
        all
    }),
    (18, "name of invalid UTF-8", || {
        vec![named(b"a\xffb\xc0\xaf", "a_b_"), named(b"\xed\xa0\x80x", "_x"), named(b"\xff", "_")]
    }),
    (19, "name that names no file", || {
        ["..", ".", "/", "\\", "\0", "../..", "/..", "./.", "..\\..", "..."]
            .into_iter()
            .flat_map(named_by_hash)
            .collect()
    }),
    (20, "name of 64 KiB", long_names),
    (21, "names of Windows devices", || {
        [
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("COM1 ", "_COM1"),
            ("a:b", "a_b"),
            ("LPT9.x.y", "_LPT9.x.y"),
        ]
        .map(|(raw, name)| named(raw.as_bytes(), name))
        .into()
    }),
    (22, "name that hides or turns its text", || {
        vec![
            named("exe.\u{202e}4pm\u{200b}\u{feff}".as_bytes(), "exe.4pm"),
            named("a\u{2066}b".as_bytes(), "ab"),
        ]
    }),
    (34, "path missing, empty, no strings", || {
        let of = |path| torrent_of(&[dict(&[("length", int(1)), ("path", path)])]);
        let missing = torrent_of(&[dict(&[("length", int(1))])]);
        [of(list(&[])), of(list(&[str("a"), int(1)])), of(str("a")), missing]
            .map(|b| refused(b, "Path(0)"))
            .into()
    }),
    (35, "path that climbs", || {
        vec![
            paths(&[file(1, &["..", "..", "etc", "passwd"])], &["set/_/_/etc/passwd"]),
            paths(&[file(1, &[".", "", "a"])], &["set/_/_/a"]),
            paths(&[file(1, &["../../../etc/passwd"])], &["set/......etcpasswd"]),
            paths(&[file(1, &["..\\..\\x"])], &["set/....x"]),
            paths(&[file(1, &["a", "..\0", "b"])], &["set/a/_/b"]),
        ]
    }),
    (36, "absolute paths", || {
        vec![
            paths(&[file(1, &["/etc/passwd"])], &["set/etcpasswd"]),
            paths(&[file(1, &["C:", "x"])], &["set/C_/x"]),
            paths(&[file(1, &["\\\\srv\\s"])], &["set/srvs"]),
            paths(&[file(1, &["\\\\?\\C:\\x"])], &["set/_C_x"]),
        ]
    }),
    (37, "path 101 deep", deep_paths),
    (38, "path longer than 4096 bytes", long_paths),
    (39, "file that is a directory of another", || {
        vec![
            paths(&[file(1, &["a"]), file(1, &["a", "b"])], &["set/a.1", "set/a/b"]),
            paths(&[file(1, &["a", "b"]), file(1, &["A"])], &["set/a/b", "set/A.1"]),
        ]
    }),
    (40, "names that some file systems take for one", || {
        let nfc_then_nfd = [file(1, &["\u{e9}"]), file(1, &["e\u{301}"])];
        vec![
            paths(&[file(1, &["A"]), file(1, &["a"])], &["set/A", "set/a.1"]),
            paths(&nfc_then_nfd, &["set/\u{e9}", "set/e\u{301}.1"]),
        ]
    }),
    (42, "118 files of one name", same_names),
];

fn named(raw: &[u8], name: &str) -> Case {
    let name = name.to_owned();
    read(torrent_where("name", bytes(raw)), move |m| {
        assert_eq!(m.info.name, name);
        assert_eq!(m.info.files[0].path, [name.as_str()]);
    })
}

/// Torrents of one file and of many, whose name has to be their hash.
fn named_by_hash(name: &str) -> [Case; 2] {
    [with(&single(), "name", str(name)), with(&listed(&[file(1, &["a"])]), "name", str(name))].map(|info| {
        let hash = InfoHashes::v1_of(&dict(&info)).best().expect("has one").to_string();
        read(torrent(&info), move |m| {
            assert_eq!(m.info.name, hash);
            assert_eq!(m.info.files[0].path[0], hash);
        })
    })
}

fn paths(files: &[Vec<u8>], expected: &'static [&'static str]) -> Case {
    read(torrent_of(files), move |m| {
        let paths: Vec<String> = m.info.files.iter().map(FileEntry::display_path).collect();
        assert_eq!(paths, expected);
    })
}

fn same_names() -> Vec<Case> {
    let files = |n| torrent_of(&vec![file(1, &["same"]); n]);
    // one name more costs as many probes as there are names: 33 names take 0 + 0 + 1 + … + 31 = 496
    let (over, probes) = (limits::DUPLICATE_PROBES_MAX + 1, |names: usize| (0..names - 1).sum::<usize>());
    assert!(probes(33) < over && probes(34) >= over);
    vec![
        read(files(33), |m| assert_eq!(m.info.files[32].display_path(), "set/same.32")),
        refused(files(34), "DuplicateNames(33)"),
        refused(files(118), "DuplicateNames(33)"),
    ]
}

fn long_names() -> Vec<Case> {
    let long = format!("{}.flac", "n".repeat(64 << 10));
    let cut = format!("{}.flac", "n".repeat(limits::NAME_CUT_LEN));
    let substitutes = vec![0xff; limits::NAME_LEN_MAX + 1];
    vec![
        named(long.as_bytes(), &cut),
        named(&substitutes[1..], &"_".repeat(limits::NAME_LEN_MAX)),
        named(&substitutes, &"_".repeat(limits::NAME_CUT_LEN)),
    ]
}

fn deep_paths() -> Vec<Case> {
    let deep = |n| torrent_of(&[file(1, &vec!["a"; n])]);
    vec![
        read(deep(limits::PATH_DEPTH_MAX), |m| {
            assert_eq!(m.info.files[0].path.len(), 1 + limits::PATH_DEPTH_MAX)
        }),
        refused(deep(limits::PATH_DEPTH_MAX + 1), "PathDepth(0)"),
    ]
}

fn long_paths() -> Vec<Case> {
    let element = "e".repeat(239);
    let files = listed(&[file(1, &[element.as_str(); 17])]);
    // seventeen times a separator and 239 bytes leave so many for the name
    let room = limits::PATH_LEN_MAX - 17 * 240;
    let of = |name_len| torrent(&with(&files, "name", str(&"n".repeat(name_len))));
    vec![
        read(of(room), |m| assert_eq!(m.info.files[0].display_path().len(), limits::PATH_LEN_MAX)),
        refused(of(room + 1), "PathLength(0)"),
    ]
}
