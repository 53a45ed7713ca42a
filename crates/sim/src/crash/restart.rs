//! The start after a crash, and the rules that must hold then: N1 to N8 of `docs/reliability.md`.

use std::path::Path;

use unchoke_storage::{
    FileStorage, MemoryDisk, PieceRead, ResumeRecord, Standing, StateChange, StateStore, Storage,
    TorrentEntry, Volume, check_facts,
};
use unchoke_wire::{Bitfield, BlockRef, PieceIndex, WireHash};

use super::Tally;
use super::book::{Belief, Cast, Member, Told};
use super::journey::Journey;
use super::session::{FOLDERS, FOREIGN, STATE};
use crate::scenarios::ensure;

/// What a start found.
pub(super) struct Judged {
    /// What the owner was told by it.
    pub(super) told: Told,
    tally: Tally,
}

impl Judged {
    pub(super) fn count(&self, tally: &mut Tally) {
        tally.points += 1;
        tally.torrents += self.tally.torrents;
        tally.trusted += self.tally.trusted;
        tally.checked += self.tally.checked;
    }
}

/// Starts a session on what a crash left, has it check what is in doubt and save, and says which rule is broken. The first
/// of `told` is what the owner knew, the others what he was about to be told or what a start had come to.
pub(super) fn judge(disk: &MemoryDisk, cast: &Cast, told: &[Told]) -> Result<Judged, String> {
    let known = &told[0];
    let store = StateStore::open_on(&Volume::from(disk), Path::new(STATE));
    let store = store.map_err(|e| format!("N7: the state does not open: {e}"))?;
    let listed = store.torrents().map_err(|e| format!("N7: {e}"))?;
    let mut entries = Vec::new();
    for (hash, entry) in listed {
        entries.push((hash, entry.map_err(|e| format!("N7: the entry of {hash} is {e}"))?));
    }
    let is_told = told.iter().any(|t| is_as_told(&store, &entries, t));
    ensure(is_told, || format!("N1, N8: {} torrents, {} were told", entries.len(), known.torrents.len()))?;
    let mut found = Told { at: 0, torrents: Default::default(), deleted: known.deleted.clone() };
    let mut tally = Tally::default();
    let mut changes = Vec::new();
    for (hash, entry) in entries {
        let journey = Journey { disk, store: &store, member: &cast[&hash], hash };
        tally.torrents += 1;
        if entry.is_deleting {
            // what was begun goes on
            let record = ResumeRecord::new(hash, journey.member.hashes);
            journey.delete(&entry, &record).map_err(|e| format!("N8: {e}"))?;
            found.deleted.insert(hash);
            continue;
        }
        let belief = known.torrents.get(&hash);
        let (record, belief) = start(&journey, entry, belief, &mut tally)?;
        changes.push(StateChange::Record(record));
        found.torrents.insert(hash, belief);
    }
    store.commit(&changes).map_err(|e| format!("N7: the state takes nothing: {e}"))?;
    is_clean(disk, cast, &found)?;
    Ok(Judged { told: found, tally })
}

/// N1, N8: the torrents are those that were told, with their options.
fn is_as_told(store: &StateStore, entries: &[(WireHash, TorrentEntry)], told: &Told) -> bool {
    let left = entries.iter().filter(|(hash, e)| !e.is_deleting || told.torrents.contains_key(hash));
    let mut count = 0;
    let are_right = left.inspect(|_| count += 1).all(|(hash, entry)| {
        let Some(belief) = told.torrents.get(hash) else { return false };
        let record = store.record(*hash).ok().and_then(|l| l.record);
        let selection = record.map(|r| r.selection).unwrap_or_default();
        // a selection that was told is there; one that was about to be may be there
        entry.is_paused == belief.is_paused && entry.dir == belief.dir && selection == belief.selection
    });
    are_right && count == told.torrents.len()
}

