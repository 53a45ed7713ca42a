//! Room for peers: limits of connections, slots and rates; liars among honest peers; families; idle times; and owners
//! who change their minds at random.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::bad_peer::{Manner, Serves};
use crate::host::{HostId, HostSettings};
use crate::link::LinkSettings;
use crate::log::words;
use crate::marks::Mark;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use core::net::SocketAddr;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeSet;
use std::rc::Rc;
use unchoke_engine::{Command, Event, Settings, TorrentId};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, PieceIndex};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "liar/one-of-2", what: "one of two peers spoils blocks", run: |s| liar(s, 2) },
    Scenario { name: "liar/one-of-4", what: "one of four peers spoils blocks", run: |s| liar(s, 4) },
    Scenario { name: "liar/one-of-8", what: "one of eight peers spoils blocks", run: |s| liar(s, 8) },
    Scenario { name: "liar/one-of-16", what: "one of sixteen peers spoils blocks", run: |s| liar(s, 16) },
    Scenario { name: "liar/alone", what: "only a spoiling peer at first", run: liar_alone },
    Scenario { name: "room/one", what: "room for one connection of a torrent", run: |s| room(s, 1) },
    Scenario { name: "room/three", what: "room for three connections of a torrent", run: |s| room(s, 3) },
    Scenario { name: "room/engine", what: "room for four connections of all torrents", run: engine_room },
    Scenario { name: "room/seed", what: "a seed with room for three of nine leeches", run: seed_room },
    Scenario { name: "room/one-dial", what: "one dial at a time, most of them dead", run: one_dial },
    Scenario { name: "room/unreachable", what: "sixty peers nobody can reach", run: unreachable },
    Scenario { name: "room/one-address", what: "many connections from one address", run: one_address },
    Scenario { name: "slots/one", what: "one slot for five leeches", run: |s| slots(s, 1) },
    Scenario { name: "slots/two", what: "two slots for five leeches", run: |s| slots(s, 2) },
    Scenario { name: "slots/optimistic", what: "who gives nothing gets a turn", run: optimistic },
    Scenario { name: "slots/reward", what: "who gives gets more than who does not", run: reward },
    Scenario { name: "rate/tiny", what: "an upload limit of 2 KiB a second", run: tiny_rate },
    Scenario { name: "rate/changed", what: "limits that change in mid-transfer", run: changed_rate },
    Scenario { name: "rate/shared", what: "a limit over two torrents", run: shared_rate },
    Scenario {
        name: "buffer/small",
        what: "room for two pieces in memory and a slow disk",
        run: small_buffer,
    },
    Scenario { name: "idle/two-seeds", what: "two seeds have nothing to say", run: two_seeds },
    Scenario {
        name: "idle/slow-upload",
        what: "a very slow peer is not taken for a dead one",
        run: slow_upload,
    },
    Scenario { name: "idle/hour", what: "an hour of waiting for the last piece", run: hour },
    Scenario { name: "family/v6", what: "a swarm of IPv6 alone", run: |s| family(s, &[(false, true); 4]) },
    Scenario {
        name: "family/bridge",
        what: "hosts of one family each, with one of both between them",
        run: |s| family(s, &[(true, true), (true, false), (false, true), (true, false), (false, true)]),
    },
    Scenario { name: "family/broken-v6", what: "an address of IPv6 that leads nowhere", run: broken_v6 },
    Scenario { name: "random/settings", what: "settings drawn at random", run: random_settings },
    Scenario { name: "random/owner", what: "an owner who changes his mind", run: random_owner },
    Scenario {
        name: "random/torrents",
        what: "torrents added, paused and removed at random",
        run: random_torrents,
    },
    Scenario { name: "pex/private", what: "a private torrent is not told of", run: pex_private },
];

const PIECES: u32 = 32;

fn content(setup: &Setup) -> Rc<Content> {
    Content::random(setup.seed, (PIECES as usize) << 14, 16 << 10, About::default())
}

