//! Who takes part, and what the owner was told: what must be true after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use unchoke_storage::{FileSpec, StorageSpec};
use unchoke_wire::{Bitfield, InfoHashes, Layout, PieceIndex, WireHash};

/// All torrents of a history, whether the session has them or not.
pub(crate) type Cast = BTreeMap<WireHash, Member>;

/// A torrent and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) hashes: InfoHashes,
    pub(crate) spec: StorageSpec,
    bytes: Vec<u8>,
}

/// What a torrent is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// One file.
    Single,
    /// Files in folders, a pad, an empty file, one to execute and a link.
    Folders,
}

/// What the owner was told by the time the disk had done `at` operations.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) at: usize,
    pub(crate) torrents: BTreeMap<WireHash, Belief>,
    /// Torrents whose data went with them: nothing of it is there any more.
    pub(crate) deleted: BTreeSet<WireHash>,
}

/// What the owner was told of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Belief {
    pub(crate) is_paused: bool,
    pub(crate) selection: Vec<bool>,
    pub(crate) dir: PathBuf,
    /// Pieces that are safe.
    pub(crate) have: Bitfield,
    /// Whether it was told to be complete.
    pub(crate) is_complete: bool,
    pub(crate) downloaded: u64,
    pub(crate) uploaded: u64,
}

impl Member {
    /// A torrent with random bytes, and its hash.
    pub(crate) fn new(number: usize, shape: Shape, rng: &mut ChaCha8Rng) -> (WireHash, Member) {
        let name = match shape {
            Shape::Single => format!("single-{number}"),
            Shape::Folders => format!("folders-{number}"),
        };
        let piece_len = [2048, 4096, 5000][rng.random_range(0..3)];
        let file = |path: &[&str], len: u64| FileSpec {
            path: std::iter::once(name.as_str()).chain(path.iter().copied()).map(str::to_owned).collect(),
            len,
            ..FileSpec::default()
        };
        let files = match shape {
            Shape::Single => vec![file(&[], rng.random_range(9_000..24_000))],
            Shape::Folders => vec![
                file(&["a.bin"], rng.random_range(3_000..9_000)),
                FileSpec { is_pad: true, ..file(&[".pad", "0"], rng.random_range(1..3_000)) },
                FileSpec { is_executable: true, ..file(&["sub", "run"], rng.random_range(500..9_000)) },
                file(&["sub", "empty"], 0),
                file(&["sub", "deep", "b.bin"], rng.random_range(3_000..9_000)),
                FileSpec { symlink: Some(vec![name.clone(), "a.bin".to_owned()]), ..file(&["link"], 0) },
                file(&["z"], rng.random_range(1..5_000)),
            ],
        };
        let layout = Layout::new(piece_len, files.iter().map(|f| f.len)).expect("sizes of a torrent");
        let spec = StorageSpec { layout, files };
        let mut bytes = Vec::new();
        for file in &spec.files {
            let at = bytes.len();
            bytes.resize(at + usize::try_from(file.len).expect("a small file"), 0);
            if !file.is_pad {
                rng.fill_bytes(&mut bytes[at..]);
            }
        }
        let hashes = InfoHashes::v1_of(format!("{number} {}", rng.random::<u64>()).as_bytes());
        let hash = hashes.best().expect("it has a hash").wire();
        (hash, Member { hashes, spec, bytes })
    }

    pub(crate) fn piece(&self, piece: PieceIndex) -> &[u8] {
        let layout = &self.spec.layout;
        let from = usize::try_from(layout.start_of(piece)).expect("a small torrent");
        &self.bytes[from..from + layout.len_of(piece) as usize]
    }

    /// The pieces that files selected so have a part in.
    pub(crate) fn wanted(&self, selection: &[bool]) -> Bitfield {
        let pieces = self.spec.layout.piece_count();
        if selection.is_empty() {
            return Bitfield::all(pieces);
        }
        let mut wanted = Bitfield::none(pieces);
        let files = (0u32..).zip(&self.spec.files).zip(selection);
        for ((number, _), _) in files.filter(|((_, file), s)| **s && file.is_stored()) {
            for piece in self.spec.layout.pieces_of(unchoke_wire::FileIndex(number)) {
                wanted.set(PieceIndex(piece));
            }
        }
        wanted
    }

    /// Whether `path` in a folder of data is that of one of its files, or of its part file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let is_file = |f: &FileSpec| !f.is_pad && f.path.iter().collect::<PathBuf>() == path;
        self.spec.files.iter().any(is_file) || path == Path::new(&format!(".{}.unchoke-part", self.name()))
    }

    /// What its data is called.
    pub(crate) fn name(&self) -> &str {
        self.spec.name()
    }
}
