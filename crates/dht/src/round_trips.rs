//! What round-trip time to expect of a node not met before.

use unchoke_wire::time::Duration;

/// Thought before anything was measured.
const FIRST_GUESS: Duration = Duration::from_millis(250);
/// Bounds of what is thought.
const LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_secs(2);
/// Samples after which one moves the estimate less.
const EARLY_SAMPLES: u8 = 48;

/// The time within which three of four answers come, followed as they do.
///
/// Round-trip times spread over orders of magnitude, so a mean says little of them. Each sample moves the estimate by a
/// share of itself, up three times as far as down: it rests where three times as many come in time as late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrips {
    upper_quartile: Duration,
    samples: u8,
}

impl Default for RoundTrips {
    fn default() -> Self {
        RoundTrips { upper_quartile: FIRST_GUESS, samples: 0 }
    }
}

impl RoundTrips {
    pub(crate) fn note(&mut self, rtt: Duration) {
        let step = self.upper_quartile / if self.samples < EARLY_SAMPLES { 32 } else { 64 };
        self.samples = self.samples.saturating_add(1);
        let moved = if rtt > self.upper_quartile {
            self.upper_quartile + 3 * step
        } else {
            self.upper_quartile - step
        };
        self.upper_quartile = moved.clamp(LEAST, MOST);
    }

    pub(crate) fn upper_quartile(&self) -> Duration {
        self.upper_quartile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_settles_where_three_of_four_answers_come_in_time() {
        let mut r = RoundTrips::default();
        for n in 0..2000 {
            // evenly from 20 to 400 ms, in an order that jumps about
            r.note(Duration::from_millis(20 + n * 7919 % 381));
        }
        let settled = r.upper_quartile().as_millis();
        assert!((260..=350).contains(&settled), "{settled}");
    }

    #[test]
    fn a_few_answers_minutes_late_move_it_no_more_than_others_that_are_late() {
        let mut r = RoundTrips::default();
        (0..200).for_each(|_| r.note(Duration::from_millis(50)));
        let before = r.upper_quartile();
        r.note(Duration::from_secs(300));
        assert!(r.upper_quartile() <= before * 105 / 100);
        (0..20_000).for_each(|_| r.note(Duration::ZERO));
        assert_eq!(r.upper_quartile(), LEAST);
    }
}
