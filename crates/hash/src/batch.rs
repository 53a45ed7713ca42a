//! Many inputs through the kernels: which blocks go together, and the padding at the end of each.

use crate::kernels::{BLOCK, Function, Job, State};
use crate::table::Table;

/// Bytes at the end of the last block that tell how long the input was.
const LENGTH_LEN: usize = 8;

/// Takes all blocks of all jobs into their states; the order of the jobs is not kept.
///
/// As many run side by side as the table has it for those that are left, the longest first: as one ends, the next takes
/// its lane, and when lanes would be idle, a kernel of fewer goes on.
pub(crate) fn advance(table: &Table, jobs: &mut [Job<'_>]) {
    if !jobs.is_sorted_by(|a, b| a.bytes.len() >= b.bytes.len()) {
        jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.bytes.len()));
    }
    let end = jobs.partition_point(|job| !job.bytes.is_empty());
    // jobs[..active] are under way, those from `next` wait, and what is between is done
    let (mut active, mut next) = (0, 0);
    loop {
        let waiting = active + (end - next);
        if waiting == 0 {
            return;
        }
        let kernel = table.kernel(waiting);
        while active < kernel.lanes && next < end {
            jobs.swap(active, next);
            (active, next) = (active + 1, next + 1);
        }
        while active > kernel.lanes {
            (active, next) = (active - 1, next - 1);
            jobs.swap(active, next);
        }
        let blocks = jobs[..active].iter().map(Job::blocks).min().expect("a lane is busy where inputs wait");
        kernel.compress(&mut jobs[..active], blocks);
        let mut at = 0;
        while at < active {
            if jobs[at].bytes.is_empty() {
                active -= 1;
                jobs.swap(at, active);
            } else {
                at += 1;
            }
        }
    }
}

/// Takes whole blocks into one state.
pub(crate) fn advance_one(function: &'static Function, state: &mut State, bytes: &[u8]) {
    let mut job = Job { state, bytes };
    if job.blocks() > 0 {
        let blocks = job.blocks();
        function.single().compress(std::slice::from_mut(&mut job), blocks);
    }
}

/// Writes the digest of each input to the same place of `out`, which is as long, by the kernels of the table.
pub(crate) fn hash_batch<const LEN: usize>(
    function: &'static Function,
    table: &Table,
    inputs: &[&[u8]],
    out: &mut [[u8; LEN]],
) {
    let mut states = vec![function.initial; inputs.len()];
    let bodies = inputs.iter().map(|input| &input[..input.len() / BLOCK * BLOCK]);
    let mut jobs: Vec<Job<'_>> =
        states.iter_mut().zip(bodies).map(|(state, bytes)| Job { state, bytes }).collect();
    advance(table, &mut jobs);
    let tails: Vec<Tail> = inputs.iter().map(|input| Tail::of_whole(input)).collect();
    let tails = tails.iter().map(Tail::blocks);
    let mut jobs: Vec<Job<'_>> =
        states.iter_mut().zip(tails).map(|(state, bytes)| Job { state, bytes }).collect();
    advance(table, &mut jobs);
    for (digest, state) in out.iter_mut().zip(&states) {
        *digest = digest_of(state);
    }
}

/// Writes the digest of one input.
pub(crate) fn hash_one<const LEN: usize>(function: &'static Function, input: &[u8]) -> [u8; LEN] {
    let mut state = function.initial;
    advance_one(function, &mut state, &input[..input.len() / BLOCK * BLOCK]);
    advance_one(function, &mut state, Tail::of_whole(input).blocks());
    digest_of(&state)
}

/// The first words of a state, as bytes.
pub(crate) fn digest_of<const LEN: usize>(state: &State) -> [u8; LEN] {
    let mut digest = [0; LEN];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// The last bytes of an input with the padding: one block or two.
pub(crate) struct Tail {
    bytes: [u8; 2 * BLOCK],
    len: usize,
}

impl Tail {
    /// The end of an input of `len` bytes, of which `rest` are those beyond its last whole block.
    pub(crate) fn new(rest: &[u8], len: u64) -> Self {
        let mut tail = Tail { bytes: [0; 2 * BLOCK], len: BLOCK };
        if rest.len() >= BLOCK - LENGTH_LEN {
            tail.len = 2 * BLOCK;
        }
        tail.bytes[..rest.len()].copy_from_slice(rest);
        tail.bytes[rest.len()] = 0x80;
        let bits = len * u64::from(u8::BITS);
        tail.bytes[tail.len - LENGTH_LEN..tail.len].copy_from_slice(&bits.to_be_bytes());
        tail
    }

    fn of_whole(input: &[u8]) -> Self {
        let len = u64::try_from(input.len()).expect("a length fits 64 bits");
        Self::new(&input[input.len() / BLOCK * BLOCK..], len)
    }

    pub(crate) fn blocks(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{SHA1, SHA256};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use sha1::Digest;

    proptest! {
        /// Whatever a measurement says, and whichever instructions a machine lacks, digests are the same.
        #[test]
        fn any_table_gives_the_same_digests(
            lens in vec(0_usize..1500, 1..60),
            costs in vec(0_u64..1000, 8),
            lacks in vec(any::<bool>(), 8),
        ) {
            let bytes: Vec<u8> = (0..=250_u8).cycle().take(1600).collect();
            let inputs: Vec<&[u8]> = lens.iter().enumerate().map(|(i, len)| &bytes[i..][..*len]).collect();
            let mut sha1 = vec![[0; 20]; inputs.len()];
            hash_batch(&SHA1, &table(&SHA1, &costs, &lacks), &inputs, &mut sha1);
            let mut sha256 = vec![[0; 32]; inputs.len()];
            hash_batch(&SHA256, &table(&SHA256, &costs, &lacks), &inputs, &mut sha256);
            for (i, input) in inputs.iter().enumerate() {
                prop_assert_eq!(sha1[i], <[u8; 20]>::from(sha1::Sha1::digest(input)));
                prop_assert_eq!(sha256[i], <[u8; 32]>::from(sha2::Sha256::digest(input)));
            }
        }
    }

    /// A table of these costs, without the kernels that `lacks` masks; the last of them, the portable one, stays.
    fn table(function: &'static Function, costs: &[u64], lacks: &[bool]) -> Table {
        let all: Vec<_> = function.available().collect();
        let is_there = |i: &usize| !lacks[*i] || i + 1 == all.len();
        Table::of(&(0..all.len()).filter(is_there).map(|i| (all[i], costs[i])).collect::<Vec<_>>())
    }

    #[test]
    fn jobs_of_no_blocks_are_done_at_once() {
        let mut states = [[1; 8]; 3];
        let mut jobs: Vec<Job<'_>> = states.iter_mut().map(|state| Job { state, bytes: &[] }).collect();
        advance(&Table::only(SHA1.single()), &mut jobs);
        assert_eq!(states, [[1; 8]; 3]);
    }
}
