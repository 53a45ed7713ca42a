//! Magnet links (BEP 9, 46, 53): a torrent by its hash or its publisher's key alone, and where to ask for the rest.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use crate::host_port::HostPort;
use crate::info_hash::{InfoHash, InfoHashes};
use crate::limits;
use crate::metainfo::{Metainfo, urls};
use crate::mutable_torrent::Publisher;

/// A magnet link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Magnet {
    /// At least one hash, unless there is a publisher; both for a hybrid.
    pub info_hashes: InfoHashes,
    /// Who names the newest version of a mutable torrent (`xs=urn:btpk`, `s`). A hash beside it is that of the
    /// version the link was made for.
    pub publisher: Option<Publisher>,
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
    /// A public key that is malformed, or two that differ.
    #[error("magnet without one public key: xs=urn:btpk: wants 64 hex digits")]
    PublicKey,
    /// A salt that is malformed.
    #[error("magnet with a malformed salt: s= wants an even number of hex digits, at most {max}", max = 2 * limits::ITEM_SALT_LEN_MAX)]
    Salt,
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
            "xs" => self.take_source(text)?,
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

    //= BEP 46: magnet:?xs=urn:btpk:[public key in hex]&s=[salt in hex]
    /// Sources of other kinds are other networks' business.
    fn take_source(&mut self, source: &str) -> Result<(), MagnetError> {
        let (urn, key) = source.rsplit_once(':').unwrap_or_default();
        if !urn.eq_ignore_ascii_case("urn:btpk") {
            return Ok(());
        }
        let key = hex(key).ok_or(MagnetError::PublicKey)?;
        let publisher = self.publisher.get_or_insert(Publisher { key, salt: Vec::new() });
        if publisher.key == key { Ok(()) } else { Err(MagnetError::PublicKey) }
    }
}

