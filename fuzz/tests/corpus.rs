//! The committed seeds of every target, replayed and mutated.

use std::fs;
use std::path::{Path, PathBuf};
use unchoke_fuzz::{TARGETS, Target};

/// Mutations of all seeds of a target together; a bug found by one is reproduced by its seed file and round.
const ROUNDS: usize = 8_000;
/// The same of targets that play whole runs, and of those that write files.
const ROUNDS_OF_RUNS: usize = 400;
const ROUNDS_OF_FILES: usize = 60;
/// Bytes a mutated input may have.
const INPUT_LEN_MAX: usize = 4096;

#[test]
fn replays_the_committed_corpus_of_every_target() {
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "target {name} has no seed in corpus/{name}");
        let fails = |bytes: &[u8]| std::panic::catch_unwind(|| target(bytes)).is_err();
        broken.extend(seeds.into_iter().filter(|(_, bytes)| fails(bytes)).map(|(path, _)| path));
    }
    assert!(broken.is_empty(), "these seeds break their targets: {broken:#?}");
}

#[test]
fn no_mutation_of_a_seed_breaks_a_target() {
    let broken: Vec<String> = TARGETS.iter().filter_map(|(name, target)| broken_by(name, *target)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The first mutation that breaks a target, in words.
fn broken_by(name: &str, target: Target) -> Option<String> {
    let seeds = seeds(name);
    for (at, (path, seed)) in seeds.iter().enumerate() {
        let mut random = Random(0x0075_6e63_686f_6b65 ^ at as u64);
        for round in 0..rounds(name) / seeds.len() {
            let donor = &seeds[random.below(seeds.len())].1;
            let input = mutated(seed, donor, &mut random);
            if std::panic::catch_unwind(|| target(&input)).is_err() {
                return Some(format!("{name}: round {round} of {path:?}: {}", input.escape_ascii()));
            }
        }
    }
    None
}

fn rounds(target: &str) -> usize {
    match target {
        "dht_file" | "file_names" | "file_storage" | "resume_store" | "state_store" => ROUNDS_OF_FILES,
        "announcer" | "dht_node" | "hub" | "peer_list" => ROUNDS_OF_RUNS,
        run if run.starts_with("engine_") => ROUNDS_OF_RUNS,
        _ => ROUNDS,
    }
}

#[test]
fn the_table_and_the_corpus_name_the_same_targets() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert!(names.is_sorted(), "the table is sorted by name");
    let folders = fs::read_dir(root().join("corpus")).expect("the corpus is committed");
    let mut folders: Vec<String> =
        folders.map(|f| f.unwrap().file_name().into_string().expect("names are ASCII")).collect();
    folders.sort_unstable();
    assert_eq!(folders, names);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The seeds of a target, by path.
fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("corpus").join(name);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let mut seeds: Vec<_> = files
        .map(|file| {
            let path = file.expect("the folder can be listed").path();
            let bytes = fs::read(&path).expect("a seed can be read");
            (path, bytes)
        })
        .collect();
    seeds.sort_unstable();
    seeds
}

/// A copy of `seed` with one to four edits, some of which bring in bytes of `donor`.
fn mutated(seed: &[u8], donor: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.byte()),
            2 => bytes.insert(at, b"0123456789-:delis"[random.below(17)]),
            3 => {
                let end = at + random.below(bytes.len() - at + 1);
                bytes.drain(at..end);
            }
            4 => {
                let copy = bytes[at..at + random.below(bytes.len() - at + 1)].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => {
                let from = random.below(donor.len() + 1);
                let end = from + random.below(donor.len() - from + 1);
                bytes.splice(at..at, donor[from..end].iter().copied());
            }
            edit => {
                let value = if edit == 6 { random.byte() } else { [0, 1, 0x7f, 0x80, 0xff][random.below(5)] };
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
        }
        bytes.truncate(INPUT_LEN_MAX);
    }
    bytes
}

/// A seeded generator (SplitMix64), so that every run makes the same inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}
