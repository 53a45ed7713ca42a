//! Sessions that find each other in the local network (BEP 14) or by peer exchange (BEP 11) alone, on real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by unwrapping what is not there")]

mod support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Fixture, PATIENCE, leech, quiet, start, wait_for};
use unchoke_runtime::{AddTorrent, Event, PeerSource, SessionConfig, SessionEvent, Settings};
use unchoke_wire::WireHash;
use unchoke_wire::lsd::{self, Announce, Family};

/// A quiet session that looks for peers in the local network.
fn near(listen: &str) -> SessionConfig {
    SessionConfig {
        listen: vec![listen.parse().expect("an address")],
        engine: Settings { lsd: true, ..Settings::default() },
        ..quiet()
    }
}

/// A seed and a leech that nobody introduces complete; the one that starts later is heard first.
fn assert_find_each_other(fixture: &Fixture, listen: &str, seed_first: bool) {
    let target = tempfile::tempdir().unwrap();
    let (seed, leecher) = (start(near(listen)), start(near(listen)));
    let events = leecher.events();
    let torrent = if seed_first {
        fixture.seed(&seed);
        leech(fixture, &leecher, target.path(), &[])
    } else {
        let torrent = leech(fixture, &leecher, target.path(), &[]);
        fixture.seed(&seed);
        torrent
    };
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
    // the leech hears of the seed, or the seed dials the leech
    let at = seed.local_addr().ip();
    let is_near = |remote: SocketAddr| at.is_unspecified() || remote.ip() == at;
    let remote = wait_for(&events, |e| match e {
        SessionEvent::Torrent { event: Event::PeerConnected { remote, .. }, .. } => Some(*remote),
        _ => None,
    });
    assert!(is_near(remote), "{remote}");
}

//= BEP 14: what is heard
//= test
#[test]
fn two_sessions_on_loopback_find_each_other_in_the_local_network_alone() {
    assert_find_each_other(&Fixture::small(140), "127.0.0.1:0", true);
    assert_find_each_other(&Fixture::small(141), "127.0.0.1:0", false);
}

/// Takes what is announced on loopback.
fn eavesdropper() -> UdpSocket {
    use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&lsd::group(Family::V4).into()).unwrap();
    let lo = InterfaceIndexOrAddress::Address(Ipv4Addr::LOCALHOST);
    socket.join_multicast_v4_n(&lsd::GROUP_V4, &lo).unwrap();
    UdpSocket::from(socket)
}

//= BEP 27: a private torrent is not
//= test
#[test]
fn a_private_torrent_is_never_heard_of_in_the_local_network() {
    let ears = eavesdropper();
    ears.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let public = Fixture::small(142);
    let private = Fixture::small(143).made_private();
    let session = start(near("127.0.0.1:0"));
    private.seed(&session);
    public.seed(&session);
    let port = session.local_addr().port();
    let mut heard: Vec<WireHash> = Vec::new();
    let (mut buf, mut packets, deadline) = ([0; 2000], 0, Instant::now() + PATIENCE);
    // the public one is announced three times in its first seconds
    while packets < 3 {
        assert!(Instant::now() < deadline, "three announces are heard in time");
        let Ok((len, _)) = ears.recv_from(&mut buf) else { continue };
        if let Ok(announce) = Announce::decode(&buf[..len])
            && announce.port == port
        {
            heard.extend(announce.hashes);
            packets += 1;
        }
    }
    assert!(heard.iter().all(|hash| *hash == public.hash()), "{heard:?}");
}

//= BEP 11: peer exchange
//= test
#[test]
fn a_peer_is_found_by_what_another_peer_tells() {
    let fixture = Fixture::small(144);
    let (dir_a, dir_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b, c) = (start(quiet()), start(quiet()), start(quiet()));
    let events = a.events();
    // B gives nothing: what A gets it has from C
    let add =
        AddTorrent { peers: vec![c.local_addr()], ..AddTorrent::new(fixture.metainfo.clone(), dir_b.path()) };
    let of_b = b.add(add).unwrap();
    b.set_limits(Some(1), Some(1));
    fixture.seed(&c);
    let deadline = Instant::now() + PATIENCE;
    while of_b.stats().unwrap().peers.0 == 0 {
        assert!(Instant::now() < deadline, "B connects to C in time");
        std::thread::yield_now();
    }
    let torrent = leech(&fixture, &a, dir_a.path(), &[b.local_addr()]);
    torrent.wait_complete(PATIENCE).unwrap();
    wait_for(&events, |e| match e {
        SessionEvent::Torrent {
            event: Event::PeersFound { source: PeerSource::Pex, new: 1, .. }, ..
        } => Some(()),
        _ => None,
    });
    assert!(of_b.stats().unwrap().left.is_none_or(|left| left != 0));
}

/// Runs this test again in a network namespace of its own with one interface; `false` when that was done, or cannot be.
fn is_in_own_network(test: &str) -> bool {
    if std::env::var_os(IN_NETWORK).is_some() {
        return true;
    }
    let name = format!("unchoke-{}-{}", std::process::id(), test.len());
    let ip = |args: &str| Command::new("ip").args(args.split(' ')).output().is_ok_and(|o| o.status.success());
    if !ip(&format!("netns add {name}")) {
        eprintln!("SKIPPED {test}: no right to make a network namespace, or no `ip`");
        return false;
    }
    let steps = [
        "link set lo up",
        "link add lan type veth peer name other-end",
        "link set other-end up",
        "link set lan up",
        "addr add 10.14.0.1/24 dev lan",
        "addr add fd14::1/64 dev lan nodad",
    ];
    let is_made = steps.iter().all(|step| ip(&format!("-n {name} {step}")));
    let run = || {
        Command::new("ip")
            .args(["netns", "exec", &name])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(IN_NETWORK, "1")
            .output()
            .unwrap()
    };
    let output = is_made.then(run);
    ip(&format!("netns del {name}"));
    match output {
        None => eprintln!("SKIPPED {test}: no interface can be made"),
        Some(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
    }
    false
}

#[test]
fn two_sessions_find_each_other_on_a_network_of_ipv4_and_of_ipv6() {
    if is_in_own_network("two_sessions_find_each_other_on_a_network_of_ipv4_and_of_ipv6") {
        assert_find_each_other(&Fixture::small(145), "10.14.0.1:0", true);
        assert_find_each_other(&Fixture::small(146), "[fd14::1]:0", true);
        assert_find_each_other(&Fixture::small(147), "[fd14::1]:0", false);
        // on every address: both families announce
        assert_find_each_other(&Fixture::small(148), "[::]:0", true);
    }
}

const IN_NETWORK: &str = "UNCHOKE_TEST_IN_NETWORK";
