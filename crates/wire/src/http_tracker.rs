//! HTTP trackers (BEP 3, 7, 21, 23, 24, 31, 48): the announce and scrape URLs, and the replies.
//!
//! What UDP trackers share with them, the event and the counts of a scrape, is here too.

use crate::bencode::{self, Dict, Document, Value};
use crate::compact::{self, Family};
use crate::{PeerId, WireHash, limits};
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Why an announce is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum AnnounceEvent {
    /// At the regular interval, or for more peers.
    #[default]
    None,
    /// The download became complete.
    Completed,
    /// The first announce.
    Started,
    /// The last announce.
    Stopped,
}

/// What an announce says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnnounceParams<'a> {
    /// The torrent.
    pub info_hash: WireHash,
    /// Who we are.
    pub peer_id: PeerId,
    /// Our TCP port.
    pub port: u16,
    /// Block bytes sent since `started`.
    pub uploaded: u64,
    /// Block bytes received since `started`.
    pub downloaded: u64,
    /// Bytes that are missing. Zero means seed, so what is not known is said to be large.
    pub left: u64,
    /// Bytes received that failed their hash check.
    pub corrupt: u64,
    /// A number only the tracker and we know; the same over both address families.
    pub key: u32,
    /// Why.
    pub event: AnnounceEvent,
    /// Peers wanted.
    pub numwant: u32,
    /// What the tracker's last reply named as `tracker id`.
    pub tracker_id: Option<&'a [u8]>,
}

//= BEP 3: tracker GET request
//= BEP 23: compact=1
/// The URL of an announce to the tracker at `base`.
pub fn announce_url(base: &str, params: &AnnounceParams<'_>) -> String {
    let mut url = begin_query(base);
    let p = params;
    url.push_str("info_hash=");
    escape(&mut url, &p.info_hash.0);
    url.push_str("&peer_id=");
    escape(&mut url, &p.peer_id.0);
    append(&mut url, format_args!("&port={}&uploaded={}", p.port, p.uploaded));
    append(&mut url, format_args!("&downloaded={}&left={}", p.downloaded, p.left));
    if p.corrupt > 0 {
        append(&mut url, format_args!("&corrupt={}", p.corrupt));
    }
    append(&mut url, format_args!("&key={:08X}", p.key));
    url.push_str(match p.event {
        AnnounceEvent::None => "",
        AnnounceEvent::Completed => "&event=completed",
        AnnounceEvent::Started => "&event=started",
        AnnounceEvent::Stopped => "&event=stopped",
    });
    append(&mut url, format_args!("&numwant={}&compact=1&no_peer_id=1", p.numwant));
    if let Some(id) = p.tracker_id {
        url.push_str("&trackerid=");
        escape(&mut url, id);
    }
    url
}

//= BEP 48: scrape URL convention
/// The URL of a scrape of one torrent at the tracker whose announce URL is `announce`; `None` when what follows the
/// last `/` does not begin with `announce`, which says that the tracker cannot be scraped.
pub fn scrape_url(announce: &str, info_hash: &WireHash) -> Option<String> {
    let announce = without_fragment(announce);
    let at = announce.rfind('/')? + 1;
    let rest = announce[at..].strip_prefix("announce")?;
    let mut url = begin_query(&format!("{}scrape{rest}", &announce[..at]));
    url.push_str("info_hash=");
    escape(&mut url, &info_hash.0);
    Some(url)
}

fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(before, _)| before)
}

fn begin_query(base: &str) -> String {
    let mut url = without_fragment(base).to_owned();
    if !url.contains('?') {
        url.push('?');
    } else if !url.ends_with(['?', '&']) {
        url.push('&');
    }
    url
}

fn append(url: &mut String, args: core::fmt::Arguments<'_>) {
    url.write_fmt(args).expect("writing to a string cannot fail");
}

