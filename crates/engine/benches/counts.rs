//! Runs the steps of one case where a counter of instructions looks: see `cargo xtask counts`.
//!
//! `counts` alone lists the cases; `counts CASE` makes its scene, takes some steps to warm up and then
//! [`STEPS`] in `counted_steps`, whose instructions are to be counted.

mod cases;

use std::process::ExitCode;

/// The cases whose scenes are small enough to be made where everything is some fifty times slower.
const CASES: [&str; 9] = [
    "picker/pick/2000x1",
    "picker/pick/2000x50",
    "picker/pick/20000x1",
    "picker/pick in vain/2000x200",
    "picker/peer with half/2000x200",
    "receive/blocks/1 peer",
    "send/blocks/1 peer",
    "swarm/have out/500 peers",
    "swarm/newcomer/500 peers",
];
/// Steps that are counted.
const STEPS: u32 = 200;

#[expect(clippy::disallowed_methods, reason = "a program that is told its case")]
fn main() -> ExitCode {
    let cases: Vec<_> = cases::all().into_iter().filter(|case| CASES.contains(&case.name)).collect();
    let Some(name) = std::env::args().nth(1) else {
        cases.iter().for_each(|case| println!("{} {}", case.units * u64::from(STEPS), case.name));
        return ExitCode::SUCCESS;
    };
    let Some(case) = cases.iter().find(|case| case.name == name) else {
        eprintln!("there is no case {name}");
        return ExitCode::from(2);
    };
    let mut step = (case.scene)();
    (0..STEPS).for_each(|_| step());
    counted_steps(&mut step);
    ExitCode::SUCCESS
}

/// The counter looks for this name.
#[inline(never)]
fn counted_steps(step: &mut dyn FnMut()) {
    (0..STEPS).for_each(|_| step());
}
