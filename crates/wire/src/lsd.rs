//! Local service discovery (BEP 14): a datagram in the shape of an HTTP request, multicast in the local network, that
//! names torrents and the port its sender takes peers on.

use crate::info_hash::WireHash;
use crate::{limits, magnet};
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use crate::compact::Family;

/// The group and port of IPv4.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);
/// The group of IPv6, of the site.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);
/// The port of both groups.
pub const PORT: u16 = 6771;

const METHOD: &str = "BT-SEARCH * HTTP/1.1";

/// Where announces of a family are sent.
pub fn group(family: Family) -> SocketAddr {
    let ip = match family {
        Family::V4 => IpAddr::V4(GROUP_V4),
        Family::V6 => IpAddr::V6(GROUP_V6),
    };
    SocketAddr::new(ip, PORT)
}

/// An announce: its sender has these torrents and takes peers on this port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announce<'a> {
    /// TCP port for peers, never 0.
    pub port: u16,
    /// The torrents: 1 to [`limits::LSD_HASHES_MAX`].
    pub hashes: Vec<WireHash>,
    /// What tells a sender its own announces, at most [`limits::LSD_COOKIE_LEN_MAX`] bytes; empty when it sent none.
    pub cookie: &'a [u8],
}

/// Why a datagram is no announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LsdError {
    /// Longer than [`limits::LSD_LEN_MAX`].
    #[error("announce of {got} bytes, {max} are the most", max = limits::LSD_LEN_MAX)]
    TooLong {
        /// Bytes received.
        got: usize,
    },
    /// Its first line is another.
    #[error("not a BT-SEARCH")]
    OtherMethod,
    /// No port, or not one from 1 to 65535.
    #[error("announce without a port")]
    NoPort,
    /// Not one whole info-hash.
    #[error("announce without an info-hash")]
    NoHash,
}

impl<'a> Announce<'a> {
    //= BEP 14: BT-SEARCH
    /// Reads a datagram. Lines may end with LF alone; case of names, blanks around values, the order of headers,
    /// headers not known here and what comes after an empty line are let pass. Of headers that may be there once the
    /// first counts; an info-hash that is none is left out.
    ///
    /// # Errors
    /// [`LsdError`], as its variants say.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, LsdError> {
        if datagram.len() > limits::LSD_LEN_MAX {
            return Err(LsdError::TooLong { got: datagram.len() });
        }
        let mut lines = datagram.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let is_search = |line: &[u8]| line.trim_ascii().eq_ignore_ascii_case(METHOD.as_bytes());
        if !lines.next().is_some_and(is_search) {
            return Err(LsdError::OtherMethod);
        }
        let (mut port, mut hashes, mut cookie) = (None, Vec::new(), None);
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some((name, value)) = header(line) else { continue };
            if name.eq_ignore_ascii_case(b"port") {
                port = port.or_else(|| number(value));
            } else if name.eq_ignore_ascii_case(b"infohash") && hashes.len() < limits::LSD_HASHES_MAX {
                hashes.extend(hash(value));
            } else if name.eq_ignore_ascii_case(b"cookie") && value.len() <= limits::LSD_COOKIE_LEN_MAX {
                cookie = cookie.or(Some(value));
            }
        }
        let port = port.ok_or(LsdError::NoPort)?;
        if hashes.is_empty() {
            return Err(LsdError::NoHash);
        }
        Ok(Announce { port, hashes, cookie: cookie.unwrap_or_default() })
    }

    /// The datagram for the group of a family, at most [`limits::LSD_LEN_MAX`] bytes.
    ///
    /// # Panics
    /// When there is no hash, or more hashes or a longer cookie than the limits allow.
    pub fn encode(&self, family: Family) -> Vec<u8> {
        assert!((1..=limits::LSD_HASHES_MAX).contains(&self.hashes.len()), "an announce has its hashes");
        assert!(self.cookie.len() <= limits::LSD_COOKIE_LEN_MAX, "cookies keep the limit");
        let mut text = format!("{METHOD}\r\nHost: {}\r\nPort: {}\r\n", group(family), self.port);
        for hash in &self.hashes {
            write!(text, "Infohash: {hash}\r\n").expect("a string takes all that is written");
        }
        let mut out = text.into_bytes();
        if !self.cookie.is_empty() {
            out.extend_from_slice(b"cookie: ");
            out.extend_from_slice(self.cookie);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n\r\n");
        assert!(out.len() <= limits::LSD_LEN_MAX, "what the limits allow fits");
        out
    }
}

/// Name and value of a header line.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = Some(line).filter(|line| line.len() <= limits::LSD_LINE_LEN_MAX)?;
    let colon = line.iter().position(|b| *b == b':')?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

/// A port: digits alone, 1 to 65535.
fn number(value: &[u8]) -> Option<u16> {
    let digits = core::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|port| *port != 0)
}

