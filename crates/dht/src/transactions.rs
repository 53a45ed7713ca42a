//! Queries that wait for an answer.
//!
//! An answer counts only from the endpoint that was asked and under the transaction id it was asked by. A query first
//! becomes slow, which lets others go ahead of it, and only later dead; an answer in between still counts.

use core::net::SocketAddr;
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use unchoke_wire::WireHash;
use unchoke_wire::krpc::NodeId;
use unchoke_wire::time::{Duration, Instant};

/// When an unanswered query is dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Time until slow, for a node of unknown round-trip time.
const SLOW_UNKNOWN: Duration = Duration::from_millis(300);
/// Bounds of the time until slow.
const SLOW_MIN: Duration = Duration::from_millis(250);
const SLOW_MAX: Duration = Duration::from_secs(1);
/// Queries waiting at once.
const PENDING_MAX: usize = 2048;

/// Names a lookup while it runs.
pub(crate) type LookupId = u64;

/// Why a query was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// To see whether a node of the table, or a candidate for it, answers.
    Ping,
    /// The shell asked.
    Command,
    /// First contact: to verify an endpoint and learn the nodes around us.
    Contact,
    Lookup(LookupId),
    Announce(WireHash),
}

#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) to: SocketAddr,
    /// Who should answer, if that is known.
    pub(crate) id: Option<NodeId>,
    pub(crate) sent: Instant,
    pub(crate) purpose: Purpose,
    pub(crate) is_slow: bool,
}

/// What became of a query without an answer.
#[derive(Debug)]
pub(crate) enum Silent {
    /// Late; it may yet be answered.
    Slow(Pending),
    /// Given up.
    Dead(Pending),
}

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Each with its next deadline.
    pending: BTreeMap<u32, (Pending, Instant)>,
    deadlines: BTreeSet<(Instant, u32)>,
}

impl Transactions {
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// Registers a query and hands out its transaction id, which cannot be guessed.
    pub(crate) fn begin(&mut self, pending: Pending, srtt: Option<Duration>, rng: &mut impl Rng) -> u32 {
        let mut tid = rng.random();
        while self.pending.contains_key(&tid) {
            tid = rng.random();
        }
        let slow_after = srtt.map_or(SLOW_UNKNOWN, |srtt| (srtt * 2).clamp(SLOW_MIN, SLOW_MAX));
        let deadline = pending.sent + slow_after;
        self.deadlines.insert((deadline, tid));
        self.pending.insert(tid, (pending, deadline));
        tid
    }

    /// The query that an answer with this transaction id from this endpoint ends.
    pub(crate) fn finish(&mut self, transaction: &[u8], from: SocketAddr) -> Option<Pending> {
        let tid = transaction.try_into().map(u32::from_be_bytes).ok()?;
        self.pending.get(&tid).filter(|(p, _)| p.to == from)?;
        self.remove(tid)
    }

    /// The next query whose time came; call until `None`.
    pub(crate) fn pop_silent(&mut self, now: Instant) -> Option<Silent> {
        let (_, tid) = self.deadlines.first().copied().filter(|(at, _)| *at <= now)?;
        self.deadlines.pop_first();
        let (pending, deadline) = self.pending.get_mut(&tid).expect("a deadline is removed with its query");
        if pending.is_slow {
            return self.pending.remove(&tid).map(|(p, _)| Silent::Dead(p));
        }
        pending.is_slow = true;
        *deadline = pending.sent + DEAD_AFTER;
        self.deadlines.insert((*deadline, tid));
        Some(Silent::Slow(pending.clone()))
    }

    /// Ends every query to `addr` and hands them out.
    pub(crate) fn abort(&mut self, addr: &SocketAddr) -> Vec<Pending> {
        let tids: Vec<u32> =
            self.pending.iter().filter(|(_, (p, _))| p.to == *addr).map(|(tid, _)| *tid).collect();
        tids.into_iter().filter_map(|tid| self.remove(tid)).collect()
    }

    /// Whether a query to `addr` waits and is not slow yet.
    pub(crate) fn is_asking(&self, addr: &SocketAddr) -> bool {
        self.pending.values().any(|(p, _)| p.to == *addr && !p.is_slow)
    }

    /// First contacts that are not slow yet.
    pub(crate) fn contacts_in_flight(&self) -> usize {
        self.pending.values().filter(|(p, _)| p.purpose == Purpose::Contact && !p.is_slow).count()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, tid: u32) -> Option<Pending> {
        let (pending, deadline) = self.pending.remove(&tid)?;
        self.deadlines.remove(&(deadline, tid));
        Some(pending)
    }
}
