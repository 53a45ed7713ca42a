//! What the port does with those who connect.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use support::{Fixture, PATIENCE, connect, greet, handshake, leech, quiet, read_to_end, start, wait_for};
use unchoke_runtime::{AddTorrent, Event, SessionConfig, SessionEvent};
use unchoke_wire::WireHash;

/// Plain handshakes and DHT datagrams on one port; encrypted ones and uTP are other protocols' tests.
//= S02
#[test]
fn one_port_serves_handshakes_and_dht_queries() {
    let fixture = Fixture::small(20);
    let session = start(SessionConfig { dht: true, ..quiet() });
    fixture.seed(&session);
    greet(session.local_addr(), fixture.hash());
    let node = UdpSocket::bind("127.0.0.1:0").unwrap();
    node.set_read_timeout(Some(PATIENCE)).unwrap();
    node.send_to(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", session.local_addr()).unwrap();
    let mut buf = [0; 1500];
    // the node may ask us something before it answers
    let answer = loop {
        let (len, from) = node.recv_from(&mut buf).unwrap();
        assert_eq!(from, session.local_addr());
        if buf[..len].windows(6).any(|w| w == b"1:y1:r") {
            break buf[..len].to_vec();
        }
    };
    assert!(answer.windows(7).any(|w| w == b"1:t2:aa"));
}

//= S07
#[test]
fn the_answer_comes_after_48_bytes_however_slowly_they_drip() {
    let fixture = Fixture::small(21);
    let session = start(quiet());
    fixture.seed(&session);
    let mut stream = connect(session.local_addr());
    stream.set_nodelay(true).unwrap();
    let bytes = handshake(fixture.hash());
    for byte in &bytes[..48] {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut answer = [0; 68];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer[28..48], &bytes[28..48]);
}

//= S09
#[test]
fn a_hundred_torrents_share_a_port_and_an_unknown_hash_gets_nothing() {
    let session = start(quiet());
    let dir = tempfile::tempdir().unwrap();
    let fixtures: Vec<Fixture> =
        (0..100).map(|n| Fixture::new("t", 1000 + n, &[("f", 16_384)], 16_384)).collect();
    for fixture in &fixtures {
        let add = AddTorrent {
            trust: true,
            seed_only: true,
            ..AddTorrent::new(fixture.metainfo.clone(), dir.path())
        };
        session.add(add).unwrap().wait_complete(PATIENCE).unwrap();
    }
    for fixture in &fixtures {
        greet(session.local_addr(), fixture.hash());
    }
    let mut stranger = connect(session.local_addr());
    stranger.write_all(&handshake(WireHash([7; 20]))).unwrap();
    assert_eq!(read_to_end(&mut stranger), b"");
    let mut other = connect(session.local_addr());
    other.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(read_to_end(&mut other), b"");
}

//= S09
#[test]
fn a_paused_torrent_answers_nobody_until_it_goes_on() {
    let fixture = Fixture::small(22);
    let session = start(quiet());
    let torrent = fixture.seed(&session);
    let mut peer = greet(session.local_addr(), fixture.hash());
    torrent.pause();
    // the pause closes the connection, so it has happened when this returns
    read_to_end(&mut peer);
    let mut late = connect(session.local_addr());
    late.write_all(&handshake(fixture.hash())).unwrap();
    assert_eq!(read_to_end(&mut late), b"");
    torrent.resume();
    let is_answered = || {
        let mut stream = connect(session.local_addr());
        stream.write_all(&handshake(fixture.hash())).is_ok() && stream.read_exact(&mut [0; 68]).is_ok()
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_answered() {
        assert!(std::time::Instant::now() < deadline, "answers after it goes on");
    }
}

#[test]
fn a_pause_right_after_the_torrent_was_added_holds() {
    let session = start(quiet());
    for n in 0..20 {
        let fixture = Fixture::new("t", 2000 + n, &[("f", 16_384)], 16_384);
        let add =
            AddTorrent { seed_only: true, ..AddTorrent::new(fixture.metainfo.clone(), fixture.dir.path()) };
        let torrent = session.add(add).unwrap();
        torrent.pause();
        torrent.wait_complete(PATIENCE).unwrap();
        // the keeper answers this after the pause, and the shard the question after the keeper's command
        torrent.set_selection(vec![true]).unwrap();
        torrent.wait_complete(PATIENCE).unwrap();
        torrent.stats().unwrap();
        let mut peer = connect(session.local_addr());
        peer.write_all(&handshake(fixture.hash())).unwrap();
        assert_eq!(read_to_end(&mut peer), b"", "torrent {n}");
    }
}

//= S15
#[test]
fn a_dial_to_ourselves_ends_at_our_own_id() {
    let fixture = Fixture::small(23);
    let dir = tempfile::tempdir().unwrap();
    let session = start(SessionConfig { listen: vec!["0.0.0.0:0".parse().unwrap()], ..quiet() });
    let events = session.events();
    // an address of ours that the session does not know of
    let own = SocketAddr::new("127.0.0.2".parse().unwrap(), session.local_addr().port());
    let torrent = leech(&fixture, &session, dir.path(), &[own]);
    wait_for(&events, |e| matches!(e, SessionEvent::Ready { .. }).then_some(()));
    // an honest peer afterwards shows that the session is past the dial
    let seed = start(quiet());
    fixture.seed(&seed);
    torrent.add_peer(seed.local_addr()).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    let remotes: Vec<SocketAddr> = events
        .try_iter()
        .filter_map(|e| match e {
            SessionEvent::Torrent { event: Event::PeerConnected { remote, .. }, .. } => Some(remote),
            _ => None,
        })
        .collect();
    assert!(
        !remotes.contains(&own) && remotes.iter().all(|r| r.port() == seed.local_addr().port()),
        "{remotes:?}"
    );
}

//= S62
#[test]
fn a_thousand_silent_connections_do_not_keep_an_honest_one_out() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let fixture = Fixture::small(24);
    let session = start(quiet());
    fixture.seed(&session);
    let idle: Vec<TcpStream> = (0..1000).map(|_| connect(session.local_addr())).collect();
    greet(session.local_addr(), fixture.hash());
    drop(idle);
}
