//! What the code of pure crates may not touch, and where `unsafe` may stand.

use super::Finding;
use super::crates::PURE;
use crate::items::use_paths;
use crate::source::{Source, has_word};
use crate::tree::Tree;

/// The parts of std that do I/O, read a clock or the process, or start threads.
const IMPURE_PATHS: &[&str] = &[
    "std::env",
    "std::fs",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
];

/// Words that mean the same however they were imported.
const IMPURE_WORDS: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "async",
    "await",
    "eprintln",
    "println",
    "thread_local",
    "tokio",
];

/// State shared between threads; the engine is owned by one.
const SHARED: &[&str] = &["Arc", "Mutex", "RwLock", "Condvar", "OnceLock", "LazyLock", "atomic", "mpsc"];

/// Collections whose order of walking is not the same in every run.
const UNORDERED: &[&str] = &["HashMap", "HashSet"];

/// The folders, and files of the same name, that may hold `unsafe`.
const UNSAFE: &[&str] = &["crates/hash/src/kernels", "crates/runtime/src/sys", "crates/storage/src/sys"];

/// I/O, clocks and threads in pure crates; shared state in the engine; unordered collections in engine and DHT.
pub(super) fn impure_code(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        let Some(krate) = pure_crate(&source.path) else { continue };
        let what = format!("in pure crate {krate}");
        find_paths(source, &what, &mut found);
        find_words(source, IMPURE_WORDS, &what, &mut found);
        if krate == "engine" {
            find_words(source, SHARED, "in the engine, which one thread owns", &mut found);
        }
        if krate == "engine" || krate == "dht" {
            find_words(
                source,
                UNORDERED,
                "walks in no fixed order; use BTreeMap, Vec or slotmap",
                &mut found,
            );
        }
    }
    found
}

/// `unsafe` outside the modules made for it.
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in tree.sources.iter().filter(|source| !may_be_unsafe(&source.path)) {
        let lines = source.code_lines().filter(|(_, code)| has_word(code, "unsafe"));
        found.extend(
            lines.map(|(line, _)| Finding::new(&source.path, line, "unsafe outside kernels and sys")),
        );
    }
    found
}

fn pure_crate(path: &str) -> Option<&'static str> {
    let (krate, rest) = path.strip_prefix("crates/")?.split_once('/')?;
    let krate = PURE.iter().find(|pure| **pure == krate)?;
    rest.starts_with("src/").then_some(krate)
}

fn find_paths(source: &Source, what: &str, found: &mut Vec<Finding>) {
    for (line, code) in source.production() {
        for path in IMPURE_PATHS.iter().filter(|path| has_word(code, path)) {
            found.push(Finding::new(&source.path, line, format!("{path} {what}")));
        }
    }
    for (line, used) in use_paths(source).iter().filter(|(line, _)| !source.is_test(*line)) {
        for path in IMPURE_PATHS.iter().filter(|path| has_word(used, path)) {
            found.push(Finding::new(&source.path, *line, format!("{path} {what}")));
        }
    }
}

fn find_words(source: &Source, words: &[&str], what: &str, found: &mut Vec<Finding>) {
    for (line, code) in source.production() {
        for word in words.iter().filter(|word| has_word(code, word)) {
            found.push(Finding::new(&source.path, line, format!("{word} {what}")));
        }
    }
}

fn may_be_unsafe(path: &str) -> bool {
    UNSAFE
        .iter()
        .any(|allowed| path.strip_prefix(allowed).is_some_and(|rest| rest.starts_with('/') || rest == ".rs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::found;

    #[test]
    fn io_in_a_pure_crate_is_found_however_it_is_imported() {
        let text =
            "use std::{fs::File, collections::BTreeMap};\nfn f() { std::env::var(\"A\"); Instant::now(); }\n";
        assert_eq!(
            found(impure_code, &[("crates/wire/src/a.rs", text)]),
            [
                "crates/wire/src/a.rs:2: std::env in pure crate wire",
                "crates/wire/src/a.rs:1: std::fs in pure crate wire",
                "crates/wire/src/a.rs:2: Instant::now in pure crate wire",
            ]
        );
    }

    #[test]
    fn tests_comments_text_and_other_crates_may_name_io() {
        let text = "// std::fs\nconst A: &str = \"std::fs\";\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let io = "use std::fs;\n";
        let files =
            [("crates/wire/src/a.rs", text), ("crates/wire/tests/a.rs", io), ("crates/sim/src/a.rs", io)];
        assert_eq!(found(impure_code, &files), [""; 0]);
    }

    #[test]
    fn addresses_are_no_sockets() {
        let text = "use core::net::SocketAddr;\nuse std::net::{IpAddr, Ipv4Addr};\n";
        assert_eq!(found(impure_code, &[("crates/engine/src/a.rs", text)]), [""; 0]);
    }

    #[test]
    fn the_engine_shares_nothing_and_walks_in_order() {
        let text = "use std::collections::HashMap;\nuse std::sync::Arc;\n";
        assert_eq!(found(impure_code, &[("crates/engine/src/a.rs", text)]).len(), 2);
        assert_eq!(found(impure_code, &[("crates/dht/src/a.rs", text)]).len(), 1);
        assert_eq!(found(impure_code, &[("crates/wire/src/a.rs", text)]).len(), 0);
    }

    #[test]
    fn unsafe_stands_only_in_kernels_and_sys() {
        let text = "fn f() { unsafe { g() } }\n";
        let files = [
            ("crates/hash/src/kernels/avx2.rs", text),
            ("crates/runtime/src/sys.rs", text),
            ("crates/runtime/src/system.rs", text),
            ("crates/engine/src/a.rs", "#![deny(unsafe_code)]\n"),
        ];
        assert_eq!(
            found(unsafe_code, &files),
            ["crates/runtime/src/system.rs:1: unsafe outside kernels and sys"]
        );
    }
}
