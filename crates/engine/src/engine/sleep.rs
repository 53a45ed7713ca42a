//! Torrents fall asleep and wake up.
//!
//! A sleeper goes on being announced and takes connections. A connection, or a peer to dial while something is
//! missing, wakes it: the shell is asked for its metadata and its storage, and who came waits that long. A torrent that
//! nobody has been connected to for a while, and that has nobody to ask, falls asleep again.

use super::Engine;
use super::connections::Arrival;
use super::torrents::{Slot, wire_hashes};
use crate::event::Event;
use crate::id::TorrentId;
use crate::input::{AddAsleep, PeerSource};
use crate::output::{HubCommand, Output};
use crate::peer_list::PeerList;
use crate::torrent::clocks::Clocks;
use crate::torrent::sleeper::{Facts, Sleeper};
use crate::torrent::super_seed::SuperSeed;
use crate::torrent::{Parts, Phase, Torrent};
use crate::tracker::{AnnounceInput, Announcer};
use core::net::{IpAddr, SocketAddr};
use rand::RngExt;
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{PeerId, WireHash};

/// Connections that wait for one torrent to wake up; more are refused.
const WAITING_MAX: usize = 16;
/// Connections that wait for any torrent of the engine; more are refused.
const WAITING_IN_ALL_MAX: usize = 128;
/// How long a connection waits for its torrent.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Peers remembered of those a torrent was told of while it slept; more are left out.
const HEARD_MAX: usize = 200;
/// Sleepers that may be asking trackers at once; the others put off what is due...
const ANNOUNCING_MAX: usize = 64;
/// ...for one to five seconds.
const PUT_OFF: (u64, u64) = (1_000, 5_000);

/// A torrent on its way from sleep until its storage is ready.
#[derive(Debug, Default)]
pub(super) struct Waking {
    /// Connections that named it, oldest first.
    conns: Vec<Waiting>,
    /// Whom it was told of.
    heard: Vec<Heard>,
}

/// An accepted connection that waits for its torrent.
#[derive(Debug)]
struct Waiting {
    arrival: Arrival,
    received: Vec<u8>,
    /// When it began to wait.
    since: Instant,
}

/// Peers that were named while the torrent could not take them.
#[derive(Debug)]
struct Heard {
    source: PeerSource,
    told_by: Option<IpAddr>,
    peers: Vec<SocketAddr>,
    ids: Vec<(SocketAddr, PeerId)>,
}

impl Engine {
    /// Takes in a torrent that sleeps.
    pub(super) fn add_asleep(&mut self, add: AddAsleep) {
        let Some(hash) = add.hashes.best().map(|h| h.wire()).filter(|_| !self.is_stopping) else { return };
        if let Some(torrent) = self.by_hash.get(&hash) {
            let torrent = *torrent;
            self.event(Event::Duplicate { torrent });
            return;
        }
        let peer_id = self.new_peer_id();
        let tiers = if add.discovery.trackers { add.trackers } else { Vec::new() };
        let settings = self.announcer_settings(hash, peer_id, tiers, add.is_private);
        let announcer = Announcer::new(settings, self.random(), self.now);
        let facts = Facts {
            is_private: add.is_private,
            pieces: add.pieces,
            left: add.left,
            is_complete: add.is_complete,
        };
        let sleeper = Sleeper {
            hash,
            hashes: add.hashes,
            peer_id,
            discovery: add.discovery,
            is_sequential: add.is_sequential,
            is_super_seeding: add.is_super_seeding,
            is_paused: add.is_paused,
            is_removing: false,
            facts,
            announcer,
            totals: add.totals,
            clocks: Clocks::new(self.now),
            totals_at_start: add.totals,
            corrupt: 0,
            has_leeches: false,
            due: None,
        };
        let torrent = self.torrents.insert(Slot::Asleep(Box::new(sleeper)));
        self.by_hash.insert(hash, torrent);
        self.event(Event::Added { torrent, hash });
        let within = u64::try_from(add.announce_within.as_micros()).unwrap_or(u64::MAX);
        let delay = Duration::from_micros(self.rng.random_range(0..=within));
        self.start_asleep(torrent, delay);
    }

