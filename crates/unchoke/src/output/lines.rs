//! Plain lines, for logs and pipes: changes of state at once, figures every few seconds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use unchoke_runtime::State;
use unchoke_wire::WireHash;

use super::{Report, line, seeding_line};
use crate::commands::{Phase, Tracked};
use crate::errors::one_line;
use crate::units::bytes;

/// Prints plain lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// What was said last of each torrent, and when.
    said: BTreeMap<WireHash, (String, Instant)>,
}

impl Report for Lines {
    fn progress(&mut self, torrents: &[Tracked]) -> Result<()> {
        for torrent in torrents.iter().filter(|t| t.phase == Phase::Running) {
            let what = verb(&torrent.stats.state);
            let last = self.said.get(&torrent.handle.info_hash());
            if last.is_some_and(|(said, when)| said == what && when.elapsed() < INTERVAL) {
                continue;
            }
            self.said.insert(torrent.handle.info_hash(), (what.to_owned(), Instant::now()));
            line(format_args!("{}: {}", one_line(&torrent.name), figures(torrent)))?;
        }
        Ok(())
    }

    fn completed(&mut self, torrent: &Tracked) -> Result<()> {
        line(format_args!("{}: complete", one_line(&torrent.name)))
    }

    fn seeding(&mut self, torrent: &Tracked, at: SocketAddr) -> Result<()> {
        line(seeding_line(torrent, at))
    }

    fn stopping(&mut self) -> Result<()> {
        line("stopping; the same command goes on later")
    }

    fn summary(&mut self, torrents: &[Tracked]) -> Result<()> {
        torrents.iter().try_for_each(|t| line(summary_line(t)))
    }
}

/// What a torrent is doing, in one word.
pub(super) fn verb(state: &State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Metadata => "asking peers for the metadata",
        State::Checking { .. } => "checking",
        State::Downloading => "downloading",
        State::Seeding => "seeding",
        State::Paused => "paused",
        State::Error(_) => "failed",
        _ => "working",
    }
}

/// What was moved in this run.
pub(super) fn summary_line(torrent: &Tracked) -> String {
    let (down, up) = torrent.moved();
    let wasted = match torrent.stats.corrupt {
        0 => String::new(),
        wasted => format!(", {} of it bad", bytes(wasted)),
    };
    format!("{}: {} downloaded{wasted}, {} uploaded", one_line(&torrent.name), bytes(down), bytes(up))
}

/// How far it is, in words.
pub(super) fn figures(torrent: &Tracked) -> String {
    let stats = &torrent.stats;
    let what = verb(&stats.state);
    let (down, up) = stats.rates;
    let peers = stats.peers.0;
    match (&stats.state, stats.total_len.zip(stats.left)) {
        (State::Checking { done, total }, _) => format!("{what} {done} of {total} pieces"),
        (State::Downloading, Some((total, left))) => {
            let done = total.saturating_sub(left);
            let (got, all, down, up) = (bytes(done), bytes(total), bytes(down), bytes(up));
            format!("{what} {got} of {all}, {down}/s down, {up}/s up, {peers} peers")
        }
        (State::Seeding, _) => format!("{what}, {}/s up, {peers} peers", bytes(up)),
        (State::Metadata, _) => format!("{what}, {peers} peers"),
        _ => what.to_owned(),
    }
}

/// Between two lines of figures.
const INTERVAL: Duration = Duration::from_secs(5);