/// A host of these settings without DHT, on a line of the default kind.
fn plain(world: &mut World, engine: Settings) -> HostId {
    let engine = Settings { dht: false, ..engine };
    world.add_host(HostSettings { engine, ..HostSettings::default() })
}

fn seed(world: &mut World, content: &Rc<Content>) -> HostId {
    let host = plain(world, Settings::default());
    swarm::add(world, host, content, Bitfield::all(content.pieces()), BY_HAND);
    host
}

fn leech(world: &mut World, content: &Rc<Content>, engine: Settings) -> (HostId, TorrentId) {
    let host = plain(world, engine);
    (host, swarm::add(world, host, content, Bitfield::none(content.pieces()), BY_HAND))
}

fn complete(world: &mut World, all: &[(HostId, TorrentId)], secs: u64) -> Result<(), String> {
    let limit = Duration::from_secs(secs);
    let is_done = world.run_while(limit, |w| all.iter().all(|(h, t)| swarm::is_complete(w, *h, *t)));
    let late = || all.iter().filter(|(h, t)| !swarm::is_complete(world, *h, *t)).count();
    ensure(is_done, || format!("{} of {} did not complete in {secs} s", late(), all.len()))
}

/// One of so many peers spoils every block it sends: it is banned, the others are not, little is fetched for nothing.
fn liar(setup: &Setup, n: usize) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 64 << 10, About::default());
    let (host, torrent) = leech(&mut world, &content, Settings::default());
    let manner = Manner { serves: Serves::Spoils(1), ..Manner::plain_seed(content.pieces()) };
    let bad = world.add_bad_peer(&content, manner);
    swarm::introduce(&mut world, host, torrent, bad);
    for _ in 1..n {
        let honest = seed(&mut world, &content);
        world.host_mut(honest).link.settings.rate = 400_000;
        swarm::introduce(&mut world, host, torrent, honest);
    }
    complete(&mut world, &[(host, torrent)], 200)?;
    let bans: BTreeSet<SocketAddr> = world
        .log()
        .events(host)
        .filter_map(|(_, e)| match e {
            Event::PeerBanned { remote, .. } => Some(*remote),
            _ => None,
        })
        .collect();
    let asked = world.bad_peer(bad).pipes().map(|p| p.count("request")).sum::<usize>();
    ensure(asked == 0 || bans.len() == 1, || {
        format!("{bans:?} were banned, the liar was asked {asked} times")
    })?;
    let failed = world.log().events(host).filter(|(_, e)| matches!(e, Event::PieceFailed { .. })).count();
    ensure(failed <= 16, || format!("{failed} pieces failed"))?;
    played(world, vec![("pieces that failed", failed.to_string())])
}

/// The liar is the only peer for half a minute; it is banned, and an honest one that comes then is enough.
fn liar_alone(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let (host, torrent) = leech(&mut world, &content, Settings::default());
    let manner = Manner { serves: Serves::Spoils(1), ..Manner::plain_seed(PIECES) };
    let bad = world.add_bad_peer(&content, manner);
    swarm::introduce(&mut world, host, torrent, bad);
    world.run_for(Duration::from_secs(30));
    let banned = world.log().events(host).filter(|(_, e)| matches!(e, Event::PeerBanned { .. })).count();
    ensure(banned == 1, || format!("the liar was banned {banned} times"))?;
    let honest = seed(&mut world, &content);
    swarm::introduce(&mut world, host, torrent, honest);
    complete(&mut world, &[(host, torrent)], 60)?;
    played(world, Vec::new())
}

