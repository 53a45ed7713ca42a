//! Any target as a libFuzzer program: each binary built from this file runs the target it is named after.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use unchoke_fuzz::Target;

static TARGET: LazyLock<Target> =
    LazyLock::new(|| unchoke_fuzz::target(env!("CARGO_BIN_NAME")).expect("binaries are named after targets"));

fuzz_target!(|data: &[u8]| TARGET(data));
