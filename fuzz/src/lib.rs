//! Fuzz targets: one function for each decoder, which takes any bytes and asserts what must hold for all of them.
//!
//! A new target is a function here, its line in [`TARGETS`], a folder of seeds in `corpus/` and its name in
//! `cargo-fuzz/Cargo.toml`; a test says which of them is missing. `README.md` tells how to run them.

mod dht_node;
mod hash;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use unchoke_wire::bencode::{self, Document, Value, Writer};
use unchoke_wire::compact::{self, Family, Remainder};
use unchoke_wire::extension::{self, ExtensionHandshake};
use unchoke_wire::handshake::{self, Demux, Handshake};
use unchoke_wire::http_tracker::{AnnounceReply, PeerAddress, ScrapeReply};
use unchoke_wire::item::Item;
use unchoke_wire::krpc::{self, Kind, Method};
use unchoke_wire::lsd::Announce;
use unchoke_wire::magnet::{Magnet, parse_hex_hash};
use unchoke_wire::message::{self, Frame, Message};
use unchoke_wire::metainfo::{FileEntry, Info, Metainfo, PieceHashes};
use unchoke_wire::udp_tracker::{Reply, Request};
use unchoke_wire::ut_metadata::{self, MetadataMessage};
use unchoke_wire::ut_pex::PexMessage;
use unchoke_wire::{Bitfield, PeerId, limits, lt_donthave};

/// A target: takes any bytes, panics when the code under test is wrong.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its corpus folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("bencode", bencode),
    ("bitfield", bitfield),
    ("compact", compact),
    ("dht_node", dht_node::dht_node),
    ("extension_handshake", extension_handshake),
    ("handshake", handshake),
    ("hash", hash::hash),
    ("http_tracker_reply", http_tracker_reply),
    ("krpc", krpc),
    ("lsd", lsd),
    ("lt_donthave", lt_donthave),
    ("magnet", magnet),
    ("message", message),
    ("metainfo", metainfo),
    ("peer_id", peer_id),
    ("scrape_reply", scrape_reply),
    ("udp_tracker_reply", udp_tracker_reply),
    ("udp_tracker_request", udp_tracker_request),
    ("upload_only", upload_only),
    ("ut_metadata", ut_metadata),
    ("ut_pex", ut_pex),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// Bencode is one value over the bytes it was read from, and writing it again with sorted keys is stable.
pub fn bencode(data: &[u8]) {
    let Ok((prefix, used)) = Document::parse_prefix(data) else {
        assert!(Document::parse(data).is_err(), "what has no value in front is no value");
        return;
    };
    assert_eq!(prefix.root().span(), &data[..used]);
    match Document::parse(data) {
        Ok(_) => assert_eq!(used, data.len()),
        Err(error) => assert_eq!(error, bencode::Error::Trailing(used)),
    }
    let (sorted, was_sorted) = rewritten(prefix.root());
    assert!(!was_sorted || sorted == data[..used], "bencode has one form once its keys are sorted");
    let again = Document::parse(&sorted).expect("what we write we read");
    assert_eq!(rewritten(again.root()), (sorted.clone(), true));
}

/// The value with sorted keys, and whether they were sorted.
fn rewritten(value: Value<'_>) -> (Vec<u8>, bool) {
    let mut w = Writer::new();
    let was_sorted = rewrite(value, &mut w);
    (w.finish(), was_sorted)
}

fn rewrite(value: Value<'_>, w: &mut Writer) -> bool {
    let mut is_sorted = true;
    if let Some(i) = value.as_int() {
        w.int(i);
    } else if let Some(s) = value.as_bytes() {
        w.bytes(s);
    } else if let Some(items) = value.as_list() {
        w.list(|w| items.for_each(|item| is_sorted &= rewrite(item, w)));
    } else {
        let dict = value.as_dict().expect("a value is one of four kinds");
        is_sorted &= dict.entries().map(|(key, _)| key).is_sorted();
        let map: BTreeMap<&[u8], Value<'_>> = dict.entries().collect();
        assert_eq!(map.len(), dict.entries().count(), "no key is there twice");
        w.dict(|d| map.iter().for_each(|(key, item)| is_sorted &= rewrite(*item, d.key(key))));
    }
    is_sorted
}

/// A bitfield is the bytes it was read from, and counts what it lists. The first two bytes say how many pieces.
pub fn bitfield(data: &[u8]) {
    let Some((len, bytes)) = data.split_first_chunk() else { return };
    let len = u32::from(u16::from_be_bytes(*len));
    let Ok(set) = Bitfield::from_bytes(bytes, len) else { return };
    assert_eq!(set.as_bytes(), bytes);
    assert!(set.iter().all(|p| p.0 < len && set.has(p)));
    assert_eq!(set.iter().count(), set.count() as usize);
    assert_eq!(set.missing().count(), (len - set.count()) as usize);
}

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

