//! One torrent: it owns its parts (picker, peers, announcer, buffers) and keeps what they share.

pub mod buffer_pool;
pub mod clocks;
pub mod metadata;
pub mod piece_buffers;
pub mod sleeper;
pub mod super_seed;

use crate::id::{ConnId, PeerKey};
use crate::input::{Discovery, Totals};
use crate::peer_list::PeerList;
use crate::picker::Picker;
use crate::tracker::Announcer;
use clocks::{Clocks, Doing};
use metadata::MetadataFetch;
use piece_buffers::PieceBuffers;
use super_seed::SuperSeed;
use unchoke_wire::metainfo::Info;
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, BlockRef, InfoHash, InfoHashes, PeerId, PieceIndex, WireHash};

/// How far a torrent has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The metadata is being fetched from peers.
    Metadata,
    /// The metadata is there; the shell is opening and checking the storage.
    Storage,
    /// It transfers.
    Ready,
}

/// One torrent.
#[derive(Debug)]
pub struct Torrent {
    /// The hash of its swarm.
    pub hash: WireHash,
    /// All hashes it is known by.
    pub hashes: InfoHashes,
    /// Our id in it: fresh for every torrent of every run.
    pub peer_id: PeerId,
    /// By which means it finds peers.
    pub discovery: Discovery,
    /// Whether pieces are taken in order.
    pub is_sequential: bool,
    /// Its offers, where it is to be super-seeded once it is a seed.
    pub super_seed: Option<SuperSeed>,
    /// How far it has come.
    pub phase: Phase,
    /// Whether the owner paused it, or its storage failed.
    pub is_paused: bool,
    /// Why it stopped, when its storage failed.
    pub error: Option<String>,
    /// Whether it goes away as soon as nothing is under way.
    pub is_removing: bool,
    /// What the metadata says, once known.
    pub info: Option<Info>,
    /// The raw metadata, to hand to peers.
    pub raw_info: Vec<u8>,
    /// The metadata being fetched.
    pub metadata: Option<MetadataFetch>,
    /// Which pieces to get, once the storage is ready.
    pub picker: Option<Picker>,
    /// Bytes of the pieces being received.
    pub buffers: PieceBuffers,
    /// Pieces verified in this run, in order; every peer has a cursor into it.
    pub have_log: Vec<PieceIndex>,
    /// The peers it knows of.
    pub peers: PeerList,
    /// Its connections, oldest first.
    pub conns: Vec<ConnId>,
    /// Counts changes to who is connected and where they listen.
    pub swarm_version: u64,
    /// Its trackers.
    pub announcer: Announcer,
    /// What it did over its life, times up to the last turn of its clocks.
    pub totals: Totals,
    /// Since when it does what it does.
    pub clocks: Clocks,
    /// The totals at the beginning of this run, which trackers do not hear of.
    pub totals_at_start: Totals,
    /// Bytes of pieces that failed their hash check.
    pub corrupt: u64,
    /// Verify jobs under way.
    pub checking: u32,
    /// Whether its storage is let go as soon as no verify job is under way.
    pub is_closing: bool,
    /// Bytes of open pieces as counted in the engine's budget.
    pub open_bytes: u64,
    /// Whether completion was told.
    pub is_completed: bool,
    /// Until when the first requests wait for peers that are just saying what they have; `None` before there is
    /// anybody to ask.
    pub first_pick_at: Option<Instant>,
    /// When peers were heard of last.
    pub last_found: Instant,
    /// Whether the first requests went out.
    pub has_picked: bool,
    /// Who is asked first the next time that all are, by the place in `conns`.
    pub asked_next: usize,
    /// When more peers were last looked for out of turn, and how often in a row.
    pub looked_for_peers: (Instant, u32),
    /// When the engine looks at it next.
    pub due: Option<Instant>,
    /// Whether it slept in this run: it is announced already.
    pub has_slept: bool,
    /// Since when it has had nothing to do.
    pub idle_since: Option<Instant>,
}

