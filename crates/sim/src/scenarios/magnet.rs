//! Magnets: the metadata comes from peers.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::bad_peer::{Manner, Metadata};
use crate::log::words;
use crate::marks::Mark;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use rand::RngExt;
use std::collections::BTreeSet;
use unchoke_engine::Command;
use unchoke_engine::input::Discovery;
use unchoke_wire::message::Message;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, PieceIndex, Reserved};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "magnet", what: "metadata from peers, a liar first", run: magnet },
    Scenario {
        name: "magnet/early-fast",
        what: "pieces allowed and suggested before the metadata are asked for after it",
        run: early_fast,
    },
    Scenario {
        name: "magnet/again",
        what: "a magnet removed while its metadata comes, and added again",
        run: again,
    },
    Scenario { name: "magnet/port", what: "DHT ports told to a host without a DHT: no matter", run: port },
    Scenario { name: "magnet-private", what: "a magnet that turns out to be private", run: private },
];

fn magnet(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    // pieces of 16 KiB: 1,200 hashes are more than one block of metadata
    let content = Content::random(setup.seed, 1_200 << 14, 16 << 10, About::default());
    let a = home(&mut world, false);
    let torrent = swarm::add_magnet(&mut world, a, &content, content.magnet(Vec::new()), BY_HAND);
    let liars = [Metadata::WrongBytes, Metadata::WrongSize(5_000_000), Metadata::Rejects];
    let mut bad = Vec::new();
    for metadata in liars {
        let reserved = Reserved::default().with_extension();
        let manner = Manner { metadata: Some(metadata), reserved, ..Manner::default() };
        let host = world.add_bad_peer(&content, manner);
        swarm::introduce(&mut world, a, torrent, host);
        bad.push(host);
    }
    world.run_for(Duration::from_secs(2));
    for _ in 0..2 {
        let seed = home(&mut world, false);
        swarm::add(&mut world, seed, &content, Bitfield::all(content.pieces()), BY_HAND);
        swarm::introduce(&mut world, a, torrent, seed);
    }
    let begin = world.now();
    let has_metadata = |w: &World| w.host(a).stored.contains_key(&torrent);
    let is_done = world.run_while(Duration::from_secs(120), has_metadata);
    ensure(is_done, || "the metadata did not come".to_owned())?;
    let took = world.now().since(begin);
    let asked = bad.iter().any(|b| world.bad_peer(*b).pipes().any(|p| p.count("extended") > 1));
    if asked {
        world.mark(Mark::MetadataLiar);
    }
    let is_done = world.run_while(Duration::from_secs(120), |w| swarm::is_complete(w, a, torrent));
    ensure(is_done, || "A did not complete".to_owned())?;
    let late = world.log().traces(a).filter(|(_, t)| t.is_sent);
    let bitfields = late.filter(|(_, t)| words(t).contains("bitfield")).count();
    ensure(bitfields == 0, || "a bitfield was sent late".to_owned())?;
    played(world, vec![("metadata in", format!("{took:?}"))])
}

/// A seed that never unchokes says which pieces may be had all the same, before anybody knows how many there are.
fn early_fast(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 8 << 14, 16 << 10, About::default());
    let a = home(&mut world, false);
    let torrent = swarm::add_magnet(&mut world, a, &content, content.magnet(Vec::new()), BY_HAND);
    let mut first = Message::HaveAll.to_vec();
    for piece in [2, 5] {
        Message::AllowedFast(PieceIndex(piece)).encode_into(&mut first);
        Message::Suggest(PieceIndex(piece)).encode_into(&mut first);
    }
    let reserved = Reserved::default().with_extension().with_fast();
    let metadata = Some(Metadata::Good);
    let manner = Manner { reserved, metadata, first, ..Manner::default() };
    let host = world.add_bad_peer(&content, manner);
    swarm::introduce(&mut world, a, torrent, host);
    world.run_for(Duration::from_secs(20));
    let asked = world.log().traces(a).filter(|(_, t)| t.is_sent).map(|(_, t)| words(t));
    let asked: BTreeSet<String> = asked.filter(|w| w.starts_with("> request ")).collect();
    let of = |piece: &str| asked.iter().filter(|w| w.starts_with(&format!("> request {piece}"))).count();
    ensure((of("2"), of("5"), asked.len()) == (1, 1, 2), || {
        format!("of one that chokes and allows the pieces 2 and 5 it asked {asked:?}")
    })?;
    played(world, Vec::new())
}

