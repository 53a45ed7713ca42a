//! Peer exchange (BEP 11): what peers are told of each other, and what is believed of what they tell.

use crate::net::{Content, Net, Puppet, modern};
use core::net::SocketAddr;
use unchoke_engine::{Settings, TorrentId};
use unchoke_wire::time::Duration;
use unchoke_wire::ut_pex::{PexFlags, PexMessage, PexPeer};
use unchoke_wire::{Bitfield, Extension, ExtensionHandshake, ExtensionIds, Message, bencode};

fn world() -> (Net, Content, TorrentId) {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(Settings { dht: false, ..Settings::default() });
    let torrent = net.add(0, &content, &Bitfield::none(3));
    (net, content, torrent)
}

/// Joins as a peer that speaks peer exchange and listens on `port`, from an address.
fn join(net: &mut Net, content: &Content, from: &str, n: u8, more: ExtensionHandshake) -> Puppet {
    let puppet = net.dial(0, addr(from));
    net.shake(puppet, content, n, modern());
    let hello = ExtensionHandshake { ids: ExtensionIds::ours([Extension::UtPex]), ..more };
    net.say(puppet, &[Message::HaveNone, Message::Extended { id: 0, payload: &hello.encode() }]);
    puppet
}

fn listens(port: u16) -> ExtensionHandshake {
    ExtensionHandshake { port: Some(port), ..ExtensionHandshake::default() }
}

fn tell(net: &mut Net, puppet: Puppet, message: &[u8]) {
    net.say(puppet, &[Message::Extended { id: Extension::UtPex.local_id(), payload: message }]);
}

fn added(addrs: impl Iterator<Item = SocketAddr>) -> Vec<u8> {
    let added = addrs.map(|addr| PexPeer { addr, flags: PexFlags::default() }).collect();
    PexMessage { added, ..PexMessage::default() }.encode()
}

/// The exchange messages that came since the last call.
fn told(net: &mut Net, puppet: Puppet) -> Vec<PexMessage> {
    let bytes = net.came(puppet);
    let from = if bytes.first() == Some(&19) { 68 } else { 0 };
    let (mut rest, mut found) = (&bytes[from..], Vec::new());
    while let Some((message, len)) = Message::parse(rest).unwrap() {
        if let Message::Extended { id: 1, payload } = message {
            found.push(PexMessage::decode(payload).unwrap());
        }
        rest = &rest[len..];
    }
    found
}

fn known(net: &Net, torrent: TorrentId) -> usize {
    net.hosts[0].engine.torrent_stats(torrent).unwrap().peers.1
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

//= BEP 11: only peers that are connected, at the address they listen on
//= test
#[test]
fn a_peer_is_told_of_the_others_where_they_listen_and_with_what_is_known_of_them() {
    let (mut net, content, _) = world();
    let seed =
        ExtensionHandshake { upload_only: Some(true), prefers_encryption: Some(true), ..listens(7001) };
    join(&mut net, &content, "90.0.0.1:40001", 1, seed);
    join(&mut net, &content, "90.0.0.2:40002", 2, ExtensionHandshake::default());
    net.dial(0, addr("90.0.0.3:40003"));
    let curious = join(&mut net, &content, "90.0.0.4:40004", 4, listens(7004));
    let messages = told(&mut net, curious);
    let flags = PexFlags::SEED.with(PexFlags::PREFERS_ENCRYPTION);
    let expected = PexPeer { addr: addr("90.0.0.1:7001"), flags };
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].added, [expected], "no silent one, none without a port, and not itself");
}

#[test]
fn news_wait_for_the_minute_and_come_with_those_who_left() {
    let (mut net, content, _) = world();
    let first = join(&mut net, &content, "90.0.0.1:40001", 1, listens(7001));
    let curious = join(&mut net, &content, "90.0.0.4:40004", 4, listens(7004));
    assert_eq!(told(&mut net, curious).len(), 1);
    let second = join(&mut net, &content, "90.0.0.2:40002", 2, listens(7002));
    net.close(first);
    net.close(second);
    join(&mut net, &content, "90.0.0.3:40003", 3, listens(7003));
    net.run_for(Duration::from_secs(58));
    assert_eq!(told(&mut net, curious), []);
    net.run_for(Duration::from_secs(4));
    let news = told(&mut net, curious);
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].added.iter().map(|p| p.addr).collect::<Vec<_>>(), [addr("90.0.0.3:7003")]);
    assert_eq!(news[0].dropped, [addr("90.0.0.1:7001")], "who came and went in between is not named");
    net.run_for(Duration::from_secs(200));
    assert_eq!(told(&mut net, curious), [], "no news, no message");
}

