//! What have messages say, and to whom they go.

use crate::net::{Content, FIRST_PICK, Net, Puppet, modern, plain, requests};
use unchoke_engine::Settings;
use unchoke_wire::{Bitfield, Message, PieceIndex};

fn leech() -> (Net, Content) {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(Settings { dht: false, ..Settings::default() });
    net.add(0, &content, &Bitfield::none(3));
    (net, content)
}

/// Gives all that is asked of a peer until nothing is; what else it heard.
fn serve(net: &mut Net, content: &Content, peer: Puppet) -> Vec<String> {
    let mut rest = Vec::new();
    loop {
        let heard = net.heard(peer);
        let asked = requests(&heard);
        rest.extend(heard.into_iter().filter(|s| !s.starts_with("request")));
        if asked.is_empty() {
            return rest;
        }
        asked.into_iter().for_each(|b| net.give(peer, content, b));
    }
}

//= S24
#[test]
fn no_have_goes_out_before_its_piece_is_verified() {
    let (mut net, content) = leech();
    net.hosts[0].holds_jobs = true;
    let peer = net.join(0, &content, 1, plain());
    net.say(peer, &[Message::Bitfield(&[0xe0]), Message::Unchoke]);
    assert_eq!(serve(&mut net, &content, peer), ["interested"]);
    assert_eq!(net.hosts[0].held.len(), 3);
    net.verify_held(0);
    let heard = net.heard(peer);
    assert_eq!(heard.iter().filter(|s| s.starts_with("have")).count(), 3, "{heard:?}");
}

//= S25
#[test]
fn who_says_have_is_a_source_from_then_on() {
    let (mut net, content) = leech();
    let peer = net.join(0, &content, 1, plain());
    assert!(net.heard(peer).is_empty());
    net.say(peer, &[Message::Unchoke, Message::Have(PieceIndex(1))]);
    let heard = net.heard(peer);
    assert_eq!(heard[0], "interested");
    assert!(requests(&heard).iter().all(|b| b.piece == PieceIndex(1)) && heard.len() == 3, "{heard:?}");
}

//= S34
//= S51
#[test]
fn a_have_goes_to_every_peer_also_to_those_that_have_the_piece() {
    let (mut net, content) = leech();
    let seed = net.join(0, &content, 1, plain());
    let empty = net.join(0, &content, 2, plain());
    let full = net.join(0, &content, 3, plain());
    net.say(full, &[Message::Bitfield(&[0xe0])]);
    net.say(seed, &[Message::Bitfield(&[0xe0]), Message::Unchoke]);
    net.run_for(FIRST_PICK);
    let mut heard = vec![serve(&mut net, &content, seed)];
    heard.extend([net.heard(empty), net.heard(full)]);
    for heard in heard {
        let mut haves: Vec<&String> = heard.iter().filter(|s| s.starts_with("have")).collect();
        haves.sort();
        assert_eq!(haves, ["have 0", "have 1", "have 2"]);
    }
}

//= S51
#[test]
fn a_piece_that_came_before_the_handshake_is_in_the_bitfield_and_not_told_again() {
    let (mut net, content) = leech();
    let seed = net.join(0, &content, 1, plain());
    net.say(seed, &[Message::Bitfield(&[0x80]), Message::Unchoke]);
    serve(&mut net, &content, seed);
    let late = net.join(0, &content, 2, plain());
    assert_eq!(net.heard(late), ["bitfield 80"]);
}

#[test]
fn a_burst_of_honest_haves_closes_nobody() {
    let (mut net, content) = (Net::new(), Content::new("big", 40 << 20, 16_384, false));
    net.add_host(Settings { dht: false, ..Settings::default() });
    let pieces = content.pieces();
    let torrent = net.add(0, &content, &Bitfield::none(pieces));
    let peer = net.join(0, &content, 1, modern());
    let haves: Vec<Message<'_>> = (0..pieces).map(|p| Message::Have(PieceIndex(p))).collect();
    net.say(peer, &haves);
    assert!(!net.is_closed(peer));
    assert_eq!(net.hosts[0].engine.peers(torrent)[0].pieces, pieces);
    net.say(peer, &haves);
    assert!(net.is_closed(peer), "the same again is a flood");
}

#[test]
fn peers_that_come_without_a_bitfield_and_go_leave_no_availability_behind() {
    let (mut net, content) = leech();
    for n in 1..40 {
        let peer = net.join(0, &content, n, plain());
        net.say(peer, &[Message::Have(PieceIndex(0)), Message::Have(PieceIndex(1))]);
        net.close(peer);
    }
    let rare = net.join(0, &content, 50, plain());
    let other = net.join(0, &content, 51, plain());
    let third = net.join(0, &content, 52, plain());
    net.say(other, &[Message::Bitfield(&[0x60])]);
    net.say(third, &[Message::Bitfield(&[0x60])]);
    net.say(rare, &[Message::Bitfield(&[0xe0]), Message::Unchoke]);
    net.run_for(FIRST_PICK);
    assert_eq!(requests(&net.heard(rare))[0].piece, PieceIndex(0), "only one peer that is there has it");
}
