//! Hashing of many inputs at once, by every kernel that can be run and by streams.

use unchoke_hash::inspect::{sha1_batch_by, sha1_kernels, sha256_batch_by, sha256_kernels};
use unchoke_hash::{Sha1Stream, Sha256Stream, sha1_batch, sha256_batch};

/// Inputs of a batch: more than there are lanes, twice.
const INPUTS_MAX: usize = 40;

/// Every kernel has the digests that streams have, which are fed the same inputs in two parts.
///
/// The bytes are cut into inputs: a first byte says how many, two more of each how long it is and where its stream is cut.
pub fn hash(data: &[u8]) {
    let Some((&count, data)) = data.split_first() else { return };
    let count = usize::from(count) % (INPUTS_MAX + 1);
    let Some((cuts, bytes)) = data.split_at_checked(2 * count) else { return };
    let cuts = cuts.as_chunks::<2>().0;
    let inputs: Vec<&[u8]> =
        cuts.iter().map(|[len, _]| &bytes[..bytes.len() * usize::from(*len) / 255]).collect();
    let halves: Vec<_> =
        inputs.iter().zip(cuts).map(|(i, [_, cut])| i.split_at(i.len() * usize::from(*cut) / 255)).collect();

    let due = sha1_by_streams(&halves);
    let mut out = vec![[0; 20]; count];
    sha1_batch(&inputs, &mut out);
    assert_eq!(out, due);
    for kernel in sha1_kernels() {
        out.fill([0; 20]);
        sha1_batch_by(kernel.name, &inputs, &mut out);
        assert_eq!(out, due, "{}", kernel.name);
    }

    let due = sha256_by_streams(&halves);
    let mut out = vec![[0; 32]; count];
    sha256_batch(&inputs, &mut out);
    assert_eq!(out, due);
    for kernel in sha256_kernels() {
        out.fill([0; 32]);
        sha256_batch_by(kernel.name, &inputs, &mut out);
        assert_eq!(out, due, "{}", kernel.name);
    }
}

/// The first parts all at once, the second one by one.
fn sha1_by_streams(halves: &[(&[u8], &[u8])]) -> Vec<[u8; 20]> {
    let mut streams = vec![Sha1Stream::new(); halves.len()];
    let mut updates: Vec<_> = streams.iter_mut().zip(halves.iter().map(|(first, _)| *first)).collect();
    Sha1Stream::update_batch(&mut updates);
    let mut digests = Vec::new();
    for (mut stream, (_, second)) in streams.into_iter().zip(halves) {
        stream.update(second);
        digests.push(stream.finish());
    }
    digests
}

/// The first parts one by one, the second all at once.
fn sha256_by_streams(halves: &[(&[u8], &[u8])]) -> Vec<[u8; 32]> {
    let mut streams = vec![Sha256Stream::new(); halves.len()];
    for (stream, (first, _)) in streams.iter_mut().zip(halves) {
        stream.update(first);
    }
    let mut updates: Vec<_> = streams.iter_mut().zip(halves.iter().map(|(_, second)| *second)).collect();
    Sha256Stream::update_batch(&mut updates);
    streams.into_iter().map(Sha256Stream::finish).collect()
}
