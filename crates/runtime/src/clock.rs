//! The one place where time is read.

use std::time::Duration;

use unchoke_wire::time::Instant;

/// Microseconds since the session began, as the machines see time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: std::time::Instant,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Clock { epoch: std::time::Instant::now() }
    }

    /// The time.
    pub(crate) fn now(self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// How long from now to the earlier of two points; `None` when neither is set.
    pub(crate) fn until(self, a: Option<Instant>, b: Option<Instant>) -> Option<Duration> {
        let at = a.into_iter().chain(b).min()?;
        Some(at.since(self.now()))
    }
}
