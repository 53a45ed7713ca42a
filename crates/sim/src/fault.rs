//! What goes wrong in a run, as data: a plan says which fault begins when, at whom, and for how long. A plan is drawn
//! from the seed, applied by the world, and shortened by leaving faults out.

use crate::marks::Mark;
use core::fmt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use unchoke_wire::time::{Duration, Instant};

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident $word:literal,)*) => {
        /// Something that goes wrong for a while.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum FaultKind { $($(#[doc = $doc])* $name,)* }

        impl FaultKind {
            /// Every kind.
            pub const ALL: &[FaultKind] = &[$(FaultKind::$name,)*];

            /// Its name: lower case, words joined by hyphens.
            pub fn name(self) -> &'static str {
                match self { $(FaultKind::$name => $word,)* }
            }

            /// The mark that says it had an effect.
            pub fn mark(self) -> Mark {
                match self { $(FaultKind::$name => Mark::$name,)* }
            }
        }
    };
}

faults! {
    /// Datagrams of a host get lost, segments have to be sent again.
    Loss "loss",
    /// Datagrams of a host arrive twice.
    Duplicate "duplicate",
    /// Datagrams of a host overtake each other.
    Reorder "reorder",
    /// A host's packets take up to half a second longer.
    Jitter "jitter",
    /// Datagrams of a host arrive with a byte changed.
    CorruptDatagram "corrupt-datagram",
    /// Hosts up to this one and hosts after it do not reach each other.
    Partition "partition",
    /// Nothing that a host sends arrives; what is sent to it does.
    OneWayLoss "one-way-loss",
    /// A host's connections are reset, once a second.
    ResetStorm "reset-storm",
    /// What a host sends on connections is stuck until the fault is over.
    StuckStreams "stuck-streams",
    /// A host's connections are gone and the other sides do not hear of it until the fault is over.
    HalfOpen "half-open",
    /// A host's line has a hundredth of its rate.
    SlowLine "slow-line",
    /// A host cannot be dialled.
    Nat "nat",
    /// A host's connections are lost half open, and its datagrams come from another port from now on.
    NatRebind "nat-rebind",
    /// A host's connections are lost half open, and it has another address from now on.
    IpChange "ip-change",
    /// Datagrams of more than 200 bytes to or from a host get lost.
    MtuHole "mtu-hole",
    /// A host's process is killed; it begins anew with all that was written.
    Kill "kill",
    /// A host loses power and with it some of what was not synced.
    PowerCut "power-cut",
    /// A host loses power; pieces that were not synced are half there.
    TornWrite "torn-write",
    /// A host is suspended.
    Freeze "freeze",
    /// A host cannot open sockets: dials fail, nobody is accepted.
    NoDescriptors "no-descriptors",
    /// A host's names do not resolve.
    DnsDown "dns-down",
    /// A host's disk is full.
    DiskFull "disk-full",
    /// Reads of a host's disk fail.
    ReadError "read-error",
    /// Every other write of a host's disk fails.
    WriteError "write-error",
    /// A host's disk takes a hundred times as long.
    SlowDisk "slow-disk",
    /// A host's disk does nothing until the fault is over.
    DiskStall "disk-stall",
    /// Every eighth block a host reads has a wrong byte.
    BitRot "bit-rot",
    /// A tracker does not answer.
    TrackerDown "tracker-down",
    /// A tracker answers with bytes that mean nothing.
    TrackerGarbage "tracker-garbage",
    /// A tracker takes twelve seconds.
    TrackerSlow "tracker-slow",
    /// A tracker names peers that do not exist.
    TrackerWrongPeers "tracker-wrong-peers",
    /// A tracker asks for intervals of nothing, less than nothing, or for ever.
    TrackerIntervals "tracker-intervals",
    /// A host spoils every fourth block it sends.
    Corrupting "corrupting",
}

impl FaultKind {
    /// Whether it happens at a tracker, not at a host.
    pub fn is_of_tracker(self) -> bool {
        self >= FaultKind::TrackerDown && self <= FaultKind::TrackerIntervals
    }

    fn bit(self) -> u64 {
        1 << (self as u64)
    }
}

/// One fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// When it begins, from the start of the plan.
    pub after: Duration,
    /// What goes wrong.
    pub kind: FaultKind,
    /// The number of the host or tracker.
    pub whom: usize,
    /// How long.
    pub lasts: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whom = if self.kind.is_of_tracker() { "tracker" } else { "host" };
        let (after, lasts) = (self.after.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{} at {whom} {} from {after:.1} s for {lasts:.1} s", self.kind.name(), self.whom)
    }
}

/// Which faults of a plan are played: a bit for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultSet(u64);

/// Faults in one plan.
pub const FAULTS_MAX: usize = 64;

impl FaultSet {
    /// The first so many.
    pub fn first(count: usize) -> Self {
        (0..count.min(FAULTS_MAX)).collect()
    }

    /// Whether this one is played.
    pub fn has(self, number: usize) -> bool {
        number < FAULTS_MAX && self.0 & (1 << number) != 0
    }

    /// The numbers of those that are played, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..FAULTS_MAX).filter(move |n| self.has(*n))
    }
}

impl FromIterator<usize> for FaultSet {
    /// Numbers beyond the largest plan are left out.
    fn from_iter<T: IntoIterator<Item = usize>>(numbers: T) -> Self {
        FaultSet(numbers.into_iter().filter(|n| *n < FAULTS_MAX).fold(0, |bits, n| bits | 1 << n))
    }
}

