//! The payloads the matrix moves, and how a downloaded copy is compared with the original.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Files on disk to be seeded, with the piece length they are cut by.
#[derive(Clone)]
pub(crate) struct Payload {
    /// For case names: what it is.
    pub(crate) label: &'static str,
    /// The file, or the root folder, inside `parent`.
    pub(crate) name: &'static str,
    /// The folder a client is given as its download folder.
    pub(crate) parent: PathBuf,
    /// In bytes.
    pub(crate) piece_length: u32,
    /// In bytes, all files together.
    pub(crate) size: u64,
}

/// Every payload of a run.
pub(crate) struct Payloads {
    /// The shapes moved in both directions with every client.
    pub(crate) shapes: Vec<Payload>,
    /// A small file for the cases about finding a peer.
    pub(crate) small: Payload,
}

impl Payload {
    /// The file or folder itself.
    pub(crate) fn path(&self) -> PathBuf {
        self.parent.join(self.name)
    }

    /// An error that names the first file in which the copy below `dir` differs; `without_empty` files is no difference.
    pub(crate) fn check_copy(&self, dir: &Path, without_empty: bool) -> Result<()> {
        match first_difference(&self.path(), &dir.join(self.name), without_empty)? {
            None => Ok(()),
            Some(difference) => bail!("the copy differs: {difference}"),
        }
    }
}

impl Payloads {
    /// Writes the files below `root`; the same bytes in every run.
    pub(crate) fn write(root: &Path) -> Result<Self> {
        fs::create_dir_all(root)?;
        let mut bytes = Rng::new(64);
        fs::write(root.join(SINGLE), bytes.bytes(SINGLE_LEN))?;
        fs::write(root.join(SMALL), bytes.bytes(SMALL_LEN))?;
        let tree_len = write_tree(&root.join(TREE), &mut bytes)?;
        let payload = |label, name, piece_length, size: u64| Payload {
            label,
            name,
            parent: root.to_owned(),
            piece_length,
            size,
        };
        let single_len = u64::try_from(SINGLE_LEN)?;
        Ok(Self {
            shapes: vec![
                payload("file-1m", SINGLE, 1 << 20, single_len),
                payload("file-16k", SINGLE, 16 << 10, single_len),
                payload("file-16m", SINGLE, 16 << 20, single_len),
                payload("tree-16k", TREE, 16 << 10, tree_len),
            ],
            small: payload("small", SMALL, 256 << 10, u64::try_from(SMALL_LEN)?),
        })
    }

    /// The 64 MiB file in 1 MiB pieces.
    pub(crate) fn file(&self) -> &Payload {
        &self.shapes[0]
    }

    /// The 1,000 files in folders.
    pub(crate) fn tree(&self) -> &Payload {
        &self.shapes[3]
    }
}

/// What the bytes under `path` take on the disk: it grows as pieces arrive, also in a sparse file.
pub(crate) fn allocated_bytes(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.blocks() * 512;
    }
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries.flatten().map(|entry| allocated_bytes(&entry.path())).sum()
}

/// The first file that is missing in, differs in, or exists only in `got`; with `without_empty` an empty file may be missing.
fn first_difference(expected: &Path, got: &Path, without_empty: bool) -> Result<Option<String>> {
    let name = got.display();
    if expected.is_dir() {
        if !got.is_dir() {
            return Ok(Some(format!("{name} is not a folder")));
        }
        for entry in fs::read_dir(expected)? {
            let entry = entry?;
            if let Some(difference) =
                first_difference(&entry.path(), &got.join(entry.file_name()), without_empty)?
            {
                return Ok(Some(difference));
            }
        }
        for entry in fs::read_dir(got)? {
            let entry = entry?;
            if !expected.join(entry.file_name()).exists() {
                return Ok(Some(format!("{} does not belong there", entry.path().display())));
            }
        }
        return Ok(None);
    }
    if without_empty && !got.exists() && fs::metadata(expected)?.len() == 0 {
        return Ok(None);
    }
    if !got.is_file() {
        return Ok(Some(format!("{name} is missing")));
    }
    let same = has_same_bytes(expected, got).with_context(|| format!("compare {name} with the original"))?;
    Ok((!same).then(|| format!("{name} has other bytes")))
}

/// Whether two files hold the same bytes, of whatever length.
fn has_same_bytes(one: &Path, other: &Path) -> Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let len = one.metadata()?.len();
    if other.metadata()?.len() != len {
        return Ok(false);
    }
    let (mut of_one, mut of_other) = (vec![0; COMPARED_AT_ONCE], vec![0; COMPARED_AT_ONCE]);
    let mut left = len;
    while left > 0 {
        let count = usize::try_from(left).map_or(COMPARED_AT_ONCE, |left| left.min(COMPARED_AT_ONCE));
        one.read_exact(&mut of_one[..count])?;
        other.read_exact(&mut of_other[..count])?;
        if of_one[..count] != of_other[..count] {
            return Ok(false);
        }
        left -= u64::try_from(count)?;
    }
    Ok(true)
}

/// 1,000 files of 0 to 12 KiB in 40 folders, every tenth file in a folder below.
fn write_tree(root: &Path, rng: &mut Rng) -> Result<u64> {
    let mut total = 0;
    for i in 0..1000 {
        let mut dir = root.join(format!("folder {:02}", i % 40));
        if i % 10 == 0 {
            dir.push("nested");
        }
        fs::create_dir_all(&dir)?;
        let len = if i % 100 == 7 { 0 } else { 1 + rng.below(12 << 10) };
        fs::write(dir.join(format!("file-{i:04}.bin")), rng.bytes(len))?;
        total += u64::try_from(len)?;
    }
    Ok(total)
}

/// A seeded generator (SplitMix64): the same seed, the same run.
pub(crate) struct Rng(u64);

impl Rng {
    /// A generator for `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize is at most 64 bits");
        usize::try_from(self.next() % bound).expect("it is below a usize")
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// Bytes of either file that are in memory at once.
const COMPARED_AT_ONCE: usize = 1 << 20;
const SINGLE: &str = "single file.bin";
const SINGLE_LEN: usize = 64 << 20;
const SMALL: &str = "small.bin";
const SMALL_LEN: usize = 4 << 20;
const TREE: &str = "thousand files";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_equals_its_copy_until_a_byte_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        write_tree(&a, &mut Rng::new(1)).unwrap();
        write_tree(&b, &mut Rng::new(1)).unwrap();
        assert_eq!(first_difference(&a, &b, false).unwrap(), None);
        fs::write(b.join("folder 01/file-0001.bin"), "other").unwrap();
        assert!(first_difference(&a, &b, false).unwrap().unwrap().ends_with("has other bytes"));
    }

    #[test]
    fn missing_and_additional_files_are_differences() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(&a).unwrap();
        fs::create_dir_all(&b).unwrap();
        fs::write(a.join("x"), "x").unwrap();
        assert!(first_difference(&a, &b, false).unwrap().unwrap().ends_with("is missing"));
        assert!(first_difference(&b, &a, false).unwrap().unwrap().ends_with("does not belong there"));
        assert!(first_difference(&a, &b, true).unwrap().unwrap().ends_with("is missing"));
        fs::write(a.join("x"), "").unwrap();
        assert_eq!(first_difference(&a, &b, true).unwrap(), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(Rng::new(7).bytes(13), Rng::new(7).bytes(13));
        assert_ne!(Rng::new(7).bytes(13), Rng::new(8).bytes(13));
        assert_eq!(Rng::new(7).bytes(13).len(), 13);
    }
}
