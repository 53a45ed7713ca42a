//! Torrents as people and other clients make them: read leniently, written canonically.

use sha1::{Digest, Sha1};
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder, auto_piece_len};
use unchoke_wire::metainfo::{Info, MetainfoError, PieceHashes};
use unchoke_wire::time::UnixTime;
use unchoke_wire::{InfoHashes, Magnet, Metainfo, PieceIndex};

/// Made by libtorrent 2.1.1 of five files: a (20000 bytes), b (0), c (16384), sub/d (40000), z (5), each `i mod 251`.
const HYBRID: &[u8] = include_bytes!("data/libtorrent_hybrid.torrent");
/// The same files without the v1 part.
const V2: &[u8] = include_bytes!("data/libtorrent_v2.torrent");

//= S40
//= S41
#[test]
fn a_trackerless_torrent_holds_dht_nodes_and_no_announce() {
    let mut b = seed3();
    b.nodes = vec!["127.0.0.1:6881".parse().unwrap(), "[::1]:6881".parse().unwrap()];
    let bytes = b.build().unwrap();
    assert_eq!((bytes.len(), sha1_hex(&bytes).as_str()), (176, "625579cb69ad1ef3545c78f632485f38e37f591e"));
    let m = Metainfo::parse(&bytes).unwrap();
    assert!(m.trackers.is_empty());
    assert_eq!(m.nodes, b.nodes);
    assert_eq!(hash_of(&m), "93a8973b325bb0634386415ab4b3b148a6d291dc");
}

//= S41
//= BEP 5: nodes of a trackerless torrent
#[test]
fn a_node_is_an_address_or_a_dns_name_and_no_peer() {
    let mut b = seed3();
    b.nodes = ["10.0.0.1:1", "[2001:db8::1]:2", "node.example.org:3"].map(|n| n.parse().unwrap()).to_vec();
    let m = Metainfo::parse(&b.build().unwrap()).unwrap();
    let nodes: Vec<String> = m.nodes.iter().map(ToString::to_string).collect();
    assert_eq!(nodes, ["10.0.0.1:1", "[2001:db8::1]:2", "node.example.org:3"]);
    let magnet = Magnet::from(&m);
    assert_eq!((magnet.nodes.len(), magnet.peers.len()), (3, 0));
}

//= S61
//= BEP 3: metainfo
#[test]
fn metadata_holds_names_sizes_and_pieces() {
    let m = Metainfo::parse(&seed3().build().unwrap()).unwrap();
    assert_eq!((m.info.name.as_str(), m.raw_info.len(), m.info.is_multi_file), ("seed3.bin", 127, false));
    let layout = &m.info.layout;
    assert_eq!((layout.total_len(), layout.piece_len(), layout.piece_count()), (75_536, 32_768, 3));
    assert_eq!(layout.len_of(PieceIndex(2)), 10_000);
    let hashes: Vec<String> = layout.pieces().map(|p| hex(&m.info.pieces.get(p).unwrap())).collect();
    assert_eq!(
        hashes,
        [
            "9dbe5260858a0f960c062aa8f8d3914ff5bde250",
            "90a403ae509472973169822bf527e7a7011de7e9",
            "9095a366f0b93df71219bc4d693b05b8c7b569d2"
        ]
    );
    assert_eq!(m.info.pieces.get(PieceIndex(3)), None);
    assert_eq!(Info::parse(&m.raw_info), Ok(m.info));
}

/// The info-hashes are those of `mktorrent -l 15` and of libtorrent for the same files in the same order.
#[test]
fn what_is_written_has_the_info_hash_that_others_give_it() {
    let mut b = set();
    assert_eq!(built_hash(&b), "c5a9837944d92b999563e086dcbfa7aa65df6e37");
    b.private = true;
    assert_eq!(built_hash(&b), "fe116d601fb9d6cb13854fa7019bb036c26a2316");
    b.source = Some("SRC".to_owned());
    assert_eq!(built_hash(&b), "0057ec2e91b65afe60b9d81a5c42e67d122e4b99");
}

