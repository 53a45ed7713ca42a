//! SHA-1 and SHA-256 over many independent inputs.
//!
//! Pieces do not depend on each other, so a kernel may hash several of them side by side. Callers hand over
//! as many inputs at once as they have, best a multiple of [`lanes`], and the kernels chosen for this machine
//! do the rest. What arrives a part at a time goes through [`Sha1Stream`] or [`Sha256Stream`].

mod kernels;
mod stream;

use crate::kernels::Kernels;

pub use crate::stream::{Sha1Stream, Sha256Stream};

/// The bytes of a SHA-1 digest.
pub type Sha1Digest = [u8; 20];

/// The bytes of a SHA-256 digest.
pub type Sha256Digest = [u8; 32];

/// Writes the SHA-1 of each input to the same place in `out`.
///
/// The inputs may differ in length, and either list may be any length.
///
/// # Panics
///
/// If `inputs` and `out` differ in length.
pub fn sha1_batch(inputs: &[&[u8]], out: &mut [Sha1Digest]) {
    assert_eq!(inputs.len(), out.len(), "each input needs one place for its digest");
    (Kernels::chosen().sha1_batch)(inputs, out);
}

/// Writes the SHA-256 of each input to the same place in `out`.
///
/// The inputs may differ in length, and either list may be any length.
///
/// # Panics
///
/// If `inputs` and `out` differ in length.
pub fn sha256_batch(inputs: &[&[u8]], out: &mut [Sha256Digest]) {
    assert_eq!(inputs.len(), out.len(), "each input needs one place for its digest");
    (Kernels::chosen().sha256_batch)(inputs, out);
}

/// How many inputs the chosen kernels hash side by side, at least 1.
///
/// A batch smaller than this leaves lanes idle; one that is larger costs nothing extra.
pub fn lanes() -> usize {
    Kernels::chosen().lanes
}
