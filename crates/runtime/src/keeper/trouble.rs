//! Disks that fail: torrents that stopped go on when theirs is well again, and what came into doubt is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use unchoke_engine::Command;
use unchoke_storage::{ErrorKind, FileFact, Resume, ResumeRecord, Storage, check_facts};
use unchoke_wire::metainfo::Info;
use unchoke_wire::{Bitfield, FileIndex, PieceIndex, WireHash};

use super::check::Checked;
use super::kept::Kept;
use super::{Keeper, KeeperMessage};
use crate::shard::ShardMessage;
use crate::torrent::Phase;
use crate::workers::Placed;

/// How often a disk is looked at, for a torrent that waits for it and for one that uses it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a torrent waits for the next look at most, when it failed again right after each.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(300);
/// A torrent that ran so long had not gone on in vain.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// What the owner is told of a torrent that waited for its disk.
pub(super) const WELL_AGAIN: &str = "goes on, as its disk is well again";
/// Pieces the disk does not give back, from which on its owner is told whenever they look.
const UNREADABLE_FLAG: usize = 3;

/// Torrents that wait for their disk.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    waiting: BTreeMap<WireHash, Trouble>,
    /// When the roots of all others are looked at.
    next_round: Option<Instant>,
    /// Disks on which that is under way.
    rounds: BTreeSet<u64>,
}

/// One that waits, or went on.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    /// When the disk is looked at; `None` while somebody does, and after the torrent went on.
    next: Option<Instant>,
    wait: Duration,
    /// When it went on.
    well_since: Option<Instant>,
}

/// What is wrong with pieces of a torrent.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Pieces to be checked that are not being checked.
    waiting: BTreeSet<PieceIndex>,
    /// Pieces being checked.
    checking: BTreeSet<PieceIndex>,
    /// Pieces the disk does not give back.
    unreadable: BTreeSet<PieceIndex>,
}

/// What a look at a disk came to.
pub(crate) enum Look {
    /// It is well.
    Well,
    /// It is as it was.
    Ill,
    /// The root of a torrent that runs is gone.
    Gone(String),
    /// It is well and is another than before, or mounted anew: its files, by a new storage.
    Back(Placed, Resume),
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Look::Well => "Well",
            Look::Ill => "Ill",
            Look::Gone(_) => "Gone",
            Look::Back(..) => "Back",
        })
    }
}

impl Troubles {
    /// When a disk is to be looked at.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|t| t.next).chain(self.next_round).min()
    }

    /// Looks for this torrent no more.
    pub(super) fn forget(&mut self, hash: WireHash) {
        self.waiting.remove(&hash);
    }

    /// Whether a torrent that could not be opened waited for its disk, which is well.
    pub(super) fn is_well(&mut self, hash: WireHash) -> bool {
        self.waiting.get_mut(&hash).is_some_and(|t| t.next.take().is_some())
    }

    /// A torrent waits from now on.
    fn wait(&mut self, hash: WireHash) {
        let in_vain = |t: &&Trouble| t.well_since.is_some_and(|at| at.elapsed() < WELL_AFTER);
        let before = self.waiting.get(&hash).filter(in_vain);
        let wait = before.map_or(LOOK_EVERY, |t| (t.wait * 2).min(LOOK_WAIT_MAX));
        let next = Some(Instant::now() + wait);
        self.waiting.insert(hash, Trouble { next, wait, well_since: None });
    }

    /// It is looked at once more after its time.
    fn look_later(&mut self, hash: WireHash) {
        if let Some(trouble) = self.waiting.get_mut(&hash) {
            trouble.next = Some(Instant::now() + trouble.wait);
        }
    }

    /// The torrents for which it is time to look.
    fn due(&mut self, now: Instant) -> Vec<WireHash> {
        let due = self.waiting.iter_mut().filter(|(_, t)| t.next.is_some_and(|at| at <= now));
        due.map(|(hash, t)| {
            t.next = None;
            *hash
        })
        .collect()
    }
}

