//! Faults of a plan as they begin, work and end.

use super::{Pending, World};
use crate::fault::{FaultKind, FaultPlan, FaultSet};
use crate::host::{HostId, SYNC_EVERY_US, Stored};
use crate::marks::Mark;
use crate::watch;
use core::net::{IpAddr, SocketAddr};
use rand::{Rng, RngExt};
use unchoke_engine::engine::TorrentState;
use unchoke_engine::hub::HubInput;
use unchoke_engine::input::PeerSource;
use unchoke_engine::{Command, Input, TorrentId};
use unchoke_storage::Storage;
use unchoke_wire::Bitfield;
use unchoke_wire::time::{Duration, Instant};

/// An answer over HTTP, or none.
type HttpResult = Option<Result<(u16, Vec<u8>), String>>;

/// Datagrams beyond this are lost in a hole of the path's MTU. Smaller than any path's, so that ours can meet it.
const HOLE_BYTES: usize = 200;

impl World {
    /// Makes a plan come true from this moment on; of its faults only those in `kept`, when that is given.
    pub fn set_plan(&mut self, plan: FaultPlan, kept: Option<FaultSet>) {
        watch::planned(&plan);
        self.planned_at = self.now;
        for (number, fault) in plan.faults.iter().enumerate() {
            if kept.is_none_or(|kept| kept.has(number)) {
                self.at(self.now + fault.after, Pending::FaultBegins(number));
                self.at(self.now + fault.after + fault.lasts, Pending::FaultEnds(number));
            }
        }
        self.plan = plan;
    }

    /// The plan of this world.
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    pub(super) fn fault_begins(&mut self, number: usize) {
        let fault = self.plan.faults[number];
        let until = self.now + fault.lasts;
        if fault.kind.is_of_tracker() {
            self.trackers[fault.whom].faults.begin(fault.kind, until);
            return;
        }
        let host = HostId(fault.whom);
        if !self.hosts[host.0].is_up {
            return; // it is off by another fault
        }
        self.hosts[host.0].faults.begin(fault.kind, until);
        match fault.kind {
            FaultKind::Partition => {
                let last = self.partition.map_or(until, |(_, at)| at.max(until));
                self.partition = Some((fault.whom, last));
            }
            FaultKind::ResetStorm => self.reset_again(host),
            FaultKind::HalfOpen => self.half_open(host, FaultKind::HalfOpen, until),
            FaultKind::NatRebind => {
                self.half_open(host, FaultKind::NatRebind, until);
                self.marks.add(Mark::NatRebind);
                let port = 30_000 + u16::try_from(number).unwrap_or(0);
                self.hosts[host.0].nat_port = Some(port);
            }
            FaultKind::IpChange => self.move_host(host, number, until),
            FaultKind::Kill => self.power_off(host, None),
            FaultKind::PowerCut | FaultKind::TornWrite => self.power_off(host, Some(fault.kind)),
            FaultKind::BitRot | FaultKind::Corrupting => {
                self.checkers.set_dishonest(self.hosts[host.0].ip);
            }
            _ => {}
        }
    }

    pub(super) fn fault_ends(&mut self, number: usize) {
        let fault = self.plan.faults[number];
        if fault.kind.is_of_tracker() {
            self.trackers[fault.whom].faults.end(fault.kind, self.now);
            return;
        }
        let host = HostId(fault.whom);
        if !self.hosts[host.0].faults.end(fault.kind, self.now) {
            return;
        }
        match fault.kind {
            FaultKind::Kill | FaultKind::PowerCut | FaultKind::TornWrite if !self.hosts[host.0].is_up => {
                self.restart(host);
            }
            FaultKind::DiskFull | FaultKind::WriteError | FaultKind::ReadError | FaultKind::DiskStall => {
                self.resume_failed(host);
            }
            _ => {}
        }
    }

    /// The owner of torrents whose disk had failed looks at the pieces that could not be read, and tries again with those
    /// that stopped.
    pub fn resume_failed(&mut self, host: HostId) {
        let settled = self.hosts[host.0].stored.iter().map(|(torrent, stored)| {
            let good = stored.content.held(&stored.storage);
            let mut bad = Bitfield::none(good.len());
            for piece in good.missing() {
                bad.set(piece);
            }
            Command::Settle { torrent: *torrent, good, bad }
        });
        settled.collect::<Vec<_>>().into_iter().for_each(|settle| self.command(host, settle));
        let engine = &self.hosts[host.0].engine;
        let is_failed = |t: &TorrentId| {
            engine.torrent_stats(*t).is_some_and(|s| matches!(s.state, TorrentState::Failed(_)))
        };
        let failed: Vec<TorrentId> = engine.torrents().filter(is_failed).collect();
        failed.into_iter().for_each(|t| self.command(host, Command::Resume(t)));
    }

