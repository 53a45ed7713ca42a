//! What sessions make of disks that fail, hang, go away and are written to by others.

#![expect(clippy::unwrap_used, reason = "a test fails by unwrapping what is not there")]

mod support;

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use support::{Fixture, PATIENCE, leech, quiet, start, wait_for};
use unchoke_runtime::storage::{Failure, Fault, FaultPlan, FaultyStorage, Gate, MemoryStorage, Op, Storage};
use unchoke_runtime::{
    AddTorrent, Event, Session, SessionConfig, SessionError, SessionEvent, State, TorrentHandle,
};
use unchoke_wire::PieceIndex;

/// A torrent in memory on a disk of its own that fails as `plan` says. With the bytes of the fixture if it is to seed.
fn faulty(fixture: &Fixture, plan: &FaultPlan, disk: u64, has_data: bool) -> AddTorrent {
    let (plan, data) = (plan.clone(), has_data.then(|| fixture.bytes()));
    let factory = Arc::new(move |spec| {
        let storage = MemoryStorage::new(spec)?;
        if let Some(data) = &data {
            let len = usize::try_from(storage.spec().layout.piece_len()).unwrap();
            for (p, piece) in (0u32..).zip(data.chunks(len)) {
                storage.write(PieceIndex(p), 0, piece)?;
            }
        }
        let faulty = FaultyStorage::new(Arc::new(storage), plan.clone()).on_disk(disk);
        Ok(Arc::new(faulty) as Arc<dyn Storage>)
    });
    AddTorrent::with_storage(fixture.metainfo.clone(), factory)
}

fn get(fixture: &Fixture, session: &Session, plan: &FaultPlan, disk: u64, from: &Session) -> TorrentHandle {
    let peers = vec![from.local_addr()];
    session.add(AddTorrent { peers, ..faulty(fixture, plan, disk, false) }).unwrap()
}

fn failure(events: &Receiver<SessionEvent>) -> String {
    wait_for(events, |e| match e {
        SessionEvent::Torrent { event: Event::StorageFailed { error, .. }, .. } => Some(error.clone()),
        _ => None,
    })
}

/// Polls until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn pieces(torrent: &TorrentHandle) -> u32 {
    torrent.stats().unwrap().pieces.0
}

//= H3e-1
//= F5
#[test]
fn a_full_disk_stops_a_torrent_which_goes_on_by_itself_and_asks_for_nothing_twice() {
    let fixture = Fixture::new("full", 201, &[("x", 3_000_000)], 65_536);
    let (seed, leecher) = (start(quiet()), start(quiet()));
    fixture.seed(&seed);
    let events = leecher.events();
    let plan = FaultPlan::new();
    for op in [Op::Write, Op::Probe] {
        plan.always(op, Fault::Fail(Failure::NoSpace));
    }
    let torrent = get(&fixture, &leecher, &plan, 1, &seed);
    let error = failure(&events);
    assert!(error.contains("no space left") && !error.contains('\n'), "{error}");
    assert!(matches!(torrent.stats().unwrap().state, State::Error(_)));
    // it looks, and the disk is as full as before
    until("looks", || plan.count(Op::Probe) >= 3);
    assert!(matches!(torrent.stats().unwrap().state, State::Error(_)));
    plan.heal();
    until("goes on", || torrent.wait_complete(Duration::ZERO).is_ok());
    assert_eq!(torrent.stats().unwrap().totals.downloaded, 3_000_000, "no block twice");
    assert!(events.try_iter().all(|e| !matches!(e, SessionEvent::Checking { .. })), "nothing checked");
}

//= H3e-2
#[test]
fn pieces_that_cannot_be_read_are_kept_back_and_nobody_else_suffers() {
    let (bad, well) = (Fixture::new("bad", 202, &[("x", 1_000_000)], 65_536), Fixture::small(203));
    let (seed, leecher) = (start(quiet()), start(quiet()));
    let (seeding, getting) = (seed.events(), leecher.events());
    let plan = FaultPlan::new();
    let mut add = faulty(&bad, &plan, 1, true);
    (add.seed_only, add.trust) = (true, true);
    let torrent = seed.add(add).unwrap();
    torrent.wait_complete(PATIENCE).unwrap();
    well.seed(&seed);
    [2, 5, 9].into_iter().for_each(|p| plan.unreadable(PieceIndex(p)));
    let targets = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let copy = leech(&bad, &leecher, targets[0].path(), &[seed.local_addr()]);
    leech(&well, &leecher, targets[1].path(), &[seed.local_addr()]).wait_complete(PATIENCE).unwrap();
    until("all but three pieces", || {
        // whoever is disconnected by a failed read comes again
        let _ = copy.add_peer(seed.local_addr());
        pieces(&copy) == 13
    });
    until("the owner is told", || torrent.stats().unwrap().trouble.is_some());
    let stats = torrent.stats().unwrap();
    assert_eq!((stats.state, stats.pieces), (State::Seeding, (13, 16)));
    assert!(stats.trouble.unwrap().contains("3 pieces cannot be read"));
    for events in [seeding, getting] {
        let is_wrong = |e: &SessionEvent| {
            let SessionEvent::Torrent { event, .. } = e else { return false };
            matches!(
                event,
                Event::PeerBanned { .. } | Event::PieceFailed { .. } | Event::StorageFailed { .. }
            )
        };
        assert!(!events.try_iter().any(|e| is_wrong(&e)));
    }
}

