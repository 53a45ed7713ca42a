//! `unchoke dht put` and `get` in small networks on loopback.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use unchoke_wire::bencode::{Document, Writer};

use crate::network::Network;
use crate::support::{Ended, Place, noise};

const HELLO_TARGET: &str = "e5f96f6f38320f0f33959cb4d3d656452117aadb";

fn run(place: &Place, net: &Network, args: &[&str]) -> Ended {
    place.run(&[&["dht"], args, &["--node", &net.entry]].concat())
}

/// Runs what must succeed, and gives what it printed.
fn ok(place: &Place, net: &Network, args: &[&str]) -> String {
    let ended = run(place, net, args);
    assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
    ended.out
}

/// Runs what must fail with one line that holds all of `names`.
fn fails(place: &Place, net: &Network, args: &[&str], names: &[&str]) {
    place.fails(1, &[&["dht"], args, &["--node", &net.entry]].concat(), names);
}

/// The value behind `name` in what `put` printed.
fn row(out: &str, name: &str) -> String {
    let line = out.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {out}"));
    line.trim().to_owned()
}

#[test]
fn a_value_is_stored_and_read_by_its_target() {
    let (place, net) = (Place::new(), Network::start(4));
    let put = run(&place, &net, &["put", "Hello World!"]);
    assert_eq!((put.code, put.out), (Some(0), format!("target  {HELLO_TARGET}\n")), "{}", put.err);
    assert_eq!(put.err, "stored at 4 nodes\n");
    assert_eq!(ok(&place, &net, &["get", HELLO_TARGET]), "Hello World!\n");
    let item = run(&place, &net, &["get", HELLO_TARGET, "--json"]).event("item");
    assert_eq!([&item["target"], &item["value"]], [&json!(HELLO_TARGET), &json!("Hello World!")]);
    assert_eq!(item["bencoded"], "31323a48656c6c6f20576f726c6421");
    let event = run(&place, &net, &["put", "--json", "--bencoded", "d1:ai1ee"]).event("stored");
    assert_eq!(event["nodes"], 4);
    assert_eq!(ok(&place, &net, &["get", event["target"].as_str().unwrap()]), "{\"a\":1}\n");
    fails(&place, &net, &["get", &"00".repeat(20)], &["nothing found", "two hours"]);
}

#[test]
fn the_bytes_of_a_file_come_back_as_they_were() {
    let (place, net) = (Place::new(), Network::start(3));
    let bytes = noise(990, 5);
    place.write("f", &bytes);
    let target = row(&ok(&place, &net, &["put", "--file", "f"]), "target");
    let args = ["dht", "get", &target, "--raw", "--node", &net.entry];
    assert_eq!(place.command(&args).output().unwrap().stdout, bytes);
    place.write("long", noise(997, 5));
    fails(&place, &net, &["put", "--file", "long"], &["long is too long", "1000 bytes"]);
    fails(&place, &net, &["put", "--file", "none"], &["cannot read none", "no such file"]);
    fails(&place, &net, &["put", "--bencoded", "hello"], &["not bencoded", "--bencoded"]);
    fails(&place, &net, &["put", "--bencoded", "d1:bi1e1:ai2ee"], &["sorted"]);
}

#[test]
fn a_key_signs_versions_that_replace_each_other() {
    let (place, net) = (Place::new(), Network::start(4));
    fails(&place, &net, &["put", "one", "--key", "key"], &["key: no such file", "--new-key"]);
    let first = ok(&place, &net, &["put", "one", "--key", "key", "--new-key"]);
    assert_eq!(row(&first, "seq"), "1");
    let secret = std::fs::read(place.path("key")).unwrap();
    assert_eq!(std::fs::metadata(place.path("key")).unwrap().permissions().mode() & 0o777, 0o600);
    fails(&place, &net, &["put", "two", "--key", "key", "--new-key"], &["key is there already"]);
    assert_eq!(std::fs::read(place.path("key")).unwrap(), secret);
    let public = row(&first, "key");
    let second = ok(&place, &net, &["put", "two", "--key", "key"]);
    assert_eq!((row(&second, "seq"), row(&second, "key")), ("2".to_owned(), public.clone()));
    let read = run(&place, &net, &["get", "--key", &public]);
    assert_eq!(read.out, "two\n", "{read:?}");
    assert!(read.err.starts_with("version 2, from 4 nodes in "), "{read:?}");
    let item = run(&place, &net, &["get", "--key", &public, "--json"]).event("item");
    assert_eq!([&item["key"], &item["seq"], &item["salt"]], [&json!(public), &json!(2), &json!("")]);
    assert_eq!(item["target"], row(&second, "target"));
}

