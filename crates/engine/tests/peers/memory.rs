//! What strangers can make an engine hold: bounded, and told.

use crate::net::{Content, Net, Puppet, modern};
use unchoke_engine::Settings;
use unchoke_engine::input::TorrentSource;
use unchoke_wire::limits::METADATA_IN_FLIGHT_MAX;
use unchoke_wire::time::Duration;
use unchoke_wire::ut_metadata::MetadataMessage;
use unchoke_wire::{
    Bitfield, BlockRef, Extension, ExtensionHandshake, ExtensionIds, Magnet, Message, PieceIndex,
};

/// A peer that says it has a MiB of metadata.
fn large(net: &mut Net, content: &Content, n: u8) -> Puppet {
    let peer = net.join(0, content, n, modern());
    let ids = ExtensionIds::ours([Extension::UtMetadata]);
    let hello = ExtensionHandshake { ids, metadata_size: Some(1 << 20), ..ExtensionHandshake::default() };
    net.say(peer, &[Message::Extended { id: 0, payload: &hello.encode() }]);
    peer
}

/// Blocks of metadata a peer was asked for since the last look.
fn asked(net: &mut Net, peer: Puppet) -> usize {
    let bytes = net.came(peer);
    let mut rest = if bytes.first() == Some(&19) { &bytes[68..] } else { &bytes[..] };
    let mut count = 0;
    while let Some((message, len)) = Message::parse(rest).unwrap() {
        if let Message::Extended { id, payload } = message
            && id == Extension::UtMetadata.local_id()
            && matches!(MetadataMessage::decode(payload), Ok(Some(MetadataMessage::Request { .. })))
        {
            count += 1;
        }
        rest = &rest[len..];
    }
    count
}

fn used(net: &Net, name: &str) -> (u64, u64) {
    let parts = net.hosts[0].engine.memory();
    let part = parts.iter().find(|p| p.name == name).unwrap();
    (part.used.unwrap(), part.cap)
}

//= B4
#[test]
fn metadata_in_flight_is_bounded_over_all_magnets_and_nobody_waits_for_ever() {
    let mut net = Net::new();
    net.add_host(Settings { metadata_bytes: 128 << 10, ..Settings::default() });
    let contents = ["a", "b"].map(|name| Content::new(name, 40_000, 16_384, false));
    for content in &contents {
        net.add_source(0, TorrentSource::Magnet(Box::new(Magnet::new(content.metainfo.info_hashes))));
    }
    let first = large(&mut net, &contents[0], 1);
    assert_eq!(asked(&mut net, first), 2);
    let second = large(&mut net, &contents[1], 2);
    net.run_for(Duration::from_secs(2));
    assert_eq!(asked(&mut net, second), 0, "the rest of the first one's MiB would not fit");
    let (held, cap) = used(&net, "metadata in flight");
    assert!(held <= cap && cap == 32 << 20, "{held} {cap}");
    net.close(first);
    net.run_for(Duration::from_secs(2));
    assert_eq!(asked(&mut net, second), 2);
}

//= B4
#[test]
fn a_second_fetch_of_metadata_begins_only_where_the_first_leaves_a_byte() {
    assert_eq!(Settings::default().metadata_bytes, METADATA_IN_FLIGHT_MAX);
    for (metadata_bytes, asks) in [(1 << 20, 0), ((1 << 20) + 1, 2)] {
        let mut net = Net::new();
        net.add_host(Settings { metadata_bytes, ..Settings::default() });
        let contents = ["a", "b"].map(|name| Content::new(name, 40_000, 16_384, false));
        for content in &contents {
            net.add_source(0, TorrentSource::Magnet(Box::new(Magnet::new(content.metainfo.info_hashes))));
        }
        let first = large(&mut net, &contents[0], 1);
        assert_eq!(asked(&mut net, first), 2);
        let second = large(&mut net, &contents[1], 2);
        assert_eq!(asked(&mut net, second), asks, "with room for {metadata_bytes} bytes");
    }
}

/// Asks for every block of three pieces and takes none of them: the shell is left with the plan.
#[test]
fn a_peer_that_takes_nothing_of_what_it_asked_for_is_closed_after_two_minutes() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(Settings::default());
    net.add(0, &content, &Bitfield::all(3));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::Interested]);
    net.run_for(Duration::from_secs(11));
    net.hosts[0].is_stuck = true;
    net.say(peer, &[Message::Request(BlockRef { piece: PieceIndex(0), begin: 0, len: 16_384 })]);
    assert_eq!(used(&net, "blocks being sent").0, 16_384);
    for _ in 0..10 {
        net.run_for(Duration::from_secs(11));
        net.say(peer, &[Message::KeepAlive]);
    }
    assert!(!net.is_closed(peer));
    net.run_for(Duration::from_secs(11));
    assert!(net.is_closed(peer));
    assert_eq!(used(&net, "blocks being sent").0, 0);
}

#[test]
fn the_caps_follow_the_settings() {
    let cap = |connections_max| {
        let (mut net, content) = (Net::new(), Content::small());
        net.add_host(Settings { connections_max, ..Settings::default() });
        net.add(0, &content, &Bitfield::all(3));
        net.hosts[0].engine.memory().iter().map(|p| p.cap).sum::<u64>()
    };
    assert!(cap(50) < cap(500));
    assert!(cap(500) < 512 << 20, "{}", cap(500));
}