impl fmt::Display for FaultSet {
    /// The numbers with commas between them; `none` when there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.iter().map(|n| n.to_string()).collect();
        f.write_str(if numbers.is_empty() { "none".to_owned() } else { numbers.join(",") }.as_str())
    }
}

impl core::str::FromStr for FaultSet {
    type Err = String;

    /// What [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(FaultSet(0));
        }
        let number = |word: &str| match word.trim().parse::<usize>() {
            Ok(n) if n < FAULTS_MAX => Ok(n),
            _ => Err(format!("faults are numbers below {FAULTS_MAX} with commas between them, or `none`")),
        };
        text.split(',').map(number).collect()
    }
}

/// What a plan is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Profile<'a> {
    /// The kinds to draw from.
    pub kinds: &'a [FaultKind],
    /// How many faults, the largest number left out.
    pub count: (u64, u64),
    /// Faults begin within this.
    pub within: Duration,
    /// How long each lasts at least and at most, in milliseconds.
    pub lasts_ms: (u64, u64),
    /// Hosts below this number are spared.
    pub spared: usize,
}

/// What goes wrong in a run, in order of time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FaultPlan {
    /// The faults.
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Draws a plan for so many hosts and trackers. Equal seeds give equal plans, whatever else a run draws.
    pub fn draw(seed: u64, profile: &Profile<'_>, hosts: usize, trackers: usize) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x6661_756c_7473);
        let count = rng.random_range(profile.count.0..profile.count.1);
        let within = u64::try_from(profile.within.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut faults: Vec<Fault> = (0..count)
            .filter_map(|_| {
                let kind = profile.kinds[rng.random_range(0..profile.kinds.len())];
                let whom = if kind.is_of_tracker() { 0..trackers } else { profile.spared..hosts };
                let after = Duration::from_millis(rng.random_range(0..within));
                let lasts = Duration::from_millis(rng.random_range(profile.lasts_ms.0..=profile.lasts_ms.1));
                (!whom.is_empty()).then(|| Fault { after, kind, whom: rng.random_range(whom), lasts })
            })
            .take(FAULTS_MAX)
            .collect();
        faults.sort_by_key(|f| f.after);
        FaultPlan { faults }
    }

    /// When the last fault is over, from the start of the plan.
    pub fn len(&self) -> Duration {
        self.faults.iter().map(|f| f.after + f.lasts).max().unwrap_or(Duration::ZERO)
    }

    /// Whether nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.faults.iter().enumerate().map(|(n, x)| format!("{n}: {x}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The faults that are at work at one host or tracker, and until when.
#[derive(Clone, Debug, Default)]
pub struct AtWork {
    bits: u64,
    until: Vec<(FaultKind, Instant)>,
}

impl AtWork {
    /// Whether a fault of this kind is at work.
    pub fn has(&self, kind: FaultKind) -> bool {
        self.bits & kind.bit() != 0
    }

    /// Until when one is.
    pub fn until(&self, kind: FaultKind) -> Option<Instant> {
        self.until.iter().filter(|(k, _)| *k == kind).map(|(_, at)| *at).max()
    }

    /// One begins.
    pub fn begin(&mut self, kind: FaultKind, until: Instant) {
        self.bits |= kind.bit();
        self.until.push((kind, until));
    }

    /// One may be over; whether none of its kind is left.
    pub fn end(&mut self, kind: FaultKind, now: Instant) -> bool {
        self.until.retain(|(k, at)| *k != kind || *at > now);
        let is_over = self.until(kind).is_none();
        if is_over {
            self.bits &= !kind.bit();
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_faults_reads_back_as_it_is_written() {
        for text in ["none", "0", "3,7,12", "63"] {
            let set: FaultSet = text.parse().unwrap();
            assert_eq!(set.to_string(), text);
        }
        for text in ["", "64", "x", "1,,2"] {
            text.parse::<FaultSet>().unwrap_err();
        }
    }

    #[test]
    fn a_plan_is_the_same_for_the_same_seed_and_spares_whom_it_shall() {
        let profile = Profile {
            kinds: FaultKind::ALL,
            count: (20, 40),
            within: Duration::from_secs(10),
            lasts_ms: (10, 20),
            spared: 2,
        };
        let plan = FaultPlan::draw(7, &profile, 6, 1);
        assert_eq!(plan, FaultPlan::draw(7, &profile, 6, 1));
        assert_ne!(plan, FaultPlan::draw(8, &profile, 6, 1));
        assert!(plan.faults.iter().all(|f| f.kind.is_of_tracker() && f.whom == 0 || f.whom >= 2));
        assert!(plan.faults.is_sorted_by_key(|f| f.after) && plan.faults.len() >= 20);
    }

    #[test]
    fn a_fault_that_began_twice_is_over_with_the_later_end() {
        let at = Instant::from_micros;
        let mut work = AtWork::default();
        work.begin(FaultKind::Nat, at(5));
        work.begin(FaultKind::Nat, at(9));
        assert!(!work.end(FaultKind::Nat, at(5)) && work.has(FaultKind::Nat));
        assert!(work.end(FaultKind::Nat, at(9)) && !work.has(FaultKind::Nat));
    }
}
