//! Swarms that share: from one seed, fairly, and in spite of peers that corrupt.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::bad_peer::{Manner, Serves};
use crate::host::{HostId, HostSettings};
use crate::log::words;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use std::collections::BTreeSet;
use std::rc::Rc;
use unchoke_engine::{Event, Settings, TorrentId};
use unchoke_wire::Bitfield;
use unchoke_wire::time::Duration;

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "single-seed", what: "a swarm completes from one seed (--peers, 12)", run: single_seed },
    Scenario { name: "fairness", what: "a seed gives everybody a share", run: fairness },
    Scenario {
        name: "flash-crowd",
        what: "one seed and hundreds of leeches at once (--peers, 60)",
        run: flash_crowd,
    },
    Scenario {
        name: "many-sources",
        what: "a leech with hundreds of peers (--peers, 40)",
        run: many_sources,
    },
    Scenario { name: "have-source", what: "who says have is asked for the piece", run: have_source },
    Scenario { name: "blame", what: "one corrupting peer among honest ones is found", run: blame },
    Scenario { name: "colluders", what: "two corrupting peers are found", run: colluders },
];

/// One seed and so many leeches, everybody told of everybody.
fn crowd(world: &mut World, content: &Rc<Content>, leeches: usize) -> Vec<(HostId, TorrentId)> {
    let mut members = Vec::new();
    for i in 0..=leeches {
        let host = home(world, false);
        let have = if i == 0 { Bitfield::all(content.pieces()) } else { Bitfield::none(content.pieces()) };
        let torrent = swarm::add(world, host, content, have, BY_HAND);
        members.push((host, torrent));
    }
    for (i, (host, torrent)) in members.iter().enumerate() {
        for (other, _) in &members[..i] {
            swarm::introduce(world, *host, *torrent, *other);
        }
    }
    members
}

fn all_complete(world: &World, members: &[(HostId, TorrentId)]) -> bool {
    members.iter().all(|(host, torrent)| swarm::is_complete(world, *host, *torrent))
}

fn single_seed(setup: &Setup) -> Result<Played, String> {
    let n = setup.peers.unwrap_or(12).max(2);
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 32 << 10, About::default());
    let members = crowd(&mut world, &content, n);
    let begin = world.now();
    let is_done = world.run_while(Duration::from_secs(300), |w| all_complete(w, &members));
    ensure(is_done, || "not everybody completed".to_owned())?;
    let time = world.now().since(begin);
    // the first pieces differ: nobody's first choice is everybody's
    let mut firsts = BTreeSet::new();
    for (host, _) in &members[1..] {
        let first = world.log().traces(*host).map(|(_, t)| words(t)).find(|w| w.starts_with("> request"));
        firsts.extend(first);
    }
    ensure(firsts.len() * 3 > n, || format!("{n} leeches began with {} blocks", firsts.len()))?;
    let stats = |(host, torrent): &(HostId, TorrentId)| {
        world.host(*host).engine.torrent_stats(*torrent).map(|s| s.totals).unwrap_or_default()
    };
    let up: u64 = members.iter().map(|m| stats(m).uploaded).sum();
    let down: u64 = members.iter().map(|m| stats(m).downloaded).sum();
    ensure(up >= down, || format!("{down} bytes were received and {up} sent"))?;
    let waste = members.iter().map(|(host, _)| world.checkers().waste(*host));
    let (received, useless) = waste.fold((0, 0), |(r, u), w| (r + w.received, u + w.useless));
    let waste = useless * 1000 / received.max(1);
    ensure(waste <= 50, || format!("{waste} of 1000 block bytes were useless"))?;
    let by_seed = stats(&members[0]).uploaded;
    let copies = by_seed as f64 / content.data.len() as f64;
    let figures = vec![
        ("everybody complete in", format!("{time:?}")),
        ("seed sent copies", format!("{copies:.1}")),
        ("waste per mille", waste.to_string()),
    ];
    played(world, figures)
}

