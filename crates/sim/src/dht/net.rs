//! The way between two hosts: how long a datagram takes, and whether it arrives.

use super::census::HostIndex;
use super::chance::{Purpose, Share, Times, generator, scatter};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use unchoke_wire::time::Duration;

/// The largest payload that is not dropped, in bytes: an Ethernet frame's less the headers of IPv4 and UDP.
pub const PAYLOAD_LEN_MAX: usize = 1472;

/// How the network behaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NetSettings {
    /// Median of the round-trip time, which is lognormal.
    pub rtt_median: Duration,
    /// Deviation of its logarithm.
    pub rtt_sigma: f64,
    /// Each pair of hosts keeps its round-trip time, give or take a tenth; otherwise every exchange draws one.
    pub keeps_rtt_of_pair: bool,
    /// Datagrams lost, each way.
    pub loss: Share,
    /// Two thirds of the hosts are behind NATs.
    pub has_nats: bool,
}

impl Default for NetSettings {
    fn default() -> Self {
        NetSettings {
            rtt_median: Duration::from_millis(80),
            rtt_sigma: 0.9,
            keeps_rtt_of_pair: false,
            loss: Share::per_mille(20),
            has_nats: false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Net {
    settings: NetSettings,
    rtt: Times,
    seed: u64,
    rng: ChaCha8Rng,
}

impl Net {
    /// Network number `index` of a seed.
    pub(super) fn new(settings: NetSettings, seed: u64, index: u64) -> Self {
        let rtt = Times::lognormal(settings.rtt_median, settings.rtt_sigma);
        Net { settings, rtt, seed, rng: generator(seed, Purpose::Net, index) }
    }

    /// Whether a datagram of this length does not arrive.
    pub(super) fn loses(&mut self, len: usize) -> bool {
        self.settings.loss.draw(&mut self.rng) || len > PAYLOAD_LEN_MAX
    }

    /// Time from one to the other, half of a round trip.
    pub(super) fn one_way(&mut self, a: HostIndex, b: HostIndex) -> Duration {
        if self.settings.keeps_rtt_of_pair {
            self.rtt_of_pair(a, b) * self.rng.random_range(90..=110) / 200
        } else {
            self.rtt.draw(&mut self.rng) / 2
        }
    }

    /// The smoothed round-trip time that one had measured of the other before the beginning.
    pub(super) fn smoothed_rtt(&self, a: HostIndex, b: HostIndex, rng: &mut ChaCha8Rng) -> Duration {
        if self.settings.keeps_rtt_of_pair {
            return self.rtt_of_pair(a, b);
        }
        // as a node smoothes them: an eighth of each new one
        let first = self.rtt.draw(rng);
        (0..4).fold(first, |smoothed, _| (smoothed * 7 + self.rtt.draw(rng)) / 8)
    }

    fn rtt_of_pair(&self, a: HostIndex, b: HostIndex) -> Duration {
        let pair = u64::from(a.0.min(b.0)) << 32 | u64::from(a.0.max(b.0));
        let bits = scatter(self.seed ^ scatter(pair)) >> 32;
        self.rtt.at(u32::try_from(bits).expect("the upper half of 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_keeps_its_time_give_or_take_a_tenth() {
        let settings = NetSettings { keeps_rtt_of_pair: true, ..NetSettings::default() };
        let mut net = Net::new(settings, 1, 0);
        let (a, b) = (HostIndex(1), HostIndex(2));
        let rtt = net.rtt_of_pair(a, b);
        assert_eq!(rtt, net.rtt_of_pair(b, a));
        for _ in 0..100 {
            let both = net.one_way(a, b) * 2;
            assert!(both >= rtt * 9 / 10 - Duration::from_micros(2) && both <= rtt * 11 / 10);
        }
    }

    #[test]
    fn what_exceeds_a_frame_and_a_fiftieth_of_the_rest_is_lost() {
        let mut net = Net::new(NetSettings::default(), 1, 0);
        assert!((0..100).all(|_| net.loses(PAYLOAD_LEN_MAX + 1)));
        let lost = (0..10_000).filter(|_| net.loses(PAYLOAD_LEN_MAX)).count();
        assert!(lost.abs_diff(200) < 60, "{lost}");
    }
}
