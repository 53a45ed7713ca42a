//! What trackers hear, when and how often: each event once, intervals kept, failures borne, families apart.

use super::{Played, Scenario, Setup, ensure, home, played};
use crate::host::{HostId, HostSettings};
use crate::swarm::{self, About, Content};
use crate::tracker::{Announced, Tracker, TrackerManner};
use crate::world::World;
use std::rc::Rc;
use unchoke_engine::input::Discovery;
use unchoke_engine::tracker::Families;
use unchoke_engine::{Command, Event, Settings, TorrentId};
use unchoke_wire::Bitfield;
use unchoke_wire::http_tracker::AnnounceEvent;
use unchoke_wire::time::{Duration, Instant};

macro_rules! scenario {
    ($name:literal, $what:literal, $run:expr) => {
        Scenario { name: concat!("tracker/", $name), what: $what, run: $run }
    };
}

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!("interval-440", "an interval of 440 s is kept", |s| interval(s, 440)),
    scenario!("interval-1200", "an interval of 1200 s is kept", |s| interval(s, 1200)),
    scenario!("interval-1800", "an interval of 1800 s is kept", |s| interval(s, 1800)),
    scenario!("interval-zero", "an interval of nothing is taken as a minute", |s| interval(s, 0)),
    scenario!("interval-week", "an interval of a week is taken as a day", week),
    scenario!("min-interval", "an impatient owner does not beat the least interval", min_interval),
    scenario!("retry", "a dead tracker is asked ever less often", retry),
    scenario!("back-again", "a tracker that comes back is used again", back_again),
    scenario!("pause-in-flight", "a pause while an announce is under way", pause_in_flight),
    scenario!("pause-resume", "pauses and resumes: one started and one stopped each", pause_resume),
    scenario!("remove-in-flight", "a removal while an announce is under way", remove_in_flight),
    scenario!("completed-once", "completion is told once, and not by who began complete", completed_once),
    scenario!("restart", "a host that was killed begins anew at its tracker", restart),
    scenario!("totals", "what is told of bytes is true and does not go back", totals),
    scenario!("garbage", "garbage at first, then an answer", |s| manner(s, TrackerManner::Garbage)),
    scenario!("failure", "a refusal at first, then an answer", |s| {
        manner(s, TrackerManner::Fails("not now".to_owned()))
    }),
    scenario!("warning", "a warning is told and its peers are used", warning),
    scenario!("first-of-tier", "one tracker of a tier is asked, not all", first_of_tier),
    scenario!("second-tier", "the second tier is asked once the first has failed", second_tier),
    scenario!("private-one", "a private torrent asks one tracker at a time", private_one),
    scenario!("v4-only", "a host of IPv4 on a tracker of both families", |s| families(s, true, false)),
    scenario!("v6-only", "a host of IPv6 on a tracker of both families", |s| families(s, false, true)),
    scenario!("both", "a host of both families tells a tracker over both", |s| families(s, true, true)),
    scenario!("replaced", "another tracker takes the place of the first in mid-transfer", replaced),
    scenario!("no-socket", "a host that nobody can reach over any family tells no tracker", no_socket),
    scenario!("many", "fifty torrents on one tracker", many),
];

const ONLY: Discovery = Discovery { trackers: true, dht: false, lsd: false, dial: true };
const PIECES: u32 = 8;

/// A tracker, a torrent on it of 128 KiB, and a seed.
struct Scene {
    world: World,
    tracker: usize,
    content: Rc<Content>,
    seed: HostId,
    of_seed: TorrentId,
}

fn url(world: &World, tracker: usize, seed: u64) -> String {
    let t = world.tracker(tracker);
    if seed.is_multiple_of(2) { t.http_url() } else { t.udp_url() }
}

fn torrent(setup: &Setup, trackers: Vec<Vec<String>>, is_private: bool) -> Rc<Content> {
    let about = About { trackers, is_private, ..About::default() };
    Content::random(setup.seed, (PIECES as usize) << 14, 16 << 10, about)
}

impl Scene {
    fn new(setup: &Setup) -> Self {
        Scene::with(setup, |_| {})
    }

