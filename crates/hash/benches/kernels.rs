//! How fast each kernel is, for so many inputs of such a length: `cargo bench -p unchoke-hash`.
//!
//! Cases are named `FUNCTION/KERNEL/LENGTH/INPUTS`; `chosen` is what a batch uses by itself. Names that contain the first
//! argument run, as in `cargo bench -p unchoke-hash -- sha1/chosen`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use unchoke_hash::inspect::{sha1_batch_by, sha1_kernels, sha256_batch_by, sha256_kernels};
use unchoke_hash::{sha1_batch, sha256_batch};

const LENGTHS: [(&str, usize); 3] = [("16KiB", 16 << 10), ("256KiB", 256 << 10), ("1MiB", 1 << 20)];
const COUNTS: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Bytes between two inputs, as buffers of their own have: all at the same place of a page would share cache lines' sets.
const GAP: usize = 4160;

/// Hashes all inputs by the named kernel, or by those chosen.
type Hash = fn(kernel: Option<&str>, inputs: &[&[u8]]);

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(10)
        .configure_from_args();
    let sha1: Vec<&str> = sha1_kernels().iter().map(|kernel| kernel.name).collect();
    let sha256: Vec<&str> = sha256_kernels().iter().map(|kernel| kernel.name).collect();
    measure(&mut criterion, "sha1", &sha1, hash_sha1);
    measure(&mut criterion, "sha256", &sha256, hash_sha256);
    criterion.final_summary();
}

fn hash_sha1(kernel: Option<&str>, inputs: &[&[u8]]) {
    let mut out = vec![[0; 20]; inputs.len()];
    match kernel {
        Some(kernel) => sha1_batch_by(kernel, inputs, &mut out),
        None => sha1_batch(inputs, &mut out),
    }
    black_box(out);
}

fn hash_sha256(kernel: Option<&str>, inputs: &[&[u8]]) {
    let mut out = vec![[0; 32]; inputs.len()];
    match kernel {
        Some(kernel) => sha256_batch_by(kernel, inputs, &mut out),
        None => sha256_batch(inputs, &mut out),
    }
    black_box(out);
}

fn measure(criterion: &mut Criterion, function: &str, kernels: &[&str], hash: Hash) {
    let bytes = vec![7; COUNTS[5] * (LENGTHS[2].1 + GAP)];
    let kernels = kernels.iter().copied().map(Some).chain([None]);
    for kernel in kernels {
        for (name, len) in LENGTHS {
            let mut group =
                criterion.benchmark_group(format!("{function}/{}/{name}", kernel.unwrap_or("chosen")));
            for count in COUNTS {
                let inputs: Vec<&[u8]> =
                    bytes.chunks_exact(len + GAP).take(count).map(|input| &input[..len]).collect();
                let total = u64::try_from(count * len).expect("a length fits 64 bits");
                group.throughput(Throughput::Bytes(total));
                group.bench_function(count.to_string(), |b| b.iter(|| hash(kernel, black_box(&inputs))));
            }
        }
    }
}
