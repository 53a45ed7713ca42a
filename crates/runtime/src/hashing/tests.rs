//! Whatever the pieces, the files and the disk: the digests are those of the bytes.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use unchoke_storage::{FileFact, FileSpec, FileStorage, MemoryStorage, Options, StorageSpec};
use unchoke_wire::{BlockRef, Layout};

use super::*;

/// Files `0`, `1`, … of a torrent `t`.
fn spec(piece_len: u32, lens: &[u64]) -> StorageSpec {
    let file = |(i, len): (usize, &u64)| FileSpec {
        path: vec!["t".to_owned(), i.to_string()],
        len: *len,
        ..FileSpec::default()
    };
    let files: Vec<FileSpec> = lens.iter().enumerate().map(file).collect();
    StorageSpec { layout: Layout::new(piece_len, lens.iter().copied()).unwrap(), files }
}

fn noise(len: u64) -> Vec<u8> {
    let mut state = 7u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| byte()).collect()
}

/// The torrent in files full of noise, and the noise.
fn written(dir: &Path, spec: &StorageSpec) -> (FileStorage, Vec<u8>) {
    let all = noise(spec.layout.total_len());
    let mut rest = &all[..];
    std::fs::create_dir(dir.join("t")).unwrap();
    for (i, file) in spec.files.iter().enumerate() {
        let (now, later) = rest.split_at(usize::try_from(file.len).unwrap());
        rest = later;
        std::fs::write(dir.join("t").join(i.to_string()), now).unwrap();
    }
    (FileStorage::open(dir, spec.clone(), Options::default()).unwrap(), all)
}

fn digest(bytes: &[u8]) -> Option<Sha1Digest> {
    let mut digest = [Sha1Digest::default()];
    unchoke_hash::sha1_batch(&[bytes], &mut digest);
    Some(digest[0])
}

fn hashed(storage: &dyn Storage, pieces: &[PieceIndex]) -> (Vec<Option<Sha1Digest>>, u64) {
    let seen = AtomicU64::new(0);
    let progress = |n| _ = seen.fetch_add(n, Ordering::Relaxed);
    let digests = hash_pieces(storage, pieces, &progress, &AtomicBool::new(false)).unwrap();
    (digests, seen.into_inner())
}

/// Files on a disk that is said to turn.
struct Turning(FileStorage);

impl Storage for Turning {
    fn is_rotational(&self) -> bool {
        true
    }
    fn piece_reader(&self) -> Box<dyn unchoke_storage::PieceReader + '_> {
        self.0.piece_reader()
    }
    fn spec(&self) -> &StorageSpec {
        self.0.spec()
    }
    fn prepare(&self) -> Result<(), StorageError> {
        self.0.prepare()
    }
    fn write(&self, piece: PieceIndex, begin: u32, data: &[u8]) -> Result<(), StorageError> {
        self.0.write(piece, begin, data)
    }
    fn read(&self, block: BlockRef, buf: &mut [u8]) -> Result<(), StorageError> {
        self.0.read(block, buf)
    }
    fn sync(&self) -> Result<(), StorageError> {
        self.0.sync()
    }
    fn facts(&self) -> Vec<FileFact> {
        self.0.facts()
    }
    fn set_selection(&self, selected: &[bool]) -> Result<(), StorageError> {
        self.0.set_selection(selected)
    }
    fn finish(&self) -> Result<(), StorageError> {
        self.0.finish()
    }
    fn delete(&self) -> Result<(), StorageError> {
        self.0.delete()
    }
    fn close_files(&self) {
        self.0.close_files();
    }
}

#[test]
fn every_piece_is_hashed_in_its_place_whatever_its_length_and_the_disk() {
    for piece_len in [1_000, 16 << 10, 100_000, 1 << 20, 9 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(piece_len, &[3_000_000, 7, 0, 12_000_000, 99_999]);
        let (storage, all) = written(dir.path(), &spec);
        let pieces: Vec<PieceIndex> = spec.layout.pieces().collect();
        let due: Vec<_> = all.chunks(bytes(piece_len)).map(digest).collect();
        assert_eq!(hashed(&storage, &pieces), (due.clone(), spec.layout.total_len()), "{piece_len}");
        assert_eq!(hashed(&Turning(storage), &pieces).0, due, "{piece_len}");
    }
}

