//! What the lane kernels share: many inputs side by side, each lane of a vector hashing its own.
//!
//! SHA-1 and SHA-256 are written once over [`Vector`]; an instruction set gives its vector and two entry points that
//! enable it, into which all of this is inlined. So there are no closures here: they would not be inlined with it.

use super::constants::{SHA1_ROUND, SHA256_ROUND};
use super::{BLOCK, Job, LANES_MAX};

/// The body once for each number, as a constant of that name: loops of rounds must leave no index to be computed.
macro_rules! unrolled {
    ($t:ident: $($n:literal)* => $body:expr) => {
        $({
            #[expect(non_upper_case_globals, reason = "it stands for a loop's variable")]
            const $t: usize = $n;
            $body;
        })*
    };
}
pub(super) use unrolled;

/// A vector of 32-bit words, one a lane.
///
/// All functions must be inlined into one that enables the vector's instruction set.
pub(super) trait Vector: Copy {
    /// Lanes, at most [`LANES_MAX`].
    const LANES: usize;

    /// One word in all lanes.
    fn splat(word: u32) -> Self;
    /// The words of `lanes`, of which as many as there are lanes count.
    fn load(lanes: &[u32; LANES_MAX]) -> Self;
    /// Sets the words of `lanes`, as many as there are lanes.
    fn store(self, lanes: &mut [u32; LANES_MAX]);
    /// The sum, modulo 2³².
    fn add(self, other: Self) -> Self;
    /// The exclusive or of two.
    fn xor(self, other: Self) -> Self;
    /// The exclusive or of three.
    fn xor3(a: Self, b: Self, c: Self) -> Self;
    /// The bits of `b` where `a` has ones, of `c` elsewhere.
    fn choose(a: Self, b: Self, c: Self) -> Self;
    /// The bits most of the three have.
    fn majority(a: Self, b: Self, c: Self) -> Self;
    /// Rotates each word left by `BITS`, which are 32 together with `REST`.
    fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self;
    /// Shifts each word right.
    fn shift_right<const BITS: i32>(self) -> Self;

    /// The 16 words of one block of every lane: word `i` of lane `l` is the big-endian word `i` at `offset` bytes beyond
    /// `starts[l]`.
    ///
    /// # Safety
    /// There are 64 readable bytes at each of the first [`Self::LANES`] places.
    unsafe fn load_blocks(starts: &[*const u8; LANES_MAX], offset: usize) -> [Self; 16];
}

/// A hash function over lanes.
pub(super) trait Algorithm {
    /// Words of state.
    const WORDS: usize;

    /// Takes one block into the state of every lane.
    fn compress<V: Vector>(state: &mut [V; 8], block: [V; 16]);
}

/// Where each of the first `N` lanes reads. A lane without a job reads with the first; what comes of it is left alone.
///
/// # Panics
///
/// If there is no job, or one has fewer blocks.
#[inline(always)]
pub(super) fn starts<const N: usize>(jobs: &[Job<'_>], blocks: usize) -> [*const u8; N] {
    let len = blocks * BLOCK;
    let mut starts = [jobs[0].bytes[..len].as_ptr(); N];
    for (start, job) in starts.iter_mut().zip(jobs) {
        *start = job.bytes[..len].as_ptr();
    }
    starts
}

/// Takes so many blocks of each job into its state.
#[inline(always)]
pub(super) fn compress_lanes<A: Algorithm, V: Vector>(jobs: &mut [Job<'_>], blocks: usize) {
    assert!(jobs.len() <= V::LANES, "a lane for each job");
    let starts = starts::<LANES_MAX>(jobs, blocks);
    let mut words = [[0; LANES_MAX]; 8];
    for (lane, job) in jobs.iter().enumerate() {
        for word in 0..A::WORDS {
            words[word][lane] = job.state[word];
        }
    }
    let mut state = [V::splat(0); 8];
    for word in 0..A::WORDS {
        state[word] = V::load(&words[word]);
    }
    for block in 0..blocks {
        // SAFETY: each place is in a slice of `blocks` blocks, a job's, which is borrowed for the whole of this function.
        let block = unsafe { V::load_blocks(&starts, block * BLOCK) };
        A::compress(&mut state, block);
    }
    for word in 0..A::WORDS {
        state[word].store(&mut words[word]);
    }
    for (lane, job) in jobs.iter_mut().enumerate() {
        for word in 0..A::WORDS {
            job.state[word] = words[word][lane];
        }
    }
}

/// SHA-1 (FIPS 180-4).
pub(super) struct Sha1;

impl Algorithm for Sha1 {
    const WORDS: usize = 5;

    #[inline(always)]
    fn compress<V: Vector>(state: &mut [V; 8], mut w: [V; 16]) {
        let mut v = [state[0], state[1], state[2], state[3], state[4]];
        unrolled!(t: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 => v = sha1_round(v, w[t], t));
        unrolled!(t: 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47
        48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 => {
            let mixed = V::xor3(w[(t + 13) % 16], w[(t + 8) % 16], w[(t + 2) % 16]);
            w[t % 16] = mixed.xor(w[t % 16]).rotate_left::<1, 31>();
            v = sha1_round(v, w[t % 16], t);
        });
        for word in 0..Self::WORDS {
            state[word] = state[word].add(v[word]);
        }
    }
}

/// One of SHA-1's 80 rounds.
#[inline(always)]
fn sha1_round<V: Vector>([a, b, c, d, e]: [V; 5], word: V, t: usize) -> [V; 5] {
    let f = match t / 20 {
        0 => V::choose(b, c, d),
        2 => V::majority(b, c, d),
        _ => V::xor3(b, c, d),
    };
    let next = a.rotate_left::<5, 27>().add(f).add(e.add(word.add(V::splat(SHA1_ROUND[t / 20]))));
    [next, a, b.rotate_left::<30, 2>(), c, d]
}

/// SHA-256 (FIPS 180-4).
pub(super) struct Sha256;

impl Algorithm for Sha256 {
    const WORDS: usize = 8;

    #[inline(always)]
    fn compress<V: Vector>(state: &mut [V; 8], mut w: [V; 16]) {
        let mut v = *state;
        unrolled!(t: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 => v = sha256_round(v, w[t], t));
        unrolled!(t: 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
        40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 => {
            let (x, y) = (w[(t + 1) % 16], w[(t + 14) % 16]);
            let s0 = V::xor3(x.rotate_left::<25, 7>(), x.rotate_left::<14, 18>(), x.shift_right::<3>());
            let s1 = V::xor3(y.rotate_left::<15, 17>(), y.rotate_left::<13, 19>(), y.shift_right::<10>());
            w[t % 16] = w[t % 16].add(s0).add(w[(t + 9) % 16].add(s1));
            v = sha256_round(v, w[t % 16], t);
        });
        for word in 0..Self::WORDS {
            state[word] = state[word].add(v[word]);
        }
    }
}

/// One of SHA-256's 64 rounds.
#[inline(always)]
fn sha256_round<V: Vector>([a, b, c, d, e, f, g, h]: [V; 8], word: V, t: usize) -> [V; 8] {
    let s1 = V::xor3(e.rotate_left::<26, 6>(), e.rotate_left::<21, 11>(), e.rotate_left::<7, 25>());
    let t1 = h.add(s1).add(V::choose(e, f, g).add(word.add(V::splat(SHA256_ROUND[t]))));
    let s0 = V::xor3(a.rotate_left::<30, 2>(), a.rotate_left::<19, 13>(), a.rotate_left::<10, 22>());
    [t1.add(s0).add(V::majority(a, b, c)), a, b, c, d.add(t1), e, f, g]
}
