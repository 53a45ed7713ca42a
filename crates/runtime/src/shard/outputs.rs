//! What the engine says, done.

use std::sync::Arc;

use unchoke_engine::output::{HttpRequest, Output, Trace, VerifyJob};
use unchoke_engine::{Event, TorrentId};
use unchoke_wire::time::Instant;

use super::Io;
use crate::event::SessionEvent;
use crate::hub::HubMessage;
use crate::keeper::KeeperMessage;
use crate::torrent::locked;
use crate::workers::VerifyTask;

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
            Output::Close { conn } => self.close(conn),
            Output::Datagram { to, bytes } => self.links.datagrams.send(&bytes, to),
            Output::Http(request) => self.http(request),
            Output::Resolve { request, host } => {
                self.links.resolver.resolve(request, host, Box::new(self.links.own.clone()));
            }
            Output::Verify(job) => self.verify(job),
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

    fn verify(&mut self, job: VerifyJob) {
        self.verifying += 1;
        let storage = self.storages.get(job.torrent).cloned();
        let task = VerifyTask { job, storage, reply: self.links.own.clone() };
        match &self.links.workers {
            Some(workers) => workers.verify(task),
            None => self.inline_verifies.push(task),
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
                let mut is_asleep = false;
                entry.change(|s| (s.id, is_asleep) = (Some(torrent), s.is_asleep));
                if is_asleep {
                    // one of very many, and nobody waits for it
                    return;
                }
            }
        }
        if let Event::Slept { torrent } = event {
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
                | Event::PieceDone { .. }
                | Event::Completed { .. }
                | Event::StorageFailed { .. }
                | Event::Partials { .. }
                | Event::Removed { .. }
                | Event::Wake { .. }
                | Event::Slept { .. }
        );
        // those that are only half true before the keeper has done its part are told by the keeper
        let is_for_owner =
            !matches!(event, Event::Completed { .. } | Event::Partials { .. } | Event::Removed { .. });
        if is_for_keeper {
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
        | Event::Duplicate { torrent }
        | Event::MetadataReceived { torrent, .. }
        | Event::PieceDone { torrent, .. }
        | Event::PieceFailed { torrent, .. }
        | Event::Completed { torrent }
        | Event::StorageFailed { torrent, .. }
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
