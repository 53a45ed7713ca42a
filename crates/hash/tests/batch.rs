//! Whatever kernels are chosen, a batch, a stream and a split stream agree.

use proptest::collection::vec;
use proptest::prelude::*;
use unchoke_hash::{Sha1Stream, Sha256Stream, lanes, sha1_batch, sha256_batch};

#[test]
fn every_length_around_a_block_agrees_with_its_stream() {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let inputs: Vec<&[u8]> = (0..bytes.len()).map(|len| &bytes[..len]).collect();
    assert_batch_equals_streams(&inputs);
}

#[test]
fn a_batch_of_none_is_no_work() {
    sha1_batch(&[], &mut []);
    sha256_batch(&[], &mut []);
    assert!(lanes() >= 1);
}

#[test]
#[should_panic(expected = "each input needs one place")]
fn lists_of_different_lengths_are_refused() {
    sha1_batch(&[b"a"], &mut []);
}

proptest! {
    #[test]
    fn batch_equals_one_by_one(inputs in vec(vec(any::<u8>(), 0..300), 0..40)) {
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        assert_batch_equals_streams(&inputs);
    }

    #[test]
    fn split_streams_equal_whole(parts in vec(vec(any::<u8>(), 0..200), 0..12)) {
        let whole = parts.concat();
        let mut sha1 = Sha1Stream::new();
        let mut sha256 = Sha256Stream::new();
        for part in &parts {
            sha1.update(part);
            sha256.update(part);
        }
        prop_assert_eq!(sha1.finish(), sha1_of(&whole));
        prop_assert_eq!(sha256.finish(), sha256_of(&whole));
    }

    #[test]
    fn a_clone_carries_the_state_on(head in vec(any::<u8>(), 0..200), tail in vec(any::<u8>(), 0..200)) {
        let mut first = Sha1Stream::new();
        first.update(&head);
        let mut second = first.clone();
        second.update(&tail);
        prop_assert_eq!(first.finish(), sha1_of(&head));
        prop_assert_eq!(second.finish(), sha1_of(&[head, tail].concat()));
    }
}

fn assert_batch_equals_streams(inputs: &[&[u8]]) {
    let mut sha1 = vec![[0; 20]; inputs.len()];
    let mut sha256 = vec![[0; 32]; inputs.len()];
    sha1_batch(inputs, &mut sha1);
    sha256_batch(inputs, &mut sha256);
    let one_by_one: Vec<[u8; 20]> = inputs.iter().map(|input| sha1_of(input)).collect();
    assert_eq!(sha1, one_by_one);
    let one_by_one: Vec<[u8; 32]> = inputs.iter().map(|input| sha256_of(input)).collect();
    assert_eq!(sha256, one_by_one);
}

fn sha1_of(input: &[u8]) -> [u8; 20] {
    let mut stream = Sha1Stream::new();
    stream.update(input);
    stream.finish()
}

fn sha256_of(input: &[u8]) -> [u8; 32] {
    let mut stream = Sha256Stream::new();
    stream.update(input);
    stream.finish()
}
