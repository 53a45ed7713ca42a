//! Transfers that are held up, choked, narrowed, paused and ended.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::bad_peer::{Manner, Serves};
use crate::host::HostSettings;
use crate::log::words;
use crate::marks::Mark;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use unchoke_engine::{Command, Event, Settings};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, PieceIndex, Reserved};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "stalled", what: "a silent peer's requests go elsewhere", run: stalled },
    Scenario { name: "choke", what: "chokes in mid-transfer, fast and plain", run: choke },
    Scenario { name: "slots", what: "more peers than slots: turns and allowed-fast", run: slots },
    Scenario { name: "end-game", what: "a slow peer does not hold up the end", run: end_game },
    Scenario { name: "selection", what: "only the wanted pieces are fetched", run: selection },
    Scenario { name: "pause", what: "pause and resume in mid-transfer", run: pause },
    Scenario { name: "remove", what: "a torrent removed in mid-transfer", run: remove },
    Scenario { name: "disk-full", what: "a full disk that gets room again", run: disk_full },
];

/// A peer takes requests and sends nothing; another one comes later and gets them.
fn stalled(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 64 << 10, About::default());
    let a = home(&mut world, false);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(16), BY_HAND);
    let silent = world.add_bad_peer(&content, Manner { serves: Serves::Nothing, ..Manner::plain_seed(16) });
    swarm::introduce(&mut world, a, of_a, silent);
    world.run_for(Duration::from_secs(3));
    let b = home(&mut world, false);
    swarm::add(&mut world, b, &content, Bitfield::all(16), BY_HAND);
    swarm::introduce(&mut world, a, of_a, b);
    let begin = world.now();
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "a silent peer holds up the download".to_owned())?;
    let took = world.now().since(begin);
    let asked = world.bad_peer(silent).pipes().map(|p| p.count("request")).sum::<usize>();
    ensure(asked > 0, || "the silent peer was asked for nothing".to_owned())?;
    // silence is borne for two minutes and as much again, no longer
    world.run_for(Duration::from_secs(260));
    let open = world.bad_peer(silent).pipes().next().and_then(|p| p.gone.map(|at| at.since(p.since)));
    let is_right = open.is_some_and(|t| (120..260).contains(&t.as_secs()));
    ensure(is_right, || format!("the silent peer was closed after {open:?}"))?;
    played(world, vec![("complete in", format!("{took:?}"))])
}

/// A seed chokes in mid-transfer: a plain one drops what is queued, a fast one rejects it. All is asked for again.
fn choke(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    for is_fast in [false, true] {
        let content = Content::random(setup.seed + u64::from(is_fast), 1 << 20, 64 << 10, About::default());
        let a = home(&mut world, false);
        let of_a = swarm::add(&mut world, a, &content, Bitfield::none(16), BY_HAND);
        let reserved = if is_fast { Reserved::default().with_fast() } else { Reserved::default() };
        let manner = Manner {
            reserved,
            serves: Serves::Slowly(Duration::from_millis(20)),
            chokes_after: Some((8, Duration::from_secs(5))),
            ..Manner::plain_seed(16)
        };
        let seed = world.add_bad_peer(&content, manner);
        swarm::introduce(&mut world, a, of_a, seed);
        let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, a, of_a));
        ensure(is_done, || format!("not complete, fast: {is_fast}"))?;
        let talk: Vec<String> = world.log().traces(a).map(|(_, t)| words(t)).collect();
        let choke = talk.iter().position(|w| w == "< choke").unwrap_or(usize::MAX);
        let unchoke = talk.iter().skip(choke).position(|w| w == "< unchoke").map(|p| p + choke);
        let pause = talk.get(choke..unchoke.unwrap_or(choke)).unwrap_or_default();
        ensure(!pause.is_empty(), || "it was never choked".to_owned())?;
        ensure(!pause.iter().any(|w| w.starts_with("> request")), || {
            format!("asked while choked: {pause:?}")
        })?;
        let rejects = pause.iter().any(|w| w.starts_with("< reject"));
        ensure(rejects == is_fast, || format!("rejects: {rejects}, fast: {is_fast}"))?;
    }
    played(world, Vec::new())
}