#[test]
fn a_salt_keeps_the_values_of_a_key_apart() {
    let (place, net) = (Place::new(), Network::start(3));
    let plain = ok(&place, &net, &["put", "plain", "--key", "key", "--new-key"]);
    let salted = ok(&place, &net, &["put", "salted", "--key", "key", "--salt", "n"]);
    let public = row(&plain, "key");
    assert_eq!((row(&salted, "salt"), row(&salted, "seq")), ("n".to_owned(), "1".to_owned()));
    assert_eq!(ok(&place, &net, &["get", "--key", &public]), "plain\n");
    assert_eq!(ok(&place, &net, &["get", "--key", &public, "--salt", "n"]), "salted\n");
    fails(&place, &net, &["get", "--key", &public, "--salt", "m"], &[&public, "salt"]);
}

#[test]
fn a_version_that_does_not_follow_is_refused_with_the_reason() {
    let (place, net) = (Place::new(), Network::start(3));
    let public = row(&ok(&place, &net, &["put", "five", "--key", "key", "--new-key", "--seq", "5"]), "key");
    fails(&place, &net, &["put", "x", "--key", "key", "--seq", "4"], &["a newer version", "error 302"]);
    fails(&place, &net, &["put", "x", "--key", "key", "--cas", "4"], &["--cas", "error 301"]);
    assert_eq!(ok(&place, &net, &["get", "--key", &public]), "five\n");
    assert_eq!(row(&ok(&place, &net, &["put", "six", "--key", "key", "--cas", "5"]), "seq"), "6");
    assert_eq!(ok(&place, &net, &["get", "--key", &public]), "six\n");
}

/// A node that answers every query with this item, whatever was asked.
fn liar(key: [u8; 32], seq: i64, value: &'static [u8], signature: [u8; 64]) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 2048];
        // until the test's process ends
        while let Ok((len, from)) = socket.recv_from(&mut buf) {
            let query = Document::parse(&buf[..len]).unwrap();
            let transaction = query.root().as_dict().unwrap().get(b"t").unwrap().as_bytes().unwrap();
            let mut reply = Writer::new();
            reply.dict(|message| {
                message.key(b"r").dict(|r| {
                    r.bytes(b"id", &[0x5a; 20]);
                    r.bytes(b"k", &key);
                    r.bytes(b"nodes", b"");
                    r.int(b"seq", seq);
                    r.bytes(b"sig", &signature);
                    r.bytes(b"token", b"token");
                    r.key(b"v").raw(value);
                });
                message.bytes(b"t", transaction);
                message.bytes(b"y", b"r");
            });
            socket.send_to(&reply.finish(), from).unwrap();
        }
    });
    addr.to_string()
}

#[test]
fn a_mutable_item_that_lies_is_ignored() {
    let (place, net) = (Place::new(), Network::start(2));
    let honest = ok(&place, &net, &["put", "true", "--key", "key", "--new-key", "--seq", "3"]);
    let public = row(&honest, "key");
    let key: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&public[at..at + 2], 16).unwrap()).collect();
    let key: [u8; 32] = key.try_into().unwrap();
    // a newer version with a signature that is none
    let forger = liar(key, 9, b"3:lie", [7; 64]);
    let read = run(&place, &net, &["get", "--key", &public, "--node", &forger]);
    assert_eq!((read.code, read.out.as_str()), (Some(0), "true\n"), "{read:?}");
    place.fails(1, &["dht", "get", "--key", &public, "--node", &forger], &["nothing found"]);
    // a value that is not what the target names
    place.fails(1, &["dht", "get", HELLO_TARGET, "--node", &forger], &["nothing found"]);
}
