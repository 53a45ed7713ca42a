//! A session without threads: it does with storage and state what the keeper of the program does, in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use unchoke_storage::{
    Allocation, FileStorage, MemoryDisk, Options, Relocation, ResumeRecord, StateChange, StateStore, Storage,
    TorrentEntry, Volume, check_facts,
};
use unchoke_wire::{Bitfield, PieceIndex, WireHash};

use super::book::{Belief, Cast, Member, Shape, Told};
use super::journey::Journey;
use super::{Tale, history_rng};

/// Where the state is.
pub(super) const STATE: &str = "/state";
/// Where the data is at first.
pub(crate) const DATA: &str = "/data";
/// Another folder of the same file system.
pub(crate) const NEAR: &str = "/near";
/// A folder of another file system.
pub(crate) const FAR: &str = "/far";
/// All of them.
pub(super) const FOLDERS: [&str; 3] = [DATA, NEAR, FAR];

/// A session on a disk in memory.
pub(crate) struct Session {
    pub(crate) rng: ChaCha8Rng,
    disk: MemoryDisk,
    store: StateStore,
    cast: Cast,
    open: BTreeMap<WireHash, Open>,
    told: Vec<Told>,
    /// How space for files is taken.
    pub(crate) allocation: Allocation,
}

struct Open {
    storage: FileStorage,
    entry: TorrentEntry,
    selection: Vec<bool>,
    have: Bitfield,
    downloaded: u64,
    uploaded: u64,
}

/// How a torrent's storage is opened, as the keeper does it.
pub(super) fn options(
    disk: &MemoryDisk,
    claims: bool,
    selection: &[bool],
    allocation: Allocation,
) -> Options {
    Options {
        allocation,
        may_create_root: !claims,
        makes_symlinks: true,
        selection: (!selection.is_empty()).then(|| selection.to_vec()),
        volume: Volume::from(disk),
        ..Options::default()
    }
}

impl Session {
    /// A session that begins with nothing but foreign files, on one disk that is mounted on another.
    pub(crate) fn new(seed: u64) -> Result<Self, String> {
        Session::on(foreign(), seed)
    }

    /// As [`Self::new`], where no file has a second name.
    pub(crate) fn without_links(seed: u64) -> Result<Self, String> {
        Session::on(foreign().without_links(), seed)
    }

    fn on(disk: MemoryDisk, seed: u64) -> Result<Self, String> {
        let nothing = Told { at: 0, torrents: BTreeMap::new(), deleted: BTreeSet::new() };
        let store = StateStore::open_on(&Volume::from(&disk), Path::new(STATE)).map_err(|e| e.to_string())?;
        Ok(Session {
            rng: history_rng(seed),
            disk,
            store,
            cast: Cast::new(),
            open: BTreeMap::new(),
            told: vec![nothing],
            allocation: Allocation::Sparse,
        })
    }

    /// Adds torrents of a shape, together.
    pub(crate) fn add(&mut self, count: usize, shape: Shape) -> Result<Vec<WireHash>, String> {
        let (mut changes, mut hashes) = (Vec::new(), Vec::new());
        let mut torrents = self.last();
        for _ in 0..count {
            let (hash, member) = Member::new(self.cast.len(), shape, &mut self.rng);
            let entry = TorrentEntry::new(member.hashes, PathBuf::from(DATA), 1_700_000_000);
            changes.push(StateChange::Entry(hash, entry));
            changes.push(StateChange::Metainfo(hash, member.name().as_bytes().to_vec()));
            let belief = Belief {
                is_paused: false,
                selection: Vec::new(),
                dir: PathBuf::from(DATA),
                have: Bitfield::none(member.spec.layout.piece_count()),
                is_complete: false,
                downloaded: 0,
                uploaded: 0,
            };
            torrents.torrents.insert(hash, belief);
            self.cast.insert(hash, member);
            hashes.push(hash);
        }
        self.commit(&changes, torrents)?;
        for hash in &hashes {
            self.start(*hash)?;
        }
        Ok(hashes)
    }

