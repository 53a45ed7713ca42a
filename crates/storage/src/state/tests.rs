//! Tests of the store: against a model, at every point of a crash, on damaged and full disks.

use std::collections::BTreeMap;
use std::process::Command;

use proptest::prelude::*;
use redb::{ReadableDatabase, TableDefinition};
use unchoke_wire::InfoHashes;

use super::entry::tests::entry;
use super::*;
use crate::ErrorKind;
use crate::resume::record::tests::sample;

mod crash;

type Model = BTreeMap<WireHash, TorrentEntry>;

fn record(hash: WireHash, uploaded: u64) -> StateChange {
    let hashes = InfoHashes { v1: Some(hash.0), v2: None };
    StateChange::Record(ResumeRecord { info_hash: hash, hashes, uploaded, ..sample() })
}

fn stored(store: &StateStore) -> Model {
    store.torrents().unwrap().into_iter().map(|(hash, entry)| (hash, entry.unwrap())).collect()
}

fn uploaded(store: &StateStore, hash: WireHash) -> Option<u64> {
    store.record(hash).unwrap().record.map(|r| r.uploaded)
}

/// Puts bytes into a table as they are.
fn put(dir: &Path, table: &'static str, hash: WireHash, bytes: &[u8]) {
    let table: TableDefinition<'static, [u8; 20], &'static [u8]> = TableDefinition::new(table);
    let db = Database::open(dir.join(FILE)).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(table).unwrap().insert(hash.0, bytes).unwrap();
    txn.commit().unwrap();
}

#[test]
fn everything_committed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a/b");
    let ((one, first), (two, second)) = (entry(1), entry(2));
    let store = StateStore::open(&dir).unwrap();
    assert!(store.torrents().unwrap().is_empty());
    let metainfo = StateChange::Metainfo(one, b"d4:infode".to_vec());
    let changes = [StateChange::Entry(one, first.clone()), StateChange::Entry(two, second), metainfo];
    store.commit(&changes).unwrap();
    store.commit(&[record(one, 1)]).unwrap();
    store.commit(&[record(one, 2), StateChange::Remove(two)]).unwrap();
    drop(store);
    let store = StateStore::open(&dir).unwrap();
    assert_eq!(stored(&store), BTreeMap::from([(one, first)]));
    assert_eq!(store.metainfo(one).unwrap().as_deref(), Some(&b"d4:infode"[..]));
    assert_eq!((uploaded(&store, one), uploaded(&store, two)), (Some(2), None));
    assert_eq!(store.metainfo(two).unwrap(), None);
}

#[test]
fn folder_and_files_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("state");
    let _store = StateStore::open(&dir).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join(FILE)), mode(&dir.join("lock"))), (0o700, 0o600, 0o600));
}

/// A program that is being started has every descriptor of ours until it is there.
#[test]
fn what_starts_a_program_meanwhile_does_not_find_the_folder_locked() {
    let (dir, is_over) = (tempfile::tempdir().unwrap(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        let opened: Vec<_> = (0..100).map(|_| StateStore::open(dir.path()).map(drop)).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    });
}

//= H3d-7
#[test]
fn a_second_user_of_the_folder_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    let error = StateStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, StateError::Busy { .. }));
    let line = error.to_string();
    assert!(line.contains(dir.path().to_str().unwrap()) && !line.contains('\n'), "{line}");
    drop(store);
    StateStore::open(dir.path()).unwrap();
}

//= H3d-4
#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(StateStore::open(dir.path()).unwrap());
    let meta: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
    let db = Database::open(dir.path().join(FILE)).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(meta).unwrap().insert("schema", 7).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = StateStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, StateError::Newer { found: 7, known: 1, .. }), "{error}");
    let db = Database::open(dir.path().join(FILE)).unwrap();
    let schema = db.begin_read().unwrap().open_table(meta).unwrap().get("schema").unwrap().unwrap().value();
    assert_eq!(schema, 7);
}

//= H3d-4
#[test]
fn a_database_of_an_older_schema_is_upgraded() {
    let dir = tempfile::tempdir().unwrap();
    // schema 0: a database without anything
    drop(Database::create(dir.path().join(FILE)).unwrap());
    let store = StateStore::open(dir.path()).unwrap();
    let (hash, one) = entry(1);
    store.commit(&[StateChange::Entry(hash, one)]).unwrap();
    drop(store);
    assert_eq!(stored(&StateStore::open(dir.path()).unwrap()).len(), 1);
}

#[test]
fn one_bad_entry_is_told_once_and_blocks_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    let entries: Vec<_> = (0..5).map(entry).collect();
    let changes: Vec<_> = entries.iter().map(|(hash, e)| StateChange::Entry(*hash, e.clone())).collect();
    store.commit(&changes).unwrap();
    drop(store);
    let bad = entries[2].0;
    put(dir.path(), "entries", bad, b"rubbish");
    let store = StateStore::open(dir.path()).unwrap();
    let torrents = store.torrents().unwrap();
    let failed: Vec<_> = torrents.iter().filter(|(_, e)| e.is_err()).collect();
    assert_eq!((torrents.len(), failed), (5, vec![&(bad, Err(DecodeError::Damaged))]));
    assert_eq!(stored(&store).len(), 4);
    // it can be added anew
    store.commit(&changes).unwrap();
    assert_eq!(stored(&store).len(), 5);
}

