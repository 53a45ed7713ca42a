//! What a check found, file by file.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Value, json};
use unchoke_hash::Sha1Digest;
use unchoke_storage::FileFact;
use unchoke_wire::metainfo::{FileEntry, Metainfo};
use unchoke_wire::{FileIndex, Layout, PieceIndex};

use super::Scope;
use crate::errors::one_line;
use crate::output::{self, json};

/// What was found.
pub(super) struct Report<'a> {
    metainfo: &'a Metainfo,
    scope: &'a Scope,
    /// Pieces that were checked and are not as they should be.
    pub(super) bad: BTreeSet<u32>,
    pub(super) bad_files: Vec<BadFile>,
    /// Paths of files that go on after their end.
    long_files: Vec<String>,
}

/// A file that is missing, too short, or in a bad piece; doubtful, when each of its bad pieces may be another's fault.
pub(super) struct BadFile {
    path: String,
    problem: &'static str,
    /// Its pieces that were checked.
    pieces: usize,
    bad_pieces: usize,
    /// The bytes of its bad pieces, first and last.
    bad_bytes: Vec<(u64, u64)>,
}

impl<'a> Report<'a> {
    /// `hashes` has an entry for every piece of the scope, `facts` one for every file.
    pub(super) fn new(
        metainfo: &'a Metainfo,
        scope: &'a Scope,
        hashes: &[Option<Sha1Digest>],
        facts: &[FileFact],
    ) -> Self {
        let info = &metainfo.info;
        let layout = &info.layout;
        let found = scope.pieces.iter().zip(hashes);
        let bad: BTreeSet<u32> =
            found.filter(|(p, hash)| **hash != info.pieces.get(**p)).map(|(p, _)| p.0).collect();
        let mut report = Report { metainfo, scope, bad, bad_files: Vec::new(), long_files: Vec::new() };
        let files = (0..).map(FileIndex).zip(&info.files).zip(facts).zip(&scope.files);
        let files = files.filter(|(((_, file), _), _)| !file.is_pad && !file.is_link);
        // how many files may be to blame for each bad piece
        let mut suspects: BTreeMap<u32, u32> = BTreeMap::new();
        for (((index, _), _), _) in files.clone() {
            report.bad.range(layout.pieces_of(index)).for_each(|p| *suspects.entry(*p).or_default() += 1);
        }
        for (((index, file), fact), is_asked) in files {
            let pieces = layout.pieces_of(index);
            let is_to_blame = suspects.range(pieces.clone()).any(|(_, suspects)| *suspects == 1);
            if *is_asked || report.bad.range(pieces).next().is_some() {
                report.add(index, file, *fact, is_to_blame);
            }
        }
        report
    }

    fn add(&mut self, index: FileIndex, file: &FileEntry, fact: FileFact, is_to_blame: bool) {
        let layout = &self.metainfo.info.layout;
        let (path, pieces) = (file.display_path(), layout.pieces_of(index));
        let bad: Vec<u32> = self.bad.range(pieces.clone()).copied().collect();
        let problem = match fact {
            FileFact::Missing => "missing",
            FileFact::Present { len, .. } if len < file.length => "short",
            _ if is_to_blame => "bad",
            _ if !bad.is_empty() => "doubtful",
            FileFact::Present { len, .. } if len > file.length => return self.long_files.push(path),
            _ => return,
        };
        let below = |piece: u32| self.scope.pieces.partition_point(|p| p.0 < piece);
        let bad_bytes = bad.iter().filter_map(|p| bytes_of(layout, PieceIndex(*p), index));
        self.bad_files.push(BadFile {
            path,
            problem,
            pieces: below(pieces.end) - below(pieces.start),
            bad_pieces: bad.len(),
            bad_bytes: joined(bad_bytes),
        });
    }

    pub(super) fn is_good(&self) -> bool {
        self.bad.is_empty() && self.bad_files.is_empty()
    }

    /// The whole report as one object.
    pub(super) fn json(&self) -> Value {
        let info = &self.metainfo.info;
        let (v1, v2) = json::hashes(&self.metainfo.info_hashes);
        let bad_file = |f: &BadFile| {
            json!({
                "path": f.path, "problem": f.problem, "pieces": f.pieces, "bad_pieces": f.bad_pieces,
                "bad_bytes": f.bad_bytes,
            })
        };
        let chosen = info.files.iter().zip(&self.scope.files).filter(|(f, chosen)| **chosen && !f.is_pad);
        let checked: Vec<String> = chosen.map(|(f, _)| f.display_path()).collect();
        json!({
            "name": info.name,
            "info_hash_v1": v1,
            "info_hash_v2": v2,
            // nobody knows when only a part was looked at and that is good
            "complete": if self.scope.is_all || !self.is_good() { json!(self.is_good()) } else { Value::Null },
            "good": self.is_good(),
            "pieces": info.layout.piece_count(),
            "checked_pieces": self.scope.pieces.len(),
            "good_pieces": self.scope.pieces.len() - self.bad.len(),
            "checked": self.checked(),
            "checked_files": if self.scope.is_all { Value::Null } else { json!(checked) },
            "bad": joined(self.bad.iter().map(|p| (u64::from(*p), u64::from(*p)))),
            "bad_files": self.bad_files.iter().map(bad_file).collect::<Vec<_>>(),
            "long_files": self.long_files,
        })
    }

