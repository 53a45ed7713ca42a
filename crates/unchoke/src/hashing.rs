//! Hashes the pieces of files on all cores: what making a torrent and checking one have in common.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use unchoke_hash::Sha1Digest;
use unchoke_storage::{PieceRead, Storage, StorageError, check_batches};
use unchoke_wire::PieceIndex;

/// The SHA-1 of every piece as it is on the disk; `None` where a file is missing or too short.
///
/// Runs of pieces are read in the order of the disk, one by each thread at a time, and hashed side by side. `progress`
/// hears of every run's bytes.
///
/// # Errors
/// The first failure to read what is there.
pub(crate) fn piece_hashes(
    storage: &dyn Storage,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Option<Sha1Digest>>, StorageError> {
    let layout = &storage.spec().layout;
    let run_len = run_len(layout.piece_len());
    let runs = Mutex::new(check_batches(layout, layout.pieces(), run_len));
    let next = || runs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let threads = thread_count(u64::from(run_len.max(layout.piece_len())));
    let parts: Vec<Part> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| hash_runs(storage, &next, progress))).collect();
        workers
            .into_iter()
            .map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut hashes = vec![None; index(layout.piece_count())];
    for part in parts {
        for (pieces, digests) in part? {
            hashes[index(pieces.start)..index(pieces.end)].copy_from_slice(&digests);
        }
    }
    Ok(hashes)
}

/// What one thread found.
type Part = Result<Vec<(Range<u32>, Vec<Option<Sha1Digest>>)>, StorageError>;

fn hash_runs(
    storage: &dyn Storage,
    next: &(dyn Fn() -> Option<Range<u32>> + Sync),
    progress: &(dyn Fn(u64) + Sync),
) -> Part {
    let layout = &storage.spec().layout;
    let (mut buf, mut found, mut part) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(run) = next() {
        storage.read_pieces(run.clone(), &mut buf, &mut found)?;
        let start = layout.start_of(PieceIndex(run.start));
        let piece = |p: u32| {
            let at = bytes(layout.start_of(PieceIndex(p)) - start);
            &buf[at..at + index(layout.len_of(PieceIndex(p)))]
        };
        let is_there = |p: &u32| found[index(*p - run.start)] != PieceRead::Missing;
        let there: Vec<u32> = run.clone().filter(is_there).collect();
        let inputs: Vec<&[u8]> = there.iter().map(|p| piece(*p)).collect();
        let mut digests = vec![Sha1Digest::default(); inputs.len()];
        unchoke_hash::sha1_batch(&inputs, &mut digests);
        let mut hashes = vec![None; run.len()];
        for (p, digest) in there.iter().zip(digests) {
            hashes[index(*p - run.start)] = Some(digest);
        }
        progress(run.clone().map(|p| u64::from(layout.len_of(PieceIndex(p)))).sum());
        part.push((run, hashes));
    }
    Ok(part)
}

/// Bytes of a run: enough pieces to fill the lanes, if they are not too large for that.
fn run_len(piece_len: u32) -> u32 {
    let lanes = u32::try_from(unchoke_hash::lanes()).unwrap_or(u32::MAX);
    piece_len.saturating_mul(lanes).clamp(RUN_LEN_MIN, RUN_LEN_MAX)
}

/// As many threads as there are cores and memory for their runs.
fn thread_count(run_len: u64) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(usize::try_from(MEMORY_MAX / run_len).unwrap_or(usize::MAX)).max(1)
}

fn index(n: u32) -> usize {
    usize::try_from(n).expect("a u32 fits the address space")
}

fn bytes(n: u64) -> usize {
    usize::try_from(n).expect("a run is in memory")
}

const RUN_LEN_MIN: u32 = 4 << 20;
const RUN_LEN_MAX: u32 = 32 << 20;
/// Bytes of the runs of all threads together; one run is always read.
const MEMORY_MAX: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use unchoke_storage::{FileSpec, FileStorage, Options, StorageSpec};
    use unchoke_wire::Layout;

    #[test]
    fn every_piece_is_hashed_in_its_place_and_missing_ones_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, len: u64| FileSpec {
            path: vec!["t".to_owned(), name.to_owned()],
            len,
            ..FileSpec::default()
        };
        let files = vec![file("a", 40_000), file("b", 30_000), file("c", 9_000)];
        let layout = Layout::new(16_384, files.iter().map(|f| f.len)).unwrap();
        let spec = StorageSpec { layout, files };
        std::fs::create_dir(dir.path().join("t")).unwrap();
        std::fs::write(dir.path().join("t/a"), vec![1; 40_000]).unwrap();
        std::fs::write(dir.path().join("t/b"), vec![2; 30_000]).unwrap();
        let storage = FileStorage::open(dir.path(), spec, Options::default()).unwrap();
        let seen = AtomicU64::new(0);
        let hashes = piece_hashes(&storage, &|n| _ = seen.fetch_add(n, Ordering::Relaxed)).unwrap();
        let all = [vec![1; 40_000], vec![2; 30_000]].concat();
        let mut due = [[0; 20]; 4];
        unchoke_hash::sha1_batch(&all[..65_536].chunks(16_384).collect::<Vec<_>>(), &mut due);
        assert_eq!(hashes, [Some(due[0]), Some(due[1]), Some(due[2]), Some(due[3]), None]);
        assert_eq!(seen.into_inner(), 79_000);
    }
}
