//! Magnet links (BEP 9, 53): a torrent by its hash alone, and where to ask for the rest.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use crate::host_port::HostPort;
use crate::info_hash::{InfoHash, InfoHashes};
use crate::limits;
use crate::metainfo::urls;

/// A magnet link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Magnet {
    /// At least one hash; both for a hybrid.
    pub info_hashes: InfoHashes,
    /// What to call the torrent until its metadata is here. Not safe as a file name.
    pub display_name: Option<String>,
    /// Trackers, each a tier of its own.
    pub trackers: Vec<String>,
    /// Web seeds.
    pub web_seeds: Vec<String>,
    /// Peers to try (`x.pe`). They are what a stranger says: dial them only within the scope rule for addresses.
    pub peers: Vec<HostPort>,
    /// DHT nodes to begin with (`dht`).
    pub nodes: Vec<HostPort>,
    /// Files to select, ascending and apart (BEP 53); empty when all are.
    pub select: Vec<RangeInclusive<u32>>,
    /// Bytes of the payload, as claimed.
    pub length: Option<u64>,
}

/// Why a magnet is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetError {
    /// Longer than [`limits::MAGNET_LEN_MAX`].
    #[error("magnet of {0} bytes, {max} are the most", max = limits::MAGNET_LEN_MAX)]
    TooLarge(usize),
    /// Not `magnet:?`.
    #[error("not a magnet: it does not begin with magnet:?")]
    NotMagnet,
    /// No info-hash, or one that is malformed, or two of one kind that differ.
    #[error(
        "magnet without one info-hash: xt=urn:btih: wants 40 hex or 32 base32 digits, xt=urn:btmh: 1220 and 64 hex digits"
    )]
    InfoHash,
}

/// The info-hash in 40 hex digits, as people pass it around. Not a magnet: `None` for anything else.
pub fn parse_hex_hash(text: &str) -> Option<InfoHash> {
    hex(text).map(InfoHash::V1)
}

