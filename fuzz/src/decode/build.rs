//! Values to bytes: what is built from any parts reads back as those parts, or is refused.

use super::is_shown;
use crate::steps::Steps;
use unchoke_wire::magnet::Magnet;
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};
use unchoke_wire::metainfo::{Metainfo, PieceHashes};
use unchoke_wire::mutable_torrent::Publisher;
use unchoke_wire::time::UnixTime;
use unchoke_wire::{HostPort, InfoHashes, limits};

/// A torrent that is built reads back as what was asked for, and its file survives being read and written again.
pub fn metainfo_build(data: &[u8]) {
    let builder = builder(&mut Steps::new(data));
    let Ok(bytes) = builder.build() else { return };
    let m = Metainfo::parse(&bytes).expect("what is built is read");
    assert_eq!(m.raw_info, builder.build_info());
    assert_eq!((m.info.private, m.info.is_multi_file), (builder.private, builder.is_multi_file));
    assert_eq!(m.info.layout.piece_len(), builder.piece_len);
    assert_eq!(m.info.pieces, PieceHashes::V1(builder.pieces.clone()));
    assert_eq!(m.info.files.len(), builder.files.len());
    for (file, due) in m.info.files.iter().zip(&builder.files) {
        assert_eq!(file.length, if due.symlink.is_some() { 0 } else { due.length });
        assert_eq!((file.is_executable, file.is_hidden), (due.is_executable, due.is_hidden));
        assert_eq!(file.is_link, due.symlink.is_some());
    }
    assert_eq!(m.creation_date.is_some(), builder.creation_date.is_some_and(|d| d.0 >= 0));
    let again = Metainfo::parse(&m.to_bytes()).expect("what we write we read");
    assert_eq!(Metainfo { warnings: Vec::new(), ..again }, Metainfo { warnings: Vec::new(), ..m });
}

fn builder(steps: &mut Steps<'_>) -> MetainfoBuilder {
    let flags = steps.byte();
    let is_multi_file = flags & 1 == 1;
    let piece_len = [16_384, 1, 32_768, steps.odd_number()][steps.below(4)];
    let name = text(steps);
    let count = if is_multi_file { 1 + steps.below(6) } else { 1 };
    let files: Vec<BuildFile> = (0..count).map(|_| file(steps)).collect();
    let total: u64 = files.iter().filter(|f| f.symlink.is_none()).map(|f| f.length).sum();
    let pieces = total.checked_div(u64::from(piece_len)).map_or(0, |_| total.div_ceil(u64::from(piece_len)));
    // as many hashes as there are pieces, mostly
    let pieces = usize::try_from(pieces.min(300)).expect("at most 300") + usize::from(flags & 0xe0 == 0xe0);
    MetainfoBuilder {
        name,
        files,
        is_multi_file,
        piece_len,
        pieces: vec![[steps.byte(); 20]; pieces],
        trackers: (0..steps.below(3)).map(|_| (0..steps.below(3)).map(|_| url(steps)).collect()).collect(),
        nodes: (0..steps.below(3)).filter_map(|_| HostPort::new(&text(steps), 6881).ok()).collect(),
        web_seeds: (0..steps.below(3)).map(|_| url(steps)).collect(),
        private: flags & 2 == 2,
        source: (flags & 4 == 4).then(|| text(steps)),
        comment: (flags & 8 == 8).then(|| text(steps)),
        created_by: (flags & 16 == 16).then(|| text(steps)),
        creation_date: (flags & 32 == 32).then(|| UnixTime(i64::from(steps.odd_number()) - 4)),
    }
}

fn file(steps: &mut Steps<'_>) -> BuildFile {
    let flags = steps.byte();
    BuildFile {
        path: (0..1 + steps.below(3)).map(|_| text(steps)).collect(),
        length: u64::from(steps.odd_number()) * u64::from(1 + flags % 4),
        is_pad: flags & 0x70 == 0x70,
        is_executable: flags & 2 == 2,
        is_hidden: flags & 4 == 4,
        symlink: (flags & 0x88 == 0x88).then(|| (0..1 + steps.below(3)).map(|_| text(steps)).collect()),
    }
}

fn text(steps: &mut Steps<'_>) -> String {
    match steps.byte() {
        n @ 0..=25 => char::from(b'a' + n).to_string(),
        _ => String::from_utf8_lossy(steps.bytes()).into_owned(),
    }
}

fn url(steps: &mut Steps<'_>) -> String {
    let scheme = ["http://", "https://", "udp://", ""][steps.below(4)];
    format!("{scheme}{}", text(steps))
}

/// A magnet made of sound parts is the same after it was written and read.
pub fn magnet_build(data: &[u8]) {
    let mut steps = Steps::new(data);
    let flags = steps.byte();
    let magnet = Magnet {
        info_hashes: InfoHashes {
            v1: (flags & 1 == 0).then(|| [steps.byte(); 20]),
            v2: (flags & 2 == 2).then(|| [steps.byte(); 32]),
        },
        publisher: (flags & 5 == 5).then(|| Publisher { key: [steps.byte(); 32], salt: salt(&mut steps) }),
        display_name: Some(text(&mut steps)).filter(|n| is_shown(n)),
        peers: hosts(&mut steps),
        nodes: hosts(&mut steps),
        select: select(&mut steps),
        length: (flags & 8 == 8).then(|| u64::from(steps.odd_number()) << (flags >> 4)),
        ..Magnet::default()
    };
    if magnet.info_hashes.best().is_none() && magnet.publisher.is_none() {
        assert!(magnet.to_string().parse::<Magnet>().is_err(), "a magnet of nothing");
        return;
    }
    let text = magnet.to_string();
    assert!(text.bytes().all(|b| b.is_ascii_graphic()), "a link is printable ASCII");
    if text.len() <= limits::MAGNET_LEN_MAX {
        assert_eq!(text.parse(), Ok(magnet), "{text}");
    }
}

fn salt(steps: &mut Steps<'_>) -> Vec<u8> {
    let bytes = steps.bytes();
    bytes[..bytes.len().min(limits::ITEM_SALT_LEN_MAX)].to_vec()
}

fn hosts(steps: &mut Steps<'_>) -> Vec<HostPort> {
    let mut hosts: Vec<HostPort> = Vec::new();
    for _ in 0..steps.below(4) {
        let host = match steps.flag() {
            true => steps.address().ip().to_string(),
            false => text(steps),
        };
        hosts.extend(HostPort::new(&host, 1 + u16::from(steps.byte())).ok().filter(|h| !hosts.contains(h)));
    }
    hosts
}

/// Ranges that ascend and do not touch.
fn select(steps: &mut Steps<'_>) -> Vec<std::ops::RangeInclusive<u32>> {
    let mut ranges = Vec::new();
    let mut next = 0;
    for _ in 0..steps.below(5) {
        let from = next + u32::from(steps.byte());
        let to = from + u32::from(steps.byte());
        ranges.push(from..=to);
        next = to + 2;
    }
    ranges
}
