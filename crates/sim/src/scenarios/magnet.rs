//! Magnets: the metadata comes from peers.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::bad_peer::{Manner, Metadata};
use crate::log::words;
use crate::marks::Mark;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use unchoke_engine::input::Discovery;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, Reserved};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "magnet", what: "metadata from peers, a liar first", run: magnet },
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