#[test]
fn what_is_written_reads_back() {
    let b = MetainfoBuilder {
        trackers: vec![
            vec!["http://a.example/announce".to_owned(), "udp://b.example:80".to_owned()],
            vec!["https://c.example/".to_owned()],
        ],
        web_seeds: vec!["https://w.example/x/".to_owned(), "http://v.example/".to_owned()],
        private: true,
        source: Some("S".to_owned()),
        comment: Some("two\nlines".to_owned()),
        created_by: Some("Unchoke".to_owned()),
        creation_date: Some(UnixTime(1_700_000_000)),
        ..set()
    };
    let bytes = b.build().unwrap();
    assert!(bytes.starts_with(b"d8:announce25:http://a.example/announce13:announce-listll25:"));
    let m = Metainfo::parse(&bytes).unwrap();
    assert_eq!((&m.trackers, &m.web_seeds), (&b.trackers, &b.web_seeds));
    assert_eq!((&m.comment, &m.created_by, m.creation_date), (&b.comment, &b.created_by, b.creation_date));
    assert_eq!((m.info.private, &m.info.source, m.info.meta_version), (true, &b.source, 1));
    assert_eq!(m.raw_info, b.build_info());
    assert!(m.warnings.is_empty());
    let paths: Vec<String> = m.info.files.iter().map(|f| f.display_path()).collect();
    assert_eq!(paths, ["set/a.txt", "set/b", "set/sub/c", "set/sub/d.bin"]);
    let one = MetainfoBuilder { trackers: vec![b.trackers[1].clone()], ..set() }.build().unwrap();
    assert!(one.starts_with(b"d8:announce18:https://c.example/4:info"));
}

//= BEP 47: file attributes
#[test]
fn attributes_are_written_and_read() {
    let file = |path: &[&str], length| BuildFile { path: strings(path), length, ..BuildFile::default() };
    let files = vec![
        BuildFile { is_executable: true, is_hidden: true, ..file(&["run"], 10) },
        BuildFile { is_pad: true, ..file(&[".pad", "16374"], 16_374) },
        BuildFile { symlink: Some(strings(&["run"])), ..file(&["go"], 0) },
        file(&["last"], 1),
    ];
    let b = MetainfoBuilder { files, piece_len: 16_384, pieces: vec![[7; 20]; 2], ..set() };
    let m = Metainfo::parse(&b.build().unwrap()).unwrap();
    let [run, pad, go, last] = &m.info.files[..] else { panic!("four files") };
    assert!(run.is_executable && run.is_hidden && !run.is_pad);
    assert!(pad.is_pad && pad.length == 16_374);
    assert!(go.is_link && go.symlink == Some(strings(&["set", "run"])));
    assert!(!last.is_pad && m.info.layout.pieces_of(unchoke_wire::FileIndex(3)) == (1..2));
    assert_eq!((m.info.layout.total_len(), m.info.payload_len()), (16_385, 11));
}

#[test]
fn what_would_be_refused_is_not_written() {
    let pieces = |n| MetainfoBuilder { pieces: vec![[0; 20]; n], ..set() }.build();
    assert_eq!(pieces(2), Err(MetainfoError::Pieces { due: 3, bytes: Some(40) }));
    assert_eq!(MetainfoBuilder { files: vec![], ..set() }.build(), Err(MetainfoError::NoFiles));
    assert_eq!(MetainfoBuilder { piece_len: 0, ..set() }.build(), Err(MetainfoError::PieceLength(Some(0))));
}

#[test]
fn automatic_piece_lengths_make_about_1500_pieces() {
    for (total, piece_len) in [
        (0, 16 << 10),
        (32 << 20, 16 << 10),
        ((32 << 20) + 1, 32 << 10),
        (1 << 30, 512 << 10),
        (4_700_000_000, 4 << 20),
        (1 << 40, 16 << 20),
        (u64::MAX, 16 << 20),
    ] {
        assert_eq!(auto_piece_len(total), piece_len, "{total}");
    }
}

#[test]
fn the_info_hash_is_taken_over_the_received_bytes() {
    // keys out of order, and one nobody knows
    let info =
        [&b"d4:name1:a6:lengthi1e1:zi0e12:piece lengthi16384e6:pieces20:"[..], &[7; 20], b"e"].concat();
    let m = Metainfo::parse(&[b"d4:info", &info[..], b"e"].concat()).unwrap();
    assert_eq!((&m.raw_info, m.info_hashes), (&info, InfoHashes::v1_of(&info)));
}

//= BEP 12: announce-list
#[test]
fn announce_counts_only_without_announce_list() {
    let trackers = |keys: &str| with_keys(keys).trackers;
    assert_eq!(trackers("8:announce10:udp://a:8013:announce-listll10:udp://b:80ee"), [["udp://b:80"]]);
    assert_eq!(trackers("8:announce10:udp://a:8013:announce-listle"), [["udp://a:80"]]);
    assert_eq!(trackers("8:announce10:udp://a:8013:announce-list3:abc"), [["udp://a:80"]]);
    let tiers =
        "13:announce-listll12: udp://b:80 10:udp://c:8010:udp://b:80el10:udp://b:80el10:HTTPS://d/i1eei2ee";
    assert_eq!(trackers(tiers), [&["udp://b:80", "udp://c:80"][..], &["HTTPS://d/"]]);
    assert_eq!(trackers("8:announce24:http://[::1]:80/ann?a=b "), [["http://[::1]:80/ann?a=b"]]);
}