/// Appends `bytes` with every byte outside the unreserved set of RFC 3986 as `%XX`.
fn escape(url: &mut String, bytes: &[u8]) {
    for &b in bytes {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            url.push(char::from(b));
        } else {
            append(url, format_args!("%{b:02X}"));
        }
    }
}

/// Where a peer of a list is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerAddress {
    /// At an address.
    Socket(SocketAddr),
    /// At a name that has to be resolved (BEP 3 allows it in lists of dictionaries).
    Name {
        /// The name, at most [`limits::TRACKER_PEER_NAME_LEN_MAX`] bytes of ASCII letters, digits, `-`, `.`, `_`.
        host: String,
        /// The TCP port, never zero.
        port: u16,
    },
}

/// A peer a tracker named.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrackerPeer {
    /// Where it is.
    pub address: PeerAddress,
    /// The id it told the tracker; compact lists have none.
    pub peer_id: Option<PeerId>,
}

/// When a tracker that refused wants to be asked again (BEP 31).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RetryIn {
    /// Never.
    Never,
    /// Not before this has passed; whole minutes.
    After(Duration),
}

/// A reply to an announce. Fields that are missing or of the wrong type are `None` or empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnnounceReply {
    /// The tracker refused, for this reason; nothing else but `retry_in` counts.
    pub failure: Option<String>,
    /// A warning for people.
    pub warning: Option<String>,
    /// Time between announces: whole seconds from zero to 2³¹; a negative one is zero.
    pub interval: Option<Duration>,
    /// The least time between announces, as `interval`.
    pub min_interval: Option<Duration>,
    /// To be repeated in later requests. One longer than [`limits::TRACKER_ID_LEN_MAX`] bytes is `None`.
    pub tracker_id: Option<Vec<u8>>,
    /// Seeds.
    pub complete: Option<u32>,
    /// Leeches.
    pub incomplete: Option<u32>,
    /// How often the torrent was downloaded.
    pub downloaded: Option<u32>,
    /// Peers, at most [`limits::TRACKER_PEERS_MAX`], none with port zero.
    pub peers: Vec<TrackerPeer>,
    /// Our address as the tracker sees it.
    pub external_ip: Option<IpAddr>,
    /// When to ask again after a failure.
    pub retry_in: Option<RetryIn>,
}

/// Why bytes are no reply of a tracker.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Longer than the limit.
    #[error("reply of {len} bytes, more than {max}", max = limits::TRACKER_REPLY_LEN_MAX)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Not bencode.
    #[error("reply is not bencode ({source}): \"{text}\"")]
    NotBencode {
        /// Why not.
        source: bencode::Error,
        /// How it begins, for people.
        text: String,
    },
    /// Bencode, but not a dictionary, or a scrape without `files` and `failure reason`.
    #[error("reply is not what a tracker says: \"{text}\"")]
    NotAReply {
        /// How it begins, for people.
        text: String,
    },
}

impl AnnounceReply {
    //= BEP 3: tracker responses
    /// Reads the body of a reply. Bytes after the dictionary are ignored: some servers send a line end.
    pub fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        let doc = parse_document(body)?;
        let root = root_dict(&doc, body)?;
        let mut reply = AnnounceReply::default();
        let mut peers = Vec::new();
        for (key, value) in root.entries() {
            match key {
                b"failure reason" => reply.failure = text_of(value),
                b"warning message" => reply.warning = text_of(value),
                b"interval" => reply.interval = seconds_of(value),
                b"min interval" => reply.min_interval = seconds_of(value),
                b"tracker id" => {
                    let id = value.as_bytes().filter(|id| id.len() <= limits::TRACKER_ID_LEN_MAX);
                    reply.tracker_id = id.map(<[u8]>::to_vec);
                }
                b"complete" => reply.complete = count_of(value),
                b"incomplete" => reply.incomplete = count_of(value),
                b"downloaded" => reply.downloaded = count_of(value),
                b"peers" => take_peers(value, &mut reply.peers),
                //= BEP 7: peers6
                b"peers6" => {
                    let bytes = value.as_bytes().unwrap_or_default();
                    peers.extend(compact_peers(bytes, Family::V6).map(TrackerPeer::from));
                }
                b"external ip" => reply.external_ip = value.as_bytes().and_then(ip_of),
                b"retry in" => reply.retry_in = retry_of(value),
                _ => {}
            }
        }
        reply.peers.append(&mut peers);
        reply.peers.truncate(limits::TRACKER_PEERS_MAX);
        Ok(reply)
    }
}

