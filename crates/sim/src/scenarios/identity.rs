//! Who is who: peer ids, ourselves, two connections between the same two, many torrents on one port.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::fault::{Fault, FaultKind, FaultPlan};
use crate::host::HostSettings;
use crate::marks::Mark;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::tracker::{PeerFormat, Tracker};
use crate::world::World;
use std::collections::BTreeSet;
use unchoke_engine::input::Discovery;
use unchoke_engine::settings::PeerIdRule;
use unchoke_engine::{Command, Event, Settings};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, PeerId};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "strict-id", what: "wrong peer ids, strict and lenient", run: strict_id },
    Scenario { name: "self-dial", what: "a host is told its own address", run: self_dial },
    Scenario { name: "cross-dial", what: "two hosts dial each other", run: cross_dial },
    Scenario { name: "new-address", what: "a host moves and is let in at once", run: new_address },
    Scenario { name: "session-ids", what: "a peer id is kept for a session", run: session_ids },
    Scenario { name: "many-torrents", what: "a hundred torrents on one port", run: many_torrents },
];

/// A tracker names a seed by a wrong id: a strict host leaves it, a lenient one completes.
fn strict_id(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let tracker = world.add_tracker(Tracker::new);
    let trackers = vec![vec![world.tracker(tracker).http_url()]];
    let content = Content::random(setup.seed, 1 << 18, 32 << 10, About { trackers, ..About::default() });
    let only = Discovery { trackers: true, dht: false, lsd: false, dial: true };
    let seed = home(&mut world, false);
    swarm::add(&mut world, seed, &content, Bitfield::all(8), Discovery { dial: false, ..only });
    world.run_for(Duration::from_secs(1));
    for (rule, format, completes) in [
        (PeerIdRule::Strict, PeerFormat::WrongIds, false),
        (PeerIdRule::Lenient, PeerFormat::WrongIds, true),
        (PeerIdRule::Strict, PeerFormat::Dictionaries, true),
        (PeerIdRule::Strict, PeerFormat::Compact, true),
    ] {
        world.tracker_mut(tracker).format = format;
        let engine = Settings { dht: false, pex: false, peer_id_rule: rule, ..Settings::default() };
        let host = world.add_host(HostSettings { engine, ..HostSettings::default() });
        let torrent = swarm::add(&mut world, host, &content, Bitfield::none(8), only);
        world.run_for(Duration::from_secs(20));
        let is_complete = swarm::is_complete(&world, host, torrent);
        ensure(is_complete == completes, || format!("{rule:?} with {format:?}: complete {is_complete}"))?;
        if !completes {
            world.mark(Mark::WrongPeerIdClosed);
        }
        // it is not there for the next one, who shall meet the seed alone
        world.command(host, Command::Stop);
        world.run_for(Duration::from_secs(6));
    }
    played(world, Vec::new())
}

/// A host that does not know its own address hears of it, dials itself once, and never again.
fn self_dial(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::three_pieces(Vec::new());
    let engine = Settings { dht: false, ..Settings::default() };
    let a = world.add_host(HostSettings { engine, is_unaware: true, ..HostSettings::default() });
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(3), BY_HAND);
    for _ in 0..5 {
        swarm::introduce(&mut world, a, of_a, a);
        world.run_for(Duration::from_secs(70));
    }
    let connected = world.log().events(a).any(|(_, e)| matches!(e, Event::PeerConnected { .. }));
    ensure(!connected, || "A is connected to itself".to_owned())?;
    let dials =
        world.log().traces(a).filter(|(_, t)| t.is_sent && t.remote.port() == crate::host::PORT).count();
    ensure(dials == 1, || format!("A shook its own hand {dials} times"))?;
    let b = home(&mut world, false);
    swarm::add(&mut world, b, &content, Bitfield::all(3), BY_HAND);
    swarm::introduce(&mut world, a, of_a, b);
    let is_done = world.run_while(Duration::from_secs(10), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete from B".to_owned())?;
    played(world, Vec::new())
}

/// Two hosts dial each other at the same moment: one connection stays, the same for both.
fn cross_dial(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 32 << 10, About::default());
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(32), BY_HAND);
    let of_b = swarm::add(&mut world, b, &content, Bitfield::all(32), BY_HAND);
    swarm::introduce(&mut world, a, of_a, b);
    swarm::introduce(&mut world, b, of_b, a);
    let is_done = world.run_while(Duration::from_secs(120), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete".to_owned())?;
    world.run_for(Duration::from_secs(200));
    let (at_a, at_b) = (world.host(a).engine.peers(of_a), world.host(b).engine.peers(of_b));
    ensure(at_a.len() == 1 && at_b.len() == 1, || {
        format!("{} and {} connections are left", at_a.len(), at_b.len())
    })?;
    ensure(at_a[0].is_outgoing != at_b[0].is_outgoing, || "each kept another connection".to_owned())?;
    played(world, Vec::new())
}

