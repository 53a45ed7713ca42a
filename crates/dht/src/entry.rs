//! What we know of a node of the routing table, packed: a simulation holds tens of millions of them.

use core::num::{NonZeroU16, NonZeroU32};
use unchoke_wire::krpc::NodeInfo;
use unchoke_wire::time::{Duration, Instant};

/// How long an answer keeps a node good, and a bucket fresh (BEP 5).
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// Age of the last answer at which a node is pinged, so that it stays good without a gap.
const PING_AFTER: Duration = Duration::from_secs(13 * 60);
/// Pause between pings of a node that fails to answer.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Unanswered queries in a row after which a node yields to a replacement.
pub(crate) const FAILS_TO_YIELD: u8 = 2;
/// Unanswered queries in a row after which a node leaves in any case.
pub(crate) const FAILS_TO_LEAVE: u8 = 5;
/// Bits of a microsecond count that a [`Stamp`] leaves out: its unit is 65,536 µs, and it lasts for nine years.
const STAMP_SHIFT: u32 = 16;
/// The same of a [`History`]'s round-trip time: its unit is 128 µs, and it ends at 8.4 s.
const RTT_SHIFT: u32 = 7;

/// A point in time in four bytes, 66 ms early at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Stamp(NonZeroU32);

impl Stamp {
    pub(crate) fn of(at: Instant) -> Self {
        let units = u32::try_from(at.as_micros() >> STAMP_SHIFT).unwrap_or(u32::MAX);
        Stamp(NonZeroU32::MIN.saturating_add(units))
    }

    pub(crate) fn instant(self) -> Instant {
        Instant::from_micros(u64::from(self.0.get() - 1) << STAMP_SHIFT)
    }
}

/// A round-trip time in two bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rtt(NonZeroU16);

impl Rtt {
    fn of(time: Duration) -> Self {
        let units = u16::try_from(time.as_micros() >> RTT_SHIFT).unwrap_or(u16::MAX);
        Rtt(NonZeroU16::MIN.saturating_add(units))
    }

    fn duration(self) -> Duration {
        Duration::from_micros(u64::from(self.0.get() - 1) << RTT_SHIFT)
    }
}

/// What passed between a node and us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History {
    last_reply: Option<Stamp>,
    last_query: Option<Stamp>,
    last_asked: Option<Stamp>,
    srtt: Option<Rtt>,
    /// Queries it left unanswered since its last answer.
    pub(crate) fails: u8,
    standing: Standing,
}

/// Whether a node's id follows from its address (BEP 42), and whether it should be asked before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Compliant,
    Plain,
    DoubtedCompliant,
    DoubtedPlain,
}

impl History {
    pub(crate) fn new(is_compliant: bool) -> Self {
        let standing = if is_compliant { Standing::Compliant } else { Standing::Plain };
        History { last_reply: None, last_query: None, last_asked: None, srtt: None, fails: 0, standing }
    }

    pub(crate) fn replied(&mut self, rtt: Duration, now: Instant) {
        let smoothed = self.srtt().map_or(rtt, |srtt| (srtt * 7 + rtt) / 8);
        self.srtt = Some(Rtt::of(smoothed));
        self.last_reply = self.last_reply.max(Some(Stamp::of(now)));
        self.fails = 0;
        self.standing = if self.is_compliant() { Standing::Compliant } else { Standing::Plain };
    }

    pub(crate) fn queried(&mut self, now: Instant) {
        self.last_query = Some(Stamp::of(now));
    }

    pub(crate) fn was_asked(&mut self, now: Instant) {
        self.last_asked = Some(Stamp::of(now));
    }

    /// Lets the node be pinged before its answer grows old.
    pub(crate) fn doubt(&mut self) {
        self.standing = if self.is_compliant() { Standing::DoubtedCompliant } else { Standing::DoubtedPlain };
    }

    //= BEP 42: an id follows from the address of its node
    pub(crate) fn is_compliant(&self) -> bool {
        matches!(self.standing, Standing::Compliant | Standing::DoubtedCompliant)
    }

    pub(crate) fn has_replied(&self) -> bool {
        self.last_reply.is_some()
    }