fn again(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    // so many hashes that the metadata takes a while
    let content = Content::random(setup.seed, 1_200 << 14, 16 << 10, About::default());
    let seed = home(&mut world, false);
    world.host_mut(seed).link.settings.rate = 100_000;
    swarm::add(&mut world, seed, &content, Bitfield::all(content.pieces()), BY_HAND);
    let a = home(&mut world, false);
    let torrent = swarm::add_magnet(&mut world, a, &content, content.magnet(Vec::new()), BY_HAND);
    swarm::introduce(&mut world, a, torrent, seed);
    // on the nearest lines it is there after 300 ms
    let wait = Duration::from_millis(world.rng().random_range(0..250));
    world.run_for(wait);
    ensure(!world.host(a).stored.contains_key(&torrent), || "the metadata was there too early".to_owned())?;
    world.command(a, Command::Remove(torrent));
    world.run_for(Duration::from_secs(6));
    let again = swarm::add_magnet(&mut world, a, &content, content.magnet(Vec::new()), BY_HAND);
    swarm::introduce(&mut world, a, again, seed);
    let is_done = world.run_while(Duration::from_secs(60), |w| w.host(a).stored.contains_key(&again));
    ensure(is_done, || "the metadata did not come the second time".to_owned())?;
    played(world, Vec::new())
}

fn port(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 8 << 14, 16 << 10, About::default());
    let a = home(&mut world, false);
    let torrent = swarm::add_magnet(&mut world, a, &content, content.magnet(Vec::new()), BY_HAND);
    let mut manner = Manner::plain_seed(content.pieces());
    for port in [0, 6881, 65_535] {
        Message::Port(port).encode_into(&mut manner.first);
    }
    (manner.reserved, manner.metadata) = (Reserved::default().with_extension(), Some(Metadata::Good));
    let host = world.add_bad_peer(&content, manner);
    swarm::introduce(&mut world, a, torrent, host);
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, a, torrent));
    ensure(is_done, || "it did not complete from a peer that tells ports".to_owned())?;
    let told = world.log().traces(a).filter(|(_, t)| words(t).starts_with("> port")).count();
    ensure(told == 0, || "a host without a DHT told a port of one".to_owned())?;
    ensure(world.host(a).spoken.is_empty(), || "it sent datagrams to a DHT node".to_owned())?;
    played(world, Vec::new())
}

/// A private torrent's magnet: once it is known to be private, nobody tells anybody of peers.
fn private(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let tracker = world.add_tracker(crate::tracker::Tracker::new);
    let url = world.tracker(tracker).http_url();
    let about = About { trackers: vec![vec![url.clone()]], is_private: true, ..About::default() };
    let content = Content::random(setup.seed, 1 << 19, 16 << 10, about);
    let seed = home(&mut world, true);
    swarm::add(&mut world, seed, &content, Bitfield::all(content.pieces()), Discovery::default());
    world.run_for(Duration::from_secs(2));
    let a = home(&mut world, true);
    let magnet = content.magnet(vec![url]);
    let torrent = swarm::add_magnet(&mut world, a, &content, magnet, Discovery::default());
    let is_done = world.run_while(Duration::from_secs(300), |w| {
        w.host(a).stored.contains_key(&torrent) && swarm::is_complete(w, a, torrent)
    });
    ensure(is_done, || "A did not complete".to_owned())?;
    let ports = world.log().traces(seed).filter(|(_, t)| words(t).starts_with("> port")).count();
    ensure(ports == 0, || "a private torrent's seed told its DHT port".to_owned())?;
    played(world, Vec::new())
}
