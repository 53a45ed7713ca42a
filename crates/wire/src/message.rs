//! Peer messages (BEP 3, 5, 6, 10): frames, and what is in them.
//!
//! A receiver calls [`Frame::parse`] on what has come in: it names the message and its length, or refuses it, from
//! five bytes at most, so nothing is ever buffered for a length that is not allowed. Block data need not be buffered
//! at all: [`parse_piece_header`] tells where it belongs. Other payloads go whole to [`Message::decode`].

use crate::layout::{BlockRef, PieceIndex};
use crate::limits;
use core::ops::RangeInclusive;

/// Message ids (BEP 3, 5, 6, 10).
pub mod id {
    /// Choke.
    pub const CHOKE: u8 = 0;
    /// Unchoke.
    pub const UNCHOKE: u8 = 1;
    /// Interested.
    pub const INTERESTED: u8 = 2;
    /// Not interested.
    pub const NOT_INTERESTED: u8 = 3;
    /// Have.
    pub const HAVE: u8 = 4;
    /// Bitfield.
    pub const BITFIELD: u8 = 5;
    /// Request.
    pub const REQUEST: u8 = 6;
    /// Piece: one block of data.
    pub const PIECE: u8 = 7;
    /// Cancel.
    pub const CANCEL: u8 = 8;
    /// Port of the DHT node.
    pub const PORT: u8 = 9;
    /// Suggest piece.
    pub const SUGGEST: u8 = 13;
    /// Have all.
    pub const HAVE_ALL: u8 = 14;
    /// Have none.
    pub const HAVE_NONE: u8 = 15;
    /// Reject request.
    pub const REJECT: u8 = 16;
    /// Allowed fast.
    pub const ALLOWED_FAST: u8 = 17;
    /// Extended.
    pub const EXTENDED: u8 = 20;
}

/// Whether messages with this id have a meaning here.
pub fn is_known(message: u8) -> bool {
    matches!(message, id::CHOKE..=id::PORT | id::SUGGEST..=id::ALLOWED_FAST | id::EXTENDED)
}

/// Bytes of a piece message in front of the block data, length prefix included.
pub const PIECE_HEADER_LEN: usize = 13;

/// A length no honest peer sends. The peer broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A length prefix above [`limits::MESSAGE_LEN_MAX`].
    #[error("message of {0} bytes, {max} are the most", max = limits::MESSAGE_LEN_MAX)]
    TooLong(u32),
    /// A payload too short or too long for its message.
    #[error("payload of {got} bytes where message {id} has {min} to {max}")]
    Length {
        /// The message id.
        id: u8,
        /// Bytes of the payload, id not counted.
        got: u32,
        /// The fewest allowed.
        min: u32,
        /// The most allowed.
        max: u32,
    },
}

/// The head of a message: how long it is and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Bytes after the length prefix, the id counted; zero for a keep-alive.
    pub len: u32,
    /// The message id; `None` for a keep-alive.
    pub id: Option<u8>,
}

