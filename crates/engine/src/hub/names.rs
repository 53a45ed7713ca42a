//! Names of DHT nodes and routers: which to resolve, and when to try again.
//!
//! A name that cannot be resolved is tried again after pauses that double. A node's name is forgotten once it is
//! resolved, and given up after some tries in vain; a router's is kept, as it is all that is left when everybody else
//! is gone. Nobody is resolved while enough nodes are known.

use crate::id::RequestId;
use unchoke_wire::HostPort;
use unchoke_wire::time::{Duration, Instant};

/// Names kept at once; more are left out.
const NAMES_MAX: usize = 256;
/// Pause after the first try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a request may take before the name may be tried anew.
const PATIENCE: Duration = Duration::from_secs(2 * 60);
/// Tries after which a node's name is given up.
const TRIES_MAX: u32 = 8;

#[derive(Debug)]
struct Name {
    host: HostPort,
    is_router: bool,
    /// The request under way.
    asked: Option<RequestId>,
    due: Instant,
    tries: u32,
}

/// The names.
#[derive(Debug, Default)]
pub struct Names {
    names: Vec<Name>,
    last_request: u64,
}

/// What a resolved name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The port that goes with each address.
    pub port: u16,
    /// Whether it is a router's.
    pub is_router: bool,
}

impl Names {
    /// Takes a name that is to be resolved at `due`. One that is known already is left as it is.
    pub fn add(&mut self, host: HostPort, is_router: bool, due: Instant) {
        if self.names.len() < NAMES_MAX && !self.names.iter().any(|n| n.host == host) {
            self.names.push(Name { host, is_router, asked: None, due, tries: 0 });
        }
    }

    /// The names to resolve at `now`, and under which request. While nobody `is_needed` they are put off.
    pub fn take_due(&mut self, is_needed: bool, now: Instant) -> Vec<(RequestId, String)> {
        let mut due = Vec::new();
        for name in self.names.iter_mut().filter(|n| n.due <= now) {
            if !is_needed {
                name.due = now + PAUSE_MAX;
                continue;
            }
            self.last_request += 1;
            let request = RequestId(self.last_request);
            name.asked = Some(request);
            name.due = now + PATIENCE.max(pause(name.tries));
            name.tries += 1;
            due.push((request, name.host.host().to_owned()));
        }
        due
    }

    /// Takes the answer to a request; what the addresses are for, if it is still of interest.
    pub fn resolved(&mut self, request: RequestId, is_found: bool, now: Instant) -> Option<Wanted> {
        let at = self.names.iter().position(|n| n.asked == Some(request))?;
        let name = &mut self.names[at];
        name.asked = None;
        name.due = now + if is_found { PAUSE_MAX } else { pause(name.tries - 1) };
        let wanted = Wanted { port: name.host.port(), is_router: name.is_router };
        if !name.is_router && (is_found || name.tries >= TRIES_MAX) {
            self.names.remove(at);
        }
        Some(wanted)
    }

    /// When a name is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.names.iter().map(|n| n.due).min()
    }
}

fn pause(tries: u32) -> Duration {
    (FIRST_PAUSE * (1 << tries.min(10))).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> HostPort {
        HostPort::new(&format!("node{n}.example"), 6881).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_name_that_fails_is_tried_again_after_pauses_that_double() {
        let mut names = Names::default();
        names.add(name(1), true, Instant::ZERO);
        let (mut now, mut pauses) = (Instant::ZERO, Vec::new());
        for _ in 0..10 {
            let due = names.take_due(true, now);
            assert_eq!(due.len(), 1);
            assert!(names.take_due(true, now).is_empty(), "one request at a time");
            assert!(names.resolved(due[0].0, false, now).is_some());
            let next = names.next_timeout().unwrap();
            pauses.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
    }

    #[test]
    fn a_nodes_name_goes_when_it_is_resolved_or_hopeless_and_a_routers_stays() {
        let mut names = Names::default();
        names.add(name(1), false, Instant::ZERO);
        names.add(name(2), true, Instant::ZERO);
        let due = names.take_due(true, Instant::ZERO);
        for (request, _) in due {
            assert!(names.resolved(request, true, Instant::ZERO).is_some());
            assert_eq!(names.resolved(request, true, Instant::ZERO), None, "an answer counts once");
        }
        assert_eq!(names.names.len(), 1);
        names.add(name(3), false, Instant::ZERO);
        let mut tries = 0;
        while names.names.len() > 1 {
            let now = names.next_timeout().unwrap();
            for (request, host) in names.take_due(true, now) {
                tries += u32::from(host == "node3.example");
                names.resolved(request, false, now);
            }
        }
        assert_eq!((tries, names.names[0].is_router), (TRIES_MAX, true));
    }

    #[test]
    fn no_name_is_resolved_while_enough_nodes_are_known() {
        let mut names = Names::default();
        names.add(name(1), true, at(3));
        assert!(names.take_due(true, at(2)).is_empty());
        assert!(names.take_due(false, at(3)).is_empty());
        assert_eq!(names.next_timeout(), Some(at(3) + PAUSE_MAX));
        assert_eq!(names.take_due(true, at(3) + PAUSE_MAX).len(), 1);
    }

    #[test]
    fn a_resolver_that_never_answers_is_asked_again() {
        let mut names = Names::default();
        names.add(name(1), true, Instant::ZERO);
        let first = names.take_due(true, Instant::ZERO)[0].0;
        let again = names.next_timeout().unwrap();
        assert_eq!(again, Instant::ZERO + PATIENCE);
        let second = names.take_due(true, again)[0].0;
        assert_eq!(names.resolved(first, true, again), None);
        assert!(names.resolved(second, true, again).is_some());
    }

    #[test]
    fn name_257_is_left_out_and_a_name_is_kept_once() {
        let mut names = Names::default();
        (0..NAMES_MAX + 9).for_each(|n| names.add(name(n), false, Instant::ZERO));
        assert_eq!(names.names.len(), NAMES_MAX);
        let mut names = Names::default();
        (0..9).for_each(|_| names.add(name(1), false, Instant::ZERO));
        assert_eq!(names.names.len(), 1);
    }
}
