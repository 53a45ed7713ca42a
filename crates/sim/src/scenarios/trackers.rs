//! Swarms that find themselves by trackers, and by peer exchange.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::host::HostSettings;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::tracker::{PeerFormat, Tracker, TrackerManner};
use crate::world::World;
use unchoke_engine::input::{Discovery, PeerSource};
use unchoke_engine::{Command, Event, Settings};
use unchoke_wire::Bitfield;
use unchoke_wire::http_tracker::AnnounceEvent;
use unchoke_wire::time::Duration;

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "tracker-http", what: "a swarm of an HTTP tracker", run: http },
    Scenario { name: "tracker-udp", what: "a swarm of a UDP tracker", run: udp },
    Scenario { name: "tracker-failover", what: "bad trackers before a good one", run: failover },
    Scenario { name: "pex", what: "peers found by peer exchange alone", run: pex },
];

const ONLY_TRACKERS: Discovery = Discovery { trackers: true, dht: false, lsd: false, dial: true };

fn by_tracker(setup: &Setup, format: PeerFormat, url: fn(&Tracker) -> String) -> Result<Played, String> {
    let n = setup.peers.unwrap_or(8).max(2);
    let mut world = World::new(setup.seed, true);
    let tracker = world.add_tracker(Tracker::new);
    world.tracker_mut(tracker).format = format;
    let trackers = vec![vec![url(world.tracker(tracker))]];
    let content = Content::random(setup.seed, 1 << 20, 32 << 10, About { trackers, ..About::default() });
    let mut members = Vec::new();
    for i in 0..n {
        let host = home(&mut world, false);
        let have = if i == 0 { Bitfield::all(32) } else { Bitfield::none(32) };
        members.push((host, swarm::add(&mut world, host, &content, have, ONLY_TRACKERS)));
        world.run_for(Duration::from_millis(300));
    }
    let is_done = world
        .run_while(Duration::from_secs(200), |w| members.iter().all(|(h, t)| swarm::is_complete(w, *h, *t)));
    ensure(is_done, || "not everybody completed".to_owned())?;
    for (host, _) in &members {
        world.command(*host, Command::Stop);
    }
    world.run_for(Duration::from_secs(10));
    for (host, _) in &members {
        let is_stopped = world.host(*host).engine.is_stopped();
        ensure(is_stopped, || format!("host {} is not stopped", host.0))?;
        let addr = world.host(*host).addr();
        let heard: Vec<_> = world.tracker(tracker).heard.iter().filter(|a| a.addr == addr).collect();
        let count = |e| heard.iter().filter(|a| a.event == e).count();
        let is_seed = *host == members[0].0;
        let got = [AnnounceEvent::Started, AnnounceEvent::Completed, AnnounceEvent::Stopped].map(count);
        let due = [1, usize::from(!is_seed), 1];
        ensure(got == due, || format!("host {} told started, completed, stopped {got:?} times", host.0))?;
        let ids: std::collections::BTreeSet<_> = heard.iter().map(|a| a.peer_id).collect();
        ensure(ids.len() == 1, || format!("host {} used {} peer ids", host.0, ids.len()))?;
        let last = heard.last().map(|a| (a.left, a.downloaded >= if is_seed { 0 } else { 1 << 20 }));
        ensure(last == Some((0, true)), || format!("host {} ended with {last:?}", host.0))?;
    }
    played(world, Vec::new())
}

fn http(setup: &Setup) -> Result<Played, String> {
    let format = if setup.seed.is_multiple_of(2) { PeerFormat::Compact } else { PeerFormat::Dictionaries };
    by_tracker(setup, format, Tracker::http_url)
}

fn udp(setup: &Setup) -> Result<Played, String> {
    by_tracker(setup, PeerFormat::Compact, Tracker::udp_url)
}

fn failover(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let manners = [
        TrackerManner::Silent,
        TrackerManner::Garbage,
        TrackerManner::Fails("not registered here".to_owned()),
        TrackerManner::Warns("be nice".to_owned()),
    ];
    let mut tiers = vec![vec!["http://no-such-name.example/announce".to_owned()]];
    for (i, manner) in manners.into_iter().enumerate() {
        let tracker = world.add_tracker(Tracker::new);
        world.tracker_mut(tracker).manner = manner;
        let t = world.tracker(tracker);
        tiers.push(vec![if (i % 2 == 0) == setup.seed.is_multiple_of(2) {
            t.udp_url()
        } else {
            t.http_url()
        }]);
    }
    // a warning goes over HTTP only
    let last = world.tracker(3).http_url();
    tiers.pop();
    tiers.push(vec![last]);
    let content =
        Content::random(setup.seed, 1 << 18, 32 << 10, About { trackers: tiers, ..About::default() });
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    swarm::add(&mut world, b, &content, Bitfield::all(8), ONLY_TRACKERS);
    world.run_for(Duration::from_secs(30));
    let of_a = swarm::add(&mut world, a, &content, Bitfield::none(8), ONLY_TRACKERS);
    let begin = world.now();
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, a, of_a));
    ensure(is_done, || "A did not complete".to_owned())?;
    let took = world.now().since(begin);
    let warned = world
        .log()
        .events(a)
        .any(|(_, e)| matches!(e, Event::TrackerReplied { warning: Some(w), .. } if w == "be nice"));
    ensure(warned, || "the warning was not told".to_owned())?;
    played(world, vec![("complete in", format!("{took:?}"))])
}

/// A chain: everybody is told of one other peer, the rest is peer exchange.
fn pex(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let content = Content::random(setup.seed, 1 << 20, 32 << 10, About::default());
    let mut members = Vec::new();
    for i in 0..6 {
        let engine = Settings { dht: false, upload_limit: Some(20_000), ..Settings::default() };
        let host = world.add_host(HostSettings { engine, ..HostSettings::default() });
        let have = if i == 0 { Bitfield::all(32) } else { Bitfield::none(32) };
        let torrent = swarm::add(&mut world, host, &content, have, BY_HAND);
        if let Some((before, _)) = members.last() {
            swarm::introduce(&mut world, host, torrent, *before);
        }
        members.push((host, torrent));
    }
    let is_done = world.run_while(Duration::from_secs(400), |w| {
        members.iter().all(|(h, t)| w.host(*h).engine.peers(*t).len() >= 4)
    });
    ensure(is_done, || "peer exchange did not bring the peers together".to_owned())?;
    let found = members.iter().filter(|(h, _)| {
        let is_pex =
            |e: &Event| matches!(e, Event::PeersFound { source: PeerSource::Pex, new, .. } if *new > 0);
        world.log().events(*h).any(|(_, e)| is_pex(e))
    });
    let found = found.count();
    ensure(found >= 4, || format!("{found} hosts found peers by exchange"))?;
    played(world, Vec::new())
}
