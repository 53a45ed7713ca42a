//! Rows about trackers, web seeds, nodes, texts, and magnets.

use super::bencode::*;
use super::{Case, Listed, magnet_read, magnet_refused, read};
use unchoke_wire::limits;
use unchoke_wire::metainfo::Warning;
use unchoke_wire::time::UnixTime;

pub const ROWS: &[Listed] = &[
    (54, "a hundred thousand tiers", || {
        let tiers: Vec<_> = (0..100_000).map(|i| list(&[str(&format!("udp://t{i}.example:80"))])).collect();
        vec![read(torrent_with(&[("announce-list", list(&tiers))]), |m| {
            assert_eq!(m.trackers.len(), limits::TRACKERS_MAX);
            assert_eq!(m.trackers[0], ["udp://t0.example:80"]);
            assert_eq!(m.warnings, [Warning::TrackersDropped(100_000 - limits::TRACKERS_MAX)]);
        })]
    }),
    (55, "trackers of other kinds and ports", other_trackers),
    (56, "a tracker on a link-local address is data until it is dialled", || {
        let url = "http://169.254.169.254/x?info_hash=";
        vec![read(torrent_with(&[("announce", str(url))]), move |m| assert_eq!(m.trackers, [[url]]))]
    }),
    (57, "a hundred thousand web seeds", || {
        let urls: Vec<_> = (0..100_000).map(|i| str(&format!("http://127.0.0.1/{i}?q"))).collect();
        vec![read(torrent_with(&[("url-list", list(&urls))]), |m| {
            assert_eq!(m.web_seeds.len(), limits::WEB_SEEDS_MAX);
            assert_eq!(m.warnings, [Warning::WebSeedsDropped(100_000 - limits::WEB_SEEDS_MAX)]);
        })]
    }),
    (58, "nodes without port or name", nodes),
    (59, "dates and texts out of bounds", texts),
    (60, "private", || {
        let of = |value, is_private| {
            read(torrent_where("private", value), move |m: &unchoke_wire::Metainfo| {
                assert_eq!(m.info.private, is_private);
            })
        };
        // outside the info dictionary it means nothing
        let outside = read(torrent_with(&[("private", int(1))]), |m| assert!(!m.info.private));
        vec![of(int(1), true), of(int(0), false), of(str("1"), false), outside]
    }),
    (61, "magnets without a good hash", bad_hashes),
    (62, "magnets of two torrents or of all files", two_torrents),
    (63, "magnets of a megabyte or ten thousand trackers", large_magnets),
    (64, "a peer on loopback is data until it is dialled", || {
        vec![magnet_read(format!("{}&x.pe=127.0.0.1:22&x.pe=h:0", magnet()), |m| {
            assert!(m.peers.len() == 1 && m.peers[0].ip().is_some_and(|ip| ip.is_loopback()));
        })]
    }),
];

fn magnet() -> String {
    format!("magnet:?xt=urn:btih:{}", "a".repeat(40))
}

fn other_trackers() -> Vec<Case> {
    let url_of = |len: usize| format!("http://h/{}", "a".repeat(len - 9));
    let long = url_of(limits::URL_LEN_MAX + 1);
    let bad = [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://h/",
        "ws://h/",
        "wss://h/",
        "http://h:0/announce",
        "http://h:65536/announce",
        "udp://h:-1",
        "udp://[::1/announce",
        "http:///announce",
        "http://",
        "http://a\nb/",
        "http://u:p@:80/",
        "//h/announce",
        "",
        &long,
    ];
    let listed = |url: &str| torrent_with(&[("announce-list", list(&[list(&[str(url)])]))]);
    let mut all: Vec<Case> = Vec::new();
    for url in bad {
        let url_shown = url.to_owned();
        all.push(read(listed(url), move |m| {
            assert!(m.trackers.is_empty(), "{url_shown}");
            assert_eq!(m.warnings, [Warning::TrackersDropped(1)], "{url_shown}");
        }));
    }
    let alone = |url: &[u8]| torrent_with(&[("announce", bytes(url))]);
    all.push(read(alone(b"http://\xff/"), |m| assert!(m.trackers.is_empty())));
    all.push(read(alone(url_of(limits::URL_LEN_MAX).as_bytes()), |m| assert_eq!(m.trackers.len(), 1)));
    all
}

fn nodes() -> Vec<Case> {
    let node = |host: &str, port| list(&[str(host), int(port)]);
    let bad = [
        node("h", 0),
        node("h", 65_536),
        node("h", -1),
        node(&"n".repeat(10_000), 1),
        node("", 1),
        node("a b", 1),
        list(&[str("h")]),
        int(1),
        node("ok.example", 1),
    ];
    let many: Vec<_> = (1..=1000).map(|port| node("h", port)).collect();
    let just: Vec<_> = many[..limits::NODES_MAX + 1].to_vec();
    let capped = |m: &unchoke_wire::Metainfo| assert_eq!(m.nodes.len(), limits::NODES_MAX);
    vec![
        read(torrent_with(&[("nodes", list(&bad))]), |m| {
            assert_eq!(m.nodes, ["ok.example:1".parse().expect("is one")]);
            assert_eq!(m.warnings, [Warning::NodesDropped(8)]);
        }),
        read(torrent_with(&[("nodes", list(&just))]), capped),
        read(torrent_with(&[("nodes", list(&many))]), capped),
    ]
}

