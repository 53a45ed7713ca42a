//! The info dictionary: what a torrent's bytes are, and what its info-hash is taken over.

use super::files::{self, FileEntry};
use super::names::safe_element;
use super::{MetainfoError, text, v2};
use crate::bencode::{Dict, Document, Value};
use crate::info_hash::{InfoHash, InfoHashes};
use crate::layout::{BLOCK_LEN, Layout, PieceIndex};
use crate::limits;

/// An info dictionary, checked whole: sizes, hashes and names fit together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    /// What the torrent is called: a safe path element, the info-hash in hex where the file has no usable name.
    pub name: String,
    /// Pieces and blocks over all files in their order, pad files counted.
    pub layout: Layout,
    /// Hashes of the pieces.
    pub pieces: PieceHashes,
    /// All files in the order of the stream, pad files counted. Their index is a `FileIndex`.
    pub files: Vec<FileEntry>,
    /// Whether the torrent is a directory of files rather than one file.
    pub is_multi_file: bool,
    /// To be shared with peers of its trackers only (BEP 27).
    pub private: bool,
    /// Sets apart torrents of the same files, so that each tracker has an info-hash of its own.
    pub source: Option<String>,
    /// The `meta version`: 2 where there is a v2 part (BEP 52), else 1.
    pub meta_version: u8,
}

/// What pieces are checked against.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PieceHashes {
    /// SHA-1 of every piece.
    V1(Vec<[u8; 20]>),
    /// None here: each file has a hash tree, whose root is in its `FileEntry` and whose piece layer is in the
    /// metainfo or comes from peers (BEP 52).
    V2,
}

impl PieceHashes {
    /// The SHA-1 of this piece, if this torrent has one.
    pub fn get(&self, piece: PieceIndex) -> Option<[u8; 20]> {
        match self {
            PieceHashes::V1(hashes) => hashes.get(usize::try_from(piece.0).ok()?).copied(),
            PieceHashes::V2 => None,
        }
    }
}

impl Info {
    /// Reads the raw bencoded info dictionary, such as a magnet's metadata once it is complete.
    pub fn parse(raw: &[u8]) -> Result<Self, MetainfoError> {
        if raw.len() > limits::METAINFO_LEN_MAX {
            return Err(MetainfoError::TooLarge(raw.len()));
        }
        let doc = Document::parse(raw).map_err(|e| MetainfoError::of(e, raw))?;
        Self::of(doc.root().as_dict().ok_or(MetainfoError::NotDict)?)
    }

    /// Reads the dictionary.
    pub(super) fn of(dict: Dict<'_>) -> Result<Self, MetainfoError> {
        let meta_version = version_of(dict)?;
        let has_v1 = meta_version == 1 || [&b"length"[..], b"files"].iter().any(|k| dict.get(k).is_some());
        let piece_len = piece_len_of(dict, meta_version)?;
        let name = name_of(dict)?;
        let is_multi_file = dict.get(b"files").is_some();
        let v2_files = match dict.get(b"file tree") {
            Some(tree) => Some(v2::tree_files(tree, &name, is_multi_file)?),
            None if meta_version == 2 => return Err(MetainfoError::FileTree),
            None => None,
        };
        let (mut files, is_multi_file) = match v2_files {
            Some(tree) if !has_v1 => {
                let is_multi_file = !tree.is_single_file;
                (v2::with_pads(tree.files, piece_len, &name), is_multi_file)
            }
            v2_files => {
                let mut files = v1_files(dict, &name)?;
                if let Some(tree) = v2_files {
                    v2::merge(&mut files, tree.files, piece_len)?;
                }
                (files, is_multi_file)
            }
        };
        files::settle(&mut files, &name)?;
        let layout = Layout::new(piece_len, files.iter().map(|f| f.length))?;
        let pieces = if has_v1 { v1_hashes(dict, layout.piece_count())? } else { PieceHashes::V2 };
        Ok(Info {
            name,
            layout,
            pieces,
            files,
            is_multi_file,
            //= BEP 27: private torrents
            private: dict.get(b"private").and_then(|v| v.as_int()).is_some_and(|n| n != 0),
            source: dict.get(b"source").and_then(|v| v.as_bytes()).map(text).filter(|s| !s.is_empty()),
            meta_version,
        })
    }

    /// The hashes of the raw bytes this was read from.
    pub fn hashes_of(&self, raw: &[u8]) -> InfoHashes {
        match (&self.pieces, self.meta_version) {
            (PieceHashes::V2, _) => InfoHashes::v2_of(raw),
            (PieceHashes::V1(_), 2) => InfoHashes::hybrid_of(raw),
            (PieceHashes::V1(_), _) => InfoHashes::v1_of(raw),
        }
    }

    /// Bytes of all files that reach a disk: without pad files.
    pub fn payload_len(&self) -> u64 {
        self.files.iter().filter(|f| !f.is_pad).map(|f| f.length).sum()
    }
}

fn version_of(dict: Dict<'_>) -> Result<u8, MetainfoError> {
    let version = match dict.get(b"meta version").map(|v| v.as_int()) {
        None | Some(Some(1)) => 1,
        Some(Some(2)) => 2,
        Some(got) => return Err(MetainfoError::Version(got)),
    };
    if version == 1 && dict.get(b"file tree").is_some() {
        return Err(MetainfoError::Version(Some(1)));
    }
    Ok(version)
}

fn piece_len_of(dict: Dict<'_>, version: u8) -> Result<u32, MetainfoError> {
    let got = dict.get(b"piece length").and_then(|v| v.as_int());
    got.and_then(|n| u32::try_from(n).ok())
        .filter(|n| (1..=limits::PIECE_LEN_MAX).contains(n))
        .filter(|n| version == 1 || (n.is_power_of_two() && *n >= BLOCK_LEN))
        .ok_or(MetainfoError::PieceLength(got))
}

fn name_of(dict: Dict<'_>) -> Result<String, MetainfoError> {
    let string = |key: &[u8]| dict.get(key).and_then(|v| v.as_bytes());
    let raw = string(b"name.utf-8").or_else(|| string(b"name")).ok_or(MetainfoError::MissingName)?;
    Ok(safe_element(raw).unwrap_or_else(|| {
        let is_v2 = [&b"length"[..], b"files"].iter().all(|k| dict.get(k).is_none());
        let hashes = if is_v2 { InfoHashes::v2_of(dict.span()) } else { InfoHashes::v1_of(dict.span()) };
        hashes.best().as_ref().map(InfoHash::to_string).expect("one hash was just taken")
    }))
}

fn v1_files(dict: Dict<'_>, name: &str) -> Result<Vec<FileEntry>, MetainfoError> {
    match (dict.get(b"length"), dict.get(b"files")) {
        (Some(_), Some(_)) => Err(MetainfoError::Ambiguous),
        (None, None) => Err(MetainfoError::NoFiles),
        (None, Some(list)) => files::of_list(list, name),
        (Some(_), None) => Ok(vec![files::file_of(dict, 0, vec![name.to_owned()])?]),
    }
}

fn v1_hashes(dict: Dict<'_>, due: u32) -> Result<PieceHashes, MetainfoError> {
    let bytes = dict.get(b"pieces").as_ref().and_then(Value::as_bytes);
    let (hashes, rest) = bytes.unwrap_or_default().as_chunks::<20>();
    if !rest.is_empty() || u32::try_from(hashes.len()) != Ok(due) {
        return Err(MetainfoError::Pieces { due, bytes: bytes.map(<[u8]>::len) });
    }
    Ok(PieceHashes::V1(hashes.to_vec()))
}