impl Keeper {
    /// A torrent failed. If its disk may get well, that is waited for.
    pub(super) fn watch(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get(&hash).filter(|k| k.removing.is_none()) else { return };
        let passing = |kind: ErrorKind| kind.may_pass();
        let wait = move |keeper: &mut Keeper, may_pass: bool| {
            let is_ill = |k: &Kept| k.removing.is_none() && matches!(k.entry.state().phase, Phase::Failed(_));
            if may_pass && keeper.torrents.get(&hash).is_some_and(is_ill) {
                keeper.troubles.wait(hash);
            }
        };
        if let Some(place) = kept.storage.clone() {
            if place.take_failure().is_some_and(passing) {
                return self.troubles.wait(hash);
            }
            let room = kept.room();
            self.on_disk(hash, move || place.storage.probe(room).is_err_and(|e| passing(e.kind)), wait);
        } else if let Some(metainfo) = kept.metainfo() {
            // its disk is not there, or not fit for it
            let (opening, claims) = (kept.opening(&metainfo.info, &self.pool), kept.recorded());
            let is_unfit = move || {
                opening.open().is_ok_and(|storage| {
                    storage.probe(0).is_err_and(|e| passing(e.kind))
                        || check_facts(&claims, &*storage).is_storage_missing
                })
            };
            self.on_disk(hash, is_unfit, wait);
        }
    }

    /// Looks at the disks for which it is time.
    pub(super) fn look_at_disks(&mut self) {
        let now = Instant::now();
        for hash in self.troubles.due(now) {
            self.look(hash);
        }
        if self.freeze.is_some() {
            self.troubles.next_round = None;
        } else if self.troubles.next_round.is_none_or(|at| at <= now) {
            self.look_at_roots();
            self.troubles.next_round = (!self.torrents.is_empty()).then(|| now + LOOK_EVERY);
        }
    }

    fn look(&mut self, hash: WireHash) {
        if self.is_busy(hash) {
            return self.troubles.look_later(hash);
        }
        let is_due = |k: &&Kept| k.removing.is_none() && k.errand.is_none();
        let Some(kept) = self.torrents.get(&hash).filter(is_due) else {
            return self.troubles.forget(hash);
        };
        let (Some(place), Some(metainfo)) = (kept.storage.clone(), kept.metainfo()) else {
            // it could not be opened
            return self.looked(hash, Look::Well);
        };
        let (room, known) = (kept.room(), kept.known());
        let anew = kept.opening(&metainfo.info, &self.pool);
        let disk = place.disk;
        let look = move || match place.storage.probe(room) {
            Ok(()) => Look::Well,
            Err(e) if e.kind == ErrorKind::MissingRoot => match anew.open() {
                Ok(storage) => is_back(storage, &known, room),
                Err(_) => Look::Ill,
            },
            Err(_) => Look::Ill,
        };
        self.have_looked(disk, hash, look);
    }

    /// Looks whether the roots of torrents that run are still there, all of a disk in one go.
    fn look_at_roots(&mut self) {
        let mut of_disks: BTreeMap<u64, Vec<(WireHash, Placed)>> = BTreeMap::new();
        for (hash, kept) in &self.torrents {
            let has_failed = matches!(kept.entry.state().phase, Phase::Failed(_));
            let is_looked_at = |place: &&Placed| {
                // where the last look hangs another would, too
                kept.is_ready && !has_failed && !self.troubles.rounds.contains(&place.disk)
            };
            if let Some(place) = kept.storage.as_ref().filter(is_looked_at).cloned() {
                of_disks.entry(place.disk).or_default().push((*hash, place));
            }
        }
        for (disk, torrents) in of_disks {
            self.troubles.rounds.insert(disk);
            let own = self.own.clone();
            self.look_on(disk, move || {
                for (hash, place) in torrents {
                    if let Err(e) = place.storage.is_there() {
                        let look = Look::Gone(e.to_string());
                        // the keeper may have ended
                        let _ = own.send(KeeperMessage::Looked { hash, look });
                    }
                }
                let _ = own.send(KeeperMessage::LookedRound { disk });
            });
        }
    }

    /// All torrents of a disk were looked at.
    pub(super) fn looked_round(&mut self, disk: u64) {
        self.troubles.rounds.remove(&disk);
    }

