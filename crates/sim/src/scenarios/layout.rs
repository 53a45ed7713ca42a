//! Torrents of every shape, data that is there already, choices of pieces, and torrents that end in mid-transfer.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::host::HostId;
use crate::log::words;
use crate::marks::Mark;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use std::rc::Rc;
use unchoke_engine::input::{AddTorrent, PartialPiece, TorrentSource, Totals};
use unchoke_engine::{Command, Event, TorrentId};
use unchoke_storage::Storage;
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, PieceIndex};

macro_rules! layout {
    ($name:literal, $what:literal, $piece_len:expr, $files:expr) => {
        Scenario {
            name: concat!("layout/", $name),
            what: $what,
            run: |setup| {
                const FILES: &[(usize, bool)] = $files;
                layout(setup, FILES, $piece_len)
            },
        }
    };
}

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    layout!("one-byte", "a torrent of one byte", 16 << 10, &[(1, false)]),
    layout!("last-byte", "a last piece of one byte", 16 << 10, &[((48 << 10) + 1, false)]),
    layout!("odd-piece", "pieces of no round length", 25_000, &[(130_001, false)]),
    layout!("block-edge", "pieces of a block and a byte", 16_385, &[(81_925, false)]),
    layout!("long-piece", "a piece longer than all files", 1 << 20, &[(100_000, false), (77, false)]),
    layout!("tiny-files", "many files in one piece", 32 << 10, &[(100, false); 200]),
    layout!(
        "empty-files",
        "files of no bytes between others",
        16 << 10,
        &[(0, false), (40_000, false), (0, false), (0, false), (9_000, false), (0, false)]
    ),
    layout!(
        "pads",
        "pads to the end of each piece",
        32 << 10,
        &[(30_000, false), (2_768, true), (50_000, false), (15_536, true), (32_768, false), (7, false)]
    ),
    layout!(
        "odd-pads",
        "pads of a piece and more, two in a row",
        16 << 10,
        &[(10_000, false), (40_000, true), (16_384, true), (20_000, false), (1, true), (5, false)]
    ),
    Scenario { name: "start/all", what: "all data is there already", run: |s| start(s, 32, false) },
    Scenario { name: "start/half", what: "half the data is there already", run: |s| start(s, 16, false) },
    Scenario { name: "start/one-missing", what: "one piece is missing", run: |s| start(s, 31, false) },
    Scenario { name: "start/magnet-none", what: "a magnet and no data", run: |s| start(s, 0, true) },
    Scenario { name: "start/magnet-half", what: "a magnet and half the data", run: |s| start(s, 16, true) },
    Scenario { name: "start/magnet-all", what: "a magnet and all data", run: |s| start(s, 32, true) },
    Scenario {
        name: "start/partials",
        what: "blocks of an earlier run are not asked for again",
        run: partials,
    },
    Scenario { name: "select/shrink", what: "pieces unwanted in mid-transfer", run: shrink },
    Scenario { name: "select/nothing", what: "nothing is wanted", run: nothing },
    Scenario { name: "select/part-seed", what: "who has what it wants serves it", run: part_seed },
    Scenario { name: "order/sequential", what: "pieces in order when asked for", run: sequential },
    Scenario { name: "order/rarest", what: "the rarest piece goes first", run: rarest },
    Scenario { name: "stop/leech", what: "a leech stops and comes back", run: |s| stop(s, false, false) },
    Scenario { name: "stop/seed", what: "a seed stops and comes back", run: |s| stop(s, true, false) },
    Scenario {
        name: "stop/leech-killed",
        what: "a leech is killed and comes back",
        run: |s| stop(s, false, true),
    },
    Scenario {
        name: "stop/seed-killed",
        what: "a seed is killed and comes back",
        run: |s| stop(s, true, true),
    },
    Scenario { name: "remove/clean", what: "a removed torrent leaves nothing", run: removed },
    Scenario {
        name: "remove/magnet",
        what: "a magnet removed while its metadata comes",
        run: removed_magnet,
    },
    Scenario {
        name: "remove/add-again",
        what: "a torrent removed and added again at once",
        run: added_again,
    },
];

