//! What happens by the clock, and that nothing else does.

use crate::net::{Content, Net, plain};
use core::net::SocketAddr;
use unchoke_engine::Settings;
use unchoke_engine::input::PeerSource;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, Message};

fn host(settings: Settings) -> (Net, Content) {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(Settings { dht: false, ..settings });
    net.add(0, &content, &Bitfield::all(3));
    (net, content)
}

//= S19
//= S53
#[test]
fn a_silent_connection_gets_a_keep_alive_within_two_minutes_and_lives() {
    let (mut net, content) = host(Settings::default());
    let peer = net.join(0, &content, 1, plain());
    net.heard(peer);
    net.run_for(Duration::from_secs(99));
    assert!(net.heard(peer).is_empty());
    net.run_for(Duration::from_secs(11));
    assert_eq!(net.heard(peer), ["keepalive"]);
    for _ in 0..10 {
        net.say(peer, &[Message::KeepAlive]);
        net.run_for(Duration::from_secs(110));
        assert_eq!(net.heard(peer).first().unwrap(), "keepalive");
    }
    assert!(!net.is_closed(peer));
}

#[test]
fn a_peer_that_says_nothing_for_four_minutes_is_gone() {
    let (mut net, content) = host(Settings::default());
    let peer = net.join(0, &content, 1, plain());
    net.run_for(Duration::from_secs(238));
    assert!(!net.is_closed(peer));
    net.run_for(Duration::from_secs(4));
    assert!(net.is_closed(peer));
}

//= S62
#[test]
fn a_handshake_that_does_not_end_is_closed_and_hinders_nobody() {
    let (mut net, content) = host(Settings::default());
    let bytes = crate::net::handshake(&content, 1, plain());
    let idle: Vec<_> = (0..100).map(|n| net.dial(0, SocketAddr::from(([90, 1, n, 1], 40_000)))).collect();
    idle.iter().skip(50).for_each(|p| net.send(*p, &bytes[..60]));
    let peer = net.join(0, &content, 1, plain());
    assert_eq!(net.heard(peer), ["bitfield e0"]);
    net.run_for(Duration::from_secs(12));
    assert!(idle.iter().all(|p| net.is_closed(*p)) && !net.is_closed(peer));
}

//= H3b-2
#[test]
fn a_handshake_has_ten_seconds_in_all_whoever_waits_for_it() {
    let (mut net, content) = host(Settings::default());
    let bytes = crate::net::handshake(&content, 1, plain());
    let peer = net.dial(0, "90.1.1.1:40000".parse().unwrap());
    net.send(peer, &bytes[..20]);
    net.run_for(Duration::from_millis(9_900));
    net.send(peer, &bytes[20..48]);
    assert_eq!(net.came(peer).len(), 68, "the hub hands it on");
    assert!(!net.is_closed(peer));
    // connections are looked over once a second
    net.run_for(Duration::from_millis(1_100));
    assert!(net.is_closed(peer));
    let in_time = net.dial(0, "90.1.2.1:40000".parse().unwrap());
    net.run_for(Duration::from_millis(9_900));
    net.send(in_time, &bytes);
    net.run_for(Duration::from_secs(5));
    assert!(!net.is_closed(in_time));
}

#[test]
fn an_idle_torrent_sets_no_clock() {
    let (mut net, _) = host(Settings::default());
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.hosts[0].engine.next_timeout(), None);
}

#[test]
fn first_requests_that_nobody_takes_need_no_clock() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(Settings { dht: false, ..Settings::default() });
    net.add(0, &content, &Bitfield::none(3));
    let silent = net.join(0, &content, 1, plain());
    let peer = net.join(0, &content, 2, plain());
    net.say(peer, &[Message::Bitfield(&[0xe0]), Message::Unchoke]);
    net.say(peer, &[Message::Choke]);
    net.run_for(Duration::from_secs(10));
    assert!(net.wakes < 30, "{} wakes in 10 s", net.wakes);
    assert!(!net.is_closed(silent));
}

#[test]
fn who_waits_for_room_to_dial_waits_without_a_clock_and_is_let_in_turn() {
    let (mut net, _) = host(Settings { connections_max: 2, ..Settings::default() });
    let contents: Vec<Content> =
        (0..3).map(|i| Content::new(&format!("d{i}"), 9_000 + i, 16_384, false)).collect();
    let addrs: Vec<SocketAddr> = (1..7).map(|n| SocketAddr::from(([90, 2, n, 1], 6881))).collect();
    addrs.iter().for_each(|a| net.listen(*a));
    let torrents: Vec<_> = contents.iter().map(|c| net.add(0, c, &Bitfield::none(1))).collect();
    for (torrent, addrs) in torrents.iter().zip(addrs.chunks(2)) {
        net.tell(0, *torrent, PeerSource::User, addrs);
    }
    assert!(net.dialled(addrs[2]).is_none() && net.dialled(addrs[4]).is_none(), "there is room for two");
    let before = net.wakes;
    net.run_for(Duration::from_secs(5));
    assert!(net.wakes - before < 20, "{} wakes in 5 s", net.wakes - before);
    net.run_for(Duration::from_secs(60));
    let dialled = addrs.iter().filter(|a| net.dialled(**a).is_some()).count();
    assert!(dialled >= 4, "{dialled} dialled as others gave up");
}
