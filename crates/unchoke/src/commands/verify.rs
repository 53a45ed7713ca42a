//! `unchoke verify`: holds files against their torrent, on all cores, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use unchoke_hash::Sha1Digest;
use unchoke_storage::{FileFact, FileStorage, Options, Storage, StorageSpec};
use unchoke_wire::FileIndex;
use unchoke_wire::metainfo::{FileEntry, Info, Metainfo};

use crate::args::VerifyArgs;
use crate::errors::{about, one_line, warn};
use crate::hashing::piece_hashes;
use crate::output::{self, json, progress};
use crate::{source, units};

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let metainfo = source::torrent(&args.torrent)?;
    let info = &metainfo.info;
    if info.layout.pieces().any(|p| info.pieces.get(p).is_none()) {
        bail!("cannot verify {}: torrents of version 2 alone are not supported", args.torrent.display());
    }
    std::fs::read_dir(&args.dir).map_err(|e| about("read the folder", &args.dir, &e))?;
    let spec = StorageSpec::from(info);
    let storage = FileStorage::open(&args.dir, spec, Options::default())
        .with_context(|| format!("cannot verify {}", args.torrent.display()))?;
    let bar = progress::bar("verifying", info.layout.total_len());
    let hashes = piece_hashes(&storage, &|n| bar.inc(n));
    bar.finish_and_clear();
    let facts = facts(&storage, info, &args.dir);
    let report = Report::new(&metainfo, &hashes?, &facts);
    if args.json {
        output::line(report.json(&metainfo))?;
    } else {
        report.print()?;
    }
    if report.is_good() {
        return Ok(ExitCode::SUCCESS);
    }
    let (bad, all) = (report.pieces - report.good, report.pieces);
    let dir = args.dir.display();
    warn(format_args!(
        "{} in {dir} is not whole: {bad} of {all} pieces are bad, in {}; `unchoke get` with this --dir mends it",
        info.name,
        units::count(report.bad_files.len(), "file"),
    ));
    Ok(ExitCode::FAILURE)
}

/// What the disk says about each file; the storage itself keeps no account of empty ones.
fn facts(storage: &FileStorage, info: &Info, dir: &Path) -> Vec<FileFact> {
    let fact = |(file, fact): (&FileEntry, FileFact)| {
        let there = std::fs::symlink_metadata(dir.join(file.display_path()));
        match there.ok().filter(|m| file.length == 0 && m.is_file()) {
            Some(meta) => FileFact::Present { len: meta.len(), mtime_ns: 0, inode: 0 },
            None => fact,
        }
    };
    info.files.iter().zip(storage.facts()).map(fact).collect()
}

/// What was found.
struct Report {
    pieces: u32,
    good: u32,
    bad_files: Vec<BadFile>,
    /// Paths of files that go on after their end.
    long_files: Vec<String>,
}

/// A file that is missing, too short, or in a bad piece; doubtful, when each of its bad pieces may be another's fault.
struct BadFile {
    path: String,
    problem: &'static str,
    pieces: u32,
    bad_pieces: u32,
}

impl Report {
    fn new(metainfo: &Metainfo, hashes: &[Option<Sha1Digest>], facts: &[FileFact]) -> Self {
        let info = &metainfo.info;
        let layout = &info.layout;
        let found = layout.pieces().zip(hashes);
        let bad: BTreeSet<u32> =
            found.filter(|(p, hash)| **hash != info.pieces.get(*p)).map(|(p, _)| p.0).collect();
        let count = |n: usize| u32::try_from(n).expect("pieces are counted in u32");
        let mut report = Report {
            pieces: layout.piece_count(),
            good: layout.piece_count() - count(bad.len()),
            bad_files: Vec::new(),
            long_files: Vec::new(),
        };
        let files = (0..).map(FileIndex).zip(&info.files).zip(facts);
        let files = files.filter(|((_, file), _)| !file.is_pad && !file.is_link);
        // how many files may be to blame for each bad piece
        let mut suspects: BTreeMap<u32, u32> = BTreeMap::new();
        for ((index, _), _) in files.clone() {
            bad.range(layout.pieces_of(index)).for_each(|p| *suspects.entry(*p).or_default() += 1);
        }
        for ((index, file), fact) in files {
            let pieces = layout.pieces_of(index);
            let bad_pieces = count(bad.range(pieces.clone()).count());
            let is_to_blame = suspects.range(pieces.clone()).any(|(_, suspects)| *suspects == 1);
            report.add(file, *fact, (count(pieces.len()), bad_pieces), is_to_blame);
        }
        report
    }

    fn add(&mut self, file: &FileEntry, fact: FileFact, (pieces, bad_pieces): (u32, u32), is_to_blame: bool) {
        let path = file.display_path();
        let problem = match fact {
            FileFact::Missing => "missing",
            FileFact::Present { len, .. } if len < file.length => "short",
            _ if is_to_blame => "bad",
            _ if bad_pieces > 0 => "doubtful",
            FileFact::Present { len, .. } if len > file.length => return self.long_files.push(path),
            _ => return,
        };
        self.bad_files.push(BadFile { path, problem, pieces, bad_pieces });
    }

    fn is_good(&self) -> bool {
        self.good == self.pieces && self.bad_files.is_empty()
    }

    fn json(&self, metainfo: &Metainfo) -> Value {
        let (v1, v2) = json::hashes(&metainfo.info_hashes);
        let bad_file = |f: &BadFile| json!({"path": f.path, "problem": f.problem, "pieces": f.pieces, "bad_pieces": f.bad_pieces});
        json!({
            "name": metainfo.info.name,
            "info_hash_v1": v1,
            "info_hash_v2": v2,
            "complete": self.is_good(),
            "pieces": self.pieces,
            "good_pieces": self.good,
            "bad_files": self.bad_files.iter().map(bad_file).collect::<Vec<_>>(),
            "long_files": self.long_files,
        })
    }

    fn print(&self) -> Result<()> {
        for f in &self.bad_files {
            let (path, problem) = (one_line(&f.path), f.problem);
            output::line(format_args!("{problem:<8} {path}  ({} of {} pieces bad)", f.bad_pieces, f.pieces))?;
        }
        for path in &self.long_files {
            output::line(format_args!("{:<8} {}  (bytes after its end)", "long", one_line(path)))?;
        }
        output::line(format_args!("{} of {} pieces are good", self.good, self.pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_that_is_missing_makes_a_torrent_incomplete() {
        let mut report = Report { pieces: 1, good: 1, bad_files: Vec::new(), long_files: Vec::new() };
        assert!(report.is_good());
        let file = FileEntry { path: vec!["t".into(), "empty".into()], ..FileEntry::default() };
        report.add(&file, FileFact::Missing, (0, 0), false);
        assert!(!report.is_good());
        assert_eq!(report.bad_files[0].path, "t/empty");
    }
}
