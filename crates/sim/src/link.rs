//! A host's line into the network: how long bytes take, and what goes wrong with them.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use unchoke_wire::time::{Duration, Instant};

/// How a host's line behaves.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// One way from the host to the middle of the network.
    pub latency: Duration,
    /// What may be added to the latency of any packet, evenly drawn.
    pub jitter: Duration,
    /// Bytes a second out, and in.
    pub rate: u64,
    /// Of a thousand packets, how many are lost: datagrams for good, stream bytes until they are sent again.
    pub loss_per_mille: u32,
    /// Of a hundred thousand stream segments, how many reset their connection.
    pub reset_per_100k: u32,
    /// Of ten thousand stream segments, how many are stuck for seconds.
    pub stall_per_10k: u32,
    /// Whether a NAT keeps out what was not asked for: nobody can dial the host, and datagrams come in only from
    /// whom it sent one.
    pub is_behind_nat: bool,
}

impl Default for LinkSettings {
    /// A clean line of 20 ms and 50 Mbit/s.
    fn default() -> Self {
        LinkSettings {
            latency: Duration::from_millis(20),
            jitter: Duration::ZERO,
            rate: 6_250_000,
            loss_per_mille: 0,
            reset_per_100k: 0,
            stall_per_10k: 0,
            is_behind_nat: false,
        }
    }
}

/// What becomes of a stream segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives after this delay beyond its time on the line.
    After(Duration),
    /// The connection is reset.
    Reset,
}

/// A host's line.
#[derive(Clone, Debug)]
pub struct Link {
    /// How it behaves; may be changed in mid-run.
    pub settings: LinkSettings,
    out_free: Instant,
    in_free: Instant,
}

impl Link {
    /// An idle line.
    pub fn new(settings: LinkSettings) -> Self {
        Link { settings, out_free: Instant::ZERO, in_free: Instant::ZERO }
    }

    /// Puts bytes on the line out; says when the last has left.
    pub fn send(&mut self, bytes: usize, now: Instant) -> Instant {
        self.out_free = self.out_free.max(now) + self.time_of(bytes);
        self.out_free
    }

    /// Takes bytes off the line in that reach it at `at`; says when the last is in.
    pub fn receive(&mut self, bytes: usize, at: Instant) -> Instant {
        self.in_free = self.in_free.max(at) + self.time_of(bytes);
        self.in_free
    }

    fn time_of(&self, bytes: usize) -> Duration {
        Duration::from_micros(bytes as u64 * 1_000_000 / self.settings.rate.max(1))
    }

    /// The latency of one packet.
    pub fn delay(&self, rng: &mut ChaCha12Rng) -> Duration {
        let jitter = u64::try_from(self.settings.jitter.as_micros()).unwrap_or(u64::MAX);
        self.settings.latency
            + Duration::from_micros(if jitter > 0 { rng.random_range(0..jitter) } else { 0 })
    }

    /// Whether a datagram is lost.
    pub fn loses(&self, rng: &mut ChaCha12Rng) -> bool {
        self.settings.loss_per_mille > 0 && rng.random_range(0..1000) < self.settings.loss_per_mille
    }

    /// What becomes of a stream segment.
    pub fn fate(&self, rng: &mut ChaCha12Rng) -> Fate {
        let s = &self.settings;
        if s.reset_per_100k > 0 && rng.random_range(0..100_000) < s.reset_per_100k {
            return Fate::Reset;
        }
        if s.stall_per_10k > 0 && rng.random_range(0..10_000) < s.stall_per_10k {
            return Fate::After(Duration::from_millis(rng.random_range(1_000..15_000)));
        }
        // a lost segment is sent again after a round trip
        Fate::After(if self.loses(rng) { self.settings.latency * 4 } else { Duration::ZERO })
    }
}
