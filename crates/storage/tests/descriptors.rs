//! Running out of descriptors. Alone in its process, whose limit it lowers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use unchoke_storage::{FileFact, FileSpec, FileStorage, Options, Storage, StorageSpec};
use unchoke_wire::{BlockRef, Layout, PieceIndex};

#[test]
fn a_process_out_of_descriptors_closes_pooled_ones_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = |i: u32| FileSpec { path: vec!["t".into(), format!("f{i}")], len: 10, ..FileSpec::default() };
    let files: Vec<FileSpec> = (0..100).map(file).collect();
    let layout = Layout::new(10, files.iter().map(|f| f.len)).unwrap();
    let storage = FileStorage::open(dir.path(), StorageSpec { layout, files }, Options::default()).unwrap();
    let old = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(24), ..old }).unwrap();
    for p in 0..100 {
        storage.write(PieceIndex(p), 0, &[u8::try_from(p).unwrap(); 10]).unwrap();
    }
    storage.sync().unwrap();
    for p in 0..100 {
        let mut buf = [0; 10];
        storage.read(BlockRef { piece: PieceIndex(p), begin: 0, len: 10 }, &mut buf).unwrap();
        assert_eq!(buf, [u8::try_from(p).unwrap(); 10]);
    }
    assert!(storage.facts().iter().all(|f| matches!(f, FileFact::Present { len: 10, .. })));
    setrlimit(Resource::Nofile, old).unwrap();
}
