//! Mutable torrents (BEP 46): published, downloaded and followed on loopback.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::network::Network;
use crate::support::{Place, Seed, interrupt, is_same_tree, noise};

const PUBLIC_KEY: &str = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";

/// Makes `VERSION/t` a folder of two files, one of which is another and longer one in later versions, and seeds it.
fn seed(place: &Place, net: &Network, version: &str) -> Seed {
    place.write(&format!("{version}/t/same"), noise(400_000, 1));
    let changed = noise(100_000 * version.len(), version.len() as u64);
    place.write(&format!("{version}/t/changed"), changed);
    let (path, torrent) = (format!("{version}/t"), format!("{version}.torrent"));
    place.ok(&["create", &path, "-o", &torrent, "--piece-length", "16KiB"]);
    place.seed_with(&[&torrent, "--dir", version, "--dht-node", &net.entry])
}

/// Names the torrent of `version` as the newest one, and gives the magnet.
fn publish(place: &Place, net: &Network, version: &str, extra: &[&str]) -> String {
    let torrent = format!("{version}.torrent");
    let args = ["dht", "put", "--torrent", &torrent, "--key", "key", "--json", "--node", &net.entry];
    let stored = place.run(&[&args, extra].concat());
    assert_eq!(stored.code, Some(0), "{stored:?}");
    stored.event("stored")["magnet"].as_str().unwrap().to_owned()
}

fn hash(place: &Place, version: &str) -> String {
    place.show(&format!("{version}.torrent"))["info_hash_v1"].as_str().unwrap().to_owned()
}

#[test]
fn show_says_what_a_mutable_magnet_is() {
    let place = Place::new();
    let magnet = format!("magnet:?xs=urn:btpk:{PUBLIC_KEY}&s=6e&dn=news");
    let shown = place.ok(&["show", &magnet]);
    for part in ["name         news\n", "mutable", PUBLIC_KEY, "salt         6e (n)\n"] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    let shown = place.show(&magnet);
    assert_eq!((&shown["public_key"], &shown["salt"]), (&PUBLIC_KEY.into(), &"6e".into()));
    assert_eq!(shown["info_hash_v1"], Value::Null);
}

#[test]
fn a_published_torrent_is_downloaded_by_its_key_alone() {
    let (place, net) = (Place::new(), Network::start(4));
    std::fs::create_dir(place.path("out")).unwrap();
    let _seed = seed(&place, &net, "a");
    let magnet = publish(&place, &net, "a", &["--new-key", "--salt", "news"]);
    assert!(magnet.starts_with("magnet:?xs=urn:btpk:") && magnet.ends_with("&s=6e657773"), "{magnet}");
    let get = ["get", &magnet, "--listen", "127.0.0.1:0", "--dht-node", &net.entry, "--dir", "out"];
    let out = place.ok(&get);
    assert!(out.contains(&format!(": version 1 is {}\n", hash(&place, "a"))), "{out}");
    assert!(out.contains("t: complete\n"), "{out}");
    assert!(is_same_tree(&place.path("a/t"), &place.path("out/t")));
    let ended = place.run(&[&get[..], &["--json"]].concat());
    let version = ended.event("version");
    assert_eq!((&version["seq"], &version["salt"]), (&1.into(), &"6e657773".into()), "{ended:?}");
}

#[test]
fn who_follows_gets_the_next_version_into_the_same_folder() {
    let (place, net) = (Place::new(), Network::start(4));
    std::fs::create_dir(place.path("out")).unwrap();
    let _seeds = ["a", "aa", "aaa"].map(|version| seed(&place, &net, version));
    let magnet = publish(&place, &net, "a", &["--new-key"]);
    let get = ["get", &magnet, "--listen", "127.0.0.1:0", "--dht-node", &net.entry, "--dir", "out"];
    let mut command = place.command(&[&get[..], &["--follow=1s", "--json"]].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events = out.map(|l| serde_json::from_str::<Value>(&l.unwrap()).unwrap());
    let mut completed = |version: &str| {
        let hash = hash(&place, version);
        let done = events.find(|e| e["event"] == "completed" && e["info_hash"] == hash.as_str());
        assert!(done.is_some(), "{version} was never complete");
        assert!(is_same_tree(&place.path(&format!("{version}/t")), &place.path("out/t")), "{version}");
    };
    completed("a");
    for version in ["aa", "aaa"] {
        publish(&place, &net, version, &[]);
        completed(version);
    }
    interrupt(&child);
    let results: Vec<Value> =
        events.filter(|e| e["event"] == "summary").map(|e| e["result"].clone()).collect();
    assert_eq!(results, ["replaced", "replaced", "complete"]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_link_that_cannot_work_is_refused_before_anything_starts() {
    let place = Place::new();
    let magnet = format!("magnet:?xs=urn:btpk:{PUBLIC_KEY}");
    place.fails(1, &["get", &magnet, "--no-dht"], &["--no-dht", PUBLIC_KEY]);
    place.write("x/f", noise(20_000, 1));
    place.ok(&["create", "x"]);
    place.fails(2, &["get", "x.torrent", "--follow"], &["--follow", "urn:btpk"]);
    place.fails(1, &["dht", "get-peers", &magnet], &["names no info-hash"]);
}
