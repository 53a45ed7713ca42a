//! Torrents and magnets that mean harm, or were made without care: one test a row of the corpus, named after it.
//!
//! A row is refused with the error of its kind, or read as it says. Rows about resume records belong to storage.

use sha1::{Digest, Sha1};
use unchoke_wire::magnet::MagnetError;
use unchoke_wire::metainfo::{FileEntry, Info, MetainfoError as E, Warning};
use unchoke_wire::time::UnixTime;
use unchoke_wire::{Magnet, Metainfo, limits};

const HYBRID: &[u8] = include_bytes!("data/libtorrent_hybrid.torrent");
const V2: &[u8] = include_bytes!("data/libtorrent_v2.torrent");

#[test]
fn row_01_empty_file() {
    assert_eq!(err(b""), E::Eof(0));
}

#[test]
fn row_02_html_page() {
    assert_eq!(err(b"<!DOCTYPE html><html></html>"), E::NotBencode(0));
}

#[test]
fn row_03_top_level_is_no_dictionary() {
    for bytes in [&b"le"[..], b"i1e", b"4:spam"] {
        assert_eq!(err(bytes), E::NotDict);
    }
}

#[test]
fn row_04_trailing_garbage_is_let_pass_with_a_warning() {
    let good = torrent(&single());
    let bytes = [&good[..], b"garbage"].concat();
    let m = Metainfo::parse(&bytes).unwrap();
    assert_eq!(m.warnings, [Warning::TrailingBytes(7)]);
    assert_eq!(m.info_hashes, Metainfo::parse(&good).unwrap().info_hashes);
}

#[test]
fn row_05_depth_bombs() {
    let deep = |n: usize| [b"d4:info".to_vec(), b"l".repeat(n), b"e".repeat(n + 1)].concat();
    assert!(matches!(err(&deep(limits::BENCODE_DEPTH_MAX)), E::Depth(_)));
    assert_eq!(err(&deep(limits::BENCODE_DEPTH_MAX - 1)), E::MissingInfo);
    assert!(matches!(err(&b"l".repeat(1_000_000)), E::Depth(_)));
    assert!(matches!(err(&b"d1:a".repeat(1_000_000)), E::Depth(_)));
}

#[test]
fn row_06_too_many_values() {
    let bytes = [b"d1:al".to_vec(), b"i1e".repeat(limits::BENCODE_TOKENS_MAX), b"ee".to_vec()].concat();
    assert!(matches!(err(&bytes), E::Tokens(_)));
}

#[test]
fn row_07_file_above_the_limit() {
    let max = limits::METAINFO_LEN_MAX;
    assert_eq!(err(&vec![b' '; max + 1]), E::TooLarge(max + 1));
    assert_eq!(err(&vec![b' '; max]), E::NotBencode(0));
    assert_eq!(Info::parse(&vec![b' '; max + 1]), Err(E::TooLarge(max + 1)));
}

#[test]
fn row_08_string_longer_than_the_file() {
    assert_eq!(err(b"d4:info5:abce"), E::Eof(13));
    assert_eq!(err(b"d4:info4294967296:e"), E::Eof(19));
}

#[test]
fn row_09_length_with_leading_zeros() {
    assert_eq!(err(b"d4:info00005:helloe"), E::Number(7));
}

#[test]
fn row_10_length_below_zero_or_beyond_64_bits() {
    assert_eq!(err(b"d4:info-1:e"), E::Number(7));
    assert_eq!(err(b"d4:info99999999999999999999:e"), E::Number(7));
}

#[test]
fn row_11_malformed_integers() {
    for number in ["i-0e", "i01e", "ie", "i-e", "i+1e", "i1.5e", "i 1e", "i1x"] {
        assert_eq!(err(format!("d4:info{number}e").as_bytes()), E::Number(7), "{number}");
    }
    assert_eq!(err(b"i1"), E::Eof(2));
}

#[test]
fn row_12_integer_beyond_64_bits() {
    assert_eq!(err(b"d4:infoi9223372036854775808ee"), E::Number(7));
}

#[test]
fn row_13_key_that_is_no_string() {
    assert_eq!(err(b"di1ei2ee"), E::Key(1));
    assert_eq!(err(b"dlei2ee"), E::Key(1));
}

#[test]
fn row_14_duplicate_info() {
    let info = dict(&single());
    let bytes = dict(&[("info", info.clone()), ("info", info)]);
    assert!(matches!(err(&bytes), E::DuplicateKey(_)));
}

#[test]
fn row_15_known_key_twice_in_info() {
    let info = [("length", int(1)), ("name", str("n")), ("length", int(2))];
    assert!(matches!(err(&torrent(&info)), E::DuplicateKey(_)));
}

