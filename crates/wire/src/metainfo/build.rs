//! Writes `.torrent` files (BEP 3): new v1 ones, and those that were read.

use std::collections::BTreeMap;

use super::{Metainfo, MetainfoError};
use crate::bencode::{DictWriter, Writer};
use crate::host_port::HostPort;
use crate::limits;
use crate::time::UnixTime;

/// Pieces that [`auto_piece_len`] stays below, so that a usual torrent has from 1,024 to 2,048, about 1,500.
const AUTO_PIECES_MAX: u64 = 2_048;

/// A piece length in bytes that suits `total` bytes: a power of two from 16 KiB to 16 MiB that makes about 1,500
/// pieces.
pub fn auto_piece_len(total: u64) -> u32 {
    let wanted = total.div_ceil(AUTO_PIECES_MAX).min(16 << 20).next_power_of_two();
    u32::try_from(wanted.clamp(16 << 10, 16 << 20)).expect("at most 2^24")
}

/// A file to be listed in a `.torrent` file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BuildFile {
    /// Path below the torrent's name, one element at least; not written for the file of a single-file torrent.
    pub path: Vec<String>,
    /// Bytes. Zero for a link.
    pub length: u64,
    /// A pad file (BEP 47).
    pub is_pad: bool,
    /// To be marked executable.
    pub is_executable: bool,
    /// To be marked hidden.
    pub is_hidden: bool,
    /// A symbolic link to this path below the torrent's name.
    pub symlink: Option<Vec<String>>,
}

/// What a `.torrent` file is made of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MetainfoBuilder {
    /// Name of the file or directory.
    pub name: String,
    /// Files in the order their bytes were hashed.
    pub files: Vec<BuildFile>,
    /// Whether this is a directory of files; else there is exactly one file, and it is called like the torrent.
    pub is_multi_file: bool,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// SHA-1 of every piece.
    pub pieces: Vec<[u8; 20]>,
    /// Trackers by tier. Without any the torrent is trackerless (BEP 5).
    pub trackers: Vec<Vec<String>>,
    /// DHT nodes: only what the user names. Public routers do not belong into torrents (BEP 5).
    pub nodes: Vec<HostPort>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// To be shared with peers of its trackers only (BEP 27).
    pub private: bool,
    /// Makes the info-hash another one.
    pub source: Option<String>,
    /// Shown to people.
    pub comment: Option<String>,
    /// The program that makes it.
    pub created_by: Option<String>,
    /// When it is made.
    pub creation_date: Option<UnixTime>,
}

impl MetainfoBuilder {
    /// The bytes of the `.torrent` file, which reads back as what was asked for: what [`Metainfo::parse`] would refuse
    /// is refused here.
    pub fn build(&self) -> Result<Vec<u8>, MetainfoError> {
        let outer = Outer {
            raw_info: &self.build_info(),
            trackers: &self.trackers,
            nodes: &self.nodes,
            web_seeds: &self.web_seeds,
            comment: self.comment.as_deref(),
            created_by: self.created_by.as_deref(),
            creation_date: self.creation_date,
            piece_layers: &BTreeMap::new(),
        };
        let bytes = outer.to_bytes();
        Metainfo::parse(&bytes).map(|_| bytes)
    }

    /// The bytes of the info dictionary alone.
    pub fn build_info(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.dict(|d| self.write_info(d));
        w.finish()
    }

    fn write_info(&self, d: &mut DictWriter<'_>) {
        match &self.files[..] {
            [file] if !self.is_multi_file => write_file(d, file, false),
            files => d.key(b"files").list(|w| files.iter().for_each(|f| w.dict(|d| write_file(d, f, true)))),
        }
        d.bytes(b"name", self.name.as_bytes());
        d.int(b"piece length", i64::from(self.piece_len));
        d.bytes(b"pieces", self.pieces.as_flattened());
        if self.private {
            d.int(b"private", 1);
        }
        if let Some(source) = &self.source {
            d.bytes(b"source", source.as_bytes());
        }
        if let ([BuildFile { symlink: Some(target), .. }], false) = (&self.files[..], self.is_multi_file) {
            write_strings(d.key(b"symlink path"), target);
        }
    }
}

impl Metainfo {
    /// The bytes of a `.torrent` file that holds this: the info dictionary as it was received, the rest canonical.
    pub fn to_bytes(&self) -> Vec<u8> {
        let outer = Outer {
            raw_info: &self.raw_info,
            trackers: &self.trackers,
            nodes: &self.nodes,
            web_seeds: &self.web_seeds,
            comment: self.comment.as_deref(),
            created_by: self.created_by.as_deref(),
            creation_date: self.creation_date,
            piece_layers: &self.piece_layers,
        };
        outer.to_bytes()
    }
}

/// The outermost dictionary.
struct Outer<'a> {
    raw_info: &'a [u8],
    trackers: &'a [Vec<String>],
    nodes: &'a [HostPort],
    web_seeds: &'a [String],
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    creation_date: Option<UnixTime>,
    piece_layers: &'a BTreeMap<[u8; 32], Vec<u8>>,
}

impl Outer<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.dict(|d| self.write(d));
        w.finish()
    }

    fn write(&self, d: &mut DictWriter<'_>) {
        let tiers = || self.trackers.iter().filter(|t| !t.is_empty());
        if let Some(first) = tiers().next().and_then(|t| t.first()) {
            d.bytes(b"announce", first.as_bytes());
        }
        if tiers().map(Vec::len).sum::<usize>() > 1 {
            d.key(b"announce-list").list(|w| tiers().for_each(|tier| write_strings(w, tier)));
        }
        if let Some(comment) = self.comment {
            d.bytes(b"comment", comment.as_bytes());
        }
        if let Some(created_by) = self.created_by {
            d.bytes(b"created by", created_by.as_bytes());
        }
        if let Some(UnixTime(seconds)) = self.creation_date {
            d.int(b"creation date", seconds);
        }
        d.key(b"info").raw(self.raw_info);
        if !self.nodes.is_empty() {
            d.key(b"nodes").list(|w| self.nodes.iter().for_each(|n| write_node(w, n)));
        }
        if !self.piece_layers.is_empty() {
            d.key(b"piece layers").dict(|d| self.piece_layers.iter().for_each(|(root, l)| d.bytes(root, l)));
        }
        match self.web_seeds {
            [] => {}
            [one] => d.bytes(b"url-list", one.as_bytes()),
            many => write_strings(d.key(b"url-list"), many),
        }
    }
}

fn write_file(d: &mut DictWriter<'_>, file: &BuildFile, is_listed: bool) {
    let letters =
        [(file.is_hidden, 'h'), (file.symlink.is_some(), 'l'), (file.is_pad, 'p'), (file.is_executable, 'x')];
    let attr: String = letters.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| letter).collect();
    if !attr.is_empty() {
        d.bytes(b"attr", attr.as_bytes());
    }
    d.int(b"length", i64::try_from(file.length.min(limits::TORRENT_LEN_MAX)).expect("2^48 fits"));
    if is_listed {
        write_strings(d.key(b"path"), &file.path);
        if let Some(target) = &file.symlink {
            write_strings(d.key(b"symlink path"), target);
        }
    }
}

fn write_strings(w: &mut Writer, strings: &[String]) {
    w.list(|w| strings.iter().for_each(|s| w.bytes(s.as_bytes())));
}

fn write_node(w: &mut Writer, node: &HostPort) {
    w.list(|w| {
        w.bytes(node.host().as_bytes());
        w.int(i64::from(node.port()));
    });
}
