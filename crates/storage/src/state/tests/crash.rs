//! A crash after every operation on a disk in memory that loses, reorders and tears what was not synced.

use std::sync::{Arc, Mutex, MutexGuard};

use super::*;

/// An operation on the file, in the order of the process.
#[derive(Clone, Debug)]
enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

#[derive(Debug, Default)]
struct Disk {
    content: Vec<u8>,
    log: Vec<Op>,
}

#[derive(Clone, Debug, Default)]
struct Backend(Arc<Mutex<Disk>>);

impl Backend {
    fn of(content: Vec<u8>) -> Self {
        Backend(Arc::new(Mutex::new(Disk { content, log: Vec::new() })))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }
}

fn apply(content: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(at, bytes) => {
            let at = usize::try_from(*at).unwrap();
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Op::SetLen(len) => content.resize(usize::try_from(*len).unwrap(), 0),
        Op::Sync => {}
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.disk().content.len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk();
        let at = usize::try_from(offset).unwrap();
        let bytes = disk.content.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.did(Op::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.did(Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.did(Op::Write(offset, data.to_vec()));
        Ok(())
    }
}

impl Backend {
    fn did(&self, op: Op) {
        let mut disk = self.disk();
        apply(&mut disk.content, &op);
        disk.log.push(op);
    }
}

fn open(backend: Backend) -> Result<Database, StateError> {
    open_database(Path::new("memory"), Ok(backend), true)
}

fn model(db: &Database) -> Model {
    tables::entries(db).unwrap().into_iter().map(|(hash, entry)| (hash, entry.unwrap())).collect()
}

/// What the disk may hold when power fails after `ops`: all that was synced, and of the rest whatever `chance` says.
fn after_crash(begin: &[u8], ops: &[Op], chance: &mut impl FnMut() -> u64) -> Vec<u8> {
    let mut content = begin.to_vec();
    let synced = ops.iter().rposition(|op| matches!(op, Op::Sync)).unwrap_or(0);
    ops[..synced].iter().for_each(|op| apply(&mut content, op));
    for op in &ops[synced..] {
        match op {
            Op::Write(at, bytes) if chance().is_multiple_of(3) => {
                // sectors of 512 bytes reach the disk one by one
                for (n, sector) in (0u64..).zip(bytes.chunks(512)) {
                    if chance().is_multiple_of(2) {
                        apply(&mut content, &Op::Write(at + n * 512, sector.to_vec()));
                    }
                }
            }
            op if chance().is_multiple_of(2) => apply(&mut content, op),
            _ => {}
        }
    }
    content
}

/// Numbers that look like chance, the same in every run (xorshift).
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    }
}

#[test]
fn a_crash_after_any_operation_keeps_every_commit_whole() {
    let backend = Backend::default();
    drop(open(backend.clone()).unwrap());
    let begin = std::mem::take(&mut backend.disk().content);
    let backend = Backend::of(begin.clone());
    let db = open(backend.clone()).unwrap();
    // how far the log had come when each state was acknowledged
    let mut acknowledged = vec![(0, Model::new())];
    let mut state = Model::new();
    for round in 0..14u32 {
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
        let written: Vec<_> = changes.iter().map(Written::of).collect();
        tables::commit(&db, &written).unwrap();
        acknowledged.push((backend.disk().log.len(), state.clone()));
    }
    drop(db);
    let log = std::mem::take(&mut backend.disk().log);
    let mut crashes = 0;
    for end in 0..=log.len() {
        for seed in 1..=4u64 {
            let mut chance = numbers(seed * 1_000_003 + u64::try_from(end).unwrap());
            let content = after_crash(&begin, &log[..end], &mut chance);
            let last = acknowledged.iter().rposition(|(at, _)| *at <= end).unwrap();
            let db = open(Backend::of(content)).unwrap_or_else(|e| panic!("crash at {end}, {seed}: {e}"));
            let found = model(&db);
            let is_whole = acknowledged[last..].iter().take(2).any(|(_, state)| *state == found);
            assert!(is_whole, "crash at {end}, seed {seed}");
            // and it goes on from there
            let (hash, one) = entry(1000);
            tables::commit(&db, &[Written::of(&StateChange::Entry(hash, one))]).unwrap();
            assert_eq!(model(&db).len(), found.len() + 1);
            crashes += 1;
        }
    }
    assert!(crashes > 400, "{crashes}");
}
