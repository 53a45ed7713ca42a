//! Our requests to one peer: which are out, how many should be, and when the peer is too slow.

use std::collections::VecDeque;
use unchoke_wire::time::{Duration, Instant};
use unchoke_wire::{BLOCK_LEN, BlockRef};

/// Requests to a peer that has not shown its speed.
const DEPTH_START: u32 = 4;
/// Requests to one peer at most: 32 MiB in flight, enough for 1 Gbit/s at 250 ms.
const DEPTH_MAX: u32 = 2000;
/// What a peer takes at a time when it does not say (BEP 10 `reqq`): libtorrent's default.
const REQQ_DEFAULT: u32 = 250;
/// Time in flight to keep beyond two round trips. Some peers serve in pulses of half a second, whatever the shortest
/// round trip was; less than that would settle at the rate of a few blocks a pulse.
const FLIGHT_SLACK: Duration = Duration::from_millis(600);
/// The same for a peer that serves without pauses and fast: what is asked for beyond that only waits, and by the time
/// it is read no cache holds it any more.
const STEADY_SLACK: Duration = Duration::from_millis(1);
/// Requests kept out to such a peer at least, if [`FLIGHT_SLACK`] demands as many: two plans of ours.
const STEADY_DEPTH: u64 = 32;
/// A pause between two blocks that makes a peer one that serves in pulses.
const PULSE: Duration = Duration::from_millis(50);
/// For how long.
const PULSE_MEMORY: Duration = Duration::from_secs(8);
/// A request is given up after this, whatever was measured.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// And never before this.
const TIMEOUT_MIN: Duration = Duration::from_secs(2);
/// With no block measured yet.
const TIMEOUT_UNKNOWN: Duration = Duration::from_secs(20);
/// Given-up requests that may still be answered, kept to tell a late block from an unasked one.
const LATE_MAX: usize = 2 * DEPTH_MAX as usize;

/// Bytes of memory of one request that is out.
pub const REQUEST_LEN: usize = size_of::<Outstanding>();
/// Bytes of memory of all requests to one peer at most: the lists grow by doubling.
pub const REQUESTS_LEN_MAX: usize =
    (DEPTH_MAX as usize * size_of::<Outstanding>() + LATE_MAX * size_of::<BlockRef>()) * 2;

/// A request that is out.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    block: BlockRef,
    sent: Instant,
}

/// What a block that arrived was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Asked for.
    Asked,
    /// Asked for once and given up since.
    Late,
    /// Never asked for.
    Unasked,
}

/// Our requests to one peer.
#[derive(Clone, Debug)]
pub struct Requests {
    out: VecDeque<Outstanding>,
    late: VecDeque<BlockRef>,
    depth: u32,
    reqq: u32,
    is_slow_start: bool,
    last_rate: u64,
    /// Least time from a request to its block over the connection's life.
    round_trip: Option<Duration>,
    /// Mean time between a block and the one before it (or its request, if later), and the mean deviation.
    block_time: Option<(Duration, Duration)>,
    last_block: Option<Instant>,
    /// Until when the peer counts as one that serves in pulses.
    pulses_until: Instant,
    is_snubbing: bool,
    /// It refused a request though it does not choke us: it is asked for nothing more until the next second.
    is_resting: bool,
}

impl Default for Requests {
    fn default() -> Self {
        Requests {
            out: VecDeque::new(),
            late: VecDeque::new(),
            depth: DEPTH_START,
            reqq: REQQ_DEFAULT,
            is_slow_start: true,
            last_rate: 0,
            round_trip: None,
            block_time: None,
            last_block: None,
            pulses_until: Instant::ZERO,
            is_snubbing: false,
            is_resting: false,
        }
    }
}

impl Requests {
    /// How many requests are out.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether none is out.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// How many more should go out: all the pipe holds, once half of it is free so that they leave in batches.
    pub fn room(&self) -> usize {
        if self.is_resting {
            return 0;
        }
        let depth = if self.is_snubbing { 1 } else { self.depth.min(self.reqq).max(1) } as usize;
        let free = depth.saturating_sub(self.out.len());
        if free * 4 >= depth || self.out.len() < DEPTH_START as usize { free } else { 0 }
    }

    /// Takes the peer's `reqq`.
    pub fn set_reqq(&mut self, reqq: u32) {
        self.reqq = reqq.clamp(1, DEPTH_MAX);
    }

    /// Whether the peer let a request time out and has not delivered since.
    pub fn is_snubbing(&self) -> bool {
        self.is_snubbing
    }

    /// Notes that a request was sent.
    pub fn sent(&mut self, block: BlockRef, now: Instant) {
        self.out.push_back(Outstanding { block, sent: now });
    }

