//! The SHA instructions of x86, over `N` inputs in turn.
//!
//! One input leaves the unit idle while each result is awaited by the next instruction; the steps of a second fill in.

use core::arch::x86_64::*;

use super::constants::SHA256_ROUND;
use super::lanes::{starts, unrolled};
use super::{BLOCK, Job};

/// Whether this machine can run these kernels.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

pub(super) fn sha1<const N: usize>(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha1_streams::<N>(jobs, blocks) }
}

pub(super) fn sha256<const N: usize>(jobs: &mut [Job<'_>], blocks: usize) {
    // SAFETY: a kernel is called only where it is available.
    unsafe { sha256_streams::<N>(jobs, blocks) }
}

/// The next four rounds, group `g` of 20: the words of a group are made in place of those of four groups before.
///
/// # Safety
/// To be inlined into a function that enables the instructions.
macro_rules! sha1_group {
    ($g:ident, $streams:expr, $words:ident, $abcd:ident, $e:ident) => {{
        const K: i32 = match $g / 5 {
            0 => 0,
            1 => 1,
            2 => 2,
            _ => 3,
        };
        for s in 0..$streams {
            let w = &mut $words[s];
            if $g >= 4 {
                let mixed = _mm_xor_si128(_mm_sha1msg1_epu32(w[$g % 4], w[($g + 1) % 4]), w[($g + 2) % 4]);
                w[$g % 4] = _mm_sha1msg2_epu32(mixed, w[($g + 3) % 4]);
            }
            // in front of the first four rounds the fifth word is as it is, after others it is the first, rotated
            let e = match $g {
                0 => _mm_add_epi32($e[s], w[0]),
                _ => _mm_sha1nexte_epu32($e[s], w[$g % 4]),
            };
            $e[s] = $abcd[s];
            $abcd[s] = _mm_sha1rnds4_epu32::<K>($abcd[s], e);
        }
    }};
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha1_streams<const N: usize>(jobs: &mut [Job<'_>], blocks: usize) {
    let starts = starts::<N>(jobs, blocks);
    // all 16 bytes are turned around: the instructions want the first word in the highest place
    let order = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let mut abcd = [_mm_setzero_si128(); N];
    let mut e = [_mm_setzero_si128(); N];
    for (s, job) in jobs.iter().enumerate() {
        let [w0, w1, w2, w3, w4, ..] = job.state.map(u32::cast_signed);
        abcd[s] = _mm_set_epi32(w0, w1, w2, w3);
        e[s] = _mm_set_epi32(w4, 0, 0, 0);
    }
    for block in 0..blocks {
        let (before_abcd, before_e) = (abcd, e);
        let mut words = [[_mm_setzero_si128(); 4]; N];
        for s in 0..N {
            for w in 0..4 {
                let at = starts[s].wrapping_add(block * BLOCK + 16 * w).cast();
                // SAFETY: 16 bytes in a slice of `blocks` blocks, a job's, which is borrowed for the whole of this function.
                words[s][w] = _mm_shuffle_epi8(unsafe { _mm_loadu_si128(at) }, order);
            }
        }
        unrolled!(g: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 => sha1_group!(g, N, words, abcd, e));
        for s in 0..N {
            e[s] = _mm_sha1nexte_epu32(e[s], before_e[s]);
            abcd[s] = _mm_add_epi32(abcd[s], before_abcd[s]);
        }
    }
    for (s, job) in jobs.iter_mut().enumerate() {
        job.state[0] = _mm_extract_epi32::<3>(abcd[s]).cast_unsigned();
        job.state[1] = _mm_extract_epi32::<2>(abcd[s]).cast_unsigned();
        job.state[2] = _mm_extract_epi32::<1>(abcd[s]).cast_unsigned();
        job.state[3] = _mm_extract_epi32::<0>(abcd[s]).cast_unsigned();
        job.state[4] = _mm_extract_epi32::<3>(e[s]).cast_unsigned();
    }
}

/// The next four rounds, group `g` of 16.
macro_rules! sha256_group {
    ($g:ident, $streams:expr, $words:ident, $abef:ident, $cdgh:ident) => {{
        // SAFETY: four of the 64 constants, of which there are as many as groups.
        let constants = unsafe { _mm_loadu_si128(SHA256_ROUND.as_ptr().add(4 * $g).cast()) };
        for s in 0..$streams {
            let w = &mut $words[s];
            if $g >= 4 {
                let seventh = _mm_alignr_epi8::<4>(w[($g + 3) % 4], w[($g + 2) % 4]);
                let mixed = _mm_add_epi32(_mm_sha256msg1_epu32(w[$g % 4], w[($g + 1) % 4]), seventh);
                w[$g % 4] = _mm_sha256msg2_epu32(mixed, w[($g + 3) % 4]);
            }
            let first = _mm_add_epi32(w[$g % 4], constants);
            $cdgh[s] = _mm_sha256rnds2_epu32($cdgh[s], $abef[s], first);
            $abef[s] = _mm_sha256rnds2_epu32($abef[s], $cdgh[s], _mm_shuffle_epi32::<0x0e>(first));
        }
    }};
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha256_streams<const N: usize>(jobs: &mut [Job<'_>], blocks: usize) {
    let starts = starts::<N>(jobs, blocks);
    // the bytes of each word are turned around
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut abef = [_mm_setzero_si128(); N];
    let mut cdgh = [_mm_setzero_si128(); N];
    for (s, job) in jobs.iter().enumerate() {
        let [a, b, c, d, e, f, g, h] = job.state.map(u32::cast_signed);
        abef[s] = _mm_set_epi32(a, b, e, f);
        cdgh[s] = _mm_set_epi32(c, d, g, h);
    }
    for block in 0..blocks {
        let (before_abef, before_cdgh) = (abef, cdgh);
        let mut words = [[_mm_setzero_si128(); 4]; N];
        for s in 0..N {
            for w in 0..4 {
                let at = starts[s].wrapping_add(block * BLOCK + 16 * w).cast();
                // SAFETY: 16 bytes in a slice of `blocks` blocks, a job's, which is borrowed for the whole of this function.
                words[s][w] = _mm_shuffle_epi8(unsafe { _mm_loadu_si128(at) }, order);
            }
        }
        unrolled!(g: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 => sha256_group!(g, N, words, abef, cdgh));
        for s in 0..N {
            abef[s] = _mm_add_epi32(abef[s], before_abef[s]);
            cdgh[s] = _mm_add_epi32(cdgh[s], before_cdgh[s]);
        }
    }
    for (s, job) in jobs.iter_mut().enumerate() {
        let (high, low) = (abef[s], cdgh[s]);
        let words = [
            _mm_extract_epi32::<3>(high),
            _mm_extract_epi32::<2>(high),
            _mm_extract_epi32::<3>(low),
            _mm_extract_epi32::<2>(low),
            _mm_extract_epi32::<1>(high),
            _mm_extract_epi32::<0>(high),
            _mm_extract_epi32::<1>(low),
            _mm_extract_epi32::<0>(low),
        ];
        *job.state = words.map(i32::cast_unsigned);
    }
}
