//! Torrents whose files are moved or checked while a session has them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::path::Path;

use support::{Fixture, PATIENCE, leech, quiet, start, wait_for};
use unchoke_runtime::storage::{ErrorKind, StateChange, StateStore};
use unchoke_runtime::{Session, SessionConfig, SessionError, SessionEvent, Settings, State, TorrentHandle};
use unchoke_wire::time::Duration;

fn with_state(dir: &Path) -> SessionConfig {
    SessionConfig { state_dir: Some(dir.to_owned()), ..quiet() }
}

/// A session in which torrents fall asleep at once.
fn sleepy(dir: &Path) -> SessionConfig {
    let engine = Settings { sleep_after: Some(Duration::from_millis(50)), lsd: false, ..Settings::default() };
    SessionConfig { engine, ..with_state(dir) }
}

fn wait_state(torrent: &TorrentHandle, wanted: &State) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while torrent.stats().unwrap().state != *wanted {
        assert!(std::time::Instant::now() < deadline, "{:?}", torrent.stats());
        std::thread::yield_now();
    }
}

/// A seed is there, a leech gets all of it from the session.
fn assert_serves(fixture: &Fixture, session: &Session) {
    let (leecher, target) = (start(quiet()), tempfile::tempdir().unwrap());
    let copy = leech(fixture, &leecher, target.path(), &[session.local_addr()]);
    copy.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
}

/// A finished download of the session, in a folder of its own.
fn downloaded(fixture: &Fixture, session: &Session) -> (TorrentHandle, tempfile::TempDir) {
    let (seed, from) = (start(quiet()), tempfile::tempdir().unwrap());
    fixture.seed(&seed);
    let torrent = leech(fixture, session, from.path(), &[seed.local_addr()]);
    torrent.wait_complete(PATIENCE).unwrap();
    (torrent, from)
}

//= F7
#[test]
fn a_seeding_torrent_is_moved_and_serves_from_its_new_place_now_and_after_a_restart() {
    let (fixture, state) = (Fixture::small(90), tempfile::tempdir().unwrap());
    let session = start(with_state(state.path()));
    let (torrent, from) = downloaded(&fixture, &session);
    let to = tempfile::tempdir().unwrap();
    torrent.move_to(to.path()).unwrap();
    fixture.assert_same(to.path());
    assert_eq!(std::fs::read_dir(from.path()).unwrap().count(), 0);
    assert_eq!(torrent.dir().as_deref(), Some(to.path()));
    wait_state(&torrent, &State::Seeding);
    assert_serves(&fixture, &session);
    session.shutdown(PATIENCE);
    let session = start(with_state(state.path()));
    let events = session.events();
    assert_serves(&fixture, &session);
    let is_checked = events.try_iter().any(|e| matches!(e, SessionEvent::Checking { .. }));
    assert!(!is_checked, "what is known of its files moved along");
}

#[test]
fn a_download_goes_on_in_its_new_place() {
    let fixture = Fixture::new("large", 91, &[("x", 3_000_000), ("y", 500_000)], 65_536);
    let (state, from, to) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = Settings { upload_limit: Some(1_000_000), ..Settings::default() };
    let seed = start(SessionConfig { engine, ..quiet() });
    fixture.seed(&seed);
    let session = start(with_state(state.path()));
    let events = session.events();
    let torrent = leech(&fixture, &session, from.path(), &[seed.local_addr()]);
    let is_piece = |e: &SessionEvent| {
        matches!(e, SessionEvent::Torrent { event: unchoke_runtime::Event::PieceDone { .. }, .. })
            .then_some(())
    };
    wait_for(&events, is_piece);
    torrent.move_to(to.path()).unwrap();
    seed.set_limits(None, None);
    // its peers were sent away
    torrent.add_peer(seed.local_addr()).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(to.path());
    assert_eq!(std::fs::read_dir(from.path()).unwrap().count(), 0);
}