//= BEP 19: url-list
#[test]
fn web_seeds_are_trimmed_escaped_and_kept_once() {
    let m = with_keys("8:url-list12: http://a/b ");
    assert_eq!((m.web_seeds, m.warnings), (vec!["http://a/b".to_owned()], vec![]));
    let m = with_keys("8:url-listl14:http://a/b\u{20}c\u{20}d10:http://a/bi1e8:ftp://a/0:12: http://a/b e");
    assert_eq!(m.web_seeds, ["http://a/b%20c%20d", "http://a/b"]);
    assert!(with_keys("8:url-list0:").warnings.is_empty());
    // a directory of files hangs below its web seed
    let mut b = set();
    b.web_seeds = strings(&["http://a/b", "http://a/b/"]);
    assert_eq!(Metainfo::parse(&b.build().unwrap()).unwrap().web_seeds, ["http://a/b/"]);
}

#[test]
fn utf8_keys_come_first() {
    let info = [
        &b"d5:filesld6:lengthi1e4:pathl1:xe10:path.utf-8l2:\xc3\xa9eee4:name1:x10:name.utf-82:\xc3\xa9"[..],
        b"12:piece lengthi16384e6:pieces20:",
        &[7; 20],
        b"e",
    ];
    let m = Metainfo::parse(
        &[b"d7:comment1:x13:comment.utf-82:\xc3\xa94:info", &info.concat()[..], b"e"].concat(),
    );
    let m = m.unwrap();
    assert_eq!((m.info.name.as_str(), m.comment.as_deref()), ("\u{e9}", Some("\u{e9}")));
    assert_eq!(m.info.files[0].path, ["\u{e9}", "\u{e9}"]);
}

#[test]
fn any_piece_length_suits_a_v1_torrent() {
    let b = MetainfoBuilder { piece_len: 16_383, pieces: vec![[7; 20]; 5], ..set() };
    assert_eq!(Metainfo::parse(&b.build().unwrap()).unwrap().info.layout.piece_count(), 5);
}

//= BEP 52: hybrid torrents
#[test]
fn a_hybrid_is_used_through_its_v1_part_and_keeps_its_v2_part() {
    let m = Metainfo::parse(HYBRID).unwrap();
    assert_eq!(hash_of(&m), "9dbf80530fac0628ac3b7db1b890c98a8e7793f6");
    let v2 = "9f26772452ea68227d4150f63b706cd246417ea83d5da09b3f9260b0fa656bd5";
    assert_eq!(m.info_hashes.v2.map(|h| hex(&h)).as_deref(), Some(v2));
    assert!(matches!(&m.info.pieces, PieceHashes::V1(h) if h.len() == 7));
    assert_eq!((m.info.meta_version, m.piece_layers.len()), (2, 2));
    let files: Vec<_> =
        m.info.files.iter().map(|f| (f.display_path(), f.length, f.is_pad, f.root.is_some())).collect();
    let file = |path: &str, length, is_pad, has_root| (format!("NAME/{path}"), length, is_pad, has_root);
    assert_eq!(
        files,
        [
            file("a", 20_000, false, true),
            file(".pad/12768", 12_768, true, false),
            file("b", 0, false, false),
            file("c", 16_384, false, true),
            file("sub/d", 40_000, false, true),
            file(".pad/9152", 9_152, true, false),
            file("z", 5, false, true),
            file(".pad/16379", 16_379, true, false),
        ]
    );
}

//= BEP 52: file tree
#[test]
fn a_v2_torrent_lays_every_file_at_the_start_of_a_piece() {
    let m = Metainfo::parse(V2).unwrap();
    assert_eq!(hash_of(&m), "04e749b823b12c1e2270064dd8cae794195eb5ae9808f0b5caeb022e8cb58cd2");
    assert_eq!((m.info_hashes.v1, &m.info.pieces, m.info.is_multi_file), (None, &PieceHashes::V2, true));
    assert_eq!((m.info.layout.piece_count(), m.info.payload_len()), (7, 76_389));
    let mut at = 0;
    for file in &m.info.files {
        assert!(file.is_pad || file.length == 0 || at % 16_384 == 0, "{}", file.display_path());
        at += file.length;
    }
    // the last piece is as short as the last file
    assert_eq!(m.info.layout.len_of(PieceIndex(6)), 5);
    let roots = |m: &Metainfo| m.info.files.iter().filter_map(|f| f.root).collect::<Vec<_>>();
    assert_eq!(roots(&m), roots(&Metainfo::parse(HYBRID).unwrap()));
    // the root of 16384 bytes of this pattern, from the list of vectors
    let c = m.info.files.iter().find(|f| f.display_path() == "NAME/c").and_then(|f| f.root);
    assert_eq!(
        c.map(|r| hex(&r)).as_deref(),
        Some("4348e3b98e8a327b34ced39c1da9e67cdb4cd5e48e4d7960607a3ae403d35f0c")
    );
}