#[test]
fn row_16_info_missing_or_no_dictionary() {
    assert_eq!(err(b"de"), E::MissingInfo);
    assert_eq!(err(b"d4:infolee"), E::MissingInfo);
    assert_eq!(Info::parse(b"le"), Err(E::NotDict));
}

#[test]
fn row_17_name_missing_or_no_string_or_empty() {
    assert_eq!(err(&torrent(&without(&single(), "name"))), E::MissingName);
    assert_eq!(err(&torrent(&with(&single(), "name", int(1)))), E::MissingName);
    assert_named_by_hash("");
    let m = Metainfo::parse(&replaced(V2, b"4:name4:NAME", b"4:name0:")).unwrap();
    assert_eq!((m.info.name.len(), m.info.name), (64, m.info_hashes.best().unwrap().to_string()));
}

#[test]
fn row_18_name_of_invalid_utf8() {
    assert_eq!(name_of(b"a\xffb\xc0\xaf"), "a_b_");
}

#[test]
fn row_19_name_that_names_no_file() {
    for name in ["..", ".", "/", "\\", "\0", "../..", "/.."] {
        assert_named_by_hash(name);
    }
}

#[test]
fn row_20_name_of_64_kib() {
    let name = format!("{}.flac", "n".repeat(64 << 10));
    assert_eq!(name_of(name.as_bytes()), format!("{}.flac", "n".repeat(240)));
}

#[test]
fn row_21_names_of_windows_devices() {
    for (name, expected) in [("CON", "_CON"), ("nul.txt", "_nul.txt"), ("COM1 ", "_COM1"), ("a:b", "a_b")] {
        assert_eq!(name_of(name.as_bytes()), expected);
    }
}

#[test]
fn row_22_name_that_hides_or_turns_its_text() {
    assert_eq!(name_of("exe.\u{202e}4pm\u{200b}\u{feff}".as_bytes()), "exe.4pm");
}

#[test]
fn row_23_piece_length_zero_negative_string_or_missing() {
    let err_of = |value| err(&torrent(&with(&single(), "piece length", value)));
    assert_eq!(err_of(int(0)), E::PieceLength(Some(0)));
    assert_eq!(err_of(int(-1)), E::PieceLength(Some(-1)));
    assert_eq!(err_of(str("16384")), E::PieceLength(None));
    assert_eq!(err(&torrent(&without(&single(), "piece length"))), E::PieceLength(None));
}

#[test]
fn row_24_piece_length_beyond_the_limit() {
    let max = i64::from(limits::PIECE_LEN_MAX);
    for n in [max + 1, 1 << 31, (1 << 32) + 16_384, i64::MAX] {
        assert_eq!(err(&torrent(&with(&single(), "piece length", int(n)))), E::PieceLength(Some(n)));
    }
    assert!(Metainfo::parse(&torrent(&with(&single(), "piece length", int(max)))).is_ok());
}

#[test]
fn row_25_v2_piece_length_that_is_no_power_of_two_or_too_small() {
    for n in ["16385", "8192", "49152"] {
        let bytes = replaced(V2, b"12:piece lengthi16384e", format!("12:piece lengthi{n}e").as_bytes());
        assert_eq!(err(&bytes), E::PieceLength(n.parse().ok()));
    }
}

#[test]
fn row_26_pieces_that_are_no_row_of_hashes() {
    let e = err(&torrent(&with(&single(), "pieces", bytes(&[1; 21]))));
    assert_eq!(e, E::Pieces { due: 1, bytes: Some(21) });
}

#[test]
fn row_27_too_few_or_too_many_hashes() {
    for n in [0, 40, 60] {
        let e = err(&torrent(&with(&single(), "pieces", bytes(&vec![1; n]))));
        assert_eq!(e, E::Pieces { due: 1, bytes: Some(n) });
    }
}

#[test]
fn row_28_pieces_that_are_no_string() {
    for value in [int(20), list(&[bytes(&[1; 20])])] {
        assert_eq!(err(&torrent(&with(&single(), "pieces", value))), E::Pieces { due: 1, bytes: None });
    }
    assert_eq!(err(&torrent(&without(&single(), "pieces"))), E::Pieces { due: 1, bytes: None });
}

#[test]
fn row_29_length_out_of_range() {
    let max = i64::try_from(limits::FILE_LEN_MAX).unwrap();
    for (value, got) in [
        (int(-1), Some(-1)),
        (int(i64::MAX), Some(i64::MAX)),
        (int(max + 1), Some(max + 1)),
        (list(&[]), None),
    ] {
        let e = E::Length { file: Some(0), got };
        assert_eq!(err(&torrent(&with(&single(), "length", value.clone()))), e);
        assert_eq!(err(&torrent(&listed(&[dict(&[("length", value), ("path", path(&["a"]))])]))), e);
    }
    // as long as a file may be, which is too long for this piece length alone
    assert!(matches!(
        err(&torrent(&with(&single(), "length", int(max)))),
        E::Pieces { .. } | E::TooManyPieces(_)
    ));
}

