//! `unchoke seed`: checks files and seeds them. Nothing is written to them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use unchoke_runtime::AddTorrent;
use unchoke_storage::{FileFact, FileStorage, Options, Storage, StorageSpec};
use unchoke_wire::metainfo::{Metainfo, PieceHashes};

use super::session;
use super::transfer::{Goal, SeedUntil, Transfer};
use crate::args::SeedArgs;
use crate::errors::about;
use crate::state::StateDir;
use crate::{source, units};

pub(super) fn run(args: &SeedArgs) -> Result<ExitCode> {
    let torrents = args.torrents.iter().map(|path| source::torrent(path)).collect::<Result<Vec<_>>>()?;
    std::fs::read_dir(&args.dir).map_err(|e| about("use the folder", &args.dir, &e))?;
    for (metainfo, path) in torrents.iter().zip(&args.torrents) {
        check(metainfo, &args.dir).with_context(|| format!("cannot seed {}", path.display()))?;
    }
    // several processes may seed the same files; one of them keeps the records
    let is_free = |state: &StateDir| torrents.iter().all(|m| state.is_free(&m.info_hashes));
    let state = StateDir::open(&args.dir).filter(is_free);
    let session = session::start(&args.net, state.as_ref())?;
    let goal = Goal::Seed(SeedUntil { ratio: args.ratio, time: args.seed_time });
    let mut transfer = Transfer::new(session, goal, &args.net)?;
    for (metainfo, path) in torrents.into_iter().zip(&args.torrents) {
        let add = AddTorrent {
            trust: args.trust,
            seed_only: true,
            is_super_seeding: args.super_seed,
            discovery: args.net.swarm.discovery(),
            peers: args.net.peers.clone(),
            ..AddTorrent::new(metainfo, args.dir.clone())
        };
        transfer.add(add).with_context(|| format!("cannot seed {}", path.display()))?;
    }
    transfer.run()
}

/// Finds out by the sizes of the files, before any is read, whether the data can be whole.
fn check(metainfo: &Metainfo, dir: &Path) -> Result<()> {
    if matches!(metainfo.info.pieces, PieceHashes::V2) {
        bail!("torrents of version 2 alone are not supported");
    }
    let storage = FileStorage::open(dir, StorageSpec::from(&metainfo.info), Options::default())?;
    let facts = storage.facts();
    let missing = |(file, fact): (&unchoke_storage::FileSpec, &FileFact)| {
        let there = match fact {
            FileFact::Present { len, .. } => *len,
            FileFact::Missing | FileFact::Doubtful => 0,
        };
        if file.is_stored() { file.len.saturating_sub(there) } else { 0 }
    };
    let missing: u64 = storage.spec().files.iter().zip(&facts).map(missing).sum();
    if missing > 0 {
        let (missing, all) = (units::bytes(missing), units::bytes(metainfo.info.payload_len()));
        let (name, dir) = (&metainfo.info.name, dir.display());
        bail!(
            "{missing} of {all} are missing of {name} in {dir}; name the right --dir, or `unchoke get` the rest"
        );
    }
    Ok(())
}
