//! Handshakes.

use crate::net::{Content, Net, block, handshake, modern, plain};
use unchoke_engine::Settings;
use unchoke_engine::input::PeerSource;
use unchoke_wire::{Bitfield, Message, PeerId, PieceIndex, Reserved};

fn settings() -> Settings {
    Settings { dht: false, ..Settings::default() }
}

fn seed() -> (Net, Content) {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(3));
    (net, content)
}

//= S01
//= S05
#[test]
fn a_handshake_is_68_bytes_that_begin_with_19_and_the_protocol() {
    let (mut net, content) = seed();
    let peer = net.join(0, &content, 1, plain());
    let came = net.came(peer);
    assert_eq!(&came[..20], b"\x13BitTorrent protocol");
    assert_eq!(came[28..48], content.hash().0);
    assert_eq!(&came[48..51], b"-UK");
    assert_eq!(came[68..], [0, 0, 0, 2, 5, 0xe0], "the bitfield follows at once");
}

//= S03
#[test]
fn a_peer_with_all_reserved_bits_is_served() {
    let (mut net, content) = seed();
    let peer = net.join(0, &content, 1, Reserved([0xff; 8]));
    net.say(peer, &[Message::Interested]);
    let heard = net.heard(peer);
    assert_eq!(heard[..2], ["haveall", "extended 0"]);
    assert!(heard.contains(&"unchoke".to_owned()), "{heard:?}");
}

//= S06
#[test]
fn on_one_connection_both_sides_upload() {
    let (mut net, content) = (Net::new(), Content::small());
    let mut halves = [Bitfield::none(3), Bitfield::none(3)];
    halves[0].set(PieceIndex(0));
    halves[1].set(PieceIndex(1));
    halves[1].set(PieceIndex(2));
    let torrents = halves.map(|half| {
        let host = net.add_host(settings());
        net.add(host, &content, &half)
    });
    net.connect(0, torrents[0], 1);
    assert!(net.has_all(0, torrents[0]) && net.has_all(1, torrents[1]));
    assert_eq!(net.hosts[0].engine.peers(torrents[0]).len(), 1);
}

//= S07
#[test]
fn the_answer_comes_once_48_bytes_are_in() {
    let (mut net, content) = seed();
    let peer = net.dial(0, "90.0.0.1:40000".parse().unwrap());
    let bytes = handshake(&content, 1, plain());
    for byte in &bytes[..47] {
        net.send(peer, &[*byte]);
        assert!(net.came(peer).is_empty());
    }
    net.send(peer, &bytes[47..48]);
    assert_eq!(net.came(peer).len(), 68);
    bytes[48..].iter().for_each(|b| net.send(peer, &[*b]));
    assert_eq!(net.came(peer), [0, 0, 0, 2, 5, 0xe0]);
}

//= S08
#[test]
fn an_echo_of_another_hash_closes() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    let torrent = net.add(0, &content, &Bitfield::none(3));
    let addr = "90.0.0.9:6881".parse().unwrap();
    net.listen(addr);
    net.tell(0, torrent, PeerSource::User, &[addr]);
    let peer = net.dialled(addr).unwrap();
    assert_eq!(net.came(peer).len(), 68);
    net.shake(peer, &Content::new("other", 100_000, 32_768, false), 1, plain());
    assert!(net.is_closed(peer));
    assert!(net.hosts[0].engine.peers(torrent).is_empty());
}

//= S11
#[test]
fn a_connection_stays_with_its_torrent() {
    let (mut net, content) = seed();
    let other = Content::new("other", 75_536, 32_768, false);
    let torrent = net.add(0, &other, &Bitfield::all(3));
    let peer = net.join(0, &content, 1, plain());
    net.send(peer, &handshake(&other, 1, plain()));
    assert!(net.is_closed(peer), "a second handshake is no message");
    assert!(net.hosts[0].engine.peers(torrent).is_empty());
}

