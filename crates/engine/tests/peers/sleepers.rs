//! Torrents that sleep: announced and reachable without their metadata, and awake when somebody comes.

use crate::net::{Content, Net, block, plain};
use core::net::SocketAddr;
use unchoke_engine::engine::TorrentState;
use unchoke_engine::input::{AddAsleep, Discovery, PeerSource, Totals};
use unchoke_engine::output::HubCommand;
use unchoke_engine::tracker::Families;
use unchoke_engine::{Command, Event, Settings, TorrentId};
use unchoke_wire::message::Message;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, PieceIndex};

const TRACKER: &str = "http://80.9.9.9/announce";
const SLEEP_AFTER: Duration = Duration::from_secs(180);

fn settings() -> Settings {
    let families = Families { v4: true, v6: false };
    Settings { families, sleep_after: Some(SLEEP_AFTER), ..Settings::default() }
}

/// What is known of `content` of which the first `have` pieces are there.
fn asleep(content: &Content, have: u32) -> AddAsleep {
    let layout = &content.metainfo.info.layout;
    AddAsleep {
        hashes: content.metainfo.info_hashes,
        trackers: vec![vec![TRACKER.to_owned()]],
        discovery: Discovery::default(),
        is_private: content.metainfo.info.private,
        is_paused: false,
        is_sequential: false,
        is_super_seeding: false,
        pieces: (have, content.pieces()),
        left: (have..content.pieces()).map(|p| u64::from(layout.len_of(PieceIndex(p)))).sum(),
        is_complete: have == content.pieces(),
        totals: Totals { downloaded: 7, uploaded: 9, ..Totals::default() },
        announce_within: Duration::ZERO,
    }
}

fn sleeper(content: &Content, have: u32) -> (Net, TorrentId) {
    let mut net = Net::new();
    net.add_host(settings());
    let torrent = add(&mut net, asleep(content, have));
    (net, torrent)
}

fn add(net: &mut Net, add: AddAsleep) -> TorrentId {
    net.command(0, Command::AddAsleep(Box::new(add)));
    let added = net.hosts[0].events.iter().rev().find_map(|e| match e {
        Event::Added { torrent, .. } => Some(*torrent),
        _ => None,
    });
    added.expect("a new torrent is added")
}

/// Whether the host asked for what the torrent needs to wake up, since the last time.
fn is_roused(net: &mut Net) -> bool {
    core::mem::take(&mut net.hosts[0].events).iter().any(|e| matches!(e, Event::Wake { .. }))
}

fn wake(net: &mut Net, torrent: TorrentId, content: &Content, have: &Bitfield) {
    net.command(0, Command::Wake { torrent, metainfo: Box::new(content.metainfo.clone()) });
    net.storage(0, torrent, content, have, Vec::new());
}

#[test]
fn a_peer_of_a_sleeping_torrent_waits_and_gets_its_pieces() {
    let content = Content::small();
    let (mut net, torrent) = sleeper(&content, 3);
    assert!(!is_roused(&mut net));
    let peer = net.join(0, &content, 1, plain());
    let second = net.join(0, &content, 2, plain());
    assert!(is_roused(&mut net) && net.hosts[0].engine.is_asleep(torrent));
    net.run_for(Duration::from_secs(20));
    assert!(net.came(peer).is_empty() && !net.is_closed(peer), "it waits");
    wake(&mut net, torrent, &content, &Bitfield::all(3));
    assert!(!net.hosts[0].engine.is_asleep(torrent));
    for peer in [peer, second] {
        assert_eq!(net.heard(peer)[0], "bitfield e0");
    }
    net.say(peer, &[Message::Interested]);
    net.run_for(Duration::from_secs(11));
    net.say(peer, &[Message::Request(block(0, 0, 16_384))]);
    assert!(net.heard(peer).contains(&"piece 0/0+16384".to_owned()));
    assert_eq!(net.hosts[0].engine.torrent_stats(torrent).unwrap().totals.uploaded, 9 + 16_384);
}

#[test]
fn who_waits_is_bounded_and_not_kept_for_ever() {
    let content = Content::small();
    let (mut net, _) = sleeper(&content, 3);
    let peers: Vec<_> = (1..=17).map(|n| net.join(0, &content, n, plain())).collect();
    let closed = |net: &Net| peers.iter().filter(|p| net.is_closed(**p)).count();
    assert_eq!(closed(&net), 1, "the seventeenth");
    net.run_for(Duration::from_secs(29));
    assert_eq!(closed(&net), 1);
    net.run_for(Duration::from_secs(2));
    assert_eq!(closed(&net), 17);
    net.join(0, &content, 20, plain());
    net.hosts[0].engine.check_invariants();
}