/// Three slots and eight leeches: turns pass on, nobody starves, who waits gets allowed-fast pieces.
fn slots(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 4 << 20, 64 << 10, About::default());
    let engine = |slots| Settings { dht: false, pex: false, upload_slots: slots, ..Settings::default() };
    let mut settings = HostSettings { engine: engine(3), ..HostSettings::default() };
    settings.link.rate = 200_000;
    let seed = world.add_host(settings);
    swarm::add(&mut world, seed, &content, Bitfield::all(64), BY_HAND);
    let mut leeches = Vec::new();
    for _ in 0..8 {
        let host = world.add_host(HostSettings { engine: engine(8), ..HostSettings::default() });
        let torrent = swarm::add(&mut world, host, &content, Bitfield::none(64), BY_HAND);
        swarm::introduce(&mut world, host, torrent, seed);
        leeches.push((host, torrent));
    }
    let is_done = world
        .run_while(Duration::from_secs(600), |w| leeches.iter().all(|(h, t)| swarm::is_complete(w, *h, *t)));
    ensure(is_done, || "not everybody completed".to_owned())?;
    let unchoked: std::collections::BTreeSet<_> = world
        .log()
        .traces(seed)
        .filter(|(_, t)| words(t) == "> unchoke")
        .map(|(_, t)| t.remote.ip())
        .collect();
    ensure(unchoked.len() == 8, || format!("{} leeches were unchoked", unchoked.len()))?;
    // a choke and an unchoke fall on the rounds of the choker, or follow at once from interest that ended
    let choked = world.log().traces(seed).filter(|(_, t)| words(t) == "> choke").count();
    ensure(choked > 0, || "nobody's turn ended".to_owned())?;
    played(world, Vec::new())
}

/// One of two seeds is very slow: the blocks it holds are asked of the other as well.
fn end_game(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 2 << 20, 64 << 10, About::default());
    let a = home(&mut world, false);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(32), BY_HAND);
    let manner = Manner { serves: Serves::Slowly(Duration::from_secs(3)), ..Manner::plain_seed(32) };
    let slow = world.add_bad_peer(&content, manner);
    let b = home(&mut world, false);
    swarm::add(&mut world, b, &content, Bitfield::all(32), BY_HAND);
    swarm::introduce(&mut world, a, of_a, slow);
    swarm::introduce(&mut world, a, of_a, b);
    let begin = world.now();
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, a, of_a));
    let took = world.now().since(begin);
    ensure(is_done && took < Duration::from_secs(15), || format!("complete: {is_done} after {took:?}"))?;
    let waste = world.checkers().waste(a);
    ensure(waste.per_mille() < 100, || format!("{waste:?}"))?;
    played(world, vec![("complete in", format!("{took:?}"))])
}

fn selection(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 64 << 10, About::default());
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    swarm::add(&mut world, b, &content, Bitfield::all(16), BY_HAND);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(16), BY_HAND);
    let mut wanted = Bitfield::none(16);
    [2, 3, 11].into_iter().for_each(|p| {
        wanted.set(PieceIndex(p));
    });
    world.command(a, Command::SetWanted { torrent: of_a, wanted: wanted.clone() });
    swarm::introduce(&mut world, a, of_a, b);
    world.run_for(Duration::from_secs(30));
    let have = world.host(a).engine.have(of_a).cloned();
    ensure(have.as_ref() == Some(&wanted), || format!("A has {have:?}"))?;
    let told = world.log().events(a).filter(|(_, e)| matches!(e, Event::Completed { .. })).count();
    ensure(told == 1, || format!("completion was told {told} times"))?;
    world.command(a, Command::SetWanted { torrent: of_a, wanted: Bitfield::all(16) });
    let is_done = world.run_while(Duration::from_secs(30), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "the rest did not come once it was wanted".to_owned())?;
    let told = world.log().events(a).filter(|(_, e)| matches!(e, Event::Completed { .. })).count();
    ensure(told == 2, || format!("completion was told {told} times in the end"))?;
    played(world, Vec::new())
}

