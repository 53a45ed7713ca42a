//! The byte stream from one peer, cut into messages. Block bytes are passed through, never collected.

use unchoke_wire::BlockRef;
use unchoke_wire::message::{self, Frame, Message, MessageError, PIECE_HEADER_LEN};

/// A piece of the stream.
#[derive(PartialEq, Eq, Debug)]
pub enum Item<'a> {
    /// A whole message, never a block.
    Message(Message<'a>),
    /// A block begins. Its bytes follow, then its end.
    BlockBegin(BlockRef),
    /// The next bytes of the block.
    BlockBytes(&'a [u8]),
    /// The block is whole.
    BlockEnd,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Message,
    /// This many bytes of a block are due.
    Block(u32),
    /// This many bytes of a message of an unknown kind are due, of which none is kept.
    Skip(usize),
}

/// Cuts a stream into items, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Receive {
    state: State,
    /// A message that came in parts, at most one frame long.
    part: Vec<u8>,
    /// Whether `part` was handed out whole by the last call.
    is_part_used: bool,
}

impl Receive {
    /// The next item from the front of `input`, which is moved on past it; `None` when `input` is used up.
    ///
    /// # Errors
    /// The peer sent a message of a length it may not have.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Item<'s>>, MessageError> {
        if core::mem::take(&mut self.is_part_used) {
            self.part.clear();
            // one large message is no reason to hold its memory for as long as the connection lasts
            self.part.shrink_to(PART_KEPT_LEN);
        }
        match self.state {
            State::Block(left) => return Ok(self.block(left, input)),
            State::Skip(left) => {
                let len = left.min(input.len());
                *input = &input[len..];
                self.state = if len < left { State::Skip(left - len) } else { State::Message };
            }
            State::Message => {}
        }
        if self.part.is_empty() {
            if let Some(frame) = Frame::parse(input)? {
                if frame.id == Some(message::id::PIECE) {
                    if let Some(block) = message::parse_piece_header(input)? {
                        *input = &input[PIECE_HEADER_LEN..];
                        return Ok(Some(self.begin(block)));
                    }
                } else if let Some(id) = unknown(frame) {
                    *input = &input[frame.head_len()..];
                    return Ok(Some(self.skip(id, frame)));
                } else if input.len() >= frame.total_len() {
                    let (whole, rest) = input.split_at(frame.total_len());
                    *input = rest;
                    return Ok(Message::parse(whole)?.map(|(m, _)| Item::Message(m)));
                }
            }
            if input.is_empty() {
                return Ok(None);
            }
        }
        self.collect(input)
    }

    /// Bytes of memory held for a message that came in parts.
    pub fn held(&self) -> usize {
        self.part.capacity()
    }

    fn begin<'a>(&mut self, block: BlockRef) -> Item<'a> {
        self.state = State::Block(block.len);
        Item::BlockBegin(block)
    }

    /// Nothing is known to be in a message of an unknown kind, so its body is let pass.
    fn skip<'a>(&mut self, id: u8, frame: Frame) -> Item<'a> {
        self.state = State::Skip(frame.total_len() - frame.head_len());
        Item::Message(Message::Unknown { id, payload: &[] })
    }

    fn block<'a>(&mut self, left: u32, input: &mut &'a [u8]) -> Option<Item<'a>> {
        if left == 0 {
            self.state = State::Message;
            return Some(Item::BlockEnd);
        }
        if input.is_empty() {
            return None;
        }
        let len = input.len().min(left as usize);
        let (bytes, rest) = input.split_at(len);
        *input = rest;
        self.state = State::Block(left - u32::try_from(len).expect("at most `left`"));
        Some(Item::BlockBytes(bytes))
    }

    /// Collects a message that came in parts: first its head, then the rest.
    fn collect(&mut self, input: &mut &[u8]) -> Result<Option<Item<'_>>, MessageError> {
        loop {
            let due = match Frame::parse(&self.part)? {
                None => self.part.len() + 1,
                Some(frame) if frame.id == Some(message::id::PIECE) => PIECE_HEADER_LEN,
                Some(frame) if unknown(frame).is_some() => frame.head_len(),
                Some(frame) => frame.total_len(),
            };
            if self.part.len() == due {
                break;
            }
            let take = (due - self.part.len()).min(input.len());
            if take == 0 {
                return Ok(None);
            }
            let (bytes, rest) = input.split_at(take);
            self.part.extend_from_slice(bytes);
            *input = rest;
        }
        self.is_part_used = true;
        if self.part.len() == PIECE_HEADER_LEN
            && let Some(block) = message::parse_piece_header(&self.part)?
        {
            return Ok(Some(self.begin(block)));
        }
        if let Some(frame) = Frame::parse(&self.part)?
            && let Some(id) = unknown(frame)
        {
            return Ok(Some(self.skip(id, frame)));
        }
        Ok(Message::parse(&self.part)?.map(|(m, _)| Item::Message(m)))
    }
}

