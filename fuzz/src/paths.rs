//! Names that a stranger chose: whatever they are, they stay in their folder, are whole, and stand for one file each.

use crate::decode::{is_safe, is_shown};
use crate::steps::Steps;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::bencode::Writer;
use unchoke_wire::limits;
use unchoke_wire::metainfo::{FileEntry, Info, Metainfo};
use unicode_normalization::UnicodeNormalization;

/// One name of any bytes becomes one safe element, the same one in every place, and is left as it is if it is one.
pub fn name_component(data: &[u8]) {
    let as_name = name_of(data, None);
    let as_path = name_of(b"N", Some(data));
    if let Some(name) = &as_name {
        assert!(is_portable(name), "{name:?}");
        let is_short = name.len() <= limits::NAME_CUT_LEN;
        let again = name_of(name.as_bytes(), None);
        assert!(!is_short || again.as_ref() == Some(name), "a safe name is left alone, not made {again:?}");
    }
    let element = as_path.expect("an element that is nothing becomes something");
    assert!(is_portable(&element), "{element:?}");
    if let Some(name) = as_name.filter(|_| element != "_") {
        assert_eq!(name, element, "a name is the same wherever it is");
    }
}

/// The name of a torrent of this name; or of the one file in it, when that has a name of its own.
fn name_of(name: &[u8], file: Option<&[u8]>) -> Option<String> {
    let mut w = Writer::new();
    w.dict(|d| {
        if let Some(file) = file {
            d.key(b"files").list(|w| {
                w.dict(|d| {
                    d.int(b"length", 1);
                    d.key(b"path").list(|w| w.bytes(file));
                });
            });
        } else {
            d.int(b"length", 1);
        }
        d.bytes(b"name", name);
        d.int(b"piece length", 16_384);
        d.bytes(b"pieces", &[7; 20]);
    });
    let info = Info::parse(&w.finish()).ok()?;
    assert_eq!(info.files.len(), 1);
    info.files[0].path.last().cloned()
}

/// Whether every system takes this name, for what it is.
fn is_portable(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let is_device = ["CON", "PRN", "AUX", "NUL", "COM1", "COM9", "LPT1", "LPT9", "CONIN$"].contains(&&*stem);
    is_safe(name)
        && !name.ends_with(['.', ' '])
        && !name.contains(['<', '>', '"', '|', '?', '*'])
        && !name.chars().any(|c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}'))
        && !is_device
}

/// The files of a tree of any names have paths of their own, none is where a folder is, all are below the root.
pub fn name_tree(data: &[u8]) {
    let Some(info) = Info::parse(&tree(&mut Steps::new(data), false)).ok() else { return };
    check_paths(&info.files, &info.name);
}

/// A link leads to a file or folder of its own torrent, which is there, over a path that goes up nowhere, or nowhere.
pub fn symlinks(data: &[u8]) {
    let Some(info) = Info::parse(&tree(&mut Steps::new(data), true)).ok() else { return };
    check_paths(&info.files, &info.name);
    let files: BTreeMap<&[String], &FileEntry> =
        info.files.iter().filter(|f| !f.is_pad).map(|f| (&f.path[..], f)).collect();
    let dirs: BTreeSet<&[String]> =
        files.keys().flat_map(|path| (1..path.len()).map(|n| &path[..n])).collect();
    for file in &info.files {
        assert!(file.symlink.is_none() || file.is_link && file.length == 0);
        let Some(target) = &file.symlink else { continue };
        assert!(target.iter().all(|e| is_safe(e)) && target[0] == info.name && target.len() > 1);
        // followed to its end it is no loop
        let (mut at, mut hops) = (&target[..], 0);
        while let Some(next) = files.get(at).and_then(|f| f.symlink.as_deref()) {
            (at, hops) = (next, hops + 1);
            assert!(hops <= 40, "a loop of links");
        }
        assert!(files.get(at).is_some_and(|f| !f.is_link) || dirs.contains(at), "{target:?} is nothing");
    }
}

