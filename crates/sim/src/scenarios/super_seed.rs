//! Super-seeding (BEP 16): a swarm gets its first copy for one upload of it, whoever is in it.

use super::{Played, Scenario, Setup, ensure, played};
use crate::bad_peer::{Dials, Ends, Manner, Retort};
use crate::host::{HostId, HostSettings};
use crate::link::LinkSettings;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use rand::RngExt;
use std::rc::Rc;
use unchoke_engine::engine::TorrentState;
use unchoke_engine::{Command, Settings, TorrentId};
use unchoke_wire::message::{Message, id};
use unchoke_wire::time::Duration;
use unchoke_wire::{BLOCK_LEN, Bitfield, BlockRef, PieceIndex};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "super/first-copy",
        what: "the first copy costs one upload of it (--peers, 10)",
        run: first_copy,
    },
    Scenario { name: "super/alone", what: "a super-seed with one leech", run: alone },
    Scenario { name: "super/star", what: "leeches that reach the super-seed alone", run: star },
    Scenario { name: "super/silent", what: "a leech that takes pieces and never says so", run: silent },
    Scenario { name: "super/leaver", what: "a leech that leaves with its offers", run: leaver },
    Scenario { name: "super/other-seed", what: "another seed comes, and it ends", run: other_seed },
    Scenario { name: "super/turned-off", what: "its owner has enough of it", run: turned_off },
];

const PIECES: u32 = 64;
/// Bytes a second that the seed sends: less than the others, as who has something to share mostly does.
const SEED_RATE: u64 = 100_000;

/// A seed and its leeches.
struct Crowd {
    world: World,
    content: Rc<Content>,
    seed: HostId,
    of_seed: TorrentId,
    leeches: Vec<(HostId, TorrentId)>,
}

fn line(world: &mut World, rate: u64) -> HostId {
    let latency = Duration::from_micros(world.rng().random_range(5_000..60_000));
    let link = LinkSettings { latency, rate, ..LinkSettings::default() };
    let engine = Settings { dht: false, pex: false, ..Settings::default() };
    world.add_host(HostSettings { link, engine, ..HostSettings::default() })
}

impl Crowd {
    /// A seed that shows its pieces one by one, if it is to, and so many leeches that know it.
    fn new(setup: &Setup, leeches: usize, is_super: bool) -> Self {
        let mut world = World::new(setup.seed, true);
        let content = Content::random(setup.seed, (PIECES as usize) << 14, 16 << 10, About::default());
        let seed = line(&mut world, SEED_RATE);
        let of_seed = swarm::add(&mut world, seed, &content, Bitfield::all(PIECES), BY_HAND);
        if is_super {
            world.command(seed, Command::SetSuperSeeding { torrent: of_seed, is_on: true });
        }
        let mut crowd = Crowd { world, content, seed, of_seed, leeches: Vec::new() };
        (0..leeches).for_each(|_| crowd.join(Bitfield::none(PIECES)));
        crowd
    }

    fn join(&mut self, have: Bitfield) {
        let rate = self.world.rng().random_range(500_000..2_000_000);
        let host = line(&mut self.world, rate);
        let torrent = swarm::add(&mut self.world, host, &self.content, have, BY_HAND);
        swarm::introduce(&mut self.world, host, torrent, self.seed);
        self.leeches.push((host, torrent));
    }

    /// Tells every leech of every other.
    fn acquaint(&mut self) {
        for (i, (host, torrent)) in self.leeches.clone().into_iter().enumerate() {
            for (other, _) in &self.leeches[..i] {
                swarm::introduce(&mut self.world, host, torrent, *other);
            }
        }
    }

    fn bad(&mut self, manner: Manner) -> HostId {
        let host = self.world.add_bad_peer(&self.content, manner);
        let seed = self.seed;
        self.world.bad_peer_dials(host, seed);
        host
    }

    /// How often over the seed has sent the torrent.
    fn copies(&self) -> f64 {
        let sent = self.world.host(self.seed).engine.torrent_stats(self.of_seed).map(|s| s.totals.uploaded);
        sent.unwrap_or_default() as f64 / self.content.data.len() as f64
    }

    /// Plays until so many leeches are complete.
    fn until_done(&mut self, count: usize, limit: Duration) -> Result<Duration, String> {
        let (begin, leeches) = (self.world.now(), self.leeches.clone());
        let done = |w: &World| leeches.iter().filter(|(h, t)| swarm::is_complete(w, *h, *t)).count();
        let is_done = self.world.run_while(limit, |w| done(w) >= count);
        ensure(is_done, || {
            let have = leeches.iter().map(|(h, t)| self.world.host(*h).engine.torrent_stats(*t));
            let have: Vec<_> = have.map(|s| s.map(|s| s.pieces)).collect();
            format!("{} of {count} complete after {limit:?}: {have:?}", done(&self.world))
        })?;
        Ok(self.world.now().since(begin))
    }

    fn all_done(&mut self, limit: Duration) -> Result<Duration, String> {
        self.until_done(self.leeches.len(), limit)
    }

