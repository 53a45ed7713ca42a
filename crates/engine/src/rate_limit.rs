//! A token bucket for block bytes, in both directions.

use unchoke_wire::time::{Duration, Instant};

/// How much of a second's bytes may be saved up, so that a limit holds over short times too.
const BURST: Duration = Duration::from_millis(500);
/// The least a bucket holds, one block and its header, so that any limit lets blocks through.
const BUCKET_MIN: u64 = 17 * 1024;

/// Lets `rate` bytes a second through, or everything.
#[derive(Clone, Debug)]
pub struct RateLimit {
    rate: Option<u64>,
    tokens: u64,
    refilled: Instant,
}

impl RateLimit {
    /// A full bucket of `rate` bytes a second; `None` lets everything through.
    pub fn new(rate: Option<u64>, now: Instant) -> Self {
        let mut limit = RateLimit { rate: None, tokens: 0, refilled: now };
        limit.set(rate, now);
        limit.tokens = limit.capacity();
        limit
    }

    /// Takes a new rate; what was saved up stays within the new bucket. A rate of zero counts as one byte a second.
    pub fn set(&mut self, rate: Option<u64>, now: Instant) {
        self.refill(now);
        self.rate = rate.map(|r| r.max(1));
        self.tokens = self.tokens.min(self.capacity());
    }

    /// Whether `bytes` may pass at once; if so they are counted.
    pub fn take(&mut self, bytes: u64, now: Instant) -> bool {
        if self.rate.is_none() {
            return true;
        }
        self.refill(now);
        if self.tokens < bytes.min(self.capacity()) {
            return false;
        }
        self.tokens = self.tokens.saturating_sub(bytes);
        true
    }

    /// Gives back bytes that were counted and did not pass.
    pub fn give_back(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_add(bytes).min(self.capacity());
    }

    /// When a block will pass, if one does not now.
    pub fn next_block(&self, now: Instant) -> Option<Instant> {
        let rate = self.rate?;
        let missing = BUCKET_MIN.min(self.capacity()).saturating_sub(self.tokens);
        let wait = Duration::from_micros(missing.saturating_mul(1_000_000).div_ceil(rate).max(1));
        (missing > 0).then(|| self.refilled.max(now - BURST) + wait)
    }

    fn capacity(&self) -> u64 {
        let burst = u64::try_from(BURST.as_millis()).expect("half a second");
        self.rate.map_or(0, |r| (r.saturating_mul(burst) / 1000).max(BUCKET_MIN))
    }

    fn refill(&mut self, now: Instant) {
        let Some(rate) = self.rate else {
            self.refilled = now;
            return;
        };
        let elapsed = u64::try_from(now.since(self.refilled).as_micros()).unwrap_or(u64::MAX);
        let earned = rate.saturating_mul(elapsed) / 1_000_000;
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(self.capacity());
            // what is left of a byte is not lost, however often this is called
            let paid = u64::try_from(u128::from(earned) * 1_000_000 / u128::from(rate)).unwrap_or(u64::MAX);
            self.refilled = self.refilled + Duration::from_micros(paid.min(elapsed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate_and_one_bucket_passes() {
        let start = Instant::from_micros(5);
        let mut limit = RateLimit::new(Some(100_000), start);
        let mut passed = 0;
        for ms in 0..10_000u64 {
            let now = start + Duration::from_millis(ms);
            while limit.take(16_384, now) {
                passed += 16_384;
            }
        }
        assert!((1_000_000 - 16_384..=1_000_000 + 50_000).contains(&passed), "{passed}");
    }

    #[test]
    fn a_rate_below_one_block_a_second_still_lets_blocks_through() {
        let mut limit = RateLimit::new(Some(1_000), Instant::ZERO);
        assert!(limit.take(16_384, Instant::ZERO));
        assert!(!limit.take(16_384, Instant::ZERO));
        let at = limit.next_block(Instant::ZERO).unwrap();
        assert!(at > Instant::ZERO && limit.take(16_384, at));
    }

    #[test]
    fn asking_often_does_not_slow_a_limit() {
        let mut limit = RateLimit::new(Some(19_999), Instant::ZERO);
        let mut passed = 0;
        for step in 0..1_000_000u64 {
            let now = Instant::from_micros(step * 70);
            passed += if limit.take(16_384, now) { 16_384 } else { 0 };
        }
        assert!(passed > 69 * 19_999, "{passed} in 70 s");
    }

    #[test]
    fn without_a_rate_everything_passes() {
        let mut limit = RateLimit::new(None, Instant::ZERO);
        assert!(limit.take(u64::MAX, Instant::ZERO));
        assert_eq!(limit.next_block(Instant::ZERO), None);
    }
}
