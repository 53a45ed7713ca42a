//! A disk in memory that notes every operation, for trying out a crash after each of them. It does what the machine's does,
//! links, second names, modes, times, numbers of files and other file systems included; what it lacks are owners, limits
//! and open files without a name.

mod backend;
mod calls;
mod history;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use calls::{Folder, OpenFile, components};
use history::Kept;
pub use history::{Fate, History};
use tree::{Kind, NodeId, Op, TOP, Tree};

/// A disk in memory. A clone is the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    kept: Kept,
    /// What there was at first.
    begin: Kept,
    ops: Vec<Op>,
    /// Files somebody holds the lock of.
    locked: BTreeSet<NodeId>,
    /// Never given twice, so that no number tells of two files.
    next: NodeId,
}

/// What stands at a path of a [`MemoryDisk`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A file, with its bytes.
    File(Arc<Vec<u8>>),
    /// A folder.
    Folder,
    /// A link, and what it leads to.
    Link(String),
}

/// One step of the clock, in nanoseconds: that of a kernel with 250 ticks a second.
const TICK_NS: i64 = 4_000_000;
/// Operations within one step: several changes have one time.
const OPS_PER_TICK: usize = 5;

impl Default for MemoryDisk {
    fn default() -> Self {
        MemoryDisk::new()
    }
}

impl MemoryDisk {
    /// A disk with these files, each with the path it lies at. They are sure to stay.
    pub fn with_files<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> Self {
        let disk = MemoryDisk::new();
        for (path, bytes) in files {
            let made = disk.top().create_file(&components(Path::new(path)), 0o644);
            let (file, _) = made.expect("a file in folders of its own");
            file.write_all_at(bytes, 0).expect("a small file");
        }
        let kept = disk.state().kept.clone();
        MemoryDisk::of(Kept::sure(kept.live, kept.count))
    }

    /// What lies at `path` is another file system: no file has names in both, and none moves from one to the other.
    ///
    /// # Panics
    /// When no folder is there.
    pub fn with_mount(self, path: &Path) -> Self {
        let folder = self.state().find(path).expect("a folder is mounted on");
        let mut kept = self.state().kept.clone();
        kept.live.set_device(folder, folder);
        MemoryDisk::of(Kept::sure(kept.live, kept.count))
    }

    /// No file has a second name, as on FAT.
    pub fn without_links(self) -> Self {
        let mut kept = self.state().kept.clone();
        kept.live.has_links = false;
        MemoryDisk::of(Kept::sure(kept.live, kept.count))
    }

    /// An empty disk.
    pub fn new() -> Self {
        Self::of(Kept::sure(Tree::new(), 0))
    }

    fn of(kept: Kept) -> Self {
        let (begin, next) = (kept.clone(), kept.live.free_id());
        let state = State { kept, begin, ops: Vec::new(), locked: BTreeSet::new(), next };
        MemoryDisk(Arc::new(Mutex::new(state)))
    }

    /// Operations done since the disk was made.
    pub fn ops(&self) -> usize {
        self.state().ops.len()
    }

    /// The operations so far, to be played back.
    pub fn history(&self) -> History {
        let state = self.state();
        History::new(state.begin.clone(), state.ops.clone())
    }

    /// The disk when power fails now.
    pub fn after_power_cut(&self, fate: Fate, seed: u64) -> MemoryDisk {
        MemoryDisk::of(self.state().kept.after_power_cut(fate, seed))
    }

