//! Disks that hang: whoever is on another one is saved, added, paused, removed and answered meanwhile.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Fixture, PATIENCE, leech, quiet, start, wait_for};
use unchoke_runtime::storage::{Fault, FaultPlan, FaultyStorage, Gate, MemoryStorage, Op, Storage};
use unchoke_runtime::{AddTorrent, Session, SessionConfig, SessionEvent, State, TorrentHandle};

/// A session that keeps records.
fn keeping(dir: &Path) -> SessionConfig {
    SessionConfig { resume_dir: Some(dir.to_owned()), ..quiet() }
}

/// Gets a torrent into memory on a disk of its own that behaves as `plan` says.
fn get(fixture: &Fixture, session: &Session, plan: &FaultPlan, from: &Session) -> TorrentHandle {
    let plan = plan.clone();
    let factory = Arc::new(move |spec| {
        let memory = Arc::new(MemoryStorage::new(spec)?);
        Ok(Arc::new(FaultyStorage::new(memory, plan.clone()).on_disk(7)) as Arc<dyn Storage>)
    });
    let peers = vec![from.local_addr()];
    let add = AddTorrent { peers, ..AddTorrent::with_storage(fixture.metainfo.clone(), factory) };
    session.add(add).unwrap()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// All that an owner does with a torrent succeeds.
fn assert_all_goes_well(fixture: &Fixture, session: &Session, seed: &Session) {
    let dir = tempfile::tempdir().unwrap();
    let torrent = leech(fixture, session, dir.path(), &[seed.local_addr()]);
    torrent.wait_complete(PATIENCE).unwrap();
    torrent.wait_saved(PATIENCE).unwrap();
    torrent.pause();
    torrent.wait_saved(PATIENCE).unwrap();
    assert_eq!(torrent.stats().unwrap().state, State::Paused);
    torrent.resume();
    torrent.recheck().unwrap();
    until("checked", || torrent.stats().unwrap().state == State::Seeding);
    torrent.remove(true);
    torrent.wait_removed(PATIENCE).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

//= H3e-5
#[test]
fn whatever_a_disk_hangs_in_other_torrents_are_saved_added_paused_checked_and_removed() {
    let (slow, quick) = (Fixture::new("slow", 301, &[("x", 500_000)], 65_536), Fixture::small(302));
    let seed = start(quiet());
    slow.seed(&seed);
    quick.seed(&seed);
    for op in [Op::Prepare, Op::Finish, Op::Sync] {
        let records = tempfile::tempdir().unwrap();
        let session = start(keeping(records.path()));
        let (plan, gate) = (FaultPlan::new(), Gate::shut());
        plan.always(op, Fault::Stall(gate.clone()));
        let stalled = get(&slow, &session, &plan, &seed);
        assert!(gate.wait_for(1, PATIENCE), "{op:?}");
        assert_all_goes_well(&quick, &session, &seed);
        assert!(stalled.wait_complete(Duration::ZERO).is_err(), "{op:?}: not told before it is durable");
        plan.heal();
        gate.open();
        stalled.wait_complete(PATIENCE).unwrap();
    }
}

//= H3e-5
#[test]
fn a_torrent_whose_disk_hangs_can_be_paused_and_removed() {
    let slow = Fixture::new("slow", 303, &[("x", 500_000)], 65_536);
    let (seed, session) = (start(quiet()), start(quiet()));
    slow.seed(&seed);
    let (plan, gate) = (FaultPlan::new(), Gate::shut());
    plan.always(Op::Finish, Fault::Stall(gate.clone()));
    let stalled = get(&slow, &session, &plan, &seed);
    assert!(gate.wait_for(1, PATIENCE));
    stalled.pause();
    stalled.wait_saved(PATIENCE).unwrap();
    assert_eq!(stalled.stats().unwrap().state, State::Paused);
    stalled.remove(false);
    stalled.wait_removed(PATIENCE).unwrap();
    // what hangs belongs to one that is gone; the same torrent may come anew
    let dir = tempfile::tempdir().unwrap();
    leech(&slow, &session, dir.path(), &[seed.local_addr()]).wait_complete(PATIENCE).unwrap();
    gate.open();
    slow.assert_same(dir.path());
}

//= H3e-5
#[test]
fn a_session_ends_though_a_disk_hangs_and_says_what_it_could_not_save() {
    let (slow, quick) = (Fixture::new("slow", 304, &[("x", 500_000)], 65_536), Fixture::small(305));
    let (records, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seed = start(quiet());
    slow.seed(&seed);
    quick.seed(&seed);
    let session = start(SessionConfig { disk_wait: Duration::from_millis(300), ..keeping(records.path()) });
    let events = session.events();
    let (plan, gate) = (FaultPlan::new(), Gate::shut());
    plan.always(Op::Sync, Fault::Stall(gate.clone()));
    get(&slow, &session, &plan, &seed);
    let quick_one = leech(&quick, &session, dir.path(), &[seed.local_addr()]);
    quick_one.wait_complete(PATIENCE).unwrap();
    assert!(gate.wait_for(1, PATIENCE));
    session.shutdown(Duration::from_secs(1));
    let unsaved = wait_for(&events, |e| match e {
        SessionEvent::Warning { hash, text } if text.contains("its disk does not answer") => Some(*hash),
        _ => None,
    });
    assert_eq!(unsaved, slow.hash());
    let session = start(keeping(records.path()));
    let events = session.events();
    leech(&quick, &session, dir.path(), &[]).wait_complete(PATIENCE).unwrap();
    let is_checked = events.try_iter().any(|e| matches!(e, SessionEvent::Checking { .. }));
    assert!(!is_checked, "the other one was saved");
    gate.open();
}
