//! Torrents for the tests.

use std::ops::Range;
use std::path::Path;

use unchoke_storage::{FilePool, FileSpec, FileStorage, Options, PieceRead, Storage, StorageSpec};
use unchoke_wire::{BlockRef, Layout, PieceIndex};

/// Files below NAME `t`; a name that begins with `.pad` is a pad.
pub(crate) fn spec(piece_len: u32, files: &[(&str, u64)]) -> StorageSpec {
    let files: Vec<FileSpec> = files
        .iter()
        .map(|(path, len)| FileSpec {
            path: std::iter::once("t").chain(path.split('/')).map(str::to_owned).collect(),
            len: *len,
            is_pad: path.starts_with(".pad"),
            ..FileSpec::default()
        })
        .collect();
    let layout = Layout::new(piece_len, files.iter().map(|f| f.len)).expect("a sound layout");
    StorageSpec { layout, files }
}

pub(crate) fn open(dir: &Path, spec: StorageSpec) -> FileStorage {
    FileStorage::open(dir, spec, Options::default()).expect("safe names")
}

pub(crate) fn open_selected(dir: &Path, spec: StorageSpec, selection: &[bool]) -> FileStorage {
    let options =
        Options { selection: Some(selection.to_vec()), pool: FilePool::new(2), ..Options::default() };
    FileStorage::open(dir, spec, options).expect("safe names")
}

/// The byte at offset `at` of the torrent.
pub(crate) fn byte(at: u64) -> u8 {
    u8::try_from(at % 251 + 1).expect("at most 251")
}

/// What piece `piece` holds; pads are zeros.
pub(crate) fn piece(spec: &StorageSpec, piece: u32) -> Vec<u8> {
    let piece = PieceIndex(piece);
    let mut at = spec.layout.start_of(piece);
    let mut out = Vec::new();
    for span in spec.layout.spans(piece, 0, spec.layout.len_of(piece)) {
        let is_pad = spec.files[span.file.0 as usize].is_pad;
        out.extend((at..at + span.len).map(|at| if is_pad { 0 } else { byte(at) }));
        at += span.len;
    }
    out
}

pub(crate) fn write_all(storage: &dyn Storage) {
    for p in storage.spec().layout.pieces() {
        storage.write(p, 0, &piece(storage.spec(), p.0)).expect("writes");
    }
}

pub(crate) fn read(storage: &dyn Storage, p: u32, begin: u32, len: u32) -> Vec<u8> {
    let mut buf = vec![0xEE; len as usize];
    storage.read(BlockRef { piece: PieceIndex(p), begin, len }, &mut buf).expect("reads");
    buf
}

pub(crate) fn read_piece(storage: &dyn Storage, p: u32) -> Vec<u8> {
    read(storage, p, 0, storage.spec().layout.len_of(PieceIndex(p)))
}

/// What a check finds of a run of pieces, and its bytes; those of missing pieces are 0xEE.
pub(crate) fn check(storage: &dyn Storage, pieces: Range<u32>) -> (Vec<u8>, Vec<PieceRead>) {
    let mut reader = storage.piece_reader();
    let mut found = Vec::new();
    reader.survey(pieces.clone(), &mut found).expect("looks");
    let mut all = Vec::new();
    for (p, found) in pieces.map(PieceIndex).zip(&found) {
        let mut buf = vec![0xEE; storage.spec().layout.len_of(p) as usize];
        let is_there = reader.read(p, 0, &mut buf).expect("reads");
        assert_eq!(is_there, *found != PieceRead::Missing, "{p:?}");
        if !is_there {
            buf.fill(0xEE);
        }
        all.extend(buf);
    }
    (all, found)
}

/// Names in a folder, all levels, sorted.
pub(crate) fn tree(dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            out.push(path.strip_prefix(dir).expect("beneath").display().to_string());
            if path.is_dir() && !path.is_symlink() {
                todo.push(path);
            }
        }
    }
    out.sort();
    out
}
