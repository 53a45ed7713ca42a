//! Names of strangers end beneath the root: those of the corpus of bad torrents, and ten thousands made up.

#[expect(dead_code, reason = "what the claims hold of is for the tests of the reader")]
#[path = "../../../wire/tests/hostile_metainfo/corpus/mod.rs"]
mod corpus;

use std::collections::BTreeSet;
use std::path::{Component, Path};

use unchoke_storage::{FileStorage, Options, Storage, StorageSpec};
use unchoke_wire::Metainfo;
use unchoke_wire::limits::NAME_LEN_MAX;

use crate::support::{tree, write_all};
use corpus::bencode::{bytes, dict, int, list, str};
use corpus::{Input, rows};

/// Makes every file of the torrent below `dir/root`, and checks that what there is then is the torrent and nothing else.
fn make(dir: &Path, metainfo: &Metainfo, what: &str) {
    let root = dir.join("root");
    let options = Options { may_create_root: true, makes_symlinks: true, ..Options::default() };
    let storage = FileStorage::open(&root, StorageSpec::from(&metainfo.info), options).expect(what);
    write_all(&storage);
    storage.finish().expect(what);
    let mut due = BTreeSet::new();
    for file in storage.spec().files.iter().filter(|f| !f.is_pad) {
        due.extend((1..=file.path.len()).map(|n| file.path[..n].join("/")));
        let at = root.join(file.path.join("/"));
        let found = std::fs::symlink_metadata(&at).expect(what);
        assert_eq!(found.is_symlink(), file.symlink.is_some(), "{what}: {at:?}");
        assert!(found.is_symlink() || found.len() == file.len, "{what}: {at:?}");
        let real = at.canonicalize().expect(what);
        assert!(real.starts_with(root.canonicalize().expect(what)), "{what}: {real:?}");
    }
    assert_eq!(tree(&root).into_iter().collect::<BTreeSet<_>>(), due, "{what}");
    assert_eq!(std::fs::read_dir(dir).expect("a folder").count(), 1, "{what}");
}

//= H3c-17
//= H3c-18
//= H3c-19
//= H3c-20
//= H3c-21
//= H3c-22
//= H3c-35
//= H3c-36
//= H3c-37
//= H3c-39
//= H3c-40
//= H3c-43
//= H3c-44
#[test]
fn every_file_of_the_corpus_lands_beneath_its_root() {
    let mut made = 0;
    for row in rows().into_iter().filter(|row| (17..=46).contains(&row.number)) {
        for (number, case) in (row.cases)().into_iter().enumerate() {
            let Input::Torrent(bytes) = case.input else { continue };
            let Ok(metainfo) = Metainfo::parse(&bytes) else { continue };
            let longest = metainfo.info.files.iter().map(|f| f.display_path().len()).max();
            let is_small = metainfo.info.files.len() <= 100 && metainfo.info.layout.total_len() <= 1 << 20;
            if is_small && longest.is_some_and(|len| len < 3000) {
                let dir = tempfile::tempdir().unwrap();
                make(dir.path(), &metainfo, &format!("row {}, case {number}", row.number));
                made += 1;
            }
        }
    }
    assert!(made >= 40, "{made}");
}

/// Bytes that names are made of here.
const PARTS: &[&[u8]] = &[
    b"..",
    b".",
    b"/",
    b"\\",
    b"\0",
    b"a",
    b"etc",
    b"passwd",
    b"C:",
    b"CON",
    b"nul.txt",
    b" ",
    b":",
    b"\xff",
    b"\xc0\xaf",
    b"\xe2\x80\xae",
    b"\xef\xbc\x8f",
    b"\xe2\x88\x95",
    b"\xe2\x80\xa4",
    b"%2e%2e",
    b"~",
    b"-",
    b"\n",
    b"\x7f",
    b"\xed\xa0\x80",
    b"\xe2\x80\x8b",
    b".torrent",
    b"LPT1",
    b"\\\\?\\",
    b"//",
    b"../",
    b"..\\",
];

/// Numbers that look random, the same in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn name(&mut self) -> Vec<u8> {
        let len = if self.below(50) == 0 { 200 } else { self.below(5) };
        (0..len).flat_map(|_| PARTS[self.below(PARTS.len())].to_vec()).collect()
    }

    /// A torrent of a few files with names of these parts.
    fn torrent(&mut self) -> Vec<u8> {
        let files: Vec<Vec<u8>> = (0..1 + self.below(3))
            .map(|_| {
                let elements: Vec<Vec<u8>> = (0..1 + self.below(5)).map(|_| bytes(&self.name())).collect();
                dict(&[("length", int(1)), ("path", list(&elements))])
            })
            .collect();
        let info = dict(&[
            ("files", list(&files)),
            ("name", bytes(&self.name())),
            ("piece length", int(16_384)),
            ("pieces", str(&"h".repeat(20))),
        ]);
        dict(&[("info", info)])
    }
}

/// Lists of components that are tried, and one in how many is made on the disk. `UNCHOKE_COMPONENT_LISTS` asks for
/// another number of them.
const LISTS: usize = 100_000;
const MADE_ONE_IN: usize = 200;

//= A1
//= A2
#[test]
fn no_list_of_components_leaves_the_root() {
    let lists = std::env::var("UNCHOKE_COMPONENT_LISTS").map_or(LISTS, |n| n.parse().expect("a number"));
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut seen, mut number) = (0, 0);
    while seen < lists {
        number += 1;
        let torrent = noise.torrent();
        let metainfo =
            Metainfo::parse(&torrent).unwrap_or_else(|e| panic!("{}: {e}", torrent.escape_ascii()));
        for file in &metainfo.info.files {
            seen += 1;
            let path = Path::new("/root").join(file.path.join("/"));
            let below = path.strip_prefix("/root").unwrap();
            let mut parts = below.components();
            assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{path:?}");
            assert_eq!(below.components().count(), file.path.len(), "{path:?}");
            for element in &file.path {
                assert!(
                    element.len() < NAME_LEN_MAX + 1 && !element.contains(['/', '\\', '\0', ':']),
                    "{element:?}"
                );
                assert!(!element.ends_with(['.', ' ']), "{element:?}");
            }
        }
        if number % MADE_ONE_IN == 0 {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path(), &metainfo, &torrent.escape_ascii().to_string());
        }
    }
}