#[test]
fn who_waits_for_what_cannot_wake_up_is_sent_away() {
    let content = Content::small();
    let (mut net, torrent) = sleeper(&content, 3);
    let peer = net.join(0, &content, 1, plain());
    net.command(0, Command::Pause(torrent));
    assert!(net.is_closed(peer));
    let late = net.join(0, &content, 2, plain());
    assert!(net.is_closed(late));
    assert_eq!(net.hosts[0].engine.torrent_stats(torrent).unwrap().state, TorrentState::Paused);
    net.command(0, Command::Resume(torrent));
    is_roused(&mut net);
    net.join(0, &content, 3, plain());
    assert!(is_roused(&mut net));
}

#[test]
fn a_sleeper_that_lacks_pieces_wakes_for_peers_and_one_that_has_all_does_not() {
    let content = Content::small();
    let addr: SocketAddr = "90.0.0.9:6881".parse().unwrap();
    for (have, source, wakes) in [
        (1, PeerSource::Dht, true),
        (1, PeerSource::Lsd, true),
        (3, PeerSource::Dht, false),
        (3, PeerSource::Lsd, false),
        (3, PeerSource::User, true),
    ] {
        let (mut net, torrent) = sleeper(&content, have);
        net.tell(0, torrent, source, &[addr]);
        assert_eq!(is_roused(&mut net), wakes, "{have} {source:?}");
    }
    let (mut net, torrent) = sleeper(&content, 1);
    let own = net.hosts[0].addr;
    net.tell(0, torrent, PeerSource::Dht, &[own]);
    assert!(!is_roused(&mut net), "we are no peer of ours");
    net.listen(addr);
    net.tell(0, torrent, PeerSource::Dht, &[addr]);
    let mut have = Bitfield::none(3);
    have.set(PieceIndex(0));
    wake(&mut net, torrent, &content, &have);
    assert_eq!(net.hosts[0].dials, [addr]);
}

#[test]
fn a_sleeping_seed_wakes_when_its_tracker_counts_leeches() {
    let content = Content::small();
    for (reply, wakes) in [
        (&b"d8:completei5e10:incompletei0e8:intervali1800e5:peers6:\x5a\0\0\x09\x1a\xe1e"[..], false),
        (&b"d8:completei5e10:incompletei1e8:intervali1800e5:peers6:\x5a\0\0\x09\x1a\xe1e"[..], true),
        (&b"d8:completei1e10:incompletei1e8:intervali1800e5:peers0:e"[..], false),
    ] {
        let (mut net, _) = sleeper(&content, 3);
        net.tracker_says(0, reply);
        assert_eq!(is_roused(&mut net), wakes);
    }
}

//= BEP 27: a private torrent has nothing to do with the DHT
//= test
#[test]
fn a_private_sleeper_is_announced_to_its_tracker_alone() {
    let content = Content::new("secret", 75_536, 32_768, true);
    let (mut net, torrent) = sleeper(&content, 1);
    let open = |c: &HubCommand| matches!(c, HubCommand::DhtSearch { .. } | HubCommand::LsdAnnounce { .. });
    assert!(!net.hosts[0].hub_commands.iter().any(open), "{:?}", net.hosts[0].hub_commands);
    let addr: SocketAddr = "90.0.0.9:6881".parse().unwrap();
    net.tell(0, torrent, PeerSource::Dht, &[addr]);
    assert!(!is_roused(&mut net));
    net.tracker_says(0, b"d8:intervali1800e5:peers6:\x5a\0\0\x09\x1a\xe1e");
    assert!(is_roused(&mut net));
}

#[test]
fn a_sleeper_is_announced_as_one_that_is_awake() {
    let content = Content::small();
    let (mut net, torrent) = sleeper(&content, 3);
    let hash = content.hash();
    let is_there = |c: &HubCommand| match c {
        HubCommand::DhtSearch { hash: h, is_seed, wants_peers, .. } => *h == hash && *is_seed && !wants_peers,
        HubCommand::LsdAnnounce { hashes, .. } => hashes[..] == [hash],
        _ => false,
    };
    assert_eq!(net.hosts[0].hub_commands.iter().filter(|c| is_there(c)).count(), 2);
    let url = net.hosts[0].http[0].url.clone();
    assert!(url.contains("event=started") && url.contains("left=0&") && url.contains("uploaded=0&"), "{url}");
    net.tracker_says(0, b"d8:intervali1800e5:peers0:e");
    net.run_for(Duration::from_secs(1801));
    assert_eq!(net.hosts[0].http.len(), 1);
    assert!(!net.hosts[0].http[0].url.contains("event"), "{}", net.hosts[0].http[0].url);
    net.tracker_says(0, b"d8:intervali1800e5:peers0:e");
    net.command(0, Command::Remove(torrent));
    assert!(net.hosts[0].http[0].url.contains("event=stopped"));
    net.tracker_says(0, b"d8:intervali1800e5:peers0:e");
    assert!(net.hosts[0].events.contains(&Event::Removed { torrent }));
    assert_eq!(net.hosts[0].engine.torrents().count(), 0);
}