/// Starts one torrent: a move that was cut off goes on, what its record claims and its files confirm is trusted, what is in
/// doubt is read.
fn start(
    journey: &Journey<'_>,
    mut entry: TorrentEntry,
    belief: Option<&Belief>,
    tally: &mut Tally,
) -> Result<(ResumeRecord, Belief), String> {
    let member = journey.member;
    let loaded = journey.store.record(journey.hash).map_err(|e| format!("N7: {e}"))?;
    ensure(loaded.refused.is_empty(), || "N7: a record was refused".to_owned())?;
    let mut record = loaded.record.unwrap_or_else(|| ResumeRecord::new(journey.hash, member.hashes));
    if entry.is_moving() {
        let to = entry.moving_to.clone().unwrap_or_else(|| entry.dir.clone());
        journey.relocate(&mut entry, &mut record, &to).map_err(|e| format!("N7: a move: {e}"))?;
    }
    let storage = journey.open(&entry.dir, &record)?;
    let resume = check_facts(&record, &storage);
    ensure(!resume.is_storage_missing, || "N3: the files of a torrent are gone".to_owned())?;
    let mut have = resume.trusted.clone();
    for piece in have.iter() {
        let len = member.spec.layout.len_of(piece);
        let mut bytes = vec![0; len as usize];
        let read = storage.read(BlockRef { piece, begin: 0, len }, &mut bytes);
        let is_true = read.is_ok() && bytes == member.piece(piece);
        ensure(is_true, || format!("N2: piece {} is claimed and is not there", piece.0))?;
    }
    tally.trusted += u64::from(have.count());
    tally.checked += u64::from(resume.doubtful.count());
    storage.prepare().map_err(|e| format!("N7: {e}"))?;
    check(&storage, member, &resume.doubtful, &mut have)?;
    if let Some(belief) = belief {
        let lost = belief.have.iter().filter(|p| !have.has(*p)).count();
        ensure(lost == 0, || format!("N3: {lost} pieces are lost that were safe"))?;
        let is_checked = belief.is_complete && resume.doubtful.count() > 0;
        let count = resume.doubtful.count();
        ensure(!is_checked, || format!("N4: {count} pieces of a complete torrent are checked"))?;
        let is_behind = |e: (u64, u64)| e.0 < belief.downloaded || e.1 < belief.uploaded;
        let is_back =
            is_behind((entry.downloaded, entry.uploaded)) || is_behind((record.downloaded, record.uploaded));
        ensure(!is_back, || "N5: figures went backwards".to_owned())?;
    }
    record.claim(have.clone(), &storage).map_err(|e| format!("N3: {e}"))?;
    let belief = Belief {
        is_paused: entry.is_paused,
        selection: record.selection.clone(),
        dir: entry.dir,
        have,
        is_complete: belief.is_some_and(|b| b.is_complete),
        downloaded: record.downloaded,
        uploaded: record.uploaded,
    };
    Ok((record, belief))
}

/// Reads the pieces in doubt and adds those that are right.
fn check(
    storage: &FileStorage,
    member: &Member,
    doubtful: &Bitfield,
    have: &mut Bitfield,
) -> Result<(), String> {
    let (mut reader, mut found) = (storage.piece_reader(), Vec::new());
    for piece in doubtful.iter() {
        let failed = |e| format!("N7: a check ends early: {e}");
        reader.survey(piece.0..piece.0 + 1, &mut found).map_err(failed)?;
        let right = member.piece(piece);
        let mut bytes = vec![0; right.len()];
        let is_there = match found[0] {
            PieceRead::Missing => false,
            PieceRead::Hole => true,
            PieceRead::Data => reader.read(PieceIndex(piece.0), 0, &mut bytes).map_err(failed)?,
        };
        if is_there && bytes == right {
            have.set(piece);
        }
    }
    Ok(())
}

/// N6: foreign files are as they were. N8: nothing is left of what was deleted, nor where a torrent was moved from.
fn is_clean(disk: &MemoryDisk, cast: &Cast, found: &Told) -> Result<(), String> {
    let there = disk.list(Path::new("/"));
    for (path, bytes) in FOREIGN {
        let is_same =
            matches!(there.get(Path::new(path)), Some(Standing::File(f)) if ***f == *bytes.as_bytes());
        ensure(is_same, || format!("N6: {path} is not as it was"))?;
    }
    let dirs = |hash: &WireHash| found.torrents.get(hash).map(|b| b.dir.clone());
    let gone = found.deleted.iter().chain(found.torrents.keys());
    for (hash, folder) in gone.flat_map(|hash| FOLDERS.map(|folder| (hash, Path::new(folder)))) {
        if dirs(hash).as_deref() == Some(folder) {
            continue;
        }
        let top = folder.join(cast[hash].name());
        for path in there.keys().filter(|path| path.starts_with(folder)) {
            let is_file = path.strip_prefix(folder).is_ok_and(|below| cast[hash].is_at(below));
            let is_kept = FOREIGN.iter().any(|(foreign, _)| Path::new(foreign).starts_with(path));
            let is_left = is_file || (path.starts_with(&top) && !is_kept);
            ensure(!is_left, || format!("N8: {} is left or back", path.display()))?;
        }
    }
    let is_copy = |path: &Path| path.display().to_string().contains(".unchoke-move-");
    let copy = there.keys().find(|path| is_copy(path));
    ensure(copy.is_none(), || format!("N8: {} is left of a move", copy.expect("one").display()))
}
