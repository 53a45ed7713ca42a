//! Torrents move between sessions over loopback.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use support::{Fixture, PATIENCE, leech, quiet, start, wait_for};
use unchoke_runtime::{AddTorrent, HubEvent, Session, SessionConfig, SessionEvent, State};
use unchoke_wire::{HostPort, compact};

#[expect(clippy::unwrap_used, reason = "this is the test")]
fn assert_moves(fixture: &Fixture, seed: SessionConfig, leecher: SessionConfig) {
    let target = tempfile::tempdir().unwrap();
    let (seed, leecher) = (start(seed), start(leecher));
    fixture.seed(&seed);
    let torrent = leech(fixture, &leecher, target.path(), &[seed.local_addr()]);
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
    let stats = torrent.stats().unwrap();
    assert_eq!((stats.left, stats.state), (Some(0), State::Seeding));
    assert_eq!(stats.totals.downloaded, fixture.metainfo.info.layout.total_len());
}

#[test]
fn a_torrent_of_many_files_moves_whole() {
    assert_moves(&Fixture::small(1), quiet(), quiet());
}

#[test]
fn large_pieces_move_with_as_many_shards_and_workers_as_there_are_cores() {
    let config = || SessionConfig { dht: false, ..SessionConfig::loopback() };
    let fixture = Fixture::new("large", 2, &[("x", 20_000_000), ("y", 3_333_333)], 1 << 20);
    assert_moves(&fixture, config(), config());
}

#[test]
fn shards_without_workers_do_the_same_jobs_themselves() {
    let config = || SessionConfig { workers: 0, shards: Some(1), ..quiet() };
    assert_moves(&Fixture::small(3), config(), config());
}

#[test]
fn a_magnet_becomes_a_torrent_by_one_peer() {
    let fixture = Fixture::small(4);
    let target = tempfile::tempdir().unwrap();
    let (seed, leecher) = (start(quiet()), start(quiet()));
    fixture.seed(&seed);
    let add =
        AddTorrent { peers: vec![seed.local_addr()], ..AddTorrent::new(fixture.magnet(), target.path()) };
    let torrent = leecher.add(add).unwrap();
    assert_eq!(torrent.wait_metainfo(PATIENCE).unwrap().raw_info, fixture.metainfo.raw_info);
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
}

#[test]
fn only_the_selected_files_are_got_and_others_when_chosen_later() {
    let fixture = Fixture::small(9);
    let target = tempfile::tempdir().unwrap();
    let (seed, leecher) = (start(quiet()), start(quiet()));
    fixture.seed(&seed);
    let mut add = AddTorrent::new(fixture.metainfo.clone(), target.path());
    (add.selection, add.peers) = (Some(vec![false, true, false, false]), vec![seed.local_addr()]);
    let torrent = leecher.add(add).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    let got = |path: &str| std::fs::read(target.path().join("small").join(path)).ok();
    let has = |path: &str| std::fs::read(fixture.dir.path().join("small").join(path)).ok();
    assert_eq!((got("a.bin"), got("sub/b.bin") == has("sub/b.bin")), (None, true));
    // one end of the torrent is left out, so not all pieces were needed
    assert!(torrent.stats().unwrap().pieces.0 < 11);
    assert!(torrent.set_selection(vec![true]).is_err());
    torrent.set_selection(vec![true; 4]).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
}

#[test]
fn torrents_move_over_ipv6_where_there_is_any() {
    let listen: Vec<SocketAddr> = vec![(Ipv6Addr::LOCALHOST, 0).into()];
    let config = || SessionConfig { listen: listen.clone(), ..quiet() };
    if std::net::UdpSocket::bind(listen[0]).is_err() {
        eprintln!("skipped: no IPv6 on loopback");
        return;
    }
    assert_moves(&Fixture::small(5), config(), config());
}

#[test]
fn an_ipv4_peer_written_as_ipv6_is_the_ipv4_peer() {
    let fixture = Fixture::small(6);
    let target = tempfile::tempdir().unwrap();
    let (seed, leecher) = (start(quiet()), start(quiet()));
    fixture.seed(&seed);
    let SocketAddr::V4(addr) = seed.local_addr() else { panic!("listens on IPv4") };
    let mapped = SocketAddr::new(addr.ip().to_ipv6_mapped().into(), addr.port());
    let torrent = leech(&fixture, &leecher, target.path(), &[mapped]);
    let events = leecher.events();
    let remote = wait_for(&events, |e| match e {
        SessionEvent::Torrent { event: unchoke_runtime::Event::PeerConnected { remote, .. }, .. } => {
            Some(*remote)
        }
        _ => None,
    });
    assert_eq!(remote, seed.local_addr());
    torrent.wait_complete(PATIENCE).unwrap();
}

