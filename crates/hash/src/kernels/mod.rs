//! The table of kernels and the choice among them, made once per process.

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions")]
mod avx512;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads by pointer")]
mod lanes;
mod portable;

use std::sync::OnceLock;

use crate::{Sha1Digest, Sha256Digest};

/// One way to hash a batch. Both functions may count on `inputs` and `out` being of one length.
#[derive(Debug)]
pub(crate) struct Kernels {
    /// Inputs hashed side by side, at least 1.
    pub(crate) lanes: usize,
    pub(crate) sha1_batch: fn(inputs: &[&[u8]], out: &mut [Sha1Digest]),
    pub(crate) sha256_batch: fn(inputs: &[&[u8]], out: &mut [Sha256Digest]),
}

impl Kernels {
    /// The fastest kernels that this machine can run.
    pub(crate) fn chosen() -> &'static Self {
        static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
        CHOSEN.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if avx512::is_available() {
                return &avx512::KERNELS;
            }
            &portable::KERNELS
        })
    }
}
