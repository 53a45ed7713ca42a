//! From leech to seed.

use crate::net::{Content, FIRST_PICK, Net, modern, plain};
use unchoke_engine::input::PartialPiece;
use unchoke_engine::output::HubCommand;
use unchoke_engine::{Command, Event, Settings};
use unchoke_wire::{Bitfield, Message, PieceIndex};

fn settings() -> Settings {
    Settings { dht: false, ..Settings::default() }
}

//= S36
#[test]
fn a_seed_is_known_as_one_at_once() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    let torrent = net.add(0, &content, &Bitfield::none(3));
    let fast = net.join(0, &content, 1, modern());
    let slow = net.join(0, &content, 2, plain());
    net.say(fast, &[Message::HaveAll]);
    net.say(slow, &[Message::Bitfield(&[0xe0])]);
    assert_eq!(net.hosts[0].engine.torrent_stats(torrent).unwrap().seeds, 2);
}

//= S35
//= S52
#[test]
fn who_is_complete_serves_on_and_wants_nothing_more() {
    let (mut net, content) = (Net::new(), Content::small());
    let seed = net.add_host(settings());
    let torrents = [net.add(seed, &content, &Bitfield::all(3))];
    let leech = net.add_host(Settings { dht: true, ..Settings::default() });
    let torrent = net.add(leech, &content, &Bitfield::none(3));
    let watcher = net.join(leech, &content, 9, plain());
    net.say(watcher, &[Message::Bitfield(&[0x80])]);
    net.connect(leech, torrent, seed);
    net.run_for(FIRST_PICK);
    assert!(net.has_all(leech, torrent));
    assert!(net.hosts[leech].events.contains(&Event::Completed { torrent }));
    let heard = net.heard(watcher);
    assert!(heard.contains(&"interested".to_owned()) && heard.contains(&"notinterested".to_owned()));
    let is_seed_told = |c: &HubCommand| matches!(c, HubCommand::DhtSearch { is_seed: true, .. });
    assert!(net.hosts[leech].hub_commands.iter().any(is_seed_told), "the DHT hears of the seed");
    net.command(seed, Command::Remove(torrents[0]));
    let third = net.add_host(settings());
    let late = net.add(third, &content, &Bitfield::none(3));
    net.connect(third, late, leech);
    assert!(net.has_all(third, late));
}

#[test]
fn blocks_of_an_earlier_run_are_kept_and_only_the_rest_is_fetched() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(3));
    let host = net.add_host(settings());
    let source = unchoke_engine::input::TorrentSource::Metainfo(Box::new(content.metainfo.clone()));
    let torrent = net.add_source(host, source);
    let mut blocks = Bitfield::none(2);
    blocks.set(PieceIndex(0));
    let data: Box<[u8]> = content.data[..32_768].into();
    let partial = PartialPiece { piece: PieceIndex(0), blocks, data };
    let full = PartialPiece {
        piece: PieceIndex(1),
        blocks: Bitfield::all(2),
        data: content.data[32_768..65_536].into(),
    };
    net.storage(host, torrent, &content, &Bitfield::none(3), vec![partial.clone(), full, partial]);
    assert!(net.hosts[host].events.contains(&Event::PieceDone { torrent, piece: PieceIndex(1) }));
    net.connect(host, torrent, 0);
    assert!(net.has_all(host, torrent));
    let down = net.hosts[host].engine.torrent_stats(torrent).unwrap().totals.downloaded;
    assert_eq!(down, 16_384 + 10_000);
}

#[test]
fn a_torrent_that_is_paused_removed_and_added_again_works() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(3));
    net.add_host(settings());
    let torrent = net.add(1, &content, &Bitfield::none(3));
    net.command(1, Command::Pause(torrent));
    net.connect(1, torrent, 0);
    assert!(!net.has_all(1, torrent));
    net.command(1, Command::Remove(torrent));
    let torrent = net.add(1, &content, &Bitfield::none(3));
    net.connect(1, torrent, 0);
    assert!(net.has_all(1, torrent));
    net.command(1, Command::Pause(torrent));
    assert!(net.hosts[1].engine.peers(torrent).is_empty());
    net.command(1, Command::Resume(torrent));
    net.run_for(unchoke_wire::time::Duration::from_secs(70));
    assert_eq!(net.hosts[1].engine.torrents().count(), 1);
    net.command(1, Command::Stop);
    net.run_for(unchoke_wire::time::Duration::from_secs(6));
    assert!(net.hosts[1].engine.is_stopped() && net.hosts[1].engine.next_timeout().is_none());
}

#[test]
fn a_removal_waits_for_the_piece_that_is_being_written() {
    let (mut net, content) = (Net::new(), Content::small());
    net.add_host(settings());
    net.add(0, &content, &Bitfield::all(3));
    net.add_host(settings());
    let torrent = net.add(1, &content, &Bitfield::none(3));
    net.hosts[1].holds_jobs = true;
    net.connect(1, torrent, 0);
    assert_eq!(net.hosts[1].held.len(), 3);
    net.command(1, Command::Remove(torrent));
    assert!(!net.hosts[1].events.contains(&Event::Removed { torrent }));
    net.verify_held(1);
    assert!(net.hosts[1].events.contains(&Event::Removed { torrent }));
}