/// A tracker that remembers who announced, and tells everybody of everybody.
#[expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
fn tracker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let peers: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
    let serve = move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut buf = [0; 4096];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buf) {
                    Ok(len) if len > 0 => request.extend_from_slice(&buf[..len]),
                    _ => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let port = request.split("port=").nth(1).and_then(|r| r.split(['&', ' ']).next()?.parse().ok());
            let mut peers = peers.lock().unwrap();
            if let Some(port) = port {
                let peer = SocketAddr::new(stream.peer_addr().unwrap().ip(), port);
                if !peers.contains(&peer) {
                    peers.push(peer);
                }
            }
            let mut list = Vec::new();
            peers.iter().for_each(|p| compact::encode_into(*p, &mut list));
            let mut body = format!("d8:intervali60e5:peers{}:", list.len()).into_bytes();
            body.extend_from_slice(&list);
            body.push(b'e');
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // a client that has gone needs no answer
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    };
    std::thread::spawn(serve);
    addr
}

#[test]
fn two_who_announce_to_one_tracker_find_each_other() {
    let fixture = Fixture::small(7).with_tracker(&format!("http://{}/announce", tracker()));
    let target = tempfile::tempdir().unwrap();
    let (seed, leecher) = (start(quiet()), start(quiet()));
    let events = seed.events();
    fixture.seed(&seed);
    wait_for(&events, |e| match e {
        SessionEvent::Torrent { event: unchoke_runtime::Event::TrackerReplied { .. }, .. } => Some(()),
        _ => None,
    });
    let torrent = leech(&fixture, &leecher, target.path(), &[]);
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
}

/// A session whose DHT knows `others`.
#[expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
fn dht_session(others: &[&Session]) -> Session {
    let host = |s: &&Session| HostPort::new("127.0.0.1", s.local_addr().port()).unwrap();
    start(SessionConfig { dht: true, dht_nodes: others.iter().map(host).collect(), trace: true, ..quiet() })
}

#[test]
fn three_sessions_exchange_a_torrent_without_a_tracker() {
    let fixture = Fixture::small(8);
    let first = dht_session(&[]);
    let second = dht_session(&[&first]);
    let third = dht_session(&[&first]);
    fixture.seed(&second);
    let events = second.events();
    wait_for(&events, |e| match e {
        SessionEvent::Dht(HubEvent::DhtAnnounced { nodes, .. }) if *nodes > 0 => Some(()),
        _ => None,
    });
    let target = tempfile::tempdir().unwrap();
    let torrent = third.add(AddTorrent::new(fixture.magnet(), target.path())).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
    let events = third.events();
    wait_for(&events, |e| matches!(e, SessionEvent::Datagram { is_sent: false, .. }).then_some(()));
}

#[test]
fn the_dht_begins_with_the_nodes_of_the_run_before() {
    let dir = tempfile::tempdir().unwrap();
    let router = dht_session(&[]);
    let node = dht_session(&[&router]);
    wait_for(&node.events(), |e| matches!(e, SessionEvent::Datagram { is_sent: false, .. }).then_some(()));
    let config = SessionConfig { dht: true, dht_file: Some(dir.path().join("dht")), trace: true, ..quiet() };
    let bootstrap = vec![HostPort::new("127.0.0.1", router.local_addr().port()).unwrap()];
    let first = start(SessionConfig { dht_nodes: bootstrap, ..config.clone() });
    let is_answer = |e: &SessionEvent| match e {
        SessionEvent::Datagram { remote, is_sent: false, bytes } => {
            *remote == node.local_addr() && bytes.windows(6).any(|w| w == b"1:y1:r")
        }
        _ => false,
    };
    wait_for(&first.events(), |e| is_answer(e).then_some(()));
    first.shutdown(PATIENCE);
    let text = std::fs::read_to_string(dir.path().join("dht")).unwrap();
    assert!(text.contains(&node.local_addr().to_string()), "{text}");
    let second = start(config);
    wait_for(&second.events(), |e| is_answer(e).then_some(()));
}
