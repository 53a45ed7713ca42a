//! Rows about the second version of the format, and torrents of both.

use super::bencode::*;
use super::{Case, Listed, read, refused};
use unchoke_wire::Metainfo;

const HYBRID: &[u8] = include_bytes!("../../data/libtorrent_hybrid.torrent");
const V2: &[u8] = include_bytes!("../../data/libtorrent_v2.torrent");

pub const ROWS: &[Listed] = &[
    (25, "v2 piece length that is no power of two or too small", || {
        let of =
            |n: &str| replaced(V2, b"12:piece lengthi16384e", format!("12:piece lengthi{n}e").as_bytes());
        vec![
            refused(of("16385"), "PieceLength(Some(16385))"),
            refused(of("8192"), "PieceLength(Some(8192))"),
            refused(of("49152"), "PieceLength(Some(49152))"),
        ]
    }),
    (47, "unknown meta version", || {
        let of = |value| torrent_where("meta version", value);
        vec![
            refused(of(int(3)), "Version(Some(3))"),
            refused(of(int(0)), "Version(Some(0))"),
            refused(of(int(-1)), "Version(Some(-1))"),
            refused(of(str("2")), "Version(None)"),
            refused(torrent_where("file tree", dict(&[])), "Version(Some(1))"),
            read(of(int(1)), |m| assert!(m.info_hashes.v1.is_some() && m.info_hashes.v2.is_none())),
        ]
    }),
    (48, "v2 without a file tree", || {
        vec![
            refused(torrent_where("meta version", int(2)), "FileTree"),
            refused(v2_torrent(list(&[])), "FileTree"),
            refused(v2_torrent(dict(&[])), "NoFiles"),
        ]
    }),
    (49, "v2 root missing, short or zero", || {
        let of = |root: Option<&[u8]>| {
            let root = root.map(|r| ("pieces root", bytes(r)));
            let leaf: Vec<_> = [("length", int(1))].into_iter().chain(root).collect();
            v2_torrent(dict(&[("a", dict(&[("", dict(&leaf))]))]))
        };
        let bad = [None, Some(&[1; 31][..]), Some(&[1; 33]), Some(&[0; 32])];
        let mut all: Vec<Case> = bad.into_iter().map(|root| refused(of(root), "PiecesRoot(0)")).collect();
        all.push(read(of(Some(&[1; 32])), |m| assert_eq!(m.info.files[0].root, Some([1; 32]))));
        all
    }),
    (50, "v2 layer of wrong size, hash or root", layers),
    (51, "v2 without layers", || {
        let (head, _) = V2.split_at(layers_at() - b"12:piece layersd".len());
        vec![read([head, b"e"].concat(), |m| {
            assert!(m.piece_layers.is_empty());
            assert_eq!(m.info_hashes, Metainfo::parse(V2).expect("is good").info_hashes);
        })]
    }),
    (52, "hybrid of two minds", hybrids),
    (53, "v2 tree with empty components or out of order", trees),
];

fn v2_torrent(tree: Vec<u8>) -> Vec<u8> {
    let head =
        [("file tree", tree), ("meta version", int(2)), ("name", str("set")), ("piece length", int(16_384))];
    torrent(&head)
}

/// Where the first of the layers begins.
fn layers_at() -> usize {
    V2.windows(16).position(|w| w == b"12:piece layersd").expect("is in there") + 16
}

fn layers() -> Vec<Case> {
    let (head, layers) = V2.split_at(layers_at());
    let flipped = |at: usize| {
        let mut layers = layers.to_vec();
        layers[at] ^= 1;
        [head, &layers[..]].concat()
    };
    let layer = |root: &[u8], hashes: &[u8]| [head, &bytes(root)[..], &bytes(hashes), b"ee"].concat();
    let (root, hashes) = (&layers[3..35], &layers[38..]);
    [
        // a hash in the layer, the root of the file
        flipped(layers.len() - 5),
        flipped(3),
        layer(root, &hashes[..32]),
        layer(root, &hashes[..33]),
        layer(root, &[]),
        layer(&[9; 32], &hashes[..64]),
        layer(&[9; 31], &hashes[..64]),
        [head, &bytes(root)[..], b"i1eee"].concat(),
    ]
    .map(|bytes| refused(bytes, "PieceLayer"))
    .into()
}

fn hybrids() -> Vec<Case> {
    let twice = b"d6:lengthi0e4:pathl1:bee".repeat(2);
    let changes: [(&[u8], &[u8]); 6] = [
        // the list comes after the tree
        (b"6:lengthi20000e4:pathl1:ae", b"6:lengthi20001e4:pathl1:ae"),
        (b"6:lengthi20000e4:pathl1:ae", b"6:lengthi20000e4:pathl1:Ae"),
        (b"6:lengthi0e4:pathl1:be", b"6:lengthi1e4:pathl1:be"),
        (b"6:lengthi12768e4:path", b"6:lengthi12767e4:path"),
        (b"d6:lengthi0e4:pathl1:bee", b""),
        (b"d6:lengthi0e4:pathl1:bee", &twice),
    ];
    let mut all: Vec<Case> =
        changes.map(|(from, to)| refused(replaced(HYBRID, from, to), "Inconsistent")).into();
    all.push(read(HYBRID.to_vec(), |m| assert!(m.info_hashes.v1.is_some() && m.info_hashes.v2.is_some())));
    all
}

fn trees() -> Vec<Case> {
    let leaf = || dict(&[("length", int(1)), ("pieces root", bytes(&[1; 32]))]);
    let pad = dict(&[("attr", str("p")), ("length", int(1)), ("pieces root", bytes(&[1; 32]))]);
    [
        dict(&[("", leaf())]),
        dict(&[("a", dict(&[("", dict(&[("", leaf())]))]))]),
        dict(&[("a", dict(&[("", leaf()), ("b", dict(&[("", leaf())]))]))]),
        dict(&[("a", int(1))]),
        dict(&[("b", dict(&[("", leaf())])), ("a", dict(&[("", leaf())]))]),
        dict(&[("a", dict(&[("", pad)]))]),
    ]
    .map(|tree| refused(v2_torrent(tree), ""))
    .into()
}
