//! What is kept of a run for who wants to look at it afterwards, even when the run failed and its world is gone.
//!
//! Scenarios make their worlds themselves, so a watch is of the thread: every world made while it is on keeps its log
//! and leaves it here when it is dropped. A run does not see whether it is watched, and goes the same way.

use crate::fault::FaultPlan;
use crate::log::Log;
use core::net::IpAddr;
use std::cell::RefCell;
use unchoke_wire::time::Instant;

/// What a world left.
#[derive(Clone, Debug)]
pub struct Recording {
    /// All that happened.
    pub log: Log,
    /// The addresses of each host, the present ones last.
    pub hosts: Vec<Vec<IpAddr>>,
    /// What went wrong by plan.
    pub plan: FaultPlan,
    /// When the plan began.
    pub planned_at: Instant,
    /// When the world ended.
    pub end: Instant,
}

#[derive(Debug, Default)]
struct Watch {
    keeps_logs: bool,
    plan: FaultPlan,
    recordings: Vec<Recording>,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// What was seen of a run.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What went wrong by plan, faults that were left out too; of the last world that had a plan.
    pub plan: FaultPlan,
    /// What its worlds left, when that was wanted.
    pub recordings: Vec<Recording>,
}

/// Watches a run. With `keeps_logs` its worlds are kept, otherwise only the plan is.
pub fn watch<T>(keeps_logs: bool, run: impl FnOnce() -> T) -> (T, Seen) {
    let before = WATCH.replace(Some(Watch { keeps_logs, ..Watch::default() }));
    let result = run();
    let watch = WATCH.replace(before).unwrap_or_default();
    (result, Seen { plan: watch.plan, recordings: watch.recordings })
}

/// Whether worlds are to keep their logs.
pub(crate) fn keeps_logs() -> bool {
    WATCH.with_borrow(|w| w.as_ref().is_some_and(|w| w.keeps_logs))
}

/// Notes a plan before any of it is left out.
pub(crate) fn planned(plan: &FaultPlan) {
    WATCH.with_borrow_mut(|w| {
        if let Some(w) = w {
            w.plan = plan.clone();
        }
    });
}

/// Takes what a world left.
pub(crate) fn leave(recording: impl FnOnce() -> Recording) {
    WATCH.with_borrow_mut(|w| {
        if let Some(w) = w.as_mut().filter(|w| w.keeps_logs) {
            w.recordings.push(recording());
        }
    });
}
