//! Kernels that run everywhere: one input after the other, with the processor's SHA instructions where it has them.

use crate::kernels::Kernels;
use crate::{Sha1Digest, Sha1Stream, Sha256Digest, Sha256Stream};

pub(crate) static KERNELS: Kernels = Kernels { lanes: 1, sha1_batch, sha256_batch };

fn sha1_batch(inputs: &[&[u8]], out: &mut [Sha1Digest]) {
    for (input, digest) in inputs.iter().zip(out) {
        let mut stream = Sha1Stream::new();
        stream.update(input);
        *digest = stream.finish();
    }
}

fn sha256_batch(inputs: &[&[u8]], out: &mut [Sha256Digest]) {
    for (input, digest) in inputs.iter().zip(out) {
        let mut stream = Sha256Stream::new();
        stream.update(input);
        *digest = stream.finish();
    }
}
