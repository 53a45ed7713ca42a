//! What the engine says, done.

use std::collections::BTreeMap;
use std::sync::Arc;

use unchoke_engine::output::{HttpRequest, Output, Trace};
use unchoke_engine::{Event, TorrentId};
use unchoke_wire::time::Instant;
use unchoke_wire::{PieceIndex, WireHash};

use super::Io;
use crate::event::SessionEvent;
use crate::hub::HubMessage;
use crate::keeper::KeeperMessage;
use crate::torrent::locked;
use crate::verify::PieceJob;
use crate::workers::{VerifyBatch, run_verifies};

impl Io {
    /// Does one thing.
    pub(super) fn apply(&mut self, output: Output, now: Instant) {
        match output {
            Output::Adopt { ticket, conn } => self.adopt(ticket, conn),
            Output::Refuse { ticket } => {
                self.tickets.remove(&ticket);
            }
            Output::Connect { conn, addr, timeout } => self.connect(conn, addr, now + timeout),
            Output::WantSend { conn } => self.want_send(conn),
            Output::Send { conn, plan } => self.send(conn, plan),
            Output::Patience { conn, within } => self.be_patient(conn, within),
            Output::Close { conn } => self.close(conn),
            Output::Datagram { to, bytes } => self.links.datagrams.send(&bytes, to),
            Output::Http(request) => self.http(request),
            Output::Resolve { request, host } => {
                self.links.resolver.resolve(request, host, Box::new(self.links.own.clone()));
            }
            Output::Verify(job) => {
                let storage = self.storages.get(job.torrent).cloned();
                self.verifies.push((job, storage), now);
            }
            Output::Hub(command) => {
                self.links.hub.send(HubMessage::Engine { shard: self.links.shard, command });
            }
            Output::Event(event) => self.event(event),
            Output::Trace(trace) => self.trace(trace),
        }
    }

    fn http(&self, request: HttpRequest) {
        self.links.resolver.http(request, Box::new(self.links.own.clone()));
    }

    /// Hands over the pieces that have waited enough; without workers they are worked off here.
    pub(super) fn verify_held(&mut self, now: Instant) {
        if self.verifies.next_timeout().is_none() {
            return;
        }
        // asked for only when there is something to hash: the first who asks has it measured
        let lanes = self.links.workers.as_ref().map_or(1, |_| unchoke_hash::lanes());
        let Some(jobs) = self.verifies.take(lanes, now) else { return };
        let reply = self.links.own.clone();
        let Some(workers) = &self.links.workers else {
            return run_verifies(vec![VerifyBatch { jobs, reply }]);
        };
        let mut of_disks: BTreeMap<u64, Vec<PieceJob>> = BTreeMap::new();
        for job in jobs {
            of_disks.entry(job.1.as_ref().map_or(0, |place| place.disk)).or_default().push(job);
        }
        for (disk, jobs) in of_disks {
            workers.verify(disk, VerifyBatch { jobs, reply: reply.clone() });
        }
    }

    /// Tells the keeper of the pieces that are done.
    pub(super) fn tell_pieces(&mut self) {
        if let Some((hash, pieces)) = self.untold.take() {
            // the keeper outlives the shards, but for a session that falls apart
            let _ = self.links.keeper.send(KeeperMessage::Pieces { hash, pieces });
        }
    }

    fn piece_done(&mut self, hash: WireHash, piece: PieceIndex) {
        match &mut self.untold {
            Some((of, pieces)) if *of == hash => pieces.push(piece),
            _ => {
                self.tell_pieces();
                self.untold = Some((hash, vec![piece]));
            }
        }
    }

    /// Tells the keeper what it acts on, and the owner the rest.
    fn event(&mut self, event: Event) {
        let Some(torrent) = torrent_of(&event) else {
            self.links.sink.emit(SessionEvent::Network(event));
            return;
        };
        if let Event::Added { torrent, hash } = event {
            self.hashes.insert(torrent, hash);
            if let Some(entry) = locked(&self.links.torrents).get(&hash).map(Arc::clone) {
                let mut is_of_many = false;
                entry.change(|s| (s.id, is_of_many) = (Some(torrent), s.is_asleep && !s.is_awaited));
                if is_of_many {
                    // one of very many, and nobody waits for it
                    return;
                }
            }
        }
        if let Event::Slept { torrent } | Event::StorageClosed { torrent } = event {
            self.storages.remove(torrent);
        }
        let Some(hash) = self.hashes.get(torrent).copied() else { return };
        if let Event::Removed { torrent } = event {
            self.hashes.remove(torrent);
            self.storages.remove(torrent);
        }
        let is_for_keeper = matches!(
            event,
            Event::Added { .. }
                | Event::MetadataReceived { .. }
                | Event::Completed { .. }
                | Event::StorageFailed { .. }
                | Event::ReadFailed { .. }
                | Event::Partials { .. }
                | Event::Removed { .. }
                | Event::Wake { .. }
                | Event::Slept { .. }
                | Event::StorageClosed { .. }
        );
        // those that are only half true before the keeper has done its part are told by the keeper
        let is_for_owner =
            !matches!(event, Event::Completed { .. } | Event::Partials { .. } | Event::Removed { .. });
        if let Event::PieceDone { piece, .. } = event {
            self.piece_done(hash, piece);
        }
        if is_for_keeper {
            self.tell_pieces();
            // the keeper outlives the shards, but for a session that falls apart
            let _ = self.links.keeper.send(KeeperMessage::Event { hash, event: event.clone() });
        }
        if is_for_owner {
            self.links.sink.emit(SessionEvent::Torrent { hash, event });
        }
    }

    fn trace(&self, trace: Trace) {
        if let Some(hash) = self.hashes.get(trace.torrent) {
            self.links.sink.emit(SessionEvent::Message { hash: *hash, trace });
        }
    }
}

/// The torrent an event is about, if it is about one.
fn torrent_of(event: &Event) -> Option<TorrentId> {
    let torrent = match event {
        Event::Added { torrent, .. }
        | Event::Wake { torrent }
        | Event::Slept { torrent }
        | Event::StorageClosed { torrent }
        | Event::Duplicate { torrent }
        | Event::MetadataReceived { torrent, .. }
        | Event::PieceDone { torrent, .. }
        | Event::PieceFailed { torrent, .. }
        | Event::Completed { torrent }
        | Event::StorageFailed { torrent, .. }
        | Event::ReadFailed { torrent, .. }
        | Event::PeerConnected { torrent, .. }
        | Event::PeerDisconnected { torrent, .. }
        | Event::PeerBanned { torrent, .. }
        | Event::PeersFound { torrent, .. }
        | Event::TrackerReplied { torrent, .. }
        | Event::TrackerFailed { torrent, .. }
        | Event::Scraped { torrent, .. }
        | Event::Partials { torrent, .. }
        | Event::Removed { torrent } => *torrent,
        Event::ExternalIp { .. } => return None,
    };
    Some(torrent)
}
