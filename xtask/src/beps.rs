//! The page of BEPs: what the marks say is implemented and tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::marks::{self, Target};
use crate::tree::Tree;

/// Where the page stands.
pub(crate) const PAGE: &str = "docs/beps.md";

/// The title of a BEP, if there is one of that number.
pub(crate) fn title(number: u16) -> Option<&'static str> {
    TITLES.iter().find(|(known, _)| *known == number).map(|(_, title)| *title)
}

#[derive(Default)]
struct Marked<'a> {
    /// By topic, the files that implement it.
    topics: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// The tests, as (file, name).
    tests: BTreeSet<(&'a str, &'a str)>,
}

/// The text of the page.
pub(crate) fn page(tree: &Tree) -> String {
    let marks = marks::all(tree);
    let mut beps: BTreeMap<u16, Marked<'_>> = BTreeMap::new();
    for mark in &marks {
        let Target::Bep { number, topic } = &mark.target else { continue };
        let bep = beps.entry(*number).or_default();
        if let Some(test) = &mark.test {
            bep.tests.insert((&mark.path, test));
        } else if !mark.is_test {
            bep.topics.entry(topic).or_default().insert(&mark.path);
        }
    }
    let mut page = String::from(HEAD);
    for (number, bep) in &beps {
        let title = title(*number).unwrap_or("not a known BEP");
        let link = format!("https://www.bittorrent.org/beps/bep_{number:04}.html");
        let topics = topics(bep);
        let _ = writeln!(page, "| [{number}]({link}) | {title} | {topics} | {} |", bep.tests.len());
    }
    let rest = TITLES.iter().filter(|(number, _)| !beps.contains_key(number));
    let rest: Vec<String> = rest.map(|(number, title)| format!("{number} ({title})")).collect();
    if !rest.is_empty() {
        let _ = writeln!(page, "\nWithout a mark: {}.", rest.join(", "));
    }
    page
}

fn topics(bep: &Marked<'_>) -> String {
    let topic = |(topic, paths): (&&str, &BTreeSet<&str>)| {
        let links: Vec<String> = paths.iter().map(|path| format!("[{}](../{path})", short(path))).collect();
        format!("{} ({})", topic.replace('|', "\\|"), links.join(", "))
    };
    let topics: Vec<String> = bep.topics.iter().map(topic).collect();
    if topics.is_empty() { "–".to_owned() } else { topics.join("; ") }
}

/// A path without what every path of a crate repeats.
fn short(path: &str) -> String {
    path.trim_start_matches("crates/").replacen("/src/", "/", 1)
}

const HEAD: &str = "\
# BEPs

What is implemented, where, and how many tests prove it. Made by `cargo xtask bep` from the marks
`//= BEP 6: allowed fast` in code and tests; not edited by hand.

| BEP | Title | Topics and where they are | Tests |
|---|---|---|---|
";

const TITLES: &[(u16, &str)] = &[
    (3, "The BitTorrent protocol"),
    (4, "Assigned numbers"),
    (5, "DHT"),
    (6, "Fast extension"),
    (7, "IPv6 tracker extension"),
    (8, "Tracker peer obfuscation"),
    (9, "Metadata exchange and magnet links"),
    (10, "Extension protocol"),
    (11, "Peer exchange"),
    (12, "Multitracker metadata"),
    (13, "Protocol encryption (reserved, never written)"),
    (14, "Local service discovery"),
    (15, "UDP tracker protocol"),
    (16, "Superseeding"),
    (17, "HTTP seeding"),
    (18, "Search engine specification"),
    (19, "Web seeds"),
    (20, "Peer id conventions"),
    (21, "Partial seeds"),
    (22, "Local tracker discovery"),
    (23, "Compact peer lists"),
    (24, "External IP from the tracker"),
    (25, "Alternate cache discovery"),
    (26, "Zeroconf peer discovery"),
    (27, "Private torrents"),
    (28, "Tracker exchange"),
    (29, "uTP"),
    (30, "Merkle torrents"),
    (31, "Failure retry"),
    (32, "IPv6 DHT"),
    (33, "DHT scrape"),
    (34, "DNS tracker preferences"),
    (35, "Torrent signing"),
    (36, "Torrent RSS feeds"),
    (37, "Anonymity over proxies"),
    (38, "Local data hints"),
    (39, "Updating torrents by feed URL"),
    (40, "Canonical peer priority"),
    (41, "UDP tracker options"),
    (42, "DHT security"),
    (43, "Read-only DHT nodes"),
    (44, "Storing data in the DHT"),
    (45, "Multiple-address DHT"),
    (46, "Updating torrents by DHT"),
    (47, "Padding files and file attributes"),
    (48, "HTTP scrape"),
    (49, "Torrent feeds"),
    (50, "Publish and subscribe"),
    (51, "DHT indexing"),
    (52, "BitTorrent v2"),
    (53, "Magnet file selection"),
    (54, "Retracted pieces (`lt_donthave`)"),
    (55, "Holepunch"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::sample;

    #[test]
    fn topics_link_their_files_and_tests_are_counted_once() {
        let tree = sample(&[
            ("crates/wire/src/fast.rs", "//= BEP 6: allowed fast\n//= BEP 6: allowed fast\nfn f() {}\n"),
            (
                "crates/engine/src/peer/fast.rs",
                "//= BEP 6: allowed fast\nfn f() {}\n//= BEP 6: reject\nfn g() {}\n",
            ),
            ("crates/wire/tests/fast.rs", "//= BEP 6: allowed fast\n//= BEP 6: reject\n#[test]\nfn a() {}\n"),
        ]);
        let page = page(&tree);
        let row = page.lines().find(|line| line.starts_with("| [6]"));
        assert_eq!(
            row,
            Some(
                "| [6](https://www.bittorrent.org/beps/bep_0006.html) | Fast extension | allowed fast \
                 ([engine/peer/fast.rs](../crates/engine/src/peer/fast.rs), [wire/fast.rs](../crates/wire/src/fast.rs)); \
                 reject ([engine/peer/fast.rs](../crates/engine/src/peer/fast.rs)) | 1 |"
            )
        );
        assert!(page.contains("\nWithout a mark: 3 (The BitTorrent protocol), 4 "));
    }
}
