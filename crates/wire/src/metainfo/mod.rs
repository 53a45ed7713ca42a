//! Metainfo: the `.torrent` file and the info dictionary inside (BEP 3, 5, 12, 19, 27, 47, 52).
//!
//! What a stranger wrote is read once, into values that cannot be wrong: every number is within its limit, every name
//! is safe to use on a disk, and lengths, hashes and files fit together. Old and careless files are read where that is
//! safe; where they could mean two things they are refused.

pub mod build;
mod error;
mod files;
mod info;
mod names;
pub(crate) mod urls;
mod v2;

use core::fmt;
use std::collections::BTreeMap;

use crate::bencode::{Dict, Document};
use crate::host_port::HostPort;
use crate::info_hash::InfoHashes;
use crate::limits;
use crate::time::UnixTime;

pub use build::MetainfoBuilder;
pub use error::MetainfoError;
pub use files::FileEntry;
pub use info::{Info, PieceHashes};

/// A `.torrent` file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metainfo {
    /// Hashes of [`raw_info`](Self::raw_info): v1, v2, or both for a hybrid.
    pub info_hashes: InfoHashes,
    /// The info dictionary, byte for byte as received: what peers ask for as metadata.
    pub raw_info: Vec<u8>,
    /// The info dictionary.
    pub info: Info,
    /// Trackers by tier: http, https and udp URLs, each once.
    pub trackers: Vec<Vec<String>>,
    /// URLs the payload can be had from; those of a torrent with many files end in a slash.
    pub web_seeds: Vec<String>,
    /// DHT nodes to begin with.
    pub nodes: Vec<HostPort>,
    /// What its author says of it, without control characters but for line ends and tabs.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made: from 1970 to 9999.
    pub creation_date: Option<UnixTime>,
    /// v2 hashes of the pieces of each file longer than a piece, 32 bytes each, by the root of the file (BEP 52).
    pub piece_layers: BTreeMap<[u8; 32], Vec<u8>>,
    /// What was let pass.
    pub warnings: Vec<Warning>,
}

/// What was let pass in a `.torrent` file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Warning {
    /// So many bytes after the end.
    TrailingBytes(usize),
    /// So many trackers left out: malformed, of an unknown kind, or too many.
    TrackersDropped(usize),
    /// So many web seeds left out.
    WebSeedsDropped(usize),
    /// So many DHT nodes left out.
    NodesDropped(usize),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::TrailingBytes(n) => write!(f, "{n} bytes after the end were ignored"),
            Warning::TrackersDropped(n) => write!(f, "{n} trackers were ignored"),
            Warning::WebSeedsDropped(n) => write!(f, "{n} web seeds were ignored"),
            Warning::NodesDropped(n) => write!(f, "{n} DHT nodes were ignored"),
        }
    }
}

/// The last second of the year 9999.
const CREATION_DATE_MAX: i64 = 253_402_300_799;

impl Metainfo {
    //= BEP 3: metainfo files
    /// Reads a `.torrent` file.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > limits::METAINFO_LEN_MAX {
            return Err(MetainfoError::TooLarge(bytes.len()));
        }
        let (doc, used) = Document::parse_prefix(bytes).map_err(|e| MetainfoError::of(e, bytes))?;
        let root = doc.root().as_dict().ok_or(MetainfoError::NotDict)?;
        let info_dict = root.get(b"info").and_then(|v| v.as_dict()).ok_or(MetainfoError::MissingInfo)?;
        let info = Info::of(info_dict)?;
        let piece_layers = match root.get(b"piece layers").filter(|_| info.meta_version == 2) {
            Some(layers) => v2::piece_layers(layers, &info)?,
            None => BTreeMap::new(),
        };
        let trackers = urls::trackers(root);
        let web_seeds = urls::web_seeds(root, info.is_multi_file);
        let nodes = urls::nodes(root);
        let warnings = [
            (Warning::TrailingBytes as fn(usize) -> Warning, bytes.len() - used),
            (Warning::TrackersDropped, trackers.dropped),
            (Warning::WebSeedsDropped, web_seeds.dropped),
            (Warning::NodesDropped, nodes.dropped),
        ];
        Ok(Metainfo {
            info_hashes: info.hashes_of(info_dict.span()),
            raw_info: info_dict.span().to_vec(),
            info,
            trackers: trackers.items,
            web_seeds: web_seeds.items,
            nodes: nodes.items,
            comment: text_of(root, [b"comment.utf-8", b"comment"]),
            created_by: text_of(root, [b"created by.utf-8", b"created by"]),
            creation_date: root.get(b"creation date").and_then(|v| v.as_u64()).map(clamped_date),
            piece_layers,
            warnings: warnings.into_iter().filter(|(_, n)| *n > 0).map(|(w, n)| w(n)).collect(),
        })
    }
    /// What a magnet becomes once its metadata is here: the raw info dictionary, and nothing beside it. Whether it is
    /// the right one is told by comparing [`info_hashes`](Self::info_hashes).
    pub fn from_info(raw: Vec<u8>) -> Result<Self, MetainfoError> {
        let info = Info::parse(&raw)?;
        Ok(Metainfo {
            info_hashes: info.hashes_of(&raw),
            raw_info: raw,
            info,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            nodes: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
            piece_layers: BTreeMap::new(),
            warnings: Vec::new(),
        })
    }
}

fn text_of(root: Dict<'_>, keys: [&[u8]; 2]) -> Option<String> {
    let raw = keys.iter().find_map(|k| root.get(k).and_then(|v| v.as_bytes()))?;
    Some(text(raw)).filter(|t| !t.is_empty())
}

/// Text to be shown to people: at most [`limits::TEXT_LEN_MAX`] bytes, no control characters but line ends and tabs.
fn text(raw: &[u8]) -> String {
    let cut = &raw[..raw.len().min(limits::TEXT_LEN_MAX)];
    let whole = match core::str::from_utf8(cut) {
        // a character that the cut went through
        Err(e) if e.error_len().is_none() => &cut[..e.valid_up_to()],
        _ => cut,
    };
    let shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    String::from_utf8_lossy(whole).chars().filter(|c| shown(*c)).collect()
}

fn clamped_date(seconds: u64) -> UnixTime {
    UnixTime(i64::try_from(seconds).unwrap_or(CREATION_DATE_MAX).min(CREATION_DATE_MAX))
}
