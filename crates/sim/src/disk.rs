//! A host's disk: takes its time, and fails when told to.

use crate::fault::FaultKind;
use crate::host::Stored;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use sha1::Digest;
use unchoke_engine::input::VerifyOutcome;
use unchoke_engine::output::VerifyJob;
use unchoke_storage::Storage;
use unchoke_wire::BLOCK_LEN;
use unchoke_wire::time::{Duration, Instant};

/// How a disk behaves.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// The least time a job takes.
    pub latency: Duration,
    /// Bytes a second.
    pub rate: u64,
    /// Of a thousand writes, how many fail.
    pub fail_per_mille: u32,
}

impl Default for DiskSettings {
    /// A disk that takes 2 ms and 100 MB/s.
    fn default() -> Self {
        DiskSettings { latency: Duration::from_millis(2), rate: 100_000_000, fail_per_mille: 0 }
    }
}

/// A disk with one head: jobs queue.
#[derive(Clone, Debug)]
pub struct Disk {
    /// How it behaves; may be changed in mid-run.
    pub settings: DiskSettings,
    free: Instant,
}

impl Disk {
    /// An idle disk.
    pub fn new(settings: DiskSettings) -> Self {
        Disk { settings, free: Instant::ZERO }
    }

    /// When a job of so many bytes is done.
    pub fn done(&mut self, bytes: usize, now: Instant) -> Instant {
        let time = Duration::from_micros(bytes as u64 * 1_000_000 / self.settings.rate.max(1));
        self.free = self.free.max(now) + time;
        self.free + self.settings.latency
    }

    /// Judges a piece and writes it when it is good. Bytes equal to the truth have its hash, and no others have: only
    /// the hash the engine asked for is compared, and blocks are hashed where the engine wants to know. With a fault of
    /// the disk the write fails.
    pub fn verify(
        &self,
        job: &VerifyJob,
        stored: &Stored,
        fault: Option<FaultKind>,
        rng: &mut ChaCha12Rng,
    ) -> VerifyOutcome {
        let is_true = *job.data == *stored.content.piece(job.piece);
        let is_good = is_true && stored.content.metainfo.info.pieces.get(job.piece) == Some(job.expected);
        let block_hashes = if !is_good || job.wants_block_hashes {
            job.data.chunks(BLOCK_LEN as usize).map(|b| sha1::Sha1::digest(b).into()).collect()
        } else {
            Vec::new()
        };
        if !is_good {
            return VerifyOutcome::Bad { block_hashes };
        }
        if let Some(fault) = fault {
            return VerifyOutcome::WriteFailed { error: fault.name().to_owned() };
        }
        if self.settings.fail_per_mille > 0 && rng.random_range(0..1000) < self.settings.fail_per_mille {
            return VerifyOutcome::WriteFailed { error: "no space left".to_owned() };
        }
        match stored.storage.write(job.piece, 0, &job.data) {
            Ok(()) => VerifyOutcome::Good { block_hashes },
            Err(e) => VerifyOutcome::WriteFailed { error: e.to_string() },
        }
    }
}
