//! Pieces, blocks and files by counting bytes one after another, and small sets by their definitions.

use crate::steps::Steps;
use sha1::{Digest, Sha1};
use std::collections::BTreeSet;
use unchoke_wire::layout::{BLOCK_LEN, BlockIndex, FileIndex, Layout, PieceIndex};
use unchoke_wire::{BlockRef, Magnet, WireHash, allowed_fast_set, limits};

/// Where each byte of a torrent is, as counted one by one: its piece, and its file and place there.
pub fn layout(data: &[u8]) {
    let mut steps = Steps::new(data);
    let piece_len = u32::from(steps.byte());
    let lens: Vec<u64> = (0..steps.below(9)).map(|_| u64::from(steps.byte())).collect();
    let total: u64 = lens.iter().sum();
    let Ok(layout) = Layout::new(piece_len, lens.iter().copied()) else {
        assert!(piece_len == 0 || total == 0);
        return;
    };
    assert_eq!(layout.total_len(), total);
    let places: Vec<(usize, u64)> =
        lens.iter().enumerate().flat_map(|(file, len)| (0..*len).map(move |at| (file, at))).collect();
    let pieces: Vec<&[(usize, u64)]> = places.chunks(piece_len as usize).collect();
    assert_eq!(layout.piece_count() as usize, pieces.len());
    for (piece, bytes) in layout.pieces().zip(&pieces) {
        assert_eq!(layout.len_of(piece) as usize, bytes.len());
        assert_eq!(layout.block_count(piece) as usize, bytes.len().div_ceil(BLOCK_LEN as usize));
        assert_eq!(layout.block(piece, BlockIndex(0)).len as usize, bytes.len().min(BLOCK_LEN as usize));
    }
    let (piece, begin, len) = (steps.byte(), steps.odd_number(), steps.odd_number());
    let stretch = BlockRef { piece: PieceIndex(u32::from(piece)), begin, len };
    let is_there = pieces
        .get(usize::from(piece))
        .is_some_and(|p| len > 0 && u64::from(begin) + u64::from(len) <= p.len() as u64);
    assert_eq!(layout.contains(stretch), is_there);
    assert!(
        layout.block_index(stretch).is_none_or(|i| is_there && layout.block(stretch.piece, i) == stretch)
    );
    if is_there {
        let due = &pieces[usize::from(piece)][begin as usize..][..len as usize];
        let spans = layout.spans(stretch.piece, begin, len);
        let got: Vec<(usize, u64)> =
            spans.flat_map(|s| (s.offset..s.offset + s.len).map(move |at| (s.file.0 as usize, at))).collect();
        assert_eq!(got, due);
    }
    for (file, number) in (0..lens.len()).zip(0u32..) {
        let with_bytes = |p: &&[(usize, u64)]| p.iter().any(|(f, _)| *f == file);
        let due: Vec<u32> = (0u32..).zip(&pieces).filter(|(_, p)| with_bytes(p)).map(|(i, _)| i).collect();
        assert_eq!(layout.pieces_of(FileIndex(number)).collect::<Vec<u32>>(), due);
    }
}

/// The allowed-fast set is drawn as BEP 6 says, word by word.
pub fn allowed_fast(data: &[u8]) {
    let mut steps = Steps::new(data);
    let ip = steps.word().to_be_bytes();
    let (hash, pieces, count) = ([steps.byte(); 20], steps.odd_number(), steps.byte() % 32);
    if pieces == 0 {
        return;
    }
    let got: Vec<u32> =
        allowed_fast_set(ip.into(), WireHash(hash), pieces, count).iter().map(|p| p.0).collect();
    if pieces <= u32::from(count) {
        assert_eq!(got, (0..pieces).collect::<Vec<u32>>());
        return;
    }
    let mut x = [&[ip[0], ip[1], ip[2], 0], &hash[..]].concat();
    let mut due: Vec<u32> = Vec::new();
    while due.len() < usize::from(count) {
        x = Sha1::digest(&x).to_vec();
        for at in 0..5 {
            let word = u32::from_be_bytes(x[4 * at..][..4].try_into().expect("four bytes"));
            if due.len() < usize::from(count) && !due.contains(&(word % pieces)) {
                due.push(word % pieces);
            }
        }
    }
    assert_eq!(got, due);
}

/// The selection of a magnet is what its parts name, number by number.
pub fn magnet_select(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'-')) || text.len() > 200 {
        return;
    }
    let link = format!("magnet:?xt=urn:btih:{}&so={text}", "a".repeat(40));
    let magnet: Magnet = link.parse().expect("the rest of it is sound");
    let mut due = BTreeSet::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<u32>(), to.parse::<u32>()) {
            // the ends of a long range tell as much as all of it
            let to = to.min(u32::try_from(limits::FILES_MAX - 1).expect("a million fits"));
            let near = |n: u32| n.saturating_sub(40)..n.saturating_add(40);
            due.extend((from..=to).take(40).chain(near(to).filter(|n| (from..=to).contains(n))));
        }
    }
    let has = |n: u32| magnet.select.iter().any(|r| r.contains(&n));
    assert!(due.iter().all(|n| has(*n)), "{:?}", magnet.select);
    assert!(magnet.select.windows(2).all(|w| w[0].end() < w[1].start()), "{:?}", magnet.select);
    for range in &magnet.select {
        assert!(range.start() <= range.end() && due.contains(range.start()) && due.contains(range.end()));
    }
}