const PIECES: u32 = 32;

fn pair(setup: &Setup, content: &Rc<Content>, have: &Bitfield) -> (World, [(HostId, TorrentId); 2]) {
    let mut world = World::new(setup.seed, true);
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    let of_b = swarm::add(&mut world, b, content, Bitfield::all(content.pieces()), BY_HAND);
    let of_a = swarm::add(&mut world, a, content, have.clone(), BY_HAND);
    swarm::introduce(&mut world, a, of_a, b);
    (world, [(a, of_a), (b, of_b)])
}

fn content(setup: &Setup) -> Rc<Content> {
    Content::random(setup.seed, (PIECES as usize) << 14, 16 << 10, About::default())
}

fn completes(world: &mut World, (host, torrent): (HostId, TorrentId), secs: u64) -> Result<(), String> {
    let is_done = world.run_while(Duration::from_secs(secs), |w| swarm::is_complete(w, host, torrent));
    ensure(is_done, || format!("host {} did not complete in {secs} s", host.0))
}

/// It completes with the right bytes, and no block goes over a line twice.
fn layout(setup: &Setup, files: &[(usize, bool)], piece_len: u32) -> Result<Played, String> {
    let content = Content::folder(setup.seed, files, piece_len, About::default());
    let (mut world, [a, _]) = pair(setup, &content, &Bitfield::none(content.pieces()));
    completes(&mut world, a, 60)?;
    let held = content.held(&world.host(a.0).stored[&a.1].storage);
    ensure(held.is_all(), || "it is complete and not whole".to_owned())?;
    let waste = world.checkers().waste(a.0);
    let is_exact = waste.useless == 0 && waste.received <= content.data.len() as u64;
    ensure(is_exact, || format!("{} bytes, and {waste:?}", content.data.len()))?;
    played(world, Vec::new())
}

/// Data that is there already is not fetched again.
fn start(setup: &Setup, have: u32, is_magnet: bool) -> Result<Played, String> {
    let content = content(setup);
    let mut held = Bitfield::none(PIECES);
    // another part with each seed
    let from = u32::try_from(setup.seed % 32).unwrap_or(0);
    (0..have).for_each(|n| _ = held.set(PieceIndex((n + from) % PIECES)));
    let mut world = World::new(setup.seed, true);
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    swarm::add(&mut world, b, &content, Bitfield::all(PIECES), BY_HAND);
    let torrent = if is_magnet {
        let torrent = swarm::add_magnet(&mut world, a, &content, content.magnet(Vec::new()), BY_HAND);
        world.await_metadata_with(a, torrent, &content, held);
        torrent
    } else {
        swarm::add(&mut world, a, &content, held, BY_HAND)
    };
    swarm::introduce(&mut world, a, torrent, b);
    completes(&mut world, (a, torrent), 60)?;
    let received = world.checkers().waste(a).received;
    let due = u64::from(PIECES - have) << 14;
    ensure(received == due, || format!("{received} bytes were received, {due} were missing"))?;
    played(world, Vec::new())
}

