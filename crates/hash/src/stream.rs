//! Hashing of inputs that arrive a part at a time.

use crate::batch::{Tail, advance, advance_one, digest_of};
use crate::kernels::{BLOCK, Function, Job, SHA1, SHA256, State};
use crate::{Sha1Digest, Sha256Digest};

/// A SHA-1 in progress. A clone carries the state on from where it was taken.
#[derive(Clone, Debug)]
pub struct Sha1Stream(Stream);

impl Sha1Stream {
    /// The state before the first byte.
    pub fn new() -> Self {
        Sha1Stream(Stream::new(&SHA1))
    }

    /// Takes in the bytes that follow what was given before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Gives each stream the bytes that follow what it was given before, as many streams side by side as the kernels
    /// have lanes. The streams may be anywhere in their inputs, and the parts of any length.
    ///
    /// ```
    /// use unchoke_hash::Sha1Stream;
    /// let (mut a, mut b) = (Sha1Stream::new(), Sha1Stream::new());
    /// Sha1Stream::update_batch(&mut [(&mut a, b"one"), (&mut b, b"another")]);
    /// assert_ne!(a.finish(), b.finish());
    /// ```
    pub fn update_batch(updates: &mut [(&mut Sha1Stream, &[u8])]) {
        update_batch(&SHA1, updates.iter_mut().map(|(stream, bytes)| (&mut stream.0, *bytes)).collect());
    }

    /// The digest of everything given.
    pub fn finish(self) -> Sha1Digest {
        self.0.finish()
    }
}

impl Default for Sha1Stream {
    fn default() -> Self {
        Self::new()
    }
}

/// A SHA-256 in progress. A clone carries the state on from where it was taken.
#[derive(Clone, Debug)]
pub struct Sha256Stream(Stream);

impl Sha256Stream {
    /// The state before the first byte.
    pub fn new() -> Self {
        Sha256Stream(Stream::new(&SHA256))
    }

    /// Takes in the bytes that follow what was given before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Gives each stream the bytes that follow what it was given before, as many streams side by side as the kernels
    /// have lanes. The streams may be anywhere in their inputs, and the parts of any length.
    pub fn update_batch(updates: &mut [(&mut Sha256Stream, &[u8])]) {
        update_batch(&SHA256, updates.iter_mut().map(|(stream, bytes)| (&mut stream.0, *bytes)).collect());
    }

    /// The digest of everything given.
    pub fn finish(self) -> Sha256Digest {
        self.0.finish()
    }
}

impl Default for Sha256Stream {
    fn default() -> Self {
        Self::new()
    }
}

/// An input of either function in progress.
#[derive(Clone, Debug)]
struct Stream {
    function: &'static Function,
    state: State,
    /// Bytes given.
    len: u64,
    /// Those beyond the last whole block.
    rest: [u8; BLOCK],
    /// How many they are, less than a block between two calls.
    rest_len: usize,
}

impl Stream {
    fn new(function: &'static Function) -> Self {
        Stream { function, state: function.initial, len: 0, rest: [0; BLOCK], rest_len: 0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        let bytes = self.fill(bytes);
        if self.rest_len == BLOCK {
            advance_one(self.function, &mut self.state, &self.rest);
            self.rest_len = 0;
        }
        let (body, rest) = bytes.split_at(bytes.len() / BLOCK * BLOCK);
        advance_one(self.function, &mut self.state, body);
        self.keep(rest);
    }

    /// Counts all of `bytes` and lays by as many as go on with a block that was begun; answers the others.
    fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        self.len += u64::try_from(bytes.len()).expect("a length fits 64 bits");
        let room = if self.rest_len == 0 { 0 } else { BLOCK - self.rest_len };
        let (begun, others) = bytes.split_at(room.min(bytes.len()));
        self.keep(begun);
        others
    }

    /// Lays bytes by, for which there is room.
    fn keep(&mut self, bytes: &[u8]) {
        self.rest[self.rest_len..][..bytes.len()].copy_from_slice(bytes);
        self.rest_len += bytes.len();
    }

    fn finish<const LEN: usize>(mut self) -> [u8; LEN] {
        let tail = Tail::new(&self.rest[..self.rest_len], self.len);
        advance_one(self.function, &mut self.state, tail.blocks());
        digest_of(&self.state)
    }
}

/// Gives each stream, all of one function, its next bytes.
fn update_batch(function: &'static Function, mut updates: Vec<(&mut Stream, &[u8])>) {
    if let [(stream, bytes)] = &mut updates[..] {
        stream.update(bytes);
        return;
    }
    let table = function.table();
    let mut jobs = Vec::with_capacity(updates.len());
    for (stream, bytes) in &mut updates {
        *bytes = stream.fill(bytes);
        if stream.rest_len == BLOCK {
            jobs.push(Job { state: &mut stream.state, bytes: &stream.rest });
        }
    }
    advance(table, &mut jobs);
    let mut jobs = Vec::with_capacity(updates.len());
    for (stream, bytes) in &mut updates {
        if stream.rest_len == BLOCK {
            stream.rest_len = 0;
        }
        let (body, rest) = bytes.split_at(bytes.len() / BLOCK * BLOCK);
        stream.keep(rest);
        jobs.push(Job { state: &mut stream.state, bytes: body });
    }
    advance(table, &mut jobs);
}
