//! Plays a row: a victim and an honest peer, the same without and with the hostile ones.

use super::super::{Played, Setup, ensure, played};
use super::{Actor, PIECE_LEN, Reaction, Row, Scope, TORRENT_LEN, Victim};
use crate::bad_peer::{BadPeer, Seen};
use crate::host::{HostId, HostSettings};
use crate::link::LinkSettings;
use crate::swarm::{self, About, BY_HAND, Content};
use crate::world::World;
use std::rc::Rc;
use unchoke_engine::engine::PeerInfo;
use unchoke_engine::{Settings, TorrentId};
use unchoke_wire::Bitfield;
use unchoke_wire::time::{Duration, Instant};

/// Messages of a flood in the simulator; over real sockets it is a million. The reaction comes long before.
const FLOOD: u32 = 10_000;
/// Bytes a second of the slow one of the two honest hosts: the transfer takes about 16 seconds. The end-game, in which
/// blocks that others hold are asked for one by one, takes a round trip for each of them, about a second in all.
const RATE: u64 = 64 << 10;
/// The other lines: floods share them and must not delay what others send.
const FAST: u64 = 100_000_000;
/// Who comes later comes so much later.
const LATER: Duration = Duration::from_millis(300);
/// The transfer must be done by then in any case.
const LIMIT: Duration = Duration::from_secs(240);
/// Bytes held for one peer at most: an answer to it and a message of its own, whatever it sends.
const HELD_MAX: usize = 1 << 20;

/// A world with its hostile peers.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) victim: HostId,
    /// The victim's torrent.
    pub(super) torrent: TorrentId,
    pub(super) honest: HostId,
    pub(super) bad: Vec<HostId>,
    /// Connections the victim's hub held without a handshake, at most.
    pub(super) pending_max: usize,
    /// Bytes the victim held for one peer, at most.
    held_max: usize,
    leech: (HostId, TorrentId),
    began: Instant,
    done: Option<Instant>,
}

/// Plays a row with one seed.
pub(super) fn play(row: &Row, setup: &Setup) -> Result<Played, String> {
    let alone = Scene::new(row, setup.seed).run(row, Duration::ZERO)?;
    let mut scene = Scene::new(row, setup.seed);
    let actors = scene.let_in(row, setup.seed);
    let mut scene = scene.run(row, row.lasts)?;
    scene.watch(row.lasts.saturating_sub(scene.world.now().since(scene.began)));
    for (n, (actor, host)) in actors.iter().zip(&scene.bad).enumerate() {
        scene.judge(actor, *host).map_err(|what| format!("actor {n} should get {what}"))?;
    }
    ensure(scene.held_max <= HELD_MAX, || format!("{} bytes were held for one peer", scene.held_max))?;
    (row.check)(&scene)?;
    let (with, without) = (scene.took(), alone.took());
    let is_slow = with.as_micros() * 100 > without.as_micros() * u128::from(row.slowdown_max);
    ensure(!is_slow, || format!("the honest transfer took {with:?}, and {without:?} without hostile peers"))?;
    scene.world.host(scene.victim).engine.check_invariants();
    if let Some(mark) = row.mark {
        scene.world.mark(mark);
    }
    let figures = vec![
        ("hostile peers", actors.len().to_string()),
        ("transfer", format!("{:.2}s", with.as_secs_f64())),
        ("without them", format!("{:.2}s", without.as_secs_f64())),
    ];
    played(scene.world, figures)
}

impl Scene {
    fn new(row: &Row, seed: u64) -> Self {
        let mut world = World::new(seed, false);
        let content = Content::random(seed, TORRENT_LEN, PIECE_LEN, About::default());
        let is_seed = row.victim == Victim::Seed;
        let victim = host(&mut world, FAST, row.settings);
        // who heard of the hostile peers would be flooded itself, on its slow line
        let honest = host(&mut world, RATE, |s| s.pex = false);
        let (all, none) = (Bitfield::all(content.pieces()), Bitfield::none(content.pieces()));
        let (ours, theirs) = if is_seed { (all, none) } else { (none, all) };
        let torrent = match row.victim {
            Victim::Magnet => {
                let magnet = content.magnet(Vec::new());
                swarm::add_magnet(&mut world, victim, &content, magnet, BY_HAND)
            }
            _ => swarm::add(&mut world, victim, &content, ours, BY_HAND),
        };
        let of_honest = swarm::add(&mut world, honest, &content, theirs, BY_HAND);
        let leech = if is_seed { (honest, of_honest) } else { (victim, torrent) };
        let began = world.now() + if row.comes_first { LATER } else { Duration::ZERO };
        Scene {
            world,
            victim,
            torrent,
            honest,
            bad: Vec::new(),
            pending_max: 0,
            held_max: 0,
            leech,
            began,
            done: None,
        }
    }