/// A host gets another address in mid-transfer, and the other side hears nothing of it for minutes: it takes the new
/// connection of the same peer id for the old one as soon as that fails to show life.
fn new_address(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 32 << 10, About::default());
    let a = home(&mut world, false);
    let limits = Settings { dht: false, upload_limit: Some(50_000), ..Settings::default() };
    let b = world.add_host(HostSettings { engine: limits, ..HostSettings::default() });
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(32), BY_HAND);
    swarm::add(&mut world, b, &content, Bitfield::all(32), BY_HAND);
    swarm::introduce(&mut world, a, of_a, b);
    let done = |w: &World| w.host(a).engine.torrent_stats(of_a).map_or(0, |s| s.totals.downloaded);
    world.run_for(Duration::from_secs(5));
    ensure(done(&world) > 0, || "nothing came before the move".to_owned())?;
    let lasts = Duration::from_secs(240);
    let moves = Fault { after: Duration::ZERO, kind: FaultKind::IpChange, whom: a.0, lasts };
    world.set_plan(FaultPlan { faults: vec![moves] }, setup.faults);
    world.run_for(Duration::from_secs(1));
    let own = vec![world.host(a).addr()];
    world.command(a, Command::AddressesChanged(own));
    let before = done(&world);
    world.run_for(Duration::from_secs(15));
    ensure(done(&world) > before, || "nothing came for 15 s after the move".to_owned())?;
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete".to_owned())?;
    played(world, Vec::new())
}

/// The peer id of a torrent is the same on every connection of a session, and another in the next one.
fn session_ids(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::three_pieces(Vec::new());
    let watchers: Vec<_> = (0..2)
        .map(|_| {
            let host = home(&mut world, false);
            (host, swarm::add(&mut world, host, &content, Bitfield::none(3), BY_HAND))
        })
        .collect();
    let settings =
        || HostSettings { engine: Settings { dht: false, ..Settings::default() }, ..HostSettings::default() };
    let first = world.add_host(settings());
    let ip = world.host(first).ip;
    let mut sessions: Vec<BTreeSet<PeerId>> = Vec::new();
    for session in 0..2 {
        let host = if session == 0 { first } else { world.add_host_at(ip, settings()) };
        swarm::add(&mut world, host, &content, Bitfield::none(3), BY_HAND);
        for (watcher, torrent) in &watchers {
            swarm::introduce(&mut world, *watcher, *torrent, host);
        }
        let from = world.now();
        world.run_for(Duration::from_secs(100));
        let mut ids = BTreeSet::new();
        for (watcher, _) in &watchers {
            ids.extend(world.log().events(*watcher).filter(|(at, _)| *at > from).filter_map(
                |(_, e)| match e {
                    Event::PeerConnected { remote, peer_id, .. } if remote.ip() == ip => Some(*peer_id),
                    _ => None,
                },
            ));
        }
        sessions.push(ids);
        world.kill(host);
        world.run_for(Duration::from_secs(1));
    }
    ensure(sessions.iter().all(|ids| ids.len() == 1), || format!("{sessions:?}"))?;
    ensure(sessions[0] != sessions[1], || "two sessions share an id".to_owned())?;
    played(world, Vec::new())
}

/// A hundred torrents on one port: each connection is for the torrent its handshake named, an unknown or paused one
/// gets nothing.
fn many_torrents(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    let mut pairs = Vec::new();
    for i in 0..100 {
        let content = Content::random(setup.seed + i, 40_000, 16 << 10, About::default());
        swarm::add(&mut world, b, &content, Bitfield::all(3), BY_HAND);
        let of_a = swarm::add(&mut world, a, &content, Bitfield::none(3), BY_HAND);
        swarm::introduce(&mut world, a, of_a, b);
        pairs.push((of_a, content));
    }
    let is_done = world
        .run_while(Duration::from_secs(120), |w| pairs.iter().all(|(t, _)| swarm::is_complete(w, a, *t)));
    ensure(is_done, || "not every torrent completed".to_owned())?;
    for (torrent, content) in &pairs {
        let held = content.held(&world.host(a).stored[torrent].storage);
        ensure(held.is_all(), || "a torrent holds another's bytes".to_owned())?;
    }
    let mut of_conn = std::collections::BTreeMap::new();
    for (_, t) in world.log().traces(a) {
        let bound = *of_conn.entry(t.conn).or_insert(t.torrent);
        ensure(bound == t.torrent, || format!("{:?} changed its torrent", t.conn))?;
    }
    let stranger = Content::random(setup.seed + 1000, 40_000, 16 << 10, About::default());
    let paused = &pairs[7];
    world.command(a, Command::Pause(paused.0));
    for content in [&stranger, &paused.1] {
        let prober = world.add_bad_peer(content, crate::bad_peer::Manner::default());
        world.bad_peer_dials(prober, a);
        world.run_for(Duration::from_secs(5));
        let seen = world.bad_peer(prober).pipes().next().cloned().unwrap_or_default();
        ensure(seen.bytes == 0 && seen.gone.is_some(), || {
            format!("a prober got {} bytes, closed {:?}", seen.bytes, seen.gone)
        })?;
    }
    played(world, Vec::new())
}
