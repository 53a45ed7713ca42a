//! The record of one torrent and its bytes: a line with the version and a checksum, then a bencoded dictionary.

use unchoke_wire::bencode::{Dict, Document, Writer};
use unchoke_wire::{Bitfield, InfoHashes, PieceIndex, WireHash, limits};

use super::seal::Format;
use crate::error::StorageError;
use crate::storage::{FileFact, Storage};

/// What is remembered of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResumeRecord {
    /// The name of its swarm; also the name of its record.
    pub info_hash: WireHash,
    /// The whole hashes, as far as they are known.
    pub hashes: InfoHashes,
    /// The raw `info` dictionary, for torrents begun from a magnet link.
    pub info: Option<Vec<u8>>,
    /// Pieces that were verified, written and synced. Over no pieces while the metadata is unknown.
    pub have: Bitfield,
    /// What the disk said about each file after that sync; empty while the metadata is unknown.
    pub facts: Vec<FileFact>,
    /// Pieces begun.
    pub partials: Vec<PartialPiece>,
    /// Payload bytes received in all, over all runs.
    pub downloaded: u64,
    /// Payload bytes sent in all, over all runs.
    pub uploaded: u64,
    /// Which files are wanted, one entry a file; empty means all.
    pub selection: Vec<bool>,
}

/// A piece of which some blocks have come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartialPiece {
    /// The piece.
    pub piece: PieceIndex,
    /// Which blocks have come, one bit a block.
    pub blocks: Bitfield,
    /// The bytes of the whole piece; only those of its blocks count. Not verified.
    pub data: Vec<u8>,
}

/// Why bytes are no record that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not a record, cut off, or changed since it was written.
    #[error("damaged")]
    Damaged,
    /// Whole, but of another torrent.
    #[error("of another torrent, {0}")]
    OtherTorrent(WireHash),
    /// Written by a later version.
    #[error("of format {got}, this program knows formats up to {newest}")]
    FutureVersion {
        /// Its format.
        got: u32,
        /// The newest format known.
        newest: u32,
    },
}

impl ResumeRecord {
    /// The format written.
    pub const VERSION: u32 = 1;

    const FORMAT: Format = Format { magic: b"unchoke resume ", version: Self::VERSION };

    /// A record of nothing yet.
    pub fn new(info_hash: WireHash, hashes: InfoHashes) -> Self {
        ResumeRecord {
            info_hash,
            hashes,
            info: None,
            have: Bitfield::default(),
            facts: Vec::new(),
            partials: Vec::new(),
            downloaded: 0,
            uploaded: 0,
            selection: Vec::new(),
        }
    }

    /// Claims the pieces `have`: all that was written is made durable, and only then the files are looked at.
    ///
    /// # Errors
    /// As [`Storage::sync`]; then nothing is claimed.
    pub fn claim(&mut self, have: Bitfield, storage: &dyn Storage) -> Result<(), StorageError> {
        storage.sync()?;
        self.facts = storage.facts();
        self.have = have;
        Ok(())
    }