    /// Whether a block of this place would be an answer.
    pub fn expects(&self, block: BlockRef) -> Answer {
        if self.out.iter().any(|o| o.block == block) {
            Answer::Asked
        } else if self.late.contains(&block) {
            Answer::Late
        } else {
            Answer::Unasked
        }
    }

    /// Notes a whole block that arrived.
    pub fn received(&mut self, block: BlockRef, now: Instant) -> Answer {
        if let Some(at) = self.out.iter().position(|o| o.block == block) {
            let o = self.out.remove(at).expect("position is in range");
            self.measure(o, now);
            self.is_snubbing = false;
            return Answer::Asked;
        }
        match self.late.iter().position(|b| *b == block) {
            Some(at) => {
                self.late.remove(at);
                self.last_block = Some(now);
                self.is_snubbing = false;
                Answer::Late
            }
            None => Answer::Unasked,
        }
    }

    fn measure(&mut self, o: Outstanding, now: Instant) {
        let whole = now.since(o.sent);
        let round_trip = self.round_trip.map_or(whole, |r| r.min(whole));
        self.round_trip = Some(round_trip);
        let gap = now.since(self.last_block.unwrap_or(o.sent).max(o.sent));
        self.block_time = Some(match self.block_time {
            None => (gap, gap / 5),
            Some((mean, dev)) => {
                let off = gap.abs_diff(mean);
                ((mean * 7 + gap) / 8, (dev * 3 + off) / 4)
            }
        });
        self.last_block = Some(now);
        if gap >= PULSE {
            self.pulses_until = now + PULSE_MEMORY;
        }
        // a block that waited longer than that says that more would only wait as well
        if self.is_slow_start && whole <= round_trip * 2 + STEADY_SLACK {
            self.depth = (self.depth + 1).min(DEPTH_MAX);
        }
    }

    /// Asks nothing more before the next [`adapt`](Self::adapt), so that a peer that refuses whatever it is asked is
    /// not asked as fast as it refuses.
    pub fn rest(&mut self) {
        self.is_resting = true;
    }

    /// Called once a second. Sets the depth from the rate of the last second: two round trips and a slack of it in flight.
    pub fn adapt(&mut self, rate: u64, now: Instant) {
        // the pipe is full when a second brought no tenth more than the one before
        if self.is_slow_start && self.last_rate > 0 && rate < self.last_rate + self.last_rate / 10 {
            self.is_slow_start = false;
        }
        self.last_rate = rate;
        self.is_resting = false;
        let trips = self.round_trip.unwrap_or_default() * 2;
        let blocks = |flight: Duration| {
            let bytes =
                rate.saturating_mul(u64::try_from(flight.as_micros()).unwrap_or(u64::MAX)) / 1_000_000;
            bytes / u64::from(BLOCK_LEN)
        };
        let most = blocks(trips + FLIGHT_SLACK);
        let is_steady = now >= self.pulses_until;
        let wanted = if is_steady { blocks(trips + STEADY_SLACK).max(STEADY_DEPTH).min(most) } else { most };
        let target = u32::try_from(wanted).unwrap_or(DEPTH_MAX).min(DEPTH_MAX) + DEPTH_START;
        if !self.is_slow_start {
            self.depth = target.clamp(DEPTH_START, DEPTH_MAX);
        } else {
            self.depth = self.depth.max(target.min(DEPTH_MAX));
        }
    }

    /// When the oldest request is too old, if nothing arrives.
    pub fn deadline(&self) -> Option<Instant> {
        let oldest = self.out.front()?;
        Some(oldest.sent.max(self.last_block.unwrap_or(oldest.sent)) + self.timeout())
    }

    fn timeout(&self) -> Duration {
        match self.block_time {
            None => TIMEOUT_UNKNOWN,
            Some((mean, dev)) => {
                (mean + dev * 4 + self.round_trip.unwrap_or_default() * 2).clamp(TIMEOUT_MIN, TIMEOUT_MAX)
            }
        }
    }

    /// Gives up all requests: the peer snubs us.
    pub fn snub(&mut self) -> Vec<BlockRef> {
        self.is_snubbing = true;
        self.is_slow_start = false;
        self.depth = DEPTH_START;
        self.give_up_all()
    }

    /// Gives up all requests; their blocks may still come.
    pub fn give_up_all(&mut self) -> Vec<BlockRef> {
        let blocks: Vec<BlockRef> = self.out.drain(..).map(|o| o.block).collect();
        for block in &blocks {
            self.push_late(*block);
        }
        blocks
    }

    fn push_late(&mut self, block: BlockRef) {
        if self.late.len() >= LATE_MAX {
            self.late.pop_front();
        }
        self.late.push_back(block);
    }

