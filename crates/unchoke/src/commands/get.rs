//! `unchoke get`: downloads torrents, and seeds them afterwards when asked to.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use unchoke_engine::input::TorrentSource;
use unchoke_runtime::AddTorrent;

use super::follow::{Follow, Pace};
use super::session;
use super::transfer::{Goal, SeedUntil, Transfer};
use crate::args::GetArgs;
use crate::errors::{Usage, about};
use crate::state::StateDir;
use crate::{selection, source};

pub(super) fn run(args: &GetArgs) -> Result<ExitCode> {
    let sources = args.sources.iter().map(|s| source::read(s)).collect::<Result<Vec<_>>>()?;
    for (source, name) in sources.iter().zip(&args.sources) {
        check(source, args).with_context(|| format!("cannot get {name}"))?;
    }
    let is_mutable = |s: &TorrentSource| matches!(s, TorrentSource::Magnet(m) if m.publisher.is_some());
    if args.follow.is_some() && !sources.iter().any(is_mutable) {
        let why = "--follow is for mutable torrents: magnet links with xs=urn:btpk; see `unchoke help get`";
        return Err(Usage(why.to_owned()).into());
    }
    // the folder itself, not one that would be made beside what was meant
    std::fs::read_dir(&args.dir).map_err(|e| about("use the folder", &args.dir, &e))?;
    let state = StateDir::open(&args.dir);
    let session = session::start(&args.net, state.as_ref())?;
    let until = SeedUntil { ratio: args.ratio, time: args.seed_time };
    let goal = Goal::Get { seed: args.seed.then_some(until), picks: args.picks.clone() };
    let mut transfer = Transfer::new(session, goal, &args.net)?;
    for (source, name) in sources.into_iter().zip(&args.sources) {
        let selection = match &source {
            TorrentSource::Metainfo(m) => {
                Some(selection::chosen(&args.picks, &m.info).map_err(anyhow::Error::msg)?)
            }
            TorrentSource::Magnet(_) => None,
        };
        let add = AddTorrent {
            selection,
            is_sequential: args.sequential,
            begins_anew: state.as_ref().is_some_and(|s| s.is_same_disk),
            discovery: args.net.swarm.discovery(),
            peers: args.net.peers.clone(),
            ..AddTorrent::new(source, args.dir.clone())
        };
        match Follow::new(add.clone(), pace(args), Instant::now()) {
            Some(follow) => transfer.add_mutable(follow),
            None => transfer.add(add).with_context(|| format!("cannot get {name}"))?,
        }
    }
    transfer.run()
}

/// How mutable torrents are followed: whoever seeds one keeps to its newest version.
fn pace(args: &GetArgs) -> Pace {
    match args.follow {
        Some(every) => Pace::Forever(every),
        None if args.seed => Pace::Meanwhile(FOLLOW_EVERY),
        None => Pace::Once,
    }
}

/// Finds out before anything is started what can never work.
fn check(source: &TorrentSource, args: &GetArgs) -> Result<()> {
    source::check(source)?;
    match source {
        TorrentSource::Metainfo(m) => {
            selection::chosen(&args.picks, &m.info).map(|_| ()).map_err(anyhow::Error::msg)
        }
        TorrentSource::Magnet(m) if m.publisher.is_some() && args.net.swarm.no_dht => {
            bail!("the DHT alone tells of its versions; leave out --no-dht")
        }
        TorrentSource::Magnet(_) => Ok(()),
    }
}

/// How often the DHT is asked for newer versions: those who store them forget after two hours.
const FOLLOW_EVERY: Duration = Duration::from_secs(3600);
