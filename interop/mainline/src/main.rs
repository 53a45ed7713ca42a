//! The mainline crate's DHT by words on lines: the commands and answers of `interop/peers/dht_lt.py`.
//!
//! `unchoke-interop-mainline [--join IP:PORT] IP:PORT…`. One more command: `address` is answered by what others told
//! it its address is (BEP 42), `address IP:PORT` or `none`.

use std::io::{self, BufRead};
use std::net::SocketAddrV4;
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::block_on;
use mainline::async_dht::AsyncDht;
use mainline::{Dht, Id, MutableItem, SigningKey};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut join = Vec::new();
    if args.first().is_some_and(|arg| arg == "--join") {
        join = args.drain(..2).skip(1).collect();
    }
    let first = args.first().ok_or("no address")?.clone();
    let mut nodes = vec![start(&first, &join)?];
    for address in &args[1..] {
        nodes.push(start(address, std::slice::from_ref(&first))?);
    }
    for node in &nodes {
        block_on(node.bootstrapped());
    }
    println!("READY");
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let [number, command @ ..] = &words[..] else { continue };
        let answer = block_on(answer(&nodes[0], command)).unwrap_or_else(|error| format!("error {error}"));
        println!("{number} {answer}");
    }
    Ok(())
}

/// A node that serves from the start: by itself it would serve only after a quarter of an hour.
fn start(address: &str, known: &[String]) -> Result<AsyncDht, Failure> {
    let address: SocketAddrV4 = address.parse()?;
    let mut builder = Dht::builder();
    builder.server_mode().bootstrap(known).bind_address(*address.ip()).port(address.port());
    // It ends a lookup when every node answered or ran into this.
    builder.request_timeout(Duration::from_millis(500));
    Ok(builder.build()?.as_async())
}

async fn answer(dht: &AsyncDht, command: &[&str]) -> Result<String, Failure> {
    Ok(match command {
        ["address"] => match dht.info().await.public_address() {
            Some(address) => format!("address {address}"),
            None => "none".to_owned(),
        },
        ["get-peers", hash] => {
            let mut found: Vec<String> = Vec::new();
            let mut peers = dht.get_peers(id(hash)?);
            while let Some(some) = peers.next().await {
                found.extend(some.iter().map(SocketAddrV4::to_string));
            }
            found.sort();
            found.dedup();
            [&["peers".to_owned()], &found[..]].concat().join(" ")
        }
        ["announce", hash, port] => {
            dht.announce_peer(id(hash)?, Some(port.parse()?)).await?;
            "stored".to_owned()
        }
        ["put", value] => format!("stored {}", dht.put_immutable(&unhex(value)?).await?),
        ["get", target] => match dht.get_immutable(id(target)?).await {
            Some(value) => format!("value {}", hex(&value)),
            None => "none".to_owned(),
        },
        ["put-mutable", seed, _key, salt, seq, value] => {
            let secret = SigningKey::from_bytes(&unhex(seed)?[..].try_into()?);
            let salt = unhex(salt)?;
            let salt = (!salt.is_empty()).then_some(&salt[..]);
            let item = MutableItem::new(secret, &unhex(value)?, seq.parse()?, salt);
            format!("stored {}", dht.put_mutable(item, None).await?.target)
        }
        ["get-mutable", key, salt] => {
            let key = unhex(key)?[..].try_into()?;
            let salt = unhex(salt)?;
            match dht.get_mutable_most_recent(&key, (!salt.is_empty()).then_some(&salt[..])).await {
                Some(item) => format!("value {} {}", item.seq(), hex(item.value())),
                None => "none".to_owned(),
            }
        }
        _ => return Err("no such command".into()),
    })
}

fn id(text: &str) -> Result<Id, Failure> {
    Ok(Id::from_bytes(unhex(text)?)?)
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, Failure> {
    let text = if text == "-" { "" } else { text };
    let digits = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2).ok_or("odd hex"));
    digits.map(|pair| Ok(u8::from_str_radix(pair?, 16)?)).collect()
}
