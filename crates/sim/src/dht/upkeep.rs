//! What a node costs when nobody searches: a few nodes of a snapshot are awake for a quarter of an hour.
//!
//! Only what they begin is played; as every query of one node comes to another, a node takes part in twice as much.

use super::chance::{Purpose, generator};
use super::population::Role;
use super::world::{Happening, START, Scene, World};
use unchoke_wire::time::Duration;

/// Nodes that are watched.
const NODES: u32 = 8;
/// For how long: the age at which every node of a table is asked again.
const TIME: Duration = Duration::from_secs(15 * 60);
/// The number of this world among those of a seed.
const WORLD: u64 = u64::MAX;

/// Bytes a minute that a node sends and receives, and the digest of the run.
pub(super) fn bytes_per_minute(scene: Scene<'_>) -> (f64, u64) {
    let mut world = World::new(scene, &scene.population.tellable, WORLD).with_answerers();
    let rng = &mut generator(scene.plan.seed, Purpose::Workload, WORLD);
    let mut watched = Vec::new();
    for _ in 0..NODES {
        let host = scene.population.any(rng, |h| h.role == Role::Ours);
        if let Some(actor) = world.actor(host) {
            world.set_awake(actor, true);
            watched.push(actor);
        }
    }
    world.plan(START + TIME, 0);
    while !matches!(world.step(), None | Some(Happening::Act(_))) {}
    let bytes: u64 = watched.iter().map(|at| world.get(*at).traffic.bytes).sum();
    let minutes = f64::from(NODES) * TIME.as_secs_f64() / 60.0;
    (u32::try_from(bytes * 2).map_or(f64::MAX, f64::from) / minutes, world.digest)
}