    fn is_super_seeding(&self) -> bool {
        let stats = self.world.host(self.seed).engine.torrent_stats(self.of_seed);
        stats.is_some_and(|s| s.is_super_seeding && s.state == TorrentState::Seeding)
    }
}

/// The same crowd with a plain seed and with a super-seed: what each has sent when the first leech has all.
fn first_copy(setup: &Setup) -> Result<Played, String> {
    let n = setup.peers.unwrap_or(10).max(3);
    let limit = Duration::from_secs(300);
    let mut plain = Crowd::new(setup, n, false);
    plain.acquaint();
    let plain_time = plain.until_done(1, limit)?;
    let plain_copies = plain.copies();
    let mut crowd = Crowd::new(setup, n, true);
    crowd.acquaint();
    let time = crowd.until_done(1, limit)?;
    let copies = crowd.copies();
    ensure(copies <= 1.05, || format!("{copies:.3} copies were sent before anybody had one"))?;
    ensure(copies <= plain_copies, || {
        format!("{copies:.3} copies were sent, {plain_copies:.3} by a plain seed")
    })?;
    crowd.all_done(limit)?;
    ensure(!crowd.is_super_seeding(), || "it goes on although others have all".to_owned())?;
    let figures = vec![
        ("copies sent before the first was there", format!("{copies:.3}")),
        ("by a plain seed", format!("{plain_copies:.3}")),
        ("the first was there in", format!("{time:?}")),
        ("with a plain seed in", format!("{plain_time:?}")),
    ];
    plain.world.verdict()?;
    played(crowd.world, figures)
}

fn alone(setup: &Setup) -> Result<Played, String> {
    let mut crowd = Crowd::new(setup, 1, true);
    // as fast as its line: nobody is waited for
    let took = crowd.all_done(Duration::from_secs(60))?;
    played(crowd.world, vec![("complete in", format!("{took:?}"))])
}

/// Nobody can pass anything on, and after a minute nobody is expected to.
fn star(setup: &Setup) -> Result<Played, String> {
    let mut crowd = Crowd::new(setup, 4, true);
    let took = crowd.all_done(Duration::from_secs(600))?;
    played(crowd.world, vec![("everybody complete in", format!("{took:?}"))])
}

/// One takes all it is shown, and tells nobody.
fn silent(setup: &Setup) -> Result<Played, String> {
    let mut crowd = Crowd::new(setup, 5, true);
    crowd.acquaint();
    let mut asks = Vec::new();
    for piece in (0..PIECES).map(PieceIndex) {
        Message::Request(BlockRef { piece, begin: 0, len: BLOCK_LEN }).encode_into(&mut asks);
    }
    let manner = Manner {
        first: Message::Interested.to_vec(),
        retorts: vec![Retort { to: id::UNCHOKE, says: asks, times: 1 }],
        ..Manner::default()
    };
    crowd.bad(manner);
    let took = crowd.all_done(Duration::from_secs(300))?;
    played(crowd.world, vec![("everybody complete in", format!("{took:?}"))])
}

/// One comes, is shown two pieces, and leaves, again and again.
fn leaver(setup: &Setup) -> Result<Played, String> {
    let mut crowd = Crowd::new(setup, 5, true);
    crowd.acquaint();
    let manner = Manner {
        first: Message::Interested.to_vec(),
        ends: Some(Ends::After(Duration::from_secs(2))),
        dials: Dials { count: 20, apart: Duration::from_secs(3), ..Dials::default() },
        ..Manner::default()
    };
    crowd.bad(manner);
    let took = crowd.until_done(1, Duration::from_secs(300))?;
    let copies = crowd.copies();
    ensure(copies <= 1.1, || format!("{copies:.3} copies were sent before anybody had one"))?;
    crowd.all_done(Duration::from_secs(300))?;
    played(crowd.world, vec![("the first copy was there in", format!("{took:?}"))])
}

fn other_seed(setup: &Setup) -> Result<Played, String> {
    let mut crowd = Crowd::new(setup, 4, true);
    crowd.acquaint();
    crowd.world.run_for(Duration::from_secs(3));
    ensure(crowd.is_super_seeding(), || "it ended before there was a reason".to_owned())?;
    crowd.join(Bitfield::all(PIECES));
    crowd.world.run_for(Duration::from_secs(2));
    ensure(!crowd.is_super_seeding(), || "it goes on beside another seed".to_owned())?;
    let took = crowd.all_done(Duration::from_secs(120))?;
    played(crowd.world, vec![("everybody complete in", format!("{took:?}"))])
}

/// Leeches that cannot reach each other are told of everything once it is over.
fn turned_off(setup: &Setup) -> Result<Played, String> {
    let mut crowd = Crowd::new(setup, 3, true);
    crowd.world.run_for(Duration::from_secs(5));
    let torrent = crowd.of_seed;
    crowd.world.command(crowd.seed, Command::SetSuperSeeding { torrent, is_on: false });
    let took = crowd.all_done(Duration::from_secs(90))?;
    played(crowd.world, vec![("everybody complete in", format!("{took:?}"))])
}
