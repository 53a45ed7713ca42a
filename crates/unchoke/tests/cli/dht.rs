//! `unchoke dht` in small networks on loopback.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::network::Network;
use crate::support::{Place, interrupt};

const HASH: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
const OTHER: &str = "baf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn ping_tells_who_is_there_and_who_is_not() {
    let (place, net) = (Place::new(), Network::start(1));
    let nobody = net.silent_address();
    let ended = place.run(&["dht", "ping", &net.entry, &nobody, "--timeout", "20s"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let there = lines(&ended.out).into_iter().find(|l| l.starts_with(&net.entry)).unwrap();
    assert!(there.contains(&net.ids[0]) && there.contains("UK 0.1") && there.contains(" ms"), "{there}");
    assert!(ended.out.contains(&format!("{nobody}  no answer\n")), "{ended:?}");
    assert_eq!(ended.err, "1 of 2 nodes answered\n");
    let ended = place.run(&["dht", "ping", "--json", &net.entry, &nobody]);
    let pong = ended.event("pong");
    assert_eq!(
        [&pong["node"], &pong["id"], &pong["client"]],
        [&json!(net.entry), &json!(net.ids[0]), &json!("UK 0.1")]
    );
    assert!(pong["rtt"].as_f64().is_some_and(|s| s < 20.0), "{pong}");
    assert_eq!(ended.event("no_pong")["node"], nobody);
    assert_eq!(ended.event("done")["answered"], 1);
    let ended = place.run(&["dht", "ping", "--quiet", &nobody]);
    assert_eq!(
        (ended.code, ended.out, ended.err),
        (Some(1), format!("{nobody}  no answer\n"), String::new())
    );
}

#[test]
fn find_node_lists_the_closest_first() {
    let (place, net) = (Place::new(), Network::start(4));
    let ended = place.run(&["dht", "find-node", HASH, "--node", &net.entry]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let bits: Vec<u32> =
        lines(&ended.out).iter().map(|l| l.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert_eq!((bits.len(), bits.is_sorted_by(|a, b| a >= b)), (4, true), "{ended:?}");
    assert!(ended.err.starts_with("4 nodes in "), "{ended:?}");
    let ended = place.run(&["dht", "find-node", &net.ids[2], "--node", &net.entry, "--json"]);
    let first = &ended.events()[0];
    assert_eq!(
        [&first["event"], &first["id"], &first["shared_bits"]],
        [&json!("node"), &json!(net.ids[2]), &json!(160)]
    );
    assert_eq!(ended.event("done")["nodes"], 4);
}

#[test]
fn a_network_that_does_not_answer_is_named_in_one_line() {
    let (place, net) = (Place::new(), Network::start(1));
    let nobody = net.silent_address();
    for command in
        [&["find-node", HASH][..], &["get-peers", HASH], &["put", "x"], &["get", HASH], &["sample"]]
    {
        let args = [&["dht"], command, &["--node", &nobody, "--timeout", "1s"]].concat();
        place.fails(1, &args, &["no DHT node answered", &nobody, "--node"]);
    }
    place.fails(1, &["dht", "find-node", HASH, "--node", &nobody, "-6"], &["-6"]);
    place.fails(1, &["dht", "ping", "no-such-host.invalid:1"], &["no-such-host.invalid:1"]);
}

#[test]
fn an_announced_peer_is_found_and_counted() {
    let (place, net) = (Place::new(), Network::start(4));
    let node = ["--node", &net.entry];
    let told = place.run(&[&["dht", "announce", HASH, "--port", "7777", "--seed"], &node[..]].concat());
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.out, format!("announced {HASH} on port 7777 to 4 nodes\n"));
    let found = place.run(&[&["dht", "get-peers", HASH, "--scrape"], &node[..]].concat());
    assert_eq!((found.code, found.out.as_str()), (Some(0), "127.0.0.1:7777\n"), "{found:?}");
    assert!(found.err.contains("about 1 seed and 0 downloaders, as 4 nodes say\n1 peer in "), "{found:?}");
    let found = place.run(&[&["dht", "get-peers", HASH, "--scrape", "--json"], &node[..]].concat());
    let (peer, scrape) = (found.event("peer"), found.event("scrape"));
    assert_eq!([&peer["info_hash"], &peer["peer"]], [&json!(HASH), &json!("127.0.0.1:7777")]);
    assert_eq!(
        [&scrape["seeds"], &scrape["downloaders"], &scrape["answers"]],
        [&json!(1), &json!(0), &json!(4)]
    );
    assert_eq!(found.event("done")["peers"], 1);
    let nothing = place.run(&[&["dht", "get-peers", OTHER, "--quiet"], &node[..]].concat());
    assert_eq!((nothing.code, nothing.out.as_str(), nothing.err.as_str()), (Some(1), "", ""));
    let told = place.run(&[&["dht", "announce", OTHER, "--port", "1", "--json"], &node[..]].concat());
    let event = told.event("announced");
    assert_eq!([&event["info_hash"], &event["nodes"]], [&json!(OTHER), &json!(4)]);
}

#[test]
fn a_lookup_shows_every_step_when_asked() {
    let (place, net) = (Place::new(), Network::start(3));
    let ended = place.run(&["dht", "find-node", HASH, "--node", &net.entry, "--trace"]);
    let steps = |name: &str| lines(&ended.out).into_iter().filter(|l| l.contains(name)).count();
    assert_eq!((steps(" s  asked "), steps(" s  answered ")), (3, 3), "{ended:?}");
    let ended = place.run(&["dht", "find-node", HASH, "--node", &net.entry, "--trace", "--json"]);
    let step = ended.event("step");
    assert_eq!([&step["target"], &step["step"]], [&json!(HASH), &json!("answered")], "{ended:?}");
    assert!(step["rtt"].is_f64() && step["shared_bits"].is_u64(), "{step}");
}

#[test]
fn a_kept_announcement_stays_until_it_is_interrupted() {
    let (place, net) = (Place::new(), Network::start(2));
    let mut command =
        place.command(&["dht", "announce", HASH, "--port", "7778", "--keep", "--node", &net.entry]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(out.next().unwrap().unwrap().starts_with(&format!("announced {HASH} on port 7778 to ")));
    assert_eq!(place.ok(&["dht", "get-peers", HASH, "--node", &net.entry]), "127.0.0.1:7778\n");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn sample_lists_what_nodes_store() {
    let (place, net) = (Place::new(), Network::start(3));
    let node = ["--node", &net.entry];
    for hash in [HASH, OTHER] {
        place.ok(&[&["dht", "announce", hash, "--port", "7777"], &node[..]].concat());
    }
    let found = place.run(&[&["dht", "sample"], &node[..]].concat());
    assert_eq!((found.code, found.out), (Some(0), format!("{HASH}\n{OTHER}\n")), "{}", found.err);
    assert!(found.err.starts_with("2 torrents of 6 that 3 nodes store, in "), "{}", found.err);
    let found = place.run(&[&["dht", "sample", HASH, "--json"], &node[..]].concat());
    let sample = found.event("sample");
    assert_eq!(
        [&sample["stored"], &sample["samples"].as_array().unwrap().len().into()],
        [&json!(2), &json!(2)]
    );
    assert_eq!(found.event("done")["info_hashes"], 2);
    let net = Network::start(1);
    let nothing = place.run(&["dht", "sample", "--quiet", "--node", &net.entry]);
    assert_eq!((nothing.code, nothing.out.as_str(), nothing.err.as_str()), (Some(1), "", ""));
}

#[test]
fn a_node_tells_how_it_fares_and_keeps_what_it_knows() {
    let (place, net) = (Place::new(), Network::start(3));
    let args = ["dht", "node", "--listen", "127.0.0.1:0", "--node", &net.entry, "--state", "node", "--json"];
    let mut command = place.command(&[&args[..], &["--every", "1s"]].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events = out.map(|l| serde_json::from_str::<Value>(&l.unwrap()).unwrap());
    let listening = events.next().unwrap();
    assert_eq!(listening["event"], "listening");
    let listen = listening["listen"].as_str().unwrap();
    assert!(place.ok(&["dht", "ping", listen]).contains(listening["id"].as_str().unwrap()));
    let state = events.find(|e| e["event"] == "node_state" && e["good"] == 3).unwrap();
    assert_eq!([&state["ipv6"], &state["nodes"], &state["id"]], [&json!(false), &json!(3), &listening["id"]]);
    assert!(state["received"].as_u64() > Some(2) && state["buckets"].is_array(), "{state}");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let saved = std::fs::read_to_string(place.path("node")).unwrap();
    assert!(net.ids.iter().all(|id| saved.contains(id)), "{saved}");
}