/// A leech that knows six seeds: never more connections than there is room for.
fn room(setup: &Setup, max: usize) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let engine = Settings { torrent_connections_max: max, ..Settings::default() };
    let (host, torrent) = leech(&mut world, &content, engine);
    for _ in 0..6 {
        let other = seed(&mut world, &content);
        swarm::introduce(&mut world, host, torrent, other);
    }
    let mut most = 0;
    for _ in 0..600 {
        world.run_for(Duration::from_millis(100));
        most = most.max(world.host(host).engine.peers(torrent).len());
        if swarm::is_complete(&world, host, torrent) {
            break;
        }
    }
    ensure(swarm::is_complete(&world, host, torrent), || "it did not complete".to_owned())?;
    ensure(most <= max, || format!("{most} connections where there is room for {max}"))?;
    played(world, Vec::new())
}

fn engine_room(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let host = plain(&mut world, Settings { connections_max: 4, ..Settings::default() });
    let mut torrents = Vec::new();
    for n in 0..4 {
        let content = Content::random(setup.seed * 4 + n, 96 << 10, 16 << 10, About::default());
        let torrent = swarm::add(&mut world, host, &content, Bitfield::none(6), BY_HAND);
        for _ in 0..2 {
            let other = seed(&mut world, &content);
            swarm::introduce(&mut world, host, torrent, other);
        }
        torrents.push((host, torrent));
    }
    let mut most = 0;
    for _ in 0..1200 {
        world.run_for(Duration::from_millis(250));
        let open: usize = torrents.iter().map(|(h, t)| world.host(*h).engine.peers(*t).len()).sum();
        most = most.max(open);
        if torrents.iter().all(|(h, t)| swarm::is_complete(&world, *h, *t)) {
            break;
        }
    }
    complete(&mut world, &torrents, 1)?;
    ensure(most <= 4, || format!("{most} connections where there is room for four"))?;
    played(world, Vec::new())
}

/// Nine leeches know of nobody but a seed that has room for three, and of each other.
fn seed_room(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let host = plain(&mut world, Settings { torrent_connections_max: 3, ..Settings::default() });
    let torrent = swarm::add(&mut world, host, &content, Bitfield::all(PIECES), BY_HAND);
    let mut leeches: Vec<(HostId, TorrentId)> = Vec::new();
    for _ in 0..9 {
        let one = leech(&mut world, &content, Settings::default());
        for other in leeches.iter().map(|(h, _)| *h).chain([host]) {
            swarm::introduce(&mut world, one.0, one.1, other);
        }
        leeches.push(one);
    }
    complete(&mut world, &leeches, 600)?;
    let open = world.host(host).engine.peers(torrent).len();
    ensure(open <= 3, || format!("the seed has {open} connections"))?;
    played(world, Vec::new())
}

fn nobody(n: u8) -> SocketAddr {
    SocketAddr::from(([98, n, 1, 1], 6881))
}

fn one_dial(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let (host, torrent) = leech(&mut world, &content, Settings { dials_max: 1, ..Settings::default() });
    (0..8).for_each(|n| world.add_peer(host, torrent, nobody(n)));
    let other = seed(&mut world, &content);
    swarm::introduce(&mut world, host, torrent, other);
    complete(&mut world, &[(host, torrent)], 200)?;
    played(world, Vec::new())
}

/// Sixty addresses that do not answer, and one seed that is told of last.
fn unreachable(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let (host, torrent) = leech(&mut world, &content, Settings::default());
    (0..60).for_each(|n| world.add_peer(host, torrent, nobody(n)));
    let other = seed(&mut world, &content);
    swarm::introduce(&mut world, host, torrent, other);
    complete(&mut world, &[(host, torrent)], 60)?;
    world.run_for(Duration::from_secs(1800));
    let dialled = world.host(host).dialled.len();
    // the user named them: each is tried again once a minute
    ensure(dialled <= 60 * 62, || format!("{dialled} dials in half an hour"))?;
    played(world, vec![("dials in half an hour", dialled.to_string())])
}

