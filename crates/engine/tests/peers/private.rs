//! A private torrent (BEP 27) uses its tracker and nothing else: no DHT, no peer exchange, no local network.

use crate::net::{Content, Net, Puppet, modern};
use unchoke_engine::input::TorrentSource;
use unchoke_engine::output::HubCommand;
use unchoke_engine::{Command, Settings};
use unchoke_wire::lsd::Announce;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, Extension, ExtensionHandshake, Handshake, HostPort, Magnet, Message};

/// What a peer was told: its handshake, the extension handshakes, and whether there was anything of the DHT or peer
/// exchange among the rest.
fn told(net: &mut Net, puppet: Puppet) -> (Handshake, Vec<ExtensionHandshake>, bool) {
    let bytes = net.came(puppet);
    let handshake = Handshake::decode(&bytes[..68]).unwrap().unwrap();
    let (mut rest, mut hellos, mut is_open) = (&bytes[68..], Vec::new(), false);
    while let Some((message, len)) = Message::parse(rest).unwrap() {
        match message {
            Message::Extended { id: 0, payload } => hellos.push(ExtensionHandshake::decode(payload).unwrap()),
            Message::Extended { id: 9, .. } | Message::Port(_) => is_open = true,
            _ => {}
        }
        rest = &rest[len..];
    }
    (handshake, hellos, is_open)
}

fn hello(net: &mut Net, puppet: Puppet) {
    net.say(puppet, &[Message::Extended { id: 0, payload: b"d1:md6:ut_pexi9ee1:pi7000ee" }]);
}

//= BEP 27: a private torrent is not
//= test
#[test]
fn nothing_of_a_private_torrent_reaches_the_dht_peer_exchange_or_the_local_network() {
    for is_private in [true, false] {
        let mut net = Net::new();
        let content = Content::new("p", 75_536, 32_768, is_private);
        net.add_host(Settings { dht: true, pex: true, lsd: true, ..Settings::default() });
        net.datagram(
            0,
            "90.0.0.9:6881".parse().unwrap(),
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
        );
        net.add(0, &content, &Bitfield::all(3));
        let puppets: Vec<Puppet> = (1..=3)
            .map(|n| {
                let puppet = net.join(0, &content, n, modern().with_dht());
                hello(&mut net, puppet);
                puppet
            })
            .collect();
        net.run_for(Duration::from_secs(70));
        for puppet in puppets {
            let (handshake, hellos, is_open) = told(&mut net, puppet);
            let offers_pex = hellos.iter().any(|h| h.ids.id_of(Extension::UtPex).is_some());
            assert_eq!(handshake.reserved.has_dht(), !is_private);
            assert_eq!(offers_pex, !is_private);
            assert_eq!(is_open, !is_private);
        }
        net.run_for(Duration::from_secs(1200));
        let is_in =
            |all: &[Vec<u8>], hash: &[u8]| all.iter().any(|d| d.windows(hash.len()).any(|w| w == hash));
        let host = &net.hosts[0];
        assert!(!is_private || !is_in(&host.datagrams, &content.hash().0), "DHT datagrams");
        assert_eq!(is_in(&host.lsd_datagrams, content.hash().to_string().as_bytes()), !is_private, "LSD");
        assert_eq!(host.lsd_datagrams.is_empty(), is_private);
        let open =
            |c: &HubCommand| matches!(c, HubCommand::LsdAnnounce { .. } | HubCommand::DhtSearch { .. });
        assert_eq!(host.hub_commands.iter().any(open), !is_private);
    }
}

/// Row 60 of the metainfo suite.
//= BEP 27: peers of a private torrent come from its tracker only
//= test
#[test]
fn metadata_that_is_private_ends_announces_in_the_local_network() {
    let content = Content::new("p", 75_536, 32_768, true);
    let mut net = Net::new();
    net.add_host(Settings { dht: false, ..Settings::default() });
    net.add(0, &content, &Bitfield::all(3));
    net.add_host(Settings { dht: false, ..Settings::default() });
    let magnet = Magnet::new(content.metainfo.info_hashes);
    let torrent = net.add_source(1, TorrentSource::Magnet(Box::new(magnet)));
    net.connect(1, torrent, 0);
    assert!(matches!(
        &net.hosts[1].hub_commands[..],
        [.., HubCommand::LsdStop { .. }, HubCommand::DhtStop { .. }]
    ));
    net.storage(1, torrent, &content, &Bitfield::none(3), Vec::new());
    net.run_for(Duration::from_secs(1200));
    assert_eq!(net.hosts[1].lsd_datagrams, Vec::<Vec<u8>>::new(), "the first announce had not gone out yet");
}

//= BEP 14: every public torrent is announced in the local network
//= test
#[test]
fn a_torrent_is_announced_with_all_its_hashes_while_it_runs() {
    let mut content = Content::small();
    content.metainfo.info_hashes.v2 = Some([7; 32]);
    let mut net = Net::new();
    net.add_host(Settings { dht: false, ..Settings::default() });
    let torrent = net.add(0, &content, &Bitfield::all(3));
    net.run_for(Duration::from_secs(1));
    let announced = net.hosts[0].lsd_datagrams.pop().unwrap();
    let mut hashes = Announce::decode(&announced).unwrap().hashes;
    hashes.sort();
    let mut both = [content.hash(), unchoke_wire::WireHash([7; 20])];
    both.sort();
    assert_eq!(hashes, both);
    net.command(0, Command::Pause(torrent));
    net.hosts[0].lsd_datagrams.clear();
    net.run_for(Duration::from_secs(900));
    assert_eq!(net.hosts[0].lsd_datagrams.len(), 0, "not while it is paused");
    net.command(0, Command::Resume(torrent));
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.hosts[0].lsd_datagrams.len(), 1);
}

//= BEP 27: peers of a private torrent come from its tracker only
//= test
#[test]
fn the_dht_nodes_a_private_torrent_names_are_left_alone() {
    for is_private in [true, false] {
        let mut content = Content::new("p", 75_536, 32_768, is_private);
        content.metainfo.nodes = vec![HostPort::new("90.0.0.9", 6881).unwrap()];
        let mut net = Net::new();
        net.add_host(Settings::default());
        net.add(0, &content, &Bitfield::all(3));
        let names = |c: &HubCommand| matches!(c, HubCommand::DhtNode { .. });
        assert_eq!(net.hosts[0].hub_commands.iter().any(names), !is_private);
    }
}
