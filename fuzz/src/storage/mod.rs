//! What is kept on a disk: records that anything may have happened to, files of any names.

pub mod model;
#[path = "../../../crates/runtime/src/dht_file.rs"]
mod saved_nodes;

use crate::steps::Steps;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use unchoke_engine::hub::DhtState;
use unchoke_storage::{
    DecodeError, FileFact, FileSpec, FileStorage, Options, PartialPiece, ResumeRecord, ResumeStore,
    StateChange, StateStore, Storage, StorageSpec, TorrentEntry,
};
use unchoke_wire::{Bitfield, InfoHashes, Layout, PieceIndex, WireHash, limits};

/// The torrent whose records these are.
const HASH: WireHash = WireHash([7; 20]);

/// `body` as it would be kept: the line with version and checksum before it.
fn sealed(magic: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{magic} 1 ");
    let sum = crc32c::crc32c_append(crc32c::crc32c(head.as_bytes()), body);
    [head.as_bytes(), format!("{sum:08x}\n").as_bytes(), body].concat()
}

/// A record of any bytes is refused, or whole and within the limits; with the right checksum before it, too.
pub fn resume_record(data: &[u8]) {
    check_record(data);
    check_record(&sealed("unchoke resume", data));
}

fn check_record(bytes: &[u8]) {
    let record = match ResumeRecord::decode(bytes, HASH) {
        Ok(record) => record,
        Err(DecodeError::OtherTorrent(other)) => {
            assert_ne!(other, HASH);
            ResumeRecord::decode(bytes, other).expect("it is of that torrent")
        }
        Err(_) => return,
    };
    assert!(record.have.len() <= limits::PIECES_MAX && record.selection.len() <= limits::FILES_MAX);
    assert!(record.have.count() <= record.have.len() && record.facts.len() <= bytes.len());
    assert!(record.partials.iter().all(|p| p.blocks.count() <= p.blocks.len()));
    assert_eq!(ResumeRecord::decode(&record.encode(), record.info_hash), Ok(record));
}

/// An entry of any bytes is refused or whole; with the right checksum before it, too.
pub fn state_entry(data: &[u8]) {
    for bytes in [data, &sealed("unchoke torrent", data)] {
        let (entry, hash) = match TorrentEntry::decode(bytes, HASH) {
            Ok(entry) => (entry, HASH),
            Err(DecodeError::OtherTorrent(other)) => {
                assert_ne!(other, HASH);
                (TorrentEntry::decode(bytes, other).expect("it is of that torrent"), other)
            }
            Err(_) => continue,
        };
        assert_eq!(entry.hashes.best().map(|h| h.wire()), Some(hash));
        assert_eq!(TorrentEntry::decode(&entry.encode(), hash), Ok(entry));
    }
}

/// What the DHT left is read within its limits, whatever became of it, and what was read is written and read alike.
pub fn dht_file(data: &[u8]) {
    let dir = Scratch::new();
    let path = dir.0.join("dht");
    fs::write(&path, data).expect("the scratch folder takes files");
    let state = saved_nodes::load(&path);
    assert!(state.ids.len() <= 2 * DhtState::IDS_MAX && state.nodes.len() <= 2 * DhtState::NODES_MAX);
    saved_nodes::save(&path, &state).expect("the scratch folder takes files");
    assert_eq!(saved_nodes::load(&path), state);
}

/// Records in files, each of any bytes: the newest good one is loaded, damaged ones are set aside and in nobody's way,
/// and the next record is kept.
pub fn resume_store(data: &[u8]) {
    let dir = Scratch::new();
    let store = ResumeStore::open(&dir.0).expect("the scratch folder takes files");
    let _lock = store.lock(HASH).expect("nobody else has it");
    let mut steps = Steps::new(data);
    let mut good = 0;
    for name in ["resume", "resume.old", "resume.tmp"] {
        let mut bytes = record(&mut steps).encode();
        match steps.byte() % 4 {
            0 => continue,
            1 => {
                let (at, bits) = (usize::from(steps.byte()), steps.byte());
                let len = bytes.len();
                bytes[at % len] ^= bits;
                good += usize::from(bits == 0 && name != "resume.tmp");
            }
            2 => bytes = steps.bytes().to_vec(),
            _ => good += usize::from(name != "resume.tmp"),
        }
        fs::write(dir.0.join(format!("{HASH}.{name}")), bytes).expect("the scratch folder takes files");
    }
    let Ok(loaded) = store.load(HASH) else { return };
    assert_eq!(loaded.record.is_some(), good > 0);
    assert!(loaded.refused.iter().all(|r| r.path.exists()));
    let next = record(&mut steps);
    store.save(&next).expect("the scratch folder takes files");
    let loaded = store.load(HASH).expect("it was saved");
    assert_eq!((loaded.record, loaded.refused.len()), (Some(next), 0));
    store.remove(HASH).expect("it is there");
    assert!(store.load(HASH).is_ok_and(|l| l.record.is_none()));
}

fn record(steps: &mut Steps<'_>) -> ResumeRecord {
    let pieces = u32::from(steps.byte());
    let mut record = ResumeRecord::new(HASH, InfoHashes { v1: Some(HASH.0), v2: None });
    record.have = Bitfield::none(pieces);
    (0..pieces).filter(|p| p % 3 == 0).for_each(|p| _ = record.have.set(PieceIndex(p)));
    record.downloaded = u64::from(steps.odd_number());
    record.facts =
        vec![FileFact::Present { len: 5, mtime_ns: -1, inode: record.downloaded }, FileFact::Missing];
    record.selection = (0..pieces % 9).map(|n| n % 2 == 0).collect();
    if pieces % 2 == 1 {
        let blocks = Bitfield::all(2);
        record.partials = vec![PartialPiece { piece: PieceIndex(1), blocks, data: vec![3; 40] }];
    }
    record
}

