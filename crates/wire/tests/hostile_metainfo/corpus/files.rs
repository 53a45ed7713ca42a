//! Rows about lists of files: how many, links, pads, attributes.

use super::bencode::*;
use super::{Case, Listed, read, refused};
use unchoke_wire::limits;
use unchoke_wire::metainfo::FileEntry;

pub const ROWS: &[Listed] = &[
    (41, "a million empty files", a_million_files),
    (43, "symlinks that lead nowhere", links_to_nowhere),
    (44, "a file through a symlink", || {
        vec![read(torrent_of(&[link(&["out"], &["d"]), file(1, &["out", "x"]), file(1, &["d", "y"])]), |m| {
            let paths: Vec<String> = m.info.files.iter().map(FileEntry::display_path).collect();
            assert_eq!(paths, ["set/out.1", "set/out/x", "set/d/y"]);
            assert!(!m.info.files[1].is_link);
        })]
    }),
    (45, "pad files of any size", pads),
    (46, "unknown attributes", || {
        let of =
            |attr, path: &[&str]| dict(&[("attr", str(attr)), ("length", int(1)), ("path", list_of(path))]);
        vec![read(torrent_of(&[of("xqz!", &["a"]), of("h", &["b"]), of("l", &["c"])]), |m| {
            let flags = m.info.files.iter().map(|f| (f.is_executable, f.is_hidden, f.is_pad, f.is_link));
            // a link without a target is a file
            let due =
                [(true, false, false, false), (false, true, false, false), (false, false, false, false)];
            assert_eq!(flags.collect::<Vec<_>>(), due);
        })]
    }),
];

/// A list of `n` entries.
fn many(n: usize, entry: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    [b"l".to_vec(), (0..n).flat_map(entry).collect(), b"e".to_vec()].concat()
}

fn of_list(files: Vec<u8>) -> Vec<u8> {
    torrent(&with(&listed(&[]), "files", files))
}

/// Anything worse than linear would take minutes here.
fn a_million_files() -> Vec<Case> {
    let empty = |i: usize| {
        let name = i.to_string();
        format!("d6:lengthi0e4:pathl{}:{name}ee", name.len()).into_bytes()
    };
    let ints = many(limits::FILES_MAX + 1, |_| b"i1e".to_vec());
    let mut with_one = many(400_000, empty);
    with_one.splice(1..1, file(1, &["one"]));
    let pads = many(400_000, |_| b"d4:attr1:p6:lengthi0ee".to_vec());
    let pads = [&pads[..pads.len() - 1], &file(1, &["one"]), b"e"].concat();
    vec![
        // within 32 MiB they take more values than a document may have, and a list of so many is refused by its count
        refused(of_list(many(1_000_000, empty)), "Tokens"),
        refused(of_list(ints), "TooManyFiles(1000001)"),
        // as many as there may be values for are read
        read(of_list(with_one), |m| assert_eq!(m.info.files.len(), 400_001)),
        // and so are as many that share a few names, where pad files may
        read(of_list(pads), |m| {
            assert!(m.info.files.iter().rev().skip(1).all(|f| f.display_path() == ".pad/0"));
        }),
        read(of_list(deep_and_apart(0)), |m| assert_eq!(m.info.files.len(), 25_003)),
        read(of_list(deep_and_apart(50)), |m| assert_eq!(m.info.files.len(), 25_003)),
    ]
}

/// Files a hundred deep that share the folders above this level and no others, two of one name and a link among them:
/// up to two million folders.
fn deep_and_apart(level: usize) -> Vec<u8> {
    let (above, below) = ("8:elements".repeat(level), "8:elements".repeat(99 - level));
    let entry = |i: usize| format!("d6:lengthi0e4:pathl{above}5:{}{below}ee", i + 10_000).into_bytes();
    let mut all = many(25_000, entry);
    all.splice(1..1, [file(1, &["same"]), file(1, &["same"]), link(&["link"], &["same"])].concat());
    all
}

fn links_to_nowhere() -> Vec<Case> {
    let files = [
        link(&["up"], &["..", "..", "x"]),
        link(&["absolute"], &["/etc/passwd"]),
        link(&["loop1"], &["loop2"]),
        link(&["loop2"], &["loop1"]),
        link(&["self"], &["self"]),
        link(&["dangling"], &["nothing"]),
        link(&["file"], &["d", "x"]),
        link(&["dir"], &["d"]),
        link(&["chain"], &["file"]),
        file(1, &["d", "x"]),
    ];
    vec![read(torrent_of(&files), |m| {
        let files = &m.info.files;
        let made: Vec<String> =
            files.iter().filter_map(|f| f.symlink.as_ref().map(|t| t.join("/"))).collect();
        assert_eq!(made, ["set/d/x", "set/d", "set/file"]);
        assert!(files[..9].iter().all(|f| f.is_link && f.length == 0));
    })]
}

fn pads() -> Vec<Case> {
    let pad = |length: i64| dict(&[("attr", str("p")), ("length", int(length))]);
    let files = [file(1, &["a"]), pad(3), pad(3), pad(4 << 30), file(1, &["b"])];
    let info = with(&listed(&files), "piece length", int(1 << 28));
    let info = with(&info, "pieces", bytes(&[7; 17 * 20]));
    vec![read(torrent(&info), |m| {
        assert_eq!((m.info.layout.total_len(), m.info.payload_len()), (2 + 6 + (4 << 30), 2));
        let paths: Vec<String> = m.info.files.iter().map(FileEntry::display_path).collect();
        assert_eq!(paths, ["set/a", ".pad/3", ".pad/3", ".pad/4294967296", "set/b"]);
        assert_eq!(m.info.files.iter().filter(|f| f.is_pad).count(), 3);
    })]
}