    //= BEP 27: a private torrent has nothing to do with the DHT
    /// A sleeper becomes reachable, and is announced, to trackers after `delay`; unless it is paused.
    pub(super) fn start_asleep(&mut self, torrent: TorrentId, delay: Duration) {
        let Some(s) = self.torrents.asleep(torrent).filter(|s| !s.is_paused && !s.is_removing) else {
            return;
        };
        let (facts, discovery, hashes) = (s.facts, s.discovery, wire_hashes(&s.hashes));
        let is_seed = facts.is_seed();
        for hash in &hashes {
            self.hub(HubCommand::Register { torrent, hash: *hash });
        }
        self.announce(torrent, AnnounceInput::StartLater { is_complete: is_seed, delay });
        if self.settings.dht && discovery.dht && !facts.is_private {
            // one that has all is found by others
            let wants_peers = discovery.dial && !facts.is_complete;
            for hash in &hashes {
                self.hub(HubCommand::DhtSearch { torrent, hash: *hash, is_seed, wants_peers });
            }
        }
        if self.settings.lsd && discovery.lsd && !facts.is_private {
            self.hub(HubCommand::LsdAnnounce { torrent, hashes });
        }
    }

    /// Puts off what a sleeper has to tell its trackers if many others are at it.
    pub(super) fn keep_order(&mut self, torrent: TorrentId) {
        let is_first = self.torrents.asleep(torrent).is_some_and(|s| !s.announcer.is_asking());
        if is_first && self.announcing >= ANNOUNCING_MAX {
            let wait = Duration::from_millis(self.rng.random_range(PUT_OFF.0..=PUT_OFF.1));
            self.announce(torrent, AnnounceInput::Later(self.now + wait));
        }
    }

    /// Asks the shell for what a sleeper needs to be awake.
    pub(super) fn rouse(&mut self, torrent: TorrentId) {
        let can_wake = self.torrents.asleep(torrent).is_some_and(|s| !s.is_removing);
        if can_wake && !self.waking.contains_key(&torrent) {
            self.waking.insert(torrent, Waking::default());
            self.event(Event::Wake { torrent });
        }
    }

    /// Lets an accepted connection wait for a torrent that sleeps or is waking up. `false` when there is no such.
    pub(super) fn wait(&mut self, arrival: Arrival, received: &[u8]) -> bool {
        let Arrival { ticket, torrent, .. } = arrival;
        if self.torrents.asleep(torrent).is_some_and(|s| !s.is_paused) {
            self.rouse(torrent);
        }
        let in_all: usize = self.waking.values().map(|w| w.conns.len()).sum();
        let Some(waking) = self.waking.get_mut(&torrent) else { return false };
        if waking.conns.len() < WAITING_MAX && in_all < WAITING_IN_ALL_MAX {
            waking.conns.push(Waiting { arrival, received: received.to_vec(), since: self.now });
        } else {
            self.out.push_back(Output::Refuse { ticket });
        }
        self.touched.torrents.insert(torrent);
        true
    }

    //= BEP 27: peers of a private torrent come from its tracker only
    /// A sleeper is told of peers. They wake it if it lacks something, if its tracker counts somebody who does, or if
    /// they are the owner's.
    pub(super) fn asleep_found(
        &mut self,
        torrent: TorrentId,
        source: PeerSource,
        peers: &[SocketAddr],
        told_by: Option<IpAddr>,
    ) {
        let Some(s) = self.torrents.asleep(torrent) else { return };
        let open = matches!(source, PeerSource::Dht | PeerSource::Lsd | PeerSource::Pex);
        let is_of_use = !s.facts.is_complete || source == PeerSource::Tracker && s.has_leeches;
        let may = !s.is_paused && s.discovery.dial && is_of_use && !(open && s.facts.is_private);
        let others = peers.iter().filter(|p| !self.settings.own_addresses.contains(p));
        let others: Vec<SocketAddr> = others.copied().take(HEARD_MAX).collect();
        if others.is_empty() || !may && source != PeerSource::User {
            return;
        }
        self.rouse(torrent);
        let Some(waking) = self.waking.get_mut(&torrent) else { return };
        if waking.heard.iter().map(|h| h.peers.len()).sum::<usize>() < HEARD_MAX {
            waking.heard.push(Heard { source, told_by, peers: others, ids: Vec::new() });
        }
    }

    /// The ids that a tracker named for peers a sleeper was just told of.
    pub(super) fn asleep_expects(&mut self, torrent: TorrentId, ids: Vec<(SocketAddr, PeerId)>) {
        if let Some(heard) = self.waking.get_mut(&torrent).and_then(|w| w.heard.last_mut()) {
            heard.ids = ids;
            heard.ids.truncate(HEARD_MAX);
        }
    }

