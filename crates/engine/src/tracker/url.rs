//! A tracker's URL: parsed once, refused when it could be aimed at something that is no tracker, shown without keys.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use unchoke_wire::limits;

/// Schemes a tracker may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
    /// `udp` (BEP 15).
    Udp,
}

/// Why text is no tracker's URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Longer than the limit.
    #[error("URL of {0} bytes is too long")]
    TooLong(usize),
    /// Another scheme than `http`, `https` and `udp`, or none.
    #[error("only http, https and udp trackers are known")]
    Scheme,
    /// No host, or one with characters a host name cannot have; international names must come as punycode.
    #[error("malformed host")]
    Host,
    /// A port that is none, or a `udp` URL without one.
    #[error("malformed or missing port")]
    Port,
    /// A control character.
    #[error("control character in URL")]
    Control,
    /// The query has an argument that is ours to give, so that the request would say what its author wants.
    #[error("query has arguments that only the client gives")]
    ClientArgument,
    /// A loopback URL whose path does not begin with `/announce`: it could be aimed at a local service.
    #[error("loopback tracker whose path is not /announce")]
    LoopbackPath,
}

/// A tracker's URL.
#[derive(Clone, PartialEq, Eq)]
pub struct TrackerUrl {
    text: String,
    scheme: Scheme,
    host: String,
    port: u16,
    /// Where the path, or the query of a URL without one, begins in `text`.
    target_at: usize,
    redacted: String,
}

/// Query arguments of an announce.
const CLIENT_ARGUMENTS: [&str; 10] = [
    "info_hash",
    "peer_id",
    "port",
    "uploaded",
    "downloaded",
    "left",
    "event",
    "numwant",
    "compact",
    "no_peer_id",
];

/// Parts of a URL shorter than this are no keys.
const SECRET_LEN_MIN: usize = 6;

impl TrackerUrl {
    /// Reads a URL. Spaces around it and a fragment are dropped; bytes outside ASCII and spaces in it are escaped.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.len() > limits::TRACKER_URL_LEN_MAX {
            return Err(UrlError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(UrlError::Control);
        }
        let (scheme_name, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme_name = scheme_name.to_ascii_lowercase();
        let (scheme, default_port) = match scheme_name.as_str() {
            "http" => (Scheme::Http, Some(80)),
            "https" => (Scheme::Https, Some(443)),
            "udp" => (Scheme::Udp, None),
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // others take it for a slash, and what stands before it for the host
        if authority.contains('\\') {
            return Err(UrlError::Host);
        }
        let (user, host_port) = authority.rsplit_once('@').map_or(("", authority), |(u, h)| (u, h));
        let (host, port) = split_host(host_port)?;
        let given_port =
            port.map(|p| p.parse().ok().filter(|p| *p != 0).ok_or(UrlError::Port)).transpose()?;
        let port = given_port.or(default_port).ok_or(UrlError::Port)?;
        check_target(scheme, &host, target)?;

        let shown_host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let shown_port = given_port.map(|p| format!(":{p}")).unwrap_or_default();
        let mut text = format!("{scheme_name}://");
        if !user.is_empty() {
            text.push_str(&escaped(user));
            text.push('@');
        }
        text.push_str(&format!("{shown_host}{shown_port}"));
        let target_at = text.len();
        text.push_str(&escaped(target));
        if text.len() > limits::TRACKER_URL_LEN_MAX {
            return Err(UrlError::TooLong(text.len()));
        }
        let redacted = format!("{scheme_name}://{shown_host}{shown_port}/…");
        Ok(TrackerUrl { text, scheme, host, port, target_at, redacted })
    }

    /// The URL, pass keys and all.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host, if it is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok().map(|ip: IpAddr| ip.to_canonical())
    }

