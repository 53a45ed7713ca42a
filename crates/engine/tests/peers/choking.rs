//! Whom we serve, and what a choke does.

use crate::net::{Content, Net, Puppet, block, modern, plain};
use unchoke_engine::Settings;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, Message, Reserved};

fn seed(settings: Settings) -> (Net, Content) {
    let (mut net, content) = (Net::new(), Content::new("c", 1 << 20, 32_768, false));
    net.add_host(Settings { dht: false, ..settings });
    net.add(0, &content, &Bitfield::all(32));
    (net, content)
}

fn is_unchoked(net: &mut Net, peer: Puppet) -> bool {
    net.heard(peer).contains(&"unchoke".to_owned())
}

//= S22
#[test]
fn an_unchoke_goes_to_as_many_interested_peers_as_there_are_slots() {
    let (mut net, content) = seed(Settings { upload_slots: 2, ..Settings::default() });
    let peers: Vec<Puppet> = (1..6).map(|n| net.join(0, &content, n, modern())).collect();
    assert!(!peers.iter().any(|p| is_unchoked(&mut net, *p)), "nobody before it is interested");
    peers.iter().for_each(|p| net.say(*p, &[Message::Interested]));
    let unchoked: Vec<bool> = peers.iter().map(|p| is_unchoked(&mut net, *p)).collect();
    assert_eq!(unchoked, [true, true, false, false, false]);
    net.say(peers[0], &[Message::NotInterested]);
    assert!(is_unchoked(&mut net, peers[2]), "a slot that comes free is given at once");
    net.close(peers[1]);
    assert!(is_unchoked(&mut net, peers[3]));
}

//= S22
#[test]
fn slots_go_round_among_those_who_wait() {
    let (mut net, content) = seed(Settings { upload_slots: 2, ..Settings::default() });
    let peers: Vec<Puppet> = (1..6).map(|n| net.join(0, &content, n, modern())).collect();
    peers.iter().for_each(|p| net.say(*p, &[Message::Interested]));
    let mut served = [false; 5];
    for _ in 0..600 {
        net.run_for(Duration::from_secs(1));
        for (peer, served) in peers.iter().zip(&mut served) {
            *served |= is_unchoked(&mut net, *peer);
            net.say(*peer, &[Message::KeepAlive]);
        }
    }
    assert!(served.iter().all(|s| *s), "{served:?}");
}

/// A peer with many requests waiting behind an upload limit, and what it hears from its choke on.
fn choked_with_requests(reserved: Reserved) -> Vec<String> {
    let settings = Settings { upload_slots: 1, upload_limit: Some(100), ..Settings::default() };
    let (mut net, content) = seed(settings);
    let peer = net.join(0, &content, 1, reserved);
    net.say(peer, &[Message::Interested]);
    let wanted: Vec<Message<'_>> = (0..9).map(|i| Message::Request(block(i, 0, 16_384))).collect();
    net.say(peer, &wanted);
    let rival = net.join(0, &content, 2, reserved);
    net.say(rival, &[Message::Interested]);
    let mut heard = Vec::new();
    for _ in 0..600 {
        net.run_for(Duration::from_secs(1));
        net.say(peer, &[Message::KeepAlive]);
        net.say(rival, &[Message::KeepAlive]);
        heard.extend(net.heard(peer));
        if let Some(at) = heard.iter().position(|s| s == "choke") {
            return heard.split_off(at);
        }
    }
    panic!("the slot goes to the rival in its turn");
}

//= S23
#[test]
fn a_choke_voids_queued_requests_and_names_each_where_rejects_are_known() {
    let fast = choked_with_requests(modern());
    let rejects = fast.iter().filter(|s| s.starts_with("reject")).count();
    assert!((7..=8).contains(&rejects), "{fast:?}");
    let plain = choked_with_requests(plain());
    assert!(!plain.iter().any(|s| s.starts_with("reject") || s.starts_with("piece")), "{plain:?}");
}

//= S27
#[test]
fn a_choked_peer_gets_no_block() {
    let (mut net, content) = seed(Settings { upload_slots: 0, ..Settings::default() });
    let request = Message::Request(block(0, 0, 16_384));
    for (n, reserved, answer) in [(1, plain(), None), (2, modern(), Some("reject 0/0+16384"))] {
        let peer = net.join(0, &content, n, reserved);
        net.heard(peer);
        net.say(peer, &[request]);
        assert_eq!(net.heard(peer).first().map(String::as_str), answer);
        assert!(!net.is_closed(peer));
    }
}

#[test]
fn a_peer_that_goes_on_asking_while_choked_is_closed() {
    let (mut net, content) = seed(Settings { upload_slots: 0, ..Settings::default() });
    let peer = net.join(0, &content, 1, plain());
    net.run_for(Duration::from_secs(3));
    let floods: Vec<Message<'_>> = (0..400).map(|_| Message::Request(block(0, 0, 16_384))).collect();
    net.say(peer, &floods);
    assert!(net.is_closed(peer));
}
