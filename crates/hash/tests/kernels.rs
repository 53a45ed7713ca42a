//! Every kernel this machine can run, by name, against the libraries of RustCrypto; and streams fed many at once.

use proptest::collection::vec;
use proptest::prelude::*;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use unchoke_hash::inspect::{
    sha1_batch_by, sha1_choice, sha1_kernels, sha256_batch_by, sha256_choice, sha256_kernels,
};
use unchoke_hash::{Sha1Stream, Sha256Stream, lanes, sha1_batch, sha256_batch};

#[test]
fn each_kernel_takes_each_length_around_three_blocks() {
    let bytes = text(200);
    let inputs: Vec<&[u8]> = (0..=bytes.len()).map(|len| &bytes[..len]).collect();
    each_kernel_is_right(&inputs);
}

#[test]
fn each_kernel_takes_any_count_up_to_three_times_its_lanes() {
    let bytes = text(640 + 48);
    for count in 0..=48 {
        let inputs: Vec<&[u8]> = (0..count).map(|i| &bytes[i..][..640 - i % 3 * 64]).collect();
        each_kernel_is_right(&inputs);
    }
}

#[test]
fn each_kernel_takes_inputs_at_every_alignment() {
    let bytes = text(1024 + 64);
    let inputs: Vec<&[u8]> = (0..64).map(|at| &bytes[at..][..1000]).collect();
    each_kernel_is_right(&inputs);
}

#[test]
fn one_long_input_among_short_ones_is_hashed_to_its_end() {
    let bytes = text(300_000);
    let mut inputs: Vec<&[u8]> = (0..40).map(|i| &bytes[i..][..100 * i]).collect();
    inputs.insert(7, &bytes);
    each_kernel_is_right(&inputs);
}

#[test]
fn a_kernel_is_available_for_one_input_and_the_choice_is_one_of_those_listed() {
    for kernels in [sha1_kernels(), sha256_kernels()] {
        assert!(kernels.iter().any(|kernel| kernel.lanes == 1));
        assert!(kernels.is_sorted_by(|a, b| a.lanes >= b.lanes), "{kernels:?}");
    }
    assert_eq!(sha1_choice(0), None);
    for waiting in 1..100 {
        assert!(sha1_kernels().contains(&sha1_choice(waiting).unwrap()));
        assert!(sha256_kernels().contains(&sha256_choice(waiting).unwrap()));
    }
    assert!((1..=32).contains(&lanes()));
}

#[test]
#[should_panic(expected = "one that can be run")]
fn an_unknown_kernel_is_refused() {
    sha1_batch_by("abacus", &[], &mut []);
}

proptest! {
    #[test]
    fn each_kernel_is_right_for_inputs_of_any_lengths(inputs in vec(vec(any::<u8>(), 0..700), 0..40)) {
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        each_kernel_is_right(&inputs);
    }

    #[test]
    fn streams_fed_many_at_once_take_parts_cut_anywhere(
        parts in vec(vec((0_usize..20, vec(any::<u8>(), 0..300)), 0..24), 0..8),
    ) {
        let mut fed: Vec<Vec<u8>> = vec![Vec::new(); 20];
        let mut sha1 = vec![Sha1Stream::new(); 20];
        let mut sha256 = vec![Sha256Stream::new(); 20];
        for mut call in parts {
            call.sort_unstable_by_key(|(stream, _)| *stream);
            call.dedup_by_key(|(stream, _)| *stream);
            let part = |stream: usize| call.iter().find(|(at, _)| *at == stream).map(|(_, bytes)| bytes.as_slice());
            let streams = sha1.iter_mut().enumerate();
            let mut updates: Vec<_> = streams.filter_map(|(i, stream)| Some((stream, part(i)?))).collect();
            Sha1Stream::update_batch(&mut updates);
            let streams = sha256.iter_mut().enumerate();
            let mut updates: Vec<_> = streams.filter_map(|(i, stream)| Some((stream, part(i)?))).collect();
            Sha256Stream::update_batch(&mut updates);
            for (stream, bytes) in &call {
                fed[*stream].extend_from_slice(bytes);
            }
        }
        for ((whole, sha1), sha256) in fed.iter().zip(sha1).zip(sha256) {
            prop_assert_eq!(sha1.finish(), sha1_of(whole));
            prop_assert_eq!(sha256.finish(), sha256_of(whole));
        }
    }
}

/// Each kernel alone, and those chosen, against the oracle.
fn each_kernel_is_right(inputs: &[&[u8]]) {
    let due: Vec<[u8; 20]> = inputs.iter().map(|input| sha1_of(input)).collect();
    for kernel in sha1_kernels() {
        let mut out = vec![[0; 20]; inputs.len()];
        sha1_batch_by(kernel.name, inputs, &mut out);
        assert_eq!(out, due, "{}", kernel.name);
    }
    let mut out = vec![[0; 20]; inputs.len()];
    sha1_batch(inputs, &mut out);
    assert_eq!(out, due);

    let due: Vec<[u8; 32]> = inputs.iter().map(|input| sha256_of(input)).collect();
    for kernel in sha256_kernels() {
        let mut out = vec![[0; 32]; inputs.len()];
        sha256_batch_by(kernel.name, inputs, &mut out);
        assert_eq!(out, due, "{}", kernel.name);
    }
    let mut out = vec![[0; 32]; inputs.len()];
    sha256_batch(inputs, &mut out);
    assert_eq!(out, due);
}

fn sha1_of(input: &[u8]) -> [u8; 20] {
    Sha1::digest(input).into()
}

fn sha256_of(input: &[u8]) -> [u8; 32] {
    Sha256::digest(input).into()
}

/// Bytes that do not repeat with any block.
fn text(len: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(len).collect()
}
