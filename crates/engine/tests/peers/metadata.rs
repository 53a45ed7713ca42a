//! Metadata from peers (BEP 9), and what a peer is told once we have it.

use crate::net::{Content, Net, Puppet, modern};
use core::net::SocketAddr;
use unchoke_engine::input::{PeerSource, TorrentSource};
use unchoke_engine::output::HubCommand;
use unchoke_engine::{Event, Settings, TorrentId};
use unchoke_wire::ut_metadata::MetadataMessage;
use unchoke_wire::{Bitfield, ExtensionHandshake, Magnet, Message, PieceIndex};

fn settings() -> Settings {
    Settings { dht: true, ..Settings::default() }
}

fn magnet(content: &Content) -> TorrentSource {
    TorrentSource::Magnet(Box::new(Magnet::new(content.metainfo.info_hashes)))
}

fn info(net: &Net, host: usize) -> Option<Vec<u8>> {
    net.hosts[host].events.iter().find_map(|e| match e {
        Event::MetadataReceived { info, .. } => Some(info.clone()),
        _ => None,
    })
}

/// A host with a magnet that is connected to a seed, and has got the metadata from it.
fn with_metadata(content: &Content) -> (Net, TorrentId) {
    let mut net = Net::new();
    net.add_host(settings());
    net.add(0, content, &Bitfield::all(content.pieces()));
    net.add_host(settings());
    let torrent = net.add_source(1, magnet(content));
    net.connect(1, torrent, 0);
    (net, torrent)
}

//= BEP 9: metadata from peers
//= test
#[test]
fn a_magnet_gets_its_metadata_from_a_peer_and_then_its_pieces() {
    let content = Content::new("m", 1 << 20, 16_384, false);
    let (mut net, torrent) = with_metadata(&content);
    assert_eq!(info(&net, 1).unwrap(), content.metainfo.raw_info);
    net.storage(1, torrent, &content, &Bitfield::none(64), Vec::new());
    assert!(net.has_all(1, torrent));
}

//= S58
#[test]
fn what_the_storage_holds_is_told_by_haves_to_peers_that_came_before() {
    let content = Content::small();
    let (mut net, torrent) = with_metadata(&content);
    let peer = net.join(1, &content, 5, modern());
    assert!(net.is_closed(peer), "nobody is let in while the storage is opened");
    let mut have = Bitfield::none(3);
    have.set(PieceIndex(1));
    net.storage(1, torrent, &content, &have, Vec::new());
    let seen = net.hosts[0].engine.peers(net.hosts[0].engine.torrents().next().unwrap());
    assert_eq!(seen[0].pieces, 3, "one was there, two were fetched");
}

fn extended(net: &mut Net, puppet: Puppet) -> Vec<ExtensionHandshake> {
    let bytes = net.came(puppet);
    let (mut rest, mut found) = (&bytes[68.min(bytes.len())..], Vec::new());
    while let Some((message, len)) = Message::parse(rest).unwrap() {
        if let Message::Extended { id: 0, payload } = message {
            found.push(ExtensionHandshake::decode(payload).unwrap());
        }
        rest = &rest[len..];
    }
    found
}

//= BEP 10: a later handshake adds to the first
//= test
#[test]
fn peers_are_told_the_size_once_the_metadata_is_there() {
    let content = Content::small();
    let mut net = Net::new();
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(3));
    net.add_host(settings());
    let torrent = net.add_source(1, magnet(&content));
    let peer = net.join(1, &content, 5, modern());
    net.connect(1, torrent, 0);
    let sizes: Vec<Option<u32>> = extended(&mut net, peer).iter().map(|h| h.metadata_size).collect();
    assert_eq!(sizes, [None, u32::try_from(content.metainfo.raw_info.len()).ok()]);
}