    /// Smoothed round-trip time.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.srtt.map(Rtt::duration)
    }

    pub(crate) fn last_reply(&self) -> Option<Instant> {
        self.last_reply.map(Stamp::instant)
    }

    pub(crate) fn last_asked(&self) -> Option<Stamp> {
        self.last_asked
    }

    /// Whether the node answered us lately; only such nodes are told to others.
    pub(crate) fn is_servable(&self, now: Instant) -> bool {
        self.fails == 0 && is_fresh(self.last_reply, now)
    }

    //= BEP 5: good answered within 15 minutes, or ever answered and queried us within 15 minutes
    /// Whether the node is good.
    pub(crate) fn is_good(&self, now: Instant) -> bool {
        self.fails == 0
            && (is_fresh(self.last_reply, now) || (self.has_replied() && is_fresh(self.last_query, now)))
    }

    /// When the node should be pinged if nothing is heard of it.
    pub(crate) fn next_ping(&self) -> Instant {
        let is_doubted = matches!(self.standing, Standing::DoubtedCompliant | Standing::DoubtedPlain);
        let old = self
            .last_reply
            .filter(|_| self.fails == 0 && !is_doubted)
            .map_or(Instant::ZERO, |at| at.instant() + PING_AFTER);
        self.last_asked.map_or(old, |at| old.max(at.instant() + RETRY_AFTER))
    }

    /// When [`Self::is_servable`] ceases to hold if nothing is heard of the node.
    pub(crate) fn servable_until(&self) -> Instant {
        self.last_reply.filter(|_| self.fails == 0).map_or(Instant::ZERO, |at| at.instant() + GOOD_FOR)
    }
}

fn is_fresh(stamp: Option<Stamp>, now: Instant) -> bool {
    stamp.is_some_and(|at| now.since(at.instant()) < GOOD_FOR)
}

/// A node and what we know of it, unpacked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) node: NodeInfo,
    pub(crate) history: History,
}

impl Entry {
    /// Whether the node answered us lately; only such nodes are told to others.
    pub(crate) fn is_servable(&self, now: Instant) -> bool {
        self.history.is_servable(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= S54
    #[test]
    fn a_node_silent_for_fifteen_minutes_is_questionable_and_pinged_before() {
        let mut e = History::new(true);
        assert!(!e.is_good(Instant::ZERO));
        e.replied(Duration::from_millis(80), Instant::ZERO);
        let at = |minutes: u64| Instant::ZERO + Duration::from_secs(minutes * 60);
        assert!(e.is_good(at(14)) && !e.is_good(at(15)));
        assert_eq!((e.next_ping(), e.servable_until()), (at(13), at(15)));
        e.queried(at(14));
        assert!(e.is_good(at(28)) && !e.is_servable(at(28)));
        e.fails = 1;
        assert!(!e.is_good(at(1)));
    }

    #[test]
    fn a_doubted_node_is_pinged_at_once_and_told_on_meanwhile() {
        let mut e = History::new(false);
        e.replied(Duration::from_millis(80), Instant::ZERO);
        e.doubt();
        assert!(e.next_ping() == Instant::ZERO && e.is_servable(Instant::ZERO) && !e.is_compliant());
        e.replied(Duration::from_millis(80), Instant::ZERO);
        assert_eq!(e.next_ping(), Instant::ZERO + PING_AFTER);
    }

    #[test]
    fn packed_times_are_early_by_less_than_their_unit_and_never_wrap() {
        for us in [0, 1, 65_535, 65_536, 123_456_789_012, (1 << 47) + 12_345] {
            let at = Stamp::of(Instant::from_micros(us)).instant().as_micros();
            assert!(at <= us && us - at < 65_536, "{us}");
        }
        assert!(Stamp::of(Instant::from_micros(u64::MAX)).instant() > Instant::from_micros(1 << 47));
        for us in [0, 127, 128, 80_000, 8_000_000] {
            let rtt = Rtt::of(Duration::from_micros(us)).duration();
            assert!(Duration::from_micros(us) - rtt < Duration::from_micros(128), "{us}");
        }
        assert!(Rtt::of(Duration::MAX).duration() > Duration::from_secs(8));
    }
}