    /// The shell brings the metadata of a sleeper. Its storage follows.
    pub(super) fn wake(&mut self, torrent: TorrentId, metainfo: Metainfo) {
        let is_it = |hash: WireHash| metainfo.info_hashes.best().is_some_and(|h| h.wire() == hash);
        if !self.torrents.asleep(torrent).is_some_and(|s| is_it(s.hash)) {
            return;
        }
        self.waking.entry(torrent).or_default();
        let peers = PeerList::new(self.random(), self.settings.own_addresses.clone());
        let now = self.now;
        self.torrents.convert(torrent, |slot| match slot {
            Slot::Asleep(s) => Slot::Awake(Box::new(awake(*s, metainfo, peers, now))),
            other => other,
        });
        self.touched.torrents.insert(torrent);
    }

    /// The storage of a torrent that woke up is ready: who waited comes in, and whom it was told of is dialled.
    pub(super) fn let_in(&mut self, torrent: TorrentId) {
        let Some(Waking { conns, heard }) = self.waking.remove(&torrent) else { return };
        for Waiting { arrival, received, since } in conns {
            // what was spent on waking up is not its own time
            let since = arrival.since + self.now.since(since);
            self.accepted(Arrival { since, ..arrival }, &received);
        }
        for Heard { source, told_by, peers, ids } in heard {
            self.peers_found(torrent, source, &peers, told_by);
            let Some(t) = self.torrents.get_mut(torrent) else { continue };
            ids.into_iter().for_each(|(addr, id)| t.peers.expect_id(addr, id));
        }
    }

    /// A torrent does not wake up: who waited for it is sent away.
    pub(super) fn send_away(&mut self, torrent: TorrentId) {
        for waiting in self.waking.remove(&torrent).map(|w| w.conns).unwrap_or_default() {
            self.out.push_back(Output::Refuse { ticket: waiting.arrival.ticket });
        }
    }

    /// Sends those away who waited too long.
    pub(super) fn expire_waiting(&mut self, torrent: TorrentId) {
        let Some(waking) = self.waking.get_mut(&torrent) else { return };
        let now = self.now;
        for late in waking.conns.extract_if(.., |w| now.since(w.since) >= WAIT_MAX) {
            self.out.push_back(Output::Refuse { ticket: late.arrival.ticket });
        }
    }

    /// When the first of those who wait for a torrent has waited too long.
    pub(super) fn waiting_until(&self, torrent: TorrentId) -> Option<Instant> {
        self.waking.get(&torrent)?.conns.first().map(|w| w.since + WAIT_MAX)
    }

    /// Notes since when a torrent has had nothing to do; says when it falls asleep if that stays so.
    pub(super) fn note_idle(&mut self, torrent: TorrentId) -> Option<Instant> {
        let after = self.settings.sleep_after?;
        let (now, conns) = (self.now, &self.conns);
        let t = self.torrents.get_mut(torrent)?;
        let is_idle = t.phase == Phase::Ready
            && t.error.is_none()
            && !t.is_removing
            && t.checking == 0
            && t.picker.as_ref().is_some_and(|p| p.open_bytes() == 0)
            && !t.conns.iter().any(|c| conns[*c].is_ready())
            && (t.is_complete() || t.is_paused || t.peers.next_dial_time(now).is_none());
        t.idle_since = is_idle.then(|| t.idle_since.unwrap_or(now));
        // a dial under way is waited for
        t.idle_since.filter(|_| t.conns.is_empty()).map(|since| since + after)
    }

    /// A torrent that has had nothing to do for a while keeps nothing in memory any more.
    pub(super) fn fall_asleep(&mut self, torrent: TorrentId) {
        if self.note_idle(torrent).is_none_or(|at| at > self.now) {
            return;
        }
        self.count_open_bytes(torrent);
        self.waiting_to_dial.remove(&torrent);
        self.torrents.convert(torrent, |slot| match slot {
            Slot::Awake(t) => Slot::Asleep(Box::new(t.fall_asleep())),
            other => other,
        });
        self.event(Event::Slept { torrent });
    }
}

/// What a sleeper is when it wakes up: its storage is still to be opened.
fn awake(s: Sleeper, metainfo: Metainfo, peers: PeerList, now: Instant) -> Torrent {
    let parts = Parts {
        hash: s.hash,
        hashes: metainfo.info_hashes,
        peer_id: s.peer_id,
        discovery: s.discovery,
        info: Some(metainfo.info),
        raw_info: metainfo.raw_info,
        peers,
        announcer: s.announcer,
        totals: s.totals,
    };
    let mut t = Torrent::new(parts, now);
    (t.is_sequential, t.is_paused, t.is_removing) = (s.is_sequential, s.is_paused, s.is_removing);
    t.clocks = s.clocks;
    t.super_seed = s.is_super_seeding.then(SuperSeed::default);
    (t.totals_at_start, t.corrupt, t.due, t.has_slept) = (s.totals_at_start, s.corrupt, s.due, true);
    t
}