//= BEP 27: peers of a private torrent come from its tracker only
//= test
#[test]
fn metadata_that_is_private_ends_the_dht_search_and_forgets_whom_it_named() {
    let content = Content::new("p", 75_536, 32_768, true);
    let mut net = Net::new();
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(3));
    net.add_host(settings());
    let torrent = net.add_source(1, magnet(&content));
    let told: SocketAddr = "90.1.1.1:6881".parse().unwrap();
    net.tell(1, torrent, PeerSource::Dht, &[told]);
    net.connect(1, torrent, 0);
    assert!(info(&net, 1).is_some());
    assert!(matches!(net.hosts[1].hub_commands.last(), Some(HubCommand::DhtStop { .. })));
    assert_eq!(net.hosts[1].engine.torrent_stats(torrent).unwrap().peers, (0, 1), "the user named one");
    net.storage(1, torrent, &content, &Bitfield::none(3), Vec::new());
    net.tell(1, torrent, PeerSource::Pex, &["90.1.1.2:6881".parse().unwrap()]);
    assert_eq!(net.hosts[1].engine.torrent_stats(torrent).unwrap().peers.1, 1);
    assert!(
        !net.hosts[1].hub_commands.iter().rev().take(2).any(|c| matches!(c, HubCommand::DhtSearch { .. }))
    );
}

#[test]
fn a_peer_that_asks_for_metadata_and_reads_nothing_gets_it_three_times_over_at_most() {
    let (mut net, content) = (Net::new(), Content::new("m", 1 << 20, 16_384, false));
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(64));
    let peer = net.join(0, &content, 1, modern());
    let hello = b"d1:md11:ut_metadatai7eee";
    net.say(peer, &[Message::Extended { id: 0, payload: hello }]);
    net.came(peer);
    let ask = MetadataMessage::Request { block: 0 }.encode();
    let local = unchoke_wire::Extension::UtMetadata.local_id();
    let asks: Vec<Message<'_>> = (0..50).map(|_| Message::Extended { id: local, payload: &ask }).collect();
    net.say(peer, &asks);
    let served = net.came(peer).len();
    assert!(served < 3 * content.metainfo.raw_info.len() + 50 * 60, "{served} bytes");
}

#[test]
fn a_peer_that_asks_for_all_of_large_metadata_at_once_gets_all_of_it() {
    let (mut net, content) = (Net::new(), Content::new("large", 60_000 * 16, 16, false));
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(60_000));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::Extended { id: 0, payload: b"d1:md11:ut_metadatai7eee" }]);
    net.came(peer);
    let blocks = u32::try_from(content.metainfo.raw_info.len().div_ceil(16 << 10)).unwrap();
    let local = unchoke_wire::Extension::UtMetadata.local_id();
    let asks: Vec<Vec<u8>> = (0..blocks).map(|block| MetadataMessage::Request { block }.encode()).collect();
    let asks: Vec<Message<'_>> =
        asks.iter().map(|payload| Message::Extended { id: local, payload }).collect();
    net.say(peer, &asks);
    assert!(!net.is_closed(peer));
    assert!(net.came(peer).len() > content.metainfo.raw_info.len());
}

#[test]
fn metadata_of_an_unknown_hash_needs_no_clock() {
    let content = Content::small();
    let mut net = Net::new();
    net.add_host(Settings { dht: false, ..Settings::default() });
    net.add_source(0, magnet(&content));
    let liar = net.join(0, &content, 1, modern());
    let hello = b"d1:md11:ut_metadatai7ee13:metadata_sizei100ee";
    net.say(liar, &[Message::Extended { id: 0, payload: hello }]);
    let reject = MetadataMessage::Reject { block: 0 }.encode();
    let local = unchoke_wire::Extension::UtMetadata.local_id();
    net.say(liar, &[Message::Extended { id: local, payload: &reject }]);
    net.run_for(unchoke_wire::time::Duration::from_secs(200));
    assert!(net.wakes < 500, "{} wakes in 200 s", net.wakes);
}
