//! What is measured of the engine: each case makes a scene and repeats one step in it, for the clock of the benches
//! and for the counter of instructions alike.

mod picking;
mod swarm;

/// One thing to measure.
pub struct Case {
    /// Its name, `part/what/size`.
    pub name: &'static str,
    /// How many things of a kind one step does: picks, blocks, haves.
    pub units: u64,
    /// Makes the scene and gives the step.
    pub scene: fn() -> Box<dyn FnMut()>,
}

/// Every case.
pub fn all() -> Vec<Case> {
    [picking::cases(), swarm::cases()].into_iter().flatten().collect()
}
