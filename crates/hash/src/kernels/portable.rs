//! Kernels that run everywhere: one input, by the libraries of RustCrypto.

use super::{Job, Kernel};

pub(super) const SHA1: Kernel = Kernel { name: "portable", lanes: 1, is_available: || true, compress: sha1 };
pub(super) const SHA256: Kernel =
    Kernel { name: "portable", lanes: 1, is_available: || true, compress: sha256 };

fn sha1(jobs: &mut [Job<'_>], blocks: usize) {
    for job in jobs {
        let words = job.state.first_chunk_mut().expect("eight words are no fewer than five");
        sha1::block_api::compress(words, &job.bytes.as_chunks().0[..blocks]);
    }
}

fn sha256(jobs: &mut [Job<'_>], blocks: usize) {
    for job in jobs {
        sha2::block_api::compress256(job.state, &job.bytes.as_chunks().0[..blocks]);
    }
}
