//! A swarm under faults of every kind. In the safety phase everything may go wrong and nothing may be broken; then the
//! swarm is healed and everybody must complete in time.

use super::{Played, Scenario, Setup, ensure, home_link, played};
use crate::disk::DiskSettings;
use crate::host::{HostId, HostSettings};
use crate::swarm::{self, About, Content};
use crate::tracker::Tracker;
use crate::world::World;
use rand::RngExt;
use std::rc::Rc;
use unchoke_engine::input::Discovery;
use unchoke_engine::{Command, Settings, TorrentId};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, HostPort};

/// The scenarios of this file.
pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "swarm",
    what: "a swarm under faults of every kind, then healed (--peers, 12)",
    run: swarm,
}];

/// How long faults last.
const SAFETY: Duration = Duration::from_secs(40);
/// A peer that failed often is dialled again after four minutes at the latest, or when a tracker names it again.
const PATIENCE: Duration = Duration::from_secs(600);

/// Useless block bytes of a thousand: stalls make peers ask others, and 64 blocks in all make an end-game of much of it.
const WASTE_MAX: u64 = 250;

/// Which faults a run has, each on or off by its seed.
#[derive(Debug)]
struct Mix {
    loss: bool,
    resets: bool,
    stalls: bool,
    churn: bool,
    full_disks: bool,
    corruption: bool,
    nats: bool,
    has_tracker: bool,
}

struct Member {
    host: HostId,
    torrent: TorrentId,
    is_corrupting: bool,
    is_seed: bool,
    back_at: Option<unchoke_wire::time::Instant>,
}

struct Swarm {
    world: World,
    content: Rc<Content>,
    members: Vec<Member>,
    mix: Mix,
    nodes: Vec<HostPort>,
}

fn swarm(setup: &Setup) -> Result<Played, String> {
    let n = setup.peers.unwrap_or(12).max(3);
    let mut s = Swarm::new(setup.seed, n);
    s.safety();
    s.world.verdict()?;
    s.heal();
    let begin = s.world.now();
    // every leech needs the content once; the slowest line carries a tenth of it at worst
    let transfer = Duration::from_secs(s.content.data.len() as u64 * 10 / 1_000_000 + 1);
    let limit = PATIENCE + transfer;
    let mut waited = Duration::ZERO;
    while waited < limit && !s.is_over() {
        s.world.run_for(Duration::from_secs(1));
        s.revive();
        waited = s.world.now().since(begin);
    }
    let mix = format!("{:?}", s.mix);
    ensure(s.is_over(), || s.laggards(&mix))?;
    for m in s.members.iter().filter(|m| !m.is_corrupting) {
        let stored = &s.world.host(m.host).stored[&m.torrent];
        let is_whole = s.content.held(&stored.storage).is_all();
        ensure(is_whole, || format!("host {} is complete and not whole", m.host.0))?;
    }
    let waste = s.members.iter().map(|m| s.world.checkers().waste(m.host));
    let (received, useless) = waste.fold((0, 0), |(r, u), w| (r + w.received, u + w.useless));
    let per_mille = useless * 1000 / received.max(1);
    ensure(per_mille <= WASTE_MAX, || format!("{per_mille} of 1000 block bytes were useless; {mix}"))?;
    let figures = vec![("healed in", format!("{waited:?}")), ("waste per mille", per_mille.to_string())];
    played(s.world, figures)
}

impl Swarm {
    fn new(seed: u64, n: usize) -> Self {
        let mut world = World::new(seed, false);
        let mut on = || world.rng().random_bool(0.5);
        let mix = Mix {
            loss: on(),
            resets: on(),
            stalls: on(),
            churn: on(),
            full_disks: on(),
            corruption: on(),
            nats: on(),
            has_tracker: on(),
        };
        let tracker = world.add_tracker(Tracker::new);
        world.tracker_mut(tracker).interval_s = 60;
        let trackers =
            if mix.has_tracker { vec![vec![world.tracker(tracker).http_url()]] } else { Vec::new() };
        let host = world.next_ip().to_string();
        let nodes = vec![HostPort::new(&host, 6881).expect("an address and a port")];
        let about = About { trackers, nodes: nodes.clone(), is_private: false };
        let content = Content::random(seed, 1 << 20, 32 << 10, about);
        let mut s = Swarm { world, content, members: Vec::new(), mix, nodes };
        for i in 0..n {
            let is_seed = i < 2;
            let have = if is_seed { Bitfield::all(32) } else { Bitfield::none(32) };
            let settings = s.settings(is_seed);
            let host = s.world.add_host(settings);
            let torrent = swarm::add(&mut s.world, host, &s.content, have, Discovery::default());
            let is_corrupting = s.mix.corruption && !is_seed && s.world.rng().random_bool(0.1);
            if is_corrupting {
                s.world.corrupt_one_in(host, 4);
            }
            s.members.push(Member { host, torrent, is_corrupting, is_seed, back_at: None });
        }
        s
    }

