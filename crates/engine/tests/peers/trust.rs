//! Nothing is given for an id: it proves nothing.

use crate::net::{Content, Net, Puppet, handshake, modern, plain, requests};
use core::net::SocketAddr;
use unchoke_engine::input::PeerSource;
use unchoke_engine::{Event, Settings, TorrentId};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, Message};

fn leech() -> (Net, Content, TorrentId) {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(Settings { dht: false, ..Settings::default() });
    let torrent = net.add(0, &content, &Bitfield::none(3));
    (net, content, torrent)
}

/// Answers every request with wrong bytes.
fn lie(net: &mut Net, peer: Puppet) {
    for b in requests(&net.heard(peer)) {
        let data = vec![0xee; b.len as usize];
        net.say(peer, &[Message::Piece { piece: b.piece, begin: b.begin, data: &data }]);
    }
}

//= S16
#[test]
fn a_liar_is_banned_by_its_address_whatever_id_it_takes() {
    let (mut net, content, torrent) = leech();
    let liar = net.join(0, &content, 1, plain());
    net.say(liar, &[Message::Bitfield(&[0xe0]), Message::Unchoke]);
    lie(&mut net, liar);
    assert!(net.is_closed(liar));
    assert!(net.hosts[0].events.iter().any(|e| matches!(e, Event::PeerBanned { .. })));
    let again = net.dial(0, "90.0.1.1:40001".parse().unwrap());
    net.send(again, &handshake(&content, 77, plain()));
    assert!(net.is_closed(again) && net.came(again).is_empty(), "the address is banned");
    let namesake = net.dial(0, "91.0.0.1:40000".parse().unwrap());
    net.send(namesake, &handshake(&content, 1, plain()));
    assert!(!net.is_closed(namesake), "the id is not");
    assert_eq!(net.hosts[0].engine.peers(torrent).len(), 1);
}

//= S16
#[test]
fn a_strangers_copy_of_an_id_does_not_cost_its_owner_the_connection() {
    let (mut net, content, torrent) = leech();
    let addr: SocketAddr = "90.0.0.9:6881".parse().unwrap();
    net.listen(addr);
    net.tell(0, torrent, PeerSource::User, &[addr]);
    let owner = net.dialled(addr).unwrap();
    net.send(owner, &handshake(&content, 255, modern()));
    for n in 1..4 {
        let copy = net.dial(0, SocketAddr::from(([91, 0, n, 1], 40_000)));
        net.send(copy, &handshake(&content, 255, modern()));
        assert!(net.is_closed(copy));
    }
    assert!(!net.is_closed(owner));
}

/// A peer of this id that joined and then said nothing for half a minute.
fn silent_owner(net: &mut Net, content: &Content) -> Puppet {
    let owner = net.join(0, content, 255, modern());
    net.say(owner, &[Message::HaveNone]);
    net.run_for(Duration::from_secs(30));
    net.heard(owner);
    owner
}

/// A connection from another address under the same id.
fn namesake(net: &mut Net, content: &Content, n: u8) -> Puppet {
    let copy = net.dial(0, SocketAddr::from(([91, 0, n, 1], 40_000)));
    net.send(copy, &handshake(content, 255, modern()));
    copy
}

//= H3b-6
#[test]
fn a_silent_connection_is_tested_and_stays_if_it_is_not_lost() {
    let (mut net, content, _) = leech();
    let owner = silent_owner(&mut net, &content);
    for round in 0..3 {
        let copy = namesake(&mut net, &content, round);
        assert_eq!(net.came(copy).len(), 68, "no word before it is clear");
        assert!(!net.is_closed(copy));
        assert_eq!(net.heard(owner), ["keepalive"], "what has to be acknowledged");
        assert_eq!(net.patience(0, owner), Some(Some(Duration::from_secs(5))));
        let second = namesake(&mut net, &content, 100);
        assert!(net.is_closed(second), "one at a time");
        net.run_for(Duration::from_secs(9));
        assert!(net.is_closed(copy) && !net.is_closed(owner));
        assert_eq!(net.patience(0, owner), Some(None));
    }
    assert_eq!(net.hosts[0].dials.len(), 0);
}

