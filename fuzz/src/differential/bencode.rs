//! A decoder of bencode that is as plain as the specification, and what it says of files.

use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::collections::BTreeSet;
use unchoke_wire::bencode::{Document, Value};
use unchoke_wire::limits;
use unchoke_wire::metainfo::Metainfo;

/// A value.
#[derive(Debug)]
enum Tree<'d> {
    Int(i64),
    Bytes(&'d [u8]),
    List(Vec<Tree<'d>>),
    Dict(Vec<(&'d [u8], Tree<'d>, &'d [u8])>),
}

/// What is read and what is refused is the same as by the reference, value by value and span by span.
pub fn bencode_reference(data: &[u8]) {
    let due = value(data, 0, &mut 0).filter(|(_, rest)| rest.is_empty());
    match (Document::parse(data), due) {
        (Err(_), None) => {}
        (Ok(document), Some((tree, _))) => same(document.root(), &tree),
        (got, due) => panic!("read as {:?}, is {due:?}", got.map(|d| d.root().span().len())),
    }
}

/// The info-hash of a file that is read is the hash of exactly the bytes of its `info`.
pub fn info_hash(data: &[u8]) {
    let Ok(metainfo) = Metainfo::parse(data) else { return };
    let (tree, _) = value(data, 0, &mut 0).expect("the reference reads what is read");
    let Tree::Dict(entries) = tree else { panic!("a metainfo is a dictionary") };
    let (_, _, raw) = entries.iter().find(|(key, _, _)| *key == b"info").expect("it has an info");
    assert_eq!(metainfo.raw_info, *raw);
    let hashes = metainfo.info_hashes;
    assert!(hashes.v1.is_some() || hashes.v2.is_some());
    assert!(hashes.v1.is_none_or(|h| h == <[u8; 20]>::from(Sha1::digest(raw))));
    assert!(hashes.v2.is_none_or(|h| h == <[u8; 32]>::from(Sha256::digest(raw))));
}

fn same(value: Value<'_>, tree: &Tree<'_>) {
    match tree {
        Tree::Int(i) => assert_eq!(value.as_int(), Some(*i)),
        Tree::Bytes(bytes) => assert_eq!(value.as_bytes(), Some(*bytes)),
        Tree::List(items) => {
            let got: Vec<Value<'_>> = value.as_list().expect("it is a list").collect();
            assert_eq!(got.len(), items.len());
            got.into_iter().zip(items).for_each(|(v, t)| same(v, t));
        }
        Tree::Dict(entries) => {
            let dict = value.as_dict().expect("it is a dictionary");
            assert_eq!(dict.entries().count(), entries.len());
            for ((key, got), (due, tree, span)) in dict.entries().zip(entries) {
                assert_eq!((key, got.span()), (*due, *span));
                assert_eq!(dict.get(due).map(|v| v.span()), Some(*span));
                same(got, tree);
            }
        }
    }
}

/// The value at the front, and the bytes after it; `None` where there is none within the limits.
fn value<'d>(data: &'d [u8], depth: usize, tokens: &mut usize) -> Option<(Tree<'d>, &'d [u8])> {
    *tokens += 1;
    if *tokens > limits::BENCODE_TOKENS_MAX {
        return None;
    }
    let (first, rest) = data.split_first()?;
    match first {
        b'i' => {
            let (digits, rest) = until(rest, b'e')?;
            Some((Tree::Int(number(digits)?), rest))
        }
        b'0'..=b'9' => string(data).map(|(bytes, rest)| (Tree::Bytes(bytes), rest)),
        b'l' if depth < limits::BENCODE_DEPTH_MAX => {
            let (mut items, mut rest) = (Vec::new(), rest);
            loop {
                if let Some((b'e', rest)) = rest.split_first() {
                    return Some((Tree::List(items), rest));
                }
                let (item, after) = value(rest, depth + 1, tokens)?;
                items.push(item);
                rest = after;
            }
        }
        b'd' if depth < limits::BENCODE_DEPTH_MAX => dict(rest, depth, tokens),
        _ => None,
    }
}

fn dict<'d>(mut rest: &'d [u8], depth: usize, tokens: &mut usize) -> Option<(Tree<'d>, &'d [u8])> {
    let (mut entries, mut keys) = (Vec::new(), BTreeSet::new());
    loop {
        if let Some((b'e', rest)) = rest.split_first() {
            return Some((Tree::Dict(entries), rest));
        }
        let (key, after) = string(rest)?;
        *tokens += 1;
        let (tree, end) = value(after, depth + 1, tokens)?;
        if !keys.insert(key) {
            return None;
        }
        entries.push((key, tree, &after[..after.len() - end.len()]));
        rest = end;
    }
}

/// A string at the front: its length without a leading zero, a colon, its bytes.
fn string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (digits, rest) = until(data, b':')?;
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !is_plain || digits.len() > 1 && digits[0] == b'0' {
        return None;
    }
    let len: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    rest.split_at_checked(len)
}

/// A number of 64 bits in its one form.
fn number(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value.to_string().as_bytes() == text).then_some(value)
}

fn until(data: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|b| *b == end)?;
    Some((&data[..at], &data[at + 1..]))
}
