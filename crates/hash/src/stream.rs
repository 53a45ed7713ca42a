//! Hashing of one input that arrives a part at a time.

use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::{Sha1Digest, Sha256Digest};

/// A SHA-1 in progress. A clone carries the state on from where it was taken.
#[derive(Clone, Debug, Default)]
pub struct Sha1Stream(Sha1);

impl Sha1Stream {
    /// The state before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the bytes that follow what was given before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything given.
    pub fn finish(self) -> Sha1Digest {
        self.0.finalize().into()
    }
}

/// A SHA-256 in progress. A clone carries the state on from where it was taken.
#[derive(Clone, Debug, Default)]
pub struct Sha256Stream(Sha256);

impl Sha256Stream {
    /// The state before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the bytes that follow what was given before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything given.
    pub fn finish(self) -> Sha256Digest {
        self.0.finalize().into()
    }
}