/// What a torrent is made of.
#[derive(Debug)]
pub struct Parts {
    /// The hash of its swarm.
    pub hash: WireHash,
    /// All hashes it is known by.
    pub hashes: InfoHashes,
    /// Our id in it.
    pub peer_id: PeerId,
    /// By which means it finds peers.
    pub discovery: Discovery,
    /// What the metadata says; without it, it is fetched from peers.
    pub info: Option<Info>,
    /// The raw metadata; empty without it.
    pub raw_info: Vec<u8>,
    /// The peers it knows of.
    pub peers: PeerList,
    /// Its trackers.
    pub announcer: Announcer,
    /// Block bytes over its life.
    pub totals: Totals,
}

impl Torrent {
    /// A torrent that waits for its storage, or for its metadata.
    pub fn new(parts: Parts, now: Instant) -> Self {
        let Parts { hash, hashes, peer_id, discovery, info, raw_info, peers, announcer, totals } = parts;
        Torrent {
            hash,
            hashes,
            peer_id,
            discovery,
            is_sequential: false,
            super_seed: None,
            phase: if info.is_some() { Phase::Storage } else { Phase::Metadata },
            is_paused: false,
            error: None,
            is_removing: false,
            metadata: info.is_none().then(|| MetadataFetch::new(hashes)),
            info,
            raw_info,
            picker: None,
            buffers: PieceBuffers::default(),
            have_log: Vec::new(),
            peers,
            corrupt: 0,
            conns: Vec::new(),
            swarm_version: 0,
            announcer,
            totals,
            clocks: Clocks::new(now),
            totals_at_start: totals,
            checking: 0,
            is_closing: false,
            open_bytes: 0,
            is_completed: false,
            first_pick_at: None,
            last_found: Instant::ZERO,
            has_picked: false,
            asked_next: 0,
            looked_for_peers: (now, 0),
            due: None,
            has_slept: false,
            idle_since: None,
        }
    }

    /// Whether it may exchange anything with peers now.
    pub fn is_running(&self) -> bool {
        !self.is_paused && !self.is_removing && self.phase != Phase::Storage
    }

    /// What its time counts for.
    pub fn doing(&self) -> Doing {
        let is_active = !self.is_paused && !self.is_removing && self.error.is_none();
        Doing {
            is_active,
            is_finished: is_active && self.is_complete(),
            is_seeding: is_active && self.is_seed(),
        }
    }

    /// Puts back a block that a peer will not send, and gives back the memory of a piece that is begun no more.
    pub fn release(&mut self, block: BlockRef, peer: PeerKey) {
        if let Some(picker) = &mut self.picker {
            picker.released(block, peer);
        }
        self.forget_idle_buffer(block.piece);
    }

    /// Gives back the memory of a piece that is begun no more.
    pub fn forget_idle_buffer(&mut self, piece: PieceIndex) {
        if self.picker.as_ref().is_some_and(|p| !p.is_open(piece)) {
            self.buffers.forget_idle(piece);
        }
    }

    /// Whether peer exchange, the DHT and other open means are barred (BEP 27).
    pub fn is_private(&self) -> bool {
        self.info.as_ref().is_some_and(|i| i.private)
    }

    /// The wire forms of all its hashes: two of a hybrid.
    pub fn wire_hashes(&self) -> Vec<WireHash> {
        let all = [self.hashes.v1.map(InfoHash::V1), self.hashes.v2.map(InfoHash::V2)];
        all.into_iter().flatten().map(|hash| hash.wire()).collect()
    }

    /// The pieces that are verified and written.
    pub fn have(&self) -> Option<&Bitfield> {
        self.picker.as_ref().map(Picker::have)
    }

    /// Whether every piece is there.
    pub fn is_seed(&self) -> bool {
        self.have().is_some_and(Bitfield::is_all)
    }

    /// Whether every wanted piece is there.
    pub fn is_complete(&self) -> bool {
        self.picker.as_ref().is_some_and(Picker::is_complete)
    }

    /// Bytes left to get; `None` while unknown.
    pub fn left(&self) -> Option<u64> {
        self.picker.as_ref().map(Picker::left_bytes)
    }
}
