//! What must be true of a daemon that is up again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use unchoke_wire::{FileIndex, Handshake, PeerId, PieceIndex, Reserved};

use super::api::Request;
use super::model::{Kind, Known, Model};
use super::place::{DIRS, FOREIGN, Place, Torrent};

/// How much of the totals a kill may take back.
const TOTALS_LOST_MAX: Duration = Duration::from_secs(60);

/// What came of the runs.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) runs: usize,
    pub(super) kills: BTreeMap<Kind, usize>,
    /// Requests that were answered before the kill.
    pub(super) acknowledged: usize,
    pub(super) failed_starts: usize,
    false_haves: usize,
    lost: usize,
    /// Torrents that were removed and are back.
    returned: usize,
    wrong_options: usize,
    totals_back: usize,
    foreign_changed: usize,
    /// Torrents that stopped on an error.
    stopped: usize,
    /// Pieces that were claimed and looked at, to a peer or to the owner.
    checked: usize,
    /// Everything that was wrong, in words.
    pub(super) problems: Vec<String>,
}

impl Findings {
    /// Whether nothing was wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes something wrong.
    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// Takes in the findings of another run.
    pub(super) fn add(&mut self, other: Findings) {
        self.runs += other.runs;
        for (kind, count) in other.kills {
            *self.kills.entry(kind).or_default() += count;
        }
        for (mine, theirs) in [
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.failed_starts, other.failed_starts),
            (&mut self.false_haves, other.false_haves),
            (&mut self.lost, other.lost),
            (&mut self.returned, other.returned),
            (&mut self.wrong_options, other.wrong_options),
            (&mut self.totals_back, other.totals_back),
            (&mut self.foreign_changed, other.foreign_changed),
            (&mut self.stopped, other.stopped),
            (&mut self.checked, other.checked),
        ] {
            *mine += theirs;
        }
        self.problems.extend(other.problems);
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: Vec<String> = self.kills.iter().map(|(kind, n)| format!("{kind:?} {n}")).collect();
        writeln!(f, "kill9: {} runs, kills during {}", self.runs, kills.join(", ").to_lowercase())?;
        writeln!(f, "kill9: {} requests acknowledged, {} claims checked", self.acknowledged, self.checked)?;
        write!(
            f,
            "kill9: false haves {}, lost torrents {}, removed ones back {}, wrong options {}, totals back {}, \
             files of others changed {}, torrents stopped {}, failed starts {}",
            self.false_haves,
            self.lost,
            self.returned,
            self.wrong_options,
            self.totals_back,
            self.foreign_changed,
            self.stopped,
            self.failed_starts
        )?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Looks at everything, and notes what the uncertain things came to.
pub(super) fn look(place: &Place, model: &mut Model, kind: Kind, findings: &mut Findings) -> Result<()> {
    let list = settled(place)?;
    for (number, torrent) in place.torrents.iter().enumerate() {
        let listed = list.iter().find(|t| t["hash"] == torrent.hash.as_str());
        let possible = model.torrents[number].clone();
        let candidates: Vec<Option<Known>> =
            [Some(possible.now.clone()), possible.or.clone()].into_iter().flatten().collect();
        model.torrents[number].or = None;
        let name = &torrent.metainfo.info.name;
        let Some(listed) = listed else {
            if !candidates.contains(&None) {
                findings.lost += 1;
                findings.problem(format!("after {kind:?}: {name} is lost"));
            }
            model.torrents[number].now = None;
            clear(place, torrent);
            continue;
        };
        let details = place.api().get(&format!("/api/v1/torrents/{}", torrent.hash))?;
        let Some(first) = candidates.iter().flatten().next() else {
            findings.returned += 1;
            findings.problem(format!("after {kind:?}: {name} was removed and is back"));
            place.api().expect(&Request::plain("DELETE", format!("/api/v1/torrents/{}", torrent.hash)))?;
            continue;
        };
        let fits = |known: &&Known| has_options(&details, known);
        let Some(known) = candidates.iter().flatten().find(fits) else {
            findings.wrong_options += 1;
            findings.problem(format!("after {kind:?}: {name} is {details}, not {candidates:?}"));
            model.torrents[number].now = Some(first.clone());
            continue;
        };
        let mut known = known.clone();
        let totals = ["downloaded", "uploaded"].map(|key| listed[key].as_u64().unwrap_or(0));
        // a kill may take back what came in the minute before it
        let is_old = |(seen, _): &&(Instant, [u64; 2])| seen.elapsed() > TOTALS_LOST_MAX;
        if let Some((_, before)) = known.totals.iter().rfind(is_old)
            && (totals[0] < before[0] || totals[1] < before[1])
        {
            findings.totals_back += 1;
            findings.problem(format!("after {kind:?}: totals of {name} went from {before:?} to {totals:?}"));
        }
        known.totals.push((Instant::now(), totals));
        model.torrents[number].now = Some(known.clone());
        if possible.data_may_be_gone && possible.or.is_some() {
            finish_removal(place, model, number, findings)?;
            continue;
        }
        if listed["state"] == "error" {
            findings.stopped += 1;
            findings.problem(format!("after {kind:?}: {name} stopped: {}", listed["error"]));
        }
        check_claims(place, torrent, &known, kind, findings)?;
        if possible.or.is_none() || kind == Kind::Move {
            check_places(place, torrent, &known, kind, findings);
        }
    }
    check_foreign(place, kind, findings);
    Ok(())
}

/// The torrents, once none is on its way any more.
fn settled(place: &Place) -> Result<Vec<Value>> {
    let began = Instant::now();
    loop {
        let list = place.api().get("/api/v1/torrents")?;
        let list = list["torrents"].as_array().cloned().context("a list of torrents")?;
        let is_busy = |t: &Value| ["moving", "starting", "checking"].iter().any(|state| t["state"] == *state);
        if !list.iter().any(is_busy) || began.elapsed() > Duration::from_secs(20) {
            return Ok(list);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn has_options(details: &Value, known: &Known) -> bool {
    let state = details["state"].as_str().unwrap_or_default();
    details["dir"] == DIRS[known.dir] && (state == "error" || (state == "paused") == known.is_paused)
}

/// A removal with its data that was cut off is done again, and must be done then.
fn finish_removal(place: &Place, model: &mut Model, number: usize, findings: &mut Findings) -> Result<()> {
    let torrent = &place.torrents[number];
    let path = format!("/api/v1/torrents/{}?delete_data=true", torrent.hash);
    place.api().expect(&Request::plain("DELETE", path))?;
    model.torrents[number].now = None;
    if DIRS.iter().any(|dir| has_files(&place.data(dir), torrent)) {
        findings.problem(format!("{} was removed with its data, which is still there", torrent.hash));
    }
    Ok(())
}

/// Every piece that is claimed, to a peer where one is let in, must be on the disk.
fn check_claims(
    place: &Place,
    torrent: &Torrent,
    known: &Known,
    kind: Kind,
    findings: &mut Findings,
) -> Result<()> {
    let told = match (known.is_paused, place.addr) {
        (false, Some(addr)) => told_to_peer(addr, torrent),
        _ => None,
    };
    let have = match told {
        Some(have) => have,
        None => told_to_owner(place, torrent)?,
    };
    let info = &torrent.metainfo.info;
    let layout = &info.layout;
    let data = place.data(DIRS[known.dir]);
    for piece in layout.pieces().filter(|p| is_set(&have, *p)) {
        let mut bytes = Vec::new();
        let mut is_whole = true;
        for span in layout.spans(piece, 0, layout.len_of(piece)) {
            match part_of(&data, torrent, span.file, span.offset, span.len) {
                Some(part) => bytes.extend(part),
                // bytes of files that are not wanted are kept elsewhere
                None if known.selection.is_some() => is_whole = false,
                None => bytes.clear(),
            }
        }
        if !is_whole {
            continue;
        }
        findings.checked += 1;
        let mut digest = [[0; 20]];
        unchoke_hash::sha1_batch(&[&bytes], &mut digest);
        if info.pieces.get(piece) != Some(digest[0]) {
            findings.false_haves += 1;
            findings.problem(format!("after {kind:?}: {} claims piece {} falsely", info.name, piece.0));
        }
    }
    Ok(())
}

fn part_of(data: &Path, torrent: &Torrent, file: FileIndex, offset: u64, len: u64) -> Option<Vec<u8>> {
    let entry = torrent.metainfo.info.files.get(usize::try_from(file.0).ok()?)?;
    let bytes = fs::read(data.join(entry.path.join("/"))).ok()?;
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start + usize::try_from(len).ok()?).map(<[u8]>::to_vec)
}

fn is_set(have: &[u8], piece: PieceIndex) -> bool {
    let at = usize::try_from(piece.0 / 8).expect("a piece of a small torrent");
    have.get(at).is_some_and(|byte| byte & (0x80 >> (piece.0 % 8)) != 0)
}

fn told_to_owner(place: &Place, torrent: &Torrent) -> Result<Vec<u8>> {
    let told = place.api().get(&format!("/api/v1/torrents/{}/pieces", torrent.hash))?;
    let hex = told["have"].as_str().context("a bitfield")?;
    let byte = |at: usize| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..hex.len()).step_by(2).map(|at| byte(at).context("a bitfield in hex")).collect()
}

/// The bitfield that a peer is greeted with; `None` when it is not, as when there is nothing to claim.
fn told_to_peer(addr: SocketAddr, torrent: &Torrent) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(1500))).ok()?;
    let info_hash = torrent.metainfo.info_hashes.best()?.wire();
    let peer_id = PeerId(*b"-KL0009-abcdefghijkl");
    stream.write_all(&Handshake { reserved: Reserved::default(), info_hash, peer_id }.encode()).ok()?;
    stream.read_exact(&mut [0; 68]).ok()?;
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len).ok()?;
        let mut message = vec![0; usize::try_from(u32::from_be_bytes(len)).ok()?.min(1 << 20)];
        stream.read_exact(&mut message).ok()?;
        match message.split_first() {
            Some((5, have)) => return Some(have.to_vec()),
            Some((_, _)) => return None,
            None => {}
        }
    }
}

