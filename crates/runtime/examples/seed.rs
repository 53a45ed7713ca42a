//! Checks the files of a torrent and shares them: `seed TORRENT DIR`. Ends when its input does.

use std::time::Duration;

use unchoke_runtime::{AddTorrent, Session, SessionConfig};
use unchoke_wire::Metainfo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(torrent), Some(dir)) = (args.next(), args.next()) else {
        return Err("usage: seed TORRENT DIR".into());
    };
    let metainfo = Metainfo::parse(&std::fs::read(torrent)?)?;
    let name = metainfo.info.name.clone();
    let session = Session::start(SessionConfig::default())?;
    let torrent = session.add(AddTorrent { seed_only: true, ..AddTorrent::new(metainfo, dir) })?;
    torrent.wait_complete(Duration::from_secs(24 * 3600))?;
    println!("seeding {name} on {}", session.local_addr());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    session.shutdown(Duration::from_secs(5));
    Ok(())
}
