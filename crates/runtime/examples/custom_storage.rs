//! A torrent that never touches a disk: two sessions on loopback, pieces in memory on both sides.

use std::sync::Arc;
use std::time::Duration;

use unchoke_runtime::storage::{MemoryStorage, Storage, StorageError, StorageSpec};
use unchoke_runtime::{AddTorrent, Session, SessionConfig};
use unchoke_wire::metainfo::MetainfoBuilder;
use unchoke_wire::metainfo::build::BuildFile;
use unchoke_wire::{BlockRef, Metainfo, PieceIndex};

const LEN: usize = 50_000;
const PIECE_LEN: u32 = 65_536;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data: Vec<u8> = (0u8..=255).cycle().take(LEN).collect();
    let mut digest = [[0; 20]];
    unchoke_hash::sha1_batch(&[&data], &mut digest);
    let file =
        BuildFile { path: vec!["memory".to_owned()], length: u64::try_from(LEN)?, ..BuildFile::default() };
    let builder = MetainfoBuilder {
        name: "memory".to_owned(),
        files: vec![file],
        piece_len: PIECE_LEN,
        pieces: digest.to_vec(),
        ..MetainfoBuilder::default()
    };
    let metainfo = Metainfo::parse(&builder.build()?)?;

    let (seed, leech) =
        (Session::start(SessionConfig::loopback())?, Session::start(SessionConfig::loopback())?);
    let full = data.clone();
    let with_data = move |spec: StorageSpec| -> Result<Arc<dyn Storage>, StorageError> {
        let storage = MemoryStorage::new(spec)?;
        storage.write(PieceIndex(0), 0, &full)?;
        Ok(Arc::new(storage))
    };
    let add = AddTorrent::with_storage(metainfo.clone(), Arc::new(with_data));
    seed.add(AddTorrent { seed_only: true, trust: true, ..add })?.wait_complete(Duration::from_secs(10))?;

    let spec = StorageSpec {
        layout: metainfo.info.layout.clone(),
        files: vec![unchoke_runtime::storage::FileSpec {
            path: vec!["memory".to_owned()],
            len: u64::try_from(LEN)?,
            ..Default::default()
        }],
    };
    let empty: Arc<dyn Storage> = Arc::new(MemoryStorage::new(spec)?);
    let mine = Arc::clone(&empty);
    let mut add = AddTorrent::with_storage(metainfo, Arc::new(move |_| Ok(Arc::clone(&mine))));
    add.peers.push(seed.local_addr());
    leech.add(add)?.wait_complete(Duration::from_secs(10))?;

    let mut got = vec![0; LEN];
    empty.read(BlockRef { piece: PieceIndex(0), begin: 0, len: u32::try_from(LEN)? }, &mut got)?;
    assert!(got == data, "the bytes arrived as they were");
    println!("{LEN} bytes from memory to memory");
    Ok(())
}