/// An extension handshake keeps the limits, and what was understood of it survives being written again.
pub fn extension_handshake(data: &[u8]) {
    let Ok(h) = ExtensionHandshake::decode(data) else { return };
    assert!(data.len() <= limits::EXTENSION_HANDSHAKE_LEN_MAX);
    assert!(h.port != Some(0) && h.request_queue_len != Some(0));
    assert!(h.metadata_size.is_none_or(|n| n > 0 && n <= limits::METADATA_LEN_MAX));
    assert!(h.client.as_deref().is_none_or(|c| is_shown(c) && c.len() <= limits::CLIENT_NAME_LEN_MAX));
    assert_eq!(ExtensionHandshake::decode(&h.encode()), Ok(h));
}

fn is_shown(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

/// A handshake is the bytes it was read from, at every length of them, and the demultiplexer agrees.
pub fn handshake(data: &[u8]) {
    let whole = Handshake::decode(data);
    for end in 0..data.len().min(handshake::HANDSHAKE_LEN) {
        match handshake::parse_prefix(&data[..end]) {
            Ok(prefix) => assert_eq!(prefix.is_some(), end >= handshake::PREFIX_LEN),
            Err(_) => assert!(whole.is_err(), "what is wrong at first stays wrong"),
        }
    }
    let expected = match whole {
        Err(_) => Demux::Other,
        Ok(_) if data.len() < 20 => Demux::NeedMore,
        Ok(_) => Demux::BitTorrent,
    };
    assert_eq!(handshake::demux(data), expected);
    if let Ok(Some(h)) = whole {
        assert_eq!(h.encode(), data[..handshake::HANDSHAKE_LEN]);
    }
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

/// `lt_donthave` is four bytes and nothing else.
pub fn lt_donthave(data: &[u8]) {
    match lt_donthave::decode(data) {
        Ok(piece) => assert_eq!(lt_donthave::encode(piece), data),
        Err(_) => assert_ne!(data.len(), 4),
    }
}

/// A magnet keeps the limits, and what was understood of it survives being written again.
pub fn magnet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(hash) = parse_hex_hash(text) {
        assert_eq!(hash.to_string(), text.to_ascii_lowercase());
    }
    let Ok(magnet) = text.parse::<Magnet>() else { return };
    assert!(text.len() <= limits::MAGNET_LEN_MAX);
    match &magnet.publisher {
        Some(publisher) => assert!(publisher.salt.len() <= limits::ITEM_SALT_LEN_MAX),
        None => assert!(magnet.info_hashes.best().is_some()),
    }
    assert!(magnet.trackers.len() <= limits::TRACKERS_MAX && magnet.web_seeds.len() <= limits::WEB_SEEDS_MAX);
    assert!(magnet.peers.len() <= limits::MAGNET_PEERS_MAX && magnet.nodes.len() <= limits::NODES_MAX);
    assert!(magnet.select.len() <= limits::SELECT_RANGES_MAX);
    assert!(magnet.select.iter().all(|r| r.start() <= r.end()));
    assert!(magnet.length.is_none_or(|n| n <= limits::TORRENT_LEN_MAX));
    assert!(magnet.display_name.as_deref().is_none_or(is_shown));
    let written = magnet.to_string();
    // escaping makes text longer
    if written.len() <= limits::MAGNET_LEN_MAX {
        assert_eq!(written.parse(), Ok(magnet));
    }
}

/// A stream of messages is the bytes it was read from, message by message, and no shorter cut of one is read.
pub fn message(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((message, used))) = Message::parse(rest) {
        let bytes = &rest[..used];
        assert_eq!(message.to_vec(), bytes);
        let frame = Frame::parse(bytes).expect("it was read").expect("it was read");
        assert!(frame.total_len() == used && frame.len <= limits::MESSAGE_LEN_MAX);
        assert_eq!(Message::parse(&bytes[..used - 1]), Ok(None));
        let header = message::parse_piece_header(bytes).expect("it was read");
        match message {
            Message::Piece { piece, begin, data } => {
                let block = header.expect("a whole piece message has its header");
                assert_eq!((block.piece, block.begin, block.len as usize), (piece, begin, data.len()));
                assert!(block.len <= limits::PIECE_DATA_LEN_MAX);
                assert_eq!(message::piece_header(block), bytes[..message::PIECE_HEADER_LEN]);
            }
            _ => assert_eq!(header, None),
        }
        rest = &rest[used..];
    }
}

