//! Which kernel is best for how many waiting inputs, as measured on the machine it runs on.
//!
//! Measuring takes well under a millisecond, once per process, and only where a batch is hashed. Should a measurement be
//! disturbed, a batch is hashed by a kernel that is not the best, and to the same digests.

use crate::kernels::{BLOCK, Function, Job, Kernel, LANES_MAX};

/// Waiting inputs told apart; more of them are treated as these.
const WAITING_MAX: usize = 2 * LANES_MAX;
/// Blocks of a measurement: enough to hide the cost of the call.
const BLOCKS: usize = 16;
/// Measurements of a kernel. The best counts, the others were disturbed.
const ROUNDS: usize = 6;

/// The choice of kernels for a function.
#[derive(Debug)]
pub(crate) struct Table {
    /// The kernel that comes first for each number of waiting inputs, from one.
    first: [&'static Kernel; WAITING_MAX],
    lanes: usize,
}

impl Table {
    /// The table of this machine.
    pub(crate) fn measured(function: &'static Function) -> Self {
        let single = function.single();
        let mut costs = Vec::new();
        for kernel in function.available() {
            if kernel.lanes > 1 || kernel.name == single.name {
                costs.push((kernel, cost(kernel)));
            }
        }
        Self::of(&costs)
    }

    /// The table in which this kernel is the choice for all.
    pub(crate) fn only(kernel: &'static Kernel) -> Self {
        Table { first: [kernel; WAITING_MAX], lanes: kernel.lanes }
    }

    /// The table for kernels of these costs: what each takes for a block in its lanes, however many of them are used.
    /// Kernels of more lanes come first.
    ///
    /// # Panics
    ///
    /// If there is no kernel.
    pub(crate) fn of(costs: &[(&'static Kernel, u64)]) -> Self {
        let mut table = Table::only(costs[0].0);
        // what a block of each of so many inputs costs
        let mut totals = [0; WAITING_MAX + 1];
        for waiting in 1..=WAITING_MAX {
            let total = |(kernel, cost): &(&Kernel, u64)| cost + totals[waiting.saturating_sub(kernel.lanes)];
            let (kernel, _) = costs.iter().min_by_key(|entry| total(entry)).expect("there is a kernel");
            (table.first[waiting - 1], totals[waiting]) =
                (kernel, costs.iter().map(total).min().expect("there is a kernel"));
        }
        table.lanes = lanes(&totals);
        table
    }

    /// The kernel to begin with when so many inputs wait, of which there is at least one.
    pub(crate) fn kernel(&self, waiting: usize) -> &'static Kernel {
        self.first[waiting.min(WAITING_MAX) - 1]
    }

    /// How many inputs must wait for nearly the best rate.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }
}

/// The fewest inputs whose rate is within a twentieth of the best.
fn lanes(totals: &[u64; WAITING_MAX + 1]) -> usize {
    let each = |waiting: usize| u128::from(totals[waiting]) * 1000 / waiting as u128;
    let best = (1..=WAITING_MAX).map(each).min().unwrap_or(0);
    (1..=WAITING_MAX).find(|waiting| each(*waiting) * 20 <= best * 21).unwrap_or(1)
}

/// What a kernel takes for the blocks of a measurement in its lanes, in ticks.
fn cost(kernel: &Kernel) -> u64 {
    let bytes = [0; BLOCKS * BLOCK];
    let mut states = [[0; 8]; LANES_MAX];
    let mut best = u64::MAX;
    for _ in 0..ROUNDS {
        let mut jobs = states.each_mut().map(|state| Job { state, bytes: &bytes });
        let before = ticks();
        kernel.compress(&mut jobs[..kernel.lanes], BLOCKS);
        best = best.min(ticks().wrapping_sub(before));
    }
    best
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::kernels::counter::ticks;

/// Where there is one kernel, there is nothing to compare.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn ticks() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> &'static Kernel {
        kernel("four", 4)
    }

    fn kernel(name: &'static str, lanes: usize) -> &'static Kernel {
        Box::leak(Box::new(crate::kernels::SHA1.single().posing_as(name, lanes)))
    }

    fn names(table: &Table, waiting: std::ops::RangeInclusive<usize>) -> Vec<&'static str> {
        waiting.map(|waiting| table.kernel(waiting).name).collect()
    }

    #[test]
    fn lanes_wait_until_enough_of_them_are_used() {
        let table = Table::of(&[(four(), 250), (kernel("one", 1), 100)]);
        assert_eq!(names(&table, 1..=5), ["one", "one", "four", "four", "four"]);
        assert_eq!(table.lanes(), 4);
    }

    #[test]
    fn what_is_left_over_goes_to_fewer_lanes() {
        let table = Table::of(&[(four(), 220), (kernel("two", 2), 120), (kernel("one", 1), 100)]);
        assert_eq!(names(&table, 1..=4), ["one", "two", "four", "four"]);
        assert_eq!(table.kernel(1000).name, "four");
    }

    #[test]
    fn slow_lanes_are_never_chosen() {
        let table = Table::of(&[(four(), 1000), (kernel("one", 1), 100)]);
        assert_eq!(names(&table, 1..=40), ["one"; 40]);
        assert_eq!(table.lanes(), 1);
    }

    #[test]
    fn a_counter_that_stands_still_does_no_harm() {
        let table = Table::of(&[(four(), 0), (kernel("one", 1), 0)]);
        assert_eq!(names(&table, 1..=2), ["four", "four"]);
    }
}
