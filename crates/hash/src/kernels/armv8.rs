//! The SHA instructions of ARMv8, over `N` inputs in turn.
//!
//! One input leaves the unit idle while each result is awaited by the next instruction; the steps of others fill in.

use core::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::constants::{SHA1_ROUND, SHA256_ROUND};
use super::lanes::{starts, unrolled};
use super::{BLOCK, Job};

/// Whether this machine can run these kernels.
pub(super) fn is_available() -> bool {
    is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("sha2")
}

pub(super) fn sha1<const N: usize>(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha1_streams::<N>(jobs, blocks) }
}

pub(super) fn sha256<const N: usize>(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha256_streams::<N>(jobs, blocks) }
}

/// The words of the block at `offset` bytes beyond each place.
///
/// # Safety
/// There are 64 readable bytes at each place.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn load_blocks<const N: usize>(starts: &[*const u8; N], offset: usize) -> [[uint32x4_t; 4]; N] {
    let mut words = [[vdupq_n_u32(0); 4]; N];
    for s in 0..N {
        for w in 0..4 {
            // SAFETY: the caller gives 64 readable bytes, of which these are a quarter.
            let bytes = unsafe { vld1q_u8(starts[s].add(offset + 16 * w)) };
            words[s][w] = vreinterpretq_u32_u8(vrev32q_u8(bytes));
        }
    }
    words
}

/// The next four rounds, group `g` of 20: the words of a group are made in place of those of four groups before.
macro_rules! sha1_group {
    ($g:ident, $streams:expr, $words:ident, $abcd:ident, $e:ident) => {{
        let constant = vdupq_n_u32(SHA1_ROUND[$g / 5]);
        for s in 0..$streams {
            let w = &mut $words[s];
            if $g >= 4 {
                let mixed = vsha1su0q_u32(w[$g % 4], w[($g + 1) % 4], w[($g + 2) % 4]);
                w[$g % 4] = vsha1su1q_u32(mixed, w[($g + 3) % 4]);
            }
            let word = vaddq_u32(w[$g % 4], constant);
            let e = vsha1h_u32(vgetq_lane_u32::<0>($abcd[s]));
            $abcd[s] = match $g / 5 {
                0 => vsha1cq_u32($abcd[s], $e[s], word),
                2 => vsha1mq_u32($abcd[s], $e[s], word),
                _ => vsha1pq_u32($abcd[s], $e[s], word),
            };
            $e[s] = e;
        }
    }};
}

#[target_feature(enable = "neon,sha2")]
fn sha1_streams<const N: usize>(jobs: &mut [Job<'_>], blocks: usize) {
    let starts = starts::<N>(jobs, blocks);
    let mut abcd = [vdupq_n_u32(0); N];
    let mut e = [0; N];
    for (s, job) in jobs.iter().enumerate() {
        // SAFETY: the first four of eight words.
        abcd[s] = unsafe { vld1q_u32(job.state.as_ptr()) };
        e[s] = job.state[4];
    }
    for block in 0..blocks {
        let (before_abcd, before_e) = (abcd, e);
        // SAFETY: each place is in a slice of `blocks` blocks, a job's, which is borrowed for the whole of this function.
        let mut words = unsafe { load_blocks(&starts, block * BLOCK) };
        unrolled!(g: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 => sha1_group!(g, N, words, abcd, e));
        for s in 0..N {
            abcd[s] = vaddq_u32(abcd[s], before_abcd[s]);
            e[s] = e[s].wrapping_add(before_e[s]);
        }
    }
    for (s, job) in jobs.iter_mut().enumerate() {
        // SAFETY: the first four of eight words.
        unsafe { vst1q_u32(job.state.as_mut_ptr(), abcd[s]) };
        job.state[4] = e[s];
    }
}

/// The next four rounds, group `g` of 16.
macro_rules! sha256_group {
    ($g:ident, $streams:expr, $words:ident, $abcd:ident, $efgh:ident) => {{
        // SAFETY: four of the 64 constants, of which there are as many as groups.
        let constants = unsafe { vld1q_u32(SHA256_ROUND.as_ptr().add(4 * $g)) };
        for s in 0..$streams {
            let w = &mut $words[s];
            if $g >= 4 {
                let mixed = vsha256su0q_u32(w[$g % 4], w[($g + 1) % 4]);
                w[$g % 4] = vsha256su1q_u32(mixed, w[($g + 2) % 4], w[($g + 3) % 4]);
            }
            let word = vaddq_u32(w[$g % 4], constants);
            let abcd = $abcd[s];
            $abcd[s] = vsha256hq_u32(abcd, $efgh[s], word);
            $efgh[s] = vsha256h2q_u32($efgh[s], abcd, word);
        }
    }};
}

#[target_feature(enable = "neon,sha2")]
fn sha256_streams<const N: usize>(jobs: &mut [Job<'_>], blocks: usize) {
    let starts = starts::<N>(jobs, blocks);
    let mut abcd = [vdupq_n_u32(0); N];
    let mut efgh = [vdupq_n_u32(0); N];
    for (s, job) in jobs.iter().enumerate() {
        // SAFETY: the first and the last four of eight words.
        unsafe { (abcd[s], efgh[s]) = (vld1q_u32(job.state.as_ptr()), vld1q_u32(job.state[4..].as_ptr())) };
    }
    for block in 0..blocks {
        let (before_abcd, before_efgh) = (abcd, efgh);
        // SAFETY: each place is in a slice of `blocks` blocks, a job's, which is borrowed for the whole of this function.
        let mut words = unsafe { load_blocks(&starts, block * BLOCK) };
        unrolled!(g: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 => sha256_group!(g, N, words, abcd, efgh));
        for s in 0..N {
            abcd[s] = vaddq_u32(abcd[s], before_abcd[s]);
            efgh[s] = vaddq_u32(efgh[s], before_efgh[s]);
        }
    }
    for (s, job) in jobs.iter_mut().enumerate() {
        // SAFETY: the first and the last four of eight words.
        unsafe {
            vst1q_u32(job.state.as_mut_ptr(), abcd[s]);
            vst1q_u32(job.state[4..].as_mut_ptr(), efgh[s]);
        }
    }
}
