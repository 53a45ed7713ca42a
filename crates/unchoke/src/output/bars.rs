//! Bars on a terminal, one a torrent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use unchoke_runtime::State;
use unchoke_wire::WireHash;
use unchoke_wire::mutable_torrent::Publisher;

use super::lines::{figures, peers, summary_line};
use super::{Report, line, seeding_line, version_line};
use crate::commands::{Phase, Tracked, Version};
use crate::errors::{one_line, warn};
use crate::units::bytes;

/// Draws bars on stderr and prints what stays on stdout.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    all: MultiProgress,
    bars: BTreeMap<WireHash, ProgressBar>,
}

impl Bars {
    /// Prints a line above the bars.
    fn say(&self, text: &str) -> Result<()> {
        self.all.suspend(|| line(text))
    }
}

impl Report for Bars {
    fn version(&mut self, name: &str, _: &Publisher, version: Version) -> Result<()> {
        self.say(&version_line(name, version))
    }

    fn added(&mut self, torrent: &Tracked) -> Result<()> {
        let style = ProgressStyle::with_template("{prefix:20!} {bar:12} {percent:>3}%  {wide_msg}");
        let style = style.expect("the template above is well-formed");
        let bar = self.all.add(ProgressBar::new(1).with_style(style));
        bar.set_prefix(one_line(&torrent.name));
        self.bars.insert(torrent.handle.info_hash(), bar);
        Ok(())
    }

    fn progress(&mut self, torrents: &[Tracked]) -> Result<()> {
        for torrent in torrents {
            let Some(bar) = self.bars.get(&torrent.handle.info_hash()) else { continue };
            if matches!(torrent.phase, Phase::Failed(_) | Phase::Seeded | Phase::Replaced) {
                bar.abandon();
                continue;
            }
            let stats = &torrent.stats;
            let (total, done) = match (&stats.state, stats.total_len.zip(stats.left)) {
                (State::Checking { done, total }, _) => (u64::from(*total), u64::from(*done)),
                (_, Some((total, left))) => (total, total.saturating_sub(left)),
                _ => (1, 0),
            };
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_prefix(one_line(&torrent.name));
            bar.set_message(message(torrent));
        }
        Ok(())
    }

    fn completed(&mut self, torrent: &Tracked) -> Result<()> {
        self.say(&format!("{}: complete", one_line(&torrent.name)))
    }

    fn seeding(&mut self, torrent: &Tracked, at: SocketAddr) -> Result<()> {
        self.say(&seeding_line(torrent, at))
    }

    fn trouble(&mut self, text: &str) {
        self.all.suspend(|| warn(text));
    }

    fn stopping(&mut self) -> Result<()> {
        self.say("stopping; the same command goes on later")
    }

    fn summary(&mut self, torrents: &[Tracked]) -> Result<()> {
        self.bars.values().for_each(ProgressBar::finish_and_clear);
        torrents.iter().try_for_each(|t| line(summary_line(t)))
    }

    fn aside(&mut self, print: &mut dyn FnMut()) {
        self.all.suspend(print);
    }
}

/// What stands behind a bar.
fn message(torrent: &Tracked) -> String {
    let stats = &torrent.stats;
    let (down, up) = stats.rates;
    match (&stats.state, stats.left) {
        (State::Downloading, Some(_)) if stats.peers.0 == 0 => peers(stats.peers),
        (State::Downloading, Some(left)) => {
            let time = match left.checked_div(down) {
                Some(seconds) => format!("{:#} left", HumanDuration(Duration::from_secs(seconds))),
                None => "stalled".to_owned(),
            };
            format!("{}/s  {time}  {}  {}/s up", bytes(down), peers(stats.peers), bytes(up))
        }
        _ => figures(torrent),
    }
}
