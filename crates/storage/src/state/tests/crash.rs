//! A crash after every operation of a store, from the making of its folder on: the process dies, power fails, or power
//! fails after a process that died and was started again.

use super::*;
use crate::{Fate, MemoryDisk};

/// What was acknowledged, and how far the disk had come by then.
struct Told {
    at: usize,
    state: Option<Model>,
}

fn changes_of(round: u32, state: &mut Model) -> Vec<StateChange> {
    let mut changes = Vec::new();
    for n in 0..1 + round % 4 * 3 {
        let (hash, entry) = entry(round * 3 + n);
        state.insert(hash, entry.clone());
        changes.push(StateChange::Entry(hash, entry));
        changes.push(record(hash, round.into()));
    }
    if round % 3 == 2 {
        let gone = *state.keys().next().unwrap();
        state.remove(&gone);
        changes.push(StateChange::Remove(gone));
    }
    changes
}

/// Opens the store of a disk after a crash and goes on from there.
fn goes_on(disk: &MemoryDisk, told: &[Told], what: &str) -> Model {
    let store = StateStore::open_on(&Volume::from(disk), Path::new("/state"))
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let found = stored(&store);
    let may_be = told.iter().take(2).any(|t| t.state.as_ref().map_or(found.is_empty(), |s| *s == found));
    assert!(may_be, "{what}: {} torrents", found.len());
    let (hash, one) = entry(1000);
    store.commit(&[StateChange::Entry(hash, one)]).unwrap();
    stored(&store)
}

//= H3d-1
//= H3d-6
#[test]
fn a_crash_after_any_operation_keeps_every_commit_whole() {
    let disk = MemoryDisk::new();
    let store = StateStore::open_on(&Volume::from(&disk), Path::new("/state")).unwrap();
    let mut state = Model::new();
    let mut told = vec![Told { at: 0, state: None }, Told { at: disk.ops(), state: Some(Model::new()) }];
    for round in 0..10 {
        store.commit(&changes_of(round, &mut state)).unwrap();
        told.push(Told { at: disk.ops(), state: Some(state.clone()) });
    }
    drop(store);
    let mut history = disk.history();
    let mut crashes = 0;
    loop {
        let at = history.at();
        let told = &told[told.iter().rposition(|t| t.at <= at).unwrap()..];
        for fate in Fate::ALL {
            let what = format!("power cut after operation {at}, {fate:?}");
            goes_on(&history.after_power_cut(fate, 7 + at as u64), told, &what);
            crashes += 1;
        }
        let killed = history.after_kill();
        let state = goes_on(&killed, told, &format!("kill after operation {at}"));
        let then = [Told { at: 0, state: Some(state) }];
        goes_on(
            &killed.after_power_cut(Fate::Nothing, 1),
            &then,
            &format!("kill after operation {at}, then power cut"),
        );
        crashes += 2;
        if !history.step() {
            break;
        }
    }
    assert!(crashes > 1000, "{crashes}");
}

//= H3d-1
#[test]
fn ten_thousand_torrents_added_at_once_are_all_there_or_none_of_them() {
    let disk = MemoryDisk::new();
    let store = StateStore::open_on(&Volume::from(&disk), Path::new("/state")).unwrap();
    let (begin, mut state) = (disk.ops(), Model::new());
    let entries = (0..10_000).map(entry);
    let changes: Vec<StateChange> = entries
        .map(|(hash, one)| {
            state.insert(hash, one.clone());
            StateChange::Entry(hash, one)
        })
        .collect();
    store.commit(&changes).unwrap();
    let told = [Told { at: begin, state: Some(Model::new()) }, Told { at: disk.ops(), state: Some(state) }];
    drop(store);
    let mut history = disk.history();
    let every = (disk.ops() - begin) / 16;
    while history.step() {
        let at = history.at();
        if at >= begin && (at - begin).is_multiple_of(every) {
            let fate = Fate::ALL[at % Fate::ALL.len()];
            let known = &told[usize::from(at >= told[1].at)..];
            goes_on(
                &history.after_power_cut(fate, 11 + at as u64),
                known,
                &format!("operation {at}, {fate:?}"),
            );
        }
    }
    goes_on(&history.after_power_cut(Fate::Nothing, 1), &told[1..], "after the commit");
}

//= H3d-4
#[test]
fn a_crash_while_an_older_schema_is_upgraded_keeps_it_or_finishes_it() {
    // a database of schema 0 is one without tables
    let disk = MemoryDisk::new();
    let volume = Volume::from(&disk);
    volume.create_dir_all(Path::new("/state")).unwrap();
    let path = Path::new("/state").join(FILE);
    let File::Memory(file) = volume.open(&path, How::New).unwrap() else { unreachable!("a disk in memory") };
    drop(Builder::new().create_with_backend(file).unwrap());
    volume.sync_parent(&path);
    let begin = disk.ops();
    drop(StateStore::open_on(&volume, Path::new("/state")).unwrap());
    let told = [Told { at: 0, state: None }];
    let mut history = disk.history();
    while history.step() {
        let at = history.at();
        if at < begin {
            continue;
        }
        for fate in Fate::ALL {
            let what = format!("power cut after operation {at}, {fate:?}");
            goes_on(&history.after_power_cut(fate, 3 + at as u64), &told, &what);
        }
        goes_on(&history.after_kill(), &told, &format!("kill after operation {at}"));
    }
}