fn check_paths(files: &[FileEntry], name: &str) {
    let fold = |path: &[String]| -> Vec<String> {
        path.iter().map(|e| e.nfc().collect::<String>().to_ascii_lowercase()).collect()
    };
    let mut taken: BTreeSet<Vec<String>> = BTreeSet::new();
    for file in files.iter().filter(|f| !f.is_pad) {
        assert_eq!(file.path[0], name);
        assert!(file.path.iter().all(|e| is_portable(e)), "{:?}", file.path);
        assert!(file.path.len() <= limits::PATH_DEPTH_MAX + 1);
        assert!(taken.insert(fold(&file.path)), "{:?} is there twice", file.path);
    }
    for path in &taken {
        let is_dir = |n: &usize| taken.contains(&path[..*n]);
        assert_eq!((1..path.len()).find(is_dir), None, "{path:?} is below a file");
    }
}

/// An info dictionary of up to sixteen files, whose names are few, so that they collide, or any bytes.
fn tree(steps: &mut Steps<'_>, has_links: bool) -> Vec<u8> {
    let mut w = Writer::new();
    let count = 1 + steps.below(16);
    let mut total = 0;
    w.dict(|d| {
        d.key(b"files").list(|w| {
            for _ in 0..count {
                w.dict(|d| {
                    let what = steps.byte();
                    let is_link = has_links && what & 3 == 0;
                    let attr: &[u8] = if is_link { b"l" } else { &b"xhp"[..usize::from(what >> 6)] };
                    d.bytes(b"attr", attr);
                    if !is_link {
                        total += 1;
                    }
                    d.int(b"length", 1);
                    d.key(b"path").list(|w| (0..1 + steps.below(3)).for_each(|_| w.bytes(&name(steps))));
                    if is_link {
                        let target = d.key(b"symlink path");
                        target.list(|w| (0..1 + steps.below(3)).for_each(|_| w.bytes(&name(steps))));
                    }
                });
            }
        });
        d.bytes(b"name", b"N");
        d.int(b"piece length", 16_384);
        d.bytes(b"pieces", &[7; 20][..if total == 0 { 0 } else { 20 }]);
    });
    w.finish()
}

fn name(steps: &mut Steps<'_>) -> Vec<u8> {
    const NAMES: [&str; 16] = [
        "a", "A", "b", "a.1", "a.txt", "A.TXT", "\u{e9}", "e\u{301}", "..", ".", "", "a ", "con", "a/b",
        "a.", "N",
    ];
    match steps.byte() {
        n @ 0..=127 => NAMES[usize::from(n) % NAMES.len()].as_bytes().to_vec(),
        _ => steps.bytes().to_vec(),
    }
}

/// Texts of any bytes and any charset are whole, short and fit to be shown.
pub fn text_fields(data: &[u8]) {
    let mut steps = Steps::new(data);
    let keys: [&[u8]; 6] =
        [b"comment", b"comment.utf-8", b"created by", b"created by.utf-8", b"encoding", b"publisher"];
    let fields: BTreeMap<&[u8], &[u8]> = (0..5).map(|_| (keys[steps.below(6)], steps.bytes())).collect();
    let long = steps.rest().repeat(1 + usize::from(data.len() > 700) * 100);
    let mut w = Writer::new();
    w.dict(|d| {
        d.bytes(b"azureus", &long);
        fields.iter().filter(|(key, _)| **key < &b"info"[..]).for_each(|(key, text)| d.bytes(key, text));
        d.key(b"info").dict(|d| {
            d.int(b"length", 1);
            d.bytes(b"name", b"N");
            d.int(b"piece length", 16_384);
            d.bytes(b"pieces", &[7; 20]);
            d.bytes(b"source", &long);
        });
    });
    let Ok(m) = Metainfo::parse(&w.finish()) else { return };
    for text in [&m.comment, &m.created_by].into_iter().flatten() {
        assert!(!text.is_empty() && text.len() <= limits::TEXT_LEN_MAX * 3);
        assert!(text.split(['\n', '\t']).all(|t| t.is_empty() || is_shown(t)), "{text:?}");
    }
    for key in [&b"comment.utf-8"[..], b"comment"] {
        // what is plain text is kept as it is
        if let Some(raw) = fields.get(key).filter(|r| r.iter().all(u8::is_ascii_graphic) && !r.is_empty()) {
            assert_eq!(m.comment.as_deref().map(str::as_bytes), Some(*raw));
            break;
        } else if fields.contains_key(key) {
            break;
        }
    }
}