    fn have_looked(&self, disk: u64, hash: WireHash, look: impl FnOnce() -> Look + Send + 'static) {
        let own = self.own.clone();
        self.look_on(disk, move || {
            let _ = own.send(KeeperMessage::Looked { hash, look: look() });
        });
    }

    /// Looks where only that disk's work waits.
    fn look_on(&self, disk: u64, work: impl FnOnce() + Send + 'static) {
        match &self.links.workers {
            Some(workers) => workers.run(disk, Box::new(work)),
            None => work(),
        }
    }

    /// A disk was looked at.
    pub(super) fn looked(&mut self, hash: WireHash, look: Look) {
        let has_failed = |k: &&Kept| matches!(k.entry.state().phase, Phase::Failed(_));
        let Some(kept) = self.torrents.get(&hash) else { return };
        match look {
            Look::Gone(error) if !has_failed(&kept) => return self.fail(hash, error),
            Look::Gone(_) => return,
            _ if !has_failed(&kept) => return,
            Look::Ill => return self.troubles.look_later(hash),
            Look::Well => {}
            Look::Back(place, resume) => self.take_back(hash, place, &resume),
        }
        // it may have been paused since, or told to go on
        let Some(trouble) = self.troubles.waiting.get_mut(&hash) else { return };
        trouble.well_since = Some(Instant::now());
        if self.torrents.get(&hash).is_some_and(|k| k.is_ready) {
            self.go_on(hash);
            return self.warn(hash, WELL_AGAIN.to_owned());
        }
        // whether it can be opened is yet to be seen
        self.troubles.look_later(hash);
        self.go_on(hash);
    }

    /// The owner of a torrent that failed wants it to go on. What stands at its root by now is taken for it.
    pub(super) fn try_again(&mut self, hash: WireHash) {
        self.troubles.forget(hash);
        let Some(kept) = self.torrents.get(&hash) else { return };
        kept.entry.change(|s| s.phase = Phase::Starting);
        let place = kept.storage.clone().filter(|_| kept.is_ready);
        let (Some(place), Some(metainfo)) = (place, kept.metainfo()) else { return self.go_on(hash) };
        let (opening, known) = (kept.opening(&metainfo.info, &self.pool), kept.known());
        let look = move || {
            let Err(gone) = place.storage.is_there() else { return Ok(None) };
            let opened = opening.open().map(|s| (check_facts(&known, &*s), s));
            match opened {
                Ok((resume, s)) if !resume.is_storage_missing => Ok(Some((Placed::new(s), resume))),
                _ => Err(gone.to_string()),
            }
        };
        self.on_disk(hash, look, move |keeper, found| {
            match found {
                Ok(Some((place, resume))) => keeper.take_back(hash, place, &resume),
                Ok(None) => {}
                Err(gone) => return keeper.fail(hash, gone),
            }
            keeper.go_on(hash);
        });
    }

    /// A torrent that failed goes on, unless its owner wants it to rest.
    pub(super) fn go_on(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get(&hash) else { return };
        let (id, is_paused) = {
            let state = kept.entry.state();
            (state.id, state.is_paused)
        };
        let Some(torrent) = id else { return };
        let is_ready = kept.is_ready;
        if !is_paused {
            kept.entry.shard.send(ShardMessage::Command(Command::Resume(torrent)));
        }
        if is_ready {
            kept.entry.change(|s| s.phase = Phase::Running);
            self.check_doubts(hash);
        } else {
            self.open(hash);
        }
    }

