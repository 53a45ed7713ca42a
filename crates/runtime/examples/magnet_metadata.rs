//! Fetches what a magnet link names and lists its files, without getting any: `magnet_metadata MAGNET`.

use std::sync::Arc;
use std::time::Duration;

use unchoke_runtime::storage::{MemoryStorage, Storage};
use unchoke_runtime::{AddTorrent, Session, SessionConfig};
use unchoke_wire::Magnet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let magnet: Magnet = std::env::args().nth(1).ok_or("usage: magnet_metadata MAGNET")?.parse()?;
    let session = Session::start(SessionConfig::default())?;
    // a storage that takes nothing, since a torrent that only seeds asks for nothing
    let nowhere = |spec| Ok(Arc::new(MemoryStorage::new(spec)?) as Arc<dyn Storage>);
    let add = AddTorrent { seed_only: true, ..AddTorrent::with_storage(magnet, Arc::new(nowhere)) };
    let metainfo = session.add(add)?.wait_metainfo(Duration::from_secs(120))?;
    for file in &metainfo.info.files {
        println!("{:>12}  {}", file.length, file.display_path());
    }
    session.shutdown(Duration::from_secs(5));
    Ok(())
}
