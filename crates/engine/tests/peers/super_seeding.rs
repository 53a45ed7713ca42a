//! Super-seeding (BEP 16): what peers of a super-seed see.

use crate::net::{Content, Net, Puppet, block, modern, plain, requests};
use unchoke_engine::{Command, Settings, TorrentId};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, Message, PieceIndex};

const PIECES: u32 = 8;

fn content() -> Content {
    Content::new("super", (PIECES as usize) << 14, 16 << 10, false)
}

/// A super-seed on its own.
fn scene() -> (Net, Content, TorrentId) {
    let (mut net, content) = (Net::new(), content());
    let host = net.add_host(Settings { dht: false, ..Settings::default() });
    let source = unchoke_engine::input::TorrentSource::Metainfo(Box::new(content.metainfo.clone()));
    let torrent = net.add_source(host, source);
    net.command(host, Command::SetSuperSeeding { torrent, is_on: true });
    net.storage(host, torrent, &content, &Bitfield::all(PIECES), Vec::new());
    (net, content, torrent)
}

/// The pieces a peer was told of since the last look.
fn haves(net: &mut Net, peer: Puppet) -> Vec<u32> {
    let heard = net.heard(peer);
    heard.iter().filter_map(|s| s.strip_prefix("have ")).map(|n| n.parse().unwrap()).collect()
}

fn fetch(net: &mut Net, peer: Puppet, piece: u32) -> Vec<String> {
    net.say(peer, &[Message::Interested]);
    net.heard(peer);
    net.say(peer, &[Message::Request(block(piece, 0, 16 << 10))]);
    net.heard(peer)
}

//= BEP 16: test
#[test]
fn a_super_seed_says_it_has_nothing_and_shows_each_peer_two_pieces() {
    let (mut net, content, _) = scene();
    let fast = net.join(0, &content, 1, modern());
    let slow = net.join(0, &content, 2, plain());
    let heard = net.heard(fast);
    assert!(heard.contains(&"havenone".to_owned()), "{heard:?}");
    assert!(!heard.iter().any(|s| s == "haveall" || s.starts_with("bitfield")));
    let first: Vec<&String> = heard.iter().filter(|s| s.starts_with("have ")).collect();
    assert_eq!(first.len(), 2);
    let heard = net.heard(slow);
    assert!(!heard.iter().any(|s| s.starts_with("bitfield")), "{heard:?}");
    let second: Vec<&String> = heard.iter().filter(|s| s.starts_with("have ")).collect();
    assert_eq!(second.len(), 2);
    assert!(second.iter().all(|have| !first.contains(have)), "shown to two");
}

#[test]
fn a_piece_that_was_not_shown_is_not_served() {
    let (mut net, content, _) = scene();
    let peer = net.join(0, &content, 1, modern());
    let shown = haves(&mut net, peer);
    let hidden = (0..PIECES).find(|p| !shown.contains(p)).unwrap();
    let heard = fetch(&mut net, peer, hidden);
    assert_eq!(heard, [format!("reject {hidden}/0+16384")]);
    let heard = fetch(&mut net, peer, shown[0]);
    assert_eq!(heard, [format!("piece {}/0+16384", shown[0])]);
}

#[test]
fn who_passes_a_piece_on_is_shown_another() {
    let (mut net, content, _) = scene();
    let peer = net.join(0, &content, 1, modern());
    let other = net.join(0, &content, 2, modern());
    let (shown, _) = (haves(&mut net, peer), haves(&mut net, other));
    net.say(peer, &[Message::Have(PieceIndex(shown[0]))]);
    assert_eq!(haves(&mut net, peer), [0; 0]);
    net.say(other, &[Message::Have(PieceIndex(shown[0]))]);
    assert_eq!(haves(&mut net, peer).len(), 1);
    assert_eq!(haves(&mut net, other), [0; 0]);
}