//= H3e-2
#[test]
fn pieces_that_cannot_be_read_in_a_check_are_missing_and_the_others_count() {
    let fixture = Fixture::new("check", 204, &[("x", 1_000_000)], 65_536);
    let session = start(quiet());
    let events = session.events();
    let plan = FaultPlan::new();
    [0, 7, 15].into_iter().for_each(|p| plan.unreadable(PieceIndex(p)));
    let torrent = session.add(AddTorrent { seed_only: true, ..faulty(&fixture, &plan, 1, true) }).unwrap();
    let have = wait_for(&events, |e| match e {
        SessionEvent::Ready { have, .. } => Some(*have),
        _ => None,
    });
    assert_eq!(have, 13);
    assert!(torrent.stats().unwrap().trouble.unwrap().contains("3 pieces cannot be read"));
}

//= H3e-3
#[test]
fn what_a_failed_sync_lost_is_found_and_fetched_again_and_never_claimed() {
    let fixture = Fixture::new("lost", 205, &[("x", 1_000_000)], 65_536);
    let records = tempfile::tempdir().unwrap();
    let (seed, leecher) =
        (start(quiet()), start(SessionConfig { resume_dir: Some(records.path().to_owned()), ..quiet() }));
    fixture.seed(&seed);
    let events = leecher.events();
    let plan = FaultPlan::new();
    plan.next(Op::Sync, Fault::LoseUnsynced(Failure::Io));
    let torrent = get(&fixture, &leecher, &plan, 1, &seed);
    failure(&events);
    assert!(matches!(torrent.wait_complete(Duration::ZERO), Err(SessionError::Stopped(_))));
    until("nothing is claimed that is not there", || pieces(&torrent) == 0);
    // and it stays so until its owner has looked at the disk
    wait_for(&events, |e| {
        matches!(e, SessionEvent::Warning { text, .. } if text.contains("16 pieces")).then_some(())
    });
    assert!(matches!(torrent.stats().unwrap().state, State::Error(_)));
    torrent.resume();
    torrent.add_peer(seed.local_addr()).unwrap();
    until("complete", || torrent.wait_complete(Duration::ZERO).is_ok());
    assert_eq!(pieces(&torrent), 16);
}

//= H3e-3
#[test]
fn a_write_that_breaks_off_is_no_piece_and_one_that_is_interrupted_goes_on() {
    let fixture = Fixture::new("broken", 206, &[("x", 500_000)], 65_536);
    let (seed, leecher) = (start(quiet()), start(quiet()));
    fixture.seed(&seed);
    let events = leecher.events();
    let plan = FaultPlan::new();
    plan.at(Op::Write, 0, Fault::Fail(Failure::Interrupted));
    plan.at(Op::Write, 3, Fault::Partial(1_000, Failure::Io));
    let torrent = get(&fixture, &leecher, &plan, 1, &seed);
    let error = failure(&events);
    assert!(error.contains("cannot write"), "{error}");
    let done = events
        .try_iter()
        .filter(|e| matches!(e, SessionEvent::Torrent { event: Event::PieceDone { .. }, .. }));
    assert!(done.count() < 8 && pieces(&torrent) < 8);
    torrent.resume();
    until("complete", || torrent.wait_complete(Duration::ZERO).is_ok());
    assert_eq!(torrent.stats().unwrap().totals.downloaded, 500_000);
}

//= H3e-4
#[test]
fn every_failure_of_a_disk_is_one_line_that_says_what_to_do() {
    let fixture = Fixture::small(207);
    let (seed, leecher) = (start(quiet()), start(quiet()));
    fixture.seed(&seed);
    let events = leecher.events();
    for (failed, advice) in [
        (Failure::ReadOnly, "mount it writable"),
        (Failure::Denied, "change its owner or mode"),
        (Failure::Quota, "free some space or raise it"),
        (Failure::NameTooLong, "choose another disk"),
        (Failure::TooLarge, "choose another disk"),
        (Failure::NotADirectory, "move it away"),
        (Failure::ProcessFiles, "raise the limit"),
        (Failure::SystemFiles, "raise the limit"),
        (Failure::Io, "look at the disk"),
    ] {
        let plan = FaultPlan::new();
        plan.always(Op::Write, Fault::Fail(failed));
        let torrent = get(&fixture, &leecher, &plan, 1, &seed);
        let error = failure(&events);
        assert!(error.contains(advice) && !error.contains('\n'), "{failed:?}: {error}");
        assert!(error.starts_with("cannot write small: "), "{error}");
        torrent.remove(false);
        torrent.wait_removed(PATIENCE).unwrap();
    }
}

