//! Crashes: a session on a disk in memory, cut off after every operation of that disk, started again from what the disk
//! may hold then, and judged.
//!
//! The storage, the state store, the records, the judgement of files, moves and what is written down of them are those of
//! the program. In which order its keeper uses them is played by hand here, one step after another, as it is spread over
//! threads and messages there: [`session`] and [`journey`] do what these do in `unchoke-runtime`, in `keeper/`:
//!
//! | here | there |
//! |---|---|
//! | `Session::add`, `start`, `restart` | `lifecycle.rs`: `add`, `put_all`, `open`, `ready` |
//! | `Session::pause`, `select`, `complete`, `save` | `lifecycle.rs`: `pause`, `select`, `completed`; `mod.rs`: `save` |
//! | `Session::remove`, `Journey::delete` | `lifecycle.rs`: `removed`; `errand.rs`: `tidy_move` |
//! | `Session::relocate`, `Journey::relocate` | `errand.rs`: `relocate`, `storage_closed`, `begin_move`, `placed`, `moved` |
//! | `options` | `kept.rs`: `open` |
//! | `Session::commit` | `sleep.rs`: `commit` |
//!
//! A seed takes every [`PHASES`]th operation of a history,
//! so that as many seeds in a row cut one history after each of its operations.

mod book;
mod journey;
mod restart;
mod session;

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unchoke_storage::{Fate, MemoryDisk};

pub(crate) use book::{Cast, Shape, Told};
pub(crate) use session::{DATA, FAR, NEAR, Session};

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

/// Cuts the history after the operations that are this seed's turn: by a kill, by a power cut, and by a power cut in or
/// after the start that follows a kill.
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
            // that start is cut off, too: on its way, or when it is done
            let (end, mut start) = (killed.ops(), killed.history());
            let until = if rng.random_bool(0.5) { end } else { rng.random_range(0..=end) };
            while start.at() < until && start.step() {}
            let then = start.after_power_cut(fate, rng.random());
            let mut before = vec![judged.told.clone()];
            if until < end {
                // as it was told before, as the start leaves it, or on the way it was on
                before = told.to_vec();
                before.push(judged.told.clone());
            }
            let again = restart::judge(&then, &tale.cast, &before).map_err(|e| {
                format!(
                    "kill after operation {at}, power cut after {until} of {end} of the start, {fate:?}: {e}"
                )
            })?;
            judged.count(&mut tally);
            again.count(&mut tally);
        }
        if !history.step() {
            return Ok(tally);
        }
    }
}

/// What had been told last when the disk had come so far, and what was told next.
fn since(told: &[Told], at: usize) -> &[Told] {
    let last = told.iter().rposition(|t| t.at <= at).unwrap_or(0);
    &told[last..told.len().min(last + 2)]
}

/// The hosts of a run without a world: one.
pub(crate) fn no_marks() -> BTreeSet<crate::marks::Mark> {
    BTreeSet::new()
}
