//! The torrents of a state store at a session's start: all of them at once, asleep where that can be, so that nothing
//! is read of one, and no file looked at, before somebody wants it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Sender;
use unchoke_engine::input::{AddAsleep, Discovery, TorrentSource};
use unchoke_engine::{Command, ShardId};
use unchoke_storage::{StateStore, TorrentEntry};
use unchoke_wire::metainfo::Metainfo;
use unchoke_wire::time::Duration;
use unchoke_wire::{Magnet, WireHash};

use crate::error::SessionError;
use crate::event::{EventSink, SessionEvent};
use crate::keeper::{Adding, KeeperMessage, add_of, totals_of};
use crate::mailbox::Mailbox;
use crate::shard::ShardMessage;
use crate::torrent::{Registry, State, Torrent, locked};

/// Trackers hear of restored torrents one after another: each has this much time...
const ANNOUNCE_EVERY: Duration = Duration::from_millis(125);
/// ...as long as the last does not wait longer than this.
const ANNOUNCE_WITHIN_MAX: Duration = Duration::from_secs(30 * 60);

/// The ways to those who get the torrents.
pub(crate) struct Restore<'s> {
    pub(crate) store: &'s StateStore,
    pub(crate) shards: &'s [Mailbox<ShardMessage>],
    pub(crate) keeper: &'s Sender<KeeperMessage>,
    pub(crate) registry: &'s Registry,
    pub(crate) sink: &'s EventSink,
}

impl Restore<'_> {
    /// Hands all torrents out to the shards in turn. Answers how many there are.
    ///
    /// # Errors
    /// [`SessionError::State`] when the store cannot be read. One entry that cannot is told as a warning.
    pub(crate) fn run(&self) -> Result<usize, SessionError> {
        let listed = self.store.torrents()?;
        let count = u32::try_from(listed.len()).unwrap_or(u32::MAX);
        let within = (ANNOUNCE_EVERY * count).min(ANNOUNCE_WITHIN_MAX);
        let mut counts: BTreeMap<ShardId, usize> = BTreeMap::new();
        let mut turn = 0;
        for (hash, stored) in listed {
            let stored = match stored {
                Ok(stored) => stored,
                Err(why) => {
                    self.warn(hash, format!("its entry in the state store is {why}"));
                    continue;
                }
            };
            let shard_id = ShardId(u8::try_from(turn % self.shards.len()).expect("at most 255 shards"));
            turn += 1;
            let is_deleting = stored.is_deleting;
            let is_moving = stored.is_moving();
            let is_known = stored.pieces.is_some() && stored.have.is_some() && stored.left.is_some();
            if !is_deleting && !is_moving && is_known {
                *counts.entry(shard_id).or_default() += 1;
                self.asleep(hash, shard_id, stored, within);
            } else if let Err(error) = self.awake(hash, shard_id, stored) {
                self.warn(hash, error);
            } else if is_deleting {
                self.warn(hash, "its removal with its data was cut off, and goes on".to_owned());
                let _ = self.keeper.send(KeeperMessage::Remove { hash, delete_data: true });
            }
        }
        // the keeper lives as long as the session
        let _ = self.keeper.send(KeeperMessage::Restored { counts });
        Ok(turn)
    }

    fn asleep(&self, hash: WireHash, shard_id: ShardId, stored: TorrentEntry, within: Duration) {
        let state = State::asleep(&stored);
        let shard = self.register(hash, shard_id, &stored, state).shard.clone();
        let d = stored.discovery;
        let left = stored.left.unwrap_or_default();
        let totals = totals_of(&stored);
        let add = AddAsleep {
            hashes: stored.hashes,
            trackers: stored.trackers,
            discovery: Discovery { trackers: d.trackers, dht: d.dht, lsd: d.lsd, dial: d.dial },
            is_private: stored.is_private,
            is_paused: stored.is_paused,
            is_sequential: stored.is_sequential,
            is_super_seeding: stored.is_super_seeding,
            pieces: (stored.have.unwrap_or_default(), stored.pieces.unwrap_or_default()),
            left,
            is_complete: left == 0,
            totals,
            announce_within: within,
        };
        shard.send(ShardMessage::Command(Command::AddAsleep(Box::new(add))));
    }

    /// One whose metadata or files are not known yet goes on as it was begun.
    fn awake(&self, hash: WireHash, shard_id: ShardId, stored: TorrentEntry) -> Result<(), String> {
        let metainfo = self.store.metainfo(hash).map_err(|e| e.to_string())?;
        let metainfo =
            metainfo.map(|bytes| Metainfo::parse(&bytes)).transpose().map_err(|e| e.to_string())?;
        let mut add = add_of(&stored);
        let record = self.store.record(hash).map_err(|e| e.to_string())?.record;
        add.selection = record.map(|r| r.selection).filter(|s| !s.is_empty());
        add.source = match (&metainfo, &stored.magnet) {
            (Some(metainfo), _) => TorrentSource::Metainfo(Box::new(metainfo.clone())),
            (None, Some(magnet)) => {
                let magnet = magnet.parse::<Magnet>().map_err(|e| format!("its magnet link: {e}"))?;
                TorrentSource::Magnet(Box::new(magnet))
            }
            (None, None) => return Err("its metadata is not in the state store; add it once more".to_owned()),
        };
        let state = State::starting(metainfo.map(Arc::new), stored.is_paused);
        let entry = self.register(hash, shard_id, &stored, state);
        let adding = Adding { entry, add, lock: None, stored: Some(Box::new(stored)) };
        let _ = self.keeper.send(KeeperMessage::Add(Box::new(adding)));
        Ok(())
    }

    fn register(
        &self,
        hash: WireHash,
        shard_id: ShardId,
        stored: &TorrentEntry,
        state: State,
    ) -> Arc<Torrent> {
        let shard = self.shards[usize::from(shard_id.0)].clone();
        let entry = Arc::new(Torrent::new(hash, stored.hashes, shard_id, shard, state));
        locked(self.registry).insert(hash, Arc::clone(&entry));
        entry
    }

    fn warn(&self, hash: WireHash, text: String) {
        tracing::warn!(%hash, %text);
        self.sink.emit(SessionEvent::Warning { hash, text });
    }
}