    /// The files of a torrent are there again, by another storage.
    fn take_back(&mut self, hash: WireHash, place: Placed, resume: &Resume) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let Some(torrent) = kept.entry.state().id else { return };
        kept.entry.shard.send(ShardMessage::Storage { torrent, place: place.clone() });
        kept.storage = Some(place);
        let is_lost = |p: &PieceIndex| !resume.trusted.has(*p);
        let lost: Vec<PieceIndex> = kept.have.iter().filter(is_lost).collect();
        // what came into doubt when the disk went away is seen with its file
        let unread = std::mem::take(&mut kept.doubts.unreadable);
        self.doubt(hash, lost.into_iter().chain(unread));
    }

    /// A piece could not be read. Either its disk is gone, or something changed its file, or the disk is bad there.
    pub(super) fn read_failed(&mut self, hash: WireHash, piece: PieceIndex, error: String) {
        let is_open = |k: &&mut Kept| k.removing.is_none() && k.is_ready;
        let Some(kept) = self.torrents.get_mut(&hash).filter(is_open) else { return };
        let (Some(place), Some(metainfo)) = (kept.storage.clone(), kept.metainfo()) else { return };
        kept.have.clear(piece);
        let kind = place.take_failure();
        let look = move || place.storage.is_there().map(|()| place.storage.changed());
        self.on_disk(hash, look, move |keeper, changed| match changed {
            Ok(changed) => {
                let layout = &metainfo.info.layout;
                let pieces = changed.iter().flat_map(|f| layout.pieces_of(*f)).map(PieceIndex).collect();
                keeper.unread(hash, piece, (kind, error), &pieces);
            }
            Err(gone) => {
                keeper.doubt(hash, [piece]);
                keeper.fail(hash, gone.to_string());
            }
        });
    }

    /// A piece could not be read, and these are of files that something changed.
    fn unread(
        &mut self,
        hash: WireHash,
        piece: PieceIndex,
        (kind, error): (Option<ErrorKind>, String),
        pieces: &BTreeSet<PieceIndex>,
    ) {
        if !pieces.is_empty() {
            self.warn(hash, format!("{error}; it is checked now"));
            self.doubt(hash, pieces.iter().copied().chain([piece]));
            self.check_doubts(hash);
        } else if kind == Some(ErrorKind::Io) {
            self.warn(hash, format!("piece {} cannot be read and is not given to peers: {error}", piece.0));
            self.unreadable(hash, &[piece]);
            self.dirty(hash);
        } else {
            self.doubt(hash, [piece]);
            self.check_doubts(hash);
        }
    }

    /// The data of a torrent could not be synced: what was written lately may be lost. Nothing of it is claimed until it
    /// was read from the disk.
    pub(super) fn sync_failed(&mut self, hash: WireHash, error: String) {
        self.fail(hash, error);
        let Some(kept) = self.torrents.get(&hash) else { return };
        let Some(place) = kept.storage.clone() else { return };
        self.on_disk(hash, move || place.storage.facts(), move |keeper, facts| keeper.unsynced(hash, facts));
    }

    /// What was written lately is in files of which nothing can be said.
    fn unsynced(&mut self, hash: WireHash, facts: Vec<FileFact>) {
        let Some(kept) = self.torrents.get(&hash) else { return };
        let Some(metainfo) = kept.metainfo() else { return };
        let layout = &metainfo.info.layout;
        let lost = (0u32..).map(FileIndex).zip(facts).filter(|(_, fact)| *fact == FileFact::Doubtful);
        let pieces: BTreeSet<PieceIndex> =
            lost.flat_map(|(file, _)| layout.pieces_of(file)).map(PieceIndex).collect();
        let had = pieces.into_iter().filter(|p| kept.have.has(*p)).collect::<Vec<_>>();
        self.doubt(hash, had);
        self.check_doubts(hash);
    }

    /// Pieces are neither served nor claimed until they were checked.
    fn doubt(&mut self, hash: WireHash, pieces: impl IntoIterator<Item = PieceIndex>) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let mut doubted = Bitfield::none(kept.have.len());
        for piece in pieces {
            kept.have.clear(piece);
            kept.doubts.waiting.insert(piece);
            doubted.set(piece);
        }
        if let Some(torrent) = kept.entry.state().id {
            let command = Command::Doubt { torrent, pieces: doubted };
            kept.entry.shard.send(ShardMessage::Command(command));
        }
        self.dirty(hash);
    }

    /// Has the pieces checked that are in doubt, unless others are being checked.
    fn check_doubts(&mut self, hash: WireHash) {
        let Some(kept) = self.torrents.get_mut(&hash).filter(|k| k.removing.is_none()) else { return };
        let (Some(place), Some(metainfo)) = (kept.storage.clone(), kept.metainfo()) else { return };
        if !kept.doubts.checking.is_empty() || kept.doubts.waiting.is_empty() {
            return;
        }
        let layout = &metainfo.info.layout;
        let mut pieces = Bitfield::none(layout.piece_count());
        let mut files = BTreeSet::new();
        kept.doubts.checking = std::mem::take(&mut kept.doubts.waiting);
        for piece in kept.doubts.checking.iter().copied() {
            pieces.set(piece);
            files.extend(layout.spans(piece, 0, layout.len_of(piece)).map(|span| span.file));
        }
        self.check(hash, &place, &metainfo, pieces, files.into_iter().collect());
    }

    /// Pieces of a torrent that runs were checked.
    pub(super) fn rechecked(&mut self, hash: WireHash, result: Result<Checked, String>) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let checked = std::mem::take(&mut kept.doubts.checking);
        let Checked { pieces, good, unreadable } = match result {
            Ok(checked) => checked,
            Err(error) => {
                // all of them are in doubt still, and are looked at when it goes on
                kept.doubts.waiting.extend(checked);
                return self.fail(hash, error);
            }
        };
        let mut bad = pieces;
        for piece in good.iter().chain(unreadable.iter().copied()) {
            bad.clear(piece);
        }
        good.iter().for_each(|p| _ = kept.have.set(p));
        let lost = bad.count();
        if lost > 0 {
            kept.entry.change(|s| s.is_complete = false);
        }
        if let Some(torrent) = kept.entry.state().id {
            let command = Command::Settle { torrent, good, bad };
            kept.entry.shard.send(ShardMessage::Command(command));
        }
        self.unreadable(hash, &unreadable);
        if lost > 0 {
            self.warn(hash, format!("{lost} pieces are not on the disk any more; they are to be got again"));
        }
        self.dirty(hash);
        self.check_doubts(hash);
    }

    /// Pieces that the disk does not give back. From some on it is not chance, and the owner should know.
    pub(super) fn unreadable(&mut self, hash: WireHash, pieces: &[PieceIndex]) {
        let Some(kept) = self.torrents.get_mut(&hash) else { return };
        let before = kept.doubts.unreadable.len();
        kept.doubts.unreadable.extend(pieces);
        let count = kept.doubts.unreadable.len();
        if count >= UNREADABLE_FLAG && count > before {
            let text = format!("{count} pieces cannot be read; look at the disk, then recheck the torrent");
            kept.entry.change(|s| s.trouble = Some(text.as_str().into()));
            self.warn(hash, text);
        }
    }
}