/// Twenty connections come from one address: eight are let in, an honest peer beside them is served.
fn one_address(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let host = seed(&mut world, &content);
    let crowd = world.add_bad_peer(&content, Manner::default());
    (0..20).for_each(|_| world.bad_peer_dials(crowd, host));
    world.run_for(Duration::from_secs(5));
    let open = world.bad_peer(crowd).pipes().filter(|p| p.gone.is_none()).count();
    ensure(open <= 8, || format!("{open} connections from one address are open"))?;
    let one = leech(&mut world, &content, Settings::default());
    swarm::introduce(&mut world, one.0, one.1, host);
    complete(&mut world, &[one], 60)?;
    played(world, Vec::new())
}

/// Five leeches that know the seed alone get their turns.
fn slots(setup: &Setup, slots: usize) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let engine = Settings { upload_slots: slots, pex: false, ..Settings::default() };
    let host = plain(&mut world, engine);
    world.host_mut(host).link.settings.rate = 60_000;
    swarm::add(&mut world, host, &content, Bitfield::all(PIECES), BY_HAND);
    let mut leeches = Vec::new();
    for _ in 0..5 {
        let one = leech(&mut world, &content, Settings { pex: false, ..Settings::default() });
        swarm::introduce(&mut world, one.0, one.1, host);
        leeches.push(one);
    }
    complete(&mut world, &leeches, 900)?;
    played(world, Vec::new())
}

/// A leech that has nothing to give, beside seven that trade: it is unchoked by one of them at least within minutes.
fn optimistic(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 2 << 20, 64 << 10, About::default());
    let (mut traders, engine) =
        (Vec::new(), || Settings { upload_slots: 2, upload_limit: Some(30_000), ..Settings::default() });
    for n in 0..7u32 {
        let host = plain(&mut world, engine());
        let mut have = Bitfield::none(32);
        (0..32).filter(|p| p % 7 == n).for_each(|p| _ = have.set(PieceIndex(p)));
        let torrent = swarm::add(&mut world, host, &content, have, BY_HAND);
        for (other, _) in traders.clone() {
            swarm::introduce(&mut world, host, torrent, other);
        }
        traders.push((host, torrent));
    }
    let one = leech(&mut world, &content, engine());
    traders.iter().for_each(|(other, _)| swarm::introduce(&mut world, one.0, one.1, *other));
    world.run_for(Duration::from_secs(150));
    let unchoked = world.log().traces(one.0).filter(|(_, t)| words(t) == "< unchoke").count();
    let got = world.host(one.0).engine.torrent_stats(one.1).map_or(0, |s| s.totals.downloaded);
    ensure(unchoked > 0 && got > 0, || format!("unchoked {unchoked} times, {got} bytes"))?;
    played(world, vec![("unchoked", unchoked.to_string())])
}

/// A has half of everything and wants the other half. Of five leeches that want A's half one has what A wants: it gets
/// more than the others do on average.
fn reward(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 2 << 20, 64 << 10, About::default());
    let engine =
        || Settings { upload_slots: 2, pex: false, upload_limit: Some(40_000), ..Settings::default() };
    let half = |odd: u32| {
        let mut have = Bitfield::none(32);
        (0..32).filter(|p| p % 2 == odd).for_each(|p| _ = have.set(PieceIndex(p)));
        have
    };
    let a = plain(&mut world, engine());
    swarm::add(&mut world, a, &content, half(0), BY_HAND);
    let giver = plain(&mut world, engine());
    let of_giver = swarm::add(&mut world, giver, &content, half(1), BY_HAND);
    swarm::introduce(&mut world, giver, of_giver, a);
    let mut takers = Vec::new();
    for _ in 0..4 {
        let one = leech(&mut world, &content, engine());
        swarm::introduce(&mut world, one.0, one.1, a);
        takers.push(one);
    }
    let got = |world: &World, (h, t): (HostId, TorrentId)| {
        world.host(h).engine.torrent_stats(t).map_or(0, |s| s.totals.downloaded)
    };
    world.run_while(Duration::from_secs(120), |w| got(w, (giver, of_giver)) >= 600_000);
    let given = got(&world, (giver, of_giver));
    let taken = takers.iter().map(|t| got(&world, *t)).sum::<u64>() / 4;
    ensure(given > taken, || format!("the giver got {given} bytes, a taker {taken} on average"))?;
    played(world, vec![("giver, mean taker", format!("{given} {taken}"))])
}

