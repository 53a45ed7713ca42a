//! What a torrent is named by on the command line: a file, a magnet link, an info-hash or a URL.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use unchoke_engine::input::TorrentSource;
use unchoke_wire::metainfo::{Metainfo, PieceHashes};
use unchoke_wire::{InfoHash, InfoHashes, Magnet, limits, magnet};

use crate::errors::about;

/// Reads what `text` names. A file of that name comes before an info-hash.
///
/// # Errors
/// One line naming the source: it cannot be read or fetched, or is no torrent.
pub(crate) fn read(text: &str) -> Result<TorrentSource> {
    match is_remote(text) {
        true => remote(text),
        false => torrent(Path::new(text)).map(|m| TorrentSource::Metainfo(Box::new(m))),
    }
}

/// Reads what `text` names, which is no file.
///
/// # Errors
/// As [`read`].
pub(crate) fn remote(text: &str) -> Result<TorrentSource> {
    if is_magnet(text) {
        let magnet = text.parse().with_context(|| format!("cannot use {}", shortened(text)))?;
        return Ok(TorrentSource::Magnet(Box::new(magnet)));
    }
    if is_url(text) {
        let bytes = unchoke_runtime::fetch(text, limits::METAINFO_LEN_MAX, FETCH_TIMEOUT)?;
        return parse(&bytes, text).map(|m| TorrentSource::Metainfo(Box::new(m)));
    }
    match magnet::parse_hex_hash(text) {
        Some(InfoHash::V1(hash)) => {
            let hashes = InfoHashes { v1: Some(hash), v2: None };
            Ok(TorrentSource::Magnet(Box::new(Magnet::new(hashes))))
        }
        _ if is_damaged_hash(text) => {
            bail!("cannot use {text}: an info-hash has 40 hex digits, this has {}", text.len())
        }
        _ => bail!("cannot use {}: it is no magnet link, URL or info-hash", shortened(text)),
    }
}

/// Whether `text` names a torrent that is not in a file: by a magnet link, a URL or, unless there is such a file, an
/// info-hash.
pub(crate) fn is_remote(text: &str) -> bool {
    let is_hash = || matches!(magnet::parse_hex_hash(text), Some(InfoHash::V1(_))) || is_damaged_hash(text);
    is_magnet(text) || is_url(text) || (is_hash() && !Path::new(text).exists())
}

fn is_magnet(text: &str) -> bool {
    text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("magnet:"))
}

fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

/// Finds out what no session can work with.
///
/// # Errors
/// One line that says why.
pub(crate) fn check(source: &TorrentSource) -> Result<()> {
    let is_known = match source {
        TorrentSource::Metainfo(m) => !matches!(m.info.pieces, PieceHashes::V2),
        TorrentSource::Magnet(m) => m.publisher.is_some() || m.info_hashes.v1.is_some(),
    };
    match is_known {
        true => Ok(()),
        false => bail!("torrents of version 2 alone are not supported"),
    }
}

/// Reads a `.torrent` file.
///
/// # Errors
/// One line naming the path.
pub(crate) fn torrent(path: &Path) -> Result<Metainfo> {
    parse(&file(path)?, &path.display().to_string())
}

/// The bytes of a `.torrent` file.
///
/// # Errors
/// One line naming the path.
pub(crate) fn file(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| about("read", path, &e))?;
    let mut bytes = Vec::new();
    let len_max = u64::try_from(limits::METAINFO_LEN_MAX).expect("a length fits 64 bits");
    file.take(len_max + 1).read_to_end(&mut bytes).map_err(|e| about("read", path, &e))?;
    Ok(bytes)
}

fn parse(bytes: &[u8], name: &str) -> Result<Metainfo> {
    if bytes.is_empty() {
        bail!("cannot use {name}: it is empty");
    }
    Metainfo::parse(bytes).with_context(|| format!("cannot use {name}"))
}

/// Whether the user meant an info-hash that is not of 40 digits.
fn is_damaged_hash(text: &str) -> bool {
    (DAMAGED_DIGITS_MIN..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A magnet may be long: enough of it to be recognised.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(NAMED_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Characters of a magnet that a message repeats.
const NAMED_CHARS_MAX: usize = 80;
/// Hex digits that are taken for an info-hash rather than for the name of a file.
const DAMAGED_DIGITS_MIN: usize = 32;
/// How long a server may take to hand out a torrent.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
