//! No machine spins: after a timeout the next one lies ahead, and there are not too many of them in a second.

use unchoke_wire::time::Instant;

/// Timeouts of one machine in a virtual second. A torrent deadline may come once a millisecond.
const TIMEOUTS_MAX: u32 = 2_000;

/// What is known of one machine's timer.
#[derive(Debug, Default)]
pub struct Spin {
    was_past: bool,
    second: u64,
    count: u32,
}

impl Spin {
    /// The machine was woken; `is_past`: it wants to be woken again at once.
    pub fn woken(&mut self, is_past: bool, now: Instant) -> Result<(), String> {
        if core::mem::replace(&mut self.was_past, is_past) && is_past {
            return Err("the next timeout was in the past twice".to_owned());
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
