//! Playing scenarios over seeds.

use unchoke_sim::{Report, scenarios};

/// Plays a scenario with so many seeds, more when `UNCHOKE_SIM_SEEDS` says so; a failure prints how to see it again.
pub fn play(name: &str, seeds: u64) -> Vec<Report> {
    let wanted = std::env::var("UNCHOKE_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    (0..seeds.max(wanted)).map(|seed| one(name, seed, None)).collect()
}

/// Plays one seed.
pub fn one(name: &str, seed: u64, peers: Option<usize>) -> Report {
    scenarios::run(name, seed, peers).unwrap_or_else(|failure| panic!("{failure}"))
}