/// The files are in the folder they are said to be in, and in no other.
fn check_places(place: &Place, torrent: &Torrent, known: &Known, kind: Kind, findings: &mut Findings) {
    for (number, dir) in DIRS.iter().enumerate() {
        if number != known.dir && has_files(&place.data(dir), torrent) {
            findings.problem(format!(
                "after {kind:?}: {} is in '{}' and has files in '{dir}'",
                torrent.metainfo.info.name, DIRS[known.dir]
            ));
        }
    }
}

fn has_files(data: &Path, torrent: &Torrent) -> bool {
    torrent.metainfo.info.files.iter().any(|file| data.join(file.path.join("/")).exists())
}

/// Removes what a removal without data left, as its owner would.
fn clear(place: &Place, torrent: &Torrent) {
    for dir in DIRS {
        for file in &torrent.metainfo.info.files {
            // most of them are not there
            let _ = fs::remove_file(place.data(dir).join(file.path.join("/")));
        }
    }
}

fn check_foreign(place: &Place, kind: Kind, findings: &mut Findings) {
    for (dir, torrent) in DIRS.iter().flat_map(|dir| place.torrents.iter().map(move |t| (dir, t))) {
        let path = place.data(dir).join(&torrent.metainfo.info.name).join("foreign.txt");
        if fs::read(&path).ok().as_deref() != Some(FOREIGN) {
            findings.foreign_changed += 1;
            findings.problem(format!("after {kind:?}: {} is not what it was", path.display()));
        }
    }
}