    /// Until when what is due has to wait for its host.
    pub(super) fn frozen_until(&mut self, pending: &Pending) -> Option<Instant> {
        let host = match pending {
            Pending::Wake(host, _)
            | Pending::Dialled(host, ..)
            | Pending::DialTimeout(host, _)
            | Pending::LanDatagram(host, ..)
            | Pending::Verified(host, _)
            | Pending::Http(host, ..)
            | Pending::Open(host, _) => *host,
            Pending::Stream(end, _)
            | Pending::PlanLeft(end, _)
            | Pending::Gone(end)
            | Pending::Finished(end) => self.host_of_end(*end),
            Pending::Datagram(_, to, _) => *self.by_ip.get(&to.ip())?,
            Pending::Dial(..)
            | Pending::ScriptWake(_)
            | Pending::FaultBegins(_)
            | Pending::FaultEnds(_)
            | Pending::ResetAgain(_) => return None,
        };
        let until = self.hosts[host.0].faults.until(FaultKind::Freeze).filter(|at| *at > self.now)?;
        self.marks.add(Mark::Freeze);
        Some(until)
    }

    pub(super) fn reset_again(&mut self, host: HostId) {
        if self.hosts[host.0].faults.has(FaultKind::ResetStorm) {
            if !self.hosts[host.0].ends.is_empty() {
                self.marks.add(Mark::ResetStorm);
            }
            self.reset_connections(host);
            self.at(self.now + Duration::from_secs(1), Pending::ResetAgain(host));
        }
    }

    fn half_open(&mut self, host: HostId, kind: FaultKind, until: Instant) {
        let ends: Vec<usize> = self.hosts[host.0].ends.values().copied().collect();
        if !ends.is_empty() {
            self.marks.add(kind.mark());
        }
        ends.into_iter().for_each(|end| self.cut_half(end, until));
    }

    /// A host gets another address of the same family; whoever knew the old one reaches nobody there.
    fn move_host(&mut self, host: HostId, number: usize, until: Instant) {
        self.half_open(host, FaultKind::IpChange, until);
        self.marks.add(Mark::IpChange);
        let old = self.hosts[host.0].ip;
        let n = u32::try_from(self.hosts.len() * 64 + number * 16 + host.0).unwrap_or(0);
        let new = match old {
            IpAddr::V4(_) => IpAddr::from((0x5a00_0001 + (n << 9)).to_be_bytes()),
            IpAddr::V6(_) => IpAddr::from(((0x2a02_0000 << 96) + (u128::from(n) << 72) + 1).to_be_bytes()),
        };
        self.checkers.moved(old, new);
        self.by_ip.remove(&old);
        self.by_ip.insert(new, host);
        self.hosts[host.0].ip = new;
        self.hosts[host.0].all_ips.push(new);
        self.engine(host, Input::OwnAddress { ip: new });
    }

    fn power_off(&mut self, host: HostId, loses: Option<FaultKind>) {
        self.kill(host);
        self.marks.add(Mark::Kill);
        let Some(kind) = loses else { return };
        let synced = Instant::from_micros(self.now.as_micros() / SYNC_EVERY_US * SYNC_EVERY_US);
        let mut lost = Vec::new();
        for (torrent, stored) in &mut self.hosts[host.0].stored {
            let unsynced = stored.written.iter().filter(|(at, _)| *at >= synced);
            lost.extend(unsynced.map(|(_, piece)| (*torrent, *piece)));
            stored.written.clear();
        }
        for (torrent, piece) in lost {
            let tears = kind == FaultKind::TornWrite;
            if tears || self.rng.random_bool(0.7) {
                self.marks.add(kind.mark());
                let stored = &self.hosts[host.0].stored[&torrent];
                let mut bytes = stored.content.piece(piece).to_vec();
                let keeps = if tears { bytes.len() / 2 } else { 0 };
                bytes[keeps..].fill(0);
                stored.storage.write(piece, 0, &bytes).expect("memory takes every piece");
            }
        }
    }