#[test]
fn row_30_sum_of_lengths_beyond_the_limit() {
    let max = i64::try_from(limits::FILE_LEN_MAX).unwrap();
    let files: Vec<_> = (0..17).map(|i| file(max, &[&i.to_string()])).collect();
    assert_eq!(err(&torrent(&listed(&files))), E::Length { file: None, got: None });
    // in reach of the total, out of reach of the count of pieces
    assert!(matches!(err(&torrent(&listed(&files[..15]))), E::TooManyPieces(_)));
}

#[test]
fn row_31_nothing_at_all() {
    let e = E::Length { file: None, got: Some(0) };
    assert_eq!(err(&torrent(&with(&single(), "length", int(0)))), e);
    assert_eq!(err(&torrent(&listed(&[file(0, &["a"]), file(0, &["b"])]))), e);
}

#[test]
fn row_32_one_file_or_many() {
    assert_eq!(err(&torrent(&with(&single(), "files", list(&[file(1, &["a"])])))), E::Ambiguous);
}

#[test]
fn row_33_no_files() {
    assert_eq!(err(&torrent(&listed(&[]))), E::NoFiles);
    assert_eq!(err(&torrent(&with(&without(&single(), "length"), "files", dict(&[])))), E::NoFiles);
    assert_eq!(err(&torrent(&listed(&[int(1)]))), E::NoFiles);
    assert_eq!(err(&torrent(&without(&single(), "length"))), E::NoFiles);
}

#[test]
fn row_34_path_missing_empty_or_no_strings() {
    for value in [list(&[]), list(&[str("a"), int(1)]), str("a")] {
        let e = err(&torrent(&listed(&[dict(&[("length", int(1)), ("path", value)])])));
        assert_eq!(e, E::Path(0));
    }
    assert_eq!(err(&torrent(&listed(&[dict(&[("length", int(1))])]))), E::Path(0));
}

#[test]
fn row_35_path_that_climbs() {
    assert_eq!(paths_of(&[file(1, &["..", "..", "etc", "passwd"])]), ["set/_/_/etc/passwd"]);
    assert_eq!(paths_of(&[file(1, &[".", "", "a"])]), ["set/_/_/a"]);
}

#[test]
fn row_36_absolute_paths() {
    for (path, expected) in [
        (&["/etc/passwd"][..], "set/etcpasswd"),
        (&["C:", "x"], "set/C_/x"),
        (&["\\\\srv\\s"], "set/srvs"),
        (&["\\\\?\\C:\\x"], "set/_C_x"),
    ] {
        assert_eq!(paths_of(&[file(1, path)]), [expected]);
    }
}

#[test]
fn row_37_path_101_deep() {
    let deep = |n| vec!["a"; n];
    assert_eq!(err(&torrent(&listed(&[file(1, &deep(limits::PATH_DEPTH_MAX + 1))]))), E::PathDepth(0));
    assert_eq!(paths_of(&[file(1, &deep(limits::PATH_DEPTH_MAX))]).len(), 1);
}

#[test]
fn row_38_path_longer_than_4096_bytes() {
    let element = "e".repeat(239);
    let files = listed(&[file(1, &[element.as_str(); 17])]);
    // seventeen times a separator and 239 bytes leave sixteen for the name
    let torrent_of = |name_len| torrent(&with(&files, "name", str(&"n".repeat(name_len))));
    let m = Metainfo::parse(&torrent_of(16)).unwrap();
    assert_eq!(m.info.files[0].display_path().len(), limits::PATH_LEN_MAX);
    assert_eq!(err(&torrent_of(17)), E::PathLength(0));
}

#[test]
fn row_39_file_that_is_a_directory_of_another() {
    assert_eq!(paths_of(&[file(1, &["a"]), file(1, &["a", "b"])]), ["set/a.1", "set/a/b"]);
}

#[test]
fn row_40_names_that_some_file_systems_take_for_one() {
    assert_eq!(paths_of(&[file(1, &["A"]), file(1, &["a"])]), ["set/A", "set/a.1"]);
    let nfc_then_nfd = [file(1, &["\u{e9}"]), file(1, &["e\u{301}"])];
    assert_eq!(paths_of(&nfc_then_nfd), ["set/\u{e9}", "set/e\u{301}.1"]);
}

