//! What we ask for, and what we do with peers that do not answer.

use crate::net::{Content, Net, block, modern, plain, requests};
use unchoke_engine::{Command, Settings};
use unchoke_wire::time::Duration;
use unchoke_wire::{BLOCK_LEN, Bitfield, Message, PieceIndex};

fn leech(settings: Settings) -> (Net, Content) {
    let (mut net, content) = (Net::new(), Content::new("r", 1 << 20, 65_536, false));
    net.add_host(Settings { dht: false, ..settings });
    net.add(0, &content, &Bitfield::none(16));
    (net, content)
}

//= S26
#[test]
fn no_request_is_for_more_than_a_block_and_none_is_served() {
    let (mut net, content) = leech(Settings::default());
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::HaveAll, Message::Unchoke]);
    let asked = requests(&net.heard(peer));
    assert!(!asked.is_empty() && asked.iter().all(|b| b.len <= BLOCK_LEN));
    net.add_host(Settings { dht: false, ..Settings::default() });
    net.add(1, &content, &Bitfield::all(16));
    let peer = net.join(1, &content, 1, modern());
    net.say(peer, &[Message::Interested]);
    net.heard(peer);
    net.say(peer, &[Message::Request(block(0, 0, BLOCK_LEN + 1)), Message::Request(block(0, 0, BLOCK_LEN))]);
    assert_eq!(net.heard(peer), ["reject 0/0+16385", "piece 0/0+16384"]);
}

//= S20
#[test]
fn what_a_silent_peer_was_asked_for_is_asked_elsewhere() {
    let (mut net, content) = leech(Settings::default());
    let silent = net.join(0, &content, 1, plain());
    net.say(silent, &[Message::Bitfield(&[0x80, 0]), Message::Unchoke]);
    let asked = requests(&net.heard(silent));
    assert_eq!(asked.len(), 4);
    net.run_for(Duration::from_secs(21));
    let heard = net.heard(silent);
    assert_eq!(heard.iter().filter(|s| s.starts_with("cancel")).count(), 4, "{heard:?}");
    let other = net.join(0, &content, 2, plain());
    net.say(other, &[Message::Bitfield(&[0x80, 0]), Message::Unchoke]);
    let again = requests(&net.heard(other));
    assert!(again.iter().all(|b| b.piece == PieceIndex(0)) && again.len() >= 3, "{again:?}");
}

#[test]
fn a_late_block_is_of_use_and_makes_its_sender_good_again() {
    let (mut net, content) = leech(Settings::default());
    let slow = net.join(0, &content, 1, plain());
    net.say(slow, &[Message::Bitfield(&[0x80, 0]), Message::Unchoke]);
    let asked = requests(&net.heard(slow));
    net.run_for(Duration::from_secs(21));
    net.heard(slow);
    asked.iter().for_each(|b| net.give(slow, &content, *b));
    assert!(net.heard(slow).contains(&"have 0".to_owned()));
}

#[test]
fn a_choke_frees_what_was_asked_for_and_an_unchoke_asks_again() {
    let (mut net, content) = leech(Settings::default());
    let peer = net.join(0, &content, 1, plain());
    net.say(peer, &[Message::Bitfield(&[0xff, 0xff]), Message::Unchoke]);
    let first = requests(&net.heard(peer));
    net.say(peer, &[Message::Choke]);
    assert!(net.heard(peer).is_empty());
    net.say(peer, &[Message::Unchoke]);
    let second = requests(&net.heard(peer));
    assert_eq!(first.len(), second.len());
}

#[test]
fn a_piece_wanted_no_more_is_cancelled_and_interest_ends() {
    let (mut net, content) = leech(Settings::default());
    let torrent = net.hosts[0].engine.torrents().next().unwrap();
    let peer = net.join(0, &content, 1, plain());
    net.say(peer, &[Message::Bitfield(&[0xff, 0xff]), Message::Unchoke]);
    let asked = requests(&net.heard(peer)).len();
    net.command(0, Command::SetWanted { torrent, wanted: Bitfield::none(16) });
    let heard = net.heard(peer);
    assert_eq!(heard.iter().filter(|s| s.starts_with("cancel")).count(), asked);
    assert!(heard.contains(&"notinterested".to_owned()));
    net.command(0, Command::SetWanted { torrent, wanted: Bitfield::all(16) });
    assert!(!requests(&net.heard(peer)).is_empty());
}

#[test]
fn a_download_limit_holds_and_never_stalls() {
    let limit = 50_000;
    let (mut net, content) = leech(Settings { download_limit: Some(limit), ..Settings::default() });
    let torrent = net.hosts[0].engine.torrents().next().unwrap();
    let peers: Vec<_> = (1..4).map(|n| net.join(0, &content, n, plain())).collect();
    peers.iter().for_each(|p| net.say(*p, &[Message::Bitfield(&[0xff, 0xff]), Message::Unchoke]));
    let mut seconds = 0;
    while !net.has_all(0, torrent) {
        for peer in &peers {
            requests(&net.heard(*peer)).into_iter().for_each(|b| net.give(*peer, &content, b));
        }
        net.run_for(Duration::from_millis(100));
        seconds += 1;
        assert!(seconds < 400, "it goes on");
    }
    assert!(seconds > 190, "1 MiB at 50 kB/s takes 20 s, not {seconds} tenths");
}

#[test]
fn pieces_nobody_here_can_finish_make_room_for_others() {
    let settings = Settings { piece_buffer_bytes: 2 * 65_536, ..Settings::default() };
    let (mut net, content) = leech(settings);
    let gone = net.join(0, &content, 1, plain());
    net.say(gone, &[Message::Bitfield(&[0xc0, 0]), Message::Unchoke]);
    for b in requests(&net.heard(gone)).into_iter().take(1) {
        net.give(gone, &content, b);
    }
    for b in requests(&net.heard(gone)).into_iter().filter(|b| b.begin == 0) {
        net.give(gone, &content, b);
    }
    net.close(gone);
    let other = net.join(0, &content, 2, plain());
    net.say(other, &[Message::Bitfield(&[0x3f, 0xff]), Message::Unchoke]);
    assert!(!requests(&net.heard(other)).is_empty());
}

#[test]
fn a_block_that_breaks_off_is_got_from_another_peer() {
    let (mut net, content) = leech(Settings::default());
    let first = net.join(0, &content, 1, plain());
    net.say(first, &[Message::Bitfield(&[0x80, 0]), Message::Unchoke]);
    let asked = requests(&net.heard(first));
    let mut bytes = Vec::new();
    let data = content.block(asked[0]);
    Message::Piece { piece: asked[0].piece, begin: asked[0].begin, data }.encode_into(&mut bytes);
    net.send(first, &bytes[..9_000]);
    net.close(first);
    let second = net.join(0, &content, 2, plain());
    net.say(second, &[Message::Bitfield(&[0x80, 0]), Message::Unchoke]);
    requests(&net.heard(second)).into_iter().for_each(|b| net.give(second, &content, b));
    assert!(net.heard(second).contains(&"have 0".to_owned()));
}