/// A `.torrent` file that is read fits together, keeps the limits, and names only safe and different paths.
pub fn metainfo(data: &[u8]) {
    let Ok(m) = Metainfo::parse(data) else {
        // the same bytes may be an info dictionary alone
        if let Ok(info) = Info::parse(data) {
            fits_together(&info);
        }
        return;
    };
    assert!(data.len() <= limits::METAINFO_LEN_MAX);
    assert!(m.info_hashes.matches(&m.raw_info));
    assert!(data.windows(m.raw_info.len()).any(|w| w == m.raw_info));
    assert_eq!(Info::parse(&m.raw_info).as_ref(), Ok(&m.info));
    fits_together(&m.info);
    assert!(m.trackers.iter().map(Vec::len).sum::<usize>() <= limits::TRACKERS_MAX);
    assert!(m.web_seeds.len() <= limits::WEB_SEEDS_MAX && m.nodes.len() <= limits::NODES_MAX);
    let texts = [&m.comment, &m.created_by];
    assert!(texts.into_iter().flatten().all(|t| t.len() <= limits::TEXT_LEN_MAX));
    assert!(m.piece_layers.values().all(|layer| layer.len().is_multiple_of(32)));
}

fn fits_together(info: &Info) {
    assert!(!info.files.is_empty() && info.files.len() <= limits::FILES_MAX);
    assert_eq!(info.files.iter().map(|f| f.length).sum::<u64>(), info.layout.total_len());
    if let PieceHashes::V1(hashes) = &info.pieces {
        assert_eq!(hashes.len(), info.layout.piece_count() as usize);
    }
    let elements = |f: &FileEntry| f.path.iter().chain(f.symlink.iter().flatten()).all(|e| is_safe(e));
    assert!(is_safe(&info.name) && info.files.iter().all(elements));
    let on_disk: Vec<String> =
        info.files.iter().filter(|f| !f.is_pad).map(|f| f.path.join("/").to_lowercase()).collect();
    assert!(on_disk.iter().all(|p| !p.is_empty() && p.len() <= 2 * limits::PATH_LEN_MAX));
    assert_eq!(on_disk.iter().collect::<BTreeSet<_>>().len(), on_disk.len(), "no two files share a path");
}

/// Whether a path element stays in its directory and can be a name there.
fn is_safe(element: &str) -> bool {
    !matches!(element, "" | "." | "..")
        && element.len() <= limits::NAME_LEN_MAX
        && !element.contains(['/', '\\', ':'])
        && !element.chars().any(char::is_control)
}

/// The name of a client is short and fit to be shown.
pub fn peer_id(data: &[u8]) {
    let Some(id) = data.first_chunk() else { return };
    if let Some(client) = PeerId(*id).client() {
        assert!(is_shown(&client) && client.len() <= limits::CLIENT_NAME_LEN_MAX);
    }
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

/// `upload_only` is one byte and nothing else.
pub fn upload_only(data: &[u8]) {
    match extension::decode_upload_only(data) {
        Ok(flag) => assert_eq!(extension::decode_upload_only(&extension::encode_upload_only(flag)), Ok(flag)),
        Err(_) => assert_ne!(data.len(), 1),
    }
}

/// A metadata message survives being written again, and a block in it has the one length it may have.
pub fn ut_metadata(data: &[u8]) {
    let Ok(Some(message)) = MetadataMessage::decode(data) else { return };
    let encoded = message.encode();
    assert_eq!(MetadataMessage::decode(&encoded), Ok(Some(message)));
    if let MetadataMessage::Data { block, total_size, data } = message {
        assert!(total_size <= limits::METADATA_LEN_MAX && block < ut_metadata::block_count(total_size));
        assert_eq!(ut_metadata::block_len(total_size, block), u32::try_from(data.len()).ok());
    }
}

/// A peer exchange message keeps the limits, and what was understood of it survives being written again.
pub fn ut_pex(data: &[u8]) {
    let Ok(mut message) = PexMessage::decode(data) else { return };
    assert!(data.len() <= limits::PEX_LEN_MAX);
    // so many of each family are read, and of both together written
    assert!(message.added.len() <= 2 * limits::PEX_ADDED_MAX);
    assert!(message.dropped.len() <= 2 * limits::PEX_DROPPED_MAX);
    message.added.truncate(limits::PEX_ADDED_MAX);
    message.dropped.truncate(limits::PEX_DROPPED_MAX);
    assert!(
        message.added.iter().map(|p| p.addr).chain(message.dropped.iter().copied()).all(|a| a.port() != 0)
    );
    message.surplus = 0;
    let again = PexMessage::decode(&message.encode()).expect("what we write we read");
    // an IPv4 address written as IPv6 changes its list, and so its place
    let sorted = |mut m: PexMessage| {
        m.added.sort_unstable_by_key(|p| (p.addr, p.flags.bits()));
        m.dropped.sort_unstable();
        m
    };
    assert_eq!(sorted(again), sorted(message));
}
