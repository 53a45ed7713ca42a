//! One gate for every dial: whoever names an address, it is dialled only if it is not ours and of a scope its teller may
//! name.

use crate::net::{Content, Net, modern};
use core::net::SocketAddr;
use std::collections::BTreeSet;
use unchoke_engine::input::{PeerSource, TorrentSource};
use unchoke_engine::tracker::Families;
use unchoke_engine::{Settings, TorrentId};
use unchoke_wire::time::Duration;
use unchoke_wire::ut_pex::{PexFlags, PexMessage, PexPeer};
use unchoke_wire::{
    Bitfield, Extension, ExtensionHandshake, ExtensionIds, HostPort, Magnet, Message, compact,
};

/// Where an address may come from.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Source {
    User,
    Tracker,
    Dht,
    Lsd,
    Pex,
    Magnet,
}

const ALL: [Source; 6] =
    [Source::User, Source::Tracker, Source::Dht, Source::Lsd, Source::Pex, Source::Magnet];

fn settings() -> Settings {
    let families = Families { v4: true, v6: false };
    Settings { dht: false, families, dials_max: 500, ..Settings::default() }
}

/// The addresses that a host dials when `source`, far away where it has a place, names all of these.
fn dialled(source: Source, addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let (mut net, mut content) = (Net::new(), Content::small());
    content.metainfo.trackers = vec![vec!["http://80.9.9.9/announce".into()]];
    net.add_host(settings());
    if source == Source::Magnet {
        let mut magnet = Magnet::new(content.metainfo.info_hashes);
        let host = |a: &SocketAddr| HostPort::new(&a.ip().to_string(), a.port());
        magnet.peers = addrs.iter().filter_map(|a| host(a).ok()).collect();
        net.add_source(0, TorrentSource::Magnet(Box::new(magnet)));
        return once_each(&net);
    }
    let torrent = net.add(0, &content, &Bitfield::none(3));
    match source {
        Source::User => net.tell(0, torrent, PeerSource::User, addrs),
        Source::Dht => net.tell(0, torrent, PeerSource::Dht, addrs),
        Source::Lsd => net.tell(0, torrent, PeerSource::Lsd, addrs),
        Source::Tracker => tracker(&mut net, addrs),
        Source::Pex | Source::Magnet => pex(&mut net, &content, addrs),
    }
    net.run_for(Duration::from_secs(1));
    once_each(&net)
}

fn once_each(net: &Net) -> Vec<SocketAddr> {
    let dials: BTreeSet<SocketAddr> = net.hosts[0].dials.iter().copied().collect();
    dials.into_iter().collect()
}

fn tracker(net: &mut Net, addrs: &[SocketAddr]) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for addr in addrs {
        compact::encode_into(*addr, if addr.ip().to_canonical().is_ipv4() { &mut v4 } else { &mut v6 });
    }
    let mut body = b"d8:intervali1800e5:peers".to_vec();
    body.extend([format!("{}:", v4.len()).as_bytes(), &v4].concat());
    body.extend([format!("6:peers6{}:", v6.len()).as_bytes(), &v6, b"e"].concat());
    net.tracker_says(0, &body);
}