fn tiny_rate(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 64 << 10, 16 << 10, About::default());
    let host = plain(&mut world, Settings { upload_limit: Some(2048), ..Settings::default() });
    swarm::add(&mut world, host, &content, Bitfield::all(4), BY_HAND);
    let one = leech(&mut world, &content, Settings::default());
    swarm::introduce(&mut world, one.0, one.1, host);
    let begin = world.now();
    complete(&mut world, &[one], 120)?;
    let took = world.now().since(begin).as_secs_f64();
    ensure(took >= 20.0, || format!("64 KiB in {took:.1} s at 2 KiB a second"))?;
    played(world, vec![("seconds", format!("{took:.1}"))])
}

fn changed_rate(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 32 << 10, About::default());
    let host = seed(&mut world, &content);
    let one = leech(&mut world, &content, Settings { download_limit: Some(20_000), ..Settings::default() });
    swarm::introduce(&mut world, one.0, one.1, host);
    let got = |w: &World| w.host(one.0).engine.torrent_stats(one.1).map_or(0, |s| s.totals.downloaded);
    for limit in [20_000, 60_000, 30_000] {
        world.command(one.0, Command::SetLimits { download: Some(limit), upload: None });
        world.run_for(Duration::from_secs(2));
        let before = got(&world);
        world.run_for(Duration::from_secs(6));
        let rate = (got(&world) - before) / 6;
        let is_near = rate * 10 <= limit * 14 && rate * 10 >= limit * 5;
        ensure(is_near, || format!("{rate} bytes a second under a limit of {limit}"))?;
    }
    world.command(one.0, Command::SetLimits { download: None, upload: None });
    complete(&mut world, &[one], 30)?;
    played(world, Vec::new())
}

/// Two torrents share a limit, and each gets its part of it.
fn shared_rate(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let host = plain(&mut world, Settings { upload_limit: Some(60_000), ..Settings::default() });
    let mut leeches = Vec::new();
    for n in 0..2 {
        let content = Content::random(setup.seed * 2 + n, 1 << 20, 32 << 10, About::default());
        swarm::add(&mut world, host, &content, Bitfield::all(32), BY_HAND);
        let one = leech(&mut world, &content, Settings::default());
        swarm::introduce(&mut world, one.0, one.1, host);
        leeches.push(one);
    }
    world.run_for(Duration::from_secs(15));
    let got: Vec<u64> = leeches
        .iter()
        .map(|(h, t)| world.host(*h).engine.torrent_stats(*t).map_or(0, |s| s.totals.downloaded))
        .collect();
    let sum: u64 = got.iter().sum();
    ensure((60_000 * 9..=60_000 * 17).contains(&sum), || format!("{got:?} bytes in 15 s"))?;
    ensure(got.iter().all(|g| *g * 5 >= sum), || format!("the limit is not shared: {got:?}"))?;
    played(world, Vec::new())
}

/// The disk is slower than the line: no more is asked for than there is room for.
fn small_buffer(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 64 << 10, About::default());
    let engine = Settings { piece_buffer_bytes: 128 << 10, ..Settings::default() };
    let one = leech(&mut world, &content, engine);
    world.host_mut(one.0).disk.settings.rate = 100_000;
    for _ in 0..3 {
        let other = seed(&mut world, &content);
        swarm::introduce(&mut world, one.0, one.1, other);
    }
    let mut most = 0;
    for _ in 0..1000 {
        world.run_for(Duration::from_millis(100));
        let out: usize = world.host(one.0).engine.peers(one.1).iter().map(|p| p.requests).sum();
        most = most.max(out);
        if swarm::is_complete(&world, one.0, one.1) {
            break;
        }
    }
    complete(&mut world, &[one], 1)?;
    ensure(most <= 12, || format!("{most} blocks were asked for at once, with room for eight"))?;
    played(world, vec![("requests out at most", most.to_string())])
}

