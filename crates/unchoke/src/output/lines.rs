//! Plain lines, for logs and pipes: changes of state at once, figures every few seconds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use unchoke_runtime::State;
use unchoke_wire::WireHash;
use unchoke_wire::mutable_torrent::Publisher;

use super::{Report, line, seeding_line, version_line};
use crate::commands::{Phase, Tracked, Version};
use crate::errors::{one_line, warn};
use crate::units::{bytes, count};

/// Prints plain lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// What was said last of each torrent, and when.
    said: BTreeMap<WireHash, (String, Instant)>,
}

impl Report for Lines {
    fn version(&mut self, name: &str, _: &Publisher, version: Version) -> Result<()> {
        line(version_line(name, version))
    }

    fn progress(&mut self, torrents: &[Tracked]) -> Result<()> {
        for torrent in torrents.iter().filter(|t| t.phase == Phase::Running) {
            let what = verb(torrent);
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

    fn trouble(&mut self, text: &str) {
        warn(text);
    }

    fn summary(&mut self, torrents: &[Tracked]) -> Result<()> {
        torrents.iter().try_for_each(|t| line(summary_line(t)))
    }
}

/// What a torrent is doing, in few words.
fn verb(torrent: &Tracked) -> &'static str {
    match &torrent.stats.state {
        State::Starting => "starting",
        State::Metadata => "asking peers for the metadata",
        State::Checking { .. } => "checking",
        State::Downloading => "downloading",
        // what arrived last is on its way to the disk
        State::Seeding if torrent.phase == Phase::Running => "finishing",
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
    let what = verb(torrent);
    let (down, up) = stats.rates;
    let peers = peers(stats.peers);
    match (&stats.state, stats.total_len.zip(stats.left)) {
        (State::Checking { done, total }, _) => format!("{what} {done} of {total} pieces"),
        (State::Downloading, Some((total, left))) => {
            let done = total.saturating_sub(left);
            let (got, all, down, up) = (bytes(done), bytes(total), bytes(down), bytes(up));
            format!("{what} {got} of {all}, {down}/s down, {up}/s up, {peers}")
        }
        (State::Seeding, _) => format!("{what}, {}/s up, {peers}", bytes(up)),
        (State::Metadata, _) => format!("{what}, {peers}"),
        _ => what.to_owned(),
    }
}

/// Peers in words: the connected ones, or that there is nobody yet.
pub(super) fn peers((connected, known): (usize, usize)) -> String {
    match connected {
        0 => format!("looking for peers ({known} known)"),
        n => count(n, "peer"),
    }
}

/// Between two lines of figures.
const INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_peer_it_says_that_it_looks_for_some() {
        assert_eq!(peers((0, 0)), "looking for peers (0 known)");
        assert_eq!(peers((1, 5)), "1 peer");
        assert_eq!(peers((2, 5)), "2 peers");
    }
}
