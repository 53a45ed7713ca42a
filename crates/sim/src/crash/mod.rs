//! Crashes: a session on a disk in memory, cut off after every operation of that disk, started again from what the disk
//! may hold then, and judged.
//!
//! The storage, the state store, the records and the judgement of files are those of the program; [`session`] does with
//! them what its keeper does, in its order, one step after another. A seed takes every [`PHASES`]th operation of a history,
//! so that as many seeds in a row cut one history after each of its operations.

mod book;
mod restart;
mod session;

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unchoke_storage::{Fate, MemoryDisk};

pub(crate) use book::{Cast, Shape, Told};
pub(crate) use session::Session;

/// Seeds in a row that cut one history after each of its operations.
pub(crate) const PHASES: u64 = 8;

/// What came of the crashes of one seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// Operations of the history.
    pub(crate) operations: usize,
    /// Crashes after which the session was started again and judged.
    pub(crate) points: usize,
    /// Torrents judged.
    pub(crate) torrents: usize,
    /// Pieces taken for there without being read.
    pub(crate) trusted: u64,
    /// Pieces that were read to know.
    pub(crate) checked: u64,
}

/// A history, and what its session had told its owner by when.
pub(crate) struct Tale {
    pub(crate) disk: MemoryDisk,
    pub(crate) cast: Cast,
    pub(crate) told: Vec<Told>,
}

/// Numbers for the making of the history a seed belongs to.
pub(crate) fn history_rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed / PHASES)
}

/// Cuts the history after the operations that are this seed's turn: by a kill, by a power cut, and by a power cut after
/// a kill and a start.
pub(crate) fn cut(tale: &Tale, seed: u64) -> Result<Tally, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xc4a5_4000_0000);
    let mut history = tale.disk.history();
    let mut tally = Tally { operations: tale.disk.ops(), ..Tally::default() };
    loop {
        let at = history.at();
        if at as u64 % PHASES == seed % PHASES {
            let told = since(&tale.told, at);
            let fate = Fate::ALL[rng.random_range(0..Fate::ALL.len())];
            let power = history.after_power_cut(fate, rng.random());
            let judged = restart::judge(&power, &tale.cast, told);
            judged.map_err(|e| format!("power cut after operation {at}, {fate:?}: {e}"))?.count(&mut tally);
            let killed = history.after_kill();
            let judged = restart::judge(&killed, &tale.cast, told);
            let judged = judged.map_err(|e| format!("kill after operation {at}: {e}"))?;
            let fate = Fate::ALL[rng.random_range(0..Fate::ALL.len())];
            let then = killed.after_power_cut(fate, rng.random());
            let again = restart::judge(&then, &tale.cast, &judged.told);
            let again =
                again.map_err(|e| format!("kill after operation {at}, a start, power cut, {fate:?}: {e}"))?;
            judged.count(&mut tally);
            again.count(&mut tally);
        }
        if !history.step() {
            return Ok(tally);
        }
    }
}

/// What had been told last when the disk had come so far, and what comes after it.
fn since(told: &[Told], at: usize) -> &[Told] {
    let last = told.iter().rposition(|t| t.at <= at).unwrap_or(0);
    &told[last..]
}

/// The hosts of a run without a world: one.
pub(crate) fn no_marks() -> BTreeSet<crate::marks::Mark> {
    BTreeSet::new()
}