//= BEP 9: magnet links
#[test]
fn a_magnet_leads_to_its_torrent() {
    let m = Metainfo::parse(HYBRID).unwrap();
    let magnet: Magnet = Magnet::from(&m).to_string().parse().unwrap();
    assert_eq!(magnet.info_hashes, m.info_hashes);
    assert!(magnet.info_hashes.matches(&m.raw_info));
    assert_eq!((magnet.display_name.as_deref(), magnet.length), (Some("NAME"), Some(76_389)));
}

#[test]
fn a_metainfo_is_written_back_with_all_it_holds() {
    for bytes in [HYBRID, V2, &seed3().build().unwrap()] {
        let mut m = Metainfo::parse(bytes).unwrap();
        assert_eq!(m.to_bytes(), bytes);
        m.trackers = vec![strings(&["udp://a:80"]), strings(&["udp://b:80"])];
        assert_eq!(Metainfo::parse(&m.to_bytes()), Ok(m));
    }
}

//= BEP 9: metadata from peers
#[test]
fn a_link_that_is_alone_is_refused_and_one_among_files_is_written() {
    let link = BuildFile { path: strings(&["l"]), symlink: Some(strings(&["a"])), ..BuildFile::default() };
    let alone = MetainfoBuilder { files: vec![link.clone()], pieces: Vec::new(), ..seed3() };
    assert!(alone.build().is_err(), "there is nothing it could lead to");
    let mut files = set().files;
    let target = files[0].path.clone();
    files.push(BuildFile { symlink: Some(target.clone()), ..link });
    let m = Metainfo::parse(&MetainfoBuilder { files, ..set() }.build().unwrap()).unwrap();
    let linked = m.info.files.last().and_then(|f| f.symlink.clone()).unwrap();
    assert_eq!(linked[1..], target);
}

#[test]
fn the_metadata_of_a_magnet_makes_a_metainfo() {
    let whole = Metainfo::parse(&seed3().build().unwrap()).unwrap();
    let m = Metainfo::from_info(whole.raw_info.clone()).unwrap();
    assert_eq!(m, whole);
    let hybrid = Metainfo::parse(HYBRID).unwrap();
    let m = Metainfo::from_info(hybrid.raw_info).unwrap();
    assert_eq!((m.info_hashes, m.piece_layers.len()), (hybrid.info_hashes, 0));
    assert_eq!(Metainfo::from_info(b"de".to_vec()), Err(MetainfoError::PieceLength(None)));
}

/// The one file of the scenario in the notes.
fn seed3() -> MetainfoBuilder {
    let data: Vec<u8> = (0..75_536).map(pattern).collect();
    let file = BuildFile { length: 75_536, ..BuildFile::default() };
    MetainfoBuilder {
        name: "seed3.bin".to_owned(),
        files: vec![file],
        is_multi_file: false,
        ..builder(&data)
    }
}

/// Four files in a directory.
fn set() -> MetainfoBuilder {
    let files = [(&["a.txt"][..], 20_000), (&["b"], 0), (&["sub", "c"], 40_000), (&["sub", "d.bin"], 16_384)];
    let data: Vec<u8> = files.iter().flat_map(|(_, n)| (0..*n).map(pattern)).collect();
    let files = files.map(|(path, length)| BuildFile { path: strings(path), length, ..BuildFile::default() });
    MetainfoBuilder { name: "set".to_owned(), files: files.to_vec(), is_multi_file: true, ..builder(&data) }
}

fn builder(data: &[u8]) -> MetainfoBuilder {
    let pieces = data.chunks(32_768).map(|p| Sha1::digest(p).into()).collect();
    MetainfoBuilder { piece_len: 32_768, pieces, ..MetainfoBuilder::default() }
}

fn pattern(i: u64) -> u8 {
    u8::try_from(i % 251).expect("below 251")
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|s| (*s).to_owned()).collect()
}

/// A torrent of one file with these keys, bencoded and in order, beside its info.
fn with_keys(keys: &str) -> Metainfo {
    let built = seed3().build_info();
    Metainfo::parse(&[b"d", keys.as_bytes(), b"4:info", &built, b"e"].concat()).expect("is read")
}

fn built_hash(b: &MetainfoBuilder) -> String {
    hash_of(&Metainfo::parse(&b.build().expect("is good")).expect("is read"))
}

fn hash_of(m: &Metainfo) -> String {
    m.info_hashes.best().expect("has one").to_string()
}

fn sha1_hex(bytes: &[u8]) -> String {
    hex(&Sha1::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