impl Frame {
    /// Reads the head of the message at the front of `bytes`; `None` until enough of it is in (four bytes for a
    /// keep-alive, else five).
    ///
    /// # Errors
    /// [`MessageError::TooLong`] on the length prefix alone, [`MessageError::Length`] once the id is in.
    pub fn parse(bytes: &[u8]) -> Result<Option<Frame>, MessageError> {
        let Some((prefix, rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let len = u32::from_be_bytes(*prefix);
        if len > limits::MESSAGE_LEN_MAX {
            return Err(MessageError::TooLong(len));
        }
        if len == 0 {
            return Ok(Some(Frame { len, id: None }));
        }
        let Some(&id) = rest.first() else { return Ok(None) };
        check_len(id, len - 1)?;
        Ok(Some(Frame { len, id: Some(id) }))
    }

    /// Bytes of the length prefix and the id.
    pub fn head_len(&self) -> usize {
        if self.id.is_some() { 5 } else { 4 }
    }

    /// Bytes after the id.
    pub fn payload_len(&self) -> u32 {
        self.len.saturating_sub(1)
    }

    /// Bytes of the whole message, length prefix and id counted.
    pub fn total_len(&self) -> usize {
        self.head_len() + usize::try_from(self.payload_len()).expect("a u32 fits the address space")
    }
}

/// Which payload lengths a message may have.
fn payload_lens(message: u8) -> RangeInclusive<u32> {
    match message {
        id::CHOKE..=id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => 0..=0,
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => 4..=4,
        id::BITFIELD => 1..=limits::BITFIELD_LEN_MAX,
        id::REQUEST | id::CANCEL | id::REJECT => 12..=12,
        id::PIECE => 8..=8 + limits::PIECE_DATA_LEN_MAX,
        id::PORT => 2..=2,
        id::EXTENDED => 1..=1 + limits::EXTENDED_LEN_MAX,
        _ => 0..=limits::MESSAGE_LEN_MAX - 1,
    }
}

fn check_len(message: u8, got: u32) -> Result<(), MessageError> {
    let lens = payload_lens(message);
    if lens.contains(&got) {
        return Ok(());
    }
    Err(MessageError::Length { id: message, got, min: *lens.start(), max: *lens.end() })
}

/// A peer message; payloads are borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// Nothing, so that the connection is not taken for dead.
    KeepAlive,
    /// Requests of the receiver are not answered from here on.
    Choke,
    /// Requests of the receiver are answered.
    Unchoke,
    /// The receiver has pieces the sender wants.
    Interested,
    /// The receiver has nothing the sender wants.
    NotInterested,
    /// The sender has verified this piece.
    Have(PieceIndex),
    /// The pieces the sender has; [`crate::Bitfield::from_bytes`] checks it against the torrent.
    Bitfield(&'a [u8]),
    /// Asks for a block. The stretch is whatever the peer wrote; [`crate::Layout::contains`] checks it.
    Request(BlockRef),
    /// A block.
    Piece {
        /// The piece it belongs to.
        piece: PieceIndex,
        /// Its first byte within the piece.
        begin: u32,
        /// Its bytes; may be none.
        data: &'a [u8],
    },
    /// Takes a request back.
    Cancel(BlockRef),
    /// The UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// A piece the receiver might fetch now (BEP 6).
    Suggest(PieceIndex),
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// This request will not be answered (BEP 6).
    Reject(BlockRef),
    /// A piece the receiver may request while choked (BEP 6).
    AllowedFast(PieceIndex),
    /// A message of the extension protocol (BEP 10).
    Extended {
        /// 0 for the handshake, else the id its receiver chose.
        id: u8,
        /// Its body.
        payload: &'a [u8],
    },
    /// A message not known here.
    Unknown {
        /// The message id.
        id: u8,
        /// Its body.
        payload: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// Reads the message with this id and this whole payload.
    ///
    /// # Errors
    /// [`MessageError::Length`] when the message cannot have a payload of this length.
    pub fn decode(message: u8, payload: &'a [u8]) -> Result<Self, MessageError> {
        check_len(message, u32::try_from(payload.len()).unwrap_or(u32::MAX))?;
        Ok(match message {
            id::CHOKE => Message::Choke,
            id::UNCHOKE => Message::Unchoke,
            id::INTERESTED => Message::Interested,
            id::NOT_INTERESTED => Message::NotInterested,
            id::HAVE => Message::Have(PieceIndex(be32(payload, 0))),
            id::BITFIELD => Message::Bitfield(payload),
            id::REQUEST => Message::Request(block(payload)),
            id::PIECE => Message::Piece {
                piece: PieceIndex(be32(payload, 0)),
                begin: be32(payload, 4),
                data: &payload[8..],
            },
            id::CANCEL => Message::Cancel(block(payload)),
            id::PORT => Message::Port(u16::from_be_bytes([payload[0], payload[1]])),
            id::SUGGEST => Message::Suggest(PieceIndex(be32(payload, 0))),
            id::HAVE_ALL => Message::HaveAll,
            id::HAVE_NONE => Message::HaveNone,
            id::REJECT => Message::Reject(block(payload)),
            id::ALLOWED_FAST => Message::AllowedFast(PieceIndex(be32(payload, 0))),
            id::EXTENDED => Message::Extended { id: payload[0], payload: &payload[1..] },
            _ => Message::Unknown { id: message, payload },
        })
    }

    /// Reads the message at the front of `bytes` and says how many bytes it took; `None` until all of it is in.
    ///
    /// # Errors
    /// As [`Frame::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, MessageError> {
        let Some(frame) = Frame::parse(bytes)? else { return Ok(None) };
        let Some(whole) = bytes.get(..frame.total_len()) else { return Ok(None) };
        let message = match frame.id {
            None => Message::KeepAlive,
            Some(message) => Message::decode(message, &whole[frame.head_len()..])?,
        };
        Ok(Some((message, whole.len())))
    }

    /// Appends the whole message, length prefix included.
    ///
    /// # Panics
    /// When a payload is longer than what is accepted from others.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match *self {
            Message::KeepAlive => out.extend_from_slice(&[0; 4]),
            Message::Choke => put(out, id::CHOKE, &[]),
            Message::Unchoke => put(out, id::UNCHOKE, &[]),
            Message::Interested => put(out, id::INTERESTED, &[]),
            Message::NotInterested => put(out, id::NOT_INTERESTED, &[]),
            Message::Have(piece) => put(out, id::HAVE, &[&piece.0.to_be_bytes()]),
            Message::Bitfield(bits) => put(out, id::BITFIELD, &[bits]),
            Message::Request(r) => put_block(out, id::REQUEST, r),
            Message::Piece { piece, begin, data } => {
                put(out, id::PIECE, &[&piece.0.to_be_bytes(), &begin.to_be_bytes(), data]);
            }
            Message::Cancel(r) => put_block(out, id::CANCEL, r),
            Message::Port(port) => put(out, id::PORT, &[&port.to_be_bytes()]),
            Message::Suggest(piece) => put(out, id::SUGGEST, &[&piece.0.to_be_bytes()]),
            Message::HaveAll => put(out, id::HAVE_ALL, &[]),
            Message::HaveNone => put(out, id::HAVE_NONE, &[]),
            Message::Reject(r) => put_block(out, id::REJECT, r),
            Message::AllowedFast(piece) => put(out, id::ALLOWED_FAST, &[&piece.0.to_be_bytes()]),
            Message::Extended { id, payload } => put(out, id::EXTENDED, &[&[id], payload]),
            Message::Unknown { id, payload } => put(out, id, &[payload]),
        }
    }