/// A leech saves its partly received pieces and is killed; the next session asks for the missing blocks only.
fn partials(setup: &Setup) -> Result<Played, String> {
    let content = Content::random(setup.seed, 512 << 10, 256 << 10, About::default());
    let (mut world, [(a, of_a), (b, _)]) = pair(setup, &content, &Bitfield::none(2));
    world.host_mut(b).link.settings.rate = 100_000;
    // a piece and a part of one, or the part alone
    let got = |w: &World| w.host(a).engine.torrent_stats(of_a).map_or(0, |s| s.totals.downloaded);
    world.run_while(Duration::from_secs(20), |w| (60_000..200_000).contains(&(got(w) % (256 << 10))));
    world.command(a, Command::SavePartials(of_a));
    let saved = world.log().events(a).find_map(|(_, e)| match e {
        Event::Partials { partials, .. } => Some(partials.clone()),
        _ => None,
    });
    let saved: Vec<PartialPiece> = saved.unwrap_or_default();
    let blocks: u64 = saved.iter().map(|p| u64::from(p.blocks.count())).sum();
    ensure(blocks > 0, || "no partly received piece was saved".to_owned())?;
    let have = world.host(a).engine.have(of_a).cloned().unwrap_or_else(|| Bitfield::none(2));
    world.kill(a);
    world.run_for(Duration::from_secs(1));
    let late = home(&mut world, false);
    let source = TorrentSource::Metainfo(Box::new(content.metainfo.clone()));
    let add = AddTorrent {
        source,
        discovery: BY_HAND,
        is_paused: false,
        is_sequential: false,
        totals: Totals::default(),
    };
    world.command(late, Command::Add(Box::new(add)));
    let of_late = world.host(late).engine.torrents().next().expect("it was added");
    let lacking = u64::from(2 - have.count()) * (256 << 10) - blocks * (16 << 10);
    world.open_storage_with(late, of_late, &content, have, saved);
    swarm::introduce(&mut world, late, of_late, b);
    completes(&mut world, (late, of_late), 100)?;
    let received = world.checkers().waste(late).received;
    ensure(received == lacking, || format!("{received} bytes were received, {lacking} were missing"))?;
    played(world, vec![("blocks kept", blocks.to_string())])
}

/// Half the pieces are not wanted any more once the transfer runs: none of them is asked for from then on.
fn shrink(setup: &Setup) -> Result<Played, String> {
    let content = content(setup);
    let (mut world, [(a, of_a), (b, _)]) = pair(setup, &content, &Bitfield::none(PIECES));
    world.host_mut(b).link.settings.rate = 60_000;
    world.run_for(Duration::from_secs(2));
    let mut wanted = Bitfield::none(PIECES);
    (0..PIECES / 2).for_each(|p| _ = wanted.set(PieceIndex(p)));
    world.command(a, Command::SetWanted { torrent: of_a, wanted });
    let from = world.now();
    world.run_for(Duration::from_secs(20));
    let stats = world.host(a).engine.torrent_stats(of_a);
    ensure(stats.is_some_and(|s| s.left == Some(0)), || "the wanted half did not come".to_owned())?;
    let unwanted = world.log().traces(a).filter(|(at, _)| *at > from).map(|(_, t)| words(t)).find(|w| {
        let piece = w.strip_prefix("> request ").and_then(|r| r.split(' ').next()?.parse::<u32>().ok());
        piece.is_some_and(|p| p >= PIECES / 2)
    });
    ensure(unwanted.is_none(), || format!("{unwanted:?} of a piece nobody wants"))?;
    played(world, Vec::new())
}

fn nothing(setup: &Setup) -> Result<Played, String> {
    let content = content(setup);
    let mut world = World::new(setup.seed, true);
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    swarm::add(&mut world, b, &content, Bitfield::all(PIECES), BY_HAND);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(PIECES), BY_HAND);
    world.command(a, Command::SetWanted { torrent: of_a, wanted: Bitfield::none(PIECES) });
    swarm::introduce(&mut world, a, of_a, b);
    world.run_for(Duration::from_secs(60));
    let asked = world.log().traces(a).map(|(_, t)| words(t)).find(|w| w.starts_with("> request"));
    ensure(asked.is_none(), || format!("it asked: {asked:?}"))?;
    world.command(a, Command::SetWanted { torrent: of_a, wanted: Bitfield::all(PIECES) });
    swarm::introduce(&mut world, a, of_a, b);
    completes(&mut world, (a, of_a), 100)?;
    played(world, Vec::new())
}

