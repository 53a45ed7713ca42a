//! No machine spins: after a timeout the next one lies ahead, and there are not too many of them in a second.

use unchoke_wire::time::Instant;

/// Timeouts of one machine in a virtual second. A torrent deadline may come once a millisecond.
const TIMEOUTS_MAX: u32 = 2_000;

/// Timeouts in a row after which a machine may want another one at once: a round that begins may be over at once.
const PAST_MAX: u32 = 1;

/// What is known of one machine's timer.
#[derive(Debug, Default)]
pub struct Spin {
    past: u32,
    second: u64,
    count: u32,
}

impl Spin {
    /// The machine was woken; `is_past`: it wants to be woken again at once.
    pub fn woken(&mut self, is_past: bool, now: Instant) -> Result<(), String> {
        self.past = if is_past { self.past + 1 } else { 0 };
        if self.past > PAST_MAX {
            return Err(format!("the next timeout was in the past {} times in a row", self.past));
        }
        let second = now.as_micros() / 1_000_000;
        if self.second != second {
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        let is_first_over = self.count == TIMEOUTS_MAX + 1;
        if is_first_over { Err(format!("over {TIMEOUTS_MAX} timeouts in a second")) } else { Ok(()) }
    }
}
