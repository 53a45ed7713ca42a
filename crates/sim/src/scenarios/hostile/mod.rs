//! Hostile peers: every row of the suite of `docs/hardening.md`, each in a world of its own beside an honest transfer
//! that must not suffer.
//!
//! A [`Row`] is data: who takes part ([`Actor`], whose [`Manner`] any driver of a
//! [`BadPeer`](crate::bad_peer::BadPeer) can play, on real sockets too) and what must become of each ([`Reaction`]).
//! Left out is what concerns parts that are not built: hole punching (63), v2 hashes (65, 66), encryption (67, 68),
//! TLS (69) and uTP (70 to 72).

mod blocks;
mod ends;
mod extended;
mod greetings;
mod messages;
mod requests;
mod stage;

pub use ends::ODD;

use super::{Played, Scenario, Setup};
use crate::bad_peer::{Manner, Seen};
use crate::marks::Mark;
use crate::swarm::Content;
use core::net::SocketAddr;
use core::ops::RangeInclusive;
use stage::Scene;
use unchoke_engine::Settings;
use unchoke_wire::time::Duration;
use unchoke_wire::{BlockRef, Extension, PieceIndex, Reserved};

/// The scenarios of this folder: one for each row, and one for what looks odd and is right.
pub(super) const SCENARIOS: &[Scenario] = &scenarios();

/// Every row, by what it is about.
pub const ROWS: &[&[Row]] =
    &[greetings::ROWS, messages::ROWS, requests::ROWS, blocks::ROWS, extended::ROWS, ends::ROWS];

/// Every row.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().copied().flatten()
}

/// Pieces of the torrent of every row: the last byte of the bitfield has two bits to spare.
pub const PIECES: u32 = 30;
/// Bytes of a piece.
pub const PIECE_LEN: u32 = 32 << 10;
/// Bytes of the torrent: the last piece is short.
pub const TORRENT_LEN: usize = PIECES as usize * PIECE_LEN as usize - 5_000;

/// What must become of a hostile peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// It stays connected.
    Stay,
    /// It is closed within this long, counted from the last byte it sent if it half-closed.
    Close(Duration),
    /// It is closed within this long, and gets no byte at all unless it was dialled.
    Silence(Duration),
    /// It stays and is answered before byte 49 of its handshake went out.
    AnsweredAt48,
    /// It is closed and its address banned: it dials again and gets no byte.
    Ban,
    /// It ends the connection itself.
    Leaves,
    /// It makes many connections; what becomes of them is for the row to judge.
    Many,
}

/// One hostile peer of a row, at an address of its own.
#[derive(Clone, Debug)]
pub struct Actor {
    /// What it does.
    pub manner: Manner,
    /// What must become of its first connection; of its last for [`Reaction::Ban`].
    pub reaction: Reaction,
    /// Messages it hears on its first connection, as their words begin, and how many of them.
    pub hears: Vec<(&'static str, RangeInclusive<usize>)>,
}

impl Actor {
    /// One that behaves like this and gets that.
    pub fn new(manner: Manner, reaction: Reaction) -> Self {
        Actor { manner, reaction, hears: Vec::new() }
    }

    fn hears(mut self, words: &'static str, times: RangeInclusive<usize>) -> Self {
        self.hears.push((words, times));
        self
    }

    /// Whether it got what it must, as far as that shows on its connections.
    ///
    /// # Errors
    /// What was otherwise.
    pub fn judge<'a>(&self, mut pipes: impl Iterator<Item = &'a Seen>) -> Result<(), String> {
        let Some(first) = pipes.next() else { return Err("it was never connected".to_owned()) };
        let last = pipes.last().unwrap_or(first);
        let closed = first.gone.map(|at| at.since(first.ended.unwrap_or(first.since)));
        let is_right = match self.reaction {
            Reaction::Silence(by) => {
                closed.is_some_and(|t| t < by) && (first.bytes == 0 || !first.is_dialler)
            }
            Reaction::Close(by) => closed.is_some_and(|t| t < by),
            Reaction::Stay => closed.is_none() && first.handshake.is_some(),
            Reaction::AnsweredAt48 => {
                let is_at_48 = (48..=60).contains(&first.sent_before_answer) || !first.is_dialler;
                closed.is_none() && first.handshake.is_some() && is_at_48
            }
            Reaction::Ban => first.gone.is_some() && last.since > first.since && last.bytes == 0,
            Reaction::Leaves => first.ended.is_some(),
            Reaction::Many => true,
        };
        let heard = || first.heard.iter().map(|(_, w)| w.as_str()).take(12).collect::<Vec<_>>();
        if !is_right {
            let (reaction, bytes) = (self.reaction, first.bytes);
            return Err(format!("{reaction:?}: closed after {closed:?}, got {bytes} bytes, {:?}", heard()));
        }
        match self.hears.iter().find(|(words, times)| !times.contains(&first.count(words))) {
            Some((words, times)) => {
                let count = first.count(words);
                Err(format!("`{words}` {times:?} times, heard {count}; {:?}", heard()))
            }
            None => Ok(()),
        }
    }
}

