//! Rows about the form of a file and of its numbers.

use super::bencode::*;
use super::{Case, Listed, read, refused};
use unchoke_wire::limits;
use unchoke_wire::metainfo::Warning;

pub const ROWS: &[Listed] = &[
    (1, "empty file", || vec![refused(b"", "Eof(0)")]),
    (2, "HTML page", || vec![refused(b"<!DOCTYPE html><html></html>", "NotBencode(0)")]),
    (3, "top level is no dictionary", || {
        [&b"le"[..], b"i1e", b"4:spam"].map(|b| refused(b, "NotDict")).into()
    }),
    (4, "trailing garbage", trailing_garbage),
    (5, "depth bombs", depth_bombs),
    (6, "too many values", too_many_values),
    (7, "file above the limit", too_large),
    (8, "string longer than the file", || {
        vec![refused(b"d4:info5:abce", "Eof(13)"), refused(b"d4:info4294967296:e", "Eof(19)")]
    }),
    (9, "length with leading zeros", || vec![refused(b"d4:info00005:helloe", "Number(7)")]),
    (10, "length below zero or beyond 64 bits", || {
        vec![refused(b"d4:info-1:e", "Number(7)"), refused(b"d4:info99999999999999999999:e", "Number(7)")]
    }),
    (11, "malformed integers", malformed_integers),
    (12, "integer beyond 64 bits", || vec![refused(b"d4:infoi9223372036854775808ee", "Number(7)")]),
    (13, "key that is no string", || vec![refused(b"di1ei2ee", "Key(1)"), refused(b"dlei2ee", "Key(1)")]),
    (14, "duplicate info", || {
        let info = dict(&single());
        vec![refused(dict(&[("info", info.clone()), ("info", info)]), "DuplicateKey")]
    }),
    (15, "known key twice in info", || {
        let info = [("length", int(1)), ("name", str("n")), ("length", int(2))];
        vec![refused(torrent(&info), "DuplicateKey")]
    }),
    (16, "info missing or no dictionary", || {
        [&b"de"[..], b"d4:infolee", b"d4:infoi1ee"].map(|b| refused(b, "MissingInfo")).into()
    }),
    (23, "piece length zero, negative, no number, missing", || {
        vec![
            refused(torrent_where("piece length", int(0)), "PieceLength(Some(0))"),
            refused(torrent_where("piece length", int(-1)), "PieceLength(Some(-1))"),
            refused(torrent_where("piece length", str("16384")), "PieceLength(None)"),
            refused(torrent(&without(&single(), "piece length")), "PieceLength(None)"),
        ]
    }),
    (24, "piece length beyond the limit", piece_length_beyond_the_limit),
    (26, "pieces that are no row of hashes", || {
        vec![refused(torrent_where("pieces", bytes(&[1; 21])), "Pieces { due: 1, bytes: Some(21) }")]
    }),
    (27, "too few or too many hashes", || {
        let of = |n| torrent_where("pieces", bytes(&vec![1; n]));
        vec![
            refused(of(0), "Pieces { due: 1, bytes: Some(0) }"),
            refused(of(40), "Pieces { due: 1, bytes: Some(40) }"),
            refused(of(60), "Pieces { due: 1, bytes: Some(60) }"),
        ]
    }),
    (28, "pieces that are no string", || {
        let none = without(&single(), "pieces");
        let all = [
            torrent_where("pieces", int(20)),
            torrent_where("pieces", list(&[bytes(&[1; 20])])),
            torrent(&none),
        ];
        all.map(|b| refused(b, "Pieces { due: 1, bytes: None }")).into()
    }),
    (29, "length out of range", length_out_of_range),
    (30, "sum of lengths beyond the limit", sum_of_lengths),
    (31, "nothing at all", || {
        let error = "Length { file: None, got: Some(0) }";
        let files = [file(0, &["a"]), file(0, &["b"])];
        vec![refused(torrent_where("length", int(0)), error), refused(torrent_of(&files), error)]
    }),
    (32, "one file or many", || vec![refused(torrent_where("files", list(&[file(1, &["a"])])), "Ambiguous")]),
    (33, "no files", || {
        let no_list = with(&without(&single(), "length"), "files", dict(&[]));
        let neither = without(&single(), "length");
        [torrent_of(&[]), torrent(&no_list), torrent_of(&[int(1)]), torrent(&neither)]
            .map(|b| refused(b, "NoFiles"))
            .into()
    }),
];

