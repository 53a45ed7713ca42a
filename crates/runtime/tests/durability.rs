//! What is on the disk when a session ends, and what the next one makes of it.

mod support;

use std::path::Path;

use support::{Fixture, PATIENCE, leech, quiet, start, wait_for};
use unchoke_runtime::{AddTorrent, Event, Session, SessionConfig, SessionError, SessionEvent};

fn with_records(dir: &Path) -> SessionConfig {
    SessionConfig { resume_dir: Some(dir.to_owned()), ..quiet() }
}

fn ready(event: &SessionEvent) -> Option<u32> {
    match event {
        SessionEvent::Ready { have, .. } => Some(*have),
        _ => None,
    }
}

#[test]
fn a_download_that_was_stopped_goes_on_without_asking_twice() {
    let fixture = Fixture::new("big", 40, &[("x", 8_000_000)], 65_536);
    let (target, records) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seed = start(SessionConfig {
        engine: unchoke_runtime::Settings { upload_limit: Some(1_500_000), ..Default::default() },
        ..quiet()
    });
    fixture.seed(&seed);
    let first = start(with_records(records.path()));
    let events = first.events();
    leech(&fixture, &first, target.path(), &[seed.local_addr()]);
    for _ in 0..10 {
        wait_for(&events, |e| {
            matches!(e, SessionEvent::Torrent { event: Event::PieceDone { .. }, .. }).then_some(())
        });
    }
    first.shutdown(PATIENCE);
    seed.set_limits(None, None);
    let second = start(with_records(records.path()));
    let events = second.events();
    let torrent = leech(&fixture, &second, target.path(), &[seed.local_addr()]);
    let mut is_checked = false;
    let have = wait_for(&events, |e| {
        is_checked |= matches!(e, SessionEvent::Checking { .. });
        ready(e)
    });
    assert!(have >= 10 && !is_checked, "{have} pieces, checked: {is_checked}");
    torrent.wait_complete(PATIENCE).unwrap();
    fixture.assert_same(target.path());
    // totals are over both runs: a block asked twice would show
    assert_eq!(torrent.stats().unwrap().totals.downloaded, 8_000_000);
}

#[test]
fn a_magnet_that_was_finished_is_a_seed_after_a_restart() {
    let fixture = Fixture::small(41);
    let (target, records) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seed = start(quiet());
    fixture.seed(&seed);
    let add =
        || AddTorrent { peers: vec![seed.local_addr()], ..AddTorrent::new(fixture.magnet(), target.path()) };
    let first = start(with_records(records.path()));
    first.add(add()).unwrap().wait_complete(PATIENCE).unwrap();
    first.shutdown(PATIENCE);
    seed.shutdown(PATIENCE);
    let second = start(with_records(records.path()));
    let mut add = AddTorrent::new(fixture.magnet(), target.path());
    add.seed_only = true;
    let torrent = second.add(add).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    assert!(second.events().try_iter().all(|e| !matches!(e, SessionEvent::Checking { .. })));
}

#[test]
fn only_a_changed_file_is_checked_again() {
    let fixture = Fixture::small(42);
    let records = tempfile::tempdir().unwrap();
    let first = start(with_records(records.path()));
    fixture.seed(&first);
    first.shutdown(PATIENCE);
    std::fs::write(fixture.dir.path().join("small/sub/b.bin"), vec![0; 70_000]).unwrap();
    let second = start(with_records(records.path()));
    let events = second.events();
    let add = AddTorrent { seed_only: true, ..AddTorrent::new(fixture.metainfo.clone(), fixture.dir.path()) };
    second.add(add).unwrap();
    let total = wait_for(&events, |e| match e {
        SessionEvent::Checking { total, .. } => Some(*total),
        _ => None,
    });
    // b.bin begins in the seventh piece of eleven
    assert_eq!((total, wait_for(&events, ready)), (5, 6));
}

#[test]
fn a_torrent_is_worked_on_by_one_session() {
    let fixture = Fixture::small(43);
    let records = tempfile::tempdir().unwrap();
    let (first, second) = (start(with_records(records.path())), start(with_records(records.path())));
    fixture.seed(&first);
    let add = || AddTorrent::new(fixture.metainfo.clone(), fixture.dir.path());
    assert!(matches!(first.add(add()), Err(SessionError::Duplicate(_))));
    let error = second.add(add()).unwrap_err();
    assert!(
        matches!(&error, SessionError::Storage(e) if e.kind == unchoke_runtime::storage::ErrorKind::Busy)
    );
    assert!(!error.to_string().contains('\n'));
    first.shutdown(PATIENCE);
    second.add(add()).unwrap().wait_complete(PATIENCE).unwrap();
}

