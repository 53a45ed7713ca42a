//! What a session with a state store makes of a run that was cut off.

mod support;

use support::{Fixture, PATIENCE, quiet, start};
use unchoke_runtime::storage::{StateChange, StateStore, TorrentEntry};
use unchoke_runtime::{AddTorrent, SessionConfig};

fn with_state(dir: &std::path::Path) -> SessionConfig {
    SessionConfig { state_dir: Some(dir.to_owned()), ..quiet() }
}

//= H3d-1
#[test]
fn the_choice_of_files_a_torrent_was_added_with_is_as_durable_as_the_torrent() {
    let fixture = Fixture::small(60);
    let (target, state, copy) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let session = start(with_state(state.path()));
    let selection = vec![true, false, true, false];
    let mut add = AddTorrent::new(fixture.metainfo.clone(), target.path());
    (add.selection, add.is_paused) = (Some(selection.clone()), true);
    session.add(add).unwrap().wait_saved(PATIENCE).unwrap();
    // as a kill at this moment leaves it
    std::fs::copy(state.path().join("state.redb"), copy.path().join("state.redb")).unwrap();
    let store = StateStore::open(copy.path()).unwrap();
    let entry = store.torrent(fixture.hash()).unwrap().unwrap();
    let record = store.record(fixture.hash()).unwrap().record;
    assert!(entry.is_paused);
    assert_eq!(record.map(|r| r.selection), Some(selection));
}

//= H3d-1
#[test]
fn a_removal_with_data_that_was_cut_off_goes_on_at_the_next_start() {
    let fixture = Fixture::small(61);
    let state = tempfile::tempdir().unwrap();
    let store = StateStore::open(state.path()).unwrap();
    let mut entry = TorrentEntry::new(fixture.metainfo.info_hashes, fixture.dir.path().to_owned(), 0);
    entry.is_deleting = true;
    let metainfo = StateChange::Metainfo(fixture.hash(), fixture.metainfo.to_bytes());
    store.commit(&[StateChange::Entry(fixture.hash(), entry), metainfo]).unwrap();
    drop(store);
    // some of it had gone already
    std::fs::remove_file(fixture.dir.path().join("small/sub/b.bin")).unwrap();
    let session = start(with_state(state.path()));
    if let Some(torrent) = session.torrent(fixture.hash()) {
        torrent.wait_removed(PATIENCE).unwrap();
    }
    assert!(!fixture.dir.path().join("small").exists());
    assert!(session.torrent(fixture.hash()).is_none());
    session.shutdown(PATIENCE);
    assert!(StateStore::open(state.path()).unwrap().torrents().unwrap().is_empty());
}