// anything worse than linear would take minutes here
#[test]
fn row_41_a_million_empty_files() {
    let entry = |i: usize| {
        let name = i.to_string();
        format!("d6:lengthi0e4:pathl{}:{name}ee", name.len()).into_bytes()
    };
    let files = |n: usize| [b"l".to_vec(), (0..n).flat_map(entry).collect(), b"e".to_vec()].concat();
    let e = err(&torrent(&with(&listed(&[]), "files", files(1_000_000))));
    // within 32 MiB they take more values than a document may have, and a list of so many is refused by its count
    assert!(matches!(e, E::TooLarge(_) | E::Tokens(_)), "{e:?}");
    let ints = [b"l".to_vec(), b"i1e".repeat(limits::FILES_MAX + 1), b"e".to_vec()].concat();
    assert_eq!(err(&torrent(&with(&listed(&[]), "files", ints))), E::TooManyFiles(limits::FILES_MAX + 1));
    // as many as there may be values for are read
    let mut many = files(400_000);
    many.splice(1..1, file(1, &["one"]));
    let m = Metainfo::parse(&torrent(&with(&listed(&[]), "files", many))).unwrap();
    assert_eq!(m.info.files.len(), 400_001);
    // and so are as many that share a few names, where pad files may
    let pads =
        [b"l".to_vec(), b"d4:attr1:p6:lengthi0ee".repeat(400_000), file(1, &["one"]), b"e".to_vec()].concat();
    let m = Metainfo::parse(&torrent(&with(&listed(&[]), "files", pads))).unwrap();
    assert!(m.info.files.iter().rev().skip(1).all(|f| f.display_path() == ".pad/0"));
}

#[test]
fn row_42_118_files_of_one_name() {
    let files = |n| vec![file(1, &["same"]); n];
    assert!(matches!(err(&torrent(&listed(&files(118)))), E::DuplicateNames(_)));
    assert_eq!(paths_of(&files(30))[29], "set/same.29");
    // one name more costs as many probes as there are names: 33 names take 0 + 0 + 1 + … + 31 = 496 of the 500
    let probes: usize = (0..32).sum();
    assert!(probes <= limits::DUPLICATE_PROBES_MAX && probes + 32 > limits::DUPLICATE_PROBES_MAX);
    assert_eq!(paths_of(&files(33))[32], "set/same.32");
    assert_eq!(err(&torrent(&listed(&files(34)))), E::DuplicateNames(33));
}

#[test]
fn row_43_symlinks_that_lead_nowhere_are_not_made() {
    let files = files_of(&[
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
    ]);
    let made: Vec<String> = files.iter().filter_map(|f| f.symlink.as_ref().map(|t| t.join("/"))).collect();
    assert_eq!(made, ["set/d/x", "set/d", "set/file"]);
    assert!(files[..9].iter().all(|f| f.is_link && f.length == 0));
}

#[test]
fn row_44_a_file_through_a_symlink_takes_its_place() {
    let files = files_of(&[link(&["out"], &["d"]), file(1, &["out", "x"]), file(1, &["d", "y"])]);
    let paths: Vec<String> = files.iter().map(FileEntry::display_path).collect();
    assert_eq!(paths, ["set/out.1", "set/out/x", "set/d/y"]);
    assert!(!files[1].is_link);
}

#[test]
fn row_45_pad_files_of_any_size() {
    let pad = |length: i64| dict(&[("attr", str("p")), ("length", int(length))]);
    let files = [file(1, &["a"]), pad(3), pad(3), pad(4 << 30), file(1, &["b"])];
    let total: i64 = 2 + 6 + (4 << 30);
    let info = with(&listed(&files), "piece length", int(1 << 28));
    let info =
        with(&info, "pieces", bytes(&vec![7; usize::try_from(total.div_euclid(1 << 28) + 1).unwrap() * 20]));
    let m = Metainfo::parse(&torrent(&info)).unwrap();
    assert_eq!((m.info.layout.total_len(), m.info.payload_len()), (u64::try_from(total).unwrap(), 2));
    let paths: Vec<String> = m.info.files.iter().map(FileEntry::display_path).collect();
    assert_eq!(paths, ["set/a", ".pad/3", ".pad/3", ".pad/4294967296", "set/b"]);
    assert_eq!(m.info.files.iter().filter(|f| f.is_pad).count(), 3);
}