    /// A scene whose tracker is like this.
    fn with(setup: &Setup, change: impl FnOnce(&mut Tracker)) -> Self {
        let mut world = World::new(setup.seed, true);
        let tracker = world.add_tracker(Tracker::new);
        change(world.tracker_mut(tracker));
        let content = torrent(setup, vec![vec![url(&world, tracker, setup.seed)]], false);
        let seed = home(&mut world, false);
        let of_seed = swarm::add(&mut world, seed, &content, Bitfield::all(PIECES), ONLY);
        Scene { world, tracker, content, seed, of_seed }
    }

    fn leech(&mut self) -> (HostId, TorrentId) {
        let host = home(&mut self.world, false);
        (host, swarm::add(&mut self.world, host, &self.content, Bitfield::none(PIECES), ONLY))
    }

    fn heard(&self, host: HostId) -> Vec<&Announced> {
        let addr = self.world.host(host).addr();
        self.world.tracker(self.tracker).heard.iter().filter(|a| a.addr == addr).collect()
    }

    fn count(&self, host: HostId, event: AnnounceEvent) -> usize {
        self.heard(host).iter().filter(|a| a.event == event).count()
    }

    fn completes(&mut self, host: HostId, torrent: TorrentId, secs: u64) -> Result<(), String> {
        let limit = Duration::from_secs(secs);
        let is_done = self.world.run_while(limit, |w| swarm::is_complete(w, host, torrent));
        ensure(is_done, || format!("host {} did not complete in {secs} s", host.0))
    }
}

/// Announces without an event come at the interval, which is a minute at least.
fn interval(setup: &Setup, asked_s: u32) -> Result<Played, String> {
    let mut s = Scene::with(setup, |t| t.interval_s = asked_s);
    let due = u64::from(asked_s).max(60);
    s.world.run_for(Duration::from_secs(due * 4 + due / 2));
    let at: Vec<Instant> = s.heard(s.seed).iter().map(|a| a.at).collect();
    ensure((4..=5).contains(&at.len()), || format!("{} announces in four and a half intervals", at.len()))?;
    for pair in at.windows(2) {
        let apart = pair[1].since(pair[0]).as_secs_f64();
        let is_kept = apart >= due as f64 * 0.999 && apart <= due as f64 * 1.25 + 30.0;
        ensure(is_kept, || format!("{apart:.1} s between announces, asked for {asked_s}"))?;
    }
    played(s.world, Vec::new())
}

fn week(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::with(setup, |t| t.interval_s = 7 * 24 * 3600);
    s.world.run_for(Duration::from_secs(5));
    s.world.command(s.seed, Command::Pause(s.of_seed));
    let next = s.world.log().events(s.seed).find_map(|(_, e)| match e {
        Event::TrackerReplied { next_in, .. } => Some(*next_in),
        _ => None,
    });
    let day = Duration::from_secs(24 * 3600);
    ensure(next.is_some_and(|n| n > day / 2 && n <= day + day / 8), || format!("asked again in {next:?}"))?;
    played(s.world, Vec::new())
}

/// The owner asks for an announce every three seconds for ten minutes; the tracker allows one in two minutes.
fn min_interval(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::with(&Setup { seed: setup.seed & !1, ..*setup }, |t| t.min_interval_s = Some(120));
    for _ in 0..200 {
        s.world.run_for(Duration::from_secs(3));
        s.world.command(s.seed, Command::Announce(s.of_seed));
    }
    let heard: Vec<Instant> = s.heard(s.seed).iter().map(|a| a.at).collect();
    ensure((3..=6).contains(&heard.len()), || format!("{} announces in ten minutes", heard.len()))?;
    let apart = heard.windows(2).map(|p| p[1].since(p[0])).min().unwrap_or(Duration::MAX);
    ensure(apart >= Duration::from_secs(119), || format!("two announces {apart:?} apart"))?;
    played(s.world, Vec::new())
}

/// A tracker that never answers: failures are told with growing waits, an hour at most.
fn retry(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.tracker_mut(s.tracker).manner = TrackerManner::Silent;
    s.world.run_for(Duration::from_secs(6 * 3600));
    let waits: Vec<Duration> = s
        .world
        .log()
        .events(s.seed)
        .filter_map(|(_, e)| match e {
            Event::TrackerFailed { next_in, .. } => *next_in,
            _ => None,
        })
        .collect();
    ensure((4..=40).contains(&waits.len()), || format!("{} failures in six hours: {waits:?}", waits.len()))?;
    let most = waits.iter().max().copied().unwrap_or_default();
    ensure(most <= Duration::from_secs(3600 + 600), || format!("a wait of {most:?}"))?;
    ensure(waits[0] < waits[waits.len() - 1], || format!("waits do not grow: {waits:?}"))?;
    played(s.world, Vec::new())
}

