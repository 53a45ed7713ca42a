//! Metadata from peers (BEP 9): the `info` dictionary in blocks of 16 KiB.

use crate::extension::ExtensionError;
use crate::{bencode, limits};

const NAME: &str = "ut_metadata";
const REQUEST: i64 = 0;
const DATA: i64 = 1;
/// The example in BEP 9 writes 1; its text and every client say 2.
const REJECT: i64 = 2;

/// A message of `ut_metadata`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataMessage<'a> {
    /// Asks for a block.
    Request {
        /// Index of the block.
        block: u32,
    },
    /// A block. Its index is in range and its length right for `total_size`.
    Data {
        /// Index of the block.
        block: u32,
        /// Bytes of the whole metadata as the sender claims; 1 to [`limits::METADATA_LEN_MAX`].
        total_size: u32,
        /// The bytes, at most [`limits::METADATA_BLOCK_LEN`].
        data: &'a [u8],
    },
    /// The block will not be sent.
    Reject {
        /// Index of the block.
        block: u32,
    },
}

/// How many blocks metadata of `total_size` bytes has.
pub fn block_count(total_size: u32) -> u32 {
    total_size.div_ceil(limits::METADATA_BLOCK_LEN)
}

/// Bytes of this block; `None` beyond the last.
pub fn block_len(total_size: u32, block: u32) -> Option<u32> {
    let start = block.checked_mul(limits::METADATA_BLOCK_LEN)?;
    total_size.checked_sub(start).filter(|left| *left > 0).map(|left| left.min(limits::METADATA_BLOCK_LEN))
}

impl<'a> MetadataMessage<'a> {
    //= BEP 9: metadata messages, the raw block follows the dictionary
    /// Reads the payload of a `ut_metadata` message; `None` for a type not known here, which is to be ignored.
    ///
    /// # Errors
    /// When it is too long, begins with no dictionary, lacks a key, or carries a block that is not what it says.
    pub fn decode(payload: &'a [u8]) -> Result<Option<Self>, ExtensionError> {
        let max = limits::METADATA_DICT_LEN_MAX + limits::METADATA_BLOCK_LEN as usize;
        if payload.len() > max {
            return Err(ExtensionError::TooLong { extension: NAME, got: payload.len(), max });
        }
        let (doc, used) = bencode::Document::parse_prefix(payload)
            .map_err(|error| ExtensionError::Bencode { extension: NAME, error })?;
        let malformed = ExtensionError::Malformed(NAME);
        let dict = doc.root().as_dict().ok_or(malformed)?;
        let int = |key: &[u8]| dict.get(key).and_then(|v| v.as_int());
        let small = |key: &[u8]| int(key).and_then(|i| u32::try_from(i).ok()).ok_or(malformed);
        Ok(Some(match int(b"msg_type").ok_or(malformed)? {
            REQUEST => MetadataMessage::Request { block: small(b"piece")? },
            DATA => {
                let (block, total_size, data) = (small(b"piece")?, small(b"total_size")?, &payload[used..]);
                let due = block_len(total_size, block).filter(|_| total_size <= limits::METADATA_LEN_MAX);
                if due.is_none_or(|due| data.len() != due as usize) {
                    return Err(malformed);
                }
                MetadataMessage::Data { block, total_size, data }
            }
            REJECT => MetadataMessage::Reject { block: small(b"piece")? },
            _ => return Ok(None),
        }))
    }

