//! What a peer may send, and how much of it.

use crate::net::{Content, Net, block, modern, plain};
use unchoke_engine::Settings;
use unchoke_engine::output::HubCommand;
use unchoke_wire::{Bitfield, Message, PieceIndex};

fn host(have: &Bitfield) -> (Net, Content) {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(Settings { dht: true, ..Settings::default() });
    net.add(0, &content, have);
    (net, content)
}

/// Whether a peer that sends this is closed.
fn closes(bytes: &[u8]) -> bool {
    let (mut net, content) = host(&Bitfield::none(3));
    let peer = net.join(0, &content, 1, modern());
    net.send(peer, bytes);
    net.is_closed(peer)
}

#[test]
fn messages_beyond_their_length_close_on_their_head() {
    assert!(closes(&[0xff; 4]));
    assert!(closes(&[0, 0x10, 0, 1]), "1 MiB + 1");
    assert!(closes(&[0, 0, 0, 2, 0]), "choke with a payload");
    assert!(closes(&[0, 0, 0, 6, 4]), "have of five bytes");
    assert!(closes(&[0, 0, 0x40, 10, 7]), "block of 16 KiB + 1");
    assert!(closes(&[0, 0, 0, 1, 20]), "extended without an id");
    assert!(!closes(&[0, 0, 0, 3, 99, 1, 2]), "unknown and small");
}

#[test]
fn pieces_that_do_not_exist_close() {
    for piece in [3, u32::MAX] {
        for message in [
            Message::Have(PieceIndex(piece)),
            Message::Suggest(PieceIndex(piece)),
            Message::AllowedFast(PieceIndex(piece)),
        ] {
            assert!(closes(&message.to_vec()), "{message:?}");
        }
    }
    assert!(closes(&Message::Piece { piece: PieceIndex(0), begin: 1, data: &[0; 9] }.to_vec()));
}

#[test]
fn requests_that_cannot_be_served_are_rejected() {
    let (mut net, content) = host(&Bitfield::all(3));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::Interested]);
    net.heard(peer);
    for b in
        [block(3, 0, 1), block(0, 32_768, 1), block(0, 0, 0), block(0, 0, 1 << 31), block(0, u32::MAX, 9)]
    {
        net.say(peer, &[Message::Request(b)]);
        assert_eq!(net.heard(peer), [format!("reject {}/{}+{}", b.piece.0, b.begin, b.len)]);
    }
    assert!(!net.is_closed(peer));
}

#[test]
fn floods_of_little_messages_close() {
    let floods: [&[Message<'_>]; 7] = [
        &[Message::KeepAlive],
        &[Message::Interested, Message::NotInterested],
        &[Message::Choke, Message::Unchoke],
        &[Message::HaveAll, Message::HaveNone],
        &[Message::Port(6881)],
        &[Message::Extended { id: 0, payload: b"de" }],
        &[Message::Unknown { id: 99, payload: &[] }],
    ];
    for flood in floods {
        let (mut net, content) = host(&Bitfield::none(3));
        let peer = net.join(0, &content, 1, modern());
        (0..1100).for_each(|_| net.say(peer, flood));
        assert!(net.is_closed(peer), "{flood:?}");
    }
}

#[test]
fn requests_and_cancels_in_turn_without_end_close() {
    let (mut net, content) = host(&Bitfield::all(3));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::Interested]);
    let b = block(0, 0, 16_384);
    let turns: Vec<Message<'_>> = (0..100).flat_map(|_| [Message::Request(b), Message::Cancel(b)]).collect();
    (0..60).for_each(|_| net.say(peer, &turns));
    assert!(net.is_closed(peer));
}

//= BEP 5: port message
//= test
#[test]
fn a_peer_tells_one_dht_node_and_no_more() {
    let (mut net, content) = host(&Bitfield::none(3));
    let peer = net.join(0, &content, 1, plain());
    net.say(peer, &[Message::Port(0), Message::Port(7000), Message::Port(7001), Message::Port(7002)]);
    let nodes: Vec<_> =
        net.hosts[0].hub_commands.iter().filter(|c| matches!(c, HubCommand::DhtNode { .. })).collect();
    assert_eq!(nodes, [&HubCommand::DhtNode { host: "90.0.1.1".into(), port: 7000 }]);
}

#[test]
fn blocks_nobody_asked_for_are_dropped_and_close_in_the_end() {
    let (mut net, content) = host(&Bitfield::none(3));
    let torrent = net.hosts[0].engine.torrents().next().unwrap();
    let peer = net.join(0, &content, 1, modern());
    for _ in 0..50 {
        net.give(peer, &content, block(0, 0, 16_384));
    }
    assert!(!net.is_closed(peer));
    assert_eq!(net.hosts[0].engine.torrent_stats(torrent).unwrap().totals.downloaded, 0);
    for _ in 0..51 {
        net.give(peer, &content, block(0, 0, 16_384));
    }
    assert!(net.is_closed(peer));
}
