//! Where a torrent may be found: trackers (BEP 12), web seeds (BEP 19) and DHT nodes (BEP 5). Whatever is malformed is
//! left out and counted, never a reason to refuse a torrent.

use std::collections::BTreeSet;

use crate::bencode::{Dict, Value};
use crate::host_port::HostPort;
use crate::limits;

/// What was kept, and how many entries were left out.
pub(super) struct Kept<T> {
    pub(super) items: Vec<T>,
    pub(super) dropped: usize,
}

/// The tracker URL in `raw`, without white space around it: http, https or udp, a host, and a port that exists.
pub(crate) fn tracker_url(raw: &[u8]) -> Option<String> {
    url(raw, &["http", "https", "udp"])
}

/// The web seed's URL in `raw`: http or https. Spaces in it become `%20`.
pub(crate) fn web_seed_url(raw: &[u8]) -> Option<String> {
    url(raw, &["http", "https"])
}

fn url(raw: &[u8], schemes: &[&str]) -> Option<String> {
    let text = core::str::from_utf8(raw).ok()?.trim();
    if text.len() > limits::URL_LEN_MAX || text.contains(char::is_control) {
        return None;
    }
    let text = text.replace(' ', "%20");
    let (scheme, rest) = text.split_once("://")?;
    let is_known = schemes.iter().any(|s| s.eq_ignore_ascii_case(scheme));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (is_known && is_host(host)).then_some(text)
}

/// `host`, `host:port` or the same with a bracketed IPv6 address. Names may be international.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((v6, rest)) if v6.parse::<core::net::Ipv6Addr>().is_ok() => (v6, rest),
            _ => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = |p: &str| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok_and(|p| p > 0);
    !host.is_empty()
        && host.len() <= limits::HOST_LEN_MAX
        && !host.contains(['%', '\\', '<', '>', '"'])
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// The tiers of trackers, each URL once.
//= BEP 12: announce-list
pub(super) fn trackers(root: Dict<'_>) -> Kept<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut kept = Kept { items: Vec::new(), dropped: 0 };
    let mut keep = |url: Value<'_>, dropped: &mut usize| {
        let url = url.as_bytes().and_then(tracker_url);
        if url.is_none() || seen.len() >= limits::TRACKERS_MAX {
            *dropped += 1;
            return None;
        }
        url.filter(|u| seen.insert(u.clone()))
    };
    for tier in root.get(b"announce-list").and_then(|l| l.as_list()).into_iter().flatten() {
        let urls = tier.as_list().into_iter().flatten();
        let tier: Vec<String> = urls.filter_map(|u| keep(u, &mut kept.dropped)).collect();
        if !tier.is_empty() {
            kept.items.push(tier);
        }
    }
    if kept.items.is_empty()
        && let Some(url) =
            root.get(b"announce").filter(|v| v.as_bytes().is_some_and(|b| !b.trim_ascii().is_empty()))
    {
        kept.items.extend(keep(url, &mut kept.dropped).map(|u| vec![u]));
    }
    kept
}

/// The web seeds, each once; those of a torrent with many files are directories and end in a slash.
//= BEP 19: url-list
pub(super) fn web_seeds(root: Dict<'_>, is_multi_file: bool) -> Kept<String> {
    let mut kept = Kept { items: Vec::new(), dropped: 0 };
    let mut seen = BTreeSet::new();
    let Some(value) = root.get(b"url-list") else { return kept };
    let single = value.as_bytes().is_some_and(|b| !b.trim_ascii().is_empty()).then_some(value);
    for url in single.into_iter().chain(value.as_list().into_iter().flatten()) {
        let Some(mut url) =
            url.as_bytes().and_then(web_seed_url).filter(|_| seen.len() < limits::WEB_SEEDS_MAX)
        else {
            kept.dropped += 1;
            continue;
        };
        if is_multi_file && !url.ends_with('/') {
            url.push('/');
        }
        if seen.insert(url.clone()) {
            kept.items.push(url);
        }
    }
    kept
}

/// The DHT nodes. They are no peers.
//= BEP 5: nodes of a trackerless torrent
pub(super) fn nodes(root: Dict<'_>) -> Kept<HostPort> {
    let mut kept = Kept { items: Vec::new(), dropped: 0 };
    for node in root.get(b"nodes").and_then(|l| l.as_list()).into_iter().flatten() {
        match node_of(node).filter(|_| kept.items.len() < limits::NODES_MAX) {
            Some(node) if kept.items.contains(&node) => {}
            Some(node) => kept.items.push(node),
            None => kept.dropped += 1,
        }
    }
    kept
}

fn node_of(value: Value<'_>) -> Option<HostPort> {
    let mut pair = value.as_list()?;
    let host = pair.next()?.as_str()?;
    let port = pair.next()?.as_u64().and_then(|p| u16::try_from(p).ok())?;
    HostPort::new(host, port).ok()
}
