//! Four lanes of NEON, for processors without SHA instructions.

use core::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::lanes::{Sha1, Sha256, Vector, compress_lanes};
use super::{Job, LANES_MAX};

/// Whether this machine can run these kernels.
pub(super) fn is_available() -> bool {
    is_aarch64_feature_detected!("neon")
}

pub(super) fn sha1(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha1_lanes(jobs, blocks) }
}

pub(super) fn sha256(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha256_lanes(jobs, blocks) }
}

#[target_feature(enable = "neon")]
fn sha1_lanes(jobs: &mut [Job<'_>], blocks: usize) {
    compress_lanes::<Sha1, Words>(jobs, blocks);
}

#[target_feature(enable = "neon")]
fn sha256_lanes(jobs: &mut [Job<'_>], blocks: usize) {
    compress_lanes::<Sha256, Words>(jobs, blocks);
}

#[derive(Clone, Copy)]
struct Words(uint32x4_t);

// SAFETY of every block below: the functions are inlined into those above alone, which enable the instructions.
impl Vector for Words {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: see above.
        Words(unsafe { vdupq_n_u32(word) })
    }

    #[inline(always)]
    fn load(lanes: &[u32; LANES_MAX]) -> Self {
        // SAFETY: see above; 16 bytes are read of an array of 64.
        Words(unsafe { vld1q_u32(lanes.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, lanes: &mut [u32; LANES_MAX]) {
        // SAFETY: see above; 16 bytes are written to an array of 64.
        unsafe { vst1q_u32(lanes.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { vaddq_u32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { veorq_u32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(a: Self, b: Self, c: Self) -> Self {
        a.xor(b).xor(c)
    }

    #[inline(always)]
    fn choose(a: Self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { vbslq_u32(a.0, b.0, c.0) })
    }

    #[inline(always)]
    fn majority(a: Self, b: Self, c: Self) -> Self {
        // where the first two agree, either; elsewhere the third has the vote
        Self::choose(a.xor(b), c, a)
    }

    #[inline(always)]
    fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self {
        // SAFETY: see above.
        Words(unsafe { vsriq_n_u32::<REST>(vshlq_n_u32::<BITS>(self.0), self.0) })
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(self) -> Self {
        // SAFETY: see above.
        Words(unsafe { vshrq_n_u32::<BITS>(self.0) })
    }

    #[inline(always)]
    unsafe fn load_blocks(starts: &[*const u8; LANES_MAX], offset: usize) -> [Self; 16] {
        let mut words = [Self::splat(0); 16];
        for quarter in 0..4 {
            // SAFETY: see above for the instructions; the caller gives 64 readable bytes at each place, of which these
            // are a quarter.
            unsafe {
                let mut rows = [vdupq_n_u32(0); 4];
                for lane in 0..4 {
                    let bytes = vld1q_u8(starts[lane].add(offset + 16 * quarter));
                    rows[lane] = vreinterpretq_u32_u8(vrev32q_u8(bytes));
                }
                let rows = transpose(rows);
                for word in 0..4 {
                    words[4 * quarter + word] = Words(rows[word]);
                }
            }
        }
        words
    }
}

/// Word `i` of row `l` becomes word `l` of row `i`.
///
/// # Safety
/// To be inlined into a function that enables NEON.
#[inline(always)]
unsafe fn transpose(rows: [uint32x4_t; 4]) -> [uint32x4_t; 4] {
    // SAFETY: the caller's.
    unsafe {
        let low = [vtrn1q_u32(rows[0], rows[1]), vtrn1q_u32(rows[2], rows[3])];
        let high = [vtrn2q_u32(rows[0], rows[1]), vtrn2q_u32(rows[2], rows[3])];
        [first_halves(low), first_halves(high), second_halves(low), second_halves(high)]
    }
}

/// The first half of each.
///
/// # Safety
/// To be inlined into a function that enables NEON.
#[inline(always)]
unsafe fn first_halves([a, b]: [uint32x4_t; 2]) -> uint32x4_t {
    // SAFETY: the caller's.
    unsafe { vreinterpretq_u32_u64(vtrn1q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b))) }
}

/// The second half of each.
///
/// # Safety
/// To be inlined into a function that enables NEON.
#[inline(always)]
unsafe fn second_halves([a, b]: [uint32x4_t; 2]) -> uint32x4_t {
    // SAFETY: the caller's.
    unsafe { vreinterpretq_u32_u64(vtrn2q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b))) }
}