impl From<SocketAddr> for TrackerPeer {
    fn from(addr: SocketAddr) -> Self {
        TrackerPeer { address: PeerAddress::Socket(addr), peer_id: None }
    }
}

/// What a tracker counts for one torrent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ScrapeStats {
    /// Seeds.
    pub complete: u32,
    /// Leeches, partial seeds among them (BEP 21).
    pub incomplete: u32,
    /// How often the torrent was downloaded.
    pub downloaded: u32,
}

/// A reply to a scrape.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScrapeReply {
    /// The tracker refused, for this reason.
    pub failure: Option<String>,
    /// The torrents it told of, at most [`limits::SCRAPE_HASHES_MAX`].
    pub files: Vec<(WireHash, ScrapeStats)>,
}

impl ScrapeReply {
    //= BEP 48: scrape response
    //= BEP 21: downloaders in scrapes
    /// Reads the body of a reply. Counts that are missing are zero; where there is no `incomplete`, `downloaders`
    /// stands for it.
    pub fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        let doc = parse_document(body)?;
        let root = root_dict(&doc, body)?;
        let failure = root.get(b"failure reason").and_then(text_of);
        let files = root.get(b"files").and_then(|v| v.as_dict());
        if failure.is_none() && files.is_none() {
            return Err(ReplyError::NotAReply { text: text(body) });
        }
        let entries = files.map(|d| d.entries()).into_iter().flatten();
        let files = entries
            .filter_map(|(key, value)| {
                let stats = value.as_dict()?;
                let count = |key: &[u8]| stats.get(key).and_then(count_of);
                let incomplete = count(b"incomplete").or_else(|| count(b"downloaders"));
                let stats = ScrapeStats {
                    complete: count(b"complete").unwrap_or(0),
                    incomplete: incomplete.unwrap_or(0),
                    downloaded: count(b"downloaded").unwrap_or(0),
                };
                Some((WireHash(key.try_into().ok()?), stats))
            })
            .take(limits::SCRAPE_HASHES_MAX)
            .collect();
        Ok(ScrapeReply { failure, files })
    }
}

fn parse_document(body: &[u8]) -> Result<Document<'_>, ReplyError> {
    if body.len() > limits::TRACKER_REPLY_LEN_MAX {
        return Err(ReplyError::TooLong { len: body.len() });
    }
    match Document::parse_prefix(body) {
        Ok((doc, _)) => Ok(doc),
        Err(source) => Err(ReplyError::NotBencode { source, text: text(body) }),
    }
}

fn root_dict<'d>(doc: &'d Document<'_>, body: &[u8]) -> Result<Dict<'d>, ReplyError> {
    doc.root().as_dict().ok_or_else(|| ReplyError::NotAReply { text: text(body) })
}

/// The beginning of what may be text, for people: no control characters, at most
/// [`limits::TRACKER_TEXT_LEN_MAX`] characters.
pub(crate) fn text(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(limits::TRACKER_TEXT_LEN_MAX * 4)];
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(head).trim().chars().map(shown).take(limits::TRACKER_TEXT_LEN_MAX).collect()
}

fn text_of(value: Value<'_>) -> Option<String> {
    value.as_bytes().map(text)
}

/// Some trackers write numbers as strings.
fn int_of(value: Value<'_>) -> Option<i64> {
    value.as_int().or_else(|| value.as_str()?.trim().parse().ok())
}