/// The id of a message of a kind that is not known here.
fn unknown(frame: Frame) -> Option<u8> {
    frame.id.filter(|id| !message::is_known(*id))
}

/// Bytes of memory for messages in parts that a connection keeps between them.
const PART_KEPT_LEN: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_wire::PieceIndex;

    fn stream() -> (Vec<u8>, usize) {
        let request = BlockRef { piece: PieceIndex(1), begin: 16_384, len: 16_384 };
        let data = [7; 300];
        let piece = BlockRef { piece: PieceIndex(2), begin: 0, len: 300 };
        let messages = [
            Message::Bitfield(&[0xe0]),
            Message::KeepAlive,
            Message::Interested,
            Message::Unchoke,
            Message::Request(request),
        ];
        let mut out = Vec::new();
        messages.iter().for_each(|m| m.encode_into(&mut out));
        out.extend_from_slice(&message::piece_header(piece));
        out.extend_from_slice(&data);
        Message::Have(PieceIndex(2)).encode_into(&mut out);
        (out, messages.len() + 1)
    }

    /// Everything the stream says, as text, however it is cut.
    fn read(parts: &[&[u8]]) -> Vec<String> {
        let mut receive = Receive::default();
        let mut said = Vec::new();
        let mut data = Vec::new();
        for part in parts {
            let mut input = *part;
            while let Some(item) = receive.next(&mut input).expect("an honest stream") {
                match item {
                    Item::BlockBytes(b) => data.extend_from_slice(b),
                    Item::BlockEnd => said.push(format!("{:?}", core::mem::take(&mut data))),
                    other => said.push(format!("{other:?}")),
                }
            }
        }
        said
    }

    //= S17
    #[test]
    fn a_stream_says_the_same_however_it_is_cut() {
        let (bytes, _) = stream();
        let whole = read(&[&bytes]);
        assert_eq!(whole.len(), 8);
        for at in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), whole);
    }

    //= H3b-12
    #[test]
    fn of_an_unknown_message_only_the_head_is_ever_held() {
        let mut receive = Receive::default();
        let mut said = Vec::new();
        let mut stream = [&(1u32 << 20).to_be_bytes()[..], &[99], &vec![7; (1 << 20) - 1]].concat();
        Message::Interested.encode_into(&mut stream);
        for part in stream.chunks(1000) {
            let mut input = part;
            while let Some(item) = receive.next(&mut input).expect("an honest stream") {
                said.push(format!("{item:?}"));
            }
            assert!(receive.part.capacity() < 64);
        }
        assert_eq!(said, ["Message(Unknown { id: 99, payload: [] })", "Message(Interested)"]);
    }

    #[test]
    fn the_memory_of_a_large_message_in_parts_is_given_back() {
        let mut receive = Receive::default();
        let stream = Message::Bitfield(&vec![0xff; 200_000]).to_vec();
        let mut said = 0;
        for part in [&stream[..100_000], &stream[100_000..], &[0; 3], &[0; 1]] {
            let mut input = part;
            while receive.next(&mut input).expect("an honest stream").is_some() {
                said += 1;
            }
        }
        assert_eq!(said, 2);
        assert!(receive.part.capacity() <= PART_KEPT_LEN);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let mut receive = Receive::default();
            let cut = cut.min(bytes.len());
            for part in [&bytes[..cut], &bytes[cut..]] {
                let mut input = part;
                while let Ok(Some(_)) = receive.next(&mut input) {}
            }
        }
    }
}