    /// The payload of the message.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, block, total_size, data) = match *self {
            MetadataMessage::Request { block } => (REQUEST, block, None, &[][..]),
            MetadataMessage::Data { block, total_size, data } => (DATA, block, Some(total_size), data),
            MetadataMessage::Reject { block } => (REJECT, block, None, &[][..]),
        };
        let mut w = bencode::Writer::new();
        w.dict(|d| {
            d.int(b"msg_type", kind);
            d.int(b"piece", i64::from(block));
            if let Some(total_size) = total_size {
                d.int(b"total_size", i64::from(total_size));
            }
        });
        let mut out = w.finish();
        out.extend_from_slice(data);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(payload_len: usize, total_size: i64, block: i64) -> Vec<u8> {
        let dict = format!("d8:msg_typei1e5:piecei{block}e10:total_sizei{total_size}ee");
        [dict.into_bytes(), vec![b'x'; payload_len]].concat()
    }

    #[test]
    fn the_messages_of_bep_9_are_read_with_its_reject_mended() {
        let request = MetadataMessage::Request { block: 0 };
        assert_eq!(MetadataMessage::decode(b"d8:msg_typei0e5:piecei0ee"), Ok(Some(request)));
        assert_eq!(request.encode(), b"d8:msg_typei0e5:piecei0ee");
        let bytes = b"d8:msg_typei1e5:piecei0e10:total_sizei3eexyz";
        let block = MetadataMessage::Data { block: 0, total_size: 3, data: b"xyz" };
        assert_eq!(MetadataMessage::decode(bytes), Ok(Some(block)));
        assert_eq!(block.encode(), bytes);
        let reject = MetadataMessage::Reject { block: 7 };
        assert_eq!(MetadataMessage::decode(b"d8:msg_typei2e5:piecei7ee"), Ok(Some(reject)));
        assert_eq!(reject.encode(), b"d8:msg_typei2e5:piecei7ee");
    }

    #[test]
    fn unknown_types_are_ignored_and_unknown_keys_too() {
        assert_eq!(MetadataMessage::decode(b"d8:msg_typei9ee"), Ok(None));
        assert_eq!(MetadataMessage::decode(b"d8:msg_typei-1e5:piecei0ee"), Ok(None));
        let more = b"d8:msg_typei0e5:piecei4e5:usersi2ee";
        assert_eq!(MetadataMessage::decode(more), Ok(Some(MetadataMessage::Request { block: 4 })));
    }

    #[test]
    fn the_last_block_is_short_and_a_block_of_any_other_length_is_refused() {
        assert_eq!((block_count(34_256), block_count(32_768), block_count(1)), (3, 2, 1));
        assert_eq!(block_len(34_256, 1), Some(16_384));
        assert_eq!(block_len(34_256, 2), Some(1488));
        assert_eq!(block_len(34_256, 3), None);
        assert_eq!(block_len(34_256, u32::MAX), None);
        let is_read = |len, total, block| MetadataMessage::decode(&data(len, total, block)).is_ok();
        assert!(is_read(16_384, 34_256, 0) && is_read(1488, 34_256, 2));
        for (len, total, block) in [
            (16_385, 34_256, 0),
            (16_383, 34_256, 0),
            (1489, 34_256, 2),
            (0, 34_256, 3),
            (0, 16_384, 1),
            (0, 0, 0),
            (1, -1, 0),
            (1, 1, -1),
            (16_384, 1 << 32, 0),
            (16_384, i64::from(limits::METADATA_LEN_MAX) + 1, 0),
        ] {
            let error = ExtensionError::Malformed("ut_metadata");
            assert_eq!(
                MetadataMessage::decode(&data(len, total, block)),
                Err(error),
                "{len} {total} {block}"
            );
        }
        assert!(is_read(16_384, i64::from(limits::METADATA_LEN_MAX), 2047));
    }

    #[test]
    fn a_payload_above_the_limit_or_without_its_keys_is_refused() {
        let max = limits::METADATA_DICT_LEN_MAX + 16_384;
        let too_long = ExtensionError::TooLong { extension: "ut_metadata", got: max + 1, max };
        assert_eq!(MetadataMessage::decode(&vec![b'd'; max + 1]), Err(too_long));
        let at_limit = [b"d8:msg_typei9ee".to_vec(), vec![0; max - 15]].concat();
        assert_eq!(MetadataMessage::decode(&at_limit), Ok(None));
        for bytes in [&b"de"[..], b"d5:piecei0ee", b"d8:msg_typei0ee", b"i0e", b"d8:msg_type1:05:piecei0ee"] {
            assert_eq!(MetadataMessage::decode(bytes), Err(ExtensionError::Malformed("ut_metadata")));
        }
        assert!(matches!(MetadataMessage::decode(b"d8:msg"), Err(ExtensionError::Bencode { .. })));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(total_size in 1u32..100_000, pick: prop::sample::Index) {
            let block = u32::try_from(pick.index(block_count(total_size) as usize)).unwrap();
            let bytes = vec![7; block_len(total_size, block).unwrap() as usize];
            for message in [
                MetadataMessage::Request { block },
                MetadataMessage::Data { block, total_size, data: &bytes },
                MetadataMessage::Reject { block },
            ] {
                let encoded = message.encode();
                prop_assert_eq!(MetadataMessage::decode(&encoded), Ok(Some(message)));
            }
        }
    }
}