/// A wants the first half and gets it from the seed, which goes. C gets that half from A alone.
fn part_seed(setup: &Setup) -> Result<Played, String> {
    let content = content(setup);
    let (mut world, [(a, of_a), (b, _)]) = pair(setup, &content, &Bitfield::none(PIECES));
    let mut half = Bitfield::none(PIECES);
    (0..PIECES / 2).for_each(|p| _ = half.set(PieceIndex(p)));
    world.command(a, Command::SetWanted { torrent: of_a, wanted: half.clone() });
    completes(&mut world, (a, of_a), 60)?;
    world.kill(b);
    let c = home(&mut world, false);
    let of_c = swarm::add(&mut world, c, &content, Bitfield::none(PIECES), BY_HAND);
    swarm::introduce(&mut world, c, of_c, a);
    world.run_for(Duration::from_secs(60));
    let have = world.host(c).engine.have(of_c).cloned();
    let is_half = have.as_ref().is_some_and(|have| !half.has_any_not_in(have));
    ensure(is_half, || format!("C has {have:?}"))?;
    played(world, Vec::new())
}

fn sequential(setup: &Setup) -> Result<Played, String> {
    let content = content(setup);
    let mut world = World::new(setup.seed, true);
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    swarm::add(&mut world, b, &content, Bitfield::all(PIECES), BY_HAND);
    let source = TorrentSource::Metainfo(Box::new(content.metainfo.clone()));
    let totals = Totals::default();
    let add = AddTorrent { source, discovery: BY_HAND, is_paused: false, is_sequential: true, totals };
    world.command(a, Command::Add(Box::new(add)));
    let of_a = world.host(a).engine.torrents().next().expect("it was added");
    world.open_storage(a, of_a, &content, Bitfield::none(PIECES), None);
    swarm::introduce(&mut world, a, of_a, b);
    completes(&mut world, (a, of_a), 60)?;
    let order: Vec<u32> = requests(&world, a);
    ensure(order.is_sorted(), || format!("pieces were asked for in the order {order:?}"))?;
    played(world, Vec::new())
}

/// The pieces a host asked for, in order.
fn requests(world: &World, host: HostId) -> Vec<u32> {
    let talk = world.log().traces(host).map(|(_, t)| words(t));
    talk.filter_map(|w| w.strip_prefix("> request ")?.split(' ').next()?.parse().ok()).collect()
}

/// Five peers have all pieces but one; that one only the sixth has. It is asked for among the first.
fn rarest(setup: &Setup) -> Result<Played, String> {
    let content = content(setup);
    let mut world = World::new(setup.seed, true);
    let rare = PieceIndex(u32::try_from(setup.seed % u64::from(PIECES)).unwrap_or(0));
    let a = home(&mut world, false);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(PIECES), BY_HAND);
    for n in 0..6 {
        let mut have = Bitfield::all(PIECES);
        if n < 5 {
            have.clear(rare);
        }
        let host = home(&mut world, false);
        world.host_mut(host).link.settings.rate = 30_000;
        swarm::add(&mut world, host, &content, have, BY_HAND);
        swarm::introduce(&mut world, a, of_a, host);
    }
    completes(&mut world, (a, of_a), 100)?;
    let place = requests(&world, a).iter().position(|p| *p == rare.0).unwrap_or(usize::MAX);
    ensure(place < PIECES as usize * 3 / 4, || format!("the rarest piece was request {place}"))?;
    played(world, vec![("place of the rarest", place.to_string())])
}

/// One side stops in mid-transfer, with or without a word, and comes back with what it had.
fn stop(setup: &Setup, is_seed: bool, is_killed: bool) -> Result<Played, String> {
    let content = content(setup);
    let (mut world, [(a, of_a), (b, of_b)]) = pair(setup, &content, &Bitfield::none(PIECES));
    world.host_mut(b).link.settings.rate = 60_000;
    world.run_for(Duration::from_secs(3));
    let (who, torrent) = if is_seed { (b, of_b) } else { (a, of_a) };
    let before = content.held(&world.host(a).stored[&of_a].storage).count();
    ensure((1..PIECES).contains(&before), || format!("{before} pieces had come"))?;
    if !is_killed {
        world.command(who, Command::Stop);
        world.run_for(Duration::from_secs(8));
        ensure(world.host(who).engine.is_stopped(), || "it did not stop in time".to_owned())?;
        let open = world.host(who).engine.peers(torrent).len();
        ensure(open == 0, || format!("{open} connections are open after the stop"))?;
    }
    world.kill(who);
    world.run_for(Duration::from_secs(30));
    world.restart(who);
    completes(&mut world, (a, of_a), 300)?;
    let waste = world.checkers().waste(a);
    let most = content.data.len() as u64 + (16 << 14);
    ensure(waste.received <= most, || format!("what it had was fetched again: {waste:?}"))?;
    played(world, Vec::new())
}

