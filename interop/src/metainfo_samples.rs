//! Generated torrent files for the agreement check: plain ones and odd ones, the same from the same seed.
//!
//! Kept out are names on which clients differ by intent: those Windows reserves or forbids, names that end in a dot or
//! a space, and names equal only after Unicode normalisation or case folding beyond ASCII.

use crate::fixtures::Rng;

/// `count` torrent files.
pub(crate) fn samples(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| torrent(&mut rng)).collect()
}

/// A value to be bencoded; dictionaries are given in key order.
enum Value {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Dict(Vec<(&'static str, Value)>),
}

impl Value {
    fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(bytes.as_ref().to_vec())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => out.extend_from_slice(format!("i{number}e").as_bytes()),
            Self::Bytes(bytes) => {
                out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
            }
            Self::List(values) => {
                out.push(b'l');
                values.iter().for_each(|value| value.write(out));
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    Self::bytes(key).write(out);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }
}

fn torrent(rng: &mut Rng) -> Vec<u8> {
    let is_multi = rng.below(4) != 0;
    let mut entries = Vec::new();
    let trackers = trackers(rng);
    if let Some(first) = trackers.first().and_then(|tier| tier.first()) {
        entries.push(("announce", Value::bytes(first)));
    }
    if trackers.len() > 1 {
        let tiers = trackers.iter().map(|tier| Value::List(tier.iter().map(Value::bytes).collect()));
        entries.push(("announce-list", Value::List(tiers.collect())));
    }
    if rng.below(2) == 0 {
        entries.push(("comment", Value::bytes(rng.pick(TEXTS))));
    }
    if rng.below(2) == 0 {
        entries.push(("created by", Value::bytes(rng.pick(TEXTS))));
    }
    if rng.below(2) == 0 {
        let seconds = i64::try_from(rng.below(2_000_000_000)).expect("it is below 2^31");
        entries.push(("creation date", Value::Int(1 + seconds)));
    }
    entries.push(("info", info(rng, is_multi)));
    if rng.below(3) == 0 {
        entries.push(("nodes", nodes(rng)));
    }
    if let Some(seeds) = web_seeds(rng, is_multi) {
        entries.push(("url-list", seeds));
    }
    let mut out = Vec::new();
    Value::Dict(entries).write(&mut out);
    out
}

fn info(rng: &mut Rng, is_multi: bool) -> Value {
    let piece_length = 16_384_u64 << rng.below(7);
    let mut entries = Vec::new();
    let total = if is_multi {
        let (files, total) = files(rng);
        entries.push(("files", files));
        total
    } else {
        let length = length(rng).max(1);
        entries.push(("length", Value::Int(i64::try_from(length).expect("lengths are small"))));
        length
    };
    // A name that is nothing but odd would leave a single file without any.
    let names = if is_multi && rng.below(8) == 0 { VANISHING_NAMES } else { NAMES };
    entries.push(("name", Value::Bytes(name(rng, names))));
    if rng.below(10) == 0 {
        entries.push(("name.utf-8", Value::bytes("bêtter nàme")));
    }
    entries.push(("piece length", Value::Int(i64::try_from(piece_length).expect("at most 1 MiB"))));
    let pieces = usize::try_from(total.div_ceil(piece_length)).expect("few pieces");
    entries.push(("pieces", Value::Bytes(rng.bytes(pieces * 20))));
    match rng.below(4) {
        0 => entries.push(("private", Value::Int(1))),
        1 => entries.push(("private", Value::Int(0))),
        _ => {}
    }
    if rng.below(6) == 0 {
        entries.push(("source", Value::bytes("SOMEWHERE")));
    }
    Value::Dict(entries)
}

/// The `files` list and the sum of its lengths.
fn files(rng: &mut Rng) -> (Value, u64) {
    let count = 1 + rng.below(8);
    let mut paths: Vec<Vec<Vec<u8>>> = (0..count).map(|_| path(rng)).collect();
    match rng.below(6) {
        0 => paths.extend(COLLIDING_FILES.iter().map(|name| vec![name.to_vec()])),
        1 => paths.extend([b"d".as_slice(), b"D"].map(|dir| vec![dir.to_vec(), b"same.txt".to_vec()])),
        2 => paths.extend([vec![b"both".to_vec()], vec![b"both".to_vec(), b"inside".to_vec()]]),
        3 => paths.extend([vec![b"both".to_vec(), b"inside".to_vec()], vec![b"both".to_vec()]]),
        _ => {}
    }
    let mut total = 0;
    let mut list = Vec::new();
    for path in paths {
        let length = length(rng);
        total += length;
        let mut entries = Vec::new();
        match rng.below(12) {
            0 => entries.push(("attr", Value::bytes("x"))),
            1 => entries.push(("attr", Value::bytes("h"))),
            2 => entries.push(("attr", Value::bytes("xh"))),
            _ => {}
        }
        entries.push(("length", Value::Int(i64::try_from(length).expect("lengths are small"))));
        entries.push(("path", Value::List(path.into_iter().map(Value::Bytes).collect())));
        list.push(Value::Dict(entries));
    }
    // One file at least has bytes, or there is nothing to be shared.
    list.push(Value::Dict(vec![
        ("length", Value::Int(1)),
        ("path", Value::List(vec![Value::bytes("last of all")])),
    ]));
    (Value::List(list), total + 1)
}

fn path(rng: &mut Rng) -> Vec<Vec<u8>> {
    let depth = rng.pick(&[1, 1, 1, 2, 2, 3, 5]);
    let mut path: Vec<Vec<u8>> = Vec::new();
    for _ in 0..depth {
        let names = if rng.below(5) == 0 { VANISHING_NAMES } else { NAMES };
        path.push(name(rng, names));
    }
    path
}

/// A name of `names`, at times made unique by a number or very long.
fn name(rng: &mut Rng, names: &[&[u8]]) -> Vec<u8> {
    let mut name = rng.pick(names).to_vec();
    match rng.below(12) {
        0 => [b"x".repeat(300), b".txt".to_vec()].concat(),
        1 => "é".repeat(200).into_bytes(),
        2 => name,
        _ if std::ptr::eq(names, VANISHING_NAMES) => name,
        _ => {
            let number = rng.below(1000).to_string();
            name.splice(0..0, number.into_bytes());
            name
        }
    }
}

fn length(rng: &mut Rng) -> u64 {
    let bound = rng.pick(&[1, 100, 20_000, 400_000]);
    u64::try_from(rng.below(bound)).expect("it is below 400,000")
}

/// Tiers of distinct URLs.
fn trackers(rng: &mut Rng) -> Vec<Vec<String>> {
    let mut number = 0;
    (0..rng.below(4))
        .map(|_| {
            (0..1 + rng.below(3))
                .map(|_| {
                    number += 1;
                    let scheme = rng.pick(&["http", "https", "udp"]);
                    format!("{scheme}://tracker{number}.example:{}/announce", 1 + rng.below(65_535))
                })
                .collect()
        })
        .collect()
}

fn nodes(rng: &mut Rng) -> Value {
    let hosts = ["192.0.2.1", "198.51.100.77", "router.example", "10.0.0.1"];
    let list = (0..1 + rng.below(4)).map(|index| {
        let port = i64::try_from(1 + rng.below(65_535)).expect("a port");
        Value::List(vec![Value::bytes(hosts[index]), Value::Int(port)])
    });
    Value::List(list.collect())
}

/// One URL or a list; those of a folder end in a slash, as the specification wants them.
fn web_seeds(rng: &mut Rng, is_multi: bool) -> Option<Value> {
    let slash = if is_multi { "/" } else { "" };
    match rng.below(4) {
        0 => Some(Value::bytes(format!("http://seed.example/path{slash}"))),
        1 => Some(Value::List(
            (0..2).map(|n| Value::bytes(format!("https://seed{n}.example/path{slash}"))).collect(),
        )),
        _ => None,
    }
}

/// Names with something left when what is forbidden is taken away.
const NAMES: &[&[u8]] = &[
    b"plain.txt",
    b"two words.bin",
    b"no extension",
    b".hidden",
    b"...three dots",
    b"a/b",
    b"a\\b",
    b"../up",
    b"/etc/passwd",
    b"\x01control\x1f\x7f.dat",
    b"new\nline\ttab",
    b"nul\0byte",
    "ünïcode.ogg".as_bytes(),
    "日本語のファイル.mkv".as_bytes(),
    "emoji 🦀.rs".as_bytes(),
    "right\u{202e}txt.exe".as_bytes(),
    "left\u{200e}right\u{200f}mark".as_bytes(),
    "embed\u{202a}ding\u{202c}".as_bytes(),
    "iso\u{2066}late\u{2069}d".as_bytes(),
    "zero\u{200b}width\u{feff}".as_bytes(),
    "next\u{85}line".as_bytes(),
    b"\xff\xfebroken",
    b"lone \x80 continuation",
    b"cut off \xe9",
    b"~tilde $dollar %percent",
    b" leading space",
];

/// Names of which nothing is left.
const VANISHING_NAMES: &[&[u8]] = &[b"..", b".", b"/", b"\\", "\u{202e}".as_bytes(), b"/../"];

/// Files of one folder that differ in nothing or only in case.
const COLLIDING_FILES: &[&[u8]] = &[b"twin.txt", b"TWIN.TXT", b"twin.txt", b"bare", b"bare", b"Bare"];

const TEXTS: &[&str] =
    &["a comment", "zwei Wörter und ein Zeichen: €", "line one\nline two", "日本語", "🦀", "x"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bencoded() {
        let value = Value::Dict(vec![
            ("a", Value::Int(-3)),
            ("b", Value::List(vec![Value::bytes("x\0"), Value::Dict(Vec::new())])),
        ]);
        let mut out = Vec::new();
        value.write(&mut out);
        assert_eq!(out, b"d1:ai-3e1:bl2:x\0deee");
    }

    #[test]
    fn the_same_seed_gives_the_same_torrents() {
        assert_eq!(samples(5, 20), samples(5, 20));
        assert_ne!(samples(5, 20), samples(6, 20));
    }
}