/// Two seeds that hear of each other keep one connection at most, and do not make it again and again.
fn two_seeds(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let a = plain(&mut world, Settings::default());
    let of_a = swarm::add(&mut world, a, &content, Bitfield::all(PIECES), BY_HAND);
    let b = seed(&mut world, &content);
    swarm::introduce(&mut world, a, of_a, b);
    world.run_for(Duration::from_secs(3600));
    let open = world.host(a).engine.peers(of_a).len();
    let dialled = world.host(a).dialled.len();
    ensure(open <= 1 && dialled <= 3, || format!("{open} connections, {dialled} dials in an hour"))?;
    played(world, Vec::new())
}

/// A peer that takes eight seconds for a block sends for as long as it takes: nobody closes it.
fn slow_upload(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 128 << 10, 16 << 10, About::default());
    let link = LinkSettings { rate: 2_000, ..LinkSettings::default() };
    let engine = Settings { dht: false, ..Settings::default() };
    let slow = world.add_host(HostSettings { link, engine, ..HostSettings::default() });
    swarm::add(&mut world, slow, &content, Bitfield::all(8), BY_HAND);
    let one = leech(&mut world, &content, Settings::default());
    swarm::introduce(&mut world, one.0, one.1, slow);
    complete(&mut world, &[one], 200)?;
    let closed =
        world.log().events(one.0).filter(|(_, e)| matches!(e, Event::PeerDisconnected { .. })).count();
    ensure(closed == 0, || format!("{closed} connections were closed"))?;
    played(world, Vec::new())
}

/// The last piece is nowhere for an hour. Connections stay, nobody asks, and it comes at once when somebody has it.
fn hour(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let one = leech(&mut world, &content, Settings::default());
    let mut have = Bitfield::all(PIECES);
    have.clear(PieceIndex(3));
    let other = plain(&mut world, Settings::default());
    let of_other = swarm::add(&mut world, other, &content, have, BY_HAND);
    swarm::introduce(&mut world, one.0, one.1, other);
    world.run_for(Duration::from_secs(3600));
    let missing = world.host(one.0).engine.torrent_stats(one.1).and_then(|s| s.left);
    ensure(missing == Some(16 << 10), || format!("{missing:?} bytes are missing"))?;
    let full = seed(&mut world, &content);
    swarm::introduce(&mut world, other, of_other, full);
    complete(&mut world, &[one, (other, of_other)], 60)?;
    played(world, Vec::new())
}

/// Hosts of these families; each is told of the first, which has everything, as far as it can reach it.
fn family(setup: &Setup, families: &[(bool, bool)]) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let mut all: Vec<(HostId, TorrentId)> = Vec::new();
    for (n, (v4, v6)) in families.iter().enumerate() {
        let (a, b) = (world.next_ip(), world.next_ip6());
        let engine = Settings { dht: false, ..Settings::default() };
        let other_ip = (*v4 && *v6).then_some(b);
        let settings = HostSettings { engine, other_ip, ..HostSettings::default() };
        let host = world.add_host_at(if *v4 { a } else { b }, settings);
        let have = if n == 0 { Bitfield::all(PIECES) } else { Bitfield::none(PIECES) };
        let torrent = swarm::add(&mut world, host, &content, have, BY_HAND);
        if let Some((first, _)) = all.first() {
            let like = world.host(host).ip;
            let ip = world.host(*first).ip_towards(like).expect("the first has every family");
            world.add_peer(host, torrent, SocketAddr::new(ip, crate::host::PORT));
        }
        all.push((host, torrent));
    }
    complete(&mut world, &all, 100)?;
    played(world, Vec::new())
}

