//! Points in time as the machines see them: a number handed in by a shell, never read from a clock.

use core::fmt;
use core::ops::{Add, Sub};
pub use core::time::Duration;

/// A point on a monotonic line, in microseconds since an epoch only the shell knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The shell's epoch.
    pub const ZERO: Instant = Instant(0);

    /// The point `us` microseconds after the epoch. Only shells build instants.
    pub const fn from_micros(us: u64) -> Self {
        Instant(us)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`, zero when `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    /// Saturates at the end of time.
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    /// Saturates at the epoch.
    fn sub(self, d: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Seconds since 1970-01-01 UTC, for what people read and files keep; never for timers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixTime(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_never_wraps() {
        let late = Instant::from_micros(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(5), Instant::from_micros(u64::MAX));
        assert_eq!(Instant::ZERO - Duration::from_secs(5), Instant::ZERO);
        assert_eq!(Instant::ZERO.since(late), Duration::ZERO);
    }
}