/// What a cast is made for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The torrent.
    pub content: &'a Content,
    /// Messages of a flood.
    pub flood: u32,
    /// Fixes what the row leaves to chance.
    pub seed: u64,
    /// Where the victim listens.
    pub victim: SocketAddr,
    /// Where its honest peer listens.
    pub honest: SocketAddr,
}

/// What the victim of a row is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Victim {
    /// It gets the torrent from an honest seed.
    Leech,
    /// It gives the torrent to an honest leech.
    Seed,
    /// As a leech, and has only the magnet link.
    Magnet,
}

/// A row of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number in the suite.
    pub number: u8,
    /// The name of its scenario.
    pub name: &'static str,
    /// What the peer does, and what must come of it.
    pub what: &'static str,
    /// Whom it does it to.
    pub victim: Victim,
    /// Whether the victim may be the one that dials, too.
    pub is_dialled: bool,
    /// Whether the hostile peers are there before the honest one.
    pub comes_first: bool,
    /// How long it is watched at least.
    pub lasts: Duration,
    /// Of what the honest transfer takes without hostile peers, how much it may take, in hundredths.
    pub slowdown_max: u64,
    /// Who takes part.
    pub cast: fn(&Scope<'_>) -> Vec<Actor>,
    /// What is different in the victim's settings.
    settings: fn(&mut Settings),
    /// The rare path it goes down.
    mark: Option<Mark>,
    /// What must hold in the end besides the reactions.
    check: fn(&Scene) -> Result<(), String>,
}

/// What most rows have in common.
const ROW: Row = Row {
    number: 0,
    name: "",
    what: "",
    victim: Victim::Leech,
    is_dialled: true,
    comes_first: false,
    lasts: Duration::from_secs(6),
    slowdown_max: 110,
    cast: |_| Vec::new(),
    settings: |_| {},
    mark: None,
    check: |_| Ok(()),
};

/// The row of this number.
///
/// # Panics
/// When there is none.
pub const fn row(number: u8) -> &'static Row {
    let mut group = 0;
    while group < ROWS.len() {
        let mut at = 0;
        while at < ROWS[group].len() {
            if ROWS[group][at].number == number {
                return &ROWS[group][at];
            }
            at += 1;
        }
        group += 1;
    }
    assert!(number == 0, "no row has this number");
    &ODD
}

fn play_row<const NUMBER: u8>(setup: &Setup) -> Result<Played, String> {
    stage::play(row(NUMBER), setup)
}

macro_rules! scenarios {
    ($($number:literal)*) => {
        const COUNT: usize = [$($number),*].len();

        const fn scenarios() -> [Scenario; COUNT] {
            [$(Scenario { name: row($number).name, what: row($number).what, run: play_row::<$number> }),*]
        }
    };
}

scenarios! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41
    42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 64 73 74 75 76
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn fast() -> Reserved {
    Reserved::default().with_fast()
}

fn extended() -> Reserved {
    Reserved::default().with_extension()
}

/// A peer that says this once the handshakes are through.
fn first(bytes: Vec<u8>) -> Manner {
    Manner { first: bytes, ..Manner::default() }
}

/// The same, speaking the fast extension.
fn fast_first(bytes: Vec<u8>) -> Manner {
    Manner { reserved: fast(), ..first(bytes) }
}

/// The same, speaking the extension protocol.
fn extended_first(bytes: Vec<u8>) -> Manner {
    Manner { reserved: extended(), ..first(bytes) }
}

/// A message of this id.
fn raw(id: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len() + 1).expect("short messages");
    [&len.to_be_bytes()[..], &[id], payload].concat()
}

/// A message of the extension protocol, by the id we take it under.
fn to_extension(extension: Extension, payload: &[u8]) -> Vec<u8> {
    raw(20, &[&[extension.local_id()], payload].concat())
}

/// An extension handshake.
fn hello(dict: &[u8]) -> Vec<u8> {
    raw(20, &[&[0], dict].concat())
}

fn block(piece: u32, begin: u32, len: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(piece), begin, len }
}

/// One actor that gets this.
fn one(manner: Manner, reaction: Reaction) -> Vec<Actor> {
    vec![Actor::new(manner, reaction)]
}

/// One actor for each of these messages, all of which get the same.
fn each(messages: impl IntoIterator<Item = Vec<u8>>, reaction: Reaction) -> Vec<Actor> {
    messages.into_iter().map(|bytes| Actor::new(first(bytes), reaction)).collect()
}