impl Magnet {
    /// The magnet for these hashes alone.
    pub fn new(info_hashes: InfoHashes) -> Self {
        Magnet { info_hashes, ..Magnet::default() }
    }

    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), MagnetError> {
        let text = core::str::from_utf8(value).unwrap_or_default();
        match name {
            "xt" => self.take_topic(text)?,
            "dn" if self.display_name.is_none() => {
                let name = String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).collect();
                self.display_name = Some(name).filter(|n: &String| !n.is_empty());
            }
            "tr" => push_new(&mut self.trackers, urls::tracker_url(value), limits::TRACKERS_MAX),
            "ws" => push_new(&mut self.web_seeds, urls::web_seed_url(value), limits::WEB_SEEDS_MAX),
            "x.pe" => push_new(&mut self.peers, text.parse().ok(), limits::MAGNET_PEERS_MAX),
            "dht" => push_new(&mut self.nodes, text.parse().ok(), limits::NODES_MAX),
            //= BEP 53: file selection
            "so" => self.select = ranges(text),
            "xl" => self.length = text.parse().ok().filter(|l| *l <= limits::TORRENT_LEN_MAX),
            _ => {}
        }
        Ok(())
    }

    /// Topics of other kinds are other networks' business.
    fn take_topic(&mut self, topic: &str) -> Result<(), MagnetError> {
        let (urn, hash) = topic.rsplit_once(':').unwrap_or_default();
        let is_known = if urn.eq_ignore_ascii_case("urn:btih") {
            let hash = hex(hash).or_else(|| base32(hash)).ok_or(MagnetError::InfoHash)?;
            *self.info_hashes.v1.get_or_insert(hash) == hash
        } else if urn.eq_ignore_ascii_case("urn:btmh") {
            // a multihash: SHA-256, 32 bytes
            let hash = hash.strip_prefix("1220").and_then(hex).ok_or(MagnetError::InfoHash)?;
            *self.info_hashes.v2.get_or_insert(hash) == hash
        } else {
            true
        };
        if is_known { Ok(()) } else { Err(MagnetError::InfoHash) }
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    //= BEP 9: magnet links
    fn from_str(text: &str) -> Result<Self, MagnetError> {
        if text.len() > limits::MAGNET_LEN_MAX {
            return Err(MagnetError::TooLarge(text.len()));
        }
        let scheme = text.get(..8).filter(|s| s.eq_ignore_ascii_case("magnet:?"));
        let query = &text[scheme.ok_or(MagnetError::NotMagnet)?.len()..];
        let mut magnet = Magnet::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = name.to_ascii_lowercase();
            // `tr.1`, `tr.2` are numbered `tr`
            let name = match name.rsplit_once('.') {
                Some((name, n)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => name,
                _ => &name,
            };
            magnet.take(name, &unescape(value))?;
        }
        magnet.info_hashes.best().ok_or(MagnetError::InfoHash)?;
        Ok(magnet)
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InfoHashes { v1, v2 } = self.info_hashes;
        let v1 = v1.map(|h| format!("xt=urn:btih:{}", InfoHash::V1(h)));
        let v2 = v2.map(|h| format!("xt=urn:btmh:1220{}", InfoHash::V2(h)));
        let mut parts: Vec<String> = [v1, v2].into_iter().flatten().collect();
        parts.extend(self.display_name.iter().map(|n| format!("dn={}", escape(n))));
        parts.extend(self.length.map(|n| format!("xl={n}")));
        parts.extend(self.trackers.iter().map(|u| format!("tr={}", escape(u))));
        parts.extend(self.web_seeds.iter().map(|u| format!("ws={}", escape(u))));
        parts.extend(self.peers.iter().map(|p| format!("x.pe={p}")));
        parts.extend(self.nodes.iter().map(|n| format!("dht={n}")));
        if !self.select.is_empty() {
            let range = |r: &RangeInclusive<u32>| match (r.start(), r.end()) {
                (a, b) if a == b => a.to_string(),
                (a, b) => format!("{a}-{b}"),
            };
            parts.push(format!("so={}", self.select.iter().map(range).collect::<Vec<_>>().join(",")));
        }
        write!(f, "magnet:?{}", parts.join("&"))
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: Option<T>, max: usize) {
    list.extend(item.filter(|i| list.len() < max && !list.contains(i)));
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(out)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// 32 digits of five bits each (RFC 4648), in either case.
fn base32(text: &str) -> Option<[u8; 20]> {
    if text.len() != 32 {
        return None;
    }
    let mut out = [0; 20];
    for (five, eight) in out.as_chunks_mut::<5>().0.iter_mut().zip(text.as_bytes().as_chunks::<8>().0) {
        let mut bits = 0u64;
        for digit in eight {
            let value = match digit.to_ascii_uppercase() {
                d @ b'A'..=b'Z' => d - b'A',
                d @ b'2'..=b'7' => d - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(out)
}

/// The selected files: `0,2,4-6`. Malformed parts are left out, indices end with the last file a torrent can have.
fn ranges(text: &str) -> Vec<RangeInclusive<u32>> {
    let last = u32::try_from(limits::FILES_MAX - 1).expect("a million fits");
    let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
    for part in text.split(',').take(limits::SELECT_RANGES_MAX) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<u32>(), to.parse::<u32>())
            && from <= to
            && from <= last
        {
            ranges.push(from..=to.min(last));
        }
    }
    ranges.sort_unstable_by_key(|r| *r.start());
    ranges.dedup_by(|next, kept| {
        let touches = *next.start() <= kept.end() + 1;
        if touches {
            *kept = *kept.start()..=*kept.end().max(next.end());
        }
        touches
    });
    ranges
}

/// Undoes percent-escapes; a `%` that is none stands for itself.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = match bytes[at..] {
            [b'%', high, low, ..] => hex_digit(high).zip(hex_digit(low)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        out.push(escaped.unwrap_or(if bytes[at] == b'+' { b' ' } else { bytes[at] }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