impl Kept {
    /// It is opened anew, and looked at as a whole.
    pub(super) fn forget_doubts(&mut self) {
        self.doubts = Doubts::default();
        self.entry.change(|s| s.trouble = None);
    }

    /// Bytes that should find room before it is worth going on.
    fn room(&self) -> u64 {
        let pieces = |info: &Info| match self.is_complete(info) {
            true => 0,
            false => 2 * u64::from(info.layout.piece_len()),
        };
        self.metainfo().map_or(0, |m| pieces(&m.info))
    }

    /// A record of what is known, to compare files with.
    fn known(&self) -> ResumeRecord {
        let mut record = ResumeRecord::new(self.entry.hash, self.entry.hashes);
        record.have.clone_from(&self.have);
        record.facts.clone_from(&self.facts);
        record
    }
}

/// Whether the files of a record are there, by a storage that has not looked yet.
fn is_back(storage: Arc<dyn Storage>, known: &ResumeRecord, room: u64) -> Look {
    let resume = check_facts(known, &*storage);
    let now = storage.facts();
    let is_same =
        |(then, now): (&FileFact, &FileFact)| then == now && matches!(now, FileFact::Present { .. });
    // an empty mount point, or another disk
    let is_ours = known.facts.iter().zip(&now).any(is_same);
    match is_ours && !resume.is_storage_missing && storage.probe(room).is_ok() {
        true => Look::Back(Placed::new(storage), resume),
        false => Look::Ill,
    }
}