#[test]
fn a_sleeping_torrent_is_moved_and_wakes_in_its_new_place() {
    let (fixture, state) = (Fixture::small(92), tempfile::tempdir().unwrap());
    let first = start(sleepy(state.path()));
    let (_, _from) = downloaded(&fixture, &first);
    first.shutdown(PATIENCE);
    let session = start(sleepy(state.path()));
    let to = tempfile::tempdir().unwrap();
    let torrent = session.torrent(fixture.hash()).unwrap();
    torrent.move_to(to.path()).unwrap();
    fixture.assert_same(to.path());
    assert_serves(&fixture, &session);
}

#[test]
fn a_move_that_cannot_be_made_changes_nothing() {
    let (fixture, state) = (Fixture::small(93), tempfile::tempdir().unwrap());
    let session = start(with_state(state.path()));
    let (torrent, from) = downloaded(&fixture, &session);
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir(to.path().join("small")).unwrap();
    std::fs::write(to.path().join("small/a.bin"), b"foreign").unwrap();
    let error = torrent.move_to(to.path()).unwrap_err();
    assert!(matches!(&error, SessionError::Storage(e) if e.kind == ErrorKind::Exists), "{error}");
    assert!(matches!(torrent.move_to("/no/such/folder"), Err(SessionError::Storage(_))));
    fixture.assert_same(from.path());
    assert_eq!(std::fs::read(to.path().join("small/a.bin")).unwrap(), b"foreign");
    assert_eq!(torrent.dir().as_deref(), Some(from.path()));
    assert_serves(&fixture, &session);
}

//= F7
#[test]
fn a_move_that_a_crash_cut_off_goes_on_at_the_next_start() {
    for is_placed in [false, true] {
        let (fixture, state) = (Fixture::small(94), tempfile::tempdir().unwrap());
        let first = start(with_state(state.path()));
        let (torrent, from) = downloaded(&fixture, &first);
        torrent.wait_saved(PATIENCE).unwrap();
        first.shutdown(PATIENCE);
        // what a crash leaves: one file has its second name, and the store says what is going on
        let to = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(to.path().join("small/sub/deep")).unwrap();
        let all = ["a.bin", "sub/b.bin", "sub/deep/empty", "z"];
        for name in if is_placed { &all[..] } else { &all[..1] } {
            let (old, new) = (from.path().join("small").join(name), to.path().join("small").join(name));
            std::fs::hard_link(old, new).unwrap();
        }
        let store = StateStore::open(state.path()).unwrap();
        let mut entry = store.torrent(fixture.hash()).unwrap().unwrap();
        match is_placed {
            true => {
                entry.moved_from = Some(std::mem::replace(&mut entry.dir, to.path().to_owned()));
            }
            false => entry.moving_to = Some(to.path().to_owned()),
        }
        store.commit(&[StateChange::Entry(fixture.hash(), entry)]).unwrap();
        drop(store);
        let second = start(with_state(state.path()));
        let torrent = second.torrent(fixture.hash()).unwrap();
        wait_state(&torrent, &State::Seeding);
        fixture.assert_same(to.path());
        assert_eq!(std::fs::read_dir(from.path()).unwrap().count(), 0, "placed: {is_placed}");
        assert_serves(&fixture, &second);
    }
}

#[test]
fn a_recheck_finds_what_was_lost_and_gets_it_again() {
    let (fixture, state) = (Fixture::small(95), tempfile::tempdir().unwrap());
    let session = start(with_state(state.path()));
    let events = session.events();
    let (torrent, from) = downloaded(&fixture, &session);
    // bytes that rot without a trace
    let path = from.path().join("small/a.bin");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"rot", 20_000).unwrap();
    file.set_modified(modified).unwrap();
    torrent.recheck().unwrap();
    let mut is_checked = false;
    let have = wait_for(&events, |e| match e {
        SessionEvent::Checking { total, .. } => {
            is_checked |= *total == 11;
            None
        }
        SessionEvent::Ready { have, .. } if is_checked => Some(*have),
        _ => None,
    });
    assert_eq!(have, 10);
    let seed = start(quiet());
    fixture.seed(&seed);
    torrent.add_peer(seed.local_addr()).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(from.path());
}