    /// The whole message as bytes of its own.
    ///
    /// # Panics
    /// As [`Message::encode_into`].
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }
}

/// Reads the head of the piece message at the front of `bytes`, up to the block data: which stretch the data fills.
/// `None` until [`PIECE_HEADER_LEN`] bytes are in, or when it is another message.
///
/// # Errors
/// As [`Frame::parse`].
pub fn parse_piece_header(bytes: &[u8]) -> Result<Option<BlockRef>, MessageError> {
    let Some(Frame { id: Some(id::PIECE), len }) = Frame::parse(bytes)? else { return Ok(None) };
    Ok(bytes.first_chunk::<PIECE_HEADER_LEN>().map(|head| BlockRef {
        piece: PieceIndex(be32(head, 5)),
        begin: be32(head, 9),
        len: len - 9,
    }))
}

/// The head of a piece message for this block, to be followed by its data.
///
/// # Panics
/// When the block is longer than [`limits::PIECE_DATA_LEN_MAX`].
pub fn piece_header(block: BlockRef) -> [u8; PIECE_HEADER_LEN] {
    assert!(block.len <= limits::PIECE_DATA_LEN_MAX, "a block to send is one that may be requested");
    let mut head = [0; PIECE_HEADER_LEN];
    head[..4].copy_from_slice(&(9 + block.len).to_be_bytes());
    head[4] = id::PIECE;
    head[5..9].copy_from_slice(&block.piece.0.to_be_bytes());
    head[9..].copy_from_slice(&block.begin.to_be_bytes());
    head
}

fn put(out: &mut Vec<u8>, message: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|p| p.len()).sum();
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    assert_eq!(check_len(message, len), Ok(()), "what is sent keeps the limits others are held to");
    out.extend_from_slice(&(len + 1).to_be_bytes());
    out.push(message);
    parts.iter().for_each(|p| out.extend_from_slice(p));
}

fn put_block(out: &mut Vec<u8>, message: u8, r: BlockRef) {
    put(out, message, &[&r.piece.0.to_be_bytes(), &r.begin.to_be_bytes(), &r.len.to_be_bytes()]);
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("the length of the payload was checked"))
}

