//! Downloads a torrent file or magnet link into a folder: `download SOURCE DIR`.

use std::time::Duration;

use unchoke_runtime::{AddTorrent, Session, SessionConfig, Source};
use unchoke_wire::{Magnet, Metainfo};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(source), Some(dir)) = (args.next(), args.next()) else {
        return Err("usage: download TORRENT|MAGNET DIR".into());
    };
    let source: Source = match source.starts_with("magnet:") {
        true => source.parse::<Magnet>()?.into(),
        false => Metainfo::parse(&std::fs::read(source)?)?.into(),
    };
    let session = Session::start(SessionConfig::default())?;
    let torrent = session.add(AddTorrent::new(source, dir))?;
    loop {
        match torrent.wait_complete(Duration::from_secs(1)) {
            Ok(()) => break,
            Err(unchoke_runtime::SessionError::Timeout(_)) => {
                let stats = torrent.stats()?;
                let (have, pieces) = stats.pieces;
                println!("{have}/{pieces} pieces, {} B/s, {} peers", stats.rates.0, stats.peers.0);
            }
            Err(e) => return Err(e.into()),
        }
    }
    session.shutdown(Duration::from_secs(5));
    Ok(())
}
