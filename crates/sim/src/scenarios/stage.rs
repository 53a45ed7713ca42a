//! A swarm for scenarios that go by a plan of faults: a few seeds and leeches on one tracker and one DHT. Faults first,
//! and nothing may be broken; then nothing goes wrong any more, and everybody who did no wrong must complete.

use super::{Played, Setup, ensure, played};
use crate::fault::{FaultKind, FaultPlan, Profile};
use crate::host::{HostId, HostSettings};
use crate::link::LinkSettings;
use crate::swarm::{self, About, Content};
use crate::tracker::Tracker;
use crate::world::World;
use rand::RngExt;
use std::rc::Rc;
use unchoke_engine::input::Discovery;
use unchoke_engine::{Event, Settings, TorrentId};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, HostPort};

/// What a swarm is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Hosts that have everything.
    pub(super) seeds: usize,
    /// Hosts in all, unless the setup says it.
    pub(super) hosts: usize,
    /// Pieces of 16 KiB.
    pub(super) pieces: u32,
    /// Bytes a second on the lines of the seeds.
    pub(super) seed_rate: u64,
    /// How peers are found.
    pub(super) discovery: Discovery,
    /// Whether the tracker is asked by a name, over HTTP; otherwise by its address, over UDP.
    pub(super) has_named_tracker: bool,
}

impl Default for Shape {
    /// Two seeds and four leeches that have half a MiB in six seconds if nothing goes wrong.
    fn default() -> Self {
        Shape {
            seeds: 2,
            hosts: 6,
            pieces: 32,
            seed_rate: 60_000,
            discovery: Discovery::default(),
            has_named_tracker: false,
        }
    }
}

/// The name of the tracker.
const TRACKER: &str = "tracker.example";
/// Kinds of faults that make who has them spoil blocks: it may be banned, and need not complete.
const SPOILING: [FaultKind; 2] = [FaultKind::BitRot, FaultKind::Corrupting];

/// A swarm on a tracker.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) content: Rc<Content>,
    pub(super) members: Vec<(HostId, TorrentId)>,
    pub(super) tracker: usize,
    pub(super) seeds: usize,
    setup: Setup,
}

impl Stage {
    /// Everybody is there and has been added; nothing has passed yet.
    pub(super) fn new(setup: &Setup, shape: &Shape) -> Self {
        let mut world = World::new(setup.seed, true);
        let tracker = world.add_tracker(Tracker::new);
        world.tracker_mut(tracker).interval_s = 60;
        let ip = world.tracker(tracker).ip;
        world.add_name(TRACKER, ip);
        let url = world.tracker(tracker).udp_url();
        let named = format!("http://{TRACKER}:{}/announce", crate::tracker::TRACKER_PORT);
        let trackers = vec![vec![if shape.has_named_tracker { named } else { url }]];
        let first = world.next_ip().to_string();
        let nodes = vec![HostPort::new(&first, crate::host::PORT).expect("an address and a port")];
        let about = About { trackers, nodes: nodes.clone(), is_private: false };
        let len = (shape.pieces as usize) << 14;
        let content = Content::random(setup.seed, len, 16 << 10, about);
        let mut members = Vec::new();
        let hosts = setup.peers.unwrap_or(shape.hosts).max(shape.seeds + 1);
        for i in 0..hosts {
            let is_seed = i < shape.seeds;
            let rng = world.rng();
            let link = LinkSettings {
                latency: Duration::from_micros(rng.random_range(5_000..40_000)),
                rate: if is_seed { shape.seed_rate } else { rng.random_range(200_000..2_000_000) },
                ..LinkSettings::default()
            };
            let engine = Settings { dht: shape.discovery.dht, ..Settings::default() };
            let bootstrap = nodes.clone();
            let host = world.add_host(HostSettings { link, engine, bootstrap, ..HostSettings::default() });
            let have = if is_seed { Bitfield::all(shape.pieces) } else { Bitfield::none(shape.pieces) };
            members.push((host, swarm::add(&mut world, host, &content, have, shape.discovery)));
        }
        Stage { world, content, members, tracker, seeds: shape.seeds, setup: *setup }
    }

