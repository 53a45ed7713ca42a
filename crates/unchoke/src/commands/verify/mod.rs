//! `unchoke verify`: holds files against their torrent, on all cores, and changes nothing.

mod report;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use unchoke_runtime::hashing::hash_pieces;
use unchoke_storage::{FileFact, FileStorage, Options, Storage, StorageSpec};
use unchoke_wire::metainfo::{FileEntry, Info};
use unchoke_wire::{FileIndex, PieceIndex};

use crate::args::VerifyArgs;
use crate::errors::{about, warn};
use crate::output::{self, progress};
use crate::{selection, source, units};

use report::Report;

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let metainfo = source::torrent(&args.torrent)?;
    let info = &metainfo.info;
    if info.layout.pieces().any(|p| info.pieces.get(p).is_none()) {
        bail!("cannot verify {}: torrents of version 2 alone are not supported", args.torrent.display());
    }
    std::fs::read_dir(&args.dir).map_err(|e| about("read the folder", &args.dir, &e))?;
    let scope = Scope::new(args, info)?;
    let spec = StorageSpec::from(info);
    let storage = FileStorage::open(&args.dir, spec, Options::default())
        .with_context(|| format!("cannot verify {}", args.torrent.display()))?;
    let bar = progress::bar("verifying", scope.len(info));
    let hashes = hash_pieces(&storage, &scope.pieces, &|n| bar.inc(n), &AtomicBool::new(false));
    bar.finish_and_clear();
    let facts = facts(&storage, info, &args.dir);
    let report = Report::new(&metainfo, &scope, &hashes?, &facts);
    if args.json {
        output::line(report.json())?;
    } else {
        report.print()?;
    }
    if report.is_good() {
        return Ok(ExitCode::SUCCESS);
    }
    let checked = if scope.is_all { "pieces" } else { "checked pieces" };
    warn(format_args!(
        "{} in {} is not whole: {} of {} {checked} are bad, in {}; `unchoke get` with this --dir mends it",
        info.name,
        args.dir.display(),
        report.bad.len(),
        scope.pieces.len(),
        units::count(report.bad_files.len(), "file"),
    ));
    Ok(ExitCode::FAILURE)
}

/// What is to be checked.
struct Scope {
    /// Ascending.
    pieces: Vec<PieceIndex>,
    /// The files asked for, one entry a file. Of others only those are told that a bad piece touches.
    files: Vec<bool>,
    /// Whether that is the whole torrent.
    is_all: bool,
}

impl Scope {
    fn new(args: &VerifyArgs, info: &Info) -> Result<Self> {
        let layout = &info.layout;
        if args.files.is_empty() && args.pieces.is_empty() {
            let files = vec![true; info.files.len()];
            return Ok(Scope { pieces: layout.pieces().collect(), files, is_all: true });
        }
        let mut files = vec![false; info.files.len()];
        if !args.files.is_empty() {
            files = selection::chosen(&args.files, info).map_err(anyhow::Error::msg)?;
        }
        let mut pieces = Vec::new();
        for (file, _) in (0..).map(FileIndex).zip(&files).filter(|(_, chosen)| **chosen) {
            pieces.extend(layout.pieces_of(file).map(PieceIndex));
        }
        for range in args.pieces.iter().flatten() {
            if *range.end() >= layout.piece_count() {
                let last = layout.piece_count() - 1;
                bail!("there is no piece {}: the last one is {last}", range.end());
            }
            pieces.extend(range.clone().map(PieceIndex));
        }
        pieces.sort_unstable();
        pieces.dedup();
        Ok(Scope { pieces, files, is_all: false })
    }

    /// Bytes to check.
    fn len(&self, info: &Info) -> u64 {
        self.pieces.iter().map(|p| u64::from(info.layout.len_of(*p))).sum()
    }
}

/// What the disk says about each file; the storage itself keeps no account of empty ones.
fn facts(storage: &FileStorage, info: &Info, dir: &Path) -> Vec<FileFact> {
    let fact = |(file, fact): (&FileEntry, FileFact)| {
        if file.length > 0 {
            return fact;
        }
        let there = std::fs::symlink_metadata(dir.join(file.display_path()));
        match there.ok().filter(|m| m.is_file()) {
            Some(meta) => FileFact::Present { len: meta.len(), mtime_ns: 0, inode: 0 },
            None => fact,
        }
    };
    info.files.iter().zip(storage.facts()).map(fact).collect()
}
