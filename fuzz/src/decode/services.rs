//! What trackers, DHT nodes and the local network say.

use super::is_shown;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use unchoke_wire::bencode::Document;
use unchoke_wire::compact::{self, Family, Remainder};
use unchoke_wire::http_tracker::{AnnounceReply, PeerAddress, ScrapeReply};
use unchoke_wire::item::Item;
use unchoke_wire::krpc::{self, Kind, Method};
use unchoke_wire::limits;
use unchoke_wire::lsd::Announce;
use unchoke_wire::udp_tracker::{Reply, Request};

/// Compact peers are as many as there is room for, have a port, and survive being written again.
pub fn compact(data: &[u8]) {
    for family in [Family::V4, Family::V6] {
        let entry = family.entry_len();
        let is_whole = data.len().is_multiple_of(entry);
        assert_eq!(compact::decode(data, family, Remainder::Refuse).is_ok(), is_whole);
        let peers = compact::decode(data, family, Remainder::Ignore).expect("nothing is refused");
        let peers: Vec<SocketAddr> = peers.collect();
        assert!(peers.len() <= data.len() / entry);
        for peer in peers {
            let mut out = Vec::new();
            compact::encode_into(peer, &mut out);
            assert!(peer.port() != 0 && out.len() <= entry);
            assert_eq!(compact::decode_one(&out), Some(peer));
        }
    }
    assert!(compact::decode_one(data).is_none() || data.len() == 6 || data.len() == 18);
}

/// The reply of an HTTP tracker keeps the limits, and names only peers that can be connected to.
pub fn http_tracker_reply(data: &[u8]) {
    let Ok(reply) = AnnounceReply::parse(data) else { return };
    assert!(data.len() <= limits::TRACKER_REPLY_LEN_MAX && reply.peers.len() <= limits::TRACKER_PEERS_MAX);
    for peer in &reply.peers {
        match &peer.address {
            PeerAddress::Socket(addr) => assert!(addr.port() != 0 && addr.ip() == addr.ip().to_canonical()),
            PeerAddress::Name { host, port } => {
                assert!(*port != 0 && is_shown(host) && host.len() <= limits::TRACKER_PEER_NAME_LEN_MAX);
            }
        }
    }
    assert!([&reply.failure, &reply.warning].into_iter().flatten().all(|t| is_tracker_text(t)));
    let longest = Duration::from_secs(1 << 31);
    assert!([reply.interval, reply.min_interval].into_iter().flatten().all(|i| i <= longest));
    assert!(reply.tracker_id.is_none_or(|id| id.len() <= limits::TRACKER_ID_LEN_MAX));
}

fn is_tracker_text(text: &str) -> bool {
    text.chars().count() <= limits::TRACKER_TEXT_LEN_MAX && !text.chars().any(char::is_control)
}

/// A DHT message keeps the limits, and what was understood of it survives being written again.
pub fn krpc(data: &[u8]) {
    let message = match krpc::Message::decode(data) {
        Ok(message) => message,
        Err(krpc::Error::BadQuery { transaction, .. }) => {
            assert!((1..=limits::KRPC_TRANSACTION_LEN_MAX).contains(&transaction.len()));
            return;
        }
        Err(_) => return,
    };
    assert!((1..=limits::KRPC_TRANSACTION_LEN_MAX).contains(&message.transaction.len()));
    match &message.kind {
        Kind::Query(query) => match &query.method {
            Method::AnnouncePeer { token, port, implied_port, .. } => {
                assert!(token.len() <= limits::KRPC_TOKEN_LEN_MAX && (*port != 0 || *implied_port));
            }
            Method::Put(put) => {
                assert!(put.token.len() <= limits::KRPC_TOKEN_LEN_MAX);
                is_item_value(put.item.value());
                if let Item::Mutable(item) = &put.item {
                    assert!(item.salt.len() <= limits::ITEM_SALT_LEN_MAX);
                }
            }
            method => assert!(method.name().len() <= limits::KRPC_TEXT_LEN_MAX),
        },
        Kind::Response(r) => {
            let lists = [&r.nodes, &r.nodes6].into_iter().flatten();
            assert!(lists.clone().all(|nodes| nodes.len() <= limits::KRPC_NODES_MAX));
            assert!(r.values.len() <= limits::KRPC_VALUES_MAX);
            let addrs = lists.flatten().map(|n| n.addr).chain(r.values.iter().copied());
            assert!(addrs.into_iter().all(|a| a.port() != 0));
            assert!(r.token.as_ref().is_none_or(|t| t.len() <= limits::KRPC_TOKEN_LEN_MAX));
            r.item.iter().filter_map(|item| item.value.as_deref()).for_each(is_item_value);
            if let Some(samples) = &r.samples {
                assert!(samples.hashes.len() <= limits::KRPC_SAMPLES_MAX);
                assert!(samples.interval_s <= limits::KRPC_SAMPLE_INTERVAL_MAX);
            }
        }
        Kind::Error { text, .. } => assert!(text.len() <= limits::KRPC_TEXT_LEN_MAX),
    }
    assert_eq!(krpc::Message::decode(&message.encode()), Ok(message));
}