fn block(payload: &[u8]) -> BlockRef {
    BlockRef { piece: PieceIndex(be32(payload, 0)), begin: be32(payload, 4), len: be32(payload, 8) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitfield::{Bitfield, BitfieldError};
    use proptest::prelude::*;

    const BLOCK: BlockRef = BlockRef { piece: PieceIndex(1), begin: 0x4000, len: 0x4000 };

    fn head(len: u32, message: u8) -> Vec<u8> {
        [&len.to_be_bytes()[..], &[message]].concat()
    }

    /// Every message with the bytes it has on the wire.
    fn samples() -> Vec<(Message<'static>, &'static [u8])> {
        vec![
            (Message::KeepAlive, b"\0\0\0\0"),
            (Message::Choke, b"\0\0\0\x01\0"),
            (Message::Unchoke, b"\0\0\0\x01\x01"),
            (Message::Interested, b"\0\0\0\x01\x02"),
            (Message::NotInterested, b"\0\0\0\x01\x03"),
            (Message::Have(PieceIndex(0x0102_0304)), b"\0\0\0\x05\x04\x01\x02\x03\x04"),
            (Message::Bitfield(b"\xe0"), b"\0\0\0\x02\x05\xe0"),
            (Message::Request(BLOCK), b"\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\0\0\x40\0"),
            (
                Message::Piece { piece: PieceIndex(1), begin: 2, data: b"abc" },
                b"\0\0\0\x0c\x07\0\0\0\x01\0\0\0\x02abc",
            ),
            (Message::Cancel(BLOCK), b"\0\0\0\x0d\x08\0\0\0\x01\0\0\x40\0\0\0\x40\0"),
            (Message::Port(6881), b"\0\0\0\x03\x09\x1a\xe1"),
            (Message::Suggest(PieceIndex(5)), b"\0\0\0\x05\x0d\0\0\0\x05"),
            (Message::HaveAll, b"\0\0\0\x01\x0e"),
            (Message::HaveNone, b"\0\0\0\x01\x0f"),
            (Message::Reject(BLOCK), b"\0\0\0\x0d\x10\0\0\0\x01\0\0\x40\0\0\0\x40\0"),
            (Message::AllowedFast(PieceIndex(5)), b"\0\0\0\x05\x11\0\0\0\x05"),
            (Message::Extended { id: 0, payload: b"de" }, b"\0\0\0\x04\x14\0de"),
            (Message::Unknown { id: 99, payload: b"?" }, b"\0\0\0\x02\x63?"),
        ]
    }

    //= S17
    #[test]
    fn every_message_has_a_binary_length_an_id_and_a_payload() {
        for (message, bytes) in samples() {
            assert_eq!(message.to_vec(), bytes, "{message:?}");
            assert_eq!(Message::parse(bytes), Ok(Some((message, bytes.len()))));
        }
    }

    //= S17
    #[test]
    fn a_message_cut_at_any_byte_is_read_when_the_rest_is_in() {
        let stream: Vec<u8> = samples().iter().flat_map(|(m, _)| m.to_vec()).collect();
        for cut in 0..=stream.len() {
            let (mut at, mut have, mut seen) = (0, cut, Vec::new());
            while at < stream.len() {
                match Message::parse(&stream[at..have]).unwrap() {
                    Some((message, used)) => {
                        seen.push(message);
                        at += used;
                    }
                    None => {
                        assert!(have < stream.len(), "a whole message is read");
                        have = stream.len();
                    }
                }
            }
            assert_eq!(seen, samples().into_iter().map(|(m, _)| m).collect::<Vec<_>>());
        }
    }

    //= S18
    #[test]
    fn a_keep_alive_is_four_zero_bytes_without_an_id() {
        assert_eq!(Frame::parse(&[0; 4]), Ok(Some(Frame { len: 0, id: None })));
        assert_eq!(Frame::parse(&[0; 3]), Ok(None));
        let then_bitfield = [&[0; 4][..], b"\0\0\0\x02\x05\xa3"].concat();
        let (first, used) = Message::parse(&then_bitfield).unwrap().unwrap();
        assert_eq!((first, used), (Message::KeepAlive, 4));
        assert_eq!(Message::parse(&then_bitfield[used..]), Ok(Some((Message::Bitfield(&[0xa3]), 6))));
    }

    //= S32
    #[test]
    fn an_empty_bitfield_is_refused_and_a_full_length_one_of_zeros_is_not() {
        let empty = MessageError::Length { id: id::BITFIELD, got: 0, min: 1, max: limits::BITFIELD_LEN_MAX };
        assert_eq!(Frame::parse(&head(1, id::BITFIELD)), Err(empty));
        assert_eq!(Bitfield::from_bytes(&[], 3), Err(BitfieldError::Length { expected: 1, got: 0 }));
        let zeros = Message::parse(b"\0\0\0\x02\x05\0").unwrap().unwrap().0;
        assert_eq!(zeros, Message::Bitfield(&[0]));
        assert_eq!(Bitfield::from_bytes(&[0], 3), Ok(Bitfield::none(3)));
        assert_eq!(Message::parse(b"\0\0\0\x01\x0f"), Ok(Some((Message::HaveNone, 5))));
    }

    #[test]
    fn a_length_above_the_limit_is_refused_on_the_prefix_alone() {
        assert_eq!(Frame::parse(&[0xff; 4]), Err(MessageError::TooLong(u32::MAX)));
        let over = limits::MESSAGE_LEN_MAX + 1;
        assert_eq!(Frame::parse(&over.to_be_bytes()), Err(MessageError::TooLong(over)));
        assert_eq!(Frame::parse(&limits::MESSAGE_LEN_MAX.to_be_bytes()), Ok(None));
        assert!(Frame::parse(&head(limits::MESSAGE_LEN_MAX, 99)).is_ok());
    }

    #[test]
    fn each_message_is_refused_one_byte_beyond_what_it_may_have() {
        for (message, min, max) in [
            (id::CHOKE, 0, 0),
            (id::UNCHOKE, 0, 0),
            (id::INTERESTED, 0, 0),
            (id::NOT_INTERESTED, 0, 0),
            (id::HAVE, 4, 4),
            (id::BITFIELD, 1, limits::BITFIELD_LEN_MAX),
            (id::REQUEST, 12, 12),
            (id::PIECE, 8, 8 + limits::PIECE_DATA_LEN_MAX),
            (id::CANCEL, 12, 12),
            (id::PORT, 2, 2),
            (id::SUGGEST, 4, 4),
            (id::HAVE_ALL, 0, 0),
            (id::HAVE_NONE, 0, 0),
            (id::REJECT, 12, 12),
            (id::ALLOWED_FAST, 4, 4),
            (id::EXTENDED, 1, 1 + limits::EXTENDED_LEN_MAX),
        ] {
            for got in [min, max] {
                let frame = Frame { len: got + 1, id: Some(message) };
                assert_eq!(Frame::parse(&head(got + 1, message)), Ok(Some(frame)));
                assert_eq!((frame.payload_len(), frame.total_len()), (got, got as usize + 5));
            }
            for got in min.checked_sub(1).into_iter().chain([max + 1]) {
                let error = MessageError::Length { id: message, got, min, max };
                assert_eq!(Frame::parse(&head(got + 1, message)), Err(error));
                assert_eq!(Message::decode(message, &vec![0; got as usize]), Err(error));
            }
        }
    }

    #[test]
    fn block_data_can_be_placed_from_the_first_13_bytes() {
        let block = BlockRef { piece: PieceIndex(7), begin: 0x8000, len: 0x4000 };
        let head = piece_header(block);
        for at in 0..head.len() {
            assert_eq!(parse_piece_header(&head[..at]), Ok(None));
        }
        assert_eq!(parse_piece_header(&head), Ok(Some(block)));
        let data = vec![9; 0x4000];
        let whole = Message::Piece { piece: block.piece, begin: block.begin, data: &data }.to_vec();
        assert_eq!(whole, [&head[..], &data].concat());
        assert_eq!(parse_piece_header(&Message::Request(block).to_vec()), Ok(None));
        let empty = BlockRef { len: 0, ..block };
        assert_eq!(parse_piece_header(&piece_header(empty)), Ok(Some(empty)));
    }

    #[test]
    #[should_panic(expected = "keeps the limits")]
    fn an_empty_bitfield_cannot_be_sent() {
        Message::Bitfield(&[]).to_vec();
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_the_same_however_they_are_cut(
            bytes in prop::collection::vec(prop_oneof![3 => 0u8..22, 1 => any::<u8>()], 0..64),
            len in 0u8..20,
        ) {
            let bytes = [&[0, 0, 0, len], &bytes[..]].concat();
            let whole = Message::parse(&bytes);
            for cut in 0..bytes.len() {
                match Message::parse(&bytes[..cut]) {
                    Ok(None) => {}
                    early => prop_assert_eq!(early, whole),
                }
            }
            if let Ok(Some((message, used))) = whole {
                prop_assert_eq!(message.to_vec(), &bytes[..used]);
            }
        }
    }
}