#[test]
fn a_super_seed_ends_when_another_has_all_and_tells_each_piece_once() {
    let (mut net, content, torrent) = scene();
    let peer = net.join(0, &content, 1, modern());
    let mut told = haves(&mut net, peer);
    let seed = net.join(0, &content, 2, modern());
    net.say(seed, &[Message::HaveAll]);
    net.run_for(Duration::from_secs(1));
    told.extend(haves(&mut net, peer));
    told.sort_unstable();
    assert_eq!(told, (0..PIECES).collect::<Vec<_>>());
    let late = net.join(0, &content, 3, modern());
    assert!(net.heard(late).contains(&"haveall".to_owned()), "a plain seed from here on");
    assert!(!net.hosts[0].engine.torrent_stats(torrent).unwrap().is_super_seeding);
}

#[test]
fn an_owner_who_turns_it_off_shows_everything_to_everybody() {
    let (mut net, content, torrent) = scene();
    let peer = net.join(0, &content, 1, modern());
    let mut told = haves(&mut net, peer);
    net.command(0, Command::SetSuperSeeding { torrent, is_on: false });
    told.extend(haves(&mut net, peer));
    told.sort_unstable();
    assert_eq!(told, (0..PIECES).collect::<Vec<_>>());
    let any = fetch(&mut net, peer, 7);
    assert_eq!(any, ["piece 7/0+16384"]);
}

#[test]
fn the_offer_of_a_peer_that_leaves_goes_to_the_next() {
    let (mut net, content, _) = scene();
    let all: Vec<Puppet> = (1..=4).map(|n| net.join(0, &content, n, modern())).collect();
    let gone = haves(&mut net, all[0]);
    let shown: Vec<u32> = all[1..].iter().flat_map(|peer| haves(&mut net, *peer)).collect();
    assert_eq!(shown.len(), 6, "all eight pieces are out");
    net.close(all[0]);
    let mut next = haves_of_new(&mut net, &content);
    next.sort_unstable();
    let mut gone = gone;
    gone.sort_unstable();
    assert_eq!(next, gone);
}

fn haves_of_new(net: &mut Net, content: &Content) -> Vec<u32> {
    let peer = net.join(0, content, 9, modern());
    haves(net, peer)
}

#[test]
fn who_is_no_seed_yet_tells_what_it_has() {
    let (mut net, content) = (Net::new(), content());
    let host = net.add_host(Settings { dht: false, ..Settings::default() });
    let mut have = Bitfield::none(PIECES);
    have.set(PieceIndex(0));
    let torrent = net.add(host, &content, &have);
    net.command(host, Command::SetSuperSeeding { torrent, is_on: true });
    let peer = net.join(host, &content, 1, modern());
    assert!(net.heard(peer).contains(&"bitfield 80".to_owned()));
    net.say(peer, &[Message::HaveAll, Message::Unchoke]);
    net.run_for(Duration::from_secs(1));
    for _ in 0..PIECES {
        requests(&net.heard(peer)).into_iter().for_each(|b| net.give(peer, &content, b));
    }
    assert!(net.has_all(host, torrent));
}

#[test]
fn a_super_seed_of_three_engines_uploads_each_piece_once() {
    let (mut net, content, torrent) = scene();
    let mut leeches = Vec::new();
    for _ in 0..2 {
        let host = net.add_host(Settings { dht: false, pex: false, ..Settings::default() });
        leeches.push((host, net.add(host, &content, &Bitfield::none(PIECES))));
    }
    net.connect(leeches[1].0, leeches[1].1, leeches[0].0);
    for (host, of_host) in leeches.clone() {
        net.connect(host, of_host, 0);
    }
    net.run_for(Duration::from_secs(30));
    assert!(leeches.iter().all(|(host, t)| net.has_all(*host, *t)));
    let sent = net.hosts[0].engine.torrent_stats(torrent).unwrap().totals.uploaded;
    assert_eq!(sent, u64::from(PIECES) << 14);
}
