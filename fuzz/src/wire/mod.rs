//! What peers say as it comes: in any cuts, in any order, over and over.

use crate::steps::Steps;
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::message::Message;
use unchoke_wire::ut_metadata::{MetadataMessage, block_count, block_len};
use unchoke_wire::{Bitfield, Extension, ExtensionHandshake, ExtensionIds, PieceIndex, limits};

/// A bitfield does what a set of numbers does.
pub fn bitfield_model(data: &[u8]) {
    let mut steps = Steps::new(data);
    let len = u32::from(steps.byte()) * 3;
    let (mut bits, mut set) = (Bitfield::none(len), BTreeSet::new());
    let (mut other, mut other_set) = (Bitfield::all(len), (0..len).collect::<BTreeSet<u32>>());
    while !steps.is_over() {
        let (what, n) = (steps.byte(), u32::from(steps.byte()) * 3 + u32::from(steps.byte() % 3));
        let n = if len == 0 { n } else { n % (len + 2) };
        match what % 4 {
            0 if n < len => assert_eq!(bits.set(PieceIndex(n)), set.insert(n)),
            1 if n < len => assert_eq!(bits.clear(PieceIndex(n)), set.remove(&n)),
            2 => assert_eq!(bits.has(PieceIndex(n)), set.contains(&n)),
            _ => {
                std::mem::swap(&mut bits, &mut other);
                std::mem::swap(&mut set, &mut other_set);
            }
        }
    }
    assert_eq!((bits.len(), bits.count() as usize), (len, set.len()));
    assert_eq!((bits.is_all(), bits.is_empty()), (set.len() == len as usize, len == 0));
    assert!(bits.iter().map(|p| p.0).eq(set.iter().copied()));
    assert!(bits.missing().map(|p| p.0).eq((0..len).filter(|n| !set.contains(n))));
    let common: Vec<u32> = set.intersection(&other_set).copied().collect();
    let from = PieceIndex(u32::from(data.last().copied().unwrap_or(0)));
    let mut got: Vec<u32> = bits.common(&other, from).map(|p| p.0).collect();
    got.sort_unstable();
    assert_eq!(got, common);
    assert_eq!(bits.count_common(&other) as usize, common.len());
    assert_eq!((bits.has_common(&other), bits.has_any_not_in(&other)), {
        (!common.is_empty(), common.len() < set.len())
    });
    assert_eq!(Bitfield::from_bytes(bits.as_bytes(), len).as_ref(), Ok(&bits));
    assert_eq!(bits.as_bytes().len(), Bitfield::byte_len(len));
}

/// However often a peer names its ids anew, each extension has the id that it named last, and none where that was 0.
pub fn extension_ids(data: &[u8]) {
    let mut steps = Steps::new(data);
    let (mut ids, mut model) = (ExtensionIds::default(), BTreeMap::new());
    while !steps.is_over() {
        let mut named = ExtensionIds::default();
        for extension in Extension::ALL {
            let id = steps.byte();
            if id < 200 {
                named.set(extension, id);
                model.insert(extension.local_id(), id);
            }
        }
        let handshake = ExtensionHandshake { ids: named, ..ExtensionHandshake::default() };
        let read = ExtensionHandshake::decode(&handshake.encode()).expect("what we write we read");
        assert_eq!(read.ids, named);
        ids.update(&read.ids);
        for extension in Extension::ALL {
            let due = model.get(&extension.local_id()).copied().filter(|id| *id != 0);
            assert_eq!(ids.id_of(extension), due);
        }
    }
    for extension in Extension::ALL {
        assert_eq!(Extension::from_local_id(extension.local_id()), Some(extension));
    }
}

/// A stream gives the same messages, and the same error at the same place, in whatever pieces it comes.
pub fn message_stream(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = messages(stream, stream.len().max(1));
    for step in [1, usize::from(*cut).max(1), 13] {
        assert_eq!(messages(stream, step), whole, "in steps of {step}");
    }
}

/// The messages of a stream that comes `step` bytes at a time, and whether it ends in an error.
fn messages(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let (mut buffer, mut read) = (Vec::new(), Vec::new());
    for part in stream.chunks(step) {
        buffer.extend_from_slice(part);
        loop {
            match Message::parse(&buffer) {
                Ok(Some((message, used))) => {
                    read.push(message.to_vec());
                    buffer.drain(..used);
                }
                Ok(None) => break,
                Err(error) => return (read, Some(error.to_string())),
            }
        }
    }
    (read, None)
}

/// Metadata that is cut into blocks, sent in any order, doubled and disturbed comes together again; every block of it
/// has the one length it may have.
pub fn metadata_exchange(data: &[u8]) {
    let mut steps = Steps::new(data);
    let size = match steps.byte() {
        0 => limits::METADATA_LEN_MAX,
        n => u32::from(n) * 300 + u32::from(steps.byte()),
    };
    let count = block_count(size);
    assert_eq!(u64::from(count), u64::from(size).div_ceil(u64::from(limits::METADATA_BLOCK_LEN)));
    assert_eq!((block_len(size, count), block_len(size, u32::MAX)), (None, None));
    let info: Vec<u8> = (0..size.min(80_000)).map(|i| i.to_le_bytes()[usize::from(i % 7 == 0)]).collect();
    let mut held: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while !steps.is_over() && u64::from(size) == info.len() as u64 {
        let block = u32::from(steps.byte()) % (count + 1);
        let at = (block as usize * limits::METADATA_BLOCK_LEN as usize).min(info.len());
        let len = block_len(size, block).map_or(0, |n| n as usize);
        let (shift, total) = (usize::from(steps.byte()), size + u32::from(steps.byte() / 250));
        let part =
            if shift > 250 { &info[at..at + len.saturating_sub(shift - 250)] } else { &info[at..at + len] };
        let message = MetadataMessage::Data { block, total_size: total, data: part };
        let encoded = message.encode();
        let is_right = block_len(total, block).is_some_and(|n| n as usize == part.len());
        match MetadataMessage::decode(&encoded) {
            Ok(got) => {
                assert!(is_right && got == Some(message));
                if total == size {
                    held.insert(block, part.to_vec());
                }
            }
            Err(_) => assert!(!is_right),
        }
    }
    if held.len() == count as usize {
        assert_eq!(held.into_values().flatten().collect::<Vec<u8>>(), info);
    }
}
