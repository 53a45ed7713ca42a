//! What a disk that fails does to a torrent, and what it does not.

use crate::net::{Content, Net, modern};
use unchoke_engine::{Command, Event, Input, Settings, TorrentId};
use unchoke_wire::limits::INVALID_REQUESTS_MAX;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, BlockRef, Message, PieceIndex};

fn settings() -> Settings {
    Settings { dht: false, ..Settings::default() }
}

/// A leech whose three pieces came and could not be written.
fn unwritten(keeps_data: bool) -> (Net, TorrentId) {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(3));
    net.add_host(settings());
    let torrent = net.add(1, &content, &Bitfield::none(3));
    net.hosts[1].holds_jobs = true;
    net.connect(1, torrent, 0);
    for job in core::mem::take(&mut net.hosts[1].held) {
        let data = if keeps_data { job.data.clone() } else { Box::default() };
        net.failed_write(1, &job, data);
    }
    net.hosts[1].holds_jobs = false;
    let failed = net.hosts[1].events.iter().filter(|e| matches!(e, Event::StorageFailed { .. }));
    assert_eq!(failed.count(), 1);
    assert!(net.hosts[1].engine.peers(torrent).is_empty(), "nothing more is asked for");
    (net, torrent)
}

fn downloaded(net: &Net, torrent: TorrentId) -> u64 {
    net.hosts[1].engine.torrent_stats(torrent).unwrap().totals.downloaded
}

//= H3e-1
//= F5
#[test]
fn a_failed_write_stops_the_torrent_and_a_resume_writes_what_came_without_asking_again() {
    let (mut net, torrent) = unwritten(true);
    assert!(!net.has_all(1, torrent));
    // a second failure keeps it just as well
    net.hosts[1].holds_jobs = true;
    net.command(1, Command::Resume(torrent));
    let jobs = core::mem::take(&mut net.hosts[1].held);
    assert_eq!(jobs.len(), 3);
    for job in jobs {
        let data = job.data.clone();
        net.failed_write(1, &job, data);
    }
    net.hosts[1].holds_jobs = false;
    net.command(1, Command::Resume(torrent));
    assert!(net.has_all(1, torrent));
    assert_eq!(downloaded(&net, torrent), 75_536, "no block twice");
}

#[test]
fn pieces_whose_bytes_are_gone_come_again() {
    let (mut net, torrent) = unwritten(false);
    net.command(1, Command::Resume(torrent));
    net.run_for(Duration::from_secs(70));
    assert!(net.has_all(1, torrent));
}

#[test]
fn pieces_that_could_not_be_written_are_handed_out_at_the_end() {
    let (mut net, torrent) = unwritten(true);
    net.command(1, Command::SavePartials(torrent));
    let saved = net.hosts[1].events.iter().find_map(|e| match e {
        Event::Partials { partials, .. } => Some(partials.len()),
        _ => None,
    });
    assert_eq!(saved, Some(3));
}

/// A seed, and a raw peer it serves.
fn seed() -> (Net, Content, TorrentId) {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    let torrent = net.add(0, &content, &Bitfield::all(3));
    (net, content, torrent)
}

//= H3e-2
#[test]
fn a_piece_that_cannot_be_read_is_refused_and_the_others_are_served() {
    let (mut net, _, torrent) = seed();
    let block = |p| BlockRef { piece: PieceIndex(p), begin: 0, len: 100 };
    for _ in 0..3 {
        net.input(0, Input::ReadFailed { torrent, block: block(1), error: "EIO".to_owned() });
    }
    let events = &net.hosts[0].events;
    let failed = events.iter().filter(|e| matches!(e, Event::ReadFailed { piece: PieceIndex(1), .. }));
    assert_eq!(failed.count(), 1, "told once");
    assert!(!events.iter().any(|e| matches!(e, Event::StorageFailed { .. } | Event::PeerBanned { .. })));
    // two of three pieces go out, and the third is not even offered
    net.add_host(settings());
    let leech = net.add(1, &Content::small(), &Bitfield::none(3));
    net.connect(1, leech, 0);
    net.run_for(Duration::from_secs(70));
    assert_eq!(net.hosts[1].engine.torrent_stats(leech).unwrap().pieces, (2, 3));
    // found good after all, it is told and fetched
    let mut good = Bitfield::none(3);
    good.set(PieceIndex(1));
    net.command(0, Command::Settle { torrent, good, bad: Bitfield::none(3) });
    net.run_for(Duration::from_secs(70));
    assert!(net.has_all(1, leech) && net.has_all(0, torrent));
}

//= H3e-2
#[test]
fn a_peer_that_asks_for_a_lost_piece_again_and_again_is_refused_and_not_blamed() {
    let (mut net, content, torrent) = seed();
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::Interested]);
    net.run_for(Duration::from_secs(11));
    let block = BlockRef { piece: PieceIndex(1), begin: 0, len: 16_384 };
    net.input(0, Input::ReadFailed { torrent, block, error: "EIO".to_owned() });
    for _ in 0..=INVALID_REQUESTS_MAX {
        net.say(peer, &[Message::Request(block)]);
    }
    assert!(!net.is_closed(peer));
    // a piece that never was is another matter
    let nowhere = BlockRef { piece: PieceIndex(3), ..block };
    for _ in 0..=INVALID_REQUESTS_MAX {
        net.say(peer, &[Message::Request(nowhere)]);
    }
    assert!(net.is_closed(peer));
}

//= H3e-3
#[test]
fn pieces_found_bad_are_fetched_again_and_nothing_before_they_are() {
    let (mut net, content, torrent) = seed();
    net.add_host(settings());
    net.add(1, &content, &Bitfield::all(3));
    let mut lost = Bitfield::none(3);
    lost.set(PieceIndex(0));
    lost.set(PieceIndex(2));
    net.command(0, Command::Doubt { torrent, pieces: lost.clone() });
    net.connect(0, torrent, 1);
    net.run_for(Duration::from_secs(70));
    assert_eq!(net.hosts[0].engine.torrent_stats(torrent).unwrap().pieces, (1, 3));
    assert_eq!(net.hosts[0].engine.torrent_stats(torrent).unwrap().totals.downloaded, 0);
    net.command(0, Command::Settle { torrent, good: Bitfield::none(3), bad: lost });
    assert_eq!(net.hosts[0].engine.torrent_stats(torrent).unwrap().totals.downloaded, 32_768 + 10_000);
    assert!(net.has_all(0, torrent));
    // what was not in doubt is left alone
    let all = Bitfield::all(3);
    net.command(0, Command::Settle { torrent, good: Bitfield::none(3), bad: all });
    assert!(net.has_all(0, torrent));
}