fn pex(net: &mut Net, content: &Content, addrs: &[SocketAddr]) {
    let liar = net.join(0, content, 1, modern());
    let hello =
        ExtensionHandshake { ids: ExtensionIds::ours([Extension::UtPex]), ..ExtensionHandshake::default() };
    let added = addrs.iter().map(|addr| PexPeer { addr: *addr, flags: PexFlags::default() }).collect();
    let message = PexMessage { added, ..PexMessage::default() }.encode();
    net.say(
        liar,
        &[
            Message::Extended { id: 0, payload: &hello.encode() },
            Message::Extended { id: Extension::UtPex.local_id(), payload: &message },
        ],
    );
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn whoever_names_it_nothing_is_dialled_that_cannot_be_sent_to_or_is_ourselves() {
    let never = [
        "0.0.0.0:1",
        "[::]:1",
        "224.0.0.1:1",
        "239.192.152.143:6771",
        "255.255.255.255:1",
        "240.0.0.1:1",
        "[ff02::1]:1",
        "[fe80::1]:1",
        "8.8.4.4:0",
        "80.0.1.1:6881",
        "[::ffff:80.0.1.1]:6881",
    ];
    let mut addrs: Vec<SocketAddr> = never.map(addr).into();
    addrs.push(addr("8.8.8.8:1"));
    for source in ALL {
        assert_eq!(dialled(source, &addrs), [addr("8.8.8.8:1")], "{source:?}");
    }
}

#[test]
fn strangers_cannot_point_us_at_the_local_network() {
    let local = [
        "127.0.0.1:22",
        "10.0.0.1:80",
        "172.16.0.1:80",
        "192.168.0.1:80",
        "100.64.0.1:80",
        "169.254.169.254:80",
        "[::1]:22",
        "[fd00::1]:80",
        "[::ffff:127.0.0.1]:22",
        "[64:ff9b::a00:1]:80",
        "[2002:7f00:1::]:22",
    ];
    for source in [Source::Tracker, Source::Pex, Source::Magnet] {
        assert_eq!(dialled(source, &local.map(addr)), [], "{source:?}");
    }
    assert_eq!(
        dialled(Source::User, &local.map(addr)).len(),
        local.len() - 1,
        "the mapped one is there twice"
    );
}

fn peer_port(net: &mut Net, content: &Content, from: &str, n: u8, port: u16) {
    let puppet = net.dial(0, addr(from));
    net.shake(puppet, content, n, modern());
    let hello = ExtensionHandshake { port: Some(port), ..ExtensionHandshake::default() };
    net.say(puppet, &[Message::Extended { id: 0, payload: &hello.encode() }]);
    net.close(puppet);
}

#[test]
fn the_port_a_peer_says_it_listens_on_passes_the_same_gate() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    net.add(0, &content, &Bitfield::none(3));
    peer_port(&mut net, &content, "80.0.1.1:40000", 1, 6881);
    peer_port(&mut net, &content, "90.0.0.1:40000", 2, 6881);
    net.run_for(Duration::from_secs(300));
    assert!(!net.hosts[0].dials.is_empty());
    assert!(net.hosts[0].dials.iter().all(|a| *a == addr("90.0.0.1:6881")), "never ourselves");
}

/// What a host knows as its own address from peers' `yourip`: row 57 of the hostile suite.
fn sees(net: &mut Net, content: &Content, from: &str, n: u8, ip: &str) {
    let puppet = net.dial(0, addr(from));
    net.shake(puppet, content, n, modern());
    let hello = ExtensionHandshake { your_ip: ip.parse().ok(), ..ExtensionHandshake::default() };
    net.say(puppet, &[Message::Extended { id: 0, payload: &hello.encode() }]);
}

fn dials_to(net: &mut Net, torrent: TorrentId, to: &str) -> bool {
    net.tell(0, torrent, PeerSource::Tracker, &[addr(to)]);
    net.hosts[0].dials.contains(&addr(to))
}

#[test]
fn where_three_networks_see_us_is_never_dialled_and_one_liar_is_not_believed() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    let torrent = net.add(0, &content, &Bitfield::none(3));
    for n in 1..=5 {
        sees(&mut net, &content, &format!("90.0.0.{n}:4000{n}"), n, "70.0.0.1");
    }
    assert!(dials_to(&mut net, torrent, "70.0.0.1:6881"), "five of one network are one");
    for n in 11..=13 {
        sees(&mut net, &content, &format!("90.0.{n}.1:40001"), n, "70.0.0.2");
    }
    assert!(!dials_to(&mut net, torrent, "70.0.0.2:6881"));
    assert!(dials_to(&mut net, torrent, "70.0.0.2:6882"), "another port is somebody else");
    let later = net.add(0, &Content::new("later", 40_000, 16_384, false), &Bitfield::none(3));
    net.hosts[0].dials.clear();
    assert!(!dials_to(&mut net, later, "70.0.0.2:6881"), "nor by a torrent that comes later");
}
