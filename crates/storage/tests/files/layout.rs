//! Bytes go to the files the layout says.

use unchoke_storage::{
    Allocation, ErrorKind, FilePool, FileSpec, FileStorage, Options, PieceRead, Storage, StorageSpec,
};
use unchoke_wire::{BlockRef, Layout, PieceIndex};

use crate::support::{byte, check, open, piece, read, read_piece, spec, tree, write_all};

fn bytes(from: u64, len: u64) -> Vec<u8> {
    (from..from + len).map(byte).collect()
}

#[test]
fn a_single_file_lies_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let files = vec![FileSpec { path: vec!["movie".into()], len: 70_000, ..FileSpec::default() }];
    let layout = Layout::new(32_768, [70_000]).unwrap();
    let storage = open(dir.path(), StorageSpec { layout, files });
    write_all(&storage);
    assert_eq!(std::fs::read(dir.path().join("movie")).unwrap(), bytes(0, 70_000));
    assert_eq!(read(&storage, 2, 0, 4_464), bytes(65_536, 4_464));
}

#[test]
fn a_piece_may_span_five_files() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("a", 3), ("b/c", 1), ("b/d", 2), ("e", 1), ("f", 3)];
    let storage = open(dir.path(), spec(10, &files));
    write_all(&storage);
    let mut at = 0;
    for (path, len) in files {
        assert_eq!(std::fs::read(dir.path().join("t").join(path)).unwrap(), bytes(at, len), "{path}");
        at += len;
    }
    assert_eq!(read_piece(&storage, 0), bytes(0, 10));
    assert_eq!(read(&storage, 0, 2, 6), bytes(2, 6));
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/b", "t/b/c", "t/b/d", "t/e", "t/f"]);
}

//= BEP 47: pad files are zeros, not written, served if requested
//= test
#[test]
fn pads_are_never_written_and_read_as_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), spec(8, &[("a", 5), (".pad/3", 3), ("b", 9), (".pad/7", 7)]));
    for p in 0..3 {
        storage.write(PieceIndex(p), 0, &[9; 8]).unwrap();
    }
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/b"]);
    assert_eq!(read_piece(&storage, 0), [9, 9, 9, 9, 9, 0, 0, 0]);
    assert_eq!(read_piece(&storage, 2), [9, 0, 0, 0, 0, 0, 0, 0]);
    let (buf, found) = check(&storage, 0..3);
    assert_eq!(buf, [&[9; 5][..], &[0; 3], &[9; 9], &[0; 7]].concat());
    assert_eq!(found, [PieceRead::Data; 3]);
}

#[test]
fn nothing_is_made_before_the_first_write() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), spec(10, &[("a", 10), ("empty", 0), ("sub/b", 10)]));
    let mut buf = [0; 10];
    let error = storage.read(BlockRef { piece: PieceIndex(0), begin: 0, len: 10 }, &mut buf).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Missing);
    assert_eq!(check(&storage, 1..2).1, [PieceRead::Missing]);
    assert!(tree(dir.path()).is_empty());
    storage.write(PieceIndex(0), 0, &[1; 10]).unwrap();
    assert_eq!(tree(dir.path()), ["t", "t/a"]);
    storage.prepare().unwrap();
    assert_eq!(tree(dir.path()), ["t", "t/a", "t/empty"]);
}

#[test]
fn full_allocation_claims_all_space_at_once() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let options = Options { allocation: Allocation::Full, ..Options::default() };
    let storage = FileStorage::open(dir.path(), spec(1 << 16, &[("a", 300_000), ("b", 5)]), options).unwrap();
    storage.prepare().unwrap();
    let meta = std::fs::metadata(dir.path().join("t/a")).unwrap();
    assert_eq!(meta.len(), 300_000);
    assert!(meta.blocks() * 512 >= 300_000, "{} blocks", meta.blocks());
    assert_eq!(std::fs::metadata(dir.path().join("t/b")).unwrap().len(), 5);
}

#[test]
fn what_is_open_and_in_memory_is_read_at_once_across_files_and_pads() {
    // where the system cannot read without waiting, nothing ever is
    let can_read_now = cfg!(target_os = "linux");
    let dir = tempfile::tempdir_in(memory_dir()).unwrap();
    let storage = open(dir.path(), spec(10, &[("a", 15), (".pad/5", 5), ("b", 10)]));
    write_all(&storage);
    let block = |p, begin, len| BlockRef { piece: PieceIndex(p), begin, len };
    let now = |blocks: &[BlockRef]| {
        let mut buf = [7; 30];
        let got = storage.read_now(blocks, &mut buf);
        buf[..got].to_vec()
    };
    let expected = |bytes: Vec<u8>| if can_read_now { bytes } else { Vec::new() };
    assert_eq!(now(&[block(1, 1, 4)]), expected(bytes(11, 4)));
    assert_eq!(now(&[block(1, 4, 2)]), expected([bytes(14, 1), vec![0]].concat()), "touches a pad");
    let across = [bytes(0, 15), vec![0; 5], bytes(20, 10)].concat();
    assert_eq!(now(&[block(0, 0, 10), block(1, 0, 10), block(2, 0, 10)]), expected(across));
    assert_eq!(now(&[block(0, 5, 2), block(0, 1, 1)]), expected([bytes(5, 2), bytes(1, 1)].concat()));
    assert_eq!(now(&[block(0, 5, 2), block(7, 0, 1)]), expected(bytes(5, 2)), "not of the torrent");
    assert_eq!(storage.read_now(&[block(0, 0, 10)], &mut [0; 3]), if can_read_now { 3 } else { 0 });
    storage.close_files();
    assert!(now(&[block(1, 1, 4)]).is_empty(), "opening it would wait for the disk");
    storage.read_ahead(block(1, 1, 4));
    storage.read(block(1, 1, 4), &mut [0; 4]).unwrap();
    assert_eq!(now(&[block(1, 1, 4)]), expected(bytes(11, 4)), "a read opened it");
    std::fs::remove_file(dir.path().join("t/b")).unwrap();
    storage.close_files();
    assert!(now(&[block(2, 0, 1)]).is_empty(), "not there");
}