fn back_again(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.run_for(Duration::from_secs(2));
    s.world.tracker_mut(s.tracker).manner = TrackerManner::Silent;
    let (host, torrent) = s.leech();
    s.world.run_for(Duration::from_secs(90));
    ensure(!swarm::is_complete(&s.world, host, torrent), || "it found a peer without a tracker".to_owned())?;
    s.world.tracker_mut(s.tracker).manner = TrackerManner::Good;
    s.completes(host, torrent, 600)?;
    played(s.world, Vec::new())
}

/// The announce takes two seconds; the pause comes after one. The tracker must end up without the host.
fn pause_in_flight(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.tracker_mut(s.tracker).latency = Duration::from_secs(2);
    let (host, torrent) = s.leech();
    s.world.run_for(Duration::from_millis(1000));
    s.world.command(host, Command::Pause(torrent));
    s.world.run_for(Duration::from_secs(30));
    let (started, stopped) = (s.count(host, AnnounceEvent::Started), s.count(host, AnnounceEvent::Stopped));
    ensure(started <= 1 && stopped <= 1 && started <= stopped, || {
        format!("{started} started and {stopped} stopped")
    })?;
    s.world.tracker_mut(s.tracker).latency = Duration::from_millis(40);
    s.world.command(host, Command::Resume(torrent));
    s.completes(host, torrent, 60)?;
    let last = s.heard(host).iter().rev().map(|a| a.event).find(|e| *e != AnnounceEvent::None);
    ensure(last == Some(AnnounceEvent::Completed), || format!("the last event was {last:?}"))?;
    played(s.world, Vec::new())
}

fn pause_resume(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.run_for(Duration::from_secs(2));
    for _ in 0..3 {
        s.world.command(s.seed, Command::Pause(s.of_seed));
        s.world.run_for(Duration::from_secs(90));
        s.world.command(s.seed, Command::Resume(s.of_seed));
        s.world.run_for(Duration::from_secs(90));
    }
    let events: Vec<AnnounceEvent> =
        s.heard(s.seed).iter().map(|a| a.event).filter(|e| *e != AnnounceEvent::None).collect();
    let pair = [AnnounceEvent::Stopped, AnnounceEvent::Started];
    let due: Vec<AnnounceEvent> =
        core::iter::once(AnnounceEvent::Started).chain(pair.into_iter().cycle().take(6)).collect();
    ensure(events == due, || format!("the events were {events:?}"))?;
    played(s.world, Vec::new())
}

fn remove_in_flight(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.tracker_mut(s.tracker).latency = Duration::from_secs(3);
    let (host, torrent) = s.leech();
    s.world.run_for(Duration::from_millis(1500));
    s.world.command(host, Command::Remove(torrent));
    s.world.run_for(Duration::from_secs(20));
    let is_gone = s.world.log().events(host).any(|(_, e)| matches!(e, Event::Removed { .. }));
    ensure(is_gone && s.world.host(host).engine.torrents().count() == 0, || "it is still there".to_owned())?;
    let (started, stopped) = (s.count(host, AnnounceEvent::Started), s.count(host, AnnounceEvent::Stopped));
    ensure(started <= 1 && started <= stopped, || format!("{started} started and {stopped} stopped"))?;
    played(s.world, Vec::new())
}

fn completed_once(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.run_for(Duration::from_secs(1));
    let (host, torrent) = s.leech();
    s.completes(host, torrent, 60)?;
    s.world.run_for(Duration::from_secs(10));
    // pausing and resuming a complete torrent completes nothing
    s.world.command(host, Command::Pause(torrent));
    s.world.run_for(Duration::from_secs(10));
    s.world.command(host, Command::Resume(torrent));
    s.world.run_for(Duration::from_secs(4000));
    let (leech, seed) = (s.count(host, AnnounceEvent::Completed), s.count(s.seed, AnnounceEvent::Completed));
    ensure((leech, seed) == (1, 0), || format!("completed: {leech} by the leech, {seed} by the seed"))?;
    played(s.world, Vec::new())
}