    /// Switches a host on again that was killed: the same torrents, what its disk kept of them, the peers its user
    /// named. All is checked on start.
    ///
    /// # Panics
    /// When a torrent has another name than in its life before, as after a removal.
    pub fn restart(&mut self, host: HostId) {
        let mut seeds = [[0; 32]; 2];
        seeds.iter_mut().for_each(|s| self.rng.fill_bytes(s));
        let h = &mut self.hosts[host.0];
        h.begin_anew(seeds, self.now);
        let (added, named) = (core::mem::take(&mut h.added), h.named.clone());
        let stored = core::mem::take(&mut h.stored);
        self.checkers.restart(host, &self.hosts[host.0].settings.engine.clone(), self.now);
        self.marks.restart(host);
        self.hub(host, HubInput::Timeout);
        for add in added {
            self.command(host, Command::Add(Box::new(add)));
        }
        for (torrent, Stored { content, storage, wanted, .. }) in stored {
            let is_there = self.hosts[host.0].engine.torrent_stats(torrent).is_some();
            assert!(is_there, "torrents keep their names when none was removed");
            let have = content.held(&storage);
            // a torrent from a magnet asks for its metadata again
            let is_waiting = self.hosts[host.0].engine.torrent_stats(torrent).map(|s| s.state);
            if is_waiting == Some(TorrentState::Metadata) {
                self.await_metadata(host, torrent, &content);
            } else {
                self.open_storage(host, torrent, &content, have, wanted);
            }
        }
        for (torrent, addr) in named {
            self.engine(host, Input::PeersFound { torrent, source: PeerSource::User, peers: &[addr] });
        }
    }

    /// Whether nothing that a host sends reaches another one.
    pub(super) fn is_cut(&mut self, from: HostId, to: HostId) -> bool {
        self.cut_until(from, to).is_some()
    }

    fn cut_until(&mut self, from: HostId, to: HostId) -> Option<Instant> {
        let now = self.now;
        let partition = self
            .partition
            .filter(|(last, until)| *until > now && from.0.min(to.0) <= *last && from.0.max(to.0) > *last);
        if partition.is_some() {
            self.marks.add(Mark::Partition);
        }
        let one_way = self.hosts[from.0].faults.until(FaultKind::OneWayLoss).filter(|at| *at > now);
        if one_way.is_some() {
            self.marks.add(Mark::OneWayLoss);
        }
        partition.map(|(_, until)| until).max(one_way)
    }

    /// What bytes cost on a host's line, in bytes of its usual rate.
    pub(super) fn line_cost(&mut self, host: HostId, bytes: usize) -> usize {
        let is_slow = self.hosts[host.0].faults.has(FaultKind::SlowLine);
        if is_slow {
            self.marks.add(Mark::SlowLine);
        }
        if is_slow { bytes * 100 } else { bytes }
    }

    /// When a segment arrives that would at `arrival` if nothing went wrong by plan. A stream loses nothing: what is
    /// lost is sent again.
    pub(super) fn stream_arrives(&mut self, from: HostId, to: HostId, arrival: Instant) -> Instant {
        let mut at = arrival;
        if let Some(until) = self.cut_until(from, to) {
            at = at.max(until + Duration::from_millis(300));
        }
        if let Some(until) = self.hosts[from.0].faults.until(FaultKind::StuckStreams) {
            self.marks.add(Mark::StuckStreams);
            at = at.max(until);
        }
        for host in [from, to] {
            if self.hosts[host.0].faults.has(FaultKind::Jitter) {
                self.marks.add(Mark::Jitter);
                at = at + Duration::from_millis(self.rng.random_range(0..500));
            }
            if self.hosts[host.0].faults.has(FaultKind::Loss) && self.rng.random_bool(0.2) {
                self.marks.add(Mark::Loss);
                at = at + Duration::from_millis(250);
            }
        }
        at
    }

    /// When a datagram arrives that would at `arrival`; `None`: never.
    pub(super) fn datagram_arrives(
        &mut self,
        from: HostId,
        to: Option<HostId>,
        arrival: Instant,
        bytes: usize,
    ) -> Option<Instant> {
        if let Some(to) = to
            && self.is_cut(from, to)
        {
            return None;
        }
        let mut at = arrival;
        for host in core::iter::once(from).chain(to) {
            let faults = &self.hosts[host.0].faults;
            let lost = if faults.has(FaultKind::MtuHole) && bytes > HOLE_BYTES {
                Some(FaultKind::MtuHole)
            } else if faults.has(FaultKind::Loss) && self.rng.random_bool(0.2) {
                Some(FaultKind::Loss)
            } else if faults.has(FaultKind::OneWayLoss) && host == from {
                Some(FaultKind::OneWayLoss)
            } else {
                None
            };
            if let Some(kind) = lost {
                self.marks.add(kind.mark());
                return None;
            }
            for (kind, most_ms) in [(FaultKind::Jitter, 500), (FaultKind::Reorder, 300)] {
                if self.hosts[host.0].faults.has(kind) {
                    self.marks.add(kind.mark());
                    at = at + Duration::from_millis(self.rng.random_range(0..most_ms));
                }
            }
        }
        Some(at)
    }