//= BEP 47: file attributes
#[test]
fn row_46_unknown_attributes_are_ignored() {
    let attr =
        |attr, path: &[&str]| dict(&[("attr", str(attr)), ("length", int(1)), ("path", list_of(path))]);
    let files = files_of(&[attr("xqz!", &["a"]), attr("h", &["b"]), attr("l", &["c"])]);
    let flags: Vec<_> = files.iter().map(|f| (f.is_executable, f.is_hidden, f.is_pad, f.is_link)).collect();
    // a link without a target is a file
    assert_eq!(
        flags,
        [(true, false, false, false), (false, true, false, false), (false, false, false, false)]
    );
}

#[test]
fn row_47_unknown_meta_version() {
    for n in [3, 0, -1] {
        assert_eq!(err(&torrent(&with(&single(), "meta version", int(n)))), E::Version(Some(n)));
    }
    assert_eq!(err(&torrent(&with(&single(), "meta version", str("2")))), E::Version(None));
    assert_eq!(err(&torrent(&with(&single(), "file tree", dict(&[])))), E::Version(Some(1)));
    assert!(Metainfo::parse(&torrent(&with(&single(), "meta version", int(1)))).is_ok());
}

#[test]
fn row_48_v2_without_a_file_tree() {
    let info = with(&with(&single(), "meta version", int(2)), "piece length", int(16_384));
    assert_eq!(err(&torrent(&info)), E::FileTree);
    assert_eq!(err(&v2_torrent(list(&[]))), E::FileTree);
    assert_eq!(err(&v2_torrent(dict(&[]))), E::NoFiles);
}

#[test]
fn row_49_v2_root_missing_short_or_zero() {
    let tree = |leaf: &[(&str, Vec<u8>)]| dict(&[("a", dict(&[("", dict(leaf))]))]);
    assert_eq!(err(&v2_torrent(tree(&[("length", int(1))]))), E::PiecesRoot(0));
    for root in [&[1; 31][..], &[1; 33], &[0; 32]] {
        let leaf = [("length", int(1)), ("pieces root", bytes(root))];
        assert_eq!(err(&v2_torrent(tree(&leaf))), E::PiecesRoot(0));
    }
    let good = [("length", int(1)), ("pieces root", bytes(&[1; 32]))];
    assert_eq!(Metainfo::parse(&v2_torrent(tree(&good))).unwrap().info.files[0].root, Some([1; 32]));
}

#[test]
fn row_50_v2_layer_of_wrong_size_hash_or_root() {
    let at = V2.windows(16).position(|w| w == b"12:piece layersd").unwrap() + 16;
    let (head, layers) = V2.split_at(at);
    assert!(Metainfo::parse(V2).is_ok());
    // a hash in the layer, the root of the file
    for flipped in [layers.len() - 5, 3] {
        let mut layers = layers.to_vec();
        layers[flipped] ^= 1;
        assert_eq!(err(&[head, &layers[..]].concat()), E::PieceLayer);
    }
    let layer = |root: &[u8], hashes: &[u8]| [head, &bytes(root)[..], &bytes(hashes), b"ee"].concat();
    let (root, hashes) = (&layers[3..35], &layers[38..]);
    assert_eq!(err(&layer(root, &hashes[..32])), E::PieceLayer);
    assert_eq!(err(&layer(root, &hashes[..33])), E::PieceLayer);
    assert_eq!(err(&layer(root, &[])), E::PieceLayer);
    assert_eq!(err(&layer(&[9; 32], &hashes[..64])), E::PieceLayer);
    assert_eq!(err(&layer(&[9; 31], &hashes[..64])), E::PieceLayer);
    assert_eq!(err(&[head, &bytes(root)[..], b"i1eee"].concat()), E::PieceLayer);
}

#[test]
fn row_51_v2_without_layers_is_read() {
    let at = V2.windows(16).position(|w| w == b"12:piece layersd").unwrap();
    let bytes = [&V2[..at], b"e"].concat();
    let m = Metainfo::parse(&bytes).unwrap();
    assert!(m.piece_layers.is_empty());
    assert_eq!(m.info_hashes, Metainfo::parse(V2).unwrap().info_hashes);
}

#[test]
fn row_52_hybrid_of_two_minds() {
    assert!(Metainfo::parse(HYBRID).is_ok());
    for (from, to) in [
        // the list comes after the tree
        (&b"6:lengthi20000e4:pathl1:ae"[..], &b"6:lengthi20001e4:pathl1:ae"[..]),
        (b"6:lengthi20000e4:pathl1:ae", b"6:lengthi20000e4:pathl1:Ae"),
        (b"6:lengthi0e4:pathl1:be", b"6:lengthi1e4:pathl1:be"),
        (b"6:lengthi12768e4:path", b"6:lengthi12767e4:path"),
        (b"d6:lengthi0e4:pathl1:bee", b""),
    ] {
        assert_eq!(err(&replaced(HYBRID, from, to)), E::Inconsistent, "{}", from.escape_ascii());
    }
    let twice = b"d6:lengthi0e4:pathl1:bee".repeat(2);
    assert_eq!(err(&replaced(HYBRID, b"d6:lengthi0e4:pathl1:bee", &twice)), E::Inconsistent);
}