#[test]
fn a_damaged_record_is_set_aside_and_the_one_before_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let (hash, one) = entry(1);
    let store = StateStore::open(dir.path()).unwrap();
    store.commit(&[StateChange::Entry(hash, one), record(hash, 1)]).unwrap();
    store.commit(&[record(hash, 2)]).unwrap();
    drop(store);
    put(dir.path(), "records", hash, b"rubbish");
    let store = StateStore::open(dir.path()).unwrap();
    let loaded = store.record(hash).unwrap();
    assert_eq!((loaded.record.map(|r| r.uploaded), loaded.refused.len()), (Some(1), 1));
    assert!(store.record(hash).unwrap().refused.is_empty());
    // the next one must not put anything bad in the place of the good generation
    store.commit(&[record(hash, 3)]).unwrap();
    assert_eq!(uploaded(&store, hash), Some(3));
}

/// What a store that was opened over this file has.
fn reopened(dir: &Path, bytes: &[u8]) -> (Model, Option<Recovered>) {
    std::fs::write(dir.join(FILE), bytes).unwrap();
    let store = StateStore::open(dir).unwrap();
    (stored(&store), store.recovered().cloned())
}

//= H3d-8
#[test]
fn a_file_damaged_anywhere_keeps_all_torrents_or_those_of_its_last_copy() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    let changes: Vec<_> = (0..40).map(entry).map(|(hash, e)| StateChange::Entry(hash, e)).collect();
    store.commit(&changes[..30]).unwrap();
    store.keep_generation().unwrap();
    let before = stored(&store);
    store.commit(&changes).unwrap();
    let all = stored(&store);
    drop(store);
    let good = std::fs::read(dir.path().join(FILE)).unwrap();
    let (mut fell_back, mut read) = (0, 0);
    // all of the header, then a byte in every page, and a run of bytes in the pages that are in use
    let places = (0..320).chain((320..good.len()).step_by(4099)).chain((4096..40_960).step_by(97));
    for at in places {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        match reopened(dir.path(), &bad) {
            (torrents, None) => {
                assert_eq!(torrents, all, "byte {at}");
                read += 1;
            }
            (torrents, Some(recovered)) => {
                assert_eq!(torrents, before, "byte {at}");
                assert!(recovered.has_previous && !recovered.to_string().contains('\n'), "{recovered}");
                assert!(recovered.to_string().contains("state.redb.damaged"), "{recovered}");
                fell_back += 1;
            }
        }
    }
    assert!(fell_back > 0 && read > 0, "{fell_back} fell back, {read} read");
}

//= H3d-8
#[test]
fn a_file_damaged_as_a_whole_is_kept_aside_and_its_last_copy_used() {
    let dir = tempfile::tempdir().unwrap();
    let (hash, one) = entry(1);
    let store = StateStore::open(dir.path()).unwrap();
    store.commit(&[StateChange::Entry(hash, one.clone()), record(hash, 7)]).unwrap();
    store.keep_generation().unwrap();
    drop(store);
    let good = std::fs::read(dir.path().join(FILE)).unwrap();
    let zeros = vec![0; good.len()];
    for rubbish in [&b"rubbish"[..], &zeros, b"", &good[..good.len() / 2], &good[..100]] {
        let (torrents, recovered) = reopened(dir.path(), rubbish);
        let recovered = recovered.unwrap();
        assert_eq!((torrents, recovered.has_previous), (Model::from([(hash, one.clone())]), true));
        assert_eq!(std::fs::read(recovered.damaged.unwrap()).unwrap(), rubbish);
    }
    // without any file but the copy
    std::fs::remove_file(dir.path().join(FILE)).unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    assert_eq!((stored(&store).len(), uploaded(&store, hash)), (1, Some(7)));
    assert!(store.recovered().is_some_and(|r| r.damaged.is_none()));
    drop(store);
    // with the copy damaged as well it begins empty, and goes on from there
    std::fs::write(dir.path().join("state.previous.redb"), b"rubbish").unwrap();
    let (torrents, recovered) = reopened(dir.path(), b"rubbish");
    assert!(torrents.is_empty() && !recovered.unwrap().has_previous);
    let store = StateStore::open(dir.path()).unwrap();
    assert!(store.recovered().is_none());
    store.commit(&[StateChange::Entry(hash, one)]).unwrap();
}

