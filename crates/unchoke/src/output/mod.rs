//! What reaches the user: lines on stdout, bars on a terminal, events as JSON.

pub(crate) mod bars;
pub(crate) mod events;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod lookup;
pub(crate) mod progress;
pub(crate) mod trace;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use unchoke_runtime::SessionEvent;
use unchoke_wire::mutable_torrent::Publisher;

use crate::commands::{Tracked, Version};
use crate::errors::{Unread, one_line};

/// Prints one line on stdout at once.
///
/// # Errors
/// When it cannot be written; `errors::report` keeps silent if its reader just went away.
pub(crate) fn line(text: impl fmt::Display) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context(Unread)
}

/// Writes bytes to stdout.
///
/// # Errors
/// As [`line()`].
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context(Unread)
}

/// Who tells the user how torrents fare. What an implementation leaves out it does not tell.
pub(crate) trait Report {
    /// A torrent was added.
    fn added(&mut self, _torrent: &Tracked) -> Result<()> {
        Ok(())
    }

    /// A mutable torrent, called `name`, has come to this version.
    fn version(&mut self, _name: &str, _publisher: &Publisher, _version: Version) -> Result<()> {
        Ok(())
    }

    /// Something happened, to this torrent or to none.
    fn happened(&mut self, _torrent: Option<&Tracked>, _event: &SessionEvent) -> Result<()> {
        Ok(())
    }

    /// The figures are new; several times a second.
    fn progress(&mut self, _torrents: &[Tracked]) -> Result<()> {
        Ok(())
    }

    /// Everything wanted is there.
    fn completed(&mut self, _torrent: &Tracked) -> Result<()> {
        Ok(())
    }

    /// A torrent was found whole and is served here.
    fn seeding(&mut self, torrent: &Tracked, at: SocketAddr) -> Result<()>;

    /// A torrent stopped for good. It is told on stderr at the end.
    fn failed(&mut self, _torrent: &Tracked, _why: &str) -> Result<()> {
        Ok(())
    }

    /// Something that may be why nothing moves, such as a tracker that failed.
    fn trouble(&mut self, _text: &str) {}

    /// The user wants to end it.
    fn stopping(&mut self) -> Result<()> {
        Ok(())
    }

    /// It is over.
    fn summary(&mut self, _torrents: &[Tracked]) -> Result<()> {
        Ok(())
    }

    /// Calls `print`, which writes lines of its own, without mixing them with what is on the terminal.
    fn aside(&mut self, print: &mut dyn FnMut()) {
        print();
    }
}

/// The report for what the user asked for: on a terminal bars, unless a trace runs over it.
pub(crate) fn report(json: bool, quiet: bool, is_traced_here: bool) -> Box<dyn Report> {
    if json {
        Box::new(events::Events::default())
    } else if quiet {
        Box::new(Quiet)
    } else if io::stderr().is_terminal() && !is_traced_here {
        Box::new(bars::Bars::default())
    } else {
        Box::new(lines::Lines::default())
    }
}

/// Tells only what scripts wait for.
struct Quiet;

impl Report for Quiet {
    fn seeding(&mut self, torrent: &Tracked, at: SocketAddr) -> Result<()> {
        line(seeding_line(torrent, at))
    }
}

/// The line that says which version of a mutable torrent it is.
fn version_line(name: &str, version: Version) -> String {
    let name = one_line(name);
    match version.seq {
        Some(seq) => format!("{name}: version {seq} is {}", version.hash),
        None => format!("{name}: the DHT tells of no version; the link names {}", version.hash),
    }
}

/// The line that says a seed is ready.
fn seeding_line(torrent: &Tracked, at: SocketAddr) -> String {
    format!("seeding {} on {at}", one_line(&torrent.name))
}