/// In mid-transfer a torrent is removed: no connection, no timer of its own, nobody is let in.
fn removed(setup: &Setup) -> Result<Played, String> {
    let content = content(setup);
    let (mut world, [(a, of_a), (b, _)]) = pair(setup, &content, &Bitfield::none(PIECES));
    world.host_mut(b).link.settings.rate = 60_000;
    world.run_for(Duration::from_secs(3));
    world.command(a, Command::Remove(of_a));
    world.mark(Mark::RemovedInTransfer);
    world.run_for(Duration::from_secs(10));
    let h = world.host(a);
    ensure(h.engine.torrents().count() == 0, || "it is still known".to_owned())?;
    let next = h.engine.next_timeout();
    ensure(next.is_none(), || format!("an engine without torrents wants to be woken at {next:?}"))?;
    let before = world.log().traces(a).count();
    let prober = world.add_bad_peer(&content, crate::bad_peer::Manner::default());
    world.bad_peer_dials(prober, a);
    world.run_for(Duration::from_secs(5));
    let seen = world.bad_peer(prober).pipes().next().map(|p| (p.bytes, p.gone.is_some()));
    ensure(seen == Some((0, true)), || format!("a stranger got {seen:?}"))?;
    ensure(world.log().traces(a).count() == before, || "messages pass still".to_owned())?;
    played(world, Vec::new())
}

fn removed_magnet(setup: &Setup) -> Result<Played, String> {
    let content = content(setup);
    let mut world = World::new(setup.seed, true);
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    swarm::add(&mut world, b, &content, Bitfield::all(PIECES), BY_HAND);
    for wait_ms in [0, 60, 200, 2_000] {
        let magnet = content.magnet(Vec::new());
        let torrent = swarm::add_magnet(&mut world, a, &content, magnet, BY_HAND);
        swarm::introduce(&mut world, a, torrent, b);
        world.run_for(Duration::from_millis(wait_ms));
        world.command(a, Command::Remove(torrent));
        world.run_for(Duration::from_secs(8));
        let left = world.host(a).engine.torrents().count();
        ensure(left == 0, || format!("{left} torrents are left after {wait_ms} ms"))?;
    }
    let torrent = swarm::add_magnet(&mut world, a, &content, content.magnet(Vec::new()), BY_HAND);
    swarm::introduce(&mut world, a, torrent, b);
    completes(&mut world, (a, torrent), 100)?;
    played(world, Vec::new())
}

/// Added again in the same moment: the old one and its connections do not get into the new one's way.
fn added_again(setup: &Setup) -> Result<Played, String> {
    let content = content(setup);
    let (mut world, [(a, mut of_a), (b, _)]) = pair(setup, &content, &Bitfield::none(PIECES));
    world.host_mut(b).link.settings.rate = 60_000;
    for _ in 0..3 {
        world.run_for(Duration::from_millis(1500));
        let have = content.held(&world.host(a).stored[&of_a].storage);
        world.command(a, Command::Remove(of_a));
        world.run_while(Duration::from_secs(10), |w| w.host(a).engine.torrents().count() == 0);
        of_a = swarm::add(&mut world, a, &content, have, BY_HAND);
        swarm::introduce(&mut world, a, of_a, b);
    }
    completes(&mut world, (a, of_a), 300)?;
    let held = content.held(&world.host(a).stored[&of_a].storage);
    ensure(held.is_all(), || "it is complete and not whole".to_owned())?;
    let spec = world.host(a).stored[&of_a].storage.spec().layout.piece_count();
    ensure(spec == PIECES, || "the storage is another one".to_owned())?;
    played(world, Vec::new())
}
