//! Runs the steps of one case where a counter of instructions looks: see `cargo xtask counts`.
//!
//! `counts` alone lists the cases; `counts CASE` makes its scene, takes some steps to warm up and then
//! [`STEPS`] in `counted_steps`, whose instructions are to be counted.

mod cases;

use std::process::ExitCode;

/// Steps that are counted.
const STEPS: u32 = 200;

#[expect(clippy::disallowed_methods, reason = "a program that is told its case")]
fn main() -> ExitCode {
    let cases = cases::all();
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