/// Killed without a word: the tracker hears of a new session, under another peer id.
fn restart(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.run_for(Duration::from_secs(1));
    let (host, torrent) = s.leech();
    s.world.run_for(Duration::from_millis(300));
    s.world.kill(host);
    s.world.run_for(Duration::from_secs(5));
    s.world.restart(host);
    s.completes(host, torrent, 60)?;
    let started: Vec<_> = s.heard(host).into_iter().filter(|a| a.event == AnnounceEvent::Started).collect();
    let ids: std::collections::BTreeSet<_> = started.iter().map(|a| a.peer_id).collect();
    ensure(!started.is_empty() && ids.len() == started.len(), || {
        format!("{} started by {ids:?}", started.len())
    })?;
    played(s.world, Vec::new())
}

fn totals(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.tracker_mut(s.tracker).interval_s = 60;
    s.world.host_mut(s.seed).link.settings.rate = 2_000;
    s.world.run_for(Duration::from_secs(1));
    let (host, torrent) = s.leech();
    s.completes(host, torrent, 400)?;
    s.world.command(host, Command::Stop);
    s.world.run_for(Duration::from_secs(10));
    let len = s.content.data.len() as u64;
    let heard = s.heard(host);
    for pair in heard.windows(2) {
        let is_forward = pair[1].downloaded >= pair[0].downloaded && pair[1].left <= pair[0].left;
        ensure(is_forward, || format!("{:?} after {:?}", pair[1], pair[0]))?;
    }
    let ends = heard.first().zip(heard.last()).map(|(a, z)| (a.left, a.downloaded, z.left, z.downloaded));
    ensure(ends == Some((len, 0, 0, len)), || format!("left and downloaded at both ends: {ends:?}"))?;
    played(s.world, Vec::new())
}

fn manner(setup: &Setup, manner: TrackerManner) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    s.world.tracker_mut(s.tracker).manner = manner;
    let (host, torrent) = s.leech();
    s.world.run_for(Duration::from_secs(40));
    let failed = s.world.log().events(host).filter(|(_, e)| matches!(e, Event::TrackerFailed { .. })).count();
    ensure((1..=4).contains(&failed), || format!("{failed} failures were told in 40 s"))?;
    s.world.tracker_mut(s.tracker).manner = TrackerManner::Good;
    s.completes(host, torrent, 900)?;
    played(s.world, Vec::new())
}

fn warning(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(&Setup { seed: setup.seed & !1, ..*setup });
    s.world.run_for(Duration::from_secs(1));
    s.world.tracker_mut(s.tracker).manner = TrackerManner::Warns("upgrade <b>now</b>".to_owned());
    let (host, torrent) = s.leech();
    s.completes(host, torrent, 60)?;
    let told = s.world.log().events(host).any(
        |(_, e)| matches!(e, Event::TrackerReplied { warning: Some(w), .. } if w == "upgrade <b>now</b>"),
    );
    ensure(told, || "the warning was not told".to_owned())?;
    played(s.world, Vec::new())
}

/// Trackers in one tier or several, a seed that is known to all, and a leech that asks.
fn tiers(
    setup: &Setup,
    shape: &[usize],
    is_private: bool,
    bad: &[usize],
) -> (World, Vec<usize>, HostId, TorrentId) {
    let mut world = World::new(setup.seed, true);
    let all: Vec<usize> = (0..shape.iter().sum()).map(|_| world.add_tracker(Tracker::new)).collect();
    let mut urls = all.iter().map(|t| url(&world, *t, setup.seed));
    let trackers = shape.iter().map(|n| urls.by_ref().take(*n).collect()).collect();
    drop(urls);
    let content = torrent(setup, trackers, is_private);
    for t in &all {
        let one = torrent(setup, vec![vec![url(&world, *t, setup.seed)]], is_private);
        let host = home(&mut world, false);
        swarm::add(&mut world, host, &one, Bitfield::all(PIECES), ONLY);
    }
    world.run_for(Duration::from_secs(2));
    bad.iter().for_each(|t| world.tracker_mut(*t).manner = TrackerManner::Silent);
    let host = home(&mut world, false);
    let torrent = swarm::add(&mut world, host, &content, Bitfield::none(PIECES), ONLY);
    (world, all, host, torrent)
}