    /// Opens the storage of a torrent and finds out what it holds.
    fn start(&mut self, hash: WireHash) -> Result<(), String> {
        let member = &self.cast[&hash];
        let entry = self.store.torrent(hash).map_err(|e| e.to_string())?.ok_or("its entry is there")?;
        let empty = ResumeRecord::new(hash, member.hashes);
        let record = self.store.record(hash).map_err(|e| e.to_string())?.record.unwrap_or(empty);
        let claims = record.have.count() > 0;
        let options = options(&self.disk, claims, &record.selection, self.allocation);
        let storage =
            FileStorage::open(&entry.dir, member.spec.clone(), options).map_err(|e| e.to_string())?;
        let have = check_facts(&record, &storage).trusted;
        storage.prepare().map_err(|e| e.to_string())?;
        let (downloaded, uploaded) = (record.downloaded, record.uploaded);
        let selection = record.selection;
        self.open.insert(hash, Open { storage, entry, selection, have, downloaded, uploaded });
        Ok(())
    }

    /// The owner wants it to rest, or to go on.
    pub(crate) fn pause(&mut self, hash: WireHash, is_paused: bool) -> Result<(), String> {
        let mut told = self.last();
        told.torrents.get_mut(&hash).ok_or("a torrent of the session")?.is_paused = is_paused;
        let open = self.open.get_mut(&hash).ok_or("a torrent of the session")?;
        open.entry.is_paused = is_paused;
        let change = StateChange::Entry(hash, open.entry.clone());
        self.commit(&[change], told)
    }

    /// The owner chose other files. A piece that was under way comes all the same.
    pub(crate) fn select(&mut self, hash: WireHash) -> Result<(), String> {
        let files = self.cast[&hash].spec.files.len();
        let mut selection: Vec<bool> = (0..files).map(|_| self.rng.random_bool(0.5)).collect();
        selection[files - 1] = true;
        // from here on it may be incomplete
        let mut told = self.last();
        told.torrents.get_mut(&hash).ok_or("a torrent of the session")?.is_complete = false;
        self.told.push(Told { at: self.disk.ops(), ..told });
        let member = &self.cast[&hash];
        let open = self.open.get_mut(&hash).ok_or("a torrent of the session")?;
        let missing = open.missing(member);
        open.storage.set_selection(&selection).map_err(|e| e.to_string())?;
        open.selection = selection;
        if let Some(piece) = missing.get(self.rng.random_range(0..missing.len() + 3)) {
            open.receive(member, *piece)?;
        }
        self.save(&[hash])
    }

    /// Some pieces come that are wanted and were not there: written, as nobody has synced them yet. Says whether any is left.
    pub(crate) fn download(&mut self, hash: WireHash, count: usize) -> Result<bool, String> {
        let member = &self.cast[&hash];
        let open = self.open.get_mut(&hash).ok_or("a torrent of the session")?;
        for _ in 0..count {
            let missing = open.missing(member);
            if missing.is_empty() {
                return Ok(false);
            }
            open.receive(member, missing[self.rng.random_range(0..missing.len())])?;
        }
        Ok(!open.missing(member).is_empty())
    }

    /// Makes torrents durable: data, then records and figures in one commit.
    pub(crate) fn save(&mut self, hashes: &[WireHash]) -> Result<(), String> {
        let mut told = self.last();
        let mut changes = Vec::new();
        for hash in hashes {
            let open = self.open.get_mut(hash).ok_or("a torrent of the session")?;
            let belief = told.torrents.get_mut(hash).ok_or("a torrent of the session")?;
            let record = open.claim(*hash, belief)?;
            changes.push(StateChange::Entry(*hash, open.entry.clone()));
            changes.push(StateChange::Record(record));
        }
        self.commit(&changes, told)
    }