#[test]
fn the_first_news_do_not_wait_for_a_minute_of_silence() {
    let (mut net, content, _) = world();
    let curious = join(&mut net, &content, "90.0.0.4:40004", 4, listens(7004));
    net.run_for(Duration::from_secs(5));
    assert_eq!(told(&mut net, curious), []);
    join(&mut net, &content, "90.0.0.1:40001", 1, listens(7001));
    net.run_for(Duration::from_secs(2));
    assert_eq!(told(&mut net, curious).len(), 1);
}

/// Row B5 of the hostile suite.
#[test]
fn local_peers_are_told_to_local_peers_alone() {
    let (mut net, content, _) = world();
    join(&mut net, &content, "192.168.0.1:40001", 1, listens(7001));
    join(&mut net, &content, "127.0.0.1:40002", 2, listens(7002));
    join(&mut net, &content, "90.0.0.3:40003", 3, listens(7003));
    let names = |messages: Vec<PexMessage>| -> Vec<SocketAddr> {
        messages.iter().flat_map(|m| m.added.iter().map(|p| p.addr)).collect()
    };
    let far = join(&mut net, &content, "90.0.0.4:40004", 4, listens(7004));
    assert_eq!(names(told(&mut net, far)), [addr("90.0.0.3:7003")]);
    let near = join(&mut net, &content, "10.0.0.5:40005", 5, listens(7005));
    let heard = names(told(&mut net, near));
    assert_eq!(heard, [addr("90.0.0.3:7003"), addr("90.0.0.4:7004"), addr("192.168.0.1:7001")]);
}

/// Row 59 of the hostile suite.
#[test]
fn of_a_peer_that_tells_ten_thousand_the_first_fifty_count() {
    let (mut net, content, torrent) = world();
    let liar = join(&mut net, &content, "90.0.0.1:40001", 1, listens(7001));
    let before = known(&net, torrent);
    let list: Vec<u8> = (0..10_000u32)
        .flat_map(|i| (0x5000_0000 + i * 256).to_be_bytes().into_iter().chain([0x1a, 0xe1]))
        .collect();
    let mut w = bencode::Writer::new();
    w.dict(|d| d.bytes(b"added", &list));
    let poison = w.finish();
    for _ in 0..5 {
        tell(&mut net, liar, &poison);
    }
    assert_eq!(known(&net, torrent), before + 50);
    assert!(!net.is_closed(liar));
}

/// Row 60 of the hostile suite.
#[test]
fn a_peer_that_tells_every_second_is_closed() {
    let (mut net, content, _) = world();
    let spammer = join(&mut net, &content, "90.0.0.1:40001", 1, listens(7001));
    for i in 0..7 {
        assert!(!net.is_closed(spammer), "after {i} messages");
        tell(&mut net, spammer, &added([addr("90.1.0.1:1")].into_iter()));
        net.run_for(Duration::from_secs(1));
    }
    assert!(net.is_closed(spammer));
}

/// Row 61 of the hostile suite.
#[test]
fn what_nobody_may_name_is_dropped() {
    let (mut net, content, torrent) = world();
    let liar = join(&mut net, &content, "90.0.0.1:40001", 1, listens(7001));
    let before = known(&net, torrent);
    let own = net.hosts[0].addr;
    let bad =
        ["127.0.0.1:22", "192.168.0.1:80", "10.0.0.1:1", "169.254.169.254:80", "0.0.0.0:1", "224.0.0.1:1"];
    let bad6 = ["[::1]:22", "[fd00::1]:80", "[fe80::1]:1", "[ff02::1]:1", "[64:ff9b::a00:1]:1"];
    let all = bad.iter().chain(&bad6).map(|a| addr(a)).chain([own]);
    tell(&mut net, liar, &added(all));
    assert_eq!((known(&net, torrent), net.hosts[0].dials.len()), (before, 0));
    let near = join(&mut net, &content, "10.0.0.9:40001", 9, listens(7001));
    tell(&mut net, near, &added([addr("192.168.0.1:80")].into_iter()));
    assert_eq!(net.hosts[0].dials, [addr("192.168.0.1:80")]);
}

/// Row 62 of the hostile suite.
#[test]
fn a_victim_that_many_peers_name_is_dialled_on_two_ports_a_minute() {
    let (mut net, content, _) = world();
    for n in 1..=20u8 {
        let liar = join(&mut net, &content, &format!("90.0.{n}.1:40001"), n, listens(7001));
        let victim = |i: u16| SocketAddr::from(([8, 8, 8, 8], u16::from(n) * 100 + i));
        tell(&mut net, liar, &added((0..50).map(victim)));
    }
    let knocks = |net: &Net| net.hosts[0].dials.iter().filter(|a| a.ip() == addr("8.8.8.8:1").ip()).count();
    assert_eq!(knocks(&net), 2);
    net.run_for(Duration::from_secs(55));
    assert_eq!(knocks(&net), 2);
    net.run_for(Duration::from_secs(10 * 60));
    assert!((4..=2 + 2 * 11).contains(&knocks(&net)), "{}", knocks(&net));
}
