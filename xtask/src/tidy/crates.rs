//! Which crate may import which, and what pure crates may reach outside.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::Result;

use super::Finding;
use crate::manifest::{dependencies, entries};
use crate::tree::{Tree, output};

/// The crates without clock, randomness source, socket, file or thread, by folder.
pub(super) const PURE: &[&str] = &["wire", "hash", "utp", "dht", "engine"];

/// By folder, the crates of the project that a crate is built on. What those are built on, it may import too.
const ARROWS: &[(&str, &[&str])] = &[
    ("crates/wire", &[]),
    ("crates/hash", &[]),
    ("crates/utp", &["wire"]),
    ("crates/dht", &["wire"]),
    ("crates/engine", &["wire", "utp", "dht"]),
    ("crates/storage", &["wire", "hash"]),
    ("crates/runtime", &["engine", "storage", "hash", "wire"]),
    ("crates/sim", &["engine", "storage", "wire"]),
    ("crates/unchoke", &["runtime", "sim", "wire"]),
    ("fuzz", &["engine", "storage", "wire"]),
    ("fuzz/cargo-fuzz", &["fuzz"]),
    ("interop", &["unchoke", "runtime", "storage", "wire"]),
    ("interop/mainline", &[]),
    ("xtask", &[]),
];

/// Packages that do I/O, read a clock, start threads or gather randomness; a `*` at the end stands for any rest.
const IMPURE: &[&str] = &[
    "async-std",
    "async-io",
    "chrono",
    "crossbeam*",
    "dirs",
    "fastrand",
    "futures*",
    "getrandom",
    "hyper*",
    "io-uring",
    "libc",
    "log",
    "memmap*",
    "mio",
    "nix",
    "parking_lot*",
    "polling",
    "quinn*",
    "rand_os",
    "rayon",
    "redb",
    "reqwest",
    "rustix",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio*",
    "tracing*",
    "walkdir",
    "windows-sys",
    "web-time",
];

const DEPENDENCY_PAGE: &str = "docs/dependencies.md";

/// Dependencies between crates that go against the arrows, and impure ones of pure crates.
pub(super) fn arrows(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in &tree.texts {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
        let Some((_, below)) = ARROWS.iter().find(|(known, _)| *known == folder) else {
            found.push(Finding::new(path, 0, "crate without arrows: add it to the design and to xtask"));
            continue;
        };
        let reach = reach(below);
        for (line, name) in dependencies(text) {
            let imported = name.strip_prefix("unchoke-").or((name == "unchoke").then_some("unchoke"));
            if let Some(imported) = imported
                && !reach.contains(imported)
            {
                found.push(Finding::new(path, line, format!("{folder} may not import {name}")));
            }
            if is_pure(folder) && is_impure(&name) {
                found.push(Finding::new(path, line, format!("pure crate depends on {name}")));
            }
        }
    }
    found
}

/// Impure packages that a pure crate reaches through others, as cargo resolves them.
pub(super) fn reached(tree: &Tree) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for name in PURE {
        let manifest = format!("crates/{name}/Cargo.toml");
        if tree.text(&manifest).is_none() {
            continue;
        }
        let package = format!("unchoke-{name}");
        let args = ["tree", "--edges", "normal", "--prefix", "none", "--package", &package];
        let listed = output(Command::new("cargo").args(args).current_dir(&tree.root))?;
        found.extend(impure_in(&manifest, &listed));
    }
    Ok(found)
}

/// `libc` is let through here: on some processors the hash kernels' feature detection reads through it.
fn impure_in(manifest: &str, listed: &str) -> Vec<Finding> {
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    let names = names.filter(|name| *name != "libc" && is_impure(name));
    names
        .map(|name| Finding::new(manifest, 0, format!("pure crate reaches {name} (see cargo tree)")))
        .collect()
}

/// A release that lets numbers wrap around is refused.
pub(super) fn overflow_checks(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text("Cargo.toml") else { return Vec::new() };
    let is_on = entries(text).iter().any(|entry| {
        entry.section == "profile.release" && entry.key == "overflow-checks" && entry.value == "true"
    });
    if is_on {
        return Vec::new();
    }
    vec![Finding::new("Cargo.toml", 0, "profile.release must have overflow-checks = true")]
}

