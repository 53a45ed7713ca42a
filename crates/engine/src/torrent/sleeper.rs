//! A torrent that sleeps: it is announced and takes connections, and all that exchanging pieces needs is left on the
//! disk until somebody wants a piece of it or has one for it.

use super::clocks::{Clocks, Doing};
use super::{Phase, Torrent};
use crate::input::{Discovery, Totals};
use crate::tracker::Announcer;
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, InfoHashes, PeerId, WireHash};

/// What is known of a torrent without its metadata and its pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Whether peers come from its trackers only (BEP 27).
    pub is_private: bool,
    /// Pieces it has, and in all.
    pub pieces: (u32, u32),
    /// Bytes of wanted pieces left to get.
    pub left: u64,
    /// Whether every wanted piece is there.
    pub is_complete: bool,
}

/// A torrent that sleeps.
#[derive(Debug)]
pub struct Sleeper {
    /// The hash of its swarm.
    pub hash: WireHash,
    /// All hashes it is known by.
    pub hashes: InfoHashes,
    /// Our id in it.
    pub peer_id: PeerId,
    /// By which means it finds peers.
    pub discovery: Discovery,
    /// Whether pieces are taken in order.
    pub is_sequential: bool,
    /// Whether it is to be super-seeded once it is a seed.
    pub is_super_seeding: bool,
    /// Whether the owner paused it.
    pub is_paused: bool,
    /// Whether it goes away as soon as its trackers are told.
    pub is_removing: bool,
    /// What it holds.
    pub facts: Facts,
    /// Its trackers.
    pub announcer: Announcer,
    /// What it did over its life, times up to the last turn of its clocks.
    pub totals: Totals,
    /// Since when it does what it does.
    pub clocks: Clocks,
    /// The same at the beginning of this run.
    pub totals_at_start: Totals,
    /// Bytes of pieces that failed their hash check.
    pub corrupt: u64,
    /// Whether its tracker counts somebody who lacks pieces.
    pub has_leeches: bool,
    /// When the engine looks at it next.
    pub due: Option<Instant>,
}

impl Facts {
    /// Whether every piece is there.
    pub fn is_seed(&self) -> bool {
        self.pieces.0 == self.pieces.1
    }
}

impl Sleeper {
    /// What its time counts for.
    pub fn doing(&self) -> Doing {
        let is_active = !self.is_paused && !self.is_removing;
        Doing {
            is_active,
            is_finished: is_active && self.facts.is_complete,
            is_seeding: is_active && self.facts.is_seed(),
        }
    }
}

impl Torrent {
    /// What it is when it sleeps. Its connections are closed, its pieces written.
    pub fn fall_asleep(self) -> Sleeper {
        debug_assert!(self.conns.is_empty() && self.checking == 0 && self.phase == Phase::Ready);
        let facts = Facts {
            is_private: self.is_private(),
            pieces: self.have().map_or((0, 0), |h: &Bitfield| (h.count(), h.len())),
            left: self.left().unwrap_or(0),
            is_complete: self.is_complete(),
        };
        Sleeper {
            hash: self.hash,
            hashes: self.hashes,
            peer_id: self.peer_id,
            discovery: self.discovery,
            is_sequential: self.is_sequential,
            is_super_seeding: self.super_seed.is_some(),
            is_paused: self.is_paused,
            is_removing: self.is_removing,
            facts,
            announcer: self.announcer,
            totals: self.totals,
            clocks: self.clocks,
            totals_at_start: self.totals_at_start,
            corrupt: self.corrupt,
            has_leeches: false,
            due: self.due,
        }
    }
}
