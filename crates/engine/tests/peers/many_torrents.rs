//! Many torrents behind one port.

use crate::net::{Content, Net, plain};
use core::net::SocketAddr;
use unchoke_engine::{Command, Settings};
use unchoke_wire::Bitfield;

fn host(torrents: usize) -> (Net, Vec<Content>) {
    let mut net = Net::new();
    net.add_host(Settings::default());
    let contents: Vec<Content> =
        (0..torrents).map(|i| Content::new(&format!("t{i}"), 20_000 + i, 16_384, false)).collect();
    contents.iter().for_each(|c| {
        net.add(0, c, &Bitfield::all(2));
    });
    (net, contents)
}

//= S09
#[test]
fn a_hundred_torrents_answer_on_one_port_each_to_its_own_hash() {
    let (mut net, contents) = host(100);
    for (n, content) in (0..).zip(&contents) {
        let peer = net.join(0, content, n, plain());
        assert_eq!(net.came(peer)[28..48], content.hash().0);
    }
    let peers: usize = net.hosts[0].engine.torrents().map(|t| net.hosts[0].engine.peers(t).len()).sum();
    assert_eq!(peers, 100);
}

//= S09
#[test]
fn an_unknown_or_paused_hash_gets_no_byte() {
    let (mut net, contents) = host(2);
    let stranger = Content::new("unknown", 30_000, 16_384, false);
    let peer = net.join(0, &stranger, 1, plain());
    assert!(net.is_closed(peer) && net.came(peer).is_empty());
    let paused = net.hosts[0].engine.torrents().next().unwrap();
    net.command(0, Command::Pause(paused));
    let answers: Vec<usize> = (2..)
        .zip(&contents)
        .map(|(n, c)| {
            let peer = net.join(0, c, n, plain());
            net.came(peer).len()
        })
        .collect();
    assert_eq!(answers.iter().filter(|len| **len == 0).count(), 1);
    net.command(0, Command::Resume(paused));
    let peer = net.join(0, &contents[0], 9, plain());
    assert!(!net.came(peer).is_empty());
}

//= S02
#[test]
fn one_port_takes_peers_dht_queries_and_tracker_replies() {
    let (mut net, contents) = host(1);
    let peer = net.join(0, &contents[0], 1, plain());
    assert_eq!(&net.came(peer)[..20], b"\x13BitTorrent protocol");
    let from: SocketAddr = "90.0.0.2:6881".parse().unwrap();
    let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    assert_ne!(net.datagram(0, from, ping), 0, "the DHT node answers");
    let reply = [0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 9];
    assert_eq!(net.datagram(0, from, &reply), 0);
    assert_eq!(net.hosts[0].tracker_datagrams, 1);
    let web = net.dial(0, "90.0.0.3:40000".parse().unwrap());
    net.send(web, b"GET / HTTP/1.1\r\n\r\n");
    assert!(net.is_closed(web) && net.came(web).is_empty());
}