#[test]
fn what_cannot_work_is_refused_at_once() {
    let session = start(quiet());
    let taken = SessionConfig { listen: vec![session.local_addr()], ..quiet() };
    let error = Session::start(taken).unwrap_err();
    assert!(matches!(error, SessionError::PortInUse { .. }), "{error}");
    let fixture = Fixture::small(44);
    let error = session.add(AddTorrent::new(fixture.metainfo.clone(), "/no/such/folder")).unwrap_err();
    assert!(matches!(error, SessionError::MissingFolder(_)), "{error}");
    let mut add = AddTorrent::new(fixture.metainfo.clone(), fixture.dir.path());
    add.selection = Some(vec![true]);
    assert!(matches!(session.add(add), Err(SessionError::Selection { expected: 4, got: 1 })));
}

#[test]
fn a_removed_torrent_takes_its_data_along_when_asked() {
    let fixture = Fixture::small(45);
    let records = tempfile::tempdir().unwrap();
    let session = start(with_records(records.path()));
    let torrent = fixture.seed(&session);
    torrent.remove(true);
    torrent.wait_removed(PATIENCE).unwrap();
    assert!(!fixture.dir.path().join("small").exists());
    assert_eq!(std::fs::read_dir(records.path()).unwrap().count(), 0);
    assert!(session.torrent(fixture.hash()).is_none());
}

#[test]
fn a_handle_of_a_removed_torrent_is_not_one_of_its_successor() {
    let fixture = Fixture::small(48);
    let session = start(quiet());
    let first = fixture.seed(&session);
    first.remove(false);
    first.wait_removed(PATIENCE).unwrap();
    let second = fixture.seed(&session);
    first.remove(true);
    first.pause();
    // both would be done before this
    second.set_selection(vec![true; 4]).unwrap();
    second.wait_complete(PATIENCE).unwrap();
    assert!(matches!(first.stats(), Err(SessionError::Gone)));
    assert_eq!(second.stats().unwrap().state, unchoke_runtime::State::Seeding);
    fixture.assert_same(fixture.dir.path());
}

#[test]
fn who_waits_for_a_torrent_hears_that_the_session_ended() {
    let (fixture, target) = (Fixture::small(49), tempfile::tempdir().unwrap());
    let session = start(quiet());
    let torrent = leech(&fixture, &session, target.path(), &[]);
    let waiter = std::thread::spawn(move || torrent.wait_complete(std::time::Duration::MAX));
    session.shutdown(std::time::Duration::MAX);
    assert!(matches!(waiter.join().unwrap(), Err(SessionError::Gone)));
}

#[test]
fn a_torrent_begins_anew_though_its_folder_is_gone() {
    let fixture = Fixture::small(50);
    let (parent, records) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seed = start(quiet());
    fixture.seed(&seed);
    let target = parent.path().join("downloads");
    let first = start(with_records(records.path()));
    leech(&fixture, &first, &target, &[seed.local_addr()]).wait_complete(PATIENCE).unwrap();
    first.shutdown(PATIENCE);
    std::fs::remove_dir_all(&target).unwrap();
    let second = start(with_records(records.path()));
    let mut add = AddTorrent::new(fixture.metainfo.clone(), &target);
    add.peers = vec![seed.local_addr()];
    add.begins_anew = true;
    second.add(add).unwrap().wait_complete(PATIENCE).unwrap();
    fixture.assert_same(&target);
}

/// A small file system in memory, for as long as this lives. `None` without the right to mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().ok()?;
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(dir.path());
        let is_mounted = mount.stderr(std::process::Stdio::null()).status().is_ok_and(|s| s.success());
        is_mounted.then(|| SmallDisk(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_stops_its_torrent_and_no_other() {
    let Some(disk) = SmallDisk::mount("200k") else {
        eprintln!("skipped: mounting a small disk needs more rights");
        return;
    };
    let (large, small) = (Fixture::new("large", 46, &[("x", 1_000_000)], 65_536), Fixture::small(47));
    let target = tempfile::tempdir().unwrap();
    let (seed, leecher) = (start(quiet()), start(quiet()));
    large.seed(&seed);
    small.seed(&seed);
    let events = leecher.events();
    let stopped = leech(&large, &leecher, disk.0.path(), &[seed.local_addr()]);
    let error = wait_for(&events, |e| match e {
        SessionEvent::Torrent { event: Event::StorageFailed { error, .. }, .. } => Some(error.clone()),
        _ => None,
    });
    assert!(error.contains("no space") && !error.contains('\n'), "{error}");
    assert!(matches!(stopped.wait_complete(PATIENCE), Err(SessionError::Stopped(_))));
    leech(&small, &leecher, target.path(), &[seed.local_addr()]).wait_complete(PATIENCE).unwrap();
    small.assert_same(target.path());
}