fn trailing_garbage() -> Vec<Case> {
    let good = torrent(&single());
    let mut all = vec![read(good.clone(), |m| assert!(m.warnings.is_empty()))];
    for (garbage, len) in [(&b"garbage"[..], 7), (b"\r\n", 2), (&good, good.len())] {
        let is_read = move |m: &unchoke_wire::Metainfo| assert_eq!(m.warnings, [Warning::TrailingBytes(len)]);
        all.push(read([&good[..], garbage].concat(), is_read));
    }
    all
}

fn depth_bombs() -> Vec<Case> {
    let deep = |n: usize| [b"d4:info".to_vec(), b"l".repeat(n), b"e".repeat(n + 1)].concat();
    vec![
        refused(deep(limits::BENCODE_DEPTH_MAX - 1), "MissingInfo"),
        refused(deep(limits::BENCODE_DEPTH_MAX), "Depth"),
        refused(deep(limits::BENCODE_DEPTH_MAX + 1), "Depth"),
        refused(b"l".repeat(1_000_000), "Depth"),
        refused(b"d1:a".repeat(1_000_000), "Depth"),
    ]
}

fn too_many_values() -> Vec<Case> {
    // the dictionary, its key and the list are values too
    let ints = |n: usize| [b"d1:al".to_vec(), b"i1e".repeat(n), b"ee".to_vec()].concat();
    let max = limits::BENCODE_TOKENS_MAX;
    vec![refused(ints(max - 3), "MissingInfo"), refused(ints(max + 1), "Tokens")]
}

fn too_large() -> Vec<Case> {
    let max = limits::METAINFO_LEN_MAX;
    vec![refused(vec![b' '; max], "NotBencode(0)"), refused(vec![b' '; max + 1], "TooLarge(33554433)")]
}

fn malformed_integers() -> Vec<Case> {
    let numbers = ["i-0e", "i01e", "ie", "i-e", "i+1e", "i1.5e", "i 1e", "i1x", "i-01e", "i0x1e"];
    let mut all: Vec<Case> = numbers.iter().map(|n| refused(format!("d4:info{n}e"), "Number(7)")).collect();
    all.push(refused(b"i1", "Eof(2)"));
    all
}

fn piece_length_beyond_the_limit() -> Vec<Case> {
    let max = i64::from(limits::PIECE_LEN_MAX);
    let of = |n| torrent_where("piece length", int(n));
    vec![
        read(of(max), |m| assert_eq!(m.info.layout.piece_len(), limits::PIECE_LEN_MAX)),
        refused(of(max + 1), "PieceLength(Some(536854529))"),
        refused(of(1 << 31), "PieceLength(Some(2147483648))"),
        refused(of((1 << 32) + 16_384), "PieceLength(Some(4294983680))"),
        refused(of(i64::MAX), "PieceLength(Some(9223372036854775807))"),
    ]
}

fn length_out_of_range() -> Vec<Case> {
    let max = i64::try_from(limits::FILE_LEN_MAX).expect("it fits");
    let mut all = Vec::new();
    for (value, error) in [
        (int(-1), "Length { file: Some(0), got: Some(-1) }"),
        (int(i64::MAX), "Length { file: Some(0), got: Some(9223372036854775807) }"),
        (int(max + 1), "Length { file: Some(0), got: Some(17592186028032) }"),
        (list(&[]), "Length { file: Some(0), got: None }"),
    ] {
        all.push(refused(torrent_where("length", value.clone()), error));
        all.push(refused(torrent_of(&[dict(&[("length", value), ("path", list_of(&["a"]))])]), error));
    }
    // as long as a file may be, which is too long for this piece length alone
    all.push(refused(torrent_where("length", int(max)), "TooManyPieces"));
    all
}

fn sum_of_lengths() -> Vec<Case> {
    let max = i64::try_from(limits::FILE_LEN_MAX).expect("it fits");
    let files: Vec<_> = (0..17).map(|i| file(max, &[&i.to_string()])).collect();
    vec![
        refused(torrent_of(&files), "Length { file: None, got: None }"),
        // in reach of the total, out of reach of the count of pieces
        refused(torrent_of(&files[..15]), "TooManyPieces"),
    ]
}
