//! What must hold at every step of every run. Each checker is a file; [`Checkers`] keeps what they need to know, as
//! seen from outside: the messages that passed, never the engine's own books.

mod blame;
mod claims;
mod greeting;
mod interest;
mod rates;
mod requests;
mod slots;
mod timers;
mod view;
mod waste;

use crate::host::{HostId, Machine};
use crate::swarm::Content;
use core::net::IpAddr;
use rates::Bucket;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use timers::Spin;
use unchoke_engine::output::{Trace, TraceMessage};
use unchoke_engine::{ConnId, Event, Settings, TorrentId};
use unchoke_wire::message::{Message, parse_piece_header};
use unchoke_wire::time::Instant;
use unchoke_wire::{Bitfield, PieceIndex};
use view::HostView;
pub use waste::Waste;

/// Violations of one checker that are told; more are only counted.
const TOLD_MAX: usize = 3;

/// Something a host did or was told, in order.
#[derive(Debug)]
pub enum Sight<'a> {
    /// A turn of its engine begins.
    Turn {
        /// Whether by its timer.
        is_timeout: bool,
    },
    /// The turn is over.
    TurnEnd,
    /// A peer message was sent or received.
    Message(&'a Trace),
    /// The engine told something.
    Event(&'a Event),
    /// A torrent's storage was opened.
    Loaded {
        /// The torrent.
        torrent: TorrentId,
        /// The truth.
        content: &'a Rc<Content>,
        /// What is there.
        have: &'a Bitfield,
        /// What is wanted; all when `None`.
        wanted: Option<&'a Bitfield>,
    },
    /// Other pieces are wanted from now on.
    Wanted {
        /// The torrent.
        torrent: TorrentId,
        /// Bit per piece.
        wanted: &'a Bitfield,
    },
    /// The disk acknowledged a piece.
    Acknowledged {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: PieceIndex,
        /// Whether what is stored is the truth.
        is_true: bool,
    },
    /// A connection is gone.
    Closed(ConnId),
}

/// Everything that is watched.
#[derive(Debug, Default)]
pub struct Checkers {
    hosts: Vec<HostView>,
    spins: BTreeMap<(HostId, Machine), Spin>,
    upload: BTreeMap<HostId, Bucket>,
    dishonest: BTreeSet<IpAddr>,
    violations: BTreeMap<&'static str, (usize, Vec<String>)>,
}

impl Checkers {
    /// A host joins the world.
    pub(crate) fn add_host(&mut self, settings: &Settings) {
        let host = HostId(self.hosts.len());
        self.hosts.push(HostView::new(settings.upload_slots));
        self.set_upload_limit(host, settings.upload_limit, Instant::ZERO);
    }

    /// A host begins anew: nothing of its connections and torrents is left.
    pub(crate) fn restart(&mut self, host: HostId, settings: &Settings, now: Instant) {
        self.hosts[host.0].restart(settings.upload_slots);
        self.spins.retain(|(h, _), _| *h != host);
        self.set_upload_limit(host, settings.upload_limit, now);
    }

    /// A host has another address: what it did wrong at the old one is its own still.
    pub(crate) fn moved(&mut self, from: IpAddr, to: IpAddr) {
        if self.dishonest.contains(&from) {
            self.dishonest.insert(to);
        }
    }

    /// A host sends no more than this from now on.
    pub(crate) fn set_upload_limit(&mut self, host: HostId, limit: Option<u64>, now: Instant) {
        match limit {
            Some(rate) => self.upload.insert(host, Bucket::new(rate, now)),
            None => self.upload.remove(&host),
        };
    }

    /// Whoever is at this address may be banned.
    pub(crate) fn set_dishonest(&mut self, ip: IpAddr) {
        self.dishonest.insert(ip);
    }

    /// A machine was woken.
    pub(crate) fn timer(&mut self, host: HostId, machine: Machine, is_past: bool, now: Instant) {
        let spin = self.spins.entry((host, machine)).or_default();
        if let Err(what) = spin.woken(is_past, now) {
            self.violate("timers", format!("host {} {machine:?}: {what}", host.0));
        }
    }

    /// Takes in what a host did.
    pub(crate) fn see(&mut self, host: HostId, sight: &Sight<'_>, now: Instant) {
        match sight {
            Sight::Message(trace) => self.message(host, trace, now),
            Sight::Event(Event::PeerBanned { remote, .. }) => {
                let wrong = blame::check(&self.dishonest, remote.ip());
                self.judge("blame", host, now, wrong);
            }
            Sight::Event(Event::PieceDone { torrent, piece }) => {
                let wrong = claims::done(&self.hosts[host.0], *torrent, *piece);
                self.judge("claims", host, now, wrong);
                self.hosts[host.0].piece_done(*torrent, *piece);
            }
            Sight::Acknowledged { torrent, piece, is_true } => {
                let wrong = (!is_true).then(|| format!("piece {} is stored wrong", piece.0));
                self.judge("claims", host, now, wrong);
                self.hosts[host.0].stored(*torrent, *piece);
            }
            Sight::TurnEnd => {
                let wrong = interest::check(&mut self.hosts[host.0]);
                self.judge("interest", host, now, wrong);
                let wrong = slots::check(&self.hosts[host.0]);
                self.judge("slots", host, now, wrong);
            }
            Sight::Loaded { torrent, content, have, wanted } => {
                self.hosts[host.0].loaded(*torrent, content, have, *wanted);
            }
            Sight::Wanted { torrent, wanted } => self.hosts[host.0].wants(*torrent, wanted),
            Sight::Closed(conn) => self.hosts[host.0].closed(*conn),
            Sight::Turn { .. } | Sight::Event(_) => {}
        }
    }

    fn message(&mut self, host: HostId, trace: &Trace, now: Instant) {
        let TraceMessage::Message(bytes) = &trace.message else {
            self.hosts[host.0].handshake(trace);
            return;
        };
        if let Ok(Some(block)) = parse_piece_header(bytes) {
            if trace.is_sent
                && let Some(bucket) = self.upload.get_mut(&host)
            {
                let wrong = bucket.sent(block.len, now);
                self.judge("rates", host, now, wrong);
            }
            self.hosts[host.0].block(trace, block);
            return;
        }
        let Ok(Some((message, _))) = Message::parse(bytes) else {
            self.violate("greeting", format!("host {}: an unreadable message was traced", host.0));
            return;
        };
        let h = &self.hosts[host.0];
        if trace.is_sent {
            let wrongs = [
                ("greeting", greeting::check(h, trace, &message)),
                ("claims", claims::told(h, trace, &message)),
                ("requests", requests::check(h, trace, &message)),
            ];
            wrongs.into_iter().for_each(|(name, wrong)| self.judge(name, host, now, wrong));
        }
        self.hosts[host.0].message(trace, &message);
    }

    fn judge(&mut self, checker: &'static str, host: HostId, now: Instant, wrong: Option<String>) {
        if let Some(wrong) = wrong {
            self.violate(checker, format!("{now:?} host {}: {wrong}", host.0));
        }
    }

    /// Notes a violation.
    pub(crate) fn violate(&mut self, checker: &'static str, what: String) {
        let (count, told) = self.violations.entry(checker).or_default();
        *count += 1;
        if told.len() < TOLD_MAX {
            told.push(what);
        }
    }

    /// How many block bytes a host received that were of no use.
    pub fn waste(&self, host: HostId) -> Waste {
        self.hosts[host.0].waste
    }

    /// What was wrong so far.
    ///
    /// # Errors
    /// The first violations of each checker.
    pub fn verdict(&self) -> Result<(), String> {
        if self.violations.is_empty() {
            return Ok(());
        }
        let lines = self.violations.iter().map(|(name, (count, told))| {
            format!("checker `{name}`: {count} violations, such as\n  {}", told.join("\n  "))
        });
        Err(lines.collect::<Vec<_>>().join("\n"))
    }
}
