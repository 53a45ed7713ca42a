//! Files and links: bencode, metainfo, magnets.

use super::{is_safe, is_shown};
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::bencode::{self, Document, Value, Writer};
use unchoke_wire::limits;
use unchoke_wire::magnet::{Magnet, parse_hex_hash};
use unchoke_wire::metainfo::{FileEntry, Info, Metainfo, PieceHashes};

/// Bencode is one value over the bytes it was read from, and writing it again with sorted keys is stable.
pub fn bencode(data: &[u8]) {
    let Ok((prefix, used)) = Document::parse_prefix(data) else {
        assert!(Document::parse(data).is_err(), "what has no value in front is no value");
        return;
    };
    assert_eq!(prefix.root().span(), &data[..used]);
    match Document::parse(data) {
        Ok(_) => assert_eq!(used, data.len()),
        Err(error) => assert_eq!(error, bencode::Error::Trailing(used)),
    }
    let (sorted, was_sorted) = rewritten(prefix.root());
    assert!(!was_sorted || sorted == data[..used], "bencode has one form once its keys are sorted");
    let again = Document::parse(&sorted).expect("what we write we read");
    assert_eq!(rewritten(again.root()), (sorted.clone(), true));
}

/// The value with sorted keys, and whether they were sorted.
fn rewritten(value: Value<'_>) -> (Vec<u8>, bool) {
    let mut w = Writer::new();
    let was_sorted = rewrite(value, &mut w);
    (w.finish(), was_sorted)
}

fn rewrite(value: Value<'_>, w: &mut Writer) -> bool {
    let mut is_sorted = true;
    if let Some(i) = value.as_int() {
        w.int(i);
    } else if let Some(s) = value.as_bytes() {
        w.bytes(s);
    } else if let Some(items) = value.as_list() {
        w.list(|w| items.for_each(|item| is_sorted &= rewrite(item, w)));
    } else {
        let dict = value.as_dict().expect("a value is one of four kinds");
        is_sorted &= dict.entries().map(|(key, _)| key).is_sorted();
        let map: BTreeMap<&[u8], Value<'_>> = dict.entries().collect();
        assert_eq!(map.len(), dict.entries().count(), "no key is there twice");
        w.dict(|d| map.iter().for_each(|(key, item)| is_sorted &= rewrite(*item, d.key(key))));
    }
    is_sorted
}

/// A magnet keeps the limits, and what was understood of it survives being written again.
pub fn magnet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(hash) = parse_hex_hash(text) {
        assert_eq!(hash.to_string(), text.to_ascii_lowercase());
    }
    let Ok(magnet) = text.parse::<Magnet>() else { return };
    assert!(text.len() <= limits::MAGNET_LEN_MAX);
    match &magnet.publisher {
        Some(publisher) => assert!(publisher.salt.len() <= limits::ITEM_SALT_LEN_MAX),
        None => assert!(magnet.info_hashes.best().is_some()),
    }
    assert!(magnet.trackers.len() <= limits::TRACKERS_MAX && magnet.web_seeds.len() <= limits::WEB_SEEDS_MAX);
    assert!(magnet.peers.len() <= limits::MAGNET_PEERS_MAX && magnet.nodes.len() <= limits::NODES_MAX);
    assert!(magnet.select.len() <= limits::SELECT_RANGES_MAX);
    assert!(magnet.select.iter().all(|r| r.start() <= r.end()));
    assert!(magnet.length.is_none_or(|n| n <= limits::TORRENT_LEN_MAX));
    assert!(magnet.display_name.as_deref().is_none_or(is_shown));
    let written = magnet.to_string();
    // escaping makes text longer
    if written.len() <= limits::MAGNET_LEN_MAX {
        assert_eq!(written.parse(), Ok(magnet));
    }
}

/// A `.torrent` file that is read fits together, keeps the limits, and names only safe and different paths.
pub fn metainfo(data: &[u8]) {
    let Ok(m) = Metainfo::parse(data) else {
        // the same bytes may be an info dictionary alone
        if let Ok(info) = Info::parse(data) {
            fits_together(&info);
        }
        return;
    };
    assert!(data.len() <= limits::METAINFO_LEN_MAX);
    assert!(m.info_hashes.matches(&m.raw_info));
    assert!(data.windows(m.raw_info.len()).any(|w| w == m.raw_info));
    assert_eq!(Info::parse(&m.raw_info).as_ref(), Ok(&m.info));
    fits_together(&m.info);
    assert!(m.trackers.iter().map(Vec::len).sum::<usize>() <= limits::TRACKERS_MAX);
    assert!(m.web_seeds.len() <= limits::WEB_SEEDS_MAX && m.nodes.len() <= limits::NODES_MAX);
    let texts = [&m.comment, &m.created_by];
    assert!(texts.into_iter().flatten().all(|t| t.len() <= limits::TEXT_LEN_MAX));
    assert!(m.piece_layers.values().all(|layer| layer.len().is_multiple_of(32)));
}

fn fits_together(info: &Info) {
    assert!(!info.files.is_empty() && info.files.len() <= limits::FILES_MAX);
    assert_eq!(info.files.iter().map(|f| f.length).sum::<u64>(), info.layout.total_len());
    if let PieceHashes::V1(hashes) = &info.pieces {
        assert_eq!(hashes.len(), info.layout.piece_count() as usize);
    }
    let elements = |f: &FileEntry| f.path.iter().chain(f.symlink.iter().flatten()).all(|e| is_safe(e));
    assert!(is_safe(&info.name) && info.files.iter().all(elements));
    let on_disk: Vec<String> =
        info.files.iter().filter(|f| !f.is_pad).map(|f| f.path.join("/").to_ascii_lowercase()).collect();
    assert!(on_disk.iter().all(|p| !p.is_empty() && p.len() <= 2 * limits::PATH_LEN_MAX));
    assert_eq!(on_disk.iter().collect::<BTreeSet<_>>().len(), on_disk.len(), "no two files share a path");
}