/// A database as a session leaves it: two torrents, one with metadata and two records.
static DATABASE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // a database that contradicts itself may panic inside, which its store takes for damage
    std::panic::set_hook(Box::new(|_| {}));
    let dir = Scratch::new();
    let store = StateStore::open(&dir.0).expect("the scratch folder takes files");
    let entry = |n: u8| {
        let hashes = InfoHashes { v1: Some([n; 20]), v2: None };
        StateChange::Entry(WireHash([n; 20]), TorrentEntry::new(hashes, PathBuf::from("/data"), 1))
    };
    let record = StateChange::Record(record(&mut Steps::new(b"\x09\x07")));
    let metainfo = StateChange::Metainfo(HASH, b"d4:infode".repeat(400));
    let changes = [entry(7), entry(8), metainfo, record.clone(), record];
    store.commit(&changes).expect("the scratch folder takes files");
    drop(store);
    fs::read(dir.0.join("state.redb")).expect("it was written")
});

/// A state store of which any bytes are changed opens, or is refused and kept; what is read of it is whole. One that
/// opened takes changes.
pub fn state_store(data: &[u8]) {
    let mut bytes = DATABASE.clone();
    let dir = Scratch::new();
    let mut steps = Steps::new(data);
    match steps.byte() {
        0 => bytes = steps.rest().to_vec(),
        1 => bytes.truncate(bytes.len() * steps.below(256) / 256),
        _ => {
            let (pages, len) = (bytes.len() / 512, bytes.len());
            while !steps.is_over() {
                let at = usize::from(steps.byte()) % pages * 512 + 2 * usize::from(steps.byte());
                let edit = steps.bytes();
                let end = (at + edit.len()).min(len);
                bytes[at..end].copy_from_slice(&edit[..end - at]);
            }
        }
    }
    fs::write(dir.0.join("state.redb"), &bytes).expect("the scratch folder takes files");
    let store = match StateStore::open(&dir.0) {
        Ok(store) => store,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let Ok(listed) = store.torrents() else { return };
    for (hash, entry) in listed {
        assert!(entry.is_err() || entry.is_ok_and(|e| e.hashes.best().is_some_and(|h| h.wire() == hash)));
        let (_, _) = (store.record(hash), store.metainfo(hash));
    }
    let hashes = InfoHashes { v1: Some([9; 20]), v2: None };
    let added = WireHash([9; 20]);
    let entry = TorrentEntry::new(hashes, PathBuf::from("/data"), 1);
    if store.commit(&[StateChange::Entry(added, entry.clone())]).is_ok() {
        assert!(store.torrent(added).is_ok_and(|e| e == Some(entry)), "what was taken is there");
    }
}

/// Files of any names are refused, or made beneath the root and nowhere else, even where a link leads out of it.
pub fn file_names(data: &[u8]) {
    let dir = Scratch::new();
    let (root, outside) = (dir.0.join("root"), dir.0.join("outside"));
    fs::create_dir(&root).and_then(|()| fs::create_dir(&outside)).expect("the scratch folder takes folders");
    let mut steps = Steps::new(data);
    let name = path_element(&mut steps);
    let files: Vec<FileSpec> = (0..1 + steps.below(4))
        .map(|_| FileSpec {
            path: std::iter::once(name.clone())
                .chain((0..steps.below(3)).map(|_| path_element(&mut steps)))
                .collect(),
            len: u64::from(steps.byte() % 3),
            ..FileSpec::default()
        })
        .collect();
    let Ok(layout) = Layout::new(4, files.iter().map(|f| f.len)) else { return };
    let spec = StorageSpec { layout, files };
    let Ok(storage) = FileStorage::open(&root, spec, Options::default()) else { return };
    // somebody put a link in the way, which leads out
    let trap =
        storage.spec().files[0].path[..1 + steps.below(3).min(storage.spec().files[0].path.len() - 1)].iter();
    let trap = root.join(trap.collect::<PathBuf>());
    if steps.flag() && trap.starts_with(&root) && trap.parent().is_some_and(Path::is_dir) {
        // nothing is there yet, but its name may be too long
        if let Err(e) = std::os::unix::fs::symlink(&outside, &trap) {
            assert_eq!(e.kind(), std::io::ErrorKind::InvalidFilename, "{e}");
        }
    }
    let _ = storage.prepare();
    for piece in storage.spec().layout.pieces() {
        let _ = storage.write(piece, 0, &vec![1; storage.spec().layout.len_of(piece) as usize]);
    }
    let (_, _) = (storage.finish(), storage.delete());
    assert_eq!(names_in(&outside), 0, "a link was followed");
    assert_eq!(names_in(&dir.0), 2, "something is beside the root");
}

fn path_element(steps: &mut Steps<'_>) -> String {
    const ELEMENTS: [&str; 8] = ["a", "b", "..", ".", "/", "", "a/../..", "c"];
    match steps.byte() {
        n @ 0..=159 => ELEMENTS[usize::from(n) % 8].to_owned(),
        _ => String::from_utf8_lossy(steps.bytes()).into_owned(),
    }
}

fn names_in(dir: &Path) -> usize {
    fs::read_dir(dir).expect("it is a folder").count()
}

/// A folder of this process's own, gone when dropped.
struct Scratch(PathBuf, #[expect(dead_code, reason = "removes the folder when dropped")] tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        // memory rather than a disk, where there is such a place
        let shm = Path::new("/dev/shm");
        let parent = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::TempDir::new_in(parent).expect("there is a place for scratch files");
        Scratch(dir.path().to_owned(), dir)
    }
}