fn seconds_of(value: Value<'_>) -> Option<Duration> {
    let seconds = int_of(value)?.clamp(0, 1 << 31);
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

fn count_of(value: Value<'_>) -> Option<u32> {
    u32::try_from(int_of(value)?.clamp(0, i64::from(u32::MAX))).ok()
}

//= BEP 31: retry in
fn retry_of(value: Value<'_>) -> Option<RetryIn> {
    if value.as_bytes() == Some(b"never") {
        return Some(RetryIn::Never);
    }
    let minutes = u64::try_from(int_of(value)?).ok()?.min(u64::from(u32::MAX));
    Some(RetryIn::After(Duration::from_secs(minutes * 60)))
}

//= BEP 24: external ip
fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|b| IpAddr::V4(b.into())).ok();
    v4.or_else(|| <[u8; 16]>::try_from(bytes).map(|b| IpAddr::V6(b.into()).to_canonical()).ok())
}

//= BEP 23: compact peers, and dictionaries where a tracker sends them all the same
fn take_peers(value: Value<'_>, peers: &mut Vec<TrackerPeer>) {
    if let Some(bytes) = value.as_bytes() {
        peers.extend(compact_peers(bytes, Family::V4).map(TrackerPeer::from));
    } else if let Some(list) = value.as_list() {
        peers.extend(list.filter_map(|v| peer_of(v.as_dict()?)).take(limits::TRACKER_PEERS_MAX));
    }
}

//= BEP 3: peers as dictionaries
fn peer_of(dict: Dict<'_>) -> Option<TrackerPeer> {
    let port = int_of(dict.get(b"port")?).and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0)?;
    let ip = dict.get(b"ip")?.as_str()?;
    let address = match ip.parse::<IpAddr>() {
        Ok(ip) => PeerAddress::Socket(SocketAddr::new(ip.to_canonical(), port)),
        Err(_) if is_host_name(ip) => PeerAddress::Name { host: ip.to_owned(), port },
        Err(_) => return None,
    };
    let peer_id = dict.get(b"peer id").and_then(|v| v.as_bytes()?.try_into().ok()).map(PeerId);
    Some(TrackerPeer { address, peer_id })
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= limits::TRACKER_PEER_NAME_LEN_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        // a name of digits and dots alone is a misspelt address, which some resolvers would take
        && name.bytes().any(|b| b.is_ascii_alphabetic())
}