#[test]
fn row_53_v2_tree_with_empty_components_or_out_of_order() {
    let leaf = || dict(&[("length", int(1)), ("pieces root", bytes(&[1; 32]))]);
    for tree in [
        dict(&[("", leaf())]),
        dict(&[("a", dict(&[("", dict(&[("", leaf())]))]))]),
        dict(&[("a", dict(&[("", leaf()), ("b", dict(&[("", leaf())]))]))]),
        dict(&[("a", int(1))]),
        dict(&[("b", dict(&[("", leaf())])), ("a", dict(&[("", leaf())]))]),
        dict(&[(
            "a",
            dict(&[("", dict(&[("attr", str("p")), ("length", int(1)), ("pieces root", bytes(&[1; 32]))]))]),
        )]),
    ] {
        let e = err(&v2_torrent(tree));
        assert!(matches!(e, E::FileTree | E::Length { .. }), "{e:?}");
    }
}

#[test]
fn row_54_a_hundred_thousand_tiers() {
    let tiers: Vec<_> = (0..100_000).map(|i| list(&[str(&format!("udp://t{i}.example:80"))])).collect();
    let m = Metainfo::parse(&torrent_with(&[("announce-list", list(&tiers))])).unwrap();
    assert_eq!(m.trackers.len(), limits::TRACKERS_MAX);
    assert_eq!(m.trackers[0], ["udp://t0.example:80"]);
    assert_eq!(m.warnings, [Warning::TrackersDropped(100_000 - limits::TRACKERS_MAX)]);
}

#[test]
fn row_55_trackers_of_other_kinds_and_ports() {
    let url_of = |len: usize| format!("http://h/{}", "a".repeat(len - 9));
    let long = url_of(limits::URL_LEN_MAX + 1);
    for url in [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://h/",
        "ws://h/",
        "wss://h/",
        "http://h:0/announce",
        "http://h:65536/announce",
        "udp://h:-1",
        "udp://[::1/announce",
        "http:///announce",
        "http://",
        "http://a\nb/",
        "http://u:p@:80/",
        "//h/announce",
        "",
        &long,
    ] {
        let m = Metainfo::parse(&torrent_with(&[("announce-list", list(&[list(&[str(url)])]))])).unwrap();
        assert!(m.trackers.is_empty(), "{url}");
        assert_eq!(m.warnings, [Warning::TrackersDropped(1)], "{url}");
    }
    let announce = |url| Metainfo::parse(&torrent_with(&[("announce", bytes(url))])).unwrap().trackers.len();
    assert_eq!(announce(b"http://\xff/"), 0);
    assert_eq!(announce(url_of(limits::URL_LEN_MAX).as_bytes()), 1);
}

#[test]
fn row_56_a_tracker_on_a_link_local_address_is_data_until_it_is_dialled() {
    let url = "http://169.254.169.254/x?info_hash=";
    let m = Metainfo::parse(&torrent_with(&[("announce", str(url))])).unwrap();
    assert_eq!(m.trackers, [[url]]);
}

#[test]
fn row_57_a_hundred_thousand_web_seeds() {
    let urls: Vec<_> = (0..100_000).map(|i| str(&format!("http://127.0.0.1/{i}?q"))).collect();
    let m = Metainfo::parse(&torrent_with(&[("url-list", list(&urls))])).unwrap();
    assert_eq!(m.web_seeds.len(), limits::WEB_SEEDS_MAX);
    assert_eq!(m.warnings, [Warning::WebSeedsDropped(100_000 - limits::WEB_SEEDS_MAX)]);
}

#[test]
fn row_58_nodes_without_port_or_name() {
    let node = |host: &str, port| list(&[str(host), int(port)]);
    let long = "n".repeat(10_000);
    let nodes = [
        node("h", 0),
        node("h", 65_536),
        node("h", -1),
        node(&long, 1),
        node("", 1),
        node("a b", 1),
        list(&[str("h")]),
        int(1),
        node("ok.example", 1),
    ];
    let m = Metainfo::parse(&torrent_with(&[("nodes", list(&nodes))])).unwrap();
    assert_eq!(m.nodes, ["ok.example:1".parse().unwrap()]);
    assert_eq!(m.warnings, [Warning::NodesDropped(8)]);
    let many: Vec<_> = (1..=1000).map(|port| node("h", port)).collect();
    let m = Metainfo::parse(&torrent_with(&[("nodes", list(&many))])).unwrap();
    assert_eq!(m.nodes.len(), limits::NODES_MAX);
}