    /// Gives up one request, if it is out; its block may still come.
    pub fn give_up(&mut self, block: BlockRef) -> bool {
        let known = self.out.iter().position(|o| o.block == block);
        if let Some(at) = known {
            self.out.remove(at);
            self.push_late(block);
        }
        known.is_some()
    }

    /// Takes a reject: the request is gone for good. `Late` when it was given up before.
    pub fn rejected(&mut self, block: BlockRef) -> Answer {
        if let Some(at) = self.out.iter().position(|o| o.block == block) {
            self.out.remove(at);
            return Answer::Asked;
        }
        match self.late.iter().position(|b| *b == block) {
            Some(at) => {
                self.late.remove(at);
                Answer::Late
            }
            None => Answer::Unasked,
        }
    }

    /// The blocks that are out, oldest first.
    pub fn blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        self.out.iter().map(|o| o.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::PieceIndex;

    fn block(i: u32) -> BlockRef {
        BlockRef { piece: PieceIndex(i / 64), begin: i % 64 * BLOCK_LEN, len: BLOCK_LEN }
    }

    /// Plays a link of this round trip and rate, and answers the requests in flight at the end.
    fn run(rtt_ms: u64, blocks_per_s: u64, seconds: u64) -> Requests {
        let mut r = Requests::default();
        r.set_reqq(DEPTH_MAX);
        let (mut now, mut next, mut got) = (Instant::ZERO, 0u32, 0u64);
        let mut due: VecDeque<(Instant, BlockRef)> = VecDeque::new();
        let gap = Duration::from_micros(1_000_000 / blocks_per_s);
        let mut line_free = now;
        for tick in 0..seconds * 1000 {
            now = Instant::from_micros(tick * 1000);
            while due.front().is_some_and(|(at, _)| *at <= now) {
                let (_, b) = due.pop_front().unwrap();
                assert_eq!(r.received(b, now), Answer::Asked);
                got += u64::from(BLOCK_LEN);
            }
            if tick % 1000 == 999 {
                r.adapt(got, now);
                got = 0;
            }
            for _ in 0..r.room() {
                r.sent(block(next), now);
                line_free = line_free.max(now + Duration::from_millis(rtt_ms)) + gap;
                due.push_back((line_free, block(next)));
                next += 1;
            }
        }
        r
    }

    //= S29
    #[test]
    fn the_pipe_fills_a_long_path_and_does_not_flood_a_slow_one() {
        let long = run(200, 2_000, 15);
        assert!(long.len() >= 400, "{} requests cover 200 ms at 2000 blocks a second", long.len());
        let slow = run(20, 4, 30);
        assert!(slow.len() <= 16, "{} requests to a peer of 4 blocks a second", slow.len());
    }

    #[test]
    fn a_near_peer_that_is_fast_is_asked_for_no_more_than_its_pipe_holds() {
        let near = run(1, 10_000, 10);
        assert!(
            (24..=80).contains(&near.len()),
            "{} requests cover 1 ms at 10,000 blocks a second",
            near.len()
        );
    }

    #[test]
    fn a_peer_that_serves_in_pulses_is_asked_for_more_each_time() {
        let mut r = Requests { is_slow_start: false, ..Requests::default() };
        let (mut next, mut now) = (0u32, Instant::ZERO);
        let mut served = 0u64;
        for pulse in 0..60u64 {
            (0..r.room()).for_each(|_| {
                r.sent(block(next), now);
                next += 1;
            });
            // the shortest round trip is of no time at all
            now = Instant::from_micros(pulse * 500_000 + u64::from(pulse > 0));
            let out: Vec<BlockRef> = r.blocks().collect();
            served = out.len() as u64;
            for b in out {
                assert_eq!(r.received(b, now), Answer::Asked);
            }
            if pulse % 2 == 1 {
                r.adapt(served * 2 * u64::from(BLOCK_LEN), now);
            }
        }
        assert!(served >= 200, "{served} blocks a pulse");
    }

    //= S20
    #[test]
    fn a_silent_peer_times_out_sooner_once_its_pace_is_known() {
        let mut r = Requests::default();
        r.sent(block(0), Instant::ZERO);
        assert_eq!(r.deadline(), Some(Instant::ZERO + TIMEOUT_UNKNOWN));
        let mut now = Instant::ZERO;
        for i in 0..50 {
            r.sent(block(i + 1), now);
            now = now + Duration::from_millis(100);
            r.received(block(i), now);
        }
        let wait = r.deadline().unwrap().since(now);
        assert!(wait >= TIMEOUT_MIN && wait < Duration::from_secs(4), "{wait:?}");
        assert_eq!(r.snub(), [block(50)]);
        assert!(r.is_snubbing() && r.room() == 1);
        assert_eq!(r.received(block(50), now), Answer::Late);
        assert!(!r.is_snubbing());
        assert_eq!(r.received(block(50), now), Answer::Unasked);
    }
}
