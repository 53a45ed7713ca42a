//! How fast bytes pass on one connection.

use unchoke_wire::time::{Duration, Instant};

/// Over how long a rate is averaged.
const WINDOW: Duration = Duration::from_secs(4);

/// Bytes in all, and bytes a second lately.
#[derive(Clone, Debug, Default)]
pub struct RateMeter {
    total: u64,
    /// Bytes since `since`, not in `rate` yet.
    fresh: u64,
    rate: u64,
    since: Option<Instant>,
}

impl RateMeter {
    /// Counts bytes that passed now.
    pub fn add(&mut self, bytes: u64, now: Instant) {
        self.total += bytes;
        self.fresh += bytes;
        self.since.get_or_insert(now);
    }

    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes a second, as of the last [`roll`](Self::roll).
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Takes the bytes since the last roll into the rate. Called about once a second.
    pub fn roll(&mut self, now: Instant) {
        let Some(since) = self.since else { return };
        let elapsed = now.since(since);
        let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
        if us < 100_000 {
            return;
        }
        let now_rate = self.fresh.saturating_mul(1_000_000) / us;
        let window = u64::try_from(WINDOW.as_micros()).expect("four seconds");
        let share = us.min(window);
        // the newer the connection the more the fresh bytes count
        self.rate = if self.rate == 0 {
            now_rate
        } else {
            (self.rate.saturating_mul(window - share) + now_rate.saturating_mul(share)) / window
        };
        (self.fresh, self.since) = (0, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_measured_and_fades_when_it_ends() {
        let mut meter = RateMeter::default();
        let mut now = Instant::ZERO;
        for _ in 0..100 {
            meter.add(10_000, now);
            now = now + Duration::from_millis(100);
            meter.roll(now);
        }
        assert!((95_000..=105_000).contains(&meter.rate()), "{}", meter.rate());
        for _ in 0..20 {
            now = now + Duration::from_secs(1);
            meter.roll(now);
        }
        assert!(meter.rate() < 1_000, "{}", meter.rate());
        assert_eq!(meter.total(), 1_000_000);
    }
}