/// The peers of a compact list; port zero and a short tail are left out.
pub(crate) fn compact_peers(bytes: &[u8], family: Family) -> impl Iterator<Item = SocketAddr> {
    compact::entries(bytes, family).filter(|a| a.port() != 0).take(limits::TRACKER_PEERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params() -> AnnounceParams<'static> {
        AnnounceParams {
            info_hash: WireHash(
                *b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a",
            ),
            peer_id: PeerId(*b"-UK0100-abc/ ~._+%&="),
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: 3,
            corrupt: 0,
            key: 0xdead_beef,
            event: AnnounceEvent::Started,
            numwant: 200,
            tracker_id: None,
        }
    }

    const HASH: &str = "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";

    fn sock(text: &str) -> TrackerPeer {
        text.parse::<SocketAddr>().unwrap().into()
    }

    //= S60
    //= BEP 3: tracker announces and replies
    #[test]
    fn an_announce_says_all_in_order_and_escapes_what_is_reserved() {
        let url = announce_url("http://t/announce", &params());
        let rest = "&port=6881&uploaded=1&downloaded=2&left=3&key=DEADBEEF&event=started&numwant=200\
                    &compact=1&no_peer_id=1";
        let id = "-UK0100-abc%2F%20~._%2B%25%26%3D";
        assert_eq!(url, format!("http://t/announce?info_hash={HASH}&peer_id={id}{rest}"));
    }

    #[test]
    fn an_announce_goes_behind_a_query_and_drops_a_fragment() {
        let begins = |base: &str, with: &str| {
            let url = announce_url(base, &params());
            assert!(url.starts_with(&format!("{with}info_hash=%12")), "{url}");
            assert!(!url.contains('#'));
        };
        begins("http://t/a?passkey=1", "http://t/a?passkey=1&");
        begins("http://t/a?passkey=1&", "http://t/a?passkey=1&");
        begins("http://t/a?", "http://t/a?");
        begins("http://t/a#x?y", "http://t/a?");
    }

    #[test]
    fn events_tracker_id_and_corrupt_bytes_are_said_when_there_are_any() {
        let with = |event| announce_url("http://t/a", &AnnounceParams { event, ..params() });
        assert!(!with(AnnounceEvent::None).contains("event"));
        assert!(with(AnnounceEvent::Completed).contains("&event=completed&"));
        assert!(with(AnnounceEvent::Stopped).contains("&event=stopped&"));
        let p = AnnounceParams { tracker_id: Some(b"a&b"), corrupt: 9, ..params() };
        let url = announce_url("http://t/a", &p);
        assert!(url.ends_with("&trackerid=a%26b"));
        assert!(url.contains("&left=3&corrupt=9&key="));
    }

    //= BEP 48: scrapes
    #[test]
    fn scrape_urls_follow_the_table_of_bep_48() {
        for (announce, scrape) in [
            ("http://example.com/announce", Some("http://example.com/scrape?")),
            ("http://example.com/x/announce", Some("http://example.com/x/scrape?")),
            ("http://example.com/announce.php", Some("http://example.com/scrape.php?")),
            ("http://example.com/a", None),
            ("http://example.com/announce?x2%0644", Some("http://example.com/scrape?x2%0644&")),
            ("http://example.com/announce?x=2/4", None),
            ("http://example.com/x%064announce", None),
        ] {
            let want = scrape.map(|s| format!("{s}info_hash={HASH}"));
            assert_eq!(scrape_url(announce, &params().info_hash), want);
        }
    }

    //= BEP 7: one announce over each address family
    //= BEP 23: compact peers
    #[test]
    fn compact_peers_of_both_families_parse() {
        let reply =
            AnnounceReply::parse(b"d8:intervali1800e5:peers6:iiiipp6:peers618:iiiiiiiiiiiiiiiippe").unwrap();
        assert_eq!(reply.interval, Some(Duration::from_secs(1800)));
        let v6 = "[6969:6969:6969:6969:6969:6969:6969:6969]:28784";
        assert_eq!(reply.peers, [sock("105.105.105.105:28784"), sock(v6)]);
    }

    //= S13
    //= S60
    //= BEP 3: tracker announces and replies
    #[test]
    fn peers_as_dictionaries_carry_ids_addresses_of_both_families_and_names() {
        let body = b"d8:intervali900e5:peersl\
            d2:ip9:192.0.2.17:peer id20:-XX0001-abcdefghijkl4:porti6881ee\
            d2:ip11:2001:db8::14:porti6882ee\
            d2:ip16:peer.example.org4:porti6883ee\
            d2:ip16:::ffff:192.0.2.24:porti6884ee\
            d2:ip9:192.0.2.34:porti0ee\
            d2:ip9:192.0.2.44:porti65536ee\
            d2:ip9:192.0.2.5e\
            d2:ip10:0x7f.1.1.14:porti1ee\
            d2:ip9:a/b?c d:e4:porti1ee\
            d2:ip3:1.24:porti1ee\
            i5eee";
        let reply = AnnounceReply::parse(body).unwrap();
        let with_id =
            TrackerPeer { peer_id: Some(PeerId(*b"-XX0001-abcdefghijkl")), ..sock("192.0.2.1:6881") };
        let address = PeerAddress::Name { host: "peer.example.org".into(), port: 6883 };
        let name = TrackerPeer { address, peer_id: None };
        assert_eq!(reply.peers[..4], [with_id, sock("[2001:db8::1]:6882"), name, sock("192.0.2.2:6884")]);
        // a name that a resolver would take for an address is a name still: what it resolves to is judged
        assert_eq!(reply.peers.len(), 5);
    }

    //= BEP 24: external ip
    //= BEP 31: retry in
    #[test]
    fn every_other_key_parses() {
        let body = b"d8:completei7e10:downloadedi9e11:external ip4:\xc0\x00\x02\x0914:failure reason4:full\
            10:incompletei8e8:intervali1200e12:min intervali600e5:peers0:8:retry in1:5\
            10:tracker id3:abc15:warning message5:slow\ne";
        let reply = AnnounceReply::parse(body).unwrap();
        let want = AnnounceReply {
            failure: Some("full".into()),
            warning: Some("slow".into()),
            interval: Some(Duration::from_secs(1200)),
            min_interval: Some(Duration::from_secs(600)),
            tracker_id: Some(b"abc".to_vec()),
            complete: Some(7),
            incomplete: Some(8),
            downloaded: Some(9),
            peers: vec![],
            external_ip: Some("192.0.2.9".parse().unwrap()),
            retry_in: Some(RetryIn::After(Duration::from_secs(300))),
        };
        assert_eq!(reply, want);
        let retry = |body: &[u8]| AnnounceReply::parse(body).unwrap().retry_in;
        assert_eq!(retry(b"d8:retry in5:nevere"), Some(RetryIn::Never));
        assert_eq!(retry(b"d8:retry ini2ee"), Some(RetryIn::After(Duration::from_secs(120))));
        assert_eq!(retry(b"d8:retry in4:soone"), None);
        let v6 =
            AnnounceReply::parse(b"d11:external ip16:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01e").unwrap();
        assert_eq!(v6.external_ip, Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn absurd_numbers_are_clamped_and_wrong_types_ignored() {
        let interval =
            |text: &str| AnnounceReply::parse(format!("d8:interval{text}e").as_bytes()).unwrap().interval;
        assert_eq!(interval("i0e"), Some(Duration::ZERO));
        assert_eq!(interval("i-1e"), Some(Duration::ZERO));
        assert_eq!(interval("i9223372036854775807e"), Some(Duration::from_secs(1 << 31)));
        assert_eq!(interval("4:1800"), Some(Duration::from_secs(1800)));
        assert_eq!(interval("4:soon"), None);
        assert_eq!(interval("le"), None);
        let reply =
            AnnounceReply::parse(b"d8:completei-5e14:failure reasoni1e5:peersi1e6:peers6lee").unwrap();
        assert_eq!(reply, AnnounceReply { complete: Some(0), ..AnnounceReply::default() });
    }

    #[test]
    fn caps_hold_at_one_above_them() {
        let wrap = |peers: &[u8]| {
            let len = peers.len();
            [format!("d5:peers{len}:").as_bytes(), peers, b"e"].concat()
        };
        let list = wrap(&[1; 6].repeat(limits::TRACKER_PEERS_MAX + 1));
        assert_eq!(AnnounceReply::parse(&list).unwrap().peers.len(), limits::TRACKER_PEERS_MAX);
        let id = |len: usize| format!("d10:tracker id{len}:{}e", "x".repeat(len));
        let has_id = |len| AnnounceReply::parse(id(len).as_bytes()).unwrap().tracker_id.is_some();
        assert!(has_id(limits::TRACKER_ID_LEN_MAX));
        assert!(!has_id(limits::TRACKER_ID_LEN_MAX + 1));
        let name = |len: usize| {
            let host = "x".repeat(len);
            let body = format!("d5:peersld2:ip{len}:{host}4:porti1eeee");
            AnnounceReply::parse(body.as_bytes()).unwrap().peers.len()
        };
        assert_eq!(name(limits::TRACKER_PEER_NAME_LEN_MAX), 1);
        assert_eq!(name(limits::TRACKER_PEER_NAME_LEN_MAX + 1), 0);
        let long = vec![b'x'; limits::TRACKER_REPLY_LEN_MAX + 1];
        assert_eq!(AnnounceReply::parse(&long), Err(ReplyError::TooLong { len: long.len() }));
        let failure = |len: usize| format!("d14:failure reason{len}:{}e", "x".repeat(len));
        let reply = AnnounceReply::parse(failure(limits::TRACKER_TEXT_LEN_MAX + 1).as_bytes()).unwrap();
        assert_eq!(reply.failure.unwrap().len(), limits::TRACKER_TEXT_LEN_MAX);
        let files = |n: usize| {
            let entries: String = (0..n).map(|i| format!("20:{i:020}de")).collect();
            ScrapeReply::parse(format!("d5:filesd{entries}ee").as_bytes()).unwrap().files.len()
        };
        assert_eq!(files(limits::SCRAPE_HASHES_MAX + 1), limits::SCRAPE_HASHES_MAX);
    }

    #[test]
    fn what_is_no_reply_is_shown_to_people_without_control_characters() {
        let error = AnnounceReply::parse(b"<html>\x1b[31m\xff").unwrap_err();
        let text = "<html> [31m\u{fffd}".to_owned();
        assert_eq!(error, ReplyError::NotBencode { source: bencode::Error::NotBencode(0), text });
        assert!(error.to_string().contains("<html>"));
        assert_eq!(AnnounceReply::parse(b"le"), Err(ReplyError::NotAReply { text: "le".into() }));
        assert!(matches!(AnnounceReply::parse(b""), Err(ReplyError::NotBencode { .. })));
        assert!(AnnounceReply::parse(b"d8:intervali5ee\r\n").is_ok());
    }

    //= BEP 48: scrapes
    //= BEP 21: downloaders in scrapes
    #[test]
    fn the_scrape_response_of_bep_48_parses() {
        let body = b"d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei11e10:downloadedi13772e10:incompletei19ee\
            20:yyyyyyyyyyyyyyyyyyyyd8:completei21e10:downloadedi206e10:incompletei20eeee";
        let stats = |complete, incomplete, downloaded| ScrapeStats { complete, incomplete, downloaded };
        let want = [(WireHash([b'x'; 20]), stats(11, 19, 13772)), (WireHash([b'y'; 20]), stats(21, 20, 206))];
        assert_eq!(ScrapeReply::parse(body).unwrap().files, want);
        let body = b"d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei1e11:downloadersi4eeee";
        assert_eq!(ScrapeReply::parse(body).unwrap().files, [(WireHash([b'x'; 20]), stats(1, 4, 0))]);
        let refused = ScrapeReply::parse(b"d14:failure reason2:noe").unwrap();
        assert_eq!(refused, ScrapeReply { failure: Some("no".into()), files: vec![] });
        assert!(matches!(ScrapeReply::parse(b"de"), Err(ReplyError::NotAReply { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_err(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = AnnounceReply::parse(&bytes);
            let _ = ScrapeReply::parse(&bytes);
        }

        #[test]
        fn any_peers_parse_and_none_has_port_zero(peers in prop::collection::vec(any::<u8>(), 0..100)) {
            let body = [format!("d5:peers{}:", peers.len()).as_bytes(), &peers, b"e"].concat();
            let reply = AnnounceReply::parse(&body).unwrap();
            let is_good = |p: &TrackerPeer| matches!(&p.address, PeerAddress::Socket(a) if a.port() != 0);
            prop_assert!(reply.peers.iter().all(is_good));
            prop_assert!(reply.peers.len() <= peers.len() / 6);
        }

        #[test]
        fn any_announce_url_is_made_of_ascii_graphic_characters(hash: [u8; 20], id: [u8; 20], tracker_id: Vec<u8>) {
            let p = AnnounceParams {
                info_hash: WireHash(hash), peer_id: PeerId(id), tracker_id: Some(&tracker_id), ..params()
            };
            prop_assert!(announce_url("http://t/a", &p).bytes().all(|b| b.is_ascii_graphic()));
        }
    }
}