/// Which trackers heard of a host.
fn asked(world: &World, trackers: &[usize], host: HostId) -> Vec<usize> {
    let addr = world.host(host).addr();
    trackers.iter().copied().filter(|t| world.tracker(*t).heard.iter().any(|a| a.addr == addr)).collect()
}

fn first_of_tier(setup: &Setup) -> Result<Played, String> {
    let (mut world, all, host, torrent) = tiers(setup, &[4], false, &[]);
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, host, torrent));
    ensure(is_done, || "it did not complete".to_owned())?;
    world.run_for(Duration::from_secs(30));
    let asked = asked(&world, &all, host);
    ensure(asked.len() == 1, || format!("{asked:?} were asked"))?;
    played(world, vec![("tracker", format!("{asked:?}"))])
}

/// The trackers of the first tier are silent; later they answer again, and are asked before the second.
fn second_tier(setup: &Setup) -> Result<Played, String> {
    let (mut world, all, host, torrent) = tiers(setup, &[2, 1], false, &[0, 1]);
    world.tracker_mut(2).interval_s = 120;
    let is_done = world.run_while(Duration::from_secs(40), |w| swarm::is_complete(w, host, torrent));
    ensure(is_done, || "the second tier did not help within 40 s".to_owned())?;
    ensure(asked(&world, &all, host) == [2], || "a silent tracker heard something".to_owned())?;
    [0, 1].into_iter().for_each(|t| world.tracker_mut(t).manner = TrackerManner::Good);
    world.run_for(Duration::from_secs(3600));
    let later = asked(&world, &all, host);
    ensure(later.iter().any(|t| *t < 2), || format!("the first tier is not asked again: {later:?}"))?;
    played(world, Vec::new())
}

fn private_one(setup: &Setup) -> Result<Played, String> {
    let (mut world, all, host, torrent) = tiers(setup, &[1, 1, 1], true, &[0]);
    let is_done = world.run_while(Duration::from_secs(120), |w| swarm::is_complete(w, host, torrent));
    ensure(is_done, || "it did not complete".to_owned())?;
    world.run_for(Duration::from_secs(600));
    let asked = asked(&world, &all, host);
    ensure(asked == [1], || format!("{asked:?} heard of a private torrent, the first being silent"))?;
    played(world, Vec::new())
}

/// A tracker of both families under one name; who has one family is known in that one only.
fn families(setup: &Setup, v4: bool, v6: bool) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let t4 = world.add_tracker(Tracker::new);
    let ip6 = world.next_ip6();
    let t6 = world.add_tracker(|_| Tracker::new(ip6));
    for tracker in [t4, t6] {
        let ip = world.tracker(tracker).ip;
        world.add_name("both.example", ip);
    }
    let scheme = if setup.seed.is_multiple_of(2) { "http" } else { "udp" };
    let name = format!("{scheme}://both.example:{}/announce", crate::tracker::TRACKER_PORT);
    let content = torrent(setup, vec![vec![name]], false);
    let add = |world: &mut World, v4: bool, v6: bool, have: Bitfield| {
        let (a, b) = (world.next_ip(), world.next_ip6());
        let engine = Settings { dht: false, ..Settings::default() };
        let settings = HostSettings { engine, other_ip: (v4 && v6).then_some(b), ..HostSettings::default() };
        let host = world.add_host_at(if v4 { a } else { b }, settings);
        (host, swarm::add(world, host, &content, have, ONLY))
    };
    add(&mut world, true, true, Bitfield::all(PIECES));
    world.run_for(Duration::from_secs(3));
    let (host, torrent) = add(&mut world, v4, v6, Bitfield::none(PIECES));
    let is_done = world.run_while(Duration::from_secs(60), |w| swarm::is_complete(w, host, torrent));
    ensure(is_done, || "it did not complete".to_owned())?;
    world.run_for(Duration::from_secs(5));
    let ips = &world.host(host).all_ips;
    for (tracker, is_due) in [(t4, v4), (t6, v6)] {
        let heard = world.tracker(tracker).heard.iter().any(|a| ips.contains(&a.addr.ip()));
        ensure(heard == is_due, || format!("tracker {tracker} heard of it: {heard}, due: {is_due}"))?;
        let started = world
            .tracker(tracker)
            .heard
            .iter()
            .filter(|a| ips.contains(&a.addr.ip()) && a.event == AnnounceEvent::Started);
        let started = started.count();
        ensure(started == usize::from(is_due), || format!("started {started} times over one family"))?;
    }
    played(world, Vec::new())
}