#[test]
fn row_59_dates_and_texts_out_of_bounds_are_clamped() {
    let comment = format!("a\u{1b}[31m\r\nb\u{85}{}", "\u{20ac}".repeat(4 << 20));
    let m = Metainfo::parse(&torrent_with(&[
        ("comment", str(&comment)),
        ("created by", bytes(b"x\xff\0y")),
        ("creation date", int(i64::MAX)),
    ]))
    .unwrap();
    let comment = m.comment.unwrap();
    assert!(comment.starts_with("a[31m\nb\u{20ac}") && comment.ends_with('\u{20ac}'));
    assert!(comment.len() <= limits::TEXT_LEN_MAX && comment.len() > limits::TEXT_LEN_MAX - 10);
    assert_eq!(m.created_by.as_deref(), Some("x\u{fffd}y"));
    assert_eq!(m.creation_date, Some(UnixTime(253_402_300_799)));
    let dated = |raw: &[u8]| Metainfo::parse(&torrent_with(&[("creation date", raw.to_vec())]));
    assert_eq!(dated(b"i-1e").unwrap().creation_date, None);
    assert!(matches!(dated(b"i9223372036854775808e"), Err(E::Number(_))));
}

//= BEP 27: private torrents
#[test]
fn row_60_private_is_known_from_the_metadata_alone() {
    let info = |value| Info::parse(&dict(&with(&single(), "private", value))).unwrap();
    assert!(info(int(1)).private);
    assert!(!info(int(0)).private);
    assert!(!Info::parse(&dict(&single())).unwrap().private);
    // outside the info dictionary it means nothing
    assert!(!Metainfo::parse(&torrent_with(&[("private", int(1))])).unwrap().info.private);
}

#[test]
fn row_61_magnets_without_a_good_hash() {
    let hash = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
    for xt in [
        String::new(),
        "xt=urn:btih:".to_owned(),
        format!("xt=urn:btih:{}", &hash[1..]),
        format!("xt=urn:btih:{hash}0"),
        format!("xt=urn:btih: {hash}"),
        format!("xt=urn:btih:{} {}", &hash[..20], &hash[21..]),
        format!("xt=urn:btih:g{}", &hash[1..]),
        "xt=urn:btih:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ21".to_owned(),
        "xt=urn:sha1:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N".to_owned(),
        format!("xt=urn:btmh:1220{hash}"),
    ] {
        assert_eq!(magnet_err(&format!("magnet:?{xt}&dn=x")), MagnetError::InfoHash, "{xt}");
    }
}

#[test]
fn row_62_magnets_of_two_torrents_or_all_files() {
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    let two = format!("magnet:?xt=urn:btih:{a}&xt=urn:btih:{b}");
    assert_eq!(magnet_err(&two), MagnetError::InfoHash);
    let two = format!("magnet:?xt=urn:btmh:1220{0}&xt=urn:btmh:1220{1}", "a".repeat(64), "b".repeat(64));
    assert_eq!(magnet_err(&two), MagnetError::InfoHash);
    let m: Magnet = format!("magnet:?xt=urn:btih:{a}&so=0-2147483648").parse().unwrap();
    assert_eq!(m.select, [0..=999_999]);
}

#[test]
fn row_63_magnets_of_a_megabyte_or_ten_thousand_trackers() {
    let base = format!("magnet:?xt=urn:btih:{}", "a".repeat(40));
    let big = |len: usize| base.clone() + &"&".repeat(len - base.len());
    assert!(big(limits::MAGNET_LEN_MAX).parse::<Magnet>().is_ok());
    for len in [limits::MAGNET_LEN_MAX + 1, 1 << 20] {
        assert_eq!(magnet_err(&big(len)), MagnetError::TooLarge(len));
    }
    let trackers: String = (0..10_000).map(|i| format!("&tr=udp://t{i}:1")).collect();
    assert!(matches!(magnet_err(&(base.clone() + &trackers)), MagnetError::TooLarge(_)));
    let trackers: String = (0..3_000).map(|i| format!("&tr=udp://t{i}:1")).collect();
    let m: Magnet = (base + &trackers).parse().unwrap();
    assert_eq!(m.trackers.len(), limits::TRACKERS_MAX);
}

#[test]
fn row_64_a_peer_on_loopback_is_data_until_it_is_dialled() {
    let m: Magnet =
        format!("magnet:?xt=urn:btih:{}&x.pe=127.0.0.1:22&x.pe=h:0", "a".repeat(40)).parse().unwrap();
    assert!(m.peers.len() == 1 && m.peers[0].ip().unwrap().is_loopback());
}

