//! Asks the DHT who has a torrent: `dht_lookup HASH`, 40 hex digits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use unchoke_runtime::storage::{MemoryStorage, Storage};
use unchoke_runtime::{AddTorrent, Discovery, HubEvent, Session, SessionConfig, SessionEvent};
use unchoke_wire::magnet::parse_hex_hash;
use unchoke_wire::{InfoHash, InfoHashes, Magnet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hash = std::env::args().nth(1).as_deref().and_then(parse_hex_hash);
    let Some(InfoHash::V1(hash)) = hash else { return Err("usage: dht_lookup HASH".into()) };
    let session = Session::start(SessionConfig::default())?;
    let events = session.events();
    let nowhere = |spec| Ok(Arc::new(MemoryStorage::new(spec)?) as Arc<dyn Storage>);
    let magnet = Magnet::new(InfoHashes { v1: Some(hash), v2: None });
    let mut add = AddTorrent::with_storage(magnet, Arc::new(nowhere));
    add.discovery = Discovery { trackers: false, dht: true, lsd: false, dial: false };
    session.add(add)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Ok(event) = events.recv_deadline(deadline) {
        match event {
            SessionEvent::Dht(HubEvent::DhtReady { nodes, .. }) => println!("{nodes} nodes know us"),
            SessionEvent::Dht(HubEvent::DhtSearched { peers, .. }) => {
                println!("{peers} peers have it");
                break;
            }
            _ => {}
        }
    }
    session.shutdown(Duration::from_secs(5));
    Ok(())
}
