//! Long paths, limits and NATs.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::host::HostSettings;
use crate::link::LinkSettings;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::tracker::Tracker;
use crate::world::World;
use unchoke_engine::input::Discovery;
use unchoke_engine::{Command, Settings};
use unchoke_wire::Bitfield;
use unchoke_wire::time::Duration;

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "long-path", what: "a round trip of 200 ms is filled", run: long_path },
    Scenario { name: "rate-limit", what: "limits of both directions hold", run: rate_limit },
    Scenario { name: "nat", what: "hosts nobody can dial complete", run: nat },
];

/// 200 ms there and back at 100 Mbit/s: the pipe is filled.
fn long_path(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, false);
    let rate = 12_500_000;
    let link = LinkSettings { latency: Duration::from_millis(50), rate, ..LinkSettings::default() };
    let engine = Settings { dht: false, ..Settings::default() };
    let settings = || HostSettings { link: link.clone(), engine: engine.clone(), ..HostSettings::default() };
    let (a, b) = (world.add_host(settings()), world.add_host(settings()));
    let len = 32 << 20;
    let content = Content::random(setup.seed, len, 256 << 10, About::default());
    swarm::add(&mut world, b, &content, Bitfield::all(content.pieces()), BY_HAND);
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(content.pieces()), BY_HAND);
    let begin = world.now();
    swarm::introduce(&mut world, a, of_a, b);
    let is_done = world.run_while(Duration::from_secs(120), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete".to_owned())?;
    let took = world.now().since(begin).as_secs_f64();
    let least = len as f64 / rate as f64;
    ensure(took < least * 2.0, || format!("{took:.1} s where the line allows {least:.1} s"))?;
    played(world, vec![("share of the line", format!("{:.0} %", least / took * 100.0))])
}

fn rate_limit(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, false);
    let content = Content::random(setup.seed, 2 << 20, 64 << 10, About::default());
    let limits = [(Some(100_000), None), (None, Some(100_000))];
    for (up, down) in limits {
        let engine = |upload_limit, download_limit| Settings {
            dht: false,
            pex: false,
            upload_limit,
            download_limit,
            ..Settings::default()
        };
        let b = world.add_host(HostSettings { engine: engine(up, None), ..HostSettings::default() });
        let a = world.add_host(HostSettings { engine: engine(None, down), ..HostSettings::default() });
        swarm::add(&mut world, b, &content, Bitfield::all(32), BY_HAND);
        let of_a = swarm::add(&mut world, a, &content, Bitfield::none(32), BY_HAND);
        swarm::introduce(&mut world, a, of_a, b);
        let begin = world.now();
        world.run_for(Duration::from_secs(10));
        let got = world.host(a).engine.torrent_stats(of_a).map_or(0, |s| s.totals.downloaded);
        ensure((700_000..=1_150_000).contains(&got), || {
            format!("{got} bytes in 10 s under limits of {up:?} up and {down:?} down")
        })?;
        for host in [a, b] {
            world.command(host, Command::SetLimits { download: None, upload: None });
        }
        let is_done = world.run_while(Duration::from_secs(10), |w| swarm::is_complete(w, a, of_a));
        let took = world.now().since(begin);
        ensure(is_done, || format!("not complete {took:?} after the start, without limits"))?;
    }
    played(world, Vec::new())
}

/// Only the seed can be dialled.
fn nat(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, false);
    let tracker = world.add_tracker(Tracker::new);
    let trackers = vec![vec![world.tracker(tracker).http_url()]];
    let content = Content::random(setup.seed, 1 << 20, 32 << 10, About { trackers, ..About::default() });
    let seed = home(&mut world, false);
    let mut members =
        vec![(seed, swarm::add(&mut world, seed, &content, Bitfield::all(32), Discovery::default()))];
    for _ in 0..setup.peers.unwrap_or(8) {
        let host = home(&mut world, false);
        world.host_mut(host).link.settings.is_behind_nat = true;
        members
            .push((host, swarm::add(&mut world, host, &content, Bitfield::none(32), Discovery::default())));
    }
    let is_done = world
        .run_while(Duration::from_secs(200), |w| members.iter().all(|(h, t)| swarm::is_complete(w, *h, *t)));
    ensure(is_done, || "not everybody completed".to_owned())?;
    played(world, Vec::new())
}
