//! Files against memory, under any row of writes, reads, selections and reopenings.

use super::Scratch;
use crate::steps::Steps;
use std::path::Path;
use unchoke_storage::{
    FilePool, FileSpec, FileStorage, MemoryStorage, Options, PieceRead, Storage, StorageSpec,
};
use unchoke_wire::{BlockRef, Layout, PieceIndex};

/// What was written is read, whatever files lie in part files meanwhile, and nothing is left once all is deleted.
pub fn file_storage(data: &[u8]) {
    let mut steps = Steps::new(data);
    let Some(spec) = spec(&mut steps) else { return };
    let layout = spec.layout.clone();
    let dir = Scratch::new();
    let memory = MemoryStorage::new(spec.clone()).expect("the names are safe");
    let mut selection = vec![true; spec.files.len()];
    let mut disk = open(&dir.0, &spec, &selection);
    let mut written: Vec<Vec<bool>> =
        layout.pieces().map(|p| vec![false; layout.len_of(p) as usize]).collect();
    while !steps.is_over() {
        match steps.byte() % 6 {
            0 | 1 => {
                let r = stretch(&layout, &mut steps);
                let first = steps.byte();
                let data: Vec<u8> = (0..r.len).map(|i| first.wrapping_add(i.to_le_bytes()[0]) | 1).collect();
                disk.write(r.piece, r.begin, &data).expect("the disk takes it");
                memory.write(r.piece, r.begin, &data).expect("memory takes it");
                written[r.piece.0 as usize][r.begin as usize..][..r.len as usize].fill(true);
            }
            2 => {
                let r = stretch(&layout, &mut steps);
                let is_written =
                    written[r.piece.0 as usize][r.begin as usize..][..r.len as usize].iter().all(|w| *w);
                let (mut a, mut b) = (vec![3; r.len as usize], vec![4; r.len as usize]);
                let read = disk.read(r, &mut a);
                if is_written {
                    read.expect("what was written is there");
                    memory.read(r, &mut b).expect("memory has it");
                    assert_eq!(a, b, "{r:?}");
                }
            }
            3 => {
                let bits = steps.byte();
                selection = (0..spec.files.len()).map(|i| bits & (1 << (i % 8)) != 0).collect();
                disk.set_selection(&selection).expect("the disk takes it");
            }
            4 => disk.sync().expect("the disk takes it"),
            _ => {
                drop(disk);
                disk = open(&dir.0, &spec, &selection);
            }
        }
    }
    check(&disk, &memory, &written);
    disk.delete().expect("it is all ours");
    assert_eq!(std::fs::read_dir(&dir.0).expect("a folder").count(), 0, "something is left");
}

fn check(disk: &FileStorage, memory: &MemoryStorage, written: &[Vec<bool>]) {
    let layout = &disk.spec().layout;
    let (mut reader, mut found) = (disk.piece_reader(), Vec::new());
    reader.survey(0..layout.piece_count(), &mut found).expect("it can be looked at");
    for ((piece, written), found) in layout.pieces().zip(written).zip(&found) {
        let mut a = vec![0xEE; written.len()];
        let is_there = reader.read(piece, 0, &mut a).expect("it can be read");
        assert_eq!(is_there, *found != PieceRead::Missing, "{piece:?}");
        assert!(*found != PieceRead::Hole || a.iter().all(|b| *b == 0), "{piece:?} is no hole");
        if written.iter().all(|w| *w) {
            let len = layout.len_of(piece);
            let mut b = vec![0xEE; written.len()];
            memory.read(BlockRef { piece, begin: 0, len }, &mut b).expect("memory has it");
            assert!(is_there && a == b, "{piece:?}");
        }
    }
}

fn spec(steps: &mut Steps<'_>) -> Option<StorageSpec> {
    let piece_len = u32::from(1 + steps.byte() % 40);
    let files: Vec<FileSpec> = (0..1 + steps.below(8))
        .map(|i| FileSpec {
            path: vec!["t".to_owned(), format!("d{}", i % 3), format!("f{i}")],
            len: u64::from(steps.byte() % 50),
            is_pad: i > 0 && steps.byte().is_multiple_of(5),
            ..FileSpec::default()
        })
        .collect();
    let layout = Layout::new(piece_len, files.iter().map(|f| f.len)).ok()?;
    Some(StorageSpec { layout, files })
}

fn open(dir: &Path, spec: &StorageSpec, selection: &[bool]) -> FileStorage {
    let pool = FilePool::new(2);
    let options = Options { selection: Some(selection.to_vec()), pool, ..Options::default() };
    FileStorage::open(dir, spec.clone(), options).expect("the names are safe")
}

/// A stretch of the torrent; mostly a whole piece.
fn stretch(layout: &Layout, steps: &mut Steps<'_>) -> BlockRef {
    let piece = PieceIndex(u32::from(steps.byte()) % layout.piece_count());
    let (from, len) = (u32::from(steps.byte()), u32::from(steps.byte()));
    let begin = if from < 128 { 0 } else { from % layout.len_of(piece) };
    let left = layout.len_of(piece) - begin;
    BlockRef { piece, begin, len: if len < 128 { left } else { 1 + len % left } }
}
