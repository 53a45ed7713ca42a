//! What an engine wants of the DHT.

use crate::net::{Content, Host, Net, handshake, modern, plain};
use unchoke_engine::output::HubCommand;
use unchoke_engine::{Command, Settings};
use unchoke_wire::handshake::Handshake;
use unchoke_wire::{Bitfield, HostPort, Message, PeerId, WireHash};

/// Public content of which both hashes are known.
fn hybrid() -> (Content, [WireHash; 2]) {
    let mut content = Content::small();
    content.metainfo.info_hashes.v2 = Some([9; 32]);
    let hashes = [content.hash(), WireHash([9; 20])];
    (content, hashes)
}

/// The hashes of the commands that `pick` takes, in order.
fn hashes(host: &Host, pick: fn(&HubCommand) -> Option<WireHash>) -> Vec<WireHash> {
    host.hub_commands.iter().filter_map(pick).collect()
}

fn searched(command: &HubCommand) -> Option<WireHash> {
    match command {
        HubCommand::DhtSearch { hash, .. } => Some(*hash),
        _ => None,
    }
}

#[test]
fn a_hybrid_searches_and_announces_both_of_its_hashes_and_stops_both() {
    let (mut net, (content, both)) = (Net::new(), hybrid());
    net.add_host(Settings::default());
    let torrent = net.add(0, &content, &Bitfield::all(3));
    assert_eq!(hashes(&net.hosts[0], searched), both);
    net.command(0, Command::Pause(torrent));
    let stopped = hashes(&net.hosts[0], |command| match command {
        HubCommand::DhtStop { hash } => Some(*hash),
        _ => None,
    });
    assert_eq!(stopped, both);
    let left = hashes(&net.hosts[0], |command| match command {
        HubCommand::Unregister { hash } => Some(*hash),
        _ => None,
    });
    assert_eq!(left, both);
}

#[test]
fn a_hybrid_answers_to_either_hash_with_the_one_it_was_called_by() {
    let (mut net, (content, both)) = (Net::new(), hybrid());
    net.add_host(Settings { dht: false, ..Settings::default() });
    net.add(0, &content, &Bitfield::all(3));
    for (n, info_hash) in (1..).zip(both) {
        let peer = net.dial(0, ([90, 1, 1, n], 6881).into());
        let ours = Handshake { reserved: plain(), info_hash, peer_id: PeerId([n; 20]) };
        net.send(peer, &ours.encode());
        let came = net.came(peer);
        assert_eq!(came[28..48], info_hash.0);
        assert_eq!(came[68..], [0, 0, 0, 2, 5, 0xe0], "the bitfield follows at once");
    }
    let peer = net.dial(0, ([90, 1, 1, 7], 6881).into());
    let other = Handshake { reserved: plain(), info_hash: WireHash([8; 20]), peer_id: PeerId([7; 20]) };
    net.send(peer, &other.encode());
    assert!(net.is_closed(peer));
}

//= BEP 27: peers of a private torrent come from its tracker only
//= test
#[test]
fn a_private_torrent_is_never_queried_whoever_asks_for_it() {
    let mut content = Content::new("private", 75_536, 32_768, true);
    content.metainfo.info_hashes.v2 = Some([9; 32]);
    let mut net = Net::new();
    net.add_host(Settings::default());
    let torrent = net.add(0, &content, &Bitfield::none(3));
    let peer = net.dial(0, ([90, 1, 1, 1], 6881).into());
    net.send(peer, &handshake(&content, 1, modern()));
    net.say(peer, &[Message::Port(6881)]);
    assert!(!net.heard(peer).iter().any(|said| said.starts_with("port")));
    net.command(0, Command::Pause(torrent));
    net.command(0, Command::Resume(torrent));
    net.run_for(unchoke_wire::time::Duration::from_secs(3600));
    let is_dht =
        |command: &&HubCommand| matches!(command, HubCommand::DhtSearch { .. } | HubCommand::DhtNode { .. });
    assert_eq!(net.hosts[0].hub_commands.iter().find(is_dht), None);
    assert_eq!(net.hosts[0].datagrams, Vec::<Vec<u8>>::new());
}

#[test]
fn the_nodes_of_a_torrent_and_the_port_of_a_peer_are_passed_on_by_their_own_family() {
    let mut content = Content::small();
    content.metainfo.nodes = vec![HostPort::new("node.example", 7).unwrap()];
    let mut net = Net::new();
    net.add_host(Settings::default());
    net.add(0, &content, &Bitfield::none(3));
    for addr in ["90.1.1.1:6881", "[2a00::5]:6881"] {
        let peer = net.dial(0, addr.parse().unwrap());
        net.send(peer, &handshake(&content, 1, modern()));
        net.say(peer, &[Message::Port(9)]);
        net.close(peer);
    }
    let nodes: Vec<_> = net.hosts[0]
        .hub_commands
        .iter()
        .filter_map(|command| match command {
            HubCommand::DhtNode { host, port } => Some((host.as_str(), *port)),
            _ => None,
        })
        .collect();
    assert_eq!(nodes, [("node.example", 7), ("90.1.1.1", 9), ("2a00::5", 9)]);
}