#[test]
fn many_damaged_files_are_kept_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    drop(StateStore::open(dir.path()).unwrap());
    for n in 0..12u8 {
        reopened(dir.path(), &[n; 50]);
    }
    let kept = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
    let kept = kept.filter(|e| e.file_name().to_str().unwrap().contains("damaged")).count();
    assert_eq!(kept, 9);
}

//= F2
#[test]
fn space_that_was_set_aside_takes_commands_on_a_full_disk() {
    let Some(disk) = small_disk() else { return };
    let dir = disk.0.path().join("state");
    let store = StateStore::open(&dir).unwrap();
    let (hash, one) = entry(1);
    store.commit(&[StateChange::Entry(hash, one.clone())]).unwrap();
    store.reserve(1 << 20);
    assert!(!store.is_reserve_used() && dir.join("reserve").exists());
    let filler = disk.0.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|n| n > 0) {}
    // far more than fits into the pages that are free
    let changes: Vec<_> = (2..40).map(|n| StateChange::Metainfo(entry(n).0, vec![1; 10_000])).collect();
    store.commit(&changes).unwrap();
    assert!(store.is_reserve_used());
    store.commit(&[StateChange::Entry(hash, TorrentEntry { is_paused: true, ..one })]).unwrap();
    std::fs::remove_file(&filler).unwrap();
    drop(file);
    store.keep_generation().unwrap();
    assert!(!store.is_reserve_used(), "there is room again");
}

/// A file system in memory of 4 MiB; `None`, said aloud, where this user may not mount one.
fn small_disk() -> Option<SmallDisk> {
    let dir = tempfile::tempdir().unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(dir.path()).output();
    if mount.is_ok_and(|out| out.status.success()) {
        return Some(SmallDisk(dir));
    }
    eprintln!("skipped: a small file system cannot be mounted by this user");
    None
}

struct SmallDisk(tempfile::TempDir);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_keeps_the_old_state_and_takes_new_ones_when_there_is_room() {
    let Some(disk) = small_disk() else { return };
    let dir = disk.0.path().join("state");
    let store = StateStore::open(&dir).unwrap();
    let ((one, first), (two, second)) = (entry(1), entry(2));
    store.commit(&[StateChange::Entry(one, first.clone()), record(one, 1)]).unwrap();
    let filler = disk.0.path().join("filler");
    let fill = || {
        let mut file = std::fs::File::options().append(true).create(true).open(&filler).unwrap();
        while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|n| n > 0) {}
    };
    fill();
    let large = StateChange::Metainfo(two, vec![1; 3 << 20]);
    for _ in 0..2 {
        let error = store.commit(&[StateChange::Entry(two, second.clone()), large.clone()]).unwrap_err();
        assert!(matches!(&error, StateError::Storage(e) if e.kind == ErrorKind::NoSpace), "{error}");
        fill();
        assert_eq!(stored(&store), BTreeMap::from([(one, first.clone())]));
        assert_eq!(uploaded(&store, one), Some(1));
    }
    // as after a kill
    drop(store);
    fill();
    let store = StateStore::open(&dir).unwrap();
    assert_eq!(stored(&store).len(), 1);
    std::fs::remove_file(&filler).unwrap();
    store.commit(&[StateChange::Entry(two, second)]).unwrap();
    assert_eq!(stored(&store).len(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Enter(u32, u64),
    Save(u32, u64),
    Remove(u32),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        4 => (0u32..12, any::<u32>()).prop_map(|(n, left)| Step::Enter(n, left.into())),
        4 => (0u32..12, any::<u32>()).prop_map(|(n, up)| Step::Save(n, up.into())),
        2 => (0u32..12).prop_map(Step::Remove),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(prop::collection::vec(step, 1..6), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_store_is_a_map_that_survives_restarts(batches in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = StateStore::open(dir.path()).unwrap();
        let (mut model, mut records) = (Model::new(), BTreeMap::new());
        for batch in batches {
            let mut changes = Vec::new();
            for step in &batch {
                match step {
                    Step::Enter(n, left) => {
                        let (hash, entry) = entry(*n);
                        let entry = TorrentEntry { left: Some(*left), ..entry };
                        model.insert(hash, entry.clone());
                        changes.push(StateChange::Entry(hash, entry));
                    }
                    Step::Save(n, up) => {
                        records.insert(entry(*n).0, *up);
                        changes.push(record(entry(*n).0, *up));
                    }
                    Step::Remove(n) => {
                        model.remove(&entry(*n).0);
                        records.remove(&entry(*n).0);
                        changes.push(StateChange::Remove(entry(*n).0));
                    }
                    Step::Reopen => {}
                }
            }
            store.commit(&changes).unwrap();
            if batch.iter().any(|s| matches!(s, Step::Reopen)) {
                drop(store);
                store = StateStore::open(dir.path()).unwrap();
            }
            prop_assert_eq!(&stored(&store), &model);
            for n in 0..12 {
                prop_assert_eq!(uploaded(&store, entry(n).0), records.get(&entry(n).0).copied());
            }
        }
    }
}
