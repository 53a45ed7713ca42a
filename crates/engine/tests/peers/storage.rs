//! A storage that is let go and comes back, while peers are there.

use crate::net::{Content, Net, modern, requests};
use unchoke_engine::{Command, Event, Settings};
use unchoke_wire::{Bitfield, Message, PieceIndex};

#[test]
fn a_torrent_lets_go_of_its_storage_and_goes_on_with_what_came_back() {
    let (mut net, content) = (Net::new(), Content::new("r", 1 << 20, 65_536, false));
    net.add_host(Settings { dht: false, ..Settings::default() });
    let torrent = net.add(0, &content, &Bitfield::none(16));
    let peer = net.join(0, &content, 1, modern());
    net.say(peer, &[Message::HaveAll, Message::Unchoke]);
    let asked = requests(&net.heard(peer));
    let whole: Vec<_> = asked.iter().filter(|b| b.piece == asked[0].piece).copied().collect();
    // one piece is complete and being verified, one block of another is there
    net.hosts[0].holds_jobs = true;
    whole.iter().for_each(|b| net.give(peer, &content, *b));
    let more = [asked.clone(), requests(&net.heard(peer))].concat();
    let other = *more.iter().find(|b| b.piece != asked[0].piece).unwrap();
    net.give(peer, &content, other);
    net.command(0, Command::CloseStorage(torrent));
    assert!(net.is_closed(peer));
    let is_first = |e: &Event| matches!(e, Event::PieceDone { piece, .. } if *piece == asked[0].piece);
    let is_closed = |net: &Net| net.hosts[0].events.contains(&Event::StorageClosed { torrent });
    assert!(!is_closed(&net), "a piece may be on its way to the disk");
    net.verify_held(0);
    assert!(is_closed(&net) && net.hosts[0].events.iter().any(is_first));
    let partials = net.hosts[0].events.iter().find_map(|e| match e {
        Event::Partials { partials, .. } => Some(partials.clone()),
        _ => None,
    });
    let partials = partials.unwrap();
    assert_eq!(partials.iter().map(|p| p.piece).collect::<Vec<_>>(), [other.piece]);
    // a check found another piece than what was there
    let mut have = Bitfield::none(16);
    have.set(PieceIndex(9));
    net.storage(0, torrent, &content, &have, partials);
    let peer = net.join(0, &content, 2, modern());
    net.say(peer, &[Message::HaveAll, Message::Unchoke]);
    let heard = net.heard(peer);
    let again = requests(&heard);
    assert!(heard.iter().any(|h| h.starts_with("bitfield")) && !again.is_empty(), "{heard:?}");
    assert!(again.iter().all(|b| b.piece != PieceIndex(9) && *b != other), "{again:?}");
    again.iter().for_each(|b| net.give(peer, &content, *b));
    for _ in 0..16 {
        let more = requests(&net.heard(peer));
        more.iter().for_each(|b| net.give(peer, &content, *b));
    }
    assert!(net.has_all(0, torrent));
}
