//! Randomness of a simulated network: a generator for each purpose, and tables of the distributions it draws from.
//!
//! A generator of one purpose never moves another's, so that a change of the workload leaves the network as it was.
//! Distributions are tables of whole microseconds: what the platform's logarithm says in its last digit decides
//! nothing.

use core::str::FromStr;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unchoke_wire::time::Duration;

/// What a generator is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Ids and addresses.
    Ids = 1,
    /// Delays and losses.
    Net,
    /// Sessions and absences.
    Churn,
    /// Who looks for what, and when.
    Workload,
    /// What attackers do.
    Adversary,
    /// What the routing tables hold at the beginning.
    Tables,
    /// The seeds of nodes.
    Nodes,
    /// Classes of NATs and their timeouts.
    Nats,
}

/// The generator for `purpose`, number `index` of them.
pub(super) fn generator(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(node_seed(seed, purpose, index))
}

/// 32 bytes that are the same for no other arguments.
pub(super) fn node_seed(seed: u64, purpose: Purpose, index: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8] = purpose as u8;
    bytes[16..24].copy_from_slice(&index.to_be_bytes());
    bytes
}

/// A number that depends on every bit of `x` and looks like chance.
pub(super) fn scatter(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

/// A part of a whole, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Share(u32);

impl Share {
    /// Nothing of it.
    pub const NONE: Share = Share(0);
    const WHOLE: u32 = 1_000_000;

    /// So many thousandths, at most all.
    pub const fn per_mille(n: u32) -> Self {
        Share(if n < 1000 { n * 1000 } else { Share::WHOLE })
    }

    /// As a number between 0 and 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Share::WHOLE)
    }

    /// This part of `n`, rounded down.
    pub fn of(self, n: u32) -> u32 {
        let part = u64::from(n) * u64::from(self.0) / u64::from(Share::WHOLE);
        u32::try_from(part).expect("a part is not more than the whole")
    }

    /// How many must be added to `n` for them to be this part of all.
    pub(super) fn beside(self, n: u32) -> u32 {
        let rest = Share::WHOLE.saturating_sub(self.0).max(1);
        u32::try_from(u64::from(n) * u64::from(self.0) / u64::from(rest)).unwrap_or(u32::MAX)
    }

    /// True with this probability.
    pub(super) fn draw(self, rng: &mut impl Rng) -> bool {
        self.0 > 0 && rng.random_range(0..Share::WHOLE) < self.0
    }
}

/// What is no share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a share is a number from 0 to 0.99")]
pub struct ShareError;

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let share: f64 = text.parse().map_err(|_| ShareError)?;
        if !(0.0..=0.99).contains(&share) {
            return Err(ShareError);
        }
        Ok(Share(u32::try_from(whole(share * 1e6)).map_err(|_| ShareError)?))
    }
}

/// A distribution of times: its values at evenly spaced probabilities.
#[derive(Clone, Debug)]
pub(super) struct Times(Vec<u64>);

/// Values of a distribution kept, a power of two.
const STEPS: u32 = 4096;

impl Times {
    /// Lognormal with this median, and this deviation of the logarithm.
    pub(super) fn lognormal(median: Duration, sigma: f64) -> Self {
        let median = median.as_secs_f64();
        let mut values = Vec::new();
        // the normal distribution's density, summed up from far below
        let (mut z, mut below) = (-8.0f64, 0.0);
        let step = 1.0 / 4096.0;
        for i in 0..STEPS {
            let wanted = (f64::from(i) + 0.5) / f64::from(STEPS);
            while below < wanted {
                below += (-z * z / 2.0).exp() / (core::f64::consts::TAU).sqrt() * step;
                z += step;
            }
            values.push(whole(median * (sigma * z).exp() * 1e6));
        }
        Times(values)
    }

    /// Weibull with this median; the smaller the shape, the heavier the tail.
    pub(super) fn weibull(median: Duration, shape: f64) -> Self {
        let scale = median.as_secs_f64() / core::f64::consts::LN_2.powf(1.0 / shape);
        let value = |p: f64| scale * (-(1.0 - p).ln()).powf(1.0 / shape);
        Times((0..STEPS).map(|i| whole(value((f64::from(i) + 0.5) / f64::from(STEPS)) * 1e6)).collect())
    }

    /// The times between the events of a Poisson process with this mean.
    pub(super) fn exponential(mean: Duration) -> Self {
        Times::weibull(mean.mul_f64(core::f64::consts::LN_2), 1.0)
    }

    /// One value.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Duration {
        self.at(rng.random())
    }

    /// The value that belongs to 32 even bits.
    pub(super) fn at(&self, bits: u32) -> Duration {
        let at = usize::try_from(bits / (u32::MAX / STEPS + 1)).expect("an index of the table");
        let between = u64::from(bits % (u32::MAX / STEPS + 1));
        let low = self.0[at];
        let high = self.0.get(at + 1).copied().unwrap_or(low);
        Duration::from_micros(low + (high - low) * between / u64::from(u32::MAX / STEPS + 1))
    }
}

/// The whole number nearest to one that is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bounds are checked")]
fn whole(x: f64) -> u64 {
    assert!((0.0..1e18).contains(&x), "{x} is no time");
    x.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_their_distribution() {
        let rtt = Times::lognormal(Duration::from_millis(80), 0.9);
        assert!(rtt.at(1 << 31).as_micros().abs_diff(80_000) < 100);
        // one deviation above the median: 80 ms times e^0.9
        assert!(rtt.at(3_613_545_374).as_micros().abs_diff(196_770) < 600);
        let session = Times::weibull(Duration::from_secs(600), 0.6);
        assert!(session.at(1 << 31).as_micros().abs_diff(600_000_000) < 600_000);
        let mut rng = generator(1, Purpose::Net, 0);
        let pause = Times::exponential(Duration::from_secs(1));
        let sum: Duration = (0..10_000).map(|_| pause.draw(&mut rng)).sum();
        assert!(sum.as_secs().abs_diff(10_000) < 300, "{sum:?}");
    }

    #[test]
    fn a_share_is_read_and_drawn() {
        let share: Share = "0.2".parse().unwrap();
        assert_eq!((share.of(100_000), share.beside(100_000), share.as_f64()), (20_000, 25_000, 0.2));
        let mut rng = generator(1, Purpose::Net, 0);
        let hits = (0..10_000).filter(|_| share.draw(&mut rng)).count();
        assert!(hits.abs_diff(2000) < 150, "{hits}");
        for wrong in ["", "-0.1", "1", "x", "NaN"] {
            assert_eq!(wrong.parse::<Share>(), Err(ShareError));
        }
    }

    #[test]
    fn purposes_have_generators_of_their_own() {
        let first = |p, i| generator(7, p, i).random::<u64>();
        assert_ne!(first(Purpose::Net, 0), first(Purpose::Churn, 0));
        assert_ne!(first(Purpose::Net, 0), first(Purpose::Net, 1));
        assert_eq!(first(Purpose::Net, 1), first(Purpose::Net, 1));
    }
}