fn pause(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 2 << 20, 64 << 10, About::default());
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    let of_b = swarm::add(&mut world, b, &content, Bitfield::all(32), BY_HAND);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(32), BY_HAND);
    world.command(b, Command::SetLimits { download: None, upload: Some(300_000) });
    swarm::introduce(&mut world, a, of_a, b);
    world.run_for(Duration::from_secs(3));
    for (host, torrent) in [(a, of_a), (b, of_b)] {
        world.command(host, Command::Pause(torrent));
        world.run_for(Duration::from_secs(2));
        let from = world.now();
        world.run_for(Duration::from_secs(70));
        let heard = world.log().traces(a).filter(|(at, t)| *at > from && !t.is_sent).count();
        ensure(heard == 0 && !swarm::is_complete(&world, a, of_a), || {
            format!("{heard} messages while paused")
        })?;
        world.command(host, Command::Resume(torrent));
        world.run_for(Duration::from_secs(2));
    }
    let is_done = world.run_while(Duration::from_secs(200), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete after the pauses".to_owned())?;
    played(world, Vec::new())
}

/// A torrent is removed while blocks are on their way, and added again.
fn remove(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 2 << 20, 64 << 10, About::default());
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    swarm::add(&mut world, b, &content, Bitfield::all(32), BY_HAND);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(32), BY_HAND);
    world.command(b, Command::SetLimits { download: None, upload: Some(300_000) });
    swarm::introduce(&mut world, a, of_a, b);
    world.run_for(Duration::from_secs(3));
    let is_busy = world.host(a).engine.peers(of_a).iter().any(|p| p.requests > 0);
    ensure(is_busy, || "nothing was on its way".to_owned())?;
    world.command(a, Command::Remove(of_a));
    world.mark(Mark::RemovedInTransfer);
    world.run_for(Duration::from_secs(6));
    let is_gone =
        world.log().events(a).any(|(_, e)| matches!(e, Event::Removed { torrent } if *torrent == of_a));
    ensure(is_gone && world.host(a).engine.torrents().count() == 0, || "it is not forgotten".to_owned())?;
    let have = content.held(&world.host(a).stored[&of_a].storage);
    let of_a = swarm::add(&mut world, a, &content, have, BY_HAND);
    swarm::introduce(&mut world, a, of_a, b);
    let is_done = world.run_while(Duration::from_secs(100), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete after it came back".to_owned())?;
    played(world, Vec::new())
}

fn disk_full(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 2 << 20, 64 << 10, About::default());
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    swarm::add(&mut world, b, &content, Bitfield::all(32), BY_HAND);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(32), BY_HAND);
    swarm::introduce(&mut world, a, of_a, b);
    world.run_for(Duration::from_millis(700));
    world.host_mut(a).disk.settings.fail_per_mille = 1000;
    world.run_for(Duration::from_secs(20));
    let failed = world.log().events(a).filter(|(_, e)| matches!(e, Event::StorageFailed { .. })).count();
    ensure(failed == 1, || format!("the full disk was told {failed} times"))?;
    let from = world.now();
    world.run_for(Duration::from_secs(20));
    let talk: Vec<String> =
        world.log().traces(a).filter(|(at, _)| *at > from).map(|(_, t)| words(t)).collect();
    ensure(!talk.iter().any(|w| w.starts_with("> request")), || format!("A goes on asking: {talk:?}"))?;
    world.host_mut(a).disk.settings.fail_per_mille = 0;
    world.command(a, Command::Resume(of_a));
    let is_done = world.run_while(Duration::from_secs(150), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete once there was room".to_owned())?;
    played(world, Vec::new())
}