#[test]
fn no_cut_or_flipped_byte_of_a_torrent_panics() {
    let mut refused = 0;
    for good in [torrent(&single()), V2.to_vec(), HYBRID.to_vec()] {
        for at in 0..good.len() {
            refused += usize::from(Metainfo::parse(&good[..at]).is_err());
            for bit in [0x01, 0x10, 0x80] {
                let mut bytes = good.clone();
                bytes[at] ^= bit;
                refused += usize::from(Metainfo::parse(&bytes).is_err());
            }
        }
        assert!(Metainfo::parse(&good).is_ok());
    }
    assert!(refused > 2_000, "{refused}");
}

// The generator: bencode without any of a writer's care.

type Entries = Vec<(&'static str, Vec<u8>)>;

fn int(i: i64) -> Vec<u8> {
    format!("i{i}e").into_bytes()
}

fn bytes(b: &[u8]) -> Vec<u8> {
    [format!("{}:", b.len()).as_bytes(), b].concat()
}

fn str(s: &str) -> Vec<u8> {
    bytes(s.as_bytes())
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"l".to_vec(), items.concat(), b"e".to_vec()].concat()
}

fn list_of(strings: &[&str]) -> Vec<u8> {
    list(&strings.iter().map(|s| str(s)).collect::<Vec<_>>())
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|(k, v)| [str(k), v.clone()].concat()).collect();
    [b"d".to_vec(), entries, b"e".to_vec()].concat()
}

/// The info dictionary of one good file of one piece.
fn single() -> Entries {
    vec![("length", int(1)), ("name", str("set")), ("piece length", int(16_384)), ("pieces", bytes(&[7; 20]))]
}

/// The info dictionary of these files, good for all that fit one piece.
fn listed(files: &[Vec<u8>]) -> Entries {
    let mut info = without(&single(), "length");
    info.insert(0, ("files", list(files)));
    info
}

fn without(info: &[(&'static str, Vec<u8>)], key: &str) -> Entries {
    info.iter().filter(|(k, _)| *k != key).cloned().collect()
}

fn with(info: &[(&'static str, Vec<u8>)], key: &'static str, value: Vec<u8>) -> Entries {
    let mut info = without(info, key);
    info.push((key, value));
    info.sort();
    info
}

fn path(elements: &[&str]) -> Vec<u8> {
    list_of(elements)
}

fn file(length: i64, elements: &[&str]) -> Vec<u8> {
    dict(&[("length", int(length)), ("path", path(elements))])
}

fn link(elements: &[&str], target: &[&str]) -> Vec<u8> {
    dict(&[("attr", str("l")), ("length", int(0)), ("path", path(elements)), ("symlink path", path(target))])
}

fn torrent(info: &[(&str, Vec<u8>)]) -> Vec<u8> {
    dict(&[("info", dict(info))])
}

/// A good torrent with these keys beside its info.
fn torrent_with(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut all = entries.to_vec();
    all.push(("info", dict(&single())));
    dict(&all)
}

fn v2_torrent(tree: Vec<u8>) -> Vec<u8> {
    torrent(&[
        ("file tree", tree),
        ("meta version", int(2)),
        ("name", str("set")),
        ("piece length", int(16_384)),
    ])
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from).expect("is in there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn err(bytes: &[u8]) -> E {
    let e = Metainfo::parse(bytes).expect_err("must be refused");
    let text = e.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{text}");
    e
}

fn magnet_err(text: &str) -> MagnetError {
    text.parse::<Magnet>().expect_err("must be refused")
}

fn name_of(raw: &[u8]) -> String {
    let m = Metainfo::parse(&torrent(&with(&single(), "name", bytes(raw)))).expect("is read");
    assert_eq!(m.info.files[0].path, [m.info.name.as_str()]);
    m.info.name
}

fn assert_named_by_hash(name: &str) {
    let info = dict(&with(&single(), "name", str(name)));
    let hash: String = Sha1::digest(&info).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(name_of(name.as_bytes()), hash, "{name}");
    let many = torrent(&with(&listed(&[file(1, &["a"])]), "name", str(name)));
    let m = Metainfo::parse(&many).expect("is read");
    assert_eq!(m.info.name, m.info_hashes.best().expect("has one").to_string());
    assert_eq!(m.info.files[0].path, [m.info.name.as_str(), "a"]);
}

fn files_of(files: &[Vec<u8>]) -> Vec<FileEntry> {
    Metainfo::parse(&torrent(&listed(files))).expect("is read").info.files
}

fn paths_of(files: &[Vec<u8>]) -> Vec<String> {
    files_of(files).iter().map(FileEntry::display_path).collect()
}