/// A host of both families is told of a seed's address of IPv6, where nobody answers, and of IPv4.
fn broken_v6(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = content(setup);
    let other_ip = Some(world.next_ip6());
    let engine = Settings { dht: false, ..Settings::default() };
    let host = world.add_host(HostSettings { engine, other_ip, ..HostSettings::default() });
    let torrent = swarm::add(&mut world, host, &content, Bitfield::none(PIECES), BY_HAND);
    let other = seed(&mut world, &content);
    for n in 0..10u16 {
        world.add_peer(host, torrent, SocketAddr::from(([0x2a0f, n, 0, 0, 0, 0, 0, 1], 6881)));
    }
    swarm::introduce(&mut world, host, torrent, other);
    let begin = world.now();
    complete(&mut world, &[(host, torrent)], 60)?;
    let took = world.now().since(begin);
    ensure(took < Duration::from_secs(5), || format!("dead addresses cost {took:?}"))?;
    played(world, Vec::new())
}

fn drawn(rng: &mut ChaCha12Rng) -> Settings {
    let limit = |rng: &mut ChaCha12Rng| rng.random_bool(0.3).then(|| rng.random_range(20_000..200_000));
    Settings {
        dht: false,
        connections_max: rng.random_range(2..20),
        torrent_connections_max: rng.random_range(2..10),
        dials_max: rng.random_range(1..8),
        upload_slots: rng.random_range(1..6),
        piece_buffer_bytes: rng.random_range(16_384..400_000),
        download_limit: limit(rng),
        upload_limit: limit(rng),
        rechoke_interval: Duration::from_millis(rng.random_range(1_000..20_000)),
        fast: rng.random_bool(0.5),
        pex: rng.random_bool(0.5),
        ..Settings::default()
    }
}

fn random_settings(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let mut rng = ChaCha12Rng::seed_from_u64(setup.seed);
    let piece_len = rng.random_range(1_000..80_000);
    let len = rng.random_range(1..400_000);
    let content = Content::random(setup.seed, len, piece_len, About::default());
    let mut all: Vec<(HostId, TorrentId)> = Vec::new();
    for n in 0..setup.peers.unwrap_or(5) {
        let host = plain(&mut world, drawn(&mut rng));
        let have = if n < 2 { Bitfield::all(content.pieces()) } else { Bitfield::none(content.pieces()) };
        let torrent = swarm::add(&mut world, host, &content, have, BY_HAND);
        all.iter().for_each(|(other, _)| swarm::introduce(&mut world, host, torrent, *other));
        all.push((host, torrent));
    }
    complete(&mut world, &all, 900)?;
    played(world, vec![("bytes, in pieces of", format!("{len} {piece_len}"))])
}

/// A swarm whose owners pause, resume, choose pieces and set limits every second; then they leave it alone.
fn random_owner(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let mut rng = ChaCha12Rng::seed_from_u64(setup.seed);
    let content = content(setup);
    let mut all: Vec<(HostId, TorrentId)> = Vec::new();
    for n in 0..4 {
        let host = plain(&mut world, Settings::default());
        world.host_mut(host).link.settings.rate = 60_000;
        let have = if n == 0 { Bitfield::all(PIECES) } else { Bitfield::none(PIECES) };
        let torrent = swarm::add(&mut world, host, &content, have, BY_HAND);
        all.iter().for_each(|(other, _)| swarm::introduce(&mut world, host, torrent, *other));
        all.push((host, torrent));
    }
    for _ in 0..25 {
        world.run_for(Duration::from_millis(rng.random_range(10..1_000)));
        let (host, torrent) = all[rng.random_range(0..all.len())];
        let command = match rng.random_range(0..6) {
            0 => Command::Pause(torrent),
            1 | 2 => Command::Resume(torrent),
            3 => Command::Announce(torrent),
            4 => {
                let mut wanted = Bitfield::none(PIECES);
                (0..PIECES).filter(|_| rng.random_bool(0.5)).for_each(|p| _ = wanted.set(PieceIndex(p)));
                Command::SetWanted { torrent, wanted }
            }
            _ => Command::SetLimits { download: Some(rng.random_range(10_000..90_000)), upload: None },
        };
        world.command(host, command);
    }
    for (host, torrent) in &all {
        world.command(*host, Command::Resume(*torrent));
        world.command(*host, Command::SetWanted { torrent: *torrent, wanted: Bitfield::all(PIECES) });
        world.command(*host, Command::SetLimits { download: None, upload: None });
    }
    complete(&mut world, &all, 600)?;
    played(world, Vec::new())
}

