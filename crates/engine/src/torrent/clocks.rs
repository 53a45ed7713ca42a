//! For how long a torrent did what, over its life. Time is the shell's, which neither steps nor stands still.

use crate::input::Times;
use unchoke_wire::time::Instant;

/// What of a torrent's time is being counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Doing {
    /// It is not paused, and did not fail.
    pub is_active: bool,
    /// It is active, and every wanted piece is there.
    pub is_finished: bool,
    /// It is active, and every piece is there.
    pub is_seeding: bool,
}

/// Since when a torrent does what it does.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    doing: Doing,
    since: Instant,
}

impl Clocks {
    /// Nothing is counted yet.
    pub fn new(now: Instant) -> Self {
        Clocks { doing: Doing::default(), since: now }
    }

    /// Counts the time up to `now`, and what the torrent does from then on.
    pub fn turn(&mut self, times: &mut Times, doing: Doing, now: Instant) {
        *times = self.read(*times, now);
        (self.doing, self.since) = (doing, now);
    }

    /// What the times will be at `now` if nothing changes.
    pub fn read(&self, times: Times, now: Instant) -> Times {
        let span = now.since(self.since);
        let with = |time, is_counted| if is_counted { time + span } else { time };
        Times {
            active: with(times.active, self.doing.is_active),
            finished: with(times.finished, self.doing.is_finished),
            seeding: with(times.seeding, self.doing.is_seeding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::time::Duration;

    #[test]
    fn time_counts_for_what_was_done_in_it_and_not_for_what_follows() {
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let secs = |s: u64| Duration::from_secs(s);
        let (mut clocks, mut times) = (Clocks::new(at(0)), Times::default());
        let leech = Doing { is_active: true, ..Doing::default() };
        clocks.turn(&mut times, leech, at(5));
        assert_eq!(times, Times::default(), "it began at 5");
        let seed = Doing { is_active: true, is_finished: true, is_seeding: true };
        clocks.turn(&mut times, seed, at(7));
        assert_eq!(times, Times { active: secs(2), ..Times::default() });
        clocks.turn(&mut times, Doing::default(), at(10));
        let done = Times { active: secs(5), finished: secs(3), seeding: secs(3) };
        assert_eq!(times, done);
        assert_eq!(clocks.read(times, at(100)), done, "paused");
    }
}