    /// Downloads what is wanted, saving now and then, and finishes.
    pub(crate) fn complete(&mut self, hash: WireHash) -> Result<(), String> {
        while self.download(hash, 2)? {
            if self.rng.random_bool(0.4) {
                self.save(&[hash])?;
            }
        }
        self.open[&hash].storage.finish().map_err(|e| e.to_string())?;
        self.save(&[hash])?;
        let mut told = self.last();
        told.at = self.disk.ops();
        told.torrents.get_mut(&hash).ok_or("a torrent of the session")?.is_complete = true;
        self.told.push(told);
        Ok(())
    }

    /// The owner wants it to go, with its data or without.
    pub(crate) fn remove(&mut self, hash: WireHash, delete_data: bool) -> Result<(), String> {
        let mut told = self.last();
        let mut open = self.open.remove(&hash).ok_or("a torrent of the session")?;
        told.torrents.remove(&hash);
        if delete_data {
            told.deleted.insert(hash);
            open.entry.is_deleting = true;
            self.store.commit(&[StateChange::Entry(hash, open.entry.clone())]).map_err(|e| e.to_string())?;
            open.storage.delete().map_err(|e| e.to_string())?;
        }
        self.commit(&[StateChange::Remove(hash)], told)
    }

    /// The owner wants its files in another folder.
    pub(crate) fn relocate(&mut self, hash: WireHash, to: &str) -> Result<(), String> {
        let mut told = self.last();
        let (mut entry, mut record) = self.close(hash, to, &mut told)?;
        self.journey(hash).relocate(&mut entry, &mut record, Path::new(to))?;
        self.told.push(Told { at: self.disk.ops(), ..told });
        self.start(hash)
    }

    /// The owner wants its files in another folder, that breaks off, and the owner wants it to go with its data.
    pub(crate) fn remove_moving(&mut self, hash: WireHash, to: &str, is_placed: bool) -> Result<(), String> {
        let mut told = self.last();
        let (mut entry, mut record) = self.close(hash, to, &mut told)?;
        let way = (Path::new(to), is_placed);
        self.journey(hash).break_off(&mut entry, &mut record, way)?;
        if is_placed {
            self.told.push(Told { at: self.disk.ops(), ..told });
        }
        let mut told = self.last();
        told.torrents.remove(&hash);
        told.deleted.insert(hash);
        entry.is_deleting = true;
        self.store.commit(&[StateChange::Entry(hash, entry.clone())]).map_err(|e| e.to_string())?;
        self.journey(hash).delete(&entry, &record)?;
        self.told.push(Told { at: self.disk.ops(), ..told });
        Ok(())
    }

    /// Closes the storage of a torrent before its files go to another folder; `told` is what comes of that.
    fn close(
        &mut self,
        hash: WireHash,
        to: &str,
        told: &mut Told,
    ) -> Result<(TorrentEntry, ResumeRecord), String> {
        let belief = told.torrents.get_mut(&hash).ok_or("a torrent of the session")?;
        let mut open = self.open.remove(&hash).ok_or("a torrent of the session")?;
        let (volume, spec) = (Volume::from(&self.disk), self.cast[&hash].spec.clone());
        let relocation = Relocation::new_on(&volume, spec, &open.entry.dir, Path::new(to));
        relocation.and_then(|r| r.check()).map_err(|e| e.to_string())?;
        let record = open.claim(hash, belief)?;
        belief.dir = PathBuf::from(to);
        Ok((open.entry, record))
    }