/// External packages that the page of dependencies does not name, and rows of the page that nothing needs.
pub(super) fn dependency_page(tree: &Tree) -> Vec<Finding> {
    let manifest = entries(tree.text("Cargo.toml").unwrap_or_default());
    let named = manifest.iter().filter(|entry| entry.section == "workspace.dependencies");
    let external: Vec<_> = named.filter(|entry| !entry.key.starts_with("unchoke-")).collect();
    let page = tree.text(DEPENDENCY_PAGE).unwrap_or_default();
    let rows = page.lines().enumerate().filter_map(|(line, row)| {
        row.strip_prefix("| `").and_then(|rest| rest.split_once('`')).map(|(name, _)| (line, name))
    });
    let rows: Vec<_> = rows.collect();
    let missing = external.iter().filter(|entry| rows.iter().all(|(_, name)| *name != entry.key));
    let missing = missing.map(|entry| {
        Finding::new("Cargo.toml", entry.line, format!("no row in {DEPENDENCY_PAGE}: {}", entry.key))
    });
    let unused = rows.iter().filter(|(_, name)| external.iter().all(|entry| entry.key != *name));
    let unused =
        unused.map(|(line, name)| Finding::new(DEPENDENCY_PAGE, *line, format!("not a dependency: {name}")));
    missing.chain(unused).collect()
}

fn is_pure(folder: &str) -> bool {
    folder.strip_prefix("crates/").is_some_and(|name| PURE.contains(&name))
}

fn is_impure(name: &str) -> bool {
    IMPURE.iter().any(|banned| match banned.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *banned,
    })
}

fn reach(below: &[&'static str]) -> BTreeSet<&'static str> {
    let mut reach = BTreeSet::new();
    let mut open = below.to_vec();
    while let Some(name) = open.pop() {
        if reach.insert(name) {
            let folder = format!("crates/{name}");
            let below = ARROWS.iter().find(|(known, _)| *known == folder).map(|(_, below)| *below);
            open.extend(below.unwrap_or_default());
        }
    }
    reach
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::found;

    #[test]
    fn an_import_against_the_arrows_is_found() {
        let wire = "[dependencies]\nunchoke-hash.workspace = true\n";
        let runtime = "[dependencies]\nunchoke-dht.workspace = true\ntokio = \"1\"\n";
        let found =
            found(arrows, &[("crates/wire/Cargo.toml", wire), ("crates/runtime/Cargo.toml", runtime)]);
        assert_eq!(found, ["crates/wire/Cargo.toml:2: crates/wire may not import unchoke-hash"]);
    }

    #[test]
    fn impure_dependencies_of_pure_crates_are_found() {
        let engine = "[dependencies]\ntokio-util = \"1\"\n[dev-dependencies]\ntempfile = \"3\"\n";
        let found = found(arrows, &[("crates/engine/Cargo.toml", engine)]);
        assert_eq!(found, ["crates/engine/Cargo.toml:2: pure crate depends on tokio-util"]);
    }

    #[test]
    fn a_crate_that_the_design_does_not_name_is_found() {
        let found = found(arrows, &[("crates/extra/Cargo.toml", ""), ("Cargo.toml", "")]);
        assert_eq!(
            found,
            ["crates/extra/Cargo.toml:1: crate without arrows: add it to the design and to xtask"]
        );
    }

    #[test]
    fn packages_reached_through_others_are_found() {
        let listed = "unchoke-dht v0.1.0 (path)\nrand v0.10.3\ngetrandom v0.4.0\n";
        let found: Vec<String> = impure_in("m", listed).iter().map(Finding::to_string).collect();
        assert_eq!(found, ["m:1: pure crate reaches getrandom (see cargo tree)"]);
    }

    #[test]
    fn overflow_checks_in_release_are_asked_for() {
        assert_eq!(
            found(overflow_checks, &[("Cargo.toml", "[profile.release]\noverflow-checks = true\n")]),
            [""; 0]
        );
        assert_eq!(
            found(overflow_checks, &[("Cargo.toml", "[profile.dev]\noverflow-checks = true\n")]).len(),
            1
        );
    }

    #[test]
    fn the_page_of_dependencies_names_them_all_and_no_others() {
        let manifest =
            "[workspace.dependencies]\nunchoke-wire = { path = \"a\" }\nmio = \"1\"\nclap = \"4\"\n";
        let page = "| Package | Why |\n|---|---|\n| `clap` | flags |\n| `gone` | was |\n";
        assert_eq!(
            found(dependency_page, &[("Cargo.toml", manifest), (DEPENDENCY_PAGE, page)]),
            [
                "Cargo.toml:3: no row in docs/dependencies.md: mio",
                "docs/dependencies.md:4: not a dependency: gone"
            ]
        );
    }
}
