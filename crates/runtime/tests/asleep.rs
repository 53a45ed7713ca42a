//! Sessions with a state store: what they begin with, and torrents that sleep until somebody comes.

mod support;

use std::path::Path;

use support::{Fixture, PATIENCE, leech, quiet, start, wait_for};
use unchoke_runtime::{
    AddTorrent, Event, Session, SessionConfig, SessionError, SessionEvent, Settings, State,
};
use unchoke_wire::time::Duration;

fn with_state(dir: &Path) -> SessionConfig {
    let engine = Settings { sleep_after: Some(Duration::from_millis(50)), lsd: false, ..Settings::default() };
    SessionConfig { state_dir: Some(dir.to_owned()), engine, ..quiet() }
}

/// Adds a torrent whose files are there and waits until that is durable.
fn seed(fixture: &Fixture, session: &Session) {
    let torrent = fixture.seed(session);
    torrent.wait_saved(PATIENCE).unwrap();
}

fn is_wake(event: &SessionEvent) -> Option<()> {
    matches!(event, SessionEvent::Torrent { event: Event::Wake { .. }, .. }).then_some(())
}

fn is_slept(event: &SessionEvent) -> Option<()> {
    matches!(event, SessionEvent::Torrent { event: Event::Slept { .. }, .. }).then_some(())
}

#[test]
fn a_session_begins_with_its_torrents_asleep_and_serves_who_comes() {
    let (fixture, state) = (Fixture::small(70), tempfile::tempdir().unwrap());
    let first = start(with_state(state.path()));
    seed(&fixture, &first);
    first.shutdown(PATIENCE);
    let second = start(with_state(state.path()));
    let events = second.events();
    let torrent = second.torrent(fixture.hash()).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    let stats = torrent.stats().unwrap();
    assert_eq!((stats.name.as_deref(), stats.total_len), (Some("small"), Some(170_001)));
    assert_eq!(torrent.metainfo().unwrap().info_hashes, fixture.metainfo.info_hashes);
    assert!(events.try_iter().all(|e| is_wake(&e).is_none()), "nobody came yet");
    let (leecher, target) = (start(quiet()), tempfile::tempdir().unwrap());
    let copy = leech(&fixture, &leecher, target.path(), &[second.local_addr()]);
    copy.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
    wait_for(&events, is_wake);
    leecher.shutdown(PATIENCE);
    // nobody is left, and it sleeps again; what it sent is known to the next session
    wait_for(&events, is_slept);
    let uploaded = torrent.stats().unwrap().totals.uploaded;
    assert!(uploaded >= 170_001, "{uploaded}");
    second.shutdown(PATIENCE);
    let third = start(with_state(state.path()));
    let torrent = third.torrent(fixture.hash()).unwrap();
    assert_eq!(summary(&third, &fixture).totals.uploaded, uploaded);
    torrent.remove(false);
    torrent.wait_removed(PATIENCE).unwrap();
    third.shutdown(PATIENCE);
    assert!(start(with_state(state.path())).torrents().is_empty());
}

fn summary(session: &Session, fixture: &Fixture) -> unchoke_runtime::Stats {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let all = session.summaries().unwrap();
        let [summary] = &all[..] else { panic!("{all:?}") };
        assert_eq!(summary.info_hash, fixture.hash());
        if summary.stats.state != State::Starting {
            return summary.stats.clone();
        }
        assert!(std::time::Instant::now() < deadline, "{summary:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_pause_of_a_sleeping_torrent_outlives_a_session_that_is_killed() {
    let (fixture, state) = (Fixture::small(71), tempfile::tempdir().unwrap());
    let first = start(with_state(state.path()));
    seed(&fixture, &first);
    first.shutdown(PATIENCE);
    let second = start(with_state(state.path()));
    let torrent = second.torrent(fixture.hash()).unwrap();
    torrent.pause();
    torrent.wait_saved(PATIENCE).unwrap();
    // what is on the disk at this moment is what a killed session leaves
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(state.path().join("state.redb"), copy.path().join("state.redb")).unwrap();
    let third = start(with_state(copy.path()));
    assert_eq!(summary(&third, &fixture).state, State::Paused);
    third.torrent(fixture.hash()).unwrap().resume();
    third.torrent(fixture.hash()).unwrap().wait_saved(PATIENCE).unwrap();
    assert_eq!(summary(&third, &fixture).state, State::Seeding);
}

#[test]
fn a_download_that_was_stopped_goes_on_when_a_peer_comes() {
    let fixture = Fixture::small(72);
    let (state, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = start(with_state(state.path()));
    let torrent = leech(&fixture, &first, target.path(), &[]);
    wait_for(&first.events(), |e| matches!(e, SessionEvent::Ready { .. }).then_some(()));
    torrent.wait_saved(PATIENCE).unwrap();
    first.shutdown(PATIENCE);
    let seed = start(quiet());
    fixture.seed(&seed);
    let second = start(with_state(state.path()));
    let torrent = second.torrent(fixture.hash()).unwrap();
    torrent.add_peer(seed.local_addr()).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
}

#[test]
fn a_magnet_without_metadata_goes_on_as_one() {
    let fixture = Fixture::small(73);
    let (state, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = start(with_state(state.path()));
    let torrent = first.add(AddTorrent::new(fixture.magnet(), target.path())).unwrap();
    torrent.wait_saved(PATIENCE).unwrap();
    first.shutdown(PATIENCE);
    let seed = start(quiet());
    fixture.seed(&seed);
    let second = start(with_state(state.path()));
    let torrent = second.torrent(fixture.hash()).unwrap();
    torrent.add_peer(seed.local_addr()).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
}

#[test]
fn a_torrent_whose_files_are_gone_says_so_when_it_is_wanted() {
    let (fixture, state) = (Fixture::small(74), tempfile::tempdir().unwrap());
    let first = start(with_state(state.path()));
    seed(&fixture, &first);
    first.shutdown(PATIENCE);
    std::fs::remove_dir_all(fixture.dir.path().join("small")).unwrap();
    let second = start(with_state(state.path()));
    let events = second.events();
    assert_eq!(summary(&second, &fixture).state, State::Seeding);
    let (leecher, target) = (start(quiet()), tempfile::tempdir().unwrap());
    leech(&fixture, &leecher, target.path(), &[second.local_addr()]);
    let error = wait_for(&events, |e| match e {
        SessionEvent::Torrent { event: Event::StorageFailed { error, .. }, .. } => Some(error.clone()),
        _ => None,
    });
    assert!(error.contains("gone"), "{error}");
}

#[test]
fn a_state_store_belongs_to_one_session() {
    let state = tempfile::tempdir().unwrap();
    let _first = start(with_state(state.path()));
    let error = Session::start(with_state(state.path())).unwrap_err();
    assert!(matches!(error, SessionError::State(_)), "{error}");
}
