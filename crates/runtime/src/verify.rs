//! Pieces that came from peers: hashed side by side, written when right.

use unchoke_engine::input::{Verified, VerifyOutcome};
use unchoke_engine::output::VerifyJob;
use unchoke_hash::sha1_batch;
use unchoke_wire::BLOCK_LEN;

use crate::workers::Placed;

/// A piece, and where it goes when it is right.
pub(crate) type PieceJob = (VerifyJob, Option<Placed>);

/// Hashes all jobs together and writes each good piece through its storage: each is done when it is asked for, in
/// order. A job without a storage is of a torrent that has gone, and its outcome is of no use to anybody.
pub(crate) fn verify_batch(jobs: Vec<PieceJob>) -> impl Iterator<Item = Verified> {
    let mut digests = vec![[0; 20]; jobs.len()];
    let inputs: Vec<&[u8]> = jobs.iter().map(|(job, _)| &*job.data).collect();
    sha1_batch(&inputs, &mut digests);
    jobs.into_iter().zip(digests).map(|((job, place), digest)| {
        let outcome = outcome(&job, place.as_ref(), digest);
        Verified { torrent: job.torrent, piece: job.piece, outcome, data: job.data }
    })
}

fn outcome(job: &VerifyJob, place: Option<&Placed>, digest: [u8; 20]) -> VerifyOutcome {
    if digest != job.expected {
        return VerifyOutcome::Bad { block_hashes: block_hashes(&job.data) };
    }
    let Some(place) = place else {
        return VerifyOutcome::WriteFailed { error: "the torrent is gone".to_owned() };
    };
    match place.call(|storage| storage.write(job.piece, 0, &job.data)) {
        Ok(()) => {
            let wants = job.wants_block_hashes;
            VerifyOutcome::Good { block_hashes: if wants { block_hashes(&job.data) } else { Vec::new() } }
        }
        Err(error) => VerifyOutcome::WriteFailed { error },
    }
}

/// SHA-1 of every block of a piece in order.
fn block_hashes(data: &[u8]) -> Vec<[u8; 20]> {
    let block_len = usize::try_from(BLOCK_LEN).expect("a u32 fits the address space");
    let blocks: Vec<&[u8]> = data.chunks(block_len).collect();
    let mut digests = vec![[0; 20]; blocks.len()];
    sha1_batch(&blocks, &mut digests);
    digests
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use unchoke_engine::TorrentId;
    use unchoke_storage::{FileSpec, MemoryStorage, Storage, StorageSpec};
    use unchoke_wire::{BlockRef, Layout, PieceIndex};

    #[test]
    fn only_good_pieces_are_written_and_bad_ones_are_told_block_by_block() {
        let file = FileSpec { path: vec!["f".to_owned()], len: 60_000, ..FileSpec::default() };
        let layout = Layout::new(30_000, [60_000]).unwrap();
        let storage: Arc<dyn Storage> =
            Arc::new(MemoryStorage::new(StorageSpec { layout, files: vec![file] }).unwrap());
        let good = vec![7u8; 30_000];
        let mut expected = [[0; 20]];
        sha1_batch(&[&good], &mut expected);
        let job = |piece, data: &[u8]| {
            let torrent = TorrentId::default();
            let piece = PieceIndex(piece);
            let (data, expected) = (data.into(), expected[0]);
            let job = VerifyJob { torrent, piece, data, expected, wants_block_hashes: false };
            (job, Some(Placed::new(Arc::clone(&storage))))
        };
        let mut bad = good.clone();
        bad[20_000] = 8;
        let done: Vec<_> = verify_batch(vec![job(0, &good), job(1, &bad)]).collect();
        assert!(matches!(&done[0].outcome, VerifyOutcome::Good { block_hashes } if block_hashes.is_empty()));
        let VerifyOutcome::Bad { block_hashes: got } = &done[1].outcome else { panic!("{done:?}") };
        assert_eq!((done[1].piece, &*done[1].data), (PieceIndex(1), &*bad));
        let right = block_hashes(&good);
        assert_eq!((got.len(), got[0] == right[0], got[1] == right[1]), (2, true, false));
        let mut buf = vec![0; 30_000];
        let stretch = |piece| BlockRef { piece: PieceIndex(piece), begin: 0, len: 30_000 };
        storage.read(stretch(0), &mut buf).unwrap();
        assert_eq!(buf, good);
        assert!(storage.read(stretch(1), &mut buf).is_err());
    }
}