#[test]
fn a_torrent_without_anybody_falls_asleep_and_stays_announced() {
    let mut content = Content::small();
    content.metainfo.trackers = vec![vec![TRACKER.to_owned()]];
    let mut net = Net::new();
    net.add_host(settings());
    let torrent = net.add(0, &content, &Bitfield::all(3));
    net.tracker_says(0, b"d8:intervali1800e5:peers0:e");
    let peer = net.join(0, &content, 1, plain());
    for _ in 0..3 {
        net.run_for(Duration::from_secs(100));
        net.say(peer, &[Message::KeepAlive]);
    }
    assert!(!net.hosts[0].engine.is_asleep(torrent), "somebody is there");
    net.close(peer);
    net.run_for(SLEEP_AFTER - Duration::from_secs(1));
    assert!(!net.hosts[0].engine.is_asleep(torrent));
    net.run_for(Duration::from_secs(2));
    assert!(
        net.hosts[0].engine.is_asleep(torrent) && net.hosts[0].events.contains(&Event::Slept { torrent })
    );
    let stats = net.hosts[0].engine.torrent_stats(torrent).unwrap();
    assert_eq!((stats.state, stats.pieces, stats.left), (TorrentState::Seeding, (3, 3), Some(0)));
    assert!(net.hosts[0].http.is_empty(), "nothing is told to the tracker");
    let peer = net.join(0, &content, 2, plain());
    assert!(is_roused(&mut net));
    wake(&mut net, torrent, &content, &Bitfield::all(3));
    assert_eq!(net.heard(peer)[0], "bitfield e0");
    assert!(net.hosts[0].http.is_empty(), "nor is it when it wakes up");
    net.run_for(Duration::from_secs(1801));
    assert!(!net.hosts[0].http[0].url.contains("event"), "{}", net.hosts[0].http[0].url);
}

#[test]
fn a_download_sleeps_only_when_there_is_nobody_to_ask() {
    let content = Content::small();
    let (mut net, torrent) = sleeper(&content, 0);
    let addr: SocketAddr = "90.0.0.9:6881".parse().unwrap();
    net.tell(0, torrent, PeerSource::Dht, &[addr]);
    wake(&mut net, torrent, &content, &Bitfield::none(3));
    assert_eq!(net.hosts[0].dials, [addr]);
    net.run_for(SLEEP_AFTER * 2);
    assert!(!net.hosts[0].engine.is_asleep(torrent), "it will be dialled again");
    net.run_for(Duration::from_secs(86_400));
    assert!(net.hosts[0].engine.is_asleep(torrent), "it was dialled often enough");
    net.command(0, Command::SetWanted { torrent, wanted: Bitfield::all(3) });
    assert!(is_roused(&mut net));
}

#[test]
fn many_sleepers_are_announced_evenly_and_few_at_once() {
    let mut net = Net::new();
    net.add_host(settings());
    let count = 1000;
    for n in 0..count {
        let mut add = asleep(&Content::new(&format!("t{n}"), 20_000 + n, 16_384, false), 2);
        add.announce_within = Duration::from_secs(100);
        net.command(0, Command::AddAsleep(Box::new(add)));
    }
    let mut a_second = Vec::new();
    for _ in 0..100 {
        net.run_for(Duration::from_secs(1));
        a_second.push(net.hosts[0].http.len());
        net.tracker_says(0, b"d8:intervali1800e5:peers0:e");
    }
    assert_eq!(a_second.iter().sum::<usize>(), count, "{a_second:?}");
    assert!(a_second.iter().all(|n| *n <= 30), "{a_second:?}");
    // half an hour later the tracker is silent
    net.run_for(Duration::from_secs(1700));
    net.hosts[0].http.clear();
    net.run_for(Duration::from_secs(150));
    // each waits fifteen seconds for its answer
    let asked = net.hosts[0].http.len();
    assert!((64..=64 * 11).contains(&asked), "{asked}");
    net.hosts[0].engine.check_invariants();
}