//= H3b-6
#[test]
fn any_byte_of_a_tested_connection_sends_the_newcomer_away() {
    let (mut net, content, _) = leech();
    let owner = silent_owner(&mut net, &content);
    let copy = namesake(&mut net, &content, 1);
    net.run_for(Duration::from_secs(3));
    assert!(!net.is_closed(copy));
    net.send(owner, &[0]);
    assert!(net.is_closed(copy) && !net.is_closed(owner));
    assert_eq!(net.patience(0, owner), Some(None));
    let again = namesake(&mut net, &content, 2);
    assert!(net.is_closed(again), "it was heard of just now");
}

#[test]
fn a_newcomer_takes_the_place_of_a_connection_that_is_lost_and_is_heard_from_its_first_byte() {
    let (mut net, content, torrent) = leech();
    let owner = silent_owner(&mut net, &content);
    let moved = namesake(&mut net, &content, 1);
    net.say(moved, &[Message::HaveAll, Message::Unchoke]);
    assert!(net.heard(moved).is_empty());
    net.close(owner);
    let heard = net.heard(moved);
    assert_eq!(heard[..2], ["havenone", "extended 0"]);
    assert!(heard.contains(&"interested".to_owned()), "{heard:?}");
    net.run_for(Duration::from_secs(1));
    let peers = net.hosts[0].engine.peers(torrent);
    assert_eq!(peers.iter().map(|p| p.remote).collect::<Vec<_>>(), ["91.0.1.1:40000".parse().unwrap()]);
    assert!(!requests(&net.heard(moved)).is_empty() || !requests(&heard).is_empty());
}

#[test]
fn a_newcomer_from_the_same_host_is_let_in_too_once_the_older_connection_is_lost() {
    let (mut net, content, _) = leech();
    let owner = silent_owner(&mut net, &content);
    let again = net.dial(0, SocketAddr::from(([90, 0, 255, 1], 40_001)));
    net.send(again, &handshake(&content, 255, modern()));
    assert!(!net.is_closed(again));
    net.close(owner);
    assert_eq!(net.heard(again)[0], "havenone");
}

#[test]
fn a_newcomer_that_says_much_before_it_is_heard_is_closed() {
    let (mut net, content, _) = leech();
    let owner = silent_owner(&mut net, &content);
    let copy = namesake(&mut net, &content, 1);
    net.send(copy, &[0; 128 << 10]);
    assert!(!net.is_closed(copy));
    net.send(copy, &[0]);
    assert!(net.is_closed(copy) && !net.is_closed(owner));
    assert_eq!(net.patience(0, owner), Some(None));
}

//= S28
#[test]
fn corrupt_data_is_thrown_away_and_fetched_elsewhere() {
    let (mut net, content, torrent) = leech();
    let liar = net.join(0, &content, 1, plain());
    net.say(liar, &[Message::Bitfield(&[0xe0]), Message::Unchoke]);
    lie(&mut net, liar);
    let honest = net.join(0, &content, 2, plain());
    net.say(honest, &[Message::Bitfield(&[0xe0]), Message::Unchoke]);
    for _ in 0..5 {
        requests(&net.heard(honest)).into_iter().for_each(|b| net.give(honest, &content, b));
    }
    assert!(net.has_all(0, torrent));
    assert!(net.hosts[0].events.iter().any(|e| matches!(e, Event::PieceFailed { .. })));
}

#[test]
fn one_host_in_the_internet_takes_its_share_of_connections_only() {
    let (mut net, content, torrent) = leech();
    for n in 0..20 {
        let peer = net.dial(0, SocketAddr::from(([90, 0, 0, 1], 40_000 + u16::from(n))));
        net.send(peer, &handshake(&content, 100 + n, plain()));
    }
    assert_eq!(net.hosts[0].engine.peers(torrent).len(), 8);
}