fn fairness(setup: &Setup) -> Result<Played, String> {
    let n = setup.peers.unwrap_or(12).max(2);
    let mut world = World::new(setup.seed, false);
    let content = Content::random(setup.seed, 4 << 20, 64 << 10, About::default());
    // every leech of the same make, connected to the seed alone
    let seed = world.add_host(HostSettings {
        engine: Settings { dht: false, pex: false, upload_limit: Some(100_000), ..Settings::default() },
        ..HostSettings::default()
    });
    let of_seed = swarm::add(&mut world, seed, &content, Bitfield::all(content.pieces()), BY_HAND);
    let mut leeches = Vec::new();
    for _ in 0..n {
        let engine = Settings { dht: false, pex: false, ..Settings::default() };
        let host = world.add_host(HostSettings { engine, ..HostSettings::default() });
        let torrent = swarm::add(&mut world, host, &content, Bitfield::none(content.pieces()), BY_HAND);
        swarm::introduce(&mut world, host, torrent, seed);
        leeches.push((host, torrent));
    }
    world.run_for(Duration::from_secs(400));
    let got: Vec<u64> = leeches
        .iter()
        .map(|(h, t)| world.host(*h).engine.torrent_stats(*t).map_or(0, |s| s.totals.downloaded))
        .collect();
    let mean = got.iter().sum::<u64>() / n as u64;
    ensure(got.iter().all(|g| *g >= mean / 4 && *g <= mean * 3), || {
        let peers = world.host(seed).engine.peers(of_seed);
        let peers: Vec<String> = peers.iter().map(|p| format!("{p:?}\n")).collect();
        format!("shares are far from their mean {mean}: {got:?}\n{}", peers.concat())
    })?;
    let (least, most) = (got.iter().min().copied(), got.iter().max().copied());
    played(world, vec![("least, mean, most", format!("{least:?} {mean} {most:?}"))])
}

/// B has nothing and gets the only piece from C; A, connected to B alone, learns it by B's have.
fn have_source(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 64 << 10, 32 << 10, About::default());
    let engine = Settings { dht: false, pex: false, ..Settings::default() };
    let mut add = |have: Bitfield| {
        let settings = HostSettings { engine: engine.clone(), ..HostSettings::default() };
        let host = world.add_host(settings);
        (host, swarm::add(&mut world, host, &content, have, BY_HAND))
    };
    let (a, b, c) = (add(Bitfield::none(2)), add(Bitfield::none(2)), add(Bitfield::all(2)));
    swarm::introduce(&mut world, a.0, a.1, b.0);
    world.run_for(Duration::from_secs(3));
    let before = world.log().traces(a.0).any(|(_, t)| words(t) == "> interested");
    ensure(!before, || "A is interested in a peer that has nothing".to_owned())?;
    swarm::introduce(&mut world, b.0, b.1, c.0);
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, a.0, a.1));
    ensure(is_done, || "A did not complete".to_owned())?;
    let talk: Vec<String> = world.log().traces(a.0).map(|(_, t)| words(t)).collect();
    for piece in 0..2 {
        let have = talk.iter().position(|w| *w == format!("< have {piece}"));
        let request = talk.iter().position(|w| w.starts_with(&format!("> request {piece}")));
        ensure(have.is_some() && have < request, || format!("piece {piece} without a have: {talk:?}"))?;
    }
    // both haves went to every connected peer of B, C who has the piece too
    for (host, other) in [(b.0, a.0), (b.0, c.0)] {
        let ip = world.host(other).ip;
        let told = world.log().traces(host).filter(|(_, t)| t.remote.ip() == ip).map(|(_, t)| words(t));
        let told = told.filter(|w| w.starts_with("> have ")).count();
        ensure(told == 2, || format!("host {} told host {} of {told} pieces", host.0, other.0))?;
    }
    played(world, Vec::new())
}

fn spoilers(setup: &Setup, liars: usize) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 2 << 20, 128 << 10, About::default());
    let a = home(&mut world, false);
    let torrent = swarm::add(&mut world, a, &content, Bitfield::none(content.pieces()), BY_HAND);
    for i in 0..6 {
        let other = if i < liars {
            let manner = Manner { serves: Serves::Spoils(4), ..Manner::plain_seed(content.pieces()) };
            world.add_bad_peer(&content, manner)
        } else {
            let host = home(&mut world, false);
            swarm::add(&mut world, host, &content, Bitfield::all(content.pieces()), BY_HAND);
            host
        };
        swarm::introduce(&mut world, a, torrent, other);
    }
    let is_done = world.run_while(Duration::from_secs(300), |w| swarm::is_complete(w, a, torrent));
    ensure(is_done, || "A did not complete".to_owned())?;
    let is_banned = |e: &Event| matches!(e, Event::PeerBanned { .. });
    let banned = world.log().events(a).filter(|(_, e)| is_banned(e)).count();
    let failed = world.log().events(a).filter(|(_, e)| matches!(e, Event::PieceFailed { .. })).count();
    ensure(banned == liars || failed == 0, || {
        format!("{banned} of {liars} liars were found, {failed} failures")
    })?;
    ensure(failed > 0, || "nothing was spoilt".to_owned())?;
    let held = content.held(&world.host(a).stored[&torrent].storage);
    ensure(held.is_all(), || "what is stored is not what was to be".to_owned())?;
    let told = world.log().traces(a).filter(|(_, t)| t.is_sent);
    let told: BTreeSet<String> = told.map(|(_, t)| words(t)).filter(|w| w.starts_with("> have ")).collect();
    ensure(told.len() == content.pieces() as usize, || "not every piece was told".to_owned())?;
    played(world, vec![("failed pieces", failed.to_string())])
}