    fn journey(&self, hash: WireHash) -> Journey<'_> {
        Journey { disk: &self.disk, store: &self.store, member: &self.cast[&hash], hash }
    }

    /// Where the data of a torrent is.
    pub(crate) fn dir(&self, hash: WireHash) -> Option<&Path> {
        self.open.get(&hash).map(|open| open.entry.dir.as_path())
    }

    /// Makes changes durable, and tells the owner.
    fn commit(&mut self, changes: &[StateChange], told: Told) -> Result<(), String> {
        self.store.commit(changes).map_err(|e| e.to_string())?;
        self.told.push(Told { at: self.disk.ops(), ..told });
        Ok(())
    }

    /// A second session begins on the same folder: it is refused, and changes nothing.
    pub(crate) fn second(&mut self) -> Result<(), String> {
        let before = self.disk.list(Path::new("/"));
        let second = StateStore::open_on(&Volume::from(&self.disk), Path::new(STATE));
        match second {
            Err(unchoke_storage::StateError::Busy { .. }) if before == self.disk.list(Path::new("/")) => {
                Ok(())
            }
            Err(unchoke_storage::StateError::Busy { .. }) => {
                Err("the second session changed something".to_owned())
            }
            _ => Err("a second session began".to_owned()),
        }
    }

    /// Ends, and begins anew with all its torrents.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        self.open.clear();
        // one that is not there: a store is closed before it is opened
        let elsewhere = StateStore::open_on(&Volume::from(&MemoryDisk::new()), Path::new(STATE));
        drop(std::mem::replace(&mut self.store, elsewhere.map_err(|e| e.to_string())?));
        self.store =
            StateStore::open_on(&Volume::from(&self.disk), Path::new(STATE)).map_err(|e| e.to_string())?;
        let hashes: Vec<WireHash> = self.last().torrents.into_keys().collect();
        hashes.into_iter().try_for_each(|hash| self.start(hash))
    }

    /// The end: its disk, and what it told.
    pub(crate) fn into_tale(self) -> Tale {
        Tale { disk: self.disk, cast: self.cast, told: self.told }
    }

    /// What it told last.
    fn last(&self) -> Told {
        self.told.last().cloned().expect("a session begins with nothing told")
    }
}

impl Open {
    /// The pieces that are wanted and not there.
    fn missing(&self, member: &Member) -> Vec<PieceIndex> {
        member.wanted(&self.selection).iter().filter(|p| !self.have.has(*p)).collect()
    }

    /// A piece comes and is verified.
    fn receive(&mut self, member: &Member, piece: PieceIndex) -> Result<(), String> {
        self.storage.write(piece, 0, member.piece(piece)).map_err(|e| e.to_string())?;
        self.have.set(piece);
        self.downloaded += u64::from(member.spec.layout.len_of(piece));
        self.uploaded += 1000;
        Ok(())
    }

    /// Syncs the data, then makes a record of what is true of it, which is what the owner will believe.
    fn claim(&mut self, hash: WireHash, belief: &mut Belief) -> Result<ResumeRecord, String> {
        let mut record = ResumeRecord::new(hash, self.entry.hashes);
        record.claim(self.have.clone(), &self.storage).map_err(|e| e.to_string())?;
        record.selection.clone_from(&self.selection);
        (record.downloaded, record.uploaded) = (self.downloaded, self.uploaded);
        (self.entry.downloaded, self.entry.uploaded) = (self.downloaded, self.uploaded);
        (belief.downloaded, belief.uploaded) = (self.downloaded, self.uploaded);
        belief.have.clone_from(&self.have);
        belief.selection.clone_from(&self.selection);
        Ok(record)
    }
}

/// A disk with foreign files, and another one mounted on it.
fn foreign() -> MemoryDisk {
    let files = FOREIGN.iter().map(|(path, bytes)| (*path, bytes.as_bytes()));
    MemoryDisk::with_files(files).with_mount(Path::new(FAR))
}

/// Files that are nobody's business.
pub(super) const FOREIGN: [(&str, &str); 6] = [
    ("/data/notes.txt", "of somebody else"),
    ("/data/folders-0/sub/mine", "among the torrent's files"),
    ("/near/folders-0/sub/deep/mine", "where the torrent's files come"),
    ("/far/folders-0/mine", "where they are copied"),
    ("/far/notes.txt", "of somebody else"),
    ("/elsewhere/f", "on another path"),
];
