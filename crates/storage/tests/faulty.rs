//! A storage that fails as told does so, and in no other way.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::sync::Arc;
use std::time::Duration;

use unchoke_storage::{
    ErrorKind, Failure, Fault, FaultPlan, FaultyStorage, FileFact, FileSpec, Gate, MemoryStorage, Op,
    Storage, StorageSpec,
};
use unchoke_wire::{BlockRef, Layout, PieceIndex};

fn faulty() -> (FaultyStorage, FaultPlan) {
    let file = FileSpec { path: vec!["f".to_owned()], len: 40, ..FileSpec::default() };
    let spec = StorageSpec { layout: Layout::new(10, [40]).unwrap(), files: vec![file] };
    let plan = FaultPlan::new();
    (FaultyStorage::new(Arc::new(MemoryStorage::new(spec).unwrap()), plan.clone()), plan)
}

fn block(p: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(p), begin: 0, len: 10 }
}

fn write(s: &FaultyStorage, p: u32) -> Option<ErrorKind> {
    s.write(PieceIndex(p), 0, &[7; 10]).err().map(|e| e.kind)
}

fn read(s: &FaultyStorage, p: u32) -> Result<[u8; 10], ErrorKind> {
    let mut buf = [0; 10];
    s.read(block(p), &mut buf).map(|()| buf).map_err(|e| e.kind)
}

#[test]
fn operations_fail_by_their_number_and_the_others_do_not() {
    let (s, plan) = faulty();
    plan.at(Op::Write, 1, Fault::Fail(Failure::NoSpace));
    plan.at(Op::Write, 2, Fault::Fail(Failure::Interrupted));
    assert_eq!(
        (0..4).map(|p| write(&s, p)).collect::<Vec<_>>(),
        [None, Some(ErrorKind::NoSpace), None, None]
    );
    assert_eq!((read(&s, 0), read(&s, 1)), (Ok([7; 10]), Err(ErrorKind::Missing)));
    plan.next(Op::Read, Fault::Fail(Failure::Io));
    assert_eq!(s.read_now(&[block(0)], &mut [0; 10]), 0, "nobody slips past");
    assert_eq!((read(&s, 0), read(&s, 0)), (Err(ErrorKind::Io), Ok([7; 10])));
    assert_eq!((plan.count(Op::Write), plan.failed()), (4, 2));
}

#[test]
fn all_of_a_kind_fail_until_it_is_healed() {
    let (s, plan) = faulty();
    for (failure, kind) in [
        (Failure::NoSpace, ErrorKind::NoSpace),
        (Failure::Quota, ErrorKind::Quota),
        (Failure::ReadOnly, ErrorKind::ReadOnly),
        (Failure::Denied, ErrorKind::PermissionDenied),
        (Failure::NameTooLong, ErrorKind::NameTooLong),
        (Failure::TooLarge, ErrorKind::TooLarge),
        (Failure::NotADirectory, ErrorKind::NotADirectory),
        (Failure::ProcessFiles, ErrorKind::TooManyFiles),
        (Failure::SystemFiles, ErrorKind::TooManyFiles),
        (Failure::NotFound, ErrorKind::Missing),
        (Failure::Truncated, ErrorKind::Missing),
        (Failure::Io, ErrorKind::Io),
    ] {
        plan.always(Op::Write, Fault::Fail(failure));
        assert_eq!((write(&s, 0), write(&s, 1)), (Some(kind), Some(kind)), "{failure:?}");
    }
    plan.always(Op::Prepare, Fault::Fail(Failure::ReadOnly));
    assert!(s.prepare().is_err());
    plan.heal();
    assert!(s.prepare().is_ok() && write(&s, 0).is_none());
}

#[test]
fn a_write_may_break_off_in_the_middle() {
    let (s, plan) = faulty();
    plan.next(Op::Write, Fault::Partial(4, Failure::NoSpace));
    assert_eq!(write(&s, 0), Some(ErrorKind::NoSpace));
    assert_eq!(read(&s, 0), Ok([7, 7, 7, 7, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn a_bad_spot_is_bad_for_every_reader() {
    let (s, plan) = faulty();
    (0..4).for_each(|p| assert_eq!(write(&s, p), None));
    plan.unreadable(PieceIndex(2));
    assert_eq!((read(&s, 1), read(&s, 2)), (Ok([7; 10]), Err(ErrorKind::Io)));
    let mut reader = s.piece_reader();
    assert!(reader.read(PieceIndex(0), 0, &mut [0; 20]).unwrap());
    assert!(reader.read(PieceIndex(1), 0, &mut [0; 20]).is_err(), "it ends in the bad piece");
    assert!(reader.read(PieceIndex(3), 0, &mut [0; 10]).unwrap());
}

#[test]
fn a_sync_that_fails_may_lose_what_was_written_and_all_later_ones_fail() {
    let (s, plan) = faulty();
    write(&s, 0);
    s.sync().unwrap();
    write(&s, 1);
    plan.next(Op::Sync, Fault::LoseUnsynced(Failure::Io));
    assert!(s.sync().is_err() && s.sync().is_err());
    assert_eq!(s.facts(), [FileFact::Doubtful]);
    assert_eq!((read(&s, 0), read(&s, 1)), (Ok([7; 10]), Ok([0; 10])));
    s.renew(&[unchoke_wire::FileIndex(0)]);
    assert!(s.sync().is_ok() && s.facts() != [FileFact::Doubtful]);
}

#[test]
fn a_stalled_operation_ends_when_its_gate_opens() {
    let (s, plan) = faulty();
    let gate = Gate::shut();
    plan.next(Op::Write, Fault::Stall(gate.clone()));
    std::thread::scope(|scope| {
        let stalled = scope.spawn(|| write(&s, 0));
        assert!(gate.wait_for(1, Duration::from_secs(60)));
        assert_eq!(write(&s, 1), None, "others pass");
        assert!(read(&s, 0).is_err());
        gate.open();
        assert_eq!(stalled.join().unwrap(), None);
    });
    assert_eq!(read(&s, 0), Ok([7; 10]));
}

#[test]
fn a_seed_makes_the_same_faults_every_time() {
    let run = |seed| {
        let (s, _) = faulty();
        let plan = FaultPlan::seeded(seed, 300, &[Failure::Io, Failure::NoSpace]);
        let s = FaultyStorage::new(Arc::new(s), plan);
        (0..200).map(|n| write(&s, n % 4)).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let failed = run(3).into_iter().flatten().count();
    assert!((30..90).contains(&failed), "{failed} of 200 at 300 in a thousand");
}