    /// The port, never zero.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.text[self.target_at..]
    }

    /// The URL without user, path and query, to be shown.
    pub fn redacted(&self) -> &str {
        &self.redacted
    }

    /// `text` with every part of this URL that may be a key taken out.
    pub fn scrub(&self, text: &str) -> String {
        let before_target = &self.text[..self.target_at];
        let user = before_target.split_once('@').map_or("", |(u, _)| u.rsplit('/').next().unwrap_or(""));
        let mut secrets: Vec<&str> = self.target().split(['/', '?', '&', '=', ';']).collect();
        secrets.extend(user.split(':'));
        secrets.retain(|s| s.len() >= SECRET_LEN_MIN && !s.starts_with("announce"));
        // a longer secret may hold a shorter one
        secrets.sort_by_key(|s| core::cmp::Reverse(s.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }
}

impl fmt::Debug for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

fn split_host(text: &str) -> Result<(String, Option<&str>), UrlError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
        let ip: core::net::Ipv6Addr = host.parse().map_err(|_| UrlError::Host)?;
        return match rest.strip_prefix(':') {
            None if rest.is_empty() => Ok((ip.to_string(), None)),
            None => Err(UrlError::Host),
            port => Ok((ip.to_string(), port)),
        };
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_name = !host.is_empty()
        && host.len() <= limits::TRACKER_PEER_NAME_LEN_MAX
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    // resolvers take 2130706433, 0x7f.1 and 0177.0.0.1 for addresses: a host that ends in a number is one or nothing
    let last = host.rsplit('.').next().unwrap_or("");
    let ends_in_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    if !is_name || (ends_in_number && host.parse::<Ipv4Addr>().is_err()) {
        return Err(UrlError::Host);
    }
    Ok((host, port))
}

fn check_target(scheme: Scheme, host: &str, target: &str) -> Result<(), UrlError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let names = query.split(['&', ';']).map(|argument| argument.split('=').next().unwrap_or(""));
    let mut plain = names.map(|name| unescaped(name).to_ascii_lowercase());
    if plain.any(|name| CLIENT_ARGUMENTS.iter().any(|given| given.as_bytes() == name)) {
        return Err(UrlError::ClientArgument);
    }
    let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let is_loopback = ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified())
        || host == "localhost"
        || host.ends_with(".localhost");
    if scheme != Scheme::Udp && is_loopback && !is_announce_path(path) {
        return Err(UrlError::LoopbackPath);
    }
    Ok(())
}

/// Whether a path begins with `/announce`, and still does when who sends it takes steps back out of it.
fn is_announce_path(path: &str) -> bool {
    let path = unescaped(path);
    let mut steps = path.split(|b| matches!(b, b'/' | b'\\'));
    path.starts_with(b"/announce") && !steps.any(|step| step == b"..")
}

