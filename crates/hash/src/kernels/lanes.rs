//! What the lane kernels share: many inputs side by side, each lane of a vector hashing its own.
//!
//! SHA-1 and SHA-256 are written once over [`Vector`]; an instruction set gives its vector and two entry points that
//! enable it, into which all of this is inlined.

use core::marker::PhantomData;

/// Bytes of a block of SHA-1 and SHA-256.
const BLOCK: usize = 64;
/// Most lanes a vector has.
pub(super) const LANES_MAX: usize = 16;

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
    /// Rotates each word left.
    fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self;
    /// Shifts each word right.
    fn shift_right<const BITS: u32>(self) -> Self;

    /// The 16 words of one block of every lane: word `i` of lane `l` is the big-endian word `i` at `blocks[l]`.
    ///
    /// # Safety
    /// Each of the first [`Self::LANES`] pointers is to 64 readable bytes.
    unsafe fn load_blocks(blocks: &[*const u8; LANES_MAX]) -> [Self; 16];
}

/// A hash function over lanes.
pub(super) trait Algorithm {
    /// Words of state.
    const WORDS: usize;
    /// The state before the first block; words beyond [`Self::WORDS`] are not used.
    const INITIAL: [u32; 8];

    /// Takes one block into the state of every lane.
    fn compress<V: Vector>(state: &mut [V; 8], block: [V; 16]);
}

/// Where one lane reads.
#[derive(Clone, Copy)]
struct Cursor {
    reads: Reads,
    /// The next byte of it.
    at: usize,
    /// Whole blocks from there; no end of them in an idle lane.
    blocks: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// The whole blocks of this input.
    Input(usize),
    /// The lane's tail, the end of this input.
    Tail(usize),
    /// Nothing.
    Idle,
}

impl Cursor {
    const IDLE: Cursor = Cursor { reads: Reads::Idle, at: 0, blocks: usize::MAX };
}

/// A lane's last bytes with the padding: one block or two.
#[derive(Clone, Copy)]
struct Tail {
    bytes: [u8; 2 * BLOCK],
    blocks: usize,
}

impl Tail {
    const EMPTY: Tail = Tail { bytes: [0; 2 * BLOCK], blocks: 0 };

    /// The padded end of `input`.
    fn of(input: &[u8]) -> Self {
        let rest = &input[input.len() / BLOCK * BLOCK..];
        let mut tail = Tail::EMPTY;
        tail.bytes[..rest.len()].copy_from_slice(rest);
        tail.bytes[rest.len()] = 0x80;
        tail.blocks = if rest.len() < BLOCK - 8 { 1 } else { 2 };
        let bits = u64::try_from(input.len()).expect("a length fits 64 bits") * 8;
        let end = tail.blocks * BLOCK;
        tail.bytes[end - 8..end].copy_from_slice(&bits.to_be_bytes());
        tail
    }
}

/// The state of a batch over the lanes of `V`.
struct Lanes<'i, A, V> {
    inputs: &'i [&'i [u8]],
    next: usize,
    cursors: [Cursor; LANES_MAX],
    tails: [Tail; LANES_MAX],
    /// Word `w` of all lanes.
    words: [[u32; LANES_MAX]; 8],
    kind: PhantomData<(A, V)>,
}

/// Writes the digest of each input, as big-endian words, to the same place of `out`. The inputs and places are as many.
#[inline(always)]
pub(super) fn hash_batch<A: Algorithm, V: Vector, const LEN: usize>(inputs: &[&[u8]], out: &mut [[u8; LEN]]) {
    let mut lanes = Lanes::<A, V> {
        inputs,
        next: 0,
        cursors: [Cursor::IDLE; LANES_MAX],
        tails: [Tail::EMPTY; LANES_MAX],
        words: [[0; LANES_MAX]; 8],
        kind: PhantomData,
    };
    let mut busy = 0;
    for lane in 0..V::LANES {
        busy += usize::from(lanes.begin(lane));
    }
    while busy > 0 {
        let blocks = lanes.cursors[..V::LANES].iter().map(|c| c.blocks).min().unwrap_or(0);
        lanes.run(blocks);
        for lane in 0..V::LANES {
            match lanes.cursors[lane] {
                Cursor { reads: Reads::Input(input), blocks: 0, .. } => lanes.begin_tail(lane, input),
                Cursor { reads: Reads::Tail(input), blocks: 0, .. } => {
                    for (bytes, word) in out[input].chunks_exact_mut(4).zip(&lanes.words) {
                        bytes.copy_from_slice(&word[lane].to_be_bytes());
                    }
                    busy -= usize::from(!lanes.begin(lane));
                }
                _ => {}
            }
        }
    }
}

