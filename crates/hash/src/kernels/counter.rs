//! The processor's own counter of elapsed time, to compare kernels with.
//!
//! This is the one clock of a pure crate. What is read from it decides only which of several equal kernels runs, never
//! a digest, and nothing of it leaves this crate.

/// Ticks of a steady counter that every core shares; the unit is the machine's.
#[cfg(target_arch = "x86_64")]
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; it touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Ticks of a steady counter that every core shares; the unit is the machine's.
#[cfg(target_arch = "aarch64")]
pub(crate) fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: the virtual counter may be read by programs under every system that std supports; reading it changes
    // nothing. The barrier keeps it from being read before the work in front of it.
    unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack)) };
    ticks
}