    /// Draws a plan and plays it to its end. Seeds never spoil what they send: nobody could complete.
    pub(super) fn plan(&mut self, profile: &Profile<'_>) {
        let mut plan = FaultPlan::draw(self.setup.seed, profile, self.members.len(), 1);
        for fault in plan.faults.iter_mut().filter(|f| SPOILING.contains(&f.kind)) {
            fault.whom = self.seeds;
        }
        self.play(plan);
    }

    /// Plays a plan to its end.
    pub(super) fn play(&mut self, plan: FaultPlan) {
        let len = plan.len();
        self.world.set_plan(plan, self.setup.faults);
        self.world.run_for(len + Duration::from_millis(1));
    }

    /// Whether this host spoilt blocks by plan.
    fn has_spoilt(&self, host: HostId) -> bool {
        self.world.plan().faults.iter().any(|f| SPOILING.contains(&f.kind) && f.whom == host.0)
    }

    /// Whether everybody who did no wrong is complete.
    pub(super) fn is_over(&self) -> bool {
        let mut honest = self.members.iter().filter(|(h, _)| !self.has_spoilt(*h));
        honest.all(|(h, t)| swarm::is_complete(&self.world, *h, *t))
    }

    /// How many leeches are complete.
    pub(super) fn done(&self) -> usize {
        let leeches = self.members.iter().skip(self.seeds);
        leeches.filter(|(h, t)| swarm::is_complete(&self.world, *h, *t)).count()
    }

    /// How often an event was told that is like this, by host.
    pub(super) fn told(&self, host: HostId, like: impl Fn(&Event) -> bool) -> usize {
        self.world.log().events(host).filter(|(_, e)| like(e)).count()
    }

    /// Nothing goes wrong any more: everybody who did no wrong completes in time with the right bytes. Owners of
    /// torrents that stopped on a disk try again.
    pub(super) fn completes(mut self, limit: Duration) -> Result<Played, String> {
        self.world.verdict().map_err(|e| self.with_plan(&e))?;
        let begin = self.world.now();
        while !self.is_over() && self.world.now().since(begin) < limit {
            self.world.run_for(Duration::from_millis(500));
            self.members.clone().into_iter().for_each(|(host, _)| self.world.resume_failed(host));
        }
        let took = self.world.now().since(begin);
        ensure(self.is_over(), || self.with_plan(&self.laggards()))?;
        for (host, torrent) in self.members.iter().filter(|(h, _)| !self.has_spoilt(*h)) {
            let stored = &self.world.host(*host).stored[torrent];
            let is_whole = self.content.held(&stored.storage).is_all();
            ensure(is_whole, || self.with_plan(&format!("host {} is complete and not whole", host.0)))?;
        }
        let failed: usize =
            self.members.iter().map(|(h, _)| self.told(*h, |e| matches!(e, Event::PieceFailed { .. }))).sum();
        let spoils = self.world.plan().faults.iter().any(|f| SPOILING.contains(&f.kind));
        ensure(failed == 0 || spoils, || {
            self.with_plan(&format!("{failed} pieces failed their check and nobody spoilt any"))
        })?;
        let plan = self.with_plan("");
        let figures = vec![
            ("faults", self.world.plan().faults.len().to_string()),
            ("complete after them", format!("{took:?}")),
        ];
        played(self.world, figures).map_err(|e| format!("{e}{plan}"))
    }

    /// What did not hold, and the plan under which it did not.
    pub(super) fn with_plan(&self, what: &str) -> String {
        format!("{what}\nfaults by plan:\n{}", self.world.plan())
    }

    fn laggards(&self) -> String {
        let late = self.members.iter().filter(|(h, t)| !swarm::is_complete(&self.world, *h, *t));
        let lines = late.map(|(h, t)| {
            let stats = self.world.host(*h).engine.torrent_stats(*t);
            let peers = self.world.host(*h).engine.peers(*t);
            let peers: Vec<String> = peers.iter().map(|p| format!("    {p:?}")).collect();
            format!("  host {}: {stats:?}\n{}", h.0, peers.join("\n"))
        });
        format!("not everybody completed\n{}", lines.collect::<Vec<_>>().join("\n"))
    }
}
