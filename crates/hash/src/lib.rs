//! SHA-1 and SHA-256 over many independent inputs.
//!
//! Pieces do not depend on each other, so several of them can be hashed side by side: in the lanes of a vector, or in turn
//! by instructions that would else wait for themselves. Callers hand over as many inputs at once as they have, best
//! [`lanes`] or more; which kernel is best for how many was measured on the machine. What arrives a part at a time goes
//! through [`Sha1Stream`] or [`Sha256Stream`], one by one or many in a call.

mod batch;
pub mod inspect;
mod kernels;
mod stream;
mod table;

use crate::kernels::{Function, SHA1, SHA256};

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
    hash_batch(&SHA1, inputs, out);
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
    hash_batch(&SHA256, inputs, out);
}

/// How many inputs must wait for (nearly) the best rate, at least 1.
///
/// Fewer are hashed at a lower rate each. More are as well, and a multiple of this is best.
pub fn lanes() -> usize {
    SHA1.table().lanes()
}

fn hash_batch<const LEN: usize>(function: &'static Function, inputs: &[&[u8]], out: &mut [[u8; LEN]]) {
    match (inputs, &mut *out) {
        ([], _) => {}
        // the one kernel for one input needs no measuring
        ([input], [digest]) => *digest = batch::hash_one(function, input),
        _ => batch::hash_batch(function, function.table(), inputs, out),
    }
}