fn texts() -> Vec<Case> {
    let comment = format!("a\u{1b}[31m\r\nb\u{85}{}", "\u{20ac}".repeat(4 << 20));
    let clamped = torrent_with(&[
        ("comment", str(&comment)),
        ("created by", bytes(b"x\xff\0y")),
        ("creation date", int(i64::MAX)),
    ]);
    let text = |len| torrent_with(&[("comment", str(&"c".repeat(len)))]);
    let date = |raw: &[u8]| torrent_with(&[("creation date", raw.to_vec())]);
    let len_is =
        |len| move |m: &unchoke_wire::Metainfo| assert_eq!(m.comment.as_ref().map(String::len), Some(len));
    vec![
        read(clamped, |m| {
            let comment = m.comment.as_deref().expect("has one");
            assert!(comment.starts_with("a[31m\nb\u{20ac}") && comment.ends_with('\u{20ac}'));
            assert!(comment.len() <= limits::TEXT_LEN_MAX && comment.len() > limits::TEXT_LEN_MAX - 10);
            assert_eq!(m.created_by.as_deref(), Some("x\u{fffd}y"));
            assert_eq!(m.creation_date, Some(UnixTime(253_402_300_799)));
        }),
        read(text(limits::TEXT_LEN_MAX), len_is(limits::TEXT_LEN_MAX)),
        read(text(limits::TEXT_LEN_MAX + 1), len_is(limits::TEXT_LEN_MAX)),
        read(date(b"i-1e"), |m| assert_eq!(m.creation_date, None)),
        super::refused(date(b"i9223372036854775808e"), "Number"),
    ]
}

fn bad_hashes() -> Vec<Case> {
    let hash = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
    [
        String::new(),
        "xt=urn:btih:".to_owned(),
        format!("xt=urn:btih:{}", &hash[1..]),
        format!("xt=urn:btih:{hash}0"),
        format!("xt=urn:btih: {hash}"),
        format!("xt=urn:btih:{} {}", &hash[..20], &hash[21..]),
        format!("xt=urn:btih:g{}", &hash[1..]),
        "xt=urn:btih:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ21".to_owned(),
        "xt=urn:sha1:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N".to_owned(),
        format!("xt=urn:btmh:1220{hash}"),
    ]
    .map(|xt| magnet_refused(format!("magnet:?{xt}&dn=x"), "InfoHash"))
    .into()
}

fn two_torrents() -> Vec<Case> {
    let two = format!("{}&xt=urn:btih:{}", magnet(), "b".repeat(40));
    let two_v2 = format!("magnet:?xt=urn:btmh:1220{0}&xt=urn:btmh:1220{1}", "a".repeat(64), "b".repeat(64));
    let ranges = |n: usize| (0..n).map(|i| (i * 2).to_string()).collect::<Vec<_>>().join(",");
    let max = limits::SELECT_RANGES_MAX;
    let capped = move |m: &unchoke_wire::Magnet| assert_eq!(m.select.len(), max);
    vec![
        magnet_refused(two, "InfoHash"),
        magnet_refused(two_v2, "InfoHash"),
        magnet_read(format!("{}&so=0-2147483648", magnet()), |m| assert_eq!(m.select, [0..=999_999])),
        magnet_read(format!("{}&so={}", magnet(), ranges(max)), capped),
        magnet_read(format!("{}&so={}", magnet(), ranges(max + 1)), capped),
    ]
}

fn large_magnets() -> Vec<Case> {
    let big = |len: usize| magnet() + &"&".repeat(len - magnet().len());
    let trackers = |n: usize| magnet() + &(0..n).map(|i| format!("&tr=udp://t{i}:1")).collect::<String>();
    let capped = |m: &unchoke_wire::Magnet| assert_eq!(m.trackers.len(), limits::TRACKERS_MAX);
    vec![
        magnet_read(big(limits::MAGNET_LEN_MAX), |m| assert!(m.trackers.is_empty())),
        magnet_refused(big(limits::MAGNET_LEN_MAX + 1), "TooLarge(65537)"),
        magnet_refused(big(1 << 20), "TooLarge(1048576)"),
        magnet_refused(trackers(10_000), "TooLarge"),
        magnet_read(trackers(limits::TRACKERS_MAX + 1), capped),
        magnet_read(trackers(3_000), capped),
    ]
}