/// Each tracker hears of the beginning and the end of its own time, the second of completion.
fn replaced(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    let second = s.world.add_tracker(Tracker::new);
    s.world.host_mut(s.seed).link.settings.rate = 20_000;
    s.world.run_for(Duration::from_secs(1));
    let (host, torrent) = s.leech();
    s.world.run_for(Duration::from_secs(3));
    ensure(!swarm::is_complete(&s.world, host, torrent), || "it is complete too early".to_owned())?;
    let tiers = vec![vec![url(&s.world, second, setup.seed)]];
    s.world.command(host, Command::SetTrackers { torrent, tiers });
    s.completes(host, torrent, 120)?;
    s.world.run_for(Duration::from_secs(20));
    s.world.command(host, Command::Pause(torrent));
    s.world.run_for(Duration::from_secs(20));
    let addr = s.world.host(host).addr();
    for (tracker, due) in [(s.tracker, [1, 0, 1]), (second, [1, 1, 1])] {
        let heard = &s.world.tracker(tracker).heard;
        let events = [AnnounceEvent::Started, AnnounceEvent::Completed, AnnounceEvent::Stopped];
        let count = |event| heard.iter().filter(|a| a.addr == addr && a.event == event).count();
        let told = events.map(count);
        ensure(told == due, || {
            format!("tracker {tracker} was told of starts, completions and stops {told:?}, due are {due:?}")
        })?;
    }
    played(s.world, Vec::new())
}

/// Neither at the start nor in an hour, nor when its owner asks; a peer that is named is used all the same.
fn no_socket(setup: &Setup) -> Result<Played, String> {
    let mut s = Scene::new(setup);
    let families = Families { v4: false, v6: false };
    let engine = Settings { dht: false, families, ..Settings::default() };
    let host = s.world.add_host(HostSettings { engine, ..HostSettings::default() });
    let torrent = swarm::add(&mut s.world, host, &s.content, Bitfield::none(PIECES), ONLY);
    s.world.run_for(Duration::from_secs(3600));
    s.world.command(host, Command::Announce(torrent));
    swarm::introduce(&mut s.world, host, torrent, s.seed);
    s.completes(host, torrent, 60)?;
    s.world.command(host, Command::Pause(torrent));
    s.world.run_for(Duration::from_secs(60));
    let heard = s.heard(host).len();
    ensure(heard == 0, || format!("{heard} announces of a host without sockets"))?;
    let failed = s.world.log().events(host).filter(|(_, e)| matches!(e, Event::TrackerFailed { .. })).count();
    ensure(failed == 0, || format!("{failed} failures of a tracker that was not asked"))?;
    played(s.world, Vec::new())
}

/// Fifty torrents added at once: each is announced once, all complete.
fn many(setup: &Setup) -> Result<Played, String> {
    let mut world = World::new(setup.seed, true);
    let tracker = world.add_tracker(Tracker::new);
    let trackers = vec![vec![url(&world, tracker, setup.seed)]];
    let (a, b) = (home(&mut world, false), home(&mut world, false));
    let mut torrents = Vec::new();
    for n in 0..50 {
        let about = About { trackers: trackers.clone(), ..About::default() };
        let content = Content::random(setup.seed * 50 + n, 16 << 10, 16 << 10, about);
        swarm::add(&mut world, b, &content, Bitfield::all(1), ONLY);
        torrents.push((swarm::add(&mut world, a, &content, Bitfield::none(1), ONLY), content.hash()));
    }
    let is_done = world
        .run_while(Duration::from_secs(400), |w| torrents.iter().all(|(t, _)| swarm::is_complete(w, a, *t)));
    ensure(is_done, || "not every torrent completed".to_owned())?;
    let addr = world.host(a).addr();
    for (_, hash) in &torrents {
        let heard = world.tracker(tracker).heard.iter().filter(|h| h.addr == addr && h.hash == *hash);
        let started = heard.filter(|h| h.event == AnnounceEvent::Started).count();
        ensure(started == 1, || format!("a torrent was started {started} times"))?;
    }
    played(world, Vec::new())
}