/// One host, a seed of eight torrents beside it; torrents come, pause and go at random, and nothing of them is left.
fn random_torrents(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let mut rng = ChaCha12Rng::seed_from_u64(setup.seed);
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    world.host_mut(b).link.settings.rate = 100_000;
    let contents: Vec<Rc<Content>> =
        (0..8).map(|n| Content::random(setup.seed * 8 + n, 64 << 10, 16 << 10, About::default())).collect();
    for content in &contents {
        swarm::add(&mut world, b, content, Bitfield::all(4), BY_HAND);
    }
    let mut held: Vec<(usize, TorrentId)> = Vec::new();
    for _ in 0..30 {
        world.run_for(Duration::from_millis(rng.random_range(1..700)));
        let n = rng.random_range(0..contents.len());
        let at = held.iter().position(|(m, _)| *m == n);
        match (at, rng.random_range(0..3)) {
            (None, _) => {
                let torrent = swarm::add(&mut world, a, &contents[n], Bitfield::none(4), BY_HAND);
                swarm::introduce(&mut world, a, torrent, b);
                held.push((n, torrent));
            }
            (Some(at), 0) => world.command(a, Command::Pause(held[at].1)),
            (Some(at), 1) => world.command(a, Command::Resume(held[at].1)),
            (Some(at), _) => {
                world.command(a, Command::Remove(held.swap_remove(at).1));
                world.mark(Mark::RemovedInTransfer);
                // it is forgotten once its trackers were told
                world.run_for(Duration::from_secs(6));
            }
        }
    }
    let known = world.host(a).engine.torrents().count();
    ensure(known == held.len(), || format!("{known} torrents are known, {} were kept", held.len()))?;
    held.iter().for_each(|(_, t)| world.command(a, Command::Resume(*t)));
    let held: Vec<(HostId, TorrentId)> = held.into_iter().map(|(_, t)| (a, t)).collect();
    complete(&mut world, &held, 300)?;
    played(world, Vec::new())
}

/// Peers of a private torrent that are connected tell each other of nobody.
fn pex_private(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let about = About { is_private: true, ..About::default() };
    let content = Content::random(setup.seed, 256 << 10, 16 << 10, about);
    let hub = plain(&mut world, Settings { upload_limit: Some(3_000), ..Settings::default() });
    swarm::add(&mut world, hub, &content, Bitfield::all(16), BY_HAND);
    let mut all = Vec::new();
    for _ in 0..3 {
        let one = leech(&mut world, &content, Settings::default());
        swarm::introduce(&mut world, one.0, one.1, hub);
        all.push(one);
    }
    world.run_for(Duration::from_secs(200));
    for (host, torrent) in &all {
        let known = world.host(*host).engine.torrent_stats(*torrent).map_or(0, |s| s.peers.1);
        ensure(known <= 1, || format!("host {} knows {known} peers", host.0))?;
    }
    ensure(!world.marks().hit().contains(&Mark::PexFound), || "peers were exchanged".to_owned())?;
    played(world, Vec::new())
}