impl<A: Algorithm, V: Vector> Lanes<'_, A, V> {
    /// Gives a lane the next input; `false` when there is none.
    fn begin(&mut self, lane: usize) -> bool {
        self.cursors[lane] = Cursor::IDLE;
        let Some(bytes) = self.inputs.get(self.next) else { return false };
        let input = self.next;
        self.next += 1;
        for (word, initial) in self.words.iter_mut().zip(A::INITIAL) {
            word[lane] = initial;
        }
        self.tails[lane] = Tail::of(bytes);
        match bytes.len() / BLOCK {
            0 => self.begin_tail(lane, input),
            blocks => self.cursors[lane] = Cursor { reads: Reads::Input(input), at: 0, blocks },
        }
        true
    }

    fn begin_tail(&mut self, lane: usize, input: usize) {
        self.cursors[lane] = Cursor { reads: Reads::Tail(input), at: 0, blocks: self.tails[lane].blocks };
    }

    /// Takes `blocks` blocks in every lane; no busy lane has fewer.
    #[inline(always)]
    fn run(&mut self, blocks: usize) {
        static NOTHING: [u8; BLOCK] = [0; BLOCK];
        let mut at = [NOTHING.as_ptr(); LANES_MAX];
        let mut strides = [0; LANES_MAX];
        for lane in 0..V::LANES {
            let cursor = &mut self.cursors[lane];
            let bytes = match cursor.reads {
                Reads::Input(input) => self.inputs[input],
                Reads::Tail(_) => &self.tails[lane].bytes,
                Reads::Idle => continue,
            };
            let end = cursor.at + blocks * BLOCK;
            at[lane] = bytes[cursor.at..end].as_ptr();
            strides[lane] = BLOCK;
            (cursor.at, cursor.blocks) = (end, cursor.blocks - blocks);
        }
        let mut state = [V::splat(0); 8];
        for (vector, words) in state.iter_mut().zip(&self.words).take(A::WORDS) {
            *vector = V::load(words);
        }
        for _ in 0..blocks {
            // SAFETY: a busy lane's pointer was taken from a slice of `blocks` blocks, of which this is the next; an
            // idle lane's stays at a static block. Nothing is written to any of them meanwhile.
            let block = unsafe { V::load_blocks(&at) };
            for (at, stride) in at.iter_mut().zip(&strides) {
                *at = at.wrapping_add(*stride);
            }
            A::compress(&mut state, block);
        }
        for (vector, words) in state.iter().zip(&mut self.words).take(A::WORDS) {
            vector.store(words);
        }
    }
}

/// SHA-1 (FIPS 180-4).
pub(super) struct Sha1;

impl Algorithm for Sha1 {
    const WORDS: usize = 5;
    const INITIAL: [u32; 8] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0];

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
        for (old, new) in state.iter_mut().zip(v) {
            *old = old.add(new);
        }
    }
}

/// One of SHA-1's 80 rounds.
#[inline(always)]
fn sha1_round<V: Vector>([a, b, c, d, e]: [V; 5], word: V, t: usize) -> [V; 5] {
    let (f, k) = match t / 20 {
        0 => (V::choose(b, c, d), 0x5a82_7999),
        1 => (V::xor3(b, c, d), 0x6ed9_eba1),
        2 => (V::majority(b, c, d), 0x8f1b_bcdc),
        _ => (V::xor3(b, c, d), 0xca62_c1d6),
    };
    let next = a.rotate_left::<5, 27>().add(f).add(e.add(word.add(V::splat(k))));
    [next, a, b.rotate_left::<30, 2>(), c, d]
}

/// SHA-256 (FIPS 180-4).
pub(super) struct Sha256;

impl Algorithm for Sha256 {
    const WORDS: usize = 8;
    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

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
        for (old, new) in state.iter_mut().zip(v) {
            *old = old.add(new);
        }
    }
}

/// One of SHA-256's 64 rounds.
#[inline(always)]
fn sha256_round<V: Vector>([a, b, c, d, e, f, g, h]: [V; 8], word: V, t: usize) -> [V; 8] {
    let s1 = V::xor3(e.rotate_left::<26, 6>(), e.rotate_left::<21, 11>(), e.rotate_left::<7, 25>());
    let t1 = h.add(s1).add(V::choose(e, f, g).add(word.add(V::splat(ROUND[t]))));
    let s0 = V::xor3(a.rotate_left::<30, 2>(), a.rotate_left::<19, 13>(), a.rotate_left::<10, 22>());
    [t1.add(s0).add(V::majority(a, b, c)), a, b, c, d.add(t1), e, f, g]
}

/// The round constants of SHA-256.
const ROUND: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];
