//! What BEP 52 adds to a metainfo file, as far as reading it goes: the file tree, piece layers, and hybrids.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::files::{self, FileEntry};
use super::names::{SUBSTITUTE, safe_element};
use super::{Info, MetainfoError};
use crate::bencode::{Dict, Value};
use crate::layout::BLOCK_LEN;
use crate::limits;

/// The files of a tree, in its order.
pub(super) struct TreeFiles {
    pub(super) files: Vec<FileEntry>,
    /// The tree is one file that is named like the torrent itself, not in a directory.
    pub(super) is_single_file: bool,
}

/// Reads the `file tree` (BEP 52). Where the v1 part has a list of files, even a single file lies in a directory.
//= BEP 52: file tree
pub(super) fn tree_files(tree: Value<'_>, name: &str, is_listed: bool) -> Result<TreeFiles, MetainfoError> {
    let root = tree.as_dict().ok_or(MetainfoError::FileTree)?;
    let mut first_two = root.entries();
    let first = first_two.next().and_then(|(_, v)| v.as_dict());
    let is_single_file =
        !is_listed && first.is_some_and(|d| d.get(b"").is_some()) && first_two.next().is_none();
    let mut files = Vec::new();
    let mut path = if is_single_file { Vec::new() } else { vec![name.to_owned()] };
    let mut open = vec![sorted_entries(root)?];
    while let Some(entries) = open.last_mut() {
        let Some((key, value)) = entries.next() else {
            open.pop();
            path.pop();
            continue;
        };
        let dict = value.as_dict().filter(|_| !key.is_empty()).ok_or(MetainfoError::FileTree)?;
        if path.len() > limits::PATH_DEPTH_MAX {
            return Err(MetainfoError::PathDepth(files.len()));
        }
        path.push(safe_element(key).unwrap_or_else(|| SUBSTITUTE.to_owned()));
        match dict.get(b"") {
            Some(leaf) if dict.entries().count() == 1 => {
                files.push(leaf_file(leaf, files.len(), path.clone())?);
                path.pop();
            }
            Some(_) => return Err(MetainfoError::FileTree),
            None => open.push(sorted_entries(dict)?),
        }
        if files.len() > limits::FILES_MAX {
            return Err(MetainfoError::TooManyFiles(files.len()));
        }
    }
    if files.is_empty() {
        return Err(MetainfoError::NoFiles);
    }
    Ok(TreeFiles { files, is_single_file })
}

type Entries<'d> = Box<dyn Iterator<Item = (&'d [u8], Value<'d>)> + 'd>;

/// The order of a tree's keys is the order of its files, so it must be the one everybody agrees on.
fn sorted_entries(dict: Dict<'_>) -> Result<Entries<'_>, MetainfoError> {
    let is_sorted = dict.entries().map(|(k, _)| k).is_sorted();
    if is_sorted { Ok(Box::new(dict.entries())) } else { Err(MetainfoError::FileTree) }
}

fn leaf_file(leaf: Value<'_>, index: usize, path: Vec<String>) -> Result<FileEntry, MetainfoError> {
    let dict = leaf.as_dict().ok_or(MetainfoError::FileTree)?;
    let mut file = files::file_of(dict, index, path)?;
    // a tree has no pad files: every file begins a piece of its own
    if dict.get(b"attr").and_then(|v| v.as_bytes()).is_some_and(|a| a.contains(&b'p')) {
        return Err(MetainfoError::FileTree);
    }
    file.is_pad = false;
    if file.length > 0 {
        let root = dict.get(b"pieces root").and_then(|v| v.as_bytes()).and_then(|b| b.try_into().ok());
        file.root = Some(root.filter(|r| *r != [0; 32]).ok_or(MetainfoError::PiecesRoot(index))?);
    }
    Ok(file)
}

/// The files with pad files between them, so that each begins a piece in the stream.
pub(super) fn with_pads(files: Vec<FileEntry>, piece_len: u32, name: &str) -> Vec<FileEntry> {
    let last = files.iter().rposition(|f| f.length > 0).unwrap_or(0);
    let mut out = Vec::with_capacity(files.len());
    for (i, file) in files.into_iter().enumerate() {
        let length = file.length.next_multiple_of(u64::from(piece_len)) - file.length;
        out.push(file);
        if length > 0 && i < last {
            let path = vec![name.to_owned(), ".pad".to_owned(), length.to_string()];
            out.push(FileEntry { path, length, is_pad: true, ..FileEntry::default() });
        }
    }
    out
}

/// Checks that the v1 list of a hybrid describes the files of its tree, each beginning a piece, and gives them the
/// roots of the tree.
pub(super) fn merge(v1: &mut [FileEntry], v2: Vec<FileEntry>, piece_len: u32) -> Result<(), MetainfoError> {
    let mut v2 = v2.into_iter();
    let mut used = 0;
    for file in v1 {
        if !file.is_pad {
            let twin = v2.next().ok_or(MetainfoError::Inconsistent)?;
            let is_same =
                twin.path == file.path && twin.length == file.length && twin.is_link == file.is_link;
            if !is_same || (file.length > 0 && used > 0) {
                return Err(MetainfoError::Inconsistent);
            }
            file.root = twin.root;
        }
        used = (used + file.length) % u64::from(piece_len);
    }
    if v2.next().is_some() { Err(MetainfoError::Inconsistent) } else { Ok(()) }
}

/// Reads `piece layers`: for every file longer than a piece the hashes of its pieces, by the root they lead to. Layers
/// may be missing, since peers can send them; those that are there must belong to a file and match its root.
//= BEP 52: piece layers
pub(super) fn piece_layers(
    value: Value<'_>,
    info: &Info,
) -> Result<BTreeMap<[u8; 32], Vec<u8>>, MetainfoError> {
    let piece_len = u64::from(info.layout.piece_len());
    let large = info.files.iter().filter(|f| f.length > piece_len);
    let hashes_by_root: BTreeMap<[u8; 32], u64> =
        large.filter_map(|f| Some((f.root?, f.length.div_ceil(piece_len)))).collect();
    let mut layers = BTreeMap::new();
    for (root, layer) in value.as_dict().ok_or(MetainfoError::PieceLayer)?.entries() {
        let root: [u8; 32] = root.try_into().map_err(|_| MetainfoError::PieceLayer)?;
        let layer = layer.as_bytes().ok_or(MetainfoError::PieceLayer)?;
        let (hashes, rest) = layer.as_chunks::<32>();
        let is_due = hashes_by_root.get(&root).copied() == u64::try_from(hashes.len()).ok();
        if !is_due || !rest.is_empty() || root_of(hashes, info.layout.piece_len()) != root {
            return Err(MetainfoError::PieceLayer);
        }
        layers.insert(root, layer.to_vec());
    }
    Ok(layers)
}

/// The root of the tree whose piece layer is `hashes`, which is not empty.
fn root_of(hashes: &[[u8; 32]], piece_len: u32) -> [u8; 32] {
    let parent = |a: &[u8; 32], b: &[u8; 32]| -> [u8; 32] {
        Sha256::new().chain_update(a).chain_update(b).finalize().into()
    };
    // what stands for a piece beyond the end of the file: the tree over blocks of zero hashes
    let mut pad = (0..(piece_len / BLOCK_LEN).ilog2()).fold([0; 32], |h, _| parent(&h, &h));
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        if !level.len().is_multiple_of(2) {
            level.push(pad);
        }
        level = level.as_chunks::<2>().0.iter().map(|[a, b]| parent(a, b)).collect();
        pad = parent(&pad, &pad);
    }
    level[0]
}
