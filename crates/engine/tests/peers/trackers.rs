//! What trackers are told and what is made of their answers.

use crate::net::{Content, Net, handshake, plain};
use core::net::SocketAddr;
use unchoke_engine::settings::PeerIdRule;
use unchoke_engine::tracker::Families;
use unchoke_engine::{Command, Event, Settings, TorrentId};
use unchoke_wire::Bitfield;
use unchoke_wire::time::Duration;

fn host(peer_id_rule: PeerIdRule) -> (Net, Content, TorrentId) {
    let (mut net, mut content) = (Net::new(), Content::small());
    content.metainfo.trackers = vec![vec!["http://80.9.9.9/secretkey/announce?pass=word".into()]];
    let families = Families { v4: true, v6: false };
    net.add_host(Settings { dht: false, peer_id_rule, families, ..Settings::default() });
    let torrent = net.add(0, &content, &Bitfield::none(3));
    (net, content, torrent)
}

/// A reply that names one peer, with the id `n` twenty times.
fn reply(addr: SocketAddr, n: u8) -> Vec<u8> {
    let mut body = b"d8:intervali1800e5:peersld2:ip".to_vec();
    let ip = addr.ip().to_string();
    body.extend(format!("{}:{ip}7:peer id20:", ip.len()).bytes());
    body.extend([n; 20]);
    body.extend(format!("4:porti{}eeee", addr.port()).bytes());
    body
}

//= S14
#[test]
fn an_id_other_than_the_tracker_named_closes_only_where_that_is_asked_for() {
    for (rule, n, is_closed) in
        [(PeerIdRule::Strict, 8, true), (PeerIdRule::Strict, 7, false), (PeerIdRule::Lenient, 8, false)]
    {
        let (mut net, content, _) = host(rule);
        let addr: SocketAddr = "90.0.0.9:6881".parse().unwrap();
        net.listen(addr);
        net.tracker_says(0, &reply(addr, 7));
        let peer = net.dialled(addr).expect("the tracker's peer is dialled");
        net.send(peer, &handshake(&content, n, plain()));
        assert_eq!(net.is_closed(peer), is_closed, "{rule:?} {n}");
    }
}

//= S13
#[test]
fn the_tracker_hears_the_id_that_peers_hear() {
    let (mut net, content, _) = host(PeerIdRule::Lenient);
    let url = net.hosts[0].http[0].url.clone();
    let peer = net.join(0, &content, 1, plain());
    let id: String = net.came(peer)[48..68]
        .iter()
        .map(|b| match b {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => char::from(*b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    assert!(url.contains(&format!("peer_id={id}")), "{url}");
}

#[test]
fn a_request_is_shown_without_its_pass_key() {
    let (net, ..) = host(PeerIdRule::Lenient);
    let shown = format!("{:?}", net.hosts[0].http[0]);
    assert!(shown.contains("80.9.9.9") && !shown.contains("secret") && !shown.contains("pass"), "{shown}");
}

#[test]
fn a_scrape_is_answered_by_an_event() {
    let (mut net, _, torrent) = host(PeerIdRule::Lenient);
    net.tracker_says(0, b"d8:intervali1800e5:peers0:e");
    net.command(0, Command::Scrape(torrent));
    assert!(net.hosts[0].http[0].url.contains("/secretkey/scrape"), "{}", net.hosts[0].http[0].url);
    net.tracker_says(0, b"d14:failure reason4:nopee");
    let is_answer = |e: &Event| matches!(e, Event::Scraped { result: Err(_), .. });
    assert!(net.hosts[0].events.iter().any(is_answer));
}

#[test]
fn a_leech_without_peers_asks_again_before_the_interval_and_not_before_the_least() {
    let (mut net, ..) = host(PeerIdRule::Lenient);
    net.tracker_says(0, b"d8:intervali1800e12:min intervali120e5:peers0:e");
    net.run_for(Duration::from_secs(110));
    assert!(net.hosts[0].http.is_empty());
    net.run_for(Duration::from_secs(24));
    assert_eq!(net.hosts[0].http.len(), 1);
}