/// A folder in memory, if the system has one.
fn memory_dir() -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

#[test]
fn a_check_tells_data_holes_and_missing_pieces_apart() {
    let dir = tempfile::tempdir().unwrap();
    const PIECE: u32 = 1 << 20;
    let storage = open(dir.path(), spec(PIECE, &[("a", 4 << 20), ("b", 2 << 20), ("gone", 100)]));
    storage.write(PieceIndex(2), 0, &piece(storage.spec(), 2)).unwrap();
    std::fs::write(dir.path().join("t/b"), vec![5; (1 << 20) + 10]).unwrap();
    let (buf, found) = check(&storage, 0..7);
    // pages of a hole count as data on file systems that do not know holes
    assert!(found[0] != PieceRead::Missing && found[1] != PieceRead::Missing);
    assert_eq!(
        found[2..],
        [PieceRead::Data, PieceRead::Missing, PieceRead::Data, PieceRead::Missing, PieceRead::Missing]
    );
    assert!(buf[..2 << 20].iter().all(|b| *b == 0));
    assert_eq!(buf[2 << 20..3 << 20], piece(storage.spec(), 2));
}

#[test]
fn one_reader_reads_over_pieces_and_more_files_than_it_holds_open() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..100).map(|i| format!("f{i:02}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|n| (n.as_str(), 7)).collect();
    let storage = open(dir.path(), spec(10, &files));
    write_all(&storage);
    let mut reader = storage.piece_reader();
    reader.read_ahead(PieceIndex(0), 0, u64::MAX).unwrap();
    let mut buf = vec![0; 693];
    for _ in 0..2 {
        assert!(reader.read(PieceIndex(0), 7, &mut buf).unwrap());
        assert_eq!(buf, bytes(7, 693));
    }
    std::fs::remove_file(dir.path().join("t/f50")).unwrap();
    assert!(!storage.piece_reader().read(PieceIndex(0), 7, &mut buf).unwrap());
}

#[test]
fn a_file_longer_than_the_torrent_says_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("t")).unwrap();
    std::fs::write(dir.path().join("t/a"), [7; 25]).unwrap();
    let storage = open(dir.path(), spec(10, &[("a", 20)]));
    write_all(&storage);
    let kept = std::fs::read(dir.path().join("t/a")).unwrap();
    assert_eq!((kept.len(), &kept[20..]), (25, &[7; 5][..]));
    assert!(matches!(storage.facts()[0], unchoke_storage::FileFact::Present { len: 25, .. }));
}

#[test]
fn more_files_than_descriptors_are_written_and_synced() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..50).map(|i| format!("d{}/f{i}", i % 7)).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|n| (n.as_str(), 13)).collect();
    let pool = FilePool::new(3);
    let options = Options { pool: pool.clone(), ..Options::default() };
    let storage = FileStorage::open(dir.path(), spec(20, &files), options).unwrap();
    write_all(&storage);
    assert!(pool.open_count() <= 3);
    storage.sync().unwrap();
    for p in 0..storage.spec().layout.piece_count() {
        assert_eq!(read_piece(&storage, p), piece(storage.spec(), p));
    }
    storage.close_files();
    assert_eq!(pool.open_count(), 0);
}

#[test]
fn workers_write_and_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..20).map(|i| format!("d{}/f{i}", i % 5)).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|n| (n.as_str(), 70)).collect();
    let selection: Vec<bool> = (0..20).map(|i| i % 3 != 0).collect();
    let storage = crate::support::open_selected(dir.path(), spec(50, &files), &selection);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let storage = &storage;
            scope.spawn(move || {
                for p in (0..storage.spec().layout.piece_count()).filter(|p| p % 4 == worker) {
                    storage.write(PieceIndex(p), 0, &piece(storage.spec(), p)).expect("writes");
                    assert_eq!(read_piece(storage, p), piece(storage.spec(), p));
                    storage.sync().expect("syncs");
                }
            });
        }
    });
    storage.set_selection(&[true; 20]).unwrap();
    for p in 0..storage.spec().layout.piece_count() {
        assert_eq!(read_piece(&storage, p), piece(storage.spec(), p));
    }
}
