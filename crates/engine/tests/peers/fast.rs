//! The fast extension (BEP 6).

use crate::net::FIRST_PICK;
use crate::net::{Content, Net, block, modern, plain, requests};
use unchoke_engine::Settings;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, Message, PieceIndex};

fn host(settings: Settings, have: &Bitfield) -> (Net, Content) {
    let (mut net, content) = (Net::new(), Content::new("f", 1 << 20, 32_768, false));
    net.add_host(Settings { dht: false, ..settings });
    net.add(0, &content, have);
    (net, content)
}

//= BEP 6: allowed fast
//= test
#[test]
fn choked_peer_keeps_allowed_fast_requests() {
    let (mut net, content) = host(Settings { upload_slots: 0, ..Settings::default() }, &Bitfield::all(32));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::HaveNone, Message::Interested]);
    let heard = net.heard(peer);
    let allowed: Vec<u32> =
        heard.iter().filter_map(|s| s.strip_prefix("allowed fast ")?.parse().ok()).collect();
    assert_eq!(allowed.len(), 5);
    let other = (0..32).find(|p| !allowed.contains(p)).unwrap();
    net.say(
        peer,
        &[Message::Request(block(other, 0, 16_384)), Message::Request(block(allowed[0], 0, 16_384))],
    );
    let answers = net.heard(peer);
    assert_eq!(answers, [format!("reject {other}/0+16384"), format!("piece {}/0+16384", allowed[0])]);
}

//= BEP 6: allowed fast
//= test
#[test]
fn allowed_fast_pieces_are_asked_for_while_choked_and_no_others() {
    let (mut net, content) = host(Settings::default(), &Bitfield::none(32));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::HaveAll, Message::AllowedFast(PieceIndex(7))]);
    net.run_for(FIRST_PICK);
    let asked = requests(&net.heard(peer));
    assert_eq!(asked, [block(7, 0, 16_384), block(7, 16_384, 16_384)]);
    net.say(peer, &[Message::Reject(asked[0]), Message::Reject(asked[1])]);
    net.run_for(Duration::from_secs(5));
    assert!(requests(&net.heard(peer)).is_empty(), "what was refused is not asked for again while choked");
}

//= BEP 6: messages 13 to 17 only between peers that both speak it
//= test
#[test]
fn fast_messages_of_a_peer_without_the_extension_close() {
    let (mut net, content) = host(Settings::default(), &Bitfield::none(32));
    let messages = [
        Message::HaveAll,
        Message::HaveNone,
        Message::Suggest(PieceIndex(0)),
        Message::AllowedFast(PieceIndex(0)),
        Message::Reject(block(0, 0, 16_384)),
    ];
    for (n, message) in (1..).zip(messages) {
        let peer = net.join(0, &content, n, plain());
        net.say(peer, &[message]);
        assert!(net.is_closed(peer), "{message:?}");
    }
}

//= BEP 6: every request gets a piece or a reject
//= test
#[test]
fn a_cancelled_request_is_rejected() {
    let settings = Settings { upload_limit: Some(1), ..Settings::default() };
    let (mut net, content) = host(settings, &Bitfield::all(32));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::Interested]);
    net.heard(peer);
    net.say(peer, &[Message::Request(block(0, 0, 16_384)), Message::Request(block(1, 0, 16_384))]);
    net.say(peer, &[Message::Cancel(block(1, 0, 16_384))]);
    assert_eq!(net.heard(peer), ["piece 0/0+16384", "reject 1/0+16384"]);
}

#[test]
fn a_peer_that_rejects_everything_is_not_asked_as_fast_as_it_rejects() {
    let (mut net, content) = host(Settings::default(), &Bitfield::none(32));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::HaveAll, Message::Unchoke]);
    let mut asked = requests(&net.heard(peer));
    let mut total = asked.len();
    for _ in 0..100 {
        let rejects: Vec<Message<'_>> = asked.iter().map(|b| Message::Reject(*b)).collect();
        net.say(peer, &rejects);
        net.run_for(Duration::from_millis(10));
        asked = requests(&net.heard(peer));
        total += asked.len();
    }
    assert!((4..=20).contains(&total), "{total} requests in a second");
    asked.iter().for_each(|b| net.say(peer, &[Message::Reject(*b)]));
    net.run_for(Duration::from_secs(2));
    assert!(!requests(&net.heard(peer)).is_empty(), "it is asked again later");
}
