//! What peers say: handshakes, messages, extensions.

use super::is_shown;
use unchoke_wire::extension::{self, ExtensionHandshake};
use unchoke_wire::handshake::{self, Demux, Handshake};
use unchoke_wire::message::{self, Frame, Message};
use unchoke_wire::ut_metadata::{self, MetadataMessage};
use unchoke_wire::ut_pex::PexMessage;
use unchoke_wire::{Bitfield, PeerId, limits, lt_donthave};

/// A bitfield is the bytes it was read from, and counts what it lists. The first two bytes say how many pieces.
pub fn bitfield(data: &[u8]) {
    let Some((len, bytes)) = data.split_first_chunk() else { return };
    let len = u32::from(u16::from_be_bytes(*len));
    let Ok(set) = Bitfield::from_bytes(bytes, len) else { return };
    assert_eq!(set.as_bytes(), bytes);
    assert!(set.iter().all(|p| p.0 < len && set.has(p)));
    assert_eq!(set.iter().count(), set.count() as usize);
    assert_eq!(set.missing().count(), (len - set.count()) as usize);
}

/// An extension handshake keeps the limits, and what was understood of it survives being written again.
pub fn extension_handshake(data: &[u8]) {
    let Ok(h) = ExtensionHandshake::decode(data) else { return };
    assert!(data.len() <= limits::EXTENSION_HANDSHAKE_LEN_MAX);
    assert!(h.port != Some(0) && h.request_queue_len != Some(0));
    assert!(h.metadata_size.is_none_or(|n| n > 0 && n <= limits::METADATA_LEN_MAX));
    assert!(h.client.as_deref().is_none_or(|c| is_shown(c) && c.len() <= limits::CLIENT_NAME_LEN_MAX));
    assert_eq!(ExtensionHandshake::decode(&h.encode()), Ok(h));
}

/// A handshake is the bytes it was read from, at every length of them, and the demultiplexer agrees.
pub fn handshake(data: &[u8]) {
    let whole = Handshake::decode(data);
    for end in 0..data.len().min(handshake::HANDSHAKE_LEN) {
        match handshake::parse_prefix(&data[..end]) {
            Ok(prefix) => assert_eq!(prefix.is_some(), end >= handshake::PREFIX_LEN),
            Err(_) => assert!(whole.is_err(), "what is wrong at first stays wrong"),
        }
    }
    let expected = match whole {
        Err(_) => Demux::Other,
        Ok(_) if data.len() < 20 => Demux::NeedMore,
        Ok(_) => Demux::BitTorrent,
    };
    assert_eq!(handshake::demux(data), expected);
    if let Ok(Some(h)) = whole {
        assert_eq!(h.encode(), data[..handshake::HANDSHAKE_LEN]);
    }
}

/// `lt_donthave` is four bytes and nothing else.
pub fn lt_donthave(data: &[u8]) {
    match lt_donthave::decode(data) {
        Ok(piece) => assert_eq!(lt_donthave::encode(piece), data),
        Err(_) => assert_ne!(data.len(), 4),
    }
}

/// A stream of messages is the bytes it was read from, message by message, and no shorter cut of one is read.
pub fn message(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((message, used))) = Message::parse(rest) {
        let bytes = &rest[..used];
        assert_eq!(message.to_vec(), bytes);
        let frame = Frame::parse(bytes).expect("it was read").expect("it was read");
        assert!(frame.total_len() == used && frame.len <= limits::MESSAGE_LEN_MAX);
        assert_eq!(Message::parse(&bytes[..used - 1]), Ok(None));
        let header = message::parse_piece_header(bytes).expect("it was read");
        match message {
            Message::Piece { piece, begin, data } => {
                let block = header.expect("a whole piece message has its header");
                assert_eq!((block.piece, block.begin, block.len as usize), (piece, begin, data.len()));
                assert!(block.len <= limits::PIECE_DATA_LEN_MAX);
                assert_eq!(message::piece_header(block), bytes[..message::PIECE_HEADER_LEN]);
            }
            _ => assert_eq!(header, None),
        }
        rest = &rest[used..];
    }
}

/// The name of a client is short and fit to be shown.
pub fn peer_id(data: &[u8]) {
    let Some(id) = data.first_chunk() else { return };
    if let Some(client) = PeerId(*id).client() {
        assert!(is_shown(&client) && client.len() <= limits::CLIENT_NAME_LEN_MAX);
    }
}

/// `upload_only` is one byte and nothing else.
pub fn upload_only(data: &[u8]) {
    match extension::decode_upload_only(data) {
        Ok(flag) => assert_eq!(extension::decode_upload_only(&extension::encode_upload_only(flag)), Ok(flag)),
        Err(_) => assert_ne!(data.len(), 1),
    }
}

/// A metadata message survives being written again, and a block in it has the one length it may have.
pub fn ut_metadata(data: &[u8]) {
    let Ok(Some(message)) = MetadataMessage::decode(data) else { return };
    let encoded = message.encode();
    assert_eq!(MetadataMessage::decode(&encoded), Ok(Some(message)));
    if let MetadataMessage::Data { block, total_size, data } = message {
        assert!(total_size <= limits::METADATA_LEN_MAX && block < ut_metadata::block_count(total_size));
        assert_eq!(ut_metadata::block_len(total_size, block), u32::try_from(data.len()).ok());
    }
}

/// A peer exchange message keeps the limits, and what was understood of it survives being written again.
pub fn ut_pex(data: &[u8]) {
    let Ok(mut message) = PexMessage::decode(data) else { return };
    assert!(data.len() <= limits::PEX_LEN_MAX);
    // so many of each family are read, and of both together written
    assert!(message.added.len() <= 2 * limits::PEX_ADDED_MAX);
    assert!(message.dropped.len() <= 2 * limits::PEX_DROPPED_MAX);
    message.added.truncate(limits::PEX_ADDED_MAX);
    message.dropped.truncate(limits::PEX_DROPPED_MAX);
    assert!(
        message.added.iter().map(|p| p.addr).chain(message.dropped.iter().copied()).all(|a| a.port() != 0)
    );
    message.surplus = 0;
    let again = PexMessage::decode(&message.encode()).expect("what we write we read");
    // an IPv4 address written as IPv6 changes its list, and so its place
    let sorted = |mut m: PexMessage| {
        m.added.sort_unstable_by_key(|p| (p.addr, p.flags.bits()));
        m.dropped.sort_unstable();
        m
    };
    assert_eq!(sorted(again), sorted(message));
}