    /// Adds the hostile peers, before or after the transfer began.
    fn let_in(&mut self, row: &Row, seed: u64) -> Vec<Actor> {
        let content: Rc<Content> =
            self.world.host(self.honest).stored.values().next().map_or_else(
                || unreachable!("the honest host has the torrent"),
                |stored| stored.content.clone(),
            );
        let scope = Scope {
            content: &content,
            flood: FLOOD,
            seed,
            victim: self.world.host(self.victim).addr(),
            honest: self.world.host(self.honest).addr(),
        };
        let actors = (row.cast)(&scope);
        if !row.comes_first {
            self.introduce();
            self.watch(LATER);
        }
        let is_dialled = row.is_dialled && seed % 2 == 1;
        for actor in &actors {
            let peer = self.world.add_bad_peer(&content, actor.manner.clone());
            self.world.host_mut(peer).link.settings.rate = FAST;
            if is_dialled {
                swarm::introduce(&mut self.world, self.victim, self.torrent, peer);
            } else {
                self.world.bad_peer_dials(peer, self.victim);
            }
            self.bad.push(peer);
        }
        actors
    }

    fn introduce(&mut self) {
        let (from, to) =
            if self.leech.0 == self.victim { (self.victim, self.honest) } else { (self.honest, self.victim) };
        let torrent = self.leech.1;
        swarm::introduce(&mut self.world, from, torrent, to);
    }

    /// Plays until the transfer is done and this much time has passed since it began.
    fn run(mut self, row: &Row, lasts: Duration) -> Result<Self, String> {
        if self.world.now() < self.began {
            self.watch(self.began.since(self.world.now()));
        }
        if row.comes_first || self.bad.is_empty() {
            self.introduce();
        }
        let end = self.began + LIMIT;
        while self.done.is_none() && self.world.now() < end {
            self.watch(Duration::from_millis(20));
        }
        let (host, torrent) = self.leech;
        ensure(self.done.is_some(), || {
            let engine = &self.world.host(host).engine;
            format!(
                "the honest transfer did not complete: {:?} {:?}",
                engine.torrent_stats(torrent),
                engine.peers(torrent)
            )
        })?;
        let left = (self.began + lasts).since(self.world.now());
        self.watch(left);
        Ok(self)
    }

    /// Plays for so long and looks at the victim as it goes.
    fn watch(&mut self, time: Duration) {
        let end = self.world.now() + time;
        loop {
            let host = self.world.host(self.victim);
            self.pending_max = self.pending_max.max(host.hub.pending());
            self.held_max = self.held_max.max(host.engine.held_for_peers());
            if self.done.is_none() && swarm::is_complete(&self.world, self.leech.0, self.leech.1) {
                self.done = Some(self.world.now());
            }
            if self.world.now() >= end {
                return;
            }
            self.world.run_until((self.world.now() + Duration::from_millis(20)).min(end));
        }
    }

    fn took(&self) -> Duration {
        self.done.map_or(LIMIT, |at| at.since(self.began))
    }

    fn judge(&self, actor: &Actor, host: HostId) -> Result<(), String> {
        actor.judge(self.actor(host).pipes())?;
        let ip = self.world.host(host).ip;
        let engine = &self.world.host(self.victim).engine;
        let is_connected = engine.peers(self.torrent).iter().any(|p| p.remote.ip() == ip);
        match actor.reaction {
            // it may have been dialled again since
            Reaction::Leaves if self.actor(host).pipes().any(Seen::is_open) => Ok(()),
            Reaction::Leaves => ensure(!is_connected, || format!("{ip} is connected and has left")),
            Reaction::Stay => ensure(is_connected, || format!("{ip} is not connected")),
            _ => Ok(()),
        }
    }

    /// A hostile peer.
    pub(super) fn actor(&self, host: HostId) -> &BadPeer {
        self.world.bad_peer(host)
    }

    /// How the victim sees a hostile peer that is connected.
    pub(super) fn seen(&self, n: usize) -> Result<PeerInfo, String> {
        let ip = self.world.host(self.bad[n]).ip;
        let peers = self.world.host(self.victim).engine.peers(self.torrent);
        peers.into_iter().find(|p| p.remote.ip() == ip).ok_or_else(|| format!("{ip} is not connected"))
    }
}

fn host(world: &mut World, rate: u64, settings: fn(&mut Settings)) -> HostId {
    let mut link = super::super::home_link(world);
    link.rate = rate;
    link = LinkSettings { jitter: Duration::ZERO, ..link };
    let mut engine = Settings { dht: false, ..Settings::default() };
    settings(&mut engine);
    world.add_host(HostSettings { link, engine, ..HostSettings::default() })
}
