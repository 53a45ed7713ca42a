//! Sixteen lanes of AVX-512.

use core::arch::x86_64::*;

use super::lanes::{Sha1, Sha256, Vector, compress_lanes};
use super::{Job, LANES_MAX};

/// Whether this machine can run these kernels.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

pub(super) fn sha1(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha1_lanes(jobs, blocks) }
}

pub(super) fn sha256(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha256_lanes(jobs, blocks) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn sha1_lanes(jobs: &mut [Job<'_>], blocks: usize) {
    compress_lanes::<Sha1, Words>(jobs, blocks);
}

#[target_feature(enable = "avx512f,avx512bw")]
fn sha256_lanes(jobs: &mut [Job<'_>], blocks: usize) {
    compress_lanes::<Sha256, Words>(jobs, blocks);
}

#[derive(Clone, Copy)]
struct Words(__m512i);

// SAFETY of every block below: the functions are inlined into those above alone, which enable the instructions.
impl Vector for Words {
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm512_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    fn load(lanes: &[u32; LANES_MAX]) -> Self {
        // SAFETY: see above; 64 bytes are read of an array of 64.
        Words(unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, lanes: &mut [u32; LANES_MAX]) {
        // SAFETY: see above; 64 bytes are written to an array of 64.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm512_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(a: Self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm512_ternarylogic_epi32::<0x96>(a.0, b.0, c.0) })
    }

    #[inline(always)]
    fn choose(a: Self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm512_ternarylogic_epi32::<0xca>(a.0, b.0, c.0) })
    }

    #[inline(always)]
    fn majority(a: Self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm512_ternarylogic_epi32::<0xe8>(a.0, b.0, c.0) })
    }

    #[inline(always)]
    fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self {
        // SAFETY: see above.
        Words(unsafe { _mm512_rol_epi32::<BITS>(self.0) })
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(self) -> Self {
        // SAFETY: see above. The count is a constant, and so becomes part of the instruction.
        Words(unsafe { _mm512_srl_epi32(self.0, _mm_cvtsi32_si128(BITS)) })
    }

    #[inline(always)]
    unsafe fn load_blocks(starts: &[*const u8; LANES_MAX], offset: usize) -> [Self; 16] {
        // SAFETY: see above for the instructions; the caller gives 64 readable bytes at each place.
        unsafe {
            let mut rows = [_mm512_setzero_si512(); 16];
            for lane in 0..16 {
                rows[lane] = swap_bytes(_mm512_loadu_si512(starts[lane].add(offset).cast()));
            }
            let rows = transpose(rows);
            let mut words = [Words(rows[0]); 16];
            for word in 1..16 {
                words[word] = Words(rows[word]);
            }
            words
        }
    }
}

/// Word `i` of row `l` becomes word `l` of row `i`.
///
/// # Safety
/// To be inlined into a function that enables AVX-512.
#[inline(always)]
unsafe fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = rows;
    let mut quads = rows;
    // SAFETY: the caller's.
    unsafe {
        for i in (0..16).step_by(2) {
            pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
        }
        for i in (0..16).step_by(4) {
            quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
            quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
            quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
            quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
        }
        // quads[4r + w] holds word w, w + 4, w + 8, w + 12 of rows 4r to 4r + 3, a 128-bit part each
        let mut out = rows;
        for w in 0..4 {
            let low_a = _mm512_shuffle_i32x4::<0x88>(quads[w], quads[4 + w]);
            let low_b = _mm512_shuffle_i32x4::<0x88>(quads[8 + w], quads[12 + w]);
            let high_a = _mm512_shuffle_i32x4::<0xdd>(quads[w], quads[4 + w]);
            let high_b = _mm512_shuffle_i32x4::<0xdd>(quads[8 + w], quads[12 + w]);
            out[w] = _mm512_shuffle_i32x4::<0x88>(low_a, low_b);
            out[8 + w] = _mm512_shuffle_i32x4::<0xdd>(low_a, low_b);
            out[4 + w] = _mm512_shuffle_i32x4::<0x88>(high_a, high_b);
            out[12 + w] = _mm512_shuffle_i32x4::<0xdd>(high_a, high_b);
        }
        out
    }
}

/// Turns each word's bytes around.
///
/// # Safety
/// To be inlined into a function that enables AVX-512 with BW.
#[inline(always)]
unsafe fn swap_bytes(words: __m512i) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        let order =
            _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
        _mm512_shuffle_epi8(words, order)
    }
}