//= H3e-5
#[test]
fn a_disk_that_hangs_keeps_its_own_torrent_waiting_and_no_other() {
    let (slow, quick) = (Fixture::new("slow", 208, &[("x", 2_000_000)], 65_536), Fixture::small(209));
    // one shard and one worker a disk: whatever waited for the disk would keep all others waiting
    let one = || SessionConfig { shards: Some(1), ..quiet() };
    let (seed, leecher) = (start(one()), start(one()));
    let (hung, free) = (FaultPlan::new(), FaultPlan::new());
    let (writes, reads) = (Gate::shut(), Gate::shut());
    hung.always(Op::Write, Fault::Stall(writes.clone()));
    slow.seed(&seed);
    let mut add = faulty(&quick, &hung, 7, true);
    (add.seed_only, add.trust) = (true, true);
    seed.add(add).unwrap().wait_complete(PATIENCE).unwrap();
    hung.always(Op::Read, Fault::Stall(reads.clone()));
    let stalled = get(&slow, &leecher, &hung, 7, &seed);
    assert!(writes.wait_for(1, PATIENCE));
    let waiting = get(&quick, &leecher, &free, 8, &seed);
    assert!(reads.wait_for(1, PATIENCE));
    // another torrent comes and is complete, and every question is answered, though a read and a write hang all the while
    let third = Fixture::small(210);
    third.seed(&seed);
    get(&third, &leecher, &free, 8, &seed).wait_complete(PATIENCE).unwrap();
    assert_eq!((pieces(&stalled), pieces(&waiting)), (0, 0));
    writes.open();
    reads.open();
    for torrent in [stalled, waiting] {
        torrent.wait_complete(PATIENCE).unwrap();
    }
}

//= H3e-6
//= F3
#[test]
fn a_root_that_goes_away_stops_a_torrent_and_its_return_lets_it_go_on_without_a_check() {
    let fixture = Fixture::small(211);
    let (seed, leecher) = (start(quiet()), start(quiet()));
    let events = seed.events();
    let torrent = fixture.seed(&seed);
    let (here, away) = (fixture.dir.path().to_owned(), fixture.dir.path().with_extension("away"));
    std::fs::rename(&here, &away).unwrap();
    until("missed", || matches!(torrent.stats().unwrap().state, State::Error(_)));
    let State::Error(error) = torrent.stats().unwrap().state else { panic!("it was one") };
    assert!(error.contains("mount its disk"), "{error}");
    // an empty folder in its place, as a mount point has
    std::fs::create_dir(&here).unwrap();
    let target = tempfile::tempdir().unwrap();
    let copy = leech(&fixture, &leecher, target.path(), &[seed.local_addr()]);
    std::thread::park_timeout(Duration::from_secs(6));
    assert!(matches!(torrent.stats().unwrap().state, State::Error(_)), "not taken for its own");
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0, "nothing is written");
    events.try_iter().for_each(drop);
    std::fs::remove_dir(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    until("goes on", || torrent.stats().unwrap().state == State::Seeding);
    copy.add_peer(seed.local_addr()).unwrap();
    copy.wait_complete(PATIENCE).unwrap();
    assert!(events.try_iter().all(|e| !matches!(e, SessionEvent::Checking { .. })), "not checked");
}

//= H3e-7
#[test]
fn bytes_that_something_else_wrote_are_not_given_to_peers() {
    let fixture = Fixture::new("changed", 212, &[("a", 500_000), ("b", 500_000)], 65_536);
    let (seed, leecher) = (start(quiet()), start(quiet()));
    let (seeding, getting) = (seed.events(), leecher.events());
    let torrent = fixture.seed(&seed);
    let file = std::fs::File::options().write(true).open(fixture.dir.path().join("changed/a")).unwrap();
    // piece 3 alone; the rest of the file is right and is found to be
    file.write_all_at(&[0; 100], 3 * 65_536 + 5).unwrap();
    let target = tempfile::tempdir().unwrap();
    let copy = leech(&fixture, &leecher, target.path(), &[seed.local_addr()]);
    wait_for(&seeding, |e| {
        matches!(e, SessionEvent::Warning { text, .. } if text.contains("1 pieces are not on the disk"))
            .then_some(())
    });
    until("all but that piece", || {
        let _ = copy.add_peer(seed.local_addr());
        pieces(&copy) == 15
    });
    assert_eq!((pieces(&torrent), copy.stats().unwrap().corrupt), (15, 0));
    let wrong = |e: SessionEvent| {
        matches!(e, SessionEvent::Torrent { event: Event::PieceFailed { .. } | Event::PeerBanned { .. }, .. })
    };
    assert!(!getting.try_iter().any(wrong), "no peer ever saw them");
}
