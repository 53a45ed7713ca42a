//! Block bytes out stay within the limit and one burst.

use unchoke_wire::BLOCK_LEN;
use unchoke_wire::time::Instant;

/// A bucket of half a second, and two blocks of slack, which the engine's bucket must never overrun.
#[derive(Debug)]
pub struct Bucket {
    rate: u64,
    tokens: i128,
    filled: Instant,
}

impl Bucket {
    pub fn new(rate: u64, now: Instant) -> Self {
        let mut bucket = Bucket { rate, tokens: 0, filled: now };
        bucket.tokens = bucket.capacity();
        bucket
    }

    fn capacity(&self) -> i128 {
        i128::from((self.rate / 2).max(17 * 1024) + 2 * u64::from(BLOCK_LEN)) * 1_000_000
    }

    pub fn sent(&mut self, bytes: u32, now: Instant) -> Option<String> {
        let earned = i128::from(self.rate) * i128::from(now.as_micros() - self.filled.as_micros());
        self.filled = now;
        self.tokens = (self.tokens + earned).min(self.capacity()) - i128::from(bytes) * 1_000_000;
        (self.tokens < 0).then(|| format!("more than {} bytes a second were sent", self.rate))
    }
}