#[test]
fn any_pieces_can_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for (piece_len, some) in [(16 << 10, [1, 2, 3, 7, 400, 401]), (300_000, [0, 3, 4, 5, 11, 33])] {
        let dir = dir.path().join(piece_len.to_string());
        std::fs::create_dir(&dir).unwrap();
        let spec = spec(piece_len, &[3_000_000, 7_000_000]);
        let (storage, all) = written(&dir, &spec);
        let due: Vec<_> =
            some.iter().map(|p| digest(all.chunks(bytes(piece_len)).nth(*p).unwrap())).collect();
        let some = some.map(|p| PieceIndex(u32::try_from(p).unwrap()));
        assert_eq!(hashed(&storage, &some).0, due);
        assert_eq!(hashed(&storage, &[]), (Vec::new(), 0));
    }
}

#[test]
fn missing_short_and_sparse_files_are_told_apart() {
    for piece_len in [16 << 10, 1 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(piece_len, &[4 << 20, 4 << 20, 4 << 20]);
        let (storage, all) = written(dir.path(), &spec);
        let file = |i: u32| dir.path().join("t").join(i.to_string());
        std::fs::remove_file(file(0)).unwrap();
        std::fs::File::options().write(true).open(file(1)).unwrap().set_len((1 << 20) + 1).unwrap();
        std::fs::File::create(file(2)).unwrap().set_len(4 << 20).unwrap();
        let pieces: Vec<PieceIndex> = spec.layout.pieces().collect();
        let (found, seen) = hashed(&storage, &pieces);
        assert_eq!(seen, 12 << 20);
        let a_mib = (1 << 20) / bytes(piece_len);
        let (absent, rest) = found.split_at(4 * a_mib);
        assert!(absent.iter().all(Option::is_none));
        let (there, rest) = rest.split_at(a_mib);
        assert_eq!(there, all[4 << 20..5 << 20].chunks(bytes(piece_len)).map(digest).collect::<Vec<_>>());
        let (short, sparse) = rest.split_at(3 * a_mib);
        assert!(short.iter().all(Option::is_none));
        let zeros = digest(&vec![0; bytes(piece_len)]);
        assert!(sparse.len() == 4 * a_mib && sparse.iter().all(|d| *d == zeros));
    }
}

#[test]
fn a_cancel_ends_it_and_a_failure_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(1 << 20, &[64 << 20]);
    let (storage, _) = written(dir.path(), &spec);
    let pieces: Vec<PieceIndex> = spec.layout.pieces().collect();
    let (cancel, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    let progress = |n| {
        seen.fetch_add(n, Ordering::Relaxed);
        cancel.store(true, Ordering::Relaxed);
    };
    let found = hash_pieces(&storage, &pieces, &progress, &cancel).unwrap();
    assert!(seen.into_inner() < 64 << 20 && found.iter().any(Option::is_none));
    std::fs::remove_file(dir.path().join("t/0")).unwrap();
    std::fs::create_dir(dir.path().join("t/0")).unwrap();
    let error = hash_pieces(&storage, &pieces, &|_| (), &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("t/0"), "{error}");
}

#[test]
fn what_is_in_memory_is_hashed_too() {
    let spec = spec(300_000, &[1_000_000]);
    let storage = MemoryStorage::new(spec).unwrap();
    let all = noise(1_000_000);
    for (p, chunk) in all.chunks(300_000).enumerate().skip(1) {
        storage.write(PieceIndex(u32::try_from(p).unwrap()), 0, chunk).unwrap();
    }
    let pieces: Vec<PieceIndex> = storage.spec().layout.pieces().collect();
    let mut due: Vec<_> = all.chunks(300_000).map(digest).collect();
    due[0] = None;
    assert_eq!(hashed(&storage, &pieces).0, due);
}

//= H3e-2
#[test]
fn pieces_the_disk_does_not_give_back_are_named_and_the_others_hashed() {
    for piece_len in [100_000, 1 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(piece_len, &[20_000_000]);
        let (storage, all) = written(dir.path(), &spec);
        let pieces: Vec<PieceIndex> = spec.layout.pieces().collect();
        let mut due: Vec<_> = all.chunks(bytes(piece_len)).map(digest).collect();
        let plan = unchoke_storage::FaultPlan::new();
        let bad = [PieceIndex(0), PieceIndex(7), PieceIndex(8)];
        for piece in bad {
            plan.unreadable(piece);
            due[bytes(piece.0)] = None;
        }
        let faulty = unchoke_storage::FaultyStorage::new(std::sync::Arc::new(storage), plan);
        let no = AtomicBool::new(false);
        let (found, unreadable) = hash_readable_pieces(&faulty, &pieces, &|_| (), &no).unwrap();
        assert!(found == due && unreadable == bad, "{piece_len}: {unreadable:?}");
        assert!(hash_pieces(&faulty, &pieces, &|_| (), &no).is_err());
    }
}