impl From<&Metainfo> for Magnet {
    /// The magnet that leads to the same torrent.
    fn from(m: &Metainfo) -> Self {
        Magnet {
            info_hashes: m.info_hashes,
            display_name: Some(m.info.name.clone()),
            trackers: m.trackers.concat(),
            web_seeds: m.web_seeds.clone(),
            nodes: m.nodes.clone(),
            length: Some(m.info.payload_len()),
            ..Magnet::default()
        }
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
        let mut salt = None;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = name.to_ascii_lowercase();
            // `tr.1`, `tr.2` are numbered `tr`
            let name = match name.rsplit_once('.') {
                Some((name, n)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => name,
                _ => &name,
            };
            match name {
                "s" => salt = salt.or(Some(value)),
                _ => magnet.take(name, &unescape(value))?,
            }
        }
        match (&mut magnet.publisher, salt) {
            (Some(publisher), Some(salt)) => publisher.salt = salt_of(salt).ok_or(MagnetError::Salt)?,
            (Some(_), None) => {}
            (None, _) => {
                magnet.info_hashes.best().ok_or(MagnetError::InfoHash)?;
            }
        }
        Ok(magnet)
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InfoHashes { v1, v2 } = self.info_hashes;
        let v1 = v1.map(|h| format!("xt=urn:btih:{}", InfoHash::V1(h)));
        let v2 = v2.map(|h| format!("xt=urn:btmh:1220{}", InfoHash::V2(h)));
        let mut parts: Vec<String> = [v1, v2].into_iter().flatten().collect();
        if let Some(Publisher { key, salt }) = &self.publisher {
            parts.push(format!("xs=urn:btpk:{}", hex_of(key)));
            parts.extend((!salt.is_empty()).then(|| format!("s={}", hex_of(salt))));
        }
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

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The salt of a mutable torrent, from hex.
fn salt_of(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() > limits::ITEM_SALT_LEN_MAX || !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(hex_digit(*high)? << 4 | hex_digit(*low)?)).collect()
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
#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";

    fn magnet(rest: &str) -> Magnet {
        format!("magnet:?xt=urn:btih:{HELLO}{rest}").parse().unwrap()
    }

    fn err(text: &str) -> MagnetError {
        text.parse::<Magnet>().expect_err("must be refused")
    }

    #[test]
    fn hex_and_base32_name_the_same_torrent() {
        let base32 = "magnet:?xt=urn:btih:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N".parse::<Magnet>().unwrap();
        assert_eq!(base32, magnet(""));
        assert_eq!(base32, "MAGNET:?XT=URN:BTIH:vl2mmho4yxukfwv63yhtwsbm3gxksq2n".parse().unwrap());
        assert_eq!(base32.info_hashes.best(), parse_hex_hash(HELLO));
        assert_eq!(parse_hex_hash(&HELLO[1..]), None);
        assert_eq!(parse_hex_hash("VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N"), None);
    }

    #[test]
    fn a_magnet_with_both_hashes_is_a_hybrid() {
        let v2 = "ab".repeat(32);
        let m = magnet(&format!("&xt=urn:btmh:1220{v2}"));
        assert_eq!(m.info_hashes.v2, Some([0xab; 32]));
        assert!(m.info_hashes.v1.is_some());
        let only: Magnet = format!("magnet:?xt=urn:btmh:1220{v2}").parse().unwrap();
        assert_eq!((only.info_hashes.v1, only.info_hashes.v2), (None, Some([0xab; 32])));
        assert_eq!(err(&format!("magnet:?xt=urn:btmh:1320{v2}")), MagnetError::InfoHash);
    }

    #[test]
    fn every_parameter_is_read_and_written_back() {
        let m = magnet(
            "&dn=a%20b%26c&xl=75536&tr=http%3A%2F%2Ft.example%2Fann%3Fk%3D1&tr.1=udp://u.example:80\
             &ws=https://w.example/x%2520y/&x.pe=127.0.0.1:6881&x.pe=[::1]:6882&dht=router.example:6881&so=0,2,4-6&as=x",
        );
        assert_eq!(m.display_name.as_deref(), Some("a b&c"));
        assert_eq!(m.trackers, ["http://t.example/ann?k=1", "udp://u.example:80"]);
        assert_eq!(m.web_seeds, ["https://w.example/x%20y/"]);
        assert_eq!(m.peers, ["127.0.0.1:6881".parse().unwrap(), "[::1]:6882".parse().unwrap()]);
        assert_eq!(m.nodes, ["router.example:6881".parse().unwrap()]);
        assert_eq!((&m.select[..], m.length), (&[0..=0, 2..=2, 4..=6][..], Some(75_536)));
        let text = m.to_string();
        assert_eq!(text.parse::<Magnet>().unwrap(), m);
        assert!(text.contains("&dn=a%20b%26c&xl=75536&tr=http%3A%2F%2Ft.example%2Fann%3Fk%3D1&"), "{text}");
        assert!(text.ends_with("&so=0,2,4-6"), "{text}");
    }

    //= BEP 53: file selection
    #[test]
    fn selected_files_are_ascending_ranges() {
        let select = |so: &str| magnet(&format!("&so={so}")).select;
        assert_eq!(select("4-6,0,1,5-9,x,,7-3,-1"), [0..=1, 4..=9]);
        assert_eq!(select(""), []);
        let last = u32::try_from(limits::FILES_MAX).unwrap() - 1;
        assert_eq!(select("0-4294967295"), [0..=last]);
        assert_eq!(select("4294967295"), []);
        let many: Vec<String> = (0..=limits::SELECT_RANGES_MAX).map(|n| (n * 2).to_string()).collect();
        assert_eq!(select(&many.join(",")).len(), limits::SELECT_RANGES_MAX);
    }

    const PUBLIC_KEY: &str = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";

    //= BEP 46: magnet:?xs=urn:btpk:[public key in hex]&s=[salt in hex]
    #[test]
    fn the_magnets_of_bep_46_name_a_publisher() {
        for (link, salt, target) in [
            (
                format!("magnet:?xs=urn:btpk:{PUBLIC_KEY}"),
                &b""[..],
                "cc3f9d90b572172053626f9980ce261a850d050b",
            ),
            (
                format!("magnet:?xs=urn:btpk:{PUBLIC_KEY}&s=6e"),
                b"n",
                "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f",
            ),
        ] {
            let magnet: Magnet = link.parse().unwrap();
            let publisher = magnet.publisher.clone().unwrap();
            assert_eq!(hex(PUBLIC_KEY), Some(publisher.key));
            assert_eq!(publisher.salt, salt);
            assert_eq!(publisher.item_key().target().to_string(), target);
            assert_eq!((magnet.info_hashes, magnet.to_string()), (InfoHashes::default(), link));
        }
    }

    #[test]
    fn a_mutable_torrent_may_name_a_version_too_and_its_salt_first() {
        let m = magnet(&format!("&s=00FF&xs=http://x.example/a.torrent&xs=urn:BTPK:{PUBLIC_KEY}&dn=a&s=11"));
        assert_eq!(m.publisher.as_ref().unwrap().salt, [0, 0xff]);
        assert_eq!(
            m.to_string(),
            format!("magnet:?xt=urn:btih:{HELLO}&xs=urn:btpk:{PUBLIC_KEY}&s=00ff&dn=a")
        );
        assert_eq!(m.to_string().parse(), Ok(m));
        assert_eq!(magnet("&s=xyz").publisher, None, "without a key it may mean anything");
    }

    #[test]
    fn keys_and_salts_of_bad_lengths_are_refused() {
        let with_key = format!("magnet:?xs=urn:btpk:{PUBLIC_KEY}");
        for key in ["", &PUBLIC_KEY[1..], &PUBLIC_KEY[2..], &format!("{PUBLIC_KEY}00"), &"g".repeat(64)] {
            assert_eq!(err(&format!("magnet:?xs=urn:btpk:{key}")), MagnetError::PublicKey);
        }
        let other = "00".repeat(32);
        assert_eq!(err(&format!("{with_key}&xs=urn:btpk:{other}")), MagnetError::PublicKey);
        for salt in ["6", "6g", "%36", &"00".repeat(limits::ITEM_SALT_LEN_MAX + 1)] {
            assert_eq!(err(&format!("{with_key}&s={salt}")), MagnetError::Salt, "{salt}");
        }
        let longest = "00".repeat(limits::ITEM_SALT_LEN_MAX);
        assert!(format!("{with_key}&s={longest}").parse::<Magnet>().is_ok());
        assert_eq!(err("magnet:?s=6e"), MagnetError::InfoHash);
    }

    #[test]
    fn what_a_magnet_repeats_is_kept_once_and_up_to_a_limit() {
        let peers: String =
            (1..=limits::MAGNET_PEERS_MAX + 1).map(|n| format!("&x.pe=10.0.0.1:{n}")).collect();
        assert_eq!(magnet(&peers).peers.len(), limits::MAGNET_PEERS_MAX);
        let nodes: String = (1..=limits::NODES_MAX + 1).map(|n| format!("&dht=10.0.0.1:{n}")).collect();
        assert_eq!(magnet(&nodes).nodes.len(), limits::NODES_MAX);
        let seeds: String = (1..=limits::WEB_SEEDS_MAX + 1).map(|n| format!("&ws=http://w/{n}")).collect();
        assert_eq!(magnet(&seeds).web_seeds.len(), limits::WEB_SEEDS_MAX);
        assert_eq!(magnet("&tr=http://a&tr=http://a").trackers.len(), 1);
    }

    #[test]
    fn odd_escapes_and_parameters_do_no_harm() {
        let m = magnet("&&=&dn=%&tr=%zz&tr=%FF&x.pe=1&xl=-1&so&dn=second&%00");
        assert_eq!(m, Magnet { display_name: Some("%".to_owned()), ..magnet("") });
        assert_eq!(err("magnet:"), MagnetError::NotMagnet);
        assert_eq!(err("ma\u{e9}\u{e9}\u{e9}\u{e9}"), MagnetError::NotMagnet);
    }
}
