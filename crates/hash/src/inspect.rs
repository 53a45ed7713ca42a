//! Kernels by name: for benchmarks, tests and reports. Who has data to hash leaves the choice to the batch functions.

use crate::batch::hash_batch;
use crate::kernels::{Function, Kernel, SHA1, SHA256};
use crate::table::Table;
use crate::{Sha1Digest, Sha256Digest};

/// A kernel that this machine can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelInfo {
    /// Its name, such as `avx512-16`.
    pub name: &'static str,
    /// Inputs it takes side by side, at least 1.
    pub lanes: usize,
}

impl From<&Kernel> for KernelInfo {
    fn from(kernel: &Kernel) -> Self {
        KernelInfo { name: kernel.name, lanes: kernel.lanes }
    }
}

/// The kernels of SHA-1 that this machine can run, those of more lanes first.
pub fn sha1_kernels() -> Vec<KernelInfo> {
    SHA1.available().map(KernelInfo::from).collect()
}

/// The kernels of SHA-256 that this machine can run, those of more lanes first.
pub fn sha256_kernels() -> Vec<KernelInfo> {
    SHA256.available().map(KernelInfo::from).collect()
}

/// The kernel of SHA-1 that is begun with when so many inputs wait; none for none.
pub fn sha1_choice(waiting: usize) -> Option<KernelInfo> {
    choice(&SHA1, waiting)
}

/// The kernel of SHA-256 that is begun with when so many inputs wait; none for none.
pub fn sha256_choice(waiting: usize) -> Option<KernelInfo> {
    choice(&SHA256, waiting)
}

fn choice(function: &'static Function, waiting: usize) -> Option<KernelInfo> {
    (waiting > 0).then(|| function.table().kernel(waiting).into())
}

/// [`sha1_batch`](crate::sha1_batch) by the named kernel alone.
///
/// # Panics
///
/// If `inputs` and `out` differ in length, or this machine cannot run such a kernel.
pub fn sha1_batch_by(kernel: &str, inputs: &[&[u8]], out: &mut [Sha1Digest]) {
    batch_by(&SHA1, kernel, inputs, out);
}

/// [`sha256_batch`](crate::sha256_batch) by the named kernel alone.
///
/// # Panics
///
/// If `inputs` and `out` differ in length, or this machine cannot run such a kernel.
pub fn sha256_batch_by(kernel: &str, inputs: &[&[u8]], out: &mut [Sha256Digest]) {
    batch_by(&SHA256, kernel, inputs, out);
}

fn batch_by<const LEN: usize>(
    function: &'static Function,
    kernel: &str,
    inputs: &[&[u8]],
    out: &mut [[u8; LEN]],
) {
    assert_eq!(inputs.len(), out.len(), "each input needs one place for its digest");
    let kernel =
        function.available().find(|known| known.name == kernel).expect("the kernel is one that can be run");
    hash_batch(function, &Table::only(kernel), inputs, out);
}