#[test]
fn a_recheck_wakes_a_sleeper_and_keeps_a_pause() {
    let (fixture, state) = (Fixture::small(96), tempfile::tempdir().unwrap());
    let first = start(sleepy(state.path()));
    let (_, from) = downloaded(&fixture, &first);
    first.shutdown(PATIENCE);
    let second = start(with_state(state.path()));
    let torrent = second.torrent(fixture.hash()).unwrap();
    torrent.pause();
    std::fs::remove_file(from.path().join("small/a.bin")).unwrap();
    let events = second.events();
    torrent.recheck().unwrap();
    let is_ready = |e: &SessionEvent| match e {
        SessionEvent::Ready { have, .. } => Some(*have),
        _ => None,
    };
    // a.bin reaches into the seventh piece
    assert_eq!(wait_for(&events, is_ready), 4);
    assert_eq!(torrent.stats().unwrap().state, State::Paused);
    assert_eq!(torrent.have().unwrap().unwrap().count(), 4);
}

#[test]
fn a_recheck_begins_anew_where_all_files_are_gone() {
    let (fixture, state) = (Fixture::small(97), tempfile::tempdir().unwrap());
    let first = start(with_state(state.path()));
    let (_, from) = downloaded(&fixture, &first);
    first.shutdown(PATIENCE);
    std::fs::remove_dir_all(from.path().join("small")).unwrap();
    let seed = start(quiet());
    fixture.seed(&seed);
    let session = start(with_state(state.path()));
    let torrent = session.torrent(fixture.hash()).unwrap();
    torrent.recheck().unwrap();
    torrent.add_peer(seed.local_addr()).unwrap();
    wait_state(&torrent, &State::Seeding);
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(from.path());
}

/// The owner is quicker than the engine: the commands come right after the start, before any sleeper has its name.
#[test]
fn what_is_wanted_of_sleepers_before_their_engine_has_them_is_done() {
    let (state, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = start(with_state(state.path()));
    let fixtures: Vec<_> = (0..40)
        .map(|n| Fixture::new(&format!("many-{n}"), 100 + n, &[("a", 20_000), ("b", 20_000)], 16_384))
        .collect();
    for fixture in &fixtures {
        let torrent = leech(fixture, &first, from.path(), &[]);
        torrent.wait_saved(PATIENCE).unwrap();
    }
    for fixture in &fixtures {
        wait_state(&first.torrent(fixture.hash()).unwrap(), &State::Downloading);
    }
    first.shutdown(PATIENCE);
    let second = start(with_state(state.path()));
    let torrents: Vec<_> = fixtures.iter().map(|f| second.torrent(f.hash()).unwrap()).collect();
    for (n, torrent) in torrents.iter().enumerate() {
        match n % 4 {
            0 => torrent.pause(),
            1 => torrent.remove(false),
            2 => torrent.set_selection(vec![true, false]).unwrap(),
            _ => torrent.recheck().unwrap(),
        }
    }
    for (n, torrent) in torrents.iter().enumerate() {
        match n % 4 {
            1 => torrent.wait_removed(PATIENCE).unwrap(),
            _ => torrent.wait_saved(PATIENCE).unwrap(),
        }
    }
    wait_state(&torrents[0], &State::Paused);
    wait_state(&torrents[3], &State::Downloading);
    second.shutdown(PATIENCE);
    let third = start(with_state(state.path()));
    assert_eq!(third.torrents().len(), 30);
    let store_state = |n: usize| third.torrent(fixtures[n].hash()).map(|t| t.stats().unwrap().state);
    assert_eq!((store_state(1), store_state(4)), (None, Some(State::Paused)));
}
