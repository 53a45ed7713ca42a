//! Metadata of magnets in flight: bounded over all torrents together, as each peer may claim any size.

use super::Engine;
use crate::id::{ConnId, TorrentId};
use unchoke_wire::Extension;
use unchoke_wire::limits::METADATA_BLOCK_LEN;
use unchoke_wire::time::Duration;
use unchoke_wire::ut_metadata::MetadataMessage;

/// A fetch that got nothing for this long gives its memory up where others need it.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// How much metadata is in flight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MetadataRoom {
    /// Bytes that have come or were asked for: as counted last, and asked for since.
    bytes: usize,
    /// The fetch that may always go on, and the bytes it has not asked for yet: the others leave room for them, so that
    /// many that are half done never stop each other.
    first: Option<(TorrentId, usize)>,
}

impl Engine {
    //= BEP 9: metadata from peers
    /// Asks peers for blocks of the metadata that is missing, as far as there is room for them.
    pub(super) fn ask_metadata(&mut self, torrent: TorrentId) {
        let Some(t) = self.torrents.get_mut(torrent) else { return };
        let Some(fetch) = &mut t.metadata else { return };
        let room = &mut self.metadata;
        let (first, due) = *room.first.get_or_insert((torrent, 0));
        let mut asks = Vec::new();
        for conn in fetch.sources().collect::<Vec<ConnId>>() {
            if first != torrent && room.bytes.saturating_add(due) >= self.settings.metadata_bytes {
                break;
            }
            let blocks = fetch.ask(conn, self.now);
            room.bytes += blocks.len() * METADATA_BLOCK_LEN as usize;
            asks.extend(blocks.into_iter().map(|block| (conn, block)));
        }
        if first == torrent {
            room.first = Some((torrent, fetch.bytes_due()));
        }
        for (conn, block) in asks {
            self.push_extended(conn, Extension::UtMetadata, &MetadataMessage::Request { block }.encode());
        }
    }

    /// Counts metadata in flight anew, and lets go of what nobody goes on with where there is no room. Called about
    /// once a second.
    pub(super) fn count_metadata(&mut self) {
        let before = core::mem::take(&mut self.metadata);
        if before.bytes == 0 {
            return;
        }
        let fetching = self.torrents.iter().filter(|(_, t)| t.metadata.is_some()).map(|(id, _)| id);
        let is_full = before.bytes >= self.settings.metadata_bytes;
        for id in fetching.collect::<Vec<_>>() {
            let Some(fetch) = self.torrents.get_mut(id).and_then(|t| t.metadata.as_mut()) else { continue };
            if is_full && self.now.since(fetch.last_progress()) >= STALE_AFTER {
                fetch.start_over();
            }
            let bytes = fetch.bytes_in_flight();
            let was_first = before.first.is_some_and(|(first, _)| first == id);
            self.metadata.bytes += bytes;
            if bytes > 0 && (was_first || self.metadata.first.is_none()) {
                self.metadata.first = Some((id, fetch.bytes_due()));
            }
        }
    }

    /// Bytes of metadata in flight; up to a second old.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.metadata.bytes
    }
}