    /// Everything below `path`, by its path.
    pub fn list(&self, path: &Path) -> BTreeMap<PathBuf, Standing> {
        let state = self.state();
        let mut found = BTreeMap::new();
        let mut waiting = vec![(path.to_owned(), state.find(path))];
        while let Some((path, node)) = waiting.pop() {
            let Some((id, node)) = node.and_then(|id| Some((id, state.kept.live.node(id)?))) else {
                continue;
            };
            let what = match &node.kind {
                Kind::File(bytes) => Standing::File(Arc::clone(bytes)),
                Kind::Folder(_) => Standing::Folder,
                Kind::Link(target) => Standing::Link(target.clone()),
            };
            for (name, id) in state.kept.live.entries(id).into_iter().flatten() {
                waiting.push((path.join(name), Some(*id)));
            }
            found.insert(path, what);
        }
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Does an operation and notes it.
    fn act(&mut self, op: Op) {
        self.kept.step(&op);
        self.ops.push(op);
    }

    fn new_id(&mut self) -> NodeId {
        self.next += 1;
        self.next - 1
    }

    /// Now, by the clock of the file system, in nanoseconds since 1970.
    fn now_ns(&self) -> i64 {
        let ticks = i64::try_from(self.kept.count / OPS_PER_TICK).expect("operations are counted in memory");
        ticks * TICK_NS
    }

    fn find(&self, path: &Path) -> Option<NodeId> {
        calls::components(path)
            .iter()
            .try_fold(TOP, |folder, name| self.kept.live.entries(folder)?.get(name).copied())
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::Volume;
    use crate::volume::{Beneath, File, How, link_new, rename_new, sync_dir};

    const PATH: &str = "/d/f";

    fn bytes(disk: &MemoryDisk, path: &str) -> Option<Vec<u8>> {
        match disk.list(Path::new("/")).remove(Path::new(path)) {
            Some(Standing::File(bytes)) => Some(bytes.to_vec()),
            _ => None,
        }
    }

    /// A disk with `old` in a file, sure to stay.
    fn disk() -> (MemoryDisk, Volume, File) {
        let disk = MemoryDisk::with_files([(PATH, &b"old"[..])]);
        let volume = Volume::from(&disk);
        let file = volume.open(Path::new(PATH), How::Write).unwrap();
        (disk, volume, file)
    }

    #[test]
    fn a_power_cut_takes_what_was_not_synced_and_a_kill_does_not() {
        let (disk, _, file) = disk();
        file.write_all_at(b"newer", 0).unwrap();
        let lost = disk.after_power_cut(Fate::Nothing, 1);
        assert_eq!(bytes(&lost, PATH).as_deref(), Some(&b"old"[..]));
        let zeros = disk.after_power_cut(Fate::LengthsOnly, 1);
        assert_eq!(bytes(&zeros, PATH).as_deref(), Some(&b"old\0\0"[..]));
        let mut history = disk.history();
        assert!(history.step() && !history.step());
        assert_eq!(bytes(&history.after_kill(), PATH).as_deref(), Some(&b"newer"[..]));
        // what a kill left is still not sure
        let after = history.after_kill().after_power_cut(Fate::Nothing, 1);
        assert_eq!(bytes(&after, PATH).as_deref(), Some(&b"old"[..]));
        file.sync_all().unwrap();
        assert_eq!(bytes(&disk.after_power_cut(Fate::Nothing, 1), PATH).as_deref(), Some(&b"newer"[..]));
    }

    #[test]
    fn a_name_is_sure_once_its_folder_is_synced() {
        let (disk, volume, _) = disk();
        let file = volume.open(Path::new("/d/g"), How::New).unwrap();
        file.write_all_at(b"g", 0).unwrap();
        file.sync_all().unwrap();
        assert_eq!(bytes(&disk.after_power_cut(Fate::Nothing, 1), "/d/g"), None);
        sync_dir(&volume.open_dir(Path::new("/d")).unwrap()).unwrap();
        assert_eq!(bytes(&disk.after_power_cut(Fate::Nothing, 1), "/d/g").as_deref(), Some(&b"g"[..]));
        volume.rename(Path::new("/d/g"), Path::new(PATH)).unwrap();
        assert_eq!(bytes(&disk.after_power_cut(Fate::Nothing, 1), PATH).as_deref(), Some(&b"old"[..]));
        sync_dir(&volume.open_dir(Path::new("/d")).unwrap()).unwrap();
        let after = disk.after_power_cut(Fate::Nothing, 1);
        assert_eq!((bytes(&after, PATH).as_deref(), bytes(&after, "/d/g")), (Some(&b"g"[..]), None));
    }

    #[test]
    fn a_second_name_is_of_the_same_file_and_sure_once_its_folder_is_synced() {
        let (disk, volume, file) = disk();
        let root = volume.open_dir(Path::new("/")).unwrap();
        let path = |names: [&str; 2]| names.map(str::to_owned);
        let (old, new) = (path(["d", "f"]), path(["e", "g"]));
        let beneath = |path| Beneath { root: &root, path };
        link_new(beneath(&old), beneath(&new)).unwrap();
        assert_eq!(
            link_new(beneath(&old), beneath(&new)).unwrap_err().kind(),
            std::io::ErrorKind::AlreadyExists
        );
        file.write_all_at(b"new", 0).unwrap();
        file.sync_all().unwrap();
        assert_eq!(bytes(&disk, "/e/g").as_deref(), Some(&b"new"[..]));
        assert_eq!(bytes(&disk.after_power_cut(Fate::Nothing, 1), "/e/g"), None);
        sync_dir(&root).unwrap();
        sync_dir(&volume.open_dir(Path::new("/e")).unwrap()).unwrap();
        volume.remove_if_there(Path::new(PATH)).unwrap();
        sync_dir(&volume.open_dir(Path::new("/d")).unwrap()).unwrap();
        let after = disk.after_power_cut(Fate::Nothing, 1);
        assert_eq!((bytes(&after, "/e/g").as_deref(), bytes(&after, PATH)), (Some(&b"new"[..]), None));
    }

    #[test]
    fn nothing_has_names_on_two_file_systems_or_moves_between_them() {
        let files = [(PATH, &b"old"[..]), ("/far/mine", &b"mine"[..])];
        let path = |names: [&str; 2]| names.map(str::to_owned);
        let (old, near, far) = (path(["d", "f"]), path(["d", "g"]), path(["far", "g"]));
        let errno = |result: std::io::Result<()>| Errno::from_io_error(&result.unwrap_err());
        let disk = MemoryDisk::with_files(files).with_mount(Path::new("/far"));
        let root = Volume::from(&disk).open_dir(Path::new("/")).unwrap();
        let beneath = |path| Beneath { root: &root, path };
        assert_eq!(errno(link_new(beneath(&old), beneath(&far))), Some(Errno::XDEV));
        assert_eq!(errno(rename_new(beneath(&old), beneath(&far))), Some(Errno::XDEV));
        link_new(beneath(&old), beneath(&near)).unwrap();
        assert_eq!(errno(rename_new(beneath(&old), beneath(&near))), Some(Errno::EXIST));
        let disk = MemoryDisk::with_files(files).without_links();
        let root = Volume::from(&disk).open_dir(Path::new("/")).unwrap();
        let beneath = |path| Beneath { root: &root, path };
        assert_eq!(errno(link_new(beneath(&old), beneath(&far))), Some(Errno::PERM));
        rename_new(beneath(&old), beneath(&far)).unwrap();
        assert_eq!((bytes(&disk, PATH), bytes(&disk, "/far/g").as_deref()), (None, Some(&b"old"[..])));
    }

    #[test]
    fn a_rename_may_outlive_the_bytes_of_the_file() {
        let (disk, volume, _) = disk();
        let file = volume.open(Path::new("/d/new"), How::New).unwrap();
        file.write_all_at(b"bytes", 0).unwrap();
        volume.rename(Path::new("/d/new"), Path::new(PATH)).unwrap();
        assert_eq!(bytes(&disk.after_power_cut(Fate::NamesOnly, 1), PATH).as_deref(), Some(&b""[..]));
        assert_eq!(bytes(&disk.after_power_cut(Fate::Everything, 1), PATH).as_deref(), Some(&b"bytes"[..]));
    }

    #[test]
    fn writes_tear_at_sectors_the_same_way_for_one_seed() {
        let (disk, _, file) = disk();
        file.write_all_at(&[7; 4096], 0).unwrap();
        let torn = |seed| bytes(&disk.after_power_cut(Fate::Torn { sector: 512 }, seed), PATH).unwrap();
        let kinds: BTreeSet<Vec<u8>> = (0..50).map(torn).collect();
        assert!(kinds.len() > 10, "{}", kinds.len());
        assert!(
            kinds
                .iter()
                .all(|k| k.len() <= 4096 && k.chunks(512).skip(1).all(|c| c.iter().all(|b| *b == c[0])))
        );
        assert_eq!(torn(9), torn(9));
    }

    #[test]
    fn changes_within_a_tick_of_the_clock_have_one_time() {
        let (_disk, _, file) = disk();
        let File::Memory(file) = file else { unreachable!("a disk in memory") };
        let mut times = BTreeSet::new();
        for n in 0..20 {
            file.write_all_at(&[n], 0).unwrap();
            times.insert(file.facts().mtime_ns);
        }
        assert!(times.len() > 2 && times.len() < 8, "{times:?}");
    }
}