fn hash(value: &[u8]) -> Option<WireHash> {
    magnet::parse_hex_hash(core::str::from_utf8(value).ok()?).map(|hash| hash.wire())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";

    fn wire(hash: &str) -> WireHash {
        magnet::parse_hex_hash(hash).unwrap().wire()
    }

    #[test]
    fn an_announce_is_written_as_other_clients_write_it() {
        let announce = Announce { port: 6881, hashes: vec![wire(HASH)], cookie: b"1f2e" };
        let text = |host: &str| {
            format!(
                "BT-SEARCH * HTTP/1.1\r\nHost: {host}:6771\r\nPort: 6881\r\nInfohash: {HASH}\r\ncookie: 1f2e\r\n\r\n\r\n"
            )
        };
        assert_eq!(
            announce.encode(Family::V4).escape_ascii().to_string(),
            text("239.192.152.143").escape_default().to_string()
        );
        assert_eq!(announce.encode(Family::V6), text("[ff15::efc0:988f]").as_bytes());
        assert_eq!(Announce::decode(text("239.192.152.143").as_bytes()), Ok(announce));
    }

    #[test]
    fn announces_are_read_liberally() {
        let upper = HASH.to_uppercase();
        for text in [
            format!("BT-SEARCH * HTTP/1.1\nport:6881\ninfohash:{HASH}\n"),
            format!(
                "bt-search * http/1.1 \r\nX-New: a\r\nINFOHASH:  {upper} \r\nnonsense\r\nPORT: 6881\r\nPort: 9\r\n\r\n"
            ),
            format!("BT-SEARCH * HTTP/1.1\r\nInfohash: {HASH}0\r\nInfohash: {HASH}\r\nPort: x\r\nPort: 6881"),
            format!(
                "BT-SEARCH * HTTP/1.1\r\nPort: 6881\r\nInfohash: {HASH}\r\n\r\nPort: 1\r\nInfohash: {HASH}"
            ),
        ] {
            let expected = Announce { port: 6881, hashes: vec![wire(HASH)], cookie: b"" };
            assert_eq!(Announce::decode(text.as_bytes()), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_announce_is_told_apart() {
        let with = |rest: &str| format!("BT-SEARCH * HTTP/1.1\r\n{rest}");
        for (text, error) in [
            (String::new(), LsdError::OtherMethod),
            ("M-SEARCH * HTTP/1.1\r\nPort: 1\r\n".to_owned(), LsdError::OtherMethod),
            (with(&format!("Infohash: {HASH}\r\n")), LsdError::NoPort),
            (with(&format!("Port: 0\r\nInfohash: {HASH}\r\n")), LsdError::NoPort),
            (with(&format!("Port: 65536\r\nInfohash: {HASH}\r\n")), LsdError::NoPort),
            (with(&format!("Port: +1\r\nInfohash: {HASH}\r\n")), LsdError::NoPort),
            (with("Port: 1\r\n"), LsdError::NoHash),
            (with(&format!("Port: 1\r\nInfohash: {}\r\n", &HASH[1..])), LsdError::NoHash),
        ] {
            assert_eq!(Announce::decode(text.as_bytes()), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_announce_keeps_to_one_frame() {
        let cookie = [b'x'; limits::LSD_COOKIE_LEN_MAX];
        let hashes = vec![wire(HASH); limits::LSD_HASHES_MAX];
        let announce = Announce { port: 65_535, hashes, cookie: &cookie };
        let mut bytes = announce.encode(Family::V4);
        assert_eq!(Announce::decode(&bytes), Ok(announce));
        bytes.resize(limits::LSD_LEN_MAX, b'\n');
        assert!(Announce::decode(&bytes).is_ok());
        bytes.push(b'\n');
        assert_eq!(Announce::decode(&bytes), Err(LsdError::TooLong { got: limits::LSD_LEN_MAX + 1 }));
    }

    #[test]
    fn hashes_cookies_and_lines_above_the_limits_are_left_out() {
        // the short form of a header leaves room for one more than we send
        let mut text = "BT-SEARCH * HTTP/1.1\nPort:1\n".to_owned();
        (0..=limits::LSD_HASHES_MAX).for_each(|_| text += &format!("Infohash:{HASH}\n"));
        assert_eq!(Announce::decode(text.as_bytes()).unwrap().hashes.len(), limits::LSD_HASHES_MAX);
        let with = |line: String| format!("BT-SEARCH * HTTP/1.1\n{line}\nPort:1\nInfohash:{HASH}\n");
        for (len, kept) in
            [(limits::LSD_COOKIE_LEN_MAX, limits::LSD_COOKIE_LEN_MAX), (limits::LSD_COOKIE_LEN_MAX + 1, 0)]
        {
            let text = with(format!("cookie:{}", "c".repeat(len)));
            assert_eq!(Announce::decode(text.as_bytes()).unwrap().cookie.len(), kept);
        }
        for (len, port) in [(limits::LSD_LINE_LEN_MAX, 7), (limits::LSD_LINE_LEN_MAX + 1, 1)] {
            let text = with(format!("Port:{}7", " ".repeat(len - 6)));
            assert_eq!(Announce::decode(text.as_bytes()).unwrap().port, port);
        }
    }

    #[test]
    #[should_panic(expected = "an announce has its hashes")]
    fn more_hashes_than_fit_cannot_be_sent() {
        let hashes = vec![wire(HASH); limits::LSD_HASHES_MAX + 1];
        Announce { port: 1, hashes, cookie: b"" }.encode(Family::V4);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(port in 1u16.., hashes in prop::collection::vec(any::<[u8; 20]>(), 1..24), cookie in "[0-9a-z]{0,64}") {
            let announce =
                Announce { port, hashes: hashes.into_iter().map(WireHash).collect(), cookie: cookie.as_bytes() };
            let bytes = announce.encode(Family::V6);
            prop_assert_eq!(Announce::decode(&bytes), Ok(announce));
        }
    }
}