    fn settings(&mut self, is_seed: bool) -> HostSettings {
        let mut link = home_link(&mut self.world);
        let rng = self.world.rng();
        link.loss_per_mille = if self.mix.loss { rng.random_range(0..50) } else { 0 };
        link.reset_per_100k = if self.mix.resets { rng.random_range(0..300) } else { 0 };
        link.stall_per_10k = if self.mix.stalls { rng.random_range(0..30) } else { 0 };
        link.is_behind_nat = self.mix.nats && !is_seed && rng.random_bool(0.3);
        let is_bad = self.mix.full_disks && !is_seed && rng.random_bool(0.3);
        let disk = DiskSettings { fail_per_mille: if is_bad { 50 } else { 0 }, ..DiskSettings::default() };
        let bootstrap = self.nodes.clone();
        HostSettings { link, disk, engine: Settings::default(), bootstrap, ..HostSettings::default() }
    }

    fn safety(&mut self) {
        let end = self.world.now() + SAFETY;
        while self.world.now() < end {
            self.world.run_for(Duration::from_secs(1));
            self.revive();
            if self.mix.churn {
                self.churn();
            }
        }
    }

    /// Somebody leaves without a word, and comes back later with what it had stored.
    fn churn(&mut self) {
        let now = self.world.now();
        let who = self.world.rng().random_range(2..self.members.len());
        let away = Duration::from_millis(self.world.rng().random_range(500..20_000));
        let is_leaving = self.world.rng().random_bool(0.5) && self.members[who].back_at.is_none();
        if is_leaving {
            self.world.kill(self.members[who].host);
            self.members[who].back_at = Some(now + away);
        }
        for i in 0..self.members.len() {
            if self.members[i].back_at.is_some_and(|at| at <= now) {
                self.rejoin(i);
            }
        }
    }

    fn rejoin(&mut self, i: usize) {
        let (host, torrent, is_seed) =
            (self.members[i].host, self.members[i].torrent, self.members[i].is_seed);
        let have = self.content.held(&self.world.host(host).stored[&torrent].storage);
        let ip = self.world.host(host).ip;
        let settings = self.settings(is_seed);
        let host = self.world.add_host_at(ip, settings);
        let content = self.content.clone();
        let torrent = swarm::add(&mut self.world, host, &content, have, Discovery::default());
        if self.members[i].is_corrupting {
            self.world.corrupt_one_in(host, 4);
        }
        (self.members[i].host, self.members[i].torrent, self.members[i].back_at) = (host, torrent, None);
    }

    /// Owners of torrents that stopped on a full disk try again.
    fn revive(&mut self) {
        for m in &self.members {
            let stats = self.world.host(m.host).engine.torrent_stats(m.torrent);
            let is_failed =
                stats.is_some_and(|s| matches!(s.state, unchoke_engine::engine::TorrentState::Failed(_)));
            if is_failed && self.world.host(m.host).is_up {
                self.world.command(m.host, Command::Resume(m.torrent));
            }
        }
    }

    fn heal(&mut self) {
        for i in 0..self.members.len() {
            if self.members[i].back_at.is_some() {
                self.rejoin(i);
            }
            let host = self.world.host_mut(self.members[i].host);
            host.corrupts_one_in = 0;
            host.disk.settings.fail_per_mille = 0;
            let link = &mut host.link.settings;
            (link.loss_per_mille, link.reset_per_100k, link.stall_per_10k) = (0, 0, 0);
        }
    }

    /// Whether everybody who did no wrong is complete.
    fn is_over(&self) -> bool {
        let mut honest = self.members.iter().filter(|m| !m.is_corrupting);
        honest.all(|m| swarm::is_complete(&self.world, m.host, m.torrent))
    }

    fn laggards(&self, mix: &str) -> String {
        let late = self.members.iter().filter(|m| !swarm::is_complete(&self.world, m.host, m.torrent));
        let lines = late.map(|m| {
            let host = self.world.host(m.host);
            let stats = host.engine.torrent_stats(m.torrent);
            format!("  host {} nat {}: {stats:?}", m.host.0, host.link.settings.is_behind_nat)
        });
        format!("not everybody completed, {mix}\n{}", lines.collect::<Vec<_>>().join("\n"))
    }
}
