//! What a torrent's time is counted as, whatever its owner and its clock do.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::host::HostId;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use unchoke_engine::input::Times;
use unchoke_engine::{Command, TorrentId};
use unchoke_wire::Bitfield;
use unchoke_wire::time::Duration;

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "clocks/life",
    what: "time of a torrent that gets, rests, is checked and seeds",
    run: life,
}];

const PIECES: u32 = 16;

fn times(world: &World, host: HostId, torrent: TorrentId) -> Times {
    world.host(host).engine.torrent_stats(torrent).map(|s| s.totals.times).unwrap_or_default()
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Whether times are these, but for what a run takes to notice.
fn is_near(at: Times, due: Times) -> bool {
    let pairs = [(at.active, due.active), (at.finished, due.finished), (at.seeding, due.seeding)];
    pairs.into_iter().all(|(a, b)| a.abs_diff(b) < Duration::from_millis(500))
}

/// Times grow by what was done, and by nothing else.
fn life(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, (PIECES as usize) << 14, 16 << 10, About::default());
    let seed = home(&mut world, false);
    swarm::add(&mut world, seed, &content, Bitfield::all(PIECES), BY_HAND);
    let host = home(&mut world, false);
    let torrent = swarm::add(&mut world, host, &content, Bitfield::none(PIECES), BY_HAND);
    // a seed has connections, which keep the engine's time going
    let begin = world.now();
    world.run_for(secs(30));
    swarm::introduce(&mut world, host, torrent, seed);
    let is_done = world.run_while(secs(120), |w| swarm::is_complete(w, host, torrent));
    ensure(is_done, || "it did not complete".to_owned())?;
    let (leeching, done_at) = (world.now().since(begin), world.now());
    let at = times(&world, host, torrent);
    ensure(is_near(at, Times { active: leeching, ..Times::default() }), || {
        format!("{at:?} after {leeching:?} of leeching")
    })?;
    world.run_for(secs(40));
    world.command(host, Command::Pause(torrent));
    let seeding = world.now().since(done_at);
    let at = times(&world, host, torrent);
    let due = Times { active: leeching + seeding, finished: seeding, seeding };
    ensure(is_near(at, due), || format!("{at:?} when paused, due are {due:?}"))?;
    world.run_for(secs(1000));
    world.command(host, Command::Resume(torrent));
    let at = times(&world, host, torrent);
    ensure(is_near(at, due), || format!("{at:?} after a pause, due are {due:?}"))?;
    // its files are looked at: it is active, and what it has is not known
    world.command(host, Command::CloseStorage(torrent));
    world.run_for(secs(20));
    let mut have = Bitfield::all(PIECES);
    have.clear(unchoke_wire::PieceIndex(3));
    world.open_storage(host, torrent, &content, have, None);
    let at = times(&world, host, torrent);
    let due = Times { active: due.active + secs(20), ..due };
    ensure(is_near(at, due), || format!("{at:?} after a check, due are {due:?}"))?;
    // the piece that was bad comes again
    let again = world.now();
    swarm::introduce(&mut world, host, torrent, seed);
    let is_done = world.run_while(secs(300), |w| swarm::is_complete(w, host, torrent));
    ensure(is_done, || "it did not complete again".to_owned())?;
    let took = world.now().since(again);
    world.run_for(secs(10));
    world.command(host, Command::Pause(torrent));
    let at = times(&world, host, torrent);
    let due = Times {
        active: due.active + took + secs(10),
        finished: due.finished + secs(10),
        seeding: due.seeding + secs(10),
    };
    ensure(is_near(at, due), || format!("{at:?} at the end, due are {due:?}"))?;
    played(world, vec![("active", format!("{:?}", at.active)), ("seeding", format!("{:?}", at.seeding))])
}