/// The bytes that percent signs stand for.
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|d| core::str::from_utf8(d).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|d| u8::from_str_radix(d, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = &rest[if byte.is_some() { 3 } else { 1 }..];
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_graphic() {
            out.push(c);
        } else {
            let mut utf8 = [0; 4];
            c.encode_utf8(&mut utf8).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = TrackerUrl::parse(" HTTPS://user:pw@Tracker.Example.:8443/key/announce?x=1#frag ").unwrap();
        assert_eq!(url.as_str(), "https://user:pw@tracker.example:8443/key/announce?x=1");
        assert_eq!((url.scheme(), url.host(), url.port()), (Scheme::Https, "tracker.example", 8443));
        assert_eq!((url.target(), url.ip()), ("/key/announce?x=1", None));
        assert_eq!(url.redacted(), "https://tracker.example:8443/…");
        let url = TrackerUrl::parse("udp://[2001:db8::1]:6969").unwrap();
        assert_eq!((url.host(), url.port(), url.target()), ("2001:db8::1", 6969, ""));
        assert_eq!(url.ip(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(url.as_str(), "udp://[2001:db8::1]:6969");
        let url = TrackerUrl::parse("http://t.example/ä b").unwrap();
        assert_eq!((url.as_str(), url.port()), ("http://t.example/%C3%A4%20b", 80));
    }

    //= C1
    //= C2
    #[test]
    fn urls_that_are_no_trackers_are_refused() {
        for (text, error) in [
            ("tracker.example/announce", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("wss://t.example/", UrlError::Scheme),
            ("http:///announce", UrlError::Host),
            ("http://b\u{fc}cher.example/announce", UrlError::Host),
            ("http://[::1/announce", UrlError::Host),
            ("http://[::1]x/announce", UrlError::Host),
            ("http://a b/announce", UrlError::Host),
            ("http://2130706433/announce", UrlError::Host),
            ("http://0x7f.0.0.0x1/announce", UrlError::Host),
            ("http://0177.0.0.1/announce", UrlError::Host),
            ("http://127.1/announce", UrlError::Host),
            ("http://t.example:0/announce", UrlError::Port),
            ("http://t.example:65536/announce", UrlError::Port),
            ("http://t.example:/announce", UrlError::Port),
            ("udp://t.example/announce", UrlError::Port),
            ("http://t.example/announce\r\nX: y", UrlError::Control),
            ("http://t.example/announce?a=1&info_hash=x", UrlError::ClientArgument),
            ("http://t.example/announce?Event=stopped", UrlError::ClientArgument),
            ("http://t.example/announce?%69nfo_hash=x", UrlError::ClientArgument),
            ("http://t.example/announce?a=1;PEER%5fid=x", UrlError::ClientArgument),
            ("http://127.0.0.1:9091\\@t.example/announce", UrlError::Host),
            ("http://127.0.0.1:9091/announce/../transmission/rpc", UrlError::LoopbackPath),
            ("http://127.0.0.1:9091/announce/%2e%2E/transmission/rpc", UrlError::LoopbackPath),
            ("http://127.0.0.1:9091/announce/..\\transmission/rpc", UrlError::LoopbackPath),
            ("http://127.0.0.1:9091/transmission/rpc", UrlError::LoopbackPath),
            ("http://[::1]:80/x", UrlError::LoopbackPath),
            ("http://[::ffff:127.0.0.1]/x", UrlError::LoopbackPath),
            ("http://0.0.0.0/x", UrlError::LoopbackPath),
            ("http://localhost./?/announce", UrlError::LoopbackPath),
            ("http://x.localhost/", UrlError::LoopbackPath),
        ] {
            assert_eq!(TrackerUrl::parse(text), Err(error), "{text}");
        }
        assert!(TrackerUrl::parse("http://127.0.0.1:6969/announce?key=1").is_ok());
        assert!(TrackerUrl::parse("udp://localhost:6969").is_ok());
        let long = |len: usize| format!("http://t.example/{}", "x".repeat(len - 17));
        assert!(TrackerUrl::parse(&long(limits::TRACKER_URL_LEN_MAX)).is_ok());
        let above = limits::TRACKER_URL_LEN_MAX + 1;
        assert_eq!(TrackerUrl::parse(&long(above)), Err(UrlError::TooLong(above)));
        let grows = format!("http://t.example/{}", "ä".repeat(1000));
        assert!(matches!(TrackerUrl::parse(&grows), Err(UrlError::TooLong(_))));
    }

    //= C4
    #[test]
    fn keys_are_taken_out_of_texts() {
        let url =
            TrackerUrl::parse("http://joe:hunter22@t.example/0123456789abcdef/announce?pass=topsecret&n=5")
                .unwrap();
        let text = "joe:hunter22 0123456789abcdef/announce topsecret n=5 fine";
        assert_eq!(url.scrub(text), "joe:… …/announce … n=5 fine");
        assert_eq!(format!("{url:?}"), "http://t.example/…");
    }

    proptest! {
        #[test]
        fn any_text_parses_or_errs(text in "(http|udp)://.{0,60}") {
            if let Ok(url) = TrackerUrl::parse(&text) {
                prop_assert_eq!(TrackerUrl::parse(url.as_str()).unwrap(), url.clone());
                prop_assert!(url.as_str().is_ascii());
                url.scrub(&text);
            }
        }
    }
}