    /// Puts a datagram on its way: once, twice, or changed.
    pub(super) fn deliver_datagram(
        &mut self,
        host: HostId,
        from: SocketAddr,
        to: SocketAddr,
        mut bytes: Vec<u8>,
        at: Instant,
    ) {
        let faults = &self.hosts[host.0].faults;
        let (is_changed, is_doubled) =
            (faults.has(FaultKind::CorruptDatagram), faults.has(FaultKind::Duplicate));
        if is_changed && !bytes.is_empty() && self.rng.random_bool(0.5) {
            self.marks.add(Mark::CorruptDatagram);
            let place = self.rng.random_range(0..bytes.len());
            bytes[place] ^= 1 << self.rng.random_range(0..8);
        }
        if is_doubled {
            self.marks.add(Mark::Duplicate);
            let later = at + Duration::from_millis(self.rng.random_range(0..50));
            self.at(later, Pending::Datagram(from, to, bytes.clone()));
        }
        self.at(at, Pending::Datagram(from, to, bytes));
    }

    /// Spoils a block that a host sends, when it does.
    pub(super) fn spoil(&mut self, host: HostId, block: &mut [u8]) {
        for (kind, one_in) in [(FaultKind::BitRot, 8), (FaultKind::Corrupting, 4)] {
            if self.hosts[host.0].faults.has(kind) && self.rng.random_range(0..one_in) == 0 {
                self.marks.add(kind.mark());
                let place = self.rng.random_range(0..block.len());
                block[place] ^= 0x10;
            }
        }
    }

    /// When a disk is done with a job.
    pub(super) fn disk_done(&mut self, host: HostId, bytes: usize) -> Instant {
        let h = &mut self.hosts[host.0];
        let mut done = h.disk.done(bytes, self.now);
        if h.faults.has(FaultKind::SlowDisk) {
            self.marks.add(Mark::SlowDisk);
            done = done + done.since(self.now) * 100;
        }
        if let Some(until) = self.hosts[host.0].faults.until(FaultKind::DiskStall) {
            self.marks.add(Mark::DiskStall);
            done = done.max(until);
        }
        done
    }

    /// Why a write of this moment fails.
    pub(super) fn write_fault(&mut self, host: HostId) -> Option<FaultKind> {
        let faults = &self.hosts[host.0].faults;
        if faults.has(FaultKind::DiskFull) {
            return Some(FaultKind::DiskFull);
        }
        let is_failing = faults.has(FaultKind::WriteError) && self.rng.random_bool(0.5);
        is_failing.then_some(FaultKind::WriteError)
    }

    /// What a tracker answers over HTTP, and how long it takes.
    pub(super) fn tracker_http(&mut self, tracker: usize, url: &str, from: IpAddr) -> (HttpResult, Duration) {
        self.mark_tracker(tracker);
        let t = &mut self.trackers[tracker];
        (t.http(url, from, self.now), t.latency + slowness(t))
    }

    /// What a tracker answers to a datagram, and how long it takes.
    pub(super) fn tracker_udp(
        &mut self,
        tracker: usize,
        from: SocketAddr,
        bytes: &[u8],
    ) -> (Option<Vec<u8>>, Duration) {
        self.mark_tracker(tracker);
        let t = &mut self.trackers[tracker];
        (t.udp(from, bytes, self.now), t.latency + slowness(t))
    }

    fn mark_tracker(&mut self, tracker: usize) {
        let faults = &self.trackers[tracker].faults;
        let kinds = FaultKind::ALL.iter().filter(|k| k.is_of_tracker() && faults.has(**k));
        kinds.for_each(|k| self.marks.add(k.mark()));
    }
}

fn slowness(tracker: &crate::tracker::Tracker) -> Duration {
    let is_slow = tracker.faults.has(FaultKind::TrackerSlow);
    if is_slow { Duration::from_secs(12) } else { Duration::ZERO }
}
