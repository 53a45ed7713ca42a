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
