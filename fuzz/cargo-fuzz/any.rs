//! Every target as one libFuzzer program, which runs the target that the environment names.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use unchoke_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("UNCHOKE_FUZZ_TARGET").expect("UNCHOKE_FUZZ_TARGET names a target");
    unchoke_fuzz::target(&name).expect("UNCHOKE_FUZZ_TARGET names one of the targets")
});

fuzz_target!(|data: &[u8]| TARGET(data));
