//! The kernels: code that takes blocks of several inputs into their states at once, each for one instruction set.
//!
//! A kernel is a plain function over [`Job`]s. What to hash in which order with which of them is decided in `batch` and
//! `table`; nothing outside this folder is unsafe.

#[cfg(target_arch = "aarch64")]
#[expect(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "vector instructions, which closures do not inherit"
)]
mod armv8;
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "vector instructions, which closures do not inherit"
)]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "vector instructions, which closures do not inherit"
)]
mod avx512;
mod constants;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[expect(unsafe_code, reason = "the counter is read by an instruction of its own")]
pub(crate) mod counter;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[expect(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "loads by pointer; what closures do is not inlined"
)]
mod lanes;
#[cfg(target_arch = "aarch64")]
#[expect(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "vector instructions, which closures do not inherit"
)]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    clippy::needless_range_loop,
    reason = "vector instructions, which closures do not inherit"
)]
mod sha_ni;

use std::sync::OnceLock;

use crate::table::Table;

/// Bytes of a block of SHA-1 and SHA-256.
pub(crate) const BLOCK: usize = 64;

/// Most inputs that a kernel takes side by side.
pub(crate) const LANES_MAX: usize = 16;

/// The words of a state; SHA-1 leaves the last three alone.
pub(crate) type State = [u32; 8];

/// Blocks of one input, and the state to take them into.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) state: &'a mut State,
    /// Whole blocks.
    pub(crate) bytes: &'a [u8],
}

impl Job<'_> {
    pub(crate) fn blocks(&self) -> usize {
        self.bytes.len() / BLOCK
    }
}

/// One way to take in blocks.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    /// Most jobs it takes at once, at least 1; fewer cost it as much.
    pub(crate) lanes: usize,
    /// Whether this machine has the instructions.
    pub(crate) is_available: fn() -> bool,
    /// Takes the next so many blocks of each job into its state, and off the job. Jobs are at most as many as lanes, and
    /// all have these blocks, or it panics.
    ///
    /// To be called only where it is available.
    pub(crate) compress: fn(jobs: &mut [Job<'_>], blocks: usize),
}

impl Kernel {
    /// Takes the next `blocks` blocks of each job into its state, and off the job.
    ///
    /// # Panics
    ///
    /// If there are more jobs than lanes, or one has fewer blocks.
    pub(crate) fn compress(&self, jobs: &mut [Job<'_>], blocks: usize) {
        assert!((1..=self.lanes).contains(&jobs.len()), "a kernel has a lane for each job");
        (self.compress)(jobs, blocks);
        for job in jobs {
            job.bytes = &job.bytes[blocks * BLOCK..];
        }
    }
}

#[cfg(test)]
impl Kernel {
    /// This kernel as one of another name that claims so many lanes.
    pub(crate) fn posing_as(&self, name: &'static str, lanes: usize) -> Kernel {
        Kernel { name, lanes, ..*self }
    }
}

/// A hash function with all kernels for this architecture, those without the instructions for them included.
#[derive(Debug)]
pub(crate) struct Function {
    /// The state before the first block.
    pub(crate) initial: State,
    /// By lanes, most first; of one lane, the better first.
    kernels: &'static [Kernel],
    table: OnceLock<Table>,
}

impl Function {
    /// The kernels that this machine can run, at least one of them of a single lane.
    pub(crate) fn available(&'static self) -> impl Iterator<Item = &'static Kernel> {
        self.kernels.iter().filter(|kernel| (kernel.is_available)())
    }

    /// The kernel for one input.
    pub(crate) fn single(&'static self) -> &'static Kernel {
        self.available()
            .find(|kernel| kernel.lanes == 1)
            .expect("the portable kernel has one lane and runs everywhere")
    }

    /// Which kernel is best for how many inputs, measured by the first who asks.
    pub(crate) fn table(&'static self) -> &'static Table {
        self.table.get_or_init(|| Table::measured(self))
    }
}

/// SHA-1 (FIPS 180-4).
pub(crate) static SHA1: Function =
    Function { initial: constants::SHA1_INITIAL, kernels: SHA1_KERNELS, table: OnceLock::new() };

/// SHA-256 (FIPS 180-4).
pub(crate) static SHA256: Function =
    Function { initial: constants::SHA256_INITIAL, kernels: SHA256_KERNELS, table: OnceLock::new() };

#[cfg(target_arch = "x86_64")]
static SHA1_KERNELS: &[Kernel] = &[
    Kernel { name: "avx512-16", lanes: 16, is_available: avx512::is_available, compress: avx512::sha1 },
    Kernel { name: "avx2-8", lanes: 8, is_available: avx2::is_available, compress: avx2::sha1 },
    Kernel { name: "sha-ni-4", lanes: 4, is_available: sha_ni::is_available, compress: sha_ni::sha1::<4> },
    Kernel { name: "sha-ni-3", lanes: 3, is_available: sha_ni::is_available, compress: sha_ni::sha1::<3> },
    Kernel { name: "sha-ni-2", lanes: 2, is_available: sha_ni::is_available, compress: sha_ni::sha1::<2> },
    Kernel { name: "sha-ni-1", lanes: 1, is_available: sha_ni::is_available, compress: sha_ni::sha1::<1> },
    portable::SHA1,
];

#[cfg(target_arch = "x86_64")]
static SHA256_KERNELS: &[Kernel] = &[
    Kernel { name: "avx512-16", lanes: 16, is_available: avx512::is_available, compress: avx512::sha256 },
    Kernel { name: "avx2-8", lanes: 8, is_available: avx2::is_available, compress: avx2::sha256 },
    Kernel { name: "sha-ni-3", lanes: 3, is_available: sha_ni::is_available, compress: sha_ni::sha256::<3> },
    Kernel { name: "sha-ni-2", lanes: 2, is_available: sha_ni::is_available, compress: sha_ni::sha256::<2> },
    Kernel { name: "sha-ni-1", lanes: 1, is_available: sha_ni::is_available, compress: sha_ni::sha256::<1> },
    portable::SHA256,
];

#[cfg(target_arch = "aarch64")]
static SHA1_KERNELS: &[Kernel] = &[
    Kernel { name: "neon-4", lanes: 4, is_available: neon::is_available, compress: neon::sha1 },
    Kernel { name: "armv8-4", lanes: 4, is_available: armv8::is_available, compress: armv8::sha1::<4> },
    Kernel { name: "armv8-2", lanes: 2, is_available: armv8::is_available, compress: armv8::sha1::<2> },
    Kernel { name: "armv8-1", lanes: 1, is_available: armv8::is_available, compress: armv8::sha1::<1> },
    portable::SHA1,
];

#[cfg(target_arch = "aarch64")]
static SHA256_KERNELS: &[Kernel] = &[
    Kernel { name: "neon-4", lanes: 4, is_available: neon::is_available, compress: neon::sha256 },
    Kernel { name: "armv8-2", lanes: 2, is_available: armv8::is_available, compress: armv8::sha256::<2> },
    Kernel { name: "armv8-1", lanes: 1, is_available: armv8::is_available, compress: armv8::sha256::<1> },
    portable::SHA256,
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static SHA1_KERNELS: &[Kernel] = &[portable::SHA1];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static SHA256_KERNELS: &[Kernel] = &[portable::SHA256];