    /// The bytes of the record.
    ///
    /// # Panics
    /// When there are more files than [`limits::FILES_MAX`], or a total is above 2⁶³.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.dict(|d| {
            d.key(b"downloaded").int(signed(self.downloaded));
            d.bytes(b"facts", &encode_facts(&self.facts));
            d.bytes(b"have", self.have.as_bytes());
            if let Some(info) = &self.info {
                d.bytes(b"info", info);
            }
            d.bytes(b"info-hash", &self.info_hash.0);
            d.key(b"partials").list(|w| self.partials.iter().for_each(|p| p.encode(w)));
            d.int(b"pieces", i64::from(self.have.len()));
            let mut selection = Bitfield::none(count(self.selection.len()));
            for (i, _) in (0u32..).zip(&self.selection).filter(|(_, s)| **s) {
                selection.set(PieceIndex(i));
            }
            d.bytes(b"selection", selection.as_bytes());
            d.int(b"selection-files", i64::from(selection.len()));
            d.key(b"uploaded").int(signed(self.uploaded));
            if let Some(v1) = &self.hashes.v1 {
                d.bytes(b"v1", v1);
            }
            if let Some(v2) = &self.hashes.v2 {
                d.bytes(b"v2", v2);
            }
        });
        Self::FORMAT.seal(&w.finish())
    }

    /// Reads a record of the torrent `info_hash`. Any changed byte is [`DecodeError::Damaged`].
    pub fn decode(bytes: &[u8], info_hash: WireHash) -> Result<Self, DecodeError> {
        let body = Self::FORMAT.unseal(bytes)?;
        let doc = Document::parse(body).map_err(|_| DecodeError::Damaged)?;
        let dict = doc.root().as_dict().ok_or(DecodeError::Damaged)?;
        let record = Self::read(dict).ok_or(DecodeError::Damaged)?;
        match record.info_hash == info_hash {
            true => Ok(record),
            false => Err(DecodeError::OtherTorrent(record.info_hash)),
        }
    }

    fn read(dict: Dict<'_>) -> Option<Self> {
        let bytes = |key: &[u8]| dict.get(key).and_then(|v| v.as_bytes());
        let number = |key: &[u8]| dict.get(key).and_then(|v| v.as_u64());
        let bits = |key: &[u8], len: u64, len_max: u64| {
            let len = u32::try_from(len).ok().filter(|l| u64::from(*l) <= len_max)?;
            Bitfield::from_bytes(bytes(key)?, len).ok()
        };
        let selection =
            bits(b"selection", number(b"selection-files")?, u64::try_from(limits::FILES_MAX).ok()?)?;
        Some(ResumeRecord {
            info_hash: WireHash(bytes(b"info-hash")?.try_into().ok()?),
            hashes: InfoHashes {
                v1: bytes(b"v1").map(|h| h.try_into().ok()).map_or(Some(None), |h| h.map(Some))?,
                v2: bytes(b"v2").map(|h| h.try_into().ok()).map_or(Some(None), |h| h.map(Some))?,
            },
            info: bytes(b"info").map(<[u8]>::to_vec),
            have: bits(b"have", number(b"pieces")?, u64::from(limits::PIECES_MAX))?,
            facts: decode_facts(bytes(b"facts")?)?,
            partials: dict
                .get(b"partials")?
                .as_list()?
                .map(|v| PartialPiece::read(v.as_dict()?))
                .collect::<Option<_>>()?,
            downloaded: number(b"downloaded")?,
            uploaded: number(b"uploaded")?,
            selection: (0..selection.len()).map(|i| selection.has(PieceIndex(i))).collect(),
        })
    }
}

impl PartialPiece {
    fn encode(&self, w: &mut Writer) {
        w.dict(|d| {
            d.bytes(b"blocks", self.blocks.as_bytes());
            d.int(b"count", i64::from(self.blocks.len()));
            d.bytes(b"data", &self.data);
            d.int(b"piece", i64::from(self.piece.0));
        });
    }

    fn read(dict: Dict<'_>) -> Option<Self> {
        let number = |key: &[u8]| dict.get(key)?.as_u64().and_then(|n| u32::try_from(n).ok());
        let blocks = Bitfield::from_bytes(dict.get(b"blocks")?.as_bytes()?, number(b"count")?).ok()?;
        let data = dict.get(b"data")?.as_bytes()?.to_vec();
        Some(PartialPiece { piece: PieceIndex(number(b"piece")?), blocks, data })
    }
}

/// Bytes of one fact: kind, length, time, inode.
const FACT_LEN: usize = 25;

fn encode_facts(facts: &[FileFact]) -> Vec<u8> {
    let mut out = Vec::with_capacity(facts.len() * FACT_LEN);
    for fact in facts {
        let (kind, len, mtime_ns, inode) = match *fact {
            FileFact::Missing => (0, 0, 0, 0),
            FileFact::Present { len, mtime_ns, inode } => (1, len, mtime_ns, inode),
            FileFact::Doubtful => (2, 0, 0, 0),
        };
        out.push(kind);
        out.extend(len.to_be_bytes());
        out.extend(mtime_ns.to_be_bytes());
        out.extend(inode.to_be_bytes());
    }
    out
}