    /// Prints a line for every file that is not as it should be, and what was checked.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn print(&self) -> Result<()> {
        for f in &self.bad_files {
            let (path, problem) = (one_line(&f.path), f.problem);
            let bytes = match f.bad_bytes.is_empty() || problem == "missing" {
                true => String::new(),
                false => format!(": bytes {}", ranges(&f.bad_bytes)),
            };
            let (bad, all) = (f.bad_pieces, f.pieces);
            output::line(format_args!("{problem:<8} {path}  ({bad} of {all} pieces bad{bytes})"))?;
        }
        for path in &self.long_files {
            output::line(format_args!("{:<8} {}  (bytes after its end)", "long", one_line(path)))?;
        }
        let checked = self.scope.pieces.len();
        let good = checked - self.bad.len();
        if self.scope.is_all {
            return output::line(format_args!("{good} of {checked} pieces are good"));
        }
        let (pieces, all) = (ranges(&self.checked()), self.metainfo.info.layout.piece_count());
        output::line(format_args!("{good} of {checked} checked pieces are good: {pieces} of {all}"))
    }

    /// The pieces that were checked, first and last of each run.
    fn checked(&self) -> Vec<(u64, u64)> {
        joined(self.scope.pieces.iter().map(|p| (u64::from(p.0), u64::from(p.0))))
    }
}

/// The first and last byte of `file` that lie in `piece`, if any do.
fn bytes_of(layout: &Layout, piece: PieceIndex, file: FileIndex) -> Option<(u64, u64)> {
    let mut spans = layout.spans(piece, 0, layout.len_of(piece));
    spans.find(|span| span.file == file).map(|span| (span.offset, span.offset + span.len - 1))
}

/// Ranges, first and last, ascending, with those that touch made one.
fn joined(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match out.last_mut().filter(|before| before.1 + 1 == first) {
            Some(before) => before.1 = last,
            None => out.push((first, last)),
        }
    }
    out
}

/// Ranges as people write them, the first few of them.
fn ranges(ranges: &[(u64, u64)]) -> String {
    let one = |(first, last): &(u64, u64)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let mut texts: Vec<String> = ranges.iter().take(SHOWN_MAX).map(one).collect();
    if ranges.len() > SHOWN_MAX {
        texts.push(format!("and {} more", ranges.len() - SHOWN_MAX));
    }
    texts.join(", ")
}

/// Ranges shown in a line.
const SHOWN_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder};

    #[test]
    fn an_empty_file_that_is_missing_makes_a_torrent_incomplete() {
        let file = |name: &str, length| BuildFile { path: vec![name.into()], length, ..BuildFile::default() };
        let builder = MetainfoBuilder {
            name: "t".to_owned(),
            files: vec![file("a", 1), file("empty", 0)],
            is_multi_file: true,
            piece_len: 16_384,
            pieces: vec![[0; 20]],
            ..MetainfoBuilder::default()
        };
        let metainfo = Metainfo::parse(&builder.build().unwrap()).unwrap();
        let scope = Scope { pieces: vec![PieceIndex(0)], files: vec![true, true], is_all: true };
        let there = |len| FileFact::Present { len, mtime_ns: 0, inode: 0 };
        let whole = Report::new(&metainfo, &scope, &[Some([0; 20])], &[there(1), there(0)]);
        assert!(whole.is_good());
        let report = Report::new(&metainfo, &scope, &[Some([0; 20])], &[there(1), FileFact::Missing]);
        assert!(!report.is_good());
        assert_eq!(report.bad_files[0].path, "t/empty");
    }

    #[test]
    fn ranges_that_touch_are_one_and_only_a_few_are_shown() {
        let all = joined([(0, 1), (2, 2), (4, 4), (6, 9), (11, 11), (13, 13)].into_iter());
        assert_eq!(all, [(0, 2), (4, 4), (6, 9), (11, 11), (13, 13)]);
        assert_eq!(ranges(&all), "0-2, 4, 6-9, 11, and 1 more");
    }
}