//= S12
#[test]
fn an_id_is_kept_for_a_torrent_and_differs_elsewhere() {
    let (mut net, content) = seed();
    net.add_host(settings());
    net.add(1, &content, &Bitfield::all(3));
    let other = Content::new("other", 75_536, 32_768, false);
    net.add(0, &other, &Bitfield::all(3));
    let mut id = |host, content: &Content, n| {
        let peer = net.join(host, content, n, plain());
        net.came(peer)[48..68].to_vec()
    };
    let ours = id(0, &content, 1);
    assert_eq!(ours, id(0, &content, 2));
    assert_ne!(ours, id(1, &content, 1));
    assert_ne!(ours, id(0, &other, 1));
}

//= S15
#[test]
fn our_own_id_and_a_second_connection_of_one_peer_are_dropped() {
    let (mut net, content) = seed();
    let first = net.join(0, &content, 1, modern());
    let id: [u8; 20] = net.came(first)[48..68].try_into().unwrap();
    let ourselves = net.dial(0, "90.0.0.7:40000".parse().unwrap());
    let bytes =
        unchoke_wire::Handshake { reserved: modern(), info_hash: content.hash(), peer_id: PeerId(id) };
    net.send(ourselves, &bytes.encode());
    assert!(net.is_closed(ourselves));
    let second = net.dial(0, "90.0.1.1:40001".parse().unwrap());
    net.shake(second, &content, 1, modern());
    assert!(net.is_closed(second) && !net.is_closed(first));
}

//= S18
#[test]
fn a_keep_alive_or_an_extension_handshake_may_come_before_the_bitfield() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    net.add(0, &content, &Bitfield::none(3));
    let peer = net.join(0, &content, 1, modern());
    let handshake = Message::Extended { id: 0, payload: b"de" };
    net.say(peer, &[Message::KeepAlive, handshake, Message::Bitfield(&[0xe0]), Message::Unchoke]);
    let heard = net.heard(peer);
    assert!(heard.contains(&"interested".to_owned()), "{heard:?}");
    assert!(heard.iter().any(|s| s.starts_with("request")), "{heard:?}");
}

//= S31
//= S56
//= S57
#[test]
fn every_peer_is_told_once_what_we_have() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    let mut have = Bitfield::none(3);
    have.set(PieceIndex(2));
    net.add(0, &content, &have);
    for n in 1..4 {
        let peer = net.join(0, &content, n, plain());
        assert_eq!(net.heard(peer), ["bitfield 20"]);
    }
}

//= S32
#[test]
fn a_bitfield_is_left_out_or_all_zeros_or_have_none_but_never_empty() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    net.add(0, &content, &Bitfield::none(3));
    let accepted: [&[Message<'_>]; 3] = [&[], &[Message::Bitfield(&[0])], &[Message::HaveNone]];
    for (n, messages) in (1..).zip(accepted) {
        let peer = net.join(0, &content, n, modern());
        net.say(peer, messages);
        assert!(!net.is_closed(peer));
        assert_eq!(net.heard(peer)[0], "havenone");
    }
    let empty = net.join(0, &content, 9, modern());
    net.send(empty, &[0, 0, 0, 1, 5]);
    assert!(net.is_closed(empty));
}

//= S33
#[test]
fn spare_bits_and_wrong_lengths_of_a_bitfield_close() {
    let (mut net, content) = seed();
    for (n, bits) in (1..).zip([&[0xff][..], &[0xe0, 0], &[0x10]]) {
        let peer = net.join(0, &content, n, plain());
        net.say(peer, &[Message::Bitfield(bits)]);
        assert!(net.is_closed(peer), "{bits:02x?}");
    }
    let peer = net.join(0, &content, 9, plain());
    net.say(peer, &[Message::Interested]);
    net.heard(peer);
    net.say(peer, &[Message::Request(block(0, 0, 5))]);
    assert_eq!(net.heard(peer), ["piece 0/0+5"]);
}