fn decode_facts(bytes: &[u8]) -> Option<Vec<FileFact>> {
    let facts = bytes.chunks(FACT_LEN).map(|chunk| {
        let (kind, rest) = chunk.split_first()?;
        let (len, rest) = rest.split_first_chunk::<8>()?;
        let (mtime_ns, rest) = rest.split_first_chunk::<8>()?;
        let inode: [u8; 8] = rest.try_into().ok()?;
        match kind {
            0 => Some(FileFact::Missing),
            1 => Some(FileFact::Present {
                len: u64::from_be_bytes(*len),
                mtime_ns: i64::from_be_bytes(*mtime_ns),
                inode: u64::from_be_bytes(inode),
            }),
            2 => Some(FileFact::Doubtful),
            _ => None,
        }
    });
    facts.collect()
}

pub(crate) fn signed(total: u64) -> i64 {
    i64::try_from(total).expect("nobody moves 2^63 bytes")
}

fn count(files: usize) -> u32 {
    u32::try_from(files).ok().filter(|_| files <= limits::FILES_MAX).expect("within the limit on files")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn sample() -> ResumeRecord {
        let info = b"d6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces0:e".to_vec();
        let hashes = InfoHashes::hybrid_of(&info);
        let mut have = Bitfield::none(11);
        have.set(PieceIndex(3));
        have.set(PieceIndex(10));
        let mut blocks = Bitfield::none(2);
        blocks.set(PieceIndex(1));
        ResumeRecord {
            info: Some(info),
            have,
            facts: vec![
                FileFact::Present { len: 5, mtime_ns: 1_700_000_000_123_456_789, inode: 77 },
                FileFact::Missing,
                FileFact::Doubtful,
            ],
            partials: vec![PartialPiece { piece: PieceIndex(4), blocks, data: vec![9; 40] }],
            downloaded: 123,
            uploaded: 456,
            selection: vec![true, false, true],
            ..ResumeRecord::new(hashes.best().unwrap().wire(), hashes)
        }
    }

    //= H3c-65
    #[test]
    fn a_record_with_any_byte_changed_or_cut_off_is_refused() {
        let record = sample();
        let bytes = record.encode();
        assert_eq!(ResumeRecord::decode(&bytes, record.info_hash), Ok(record.clone()));
        for at in 0..bytes.len() {
            for flip in [1u8, 0x20, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] ^= flip;
                assert_eq!(
                    ResumeRecord::decode(&bad, record.info_hash),
                    Err(DecodeError::Damaged),
                    "byte {at}"
                );
            }
            assert_eq!(
                ResumeRecord::decode(&bytes[..at], record.info_hash),
                Err(DecodeError::Damaged),
                "cut at {at}"
            );
        }
        assert_eq!(ResumeRecord::decode(&vec![0; bytes.len()], record.info_hash), Err(DecodeError::Damaged));
        assert_eq!(
            ResumeRecord::decode(&[&bytes[..], b"x"].concat(), record.info_hash),
            Err(DecodeError::Damaged)
        );
    }

    //= H3c-65
    #[test]
    fn the_record_of_another_torrent_is_refused() {
        let record = sample();
        let other = DecodeError::OtherTorrent(record.info_hash);
        assert_eq!(ResumeRecord::decode(&record.encode(), WireHash([7; 20])), Err(other));
    }

    //= H3c-65
    #[test]
    fn a_later_format_is_refused_by_its_number() {
        let later = Format { version: 2, ..ResumeRecord::FORMAT };
        let sealed = later.seal(b"whatever comes later");
        let error = ResumeRecord::decode(&sealed, WireHash([0; 20])).unwrap_err();
        assert_eq!(error, DecodeError::FutureVersion { got: 2, newest: 1 });
        assert_eq!(error.to_string(), "of format 2, this program knows formats up to 1");
    }

    #[test]
    fn a_record_without_metadata_round_trips() {
        let record = ResumeRecord::new(WireHash([1; 20]), InfoHashes { v1: Some([1; 20]), v2: None });
        assert_eq!(ResumeRecord::decode(&record.encode(), record.info_hash), Ok(record));
    }

    proptest! {
        #[test]
        fn sealed_bytes_decode_or_err(body in prop::collection::vec(prop_oneof![Just(b'd'), Just(b'l'), Just(b'i'), Just(b'e'), Just(b':'), b'0'..=b'9', any::<u8>()], 0..100)) {
            let _ = ResumeRecord::decode(&ResumeRecord::FORMAT.seal(&body), WireHash([0; 20]));
            let _ = ResumeRecord::decode(&body, WireHash([0; 20]));
        }
    }
}