/// An announce in the local network keeps the limits, and what was understood of it survives being written again.
pub fn lsd(data: &[u8]) {
    let Ok(announce) = Announce::decode(data) else { return };
    assert!(data.len() <= limits::LSD_LEN_MAX);
    assert!(announce.port != 0 && announce.cookie.len() <= limits::LSD_COOKIE_LEN_MAX);
    assert!((1..=limits::LSD_HASHES_MAX).contains(&announce.hashes.len()));
    for family in [Family::V4, Family::V6] {
        let bytes = announce.encode(family);
        assert!(bytes.len() <= limits::LSD_LEN_MAX);
        assert_eq!(Announce::decode(&bytes).as_ref(), Ok(&announce));
    }
}

/// A value within its cap, as bencode wants it.
fn is_item_value(value: &[u8]) {
    assert!(value.len() <= limits::ITEM_VALUE_LEN_MAX);
    assert!(Document::parse(value).expect("a value is one of bencode").root().is_canonical());
}

/// The reply to a scrape keeps the limits and says something.
pub fn scrape_reply(data: &[u8]) {
    let Ok(reply) = ScrapeReply::parse(data) else { return };
    assert!(data.len() <= limits::TRACKER_REPLY_LEN_MAX && reply.files.len() <= limits::SCRAPE_HASHES_MAX);
    assert!(reply.failure.as_deref().is_none_or(is_tracker_text));
}

/// The reply of a UDP tracker keeps the limits, and survives being written again.
pub fn udp_tracker_reply(data: &[u8]) {
    for from in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let Ok(reply) = Reply::decode(data, from) else { continue };
        match &reply {
            Reply::Connect { .. } => {}
            Reply::Announce { peers, .. } => {
                assert!(peers.len() <= limits::TRACKER_PEERS_MAX && peers.iter().all(|p| p.port() != 0));
                // IPv4 addresses written as IPv6 leave the list without one family
                if peers.iter().any(|p| p.is_ipv4() != from.is_ipv4()) {
                    continue;
                }
            }
            Reply::Scrape { stats, .. } => assert!(stats.len() <= limits::SCRAPE_HASHES_MAX),
            Reply::Error { message, .. } => {
                assert!(is_tracker_text(message));
                continue;
            }
        }
        assert_eq!(Reply::decode(&reply.encode(), from), Ok(reply));
    }
}

/// What a UDP tracker is asked survives being written again.
pub fn udp_tracker_request(data: &[u8]) {
    let Ok(request) = Request::decode(data) else { return };
    match &request {
        Request::Connect { .. } => {}
        Request::Announce(a) => assert!(a.url_data.len() <= limits::TRACKER_URL_LEN_MAX),
        Request::Scrape { hashes, .. } => assert!(hashes.len() <= limits::SCRAPE_HASHES_MAX),
    }
    assert_eq!(Request::decode(&request.encode()), Ok(request));
}
