//! Eight lanes of AVX2.

use core::arch::x86_64::*;

use super::lanes::{Sha1, Sha256, Vector, compress_lanes};
use super::{Job, LANES_MAX};

/// Whether this machine can run these kernels.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

pub(super) fn sha1(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha1_lanes(jobs, blocks) }
}

pub(super) fn sha256(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha256_lanes(jobs, blocks) }
}

#[target_feature(enable = "avx2")]
fn sha1_lanes(jobs: &mut [Job<'_>], blocks: usize) {
    compress_lanes::<Sha1, Words>(jobs, blocks);
}

#[target_feature(enable = "avx2")]
fn sha256_lanes(jobs: &mut [Job<'_>], blocks: usize) {
    compress_lanes::<Sha256, Words>(jobs, blocks);
}

#[derive(Clone, Copy)]
struct Words(__m256i);

// SAFETY of every block below: the functions are inlined into those above alone, which enable the instructions.
impl Vector for Words {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    fn load(lanes: &[u32; LANES_MAX]) -> Self {
        // SAFETY: see above; 32 bytes are read of an array of 64.
        Words(unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, lanes: &mut [u32; LANES_MAX]) {
        // SAFETY: see above; 32 bytes are written to an array of 64.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(a: Self, b: Self, c: Self) -> Self {
        a.xor(b).xor(c)
    }

    #[inline(always)]
    fn choose(a: Self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        c.xor(Words(unsafe { _mm256_and_si256(a.0, b.xor(c).0) }))
    }

    #[inline(always)]
    fn majority(a: Self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe {
            _mm256_or_si256(_mm256_and_si256(a.0, b.0), _mm256_and_si256(c.0, _mm256_or_si256(a.0, b.0)))
        })
    }

    #[inline(always)]
    fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self {
        // SAFETY: see above.
        Words(unsafe {
            _mm256_or_si256(_mm256_slli_epi32::<BITS>(self.0), _mm256_srli_epi32::<REST>(self.0))
        })
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm256_srli_epi32::<BITS>(self.0) })
    }

    #[inline(always)]
    unsafe fn load_blocks(starts: &[*const u8; LANES_MAX], offset: usize) -> [Self; 16] {
        let mut words = [Self::splat(0); 16];
        for half in 0..2 {
            // SAFETY: see above for the instructions; the caller gives 64 readable bytes at each place, of which these
            // are the first and the last 32.
            unsafe {
                let mut rows = [_mm256_setzero_si256(); 8];
                for lane in 0..8 {
                    rows[lane] = swap_bytes(_mm256_loadu_si256(starts[lane].add(offset + 32 * half).cast()));
                }
                let rows = transpose(rows);
                for word in 0..8 {
                    words[8 * half + word] = Words(rows[word]);
                }
            }
        }
        words
    }
}

/// Word `i` of row `l` becomes word `l` of row `i`.
///
/// # Safety
/// To be inlined into a function that enables AVX2.
#[inline(always)]
unsafe fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let mut pairs = rows;
    let mut quads = rows;
    let mut out = rows;
    // SAFETY: the caller's.
    unsafe {
        for i in [0, 2, 4, 6] {
            pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
        }
        for i in [0, 4] {
            quads[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
            quads[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
            quads[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
            quads[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
        }
        // quads[4r + w] holds words w and w + 4 of rows 4r to 4r + 3, a 128-bit half each
        for w in 0..4 {
            out[w] = _mm256_permute2x128_si256::<0x20>(quads[w], quads[4 + w]);
            out[4 + w] = _mm256_permute2x128_si256::<0x31>(quads[w], quads[4 + w]);
        }
    }
    out
}

/// Turns each word's bytes around.
///
/// # Safety
/// To be inlined into a function that enables AVX2.
#[inline(always)]
unsafe fn swap_bytes(words: __m256i) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let order =
            _mm256_broadcastsi128_si256(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
        _mm256_shuffle_epi8(words, order)
    }
}