fn blame(setup: &Setup) -> Result<Played, String> {
    spoilers(setup, 1)
}

fn colluders(setup: &Setup) -> Result<Played, String> {
    spoilers(setup, 2)
}

/// One seed, connected to hundreds of leeches that know it and a few others.
fn flash_crowd(setup: &Setup) -> Result<Played, String> {
    let n = setup.peers.unwrap_or(60).max(2);
    let mut world = World::new(setup.seed, false);
    let content = Content::random(setup.seed, 128 << 10, 16 << 10, About::default());
    let room = n + 1;
    let engine = Settings {
        dht: false,
        pex: false,
        connections_max: room,
        torrent_connections_max: room,
        dials_max: room,
        ..Settings::default()
    };
    let mut members: Vec<(HostId, TorrentId)> = Vec::new();
    for i in 0..=n {
        let host = world.add_host(HostSettings { engine: engine.clone(), ..HostSettings::default() });
        let have = if i == 0 { Bitfield::all(content.pieces()) } else { Bitfield::none(content.pieces()) };
        let torrent = swarm::add(&mut world, host, &content, have, BY_HAND);
        let known = members.first().into_iter().chain(members.iter().skip(1).rev().take(2));
        known.for_each(|(other, _)| swarm::introduce(&mut world, host, torrent, *other));
        members.push((host, torrent));
    }
    world.run_for(Duration::from_secs(5));
    let (seed, of_seed) = members[0];
    let connected = world.host(seed).engine.peers(of_seed).len();
    ensure(connected == n, || format!("the seed has {connected} of {n} connected"))?;
    let begin = world.now();
    let is_done = world.run_while(Duration::from_secs(600), |w| all_complete(w, &members));
    ensure(is_done, || "not everybody completed".to_owned())?;
    let time = world.now().since(begin);
    played(
        world,
        vec![
            ("connected to the seed", connected.to_string()),
            ("everybody complete in", format!("{time:?}")),
        ],
    )
}

/// A leech with two hundred peers, each of which has a half of the pieces.
fn many_sources(setup: &Setup) -> Result<Played, String> {
    let n = setup.peers.unwrap_or(40).max(2);
    let mut world = World::new(setup.seed, false);
    let content = Content::random(setup.seed, 8 << 20, 32 << 10, About::default());
    let engine =
        Settings { dht: false, pex: false, torrent_connections_max: n, dials_max: n, ..Settings::default() };
    let add = |world: &mut World, have: Bitfield| {
        let host = world.add_host(HostSettings { engine: engine.clone(), ..HostSettings::default() });
        (host, swarm::add(world, host, &content, have, BY_HAND))
    };
    let (leech, torrent) = add(&mut world, Bitfield::none(content.pieces()));
    for i in 0..n {
        let mut have = Bitfield::none(content.pieces());
        let share = content.metainfo.info.layout.pieces().filter(|p| (p.0 as usize + i).is_multiple_of(2));
        share.for_each(|p| _ = have.set(p));
        let (host, _) = add(&mut world, have);
        swarm::introduce(&mut world, leech, torrent, host);
    }
    let is_done = world.run_while(Duration::from_secs(300), |w| swarm::is_complete(w, leech, torrent));
    ensure(is_done, || "the leech did not complete".to_owned())?;
    let waste = world.checkers().waste(leech).useless;
    ensure(waste * 20 <= content.data.len() as u64, || format!("{waste} block bytes were useless"))?;
    let peers = world.host(leech).engine.peers(torrent);
    let gave = peers.iter().filter(|p| p.totals.0 > 0).count();
    // as many as there are pieces: each is got from one
    ensure(gave * 2 >= n.min(content.pieces() as usize), || format!("only {gave} of {n} peers were asked"))?;
    played(world, vec![("peers that gave", gave.to_string()), ("useless bytes", waste.to_string())])
}
