//! Playing scenarios over seeds.

use unchoke_sim::{Report, scenarios};

/// Plays a scenario with so many seeds, or as many as `UNCHOKE_SIM_SEEDS` says if that is more. A failure prints how
/// to see it again.
pub fn play(name: &str, seeds: u64) {
    let wanted = std::env::var("UNCHOKE_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in 0..seeds.max(wanted) {
        one(name, seed);
    }
}

/// Plays one seed.
pub fn one(name: &str, seed: u64) -> Report {
    scenarios::run(name, seed, None).unwrap_or_else(|failure| panic!("{failure}"))
}
